#include "manager/logs/logs.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

struct logs {
    struct broker *broker;
    struct loop_later later;
};

static void on_later(struct loop_later *later)
{
    broker_step(CONTAINER_OF(later, struct logs, later)->broker);
}

static void on_wake(void *ctx)
{
    struct logs *logs = ctx;
    loop_later_ask(&logs->later);
}

struct logs *logs_start(struct loop *loop, struct store *store, const struct rng *rng)
{
    struct logs *logs = MEM_NEW(struct logs);
    struct broker_config config = {.store = store, .rng = rng, .wake = on_wake, .ctx = logs};
    loop_later_init(&logs->later, loop, on_later);
    logs->broker = broker_new(&config);
    return logs;
}

void logs_stop(struct logs *logs)
{
    broker_free(logs->broker);
    loop_later_cancel(&logs->later);
    free(logs);
}

struct broker *logs_broker(struct logs *logs)
{
    return logs->broker;
}
