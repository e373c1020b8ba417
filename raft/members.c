#include "raft/members.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// Most removed ids kept: each cost a member's whole life, so a longer list is damage.
#define REMOVED_MAX 100000

void members_init(struct members *members)
{
    *members = (struct members){0};
}

void members_fini(struct members *members)
{
    for (size_t i = 0; i < members->count; i++) {
        free(members->list[i].node_id);
        free(members->list[i].addr);
    }
    free(members->removed);
    members_init(members);
}

static size_t place_of(const struct members *members, uint64_t raft_id)
{
    size_t place = 0;
    while (place < members->count && members->list[place].raft_id < raft_id)
        place++;
    return place;
}

const struct member *members_find(const struct members *members, uint64_t raft_id)
{
    size_t place = place_of(members, raft_id);
    return place < members->count && members->list[place].raft_id == raft_id ? &members->list[place]
                                                                             : NULL;
}

const struct member *members_find_node(const struct members *members, const char *node_id)
{
    for (size_t i = 0; i < members->count; i++)
        if (str_equal(members->list[i].node_id, node_id))
            return &members->list[i];
    return NULL;
}

bool members_was_removed(const struct members *members, uint64_t raft_id)
{
    for (size_t i = 0; i < members->removed_count; i++)
        if (members->removed[i] == raft_id)
            return true;
    return false;
}

static int check_one(const struct members *members, const struct raft_change *change,
                     const Swarm__RaftMember *context, struct err *err)
{
    bool known = members_find(members, change->id) != NULL;
    if (change->type != RAFT_CHANGE_REMOVE &&
        (!context || context->raft_id != change->id || str_empty(context->node_id)))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "change of raft member %" PRIx64 " does not say who it is", change->id);
    if (members_was_removed(members, change->id))
        return err_set(err, ERR_FAILED_PRECONDITION, "raft member %" PRIx64 " was removed before",
                       change->id);
    if (change->type == RAFT_CHANGE_ADD || change->type == RAFT_CHANGE_ADD_LEARNER) {
        if (known)
            return err_set(err, ERR_ALREADY_EXISTS, "raft member %" PRIx64 " is there already",
                           change->id);
        if (members->count == RAFT_MEMBERS_MAX)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "there are %d managers already",
                           RAFT_MEMBERS_MAX);
        return 0;
    }
    if (!known)
        return err_set(err, ERR_NOT_FOUND, "raft member %" PRIx64 " is not there", change->id);
    return 0;
}

int members_check(const struct members *members, const struct raft_conf_change *change,
                  const Swarm__RaftMember *context, struct err *err)
{
    // Joint changes carry no addresses that we could record: understood by the core, refused here.
    if (change->changes_count > 1 && !change->v2)
        return err_set(err, ERR_INVALID_ARGUMENT, "configuration change of several members");
    for (uint32_t i = 0; !change->v2 && i < change->changes_count; i++) {
        int result = check_one(members, &change->changes[i], context, err);
        if (result)
            return result;
    }
    return 0;
}

static void insert(struct members *members, uint64_t raft_id, const char *node_id, const char *addr)
{
    CHECK(members->count < RAFT_MEMBERS_MAX);
    size_t place = place_of(members, raft_id);
    memmove(&members->list[place + 1], &members->list[place],
            (members->count - place) * sizeof members->list[0]);
    members->list[place] = (struct member){
        .raft_id = raft_id,
        .node_id = str_dup(str_or(node_id, "")),
        .addr = str_dup(str_or(addr, "")),
    };
    members->count++;
}

static void erase(struct members *members, uint64_t raft_id)
{
    size_t place = place_of(members, raft_id);
    CHECK(place < members->count);
    CHECK(members->list[place].raft_id == raft_id);
    free(members->list[place].node_id);
    free(members->list[place].addr);
    members->count--;
    memmove(&members->list[place], &members->list[place + 1],
            (members->count - place) * sizeof members->list[0]);
    members->removed =
        mem_realloc(members->removed, (members->removed_count + 1) * sizeof *members->removed);
    members->removed[members->removed_count++] = raft_id;
}

void members_apply(struct members *members, const struct raft_conf_change *change,
                   const Swarm__RaftMember *context)
{
    CHECK(members_check(members, change, context, NULL) == 0);
    for (uint32_t i = 0; !change->v2 && i < change->changes_count; i++) {
        uint64_t id = change->changes[i].id;
        switch (change->changes[i].type) {
        case RAFT_CHANGE_ADD:
        case RAFT_CHANGE_ADD_LEARNER:
            insert(members, id, context->node_id, context->addr);
            break;
        case RAFT_CHANGE_REMOVE:
            erase(members, id);
            break;
        case RAFT_CHANGE_UPDATE: {
            struct member *member = &members->list[place_of(members, id)];
            free(member->node_id);
            free(member->addr);
            member->node_id = str_dup(str_or(context->node_id, ""));
            member->addr = str_dup(str_or(context->addr, ""));
            break;
        }
        }
    }
}

int members_check_removal(const struct members *members, uint64_t victim,
                          bool (*reachable)(void *ctx, uint64_t raft_id), void *ctx,
                          struct err *err)
{
    if (!members_find(members, victim))
        return err_set(err, ERR_NOT_FOUND, "raft: node is not yet part of a raft cluster");
    size_t others = 0;
    for (size_t i = 0; i < members->count; i++)
        if (members->list[i].raft_id != victim && reachable(ctx, members->list[i].raft_id))
            others++;
    // The last member cannot be removed: nobody would be left to decide anything.
    size_t quorum = (members->count - 1) / 2 + 1;
    if (others < quorum)
        return err_set(err, ERR_FAILED_PRECONDITION, MEMBERS_ERR_QUORUM);
    return 0;
}

Swarm__RaftMember *members_row(const struct member *member, struct arena *arena)
{
    Swarm__RaftMember *row = ARENA_NEW(arena, Swarm__RaftMember);
    Swarm__RaftMemberStatus *status = ARENA_NEW(arena, Swarm__RaftMemberStatus);
    if (!row || !status)
        return NULL;
    swarm__raft_member__init(row);
    swarm__raft_member_status__init(status);
    row->raft_id = member->raft_id;
    row->node_id = member->node_id;
    row->addr = member->addr;
    row->status = status; // stock peers always write it
    return row;
}

Swarm__ClusterSnapshot *members_save(const struct members *members, struct arena *arena)
{
    Swarm__ClusterSnapshot *out = ARENA_NEW(arena, Swarm__ClusterSnapshot);
    if (!out)
        return NULL;
    swarm__cluster_snapshot__init(out);
    out->members = arena_alloc_array(arena, members->count, sizeof *out->members);
    out->removed =
        arena_memdup(arena, members->removed, members->removed_count * sizeof *members->removed);
    if (!out->members || !out->removed)
        return NULL;
    for (size_t i = 0; i < members->count; i++)
        if (!(out->members[i] = members_row(&members->list[i], arena)))
            return NULL;
    out->n_members = members->count;
    out->n_removed = members->removed_count;
    return out;
}

int members_load(struct members *members, const Swarm__ClusterSnapshot *from, struct err *err)
{
    size_t count = from ? from->n_members : 0, removed = from ? from->n_removed : 0;
    if (count > RAFT_MEMBERS_MAX || removed > REMOVED_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "member list of %zu, and %zu removed, is too long", count, removed);
    struct members loaded;
    members_init(&loaded);
    for (size_t i = 0; i < count; i++) {
        const Swarm__RaftMember *row = from->members[i];
        if (row->raft_id == 0 || members_find(&loaded, row->raft_id)) {
            members_fini(&loaded);
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "member list has member %" PRIx64 " twice or without an id",
                           row->raft_id);
        }
        insert(&loaded, row->raft_id, row->node_id, row->addr);
    }
    if (removed)
        loaded.removed = mem_dup(from->removed, removed * sizeof *from->removed);
    loaded.removed_count = removed;
    members_fini(members);
    *members = loaded;
    return 0;
}
