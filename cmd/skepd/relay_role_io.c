// The relay process: published ports on the host's IPv6 addresses (agent/net/relay.h), on sockets
// that the node process opens. It runs once a port is published.
#include "agent/net/relay.h"
#include "agent/net/relay_io.h"
#include "cmd/skepd/calls_io.h"
#include "cmd/skepd/fed_role_io.h"
#include "cmd/skepd/messages.h"
#include "cmd/skepd/roles_io.h"
#include "proto/base/str.h"

static void *open_relay(struct loop *loop)
{
    return relay_open(loop);
}

static int take(void *relay, const struct channel_message *message, struct err *err)
{
    return relay_take(relay, message, err);
}

static void figures(const void *relay, struct buf *out)
{
    relay_figures(relay, out);
}

static void close_relay(void *relay)
{
    relay_close(relay);
}

static const struct fed_thing thing = {open_relay, take, figures, close_relay};

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
    .start = fed_start,
    .message = fed_message,
    .stop = fed_stop,
    .fed = &thing,
};
