// The node as its managers see it: NodeDescription from plain facts (swarmkit.md section 11). Pure.
//
// It must be the same every time the facts are the same, or the agent would register anew every 20
// s: lists are sorted.
#ifndef AGENT_DESCRIPTION_H
#define AGENT_DESCRIPTION_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/identity/credentials.h"
#include "proto/wire/types.pb-c.h"

#define DESCRIPTION_TEXT_BYTES 256

struct description_pair {
    const char *key;
    const char *value;
};

struct description_facts {
    char hostname[DESCRIPTION_TEXT_BYTES];
    char architecture[DESCRIPTION_TEXT_BYTES]; // as uname says it: "x86_64"
    int64_t nano_cpus;
    int64_t memory_bytes;
    const char *engine_version;
    const struct description_pair *labels; // of the engine
    size_t labels_count;
    // Resources that only users know the meaning of: kind and value. A number is so many of a kind,
    // anything else the name of one.
    const struct description_pair *generic;
    size_t generic_count;
    // Sorted or not: network and log drivers beyond those that every agent has.
    const struct description_pair *plugins; // type and name
    size_t plugins_count;
};

// The description in `arena`, with tls_info from the credentials. NOT_FOUND when the certificate's
// issuer is not among the roots, RESOURCE_EXHAUSTED past the arena's limit.
Swarm__NodeDescription *description_make(const struct description_facts *facts,
                                         const struct credentials *credentials, struct arena *arena,
                                         struct err *err);

#endif
