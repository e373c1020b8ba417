// Reading a container's log: all files are opened at the start, oldest first, so that a rotation in
// between takes nothing away; each turn of the loop reads one piece. A follower looks for more by a
// timer and recognises a rotation by the file's number.
#include "agent/oci/logs_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

#define READER_MAGIC 0x6c6f6773u
#define PIECE_BYTES  (64u << 10)
// conmon cuts lines at 8 KB; anything much longer is no log of its making.
#define LINE_BYTES_MAX (256u << 10)
#define FOLLOW_MS      100
#define HEAD_BYTES     64
#define PATH_BYTES     4096

struct logs_reader {
    unsigned magic;
    struct loop *loop;
    char *path;
    struct logs_query query;
    const struct logs_events *events;
    void *owner;
    int fds[LOGS_FILES_MAX]; // those still to be read, oldest first
    size_t fds_count;
    size_t now; // the one being read
    off_t offset;
    struct buf lines; // read, not yet given
    size_t given;     // of those
    bool positioned;
    bool paused;
    bool finished; // the container ended: no more will come
    bool over;     // `ended` was called
    bool inside;   // in a callback: closing waits
    bool closed;
    struct err err;
    struct loop_later pump;
    struct loop_timer timer;
};

static int path_of(const char *path, unsigned number, char out[PATH_BYTES])
{
    bool ok = number ? str_format(out, PATH_BYTES, "%s.%u", path, number)
                     : str_copy(out, PATH_BYTES, path);
    return ok ? 0 : -1;
}

// ---- where to begin: the last lines -------------------------------------------------------------

static bool stream_wanted(const struct logs_reader *reader, enum log_stream stream)
{
    if (!reader->query.out && !reader->query.err)
        return true;
    return stream == LOG_STREAM_STDOUT ? reader->query.out : reader->query.err;
}

// Whether the line that starts at `offset` ends a line of the container on a wanted stream.
static bool counts(const struct logs_reader *reader, int fd, off_t offset)
{
    char head[HEAD_BYTES + 1];
    struct log_line line;
    ssize_t got = pread(fd, head, HEAD_BYTES, offset);
    if (got <= 0)
        return false;
    char *end = memchr(head, '\n', (size_t)got);
    return logline_parse(head, end ? (size_t)(end - head) : (size_t)got, &line) && !line.partial &&
           stream_wanted(reader, line.stream);
}

// Where the line after the one at `offset` starts.
static off_t after_line(int fd, off_t offset)
{
    char piece[4096];
    for (;;) {
        ssize_t got = pread(fd, piece, sizeof piece, offset);
        if (got <= 0)
            return offset;
        char *newline = memchr(piece, '\n', (size_t)got);
        if (newline)
            return offset + (newline - piece) + 1;
        offset += got;
    }
}

// Walks back from the file's end until `*left` lines were seen. True: reading begins at *start.
static bool seek_back(const struct logs_reader *reader, int fd, int64_t *left, off_t *start)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return false;
    char *piece = mem_alloc(PIECE_BYTES);
    off_t end = st.st_size;
    bool found = false;
    // Each line start but the first lies right after a newline; the newline at the very end of the
    // file starts nothing.
    while (end > 0 && !found) {
        size_t size = end > (off_t)PIECE_BYTES ? PIECE_BYTES : (size_t)end;
        off_t base = end - (off_t)size;
        if (pread(fd, piece, size, base) != (ssize_t)size)
            break;
        for (size_t i = size; i-- > 0 && !found;) {
            off_t line = base + (off_t)i + 1;
            if (piece[i] != '\n' || line >= st.st_size || !counts(reader, fd, line))
                continue;
            // One more than asked for was seen: what follows this line is the answer.
            if ((*left)-- == 0) {
                *start = after_line(fd, line);
                found = true;
            }
        }
        end = base;
    }
    if (!found && counts(reader, fd, 0) && (*left)-- == 0) {
        *start = after_line(fd, 0);
        found = true;
    }
    free(piece);
    return found;
}

static void position(struct logs_reader *reader)
{
    reader->positioned = true;
    int64_t left = reader->query.tail;
    if (left < 0)
        return;
    for (size_t i = reader->fds_count; i-- > 0;) {
        off_t start;
        if (!seek_back(reader, reader->fds[i], &left, &start))
            continue;
        reader->now = i;
        reader->offset = start;
        return;
    }
}

// ---- giving lines -------------------------------------------------------------------------------

static void reader_free(struct logs_reader *reader)
{
    for (size_t i = 0; i < reader->fds_count; i++)
        if (reader->fds[i] >= 0)
            close(reader->fds[i]);
    loop_later_cancel(&reader->pump);
    loop_timer_stop(&reader->timer);
    buf_fini(&reader->lines);
    free(reader->path);
    MAGIC_CLEAR(reader);
    free(reader);
}

static void finish(struct logs_reader *reader)
{
    if (reader->over)
        return;
    reader->over = true;
    reader->inside = true;
    if (reader->events->ended)
        reader->events->ended(reader->owner, reader->err.code ? &reader->err : NULL);
    reader->inside = false;
    if (reader->closed)
        reader_free(reader);
}

// Gives whole lines from the buffer. False when it must stop: paused, closed or past `until`.
static bool give(struct logs_reader *reader)
{
    while (!reader->paused && !reader->closed) {
        char *at = (char *)reader->lines.data + reader->given;
        size_t left = reader->lines.len - reader->given;
        char *end = left ? memchr(at, '\n', left) : NULL;
        if (!end)
            break;
        reader->given += (size_t)(end - at) + 1;
        struct log_line line;
        if (!logline_parse(at, (size_t)(end - at), &line))
            continue;
        if (reader->query.until.ns && wall_before(reader->query.until, line.at)) {
            reader->finished = true;
            reader->query.follow = false;
            return false;
        }
        if (!stream_wanted(reader, line.stream) ||
            (reader->query.since.ns && wall_before(line.at, reader->query.since)))
            continue;
        reader->inside = true;
        reader->events->line(reader->owner, &line);
        reader->inside = false;
    }
    buf_consume(&reader->lines, reader->given);
    reader->given = 0;
    return !reader->paused && !reader->closed;
}

// The file that followed ours after one or more rotations; -1 when ours is still the newest.
static int next_file(const struct logs_reader *reader)
{
    struct stat own, other;
    char path[PATH_BYTES];
    if (fstat(reader->fds[reader->now], &own) < 0)
        return -1;
    for (unsigned i = 0; i < LOGS_FILES_MAX; i++) {
        if (path_of(reader->path, i, path) != 0 || stat(path, &other) < 0)
            continue;
        if (other.st_ino == own.st_ino && other.st_dev == own.st_dev)
            return i == 0 || path_of(reader->path, i - 1, path) != 0
                       ? -1
                       : open(path, O_RDONLY | O_CLOEXEC);
    }
    // Ours was rotated away altogether: go on with the newest there is.
    return path_of(reader->path, 0, path) == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

// Reads one piece. 1: something came; 0: nothing more for now; -1: failed.
static int read_piece(struct logs_reader *reader)
{
    while (reader->now < reader->fds_count) {
        size_t before = reader->lines.len;
        char *room = buf_extend(&reader->lines, PIECE_BYTES);
        if (!room) {
            err_set(&reader->err, ERR_DATA_LOSS, "log file %s holds no lines", reader->path);
            return -1;
        }
        ssize_t got = pread(reader->fds[reader->now], room, PIECE_BYTES, reader->offset);
        reader->lines.len = before + (got > 0 ? (size_t)got : 0);
        if (got < 0) {
            err_set_errno(&reader->err, errno, "read %s", reader->path);
            return -1;
        }
        if (got > 0) {
            reader->offset += got;
            return 1;
        }
        if (reader->now + 1 == reader->fds_count)
            return 0;
        close(reader->fds[reader->now]);
        reader->fds[reader->now] = -1;
        reader->now++;
        reader->offset = 0;
    }
    return 0;
}

// At the end of the newest file we know: is there a newer one?
static bool step_on(struct logs_reader *reader)
{
    char path[PATH_BYTES];
    int fd = -1;
    if (!reader->fds_count) {
        if (path_of(reader->path, 0, path) == 0)
            fd = open(path, O_RDONLY | O_CLOEXEC);
    } else {
        fd = next_file(reader);
    }
    if (fd < 0)
        return false;
    if (reader->fds_count && reader->fds[reader->now] >= 0)
        close(reader->fds[reader->now]);
    reader->fds[0] = fd;
    reader->fds_count = 1;
    reader->now = 0;
    reader->offset = 0;
    return true;
}

static void pump(struct loop_later *later)
{
    struct logs_reader *reader = CONTAINER_OF(later, struct logs_reader, pump);
    MAGIC_CHECK(reader, READER_MAGIC);
    if (reader->over || reader->paused)
        return;
    if (!reader->positioned)
        position(reader);
    bool finished = reader->finished;
    int got = 1;
    if (give(reader)) {
        got = read_piece(reader);
        if (got == 0 && step_on(reader))
            got = 1;
    }
    if (reader->closed) {
        reader_free(reader);
        return;
    }
    bool past = reader->finished && !reader->query.follow && !finished;
    if (got < 0 || past) {
        finish(reader);
        return;
    }
    if (reader->paused)
        return;
    if (got) {
        loop_timer_start(&reader->timer, 0);
    } else if (!reader->query.follow || finished) {
        finish(reader);
    } else if (reader->query.until.ns && wall_before(reader->query.until, wall_now())) {
        finish(reader);
    } else {
        loop_timer_start(&reader->timer, FOLLOW_MS);
    }
}

static void timer_fired(struct loop_timer *timer)
{
    struct logs_reader *reader = CONTAINER_OF(timer, struct logs_reader, timer);
    pump(&reader->pump);
}

// ---- calls --------------------------------------------------------------------------------------

static void open_files(struct logs_reader *reader)
{
    char path[PATH_BYTES];
    for (unsigned i = LOGS_FILES_MAX; i-- > 0;) {
        int fd = path_of(reader->path, i, path) == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (fd >= 0)
            reader->fds[reader->fds_count++] = fd;
    }
}

int logs_open(struct loop *loop, const char *path, const struct logs_query *query,
              const struct logs_events *events, void *owner, struct logs_reader **out,
              struct err *err)
{
    CHECK(events && events->line);
    if (strlen(path) + 16 > PATH_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "path of log is too long");
    struct logs_reader *reader = MEM_NEW(struct logs_reader);
    MAGIC_SET(reader, READER_MAGIC);
    reader->loop = loop;
    reader->path = str_dup(path);
    reader->query = *query;
    reader->events = events;
    reader->owner = owner;
    buf_init(&reader->lines, LINE_BYTES_MAX + PIECE_BYTES);
    loop_later_init(&reader->pump, loop, pump);
    loop_timer_init(&reader->timer, loop, timer_fired);
    open_files(reader);
    loop_later_ask(&reader->pump);
    *out = reader;
    return 0;
}

void logs_pause(struct logs_reader *reader, bool pause)
{
    MAGIC_CHECK(reader, READER_MAGIC);
    reader->paused = pause;
    if (!pause && !reader->over)
        loop_later_ask(&reader->pump);
}

void logs_finish(struct logs_reader *reader)
{
    MAGIC_CHECK(reader, READER_MAGIC);
    reader->finished = true;
    if (!reader->over)
        loop_later_ask(&reader->pump);
}

void logs_close(struct logs_reader *reader)
{
    MAGIC_CHECK(reader, READER_MAGIC);
    CHECK(!reader->closed);
    reader->closed = true;
    if (!reader->inside)
        reader_free(reader);
}

// ---- rotation -----------------------------------------------------------------------------------

bool logs_rotate(const char *path, uint64_t bytes_max, unsigned files_max, struct err *err)
{
    struct stat st;
    if (!bytes_max || stat(path, &st) < 0 || (uint64_t)st.st_size <= bytes_max)
        return false;
    files_max = files_max < 1 ? 1 : files_max > LOGS_FILES_MAX ? LOGS_FILES_MAX : files_max;
    char from[PATH_BYTES], to[PATH_BYTES];
    if (files_max == 1)
        return unlink(path) == 0;
    for (unsigned i = files_max - 1; i > 0; i--) {
        if (path_of(path, i - 1, from) != 0 || path_of(path, i, to) != 0)
            return false;
        if (rename(from, to) < 0 && errno != ENOENT) {
            err_set_errno(err, errno, "rotate log %s", path);
            return false;
        }
    }
    return true;
}

void logs_remove(const char *path)
{
    char name[PATH_BYTES];
    for (unsigned i = 0; i < LOGS_FILES_MAX; i++)
        if (path_of(path, i, name) == 0)
            unlink(name);
}
