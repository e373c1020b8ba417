#include "raft/core/confchange.h"

#include <inttypes.h>
#include <string.h>

// ---- sorted lists of ids ------------------------------------------------------------------------

static bool ids_have(const uint64_t *ids, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

// False when the list is full.
static bool ids_add(uint64_t *ids, uint32_t *count, uint64_t id)
{
    if (ids_have(ids, *count, id))
        return true;
    if (*count == RAFT_MEMBERS_MAX)
        return false;
    uint32_t at = (*count)++;
    for (; at > 0 && ids[at - 1] > id; at--)
        ids[at] = ids[at - 1];
    ids[at] = id;
    return true;
}

static void ids_remove(uint64_t *ids, uint32_t *count, uint64_t id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++)
        if (ids[i] != id)
            ids[kept++] = ids[i];
    *count = kept;
}

static int ids_settle(uint64_t *ids, uint32_t *count, struct err *err)
{
    uint64_t given[RAFT_MEMBERS_MAX];
    uint32_t given_count = *count;
    if (given_count > RAFT_MEMBERS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "configuration with %" PRIu32 " members",
                       given_count);
    memcpy(given, ids, given_count * sizeof *ids);
    *count = 0;
    for (uint32_t i = 0; i < given_count; i++) {
        if (given[i] == 0 || ids_have(ids, *count, given[i]))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "configuration lists member %" PRIx64 " wrongly", given[i]);
        ids_add(ids, count, given[i]);
    }
    return 0;
}

int confchange_settle(struct raft_conf *conf, struct err *err)
{
    int result = ids_settle(conf->voters, &conf->voters_count, err);
    if (result == 0)
        result = ids_settle(conf->outgoing, &conf->outgoing_count, err);
    if (result == 0)
        result = ids_settle(conf->learners, &conf->learners_count, err);
    if (result == 0)
        result = ids_settle(conf->learners_next, &conf->learners_next_count, err);
    if (result < 0)
        return result;
    for (uint32_t i = 0; i < conf->learners_count; i++)
        if (raft_conf_is_voter(conf, conf->learners[i]))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "member %" PRIx64 " is both voter and learner", conf->learners[i]);
    return 0;
}

// ---- one member ---------------------------------------------------------------------------------

static bool add_voter(struct raft_conf *conf, uint64_t id)
{
    ids_remove(conf->learners, &conf->learners_count, id);
    ids_remove(conf->learners_next, &conf->learners_next_count, id);
    return ids_add(conf->voters, &conf->voters_count, id);
}

static bool add_learner(struct raft_conf *conf, uint64_t id)
{
    ids_remove(conf->voters, &conf->voters_count, id);
    // Still a voter of the outgoing half: it becomes a learner when that half goes.
    if (ids_have(conf->outgoing, conf->outgoing_count, id))
        return ids_add(conf->learners_next, &conf->learners_next_count, id);
    return ids_add(conf->learners, &conf->learners_count, id);
}

static void remove_member(struct raft_conf *conf, uint64_t id)
{
    ids_remove(conf->voters, &conf->voters_count, id);
    ids_remove(conf->learners, &conf->learners_count, id);
    ids_remove(conf->learners_next, &conf->learners_next_count, id);
}

static int change_member(struct raft_conf *conf, const struct raft_change *change, struct err *err)
{
    bool room = true;
    switch (change->type) {
    case RAFT_CHANGE_ADD:
        room = add_voter(conf, change->id);
        break;
    case RAFT_CHANGE_ADD_LEARNER:
        room = add_learner(conf, change->id);
        break;
    case RAFT_CHANGE_REMOVE:
        remove_member(conf, change->id);
        break;
    case RAFT_CHANGE_UPDATE:
        break;
    default:
        return err_set(err, ERR_INVALID_ARGUMENT, "unknown membership change %d",
                       (int)change->type);
    }
    if (!room)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d members", RAFT_MEMBERS_MAX);
    return 0;
}

// ---- whole changes ------------------------------------------------------------------------------

static int leave_joint(struct raft_conf *out, struct err *err)
{
    if (out->outgoing_count == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "not in a joint configuration");
    for (uint32_t i = 0; i < out->learners_next_count; i++)
        if (!ids_add(out->learners, &out->learners_count, out->learners_next[i]))
            return err_set(err, ERR_INVALID_ARGUMENT, "more than %d members", RAFT_MEMBERS_MAX);
    out->outgoing_count = 0;
    out->learners_next_count = 0;
    out->auto_leave = false;
    return 0;
}

static uint32_t voters_differ(const struct raft_conf *a, const struct raft_conf *b)
{
    uint32_t differ = 0;
    for (uint32_t i = 0; i < a->voters_count; i++)
        differ += !ids_have(b->voters, b->voters_count, a->voters[i]);
    for (uint32_t i = 0; i < b->voters_count; i++)
        differ += !ids_have(a->voters, a->voters_count, b->voters[i]);
    return differ;
}

int confchange_apply(const struct raft_conf *conf, const struct raft_conf_change *change,
                     struct raft_conf *out, struct err *err)
{
    *out = *conf;
    if (change->changes_count > RAFT_MEMBERS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "change of %" PRIu32 " members",
                       change->changes_count);
    if (change->v2 && change->transition == 0 && change->changes_count == 0)
        return leave_joint(out, err);
    bool joint = change->v2 && (change->transition != 0 || change->changes_count > 1);
    if (conf->outgoing_count > 0 && change->changes_count > 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "the joint configuration must be left first");
    if (!joint && change->changes_count > 1)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than one member in a simple change");
    if (joint) {
        if (conf->voters_count == 0)
            return err_set(err, ERR_INVALID_ARGUMENT, "no voters to be joint with");
        memcpy(out->outgoing, out->voters, out->voters_count * sizeof *out->voters);
        out->outgoing_count = out->voters_count;
        out->auto_leave = change->transition != 2;
    }
    for (uint32_t i = 0; i < change->changes_count; i++) {
        if (change->changes[i].id == 0)
            return err_set(err, ERR_INVALID_ARGUMENT, "member id 0");
        int result = change_member(out, &change->changes[i], err);
        if (result < 0)
            return result;
    }
    if (out->voters_count == 0 && conf->voters_count > 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "the change removes the last voter");
    if (!joint && voters_differ(conf, out) > 1)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than one voter in a simple change");
    return 0;
}
