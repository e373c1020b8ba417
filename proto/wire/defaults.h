// What holds when nobody says otherwise, and how large things may be (swarmkit.md, sections 3, 8,
// 14 and 18 to 22). Defaults are by absence: once a policy is present its zeros are real, and
// nothing of this is written into the store. Code outside of proto/wire reads the settled structs
// below and never the optional messages.
#ifndef PROTO_WIRE_DEFAULTS_H
#define PROTO_WIRE_DEFAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/wire/objects.pb-c.h"
#include "proto/wire/specs.pb-c.h"
#include "proto/wire/types.pb-c.h"

// ---- ports -----------------------------------------------------------------------------------
#define DEFAULT_MANAGER_PORT 2377
#define DEFAULT_GOSSIP_PORT  7946
#define DEFAULT_VXLAN_PORT   4789 // Cluster.VXLANUDPPort
#define VXLAN_PORT_MIN       1024
#define VXLAN_PORT_MAX       49151

// ---- cluster ---------------------------------------------------------------------------------
#define DEFAULT_TASK_HISTORY         5 // kept per slot
#define DEFAULT_HEARTBEAT_NS         (5 * NS_PER_S)
#define DEFAULT_CERT_EXPIRY_NS       (2160 * NS_PER_H) // 90 days
#define CERT_EXPIRY_NS_MIN           NS_PER_H
#define DEFAULT_SNAPSHOT_INTERVAL    10000 // applied entries
#define DEFAULT_SLOW_FOLLOWER_LOG    500   // entries kept behind a snapshot
#define DEFAULT_OLD_SNAPSHOTS        0
#define DEFAULT_HEARTBEAT_TICK       1
#define DEFAULT_ELECTION_TICK        10
#define DEFAULT_RAFT_TICK_NS         NS_PER_S
#define DEFAULT_ADDRESS_POOL         "10.0.0.0/8"
#define DEFAULT_SUBNET_SIZE          24
#define BOOTSTRAP_KEYS_PER_SUBSYSTEM 3
#define BOOTSTRAP_KEY_BYTES          16
#define BOOTSTRAP_KEY_ROTATION_NS    (12 * NS_PER_H)
#define BLACKLIST_KEPT_NS            (7 * 24 * NS_PER_H) // after the certificate's end

// ---- services --------------------------------------------------------------------------------
#define DEFAULT_STOP_GRACE_NS      (10 * NS_PER_S)
#define DEFAULT_RESTART_DELAY_NS   (5 * NS_PER_S)
#define DEFAULT_UPDATE_PARALLELISM 1
#define DEFAULT_UPDATE_MONITOR_NS  (5 * NS_PER_S)
#define RESTART_WAIT_FOR_OLD_NS    NS_PER_MIN // for the old task to stop
#define NANO_CPUS_MIN              1000000    // 0.001 CPU; 0 = not given
#define MEMORY_BYTES_MIN           (4 << 20)  // 0 = not given
#define HEALTH_DURATION_NS_MIN     NS_PER_MS  // 0 = not given

// ---- nodes and the dispatcher ----------------------------------------------------------------
#define HEARTBEAT_JITTER_NS        (NS_PER_S / 2) // either way
#define HEARTBEAT_GRACE_FACTOR     3              // periods missed before a node is DOWN
#define HEARTBEAT_GRACE_FACTOR_NEW 6              // the same right after a change of leader
#define NODE_DOWN_TO_ORPHANED_NS   (24 * NS_PER_H)
#define REGISTRATIONS_IN_A_ROW_MAX 3 // each within the next constant after the one before
#define REGISTRATION_SPACING_NS    (8 * NS_PER_S)
#define STATUS_BATCH_NS            (100 * NS_PER_MS)
#define STATUS_BATCH_MAX           10000
#define ASSIGNMENT_BATCH_NS        (100 * NS_PER_MS)
#define ASSIGNMENT_BATCH_MAX       100
#define DESCRIPTION_CHECK_NS       (20 * NS_PER_S)
#define REMOTE_WEIGHT              10 // of a manager in a session message, and of an observation
#define REMOTE_WEIGHT_MAX          256

// ---- sizes -----------------------------------------------------------------------------------
#define SECRET_BYTES_MAX  511999
#define CONFIG_BYTES_MAX  1023999
#define RPC_MESSAGE_MAX   (4 << 20) // what a stock server takes
#define RAFT_PROPOSAL_MAX (3 << 19) // 1.5 MiB marshalled
#define STORE_ACTIONS_MAX 200       // in one entry
#define STORE_BATCH_BYTES (RAFT_PROPOSAL_MAX / 4 * 3)

// ---- networks --------------------------------------------------------------------------------
#define VNI_MIN            4096
#define VNI_MAX            16777215
#define PUBLISHED_PORT_MIN 30000 // of those chosen by the cluster
#define PUBLISHED_PORT_MAX 32767

// ---- settled values --------------------------------------------------------------------------

struct restart_settled {
    Swarm__RestartPolicy__RestartCondition condition;
    int64_t delay_ns;
    uint64_t attempts_max; // 0 = unlimited
    int64_t window_ns;     // 0 = since the spec's version began
};

// NULL means ANY after 5 s, without end.
struct restart_settled defaults_restart(const Swarm__RestartPolicy *policy);

struct update_settled {
    uint64_t parallelism; // 0 = all slots at once
    int64_t delay_ns;
    int64_t monitor_ns;
    float failure_ratio_max; // 0..1
    Swarm__UpdateConfig__FailureAction failure_action;
    Swarm__UpdateConfig__UpdateOrder order;
};

// For ServiceSpec.update and .rollback; NULL means one at a time, pause on failure.
struct update_settled defaults_update(const Swarm__UpdateConfig *config);

// After how long a stopping task is killed.
int64_t defaults_stop_grace_ns(const Swarm__ContainerSpec *container);

struct cluster_settled {
    int64_t task_history; // per slot; negative = keep all
    int64_t heartbeat_ns; // above 0
    int64_t cert_expiry_ns;
    uint64_t snapshot_interval;
    uint64_t slow_follower_log;
    uint64_t old_snapshots;
    bool auto_lock;
    uint32_t subnet_size;
    uint32_t vxlan_port;
};

// The settings of a cluster, NULL for one that does not exist yet. What the cluster object says is
// meant as said (a history of 0 keeps none); only where 0 has no meaning the default stands in:
// heartbeat, snapshot interval, subnet size, port; and an expiry below one hour counts as unset.
struct cluster_settled defaults_cluster(const Swarm__Cluster *cluster);

// A copy of the spec with every default filled in, as GetService{insert_defaults} shows it, in
// `arena` or, when NULL, on the heap. NULL past the arena's limit.
Swarm__ServiceSpec *defaults_fill_service(const Swarm__ServiceSpec *spec, struct arena *arena);

// A fresh cluster's spec, as a new swarm stores it. The same ownership.
Swarm__ClusterSpec *defaults_new_cluster_spec(struct arena *arena);

#endif
