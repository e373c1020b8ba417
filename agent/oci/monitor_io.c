#include "agent/oci/monitor_io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/process_io.h"
#include "proto/base/str.h"

#define MONITOR_MAGIC 0x6d6f6e31u
#define ANSWER_BYTES  65536
#define OUTPUT_BYTES  8192
#define START_MS_MAX  120000
#define PATH_BYTES    4096
#define ARGS_MAX      40
#define SMALL_BYTES   65536

// One start. Two things must happen before it is over: conmon's first process ends (the one that
// stays was forked from it), and the answer about the container arrives on the sync pipe.
struct start {
    unsigned magic;
    struct loop *loop;
    uv_poll_t poll;
    int sync_fd;
    struct buf answer;
    struct loop_timer timeout;
    bool answered;
    bool process_done;
    bool poll_closed;
    bool late;
    char process_error[512];
    char *dir;
    char *id;
    monitor_started *started;
    void *owner;
};

static void start_fail(struct start *start, struct err *err, const char *fallback)
{
    if (start->late)
        err_set(err, ERR_DEADLINE_EXCEEDED, "the container was not created within %d s",
                START_MS_MAX / 1000);
    else if (*start->process_error)
        err_set(err, ERR_INTERNAL, "conmon: %s", start->process_error);
    else
        err_set(err, ERR_INTERNAL, "%s", fallback);
}

// What a runtime's message means for the user of the service.
static enum err_code code_of_message(const char *message)
{
    static const struct {
        const char *words;
        enum err_code code;
    } rows[] = {
        {"not found in $PATH", ERR_NOT_FOUND},        {"executable file not found", ERR_NOT_FOUND},
        {"No such file or directory", ERR_NOT_FOUND}, {"no such file or directory", ERR_NOT_FOUND},
        {"Permission denied", ERR_PERMISSION_DENIED}, {"permission denied", ERR_PERMISSION_DENIED},
        {"No space left", ERR_RESOURCE_EXHAUSTED},    {"no space left", ERR_RESOURCE_EXHAUSTED},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strstr(message, rows[i].words))
            return rows[i].code;
    return ERR_FAILED_PRECONDITION;
}

static pid_t parse_answer(struct start *start, struct err *err)
{
    if (!start->answer.len) {
        start_fail(start, err, "conmon ended without an answer");
        return -1;
    }
    json_t *json = json_parse(start->answer.data, start->answer.len, NULL);
    json_int_t data = json_integer_value(json_object_get(json, "data"));
    const char *message = json_string_value(json_object_get(json, "message"));
    pid_t pid = -1;
    if (data > 0) {
        pid = (pid_t)data;
    } else {
        char text[900];
        str_copy(text, sizeof text, str_or(message, "the runtime gave no reason"));
        size_t length = strlen(text);
        while (length && (text[length - 1] == '\n' || text[length - 1] == ' '))
            text[--length] = '\0';
        err_set(err, code_of_message(text), "%s", text);
    }
    json_decref(json);
    return pid;
}

static void start_step(struct start *start)
{
    if (!start->answered || !start->process_done || !start->poll_closed)
        return;
    struct err err = ERR_INIT;
    pid_t pid = parse_answer(start, &err);
    start->started(start->owner, pid > 0 ? pid : 0, pid > 0 ? NULL : &err);
    buf_fini(&start->answer);
    free(start->dir);
    free(start->id);
    MAGIC_CLEAR(start);
    free(start);
}

static void sync_closed(uv_handle_t *handle)
{
    struct start *start = handle->data;
    MAGIC_CHECK(start, MONITOR_MAGIC);
    start->poll_closed = true;
    start_step(start);
}

static void sync_end(struct start *start)
{
    if (start->answered)
        return;
    start->answered = true;
    loop_timer_stop(&start->timeout);
    uv_poll_stop(&start->poll);
    uv_close((uv_handle_t *)&start->poll, sync_closed);
    close(start->sync_fd);
}

static void sync_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct start *start = poll->data;
    MAGIC_CHECK(start, MONITOR_MAGIC);
    char chunk[4096];
    for (;;) {
        ssize_t got = read(start->sync_fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got > 0)
            buf_put(&start->answer, chunk, (size_t)got);
        // One line is the answer; the pipe itself may stay open in conmon.
        if (got <= 0 || memchr(chunk, '\n', (size_t)got))
            break;
    }
    sync_end(start);
}

static void start_late(struct loop_timer *timer)
{
    struct start *start = CONTAINER_OF(timer, struct start, timeout);
    MAGIC_CHECK(start, MONITOR_MAGIC);
    start->late = true;
    pid_t pid = monitor_find(start->dir, start->id);
    if (pid)
        kill(pid, SIGKILL);
    sync_end(start);
}

static void conmon_forked(void *owner, const struct process_result *result)
{
    struct start *start = owner;
    MAGIC_CHECK(start, MONITOR_MAGIC);
    struct err err = ERR_INIT;
    if (process_check(result, "start", &err) != 0)
        str_copy(start->process_error, sizeof start->process_error, err.message);
    start->process_done = true;
    start_step(start);
}

static int spawn_conmon(struct start *start, const struct monitor_spec *spec, int sync_write,
                        struct err *err)
{
    char log[PATH_BYTES + 16], root[PATH_BYTES + 16], pid_file[PATH_BYTES], own_pid[PATH_BYTES];
    char persist[PATH_BYTES];
    bool fits = str_format(pid_file, sizeof pid_file, "%s/" MONITOR_PID_FILE, spec->dir);
    fits &= str_format(own_pid, sizeof own_pid, "%s/" MONITOR_OWN_PID_FILE, spec->dir);
    fits &= str_format(persist, sizeof persist, "%s/" MONITOR_PERSIST_DIR, spec->dir);
    fits &= str_format(root, sizeof root, "--root=%s", spec->runtime_root);
    fits &= str_empty(spec->log_path) ? str_copy(log, sizeof log, "none")
                                      : str_format(log, sizeof log, "k8s-file:%s", spec->log_path);
    if (!fits)
        return err_set(err, ERR_INVALID_ARGUMENT, "path of container state is too long");
    const char *argv[ARGS_MAX] = {
        spec->conmon,
        "--api-version",
        "1",
        "-c",
        spec->id,
        "-u",
        spec->id,
        "-n",
        spec->id,
        "-r",
        spec->runtime,
        "--runtime-arg",
        root,
        "-b",
        spec->dir,
        "-p",
        pid_file,
        "--conmon-pidfile",
        own_pid,
        "--persist-dir",
        persist,
        "--full-attach",
        "-l",
        log,
        "--log-level",
        "error",
        "--no-sync-log",
    };
    size_t count = 0;
    while (argv[count])
        count++;
    if (spec->tty)
        argv[count++] = "-t";
    if (spec->open_stdin) {
        argv[count++] = "-i";
        if (!spec->stdin_once)
            argv[count++] = "--leave-stdin-open";
    }
    CHECK(count < ARGS_MAX);
    // One malloc arena and small growth keep conmon's private memory low; it lives as long as the
    // container.
    char preload[PATH_BYTES + 16];
    str_format(preload, sizeof preload, "LD_PRELOAD=%s", spec->preload);
    const char *env[] = {
        "PATH=" PROCESS_PATH,
        "LANG=C.UTF-8",
        "_OCI_SYNCPIPE=3",
        "MALLOC_ARENA_MAX=1",
        "MALLOC_TOP_PAD_=4096",
        str_empty(spec->preload) ? NULL : preload,
        NULL,
    };
    struct process_spec process = {
        .argv = argv,
        .env = env,
        .cwd = spec->dir,
        .fds = &sync_write,
        .fds_count = 1,
        .output_bytes_max = OUTPUT_BYTES,
        .timeout_ms = START_MS_MAX,
    };
    return process_start(start->loop, &process, conmon_forked, start, NULL, err);
}

int monitor_start(struct loop *loop, const struct monitor_spec *spec, monitor_started *started,
                  void *owner, struct err *err)
{
    CHECK(spec->dir[0] == '/');
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set_errno(err, errno, "make pipe");
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    struct start *start = MEM_NEW(struct start);
    MAGIC_SET(start, MONITOR_MAGIC);
    start->loop = loop;
    start->started = started;
    start->owner = owner;
    start->sync_fd = ends[0];
    buf_init(&start->answer, ANSWER_BYTES);
    int rc = spawn_conmon(start, spec, ends[1], err);
    close(ends[1]);
    if (rc) {
        close(ends[0]);
        free(start);
        return rc;
    }
    start->dir = str_dup(spec->dir);
    start->id = str_dup(spec->id);
    CHECK(uv_poll_init(&loop->uv, &start->poll, start->sync_fd) == 0);
    start->poll.data = start;
    CHECK(uv_poll_start(&start->poll, UV_READABLE, sync_readable) == 0);
    loop_timer_init(&start->timeout, loop, start_late);
    loop_timer_start(&start->timeout, START_MS_MAX);
    return 0;
}

// ---- what conmon leaves ------------------------------------------------------------------------

// The first bytes of a small file, NUL-terminated; their number, or -1.
static ssize_t read_small(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, out, size - 1);
    close(fd);
    if (got >= 0)
        out[got] = '\0';
    return got;
}

// Whether the arguments (each ended by a NUL) are conmon's for this container.
static bool is_our_conmon(const char *args, size_t size, const char *id)
{
    const char *end = args + size;
    const char *slash = strrchr(args, '/');
    if (!strstr(slash ? slash : args, "conmon"))
        return false;
    for (const char *at = args; at < end; at += strlen(at) + 1) {
        if (!str_equal(at, "-c"))
            continue;
        const char *value = at + strlen(at) + 1;
        return value < end && str_equal(value, id);
    }
    return false;
}

pid_t monitor_find(const char *dir, const char *id)
{
    char path[PATH_BYTES];
    char text[32];
    if (!str_format(path, sizeof path, "%s/" MONITOR_OWN_PID_FILE, dir) ||
        read_small(path, text, sizeof text) <= 0)
        return 0;
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    if (pid <= 1)
        return 0;
    char args[PATH_BYTES * 2];
    str_format(path, sizeof path, "/proc/%d/cmdline", pid);
    ssize_t size = read_small(path, args, sizeof args);
    return size > 0 && is_our_conmon(args, (size_t)size, id) ? pid : 0;
}

bool monitor_exit(const char *dir, int *code, bool *oom, struct wall *at)
{
    char path[PATH_BYTES];
    char text[32];
    struct stat st;
    if (!str_format(path, sizeof path, "%s/" MONITOR_PERSIST_DIR "/oom", dir))
        return false;
    *oom = access(path, F_OK) == 0;
    str_format(path, sizeof path, "%s/oom", dir);
    *oom |= access(path, F_OK) == 0;
    str_format(path, sizeof path, "%s/" MONITOR_PERSIST_DIR "/exit", dir);
    if (read_small(path, text, sizeof text) <= 0 || stat(path, &st) < 0)
        return false;
    *code = (int)(strtol(text, NULL, 10) & 0xff);
    at->ns = st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
    return true;
}

int monitor_note_oom(const char *dir, struct err *err)
{
    char path[PATH_BYTES];
    if (!str_format(path, sizeof path, "%s/" MONITOR_PERSIST_DIR "/oom", dir))
        return err_set(err, ERR_INVALID_ARGUMENT, "path of container state is too long");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, errno, "make %s", path);
    close(fd);
    return 0;
}

// ---- telling it things -------------------------------------------------------------------------

static int control(const char *dir, const char *command, struct err *err)
{
    char path[PATH_BYTES];
    if (!str_format(path, sizeof path, "%s/" MONITOR_CONTROL_FIFO, dir))
        return err_set(err, ERR_INVALID_ARGUMENT, "path of container state is too long");
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && (errno == ENXIO || errno == ENOENT))
        return err_set(err, ERR_FAILED_PRECONDITION, "the container's conmon is gone");
    if (fd < 0)
        return err_set_errno(err, errno, "open %s", path);
    size_t size = strlen(command);
    ssize_t put = write(fd, command, size);
    int errnum = errno;
    close(fd);
    if (put != (ssize_t)size)
        return err_set_errno(err, put < 0 ? errnum : EAGAIN, "write %s", path);
    return 0;
}

int monitor_resize(const char *dir, unsigned rows, unsigned columns, struct err *err)
{
    char command[64];
    str_format(command, sizeof command, "1 %u %u\n", rows, columns);
    return control(dir, command, err);
}

int monitor_reopen_log(const char *dir, struct err *err)
{
    return control(dir, "2 0 0\n", err);
}
