#include "agent/oci/secret_io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// Room beside the files' own bytes: a page is the least that one takes.
#define PAGE_BYTES 4096

static int write_file(const char *dir, size_t number, const struct oci_file *file, struct err *err)
{
    char path[4096];
    if (!str_format(path, sizeof path, "%s/%zu", dir, number))
        return err_set(err, ERR_INVALID_ARGUMENT, "path of container state is too long");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, errno, "make file for %s", file->target);
    int rc = 0;
    size_t sent = 0;
    while (!rc && sent < file->size) {
        ssize_t put = write(fd, (const char *)file->data + sent, file->size - sent);
        if (put < 0 && errno != EINTR)
            rc = err_set_errno(err, errno, "write file for %s", file->target);
        else if (put > 0)
            sent += (size_t)put;
    }
    // The owner first: changing it clears set-id bits.
    if (!rc && (fchown(fd, file->uid, file->gid) < 0 || fchmod(fd, file->mode) < 0))
        rc = err_set_errno(err, errno, "set owner and mode of file for %s", file->target);
    close(fd);
    return rc;
}

int secret_mount(const char *dir, const struct oci_file *files, size_t files_count, struct err *err)
{
    CHECK(files_count <= OCI_FILES_MAX);
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    size_t bytes = PAGE_BYTES;
    for (size_t i = 0; i < files_count; i++)
        bytes += (files[i].size / PAGE_BYTES + 2) * PAGE_BYTES;
    char options[80];
    str_format(options, sizeof options, "mode=0700,size=%zu,nr_inodes=%zu", bytes, files_count + 8);
    if (mount("tmpfs", dir, "tmpfs", flags, options) < 0)
        return err_set_errno(err, errno, "mount tmpfs for secrets at %s", dir);
    int rc = 0;
    for (size_t i = 0; i < files_count && !rc; i++)
        rc = write_file(dir, i, &files[i], err);
    if (!rc && mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY | flags, options) < 0)
        rc = err_set_errno(err, errno, "make %s read-only", dir);
    if (rc)
        secret_unmount(dir, NULL);
    return rc;
}

int secret_unmount(const char *dir, struct err *err)
{
    // Detached: a container that still uses a file keeps it until it ends.
    if (umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
        return err_set_errno(err, errno, "unmount %s", dir);
    return 0;
}
