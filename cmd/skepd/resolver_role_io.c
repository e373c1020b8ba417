// The resolver process: the DNS server of agent/dns, fed by the node process, on the sockets that
// the node process opens.
#include "agent/dns/dns_io.h"
#include "agent/dns/feed.h"
#include "cmd/skepd/calls_io.h"
#include "cmd/skepd/fed_role_io.h"
#include "cmd/skepd/messages.h"
#include "cmd/skepd/roles_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

static_assert((int)FEED_NETWORK_PUT >= (int)MESSAGE_ROLE_FIRST,
              "the feed's types are a role's own");

static void *open_server(struct loop *loop)
{
    uint64_t seed;
    entropy_bytes(&seed, sizeof seed);
    return dns_server_open(loop, seed);
}

static int take(void *server, const struct channel_message *message, struct err *err)
{
    return dns_server_take(server, message, err);
}

static void figures(const void *server, struct buf *out)
{
    dns_server_figures(server, out);
}

static void close_server(void *server)
{
    const struct dns_counters *counters = dns_server_counters(server);
    log_info("questions until now",
             "asked=%llu answered=%llu forwarded=%llu failed=%llu refused=%llu dropped=%llu",
             (unsigned long long)counters->questions, (unsigned long long)counters->answered,
             (unsigned long long)counters->forwarded, (unsigned long long)counters->failed,
             (unsigned long long)counters->refused, (unsigned long long)counters->dropped);
    dns_server_close(server);
}

static const struct fed_thing thing = {open_server, take, figures, close_server};

// As the manager's.
static const struct confine_path paths[] = {{.path = "/dev/null"}};

static const struct channel_rule rules[] = {MESSAGE_ROWS_FROM_NODE, FEED_ROWS_FROM_NODE};

const struct role resolver_role = {
    .name = "resolver",
    .title = "skepd: resolver",
    .rules = {rules, COUNT_OF(rules)},
    .calls = &calls_resolver,
    .paths = paths,
    .paths_count = COUNT_OF(paths),
    .start = fed_start,
    .message = fed_message,
    .stop = fed_stop,
    .fed = &thing,
};
