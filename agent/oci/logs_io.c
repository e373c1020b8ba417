// Reading a container's log: all files are opened at the start, oldest first, so that a rotation in
// between takes nothing away; each turn of the loop reads one piece. A packed file is unpacked by a
// worker when its turn comes, and the reader waits for that. A follower looks for more by a timer
// and recognises a rotation by the file's number.
#include "agent/oci/logs_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/oci/log_files_io.h"
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

struct logs_reader {
    unsigned magic;
    struct loop *loop;
    char *path;
    struct logs_query query;
    const struct logs_events *events;
    void *owner;
    struct log_file files[LOG_FILES_MAX]; // oldest first; fd -1: it was read
    size_t files_count;
    size_t now; // the one being read
    off_t offset;
    size_t unsought; // files that were not looked through for the place to begin at
    int64_t sought;  // lines still to be found there
    struct loop_work unpacking;
    struct log_file *unpacked; // under way; NULL: nothing is
    int plain;                 // the worker's answer
    struct err unpack_err;
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

static bool unpack(struct logs_reader *reader, struct log_file *file);

// Looks for the place to begin at. False: a file is being unpacked for that.
static bool position(struct logs_reader *reader)
{
    while (!reader->positioned && reader->unsought && reader->query.tail >= 0) {
        struct log_file *file = &reader->files[reader->unsought - 1];
        if (unpack(reader, file))
            return false;
        reader->unsought--;
        off_t start;
        if (!seek_back(reader, file->fd, &reader->sought, &start))
            continue;
        reader->now = reader->unsought;
        reader->offset = start;
        break;
    }
    reader->positioned = true;
    return true;
}

// ---- giving lines -------------------------------------------------------------------------------

static void reader_free(struct logs_reader *reader)
{
    for (size_t i = 0; i < reader->files_count; i++)
        if (reader->files[i].fd >= 0)
            close(reader->files[i].fd);
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

// Reads one piece. 1: something came, or will when a file is unpacked; 0: nothing more for now;
// -1: failed.
static int read_piece(struct logs_reader *reader)
{
    while (reader->now < reader->files_count) {
        struct log_file *file = &reader->files[reader->now];
        if (unpack(reader, file))
            return 1;
        size_t before = reader->lines.len;
        char *room = buf_extend(&reader->lines, PIECE_BYTES);
        if (!room) {
            err_set(&reader->err, ERR_DATA_LOSS, "log file %s holds no lines", reader->path);
            return -1;
        }
        ssize_t got = pread(file->fd, room, PIECE_BYTES, reader->offset);
        reader->lines.len = before + (got > 0 ? (size_t)got : 0);
        if (got < 0) {
            err_set_errno(&reader->err, errno, "read %s", reader->path);
            return -1;
        }
        if (got > 0) {
            reader->offset += got;
            return 1;
        }
        if (reader->now + 1 == reader->files_count)
            return 0;
        close(file->fd);
        file->fd = -1;
        reader->now++;
        reader->offset = 0;
    }
    return 0;
}

// At the end of the newest file we know: is there a newer one?
static bool step_on(struct logs_reader *reader)
{
    struct log_file next;
    const struct log_file *file = &reader->files[reader->now];
    if (reader->files_count ? !log_file_next(reader->path, file, &next)
                            : !log_file_open(reader->path, 0, &next))
        return false;
    if (reader->files_count && file->fd >= 0)
        close(file->fd);
    reader->files[0] = next;
    reader->files_count = 1;
    reader->now = 0;
    reader->offset = 0;
    return true;
}

static void pump(struct loop_later *later)
{
    struct logs_reader *reader = CONTAINER_OF(later, struct logs_reader, pump);
    MAGIC_CHECK(reader, READER_MAGIC);
    if (reader->over || reader->paused || reader->unpacked || !position(reader))
        return;
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
    if (reader->paused || reader->unpacked)
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

// ---- unpacking ----------------------------------------------------------------------------------

static void unpack_work(struct loop_work *work)
{
    struct logs_reader *reader = CONTAINER_OF(work, struct logs_reader, unpacking);
    log_file_unpack(reader->path, reader->unpacked->fd, &reader->plain, &reader->unpack_err);
}

static void unpack_worked(struct loop_work *work)
{
    struct logs_reader *reader = CONTAINER_OF(work, struct logs_reader, unpacking);
    MAGIC_CHECK(reader, READER_MAGIC);
    struct log_file *file = reader->unpacked;
    reader->unpacked = NULL;
    if (!reader->unpack_err.code) {
        close(file->fd);
        file->fd = reader->plain;
        file->packed = false;
    }
    if (reader->closed) {
        reader_free(reader);
    } else if (reader->unpack_err.code) {
        err_copy(&reader->err, &reader->unpack_err);
        finish(reader);
    } else {
        loop_later_ask(&reader->pump);
    }
}

// True: a worker unpacks it, and the reader goes on when that is done.
static bool unpack(struct logs_reader *reader, struct log_file *file)
{
    CHECK(!reader->unpacked);
    if (!file->packed)
        return false;
    reader->unpacked = file;
    err_clear(&reader->unpack_err);
    loop_work_start(reader->loop, &reader->unpacking, unpack_work, unpack_worked);
    return true;
}

// ---- calls --------------------------------------------------------------------------------------

static void open_files(struct logs_reader *reader)
{
    for (unsigned age = LOG_FILES_MAX; age-- > 0;)
        if (log_file_open(reader->path, age, &reader->files[reader->files_count]))
            reader->files_count++;
    reader->unsought = reader->files_count;
    reader->sought = reader->query.tail;
}

int logs_open(struct loop *loop, const char *path, const struct logs_query *query,
              const struct logs_events *events, void *owner, struct logs_reader **out,
              struct err *err)
{
    CHECK(events && events->line);
    if (strlen(path) + 16 > LOG_PATH_BYTES)
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
    if (!reader->inside && !reader->unpacked)
        reader_free(reader);
}
