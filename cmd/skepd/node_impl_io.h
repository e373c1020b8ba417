// What node_io.c and helpers_io.c know of each other. Nobody else includes it.
#ifndef CMD_SKEPD_NODE_IMPL_IO_H
#define CMD_SKEPD_NODE_IMPL_IO_H

#include <limits.h>
#include <sys/types.h>
#include <uv.h>

#include "cmd/skepd/api_io.h"
#include "cmd/skepd/backend_io.h"
#include "cmd/skepd/heap_io.h"
#include "cmd/skepd/lookups_io.h"
#include "cmd/skepd/membership_io.h"
#include "cmd/skepd/metrics_io.h"
#include "cmd/skepd/node_io.h"
#include "cmd/skepd/sockets_io.h"
#include "cmd/skepd/supervise_io.h"
#include "proto/base/log.h"

// One of the confined processes, as the node keeps it.
struct helper {
    struct node *node;
    const char *user;
    uid_t uid;
    gid_t gid;
    struct supervised_spec spec;
    struct supervised *supervised; // NULL: not wanted, or ended
    bool ready_once;
};

struct node {
    struct config *config;
    size_t args_count;
    const char *const *args;
    struct loop loop;
    struct heap heap;
    uv_signal_t signals[3];
    int lock_fd;      // of the data folder
    int exec_lock_fd; // of the run-time folder; -1 when that is the same
    struct sockets api_sockets;
    struct api *api;
    struct station *station;
    struct membership *membership;
    struct membership_ops membership_ops;
    struct backend_parts backend;
    struct metrics *metrics; // NULL: not asked for
    struct metrics_sources metrics_sources;
    struct addr local_addr;               // of the manager's local socket
    struct bound_socket cluster, local;   // fd -1 while this node is no manager
    const struct charge *charge;          // of the manager process
    void (*manager_stopped)(void *owner); // who waits for its end
    void *manager_stopped_owner;
    char manager_folder[PATH_MAX];
    struct helper manager;
    struct helper resolver;
    struct helper relay;    // runs once a port is published
    struct lookups lookups; // of the manager
    bool announced;         // told the service manager that we are ready
    bool stopping;
    bool ending; // a part is on its way out, and says when it is
};

// ---- node_io.c ----------------------------------------------------------------------------------

enum log_level node_log_level(const struct config *config);
enum log_format node_log_format(const struct config *config);

// Ends what is left, one after the other, from the outside in.
void node_stop_next(struct node *node);

// A folder that is theirs alone. One with a wider mode was readable by others (CVE-2021-41091): it
// is closed, and the operator hears of it.
int node_private_folder(const char *path, uid_t uid, gid_t gid, struct err *err);

// ---- helpers_io.c -------------------------------------------------------------------------------

// Tells the service manager that we are ready, once all that has to is.
void helpers_announce(struct node *node);

// Fills all, who they run as and what they say to; starts none.
void helpers_init(struct node *node);

// Of membership_ops; `ctx` is the node.
int helpers_start_manager(void *ctx, const char *listen_addr, const struct charge *charge,
                          struct err *err);
void helpers_stop_manager(void *ctx, void (*stopped)(void *owner), void *owner);
void helpers_renew_manager(void *ctx);

// Starts the relay process as soon as there is something for it.
void helpers_await_relay(struct node *node);

// An answer of the node's lookups, for the manager.
void helpers_found(void *ctx, const struct message_found *found);

void helper_tell_log_level(struct helper *helper, enum log_level level);

#endif
