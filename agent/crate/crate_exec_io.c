// Exec instances: made, then started once, then kept for a while so that their exit code can be
// asked for.
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/oci/root_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

#define EXECS_MAX 2000
// As dockerd 20.10 has it: whatever kept the program from being started.
#define EXEC_NOT_STARTED 126
#define COMMAND_BYTES    (32u << 10)      // of one event; a longer command is not told
#define EXEC_KEEP_NS     (5 * NS_PER_MIN) // after its end

static void exec_free(struct crate_exec *exec)
{
    CHECK(!exec->exec);
    list_remove(&exec->link);
    json_decref(exec->config);
    buf_fini(&exec->early);
    free(exec->failure);
    MAGIC_CLEAR(exec);
    free(exec);
}

// Lets go of those that ended long ago, and of the oldest that never started when there are many.
static size_t sweep(struct crates *crates)
{
    struct wall now = wall_now();
    size_t count = 0;
    LIST_EACH_SAFE (it, &crates->execs) {
        struct crate_exec *exec = LIST_ENTRY(it, struct crate_exec, link);
        bool over = exec->started && !exec->running;
        if (over && wall_since(now, exec->ended) > EXEC_KEEP_NS)
            exec_free(exec);
        else
            count++;
    }
    LIST_EACH_SAFE (it, &crates->execs) {
        struct crate_exec *exec = LIST_ENTRY(it, struct crate_exec, link);
        if (count >= EXECS_MAX && !exec->running) {
            exec_free(exec);
            count--;
        }
    }
    return count;
}

static void tell(const struct crate_exec *exec, const char *what, const char *extra)
{
    const char *exit_pair[] = {"execID", exec->id, "exitCode", extra, NULL};
    const char *pair[] = {"execID", exec->id, NULL};
    if (exec->crate)
        crate_tell(exec->crate, what, extra ? exit_pair : pair);
}

// With the command as dockerd writes it: the program, and its arguments behind a space.
static void tell_command(const struct crate_exec *exec, const char *what)
{
    const json_t *words = config_of(exec->config, "Cmd");
    struct buf text;
    buf_init(&text, COMMAND_BYTES);
    buf_printf(&text, "%s: %s ", what, json_string_value(json_array_get(words, 0)));
    for (size_t i = 1; i < json_array_size(words); i++)
        buf_printf(&text, i > 1 ? " %s" : "%s", json_string_value(json_array_get(words, i)));
    tell(exec, buf_ok(&text) ? buf_cstr(&text) : what, NULL);
    buf_fini(&text);
}

int crate_exec_make(struct crate *crate, const json_t *body, struct crate_exec **out,
                    struct err *err)
{
    json_t *config = exec_config_read(body, err);
    if (!config)
        return -(int)err->code;
    int rc = 0;
    if (json_array_size(config_of(config, "Cmd")) == 0)
        rc = err_set(err, ERR_INVALID_ARGUMENT, "No exec command specified");
    else if (crate->state == CRATE_PAUSED)
        rc = err_set(err, ERR_ABORTED, "Container %s is paused, unpause the container before exec",
                     crate->id);
    else if (crate->state != CRATE_RUNNING)
        rc = err_set(err, ERR_ABORTED, "Container %s is not running", crate->id);
    else if (sweep(crate->crates) >= EXECS_MAX)
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d exec instances", EXECS_MAX);
    if (rc) {
        json_decref(config);
        return rc;
    }
    struct crate_exec *exec = MEM_NEW(struct crate_exec);
    MAGIC_SET(exec, CRATE_EXEC_MAGIC);
    crate_id_make(exec->id);
    exec->crate = crate;
    str_copy(exec->container_id, sizeof exec->container_id, crate->id);
    exec->config = config;
    buf_init(&exec->early, RUNTIME_EXEC_INPUT_BYTES);
    list_push_back(&crate->crates->execs, &exec->link);
    tell_command(exec, "exec_create");
    *out = exec;
    return 0;
}

struct crate_exec *crates_exec(const struct crates *crates, const char *id)
{
    LIST_EACH (it, &crates->execs) {
        struct crate_exec *exec = LIST_ENTRY(it, struct crate_exec, link);
        if (str_equal(exec->id, id))
            return exec;
    }
    return NULL;
}

struct crate_exec *crate_exec_next(const struct crate *crate, const struct crate_exec *after)
{
    struct list *head = &crate->crates->execs;
    for (struct list *it = after ? after->link.next : head->next; it != head; it = it->next)
        if (LIST_ENTRY(it, struct crate_exec, link)->crate == crate)
            return LIST_ENTRY(it, struct crate_exec, link);
    return NULL;
}

void crate_execs_forget(struct crate *crate)
{
    LIST_EACH_SAFE (it, &crate->crates->execs) {
        struct crate_exec *exec = LIST_ENTRY(it, struct crate_exec, link);
        if (exec->crate != crate)
            continue;
        exec->crate = NULL;
        if (!exec->exec)
            exec_free(exec);
    }
}

static void exec_output(void *owner, int stream, const void *bytes, size_t size)
{
    struct crate_exec *exec = owner;
    MAGIC_CHECK(exec, CRATE_EXEC_MAGIC);
    if (exec->events)
        exec->events->output(exec->owner, stream, bytes, size);
}

static void exec_exited(void *owner, int code, const struct err *err)
{
    struct crate_exec *exec = owner;
    char text[16], words[512];
    MAGIC_CHECK(exec, CRATE_EXEC_MAGIC);
    exec->exec = NULL;
    exec->running = false;
    exec->exit_code = code;
    exec->ended = wall_now();
    if (err) {
        // The words clients look for, where dockerd gives them: in the stream.
        bool missing = err->code == ERR_NOT_FOUND;
        bool denied = err->code == ERR_PERMISSION_DENIED;
        exec->exit_code = EXEC_NOT_STARTED;
        const char *program = json_string_value(json_array_get(config_of(exec->config, "Cmd"), 0));
        if (strstr(err->message, "chdir"))
            str_format(words, sizeof words,
                       "OCI runtime exec failed: exec failed: unable to start container process: "
                       "chdir to cwd (\"%.200s\") set in config.json failed: %s: unknown",
                       config_str(exec->config, "WorkingDir"),
                       missing ? "no such file or directory" : "permission denied");
        else if (missing || denied)
            str_format(words, sizeof words,
                       "OCI runtime exec failed: exec failed: unable to start container process: "
                       "exec: \"%.200s\": %s: unknown",
                       program,
                       missing ? "executable file not found in $PATH" : "permission denied");
        else
            str_format(words, sizeof words, "OCI runtime exec failed: %.300s", err->message);
        exec->failure = str_dup(words);
        if (exec->events) {
            exec->events->output(exec->owner, 1, words, strlen(words));
            exec->events->output(exec->owner, 1, "\r\n", 2);
        }
    }
    str_format(text, sizeof text, "%d", exec->exit_code);
    if (!err) // what never ran does not die
        tell(exec, "exec_die", text);
    const struct crate_attach_events *events = exec->events;
    exec->events = NULL;
    if (events)
        events->ended(exec->owner);
    if (!exec->crate)
        exec_free(exec);
}

static int crate_user(const struct crate *crate, const char *root, const char *spec,
                      struct user *out, struct err *err)
{
    const json_t *groups = config_of(crate->host, "GroupAdd");
    const char *extra[USER_GROUPS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(groups) && count < COUNT_OF(extra); i++)
        extra[count++] = json_string_value(json_array_get(groups, i));
    return root_user(root, spec, extra, count, out, err);
}

static int make_strings(struct arena *arena, const json_t *list, struct oci_strings *out)
{
    const char **items = arena_alloc_array(arena, json_array_size(list) + 1, sizeof *items);
    if (!items)
        return -ERR_RESOURCE_EXHAUSTED;
    for (size_t i = 0; i < json_array_size(list); i++)
        items[i] = json_string_value(json_array_get(list, i));
    *out = (struct oci_strings){items, json_array_size(list)};
    return 0;
}

static int exec_run(struct crate_exec *exec, bool tty, struct err *err)
{
    static const struct runtime_exec_events events = {exec_output, exec_exited};
    struct crate *crate = exec->crate;
    const char *user_text = config_str(exec->config, "User");
    char root[64];
    struct arena arena;
    struct oci_exec spec = {
        .cwd = str_or(config_str(exec->config, "WorkingDir"), NULL),
        .tty = tty,
        .privileged = config_bool(exec->config, "Privileged"),
    };
    arena_init(&arena, 4u << 20);
    struct user *user = ARENA_NEW(&arena, struct user);
    int rc = user ? make_strings(&arena, config_of(exec->config, "Cmd"), &spec.args) : -1;
    if (!rc)
        rc = make_strings(&arena, config_of(exec->config, "Env"), &spec.env);
    if (rc)
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "the exec's configuration is too large");
    if (!rc && *user_text) {
        str_format(root, sizeof root, "/proc/%d/root", (int)crate->pid);
        rc = crate_user(crate, root, user_text, user, err);
        spec.user_set = true;
        spec.uid = user->uid;
        spec.gid = user->gid;
        spec.groups = user->groups;
        spec.groups_count = user->groups_count;
        spec.home = user->home;
    }
    if (!rc)
        rc =
            runtime_exec(crate->crates->runtime, crate->id, &spec,
                         config_bool(exec->config, "AttachStdin"), &events, exec, &exec->exec, err);
    arena_fini(&arena);
    return rc;
}

int crate_exec_start(struct crate_exec *exec, bool tty, const struct crate_attach_events *events,
                     void *owner, struct err *err)
{
    if (exec->started)
        return err_set(err, ERR_ABORTED, "Error: Exec command %s has already run", exec->id);
    if (!exec->crate || exec->crate->state != CRATE_RUNNING)
        return err_set(err, ERR_ABORTED, "Container %s is %s", exec->container_id,
                       exec->crate && exec->crate->state == CRATE_PAUSED
                           ? "paused, unpause the container before exec"
                           : "not running");
    exec->started = true;
    int rc = exec_run(exec, tty, err);
    if (rc) {
        exec->exit_code = EXEC_NOT_STARTED;
        exec->ended = wall_now();
        return rc;
    }
    exec->running = true;
    exec->events = events;
    exec->owner = owner;
    if (exec->rows)
        runtime_exec_resize(exec->exec, exec->rows, exec->columns);
    tell_command(exec, "exec_start");
    return 0;
}

bool crate_exec_began(const struct crate_exec *exec)
{
    return exec->exec ? runtime_exec_began(exec->exec)
                      : exec->started && !exec->running && !exec->failure;
}

void crate_exec_leave(struct crate_exec *exec)
{
    exec->events = NULL;
    if (exec->exec)
        runtime_exec_pause(exec->exec, false);
}

int crate_exec_write(struct crate_exec *exec, const void *bytes, size_t size)
{
    return exec->exec ? runtime_exec_write(exec->exec, bytes, size, NULL)
                      : -ERR_FAILED_PRECONDITION;
}

void crate_exec_end(struct crate_exec *exec)
{
    if (exec->exec)
        runtime_exec_close_stdin(exec->exec);
}

void crate_exec_pause(struct crate_exec *exec, bool pause)
{
    if (exec->exec)
        runtime_exec_pause(exec->exec, pause);
}

int crate_exec_resize(struct crate_exec *exec, uint16_t rows, uint16_t columns, struct err *err)
{
    if (exec->started && !exec->exec)
        return err_set(err, ERR_NOT_FOUND, "no such exec");
    exec->rows = rows;
    exec->columns = columns;
    if (exec->exec)
        runtime_exec_resize(exec->exec, rows, columns);
    return 0;
}
