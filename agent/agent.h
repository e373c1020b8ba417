// A node's agent put together: its certificate and renewal, its session with the managers, its
// tasks and what it remembers of all this.
//
// The folder holds what dockerd's `swarm` folder holds: certificates/ (certdir_io.h), state.json
// (the known managers) and worker/ (task_db_io.h). Everything runs on the loop's thread; writing to
// disk happens in worker jobs, one at a time.
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/description.h"
#include "agent/enroll.h"
#include "agent/task/executor.h"
#include "agent/worker.h"
#include "proto/base/loop_io.h"
#include "proto/identity/credentials.h"
#include "proto/identity/keyfile.h"
#include "proto/rpc/client_io.h"
#include "proto/rpc/remotes.h"
#include "proto/wire/dispatcher.pb-c.h"
#include "proto/wire/logbroker.pb-c.h"

struct agent;

// Any may be NULL. Messages live until the callback returns.
struct agent_events {
    // The node's own object, the list of managers or the network keys may have changed: all of it.
    void (*session)(void *owner, const Swarm__SessionMessage *message);
    // Log subscriptions.
    void (*subscription)(void *owner, const Swarm__SubscriptionMessage *message);
    // The session is up (err NULL) or was lost.
    void (*connected)(void *owner, const struct err *err);
    // A new certificate, new roots or a new data key are kept and in use: after a renewal (the role
    // may be another now), a rotation, agent_set_data_key. Valid until the next such call.
    void (*credentials)(void *owner, const struct credentials *credentials);
};

struct agent_config {
    struct loop *loop;
    const char *dir;
    struct executor *executor;
    struct executor *attacher; // runs tasks of runtime "attachment"; NULL: they are executor's
    const char *engine_version;
    // Borrowed until the agent is closed or agent_describe gives others.
    const struct description_pair *labels;
    size_t labels_count;
    const struct description_pair *generic; // resources: kind and value (description.h)
    size_t generic_count;
    const char *own_manager; // where this node's own is dialled (remotes_set_own), copied; or NULL
    const uint8_t *lock_key; // of a locked key file (LOCK_KEY_BYTES), copied; NULL: none
    struct agent_events events;
    void *owner;
};

// Writes what a finished enroll of joining gave into the folder, with the manager joined at as the
// only known one. Blocks: at start-up, or in a worker job.
int agent_keep(const char *dir, const struct enroll *enroll, const char *manager_addr,
               struct err *err);

// Reads the folder and starts. The errors of certdir_load; FAILED_PRECONDITION without any manager
// in state.json. Blocks for the reading.
int agent_open(const struct agent_config *config, struct agent **out, struct err *err);

// Saves what is not saved yet and ends; containers run on. `closed` runs once, later.
void agent_close(struct agent *agent, void (*closed)(void *ctx), void *ctx);

// As agent_close, but first kills and takes away every task's container, as on leaving a swarm.
// What cannot be taken away in AGENT_DISCARD_MS stays.
#define AGENT_DISCARD_MS 20000
void agent_discard(struct agent *agent, void (*closed)(void *ctx), void *ctx);

// Renews the certificate soon, as after a trigger from a manager.
void agent_renew(struct agent *agent);

// Other labels and generic resources, as after a new reading of the configuration: told to the
// managers at once.
void agent_describe(struct agent *agent, const struct description_pair *labels, size_t labels_count,
                    const struct description_pair *generic, size_t generic_count);

// What the key file carries for the state of this node's manager (empty: nothing). Setting it
// (NULL: takes it away) ends with the event `credentials`, once it is on disk.
const struct data_key *agent_data_key(const struct agent *agent);
void agent_set_data_key(struct agent *agent, const struct data_key *key);

// The data key that is to take its place (empty: none), and: it has. Either ends with the event
// `credentials`, once it is on disk.
const struct data_key *agent_next_data_key(const struct agent *agent);
void agent_settle_data_key(struct agent *agent);

// What the key file is locked with (LOCK_KEY_BYTES; NULL: nothing), as of this version of the
// cluster object. An older version than the file's changes nothing. What stood in clear is no
// secret any more: with its first lock the file gets a next data key, and the node another
// certificate and key (swarmkit.md 6.3).
void agent_set_lock_key(struct agent *agent, const uint8_t *lock_key, uint64_t version);

// The manager at `addr` (this node's own) is the only one, as after --force-new-cluster: the
// others are forgotten, and the session goes over to it at once.
void agent_follow_own(struct agent *agent, const char *addr);

// The connection of the present session, for calls of one's own; NULL while there is none.
struct rpc_client *agent_client(struct agent *agent);

struct worker *agent_worker(struct agent *agent);
const struct credentials *agent_credentials(const struct agent *agent);
const struct remotes *agent_remotes(const struct agent *agent);

#endif
