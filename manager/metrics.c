#include "manager/inner.h"

#include "raft/disk/logdb_io.h"

// ---- what SwarmKit shows ------------------------------------------------------------------------

struct state_name {
    const char *name;
    int state;
};

static const struct state_name node_states[] = {
    {"disconnected", SWARM__NODE_STATUS__STATE__DISCONNECTED},
    {"down", SWARM__NODE_STATUS__STATE__DOWN},
    {"ready", SWARM__NODE_STATUS__STATE__READY},
    {"unknown", SWARM__NODE_STATUS__STATE__UNKNOWN},
};

static const struct state_name task_states[] = {
    {"accepted", SWARM__TASK_STATE__ACCEPTED}, {"assigned", SWARM__TASK_STATE__ASSIGNED},
    {"complete", SWARM__TASK_STATE__COMPLETE}, {"failed", SWARM__TASK_STATE__FAILED},
    {"new", SWARM__TASK_STATE__NEW},           {"orphaned", SWARM__TASK_STATE__ORPHANED},
    {"pending", SWARM__TASK_STATE__PENDING},   {"preparing", SWARM__TASK_STATE__PREPARING},
    {"ready", SWARM__TASK_STATE__READY},       {"rejected", SWARM__TASK_STATE__REJECTED},
    {"remove", SWARM__TASK_STATE__REMOVE},     {"running", SWARM__TASK_STATE__RUNNING},
    {"shutdown", SWARM__TASK_STATE__SHUTDOWN}, {"starting", SWARM__TASK_STATE__STARTING},
};

static int node_state(const struct object *object)
{
    return object_node(object)->state;
}

static int task_state(const struct object *object)
{
    return object_task(object)->state;
}

static void put_states(struct buf *out, const char *name, struct view view, enum object_type type,
                       int (*state_of)(const struct object *object),
                       const struct state_name *states, size_t states_count)
{
    size_t counts[COUNT_OF(task_states)] = {0};
    CHECK(states_count <= COUNT_OF(counts));
    VIEW_EACH (object, view, type, BY_ALL) {
        int state = state_of(object);
        for (size_t i = 0; i < states_count; i++)
            counts[i] += states[i].state == state;
    }
    for (size_t i = 0; i < states_count; i++) {
        struct metric_label label = {"state", states[i].name};
        metrics_sample(out, name, &label, 1, (double)counts[i]);
    }
}

static void put_objects(struct buf *out, struct view view)
{
    static const struct {
        const char *name, *help;
        enum object_type type;
    } totals[] = {
        {"swarm_manager_configs_total", "Configs of the cluster.", OBJECT_CONFIG},
        {"swarm_manager_networks_total", "Networks of the cluster.", OBJECT_NETWORK},
        {"swarm_manager_secrets_total", "Secrets of the cluster.", OBJECT_SECRET},
        {"swarm_manager_services_total", "Services of the cluster.", OBJECT_SERVICE},
    };
    for (size_t i = 0; i < COUNT_OF(totals); i++)
        metrics_gauge(out, totals[i].name, totals[i].help,
                      (double)view_count(view, totals[i].type));
    metrics_family(out, "swarm_manager_nodes", METRIC_GAUGE, "Nodes of the cluster by state.");
    put_states(out, "swarm_manager_nodes", view, OBJECT_NODE, node_state, node_states,
               COUNT_OF(node_states));
    metrics_family(out, "swarm_manager_tasks_total", METRIC_GAUGE,
                   "Tasks of the cluster by observed state.");
    put_states(out, "swarm_manager_tasks_total", view, OBJECT_TASK, task_state, task_states,
               COUNT_OF(task_states));
}

// ---- what it has no names for -------------------------------------------------------------------

static void put_store(struct buf *out, const struct manager *manager, struct view view)
{
    struct store_stats stats;
    size_t bytes = 0;
    store_stats(manager->store, &stats);
    for (unsigned type = 0; type < OBJECT_TYPES; type++)
        bytes += view_bytes(view, (enum object_type)type);
    metrics_gauge(out, "skep_store_bytes", "Objects of the cluster state, packed.", (double)bytes);
    metrics_gauge(out, "skep_store_memory_bytes", "What the cluster state takes in memory.",
                  (double)(stats.tree_bytes + stats.object_bytes));
    metrics_gauge(out, "skep_store_pending", "Changes on their way through the log.",
                  (double)stats.pending);
    metrics_counter(out, "skep_store_commits_total", "Changes that were committed here.",
                    (double)stats.commits);
}

static void put_raft(struct buf *out, const struct manager *manager)
{
    struct raft_node_role role = raft_node_role(manager->node);
    const struct members *members = raft_node_members(manager->node);
    struct logdb_figures disk;
    size_t reachable = 0;
    for (size_t i = 0; i < members->count; i++)
        reachable += raft_node_reachable(manager->node, members->list[i].raft_id);
    metrics_gauge(out, "skep_raft_term", "Raft's term.", (double)role.term);
    metrics_gauge(out, "skep_raft_has_leader", "Whether a leader is known.", role.leader != 0);
    metrics_gauge(out, "skep_raft_members", "Managers in the Raft group.", (double)members->count);
    metrics_gauge(out, "skep_raft_members_reachable", "Of them, reachable from here.",
                  (double)reachable);
    metrics_gauge(out, "skep_raft_commit_index", "Last entry known to be committed.",
                  (double)raft_node_commit_index(manager->node));
    metrics_gauge(out, "skep_raft_applied_index", "Last entry applied here.",
                  (double)raft_node_applied(manager->node));
    raft_node_disk_figures(manager->node, &disk);
    metrics_counter(out, "skep_raft_disk_commits_total", "Writes of log and state to the disk.",
                    (double)disk.commits);
    metrics_counter(out, "skep_raft_disk_written_bytes_total", "Bytes of them, sealed.",
                    (double)disk.bytes_written);
    metrics_gauge(out, "skep_raft_disk_file_bytes", "Size of the file with log and state.",
                  (double)disk.file_bytes);
}

// Only the leader has agents; the families are there all the same, so that no graph has gaps.
static void put_dispatch(struct buf *out, const struct manager *manager)
{
    struct dispatcher_stats stats = {0};
    if (manager->dispatch_desk.dispatch)
        dispatcher_stats(dispatch_core(manager->dispatch_desk.dispatch), &stats);
    metrics_gauge(out, "skep_dispatcher_sessions", "Agents with a session.",
                  (double)stats.sessions);
    metrics_gauge(out, "skep_dispatcher_streams", "Streams that are open to agents.",
                  (double)stats.streams);
    metrics_gauge(out, "skep_dispatcher_reports_waiting", "Reports of agents not written yet.",
                  (double)stats.reports);
    metrics_counter(out, "skep_dispatcher_messages_total",
                    "Messages sent to agents since this manager leads.", (double)stats.sent);
    metrics_counter(out, "skep_dispatcher_message_bytes_total", "Bytes of them.",
                    (double)stats.sent_bytes);
}

static void put_calls(struct buf *out, const struct manager *manager)
{
    const struct {
        const char *name;
        const struct rpc_server *server;
    } servers[] = {{"cluster", manager->server}, {"local", manager->local_server}};
    enum { CONNECTIONS, CALLS, CALLS_TOTAL, REFUSED, FAMILIES };
    static const struct {
        const char *name, *help;
        enum metric_kind kind;
    } families[FAMILIES] = {
        {"skep_rpc_connections", "Open connections of gRPC clients.", METRIC_GAUGE},
        {"skep_rpc_calls", "Calls under way, streams included.", METRIC_GAUGE},
        {"skep_rpc_calls_total", "Calls that were begun.", METRIC_COUNTER},
        {"skep_rpc_refused_total", "Connections ended for hostile behaviour.", METRIC_COUNTER},
    };
    for (size_t family = 0; family < FAMILIES; family++) {
        metrics_family(out, families[family].name, families[family].kind, families[family].help);
        for (size_t i = 0; i < COUNT_OF(servers); i++) {
            struct rpc_server_stats stats = {0};
            if (servers[i].server)
                rpc_server_stats(servers[i].server, &stats);
            const uint64_t values[FAMILIES] = {stats.connections, stats.calls, stats.calls_total,
                                               stats.refused};
            struct metric_label label = {"listener", servers[i].name};
            metrics_sample(out, families[family].name, &label, 1, (double)values[family]);
        }
    }
}

void manager_metrics(struct manager *manager, struct buf *out)
{
    MAGIC_CHECK(manager, MANAGER_MAGIC);
    struct view view = store_pin(manager->store);
    const struct replica_figures *figures = replica_figures(manager->replica);
    metrics_gauge(out, "swarm_manager_leader", "Whether this manager leads the cluster.",
                  manager->leader != NULL);
    put_objects(out, view);
    metrics_histogram(out, "swarm_raft_transaction_latency_seconds",
                      "From the proposal of a change until it is committed.",
                      &figures->transaction);
    metrics_histogram(out, "swarm_raft_snapshot_latency_seconds",
                      "How long the making of a snapshot took.", &figures->snapshot);
    // A write of ours waits for nothing but its entry.
    metrics_histogram(out, "swarm_store_write_tx_latency_seconds",
                      "How long a write to the store took.", &figures->transaction);
    metrics_histogram(out, "swarm_dispatcher_scheduling_delay_seconds",
                      "From the creation of a task until it runs.", &manager->delay);
    put_store(out, manager, view);
    store_unpin(view);
    if (manager->node)
        put_raft(out, manager);
    put_dispatch(out, manager);
    put_calls(out, manager);
}
