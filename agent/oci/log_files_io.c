#include "agent/oci/log_files_io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

#define PIECE_BYTES   (64u << 10)
#define COMMENT_BYTES 64
// zlib's word for "with a gzip head", added to the size of its window.
#define GZIP_WINDOW (MAX_WBITS + 16)

// ---- names --------------------------------------------------------------------------------------

static bool name_of(const char *path, unsigned age, bool packed, char out[LOG_PATH_BYTES])
{
    if (age == 0)
        return !packed && str_copy(out, LOG_PATH_BYTES, path);
    return str_format(out, LOG_PATH_BYTES, "%s.%u%s", path, age, packed ? ".gz" : "");
}

static int open_name(const char *path, unsigned age, bool packed)
{
    char name[LOG_PATH_BYTES];
    return name_of(path, age, packed, name) ? open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
}

// ---- packing ------------------------------------------------------------------------------------

static int64_t ended_ns(const struct stat *st)
{
    return st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec;
}

// What a packed file's head tells of the file it was; nothing: zeroes.
static void read_head(struct log_file *file)
{
    unsigned char head[256], comment[COMMENT_BYTES] = {0};
    gz_header header = {.comment = comment, .comm_max = sizeof comment - 1};
    z_stream stream = {0};
    ssize_t got = pread(file->fd, head, sizeof head, 0);
    if (got <= 0 || inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
        return;
    unsigned char none;
    stream.next_in = head;
    stream.avail_in = (unsigned)got;
    stream.next_out = &none;
    inflateGetHeader(&stream, &header);
    inflate(&stream, Z_BLOCK);
    if (header.done == 1 && sscanf((const char *)comment, "inode %" SCNu64 " ended %" SCNd64,
                                   &file->number, &file->ended_ns) != 2)
        file->number = 0;
    inflateEnd(&stream);
}

static int write_all(int fd, const unsigned char *bytes, size_t size, struct err *err)
{
    while (size) {
        ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return err_set_errno(err, put < 0 ? errno : EIO, "write a log file");
        bytes += put;
        size -= (size_t)put;
    }
    return 0;
}

// What goes in and out of zlib, piece by piece.
struct pump {
    z_stream stream;
    int (*step)(z_stream *stream, int flush);
    int in, out;
    off_t offset;
    uint64_t written;
    unsigned char piece[PIECE_BYTES], made[PIECE_BYTES];
};

// Runs until the stream's end. DATA_LOSS where it has none, or is no stream.
static int pump_run(struct pump *pump, struct err *err)
{
    int state = Z_OK, rc = 0;
    while (state != Z_STREAM_END && !rc) {
        if (!pump->stream.avail_in) {
            ssize_t got = pread(pump->in, pump->piece, sizeof pump->piece, pump->offset);
            if (got < 0)
                return err_set_errno(err, errno, "read a log file");
            pump->offset += got;
            pump->stream.next_in = pump->piece;
            pump->stream.avail_in = (unsigned)got;
        }
        pump->stream.next_out = pump->made;
        pump->stream.avail_out = sizeof pump->made;
        state = pump->step(&pump->stream, pump->stream.avail_in ? Z_NO_FLUSH : Z_FINISH);
        size_t made = sizeof pump->made - pump->stream.avail_out;
        pump->written += made;
        if ((state != Z_OK && state != Z_STREAM_END) || pump->written > LOG_UNPACKED_BYTES)
            return err_set(err, ERR_DATA_LOSS, "a packed log file is damaged");
        rc = write_all(pump->out, pump->made, made, err);
    }
    return rc;
}

int log_file_unpack(const char *path, int packed, int *fd, struct err *err)
{
    char folder[LOG_PATH_BYTES];
    str_copy(folder, sizeof folder, path);
    char *slash = strrchr(folder, '/');
    CHECK(slash);
    *slash = '\0';
    *fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd < 0)
        return err_set_errno(err, errno, "unpack %s", path);
    struct pump *pump = MEM_NEW(struct pump);
    pump->step = inflate;
    pump->in = packed;
    pump->out = *fd;
    int rc = inflateInit2(&pump->stream, GZIP_WINDOW) == Z_OK
                 ? pump_run(pump, err)
                 : err_set(err, ERR_INTERNAL, "zlib does not start");
    inflateEnd(&pump->stream);
    free(pump);
    if (rc) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

int log_file_pack(const struct log_file *file, int out, struct err *err)
{
    char comment[COMMENT_BYTES];
    CHECK(!file->packed);
    struct stat st;
    if (fstat(file->fd, &st) < 0)
        return err_set_errno(err, errno, "look at a log file");
    CHECK(str_format(comment, sizeof comment, "inode %" PRIu64 " ended %" PRId64, file->number,
                     ended_ns(&st)));
    gz_header header = {.comment = (unsigned char *)comment, .os = 3}; // a Unix
    struct pump *pump = MEM_NEW(struct pump);
    pump->step = deflate;
    pump->in = file->fd;
    pump->out = out;
    int rc = 0;
    if (deflateInit2(&pump->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK ||
        deflateSetHeader(&pump->stream, &header) != Z_OK)
        rc = err_set(err, ERR_INTERNAL, "zlib does not start");
    if (!rc)
        rc = pump_run(pump, err);
    deflateEnd(&pump->stream);
    free(pump);
    return rc;
}

void log_file_replace(const char *path, const struct log_file *file, const char *copy)
{
    char plain[LOG_PATH_BYTES], packed[LOG_PATH_BYTES];
    struct stat st;
    for (unsigned age = 1; age < LOG_FILES_MAX; age++) {
        if (!name_of(path, age, false, plain) || !name_of(path, age, true, packed) ||
            stat(plain, &st) < 0 || st.st_ino != file->number)
            continue;
        if (rename(copy, packed) == 0)
            unlink(plain);
        return;
    }
    unlink(copy); // rotated or taken away meanwhile
}

// ---- opening ------------------------------------------------------------------------------------

bool log_file_open(const char *path, unsigned age, struct log_file *out)
{
    struct stat st;
    *out = (struct log_file){.fd = open_name(path, age, false)};
    if (out->fd < 0) {
        out->fd = open_name(path, age, true);
        out->packed = out->fd >= 0;
    }
    if (out->fd < 0)
        return false;
    out->was_packed = out->packed;
    if (out->packed)
        read_head(out);
    else
        out->number = fstat(out->fd, &st) == 0 ? st.st_ino : 0;
    return true;
}

// Whether the two are one file. While `own` is open nobody else gets its inode; once it is packed
// that inode may be another's, and the time tells them apart.
static bool same_file(const struct log_file *own, const struct log_file *other)
{
    struct stat st;
    if (own->number != other->number || (own->was_packed && !other->packed))
        return false;
    if (!other->packed)
        return true;
    int64_t ended = own->ended_ns;
    if (!own->was_packed)
        ended = fstat(own->fd, &st) == 0 ? ended_ns(&st) : 0;
    return ended == other->ended_ns;
}

bool log_file_next(const char *path, const struct log_file *file, struct log_file *out)
{
    for (unsigned age = 0; age < LOG_FILES_MAX; age++) {
        struct log_file other;
        if (!log_file_open(path, age, &other))
            continue;
        bool same = same_file(file, &other);
        close(other.fd);
        if (same)
            return age > 0 && log_file_open(path, age - 1, out);
    }
    // Ours was rotated away altogether: go on with the newest there is.
    return log_file_open(path, 0, out);
}

// ---- rotation -----------------------------------------------------------------------------------

static int shift(const char *path, unsigned age, bool packed, struct err *err)
{
    char from[LOG_PATH_BYTES], to[LOG_PATH_BYTES];
    if (!name_of(path, age - 1, packed, from))
        return age == 1 && packed ? 0 : err_set(err, ERR_INVALID_ARGUMENT, "path is too long");
    if (!name_of(path, age, packed, to))
        return err_set(err, ERR_INVALID_ARGUMENT, "path of log is too long");
    if (rename(from, to) < 0 && errno != ENOENT)
        return err_set_errno(err, errno, "rotate log %s", path);
    return 0;
}

bool logs_rotate(const char *path, uint64_t bytes_max, unsigned files_max, struct err *err)
{
    struct stat st;
    char last[LOG_PATH_BYTES];
    if (!bytes_max || stat(path, &st) < 0 || (uint64_t)st.st_size <= bytes_max)
        return false;
    files_max = files_max < 1 ? 1 : files_max > LOG_FILES_MAX ? LOG_FILES_MAX : files_max;
    if (files_max == 1)
        return unlink(path) == 0;
    // The oldest goes, in whichever form it is; the one that takes its place may have the other.
    for (int packed = 0; packed < 2; packed++)
        if (name_of(path, files_max - 1, packed, last))
            unlink(last);
    for (unsigned age = files_max - 1; age > 0; age--)
        if (shift(path, age, false, err) || shift(path, age, true, err))
            return false;
    return true;
}

void logs_remove(const char *path)
{
    char name[LOG_PATH_BYTES];
    for (unsigned age = 0; age < LOG_FILES_MAX; age++)
        for (int packed = 0; packed < 2; packed++)
            if (name_of(path, age, packed, name))
                unlink(name);
    if (str_format(name, sizeof name, "%s" LOG_COPY_SUFFIX, path))
        unlink(name);
}
