// Health checks of crates: agent/task/health says when, agent/check_io how it went. Those of tasks
// are run by the agent.
#include <signal.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define CHECK_WORDS_MAX  1024
#define CHECK_TEXT_BYTES (32u << 10) // of one event; a longer command is not told

static void health_wake(struct crate *crate);

static const char *const names[] = {
    [HEALTH_NONE] = NULL,
    [HEALTH_STARTING] = "starting",
    [HEALTH_HEALTHY] = "healthy",
    [HEALTH_UNHEALTHY] = "unhealthy",
};

static void tell_state(struct crate *crate)
{
    const char *now = names[crate->life->health_state.state];
    char action[64];
    crate->health_failing = crate->life->health_state.failing;
    bool changed = !str_equal(now, crate->health);
    crate->health = now;
    if (!changed || !now || str_equal(now, "starting"))
        return;
    crate_save(crate, NULL);
    str_format(action, sizeof action, "health_status: %s", now);
    crate_tell(crate, action, NULL);
}

// As inspect shows it, the oldest goes when there are too many.
static void keep_result(struct crate *crate, const struct check_result *result)
{
    char started[WALL_TEXT_BYTES], ended[WALL_TEXT_BYTES];
    if (!crate->health_log)
        crate->health_log = json_array();
    if (json_array_size(crate->health_log) >= CRATE_HEALTH_LOG_MAX)
        json_array_remove(crate->health_log, 0);
    wall_format(result->started, started);
    wall_format(result->ended, ended);
    json_t *output = json_string(result->output);
    // What is no UTF-8 cannot be shown as text.
    if (!output)
        output = json_string("(output is not UTF-8 text)");
    json_array_append_new(crate->health_log,
                          json_pack("{ss ss si so}", "Start", started, "End", ended, "ExitCode",
                                    result->code, "Output", output));
}

// As dockerd, whose checks are execs: the program, and its arguments behind a space.
static void tell_check(const struct crate *crate, const char *what, const char *exit_code)
{
    const json_t *test = config_of(config_of(crate->config, "Healthcheck"), "Test");
    const json_t *shell = config_of(crate->config, "Shell");
    const char *pairs[] = {"execID", crate->life->check_id, "exitCode", exit_code, NULL};
    const char *const plain[] = {"/bin/sh", "-c"};
    struct buf text;
    size_t count = 0, own = json_array_size(shell);
    if (!exit_code)
        pairs[2] = NULL;
    buf_init(&text, CHECK_TEXT_BYTES);
    buf_printf(&text, "%s:", what);
    if (str_equal(json_string_value(json_array_get(test, 0)), "CMD-SHELL"))
        for (; count < (own ? own : COUNT_OF(plain)); count++)
            buf_printf(&text, " %s",
                       own ? json_string_value(json_array_get(shell, count)) : plain[count]);
    for (size_t i = 1; i < json_array_size(test); i++, count++)
        buf_printf(&text, " %s", json_string_value(json_array_get(test, i)));
    if (count == 1)
        buf_put_str(&text, " ");
    crate_tell(crate, exit_code || !buf_ok(&text) ? what : buf_cstr(&text), pairs);
    buf_fini(&text);
}

void crate_health_asks(struct crate *crate)
{
    crate_id_make(crate->life->check_id);
    tell_check(crate, "exec_create", NULL);
    tell_check(crate, "exec_start", NULL);
}

// One that took too long was killed; one that never ran does not die.
static void tell_answer(const struct crate *crate, const struct check_result *result)
{
    char code[16];
    if (!*crate->life->check_id || (result->err && result->err->code != ERR_DEADLINE_EXCEEDED))
        return;
    str_format(code, sizeof code, "%d", result->err ? 128 + SIGKILL : result->code);
    tell_check(crate, "exec_die", code);
}

static void check_done(void *owner, const struct check_result *result)
{
    struct crate *crate = owner;
    crate->life->check = NULL;
    crate_health_checked(crate, result);
    health_wake(crate);
}

// A task's is kept beside its container, which it does not outlive.
static void keep_of_task(const struct crate *crate)
{
    const char *dir = runtime_dir(crate->crates->runtime, crate->id);
    char path[CRATE_PATH_BYTES];
    struct buf text;
    struct json_out out;
    struct err err = ERR_INIT;
    if (!dir || !str_format(path, sizeof path, "%s/" CONTAINER_HEALTH_FILE, dir))
        return;
    buf_init(&text, CONTAINER_HEALTH_BYTES);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    crate_health_write(crate, &out);
    json_out_end(&out);
    if (json_out_done(&out) && file_write_atomic(path, text.data, text.len, 0600, &err))
        log_warn("health of a task is not kept", "container=%s err=\"%s\"", crate->id, err.message);
    buf_fini(&text);
}

void crate_health_checked(struct crate *crate, const struct check_result *result)
{
    if (crate->life->health_state.state == HEALTH_NONE)
        return;
    tell_answer(crate, result);
    keep_result(crate, result);
    health_result(&crate->life->health_state, !result->err && result->code == 0, mono_now());
    tell_state(crate);
    if (crate->task)
        keep_of_task(crate);
}

// The words of a list; at most `max`.
static struct oci_strings words_of(const json_t *list, const char **words, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(list) && count < max; i++)
        words[count++] = json_string_value(json_array_get(list, i));
    return (struct oci_strings){words, count};
}

static void check_begin(struct crate *crate)
{
    const char *test[CHECK_WORDS_MAX], *shell[CHECK_WORDS_MAX];
    struct check_spec spec = {
        .loop = crate->crates->loop,
        .runtime = crate->crates->runtime,
        .id = crate->id,
        .test = words_of(config_of(config_of(crate->config, "Healthcheck"), "Test"), test,
                         CHECK_WORDS_MAX),
        .shell = words_of(config_of(crate->config, "Shell"), shell, CHECK_WORDS_MAX),
        .timeout_ns = crate->life->health_state.timeout_ns,
    };
    crate_health_asks(crate);
    crate->life->check = check_start(&spec, &crate->crates->checks, check_done, crate);
}

static void health_fire(struct loop_timer *timer)
{
    struct crate_life *life = CONTAINER_OF(timer, struct crate_life, health_timer);
    if (!life->check && health_take_due(&life->health_state, mono_now()))
        check_begin(life->crate);
    else
        health_wake(life->crate);
}

static void health_wake(struct crate *crate)
{
    struct crate_life *life = crate->life;
    if (crate_running(crate) && life->health_state.due.ns != MONO_NEVER.ns)
        loop_timer_start_at(&life->health_timer, life->health_state.due);
}

void crate_health_begin(struct crate *crate)
{
    struct crate_life *life = crate->life;
    const json_t *config = config_of(crate->config, "Healthcheck");
    const json_t *test = config_of(config, "Test");
    const char *kind = str_or(json_string_value(json_array_get(test, 0)), "");
    loop_timer_stop(&life->health_timer);
    loop_timer_init(&life->health_timer, crate->crates->loop, health_fire);
    crate->health = NULL;
    if (json_array_size(test) < 2 || (!str_equal(kind, "CMD") && !str_equal(kind, "CMD-SHELL")))
        return;
    Google__Duration times[4];
    static const char *const keys[] = {"Interval", "Timeout", "StartPeriod", "StartInterval"};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        google__duration__init(&times[i]);
        times[i].seconds = config_int(config, keys[i]) / NS_PER_S;
        times[i].nanos = (int32_t)(config_int(config, keys[i]) % NS_PER_S);
    }
    const char *words[] = {kind, "x"};
    Swarm__HealthConfig wanted;
    swarm__health_config__init(&wanted);
    wanted.n_test = COUNT_OF(words);
    wanted.test = words;
    wanted.interval = &times[0];
    wanted.timeout = &times[1];
    wanted.start_period = &times[2];
    wanted.start_interval = &times[3];
    wanted.retries = (int32_t)config_int(config, "Retries");
    health_init(&life->health_state, &wanted);
    health_start(&life->health_state, mono_now());
    tell_state(crate);
    // Those of tasks are the agent's; what comes of them is told.
    if (crate->task)
        health_stop(&life->health_state);
    health_wake(crate);
}

static enum health_state state_of(const char *name)
{
    enum health_state state = HEALTH_UNHEALTHY;
    while (state != HEALTH_NONE && !str_equal(names[state], name))
        state--;
    return state;
}

void crate_health_resume(struct crate *crate)
{
    struct crate_life *life = crate->life;
    enum health_state known = state_of(crate->health);
    int failing = crate->health_failing;
    crate_health_begin(crate);
    if (known == HEALTH_NONE || life->health_state.state == HEALTH_NONE)
        return;
    health_resume(&life->health_state, known, failing, wall_since(wall_now(), crate->started),
                  mono_now());
    crate->health = names[known];
    crate->health_failing = failing;
    if (crate->task)
        health_stop(&life->health_state);
    health_wake(crate);
}

void crate_health_write(const struct crate *crate, struct json_out *out)
{
    if (!crate->health)
        return;
    json_out_object(out, "Health");
    json_out_str(out, "Status", crate->health);
    json_out_int(out, "FailingStreak", crate->health_failing);
    if (crate->health_log)
        json_out_value(out, "Log", crate->health_log);
    json_out_end(out);
}

void crate_health_take(struct crate *crate, const json_t *record)
{
    const json_t *health = config_of(record, "Health"), *log = config_of(health, "Log");
    crate->health = names[state_of(config_str(health, "Status"))];
    crate->health_failing = (int)config_int(health, "FailingStreak");
    crate->health_log = json_array_size(log) && json_array_size(log) <= CRATE_HEALTH_LOG_MAX
                            ? json_deep_copy(log)
                            : NULL;
}

void crate_health_end(struct crate *crate)
{
    struct crate_life *life = crate->life;
    if (loop_timer_running(&life->health_timer))
        loop_timer_stop(&life->health_timer);
    health_stop(&life->health_state);
    crate->health = crate->health ? "unhealthy" : NULL;
    if (life->check)
        check_drop(life->check);
    life->check = NULL;
}
