#include "agent/oci/sealed_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#ifndef MFD_EXEC // Linux 6.3: without it some systems make copies that cannot be run
#define MFD_EXEC 0x0010U
#endif

#define SEALS         (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define PROGRAM_BYTES (64u << 20)
#define COPY_BYTES    64

struct sealed {
    char *path;
    char *link;
    int fd;         // -1: no copy
    struct stat of; // the file that was copied
};

// An upgrade puts another file in its place; an editor changes size or time.
static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int memory_file(void)
{
    int fd = memfd_create("program", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    return fd >= 0 || errno != EINVAL ? fd
                                      : memfd_create("program", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static int fill(int fd, int from, off_t size, struct err *err)
{
    for (off_t sent = 0; sent < size;) {
        ssize_t put = sendfile(fd, from, NULL, (size_t)(size - sent));
        if (put <= 0)
            return err_set_errno(err, put < 0 ? errno : EIO, "copy a program");
        sent += put;
    }
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return err_set_errno(err, errno, "seal a program's copy");
    return 0;
}

// crun asks for exactly these seals; a kernel that adds one of its own makes the copy useless.
static int check_copy(int fd, const char *copy, struct err *err)
{
    if (fcntl(fd, F_GET_SEALS) != SEALS || access(copy, X_OK) < 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "this kernel does not run programs in memory");
    return 0;
}

static int name_copy(const struct sealed *sealed, const char *copy, struct err *err)
{
    unlink(sealed->link);
    return symlink(copy, sealed->link) < 0 ? err_set_errno(err, errno, "make %s", sealed->link) : 0;
}

static void drop_copy(struct sealed *sealed)
{
    if (sealed->fd >= 0)
        close(sealed->fd);
    sealed->fd = -1;
}

static int make_copy(struct sealed *sealed, struct err *err)
{
    char copy[COPY_BYTES];
    int from = open(sealed->path, O_RDONLY | O_CLOEXEC);
    memset(&sealed->of, 0, sizeof sealed->of);
    if (from < 0 || fstat(from, &sealed->of) < 0) {
        int errnum = errno;
        if (from >= 0)
            close(from);
        return err_set_errno(err, errnum, "open %s", sealed->path);
    }
    int rc = 0;
    if (sealed->of.st_size > PROGRAM_BYTES)
        rc = err_set(err, ERR_FAILED_PRECONDITION, "%s is large", sealed->path);
    sealed->fd = rc ? -1 : memory_file();
    if (!rc && sealed->fd < 0)
        rc = err_set_errno(err, errno, "make a file in memory");
    if (!rc)
        rc = fill(sealed->fd, from, sealed->of.st_size, err);
    close(from);
    // Others reach it through us, so that it need not be handed down to them.
    CHECK(str_format(copy, sizeof copy, "/proc/%d/fd/%d", getpid(), sealed->fd));
    if (!rc)
        rc = check_copy(sealed->fd, copy, err);
    if (!rc)
        rc = name_copy(sealed, copy, err);
    if (rc)
        drop_copy(sealed);
    return rc;
}

int sealed_new(const char *path, const char *link, struct sealed **out, struct err *err)
{
    struct sealed *sealed = MEM_NEW(struct sealed);
    sealed->path = str_dup(path);
    sealed->link = str_dup(link);
    sealed->fd = -1;
    int rc = make_copy(sealed, err);
    if (rc) {
        sealed_free(sealed);
        return rc;
    }
    *out = sealed;
    return 0;
}

void sealed_free(struct sealed *sealed)
{
    if (!sealed)
        return;
    unlink(sealed->link);
    drop_copy(sealed);
    free(sealed->path);
    free(sealed->link);
    free(sealed);
}

const char *sealed_path(struct sealed *sealed)
{
    struct stat now;
    if (stat(sealed->path, &now) < 0 || !is_same(&now, &sealed->of)) {
        struct err ignored = ERR_INIT; // then it runs as it is
        drop_copy(sealed);
        make_copy(sealed, &ignored);
    }
    return sealed->fd < 0 ? sealed->path : sealed->link;
}
