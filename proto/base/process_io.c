#include "proto/base/process_io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define PROCESS_MAGIC 0x70726f63u
// Descriptors to hand down are first copied above this, so that placing one at 3, 4, ... never
// overwrites another that is still to be placed.
#define FD_PARKING 100
// Least room to read into at once.
#define READ_BYTES 8192

// One pipe of the child's 0, 1 or 2.
struct stream {
    struct process *process;
    uv_poll_t poll;
    int fd; // -1: none
    bool polling;
    struct buf bytes; // collected, or still to be written
    size_t sent;
};

struct process {
    unsigned magic;
    struct loop *loop;
    pid_t pid;
    int pidfd;
    uv_poll_t exit_poll;
    struct stream in;
    struct stream out;
    struct stream err;
    struct loop_timer timeout;
    unsigned handles_open;
    int wait_status;
    bool timed_out;
    process_done *done;
    void *owner;
};

bool process_find(const char *name, char *out, size_t size)
{
    CHECK(name);
    if (strchr(name, '/'))
        return str_copy(out, size, name) && access(out, X_OK) == 0;
    const char *rest = PROCESS_PATH;
    struct str_part part;
    while (str_split(&rest, ':', &part)) {
        if (!str_format(out, size, "%.*s/%s", (int)part.len, part.at, name))
            continue;
        struct stat st;
        if (stat(out, &st) == 0 && S_ISREG(st.st_mode) && access(out, X_OK) == 0)
            return true;
    }
    out[0] = '\0';
    return false;
}

// ---- spawning --------------------------------------------------------------------------------

// The descriptors of one start: the child's ends, to be closed in the parent whatever happens.
struct spawn_fds {
    int child_stdio[3];
    int parked[PROCESS_FDS_MAX];
    size_t parked_count;
};

static void spawn_fds_close(struct spawn_fds *fds)
{
    for (int i = 0; i < 3; i++)
        if (fds->child_stdio[i] >= 0)
            close(fds->child_stdio[i]);
    for (size_t i = 0; i < fds->parked_count; i++)
        close(fds->parked[i]);
}

static int park(struct spawn_fds *fds, int fd, struct err *err)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, FD_PARKING);
    if (copy < 0)
        return err_set_errno(err, errno, "copy descriptor");
    CHECK(fds->parked_count < PROCESS_FDS_MAX);
    fds->parked[fds->parked_count++] = copy;
    return 0;
}

// A pipe between us and the child's descriptor `child_fd`; our end does not block.
static int open_pipe(struct spawn_fds *fds, int child_fd, int *ours, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set_errno(err, errno, "make pipe");
    int mine = child_fd == 0 ? 1 : 0;
    *ours = ends[mine];
    fcntl(*ours, F_SETFL, O_NONBLOCK);
    int parked = fcntl(ends[1 - mine], F_DUPFD_CLOEXEC, FD_PARKING);
    int errnum = errno;
    close(ends[1 - mine]);
    if (parked < 0)
        return err_set_errno(err, errnum, "copy descriptor");
    fds->child_stdio[child_fd] = parked;
    return 0;
}

static int open_stdio(struct process *process, const struct process_spec *spec,
                      struct spawn_fds *fds, struct err *err)
{
    if (spec->stdio) {
        for (int i = 0; i < 3; i++) {
            fds->child_stdio[i] = fcntl(spec->stdio[i], F_DUPFD_CLOEXEC, FD_PARKING);
            if (fds->child_stdio[i] < 0)
                return err_set_errno(err, errno, "copy descriptor");
        }
        return 0;
    }
    if (spec->input_bytes) {
        int rc = open_pipe(fds, 0, &process->in.fd, err);
        if (rc)
            return rc;
    } else {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null < 0)
            return err_set_errno(err, errno, "open /dev/null");
        fds->child_stdio[0] = fcntl(null, F_DUPFD_CLOEXEC, FD_PARKING);
        close(null);
    }
    int rc = open_pipe(fds, 1, &process->out.fd, err);
    return rc ? rc : open_pipe(fds, 2, &process->err.fd, err);
}

static int spawn(struct process *process, const struct process_spec *spec, const char *path,
                 const struct spawn_fds *fds, struct err *err)
{
    static const char *const default_env[] = {"PATH=" PROCESS_PATH, "LANG=C.UTF-8", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    CHECK(posix_spawn_file_actions_init(&actions) == 0);
    CHECK(posix_spawnattr_init(&attr) == 0);
    int bad = 0;
    for (int i = 0; i < 3; i++)
        bad |= posix_spawn_file_actions_adddup2(&actions, fds->child_stdio[i], i);
    for (size_t i = 0; i < fds->parked_count; i++)
        bad |= posix_spawn_file_actions_adddup2(&actions, fds->parked[i], 3 + (int)i);
    bad |= posix_spawn_file_actions_addclosefrom_np(&actions, 3 + (int)fds->parked_count);
    bad |= posix_spawn_file_actions_addchdir_np(&actions, spec->cwd ? spec->cwd : "/");
    sigset_t all;
    sigset_t none;
    sigfillset(&all);
    sigemptyset(&none);
    bad |= posix_spawnattr_setsigdefault(&attr, &all);
    bad |= posix_spawnattr_setsigmask(&attr, &none);
    bad |= posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
                                               POSIX_SPAWN_SETSIGMASK);
    CHECK(!bad);
    const char *const *env = spec->env ? spec->env : default_env;
    int errnum = posix_spawn(&process->pid, path, &actions, &attr, (char *const *)spec->argv,
                             (char *const *)env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    if (errnum)
        return err_set_errno(err, errnum, "start %s", path);
    return 0;
}

// ---- the life of a process -------------------------------------------------------------------

static void handle_closed(uv_handle_t *handle)
{
    struct process *process = handle->data;
    MAGIC_CHECK(process, PROCESS_MAGIC);
    CHECK(process->handles_open > 0);
    if (--process->handles_open)
        return;
    buf_put_u8(&process->out.bytes, 0);
    buf_put_u8(&process->err.bytes, 0);
    struct process_result result = {
        .timed_out = process->timed_out,
        .out = (const char *)process->out.bytes.data,
        .out_bytes = process->out.bytes.len - 1,
        .err = (const char *)process->err.bytes.data,
        .err_bytes = process->err.bytes.len - 1,
    };
    if (WIFSIGNALED(process->wait_status)) {
        result.signal = WTERMSIG(process->wait_status);
        result.exit_code = 128 + result.signal;
    } else {
        result.exit_code = WEXITSTATUS(process->wait_status);
    }
    process->done(process->owner, &result);
    buf_fini(&process->in.bytes);
    buf_fini(&process->out.bytes);
    buf_fini(&process->err.bytes);
    MAGIC_CLEAR(process);
    free(process);
}

static void stream_close(struct stream *stream)
{
    if (stream->fd < 0)
        return;
    uv_poll_stop(&stream->poll);
    uv_close((uv_handle_t *)&stream->poll, handle_closed);
    close(stream->fd);
    stream->fd = -1;
}

// Reads all there is now, keeping what fits. False at the end of the stream.
static bool stream_drain(struct stream *stream)
{
    char chunk[READ_BYTES];
    for (;;) {
        ssize_t got = read(stream->fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got <= 0)
            return false;
        // One byte of the limit stays free for the NUL.
        size_t room = stream->bytes.limit - 1 - stream->bytes.len;
        buf_put(&stream->bytes, chunk, (size_t)got < room ? (size_t)got : room);
    }
}

static void stream_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct stream *stream = CONTAINER_OF(poll, struct stream, poll);
    MAGIC_CHECK(stream->process, PROCESS_MAGIC);
    if (!stream_drain(stream))
        stream_close(stream);
}

static void stream_writable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct stream *stream = CONTAINER_OF(poll, struct stream, poll);
    MAGIC_CHECK(stream->process, PROCESS_MAGIC);
    while (stream->sent < stream->bytes.len) {
        ssize_t put =
            write(stream->fd, stream->bytes.data + stream->sent, stream->bytes.len - stream->sent);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN)
            return;
        if (put < 0)
            break; // it does not want its input: its exit status will tell
        stream->sent += (size_t)put;
    }
    stream_close(stream);
}

static void process_exited(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct process *process = poll->data;
    MAGIC_CHECK(process, PROCESS_MAGIC);
    pid_t got = waitpid(process->pid, &process->wait_status, WNOHANG);
    if (got == 0)
        return;
    CHECK(got == process->pid);
    if (process->out.fd >= 0)
        stream_drain(&process->out);
    if (process->err.fd >= 0)
        stream_drain(&process->err);
    loop_timer_stop(&process->timeout);
    stream_close(&process->in);
    stream_close(&process->out);
    stream_close(&process->err);
    uv_poll_stop(&process->exit_poll);
    uv_close((uv_handle_t *)&process->exit_poll, handle_closed);
    close(process->pidfd);
    process->pidfd = -1;
}

static void process_late(struct loop_timer *timer)
{
    struct process *process = CONTAINER_OF(timer, struct process, timeout);
    MAGIC_CHECK(process, PROCESS_MAGIC);
    process->timed_out = true;
    process_kill(process, SIGKILL);
}

static void poll_start(struct process *process, uv_poll_t *poll, int fd, int events, uv_poll_cb run)
{
    // libuv fails here only for descriptors that epoll refuses; pipes and pidfds are never such.
    CHECK(uv_poll_init(&process->loop->uv, poll, fd) == 0);
    poll->data = process;
    CHECK(uv_poll_start(poll, events, run) == 0);
    process->handles_open++;
}

static void stream_init(struct process *process, struct stream *stream, size_t limit)
{
    stream->process = process;
    stream->fd = -1;
    buf_init(&stream->bytes, limit);
}

static int start_failed(struct process *process, struct spawn_fds *fds, int rc)
{
    spawn_fds_close(fds);
    struct stream *streams[] = {&process->in, &process->out, &process->err};
    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        if (streams[i]->fd >= 0)
            close(streams[i]->fd);
        buf_fini(&streams[i]->bytes);
    }
    free(process);
    return rc;
}

int process_start(struct loop *loop, const struct process_spec *spec, process_done *done,
                  void *owner, struct process **out, struct err *err)
{
    CHECK(spec->argv && spec->argv[0]);
    CHECK(spec->fds_count <= PROCESS_FDS_MAX);
    CHECK(spec->input_bytes <= PROCESS_INPUT_BYTES);
    CHECK(done);
    char path[4096];
    if (!process_find(spec->argv[0], path, sizeof path))
        return err_set(err, ERR_NOT_FOUND, "program %s not found", spec->argv[0]);

    struct process *process = MEM_NEW(struct process);
    MAGIC_SET(process, PROCESS_MAGIC);
    process->loop = loop;
    process->done = done;
    process->owner = owner;
    stream_init(process, &process->in, PROCESS_INPUT_BYTES);
    stream_init(process, &process->out, spec->output_bytes_max + 1);
    stream_init(process, &process->err, spec->output_bytes_max + 1);
    struct spawn_fds fds = {.child_stdio = {-1, -1, -1}};
    int rc = 0;
    for (size_t i = 0; i < spec->fds_count && !rc; i++)
        rc = park(&fds, spec->fds[i], err);
    if (!rc)
        rc = open_stdio(process, spec, &fds, err);
    if (!rc)
        rc = spawn(process, spec, path, &fds, err);
    if (rc)
        return start_failed(process, &fds, rc);
    process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    if (process->pidfd < 0) {
        rc = err_set_errno(err, errno, "watch %s", path);
        kill(-process->pid, SIGKILL);
        waitpid(process->pid, NULL, 0);
        return start_failed(process, &fds, rc);
    }
    fcntl(process->pidfd, F_SETFD, FD_CLOEXEC);
    spawn_fds_close(&fds);

    poll_start(process, &process->exit_poll, process->pidfd, UV_READABLE, process_exited);
    if (process->out.fd >= 0)
        poll_start(process, &process->out.poll, process->out.fd, UV_READABLE, stream_readable);
    if (process->err.fd >= 0)
        poll_start(process, &process->err.poll, process->err.fd, UV_READABLE, stream_readable);
    if (process->in.fd >= 0) {
        buf_put(&process->in.bytes, spec->input, spec->input_bytes);
        poll_start(process, &process->in.poll, process->in.fd, UV_WRITABLE, stream_writable);
    }
    loop_timer_init(&process->timeout, loop, process_late);
    if (spec->timeout_ms)
        loop_timer_start(&process->timeout, spec->timeout_ms);
    if (out)
        *out = process;
    return 0;
}

pid_t process_pid(const struct process *process)
{
    MAGIC_CHECK(process, PROCESS_MAGIC);
    return process->pid;
}

void process_kill(struct process *process, int signal)
{
    MAGIC_CHECK(process, PROCESS_MAGIC);
    // Between its end and our waitpid the pid is a zombie's and cannot be another's; afterwards
    // pidfd is -1.
    if (process->pidfd >= 0)
        kill(-process->pid, signal);
}

// The last line with anything in it.
static struct str_part last_line(const char *text)
{
    struct str_part last = {text, 0};
    struct str_part part;
    while (str_split(&text, '\n', &part)) {
        part = str_trim(part);
        if (part.len)
            last = part;
    }
    return last;
}

int process_check(const struct process_result *result, const char *what, struct err *err)
{
    if (result->timed_out)
        return err_set(err, ERR_DEADLINE_EXCEEDED, "%s: took too long", what);
    if (!result->exit_code)
        return 0;
    struct str_part said = last_line(result->err);
    if (said.len)
        return err_set(err, ERR_INTERNAL, "%s: %.*s", what, (int)said.len, said.at);
    if (result->signal)
        return err_set(err, ERR_INTERNAL, "%s: ended by signal %d", what, result->signal);
    return err_set(err, ERR_INTERNAL, "%s: exit code %d", what, result->exit_code);
}
