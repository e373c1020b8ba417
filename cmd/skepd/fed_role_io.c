#include "cmd/skepd/fed_role_io.h"

#include <stdlib.h>

#include "cmd/skepd/messages.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define FED_MAGIC 0x66656470u

struct fed {
    unsigned magic;
    struct role_frame *frame;
    const struct fed_thing *kind;
    void *thing;
};

int fed_start(struct role_frame *frame, const void *config, size_t config_bytes, void **state,
              struct err *err)
{
    (void)config;
    CHECK(frame->role->fed);
    if (config_bytes != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "unexpected configuration");
    struct fed *fed = MEM_NEW(struct fed);
    MAGIC_SET(fed, FED_MAGIC);
    fed->frame = frame;
    fed->kind = frame->role->fed;
    fed->thing = fed->kind->open(frame->loop);
    *state = fed;
    return 0;
}

static void tell_figures(const struct fed *fed)
{
    struct buf text;
    struct err err = ERR_INIT;
    buf_init(&text, MESSAGE_METRICS_BYTES_MAX);
    fed->kind->figures(fed->thing, &text);
    if (channel_send(fed->frame->channel, MESSAGE_METRICS, text.data, text.len, NULL, 0, &err))
        log_warn("figures could not be told", "err=\"%s\"", err.message);
    buf_fini(&text);
}

void fed_message(void *state, const struct channel_message *message)
{
    struct fed *fed = state;
    MAGIC_CHECK(fed, FED_MAGIC);
    struct err err = ERR_INIT;
    if (message->type == MESSAGE_METRICS_ASK)
        tell_figures(fed);
    else if (fed->kind->take(fed->thing, message, &err))
        log_warn("what the node process feeds is not taken", "type=%u err=\"%s\"", message->type,
                 err.message);
}

void fed_stop(void *state)
{
    struct fed *fed = state;
    MAGIC_CHECK(fed, FED_MAGIC);
    struct role_frame *frame = fed->frame;
    fed->kind->close(fed->thing);
    MAGIC_CLEAR(fed);
    free(fed);
    role_stopped(frame);
}
