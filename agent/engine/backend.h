// What the Engine API asks of the node it runs on. Filled by the node process; a function that is
// NULL makes its endpoints answer 501 with a clear text.
#ifndef AGENT_ENGINE_BACKEND_H
#define AGENT_ENGINE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/json.h"

// Where this node stands, as /info and the ping header say it.
enum swarm_standing {
    STANDING_INACTIVE,
    STANDING_PENDING,
    STANDING_WORKER,
    STANDING_MANAGER,
    STANDING_LOCKED,
    STANDING_ERROR,
    STANDING_EXPIRED, // certificates ran out
};

struct backend_remote {
    const char *node_id;
    const char *addr;
};

// Borrowed texts, valid for the present turn of the loop. NULL is "".
struct backend_swarm {
    enum swarm_standing standing;
    bool manages; // by its certificate, whether its manager takes part or not
    // A manager when this daemon started, which does not take part yet. Not for long: once it does,
    // is none any more or has had its time, the engine is told (engine_started).
    bool starting;
    const char *node_id;
    const char *node_addr;
    const char *error;
    const struct backend_remote *managers;
    size_t managers_count;
};

struct backend_version {
    const char *version; // "0.1.0"
    const char *commit;
    const char *kernel;
    const char *arch; // Go's name: "amd64"
    const char *build_time;
};

struct backend_init {
    const char *listen_addr;
    const char *advertise_addr; // "" = find out
    const char *data_path_addr;
    uint32_t data_path_port; // 0 = 4789
    const char *const *address_pools;
    size_t address_pools_count;
    uint32_t subnet_size; // 0 = 24
    bool force_new_cluster;
    bool auto_lock;
    const char *availability; // "", active, pause, drain
    const void *spec;         // Swarm__ClusterSpec, or NULL
};

struct backend_join {
    const char *listen_addr;
    const char *advertise_addr;
    const char *data_path_addr;
    const char *const *remotes;
    size_t remotes_count;
    const char *token;
    const char *availability;
};

// How a long operation ends: err NULL on success. `text` is what it gives (the node's id), else
// NULL. Runs once, on the engine's loop, never inside the call that starts it.
typedef void backend_done(void *owner, const struct err *err, const char *text);

// What this node keeps for containers; all NULL where it cannot have any, and `lacking` says why.
struct crates;
struct images;
struct volumes;
struct backend_local {
    struct crates *crates;
    struct images *images;
    struct volumes *volumes;
    const char *tmp_dir; // for archives on their way
    const char *lacking;
    // What its operator said, as /info shows it; NULL and none: nothing.
    const char *log_driver;
    const char *runtime;
    const char *init_program;
    const char *const *insecure_registries; // names and CIDRs
    size_t insecure_registries_count;
    const char *const *registry_mirrors; // of docker.io
    size_t registry_mirrors_count;
};

struct backend {
    void (*swarm)(void *ctx, struct backend_swarm *out);     // required
    void (*version)(void *ctx, struct backend_version *out); // required

    // Writes /info's members but for "Swarm" into the open object. Required.
    void (*info)(void *ctx, struct json_out *out);

    // What is wrong with this node, a line each, for /info's "Warnings". May be NULL.
    void (*warnings)(void *ctx, struct buf *lines);

    // Long operations. `ctx` is the backend's; owner comes back in `done`. An owner that goes away
    // earlier calls `forget`, after which done never runs.
    void (*init)(void *ctx, const struct backend_init *init, backend_done *done, void *owner);
    void (*join)(void *ctx, const struct backend_join *join, backend_done *done, void *owner);
    void (*leave)(void *ctx, bool force, backend_done *done, void *owner);
    void (*unlock)(void *ctx, const char *key, backend_done *done, void *owner);
    void (*forget)(void *ctx, void *owner); // required with any of the four

    void (*local)(void *ctx, struct backend_local *out);

    // Networks of this node alone, and the node's side of swarm networks that it uses. Writes each
    // as a Docker network object into the open array. And one by name or id (prefix): false, and
    // nothing written, when there is none.
    void (*networks)(void *ctx, struct json_out *out);
    bool (*network)(void *ctx, const char *name, bool verbose, struct json_out *out);

    // Networks of the swarm that this node takes part in, as the manager described them:
    // Swarm__Network, valid for the call.
    void (*networks_taken)(void *ctx, void (*visit)(void *owner, const void *network), void *owner);
    // What the node knows of one of them: the members Containers, Peers and, with `verbose`,
    // Services go into the open object. False, and nothing written, when it takes no part.
    bool (*network_use)(void *ctx, const char *id, bool verbose, struct json_out *out);

    // Local ones (drivers bridge, macvlan ...): the request's body; `done` gives the new id.
    void (*network_create)(void *ctx, const json_t *body, backend_done *done, void *owner);
    void (*network_remove)(void *ctx, const char *name, backend_done *done, void *owner);

    // What is wrong between the nodes, as far as the network goes: `done` gives a JSON array of
    // objects {"Node", "Peer", "Verdict", "Check", "Found", "Cure"}, within some seconds.
    void (*checkup)(void *ctx, backend_done *done, void *owner);
};

#endif
