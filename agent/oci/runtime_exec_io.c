// Exec: a further process in a running container.
//
// "crun exec" runs as our child and stays until the process ends; its exit code is the process's.
// The three streams are pipes of ours, or one pseudo terminal whose master the runtime sends
// through a socket. What the runtime itself has to say goes into a log file, and what it says of it
// in the process's stream is taken out (exec_words.h).
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/oci/exec_words.h"
#include "agent/oci/runtime_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define EXEC_MAGIC    0x65786563u
#define READ_BYTES    (32u << 10)
#define READS_A_TURN  8
#define ARGS_MAX      16
#define KILL_AGAIN_MS 10

enum { SIDE_IN, SIDE_OUT, SIDE_ERR, SIDE_SOCKET, SIDES };

// One descriptor of ours. With a TTY, SIDE_OUT is the terminal, both ways.
struct side {
    struct runtime_exec *exec;
    uv_poll_t poll;
    int fd; // -1: none
    int events;
};

struct runtime_exec {
    unsigned magic;
    struct runtime *runtime;
    char *container;
    char *dir;
    uint64_t number;
    bool tty;
    // runc takes a console socket only when it does not stay; so it gets a terminal of ours as its
    // own three streams, and passes everything on between that and the container's.
    bool passes_on;
    bool paused;
    bool process_done;
    bool inside; // in a callback of the owner's
    uint16_t rows;
    uint16_t columns;
    struct process *process;
    struct loop_timer kill_again; // until the process's pid is known
    int kill_signal;
    struct side sides[SIDES];
    unsigned polls_open;
    struct buf input;
    struct exec_words words; // of the stream that the runtime's errors would be in
    bool end_input;
    int exit_code;
    struct err err;
    const struct runtime_exec_events *events;
    void *owner;
};

static void exec_step(struct runtime_exec *exec);
static void side_watch(struct side *side);

static void file_of(const struct runtime_exec *exec, const char *kind, char out[RUNTIME_PATH_BYTES])
{
    CHECK(str_format(out, RUNTIME_PATH_BYTES, "%s/exec-%llu.%s", exec->dir,
                     (unsigned long long)exec->number, kind));
}

// ---- descriptors -------------------------------------------------------------------------------

static void poll_closed(uv_handle_t *handle)
{
    struct side *side = CONTAINER_OF((uv_poll_t *)handle, struct side, poll);
    MAGIC_CHECK(side->exec, EXEC_MAGIC);
    side->exec->polls_open--;
    exec_step(side->exec);
}

static void side_close(struct side *side)
{
    if (side->fd < 0)
        return;
    uv_poll_stop(&side->poll);
    uv_close((uv_handle_t *)&side->poll, poll_closed);
    close(side->fd);
    side->fd = -1;
}

static void side_open(struct runtime_exec *exec, int which, int fd)
{
    struct side *side = &exec->sides[which];
    CHECK(side->fd < 0);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    side->fd = fd;
    side->events = 0;
    CHECK(uv_poll_init(&exec->runtime->loop->uv, &side->poll, fd) == 0);
    exec->polls_open++;
    side_watch(side);
}

static void give(struct runtime_exec *exec, int stream, const void *bytes, size_t size)
{
    exec->inside = true;
    if (exec->events->output)
        exec->events->output(exec->owner, stream, bytes, size);
    exec->inside = false;
}

static int stream_of_errors(const struct runtime_exec *exec)
{
    return exec->tty ? 1 : 2;
}

static void give_held(struct runtime_exec *exec)
{
    if (exec->words.held.len)
        give(exec, stream_of_errors(exec), exec->words.held.data, exec->words.held.len);
    exec_words_pass(&exec->words);
}

// Gives what can be read now; closes the side at its end.
static void side_read(struct side *side, unsigned reads)
{
    struct runtime_exec *exec = side->exec;
    int stream = side == &exec->sides[SIDE_ERR] ? 2 : 1;
    char chunk[READ_BYTES];
    for (unsigned i = 0; i < reads && !exec->paused && side->fd >= 0; i++) {
        ssize_t got = read(side->fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) { // a terminal says EIO once nobody has it open any more
            side_close(side);
            return;
        }
        if (stream == stream_of_errors(exec)) {
            if (exec_words_take(&exec->words, chunk, (size_t)got))
                continue;
            give_held(exec);
        }
        give(exec, stream, chunk, (size_t)got);
    }
}

static void side_write(struct side *side)
{
    struct runtime_exec *exec = side->exec;
    while (exec->input.len) {
        ssize_t put = write(side->fd, exec->input.data, exec->input.len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN)
            return;
        if (put < 0) { // it reads no more
            buf_clear(&exec->input);
            exec->end_input = true;
            break;
        }
        buf_consume(&exec->input, (size_t)put);
    }
    if (exec->end_input && !exec->tty)
        side_close(side);
}

// The runtime connects and sends the terminal's master.
static void take_terminal(struct side *side)
{
    struct runtime_exec *exec = side->exec;
    int peer = accept4(side->fd, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0)
        return;
    char byte[256];
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {byte, sizeof byte};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    // The sender writes right after connecting.
    ssize_t got = recvmsg(peer, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    close(peer);
    side_close(side);
    if (!header || header->cmsg_type != SCM_RIGHTS)
        return;
    int fd;
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    side_open(exec, SIDE_OUT, fd);
    if (exec->rows)
        runtime_exec_resize(exec, exec->rows, exec->columns);
}

static void side_ready(uv_poll_t *poll, int status, int events)
{
    struct side *side = CONTAINER_OF(poll, struct side, poll);
    struct runtime_exec *exec = side->exec;
    MAGIC_CHECK(exec, EXEC_MAGIC);
    if (side == &exec->sides[SIDE_SOCKET]) {
        take_terminal(side);
        return;
    }
    if (events & UV_WRITABLE)
        side_write(side);
    if (side->fd >= 0 && (events & UV_READABLE || status < 0)) {
        if (side == &exec->sides[SIDE_IN])
            side_close(side);
        else
            side_read(side, READS_A_TURN);
    }
    if (side->fd >= 0)
        side_watch(side);
    exec_step(exec);
}

static void side_watch(struct side *side)
{
    struct runtime_exec *exec = side->exec;
    bool is_input = side == &exec->sides[exec->tty ? SIDE_OUT : SIDE_IN];
    int wanted = 0;
    if (side != &exec->sides[SIDE_IN] && (!exec->paused || side == &exec->sides[SIDE_SOCKET]))
        wanted |= UV_READABLE;
    if (is_input && (exec->input.len || (exec->end_input && !exec->tty)))
        wanted |= UV_WRITABLE;
    if (wanted == side->events)
        return;
    side->events = wanted;
    if (wanted)
        CHECK(uv_poll_start(&side->poll, wanted, side_ready) == 0);
    else
        uv_poll_stop(&side->poll);
}

// ---- the end -----------------------------------------------------------------------------------

// What the runtime wrote into its log, if it failed itself.
static void take_runtime_error(struct runtime_exec *exec)
{
    char path[RUNTIME_PATH_BYTES];
    struct buf text;
    file_of(exec, "log", path);
    buf_init(&text, 65536);
    if (exec->exit_code && file_read(path, &text, NULL) == 0 && text.len) {
        const char *rest = buf_cstr(&text);
        struct str_part line;
        while (rest && str_split(&rest, '\n', &line)) {
            // JSON lines: {"msg":"...","level":"error",...}
            json_t *json = line.len ? json_parse(line.at, line.len, NULL) : NULL;
            const char *said = json_string_value(json_object_get(json, "msg"));
            const char *level = json_string_value(json_object_get(json, "level"));
            if (said && str_equal(level, "error"))
                err_set(&exec->err, ERR_FAILED_PRECONDITION, "%s", said);
            json_decref(json);
        }
        const char *message = exec->err.message;
        if (strstr(message, "not found") || strstr(message, "o such file"))
            exec->err.code = ERR_NOT_FOUND;
        else if (strstr(message, "ermission denied") || strstr(message, "open executable"))
            exec->err.code = ERR_PERMISSION_DENIED;
    }
    buf_fini(&text);
}

static void exec_files_remove(struct runtime_exec *exec)
{
    static const char *const kinds[] = {"json", "log", "pid", "sock"};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        char path[RUNTIME_PATH_BYTES];
        file_of(exec, kinds[i], path);
        unlink(path);
    }
}

static void kill_later(struct loop_timer *timer);

static void exec_release(struct runtime_exec *exec)
{
    loop_timer_stop(&exec->kill_again);
    buf_fini(&exec->input);
    exec_words_fini(&exec->words);
    free(exec->container);
    free(exec->dir);
    MAGIC_CLEAR(exec);
    free(exec);
}

// Once the process has ended: give what is left, close, and tell.
static void exec_step(struct runtime_exec *exec)
{
    if (!exec->process_done || exec->inside)
        return;
    for (int i = SIDE_OUT; i <= SIDE_ERR; i++)
        if (exec->sides[i].fd >= 0 && !exec->paused) {
            // Pipes hold 64 KB at most by default: this many reads empty them.
            side_read(&exec->sides[i], 4 * READS_A_TURN);
            if (!exec->paused)
                side_close(&exec->sides[i]);
        }
    if (exec->paused && (exec->sides[SIDE_OUT].fd >= 0 || exec->sides[SIDE_ERR].fd >= 0))
        return;
    side_close(&exec->sides[SIDE_IN]);
    side_close(&exec->sides[SIDE_SOCKET]);
    if (exec->polls_open)
        return;
    take_runtime_error(exec);
    if (!exec->err.code || !exec_words_say(&exec->words, exec->err.message))
        give_held(exec);
    exec_files_remove(exec);
    exec->runtime->ops--;
    const struct runtime_exec_events *events = exec->events;
    int code = exec->err.code ? -1 : exec->exit_code;
    exec->inside = true;
    if (events->exited)
        events->exited(exec->owner, code, exec->err.code ? &exec->err : NULL);
    exec_release(exec);
}

static void exec_process_done(void *owner, const struct process_result *result)
{
    struct runtime_exec *exec = owner;
    MAGIC_CHECK(exec, EXEC_MAGIC);
    exec->process_done = true;
    exec->process = NULL;
    exec->exit_code = result->exit_code;
    exec_step(exec);
}

// ---- starting ----------------------------------------------------------------------------------

static int write_process(struct runtime_exec *exec, const struct oci_exec *spec, struct err *err)
{
    char path[RUNTIME_PATH_BYTES];
    struct buf config, process;
    buf_init(&config, OCI_CONFIG_BYTES);
    buf_init(&process, OCI_CONFIG_BYTES);
    int rc = str_format(path, sizeof path, "%s/" CONFIG_FILE, exec->dir)
                 ? file_read(path, &config, err)
                 : err_set(err, ERR_INVALID_ARGUMENT, "path of container state is too long");
    if (!rc)
        rc = bundle_write_exec(spec, config.data, config.len, exec->runtime->caps, &process, err);
    file_of(exec, "json", path);
    int fd = rc ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (!rc && (fd < 0 || write(fd, process.data, process.len) != (ssize_t)process.len))
        rc = err_set_errno(err, errno ? errno : EIO, "write %s", path);
    if (fd >= 0)
        close(fd);
    buf_fini(&config);
    buf_fini(&process);
    return rc;
}

static int open_console(struct runtime_exec *exec, int stdio[3], struct err *err)
{
    for (int i = 0; i < 3; i++)
        stdio[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    int folder = open(exec->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return err_set_errno(err, errno, "open %s", exec->dir);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CHECK(str_format(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/exec-%llu.sock",
                     folder, (unsigned long long)exec->number));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = 0;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0) {
        rc = err_set_errno(err, errno, "make console socket");
        if (fd >= 0)
            close(fd);
    } else {
        side_open(exec, SIDE_SOCKET, fd);
    }
    close(folder);
    return rc;
}

static int open_terminal(struct runtime_exec *exec, int stdio[3], struct err *err)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[64];
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
        ptsname_r(master, name, sizeof name) != 0) {
        int errnum = errno;
        if (master >= 0)
            close(master);
        return err_set_errno(err, errnum, "make terminal");
    }
    for (int i = 0; i < 3; i++)
        stdio[i] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    side_open(exec, SIDE_OUT, master);
    return stdio[2] < 0 ? err_set_errno(err, errno, "open terminal") : 0;
}

// Pipes for the three streams: ours stay in `exec`, the child's go to stdio[].
static int open_pipes(struct runtime_exec *exec, bool attach_stdin, int stdio[3], struct err *err)
{
    for (int i = 0; i < 3; i++) {
        int ends[2];
        if (i == 0 && !attach_stdin) {
            stdio[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
            continue;
        }
        if (pipe2(ends, O_CLOEXEC) < 0)
            return err_set_errno(err, errno, "make pipe");
        stdio[i] = ends[i == 0 ? 0 : 1];
        side_open(exec, i, ends[i == 0 ? 1 : 0]);
    }
    return 0;
}

static int exec_spawn(struct runtime_exec *exec, const struct container *container,
                      const int stdio[3], struct err *err)
{
    char root[RUNTIME_PATH_BYTES + 16], process[RUNTIME_PATH_BYTES + 16];
    char log[RUNTIME_PATH_BYTES + 16], pid[RUNTIME_PATH_BYTES + 16], path[RUNTIME_PATH_BYTES];
    char console[64];
    CHECK(str_format(root, sizeof root, "--root=%s", exec->runtime->program_root));
    file_of(exec, "json", path);
    str_format(process, sizeof process, "--process=%s", path);
    file_of(exec, "log", path);
    str_format(log, sizeof log, "--log=%s", path);
    file_of(exec, "pid", path);
    str_format(pid, sizeof pid, "--pid-file=%s", path);
    // Relative to the state folder, which is the runtime's working folder: a socket's path is
    // short.
    str_format(console, sizeof console, "--console-socket=exec-%llu.sock",
               (unsigned long long)exec->number);
    const char *argv[ARGS_MAX] = {
        program_path(container->program), root, log, "--log-format=json", "exec", process, pid};
    size_t count = 7;
    if (exec->passes_on)
        argv[count++] = "--tty";
    else if (exec->tty)
        argv[count++] = console;
    argv[count++] = exec->container;
    struct process_spec spec = {.argv = argv, .cwd = exec->dir, .stdio = stdio};
    return process_start(exec->runtime->loop, &spec, exec_process_done, exec, &exec->process, err);
}

int runtime_exec(struct runtime *runtime, const char *id, const struct oci_exec *spec,
                 bool attach_stdin, const struct runtime_exec_events *events, void *owner,
                 struct runtime_exec **out, struct err *err)
{
    CHECK(events);
    struct container *container = runtime_container(runtime, id);
    if (!container || container->creating)
        return err_set(err, ERR_NOT_FOUND, "no container %s", id);
    if (container->state != RUNTIME_RUNNING)
        return err_set(err, ERR_FAILED_PRECONDITION, "container %s is %s", id,
                       container->state == RUNTIME_PAUSED ? "paused, unpause it before exec"
                                                          : "not running");
    int rc = programs_ready(&runtime->programs, container->program, err);
    if (rc)
        return rc;
    struct runtime_exec *exec = MEM_NEW(struct runtime_exec);
    MAGIC_SET(exec, EXEC_MAGIC);
    exec->runtime = runtime;
    exec->container = str_dup(id);
    exec->dir = str_dup(container->dir);
    exec->number = ++runtime->exec_number;
    exec->tty = spec->tty;
    exec->passes_on = spec->tty && !container_is_crun(container);
    exec->events = events;
    exec->owner = owner;
    buf_init(&exec->input, RUNTIME_EXEC_INPUT_BYTES);
    exec_words_init(&exec->words);
    loop_timer_init(&exec->kill_again, runtime->loop, kill_later);
    for (int i = 0; i < SIDES; i++) {
        exec->sides[i].exec = exec;
        exec->sides[i].fd = -1;
    }
    int stdio[3] = {-1, -1, -1};
    rc = write_process(exec, spec, err);
    if (!rc && !exec->tty)
        rc = open_pipes(exec, attach_stdin, stdio, err);
    else if (!rc && exec->passes_on)
        rc = open_terminal(exec, stdio, err);
    else if (!rc)
        rc = open_console(exec, stdio, err);
    if (!rc)
        rc = exec_spawn(exec, container, stdio, err);
    for (int i = 0; i < 3; i++)
        if (stdio[i] >= 0)
            close(stdio[i]);
    runtime->ops++;
    if (!rc) {
        *out = exec;
        return 0;
    }
    // Polls may be open already; they close first. Nobody is told: the call itself failed.
    static const struct runtime_exec_events nobody = {0};
    exec->events = &nobody;
    exec->process_done = true;
    exec_step(exec);
    return rc;
}

// ---- while it runs -----------------------------------------------------------------------------

static struct side *input_side(struct runtime_exec *exec)
{
    return &exec->sides[exec->tty ? SIDE_OUT : SIDE_IN];
}

int runtime_exec_write(struct runtime_exec *exec, const void *bytes, size_t size, struct err *err)
{
    MAGIC_CHECK(exec, EXEC_MAGIC);
    // A terminal's master may still be on its way; a pipe is there from the start.
    if (exec->end_input || exec->process_done || (!exec->tty && exec->sides[SIDE_IN].fd < 0))
        return err_set(err, ERR_FAILED_PRECONDITION, "the process's input has ended");
    if (size > RUNTIME_EXEC_INPUT_BYTES - exec->input.len)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the process does not read its input");
    buf_put(&exec->input, bytes, size);
    if (input_side(exec)->fd >= 0)
        side_watch(input_side(exec));
    return 0;
}

void runtime_exec_close_stdin(struct runtime_exec *exec)
{
    MAGIC_CHECK(exec, EXEC_MAGIC);
    exec->end_input = true;
    if (input_side(exec)->fd >= 0)
        side_watch(input_side(exec));
}

void runtime_exec_resize(struct runtime_exec *exec, uint16_t rows, uint16_t columns)
{
    MAGIC_CHECK(exec, EXEC_MAGIC);
    exec->rows = rows;
    exec->columns = columns;
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    if (exec->tty && exec->sides[SIDE_OUT].fd >= 0)
        ioctl(exec->sides[SIDE_OUT].fd, TIOCSWINSZ, &size);
    // It has no controlling terminal, so the kernel tells it nothing.
    if (exec->passes_on && exec->process)
        process_kill(exec->process, SIGWINCH);
}

pid_t runtime_exec_pid(const struct runtime_exec *exec)
{
    MAGIC_CHECK(exec, EXEC_MAGIC);
    char path[RUNTIME_PATH_BYTES];
    struct buf text;
    pid_t pid = 0;
    file_of(exec, "pid", path);
    buf_init(&text, 64);
    if (file_read(path, &text, NULL) == 0 && buf_cstr(&text))
        pid = (pid_t)strtol(buf_cstr(&text), NULL, 10);
    buf_fini(&text);
    return pid;
}

// The runtime may tell the pid before its child has become the program: until then both are one
// program.
bool runtime_exec_began(const struct runtime_exec *exec)
{
    MAGIC_CHECK(exec, EXEC_MAGIC);
    char path[32], own[RUNTIME_PATH_BYTES], runtime[RUNTIME_PATH_BYTES];
    pid_t pid = runtime_exec_pid(exec);
    if (exec->process_done || !exec->process || pid <= 0)
        return false;
    str_format(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t own_bytes = readlink(path, own, sizeof own);
    str_format(path, sizeof path, "/proc/%d/exe", (int)process_pid(exec->process));
    ssize_t runtime_bytes = readlink(path, runtime, sizeof runtime);
    return own_bytes > 0 && runtime_bytes > 0 &&
           (own_bytes != runtime_bytes || memcmp(own, runtime, (size_t)own_bytes) != 0);
}

static void kill_later(struct loop_timer *timer)
{
    struct runtime_exec *exec = CONTAINER_OF(timer, struct runtime_exec, kill_again);
    MAGIC_CHECK(exec, EXEC_MAGIC);
    runtime_exec_kill(exec, exec->kill_signal);
}

void runtime_exec_kill(struct runtime_exec *exec, int signal)
{
    if (exec->process_done)
        return;
    pid_t pid = runtime_exec_pid(exec);
    struct container *container = runtime_container(exec->runtime, exec->container);
    if (container && container_has_pid(container, pid)) {
        kill(pid, signal);
        return;
    }
    // The runtime writes the pid when the process already runs; killing the runtime instead would
    // leave the process behind.
    exec->kill_signal = signal;
    loop_timer_start(&exec->kill_again, KILL_AGAIN_MS);
}

void runtime_exec_pause(struct runtime_exec *exec, bool pause)
{
    MAGIC_CHECK(exec, EXEC_MAGIC);
    exec->paused = pause;
    for (int i = SIDE_OUT; i <= SIDE_ERR; i++)
        if (exec->sides[i].fd >= 0)
            side_watch(&exec->sides[i]);
}
