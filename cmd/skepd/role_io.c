#include "cmd/skepd/role_io.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "cmd/skepd/heap_io.h"
#include "cmd/skepd/messages.h"
#include "proto/base/check.h"
#include "proto/base/log.h"

// How long an orderly end may take before the process ends anyway. Shorter than the supervisor's
// patience, so that what hangs is seen in this process's own log.
#define STOP_MS 8000

struct running {
    struct role_frame frame; // first: role_stopped finds its way back
    struct loop loop;
    void *state;
    bool started;
    bool stopping;
    int exit_status;
    struct loop_timer stop_timer;
    struct heap heap;
};

static void give_up(struct running *running, const char *what, const struct err *why)
{
    log_error(what, "err=\"%s\"", why->message);
    running->exit_status = EXIT_FAILURE;
    loop_stop(&running->loop);
}

void role_stopped(struct role_frame *frame)
{
    struct running *running = CONTAINER_OF(frame, struct running, frame);
    if (!running->stopping) // it gave up by itself
        running->exit_status = EXIT_FAILURE;
    running->stopping = true;
    loop_stop(&running->loop);
}

static void on_stop_late(struct loop_timer *timer)
{
    struct running *running = CONTAINER_OF(timer, struct running, stop_timer);
    log_warn("orderly stop takes too long", "limit_ms=%d", STOP_MS);
    // What the role still holds cannot be given back any more: leave without looking back.
    _Exit(running->exit_status);
}

static void stop(struct running *running)
{
    if (running->stopping)
        return;
    running->stopping = true;
    if (!running->started) {
        loop_stop(&running->loop);
        return;
    }
    loop_timer_start(&running->stop_timer, STOP_MS);
    running->frame.role->stop(running->state);
}

// Becomes who the node process says. The working folder is the only one that may be written.
static int confine(const struct role *role, const struct message_start *start,
                   struct confine_report *report, struct err *err)
{
    struct confine_path paths[16] = {{.path = ".", .writable = true}};
    CHECK(role->paths_count < COUNT_OF(paths));
    for (size_t i = 0; i < role->paths_count; i++)
        paths[1 + i] = role->paths[i];
    const struct confine_spec spec = {
        .uid = start->uid,
        .gid = start->gid,
        .calls = role->calls->rows,
        .calls_count = role->calls->count,
        .paths = paths,
        .paths_count = 1 + role->paths_count,
    };
    return confine_self(&spec, report, err);
}

static void on_start(struct running *running, const struct channel_message *message)
{
    const struct role *role = running->frame.role;
    struct message_start start;
    struct confine_report report;
    struct err err = ERR_INIT;
    if (message_start_parse(message->payload, message->payload_bytes, &start, &err)) {
        give_up(running, "cannot understand the start message", &err);
        return;
    }
    log_setup(2, start.log_level, start.log_format, role->name);
    if (confine(role, &start, &report, &err)) {
        give_up(running, "cannot give up rights", &err);
        return;
    }
    if (role->start(&running->frame, start.config, start.config_bytes, &running->state, &err)) {
        give_up(running, "cannot start", &err);
        return;
    }
    running->started = true;
    struct buf ready;
    buf_init(&ready, MESSAGE_READY_BYTES);
    message_ready_pack(&ready, &(struct message_ready){
                                   .seccomp = report.seccomp,
                                   .landlock = (uint8_t)report.landlock,
                               });
    if (channel_send(running->frame.channel, MESSAGE_READY, ready.data, ready.len, NULL, 0, &err))
        give_up(running, "cannot say that it is ready", &err);
    buf_fini(&ready);
}

static void on_message(void *owner, const struct channel_message *message)
{
    struct running *running = owner;
    enum log_level level;
    if (running->stopping)
        return;
    if (message->type == MESSAGE_START && !running->started) {
        on_start(running, message);
    } else if (message->type == MESSAGE_STOP) {
        stop(running);
    } else if (message->type == MESSAGE_LOG) {
        if (message_log_parse(message->payload, message->payload_bytes, &level))
            log_set_level(level);
    } else if (running->started && message->type != MESSAGE_START) {
        running->frame.role->message(running->state, message);
    } else {
        log_warn("message out of turn", "type=%u", message->type);
    }
}

static void on_closed(void *owner, const struct err *why)
{
    struct running *running = owner;
    if (why->code != ERR_OK)
        log_error("the channel to the node process broke", "err=\"%s\"", why->message);
    else if (!running->stopping)
        log_warn("the node process is gone", "role=%s", running->frame.role->name);
    // It cannot be served without the node process, and a new one starts its own.
    running->exit_status = EXIT_FAILURE;
    stop(running);
}

int role_run(const struct role *role)
{
    static const struct channel_handler handler = {on_message, on_closed};
    struct running running = {.frame.role = role, .exit_status = EXIT_SUCCESS};
    struct err err = ERR_INIT;
    prctl(PR_SET_NAME, role->title);
    signal(SIGPIPE, SIG_IGN);
    log_setup(2, LOG_INFO, LOG_TEXT, role->name);
    confine_close_from(ROLE_CHANNEL_FD + 1);
    heap_settle();
    loop_init(&running.loop);
    running.frame.loop = &running.loop;
    loop_timer_init(&running.stop_timer, &running.loop, on_stop_late);
    if (channel_open(&running.loop, ROLE_CHANNEL_FD, &role->rules, &handler, &running,
                     &running.frame.channel, &err)) {
        log_error("not started by skepd", "err=\"%s\"", err.message);
        loop_fini(&running.loop);
        return EXIT_FAILURE;
    }
    heap_start(&running.heap, &running.loop);
    loop_run(&running.loop);
    heap_stop(&running.heap);
    loop_timer_stop(&running.stop_timer);
    channel_close(running.frame.channel);
    // What a failed start left behind ends with the process.
    if (running.exit_status == EXIT_SUCCESS)
        loop_fini(&running.loop);
    return running.exit_status;
}
