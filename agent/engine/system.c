// /_ping, /version and /info.
#include "agent/engine/engine.h"
#include "agent/engine/info_io.h"
#include "agent/engine/noun.h"
#include "agent/engine/objects.h"
#include "agent/engine/swarm.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"

// ---- the ping ----------------------------------------------------------------------------------

static const char *const standing_headers[] = {
    [STANDING_INACTIVE] = "inactive",    [STANDING_PENDING] = "pending",
    [STANDING_WORKER] = "active/worker", [STANDING_MANAGER] = "active/manager",
    [STANDING_LOCKED] = "locked",        [STANDING_ERROR] = "error",
    [STANDING_EXPIRED] = "error",
};

static void ping(struct request *request)
{
    void *ctx;
    const struct backend *backend = request_backend(request, &ctx);
    struct backend_swarm swarm = {0};
    backend->swarm(ctx, &swarm);
    request_reply_header(request, "Cache-Control", "no-cache, no-store, must-revalidate");
    request_reply_header(request, "Pragma", "no-cache");
    request_reply_header(request, "Swarm", standing_headers[swarm.standing]);
    request_plain(request, 200, "text/plain; charset=utf-8", "OK");
}

// ---- the version -------------------------------------------------------------------------------

#define API_TEXT(minor)  "1." API_TEXT_(minor)
#define API_TEXT_(minor) #minor

static void version(struct request *request)
{
    void *ctx;
    const struct backend *backend = request_backend(request, &ctx);
    struct backend_version it = {0};
    backend->version(ctx, &it);
    const char *const api = API_TEXT(ENGINE_MINOR_MAX), *const api_min = API_TEXT(ENGINE_MINOR_MIN);
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    json_out_object(out, "Platform");
    json_out_str(out, "Name", "Skep");
    json_out_end(out);
    json_out_array(out, "Components");
    json_out_object(out, NULL);
    json_out_str(out, "Name", "Engine");
    json_out_str(out, "Version", it.version);
    json_out_object(out, "Details");
    json_out_str(out, "ApiVersion", api);
    json_out_str(out, "Arch", it.arch);
    json_out_str(out, "BuildTime", it.build_time);
    json_out_str(out, "Experimental", "false");
    json_out_str(out, "GitCommit", it.commit);
    json_out_str(out, "GoVersion", "");
    json_out_str(out, "KernelVersion", it.kernel);
    json_out_str(out, "MinAPIVersion", api_min);
    json_out_str(out, "Os", "linux");
    json_out_end(out);
    json_out_end(out);
    json_out_end(out);
    json_out_str(out, "Version", it.version);
    json_out_str(out, "ApiVersion", api);
    json_out_str(out, "MinAPIVersion", api_min);
    json_out_str(out, "GitCommit", it.commit);
    json_out_str(out, "GoVersion", "");
    json_out_str(out, "Os", "linux");
    json_out_str(out, "Arch", it.arch);
    json_out_str(out, "KernelVersion", it.kernel);
    json_out_str(out, "BuildTime", it.build_time);
    json_out_end(out);
    request_send(request, 200);
}

// ---- the info ----------------------------------------------------------------------------------

// What the manager was asked for before the answer is written. NULL: not a manager, or it has no
// leader to ask: /info answers all the same.
struct info {
    uint64_t nodes;
    uint64_t managers;
};

#define WARNINGS_BYTES_MAX 4096

static const char *const standing_states[] = {
    [STANDING_INACTIVE] = "inactive", [STANDING_PENDING] = "pending", [STANDING_WORKER] = "active",
    [STANDING_MANAGER] = "active",    [STANDING_LOCKED] = "locked",   [STANDING_ERROR] = "error",
    [STANDING_EXPIRED] = "error",
};

// In dockerd's words and layout: the docker command prints it as it comes.
#define TWO_MANAGERS                                                                               \
    "WARNING: Running Swarm in a two-manager configuration. This configuration provides\n"         \
    "         no fault tolerance, and poses a high risk to lose control over the cluster.\n"       \
    "         Refer to https://docs.docker.com/engine/swarm/admin_guide/ to configure the\n"       \
    "         Swarm for fault-tolerance."

// What is wrong with the node (a line each), and with the swarm.
static void write_warnings(const char *lines, bool two_managers, struct json_out *out)
{
    struct str_part line;
    if (str_empty(lines) && !two_managers) {
        json_out_null(out, "Warnings");
        return;
    }
    json_out_array(out, "Warnings");
    while (str_split(&lines, '\n', &line))
        if (line.len)
            json_out_strn(out, NULL, line.at, line.len);
    if (two_managers)
        json_out_str(out, NULL, TWO_MANAGERS);
    json_out_end(out);
}

static void write_swarm(const struct backend_swarm *swarm, const struct info *info,
                        const void *cluster, bool pools_empty, struct json_out *out)
{
    json_out_object(out, "Swarm");
    json_out_str(out, "NodeID", swarm->node_id);
    json_out_str(out, "NodeAddr", swarm->node_addr);
    json_out_str(out, "LocalNodeState", standing_states[swarm->standing]);
    json_out_bool(out, "ControlAvailable", swarm->standing == STANDING_MANAGER);
    json_out_str(out, "Error", swarm->error);
    if (swarm->managers_count == 0)
        json_out_null(out, "RemoteManagers");
    else
        json_out_array(out, "RemoteManagers");
    for (size_t i = 0; i < swarm->managers_count; i++) {
        json_out_object(out, NULL);
        json_out_str(out, "NodeID", swarm->managers[i].node_id);
        json_out_str(out, "Addr", swarm->managers[i].addr);
        json_out_end(out);
    }
    if (swarm->managers_count > 0)
        json_out_end(out);
    if (info) {
        json_out_uint(out, "Nodes", info->nodes);
        json_out_uint(out, "Managers", info->managers);
    }
    if (info && info->managers == 2)
        write_warnings("", true, out);
    if (cluster) {
        json_out_object(out, "Cluster");
        cluster_write(cluster, false, pools_empty, out);
        json_out_end(out);
    }
    json_out_end(out);
}

static void send_info(struct request *request, const struct info *info, const void *cluster)
{
    void *ctx;
    const struct backend *backend = request_backend(request, &ctx);
    struct backend_swarm swarm = {0};
    backend->swarm(ctx, &swarm);
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    struct backend_local local = {0};
    if (backend->local)
        backend->local(ctx, &local);
    backend->info(ctx, out);
    info_write(&local, events_listeners(), request_minor(request), out);
    struct buf lines;
    buf_init(&lines, WARNINGS_BYTES_MAX);
    if (backend->warnings)
        backend->warnings(ctx, &lines);
    write_warnings(buf_cstr(&lines), info && info->managers == 2, out);
    buf_fini(&lines);
    write_swarm(&swarm, info, cluster, request_pools_empty(request), out);
    json_out_end(out);
    request_send(request, 200);
}

static void info_without(struct request *request, const struct err *err)
{
    (void)err; // no leader just now: the rest is still worth showing
    send_info(request, NULL, NULL);
}

static void info_cluster(struct request *request, const void *response)
{
    size_t count;
    void *const *clusters = noun_objects(response, &count);
    send_info(request, request_kept(request), count ? clusters[0] : NULL);
}

static void info_nodes(struct request *request, const void *response)
{
    struct info *info = ARENA_NEW(request_arena(request), struct info);
    size_t count;
    void *const *nodes = noun_objects(response, &count);
    for (size_t i = 0; info && i < count; i++) {
        const Swarm__Node *node = nodes[i];
        info->nodes++;
        info->managers += node->role == SWARM__NODE_ROLE__MANAGER;
    }
    request_keep(request, info);
    request_call(request, CONTROL("ListClusters"),
                 request_message(request, CONTROL("ListClusters")), info_cluster, info_without);
}

static void info(struct request *request)
{
    void *ctx;
    const struct backend *backend = request_backend(request, &ctx);
    struct backend_swarm swarm = {0};
    backend->swarm(ctx, &swarm);
    if (swarm.standing == STANDING_MANAGER && request_has_manager(request))
        request_call(request, CONTROL("ListNodes"), request_message(request, CONTROL("ListNodes")),
                     info_nodes, info_without);
    else
        send_info(request, NULL, NULL);
}

static const struct endpoint rows[] = {
    {"GET", "/_ping", ping},
    {"HEAD", "/_ping", ping},
    {"GET", "/version", version},
};
ENDPOINTS(system_endpoints, rows);

static const struct endpoint info_rows[] = {
    {"GET", "/info", info},
};
SWARM_ENDPOINTS(info_endpoints, info_rows);
