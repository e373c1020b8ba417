// The hosts file of a crate that runs, with a line for each network, which come and go, and its
// resolv.conf, which names the node's resolver while one of these has names. The container has the
// very files mounted, so they are changed where they are, and may have been written to from inside.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/crate/spec.h"
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

static int write_text(int fd, const struct buf *text, struct err *err)
{
    if (lseek(fd, 0, SEEK_SET) != 0 || file_write_all(fd, text->data, text->len) < 0 ||
        ftruncate(fd, (off_t)text->len) < 0)
        return err_set_errno(err, errno, "write");
    return 0;
}

// Has `change` make the new text of a file of its /etc from the present one; 0: it stays as it is.
// What cannot be done is logged.
static void
file_change(const struct crate *crate, const char *file,
            int (*change)(const char *text, void *ctx, struct buf *out, struct err *err), void *ctx)
{
    char path[4096];
    struct err err = ERR_INIT;
    struct stat what;
    struct buf out;
    const char *dir = runtime_dir(crates_runtime(crate->crates), crate->id);
    if (!dir || !str_format(path, sizeof path, "%s/etc/%s", dir, file))
        return;
    char *text = mem_alloc(ETC_FILE_BYTES);
    buf_init(&out, ETC_FILE_BYTES);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int rc = fd < 0 ? err_set_errno(&err, errno, "open") : 0;
    if (rc == 0 &&
        (fstat(fd, &what) < 0 || !S_ISREG(what.st_mode) || !read_text(fd, text, ETC_FILE_BYTES)))
        rc = err_set(&err, ERR_FAILED_PRECONDITION, "not a text of such a file's size");
    if (rc == 0)
        rc = change(text, ctx, &out, &err);
    if (rc > 0)
        rc = buf_ok(&out) ? write_text(fd, &out, &err)
                          : err_set(&err, ERR_RESOURCE_EXHAUSTED, "no room for another line");
    if (fd >= 0)
        close(fd);
    buf_fini(&out);
    free(text);
    if (rc < 0)
        log_warn("a file of a container stays as it is", "file=/etc/%s container=%s err=\"%s\"",
                 file, crate->id, err.message);
}

// ---- hosts --------------------------------------------------------------------------------------

struct hosts_change {
    const struct crate *crate;
    const char *address;
    bool there;
};

static int change_hosts(const char *text, void *ctx, struct buf *out, struct err *err)
{
    const struct hosts_change *change = ctx;
    const struct crate *crate = change->crate;
    char id[13];
    (void)err;
    (void)str_format(id, sizeof id, "%.12s", crate->id);
    etc_hosts_change(text, str_or(config_str(crate->config, "Hostname"), id),
                     config_str(crate->config, "Domainname"), change->address, change->there, out);
    return 1;
}

void crate_hosts_change(const struct crate *crate, const struct ipnet *ip, bool there)
{
    char address[IPNET_TEXT_BYTES];
    if (!ipnet_is_set(ip))
        return;
    struct hosts_change change = {crate, ipnet_format_ip(ip, address), there};
    file_change(crate, "hosts", change_hosts, &change);
}

// ---- resolv.conf --------------------------------------------------------------------------------

struct resolv_change {
    const struct crate *crate;
    bool answered;
};

// Its text with the node's resolver, or without.
static int resolv_text(const struct crate *crate, bool answered, struct arena *arena,
                       const char **out, struct err *err)
{
    struct buf host;
    containers_resolv(crate->crates->containers, &host);
    struct crate_plan plan = {.id = crate->id,
                              .config = crate->config,
                              .host = crate->host,
                              .resolv_conf = buf_cstr(&host),
                              .dns_server = answered ? CRATE_RESOLVER : NULL};
    int rc = crate_resolv_make(&plan, arena, out, err);
    buf_fini(&host);
    return rc;
}

// A text that is not as we would have written it before is somebody's own, and stays.
static int change_resolv(const char *text, void *ctx, struct buf *out, struct err *err)
{
    const struct resolv_change *change = ctx;
    const char *before, *after;
    struct arena arena;
    arena_init(&arena, 4 * ETC_FILE_BYTES);
    int rc = resolv_text(change->crate, !change->answered, &arena, &before, err);
    if (rc == 0)
        rc = resolv_text(change->crate, change->answered, &arena, &after, err);
    bool ours = rc == 0 && str_equal(text, before);
    if (ours)
        buf_put_str(out, after);
    arena_fini(&arena);
    return rc ? rc : ours;
}

void crate_resolv_change(const struct crate *crate, bool answered)
{
    struct resolv_change change = {crate, answered};
    file_change(crate, "resolv.conf", change_resolv, &change);
}
