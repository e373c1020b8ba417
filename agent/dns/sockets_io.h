// The sockets that the resolver process works with. The node process opens them, because the
// resolver may not: it has no rights of its own and gets them by descriptor.
//
// To answer: inside each sandbox one UDP and one listening TCP socket at 127.0.0.11, on ports that
// the kernel chooses. Not on port 53: a container may run a name server of its own on 0.0.0.0:53,
// whose bind would fail beside ours. Instead the rules of dns_redirect_text lead 127.0.0.11:53 to
// them; whoever makes the sandbox applies these, in the sandbox, after each dns_sockets_open.
//
// To ask: unconnected sockets in the namespace that name servers are asked from. The host's servers
// are asked from the host's own namespace (where also a server on a loopback address answers, as
// for the Engine), those of --dns from inside the sandbox. The resolver connects one for each
// question and disconnects it afterwards, which gives it a new random port; so a fixed number of
// sockets serves any number of questions, the kernel drops what comes from any other address, and
// the resolver never needs the right to make one.
#ifndef AGENT_DNS_SOCKETS_IO_H
#define AGENT_DNS_SOCKETS_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

// How many there are to ask with: the questions that one namespace can have open. TCP ones are used
// for what does not fit into UDP.
#define DNS_SOCKETS_HOST_UDP    128
#define DNS_SOCKETS_HOST_TCP    16
#define DNS_SOCKETS_SANDBOX_UDP 24
#define DNS_SOCKETS_SANDBOX_TCP 4
// IPv6 has a quarter of that, where there is IPv6.
#define DNS_SOCKETS_IP6_SHARE 4
#define DNS_SOCKETS_MAX       (2 * (DNS_SOCKETS_HOST_UDP + DNS_SOCKETS_HOST_TCP))

// The descriptors of one namespace, close-on-exec and non-blocking.
struct dns_sockets {
    int answer_udp, answer_tcp;  // -1: none
    uint16_t udp_port, tcp_port; // where these two are, at 127.0.0.11
    int *ask;                    // heap
    size_t ask_count;
};

// Opens a sandbox's sockets, those to ask with only if `ask`. `netns_fd` stays the caller's. The
// calling thread goes into the namespace and back within this call (no process stays different);
// when the way back is barred the process stops. Needs CAP_SYS_ADMIN. On an error *out holds none.
int dns_sockets_open(int netns_fd, bool ask, struct dns_sockets *out, struct err *err);

// Those to ask with in the namespace that the calling thread is in.
int dns_sockets_open_host(struct dns_sockets *out, struct err *err);

// Closes them; *out holds none afterwards.
void dns_sockets_close(struct dns_sockets *sockets);

// Appends nft commands that lead 127.0.0.11:53 in a sandbox to these ports, in place of what was
// led there before (table `ip skep_dns`): one transaction. Ports are rewritten packet by packet,
// without connection tracking, so that a flood of questions does not fill the host's tables.
void dns_redirect_text(struct buf *out, const struct dns_sockets *sockets);

#endif
