// What the netlink_*_io.c files share.
#ifndef AGENT_NET_NETLINK_PRIV_IO_H
#define AGENT_NET_NETLINK_PRIV_IO_H

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#include "agent/net/netlink_io.h"
#include "proto/base/check.h"

#define NETLINK_WORDS_BYTES 160

struct netlink {
    struct nl_sock *route;
    struct nl_sock *filter; // conntrack; opened at its first use
    int netns_fd;
    bool acked;
    int errnum;                      // of the request under way
    char words[NETLINK_WORDS_BYTES]; // what the kernel said with it
};

// A socket of that protocol in the namespace the thread is in; NULL with *err.
struct nl_sock *netlink_socket(struct netlink *netlink, int protocol, struct err *err);

// Sends and waits for the answer. Takes the message. 0 or -errno, with the kernel's words kept.
int netlink_request(struct netlink *netlink, struct nl_sock *socket, struct nl_msg *message);

// Sends a dump request and hands each part to `visit`. Takes the message. 0 or -errno.
int netlink_request_dump(struct netlink *netlink, struct nl_sock *socket, struct nl_msg *message,
                         int (*visit)(struct nl_msg *part, void *ctx), void *ctx);

// The links alone, unsorted: netlink_dump_io.c.
int netlink_dump_links(struct netlink *netlink, struct layout *out, struct err *err);

// An error from -errno: "<what>: <kernel's words or errno's text>".
int netlink_fail(const struct netlink *netlink, int rc, struct err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// A message of type with its fixed head, zeroed; out of memory stops the process.
struct nl_msg *netlink_message(int type, int flags, const void *head, size_t head_size);

// ---- attributes --------------------------------------------------------------------------------

// Messages grow as needed up to a page, and nothing here comes near.
static inline void netlink_put(struct nl_msg *message, int type, const void *bytes, size_t size)
{
    int rc = nla_put(message, type, (int)size, bytes);
    CHECK(rc == 0);
}

static inline void netlink_put_u32(struct nl_msg *message, int type, uint32_t value)
{
    netlink_put(message, type, &value, sizeof value);
}

static inline void netlink_put_ip(struct nl_msg *message, int type, const struct ipnet *ip)
{
    netlink_put(message, type, ip->bytes, ip->size);
}

static inline int netlink_family(const struct ipnet *ip)
{
    return ip->size == 16 ? AF_INET6 : AF_INET;
}

#endif
