// A manager of ours for a stock swarm to work with, and a small client for its local socket.
//
//   interop_manager serve DIR HOST:PORT
//       founds a cluster, or goes on with the one in DIR; says when it leads; ends with stdin
//   interop_manager ask DIR VERB...
//       token | nodes | tasks SERVICE | create NAME IMAGE REPLICAS COMMAND... | scale NAME N |
//       image NAME IMAGE | drain NODE | active NODE | remove NAME
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/found.h"
#include "manager/manager.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"

#define CALL_MS 60000

static struct loop loop;
static struct arena arena;

static void die(const struct err *err)
{
    fprintf(stderr, "%s: %s\n", err_code_name(err->code), err->message);
    exit(1);
}

static struct addr local_of(const char *dir)
{
    struct addr addr;
    struct err err = ERR_INIT;
    if (addr_parse(arena_printf(&arena, "unix://%s/local.sock", dir), 0, &addr, &err))
        die(&err);
    return addr;
}

// ---- serving ------------------------------------------------------------------------------------

struct served {
    struct manager *manager;
    bool closed;
    const char *dir;
};

static void on_ready(void *ctx, const struct err *err)
{
    (void)ctx;
    if (err)
        die(err);
}

static void on_changed(void *ctx)
{
    struct served *served = ctx;
    struct manager_status status;
    if (!served->manager)
        return;
    manager_status(served->manager, &status);
    if (status.role.acting) {
        printf("leading\n");
        fflush(stdout);
    }
}

static void on_stopped(void *ctx, const struct err *why)
{
    (void)ctx;
    die(why);
}

static void on_closed(void *ctx)
{
    ((struct served *)ctx)->closed = true;
}

static bool is_closed(void *ctx)
{
    return ((struct served *)ctx)->closed;
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    (void)events;
    char byte;
    if (status == 0 && fread(&byte, 1, 1, stdin) == 1)
        return;
    uv_close((uv_handle_t *)poll, NULL);
    loop_stop(&loop);
}

static char *read_text(const char *path)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    struct err err = ERR_INIT;
    if (file_read(path, &text, &err))
        die(&err);
    char *copy = arena_strdup(&arena, buf_cstr(&text));
    buf_fini(&text);
    return copy;
}

static void write_text(const char *path, const char *text)
{
    struct err err = ERR_INIT;
    if (file_write_atomic(path, text, strlen(text), 0600, &err))
        die(&err);
}

// Makes the cluster's first credentials, or reads those of an earlier life.
static bool credentials_of(const char *dir, struct credentials *credentials,
                           Swarm__Cluster **cluster)
{
    const char *chain = arena_printf(&arena, "%s/chain.pem", dir);
    const char *key = arena_printf(&arena, "%s/key.pem", dir);
    const char *roots = arena_printf(&arena, "%s/roots.pem", dir);
    struct err err = ERR_INIT;
    if (file_exists(chain)) {
        if (credentials_init(credentials, read_text(chain), read_text(key), read_text(roots), &err))
            die(&err);
        return false;
    }
    struct bootstrap bootstrap = {.cluster_id = arena_strdup(&arena, entropy_id().text)};
    if (dir_make(dir, 0700, &err) || found_cluster(&bootstrap, entropy_id().text, &rng_kernel,
                                                   wall_now(), &arena, cluster, credentials, &err))
        die(&err);
    write_text(chain, credentials->chain_pem);
    write_text(key, credentials->key_pem);
    write_text(roots, credentials->roots_pem);
    return true;
}

static int serve(const char *dir, const char *advertise)
{
    struct served served = {.dir = dir};
    struct loop_thread serving;
    loop_thread_start(&serving, "serving");
    struct loop *loops[] = {&serving.loop};
    struct credentials credentials = {0};
    Swarm__Cluster *cluster = NULL;
    bool found = credentials_of(dir, &credentials, &cluster);
    struct manager_config config = {
        .loop = &loop,
        .serving = loops,
        .serving_count = 1,
        .dir = arena_printf(&arena, "%s/raft", dir),
        .key = {{1}},
        .rng = &rng_kernel,
        .credentials = &credentials,
        .advertise = advertise,
        .listen_fd = -1,
        .local = local_of(dir),
        .local_fd = -1,
        .birth = found ? MANAGER_FOUND : MANAGER_RESTART,
        .first_cluster = cluster,
        .ready = on_ready,
        .changed = on_changed,
        .stopped = on_stopped,
        .ctx = &served,
    };
    struct err err = ERR_INIT;
    if (addr_parse(advertise, 0, &config.listen, &err) ||
        manager_start(&config, &served.manager, &err))
        die(&err);
    uv_poll_t input;
    uv_poll_init(&loop.uv, &input, 0);
    uv_poll_start(&input, UV_READABLE, on_input);
    loop_run(&loop);
    manager_stop(served.manager, on_closed, &served);
    bool done = loop_run_until(&loop, is_closed, &served, CALL_MS);
    loop_thread_stop(&serving);
    credentials_fini(&credentials);
    return done ? 0 : 1;
}

// ---- asking -------------------------------------------------------------------------------------

struct asked {
    bool done;
    void *reply;
};

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    (void)trailers;
    struct asked *asked = ctx;
    if (status->err.code != ERR_OK)
        die(&status->err);
    asked->reply = wire_copy(rpc_request_message(request), &arena);
    asked->done = true;
}

static bool is_done(void *ctx)
{
    return ((struct asked *)ctx)->done;
}

static struct rpc_client *client;

static void *call(const char *method, const wire_type *response, const ProtobufCMessage *request)
{
    struct asked asked = {0};
    struct rpc_request_spec spec = {
        .path = arena_printf(&arena, "/docker.swarmkit.v1.Control/%s", method),
        .kind = RPC_UNARY,
        .response = response,
        .timeout_ms = CALL_MS,
        .wait_for_ready = true,
        .on_done = on_done,
        .ctx = &asked};
    rpc_client_call(client, &spec, request);
    loop_run_until(&loop, is_done, &asked, CALL_MS + 1000);
    CHECK(asked.done);
    return asked.reply;
}

static void ask_token(void)
{
    Swarm__ListClustersRequest request = SWARM__LIST_CLUSTERS_REQUEST__INIT;
    Swarm__ListClustersResponse *reply =
        call("ListClusters", &swarm__list_clusters_response__descriptor, &request.base);
    if (reply->n_clusters != 1)
        exit(1);
    printf("%s\n", reply->clusters[0]->root_ca->join_tokens->worker);
}

static const char *text_of(const ProtobufCEnumDescriptor *type, int value)
{
    char text[64];
    return arena_strdup(&arena, name_of_value(type, value, text, sizeof text));
}

static void ask_nodes(void)
{
    Swarm__ListNodesRequest request = SWARM__LIST_NODES_REQUEST__INIT;
    Swarm__ListNodesResponse *reply =
        call("ListNodes", &swarm__list_nodes_response__descriptor, &request.base);
    for (size_t i = 0; i < reply->n_nodes; i++)
        printf("%s %s %s %s\n", reply->nodes[i]->id,
               text_of(&swarm__node_status__state__descriptor, reply->nodes[i]->status->state),
               text_of(&swarm__node_role__descriptor, reply->nodes[i]->role),
               reply->nodes[i]->description ? reply->nodes[i]->description->hostname : "-");
}

static const Swarm__Service *find_service(const char *name)
{
    const char *names[] = {name};
    Swarm__ListServicesRequest__Filters filters = SWARM__LIST_SERVICES_REQUEST__FILTERS__INIT;
    filters.names = names;
    filters.n_names = 1;
    Swarm__ListServicesRequest request = SWARM__LIST_SERVICES_REQUEST__INIT;
    request.filters = &filters;
    Swarm__ListServicesResponse *reply =
        call("ListServices", &swarm__list_services_response__descriptor, &request.base);
    if (reply->n_services != 1)
        exit(1);
    return reply->services[0];
}

static void ask_tasks(const char *service)
{
    const char *services[] = {find_service(service)->id};
    Swarm__ListTasksRequest__Filters filters = SWARM__LIST_TASKS_REQUEST__FILTERS__INIT;
    filters.service_ids = services;
    filters.n_service_ids = 1;
    Swarm__ListTasksRequest request = SWARM__LIST_TASKS_REQUEST__INIT;
    request.filters = &filters;
    Swarm__ListTasksResponse *reply =
        call("ListTasks", &swarm__list_tasks_response__descriptor, &request.base);
    for (size_t i = 0; i < reply->n_tasks; i++) {
        const Swarm__Task *task = reply->tasks[i];
        printf("%s %s %s %s %s err=%s\n", task->id,
               text_of(&swarm__task_state__descriptor, task->desired_state),
               text_of(&swarm__task_state__descriptor, task->status->state),
               str_or(task->node_id, "-"), task->spec->container->image, task->status->err);
    }
}

static void create(int count, char **args)
{
    Swarm__ServiceSpec *spec = wire_new(&swarm__service_spec__descriptor, &arena);
    spec->annotations->name = args[0];
    spec->task->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    spec->task->container = wire_new(&swarm__container_spec__descriptor, &arena);
    spec->task->container->image = args[1];
    spec->task->container->command = (const char **)args + 3;
    spec->task->container->n_command = (size_t)count - 3;
    spec->mode_case = SWARM__SERVICE_SPEC__MODE_REPLICATED;
    spec->replicated = wire_new(&swarm__replicated_service__descriptor, &arena);
    spec->replicated->replicas = strtoull(args[2], NULL, 10);
    Swarm__CreateServiceRequest request = SWARM__CREATE_SERVICE_REQUEST__INIT;
    request.spec = spec;
    Swarm__CreateServiceResponse *reply =
        call("CreateService", &swarm__create_service_response__descriptor, &request.base);
    printf("%s\n", reply->service->id);
}

static void update(const char *name, const char *image, const char *replicas)
{
    const Swarm__Service *service = find_service(name);
    Swarm__ServiceSpec *spec = service->spec;
    if (image)
        spec->task->container->image = image;
    if (replicas)
        spec->replicated->replicas = strtoull(replicas, NULL, 10);
    Swarm__UpdateServiceRequest request = SWARM__UPDATE_SERVICE_REQUEST__INIT;
    request.service_id = service->id;
    request.service_version = service->meta->version;
    request.spec = spec;
    call("UpdateService", &swarm__update_service_response__descriptor, &request.base);
}

static void set_availability(const char *node_id, int availability)
{
    Swarm__GetNodeRequest get = SWARM__GET_NODE_REQUEST__INIT;
    get.node_id = node_id;
    Swarm__GetNodeResponse *reply =
        call("GetNode", &swarm__get_node_response__descriptor, &get.base);
    reply->node->spec->availability = availability;
    Swarm__UpdateNodeRequest request = SWARM__UPDATE_NODE_REQUEST__INIT;
    request.node_id = node_id;
    request.node_version = reply->node->meta->version;
    request.spec = reply->node->spec;
    call("UpdateNode", &swarm__update_node_response__descriptor, &request.base);
}

static void remove_service(const char *name)
{
    Swarm__RemoveServiceRequest request = SWARM__REMOVE_SERVICE_REQUEST__INIT;
    request.service_id = find_service(name)->id;
    call("RemoveService", &swarm__remove_service_response__descriptor, &request.base);
}

static int ask(const char *dir, int count, char **args)
{
    client = rpc_client_new(&(struct rpc_client_config){.loop = &loop, .addr = local_of(dir)});
    const char *verb = args[0];
    if (str_equal(verb, "token"))
        ask_token();
    else if (str_equal(verb, "nodes"))
        ask_nodes();
    else if (str_equal(verb, "tasks") && count == 2)
        ask_tasks(args[1]);
    else if (str_equal(verb, "create") && count >= 4)
        create(count - 1, args + 1);
    else if (str_equal(verb, "scale") && count == 3)
        update(args[1], NULL, args[2]);
    else if (str_equal(verb, "image") && count == 3)
        update(args[1], args[2], NULL);
    else if (str_equal(verb, "drain") && count == 2)
        set_availability(args[1], SWARM__NODE_SPEC__AVAILABILITY__DRAIN);
    else if (str_equal(verb, "active") && count == 2)
        set_availability(args[1], SWARM__NODE_SPEC__AVAILABILITY__ACTIVE);
    else if (str_equal(verb, "remove") && count == 2)
        remove_service(args[1]);
    else
        return 2;
    struct served closing = {0};
    rpc_client_close(client, on_closed, &closing);
    return loop_run_until(&loop, is_closed, &closing, CALL_MS) ? 0 : 1;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdin, NULL, _IONBF, 0);
    loop_init(&loop);
    arena_init(&arena, (size_t)1 << 30);
    int result = 2;
    if (argc == 4 && str_equal(argv[1], "serve"))
        result = serve(argv[2], argv[3]);
    else if (argc >= 4 && str_equal(argv[1], "ask"))
        result = ask(argv[2], argc - 3, argv + 3);
    if (result == 2)
        fprintf(stderr, "usage: see the head of tests/interop/manager.c\n");
    loop_fini(&loop);
    arena_fini(&arena);
    return result;
}
