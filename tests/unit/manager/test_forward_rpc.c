// Calls that go through a manager which does not lead: they arrive as their callers', and as nobody
// else's (swarmkit 7.2), also while the leader changes and when managers disagree about who it is.
#include <check.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/wire/methods.h"
#include "proto/wire/raft.pb-c.h"
#include "proto/wire/resource.pb-c.h"
#include "tests/unit/manager/sites.h"

#define ATTACH "/docker.swarmkit.v1.ResourceAllocator/AttachNetwork"
#define DETACH "/docker.swarmkit.v1.ResourceAllocator/DetachNetwork"

static struct credentials worker;
static struct rpc_client *clients[SITES]; // the worker's, of each manager

// Long enough for a busy machine, which is not what these tests are about.
#define ELECTION_MS      3000  // where one is waited for
#define ELECTION_MS_CALM 20000 // where none is wanted

static void setup_with(int64_t election_ms)
{
    sites_setup();
    sites_election_ms = election_ms;
    site_call_ms = SITES_WAIT_MS;
    sites_found(SITES);
    sites_admit(2, IDENTITY_WORKER, &worker); // by a follower: joining is forwarded too
    for (int i = 0; i < SITES; i++)
        clients[i] = site_client(i, &worker);
}

static void setup_calm(void)
{
    setup_with(ELECTION_MS_CALM);
}

static void setup(void)
{
    setup_with(ELECTION_MS);
}

static void teardown(void)
{
    for (int i = 0; i < SITES; i++)
        rpc_client_close(clients[i], NULL, NULL);
    credentials_fini(&worker);
    sites_teardown();
}

// ---- whose call it is ---------------------------------------------------------------------------

static const char *create_network(const char *name, bool attachable)
{
    Swarm__NetworkSpec *spec = wire_new(&swarm__network_spec__descriptor, &sites_arena);
    spec->annotations->name = arena_strdup(&sites_arena, name);
    spec->attachable = attachable;
    Swarm__CreateNetworkRequest request = SWARM__CREATE_NETWORK_REQUEST__INIT;
    request.spec = spec;
    struct asked asked = SITE_ASK(0, Control, CreateNetwork, create_network_response, &request);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    return ((Swarm__CreateNetworkResponse *)asked.reply)->network->id;
}

static struct asked attach(struct rpc_client *client, const char *network)
{
    Swarm__NetworkAttachmentConfig config = SWARM__NETWORK_ATTACHMENT_CONFIG__INIT;
    Swarm__AttachNetworkRequest request = SWARM__ATTACH_NETWORK_REQUEST__INIT;
    config.target = network;
    request.config = &config;
    request.container_id = "c1";
    return site_call_message(client, ATTACH, &request.base);
}

static struct asked detach(struct rpc_client *client, const char *attachment)
{
    Swarm__DetachNetworkRequest request = SWARM__DETACH_NETWORK_REQUEST__INIT;
    request.attachment_id = attachment;
    return site_call_message(client, DETACH, &request.base);
}

START_TEST(a_node_attaches_containers_through_a_follower)
{
    const char *network = create_network("open", true);
    create_network("closed", false);
    struct asked asked = attach(clients[1], network);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    const char *id = ((Swarm__AttachNetworkResponse *)asked.reply)->attachment_id;
    Swarm__GetTaskRequest request = SWARM__GET_TASK_REQUEST__INIT;
    request.task_id = id;
    struct asked got = SITE_ASK(0, Control, GetTask, get_task_response, &request);
    ck_assert_msg(got.status.err.code == ERR_OK, "%s", got.status.err.message);
    const Swarm__Task *task = ((Swarm__GetTaskResponse *)got.reply)->task;
    // It is the caller's, not the follower's that passed it on.
    ck_assert_str_eq(task->node_id, worker.identity.node_id);
    ck_assert_str_eq(task->spec->attachment->container_id, "c1");
    ck_assert_int_eq(attach(clients[1], "closed").status.err.code, ERR_PERMISSION_DENIED);
    ck_assert_int_eq(attach(clients[1], "none").status.err.code, ERR_NOT_FOUND);

    struct credentials other;
    sites_admit(0, IDENTITY_WORKER, &other);
    struct rpc_client *others = site_client(2, &other);
    ck_assert_int_eq(detach(others, id).status.err.code, ERR_PERMISSION_DENIED);
    ck_assert_int_eq(detach(clients[2], id).status.err.code, ERR_OK);
    ck_assert_int_eq(detach(clients[2], id).status.err.code, ERR_NOT_FOUND);
    rpc_client_close(others, NULL, NULL);
    credentials_fini(&other);
}
END_TEST

// The forwarder is a manager; who it forwards for is not, for any method.
START_TEST(cve_2026_115539_a_worker_is_a_worker_through_every_manager)
{
    for (size_t i = 0; i < method_table_count; i++) {
        const struct method *method = &method_table[i];
        if (method->callers != METHOD_MANAGERS)
            continue;
        for (int site = 0; site < SITES; site++) {
            struct asked asked = site_call(clients[site], method->path, NULL, "", 0);
            ck_assert_msg(asked.status.err.code == ERR_PERMISSION_DENIED, "%s at %d: %d %s",
                          method->path, site, asked.status.err.code, asked.status.err.message);
            ck_assert_msg(strstr(asked.status.err.message, "Permission denied: unauthorized"),
                          "%s at %d: %s", method->path, site, asked.status.err.message);
        }
    }
}
END_TEST

// A worker that writes the forwarder's metadata itself.
START_TEST(cve_2026_115539_nobody_forwards_for_himself)
{
    static const char *const paths[] = {
        "/docker.swarmkit.v1.CA/GetUnlockKey", "/docker.swarmkit.v1.RaftMembership/Leave",
        "/docker.swarmkit.v1.Control/ListSecrets", "/docker.swarmkit.v1.Raft/ResolveAddress",
        "/docker.swarmkit.v1.Watch/Watch"};
    struct metadata forged;
    metadata_init(&forged, &sites_arena);
    metadata_add(&forged, "forwarded_cert", "true");
    metadata_add(&forged, "forwarded_cert_cn", sites[0].credentials.identity.node_id);
    metadata_add(&forged, "forwarded_cert_org", sites_cluster->id);
    metadata_add(&forged, "forwarded_cert_ou", "swarm-manager");
    metadata_add(&forged, "remote_addr", "127.0.0.1:1");
    struct rpc_client *nobodys = site_client(1, NULL);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        for (int site = 0; site < SITES; site++)
            ck_assert_int_eq(site_call(clients[site], paths[i], &forged, "", 0).status.err.code,
                             ERR_PERMISSION_DENIED);
        ck_assert_int_eq(site_call(nobodys, paths[i], &forged, "", 0).status.err.code,
                         ERR_PERMISSION_DENIED);
    }
    rpc_client_close(nobodys, NULL, NULL);
}
END_TEST

// Each of two managers takes the other for the leader: what one passed on the other does not.
START_TEST(cve_2026_115539_managers_that_disagree_about_the_leader_pass_nothing_on_twice)
{
    struct metadata passed;
    metadata_init(&passed, &sites_arena);
    metadata_add(&passed, "forwarded_cert", "true");
    metadata_add(&passed, "forwarded_cert_cn", worker.identity.node_id);
    metadata_add(&passed, "forwarded_cert_org", sites_cluster->id);
    metadata_add(&passed, "forwarded_cert_ou", "swarm-worker");
    metadata_add(&passed, "remote_addr", "127.0.0.1:1");
    metadata_add(&passed, "redirect", "127.0.0.1:1");
    // Manager 1 passes a worker's call on to manager 2, which does not lead either.
    struct rpc_client *forwarder = site_client(2, &sites[1].credentials);
    struct asked asked =
        site_call(forwarder, "/docker.swarmkit.v1.Dispatcher/Heartbeat", &passed, "", 0);
    ck_assert_int_eq(asked.status.err.code, ERR_RESOURCE_EXHAUSTED);
    ck_assert_ptr_nonnull(strstr(asked.status.err.message, "more than one redirect to leader"));
    // And without `redirect`, which newer stock managers lose on the way: the first of the chain is
    // overwritten by the second, so that the call is at most the forwarder's own.
    metadata_remove(&passed, "redirect");
    asked = site_call(forwarder, "/docker.swarmkit.v1.Dispatcher/Heartbeat", &passed, "", 0);
    ck_assert_int_ne(asked.status.err.code, ERR_OK);
    asked = site_call(forwarder, "/docker.swarmkit.v1.CA/GetUnlockKey", &passed, "", 0);
    ck_assert_int_ne(asked.status.err.code, ERR_OK);
    // The leader knows it for what it says it is.
    struct rpc_client *direct = site_client(0, &sites[1].credentials);
    asked = site_call(direct, "/docker.swarmkit.v1.CA/GetUnlockKey", &passed, "", 0);
    ck_assert_int_eq(asked.status.err.code, ERR_PERMISSION_DENIED);
    rpc_client_close(forwarder, NULL, NULL);
    rpc_client_close(direct, NULL, NULL);
}
END_TEST

// ---- around the leader's loss -------------------------------------------------------------------

static bool others_lead(void *ctx)
{
    (void)ctx;
    return site_is_leading(&sites[1]) || site_is_leading(&sites[2]);
}

static void try_as_worker(void)
{
    static const char *const paths[] = {"/docker.swarmkit.v1.CA/GetUnlockKey",
                                        "/docker.swarmkit.v1.RaftMembership/Join",
                                        "/docker.swarmkit.v1.RaftMembership/Leave"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        for (int site = 1; site < SITES; site++) {
            struct asked asked = site_call(clients[site], paths[i], NULL, "", 0);
            ck_assert_msg(asked.status.err.code != ERR_OK, "%s at %d", paths[i], site);
        }
}

START_TEST(cve_2026_115539_no_call_slips_through_while_the_leader_changes)
{
    try_as_worker();
    site_stop(0);
    for (int round = 0; round < 3; round++)
        try_as_worker(); // some of them wait for the new leader
    ck_assert(loop_run_until(&sites_loop, others_lead, NULL, SITES_WAIT_MS));
    try_as_worker();
    // The new leader serves the worker as what it is.
    const char *network = NULL;
    Swarm__NetworkSpec *spec = wire_new(&swarm__network_spec__descriptor, &sites_arena);
    spec->annotations->name = "late";
    spec->attachable = true;
    Swarm__CreateNetworkRequest request = SWARM__CREATE_NETWORK_REQUEST__INIT;
    request.spec = spec;
    struct asked asked = SITE_ASK(1, Control, CreateNetwork, create_network_response, &request);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    network = ((Swarm__CreateNetworkResponse *)asked.reply)->network->id;
    for (int site = 1; site < SITES; site++)
        ck_assert_int_eq(attach(clients[site], network).status.err.code, ERR_OK);
}
END_TEST

// A call over the local socket that finds no leader waits for the next one.
START_TEST(a_call_begun_without_a_leader_is_answered_by_the_next)
{
    site_stop(0);
    struct asked asked = site_create_service(1, "early", 1);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    ck_assert_int_eq(site_create_service(2, "early", 1).status.err.code, ERR_ALREADY_EXISTS);
}
END_TEST

Suite *suite_forward_rpc(void);
Suite *suite_forward_rpc(void)
{
    Suite *suite = suite_create("forward_rpc");
    TCase *tcase = tcase_create("forward_rpc");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, setup_calm, teardown);
    tcase_add_test(tcase, a_node_attaches_containers_through_a_follower);
    tcase_add_test(tcase, cve_2026_115539_a_worker_is_a_worker_through_every_manager);
    tcase_add_test(tcase, cve_2026_115539_nobody_forwards_for_himself);
    tcase_add_test(tcase,
                   cve_2026_115539_managers_that_disagree_about_the_leader_pass_nothing_on_twice);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("forward_rpc_without_leader");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, cve_2026_115539_no_call_slips_through_while_the_leader_changes);
    tcase_add_test(tcase, a_call_begun_without_a_leader_is_answered_by_the_next);
    suite_add_tcase(suite, tcase);
    return suite;
}
