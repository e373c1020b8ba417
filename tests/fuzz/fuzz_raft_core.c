// Raft messages as a hostile or broken member may send them: the core may refuse, but never break.
// Every broken promise inside it is a CHECK, so that "does not crash" says a lot here.
#include <stdint.h>
#include <stdlib.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "raft/core/raft.h"

#define STEPS_MAX   400
#define ENTRIES_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Mostly small numbers near what the core has, sometimes wild ones.
static uint64_t number(struct cursor *in, uint64_t near)
{
    uint8_t kind = cursor_u8(in);
    if (kind < 200)
        return near + kind % 8 >= 4 ? near + kind % 8 - 4 : kind % 8;
    if (kind < 240)
        return kind % 8;
    return cursor_u64be(in);
}

static const enum raft_message_type types[] = {
    RAFT_MSG_PROP,        RAFT_MSG_APP,      RAFT_MSG_APP_RESP,      RAFT_MSG_VOTE,
    RAFT_MSG_VOTE_RESP,   RAFT_MSG_SNAP,     RAFT_MSG_HEARTBEAT,     RAFT_MSG_HEARTBEAT_RESP,
    RAFT_MSG_TIMEOUT_NOW, RAFT_MSG_PRE_VOTE, RAFT_MSG_PRE_VOTE_RESP, (enum raft_message_type)15,
};

static void step(struct raft *raft, const struct raft_event *event, struct mono now)
{
    struct err err = ERR_INIT;
    raft_step(raft, event, now, &err);
}

static void send_message(struct raft *raft, struct cursor *in, struct mono now)
{
    struct raft_entry entries[ENTRIES_MAX] = {0};
    struct raft_snapshot snapshot = {0};
    struct raft_message message = {
        .type = types[cursor_u8(in) % COUNT_OF(types)],
        .from = cursor_u8(in) % 5,
        .to = 1,
        .term = number(in, raft_term(raft)),
        .index = number(in, raft_last_index(raft)),
        .commit = number(in, raft_commit(raft)),
        .reject_hint = number(in, raft_last_index(raft)),
        .entries = entries,
    };
    message.log_term = number(in, raft_term_at(raft, message.index));
    message.reject = cursor_u8(in) & 1;
    message.entries_count = cursor_u8(in) % (ENTRIES_MAX + 1);
    for (size_t i = 0; i < message.entries_count; i++) {
        entries[i].index = message.index + 1 + i;
        entries[i].term = number(in, message.term);
        entries[i].type = (enum raft_entry_type)(cursor_u8(in) % 16 == 0);
    }
    if (cursor_u8(in) % 4 == 0) {
        message.context_len = cursor_u8(in) % (RAFT_CONTEXT_BYTES_MAX + 1);
        const uint8_t *bytes = cursor_bytes(in, message.context_len);
        for (uint8_t i = 0; bytes && i < message.context_len; i++)
            message.context[i] = bytes[i];
    }
    if (message.type == RAFT_MSG_SNAP) {
        snapshot.index = number(in, raft_commit(raft));
        snapshot.term = number(in, message.term);
        snapshot.conf.voters_count = cursor_u8(in) % 70;
        for (uint32_t i = 0; i < snapshot.conf.voters_count && i < RAFT_MEMBERS_MAX; i++)
            snapshot.conf.voters[i] = snapshot.conf.voters_count < 5 ? i + 1 : cursor_u8(in);
        message.snapshot = &snapshot;
    }
    struct raft_event event = {.type = RAFT_EVENT_MESSAGE, .u.message = &message};
    step(raft, &event, now);
}

// What a sound shell does with an update.
static void obey(struct raft *raft, struct mono now, bool disk_works, uint64_t *write)
{
    struct raft_update update;
    raft_flush(raft, &update);
    if (update.write.number != 0)
        *write = update.write.number;
    for (size_t i = 0; i < update.apply_count; i++) {
        if (update.apply[i].type == RAFT_ENTRY_NORMAL)
            continue;
        struct raft_event conf = {.type = RAFT_EVENT_CONF_APPLIED,
                                  .u.conf_applied = {update.apply[i].index, NULL}};
        step(raft, &conf, now);
    }
    if (update.apply_count > 0) {
        struct raft_event applied = {.type = RAFT_EVENT_APPLIED,
                                     .u.index = update.apply[update.apply_count - 1].index};
        step(raft, &applied, now);
    }
    for (size_t i = 0; i < update.loads_count; i++) {
        struct raft_event none = {.type = RAFT_EVENT_LOADED,
                                  .u.loaded.load = update.loads[i].number};
        step(raft, &none, now);
    }
    if (*write != 0 && disk_works) {
        struct raft_event persisted = {.type = RAFT_EVENT_PERSISTED, .u.write = *write};
        *write = 0;
        step(raft, &persisted, now);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor in = cursor_of(data, size);
    struct raft_config config = raft_config_default(1, 1);
    struct raft_run run = {1, 1};
    struct raft_boot boot = {
        .hard = {.term = 1, .commit = 2},
        .last_index = 3,
        .runs = &run,
        .runs_count = 1,
        .applied = 2,
        .conf = {.voters_count = 3, .voters = {1, 2, 3}},
    };
    struct mono now = {0};
    uint64_t write = 0; // in flight
    struct raft *raft;
    CHECK(raft_new(&config, &boot, now, &raft, NULL) == 0);
    for (int i = 0; i < STEPS_MAX && cursor_left(&in) > 0; i++) {
        struct raft_event event = {.type = RAFT_EVENT_TICK};
        uint8_t what = cursor_u8(&in);
        now = mono_add(now, (what >> 4) * 40 * NS_PER_MS);
        struct raft_blob *none = NULL;
        switch (what % 16) {
        case 0:
            step(raft, &event, now);
            break;
        case 1:
            event.type = RAFT_EVENT_PROPOSE;
            event.u.propose.data = &none;
            event.u.propose.count = 1;
            step(raft, &event, now);
            break;
        case 2:
            event.type = RAFT_EVENT_CAMPAIGN;
            step(raft, &event, now);
            break;
        case 3:
            event.type = RAFT_EVENT_READ;
            step(raft, &event, now);
            break;
        case 4:
            event.type = RAFT_EVENT_TRANSFER;
            event.u.id = cursor_u8(&in) % 5;
            step(raft, &event, now);
            break;
        default:
            send_message(raft, &in, now);
            break;
        }
        obey(raft, now, what % 3 != 0, &write);
    }
    raft_free(raft);
    return 0;
}
