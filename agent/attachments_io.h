// Containers that are no task's on networks of the swarm: each asks the managers for an address,
// which comes as a task of its own (runtime "attachment"), and has it until it ends.
//
//   attach: AttachNetwork -> the task is assigned -> sandbox -> made
//   detach, or the end of the task: sandbox away, address given back (DetachNetwork)
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

// What a container wants. Borrowed during the call.
struct attachment_wish {
    const char *container;
    const char *name;     // answers on the network, like aliases and hostname
    const char *hostname; // may be NULL
    const char *network;  // name or id
    const char *address;  // NULL: any
    const uint8_t *mac;   // NULL: made of the address
    const char *const *aliases;
    size_t aliases_count;
    const char *const *servers; // name servers; none: the host's
    size_t servers_count;
    const char *const *search;
    size_t search_count;
    bool ndots;
    const char *resolv; // the host's resolv.conf
};

// What a container has.
struct attachment_view {
    const char *network; // as it was asked for
    const char *network_id;
    const char *network_name;
    const char *netns; // path
    struct ipnet ip, gateway;
    const uint8_t *mac;
    const char *endpoint_id;
};

struct attachments *attachments_new(const struct attachments_config *config);
// The agent has ended, and nets is closed.
void attachments_free(struct attachments *attachments);

// For the agent: runs the tasks of runtime "attachment".
struct executor *attachments_executor(struct attachments *attachments);

// Who knows the containers: false when this one does not run. The wish's memory stays good until
// the next turn of the loop. NULL: nobody.
void attachments_listen(struct attachments *attachments,
                        bool (*describe)(void *owner, const char *container,
                                         struct attachment_wish *out),
                        void *owner);

// `made` runs exactly once; on success attachments_find has what was made. NOT_FOUND for a network
// that is not there, PERMISSION_DENIED for one that is not attachable, DEADLINE_EXCEEDED,
// CANCELLED. At most one per container.
typedef void attachments_made(void *owner, const struct err *err);
void attachments_attach(struct attachments *attachments, const struct attachment_wish *wish,
                        attachments_made *made, void *owner);

// Harmless for a container that has none.
void attachments_detach(struct attachments *attachments, const char *container);

// False when the container is on no network of the swarm. It is valid for this turn of the loop.
bool attachments_find(const struct attachments *attachments, const char *container,
                      struct attachment_view *out);

// Whether the node is in a swarm.
bool attachments_swarm(const struct attachments *attachments);

// Lets go of all that wait, with CANCELLED, so that they end soon.
void attachments_quiesce(struct attachments *attachments);

#endif
