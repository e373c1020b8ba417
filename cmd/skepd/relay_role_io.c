// The relay process: published ports on the host's IPv6 addresses (agent/net/relay.h), on sockets
// that the node process opens. It runs once a port is published.
#include "cmd/skepd/roles_io.h"

#include <stdlib.h>

#include "agent/net/relay.h"
#include "agent/net/relay_io.h"
#include "cmd/skepd/calls_io.h"
#include "cmd/skepd/messages.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define RELAY_ROLE_MAGIC 0x524c5250u

struct relay_process {
    unsigned magic;
    struct role_frame *frame;
    struct relay *relay;
};

static int start(struct role_frame *frame, const void *config, size_t config_bytes, void **state,
                 struct err *err)
{
    (void)config;
    if (config_bytes != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "unexpected configuration");
    struct relay_process *process = MEM_NEW(struct relay_process);
    MAGIC_SET(process, RELAY_ROLE_MAGIC);
    process->frame = frame;
    process->relay = relay_open(frame->loop);
    *state = process;
    return 0;
}

static void tell_metrics(const struct relay_process *process)
{
    struct buf text;
    struct err err = ERR_INIT;
    buf_init(&text, MESSAGE_METRICS_BYTES_MAX);
    relay_figures(process->relay, &text);
    if (channel_send(process->frame->channel, MESSAGE_METRICS, text.data, text.len, NULL, 0, &err))
        log_warn("figures could not be told", "err=\"%s\"", err.message);
    buf_fini(&text);
}

static void on_message(void *state, const struct channel_message *message)
{
    struct relay_process *process = state;
    MAGIC_CHECK(process, RELAY_ROLE_MAGIC);
    struct err err = ERR_INIT;
    if (message->type == MESSAGE_METRICS_ASK)
        tell_metrics(process);
    else if (relay_take(process->relay, message, &err))
        log_warn("a change of the ports is not made", "type=%u err=\"%s\"", message->type,
                 err.message);
}

static void stop(void *state)
{
    struct relay_process *process = state;
    MAGIC_CHECK(process, RELAY_ROLE_MAGIC);
    struct role_frame *frame = process->frame;
    relay_close(process->relay);
    MAGIC_CLEAR(process);
    free(process);
    role_stopped(frame);
}

// As the manager's.
static const struct confine_path paths[] = {{.path = "/dev/null"}};

static const struct channel_rule rules[] = {MESSAGE_ROWS_FROM_NODE, RELAY_ROWS_FROM_NODE};

const struct role relay_role = {
    .name = "relay",
    .title = "skepd: relay",
    .rules = {rules, COUNT_OF(rules)},
    .calls = &calls_relay,
    .paths = paths,
    .paths_count = COUNT_OF(paths),
    .start = start,
    .message = on_message,
    .stop = stop,
};
