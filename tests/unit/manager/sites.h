// Up to three managers with real loops, sockets, TLS and disks, and clients of any kind to them.
#ifndef TESTS_UNIT_MANAGER_SITES_H
#define TESTS_UNIT_MANAGER_SITES_H

#include <check.h>

#include "manager/manager.h"
#include "proto/base/arena.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/wire.h"

#define SITES         3
#define SITES_WAIT_MS 60000

struct site {
    int number;
    struct manager *manager;
    struct rpc_client *client; // of the local socket
    struct credentials credentials;
    bool ready, failed, stopped, closed;
    enum err_code why; // it stopped
    char advertise[ADDR_TEXT_BYTES];
};

extern struct loop sites_loop;
extern struct arena sites_arena;
extern Swarm__Cluster *sites_cluster; // as founded
extern struct site sites[SITES];

// A fixture: a cluster to be founded, credentials for its first manager, an address for each.
void sites_setup(void);
void sites_teardown(void);

// Starts a manager and waits until it takes part; `join` is another's address, or NULL.
void site_start(int number, enum manager_birth birth, const char *join);
void site_stop(int number);
bool site_is_leading(void *site); // for loop_run_until
bool sites_never(void *ctx);      // likewise: lets time pass

// Founds a cluster of this many managers, of which the first leads.
void sites_found(int count);

// ---- calls --------------------------------------------------------------------------------------

struct asked {
    bool done;
    struct rpc_status status;
    void *reply;     // in sites_arena; of a stream: its first message
    size_t messages; // of a stream
};

// A unary call over the local socket.
struct asked site_ask(int number, const char *path, const wire_type *response,
                      const ProtobufCMessage *request);
#define SITE_ASK(number, service, method, type, request)                                           \
    site_ask((number), "/docker.swarmkit.v1." #service "/" #method, &swarm__##type##__descriptor,  \
             &(request)->base)

struct asked site_create_service(int number, const char *name, uint64_t replicas);

// The bytes of a request to the method of that path over the client, whatever it is: a stream is
// listened to until its end or its first message, and given up then.
struct asked site_call(struct rpc_client *client, const char *path, const struct metadata *metadata,
                       const void *bytes, size_t size);

struct asked site_call_message(struct rpc_client *client, const char *path,
                               const ProtobufCMessage *message);

// How long site_call waits at most, in ms; sites_setup sets it to 2000.
extern int64_t site_call_ms;

// After how long without a leader the managers started from now on elect one, in ms; sites_setup
// sets it to 0, the default. More for tests whose leader must stay while the machine is busy.
extern int64_t sites_election_ms;

// How old network keys get in the managers started from now on, in ms; sites_setup sets it to 0,
// the default.
extern int64_t sites_network_keys_ms;

// A client of a manager's port 2377, with these credentials (NULL: none). The caller's to close.
struct rpc_client *site_client(int number, const struct credentials *credentials);

// Joins a node through that manager with the cluster's token; the caller's to give back.
void sites_admit(int number, enum identity_role role, struct credentials *out);

// A certificate of the cluster's root for whoever, without a node; the caller's to give back.
void sites_certify(const char *node_id, const char *cluster_id, enum identity_role role,
                   struct credentials *out);

#endif
