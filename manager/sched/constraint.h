// Placement constraints: "node.labels.zone == a", parsed and matched (swarmkit.md section 15.1).
#ifndef MANAGER_SCHED_CONSTRAINT_H
#define MANAGER_SCHED_CONSTRAINT_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/wire/objects.pb-c.h"

struct trait {
    const char *key;
    const char *value;
};

// What constraints and spread preferences ask of a node. Texts are "" where the node is silent.
struct node_traits {
    const char *id;
    const char *hostname;
    const char *addr; // status.addr
    const char *role; // "manager" or "worker", the observed one
    const char *os;
    const char *arch;
    const struct trait *labels; // of the node's spec
    size_t labels_count;
    const struct trait *engine_labels;
    size_t engine_labels_count;
};

// Traits of a node's message, in `arena`; texts point into the message. The arena must have room.
struct node_traits node_traits_of(const Swarm__Node *node, struct arena *arena);

// The value of a label, "" when the node does not have it.
const char *trait_get(const struct trait *traits, size_t count, const char *key);

struct constraint {
    const char *key;
    const char *value;
    bool differs; // "!=", not "=="
};

struct constraints {
    struct constraint *list;
    size_t count;
};

// Most constraints on one service.
#define CONSTRAINTS_MAX 1024

// Parses texts into `arena`. UNKNOWN with SwarmKit's texts on what is no constraint ("constraint
// expected one operator from ==, !=", "key '<k>' is invalid", "value '<v>' is invalid").
int constraints_parse(const char *const *texts, size_t count, struct arena *arena,
                      struct constraints *out, struct err *err);

// True when the node meets all of them. A key nobody knows is met by no node.
bool constraints_match(const struct constraints *constraints, const struct node_traits *node);

#endif
