// A manager of ours as a member of a stock swarm's Raft group, for raft_stock.sh. FOLDER holds what
// `interop_join_stock join` left there: certificate, key and roots; the manager adds its state.
//
//   serve FOLDER HOST:PORT STOCK   joins the managers at STOCK (or goes on as the member it was)
//                                  and serves until SIGTERM; says what becomes of it
//   stand FOLDER HOST:PORT ID FROM TERM
//                                  tells the member ID there to stand for election in a term after
//                                  TERM at once, as a leader FROM does that hands over
//   dump FOLDER                    prints the store as it lies on disk, also while it is served
//   ask FOLDER                     prints the services as the local socket tells them, wherever the
//                                  leader is
//
// Errors are printed as "CODE: message" and end with status 1.
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/manager.h"
#include "manager/store/snapshot.h"
#include "manager/store/store.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/identity/certdir_io.h"
#include "proto/identity/rng_io.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/names.h"
#include "proto/wire/raft.pb-c.h"
#include "proto/wire/wire.h"
#include "raft/disk/logdb_io.h"
#include "tests/support/manager_client.h"

#define CALL_MS     20000
#define ARENA_BYTES ((size_t)256 << 20)

// The same in every life of a test's manager; a real one has it in its key file.
static const struct seal_key data_key = {{1}};

static struct loop loop;
static struct arena arena;
static const char *folder;

static _Noreturn void die(const struct err *err)
{
    printf("%s: %s\n", err_code_name(err->code), err->message);
    fflush(stdout);
    exit(1);
}

static const char *path_of(const char *name)
{
    return arena_printf(&arena, "%s/%s", folder, name);
}

static struct addr local_addr(void)
{
    struct addr addr;
    struct err err = ERR_INIT;
    if (addr_parse(arena_printf(&arena, "unix://%s/local.sock", folder), 0, &addr, &err))
        die(&err);
    return addr;
}

// ---- serving ------------------------------------------------------------------------------------

struct served {
    struct manager *manager;
    struct raft_node_role role; // as last said
    bool closed;
    bool failed;
};

static void on_ready(void *ctx, const struct err *err)
{
    struct served *served = ctx;
    if (err)
        die(err);
    struct manager_status status;
    manager_status(served->manager, &status);
    printf("ready %" PRIu64 "\n", status.raft_id);
    fflush(stdout);
}

static void on_changed(void *ctx)
{
    struct served *served = ctx;
    if (!served->manager)
        return;
    struct manager_status status;
    manager_status(served->manager, &status);
    if (status.role.acting == served->role.acting && status.role.leader == served->role.leader &&
        status.role.term == served->role.term)
        return;
    served->role = status.role;
    printf("%s leader=%" PRIx64 " term=%" PRIu64 " members=%zu\n",
           status.role.acting ? "leading" : "following", status.role.leader, status.role.term,
           status.members);
    fflush(stdout);
}

static void on_stopped(void *ctx, const struct err *why)
{
    struct served *served = ctx;
    printf("stopped %s: %s\n", err_code_name(why->code), why->message);
    fflush(stdout);
    served->failed = true;
    loop_stop(&loop);
}

static void on_closed(void *ctx)
{
    ((struct served *)ctx)->closed = true;
}

static bool is_closed(void *ctx)
{
    return ((struct served *)ctx)->closed;
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    uv_close((uv_handle_t *)signal, NULL);
    loop_stop(&loop);
}

static int serve(const char *advertise, const char *stock)
{
    struct served served = {0};
    struct loop_thread serving;
    loop_thread_start(&serving, "serving");
    struct loop *loops[] = {&serving.loop};
    struct credentials credentials;
    struct keyfile file;
    struct err err = ERR_INIT;
    if (certdir_load(folder, NULL, &credentials, &file, &err))
        die(&err);
    keyfile_fini(&file);
    struct manager_config config = {
        .loop = &loop,
        .serving = loops,
        .serving_count = 1,
        .dir = path_of("raft"),
        .key = data_key,
        .rng = &rng_kernel,
        .credentials = &credentials,
        .advertise = advertise,
        .listen_fd = -1,
        .local = local_addr(),
        .local_fd = -1,
        .birth = MANAGER_JOIN,
        .join_addrs = &stock,
        .join_addrs_count = 1,
        .ready = on_ready,
        .changed = on_changed,
        .stopped = on_stopped,
        .ctx = &served,
    };
    if (addr_parse(advertise, 0, &config.listen, &err) ||
        manager_start(&config, &served.manager, &err))
        die(&err);
    uv_signal_t terminate;
    uv_signal_init(&loop.uv, &terminate);
    uv_signal_start(&terminate, on_signal, SIGTERM);
    loop_run(&loop);
    manager_stop(served.manager, on_closed, &served);
    bool done = loop_run_until(&loop, is_closed, &served, CALL_MS);
    if (!uv_is_closing((uv_handle_t *)&terminate))
        uv_close((uv_handle_t *)&terminate, NULL);
    loop_thread_stop(&serving);
    credentials_fini(&credentials);
    return done && !served.failed ? 0 : 1;
}

// ---- looking at the store -----------------------------------------------------------------------

static int on_row(void *ctx, const void *key, size_t key_size, const void *value, size_t value_size,
                  struct err *err)
{
    const char *text = arena_strndup(&arena, key, key_size);
    const char *slash = strchr(text, '/');
    enum object_type type;
    if (!slash) // the node's own rows
        return 0;
    if (!object_type_of_name(arena_strndup(&arena, text, (size_t)(slash - text)), &type))
        return err_set(err, ERR_DATA_LOSS, "no object type: %s", text);
    return restore_object(ctx, type, value, value_size, err);
}

static void print_service(const Swarm__Service *service)
{
    const Swarm__ServiceSpec *spec = service->spec;
    printf("service %s %s %" PRIu64 " %s %" PRIu64 "\n", service->id, spec->annotations->name,
           service->meta->version->index, spec->task->container->image,
           spec->replicated ? spec->replicated->replicas : 0);
}

static void print_object(enum object_type type, const void *message)
{
    if (type == OBJECT_SERVICE) {
        print_service(message);
    } else if (type == OBJECT_NETWORK) {
        const Swarm__Network *network = message;
        printf("network %s %s %s\n", network->id, network->spec->annotations->name,
               network->driver_state ? network->driver_state->name : "-");
    } else if (type == OBJECT_NODE) {
        const Swarm__Node *node = message;
        printf("node %s %" PRIu64 "\n", node->id, node->meta->version->index);
    }
}

static int dump(void)
{
    struct logdb *db;
    struct err err = ERR_INIT;
    uint64_t applied;
    struct store *store = store_new();
    struct restore *restore = restore_begin(store);
    if (logdb_open(path_of("raft"), &data_key, NULL, &db, &err) ||
        logdb_state_each(db, on_row, restore, &applied, &err) ||
        restore_finish(restore, applied, &err))
        die(&err);
    struct raft_boot boot;
    if (logdb_boot(db, &boot, &err))
        die(&err);
    printf("log begins after %" PRIu64 "\n", boot.start.index);
    logdb_close(db);
    struct view view = store_pin(store);
    for (unsigned type = 0; type < OBJECT_TYPES; type++) {
        VIEW_EACH (object, view, (enum object_type)type, BY_ALL) {
            const void *message = object_unpack(object, &arena);
            CHECK(message);
            print_object((enum object_type)type, message);
        }
    }
    store_unpin(view);
    store_free(store);
    return 0;
}

// ---- asking -------------------------------------------------------------------------------------

// One call by a client that is closed after it.
static void *ask_with(struct rpc_client *client, const char *path, const wire_type *response,
                      const ProtobufCMessage *request)
{
    struct err err = ERR_INIT;
    struct manager_call call = {.path = path,
                                .response = response,
                                .request = request,
                                .timeout_ms = CALL_MS,
                                .arena = &arena};
    if (manager_client_call(&loop, client, &call, &err))
        die(&err);
    manager_client_close(&loop, client);
    return call.reply;
}

static int ask(void)
{
    Swarm__ListServicesRequest request = SWARM__LIST_SERVICES_REQUEST__INIT;
    Swarm__ListServicesResponse *reply =
        ask_with(rpc_client_new(&(struct rpc_client_config){.loop = &loop, .addr = local_addr()}),
                 "/docker.swarmkit.v1.Control/ListServices",
                 &swarm__list_services_response__descriptor, &request.base);
    for (size_t i = 0; i < reply->n_services; i++)
        print_service(reply->services[i]);
    return 0;
}

// ---- standing -----------------------------------------------------------------------------------

static int stand(const char *at, uint64_t id, uint64_t from, uint64_t term)
{
    struct err err = ERR_INIT;
    struct rpc_client *client = manager_client_new(&loop, at, folder, &err);
    if (!client)
        die(&err);
    Raftpb__Message message = RAFTPB__MESSAGE__INIT;
    message.has_type = message.has_to = message.has_from = message.has_term = true;
    message.type = RAFTPB__MESSAGE_TYPE__MsgTimeoutNow;
    message.to = id;
    message.from = from;
    message.term = term + 1;
    Swarm__ProcessRaftMessageRequest request = SWARM__PROCESS_RAFT_MESSAGE_REQUEST__INIT;
    request.message = &message;
    ask_with(client, "/docker.swarmkit.v1.Raft/ProcessRaftMessage",
             &swarm__process_raft_message_response__descriptor, &request.base);
    return 0;
}

static int run(int argc, char **argv)
{
    const char *verb = argv[1];
    folder = argv[2];
    if (argc == 5 && str_equal(verb, "serve"))
        return serve(argv[3], argv[4]);
    if (argc == 7 && str_equal(verb, "stand"))
        return stand(argv[3], strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 16),
                     strtoull(argv[6], NULL, 10));
    if (argc == 3 && str_equal(verb, "dump"))
        return dump();
    if (argc == 3 && str_equal(verb, "ask"))
        return ask();
    return 2;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    loop_init(&loop);
    arena_init(&arena, ARENA_BYTES);
    int result = run(argc, argv);
    loop_fini(&loop);
    arena_fini(&arena);
    return result;
}
