// The resolver process: the DNS server of agent/dns, fed by the node process, on the sockets that
// the node process opens.
#include "cmd/skepd/roles_io.h"

#include <stdlib.h>

#include "agent/dns/dns_io.h"
#include "agent/dns/feed.h"
#include "cmd/skepd/calls_io.h"
#include "cmd/skepd/messages.h"
#include "proto/base/check.h"
#include "proto/base/entropy_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define RESOLVER_ROLE_MAGIC 0x52534c56u

static_assert((int)FEED_NETWORK_PUT >= (int)MESSAGE_ROLE_FIRST,
              "the feed's types are a role's own");

struct resolver_process {
    unsigned magic;
    struct role_frame *frame;
    struct dns_server *server;
};

static int start(struct role_frame *frame, const void *config, size_t config_bytes, void **state,
                 struct err *err)
{
    (void)config;
    if (config_bytes != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "unexpected configuration");
    uint64_t seed;
    entropy_bytes(&seed, sizeof seed);
    struct resolver_process *resolver = MEM_NEW(struct resolver_process);
    MAGIC_SET(resolver, RESOLVER_ROLE_MAGIC);
    resolver->frame = frame;
    resolver->server = dns_server_open(frame->loop, seed);
    *state = resolver;
    return 0;
}

static void tell_metrics(struct resolver_process *resolver)
{
    struct buf text;
    struct err err = ERR_INIT;
    buf_init(&text, MESSAGE_METRICS_BYTES_MAX);
    dns_server_figures(resolver->server, &text);
    if (channel_send(resolver->frame->channel, MESSAGE_METRICS, text.data, text.len, NULL, 0, &err))
        log_warn("figures could not be told", "err=\"%s\"", err.message);
    buf_fini(&text);
}

static void on_message(void *state, const struct channel_message *message)
{
    struct resolver_process *resolver = state;
    MAGIC_CHECK(resolver, RESOLVER_ROLE_MAGIC);
    struct err err = ERR_INIT;
    if (message->type == MESSAGE_METRICS_ASK)
        tell_metrics(resolver);
    else if (dns_server_take(resolver->server, message, &err))
        log_warn("a change of the names is not made", "type=%u err=\"%s\"", message->type,
                 err.message);
}

static void stop(void *state)
{
    struct resolver_process *resolver = state;
    MAGIC_CHECK(resolver, RESOLVER_ROLE_MAGIC);
    struct role_frame *frame = resolver->frame;
    const struct dns_counters *counters = dns_server_counters(resolver->server);
    log_info("questions until now",
             "asked=%llu answered=%llu forwarded=%llu failed=%llu refused=%llu dropped=%llu",
             (unsigned long long)counters->questions, (unsigned long long)counters->answered,
             (unsigned long long)counters->forwarded, (unsigned long long)counters->failed,
             (unsigned long long)counters->refused, (unsigned long long)counters->dropped);
    dns_server_close(resolver->server);
    MAGIC_CLEAR(resolver);
    free(resolver);
    role_stopped(frame);
}

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
    .start = start,
    .message = on_message,
    .stop = stop,
};
