// Asking certificate authorities outside of the cluster: each URL in turn, over TLS with the
// manager's own certificate, within limits of size and time, until one gives what was wanted.
//
// All on the control loop.
#ifndef MANAGER_CA_EXTERNAL_IO_H
#define MANAGER_CA_EXTERNAL_IO_H

#include "manager/ca/external.h"
#include "proto/base/loop_io.h"
#include "proto/net/addr.h"

// Looks a host name up where the process may not. `found` runs once, never before this returns:
// with addresses without port, or with an error. `ctx` of the config.
struct external_lookup {
    void (*found)(struct external_lookup *lookup, const struct addr *addrs, size_t count,
                  const struct err *err);
};

struct external_way {
    struct loop *loop;
    const struct rng *rng;
    const struct credentials *credentials; // the manager's; looked at anew for each call
    int64_t answer_ms;                     // that one URL has; 0: EXTERNAL_ANSWER_MS
    // NULL: names are looked up by the process itself. forget: `found` does not run any more.
    void (*look_up)(void *ctx, const char *name, struct external_lookup *lookup);
    void (*forget)(void *ctx, struct external_lookup *lookup);
    void *ctx;
};

struct external_call;

struct external_ask {
    const struct external_way *way; // outlives the call
    const char *const *urls;        // copied
    size_t urls_count;
    const char *roots_pem; // that vouch for the authorities' servers; copied
    const char *body;      // of the request; NULL: only whether one of them can be reached. Copied
    size_t body_size;
    // Looks at an answer: 0 ends the call with success, after an error the next URL is asked. NULL
    // with body NULL.
    int (*take)(void *owner, int status, const void *bytes, size_t size, struct err *err);
    // The end, once, never before external_ask returns. `err` is NULL after success, else the last
    // URL's error: UNAVAILABLE when it did not answer, or what `take` said. The call is gone after
    // it.
    void (*done)(void *owner, const struct err *err);
    void *owner;
};

struct external_call *external_ask(const struct external_ask *ask);

// Breaks it off: `done` does not run.
void external_cancel(struct external_call *call);

#endif
