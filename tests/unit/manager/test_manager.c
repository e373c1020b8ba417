// A manager as the node process sees it: founded, asked over its local socket, stopped and started
// again, joined by others, and forwarding to the leader. Real loops, sockets, TLS and disks.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "manager/found.h"
#include "manager/manager.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/wire.h"
#include "tests/support/support.h"

#define WAIT_MS 30000

struct site {
    int number;
    struct manager *manager;
    struct rpc_client *client; // of the local socket
    struct credentials credentials;
    bool ready, failed, stopped, closed;
    char advertise[ADDR_TEXT_BYTES];
};

static struct loop loop;
static struct loop_thread serving;
static const char *folder;
static struct arena arena;
static Swarm__Cluster *cluster;
static struct site sites[3];

static void on_ready(void *ctx, const struct err *err)
{
    struct site *site = ctx;
    site->ready = !err;
    site->failed = err != NULL;
    if (err)
        fprintf(stderr, "site %d: %s\n", site->number, err->message);
}

static void on_changed(void *ctx)
{
    (void)ctx;
}

static void on_stopped(void *ctx, const struct err *why)
{
    ((struct site *)ctx)->stopped = true;
    fprintf(stderr, "stopped: %s\n", why->message);
}

static void on_closed(void *ctx)
{
    struct site *site = ctx;
    site->closed = true;
    site->manager = NULL;
}

static bool is_up(void *ctx)
{
    struct site *site = ctx;
    return site->ready || site->failed;
}

static bool is_leading(void *ctx)
{
    struct manager_status status;
    manager_status(((struct site *)ctx)->manager, &status);
    return status.role.acting;
}

static bool is_closed(void *ctx)
{
    return ((struct site *)ctx)->closed;
}

static void start(int number, enum manager_birth birth, const char *join)
{
    struct site *site = &sites[number];
    site->number = number;
    site->ready = site->failed = site->stopped = site->closed = false;
    char dir[4096], socket[4096];
    snprintf(dir, sizeof dir, "%s/raft%d", folder, number);
    snprintf(socket, sizeof socket, "unix://%s/%d.sock", folder, number);
    struct addr local;
    ck_assert_int_eq(addr_parse(socket, 0, &local, NULL), 0);
    const char *joins[] = {join};
    struct loop *loops[] = {&serving.loop};
    struct manager_config config = {
        .loop = &loop,
        .serving = loops,
        .serving_count = 1,
        .dir = dir,
        .key = {{5}},
        .rng = &rng_kernel,
        .credentials = &site->credentials,
        .advertise = site->advertise,
        .listen_fd = -1,
        .local = local,
        .local_fd = -1,
        .birth = birth,
        .first_cluster = cluster,
        .join_addrs = joins,
        .join_addrs_count = join ? 1 : 0,
        .patient = {.heartbeat_ms = 100, .election_ms = 1000},
        .ready = on_ready,
        .changed = on_changed,
        .stopped = on_stopped,
        .ctx = site,
    };
    ck_assert_int_eq(addr_parse(site->advertise, 0, &config.listen, NULL), 0);
    struct err err = ERR_INIT;
    ck_assert_msg(manager_start(&config, &site->manager, &err) == 0, "%s", err.message);
    ck_assert(loop_run_until(&loop, is_up, site, WAIT_MS));
    ck_assert(site->ready);
    site->client = rpc_client_new(&(struct rpc_client_config){.loop = &loop, .addr = local});
}

static void stop(int number)
{
    struct site *site = &sites[number];
    if (site->client)
        rpc_client_close(site->client, NULL, NULL);
    site->client = NULL;
    if (!site->manager)
        return;
    manager_stop(site->manager, on_closed, site);
    ck_assert(loop_run_until(&loop, is_closed, site, WAIT_MS));
}

// ---- calls --------------------------------------------------------------------------------------

struct asked {
    bool done;
    struct rpc_status status;
    void *reply; // in `arena`
};

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    (void)trailers;
    struct asked *asked = ctx;
    asked->done = true;
    asked->status = *status;
    if (status->err.code == ERR_OK)
        asked->reply = wire_copy(rpc_request_message(request), &arena);
}

static bool is_done(void *ctx)
{
    return ((struct asked *)ctx)->done;
}

static struct asked ask(int number, const char *method, const wire_type *response,
                        const ProtobufCMessage *request)
{
    char path[128];
    snprintf(path, sizeof path, "/docker.swarmkit.v1.Control/%s", method);
    struct asked asked = {0};
    struct rpc_request_spec spec = {.path = path,
                                    .kind = RPC_UNARY,
                                    .response = response,
                                    .timeout_ms = WAIT_MS,
                                    .wait_for_ready = true,
                                    .on_done = on_done,
                                    .ctx = &asked};
    rpc_client_call(sites[number].client, &spec, request);
    ck_assert(loop_run_until(&loop, is_done, &asked, WAIT_MS));
    return asked;
}

static Swarm__ListClustersResponse *list_clusters(int number)
{
    Swarm__ListClustersRequest request = SWARM__LIST_CLUSTERS_REQUEST__INIT;
    struct asked asked =
        ask(number, "ListClusters", &swarm__list_clusters_response__descriptor, &request.base);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    return asked.reply;
}

static struct asked create_service(int number, const char *name, uint64_t replicas)
{
    Swarm__ServiceSpec *spec = wire_new(&swarm__service_spec__descriptor, &arena);
    spec->annotations->name = arena_strdup(&arena, name);
    spec->task->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    spec->task->container = wire_new(&swarm__container_spec__descriptor, &arena);
    spec->task->container->image = "busybox:1";
    spec->mode_case = SWARM__SERVICE_SPEC__MODE_REPLICATED;
    spec->replicated = wire_new(&swarm__replicated_service__descriptor, &arena);
    spec->replicated->replicas = replicas;
    Swarm__CreateServiceRequest request = SWARM__CREATE_SERVICE_REQUEST__INIT;
    request.spec = spec;
    return ask(number, "CreateService", &swarm__create_service_response__descriptor, &request.base);
}

static Swarm__ListTasksResponse *list_tasks(int number)
{
    Swarm__ListTasksRequest request = SWARM__LIST_TASKS_REQUEST__INIT;
    struct asked asked =
        ask(number, "ListTasks", &swarm__list_tasks_response__descriptor, &request.base);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    return asked.reply;
}

// ---- set-up -------------------------------------------------------------------------------------

// A manager's credentials, signed with the cluster's root; the CA service has tests of its own.
static void issue(int number)
{
    struct err err = ERR_INIT;
    Swarm__Cluster *ignored;
    struct bootstrap bootstrap = {.cluster_id = cluster->id};
    char *cert = arena_strndup(&arena, (char *)cluster->root_ca->ca_cert.data,
                               cluster->root_ca->ca_cert.len);
    char *key =
        arena_strndup(&arena, (char *)cluster->root_ca->ca_key.data, cluster->root_ca->ca_key.len);
    bootstrap.root_cert_pem = cert;
    bootstrap.root_key_pem = key;
    ck_assert_msg(found_cluster(&bootstrap, entropy_id().text, &rng_kernel, wall_now(), &arena,
                                &ignored, &sites[number].credentials, &err) == 0,
                  "%s", err.message);
}

static void setup(void)
{
    loop_init(&loop);
    loop_thread_start(&serving, "serving");
    folder = support_tmpdir();
    arena_init(&arena, (size_t)256 << 20);
    struct bootstrap bootstrap = {.cluster_id = arena_strdup(&arena, entropy_id().text)};
    struct err err = ERR_INIT;
    ck_assert_msg(found_cluster(&bootstrap, entropy_id().text, &rng_kernel, wall_now(), &arena,
                                &cluster, &sites[0].credentials, &err) == 0,
                  "%s", err.message);
    for (int i = 0; i < 3; i++)
        snprintf(sites[i].advertise, sizeof sites[i].advertise, "127.0.0.1:%d", support_port());
}

static void teardown(void)
{
    for (int i = 2; i >= 0; i--) {
        stop(i);
        credentials_fini(&sites[i].credentials);
    }
    loop_thread_stop(&serving);
    loop_fini(&loop);
    arena_fini(&arena);
    support_tmpdir_remove(folder);
    memset(sites, 0, sizeof sites);
}

// ---- tests --------------------------------------------------------------------------------------

START_TEST(a_founded_cluster_has_what_a_cluster_must_have)
{
    start(0, MANAGER_FOUND, NULL);
    ck_assert(loop_run_until(&loop, is_leading, &sites[0], WAIT_MS));
    // What a new leader writes is there a commit later.
    Swarm__ListClustersResponse *list = list_clusters(0);
    for (int round = 0; round < 1000 && list->n_clusters == 0; round++)
        list = list_clusters(0);
    ck_assert_uint_eq(list->n_clusters, 1);
    ck_assert_str_eq(list->clusters[0]->spec->annotations->name, "default");
    ck_assert_uint_eq(list->clusters[0]->root_ca->ca_key.len, 0); // redacted
    ck_assert(str_starts(list->clusters[0]->root_ca->join_tokens->worker, "SWMTKN-1-"));
    Swarm__ListNetworksRequest request = SWARM__LIST_NETWORKS_REQUEST__INIT;
    struct asked asked =
        ask(0, "ListNetworks", &swarm__list_networks_response__descriptor, &request.base);
    Swarm__ListNetworksResponse *networks = asked.reply;
    ck_assert_uint_eq(networks->n_networks, 3); // ingress, bridge, host
    Swarm__ListNodesRequest nodes_request = SWARM__LIST_NODES_REQUEST__INIT;
    asked = ask(0, "ListNodes", &swarm__list_nodes_response__descriptor, &nodes_request.base);
    Swarm__ListNodesResponse *nodes = asked.reply;
    ck_assert_uint_eq(nodes->n_nodes, 1);
    ck_assert_ptr_nonnull(nodes->nodes[0]->manager_status);
    ck_assert(nodes->nodes[0]->manager_status->leader);
}
END_TEST

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

struct wanted {
    int number;
    const char *line;
};

// True when the manager's figures have the line.
static bool shows(void *ctx)
{
    const struct wanted *wanted = ctx;
    struct buf text;
    buf_init(&text, (size_t)1 << 20);
    manager_metrics(sites[wanted->number].manager, &text);
    ck_assert(buf_ok(&text));
    const char *at = strstr(buf_cstr(&text), wanted->line);
    bool whole = at && at[-1] == '\n' && at[strlen(wanted->line)] == '\n';
    buf_fini(&text);
    return whole;
}

// A follower's own state may come a moment after what it passed on was answered.
static void will_show(int number, const char *line)
{
    struct wanted wanted = {number, line};
    ck_assert_msg(loop_run_until(&loop, shows, &wanted, WAIT_MS), "%s", line);
}

START_TEST(a_service_gets_its_tasks_and_survives_a_restart)
{
    start(0, MANAGER_FOUND, NULL);
    ck_assert(loop_run_until(&loop, is_leading, &sites[0], WAIT_MS));
    struct asked created = create_service(0, "web", 3);
    ck_assert_msg(created.status.err.code == ERR_OK, "%s", created.status.err.message);
    Swarm__CreateServiceResponse *service = created.reply;
    ck_assert_str_eq(service->service->spec->annotations->name, "web");
    ck_assert_int_eq(create_service(0, "web", 1).status.err.code, ERR_ALREADY_EXISTS);
    ck_assert_int_eq(create_service(0, "not a name", 1).status.err.code, ERR_INVALID_ARGUMENT);
    Swarm__ListTasksResponse *tasks = NULL;
    for (int round = 0; round < 100; round++) {
        tasks = list_tasks(0);
        if (tasks->n_tasks == 3 && tasks->tasks[0]->status->state == SWARM__TASK_STATE__PENDING &&
            tasks->tasks[1]->status->state == SWARM__TASK_STATE__PENDING &&
            tasks->tasks[2]->status->state == SWARM__TASK_STATE__PENDING &&
            !str_empty(tasks->tasks[0]->status->err))
            break;
        loop_run_until(&loop, never, NULL, 20);
    }
    ck_assert_uint_eq(tasks->n_tasks, 3);
    // The one node there is never registered: nobody can take them, and they say so.
    ck_assert(str_starts(tasks->tasks[0]->status->err, "no suitable node"));
    will_show(0, "swarm_manager_leader 1");
    will_show(0, "swarm_manager_services_total 1");
    will_show(0, "swarm_manager_networks_total 3");
    will_show(0, "swarm_manager_nodes{state=\"unknown\"} 1");
    will_show(0, "swarm_manager_tasks_total{state=\"pending\"} 3");
    will_show(0, "swarm_manager_tasks_total{state=\"running\"} 0");
    stop(0);
    start(0, MANAGER_RESTART, NULL);
    ck_assert(loop_run_until(&loop, is_leading, &sites[0], WAIT_MS));
    ck_assert_uint_eq(list_tasks(0)->n_tasks, 3);
    ck_assert_int_eq(create_service(0, "web", 1).status.err.code, ERR_ALREADY_EXISTS);
}
END_TEST

START_TEST(managers_join_and_pass_calls_on_to_the_leader)
{
    start(0, MANAGER_FOUND, NULL);
    ck_assert(loop_run_until(&loop, is_leading, &sites[0], WAIT_MS));
    ck_assert_int_eq(create_service(0, "one", 1).status.err.code, ERR_OK);
    issue(1);
    start(1, MANAGER_JOIN, sites[0].advertise);
    issue(2);
    start(2, MANAGER_JOIN, sites[0].advertise);
    // Written through a follower, read through every one of them.
    struct asked created = create_service(2, "two", 1);
    ck_assert_msg(created.status.err.code == ERR_OK, "%s", created.status.err.message);
    for (int i = 0; i < 3; i++) {
        Swarm__ListServicesRequest request = SWARM__LIST_SERVICES_REQUEST__INIT;
        struct asked asked =
            ask(i, "ListServices", &swarm__list_services_response__descriptor, &request.base);
        ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
        ck_assert_uint_eq(((Swarm__ListServicesResponse *)asked.reply)->n_services, 2);
    }
    will_show(2, "swarm_manager_leader 0");
    will_show(2, "swarm_manager_services_total 2");
    will_show(2, "skep_raft_members 3");
    // The leader goes; the others elect one of themselves and go on.
    stop(0);
    created = create_service(1, "three", 1);
    ck_assert_msg(created.status.err.code == ERR_OK, "%s", created.status.err.message);
    start(0, MANAGER_RESTART, NULL);
    created = create_service(0, "four", 1);
    ck_assert_msg(created.status.err.code == ERR_OK, "%s", created.status.err.message);
}
END_TEST

Suite *suite_manager(void);
Suite *suite_manager(void)
{
    Suite *suite = suite_create("manager");
    TCase *tcase = tcase_create("manager");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_founded_cluster_has_what_a_cluster_must_have);
    tcase_add_test(tcase, a_service_gets_its_tasks_and_survives_a_restart);
    tcase_add_test(tcase, managers_join_and_pass_calls_on_to_the_leader);
    suite_add_tcase(suite, tcase);
    return suite;
}
