// The event bus of a node: what `docker events` shows, of this node and of the cluster.
//
// Whoever makes something happen publishes it. The newest events are kept so that `since` can look
// back, as many as Docker keeps; and more, within BUS_EVENTS and BUS_BYTES, as long as somebody
// follows, who reads at their own pace. One that falls behind what is kept has lost events and is
// told so. Pure: the time is a parameter.
#ifndef AGENT_ENGINE_BUS_H
#define AGENT_ENGINE_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/clock.h"
#include "proto/base/list.h"

#define BUS_EVENTS_BACK    256
#define BUS_EVENTS         4096 // with followers
#define BUS_BYTES          ((size_t)4 * 1024 * 1024)
#define BUS_ATTRIBUTES_MAX 128

struct bus;

struct bus_attribute {
    const char *key;
    const char *value; // NULL is ""
};

// What happened to whom. Texts are copied.
struct bus_event {
    const char *type;     // "container", "network", "service" ...
    const char *action;   // "create", "health_status: healthy" ...
    const char *actor_id; // NULL is ""
    bool swarm;           // of the cluster, else of this node alone
    struct wall at;
    const struct bus_attribute *attributes; // past BUS_ATTRIBUTES_MAX the rest is left out
    size_t attributes_count;
};

struct bus *bus_new(void);
void bus_free(struct bus *bus); // no followers any more

void bus_publish(struct bus *bus, const struct bus_event *event);

// An event that is kept: the borrowed texts are good until the next bus_publish.
struct bus_kept {
    uint64_t number;        // counts up from 1
    struct bus_event event; // its attributes in order of their keys
    const char *json;       // one line as Docker writes it, without a newline
    size_t json_bytes;
};

// The first kept event whose number is `number` or greater. False when there is none yet.
bool bus_get(const struct bus *bus, uint64_t number, struct bus_kept *out);

// The number that the next event will have.
uint64_t bus_next(const struct bus *bus);

// A follower is told of news, in the turn they come; it reads them with bus_get.
struct bus_follower {
    struct list link;
    void (*news)(struct bus_follower *follower);
};
void bus_follow(struct bus *bus, struct bus_follower *follower);
void bus_unfollow(struct bus_follower *follower);

#endif
