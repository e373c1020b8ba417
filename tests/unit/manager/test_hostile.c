// Whatever comes in: every method of a manager with nobody's, a stranger's, a worker's and a
// removed node's certificate, without fields, malformed, too large, and made up at random. Each
// gets a clear status, nothing changes that should not, and others are served meanwhile.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"
#include "proto/rpc/grpc.h"
#include "proto/wire/ca.pb-c.h"
#include "proto/wire/methods.h"
#include "proto/wire/raft.pb-c.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"
#include "raft/core/types.h"
#include "raft/net/peers_io.h"
#include "tests/unit/manager/sites.h"

static struct rpc_client *manager; // with the manager's own certificate

static void setup(void)
{
    sites_setup();
    site_call_ms = SITES_WAIT_MS; // every call is answered, however busy the machine is
    // A node that never comes is found to be down in its time, which would be a change; not here.
    sites_cluster->spec->dispatcher->heartbeat_period = duration_new(NS_PER_H, &sites_arena);
    sites_found(1);
    manager = site_client(0, &sites[0].credentials);
}

static void teardown(void)
{
    rpc_client_close(manager, NULL, NULL);
    sites_teardown();
}

static uint64_t commit(void)
{
    struct manager_status status;
    manager_status(sites[0].manager, &status);
    return status.commit;
}

// Until what the leader does by itself is done.
static uint64_t settled_commit(void)
{
    uint64_t before;
    do {
        before = commit();
        loop_run_until(&sites_loop, sites_never, NULL, 300);
    } while (commit() != before);
    return before;
}

static bool is_raft(const struct method *method)
{
    return str_equal(method->service, "docker.swarmkit.v1.Raft");
}

// ---- who calls ----------------------------------------------------------------------------------

static void refuse_all(struct rpc_client *client, enum method_callers from, const char *whose)
{
    for (size_t i = 0; i < method_table_count; i++) {
        const struct method *method = &method_table[i];
        if (method->callers < from)
            continue;
        struct asked asked = site_call(client, method->path, NULL, "", 0);
        ck_assert_msg(asked.status.err.code == ERR_PERMISSION_DENIED, "%s calls %s: %d %s", whose,
                      method->path, asked.status.err.code, asked.status.err.message);
    }
    // The one method that is ours alone.
    struct asked asked = site_call(client, PEERS_BEATS_PATH, NULL, "", 0);
    ck_assert_int_eq(asked.status.err.code, ERR_PERMISSION_DENIED);
    rpc_client_close(client, NULL, NULL);
}

START_TEST(every_method_is_for_the_roles_of_its_row)
{
    struct credentials stranger, worker, removed;
    static_assert(METHOD_OPEN < METHOD_NODES && METHOD_NODES < METHOD_MANAGERS, "from .. on");
    uint64_t before = settled_commit();
    refuse_all(site_client(0, NULL), METHOD_NODES, "nobody");
    // Signed by our root, but for another cluster.
    sites_certify("someone", "another", IDENTITY_MANAGER, &stranger);
    refuse_all(site_client(0, &stranger), METHOD_NODES, "a stranger");
    ck_assert_uint_eq(settled_commit(), before);

    sites_admit(0, IDENTITY_WORKER, &worker);
    before = settled_commit();
    refuse_all(site_client(0, &worker), METHOD_MANAGERS, "a worker");
    ck_assert_uint_eq(settled_commit(), before);

    sites_admit(0, IDENTITY_WORKER, &removed);
    Swarm__RemoveNodeRequest request = SWARM__REMOVE_NODE_REQUEST__INIT;
    request.node_id = removed.identity.node_id;
    request.force = true;
    struct asked asked = SITE_ASK(0, Control, RemoveNode, remove_node_response, &request);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    before = settled_commit();
    refuse_all(site_client(0, &removed), METHOD_NODES, "a removed node");
    ck_assert_uint_eq(settled_commit(), before);

    credentials_fini(&stranger);
    credentials_fini(&worker);
    credentials_fini(&removed);
}
END_TEST

// ---- what comes ---------------------------------------------------------------------------------

// Fields that are not there: the lists are empty questions, all else needs something.
START_TEST(requests_without_fields_change_nothing)
{
    uint64_t before = settled_commit();
    for (size_t i = 0; i < method_table_count; i++) {
        const struct method *method = &method_table[i];
        site_call_ms = method->kind == METHOD_SERVER_STREAM ? 500 : SITES_WAIT_MS;
        struct asked asked = site_call(manager, method->path, NULL, "", 0);
        enum err_code code = asked.status.err.code;
        bool clear = code == ERR_OK || code == ERR_INVALID_ARGUMENT || code == ERR_NOT_FOUND ||
                     code == ERR_FAILED_PRECONDITION || code == ERR_UNIMPLEMENTED ||
                     // A stream that we gave up, or that had nothing to say.
                     code == ERR_CANCELLED ||
                     (code == ERR_DEADLINE_EXCEEDED && method->kind == METHOD_SERVER_STREAM);
        ck_assert_msg(clear, "%s: %d %s", method->path, code, asked.status.err.message);
        if (str_starts(method->name, "Create") || str_starts(method->name, "Update") ||
            str_starts(method->name, "Remove") || str_starts(method->name, "Get"))
            ck_assert_msg(code != ERR_OK || str_starts(method->service, "docker.swarmkit.v1.CA") ||
                              str_starts(method->name, "UpdateTask") ||
                              str_starts(method->name, "UpdateVolumeStatus"),
                          "%s takes nothing for an answer", method->path);
    }
    // Except that the manager's own node has a session now.
    loop_run_until(&sites_loop, sites_never, NULL, 300);
    ck_assert_uint_le(commit() - before, 2);
}
END_TEST

START_TEST(malformed_requests_are_refused_and_change_nothing)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bodies[] = {
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11}, // a tag without end
        {"\x0a\xff\xff\xff\xff\x0f", 6},                      // 4 GiB that are not there
        {"\x0a\x05"
         "ab",
         4},             // cut short
        {"\x0f\x01", 2}, // a wire type that does not exist
        {"\x00\x00", 2}, // field 0
    };
    uint64_t before = settled_commit();
    for (size_t i = 0; i < method_table_count; i++)
        for (size_t j = 0; j < COUNT_OF(bodies); j++) {
            struct asked asked =
                site_call(manager, method_table[i].path, NULL, bodies[j].bytes, bodies[j].size);
            ck_assert_msg(asked.status.err.code != ERR_OK, "%s takes body %zu",
                          method_table[i].path, j);
        }
    ck_assert_uint_eq(settled_commit(), before);
}
END_TEST

START_TEST(oversized_requests_are_refused_and_others_served)
{
    size_t size = GRPC_SERVER_MESSAGE_BYTES_MAX + 1;
    uint8_t *bytes = calloc(1, size);
    uint64_t before = settled_commit();
    for (size_t i = 0; i < method_table_count; i++) {
        struct asked asked = site_call(manager, method_table[i].path, NULL, bytes, size);
        ck_assert_msg(asked.status.err.code == ERR_RESOURCE_EXHAUSTED, "%s: %d %s",
                      method_table[i].path, asked.status.err.code, asked.status.err.message);
    }
    free(bytes);
    ck_assert_uint_eq(settled_commit(), before);
    ck_assert_int_eq(site_create_service(0, "served", 1).status.err.code, ERR_OK);
}
END_TEST

// ---- made up at random --------------------------------------------------------------------------

#define ROUNDS    10 // SKEP_ROUNDS: more of them
#define DEPTH_MAX 6

static struct rand rng;
static const char *texts[16];
static size_t texts_count;

static uint64_t number(void)
{
    static const uint64_t edges[] = {0,     1,     2,         3,          5,         127,       128,
                                     65535, 65536, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
    return rand_below(&rng, 4) ? edges[rand_below(&rng, COUNT_OF(edges))] : rand_u64(&rng);
}

static void fill(struct buf *out, const wire_type *type, int depth);

static void put_tag(struct buf *out, const ProtobufCFieldDescriptor *field, unsigned wire)
{
    buf_put_uvarint(out, ((uint64_t)field->id << 3) | wire);
}

static void put_field(struct buf *out, const ProtobufCFieldDescriptor *field, int depth)
{
    struct buf inner;
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        buf_init(&inner, (size_t)1 << 20);
        if (depth < DEPTH_MAX)
            fill(&inner, field->descriptor, depth + 1);
        put_tag(out, field, 2);
        buf_put_uvarint(out, inner.len);
        if (inner.len)
            buf_put(out, inner.data, inner.len);
        buf_fini(&inner);
        break;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES: {
        const char *text = texts[rand_below(&rng, texts_count)];
        put_tag(out, field, 2);
        buf_put_uvarint(out, strlen(text));
        buf_put_str(out, text);
        break;
    }
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        put_tag(out, field, 1);
        buf_put_u64le(out, number());
        break;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        put_tag(out, field, 5);
        buf_put_u32le(out, (uint32_t)number());
        break;
    default:
        put_tag(out, field, 0);
        buf_put_uvarint(out, number());
        break;
    }
}

// Each field is there or not, repeated ones up to three times; members of one choice may all be.
static void fill(struct buf *out, const wire_type *type, int depth)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
        uint64_t times = rand_below(&rng, repeated ? 4 : 3);
        if (!repeated && times > 1)
            times = 1;
        for (; times > 0; times--)
            put_field(out, field, depth);
    }
}

static void learn(const char *text)
{
    ck_assert_uint_lt(texts_count, COUNT_OF(texts));
    texts[texts_count++] = text;
}

// The values of a cluster that is there, so that requests get further than the first check.
static void learn_texts(void)
{
    static char many[5000];
    texts_count = 0;
    memset(many, 'x', sizeof many - 1);
    struct asked asked = site_create_service(0, "web", 2);
    const Swarm__CreateServiceResponse *service = asked.reply;
    Swarm__ListTasksRequest tasks_request = SWARM__LIST_TASKS_REQUEST__INIT;
    asked = SITE_ASK(0, Control, ListTasks, list_tasks_response, &tasks_request);
    const Swarm__ListTasksResponse *tasks = asked.reply;
    Swarm__ListNetworksRequest networks_request = SWARM__LIST_NETWORKS_REQUEST__INIT;
    asked = SITE_ASK(0, Control, ListNetworks, list_networks_response, &networks_request);
    const Swarm__ListNetworksResponse *networks = asked.reply;
    learn("");
    learn("web");
    learn("busybox:1");
    learn("node.role == manager");
    learn("overlay");
    learn("10.9.0.0/16");
    learn("ingress");
    learn("{{.Node.Hostname");
    learn("\xff\xfe\x80");
    learn(many);
    learn(service->service->id);
    learn(sites[0].credentials.identity.node_id);
    learn(sites_cluster->id);
    learn(networks->networks[0]->id);
    if (tasks->n_tasks)
        learn(tasks->tasks[0]->id);
}

START_TEST(random_requests_to_every_method_do_no_harm)
{
    const char *given = getenv("SKEP_SEED"), *wanted = getenv("SKEP_ROUNDS");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 1;
    int rounds = wanted ? atoi(wanted) : ROUNDS;
    printf("seed %llu\n", (unsigned long long)seed);
    rand_init(&rng, seed);
    learn_texts();
    struct credentials worker;
    sites_admit(0, IDENTITY_WORKER, &worker);
    struct rpc_client *workers = site_client(0, &worker);
    unsigned taken = 0;
    site_call_ms = 100; // some wait for what never comes
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < method_table_count; i++) {
            const struct method *method = &method_table[i];
            // A member of Raft is believed in what it says about Raft.
            if (is_raft(method))
                continue;
            struct buf body;
            buf_init(&body, (size_t)3 << 20);
            fill(&body, method->request, 0);
            struct rpc_client *client = rand_below(&rng, 2) ? manager : workers;
            struct asked asked = site_call(client, method->path, NULL, body.data, body.len);
            taken += asked.status.err.code == ERR_OK;
            ck_assert_msg(!sites[0].stopped, "%s stops the manager", method->path);
            buf_fini(&body);
        }
    printf("%u were taken\n", taken);
    rpc_client_close(workers, NULL, NULL);
    credentials_fini(&worker);
    ck_assert_int_eq(site_create_service(0, "still-served", 1).status.err.code, ERR_OK);
    // What came of it is a state like any other: a restart reads it.
    site_stop(0);
    site_start(0, MANAGER_RESTART, NULL);
    ck_assert(loop_run_until(&sites_loop, site_is_leading, &sites[0], SITES_WAIT_MS));
    ck_assert_int_eq(site_create_service(0, "after-all", 1).status.err.code, ERR_OK);
}
END_TEST

// A member's message, made up: never of a term that would be obeyed from a leader.
static void raft_message(struct buf *out, const struct manager_status *status)
{
    static char context[RAFT_CONTEXT_BYTES_MAX + 20] = "skep";
    static uint8_t body[] = "body";
    Raftpb__Entry entry[3], *entries[3];
    for (size_t i = 0; i < COUNT_OF(entry); i++) {
        raftpb__entry__init(&entry[i]);
        entry[i].has_type = entry[i].has_term = entry[i].has_index = entry[i].has_data = 1;
        entry[i].type = (Raftpb__EntryType)rand_below(&rng, 4);
        entry[i].term = number();
        entry[i].index = number();
        entry[i].data = (ProtobufCBinaryData){rand_below(&rng, sizeof body), body};
        entries[i] = &entry[i];
    }
    Raftpb__SnapshotMetadata metadata = RAFTPB__SNAPSHOT_METADATA__INIT;
    metadata.has_index = metadata.has_term = 1;
    metadata.index = number();
    metadata.term = number();
    Raftpb__Snapshot snapshot = RAFTPB__SNAPSHOT__INIT;
    snapshot.metadata = rand_below(&rng, 2) ? &metadata : NULL;
    Raftpb__Message message = RAFTPB__MESSAGE__INIT;
    message.has_type = message.has_to = message.has_from = message.has_term = 1;
    message.has_logterm = message.has_index = message.has_commit = message.has_rejecthint = 1;
    message.has_reject = message.has_context = 1;
    const uint64_t ids[] = {status->raft_id, status->raft_id + 1, 0, number()};
    message.type = (Raftpb__MessageType)rand_below(&rng, 22);
    message.to = ids[rand_below(&rng, 4) ? 0 : 3];
    message.from = ids[rand_below(&rng, COUNT_OF(ids))];
    message.term = rand_below(&rng, status->role.term);
    message.logterm = number();
    message.index = number();
    message.commit = number();
    message.rejecthint = number();
    message.reject = rand_below(&rng, 2) == 0;
    message.n_entries = rand_below(&rng, COUNT_OF(entries) + 1);
    message.entries = entries;
    message.snapshot = rand_below(&rng, 2) ? &snapshot : NULL;
    message.context = (ProtobufCBinaryData){
        rand_below(&rng, 2) ? rand_below(&rng, sizeof context) : 0, (uint8_t *)context};
    Swarm__ProcessRaftMessageRequest request = SWARM__PROCESS_RAFT_MESSAGE_REQUEST__INIT;
    request.message = &message;
    int packed = wire_pack(&request, out, NULL);
    ck_assert_int_eq(packed, 0);
}

START_TEST(a_members_broken_raft_messages_change_nothing)
{
    rand_init(&rng, 1);
    struct manager_status before, after;
    uint64_t settled = settled_commit();
    manager_status(sites[0].manager, &before);
    unsigned refused = 0;
    for (int round = 0; round < 1000; round++) {
        struct buf body;
        buf_init(&body, 65536);
        raft_message(&body, &before);
        // The requests of both have the message as their field 1.
        bool beats = rand_below(&rng, 2);
        const char *path = beats ? PEERS_BEATS_PATH : "/docker.swarmkit.v1.Raft/ProcessRaftMessage";
        struct asked asked = site_call(manager, path, NULL, body.data, body.len);
        refused += asked.status.err.code == ERR_INVALID_ARGUMENT;
        ck_assert_msg(!sites[0].stopped, "message %d stops the manager", round);
        buf_fini(&body);
    }
    ck_assert_uint_gt(refused, 100);
    ck_assert_uint_lt(refused, 1000);
    manager_status(sites[0].manager, &after);
    ck_assert_uint_eq(after.role.term, before.role.term);
    ck_assert_uint_eq(after.commit, settled);
    ck_assert_uint_eq(after.members, before.members);
    ck_assert_int_eq(site_create_service(0, "still-served", 1).status.err.code, ERR_OK);
}
END_TEST

// ---- guessing tokens ----------------------------------------------------------------------------

#define GUESSES         10000
#define GUESSES_AT_ONCE 100

struct guesser {
    struct rpc_client *client;
    unsigned begun, ended, refused, wrong;
    const char *csr;
};

static void guess(struct guesser *guesser);

static void on_guessed(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                       const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    struct guesser *guesser = ctx;
    guesser->ended++;
    guesser->wrong += status->err.code == ERR_INVALID_ARGUMENT;
    guesser->refused += status->err.code == ERR_RESOURCE_EXHAUSTED;
    guess(guesser);
}

static void guess(struct guesser *guesser)
{
    char token[128];
    if (guesser->begun == GUESSES)
        return;
    snprintf(token, sizeof token, "SWMTKN-1-%050u-%025u", 0, guesser->begun++);
    Swarm__IssueNodeCertificateRequest issue = SWARM__ISSUE_NODE_CERTIFICATE_REQUEST__INIT;
    issue.csr.data = (uint8_t *)"csr";
    issue.csr.len = 3;
    issue.token = token;
    struct rpc_request_spec spec = {.path = "/docker.swarmkit.v1.NodeCA/IssueNodeCertificate",
                                    .kind = RPC_UNARY,
                                    .response = &swarm__issue_node_certificate_response__descriptor,
                                    .wait_for_ready = true,
                                    .on_done = on_guessed,
                                    .ctx = guesser};
    rpc_client_call(guesser->client, &spec, &issue.base);
}

static bool all_guessed(void *ctx)
{
    return ((struct guesser *)ctx)->ended == GUESSES;
}

START_TEST(ten_thousand_wrong_tokens_get_nothing_and_others_are_served)
{
    struct guesser guesser = {.client = site_client(0, NULL)};
    uint64_t before = settled_commit();
    for (int i = 0; i < GUESSES_AT_ONCE; i++)
        guess(&guesser);
    unsigned served = 0;
    Swarm__ListServicesRequest request = SWARM__LIST_SERVICES_REQUEST__INIT;
    while (!all_guessed(&guesser)) {
        struct asked asked = SITE_ASK(0, Control, ListServices, list_services_response, &request);
        ck_assert_int_eq(asked.status.err.code, ERR_OK);
        served++;
        if (served > 10000000)
            break;
    }
    ck_assert_uint_eq(guesser.wrong + guesser.refused, GUESSES);
    ck_assert_uint_gt(guesser.refused, guesser.wrong); // the address was slowed down
    ck_assert_uint_gt(served, 10);
    ck_assert_uint_eq(settled_commit(), before);
    rpc_client_close(guesser.client, NULL, NULL);
    // A node renews all the while: it needs no token.
    struct asked asked = site_call(manager, "/docker.swarmkit.v1.CA/GetUnlockKey", NULL, "", 0);
    ck_assert_int_eq(asked.status.err.code, ERR_OK);
}
END_TEST

Suite *suite_hostile(void);
Suite *suite_hostile(void)
{
    Suite *suite = suite_create("hostile");
    TCase *tcase = tcase_create("hostile");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_method_is_for_the_roles_of_its_row);
    tcase_add_test(tcase, requests_without_fields_change_nothing);
    tcase_add_test(tcase, malformed_requests_are_refused_and_change_nothing);
    tcase_add_test(tcase, oversized_requests_are_refused_and_others_served);
    tcase_add_test(tcase, random_requests_to_every_method_do_no_harm);
    tcase_add_test(tcase, a_members_broken_raft_messages_change_nothing);
    tcase_add_test(tcase, ten_thousand_wrong_tokens_get_nothing_and_others_are_served);
    suite_add_tcase(suite, tcase);
    return suite;
}
