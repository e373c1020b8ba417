// What a node keeps on disk of its place in a swarm, below the data root: node.json (place.h), the
// agent's folder swarm/ (agent.h) and the manager process's manager/raft. All calls block shortly.
#ifndef CMD_SKEPD_SWARMDIR_IO_H
#define CMD_SKEPD_SWARMDIR_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/skepd/place.h"
#include "proto/base/err.h"
#include "proto/identity/credentials.h"
#include "proto/identity/keyfile.h"
#include "proto/rpc/remotes.h"

// The agent's folder; the caller frees it.
char *swarmdir_agent(const char *data_root);

// NOT_FOUND when the node is in no swarm.
int swarmdir_load_place(const char *data_root, struct place *out, struct err *err);
int swarmdir_save_place(const char *data_root, const struct place *place, struct err *err);

// Certificate, key and, in the key's file, the headers of `file` (its key is not looked at: it is
// the credentials'). `lock_key` as in keyfile_write.
int swarmdir_save_credentials(const char *data_root, const struct credentials *credentials,
                              const struct keyfile *file, const uint8_t *lock_key, struct err *err);

// True when the key file is locked: only a lock key opens it.
bool swarmdir_is_locked(const char *data_root);

// The errors of certdir_load.
int swarmdir_load_credentials(const char *data_root, const uint8_t *lock_key,
                              struct credentials *credentials, struct keyfile *file,
                              struct err *err);

// The managers that the agent knows at first.
int swarmdir_save_managers(const char *data_root, const struct remotes *remotes, struct err *err);

// The state of a manager is gone; or everything is.
int swarmdir_forget_raft(const char *data_root, struct err *err);
int swarmdir_forget(const char *data_root, struct err *err);

#endif
