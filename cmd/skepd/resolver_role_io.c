// The resolver process. It answers on sockets that the node process opens inside sandboxes; what
// answers stands in agent/dns.
#include "cmd/skepd/roles_io.h"

#include <stdlib.h>

#include "cmd/skepd/calls_io.h"
#include "cmd/skepd/messages.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define RESOLVER_ROLE_MAGIC 0x52534c56u

struct resolver_process {
    unsigned magic;
    struct role_frame *frame;
};

static int start(struct role_frame *frame, const void *config, size_t config_bytes, void **state,
                 struct err *err)
{
    (void)config;
    if (config_bytes != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "unexpected configuration");
    struct resolver_process *resolver = MEM_NEW(struct resolver_process);
    MAGIC_SET(resolver, RESOLVER_ROLE_MAGIC);
    resolver->frame = frame;
    *state = resolver;
    return 0;
}

static void on_message(void *state, const struct channel_message *message)
{
    struct resolver_process *resolver = state;
    MAGIC_CHECK(resolver, RESOLVER_ROLE_MAGIC);
    log_warn("message nobody asked for", "type=%u", message->type);
}

static void stop(void *state)
{
    struct resolver_process *resolver = state;
    MAGIC_CHECK(resolver, RESOLVER_ROLE_MAGIC);
    struct role_frame *frame = resolver->frame;
    MAGIC_CLEAR(resolver);
    free(resolver);
    role_stopped(frame);
}

// As the manager's.
static const struct confine_path paths[] = {{.path = "/dev/null"}};

static const struct channel_rule rules[] = {MESSAGE_ROWS_FROM_NODE};

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
