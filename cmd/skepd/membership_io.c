#include "cmd/skepd/membership_io.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skepd/addresses_io.h"
#include "cmd/skepd/place.h"
#include "cmd/skepd/swarmdir_io.h"
#include "manager/found.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/wire/wire.h"

#define MEMBERSHIP_MAGIC 0x6d656d62u

// How long a user waits for a node to find its place, as with dockerd.
#define PATIENCE_MS 20000

#define FOUND_ARENA_BYTES ((size_t)64 << 20)

struct membership {
    unsigned magic;
    struct loop *loop;
    const struct config *config;
    struct station *station;
    const struct membership_ops *ops;
    struct addr local_addr;
    enum swarm_standing standing;
    char node_id[IDENTITY_TEXT_BYTES];
    struct place place;
    struct charge charge; // of the manager process while it runs
    struct rpc_client *client;
    bool connected;                // the agent has a session
    char error[ERR_MESSAGE_BYTES]; // why the manager process cannot go on

    // The long operation under way, at most one.
    backend_done *done;
    void *owner;
    struct loop_timer patience;
    struct loop_post answer;
    struct err answer_err;

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

// ---- answering ----------------------------------------------------------------------------------

static void on_answer(struct loop_post *post)
{
    struct membership *membership = CONTAINER_OF(post, struct membership, answer);
    backend_done *done = membership->done;
    membership->done = NULL;
    if (done)
        done(membership->owner,
             membership->answer_err.code == ERR_OK ? NULL : &membership->answer_err,
             membership->node_id);
}

// Answers in a later turn; `err` NULL for success.
static void answer(struct membership *membership, const struct err *err)
{
    loop_timer_stop(&membership->patience);
    if (!membership->done)
        return;
    membership->answer_err = (struct err){0};
    if (err)
        membership->answer_err = *err;
    loop_post(membership->loop, &membership->answer, on_answer);
}

static bool begin(struct membership *membership, backend_done *done, void *owner)
{
    bool free = membership->done == NULL;
    if (free) {
        membership->done = done;
        membership->owner = owner;
        loop_timer_start(&membership->patience, PATIENCE_MS);
    }
    return free;
}

// ---- the agent ----------------------------------------------------------------------------------

static void settle(struct membership *membership);

static void on_connected(void *owner, const struct err *err)
{
    struct membership *membership = membership_of(owner);
    membership->connected = !err;
    settle(membership);
}

static int start_agent(struct membership *membership, struct err *err)
{
    char *dir = swarmdir_agent(membership->config->data_root);
    struct station_swarm swarm = {
        .dir = dir, .events = {.connected = on_connected}, .owner = membership};
    membership->connected = false;
    int result = station_agent_open(membership->station, &swarm, err);
    free(dir);
    return result;
}

// ---- the manager process ------------------------------------------------------------------------

static void fill_charge(struct membership *membership, enum manager_birth birth,
                        const struct credentials *credentials, const struct keyfile *headers)
{
    CHECK(headers->raft.bytes_count == SEAL_KEY_BYTES);
    struct charge *charge = &membership->charge;
    charge_fini(charge);
    *charge = (struct charge){
        .birth = birth,
        .advertise = str_dup(membership->place.advertise_addr),
        .chain_pem = str_dup(credentials->chain_pem),
        .key_pem = str_dup(credentials->key_pem),
        .roots_pem = str_dup(credentials->roots_pem),
    };
    memcpy(charge->key.bytes, headers->raft.bytes, SEAL_KEY_BYTES);
    str_copy(membership->node_id, sizeof membership->node_id, credentials->identity.node_id);
}

static int start_manager(struct membership *membership, struct err *err)
{
    membership->standing = STANDING_PENDING;
    membership->error[0] = '\0';
    return membership->ops->manager_start(membership->ops->ctx, membership->place.listen_addr,
                                          &membership->charge, err);
}

static void drop_client(struct membership *membership, void (*closed)(void *ctx))
{
    membership->ops->manager_client(membership->ops->ctx, NULL);
    rpc_client_close(membership->client, closed, membership);
    membership->client = NULL;
}

// A node that has got what it was to be is answered for: its user finds it ready.
static void settle(struct membership *membership)
{
    if (membership->standing == STANDING_MANAGER && membership->connected)
        answer(membership, NULL);
}

// It takes long. It goes on, and the user sees in `docker info` how far it came.
static void on_patience_over(struct loop_timer *timer)
{
    struct membership *membership = CONTAINER_OF(timer, struct membership, patience);
    if (membership->standing == STANDING_MANAGER)
        answer(membership, NULL);
}

void membership_manager_up(struct membership *membership)
{
    membership_of(membership);
    // Once founded, a restart of the process must go on with what there is.
    membership->charge.birth = MANAGER_RESTART;
    wire_free(membership->charge.first_cluster);
    membership->charge.first_cluster = NULL;
    membership->standing = STANDING_MANAGER;
    membership->error[0] = '\0';
    struct err err = ERR_INIT;
    if (!station_agent(membership->station) && start_agent(membership, &err))
        log_error("the agent cannot start", "err=\"%s\"", err.message);
    if (!membership->client) {
        membership->client = rpc_client_new(
            &(struct rpc_client_config){.loop = membership->loop, .addr = membership->local_addr});
        membership->ops->manager_client(membership->ops->ctx, membership->client);
    }
    settle(membership);
}

void membership_manager_failed(struct membership *membership, const char *why)
{
    membership_of(membership);
    str_copy(membership->error, sizeof membership->error, why);
    membership->standing = STANDING_ERROR;
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNAVAILABLE, "%s", why);
    answer(membership, &err);
}

// ---- founding -----------------------------------------------------------------------------------

static int found(struct membership *membership, const struct backend_init *init, struct err *err)
{
    struct arena arena;
    arena_init(&arena, FOUND_ARENA_BYTES);
    struct bootstrap bootstrap = {
        .cluster_id = arena_strdup(&arena, entropy_id().text),
        .spec = init->spec,
        .pools = (char *const *)init->address_pools,
        .pools_count = init->address_pools_count,
        .subnet_size = init->subnet_size,
        .vxlan_port = init->data_path_port,
    };
    struct credentials credentials = {0};
    const char *data_root = membership->config->data_root;
    struct keyfile headers = {.raft = {.bytes_count = SEAL_KEY_BYTES}};
    Swarm__Cluster *cluster = NULL;
    entropy_bytes(headers.raft.bytes, SEAL_KEY_BYTES);
    int result = found_cluster(&bootstrap, entropy_id().text, &rng_kernel, wall_now(), &arena,
                               &cluster, &credentials, err);
    if (!result)
        result = charge_check_cluster(cluster, err);
    if (!result)
        result = swarmdir_save_credentials(data_root, &credentials, &headers, NULL, err);
    if (!result)
        result = swarmdir_save_manager(data_root, credentials.identity.node_id,
                                       membership->place.advertise_addr, err);
    membership->place.manager = true;
    if (!result)
        result = swarmdir_save_place(data_root, &membership->place, err);
    if (!result) {
        fill_charge(membership, MANAGER_FOUND, &credentials, &headers);
        membership->charge.first_cluster = wire_copy(cluster, NULL);
        result = start_manager(membership, err);
    }
    explicit_bzero(&headers, sizeof headers);
    credentials_fini(&credentials);
    arena_fini(&arena);
    return result;
}

static int check_init(const struct backend_init *init, struct err *err)
{
    if (init->force_new_cluster)
        return err_set(err, ERR_UNIMPLEMENTED, "force-new-cluster is not supported");
    if (init->auto_lock)
        return err_set(err, ERR_UNIMPLEMENTED, "autolock is not supported");
    if (!str_empty(init->data_path_addr))
        return err_set(err, ERR_UNIMPLEMENTED, "a data path address is not supported");
    if (!str_empty(init->availability) && !str_equal(init->availability, "active"))
        return err_set(err, ERR_UNIMPLEMENTED,
                       "the first manager starts active; change it with docker node update");
    return 0;
}

void membership_init(struct membership *membership, const struct backend_init *init,
                     backend_done *done, void *owner)
{
    membership_of(membership);
    struct err err = ERR_INIT;
    struct addresses_wish wish = {.listen = init->listen_addr,
                                  .advertise = init->advertise_addr,
                                  .advertise_default = membership->config->advertise_addr};
    if (!begin(membership, done, owner)) {
        CHECK(membership->standing == STANDING_PENDING); // the engine asks for the standing first
        return;
    }
    membership->place = place_default();
    int result = check_init(init, &err);
    if (!result)
        result = addresses_settle(&membership->place, &wish, &err);
    if (!result)
        result = found(membership, init, &err);
    if (result) {
        swarmdir_forget(membership->config->data_root, NULL);
        membership->standing = STANDING_INACTIVE;
        answer(membership, &err);
    }
}

// ---- leaving ------------------------------------------------------------------------------------

static void on_manager_stopped(void *owner)
{
    struct membership *membership = membership_of(owner);
    struct err err = ERR_INIT;
    int result = swarmdir_forget(membership->config->data_root, &err);
    charge_fini(&membership->charge);
    membership->place = place_default();
    membership->standing = STANDING_INACTIVE;
    membership->node_id[0] = '\0';
    membership->error[0] = '\0';
    answer(membership, result ? &err : NULL);
}

static void on_agent_gone(void *owner)
{
    struct membership *membership = membership_of(owner);
    if (membership->client)
        drop_client(membership, NULL);
    membership->ops->manager_stop(membership->ops->ctx, on_manager_stopped, membership);
}

void membership_leave(struct membership *membership, bool force, backend_done *done, void *owner)
{
    membership_of(membership);
    if (!begin(membership, done, owner))
        return;
    if (!force) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_FAILED_PRECONDITION,
                "You are attempting to leave the swarm on a node that is participating as a "
                "manager. Removing the last manager erases all current state of the swarm. Use "
                "`--force` to ignore this message. ");
        answer(membership, &err);
        return;
    }
    if (station_agent(membership->station))
        station_agent_close(membership->station, true, on_agent_gone, membership);
    else
        on_agent_gone(membership);
}

void membership_forget(struct membership *membership, void *owner)
{
    membership_of(membership);
    if (membership->done && membership->owner == owner)
        membership->done = NULL;
}

// ---- facts --------------------------------------------------------------------------------------

void membership_describe(struct membership *membership, struct backend_swarm *out)
{
    membership_of(membership);
    out->standing = membership->standing;
    out->node_id = membership->node_id;
    out->error = membership->error;
    char *port = strrchr(membership->place.advertise_addr, ':');
    static char host[sizeof membership->place.advertise_addr];
    str_copy(host, sizeof host, membership->place.advertise_addr);
    if (port)
        host[port - membership->place.advertise_addr] = '\0';
    out->node_addr = membership->standing == STANDING_INACTIVE ? "" : host;
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
    loop_timer_init(&membership->patience, loop, on_patience_over);
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

void membership_close(struct membership *membership, void (*closed)(void *owner), void *owner)
{
    membership_of(membership);
    CHECK(!membership->closed);
    membership->done = NULL; // nobody listens any more
    loop_timer_stop(&membership->patience);
    membership->closed = closed;
    membership->closed_owner = owner;
    membership->ends_awaited = 1;
    if (membership->client) {
        membership->ends_awaited++;
        drop_client(membership, part_closed);
    }
    if (station_agent(membership->station)) {
        membership->ends_awaited++;
        station_agent_close(membership->station, false, part_closed, membership);
    }
    loop_post(membership->loop, &membership->closing, on_closing);
}

int membership_resume(struct membership *membership, struct err *err)
{
    const char *data_root = membership->config->data_root;
    int result = swarmdir_load_place(data_root, &membership->place, err);
    if (result == -ERR_NOT_FOUND)
        return 0;
    if (result || !membership->place.manager)
        return result;
    struct credentials credentials = {0};
    struct keyfile headers = {0};
    result = swarmdir_load_credentials(data_root, NULL, &credentials, &headers, err);
    if (!result && headers.raft.bytes_count != SEAL_KEY_BYTES)
        result = err_set(err, ERR_DATA_LOSS, "the key file holds no data key");
    // A node that was stopped between founding and its first commit has nothing to go on with but
    // its certificate; the manager process then says that there is no Raft state.
    if (!result)
        fill_charge(membership, MANAGER_RESTART, &credentials, &headers);
    keyfile_fini(&headers);
    credentials_fini(&credentials);
    if (!result)
        result = start_manager(membership, err);
    // What runs here is looked after at once, whether managers can be reached or not.
    return result ? result : start_agent(membership, err);
}
