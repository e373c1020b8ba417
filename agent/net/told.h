// What happens to networks of this node, for those who tell people: `docker events`.
#ifndef AGENT_NET_TOLD_H
#define AGENT_NET_TOLD_H

struct net_event {
    const char *action; // "create", "destroy", "connect", "disconnect"
    const char *id, *name, *driver;
    const char *container; // its id; NULL for the first two
};

// Texts are borrowed for the call, in which nothing of networks may be changed.
typedef void net_told(void *owner, const struct net_event *event);

#endif
