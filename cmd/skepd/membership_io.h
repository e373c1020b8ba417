// This node's place in a swarm: founding one, joining and leaving it, going on with it after a
// restart. The master of the agent and of the manager process.
//
// What the node is follows from its certificate alone: with a manager's it runs a manager process
// beside its agent, with a worker's none. So promotion and demotion are renewals of the certificate
// that the agent was told of, and no task notices.
#ifndef CMD_SKEPD_MEMBERSHIP_IO_H
#define CMD_SKEPD_MEMBERSHIP_IO_H

#include "agent/engine/backend.h"
#include "cmd/skepd/charge.h"
#include "cmd/skepd/config.h"
#include "cmd/skepd/station_io.h"
#include "proto/base/loop_io.h"
#include "proto/rpc/client_io.h"

struct membership;

// What the node process does for it.
struct membership_ops {
    // Starts the manager process on `listen_addr` with this charge (borrowed for as long as it
    // runs, since the process may be started again), or ends it.
    int (*manager_start)(void *ctx, const char *listen_addr, const struct charge *charge,
                         struct err *err);
    void (*manager_stop)(void *ctx, void (*stopped)(void *owner), void *owner);
    // The charge has new credentials, which a process that runs is to use at once.
    void (*manager_renew)(void *ctx);
    // The client of the manager's local socket came or went (NULL).
    void (*manager_client)(void *ctx, struct rpc_client *client);
    // A manager that was one at the start takes part now, or has had its time
    // (membership_starting).
    void (*started)(void *ctx);
    void *ctx;
};

// `config`, `station` and `ops` outlive it. `local_addr` is where the manager process serves this
// node.
struct membership *membership_new(struct loop *loop, const struct config *config,
                                  struct station *station, const struct addr *local_addr,
                                  const struct membership_ops *ops);

// Ends the agent, whose containers run on; the manager process is the caller's to stop. Frees;
// `closed` runs then, later.
void membership_close(struct membership *membership, void (*closed)(void *owner), void *owner);

// Goes on with what the data folder says; a node in no swarm has nothing to do.
int membership_resume(struct membership *membership, struct err *err);

// It was a manager at the start, and its manager process does not take part yet. False soon, at the
// latest after the time that dockerd gives it, and told then by `started`.
bool membership_starting(const struct membership *membership);

// What the manager process said: it takes part; it cannot, with the reason.
void membership_manager_up(struct membership *membership);
void membership_manager_failed(struct membership *membership, const struct err *why);

// And what the cluster wants the key file to be locked with (LOCK_KEY_BYTES; NULL: nothing).
void membership_manager_lock(struct membership *membership, const uint8_t *lock_key,
                             uint64_t version);

// And that its state is sealed with the key file's next data key alone.
void membership_manager_rotated(struct membership *membership);

// The parts of the Engine API's backend (agent/engine/backend.h) that are about the swarm.
void membership_describe(struct membership *membership, struct backend_swarm *out);
void membership_init(struct membership *membership, const struct backend_init *init,
                     backend_done *done, void *owner);
void membership_join(struct membership *membership, const struct backend_join *join,
                     backend_done *done, void *owner);
void membership_unlock(struct membership *membership, const char *key, backend_done *done,
                       void *owner);
void membership_leave(struct membership *membership, bool force, backend_done *done, void *owner);
void membership_forget(struct membership *membership, void *owner);

#endif
