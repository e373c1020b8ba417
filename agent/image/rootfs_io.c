#include "agent/image/rootfs_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/image/reference.h"
#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

#define IMAGE_FILE   "image"
#define OPTION_BYTES 4096
#define DEPTH_MAX    128

static int join(char out[ROOTFS_PATH_BYTES], struct err *err, const char *root, const char *a,
                const char *b, const char *c)
{
    if (!str_format(out, ROOTFS_PATH_BYTES, "%s/%s/%s%s%s", root, a, b, c ? "/" : "", c ? c : ""))
        return err_set(err, ERR_INVALID_ARGUMENT, "path of image store is too long");
    return 0;
}

static int layer_path(const char *root, const char *container, const char *name,
                      char out[ROOTFS_PATH_BYTES], struct err *err)
{
    if (str_empty(container) || container[0] == '.' || strchr(container, '/'))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid container id \"%.80s\"",
                       str_or(container, ""));
    return join(out, err, root, "layers", container, name);
}

static int tree_path(const char *root, const char *image_id, char out[ROOTFS_PATH_BYTES],
                     struct err *err)
{
    CHECK(digest_valid(image_id));
    return join(out, err, root, "trees", image_id + 7, NULL);
}

int rootfs_create(const char *root, const char *container, const char *image_id, struct err *err)
{
    char layer[ROOTFS_PATH_BYTES], path[ROOTFS_PATH_BYTES];
    int rc = layer_path(root, container, NULL, layer, err);
    if (!rc && file_exists(layer))
        rc = err_set(err, ERR_ALREADY_EXISTS, "container %s has a root file system", container);
    // The upper folder's mode is the mode of "/" in the container: that of the image's own.
    struct stat st;
    if (!rc)
        rc = tree_path(root, image_id, path, err);
    if (!rc && stat(path, &st) < 0)
        rc = err_set(err, ERR_FAILED_PRECONDITION, "image %.19s is not unpacked", image_id);
    if (rc)
        return rc;
    static const char *const folders[] = {"work", "merged", "upper"};
    rc = dir_make(layer, 0700, err);
    for (size_t i = 0; i < COUNT_OF(folders) && !rc; i++) {
        rc = layer_path(root, container, folders[i], path, err);
        if (!rc)
            rc = dir_make(path, 0755, err);
    }
    if (!rc && (chmod(path, st.st_mode & 07777) < 0 || chown(path, st.st_uid, st.st_gid) < 0))
        rc = err_set_errno(err, errno, "set owner of %s", path);
    // Last, so that a layer with this file is a whole one.
    if (!rc)
        rc = layer_path(root, container, IMAGE_FILE, path, err);
    if (!rc) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        size_t size = strlen(image_id);
        if (fd < 0 || write(fd, image_id, size) != (ssize_t)size)
            rc = err_set_errno(err, errno ? errno : EIO, "write %s", path);
        if (fd >= 0)
            close(fd);
    }
    if (rc)
        dir_remove(layer, NULL);
    return rc;
}

int rootfs_image(const char *root, const char *container, char out[72], struct err *err)
{
    char path[ROOTFS_PATH_BYTES];
    struct buf text;
    int rc = layer_path(root, container, IMAGE_FILE, path, err);
    if (rc)
        return rc;
    buf_init(&text, 72);
    rc = file_read(path, &text, err);
    if (!rc && (!buf_cstr(&text) || !digest_valid(buf_cstr(&text))))
        rc = err_set(err, ERR_DATA_LOSS, "%s is damaged", path);
    if (!rc)
        str_copy(out, 72, buf_cstr(&text));
    buf_fini(&text);
    return rc;
}

int rootfs_upper(const char *root, const char *container, char out[ROOTFS_PATH_BYTES],
                 struct err *err)
{
    return layer_path(root, container, "upper", out, err);
}

// A folder on another device than its parent is a mount point; overlayfs always has its own.
static bool is_mounted(const char *path)
{
    char parent[ROOTFS_PATH_BYTES];
    struct stat own, above;
    return str_format(parent, sizeof parent, "%s/..", path) && stat(path, &own) == 0 &&
           stat(parent, &above) == 0 && own.st_dev != above.st_dev;
}

int rootfs_mount(const char *root, const char *container, char out[ROOTFS_PATH_BYTES],
                 struct err *err)
{
    char image[72], tree[ROOTFS_PATH_BYTES], upper[ROOTFS_PATH_BYTES], work[ROOTFS_PATH_BYTES];
    int rc = rootfs_image(root, container, image, err);
    if (!rc)
        rc = layer_path(root, container, "merged", out, err);
    if (rc || is_mounted(out))
        return rc;
    if (!rc)
        rc = tree_path(root, image, tree, err);
    if (!rc)
        rc = layer_path(root, container, "upper", upper, err);
    if (!rc)
        rc = layer_path(root, container, "work", work, err);
    if (!rc && !file_exists(tree))
        rc = err_set(err, ERR_FAILED_PRECONDITION, "image %.19s is not unpacked", image);
    char options[OPTION_BYTES];
    if (!rc && !str_format(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", tree,
                           upper, work))
        rc = err_set(err, ERR_INVALID_ARGUMENT, "path of image store is too long");
    if (rc)
        return rc;
    if (mount("overlay", out, "overlay", 0, options) < 0)
        return err_set_errno(err, errno == ENODEV ? ENOTSUP : errno,
                             "mount the root file system of container %s (overlayfs)", container);
    // What is mounted below it by a container must not come back here, nor go elsewhere.
    if (mount(NULL, out, NULL, MS_PRIVATE, NULL) < 0) {
        rc = err_set_errno(err, errno, "make %s private", out);
        umount2(out, MNT_DETACH);
    }
    return rc;
}

int rootfs_shm(const char *root, const char *container, char out[ROOTFS_PATH_BYTES],
               struct err *err)
{
    int rc = layer_path(root, container, "shm", out, err);
    if (!rc && !is_mounted(out))
        rc = err_set(err, ERR_NOT_FOUND, "container %s has no shared memory for others", container);
    return rc;
}

int rootfs_shm_mount(const char *root, const char *container, uint64_t bytes,
                     char out[ROOTFS_PATH_BYTES], struct err *err)
{
    char options[64];
    int rc = layer_path(root, container, "shm", out, err);
    if (rc || is_mounted(out))
        return rc;
    rc = dir_make(out, 0700, err);
    str_format(options, sizeof options, "mode=1777,size=%llu", (unsigned long long)bytes);
    if (!rc && mount("shm", out, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
        rc = err_set_errno(err, errno, "mount the shared memory of container %s", container);
    if (!rc && mount(NULL, out, NULL, MS_PRIVATE, NULL) < 0) {
        rc = err_set_errno(err, errno, "make %s private", out);
        umount2(out, MNT_DETACH);
    }
    return rc;
}

int rootfs_unmount(const char *root, const char *container, struct err *err)
{
    static const char *const names[] = {"merged", "shm"};
    char path[ROOTFS_PATH_BYTES];
    int rc = 0;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        int found = layer_path(root, container, names[i], path, err);
        if (!found && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
            errno != ENOENT)
            found = err_set_errno(err, errno, "unmount %s", path);
        rc = found ? found : rc;
    }
    return rc;
}

int rootfs_remove(const char *root, const char *container, struct err *err)
{
    char path[ROOTFS_PATH_BYTES];
    int rc = rootfs_unmount(root, container, err);
    if (!rc)
        rc = layer_path(root, container, NULL, path, err);
    return rc ? rc : dir_remove(path, err);
}

static void each_layer(const char *root, bool (*visit)(void *ctx, const char *name), void *ctx)
{
    char path[ROOTFS_PATH_BYTES];
    if (!str_format(path, sizeof path, "%s/layers", root))
        return;
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && !visit(ctx, entry->d_name))
            break;
    if (dir)
        closedir(dir);
}

struct users {
    const char *root;
    const char *image_id;
    char *example;
    size_t example_size;
    size_t count;
};

static bool count_user(void *ctx, const char *name)
{
    struct users *users = ctx;
    char image[72];
    if (rootfs_image(users->root, name, image, NULL) != 0 || !str_equal(image, users->image_id))
        return true;
    if (!users->count++ && users->example)
        str_copy(users->example, users->example_size, name);
    return true;
}

size_t rootfs_users(const char *root, const char *image_id, char *example, size_t example_size)
{
    struct users users = {root, image_id, example, example_size, 0};
    each_layer(root, count_user, &users);
    return users.count;
}

struct each {
    void (*found)(void *owner, const char *container);
    void *owner;
};

static bool give_name(void *ctx, const char *name)
{
    struct each *each = ctx;
    each->found(each->owner, name);
    return true;
}

void rootfs_each(const char *root, void (*found)(void *owner, const char *container), void *owner)
{
    struct each each = {found, owner};
    each_layer(root, give_name, &each);
}

// ---- what a container changed -------------------------------------------------------------------

// A walk through the upper folder; `fd` is the folder's own, closed here.
struct walk {
    uint64_t bytes;
    int tree_fd; // the image's tree, -1 when only sizes matter
    rootfs_change *change;
    void *owner;
};

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static void report(struct walk *walk, const char *path, const struct stat *st)
{
    if (!walk->change)
        return;
    struct stat below;
    bool was =
        walk->tree_fd >= 0 && fstatat(walk->tree_fd, path + 1, &below, AT_SYMLINK_NOFOLLOW) == 0;
    char kind = is_whiteout(st) ? 'D' : was ? 'C' : 'A';
    walk->change(walk->owner, kind, path);
}

static void walk_folder(struct walk *walk, int fd, char *path, size_t length, unsigned depth)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        struct stat st;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        // As docker counts: no folders, and a file once however many names it has.
        if (!S_ISDIR(st.st_mode))
            walk->bytes += (uint64_t)st.st_size / (st.st_nlink ? st.st_nlink : 1);
        if (!str_format(path + length, ROOTFS_PATH_BYTES - length, "/%s", entry->d_name))
            continue;
        report(walk, path, &st);
        int child =
            S_ISDIR(st.st_mode) && depth < DEPTH_MAX
                ? openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                : -1;
        if (child >= 0)
            walk_folder(walk, child, path, length + strlen(path + length), depth + 1);
        path[length] = '\0';
    }
    closedir(dir);
}

static int walk_upper(const char *root, const char *container, struct walk *walk, struct err *err)
{
    char upper[ROOTFS_PATH_BYTES];
    int rc = layer_path(root, container, "upper", upper, err);
    if (rc)
        return rc;
    int fd = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open %s", upper);
    char path[ROOTFS_PATH_BYTES] = "";
    walk_folder(walk, fd, path, 0, 0);
    return 0;
}

uint64_t rootfs_folder_bytes(const char *folder)
{
    struct walk walk = {.tree_fd = -1};
    char path[ROOTFS_PATH_BYTES] = "";
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        walk_folder(&walk, fd, path, 0, 0);
    return walk.bytes;
}

uint64_t rootfs_upper_bytes(const char *root, const char *container)
{
    struct walk walk = {.tree_fd = -1};
    walk_upper(root, container, &walk, NULL);
    return walk.bytes;
}

int rootfs_diff(const char *root, const char *container, rootfs_change *change, void *owner,
                struct err *err)
{
    char image[72], tree[ROOTFS_PATH_BYTES];
    int rc = rootfs_image(root, container, image, err);
    if (!rc)
        rc = tree_path(root, image, tree, err);
    if (rc)
        return rc;
    struct walk walk = {.change = change, .owner = owner};
    walk.tree_fd = open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
    rc = walk_upper(root, container, &walk, err);
    if (walk.tree_fd >= 0)
        close(walk.tree_fd);
    return rc;
}
