// Certificates for a crowd of model agents, at the least cost to the machine that is measured: all
// have one key and send the same request with the same token, over a few connections that stay
// open. What a manager does for each, node object, signature and commit, is what it does for an
// agent that joins alone, but for the two handshakes that it spends on one's joining.
#ifndef BENCH_MANAGER_DESK_H
#define BENCH_MANAGER_DESK_H

#include "proto/base/loop_io.h"
#include "proto/identity/credentials.h"

struct desk;

// One who waits; embedded in the caller's own.
struct desk_visit {
    struct desk *desk;
    char node_id[32];
    size_t at;                                                                 // connection
    void (*served)(struct desk_visit *visit, struct credentials *credentials); // taken over
};

struct desk_config {
    struct loop *loop;
    const char *const *addrs; // of the manager; copied, as are the texts
    size_t addrs_count;
    const char *token;
    const char *roots_pem;
};

// Ends the program when something goes wrong.
struct desk *desk_new(const struct desk_config *config);

// Asks for a node of its own; `served` runs later.
void desk_visit(struct desk *desk, struct desk_visit *visit);

// Nobody waits any more.
void desk_close(struct desk *desk);

#endif
