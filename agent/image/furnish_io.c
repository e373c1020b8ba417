#include "agent/image/furnish_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/check.h"

#define FOLDER_MODE 0755
#define FILE_MODE   0755

enum kind { FOLDER, EMPTY_FILE, MOUNTS_LINK };

static const struct piece {
    const char *folder; // NULL: the root
    const char *name;
    enum kind kind;
} pieces[] = {
    {NULL, ".dockerenv", EMPTY_FILE},   {NULL, "proc", FOLDER},       {NULL, "sys", FOLDER},
    {"dev", "console", EMPTY_FILE},     {"dev", "pts", FOLDER},       {"dev", "shm", FOLDER},
    {"etc", "hostname", EMPTY_FILE},    {"etc", "hosts", EMPTY_FILE}, {"etc", "mtab", MOUNTS_LINK},
    {"etc", "resolv.conf", EMPTY_FILE},
};

// 0, or an errno. One that is there already is left as it is. (Modes are set past the umask.)
static int add_folder(int parent, const char *name)
{
    if (mkdirat(parent, name, FOLDER_MODE))
        return errno == EEXIST ? 0 : errno;
    return fchmodat(parent, name, FOLDER_MODE, 0) ? errno : 0;
}

static int add_file(int parent, const char *name)
{
    int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return errno == EEXIST ? 0 : errno;
    int errnum = fchmod(fd, FILE_MODE) ? errno : 0;
    close(fd);
    return errnum;
}

static int add_piece(int parent, const struct piece *piece)
{
    switch (piece->kind) {
    case FOLDER:
        return add_folder(parent, piece->name);
    case EMPTY_FILE:
        return add_file(parent, piece->name);
    default:
        return symlinkat("/proc/mounts", parent, piece->name) && errno != EEXIST ? errno : 0;
    }
}

// The piece's folder, made if need be; -1 with errno 0 where the image has something else there.
static int open_folder(int root, const struct piece *piece)
{
    const char *name = piece->folder ? piece->folder : ".";
    int errnum = piece->folder ? add_folder(root, piece->folder) : 0;
    if (errnum) {
        errno = errnum;
        return -1;
    }
    int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        errno = 0;
    return fd;
}

int furnish_tree(const char *tree, struct err *err)
{
    int root = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_set_errno(err, errno, "open %s", tree);
    int errnum = 0;
    for (size_t i = 0; i < COUNT_OF(pieces) && !errnum; i++) {
        int parent = open_folder(root, &pieces[i]);
        errnum = parent >= 0 ? add_piece(parent, &pieces[i]) : errno;
        if (parent >= 0)
            close(parent);
        if (errnum)
            err_set_errno(err, errnum, "make %s in an image's tree", pieces[i].name);
    }
    close(root);
    return errnum ? -(int)err->code : 0;
}
