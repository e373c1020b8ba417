#include "proto/net/admission.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// Peers without connections and with a full allowance are dropped this often.
#define SWEEP_NS (10 * NS_PER_S)

struct admission_peer {
    unsigned open;
    // The allowance of handshakes as the moment at which it would be full again (a bucket that
    // leaks), so that it needs no timer.
    struct mono full_at;
};

struct admission_limits admission_limits_default(void)
{
    return (struct admission_limits){
        .total = ADMISSION_TOTAL_DEFAULT,
        .per_address = ADMISSION_PER_ADDRESS_DEFAULT,
        .handshakes_burst = ADMISSION_HANDSHAKES_BURST_DEFAULT,
        .handshakes_per_s = ADMISSION_HANDSHAKES_PER_S_DEFAULT,
    };
}

const char *admission_text(enum admission_answer answer)
{
    switch (answer) {
    case ADMISSION_OK:
        return "admitted";
    case ADMISSION_TOTAL:
        return "too many connections";
    case ADMISSION_PER_ADDRESS:
        return "too many connections from this address";
    case ADMISSION_RATE:
        return "too many handshakes from this address";
    }
    UNREACHABLE("enum admission_answer has four values");
}

void admission_init(struct admission *admission, const struct admission_limits *limits)
{
    CHECK(limits->handshakes_burst > 0);
    CHECK(limits->handshakes_per_s > 0);
    *admission = (struct admission){.limits = *limits};
    map_init(&admission->peers);
}

void admission_fini(struct admission *admission)
{
    MAP_EACH (entry, &admission->peers)
        free(entry->value);
    map_fini(&admission->peers);
}

static void sweep(struct admission *admission, struct mono now)
{
    if (mono_since(now, admission->swept) < SWEEP_NS)
        return;
    admission->swept = now;
    MAP_EACH (entry, &admission->peers) {
        struct admission_peer *peer = entry->value;
        if (peer->open == 0 && mono_before(peer->full_at, now))
            free(map_remove(&admission->peers, entry->key, entry->key_size));
    }
}

static struct admission_peer *find(const struct admission *admission, const struct addr *addr)
{
    uint8_t key[16];
    size_t size = addr_peer_key(addr, key);
    return size ? map_get(&admission->peers, key, size) : NULL;
}

static struct admission_peer *find_or_add(struct admission *admission, const struct addr *addr)
{
    uint8_t key[16];
    size_t size = addr_peer_key(addr, key);
    if (size == 0)
        return NULL;
    struct admission_peer *peer = map_get(&admission->peers, key, size);
    if (!peer) {
        peer = MEM_NEW(struct admission_peer);
        map_put(&admission->peers, key, size, peer);
    }
    return peer;
}

enum admission_answer admission_enter(struct admission *admission, const struct addr *addr,
                                      struct mono now)
{
    sweep(admission, now);
    if (admission->open >= admission->limits.total)
        return ADMISSION_TOTAL;
    struct admission_peer *peer = find_or_add(admission, addr);
    if (peer && peer->open >= admission->limits.per_address)
        return ADMISSION_PER_ADDRESS;
    if (peer)
        peer->open++;
    admission->open++;
    return ADMISSION_OK;
}

enum admission_answer admission_handshake(struct admission *admission, const struct addr *addr,
                                          struct mono now)
{
    struct admission_peer *peer = find(admission, addr);
    if (!peer)
        return ADMISSION_OK;
    int64_t cost_ns = NS_PER_S / admission->limits.handshakes_per_s;
    struct mono from = mono_before(peer->full_at, now) ? now : peer->full_at;
    struct mono after = mono_add(from, cost_ns);
    if (mono_since(after, now) > cost_ns * (int64_t)admission->limits.handshakes_burst)
        return ADMISSION_RATE;
    peer->full_at = after;
    return ADMISSION_OK;
}

void admission_leave(struct admission *admission, const struct addr *addr, struct mono now)
{
    CHECK(admission->open > 0);
    admission->open--;
    struct admission_peer *peer = find(admission, addr);
    if (peer) {
        CHECK(peer->open > 0);
        peer->open--;
    }
    sweep(admission, now);
}

unsigned admission_open(const struct admission *admission)
{
    return admission->open;
}

unsigned admission_open_from(const struct admission *admission, const struct addr *addr)
{
    const struct admission_peer *peer = find(admission, addr);
    return peer ? peer->open : 0;
}
