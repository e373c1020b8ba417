// Host names that the manager process asks about: looked up in the node process, for the manager
// may neither read the files they stand in nor talk to name servers.
#ifndef CMD_SKEPD_LOOKUPS_IO_H
#define CMD_SKEPD_LOOKUPS_IO_H

#include "cmd/skepd/messages.h"
#include "proto/base/loop_io.h"

// At a time; what comes beyond is answered at once, with an error.
#define LOOKUPS_MAX 16

struct lookups {
    struct loop *loop;
    struct list under_way;
    size_t count;
    void (*found)(void *ctx, const struct message_found *found);
    void *ctx;
};

void lookups_init(struct lookups *lookups, struct loop *loop,
                  void (*found)(void *ctx, const struct message_found *found), void *ctx);

// `found` runs once, later, unless the lookups end first.
void lookups_ask(struct lookups *lookups, const struct message_lookup *lookup);

// Forgets those under way.
void lookups_fini(struct lookups *lookups);

#endif
