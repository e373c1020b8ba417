#include "manager/roles.h"

#include <stdlib.h>

#include "manager/store/txn.h"
#include "manager/store/watch.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "proto/wire/objects.pb-c.h"

#define ROLES_MAGIC 0x726f6c65u

// One at a time, as Raft changes its members.
struct removal {
    struct raft_proposal proposal;
    struct roles *roles; // NULL: nobody waits for it any more
    char *node_id;
};

struct roles {
    unsigned magic;
    struct loop *loop;
    struct store *store;
    struct raft_node *node;
    struct watch *watch;
    struct map pending; // node id -> NULL
    struct removal *removal;
    struct loop_later turn;
    struct loop_timer retry;
};

static struct roles *roles_of(void *ctx)
{
    struct roles *roles = ctx;
    MAGIC_CHECK(roles, ROLES_MAGIC);
    return roles;
}

// ---- the three changes --------------------------------------------------------------------------

static int set_role(struct roles *roles, const char *node_id, Swarm__NodeRole role, struct err *err)
{
    struct txn *txn;
    int result = txn_begin(roles->store, wall_now(), &txn, err);
    if (result)
        return result;
    Swarm__Node *node = txn_edit(txn, OBJECT_NODE, node_id);
    if (!node) {
        txn_abandon(txn);
        return 0; // removed meanwhile
    }
    node->role = role;
    result = txn_update(txn, OBJECT_NODE, node, err);
    if (result) {
        txn_abandon(txn);
        return result;
    }
    result = txn_commit(txn, NULL, err);
    return result == TXN_EMPTY ? 0 : result;
}

static void on_removed(struct raft_proposal *proposal, const struct err *err)
{
    struct removal *removal = CONTAINER_OF(proposal, struct removal, proposal);
    struct roles *roles = removal->roles;
    if (err)
        log_warn("manager could not be removed from raft", "node=%s err=\"%s\"", removal->node_id,
                 err->message);
    if (roles) {
        roles->removal = NULL;
        // A refused one waits for the timer.
        if (!err)
            loop_later_ask(&roles->turn);
    }
    free(removal->node_id);
    free(removal);
}

static int remove_member(struct roles *roles, const struct member *member, struct err *err)
{
    int result = raft_node_check_removal(roles->node, member->raft_id, err);
    if (result)
        return result;
    // The leader does not remove itself: the next one does.
    if (member->raft_id == raft_node_id(roles->node))
        return raft_node_transfer(roles->node, 0, err);
    if (roles->removal)
        return 0;
    struct removal *removal = MEM_NEW(struct removal);
    removal->roles = roles;
    removal->node_id = str_dup(member->node_id);
    removal->proposal.done = on_removed;
    result = raft_node_propose_change(roles->node, &removal->proposal, RAFT_CHANGE_REMOVE,
                                      member->raft_id, NULL, NULL, err);
    if (result) {
        free(removal->node_id);
        free(removal);
        return result;
    }
    roles->removal = removal;
    log_info("manager is removed from raft", "node=%s", member->node_id);
    return 0;
}

// ---- looking at one node ------------------------------------------------------------------------

// Takes the next step towards what is wanted of the node; true when nothing is left to do.
static bool step(struct roles *roles, const char *node_id, struct err *err)
{
    const struct member *member = members_find_node(raft_node_members(roles->node), node_id);
    struct view view = store_pin(roles->store);
    const struct object *object = view_get(view, OBJECT_NODE, node_id);
    bool gone = object == NULL;
    struct node_facts facts = gone ? (struct node_facts){0} : *object_node(object);
    store_unpin(view);
    if (!gone && facts.role == facts.desired_role)
        return true;
    if (!gone && facts.desired_role == SWARM__NODE_ROLE__MANAGER) {
        set_role(roles, node_id, SWARM__NODE_ROLE__MANAGER, err);
        return false;
    }
    if (member) {
        remove_member(roles, member, err);
        return false;
    }
    if (!gone)
        set_role(roles, node_id, SWARM__NODE_ROLE__WORKER, err);
    return gone;
}

static void add(struct roles *roles, const char *node_id)
{
    if (!map_has_str(&roles->pending, node_id))
        map_put_str(&roles->pending, node_id, NULL);
}

static void add_if_differs(struct roles *roles, const struct object *object)
{
    const struct node_facts *facts = object_node(object);
    if (facts->role != facts->desired_role)
        add(roles, object_id(object));
}

// Everything anew: at the start, and when events were lost.
static void add_all(struct roles *roles)
{
    const struct members *members = raft_node_members(roles->node);
    struct view view = store_pin(roles->store);
    VIEW_EACH (object, view, OBJECT_NODE, BY_ALL)
        add_if_differs(roles, object);
    for (size_t i = 0; i < members->count; i++)
        if (!view_get(view, OBJECT_NODE, members->list[i].node_id))
            add(roles, members->list[i].node_id);
    store_unpin(view);
}

static void on_turn(struct loop_later *later)
{
    struct roles *roles = roles_of(CONTAINER_OF(later, struct roles, turn));
    struct watch_event event;
    while (watch_next(roles->watch, &event)) {
        if (event.action == WATCH_LOST)
            add_all(roles);
        else if (event.action == WATCH_REMOVE)
            add(roles, object_id(event.now));
        else
            add_if_differs(roles, event.now);
        watch_event_fini(&event);
    }
    MAP_EACH (entry, &roles->pending) {
        struct err err = ERR_INIT;
        if (step(roles, entry->key, &err))
            map_remove_str(&roles->pending, entry->key);
        else if (err.code != ERR_OK)
            log_debug("role not changed yet", "node=%s err=\"%s\"", (const char *)entry->key,
                      err.message);
    }
    if (map_count(&roles->pending))
        loop_timer_start(&roles->retry, ROLES_RETRY_MS);
    else
        loop_timer_stop(&roles->retry);
}

static void on_retry(struct loop_timer *timer)
{
    loop_later_ask(&roles_of(CONTAINER_OF(timer, struct roles, retry))->turn);
}

static void on_change(struct watch *watch, void *ctx)
{
    (void)watch;
    loop_later_ask(&roles_of(ctx)->turn);
}

// ---- life ---------------------------------------------------------------------------------------

struct roles *roles_start(struct loop *loop, struct store *store, struct raft_node *node)
{
    struct roles *roles = MEM_NEW(struct roles);
    MAGIC_SET(roles, ROLES_MAGIC);
    roles->loop = loop;
    roles->store = store;
    roles->node = node;
    map_init(&roles->pending);
    loop_later_init(&roles->turn, loop, on_turn);
    loop_timer_init(&roles->retry, loop, on_retry);
    struct watch_rule rule = {.type = OBJECT_NODE, .actions = WATCH_ANY};
    struct watch_options options = {
        .rules = &rule, .rules_count = 1, .wake = on_change, .ctx = roles};
    int opened = watch_open(store, &options, &roles->watch, NULL);
    CHECK(opened == 0);
    add_all(roles);
    loop_later_ask(&roles->turn);
    return roles;
}

void roles_stop(struct roles *roles)
{
    roles_of(roles);
    if (roles->removal)
        roles->removal->roles = NULL;
    watch_close(roles->watch);
    loop_later_cancel(&roles->turn);
    loop_timer_stop(&roles->retry);
    map_fini(&roles->pending);
    MAGIC_CLEAR(roles);
    free(roles);
}
