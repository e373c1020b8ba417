// The log broker of the leader: brings clients that ask for logs together with the agents that have
// them (swarmkit.md section 22). Plain functions; the three kinds of streams are interfaces.
//
// A client's subscription is told to every agent concerned; agents publish lines into it, and say
// when they have no more. A client that reads slowly slows its publishers down.
#ifndef MANAGER_LOGS_BROKER_H
#define MANAGER_LOGS_BROKER_H

#include "manager/store/store.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/identity/rng.h"
#include "proto/wire/logbroker.pb-c.h"

struct broker;
struct subscription;

#define BROKER_ERR_STOPPED "broker is not running"
#define BROKER_ERR_UNKNOWN "unknown subscription ID"

// Most subscriptions at once.
#define BROKER_SUBSCRIPTIONS_MAX 4096

// Reasons named at the end of an incomplete stream; further ones are only counted.
#define BROKER_REASONS_MAX 16

// A client (SubscribeLogs). Embedded in the caller's own, kept alive until `end` ran or
// broker_leave. `end` with NULL is success; it may run inside of broker_subscribe.
struct log_reader {
    bool (*writable)(struct log_reader *reader);
    int (*send)(struct log_reader *reader, const Swarm__SubscribeLogsMessage *message,
                struct err *err);
    void (*end)(struct log_reader *reader, const struct err *err);
    struct subscription *subscription; // the broker's own
};

// An agent that listens (ListenSubscriptions). One that cannot be sent to is ended, by the next
// call here.
struct log_agent {
    int (*send)(struct log_agent *agent, const Swarm__SubscriptionMessage *message,
                struct err *err);
    void (*end)(struct log_agent *agent, const struct err *err);
    // The broker's own.
    struct broker *broker;
    char *node_id;
    struct map told; // ids of subscriptions it knows; no values
    bool broken;     // it could not be told something, and is to be ended
};

// An agent that publishes into one subscription (PublishLogs).
struct log_writer {
    void (*pause)(struct log_writer *writer);
    void (*resume)(struct log_writer *writer);
    void (*end)(struct log_writer *writer, const struct err *err);
    // The broker's own.
    struct list link;
    struct subscription *subscription; // NULL before the first message
    char *node_id;
    bool paused;
};

struct broker_config {
    struct store *store;
    const struct rng *rng;   // for subscription ids
    void (*wake)(void *ctx); // broker_step is due; may be NULL
    void *ctx;
};

struct broker *broker_new(const struct broker_config *config);

// Ends all streams with UNKNOWN BROKER_ERR_STOPPED.
void broker_free(struct broker *broker);

// Follows the store: tasks that came to a node since add that node to the subscriptions that follow
// them.
void broker_step(struct broker *broker);

// INVALID_ARGUMENT without selector or with an empty one, RESOURCE_EXHAUSTED past the limit: then
// the reader was not taken over.
int broker_subscribe(struct broker *broker, const Swarm__SubscribeLogsRequest *request,
                     struct log_reader *reader, struct err *err);

// The client left; `end` does not run.
void broker_leave(struct log_reader *reader);

// The client has room again.
void broker_readable(struct log_reader *reader);

// The agent hears of all subscriptions that concern it, and of further ones. A node has one such
// stream: a second one ends the first with ABORTED.
void broker_listen(struct broker *broker, const char *node_id, struct log_agent *agent);

// The agent's stream broke; `end` does not run.
void broker_unlisten(struct log_agent *agent);

// A publishing stream begins, and a message of it came. INVALID_ARGUMENT without id or when the id
// changes, NOT_FOUND BROKER_ERR_UNKNOWN, PERMISSION_DENIED for lines of another node: the stream
// was then ended, and the caller tells its client. *closed: the agent has no more; ended too.
void broker_publish_begin(struct log_writer *writer, const char *node_id);
int broker_publish(struct broker *broker, struct log_writer *writer,
                   const Swarm__PublishLogsMessage *message, bool *closed, struct err *err);

// The stream ended or broke.
void broker_publish_end(struct log_writer *writer);

#endif
