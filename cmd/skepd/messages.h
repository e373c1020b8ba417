// The messages between the node process and the processes it supervises. Pure.
//
// What a role says beyond these (tables for the resolver, calls of the manager) are rows of its
// own, numbered from MESSAGE_ROLE_FIRST.
#ifndef CMD_SKEPD_MESSAGES_H
#define CMD_SKEPD_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/channel_frame.h"
#include "proto/base/log.h"
#include "proto/identity/token.h"
#include "proto/net/addr.h"

enum message_type {
    // From the node process.
    MESSAGE_START = 1,  // first: struct message_start
    MESSAGE_SOCKET = 2, // a bound socket to serve: its name, one descriptor
    MESSAGE_LOG = 3,    // the new lowest log level: one byte
    MESSAGE_STOP = 4,   // end in order
    // To the manager: its charge with other credentials, to be used from now on.
    MESSAGE_CHARGE = 5,
    MESSAGE_METRICS_ASK = 6, // its figures are wanted: to any process
    MESSAGE_FOUND = 7,       // to the manager: what a name stands for (struct message_found)
    // To the node process.
    MESSAGE_READY = 16, // confined and started: struct message_ready
    // Of the manager: it is a member and serves; it cannot go on, with the reason (struct err).
    MESSAGE_MANAGER_UP = 17,
    MESSAGE_MANAGER_FAILED = 18,
    MESSAGE_MANAGER_LOCK = 19,    // what its key file is to be locked with: struct message_lock
    MESSAGE_MANAGER_ROTATED = 21, // nothing is sealed with its previous data key any more
    MESSAGE_METRICS = 20,         // its figures: Prometheus' text
    // Of the manager, which may not read the files that names stand in: struct message_lookup.
    MESSAGE_LOOKUP = 22,
    MESSAGE_ROLE_FIRST = 32,
};

#define MESSAGE_START_BYTES_MIN  14
#define MESSAGE_READY_BYTES      2
#define MESSAGE_LOCK_BYTES_MIN   8
#define MESSAGE_NAME_BYTES_MAX   32
#define MESSAGE_LOOKUP_BYTES_MIN 9
#define MESSAGE_FOUND_BYTES_MIN  9
// What a process says of itself in one answer.
#define MESSAGE_METRICS_BYTES_MAX (32 * 1024)
// What a role is told at its start beside the common part; JSON.
#define MESSAGE_CONFIG_BYTES_MAX (32 * 1024)

// The rows that every role takes from the node process; a role's table starts with them.
#define MESSAGE_ROWS_FROM_NODE                                                                     \
    {.type = MESSAGE_START,                                                                        \
     .name = "start",                                                                              \
     .bytes_min = MESSAGE_START_BYTES_MIN,                                                         \
     .bytes_max = MESSAGE_START_BYTES_MIN + MESSAGE_CONFIG_BYTES_MAX},                             \
        {.type = MESSAGE_SOCKET,                                                                   \
         .name = "socket",                                                                         \
         .bytes_min = 1,                                                                           \
         .bytes_max = MESSAGE_NAME_BYTES_MAX,                                                      \
         .fds_min = 1,                                                                             \
         .fds_max = 1},                                                                            \
        {.type = MESSAGE_LOG, .name = "log", .bytes_min = 1, .bytes_max = 1},                      \
        {.type = MESSAGE_METRICS_ASK, .name = "metrics-ask"},                                      \
    {                                                                                              \
        .type = MESSAGE_STOP, .name = "stop"                                                       \
    }

// What the manager takes besides.
#define MESSAGE_ROWS_TO_MANAGER                                                                    \
    {.type = MESSAGE_FOUND,                                                                        \
     .name = "found",                                                                              \
     .bytes_min = MESSAGE_FOUND_BYTES_MIN,                                                         \
     .bytes_max = MESSAGE_FOUND_BYTES_MIN + ERR_MESSAGE_BYTES},                                    \
    {                                                                                              \
        .type = MESSAGE_CHARGE, .name = "charge", .bytes_max = MESSAGE_CONFIG_BYTES_MAX            \
    }

// And that the node process takes from every role.
#define MESSAGE_ROWS_TO_NODE                                                                       \
    {.type = MESSAGE_READY,                                                                        \
     .name = "ready",                                                                              \
     .bytes_min = MESSAGE_READY_BYTES,                                                             \
     .bytes_max = MESSAGE_READY_BYTES},                                                            \
        {.type = MESSAGE_MANAGER_UP, .name = "manager-up"},                                        \
        {.type = MESSAGE_MANAGER_LOCK,                                                             \
         .name = "manager-lock",                                                                   \
         .bytes_min = MESSAGE_LOCK_BYTES_MIN,                                                      \
         .bytes_max = MESSAGE_LOCK_BYTES_MIN + LOCK_KEY_BYTES},                                    \
        {.type = MESSAGE_MANAGER_ROTATED, .name = "manager-rotated"},                              \
        {.type = MESSAGE_METRICS, .name = "metrics", .bytes_max = MESSAGE_METRICS_BYTES_MAX},      \
        {.type = MESSAGE_LOOKUP,                                                                   \
         .name = "lookup",                                                                         \
         .bytes_min = MESSAGE_LOOKUP_BYTES_MIN,                                                    \
         .bytes_max = MESSAGE_LOOKUP_BYTES_MIN + ADDR_HOST_BYTES},                                 \
    {                                                                                              \
        .type = MESSAGE_MANAGER_FAILED, .name = "manager-failed", .bytes_min = 1,                  \
        .bytes_max = ERR_MESSAGE_BYTES                                                             \
    }

struct message_start {
    uid_t uid; // who to become; not 0
    gid_t gid;
    enum log_level log_level;
    enum log_format log_format;
    const uint8_t *config; // the role's own part, borrowed
    size_t config_bytes;
};

struct message_ready {
    bool seccomp;     // the allow-list of system calls is in force
    uint8_t landlock; // version in force, 0 without
};

void message_start_pack(struct buf *out, const struct message_start *start);

// INVALID_ARGUMENT for anything that message_start_pack does not make, user or group 0 included.
int message_start_parse(const void *payload, size_t size, struct message_start *out,
                        struct err *err);

void message_ready_pack(struct buf *out, const struct message_ready *ready);
int message_ready_parse(const void *payload, size_t size, struct message_ready *out,
                        struct err *err);

struct message_lock {
    uint64_t version; // of the cluster object
    bool locked;
    uint8_t key[LOCK_KEY_BYTES];
};

void message_lock_pack(struct buf *out, const struct message_lock *lock);
// INVALID_ARGUMENT for anything that message_lock_pack does not make.
int message_lock_parse(const void *payload, size_t size, struct message_lock *out, struct err *err);

// An error: its code in one byte, then its text.
void message_err_pack(struct buf *out, const struct err *why);
// INVALID_ARGUMENT for anything that message_err_pack does not make.
int message_err_parse(const void *payload, size_t size, struct err *out, struct err *err);

// A host name whose addresses are wanted.
struct message_lookup {
    uint64_t id; // of the asker's own; comes back with the answer
    char name[ADDR_HOST_BYTES];
};

#define MESSAGE_FOUND_MAX 8

struct message_found {
    uint64_t id;
    size_t count; // 0: none, see why
    struct addr addrs[MESSAGE_FOUND_MAX];
    struct err why;
};

void message_lookup_pack(struct buf *out, const struct message_lookup *lookup);
// INVALID_ARGUMENT for anything that message_lookup_pack does not make, and for names with other
// characters than host names have.
int message_lookup_parse(const void *payload, size_t size, struct message_lookup *out,
                         struct err *err);
void message_found_pack(struct buf *out, const struct message_found *found);
int message_found_parse(const void *payload, size_t size, struct message_found *out,
                        struct err *err);

// One byte. False when it is no level.
bool message_log_parse(const void *payload, size_t size, enum log_level *out);

#endif
