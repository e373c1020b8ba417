#include "agent/oci/volume_mounts_io.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/oci/volume_options.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define USES_FOLDER "mounts"
#define USES_MAX    OCI_MOUNTS_MAX
#define USER_CHARS  128
#define HOST_CHARS  256

#define SAME(name)                                                                                 \
    static_assert((unsigned)VOLUME_##name == (unsigned)MS_##name, "the kernel's number")
SAME(RDONLY);
SAME(NOSUID);
SAME(NODEV);
SAME(NOEXEC);
SAME(SYNCHRONOUS);
SAME(REMOUNT);
SAME(MANDLOCK);
SAME(DIRSYNC);
SAME(NOATIME);
SAME(NODIRATIME);
SAME(BIND);
SAME(REC);
SAME(UNBINDABLE);
SAME(PRIVATE);
SAME(SLAVE);
SAME(SHARED);
SAME(RELATIME);
SAME(STRICTATIME);

struct volume_use {
    char *folder; // of the volume
    char *path;   // where it is mounted
    char *type, *device, *o;
};

struct volume_uses {
    char user[USER_CHARS];
    size_t count;
    struct volume_use *list;
};

// ---- lists -------------------------------------------------------------------------------------

struct volume_uses *volume_uses_new(const char *user)
{
    struct volume_uses *uses = MEM_NEW(struct volume_uses);
    bool fits = str_copy(uses->user, sizeof uses->user, user);
    CHECK(fits);
    CHECK(*user && *user != '.' && !strchr(user, '/'));
    return uses;
}

void volume_uses_free(struct volume_uses *uses)
{
    for (size_t i = 0; uses && i < uses->count; i++) {
        free(uses->list[i].folder);
        free(uses->list[i].path);
        free(uses->list[i].type);
        free(uses->list[i].device);
        if (uses->list[i].o) // may hold a password
            explicit_bzero(uses->list[i].o, strlen(uses->list[i].o));
        free(uses->list[i].o);
    }
    if (uses)
        free(uses->list);
    free(uses);
}

size_t volume_uses_count(const struct volume_uses *uses)
{
    return uses ? uses->count : 0;
}

void volume_uses_add(struct volume_uses *uses, const struct volume *volume)
{
    const struct oci_pair *options = volume->options;
    size_t count = volume->options_count;
    if (!volume_options_mount(options, count) || uses->count == USES_MAX)
        return;
    const char *slash = strrchr(volume->path, '/');
    for (size_t i = 0; i < uses->count; i++)
        if (str_equal(uses->list[i].path, volume->path))
            return;
    uses->list = mem_realloc(uses->list, (uses->count + 1) * sizeof *uses->list);
    uses->list[uses->count++] = (struct volume_use){
        .folder = str_ndup(volume->path, (size_t)(slash - volume->path)),
        .path = str_dup(volume->path),
        .type = str_dup(volume_option(options, count, "type")),
        .device = str_dup(volume_option(options, count, "device")),
        .o = str_dup(volume_option(options, count, "o")),
    };
}

static bool note_path(const char *folder, const char *user, char out[VOLUME_PATH_MAX])
{
    return str_format(out, VOLUME_PATH_MAX, "%s/" USES_FOLDER "/%s", folder, user);
}

struct volume_uses *volume_uses_of(const struct volumes *volumes, const char *user)
{
    struct volume_uses *uses = NULL;
    const struct volume *volume;
    size_t position = 0;
    while ((volume = volumes_next(volumes, &position))) {
        char folder[VOLUME_PATH_MAX], note[VOLUME_PATH_MAX];
        if (!volume->options_count)
            continue;
        str_format(folder, sizeof folder, "%.*s", (int)(strrchr(volume->path, '/') - volume->path),
                   volume->path);
        if (!note_path(folder, user, note) || access(note, F_OK) != 0)
            continue;
        uses = uses ? uses : volume_uses_new(user);
        volume_uses_add(uses, volume);
    }
    return uses;
}

// ---- mounts ------------------------------------------------------------------------------------

bool volume_mounted(const char *path)
{
    struct statx st;
    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0,
                 &st) == 0 &&
           (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

int volume_unmount(const char *path, struct err *err)
{
    for (unsigned tries = 0; tries < 8 && volume_mounted(path); tries++)
        if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            return err_set_errno(err, errno, "unmount %s", path);
    return volume_mounted(path) ? err_set(err, ERR_FAILED_PRECONDITION, "%s is mounted", path) : 0;
}

// Go's texts are the C library's, but for the first letter.
static const char *errno_text(int errnum, char out[96])
{
    str_copy(out, 96, strerror(errnum));
    out[0] = (char)tolower((unsigned char)out[0]);
    return out;
}

static int mount_failed(const struct volume_use *use, const char *what, const char *device,
                        const struct volume_mount_words *words, struct err *err)
{
    char why[96], flags[40] = "", data[512] = "", hidden[VOLUME_MOUNT_DATA_MAX + 16];
    int errnum = errno;
    const char *shown =
        volume_mount_replace(words->data, "password", "********", hidden, sizeof hidden) ? hidden
                                                                                         : "";
    if (words->flags)
        str_format(flags, sizeof flags, ", flags: 0x%lx", words->flags);
    if (*shown)
        str_format(data, sizeof data, ", data: %.400s", shown);
    return err_set(err, errnum == ENODEV ? ERR_FAILED_PRECONDITION : ERR_INTERNAL,
                   "failed to mount local volume: %s %.200s:%s%s%s: %s", what, device, use->path,
                   flags, data, errno_text(errnum, why));
}

static int mount_with(const struct volume_use *use, const char *device, const char *options,
                      struct err *err)
{
    struct volume_mount_words words;
    int rc = volume_mount_words(options, &words, err);
    if (rc)
        return rc;
    if (mount(device, use->path, use->type, words.flags, words.data) < 0)
        return mount_failed(use, "mount", device, &words, err);
    if (words.propagation && mount("", use->path, "", words.propagation, NULL) < 0)
        rc = mount_failed(use, "remount", device, &words, err);
    // A bind is read-only only by a second call.
    else if ((words.flags & MS_BIND) && (words.flags & MS_RDONLY) &&
             mount("", use->path, "", words.flags | MS_REMOUNT, NULL) < 0)
        rc = mount_failed(use, "remount-ro", device, &words, err);
    if (rc)
        umount2(use->path, MNT_DETACH);
    return rc;
}

static bool is_address(const char *text)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static int resolve(const char *host, char out[HOST_CHARS], struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (!rc)
        rc = getnameinfo(found->ai_addr, found->ai_addrlen, out, HOST_CHARS, NULL, 0,
                         NI_NUMERICHOST);
    if (found)
        freeaddrinfo(found);
    return rc ? err_set(err, ERR_UNAVAILABLE,
                        "error resolving passed in network volume address: lookup %.200s: %s", host,
                        gai_strerror(rc))
              : 0;
}

// Kernels take addresses, people give names: in "addr=", and for cifs in "//host/share".
static int mount_from_network(const struct volume_use *use, struct err *err)
{
    char host[HOST_CHARS], address[HOST_CHARS], text[VOLUME_PATH_MAX];
    if (volume_mount_value(use->o, "addr", host, sizeof host)) {
        if (is_address(host))
            return mount_with(use, use->device, use->o, err);
        int rc = resolve(host, address, err);
        if (!rc && !volume_mount_replace(use->o, "addr", address, text, sizeof text))
            rc = err_set(err, ERR_INVALID_ARGUMENT, "the options of the mount are too long");
        if (!rc)
            rc = mount_with(use, use->device, text, err);
        explicit_bzero(text, sizeof text);
        return rc;
    }
    if (!str_equal(use->type, "cifs") || !str_starts(use->device, "//"))
        return mount_with(use, use->device, use->o, err);
    const char *name = use->device + 2;
    size_t length = strcspn(name, "/");
    if (!length || !str_format(host, sizeof host, "%.*s", (int)length, name) || is_address(host))
        return mount_with(use, use->device, use->o, err);
    int rc = resolve(host, address, err);
    if (!rc && !str_format(text, sizeof text, "//%s%s", address, name + length))
        rc = err_set(err, ERR_INVALID_ARGUMENT, "the device of the volume is too long");
    return rc ? rc : mount_with(use, text, use->o, err);
}

static int mount_volume(const struct volume_use *use, struct err *err)
{
    struct err why = ERR_INIT;
    int rc = 0;
    if (volume_mounted(use->path))
        return 0;
    if (str_empty(use->device))
        rc = err_set(&why, ERR_INVALID_ARGUMENT, "missing device in volume options");
    else if (str_equal(use->type, "nfs") || str_equal(use->type, "cifs"))
        rc = mount_from_network(use, &why);
    else
        rc = mount_with(use, use->device, use->o, &why);
    return rc ? err_set(err, why.code, "error while mounting volume '%s': %s", use->path,
                        why.message)
              : 0;
}

// ---- uses --------------------------------------------------------------------------------------

// One at a time has to do with the volume, in whichever thread. -1 when it is gone.
static int lock(const struct volume_use *use)
{
    int fd = open(use->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
        continue;
    return fd;
}

static bool is_used(const struct volume_use *use)
{
    char path[VOLUME_PATH_MAX];
    bool used = false;
    DIR *dir = note_path(use->folder, "", path) ? opendir(path) : NULL;
    struct dirent *entry;
    while (dir && !used && (entry = readdir(dir)))
        used = entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return used;
}

static int use_note(const struct volume_use *use, const char *user, struct err *err)
{
    char path[VOLUME_PATH_MAX];
    int fd = -1;
    if (note_path(use->folder, "", path) && (mkdir(path, 0700) == 0 || errno == EEXIST) &&
        note_path(use->folder, user, path))
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, errno, "note the use of volume %s", use->folder);
    close(fd);
    return 0;
}

static void use_end(const struct volume_use *use, const char *user)
{
    char path[VOLUME_PATH_MAX];
    struct err err = ERR_INIT;
    int fd = lock(use);
    if (fd < 0)
        return;
    if (note_path(use->folder, user, path))
        unlink(path);
    if (!is_used(use) && volume_unmount(use->path, &err))
        log_warn("volume stays mounted", "err=\"%s\"", err.message);
    close(fd);
}

static int use_begin(const struct volume_use *use, const char *user, struct err *err)
{
    int fd = lock(use);
    if (fd < 0)
        return err_set_errno(err, errno, "volume %s", use->folder);
    int rc = use_note(use, user, err);
    if (!rc)
        rc = mount_volume(use, err);
    close(fd);
    return rc;
}

int volume_uses_begin(const struct volume_uses *uses, struct err *err)
{
    for (size_t i = 0; i < volume_uses_count(uses); i++) {
        int rc = use_begin(&uses->list[i], uses->user, err);
        if (!rc)
            continue;
        for (size_t begun = 0; begun <= i; begun++)
            use_end(&uses->list[begun], uses->user);
        return rc;
    }
    return 0;
}

void volume_uses_end(const struct volume_uses *uses)
{
    for (size_t i = 0; i < volume_uses_count(uses); i++)
        use_end(&uses->list[i], uses->user);
}

int volume_uses_show(const struct volume_uses *uses, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < volume_uses_count(uses) && !rc; i++)
        rc = mount_volume(&uses->list[i], err);
    return rc;
}
