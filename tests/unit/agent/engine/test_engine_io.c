// The API over a unix socket, with a manager behind it that knows two nodes, a service and a
// network: statuses, headers and texts as stock gives them.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/engine_io.h"
#include "agent/engine/request.h"
#include "proto/base/str.h"
#include "proto/http/client_io.h"
#include "proto/rpc/server_io.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/wire.h"
#include "tests/support/support.h"

#define WAIT_MS 60000

static struct loop loop;
static struct loop *loops[] = {&loop};
static struct rpc_server *manager;
static struct rpc_client *to_manager;
static struct engine *engine;
static struct listener *listener;
static struct http_client *client;
static const char *dir;
static enum swarm_standing standing;
static bool starting, manages;
static char created_target[64];
static char updated_id[64];
static uint64_t updated_index;
static bool forgot;
static backend_done *leave_done;
static void *leave_owner;

// ---- a manager ---------------------------------------------------------------------------------

#define NODE_1 "aaaaaaaaaaaaaaaaaaaaaaaa1"
#define NODE_2 "aaaaaaaaaaaaaaaaaaaaaaaa2"
#define WEB    "sssssssssssssssssssssssss"
#define NET    "nnnnnnnnnnnnnnnnnnnnnnnnn"

static Swarm__Node *node(struct rpc_call *call, const char *id, const char *name)
{
    Swarm__Node *it = wire_new(&swarm__node__descriptor, rpc_call_arena(call));
    it->id = id;
    it->role = SWARM__NODE_ROLE__MANAGER;
    it->description = wire_new(&swarm__node_description__descriptor, rpc_call_arena(call));
    it->description->hostname = name;
    return it;
}

static bool any_prefix(size_t count, const char **prefixes, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (str_starts(text, prefixes[i]))
            return true;
    return count == 0;
}

static bool any_equal(size_t count, const char **names, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return true;
    return count == 0;
}

static void get_node(struct rpc_call *call)
{
    const Swarm__GetNodeRequest *request = (const void *)rpc_call_message(call);
    Swarm__GetNodeResponse response = SWARM__GET_NODE_RESPONSE__INIT;
    if (strcmp(request->node_id, NODE_1) != 0) {
        rpc_call_failf(call, ERR_NOT_FOUND, "node %s not found", request->node_id);
        return;
    }
    response.node = node(call, NODE_1, "node-1");
    rpc_call_reply(call, &response.base);
}

static void answer_nodes(struct rpc_call *call)
{
    const Swarm__ListNodesRequest *request = (const void *)rpc_call_message(call);
    const Swarm__ListNodesRequest__Filters *filters = request->filters;
    static const char *const ids[] = {NODE_1, NODE_2}, *const names[] = {"node-1", "node-2"};
    Swarm__ListNodesResponse response = SWARM__LIST_NODES_RESPONSE__INIT;
    Swarm__Node *found[2];
    response.nodes = found;
    for (size_t i = 0; i < 2; i++)
        if (!filters || (any_prefix(filters->n_id_prefixes, filters->id_prefixes, ids[i]) &&
                         any_equal(filters->n_names, filters->names, names[i]) &&
                         any_prefix(filters->n_name_prefixes, filters->name_prefixes, names[i])))
            found[response.n_nodes++] = node(call, ids[i], names[i]);
    rpc_call_reply(call, &response.base);
}

// Lists of everything that wait until the test lets them go.
#define LISTS 12
static bool holds_lists;
static struct rpc_call *held[LISTS];
static size_t held_count, held_most;

static void list_nodes(struct rpc_call *call)
{
    const Swarm__ListNodesRequest *request = (const void *)rpc_call_message(call);
    const Swarm__ListNodesRequest__Filters *filters = request->filters;
    if (!holds_lists || (filters && filters->n_names + filters->n_name_prefixes > 0)) {
        answer_nodes(call);
        return;
    }
    ck_assert_uint_lt(held_count, LISTS);
    held[held_count++] = call;
    held_most = held_count > held_most ? held_count : held_most;
}

static void list_nodes_cancelled(struct rpc_call *call)
{
    for (size_t i = 0; i < held_count; i++)
        if (held[i] == call)
            held[i] = held[--held_count];
    rpc_call_finish(call, NULL);
}

static void update_node(struct rpc_call *call)
{
    const Swarm__UpdateNodeRequest *request = (const void *)rpc_call_message(call);
    Swarm__UpdateNodeResponse response = SWARM__UPDATE_NODE_RESPONSE__INIT;
    updated_index = request->node_version->index;
    str_copy(updated_id, sizeof updated_id, request->node_id);
    if (updated_index != 7) {
        rpc_call_failf(call, ERR_UNKNOWN, "update out of sequence");
        return;
    }
    rpc_call_reply(call, &response.base);
}

static void get_network(struct rpc_call *call)
{
    const Swarm__GetNetworkRequest *request = (const void *)rpc_call_message(call);
    rpc_call_failf(call, ERR_NOT_FOUND, "network %s not found", request->network_id);
}

static void list_networks(struct rpc_call *call)
{
    const Swarm__ListNetworksRequest *request = (const void *)rpc_call_message(call);
    Swarm__ListNetworksResponse response = SWARM__LIST_NETWORKS_RESPONSE__INIT;
    Swarm__Network *net = wire_new(&swarm__network__descriptor, rpc_call_arena(call));
    net->id = NET;
    net->spec->annotations->name = "net1";
    response.networks = &net;
    response.n_networks =
        !request->filters ||
        (any_equal(request->filters->n_names, request->filters->names, "net1") &&
         any_prefix(request->filters->n_id_prefixes, request->filters->id_prefixes, NET));
    rpc_call_reply(call, &response.base);
}

static void create_service(struct rpc_call *call)
{
    const Swarm__CreateServiceRequest *request = (const void *)rpc_call_message(call);
    Swarm__CreateServiceResponse response = SWARM__CREATE_SERVICE_RESPONSE__INIT;
    if (strcmp(request->spec->annotations->name, "web") == 0) {
        rpc_call_failf(call, ERR_ALREADY_EXISTS,
                       "name conflicts with an existing object: service web already exists");
        return;
    }
    if (request->spec->task->n_networks > 0)
        str_copy(created_target, sizeof created_target, request->spec->task->networks[0]->target);
    response.service = wire_new(&swarm__service__descriptor, rpc_call_arena(call));
    response.service->id = WEB;
    rpc_call_reply(call, &response.base);
}

// Never answers: the client leaves first.
static void get_service(struct rpc_call *call)
{
    (void)call;
}

static bool cancelled;
static void get_service_cancelled(struct rpc_call *call)
{
    cancelled = true;
    rpc_call_finish(call, NULL);
}

static const struct rpc_method methods[] = {
    {.path = CONTROL("GetNode"), .handle = get_node},
    {.path = CONTROL("ListNodes"), .handle = list_nodes, .on_cancel = list_nodes_cancelled},
    {.path = CONTROL("UpdateNode"), .handle = update_node},
    {.path = CONTROL("GetNetwork"), .handle = get_network},
    {.path = CONTROL("ListNetworks"), .handle = list_networks},
    {.path = CONTROL("CreateService"), .handle = create_service},
    {.path = CONTROL("GetService"), .handle = get_service, .on_cancel = get_service_cancelled},
};

// ---- a node ------------------------------------------------------------------------------------

static void swarm(void *ctx, struct backend_swarm *out)
{
    (void)ctx;
    out->standing = standing;
    out->starting = starting;
    out->manages = manages;
    out->node_id = NODE_1;
}
static void version(void *ctx, struct backend_version *out)
{
    (void)ctx;
    *out = (struct backend_version){.version = "0.1.0", .arch = "amd64"};
}
static void info(void *ctx, struct json_out *out)
{
    (void)ctx;
    json_out_str(out, "Name", "node-1");
}
static void leave(void *ctx, bool force, backend_done *done, void *owner)
{
    (void)ctx;
    (void)force;
    leave_done = done;
    leave_owner = owner;
}
static void forget(void *ctx, void *owner)
{
    (void)ctx;
    ck_assert_ptr_eq(owner, leave_owner);
    forgot = true;
}
static const struct backend backend = {
    .swarm = swarm, .version = version, .info = info, .leave = leave, .forget = forget};

// ---- the rig -----------------------------------------------------------------------------------

static bool closed[3];
static void on_closed(void *flag)
{
    *(bool *)flag = true;
}
static bool is_true(void *flag)
{
    return *(bool *)flag;
}
static void wait_for(bool *flag)
{
    ck_assert(loop_run_until(&loop, is_true, flag, WAIT_MS));
}

static void on_accept(struct listener *from, struct conn *conn, void *owner)
{
    (void)from;
    engine_take(owner, conn);
}

static void setup(void)
{
    char path[200];
    struct addr control, api;
    struct err err = ERR_INIT;
    dir = support_tmpdir();
    loop_init(&loop);
    snprintf(path, sizeof path, "%s/control.sock", dir);
    ck_assert_int_eq(addr_parse(path, 0, &control, NULL), 0);
    struct rpc_service service = {
        .methods = methods, .methods_count = sizeof methods / sizeof methods[0], .home = &loop};
    struct rpc_server_config server = {
        .loops = loops, .loops_count = 1, .services = &service, .services_count = 1};
    manager = rpc_server_new(&server);
    ck_assert_msg(rpc_server_listen(manager, &control, -1, NULL, &err) == 0, "%s", err.message);
    struct rpc_client_config config = {.loop = &loop, .addr = control};
    to_manager = rpc_client_new(&config);
    engine = engine_new(&loop, &(struct engine_options){.backend = &backend});
    engine_set_manager(engine, to_manager);
    standing = STANDING_MANAGER;
    starting = manages = false;
    snprintf(path, sizeof path, "%s/api.sock", dir);
    ck_assert_int_eq(addr_parse(path, 0, &api, NULL), 0);
    listener = listener_open(
        &loop,
        &(struct listener_options){.addr = api, .fd = -1, .on_accept = on_accept, .owner = engine},
        &err);
    ck_assert_msg(listener != NULL, "%s", err.message);
    client = http_client_new(&loop, &api, &(struct conn_options){0}, NULL);
    cancelled = forgot = false;
}

static void teardown(void)
{
    memset(closed, 0, sizeof closed);
    http_client_free(client);
    listener_close(listener, NULL);
    engine_stop(engine, 100, on_closed, &closed[0]);
    wait_for(&closed[0]);
    rpc_client_close(to_manager, on_closed, &closed[1]);
    wait_for(&closed[1]);
    rpc_server_close(manager, 100, &loop, on_closed, &closed[2]);
    wait_for(&closed[2]);
    loop_fini(&loop);
    support_tmpdir_remove(dir);
}

struct answer {
    int status;
    char header[64]; // Api-Version
    char standing[64];
    struct buf body;
    bool ended;
};

static void on_head(struct http_call *call, void *owner, const struct http_head *head)
{
    (void)call;
    struct answer *answer = owner;
    answer->status = head->status;
    str_copy(answer->header, sizeof answer->header, str_or(http_head_get(head, "Api-Version"), ""));
    str_copy(answer->standing, sizeof answer->standing, str_or(http_head_get(head, "Swarm"), ""));
}
static void on_body(struct http_call *call, void *owner, const uint8_t *bytes, size_t size)
{
    (void)call;
    buf_put(&((struct answer *)owner)->body, bytes, size);
}
static void on_end(struct http_call *call, void *owner, const struct err *why)
{
    (void)call;
    (void)why;
    ((struct answer *)owner)->ended = true;
}
static const struct http_call_handler handler = {
    .on_head = on_head, .on_body = on_body, .on_end = on_end};

static struct http_call *start(struct answer *answer, const char *method, const char *target,
                               const char *body)
{
    static const struct http_header json[] = {{"Content-Type", "application/json"}};
    *answer = (struct answer){0};
    buf_init(&answer->body, 1 << 20);
    struct http_call_request request = {.method = method,
                                        .target = target,
                                        .headers = json,
                                        .headers_count = body ? 1 : 0,
                                        .body = body,
                                        .body_size = body ? strlen(body) : 0};
    return http_call_start(client, &request, &handler, answer);
}

static void ask(const char *method, const char *target, const char *body, int status,
                const char *part)
{
    struct answer answer;
    start(&answer, method, target, body);
    wait_for(&answer.ended);
    ck_assert_msg(answer.status == status, "%s %s: %d %s", method, target, answer.status,
                  buf_cstr(&answer.body));
    ck_assert_msg(strstr(buf_cstr(&answer.body), part) != NULL, "%s %s: %s", method, target,
                  buf_cstr(&answer.body));
    ck_assert_str_eq(answer.header, "1.50");
    buf_fini(&answer.body);
}

// ---- tests -------------------------------------------------------------------------------------

#define TEMPLATE "\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":\"i\"}}"

static const struct {
    const char *method, *target, *body;
    int status;
    const char *part;
} exchanges[] = {
    {"GET", "/_ping", NULL, 200, "OK"},
    {"HEAD", "/_ping", NULL, 200, ""},
    {"GET", "/version", NULL, 200, "\"ApiVersion\":\"1.50\",\"MinAPIVersion\":\"1.24\""},
    {"GET", "/v1.24/version", NULL, 200, "\"Os\":\"linux\""},
    {"GET", "/v1.51/version", NULL, 400,
     "client version 1.51 is too new. Maximum supported API version is 1.50"},
    {"GET", "/v1.23/version", NULL, 400,
     "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your "
     "client to a newer version"},
    {"GET", "/vbogus/info", NULL, 404, "{\"message\":\"page not found\"}"},
    {"PUT", "/info", NULL, 404, "page not found"},
    {"OPTIONS", "/info", NULL, 200, ""},
    {"GET", "/v1.41/nodes", NULL, 200, "node-2"},
    {"GET", "/nodes?filters=%7B%22name%22%3A%5B%22node-1%22%5D%7D", NULL, 200, "node-1"},
    {"GET", "/nodes?filters=%7B%22bogus%22%3A%5B%22x%22%5D%7D", NULL, 400,
     "invalid filter 'bogus'"},
    {"GET", "/nodes?filters=%7B%22role%22%3A%5B%22bogus%22%5D%7D", NULL, 500,
     "Invalid role filter: 'bogus'"},
    {"GET", "/nodes/" NODE_1, NULL, 200, "\"ID\":\"" NODE_1 "\",\"Version\":{},"},
    {"GET", "/nodes/node-2", NULL, 200, NODE_2},                    // by name
    {"GET", "/nodes/aaaaaaaaaaaaaaaaaaaaaaaa2", NULL, 200, NODE_2}, // by prefix
    {"GET", "/nodes/aaa", NULL, 400, "node aaa is ambiguous (2 matches found)"},
    {"GET", "/nodes/nosuch", NULL, 404, "node nosuch not found"},
    {"POST", "/nodes/node-2/update?version=7", "{\"Role\":\"worker\"}", 200, ""},
    {"POST", "/nodes/node-2/update?version=8", "{\"Role\":\"worker\"}", 500,
     "rpc error: code = Unknown desc = update out of sequence"},
    {"POST", "/nodes/node-2/update", "{}", 400,
     "invalid node version '': strconv.ParseUint: parsing \\\"\\\": invalid syntax"},
    {"POST", "/nodes/node-2/update?version=7", "{\"Role\":\"bogus\"}", 400,
     "invalid Role: \\\"bogus\\\""},
    {"POST", "/nodes/node-2/update?version=7", "", 400, "got EOF while reading request body"},
    {"POST", "/services/create", "{\"Name\":\"other\"}", 400,
     "mismatched Runtime and *Spec fields"},
    {"POST", "/services/create", "{\"Name\":\"other\"," TEMPLATE "}", 201, "{\"ID\":\"" WEB "\"}"},
    {"POST", "/services/create", "{\"Name\":\"web\"," TEMPLATE "}", 409,
     "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service web "
     "already exists"},
    {"POST", "/services/create",
     "{\"Name\":\"x\",\"TaskTemplate\":{\"ContainerSpec\":{},"
     "\"Networks\":[{\"Target\":\"nosuch\"}]}}",
     404, "network nosuch not found"},
    {"POST", "/services/create", "{\"Name\":\"x\",\"TaskTemplate\":{\"Runtime\":\"bogus\"}}", 400,
     "unsupported runtime"},
    {"GET", "/networks", NULL, 200, "\"Name\":\"net1\",\"Id\":\"" NET "\""},
    {"GET", "/networks/net1", NULL, 200, "\"Scope\":\"swarm\""},
    {"GET", "/networks/net1?scope=local", NULL, 404, "network net1 not found"},
    {"GET", "/networks/net1?verbose=maybe", NULL, 400,
     "invalid value for verbose: maybe: strconv.ParseBool: parsing \\\"maybe\\\": invalid syntax"},
    {"POST", "/networks/create", "{\"Name\":\"net1\",\"Driver\":\"overlay\"}", 409,
     "network with name net1 already exists"},
    {"POST", "/networks/create", "{\"Name\":\"none\"}", 403,
     "operation is not permitted on predefined none network "},
    {"POST", "/networks/create", "{\"Name\":\"x\",\"Driver\":\"nosuch\"}", 404,
     "plugin \\\"nosuch\\\" not found"},
    {"POST", "/networks/create", "{\"Name\":\"x\",\"Driver\":\"overlay\",\"Scope\":\"local\"}", 403,
     "cannot downgrade network scope for overlay networks"},
    {"POST", "/networks/create",
     "{\"Name\":\"x\",\"Driver\":\"overlay\",\"IPAM\":{\"Config\":[{\"Subnet\":\"10.0.0.0/33\"}]}}",
     400, "Invalid subnet 10.0.0.0/33 : invalid CIDR address: 10.0.0.0/33"},
    {"POST", "/v1.41/networks/create", "{\"Name\":\"\"}", 500, "invalid name: "},
    {"GET", "/plugins", NULL, 200, "[]"},
    {"GET", "/plugins/a/b/json", NULL, 404, "plugin \\\"a/b\\\" not found"},
    {"POST", "/session", NULL, 400, "no upgrade proto in request"},
    {"GET", "/distribution/bb:1/json", NULL, 501, "containers are not served by this node"},
    {"GET", "/distribution/bb", NULL, 404, "page not found"},
    {"GET", "/distribution/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/json",
     NULL, 500, "no manifest found for full image ID"},
    {"GET", "/distribution/Bad:IMAGE/json", NULL, 400, "repository name must be lowercase"},
    {"POST", "/build/prune", NULL, 200, "\"SpaceReclaimed\":0"},
    {"GET", "/events?since=bogus", NULL, 400, "strconv.ParseInt: parsing"},
    {"GET", "/events?since=5&until=1", NULL, 400,
     "`since` time (5) cannot be after `until` time (1)"},
    {"GET", "/events?since=1&until=2", NULL, 200, ""},
    {"GET", "/v1.41/services/web/logs", NULL, 500,
     "Bad parameters: you must choose at least one stream"},
    {"GET", "/services/web/logs?stdout=1&tail=x", NULL, 400,
     "tail value must be a positive integer or"},
    {"GET", "/services?status=bogus", NULL, 400, "invalid value for status: bogus"},
    {"DELETE", "/networks/bridge", NULL, 403,
     "bridge is a pre-defined network and cannot be removed"},
    {"POST", "/swarm/init", "{}", 503, "This node is already part of a swarm."},
    {"POST", "/swarm/unlock", "{\"UnlockKey\":\"x\"}", 409, "swarm is not locked"},
    {"GET", "/info", NULL, 200, "\"LocalNodeState\":\"active\",\"ControlAvailable\":true"},
};

START_TEST(answers_are_those_of_stock)
{
    ask(exchanges[_i].method, exchanges[_i].target, exchanges[_i].body, exchanges[_i].status,
        exchanges[_i].part);
}
END_TEST

START_TEST(networks_are_named_by_id_towards_the_manager)
{
    ask("POST", "/services/create",
        "{\"Name\":\"x\",\"TaskTemplate\":{\"ContainerSpec\":{},"
        "\"Networks\":[{\"Target\":\"net1\"}]}}",
        201, WEB);
    ck_assert_str_eq(created_target, NET);
    ask("POST", "/nodes/node-2/update?version=7", "{\"Role\":\"worker\"}", 200, "");
    ck_assert_str_eq(updated_id, NODE_2);
}
END_TEST

static const struct {
    enum swarm_standing standing;
    const char *header;
    const char *why;
} standings[] = {
    {STANDING_INACTIVE, "inactive", "connect this node to swarm and try again."},
    {STANDING_WORKER, "active/worker",
     "Worker nodes can't be used to view or modify cluster state."},
    {STANDING_LOCKED, "locked", "Swarm is encrypted and needs to be unlocked"},
    {STANDING_EXPIRED, "error", "Swarm certificates have expired."},
};

START_TEST(who_is_no_manager_says_why)
{
    static const char *const targets[] = {"/nodes",   "/services", "/tasks",
                                          "/secrets", "/configs",  "/swarm",
                                          "/nodes/x", "/tasks/x",  "/swarm/unlockkey"};
    standing = standings[_i].standing;
    engine_set_manager(engine, NULL);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        ask("GET", targets[i], NULL, 503, standings[_i].why);
    // What cannot be read is said first.
    ask("GET", "/nodes?filters=%7B", NULL, 400, "");
    ask("GET", "/nodes?filters=%7B%22bogus%22%3A%5B%22x%22%5D%7D", NULL, 503, standings[_i].why);
    ask("POST", "/services/create", "{", 400, "unexpected EOF");
    ask("POST", "/secrets/create", "{}", 503, standings[_i].why);
    // So is what has members of a wrong type; their values are not looked at.
    ask("POST", "/services/create", "{\"Name\":1}", 400, "cannot unmarshal number into Go struct");
    ask("POST", "/services/x/update?version=1", "{\"Name\":1}", 400, "cannot unmarshal number");
    ask("POST", "/services/x/update", "{}", 400, "invalid service version");
    ask("POST", "/secrets/create", "{\"Data\":\"!\"}", 400, "illegal base64 data");
    ask("POST", "/configs/x/update?version=x", "{}", 400, "invalid config version");
    ask("POST", "/nodes/x/update", "{\"Role\":[]}", 400, "cannot unmarshal array");
    ask("POST", "/nodes/x/update?version=1", "{\"Role\":\"odd\"}", 503, standings[_i].why);
    ask("POST", "/swarm/update?version=1", "{\"Name\":{}}", 400, "cannot unmarshal object");
    ask("POST", "/nodes/x/update", "{}", 400, "invalid node version");
    ask("POST", "/services/x/update?version=1", "", 400, "got EOF while reading request body");
    ask("POST", "/swarm/update?version=1", "{}", 503, standings[_i].why);
    ask("GET", "/networks", NULL, 200, "[]");
    ask("GET", "/networks/nosuch", NULL, 404, "network nosuch not found");
    ask("GET", "/info", NULL, 200, "\"ControlAvailable\":false");
    struct answer answer;
    start(&answer, "GET", "/_ping", NULL);
    wait_for(&answer.ended);
    ck_assert_str_eq(answer.standing, standings[_i].header);
    buf_fini(&answer.body);
}
END_TEST

// ---- a manager that starts ---------------------------------------------------------------------

static const char *const swarm_targets[] = {"/nodes", "/v1.41/nodes/node-2", "/networks", "/info"};
static struct answer waiting[COUNT_OF(swarm_targets)];
static struct http_call *calls[COUNT_OF(swarm_targets)];

// All are asked, and none is answered; what is not about the swarm is.
static void ask_while_starting(void)
{
    standing = STANDING_PENDING;
    starting = manages = true;
    engine_set_manager(engine, NULL);
    for (size_t i = 0; i < COUNT_OF(swarm_targets); i++)
        calls[i] = start(&waiting[i], "GET", swarm_targets[i], NULL);
    ask("GET", "/_ping", NULL, 200, "OK");
    ask("GET", "/version", NULL, 200, "ApiVersion");
    ask("POST", "/swarm/unlock", "{\"UnlockKey\":\"x\"}", 503, "Manager is being prepared");
    for (size_t i = 0; i < COUNT_OF(swarm_targets); i++)
        ck_assert_msg(!waiting[i].ended, "%s does not wait", swarm_targets[i]);
}

START_TEST(requests_wait_for_a_manager_that_starts)
{
    ask_while_starting();
    standing = STANDING_MANAGER;
    starting = false;
    engine_set_manager(engine, to_manager);
    engine_started(engine);
    for (size_t i = 0; i < COUNT_OF(swarm_targets); i++) {
        wait_for(&waiting[i].ended);
        ck_assert_int_eq(waiting[i].status, 200);
        buf_fini(&waiting[i].body);
    }
    ask("GET", "/nodes", NULL, 200, "node-2");
}
END_TEST

START_TEST(a_manager_that_does_not_start_is_told_so_to_who_waited)
{
    ask_while_starting();
    starting = false;
    engine_started(engine);
    for (size_t i = 0; i < COUNT_OF(swarm_targets); i++) {
        wait_for(&waiting[i].ended);
        ck_assert_int_eq(waiting[i].status, i < 2 ? 503 : 200);
        buf_fini(&waiting[i].body);
    }
    ask("GET", "/nodes", NULL, 503,
        "This node is not a swarm manager. Manager is being prepared or has trouble connecting to "
        "the cluster.");
}
END_TEST

// The engine holds nothing of one that went away: the sanitizers would tell.
START_TEST(who_waits_for_a_manager_may_go_away)
{
    ask_while_starting();
    for (size_t i = 0; i < COUNT_OF(swarm_targets); i++)
        http_call_cancel(calls[i]);
    ask("GET", "/_ping", NULL, 200, "OK");
    starting = false;
    engine_started(engine);
    ask("GET", "/_ping", NULL, 200, "OK");
    for (size_t i = 0; i < COUNT_OF(swarm_targets); i++)
        buf_fini(&waiting[i].body);
}
END_TEST

static bool has_leave(void *ctx)
{
    (void)ctx;
    return leave_done != NULL;
}

START_TEST(long_operation_answers_when_it_is_done)
{
    struct answer answer;
    leave_done = NULL;
    start(&answer, "POST", "/swarm/leave?force=1", NULL);
    ck_assert(loop_run_until(&loop, has_leave, NULL, WAIT_MS));
    leave_done(leave_owner, NULL, NULL);
    wait_for(&answer.ended);
    ck_assert_int_eq(answer.status, 200);
    leave_done = NULL;
    struct http_call *call = start(&answer, "POST", "/swarm/leave?force=1", NULL);
    ck_assert(loop_run_until(&loop, has_leave, NULL, WAIT_MS));
    http_call_cancel(call);
    wait_for(&forgot);
}
END_TEST

static bool turns_are_taken(void *ctx)
{
    (void)ctx;
    return held_count == ENGINE_TURNS;
}

static bool all_are_answered(void *answers)
{
    while (held_count > 0)
        answer_nodes(held[--held_count]);
    for (size_t i = 0; i < LISTS; i++)
        if (!((struct answer *)answers)[i].ended)
            return false;
    return true;
}

// However many ask, the manager has a few long answers to give at a time, and short ones meanwhile.
START_TEST(lists_of_everything_take_turns)
{
    struct answer answers[LISTS];
    struct http_call *call[LISTS];
    holds_lists = true;
    for (size_t i = 0; i < LISTS; i++)
        call[i] = start(&answers[i], "GET", "/nodes", NULL);
    ck_assert(loop_run_until(&loop, turns_are_taken, NULL, WAIT_MS));
    ask("GET", "/nodes?filters=%7B%22name%22%3A%5B%22node-2%22%5D%7D", NULL, 200, "node-2");
    ck_assert_uint_eq(held_count, ENGINE_TURNS);
    // One that has its turn goes away, and one that waits.
    http_call_cancel(call[0]);
    http_call_cancel(call[LISTS - 1]);
    answers[0].ended = answers[LISTS - 1].ended = true;
    ck_assert(loop_run_until(&loop, all_are_answered, answers, WAIT_MS));
    ck_assert_uint_eq(held_most, ENGINE_TURNS);
    for (size_t i = 0; i < LISTS; i++) {
        if (i > 0 && i < LISTS - 1)
            ck_assert_int_eq(answers[i].status, 200);
        buf_fini(&answers[i].body);
    }
    holds_lists = false;
    ask("GET", "/nodes", NULL, 200, "node-2");
}
END_TEST

static bool call_began(void *ctx)
{
    (void)ctx;
    return rpc_client_connected(to_manager);
}

START_TEST(client_that_leaves_drops_its_call)
{
    struct answer answer;
    struct http_call *call = start(&answer, "GET", "/services/x", NULL);
    ck_assert(loop_run_until(&loop, call_began, NULL, WAIT_MS));
    for (int i = 0; i < 20; i++)
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    http_call_cancel(call);
    wait_for(&cancelled);
}
END_TEST

Suite *suite_engine_io(void);
Suite *suite_engine_io(void)
{
    Suite *suite = suite_create("engine_io");
    TCase *tcase = tcase_create("api");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, answers_are_those_of_stock, 0,
                        sizeof exchanges / sizeof exchanges[0]);
    tcase_add_test(tcase, networks_are_named_by_id_towards_the_manager);
    tcase_add_loop_test(tcase, who_is_no_manager_says_why, 0,
                        sizeof standings / sizeof standings[0]);
    tcase_add_test(tcase, requests_wait_for_a_manager_that_starts);
    tcase_add_test(tcase, a_manager_that_does_not_start_is_told_so_to_who_waited);
    tcase_add_test(tcase, who_waits_for_a_manager_may_go_away);
    tcase_add_test(tcase, lists_of_everything_take_turns);
    tcase_add_test(tcase, long_operation_answers_when_it_is_done);
    tcase_add_test(tcase, client_that_leaves_drops_its_call);
    suite_add_tcase(suite, tcase);
    return suite;
}
