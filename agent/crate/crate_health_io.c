// Health checks of crates: agent/task/health says when, an exec says how it went. Those of tasks
// are the agent's.
#include <signal.h>
#include <stdlib.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

#define CHECK_ARGS_MAX 1024

// Lives until its process ended.
struct crate_check {
    struct crate *crate; // NULL: nobody waits any more
    struct runtime_exec *exec;
    struct loop_timer timeout;
    struct loop_later failed;
    bool late;
    struct crates *crates;
};

static void health_wake(struct crate *crate);

static void tell_state(struct crate *crate)
{
    static const char *const names[] = {
        [HEALTH_NONE] = NULL,
        [HEALTH_STARTING] = "starting",
        [HEALTH_HEALTHY] = "healthy",
        [HEALTH_UNHEALTHY] = "unhealthy",
    };
    const char *now = names[crate->life->health_state.state];
    char action[64];
    crate->health_failing = crate->life->health_state.failing;
    bool changed = !str_equal(now, crate->health);
    crate->health = now;
    if (!changed || !now || str_equal(now, "starting"))
        return;
    str_format(action, sizeof action, "health_status: %s", now);
    crate_tell(crate, action, NULL);
}

static void check_ended(struct crate_check *check, bool passed)
{
    struct crate *crate = check->crate;
    loop_timer_stop(&check->timeout);
    check->crates->pending--;
    if (crate) {
        crate->life->check = NULL;
        health_result(&crate->life->health_state, passed && !check->late, mono_now());
        tell_state(crate);
        health_wake(crate);
    }
    free(check);
}

static void check_exited(void *owner, int code, const struct err *err)
{
    check_ended(owner, !err && code == 0);
}

static void check_refused(struct loop_later *later)
{
    check_ended(CONTAINER_OF(later, struct crate_check, failed), false);
}

static void check_late(struct loop_timer *timer)
{
    struct crate_check *check = CONTAINER_OF(timer, struct crate_check, timeout);
    check->late = true;
    runtime_exec_kill(check->exec, SIGKILL);
    loop_timer_start(timer, 100); // its pid may not have been known yet
}

static void check_start(struct crate *crate)
{
    static const struct runtime_exec_events events = {NULL, check_exited};
    const json_t *test = config_of(config_of(crate->config, "Healthcheck"), "Test");
    const json_t *shell = config_of(crate->config, "Shell");
    const char *args[CHECK_ARGS_MAX + 4];
    size_t count = 0;
    bool is_shell = str_equal(json_string_value(json_array_get(test, 0)), "CMD-SHELL");
    for (size_t i = 0; is_shell && i < json_array_size(shell) && count < CHECK_ARGS_MAX; i++)
        args[count++] = json_string_value(json_array_get(shell, i));
    if (is_shell && !count) {
        args[count++] = "/bin/sh";
        args[count++] = "-c";
    }
    for (size_t i = 1; i < json_array_size(test) && count < CHECK_ARGS_MAX; i++)
        args[count++] = json_string_value(json_array_get(test, i));
    struct oci_exec spec = {.args = {args, count}};
    struct crate_check *check = MEM_NEW(struct crate_check);
    check->crate = crate;
    check->crates = crate->crates;
    crate->life->check = check;
    crate->crates->pending++;
    loop_timer_init(&check->timeout, crate->crates->loop, check_late);
    loop_later_init(&check->failed, crate->crates->loop, check_refused);
    if (runtime_exec(crate->crates->runtime, crate->id, &spec, false, &events, check, &check->exec,
                     NULL))
        loop_later_ask(&check->failed);
    else
        loop_timer_start(&check->timeout, crate->life->health_state.timeout_ns / NS_PER_MS);
}

static void health_fire(struct loop_timer *timer)
{
    struct crate_life *life = CONTAINER_OF(timer, struct crate_life, health_timer);
    if (!life->check && health_take_due(&life->health_state, mono_now()))
        check_start(life->crate);
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
    if (crate->task || json_array_size(test) < 2 ||
        (!str_equal(kind, "CMD") && !str_equal(kind, "CMD-SHELL")))
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
    health_wake(crate);
}

void crate_health_end(struct crate *crate)
{
    struct crate_life *life = crate->life;
    if (loop_timer_running(&life->health_timer))
        loop_timer_stop(&life->health_timer);
    health_stop(&life->health_state);
    crate->health = crate->health ? "unhealthy" : NULL;
    if (!life->check)
        return;
    life->check->crate = NULL;
    if (life->check->exec)
        loop_timer_start(&life->check->timeout, 0);
    life->check = NULL;
}
