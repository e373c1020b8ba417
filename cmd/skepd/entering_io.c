// How a node gets into a swarm: founding one, joining one, founding it anew as its only manager,
// and unlocking the one it is in.
#include <string.h>

#include "cmd/skepd/addresses_io.h"
#include "cmd/skepd/founding_io.h"
#include "cmd/skepd/membership_impl_io.h"
#include "cmd/skepd/swarmdir_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

// How long a user waits for a node to find its place, as with dockerd.
#define PATIENCE_MS 20000

static bool may_enter(struct membership *membership, backend_done *done, void *owner)
{
    bool free = !membership->member && !membership->joining && !membership->leaving &&
                !membership->done && !membership->closed;
    if (!free)
        membership_refuse(
            membership, done, owner, ERR_UNAVAILABLE,
            "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm "
            "and join another one.");
    return free;
}

static void begin(struct membership *membership, backend_done *done, void *owner)
{
    CHECK(!membership->done);
    membership->done = done;
    membership->owner = owner;
    membership->entering = true;
    membership->error[0] = '\0';
    loop_timer_start(&membership->patience, PATIENCE_MS);
}

static bool parse_availability(const char *text, Swarm__NodeSpec__Availability *out)
{
    static const struct {
        const char *text;
        Swarm__NodeSpec__Availability value;
    } rows[] = {{"", SWARM__NODE_SPEC__AVAILABILITY__ACTIVE},
                {"active", SWARM__NODE_SPEC__AVAILABILITY__ACTIVE},
                {"pause", SWARM__NODE_SPEC__AVAILABILITY__PAUSE},
                {"drain", SWARM__NODE_SPEC__AVAILABILITY__DRAIN}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (str_equal_case(str_or(text, ""), rows[i].text)) {
            *out = rows[i].value;
            return true;
        }
    return false;
}

// ---- the only manager of a cluster that lost its quorum -----------------------------------------

static void on_manager_forced(void *owner)
{
    struct membership *membership = membership_of(owner);
    struct agent *agent = station_agent(membership->station);
    membership->manager_runs = membership->manager_ends = false;
    if (!membership->leaving && agent) {
        charge_fill(&membership->charge, MANAGER_FORCE, membership->place.advertise_addr,
                    agent_credentials(agent), agent_data_key(agent));
        charge_set_keys(&membership->charge, agent_data_key(agent), agent_next_data_key(agent));
        membership_start_manager(membership);
        // Those who are asked first must not be the dead: a user waits.
        membership->connected = false;
        agent_follow_own(agent, membership->place.advertise_addr);
    }
    membership_let_leave(membership);
}

static void force(struct membership *membership, const struct addresses_wish *wish,
                  backend_done *done, void *owner)
{
    struct place place = membership->place;
    struct err err = ERR_INIT;
    int result = 0;
    if (!membership->member || membership->leaving || membership->done || membership->closed ||
        membership->locked || membership->manager_ends || membership->role != IDENTITY_MANAGER ||
        !station_agent(membership->station))
        result = err_set(&err, ERR_UNAVAILABLE,
                         "only a manager of a swarm can be made the only one by "
                         "--force-new-cluster");
    if (!result && !str_empty(wish->advertise))
        result = addresses_settle(&place, wish, &err);
    if (!result)
        result = swarmdir_save_place(membership->config->data_root, &place, &err);
    if (result) {
        membership_answer_to(membership, done, owner, &err);
        return;
    }
    log_warn("this manager becomes the only one of its cluster", "node=%s", membership->node_id);
    membership->place = place;
    begin(membership, done, owner);
    membership->entering = false; // what there is stays, whatever happens
    loop_timer_stop(&membership->retry);
    if (membership->manager_runs)
        membership_end_manager(membership, on_manager_forced);
    else
        on_manager_forced(membership);
}

void membership_init(struct membership *membership, const struct backend_init *init,
                     backend_done *done, void *owner)
{
    membership_of(membership);
    struct err err = ERR_INIT;
    struct addresses_wish wish = {.listen = init->listen_addr,
                                  .advertise = init->advertise_addr,
                                  .advertise_default = membership->config->advertise_addr,
                                  .data_path = init->data_path_addr};
    if (init->force_new_cluster) {
        force(membership, &wish, done, owner);
        return;
    }
    if (!may_enter(membership, done, owner))
        return;
    struct founding founding = {
        .data_root = membership->config->data_root, .place = &membership->place, .init = init};
    struct founding_result founded;
    membership->place = place_default();
    int result = 0;
    if (!parse_availability(init->availability, &founding.availability))
        result = err_set(&err, ERR_INVALID_ARGUMENT, "invalid Availability: \"%.64s\"",
                         init->availability);
    if (!result)
        result = addresses_settle(&membership->place, &wish, &err);
    if (!result)
        result = founding_make(&founding, &founded, &err);
    if (result) {
        membership_answer_to(membership, done, owner, &err);
        return;
    }
    begin(membership, done, owner);
    membership->member = true;
    membership->role = IDENTITY_MANAGER;
    membership->charge = founded.charge;
    str_copy(membership->node_id, sizeof membership->node_id, founded.node_id);
    membership_take_lock_key(membership, founded.locked ? founded.lock_key : NULL);
    explicit_bzero(&founded, sizeof founded);
    membership_start_manager(membership);
}

static void on_joined(void *owner, const struct err *err)
{
    struct membership *membership = membership_of(owner);
    struct err why = err ? *err : (struct err)ERR_INIT;
    membership_take_lock_key(membership, joining_lock_key(membership->joining));
    joining_close(membership->joining, NULL, NULL);
    membership->joining = NULL;
    if (!err) {
        membership->member = true;
        if (!membership_start_agent(membership, &why)) {
            membership_become(membership, agent_credentials(station_agent(membership->station)));
            return;
        }
        membership_fail(membership, &why);
        return;
    }
    log_warn("could not join the swarm", "err=\"%s\"", why.message);
    membership->entering = false;
    // One that nobody waits for any more is told by `docker info`.
    if (!membership->done)
        str_copy(membership->error, sizeof membership->error, why.message);
    membership_answer(membership, &why);
}

void membership_join(struct membership *membership, const struct backend_join *join,
                     backend_done *done, void *owner)
{
    membership_of(membership);
    struct err err = ERR_INIT;
    struct addresses_wish wish = {.listen = join->listen_addr,
                                  .advertise = join->advertise_addr,
                                  .advertise_default = membership->config->advertise_addr,
                                  .data_path = join->data_path_addr,
                                  .remote = join->remotes_count ? join->remotes[0] : NULL};
    if (!may_enter(membership, done, owner))
        return;
    struct joining_config config = {
        .loop = membership->loop,
        .data_root = membership->config->data_root,
        .place = &membership->place,
        .remotes = join->remotes,
        .remotes_count = join->remotes_count,
        .token = join->token,
        .done = on_joined,
        .owner = membership,
    };
    membership->place = place_default();
    int result = 0;
    if (!parse_availability(join->availability, &config.availability))
        result = err_set(&err, ERR_INVALID_ARGUMENT, "invalid Availability: \"%.64s\"",
                         join->availability);
    if (!result && join->remotes_count == 0)
        result = err_set(&err, ERR_INVALID_ARGUMENT, "at least 1 RemoteAddr is required to join");
    if (!result)
        result = addresses_settle(&membership->place, &wish, &err);
    if (!result)
        result = joining_start(&config, &membership->joining, &err);
    if (result)
        membership_answer_to(membership, done, owner, &err);
    else
        begin(membership, done, owner);
}

// ---- unlocking ----------------------------------------------------------------------------------

void membership_unlock(struct membership *membership, const char *key, backend_done *done,
                       void *owner)
{
    membership_of(membership);
    uint8_t lock_key[LOCK_KEY_BYTES];
    struct err err = ERR_INIT;
    if (!membership->locked || membership->leaving || membership->done || membership->closed) {
        membership_refuse(membership, done, owner, ERR_ABORTED, "swarm is not locked");
        return;
    }
    if (lock_key_parse(key, lock_key, NULL)) {
        membership_refuse(membership, done, owner, ERR_INVALID_ARGUMENT, "invalid key string");
        return;
    }
    membership_take_lock_key(membership, lock_key);
    explicit_bzero(lock_key, sizeof lock_key);
    int result = membership_start_agent(membership, &err);
    if (result) {
        membership_take_lock_key(membership, NULL);
        if (result == -ERR_UNAUTHENTICATED)
            membership_refuse(membership, done, owner, ERR_UNAUTHENTICATED,
                              "swarm could not be unlocked: invalid key provided");
        else
            membership_answer_to(membership, done, owner, &err);
        return;
    }
    membership->locked = false;
    begin(membership, done, owner);
    membership->entering = false; // what there is stays, whatever happens
    membership_become(membership, agent_credentials(station_agent(membership->station)));
}
