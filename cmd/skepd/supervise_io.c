#include "cmd/skepd/supervise_io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/skepd/backoff.h"
#include "proto/base/check.h"
#include "proto/base/fsm.h"
#include "proto/base/log.h"
#include "proto/base/process_io.h"
#include "proto/base/str.h"

#define SUPERVISED_MAGIC 0x53505256u

enum { STARTING, READY, WAITING, STOPPING };

static const struct fsm_state states[] = {
    [STARTING] = {"starting", FSM_BIT(READY) | FSM_BIT(WAITING) | FSM_BIT(STOPPING)},
    [READY] = {"ready", FSM_BIT(WAITING) | FSM_BIT(STOPPING)},
    [WAITING] = {"waiting", FSM_BIT(STARTING) | FSM_BIT(STOPPING)},
    [STOPPING] = {"stopping", 0},
};

struct supervised {
    unsigned magic;
    struct loop *loop;
    const struct supervised_spec *spec;
    void *owner;
    struct fsm fsm;
    struct process *process; // NULL while none runs
    struct channel *channel; // NULL when it is closed
    struct mono started;
    struct backoff backoff;
    struct loop_timer timer; // STARTING, STOPPING: patience; WAITING: the next start
    struct loop_later ended; // tells the owner that nothing runs any more
};

static void start(struct supervised *supervised);

static void kill_process(struct supervised *supervised)
{
    if (supervised->process)
        process_kill(supervised->process, SIGKILL);
}

static void drop_channel(struct supervised *supervised)
{
    if (supervised->channel && supervised->spec->lost)
        supervised->spec->lost(supervised->owner);
    channel_close(supervised->channel);
    supervised->channel = NULL;
}

// ---- its end ------------------------------------------------------------------------------------

static void tell_stopped(struct loop_later *later)
{
    struct supervised *supervised = CONTAINER_OF(later, struct supervised, ended);
    MAGIC_CHECK(supervised, SUPERVISED_MAGIC);
    loop_timer_stop(&supervised->timer);
    supervised->spec->stopped(supervised->owner);
    MAGIC_CLEAR(supervised);
    free(supervised);
}

static void wait_to_restart(struct supervised *supervised)
{
    struct mono now = loop_now(supervised->loop);
    int64_t wait_ms = backoff_after(&supervised->backoff, supervised->started, now);
    fsm_move(&supervised->fsm, WAITING);
    loop_timer_start(&supervised->timer, wait_ms);
    log_info("process starts again", "role=%s wait_ms=%lld", supervised->spec->role,
             (long long)wait_ms);
}

static void on_done(void *owner, const struct process_result *result)
{
    struct supervised *supervised = owner;
    MAGIC_CHECK(supervised, SUPERVISED_MAGIC);
    pid_t pid = process_pid(supervised->process);
    supervised->process = NULL;
    drop_channel(supervised);
    loop_timer_stop(&supervised->timer);
    bool wanted = supervised->fsm.now != STOPPING;
    log_write(wanted ? LOG_ERROR : LOG_INFO, "process ended", "role=%s pid=%d exit=%d signal=%d",
              supervised->spec->role, (int)pid, result->exit_code, result->signal);
    if (wanted)
        wait_to_restart(supervised);
    else
        loop_later_ask(&supervised->ended);
}

// ---- what it says -------------------------------------------------------------------------------

static void on_message(void *owner, const struct channel_message *message)
{
    struct supervised *supervised = owner;
    MAGIC_CHECK(supervised, SUPERVISED_MAGIC);
    struct message_ready ready;
    if (message->type != MESSAGE_READY) {
        if (supervised->fsm.now == READY)
            supervised->spec->message(supervised->owner, message);
        return;
    }
    if (supervised->fsm.now != STARTING)
        return; // STOPPING: it crossed our wish; READY: said twice, nothing follows from it
    if (message_ready_parse(message->payload, message->payload_bytes, &ready, NULL)) {
        kill_process(supervised);
        return;
    }
    fsm_move(&supervised->fsm, READY);
    loop_timer_stop(&supervised->timer);
    log_info("process is ready", "role=%s pid=%d", supervised->spec->role,
             (int)supervised_pid(supervised));
    supervised->spec->ready(supervised->owner, &ready);
}

// A channel that ends is a process that ends, or one that broke the rules: it must go either way.
static void on_closed(void *owner, const struct err *why)
{
    struct supervised *supervised = owner;
    MAGIC_CHECK(supervised, SUPERVISED_MAGIC);
    if (why->code != ERR_OK)
        log_error("process broke the rules of its channel", "role=%s err=\"%s\"",
                  supervised->spec->role, why->message);
    drop_channel(supervised);
    if (why->code != ERR_OK)
        kill_process(supervised);
}

// ---- its start ----------------------------------------------------------------------------------

static void on_timer(struct loop_timer *timer)
{
    struct supervised *supervised = CONTAINER_OF(timer, struct supervised, timer);
    MAGIC_CHECK(supervised, SUPERVISED_MAGIC);
    if (supervised->fsm.now == WAITING) {
        fsm_move(&supervised->fsm, STARTING);
        start(supervised);
        return;
    }
    log_error("process takes too long", "role=%s state=%s", supervised->spec->role,
              fsm_name(&supervised->fsm));
    kill_process(supervised);
}

// The same program file even if another was put in its place meanwhile: both sides of the channel
// are of one version.
static int spawn(struct supervised *supervised, int theirs, struct err *err)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0)
        return err_set_errno(err, errno, "open /dev/null");
    const char *const argv[] = {"/proc/self/exe", "--role", supervised->spec->role, NULL};
    const int stdio[] = {null, 1, 2};
    const struct process_spec spec = {
        .argv = argv,
        .cwd = supervised->spec->cwd,
        .fds = &theirs,
        .fds_count = 1,
        .stdio = stdio,
    };
    int result =
        process_start(supervised->loop, &spec, on_done, supervised, &supervised->process, err);
    close(null);
    return result;
}

static int try_start(struct supervised *supervised, struct err *err)
{
    static const struct channel_handler handler = {on_message, on_closed};
    int fds[2];
    int result = channel_pair(fds, err);
    if (result)
        return result;
    result = spawn(supervised, fds[1], err);
    close(fds[1]);
    if (result) {
        close(fds[0]);
        return result;
    }
    return channel_open(supervised->loop, fds[0], &supervised->spec->rules, &handler, supervised,
                        &supervised->channel, err);
}

static void start(struct supervised *supervised)
{
    struct err err = ERR_INIT;
    supervised->started = loop_now(supervised->loop);
    if (try_start(supervised, &err)) {
        log_error("process cannot be started", "role=%s err=\"%s\"", supervised->spec->role,
                  err.message);
        // One that runs without a channel ends, and on_done goes on from there.
        if (supervised->process)
            kill_process(supervised);
        else
            wait_to_restart(supervised);
        return;
    }
    log_info("process started", "role=%s pid=%d", supervised->spec->role,
             (int)supervised_pid(supervised));
    loop_timer_start(&supervised->timer, SUPERVISE_START_MS);
    supervised->spec->greet(supervised->owner, supervised->channel);
}

struct supervised *supervised_start(struct loop *loop, const struct supervised_spec *spec,
                                    void *owner)
{
    struct supervised *supervised = MEM_NEW(struct supervised);
    MAGIC_SET(supervised, SUPERVISED_MAGIC);
    supervised->loop = loop;
    supervised->spec = spec;
    supervised->owner = owner;
    fsm_init(&supervised->fsm, states, COUNT_OF(states), STARTING);
    loop_timer_init(&supervised->timer, loop, on_timer);
    loop_later_init(&supervised->ended, loop, tell_stopped);
    start(supervised);
    return supervised;
}

void supervised_stop(struct supervised *supervised)
{
    MAGIC_CHECK(supervised, SUPERVISED_MAGIC);
    if (supervised->fsm.now == STOPPING) {
        kill_process(supervised);
        return;
    }
    fsm_move(&supervised->fsm, STOPPING);
    if (!supervised->process) {
        loop_later_ask(&supervised->ended);
        return;
    }
    loop_timer_start(&supervised->timer, SUPERVISE_STOP_MS);
    if (!supervised->channel ||
        channel_send(supervised->channel, MESSAGE_STOP, NULL, 0, NULL, 0, NULL))
        kill_process(supervised);
}

struct channel *supervised_channel(const struct supervised *supervised)
{
    return supervised->fsm.now == READY ? supervised->channel : NULL;
}

pid_t supervised_pid(const struct supervised *supervised)
{
    return supervised->process ? process_pid(supervised->process) : 0;
}
