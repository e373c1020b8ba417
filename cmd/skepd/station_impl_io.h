// What station_io.c and station_agent_io.c know of each other. Nobody else includes it.
#ifndef CMD_SKEPD_STATION_IMPL_IO_H
#define CMD_SKEPD_STATION_IMPL_IO_H

#include "cmd/skepd/station_io.h"
#include "proto/base/loop_io.h"

#define STATION_MAGIC 0x73746174u

// Stands in for the containers of a machine that can run none.
struct refusal {
    struct executor executor; // first: tasks come with it
    char why[ERR_MESSAGE_BYTES];
};

struct pairs {
    struct description_pair *list;
    size_t count;
};

struct station {
    unsigned magic;
    struct loop *loop;
    const struct config *config;
    struct defaults defaults;
    struct images *images;
    char *tmp; // archives on their way
    struct volumes *volumes;
    struct dns_feed *feed;
    struct relays *relays;           // NULL: published ports answer on IPv4 alone
    struct nets *nets;               // NULL on a machine that cannot make namespaces
    struct attachments *attachments; // NULL as nets
    bool networked;                  // nets has begun the swarm
    bool discard;                    // the agent ends for good
    struct containers *containers;   // NULL: refusal
    struct crates *crates;           // NULL as containers
    struct ports *ports;             // of the host, published; NULL: it cannot
    struct locals *locals;           // networks of this node alone; NULL: it cannot have any
    struct refusal refusal;
    struct pairs labels, generic; // of the engine, as the configuration gives them

    struct agent *agent;
    struct station_swarm swarm;
    void (*agent_closed)(void *owner);
    void *agent_owner;

    struct loop_timer look;  // while closing
    struct loop_timer sweep; // for leavings
    void (*closed)(void *owner);
    void *closed_owner;
};

struct station *station_of(void *ctx);

#endif
