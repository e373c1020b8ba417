#include "raft/core/types.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"

struct raft_blob *raft_blob_new(const void *bytes, size_t len)
{
    CHECK(len <= UINT32_MAX);
    struct raft_blob *blob = malloc(sizeof *blob + len);
    CHECK(blob);
    blob->refs = 1;
    blob->len = (uint32_t)len;
    if (bytes)
        memcpy(blob->bytes, bytes, len);
    else
        memset(blob->bytes, 0, len);
    return blob;
}

struct raft_blob *raft_blob_ref(struct raft_blob *blob)
{
    if (blob) {
        CHECK(blob->refs > 0);
        CHECK(blob->refs < UINT32_MAX);
        blob->refs++;
    }
    return blob;
}

void raft_blob_unref(struct raft_blob *blob)
{
    if (!blob)
        return;
    CHECK(blob->refs > 0);
    if (--blob->refs == 0)
        free(blob);
}

size_t raft_entry_bytes(const struct raft_entry *entry)
{
    return RAFT_ENTRY_OVERHEAD_BYTES + (entry->data ? entry->data->len : 0);
}

const char *raft_message_name(enum raft_message_type type)
{
    switch (type) {
    case RAFT_MSG_PROP:
        return "MsgProp";
    case RAFT_MSG_APP:
        return "MsgApp";
    case RAFT_MSG_APP_RESP:
        return "MsgAppResp";
    case RAFT_MSG_VOTE:
        return "MsgVote";
    case RAFT_MSG_VOTE_RESP:
        return "MsgVoteResp";
    case RAFT_MSG_SNAP:
        return "MsgSnap";
    case RAFT_MSG_HEARTBEAT:
        return "MsgHeartbeat";
    case RAFT_MSG_HEARTBEAT_RESP:
        return "MsgHeartbeatResp";
    case RAFT_MSG_TIMEOUT_NOW:
        return "MsgTimeoutNow";
    case RAFT_MSG_PRE_VOTE:
        return "MsgPreVote";
    case RAFT_MSG_PRE_VOTE_RESP:
        return "MsgPreVoteResp";
    }
    return "MsgUnknown";
}

// ---- configurations -----------------------------------------------------------------------------

static bool holds(const uint64_t *ids, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

bool raft_conf_is_voter(const struct raft_conf *conf, uint64_t id)
{
    return holds(conf->voters, conf->voters_count, id) ||
           holds(conf->outgoing, conf->outgoing_count, id);
}

bool raft_conf_is_learner(const struct raft_conf *conf, uint64_t id)
{
    return holds(conf->learners, conf->learners_count, id) && !raft_conf_is_voter(conf, id);
}

bool raft_conf_has(const struct raft_conf *conf, uint64_t id)
{
    return raft_conf_is_voter(conf, id) || raft_conf_is_learner(conf, id);
}

static bool same_ids(const uint64_t *a, uint32_t a_count, const uint64_t *b, uint32_t b_count)
{
    return a_count == b_count && memcmp(a, b, a_count * sizeof *a) == 0;
}

bool raft_conf_equal(const struct raft_conf *a, const struct raft_conf *b)
{
    return a->auto_leave == b->auto_leave &&
           same_ids(a->voters, a->voters_count, b->voters, b->voters_count) &&
           same_ids(a->outgoing, a->outgoing_count, b->outgoing, b->outgoing_count) &&
           same_ids(a->learners, a->learners_count, b->learners, b->learners_count) &&
           same_ids(a->learners_next, a->learners_next_count, b->learners_next,
                    b->learners_next_count);
}
