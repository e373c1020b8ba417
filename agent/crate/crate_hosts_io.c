// The hosts file of a crate that runs: a line for each network, which come and go. The container
// has the very file mounted, so it is changed where it is, and may have been written to from
// inside.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/oci/etc_files.h"
#include "agent/oci/runtime_io.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

// What `fd` holds, into `text`, which ends in NUL. False when that is too much, or holds one
// itself.
static bool read_text(int fd, char *text, size_t most)
{
    size_t size = 0;
    ssize_t got;
    while (size < most && (got = pread(fd, text + size, most - size, (off_t)size)) != 0) {
        if (got < 0 && errno != EINTR)
            return false;
        size += got > 0 ? (size_t)got : 0;
    }
    if (size == most)
        return false;
    text[size] = '\0';
    return strlen(text) == size;
}

static int change_text(const struct crate *crate, int fd, const char *address, bool there,
                       struct err *err)
{
    char id[13];
    struct buf out;
    struct stat what;
    char *text = mem_alloc(ETC_FILE_BYTES);
    buf_init(&out, ETC_FILE_BYTES);
    (void)str_format(id, sizeof id, "%.12s", crate->id);
    int rc = 0;
    if (fstat(fd, &what) < 0 || !S_ISREG(what.st_mode) || !read_text(fd, text, ETC_FILE_BYTES))
        rc = err_set(err, ERR_FAILED_PRECONDITION, "not a text of a hosts file's size");
    if (rc == 0)
        etc_hosts_change(text, str_or(config_str(crate->config, "Hostname"), id),
                         config_str(crate->config, "Domainname"), address, there, &out);
    if (rc == 0 && !buf_ok(&out))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "no room for another line");
    if (rc == 0 && (lseek(fd, 0, SEEK_SET) != 0 || file_write_all(fd, out.data, out.len) < 0 ||
                    ftruncate(fd, (off_t)out.len) < 0))
        rc = err_set_errno(err, errno, "write");
    buf_fini(&out);
    free(text);
    return rc;
}

void crate_hosts_change(const struct crate *crate, const struct ipnet *ip, bool there)
{
    char path[4096], address[IPNET_TEXT_BYTES];
    struct err err = ERR_INIT;
    const char *dir = runtime_dir(crates_runtime(crate->crates), crate->id);
    if (!ipnet_is_set(ip) || !dir || !str_format(path, sizeof path, "%s/etc/hosts", dir))
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int rc = fd < 0 ? err_set_errno(&err, errno, "open")
                    : change_text(crate, fd, ipnet_format_ip(ip, address), there, &err);
    if (fd >= 0)
        close(fd);
    if (rc)
        log_warn("a container's hosts file stays as it is", "container=%s err=\"%s\"", crate->id,
                 err.message);
}
