#include "proto/wire/defaults.h"

#include <stddef.h>

#include "proto/base/str.h"
#include "proto/wire/names.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

struct restart_settled defaults_restart(const Swarm__RestartPolicy *policy)
{
    if (!policy)
        return (struct restart_settled){
            .condition = SWARM__RESTART_POLICY__RESTART_CONDITION__ANY,
            .delay_ns = DEFAULT_RESTART_DELAY_NS,
        };
    return (struct restart_settled){
        .condition = policy->condition,
        .delay_ns = duration_to_ns(policy->delay, DEFAULT_RESTART_DELAY_NS),
        .attempts_max = policy->max_attempts,
        .window_ns = duration_to_ns(policy->window, 0),
    };
}

struct update_settled defaults_update(const Swarm__UpdateConfig *config)
{
    if (!config)
        return (struct update_settled){
            .parallelism = DEFAULT_UPDATE_PARALLELISM,
            .monitor_ns = DEFAULT_UPDATE_MONITOR_NS,
            .failure_action = SWARM__UPDATE_CONFIG__FAILURE_ACTION__PAUSE,
            .order = SWARM__UPDATE_CONFIG__UPDATE_ORDER__STOP_FIRST,
        };
    return (struct update_settled){
        .parallelism = config->parallelism,
        .delay_ns = duration_to_ns(config->delay, 0),
        .monitor_ns = duration_to_ns(config->monitor, DEFAULT_UPDATE_MONITOR_NS),
        .failure_ratio_max = config->max_failure_ratio,
        .failure_action = config->failure_action,
        .order = config->order,
    };
}

int64_t defaults_stop_grace_ns(const Swarm__ContainerSpec *container)
{
    return duration_to_ns(container->stop_grace_period, DEFAULT_STOP_GRACE_NS);
}

struct cluster_settled defaults_cluster(const Swarm__Cluster *cluster)
{
    struct cluster_settled settled = {
        .task_history = DEFAULT_TASK_HISTORY,
        .heartbeat_ns = DEFAULT_HEARTBEAT_NS,
        .cert_expiry_ns = DEFAULT_CERT_EXPIRY_NS,
        .snapshot_interval = DEFAULT_SNAPSHOT_INTERVAL,
        .slow_follower_log = DEFAULT_SLOW_FOLLOWER_LOG,
        .old_snapshots = DEFAULT_OLD_SNAPSHOTS,
        .subnet_size = DEFAULT_SUBNET_SIZE,
        .vxlan_port = DEFAULT_VXLAN_PORT,
    };
    if (!cluster)
        return settled;
    const Swarm__ClusterSpec *spec = cluster->spec;
    settled.task_history = spec->orchestration->task_history_retention_limit;
    int64_t heartbeat_ns = duration_to_ns(spec->dispatcher->heartbeat_period, 0);
    if (heartbeat_ns > 0)
        settled.heartbeat_ns = heartbeat_ns;
    int64_t expiry_ns = duration_to_ns(spec->ca_config->node_cert_expiry, 0);
    if (expiry_ns >= CERT_EXPIRY_NS_MIN)
        settled.cert_expiry_ns = expiry_ns;
    if (spec->raft->snapshot_interval > 0)
        settled.snapshot_interval = spec->raft->snapshot_interval;
    settled.slow_follower_log = spec->raft->log_entries_for_slow_followers;
    settled.old_snapshots = spec->raft->keep_old_snapshots;
    settled.auto_lock = spec->encryption_config->auto_lock_managers;
    if (cluster->subnetsize != 0)
        settled.subnet_size = cluster->subnetsize;
    if (cluster->vxlanudpport != 0)
        settled.vxlan_port = cluster->vxlanudpport;
    return settled;
}

// ---- filling a spec --------------------------------------------------------------------------

// Where *place is NULL, creates an empty message of that type there; *made tells whether it did.
static bool fill(void *place, const wire_type *type, struct arena *arena, bool *made)
{
    void **message = place;
    *made = *message == NULL;
    if (*made)
        *message = wire_new(type, arena);
    return *message != NULL;
}

static bool fill_duration(Google__Duration **place, int64_t duration_ns, struct arena *arena)
{
    if (!*place)
        *place = duration_new(duration_ns, arena);
    return *place != NULL;
}

static bool fill_update(Swarm__UpdateConfig **place, struct arena *arena)
{
    bool made;
    if (!fill(place, &swarm__update_config__descriptor, arena, &made))
        return false;
    if (made)
        (*place)->parallelism = DEFAULT_UPDATE_PARALLELISM;
    return fill_duration(&(*place)->monitor, DEFAULT_UPDATE_MONITOR_NS, arena);
}

static bool fill_task(Swarm__TaskSpec *task, struct arena *arena)
{
    bool made;
    if (task->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER && task->container) {
        Swarm__ContainerSpec *container = task->container;
        if (!fill_duration(&container->stop_grace_period, DEFAULT_STOP_GRACE_NS, arena) ||
            !fill(&container->pull_options, &swarm__container_spec__pull_options__descriptor, arena,
                  &made) ||
            !fill(&container->dns_config, &swarm__container_spec__dnsconfig__descriptor, arena,
                  &made))
            return false;
    }
    if (!fill(&task->resources, &swarm__resource_requirements__descriptor, arena, &made) ||
        !fill(&task->placement, &swarm__placement__descriptor, arena, &made) ||
        !fill(&task->restart, &swarm__restart_policy__descriptor, arena, &made))
        return false;
    if (made)
        task->restart->condition = SWARM__RESTART_POLICY__RESTART_CONDITION__ANY;
    return fill_duration(&task->restart->delay, DEFAULT_RESTART_DELAY_NS, arena);
}

Swarm__ServiceSpec *defaults_fill_service(const Swarm__ServiceSpec *spec, struct arena *arena)
{
    Swarm__ServiceSpec *copy = wire_copy(spec, arena);
    if (copy && wire_settle(copy, arena) && fill_task(copy->task, arena) &&
        fill_update(&copy->update, arena) && fill_update(&copy->rollback, arena))
        return copy;
    return NULL; // only an arena refuses, and it gives the pieces back
}

Swarm__ClusterSpec *defaults_new_cluster_spec(struct arena *arena)
{
    Swarm__ClusterSpec *spec = wire_new(&swarm__cluster_spec__descriptor, arena);
    if (!spec)
        return NULL;
    char *name = arena ? arena_strdup(arena, NAME_CLUSTER) : str_dup(NAME_CLUSTER);
    spec->annotations->name = name;
    spec->orchestration->task_history_retention_limit = DEFAULT_TASK_HISTORY;
    spec->raft->snapshot_interval = DEFAULT_SNAPSHOT_INTERVAL;
    spec->raft->log_entries_for_slow_followers = DEFAULT_SLOW_FOLLOWER_LOG;
    spec->raft->keep_old_snapshots = DEFAULT_OLD_SNAPSHOTS;
    spec->raft->heartbeat_tick = DEFAULT_HEARTBEAT_TICK;
    spec->raft->election_tick = DEFAULT_ELECTION_TICK;
    spec->dispatcher->heartbeat_period = duration_new(DEFAULT_HEARTBEAT_NS, arena);
    spec->ca_config->node_cert_expiry = duration_new(DEFAULT_CERT_EXPIRY_NS, arena);
    if (!name || !spec->dispatcher->heartbeat_period || !spec->ca_config->node_cert_expiry)
        return NULL;
    return spec;
}
