// Who may come in: counts of connections in all and per peer address, and a rate of TLS handshakes
// per address. Pure; listener_io asks it and holds its lock.
//
// It is what keeps one address, without any credential, from taking the place of everybody else.
#ifndef PROTO_NET_ADMISSION_H
#define PROTO_NET_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/clock.h"
#include "proto/base/map.h"
#include "proto/net/addr.h"

#define ADMISSION_TOTAL_DEFAULT            16384
#define ADMISSION_PER_ADDRESS_DEFAULT      1024
#define ADMISSION_HANDSHAKES_BURST_DEFAULT 256
#define ADMISSION_HANDSHAKES_PER_S_DEFAULT 64

struct admission_limits {
    unsigned total;            // connections at one time
    unsigned per_address;      // of them from one address (unix sockets count in `total` only)
    unsigned handshakes_burst; // TLS handshakes an address may start at once ...
    unsigned handshakes_per_s; // ... and how fast that allowance grows back
};

// The defaults above.
struct admission_limits admission_limits_default(void);

struct admission {
    struct admission_limits limits;
    struct map peers; // addr_peer_key -> struct admission_peer, ours
    unsigned open;
    struct mono swept; // when peers that no longer matter were last dropped
};

enum admission_answer {
    ADMISSION_OK,
    ADMISSION_TOTAL,       // as many connections as there may be
    ADMISSION_PER_ADDRESS, // as many as this address may have
    ADMISSION_RATE,        // handshakes come too fast from this address
};
const char *admission_text(enum admission_answer answer); // for the log

void admission_init(struct admission *admission, const struct admission_limits *limits);
void admission_fini(struct admission *admission);

// A connection came: with ADMISSION_OK it counts until admission_leave.
enum admission_answer admission_enter(struct admission *admission, const struct addr *peer,
                                      struct mono now);

// The first bytes of a TLS handshake came from an admitted peer.
enum admission_answer admission_handshake(struct admission *admission, const struct addr *peer,
                                          struct mono now);

void admission_leave(struct admission *admission, const struct addr *peer, struct mono now);

// Connections open now in all and from one address.
unsigned admission_open(const struct admission *admission);
unsigned admission_open_from(const struct admission *admission, const struct addr *peer);

#endif
