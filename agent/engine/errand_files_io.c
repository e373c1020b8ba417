// Files that errands carry: a body into a file, and a file into an answer. Both are bounded by the
// disk alone, and neither side waits for the other with more than one piece in memory.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/engine/errand_files.h"
#include "proto/base/check.h"
#include "proto/base/entropy_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

#define PIECE_BYTES (128 * 1024)

static struct errand_files *files_of(struct errand *errand)
{
    return CONTAINER_OF(errand, struct errand_files, errand);
}

static void files_fini(struct errand *errand)
{
    struct errand_files *files = files_of(errand);
    if (files->fd >= 0)
        close(files->fd);
    if (*files->path)
        unlink(files->path);
    if (files->fini)
        files->fini(files);
}

// ---- up ----------------------------------------------------------------------------------------

static void up_body(struct errand *errand, const uint8_t *bytes, size_t size)
{
    struct errand_files *files = files_of(errand);
    while (size > 0 && !files->err.code) {
        ssize_t wrote = write(files->fd, bytes, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0) {
            err_set_errno(&files->err, errno, "keep the archive");
            return;
        }
        bytes += wrote;
        size -= (size_t)wrote;
    }
}

static void up_end(struct errand *errand)
{
    struct errand_files *files = files_of(errand);
    if (files->fd >= 0)
        close(files->fd);
    files->fd = -1;
    if (files->err.code)
        request_fail(errand->request, 500, "%s", files->err.message);
    else
        files->uploaded(files);
}

static void down_drain(struct errand *errand);

int errand_files_init(struct errand_files *files, const char *dir, struct err *err)
{
    struct id id = entropy_id();
    files->fd = -1;
    files->errand.fini = files_fini;
    files->errand.drain = down_drain;
    if (!str_format(files->path, sizeof files->path, "%s/%s", dir, id.text)) {
        files->path[0] = '\0';
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the path of the folder for archives is too long");
    }
    return 0;
}

int errand_upload(struct errand_files *files, void (*uploaded)(struct errand_files *files),
                  struct err *err)
{
    files->uploaded = uploaded;
    files->fd = open(files->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (files->fd < 0)
        return err_set_errno(err, errno, "make %s", files->path);
    files->errand.body = up_body;
    files->errand.body_end = up_end;
    return 0;
}

// ---- down --------------------------------------------------------------------------------------

static void down_drain(struct errand *errand)
{
    struct errand_files *files = files_of(errand);
    struct request *request = errand->request;
    uint8_t piece[PIECE_BYTES];
    if (!files->sending)
        return;
    while (request_room(request) > 0) {
        ssize_t got = read(files->fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            files->sending = false;
            request_stream_abort(request);
            return;
        }
        if (got == 0) {
            files->sending = false;
            request_stream_end(request);
            return;
        }
        request_stream_write(request, piece, (size_t)got);
    }
}

void errand_download(struct errand_files *files, const char *type)
{
    struct request *request = files->errand.request;
    files->fd = open(files->path, O_RDONLY | O_CLOEXEC);
    if (files->fd < 0) {
        request_fail(request, 500, "the archive cannot be read: %s", strerror(errno));
        return;
    }
    files->sending = true;
    request_stream(request, 200, type);
    down_drain(&files->errand);
}
