#include "cmd/skepd/membership_io.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skepd/addresses_io.h"
#include "cmd/skepd/answers_io.h"
#include "cmd/skepd/founding_io.h"
#include "cmd/skepd/joining_io.h"
#include "cmd/skepd/parting_io.h"
#include "cmd/skepd/place.h"
#include "cmd/skepd/swarmdir_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

#define MEMBERSHIP_MAGIC 0x6d656d62u

// How long a user waits for a node to find its place, as with dockerd.
#define PATIENCE_MS 20000

// A manager that was removed from Raft is about to get a worker's certificate; after this time it
// asks for one (swarmkit.md 8.4).
#define DEMOTION_MS 16000

// How long after a manager process could not be started it is tried again.
#define RETRY_MS 500

#define ERR_PATIENCE                                                                               \
    "Timeout was reached before node joined. The attempt to join the swarm will continue in the "  \
    "background. Use the \"docker info\" command to see the current swarm status of your node."

#define ERR_LOCKED                                                                                 \
    "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"docker "      \
    "swarm unlock\" to unlock it."
#define ERR_EXPIRED                                                                                \
    "Swarm certificates have expired. To replace them, leave the swarm and join again."

// A manager's leave without force: it is refused, once it is known in which words.
struct warning {
    struct list link;
    backend_done *done; // NULL: nobody listens any more
    void *owner;
};

struct membership {
    unsigned magic;
    struct loop *loop;
    const struct config *config;
    struct station *station;
    const struct membership_ops *ops;
    struct addr local_addr;

    bool member;   // of a swarm; else what follows is empty, but for the error
    bool entering; // since `init` or `join`, until there is a place
    bool leaving;
    struct err leaving_answer; // what is said once it is out
    char node_id[IDENTITY_TEXT_BYTES];
    struct place place;
    struct joining *joining; // until there is a certificate
    enum identity_role role; // of the certificate
    bool connected;          // the agent has a session
    bool connected_once;     // since this start
    bool locked;             // until the key that opens the key file is given
    bool has_lock_key;       // for the agent's start
    uint8_t lock_key[LOCK_KEY_BYTES];
    char error[ERR_MESSAGE_BYTES]; // why the node or its manager process cannot go on

    bool manager_runs; // the process is wanted
    bool manager_up;   // and takes part
    bool manager_ends; // it was asked to
    bool removed;      // from Raft; the certificate still says manager
    bool asked;        // for another certificate, since
    struct charge charge;
    struct rpc_client *client;
    struct loop_timer demotion;
    struct loop_timer retry;                    // to start the manager process
    struct backend_remote remotes[REMOTES_MAX]; // filled for who asks

    // Who waits for the node to find its place, or to be out of it; at most one.
    backend_done *done;
    void *owner;
    struct loop_timer patience;
    struct answers answers;
    struct list warnings; // struct warning

    // Who wants to leave while the manager process ends: it is looked at when that is over.
    backend_done *leaver; // NULL: nobody
    void *leaver_owner;
    bool leaver_forces;

    struct loop_post closing;
    unsigned ends_awaited; // while closing
    void (*closed)(void *owner);
    void *closed_owner;
};

static struct membership *membership_of(void *ctx)
{
    struct membership *membership = ctx;
    MAGIC_CHECK(membership, MEMBERSHIP_MAGIC);
    return membership;
}

static const char *data_root(const struct membership *membership)
{
    return membership->config->data_root;
}

// ---- answering ----------------------------------------------------------------------------------

// Answers in a later turn; `err` NULL for success.
static void answer_to(struct membership *membership, backend_done *done, void *owner,
                      const struct err *err)
{
    answers_send(&membership->answers, done, owner, err, membership->node_id);
}

static void refuse(struct membership *membership, backend_done *done, void *owner,
                   enum err_code code, const char *why)
{
    struct err err;
    err_set(&err, code, "%s", why);
    answer_to(membership, done, owner, &err);
}

static void answer(struct membership *membership, const struct err *err)
{
    loop_timer_stop(&membership->patience);
    if (membership->done)
        answer_to(membership, membership->done, membership->owner, err);
    membership->done = NULL;
}

static void on_patience_over(struct loop_timer *timer)
{
    struct membership *membership = CONTAINER_OF(timer, struct membership, patience);
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "%s", ERR_PATIENCE);
    // Leaving takes as long as it takes.
    if (!membership->leaving)
        answer(membership, &err);
}

// Whoever waits for the node to find its place is answered once it has: its user finds it ready.
static void settle(struct membership *membership)
{
    bool placed = membership->role == IDENTITY_WORKER || membership->manager_up;
    if (!membership->member || membership->leaving || !membership->connected || !placed)
        return;
    membership->entering = false;
    answer(membership, NULL);
}

// ---- being a manager or not ---------------------------------------------------------------------

static void become(struct membership *membership, const struct credentials *credentials);
static void leave(struct membership *membership, const struct err *why);

static void fail(struct membership *membership, const struct err *why)
{
    str_copy(membership->error, sizeof membership->error, why->message);
    // What was never complete is not kept; its user hears why.
    if (membership->entering && membership->done)
        leave(membership, why);
}

static void drop_client(struct membership *membership, void (*closed)(void *ctx))
{
    membership->ops->manager_client(membership->ops->ctx, NULL);
    rpc_client_close(membership->client, closed, membership);
    membership->client = NULL;
}

static void start_manager(struct membership *membership)
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
    fail(membership, &err);
    // Such as while the process of an earlier life still holds the address.
    if (!membership->leaving)
        loop_timer_start(&membership->retry, RETRY_MS);
}

static void on_retry(struct loop_timer *timer)
{
    struct membership *membership = CONTAINER_OF(timer, struct membership, retry);
    if (membership->role == IDENTITY_MANAGER && !membership->manager_runs && !membership->leaving)
        start_manager(membership);
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
    start_manager(membership);
}

// The manager process is gone: somebody may have waited for that to leave.
static void let_leave(struct membership *membership)
{
    backend_done *done = membership->leaver;
    membership->leaver = NULL;
    if (done)
        membership_leave(membership, membership->leaver_forces, done, membership->leaver_owner);
}

static void on_manager_ended(void *owner)
{
    struct membership *membership = membership_of(owner);
    struct agent *agent = station_agent(membership->station);
    struct err err = ERR_INIT;
    membership->manager_runs = membership->manager_ends = false;
    charge_fini(&membership->charge);
    // Neither state nor key of a former manager stays (swarmkit.md 8.4).
    if (swarmdir_forget_raft(data_root(membership), &err))
        log_error("state of the former manager stays", "err=\"%s\"", err.message);
    if (agent && !membership->leaving) {
        agent_set_data_key(agent, NULL);
        become(membership, agent_credentials(agent)); // which may be a manager's again by now
    }
    let_leave(membership);
}

static void end_manager(struct membership *membership, void (*ended)(void *owner))
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
    if (membership->manager_runs && !membership->manager_ends)
        end_manager(membership, on_manager_ended);
}

static void become(struct membership *membership, const struct credentials *credentials)
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
    become(membership, agent_credentials(agent));
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
    become(membership_of(owner), credentials);
}

static int start_agent(struct membership *membership, struct err *err)
{
    char *dir = swarmdir_agent(data_root(membership));
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
    if (!station_agent(membership->station) && start_agent(membership, &err)) {
        log_error("the agent cannot start", "err=\"%s\"", err.message);
        fail(membership, &err);
        return;
    }
    settle(membership);
}

static void take_lock_key(struct membership *membership, const uint8_t *lock_key)
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
        end_manager(membership, on_manager_ended);
        return;
    }
    membership->manager_up = false;
    fail(membership, why);
}

// ---- entering -----------------------------------------------------------------------------------

static bool may_enter(struct membership *membership, backend_done *done, void *owner)
{
    bool free = !membership->member && !membership->joining && !membership->leaving &&
                !membership->done && !membership->closed;
    if (!free)
        refuse(
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
        start_manager(membership);
    }
    let_leave(membership);
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
        result = swarmdir_save_place(data_root(membership), &place, &err);
    if (result) {
        answer_to(membership, done, owner, &err);
        return;
    }
    log_warn("this manager becomes the only one of its cluster", "node=%s", membership->node_id);
    membership->place = place;
    begin(membership, done, owner);
    membership->entering = false; // what there is stays, whatever happens
    loop_timer_stop(&membership->retry);
    if (membership->manager_runs)
        end_manager(membership, on_manager_forced);
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
        .data_root = data_root(membership), .place = &membership->place, .init = init};
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
        answer_to(membership, done, owner, &err);
        return;
    }
    begin(membership, done, owner);
    membership->member = true;
    membership->role = IDENTITY_MANAGER;
    membership->charge = founded.charge;
    str_copy(membership->node_id, sizeof membership->node_id, founded.node_id);
    take_lock_key(membership, founded.locked ? founded.lock_key : NULL);
    explicit_bzero(&founded, sizeof founded);
    start_manager(membership);
}

static void on_joined(void *owner, const struct err *err)
{
    struct membership *membership = membership_of(owner);
    struct err why = err ? *err : (struct err)ERR_INIT;
    take_lock_key(membership, joining_lock_key(membership->joining));
    joining_close(membership->joining, NULL, NULL);
    membership->joining = NULL;
    if (!err) {
        membership->member = true;
        if (!start_agent(membership, &why)) {
            become(membership, agent_credentials(station_agent(membership->station)));
            return;
        }
        fail(membership, &why);
        return;
    }
    log_warn("could not join the swarm", "err=\"%s\"", why.message);
    membership->entering = false;
    // One that nobody waits for any more is told by `docker info`.
    if (!membership->done)
        str_copy(membership->error, sizeof membership->error, why.message);
    answer(membership, &why);
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
        .data_root = data_root(membership),
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
        answer_to(membership, done, owner, &err);
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
        refuse(membership, done, owner, ERR_ABORTED, "swarm is not locked");
        return;
    }
    if (lock_key_parse(key, lock_key, NULL)) {
        refuse(membership, done, owner, ERR_INVALID_ARGUMENT, "invalid key string");
        return;
    }
    take_lock_key(membership, lock_key);
    explicit_bzero(lock_key, sizeof lock_key);
    int result = start_agent(membership, &err);
    if (result) {
        take_lock_key(membership, NULL);
        if (result == -ERR_UNAUTHENTICATED)
            refuse(membership, done, owner, ERR_UNAUTHENTICATED,
                   "swarm could not be unlocked: invalid key provided");
        else
            answer_to(membership, done, owner, &err);
        return;
    }
    membership->locked = false;
    begin(membership, done, owner);
    membership->entering = false; // what there is stays, whatever happens
    become(membership, agent_credentials(station_agent(membership->station)));
}

// ---- leaving ------------------------------------------------------------------------------------

static void close_parts(struct membership *membership);

static void on_left(struct membership *membership)
{
    struct err err = membership->leaving_answer;
    if (swarmdir_forget(data_root(membership), err.code == ERR_OK ? &err : NULL))
        log_error("what was kept of the swarm stays", "err=\"%s\"", err.message);
    charge_fini(&membership->charge);
    membership->member = membership->leaving = membership->entering = false;
    membership->removed = membership->connected = membership->locked = false;
    take_lock_key(membership, NULL);
    membership->place = place_default();
    membership->node_id[0] = membership->error[0] = '\0';
    answer(membership, err.code == ERR_OK ? NULL : &err);
    if (membership->closed)
        close_parts(membership);
}

static void leave_next(void *owner)
{
    struct membership *membership = membership_of(owner);
    if (membership->joining) {
        struct joining *joining = membership->joining;
        membership->joining = NULL;
        joining_close(joining, leave_next, membership);
    } else if (membership->manager_runs && !membership->manager_ends) {
        end_manager(membership, leave_next); // first: it may be out of the consensus already
    } else if (station_agent(membership->station)) {
        station_agent_close(membership->station, true, leave_next, membership);
    } else {
        membership->manager_runs = membership->manager_ends = false;
        on_left(membership);
    }
}

// Out of the swarm, whatever the way in or out was; then whoever waits is told `why` (NULL: done).
static void leave(struct membership *membership, const struct err *why)
{
    CHECK(!membership->leaving);
    membership->leaving = true;
    err_clear(&membership->leaving_answer);
    if (why)
        membership->leaving_answer = *why;
    loop_timer_stop(&membership->demotion);
    loop_timer_stop(&membership->retry);
    loop_timer_stop(&membership->patience);
    bool manages = membership->member && membership->role == IDENTITY_MANAGER &&
                   membership->manager_up && !membership->removed && !membership->locked;
    parting_go(membership->loop, manages ? membership->client : NULL, membership->node_id,
               leave_next, membership);
}

static void on_warned(void *owner, const struct err *why)
{
    struct warning *warning = owner;
    list_remove(&warning->link);
    if (warning->done)
        warning->done(warning->owner, why, "");
    free(warning);
}

void membership_leave(struct membership *membership, bool force, backend_done *done, void *owner)
{
    membership_of(membership);
    if (membership->leaving || membership->closed || membership->leaver) {
        refuse(membership, done, owner, ERR_UNAVAILABLE, "the node is changing its place already");
        return;
    }
    if (membership->manager_ends) { // as after a demotion: in a moment it can
        membership->leaver = done;
        membership->leaver_owner = owner;
        membership->leaver_forces = force;
        return;
    }
    if (!force && membership->locked) {
        refuse(membership, done, owner, ERR_UNAVAILABLE,
               "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore "
               "this message.");
        return;
    }
    if (!force && membership->member && membership->role == IDENTITY_MANAGER &&
        !membership->removed) {
        struct warning *warning = MEM_NEW(struct warning);
        *warning = (struct warning){.done = done, .owner = owner};
        list_push_back(&membership->warnings, &warning->link);
        parting_warn(membership->loop, membership->manager_up ? membership->client : NULL,
                     on_warned, warning);
        return;
    }
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "the node leaves the swarm");
    answer(membership, &err); // who still waited to get in
    membership->done = done;
    membership->owner = owner;
    leave(membership, NULL);
}

void membership_forget(struct membership *membership, void *owner)
{
    membership_of(membership);
    if (membership->done && membership->owner == owner)
        membership->done = NULL;
    if (membership->leaver && membership->leaver_owner == owner)
        membership->leaver = NULL;
    answers_forget(&membership->answers, owner);
    LIST_EACH (link, &membership->warnings) {
        struct warning *warning = LIST_ENTRY(link, struct warning, link);
        if (warning->owner == owner)
            warning->done = NULL;
    }
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

static void close_parts(struct membership *membership)
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
    loop_timer_stop(&membership->demotion);
    loop_timer_stop(&membership->retry);
    membership->closed = closed;
    membership->closed_owner = owner;
    // A leave under way is finished first: half of it would be neither in nor out.
    if (!membership->leaving)
        close_parts(membership);
}

int membership_resume(struct membership *membership, struct err *err)
{
    int result = swarmdir_load_place(data_root(membership), &membership->place, err);
    if (result == -ERR_NOT_FOUND)
        return 0;
    if (!result && swarmdir_is_locked(data_root(membership))) {
        log_warn("the swarm is locked", "unlock=\"docker swarm unlock\"");
        membership->member = membership->locked = true;
        membership->role = IDENTITY_MANAGER; // no worker's key is locked
        return 0;
    }
    if (!result)
        result = start_agent(membership, err);
    if (result)
        return result;
    membership->member = true;
    become(membership, agent_credentials(station_agent(membership->station)));
    return 0;
}
