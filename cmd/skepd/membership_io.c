#include "cmd/skepd/membership_io.h"

#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cmd/skepd/place.h"
#include "manager/found.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/identity/certdir_io.h"
#include "proto/identity/rng_io.h"
#include "proto/wire/wire.h"

#define MEMBERSHIP_MAGIC 0x6d656d62u

#define SWARM_FOLDER        "swarm"
#define CERTIFICATES_FOLDER "swarm/certificates"
#define RAFT_FOLDER         "manager/raft"
#define SWARM_PORT          2377

#define FOUND_ARENA_BYTES ((size_t)64 << 20)

struct membership {
    unsigned magic;
    struct loop *loop;
    const struct config *config;
    const struct membership_ops *ops;
    struct addr local_addr;
    enum swarm_standing standing;
    char node_id[IDENTITY_TEXT_BYTES];
    struct place place;
    struct charge charge; // of the manager process while it runs
    struct rpc_client *client;
    char error[ERR_MESSAGE_BYTES]; // why the manager process cannot go on

    // The long operation under way, at most one.
    backend_done *done;
    void *owner;
    struct loop_post answer;
    struct err answer_err;

    struct loop_post closing;
    void (*closed)(void *owner);
    void *closed_owner;
};

static struct membership *membership_of(void *ctx)
{
    struct membership *membership = ctx;
    MAGIC_CHECK(membership, MEMBERSHIP_MAGIC);
    return membership;
}

static char *path_of(const struct membership *membership, const char *name)
{
    return str_printf("%s/%s", membership->config->data_root, name);
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
    }
    return free;
}

// ---- addresses ----------------------------------------------------------------------------------

// The one address of this machine that others can reach, as dockerd finds it.
static int only_address(char out[ADDR_TEXT_BYTES], struct err *err)
{
    struct ifaddrs *list;
    if (getifaddrs(&list))
        return err_set(err, ERR_UNKNOWN, "the addresses of this machine cannot be read");
    size_t found = 0;
    for (struct ifaddrs *it = list; it; it = it->ifa_next) {
        if (!it->ifa_addr || it->ifa_addr->sa_family != AF_INET || (it->ifa_flags & IFF_LOOPBACK) ||
            !(it->ifa_flags & IFF_UP))
            continue;
        struct sockaddr_in ip;
        memcpy(&ip, it->ifa_addr, sizeof ip);
        struct addr addr = addr_of_ip((const uint8_t *)&ip.sin_addr, 4, SWARM_PORT);
        if (found++ == 0)
            addr_format(&addr, out);
    }
    freeifaddrs(list);
    if (found == 0)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "could not find the system's IP address - specify one with "
                       "--advertise-addr");
    if (found > 1)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "could not choose an IP address to advertise since this system has multiple "
                       "addresses - specify one with --advertise-addr");
    return 0;
}

// The address of an interface named by the user, else what was given.
static void resolve_interface(const char *name, char *out, size_t size)
{
    struct ifaddrs *list;
    str_copy(out, size, name);
    if (getifaddrs(&list))
        return;
    for (struct ifaddrs *it = list; it; it = it->ifa_next) {
        if (!it->ifa_addr || it->ifa_addr->sa_family != AF_INET || !str_equal(it->ifa_name, name))
            continue;
        struct sockaddr_in ip;
        memcpy(&ip, it->ifa_addr, sizeof ip);
        struct addr addr = addr_of_ip((const uint8_t *)&ip.sin_addr, 4, SWARM_PORT);
        char text[ADDR_TEXT_BYTES];
        str_copy(out, size, addr_format(&addr, text));
        break;
    }
    freeifaddrs(list);
}

// "host" or "host:port" with the swarm's port where none is given.
static int settle_addr(const char *text, char *out, size_t size, struct err *err)
{
    char resolved[ADDR_TEXT_BYTES], formatted[ADDR_TEXT_BYTES];
    struct addr addr;
    resolve_interface(text, resolved, sizeof resolved);
    int result = addr_parse(resolved, SWARM_PORT, &addr, err);
    if (!result && addr.kind == ADDR_UNIX)
        result = err_set(err, ERR_INVALID_ARGUMENT, "%s is no network address", text);
    if (!result)
        str_copy(out, size, addr_format(&addr, formatted));
    return result;
}

static bool is_any(const char *text)
{
    return str_starts(text, "0.0.0.0:") || str_starts(text, "[::]:");
}

static int settle_addrs(struct membership *membership, const char *listen, const char *advertise,
                        struct err *err)
{
    struct place *place = &membership->place;
    int result = settle_addr(str_or(listen, PLACE_LISTEN), place->listen_addr,
                             sizeof place->listen_addr, err);
    if (result)
        return err_wrap(err, "listen address");
    advertise = str_or(advertise, membership->config->advertise_addr);
    char found[ADDR_TEXT_BYTES];
    if (str_empty(advertise) && !is_any(place->listen_addr)) {
        advertise = place->listen_addr;
    } else if (str_empty(advertise)) {
        result = only_address(found, err);
        advertise = found;
    }
    if (!result)
        result = settle_addr(advertise, place->advertise_addr, sizeof place->advertise_addr, err);
    if (!result && is_any(place->advertise_addr))
        result = err_set(err, ERR_INVALID_ARGUMENT,
                         "advertise address must be a non-zero IP address or network interface "
                         "(with optional port number)");
    return result;
}

// ---- the folder ---------------------------------------------------------------------------------

static int save_place(struct membership *membership, struct err *err)
{
    struct buf text;
    buf_init(&text, PLACE_BYTES_MAX);
    place_write(&membership->place, &text);
    char *path = path_of(membership, PLACE_FILE);
    int result = file_write_atomic(path, text.data, text.len, 0600, err);
    free(path);
    buf_fini(&text);
    return result;
}

static int forget_everything(struct membership *membership, struct err *err)
{
    char *place = path_of(membership, PLACE_FILE);
    char *swarm = path_of(membership, SWARM_FOLDER);
    char *raft = path_of(membership, RAFT_FOLDER);
    int result = file_remove(place, err);
    if (!result)
        result = dir_remove(raft, err);
    if (!result)
        result = dir_remove(swarm, err);
    free(place);
    free(swarm);
    free(raft);
    return result;
}

// Certificate, key and, in the key's file, the data key that Raft's state is sealed with.
static int save_credentials(struct membership *membership, const struct credentials *credentials,
                            const struct seal_key *key, struct err *err)
{
    struct keyfile file = {0};
    int result = key_parse_pem(&file.key, credentials->key_pem, strlen(credentials->key_pem), err);
    if (result)
        return result;
    static_assert(SEAL_KEY_BYTES <= KEYFILE_DATA_KEY_BYTES_MAX, "a data key fits the key file");
    memcpy(file.raft.bytes, key->bytes, sizeof key->bytes);
    file.raft.bytes_count = sizeof key->bytes;
    char *dir = path_of(membership, CERTIFICATES_FOLDER);
    result = certdir_save_roots(dir, credentials->roots_pem, err);
    if (!result)
        result = certdir_save_node(dir, credentials->chain_pem, &file, NULL, &rng_kernel, err);
    free(dir);
    keyfile_fini(&file);
    return result;
}

static int load_credentials(struct membership *membership, struct credentials *credentials,
                            struct seal_key *key, struct err *err)
{
    struct keyfile file = {0};
    char *dir = path_of(membership, CERTIFICATES_FOLDER);
    int result = certdir_load(dir, NULL, credentials, &file, err);
    free(dir);
    if (result)
        return result;
    if (file.raft.bytes_count == sizeof key->bytes)
        memcpy(key->bytes, file.raft.bytes, sizeof key->bytes);
    else
        result = err_set(err, ERR_DATA_LOSS, "the key file holds no data key");
    keyfile_fini(&file);
    return result;
}

// ---- the manager process ------------------------------------------------------------------------

static void fill_charge(struct membership *membership, enum manager_birth birth,
                        const struct credentials *credentials, const struct seal_key *key)
{
    struct charge *charge = &membership->charge;
    charge_fini(charge);
    *charge = (struct charge){
        .birth = birth,
        .key = *key,
        .advertise = str_dup(membership->place.advertise_addr),
        .chain_pem = str_dup(credentials->chain_pem),
        .key_pem = str_dup(credentials->key_pem),
        .roots_pem = str_dup(credentials->roots_pem),
    };
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

void membership_manager_up(struct membership *membership)
{
    membership_of(membership);
    // Once founded, a restart of the process must go on with what there is.
    membership->charge.birth = MANAGER_RESTART;
    wire_free(membership->charge.first_cluster);
    membership->charge.first_cluster = NULL;
    membership->standing = STANDING_MANAGER;
    membership->error[0] = '\0';
    if (!membership->client) {
        membership->client = rpc_client_new(
            &(struct rpc_client_config){.loop = membership->loop, .addr = membership->local_addr});
        membership->ops->manager_client(membership->ops->ctx, membership->client);
    }
    answer(membership, NULL);
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
    struct seal_key key;
    Swarm__Cluster *cluster = NULL;
    entropy_bytes(key.bytes, sizeof key.bytes);
    int result = found_cluster(&bootstrap, entropy_id().text, &rng_kernel, wall_now(), &arena,
                               &cluster, &credentials, err);
    if (!result)
        result = charge_check_cluster(cluster, err);
    if (!result)
        result = save_credentials(membership, &credentials, &key, err);
    membership->place.manager = true;
    if (!result)
        result = save_place(membership, err);
    if (!result) {
        fill_charge(membership, MANAGER_FOUND, &credentials, &key);
        membership->charge.first_cluster = wire_copy(cluster, NULL);
        result = start_manager(membership, err);
    }
    explicit_bzero(&key, sizeof key);
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

static void on_init(void *ctx, const struct backend_init *init, backend_done *done, void *owner)
{
    struct membership *membership = membership_of(ctx);
    struct err err = ERR_INIT;
    if (!begin(membership, done, owner)) {
        CHECK(membership->standing == STANDING_PENDING); // the engine asks for the standing first
        return;
    }
    membership->place = place_default();
    int result = check_init(init, &err);
    if (!result)
        result = settle_addrs(membership, init->listen_addr, init->advertise_addr, &err);
    if (!result)
        result = found(membership, init, &err);
    if (result) {
        forget_everything(membership, NULL);
        membership->standing = STANDING_INACTIVE;
        answer(membership, &err);
    }
}

// ---- leaving ------------------------------------------------------------------------------------

static void on_manager_stopped(void *owner)
{
    struct membership *membership = membership_of(owner);
    struct err err = ERR_INIT;
    int result = forget_everything(membership, &err);
    charge_fini(&membership->charge);
    membership->place = place_default();
    membership->standing = STANDING_INACTIVE;
    membership->node_id[0] = '\0';
    membership->error[0] = '\0';
    answer(membership, result ? &err : NULL);
}

static void on_leave(void *ctx, bool force, backend_done *done, void *owner)
{
    struct membership *membership = membership_of(ctx);
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
    if (membership->client)
        drop_client(membership, NULL);
    membership->ops->manager_stop(membership->ops->ctx, on_manager_stopped, membership);
}

static void on_forget(void *ctx, void *owner)
{
    struct membership *membership = membership_of(ctx);
    if (membership->done && membership->owner == owner)
        membership->done = NULL;
}

// ---- facts --------------------------------------------------------------------------------------

static void on_swarm(void *ctx, struct backend_swarm *out)
{
    struct membership *membership = membership_of(ctx);
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

static struct utsname *machine(void)
{
    static struct utsname name;
    if (!name.sysname[0])
        uname(&name);
    return &name;
}

static void on_version(void *ctx, struct backend_version *out)
{
    (void)ctx;
    out->version = SKEP_VERSION;
    out->kernel = machine()->release;
    out->arch = str_equal(machine()->machine, "x86_64")    ? "amd64"
                : str_equal(machine()->machine, "aarch64") ? "arm64"
                                                           : machine()->machine;
}

static void on_info(void *ctx, struct json_out *out)
{
    struct membership *membership = membership_of(ctx);
    struct sysinfo memory = {0};
    sysinfo(&memory);
    json_out_str(out, "Name", machine()->nodename);
    json_out_str(out, "ServerVersion", SKEP_VERSION);
    json_out_str(out, "OSType", "linux");
    json_out_str(out, "KernelVersion", machine()->release);
    json_out_str(out, "Architecture", machine()->machine);
    json_out_str(out, "DockerRootDir", membership->config->data_root);
    json_out_int(out, "NCPU", sysconf(_SC_NPROCESSORS_ONLN));
    json_out_int(out, "MemTotal", (int64_t)memory.totalram * memory.mem_unit);
    json_out_bool(out, "Debug", membership->config->debug);
}

// What is NULL answers 501 with a text that says so.
const struct backend membership_backend = {
    .swarm = on_swarm,
    .version = on_version,
    .info = on_info,
    .init = on_init,
    .leave = on_leave,
    .forget = on_forget,
};

// ---- life ---------------------------------------------------------------------------------------

struct membership *membership_new(struct loop *loop, const struct config *config,
                                  const struct addr *local_addr, const struct membership_ops *ops)
{
    struct membership *membership = MEM_NEW(struct membership);
    MAGIC_SET(membership, MEMBERSHIP_MAGIC);
    membership->loop = loop;
    membership->config = config;
    membership->local_addr = *local_addr;
    membership->ops = ops;
    membership->place = place_default();
    return membership;
}

static void finish(void *ctx)
{
    struct membership *membership = membership_of(ctx);
    void (*closed)(void *owner) = membership->closed;
    void *owner = membership->closed_owner;
    charge_fini(&membership->charge);
    MAGIC_CLEAR(membership);
    free(membership);
    closed(owner);
}

static void on_finish(struct loop_post *post)
{
    finish(CONTAINER_OF(post, struct membership, closing));
}

void membership_close(struct membership *membership, void (*closed)(void *owner), void *owner)
{
    membership_of(membership);
    membership->done = NULL; // nobody listens any more
    membership->closed = closed;
    membership->closed_owner = owner;
    if (membership->client)
        drop_client(membership, finish);
    else
        loop_post(membership->loop, &membership->closing, on_finish);
}

int membership_resume(struct membership *membership, struct err *err)
{
    struct buf text;
    buf_init(&text, PLACE_BYTES_MAX);
    char *path = path_of(membership, PLACE_FILE);
    int result = file_read(path, &text, err);
    free(path);
    if (result == -ERR_NOT_FOUND) {
        buf_fini(&text);
        return 0;
    }
    if (!result)
        result = place_read(text.data, text.len, &membership->place, err);
    buf_fini(&text);
    if (result || !membership->place.manager)
        return result;
    struct credentials credentials = {0};
    struct seal_key key;
    result = load_credentials(membership, &credentials, &key, err);
    if (result)
        return result;
    // A node that was stopped between founding and its first commit has nothing to go on with but
    // its certificate; the manager process then says that there is no Raft state.
    fill_charge(membership, MANAGER_RESTART, &credentials, &key);
    explicit_bzero(&key, sizeof key);
    credentials_fini(&credentials);
    return start_manager(membership, err);
}
