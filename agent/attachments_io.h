// Containers that are no task's on networks of the swarm: for each network they ask the managers
// for an address, which comes as a task of its own (runtime "attachment"), and have it until they
// end.
//
//   attach: AttachNetwork -> the task is assigned -> sandbox -> made
//   detach, or the end of the task: out of the sandbox, address given back (DetachNetwork)
//
// A container's networks share one sandbox, which changes as they come and go, in the namespace
// that its local networks are in too.
//
// After a restart the agent's tasks are asked for what they were: one whose container runs takes
// its sandbox over, one whose container does not is given back. Everything runs on the loop's
// thread; no callback runs inside the call that causes it.
#ifndef AGENT_ATTACHMENTS_IO_H
#define AGENT_ATTACHMENTS_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/net/nets_io.h"
#include "agent/task/executor.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"
#include "proto/rpc/client_io.h"

// From the question to the sandbox, as dockerd has it.
#define ATTACHMENTS_WAIT_MS 20000

struct attachments;

struct attachments_config {
    struct loop *loop;
    struct nets *nets; // borrowed
    // False while this node is in no swarm; *client is that of the agent's session, NULL while it
    // has none.
    bool (*swarm)(void *owner, struct rpc_client **client);
    void *owner;
};

// What a container wants of one network. Borrowed during the call.
struct attachment_wish {
    const char *container;
    const char *network; // name or id
    const char *address; // NULL: any
    const uint8_t *mac;  // NULL: made of the address
    const char *const *aliases;
    size_t aliases_count;
};

// What concerns all of a container's networks. Borrowed during the call.
struct attachment_frame {
    const char *container;
    const char *name;           // answers on the networks, like aliases and hostname
    const char *hostname;       // may be NULL
    const char *const *servers; // name servers; none: the host's
    size_t servers_count;
    const char *const *search;
    size_t search_count;
    bool ndots;
    const char *resolv;       // the host's resolv.conf
    const char *share;        // path of its namespace, which is there
    const char *const *taken; // interfaces there of other networks
    size_t taken_count;
    const char *const *also; // ids of these, as far as their names are answered
    size_t also_count;
    bool led;                      // one of these leads out
    const struct ports_row *ports; // of the host, published through the gateway bridge
    size_t ports_count;
};

// What a container has on one network.
struct attachment_view {
    const char *network; // as it was asked for
    const char *network_id;
    const char *network_name;
    struct ipnet ip, gateway;
    const uint8_t *mac;
    const char *endpoint_id;
};

struct attachments *attachments_new(const struct attachments_config *config);
// The agent has ended, and nets is closed.
void attachments_free(struct attachments *attachments);

// For the agent: runs the tasks of runtime "attachment".
struct executor *attachments_executor(struct attachments *attachments);

// Who knows the containers: false when this one does not run or does not want that network. What
// the two say stays good until the next turn of the loop. NULL: nobody.
typedef bool attachments_describe(void *owner, const char *container, const char *network_id,
                                  const char *network_name, struct attachment_wish *wish,
                                  struct attachment_frame *frame);
void attachments_listen(struct attachments *attachments, attachments_describe *describe,
                        void *owner);

// Says what concerns all networks of a container: before its first attach, and when it changes,
// which then is brought about.
void attachments_frame(struct attachments *attachments, const struct attachment_frame *frame);

// `made` runs exactly once; on success attachments_find has what was made. NOT_FOUND for a network
// that is not there, PERMISSION_DENIED for one that is not attachable, DEADLINE_EXCEEDED,
// CANCELLED. At most one per container and network; a second takes the place of the first.
typedef void attachments_made(void *owner, const struct err *err);
void attachments_attach(struct attachments *attachments, const struct attachment_wish *wish,
                        attachments_made *made, void *owner);

// From one network (by any name attachments_find takes) or, NULL, from all. `done` (may be NULL)
// runs once, later, when the container's sandbox is without it, or gone. Harmless for a container
// that has none.
void attachments_detach(struct attachments *attachments, const char *container, const char *network,
                        void (*done)(void *owner), void *owner);

// False when the container is not on that network (as it was asked for, its id or name). It is
// valid for this turn of the loop.
bool attachments_find(const struct attachments *attachments, const char *container,
                      const char *network, struct attachment_view *out);
// Whether it is on any, or about to be.
bool attachments_any(const struct attachments *attachments, const char *container);
// The names of its interfaces there, valid for this turn of the loop; returns how many.
size_t attachments_eths(const struct attachments *attachments, const char *container,
                        const char **out, size_t most);
// As nets_sandbox_ports has it.
const struct ports_row *attachments_ports(const struct attachments *attachments,
                                          const char *container, size_t *count);

// Whether the node is in a swarm.
bool attachments_swarm(const struct attachments *attachments);

// Lets go of all that wait, with CANCELLED, so that they end soon.
void attachments_quiesce(struct attachments *attachments);

#endif
