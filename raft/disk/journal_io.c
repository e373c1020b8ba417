#include "raft/disk/journal_io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

static int fail(int code, const char *what, struct err *err)
{
    if (code == ENOSPC || code == EDQUOT)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "%s: the disk is full", what);
    if (code == EACCES)
        return err_set_errno(err, code, "%s", what);
    return err_set(err, ERR_DATA_LOSS, "%s: %s", what, strerror(code));
}

int journal_file_open(struct journal_file *file, const char *dir, const uint64_t *bytes,
                      struct err *err)
{
    *file = (struct journal_file){.fd = -1};
    buf_init(&file->record, journal_record_bytes(JOURNAL_PAYLOAD_MAX));
    char *path = str_printf("%s/" JOURNAL_FILE, dir);
    file->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (bytes ? 0 : O_CREAT | O_TRUNC), 0600);
    int code = file->fd < 0 ? errno : 0;
    free(path);
    if (code)
        return fail(code, "open log journal", err);
    struct stat stat;
    if (fstat(file->fd, &stat) != 0)
        return fail(errno, "open log journal", err);
    if (bytes && (uint64_t)stat.st_size < *bytes)
        return err_set(err, ERR_DATA_LOSS,
                       "log journal is cut short: %jd of %" PRIu64 " bytes are left",
                       (intmax_t)stat.st_size, *bytes);
    // What was never said to be in use was never used.
    file->bytes = bytes ? (size_t)*bytes : 0;
    return 0;
}

void journal_file_close(struct journal_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    buf_fini(&file->record);
}

int journal_file_read(struct journal_file *file, struct buf *out, struct err *err)
{
    size_t left = file->bytes, from = 0;
    if (left == 0)
        return 0;
    uint8_t *at = buf_extend(out, left);
    if (!at)
        return err_set(err, ERR_DATA_LOSS, "log journal of %zu bytes is too large", left);
    while (left > 0) {
        ssize_t got = pread(file->fd, at + from, left, (off_t)from);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail(got ? errno : EIO, "read log journal", err);
        from += (size_t)got;
        left -= (size_t)got;
    }
    return 0;
}

// 0 or an errno code.
static int write_at(int fd, const uint8_t *bytes, size_t size, size_t at)
{
    while (size > 0) {
        ssize_t wrote = pwrite(fd, bytes, size, (off_t)at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return wrote ? errno : EIO;
        bytes += wrote;
        size -= (size_t)wrote;
        at += (size_t)wrote;
    }
    return 0;
}

// Zeros are written and not only promised (fallocate): the first write to a promised block changes
// what the file system knows of it, and then a flush is not one of data alone.
int journal_file_extend(struct journal_file *file, const char *dir, struct err *err)
{
    if (file->bytes >= JOURNAL_BYTES)
        return 0;
    static const uint8_t zeros[65536];
    static_assert(JOURNAL_BYTES % JOURNAL_PAGE_BYTES == 0, "whole pages");
    int code = 0;
    size_t at = file->bytes;
    while (!code && at < JOURNAL_BYTES) {
        size_t part = JOURNAL_BYTES - at < sizeof zeros ? JOURNAL_BYTES - at : sizeof zeros;
        code = write_at(file->fd, zeros, part, at);
        at += part;
    }
    if (code == ENOSPC || code == EDQUOT) {
        // Give back what a full disk needs elsewhere.
        if (ftruncate(file->fd, (off_t)file->bytes) != 0)
            return fail(errno, "cut log journal", err);
        code = 0;
        at = file->bytes;
    }
    if (!code && fsync(file->fd) != 0)
        code = errno;
    if (code)
        return fail(code, "extend log journal", err);
    file->bytes = at;
    return dir_sync(dir, err);
}

void journal_file_restart(struct journal_file *file, uint64_t generation)
{
    CHECK(generation > file->generation);
    file->generation = generation;
    file->number = 0;
    file->at = 0;
    file->used = false;
    file->shut = false;
}

bool journal_file_has_room(const struct journal_file *file, size_t payload)
{
    return !file->shut && payload <= JOURNAL_PAYLOAD_MAX &&
           journal_record_bytes(payload) <= file->bytes - file->at;
}

int journal_file_append(struct journal_file *file, const struct buf *payload, struct err *err)
{
    CHECK(journal_file_has_room(file, payload->len));
    buf_clear(&file->record);
    journal_put(file->generation, file->number, payload->data, payload->len, &file->record);
    CHECK(buf_ok(&file->record));
    file->used = true;
    int code = write_at(file->fd, file->record.data, file->record.len, file->at);
    if (code) {
        // A part of it may lie there. Another record in its place could look like a damaged one.
        file->shut = true;
        return fail(code, "write log journal", err);
    }
    if (fdatasync(file->fd) != 0) {
        file->shut = true;
        return err_set(err, ERR_DATA_LOSS, "sync log journal: %s", strerror(errno));
    }
    file->at += file->record.len;
    file->number++;
    if (file->record.cap > JOURNAL_BYTES / 64)
        buf_fini(&file->record);
    return 0;
}
