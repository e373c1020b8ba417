// What the locals*_io.c files share.
#ifndef AGENT_NET_LOCALS_PRIV_IO_H
#define AGENT_NET_LOCALS_PRIV_IO_H

#include "agent/net/locals_io.h"
#include "agent/net/netlink_io.h"
#include "agent/net/tables_io.h"
#include "proto/base/map.h"

// Values of the map of namespaces that others share.
extern char locals_shared[], locals_led[];

struct locals {
    struct loop *loop;
    char dir[LAYOUT_PLACE_BYTES], netns_dir[LAYOUT_PLACE_BYTES];
    struct local **list; // in order of creation, as far as files tell
    size_t count;
    struct netlink *host;
    struct ports *ports;
    struct tables *tables;
    struct dns_feed *feed;
    const struct local_defaults *defaults; // never NULL
    bool six;                              // some network has IPv6
    struct map shared;                     // container -> locals_shared or locals_led
    net_told *told;                        // NULL: nobody
    void *told_owner;
    void (*closed)(void *owner);
    void *closed_owner;
};

// locals_io.c
struct local *locals_lookup(const struct locals *locals, const char *name); // locals_find
int locals_record(const struct locals *locals, const struct local *local, struct err *err);

void locals_tell(const struct locals *locals, const char *action, const struct local *local,
                 const char *container);

// locals_boxes_io.c: tells the resolver what the container may ask for.
void locals_serve_names(struct locals *locals, const char *container);

#endif
