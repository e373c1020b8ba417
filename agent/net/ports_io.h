// The host's published ports: who has which, held against others, and led to their containers.
// Everything runs on the loop's thread.
#ifndef AGENT_NET_PORTS_IO_H
#define AGENT_NET_PORTS_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/net/ports.h"
#include "agent/net/relays_io.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

#define PORTS_OF_ONE_MAX 4096 // of one container

struct ports;

// NULL with *err filled when the packet filter cannot be watched.
struct ports *ports_open(struct loop *loop, struct err *err);

// From now on rows with `ip6` answer on IPv6. `relays` outlives the ports.
void ports_relay(struct ports *ports, struct relays *relays);

// A bridge, which is there, that containers may be behind: the host's ports may lead there, its
// packets are let pass other programs' rules (forward.h), and the host's loopback addresses are
// shut to it. Harmless when known already.
void ports_bridge(struct ports *ports, const char *bridge);
void ports_bridge_gone(struct ports *ports, const char *bridge);

// Takes the rows for `id` (in place of those it had), with the ports that were chosen filled in,
// and keeps them until ports_remove. ALREADY_EXISTS "Bind for 0.0.0.0:80 failed: port is already
// allocated" for one that another container or program has: nothing has changed then.
int ports_set(struct ports *ports, const char *id, struct ports_row *rows, size_t count,
              struct err *err);

// Harmless for an unknown id.
void ports_remove(struct ports *ports, const char *id);

// The rows of `id`, valid until the next change; NULL and *count 0 for none.
const struct ports_row *ports_of(const struct ports *ports, const char *id, size_t *count);

// After a restart: until all who had ports have said so again (ports_let_go), or for so long at
// most, the kernel keeps the table that an earlier life left, so that no port stops answering.
#define PORTS_HOLD_MS 5000
void ports_hold(struct ports *ports);
void ports_let_go(struct ports *ports); // harmless at any time

// Chains of other programs that drop containers' packets, as forward_io.h has it.
const char *ports_blocked_by(const struct ports *ports);

// Whether the kernel is still to be brought to what was said.
bool ports_busy(const struct ports *ports);

// The kernel keeps the table: containers run on. The ports are not held from here on. `closed` runs
// once, later.
void ports_close(struct ports *ports, void (*closed)(void *owner), void *owner);

#endif
