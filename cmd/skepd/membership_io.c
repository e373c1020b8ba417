// The member itself: its manager process and its agent, and what follows from its certificate. How
// it comes in and goes out are entering_io.c and leaving_io.c.
#include "cmd/skepd/membership_io.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skepd/membership_impl_io.h"
#include "cmd/skepd/swarmdir_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

// A manager that was removed from Raft is about to get a worker's certificate; after this time it
// asks for one (swarmkit.md 8.4).
#define DEMOTION_MS 16000

// How long after a manager process could not be started it is tried again.
#define RETRY_MS 500

// How long a manager has to take part after a start before requests for it are refused, as with
// dockerd.
#define START_MS 20000

#define ERR_PATIENCE                                                                               \
    "Timeout was reached before node joined. The attempt to join the swarm will continue in the "  \
    "background. Use the \"docker info\" command to see the current swarm status of your node."

#define ERR_LOCKED                                                                                 \
    "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"docker "      \
    "swarm unlock\" to unlock it."
#define ERR_EXPIRED                                                                                \
    "Swarm certificates have expired. To replace them, leave the swarm and join again."

struct membership *membership_of(void *ctx)
{
    struct membership *membership = ctx;
    MAGIC_CHECK(membership, MEMBERSHIP_MAGIC);
    return membership;
}

// ---- answering ----------------------------------------------------------------------------------

void membership_answer_to(struct membership *membership, backend_done *done, void *owner,
                          const struct err *err)
{
    answers_send(&membership->answers, done, owner, err, membership->node_id);
}

void membership_refuse(struct membership *membership, backend_done *done, void *owner,
                       enum err_code code, const char *why)
{
    struct err err;
    err_set(&err, code, "%s", why);
    membership_answer_to(membership, done, owner, &err);
}

void membership_answer(struct membership *membership, const struct err *err)
{
    loop_timer_stop(&membership->patience);
    if (membership->done)
        membership_answer_to(membership, membership->done, membership->owner, err);
    membership->done = NULL;
}

static void on_patience_over(struct loop_timer *timer)
{
    struct membership *membership = CONTAINER_OF(timer, struct membership, patience);
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "%s", ERR_PATIENCE);
    // Leaving takes as long as it takes.
    if (!membership->leaving)
        membership_answer(membership, &err);
}

// Whoever waits for the node to find its place is answered once it has: its user finds it ready.
static void settle(struct membership *membership)
{
    bool placed = membership->role == IDENTITY_WORKER || membership->manager_up;
    if (!membership->member || membership->leaving || !membership->connected || !placed)
        return;
    membership->entering = false;
    membership_answer(membership, NULL);
}

// ---- being a manager or not ---------------------------------------------------------------------

void membership_fail(struct membership *membership, const struct err *why)
{
    str_copy(membership->error, sizeof membership->error, why->message);
    // What was never complete is not kept; its user hears why.
    if (membership->entering && membership->done)
        membership_exit(membership, why);
}

void membership_end_start(struct membership *membership)
{
    if (!membership->starting)
        return;
    membership->starting = false;
    loop_timer_stop(&membership->start_limit);
    membership->ops->started(membership->ops->ctx);
}

static void on_start_limit(struct loop_timer *timer)
{
    struct membership *membership = CONTAINER_OF(timer, struct membership, start_limit);
    log_warn("the manager does not take part yet", "waited_ms=%d", START_MS);
    membership_end_start(membership);
}

bool membership_starting(const struct membership *membership)
{
    return membership->starting;
}

static void drop_client(struct membership *membership, void (*closed)(void *ctx))
{
    membership->ops->manager_client(membership->ops->ctx, NULL);
    rpc_client_close(membership->client, closed, membership);
    membership->client = NULL;
}

void membership_start_manager(struct membership *membership)
{
    struct err err = ERR_INIT;
    CHECK(!membership->manager_runs);
    membership->error[0] = '\0';
    if (membership->ops->manager_start(membership->ops->ctx, membership->place.listen_addr,
                                       &membership->charge, &err) == 0) {
        membership->manager_runs = true;
        return;
    }
    log_error("manager process cannot be started", "err=\"%s\"", err.message);
    membership_fail(membership, &err);
    // Such as while the process of an earlier life still holds the address.
    if (!membership->leaving)
        loop_timer_start(&membership->retry, RETRY_MS);
}

static void on_retry(struct loop_timer *timer)
{
    struct membership *membership = CONTAINER_OF(timer, struct membership, retry);
    if (membership->role == IDENTITY_MANAGER && !membership->manager_runs && !membership->leaving)
        membership_start_manager(membership);
}

// The managers to ask for admission: all that are known but this node itself.
static void name_joins(struct membership *membership, const struct remotes *remotes)
{
    struct charge *charge = &membership->charge;
    for (size_t i = 0; i < remotes->count && charge->joins_count < CHARGE_JOINS_MAX; i++)
        if (!str_equal(remotes->list[i].node_id, membership->node_id) &&
            !str_equal(remotes->list[i].addr, membership->place.advertise_addr))
            charge->joins[charge->joins_count++] = str_dup(remotes->list[i].addr);
    // A manager that has state goes on with it all the same.
    charge->birth = charge->joins_count ? MANAGER_JOIN : MANAGER_RESTART;
}

static void be_manager(struct membership *membership, const struct credentials *credentials)
{
    struct agent *agent = station_agent(membership->station);
    if (membership->manager_ends || membership->removed)
        return; // it comes back here when that is over
    loop_timer_stop(&membership->retry);
    if (membership->manager_runs) {
        charge_set_credentials(&membership->charge, credentials);
        charge_set_keys(&membership->charge, agent_data_key(agent), agent_next_data_key(agent));
        membership->ops->manager_renew(membership->ops->ctx);
        return;
    }
    const struct data_key *key = agent_data_key(agent);
    if (key->bytes_count != SEAL_KEY_BYTES) {
        // Kept before anything is sealed with it; the agent then calls back.
        struct data_key fresh = {.bytes_count = SEAL_KEY_BYTES};
        entropy_bytes(fresh.bytes, SEAL_KEY_BYTES);
        agent_set_data_key(agent, &fresh);
        explicit_bzero(&fresh, sizeof fresh);
        return;
    }
    charge_fill(&membership->charge, MANAGER_RESTART, membership->place.advertise_addr, credentials,
                key);
    charge_set_keys(&membership->charge, key, agent_next_data_key(agent));
    name_joins(membership, agent_remotes(agent));
    membership_start_manager(membership);
}

static void on_manager_ended(void *owner)
{
    struct membership *membership = membership_of(owner);
    struct agent *agent = station_agent(membership->station);
    struct err err = ERR_INIT;
    membership->manager_runs = membership->manager_ends = false;
    charge_fini(&membership->charge);
    // Neither state nor key of a former manager stays (swarmkit.md 8.4).
    if (swarmdir_forget_raft(membership->config->data_root, &err))
        log_error("state of the former manager stays", "err=\"%s\"", err.message);
    if (agent && !membership->leaving) {
        agent_set_data_key(agent, NULL);
        membership_become(membership,
                          agent_credentials(agent)); // which may be a manager's again by now
    }
    membership_let_leave(membership);
}

void membership_end_manager(struct membership *membership, void (*ended)(void *owner))
{
    CHECK(membership->manager_runs);
    CHECK(!membership->manager_ends);
    membership->manager_up = false;
    membership->manager_ends = true;
    if (membership->client)
        drop_client(membership, NULL);
    membership->ops->manager_stop(membership->ops->ctx, ended, membership);
}

static void be_worker(struct membership *membership)
{
    membership->removed = false;
    loop_timer_stop(&membership->demotion);
    membership_end_start(membership);
    if (membership->manager_runs && !membership->manager_ends)
        membership_end_manager(membership, on_manager_ended);
}

void membership_become(struct membership *membership, const struct credentials *credentials)
{
    str_copy(membership->node_id, sizeof membership->node_id, credentials->identity.node_id);
    membership->role = IDENTITY_WORKER;
    identity_own_role(&credentials->identity, &membership->role);
    if (membership->leaving)
        return;
    if (membership->role == IDENTITY_MANAGER)
        be_manager(membership, credentials);
    else
        be_worker(membership);
    settle(membership);
}

// First the node asks for its worker's certificate itself; when it still gets a manager's, it was
// meant to be one after all.
static void on_demotion_due(struct loop_timer *timer)
{
    struct membership *membership = CONTAINER_OF(timer, struct membership, demotion);
    struct agent *agent = station_agent(membership->station);
    if (!agent || !membership->removed || membership->leaving)
        return;
    if (!membership->asked) {
        membership->asked = true;
        agent_renew(agent);
        loop_timer_start(timer, DEMOTION_MS);
        return;
    }
    membership->removed = false;
    membership_become(membership, agent_credentials(agent));
}

// ---- the agent ----------------------------------------------------------------------------------

static void on_connected(void *owner, const struct err *err)
{
    struct membership *membership = membership_of(owner);
    membership->connected = !err;
    membership->connected_once = membership->connected_once || !err;
    settle(membership);
}

static void on_credentials(void *owner, const struct credentials *credentials)
{
    membership_become(membership_of(owner), credentials);
}

int membership_start_agent(struct membership *membership, struct err *err)
{
    char *dir = swarmdir_agent(membership->config->data_root);
    struct station_swarm swarm = {
        .dir = dir,
        .place = &membership->place,
        .lock_key = membership->has_lock_key ? membership->lock_key : NULL,
        .events = {.connected = on_connected, .credentials = on_credentials},
        .owner = membership};
    membership->connected = membership->connected_once = false;
    int result = station_agent_open(membership->station, &swarm, err);
    free(dir);
    return result;
}

void membership_manager_up(struct membership *membership)
{
    membership_of(membership);
    struct err err = ERR_INIT;
    if (membership->manager_ends || membership->leaving)
        return;
    // Once it is a member, a restart of the process must go on with what there is.
    membership->charge.birth = MANAGER_RESTART;
    wire_free(membership->charge.first_cluster);
    membership->charge.first_cluster = NULL;
    membership->manager_up = true;
    membership->error[0] = '\0';
    if (!membership->client) {
        membership->client = rpc_client_new(
            &(struct rpc_client_config){.loop = membership->loop, .addr = membership->local_addr});
        membership->ops->manager_client(membership->ops->ctx, membership->client);
    }
    membership_end_start(membership);
    if (!station_agent(membership->station) && membership_start_agent(membership, &err)) {
        log_error("the agent cannot start", "err=\"%s\"", err.message);
        membership_fail(membership, &err);
        return;
    }
    settle(membership);
}

void membership_take_lock_key(struct membership *membership, const uint8_t *lock_key)
{
    membership->has_lock_key = lock_key != NULL;
    explicit_bzero(membership->lock_key, sizeof membership->lock_key);
    if (lock_key)
        memcpy(membership->lock_key, lock_key, LOCK_KEY_BYTES);
}

void membership_manager_lock(struct membership *membership, const uint8_t *lock_key,
                             uint64_t version)
{
    membership_of(membership);
    struct agent *agent = station_agent(membership->station);
    if (agent && membership->role == IDENTITY_MANAGER && !membership->leaving)
        agent_set_lock_key(agent, lock_key, version);
}

void membership_manager_rotated(struct membership *membership)
{
    membership_of(membership);
    struct agent *agent = station_agent(membership->station);
    if (agent && membership->role == IDENTITY_MANAGER && !membership->leaving)
        agent_settle_data_key(agent);
}

void membership_manager_failed(struct membership *membership, const struct err *why)
{
    membership_of(membership);
    if (membership->manager_ends || membership->leaving)
        return;
    if (why->code == ERR_NOT_FOUND && membership->manager_up) {
        log_info("this manager was removed from the cluster", "node=%s", membership->node_id);
        membership->removed = true;
        membership->asked = false;
        loop_timer_start(&membership->demotion, DEMOTION_MS);
        membership_end_manager(membership, on_manager_ended);
        return;
    }
    membership->manager_up = false;
    membership_fail(membership, why);
}

// ---- facts --------------------------------------------------------------------------------------

static enum swarm_standing standing_of(const struct membership *membership)
{
    if (membership->joining || membership->leaving || membership->manager_ends ||
        membership->removed)
        return STANDING_PENDING;
    const struct agent *agent = station_agent(membership->station);
    if (membership->locked)
        return STANDING_LOCKED;
    if (agent && agent_credentials(agent)->not_after.ns < wall_now().ns)
        return STANDING_EXPIRED;
    if (membership->error[0])
        return STANDING_ERROR;
    if (!membership->member)
        return STANDING_INACTIVE;
    if (membership->role == IDENTITY_MANAGER)
        return membership->manager_up ? STANDING_MANAGER : STANDING_PENDING;
    return membership->connected_once ? STANDING_WORKER : STANDING_PENDING;
}

void membership_describe(struct membership *membership, struct backend_swarm *out)
{
    membership_of(membership);
    const struct agent *agent = station_agent(membership->station);
    const struct remotes *remotes = agent ? agent_remotes(agent) : NULL;
    static char host[sizeof membership->place.advertise_addr];
    out->standing = standing_of(membership);
    out->starting = membership->starting;
    out->manages = membership->member && membership->role == IDENTITY_MANAGER &&
                   !membership->leaving && !membership->manager_ends && !membership->removed;
    out->node_id = membership->node_id;
    out->error = out->standing == STANDING_LOCKED    ? ERR_LOCKED
                 : out->standing == STANDING_EXPIRED ? ERR_EXPIRED
                                                     : membership->error;
    str_copy(host, sizeof host, membership->place.advertise_addr);
    char *port = strrchr(host, ':');
    if (port)
        *port = '\0';
    out->node_addr = membership->member ? host : "";
    for (size_t i = 0; remotes && i < remotes->count; i++)
        membership->remotes[i] = (struct backend_remote){.node_id = remotes->list[i].node_id,
                                                         .addr = remotes->list[i].addr};
    out->managers = membership->remotes;
    out->managers_count = remotes ? remotes->count : 0;
}

// ---- life ---------------------------------------------------------------------------------------

struct membership *membership_new(struct loop *loop, const struct config *config,
                                  struct station *station, const struct addr *local_addr,
                                  const struct membership_ops *ops)
{
    struct membership *membership = MEM_NEW(struct membership);
    MAGIC_SET(membership, MEMBERSHIP_MAGIC);
    membership->loop = loop;
    membership->config = config;
    membership->station = station;
    membership->local_addr = *local_addr;
    membership->ops = ops;
    membership->place = place_default();
    answers_init(&membership->answers, loop);
    list_init(&membership->warnings);
    loop_timer_init(&membership->patience, loop, on_patience_over);
    loop_timer_init(&membership->start_limit, loop, on_start_limit);
    loop_timer_init(&membership->demotion, loop, on_demotion_due);
    loop_timer_init(&membership->retry, loop, on_retry);
    return membership;
}

static void part_closed(void *ctx)
{
    struct membership *membership = membership_of(ctx);
    if (--membership->ends_awaited > 0)
        return;
    void (*closed)(void *owner) = membership->closed;
    void *owner = membership->closed_owner;
    charge_fini(&membership->charge);
    MAGIC_CLEAR(membership);
    free(membership);
    closed(owner);
}

static void on_closing(struct loop_post *post)
{
    part_closed(CONTAINER_OF(post, struct membership, closing));
}

void membership_close_parts(struct membership *membership)
{
    membership->ends_awaited = 1;
    if (membership->client) {
        membership->ends_awaited++;
        drop_client(membership, part_closed);
    }
    if (membership->joining) {
        membership->ends_awaited++;
        joining_close(membership->joining, part_closed, membership);
    }
    if (station_agent(membership->station)) {
        membership->ends_awaited++;
        station_agent_close(membership->station, false, part_closed, membership);
    }
    // Behind the answers that are on their way.
    loop_post(membership->loop, &membership->closing, on_closing);
}

void membership_close(struct membership *membership, void (*closed)(void *owner), void *owner)
{
    membership_of(membership);
    CHECK(!membership->closed);
    membership->done = NULL; // nobody listens any more
    LIST_EACH (link, &membership->warnings)
        LIST_ENTRY(link, struct warning, link)->done = NULL;
    loop_timer_stop(&membership->patience);
    loop_timer_stop(&membership->start_limit);
    loop_timer_stop(&membership->demotion);
    loop_timer_stop(&membership->retry);
    membership->closed = closed;
    membership->closed_owner = owner;
    // A leave under way is finished first: half of it would be neither in nor out.
    if (!membership->leaving)
        membership_close_parts(membership);
}

int membership_resume(struct membership *membership, struct err *err)
{
    int result = swarmdir_load_place(membership->config->data_root, &membership->place, err);
    if (result == -ERR_NOT_FOUND)
        return 0;
    if (!result && swarmdir_is_locked(membership->config->data_root)) {
        log_warn("the swarm is locked", "unlock=\"docker swarm unlock\"");
        membership->member = membership->locked = true;
        membership->role = IDENTITY_MANAGER; // no worker's key is locked
        return 0;
    }
    if (!result)
        result = membership_start_agent(membership, err);
    if (result)
        return result;
    membership->member = true;
    membership_become(membership, agent_credentials(station_agent(membership->station)));
    membership->starting = membership->role == IDENTITY_MANAGER && !membership->manager_up &&
                           standing_of(membership) != STANDING_EXPIRED;
    if (membership->starting)
        loop_timer_start(&membership->start_limit, START_MS);
    return 0;
}
