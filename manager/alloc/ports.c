#include "manager/alloc/ports.h"

#include <string.h>

#include "manager/store/planted.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

void ports_init(struct ports *ports)
{
    map_init(&ports->held);
    for (unsigned i = 0; i < PORTS_PROTOCOLS; i++)
        ports->cursor[i] = PORTS_MAX; // so that PORTS_MIN comes first
}

void ports_fini(struct ports *ports)
{
    map_fini(&ports->held);
}

static uint64_t port_key(const Swarm__PortConfig *port, uint32_t number)
{
    return (uint64_t)port->protocol << 16 | number;
}

static bool is_ingress(const Swarm__PortConfig *port)
{
    return port->publish_mode == SWARM__PORT_CONFIG__PUBLISH_MODE__INGRESS;
}

// The number chosen before for this port of the spec, or 0.
static uint32_t chosen_before(const Swarm__PortConfig *want, const Swarm__Endpoint *now)
{
    for (size_t i = 0; now && i < now->n_ports; i++) {
        const Swarm__PortConfig *port = now->ports[i];
        if (is_ingress(port) && port->protocol == want->protocol &&
            port->target_port == want->target_port && str_equal(port->name, want->name))
            return port->published_port;
    }
    return 0;
}

// Marks for one allocation in progress.
struct wanted {
    struct map numbers; // keys of the result
};

static int take_given(struct ports *ports, struct wanted *wanted, void *holder,
                      Swarm__PortConfig *port, void **other, struct err *err)
{
    uint64_t key = port_key(port, port->published_port);
    void *held = map_get_u64(&ports->held, key);
    if (held && held != holder) {
        *other = held;
        return err_set(err, ERR_FAILED_PRECONDITION, "port '%u' is already in use",
                       port->published_port);
    }
    map_put_u64(&wanted->numbers, key, holder);
    return 0;
}

static int take_chosen(struct ports *ports, struct wanted *wanted, void *holder,
                       Swarm__PortConfig *port, const Swarm__Endpoint *now, uint32_t *cursor,
                       struct err *err)
{
    uint32_t number = chosen_before(port, now);
    uint64_t key = port_key(port, number);
    bool kept =
        number && map_get_u64(&ports->held, key) == holder && !map_get_u64(&wanted->numbers, key);
    for (uint32_t tries = 0; !kept; tries++) {
        if (tries > PORTS_MAX - PORTS_MIN)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "no port is left between %u and %u",
                           PORTS_MIN, PORTS_MAX);
        *cursor = *cursor >= PORTS_MAX || PLANTED(SAME_PORT) ? PORTS_MIN : *cursor + 1;
        key = port_key(port, *cursor);
        if (!PLANTED(SAME_PORT) &&
            (map_get_u64(&ports->held, key) || map_get_u64(&wanted->numbers, key)))
            continue;
        number = *cursor;
        kept = true;
    }
    port->published_port = number;
    map_put_u64(&wanted->numbers, key, holder);
    return 0;
}

// The ports in the order of the result, each a copy of the spec's.
static Swarm__PortConfig **ports_copy(const Swarm__EndpointSpec *spec, bool given_first,
                                      struct arena *arena)
{
    Swarm__PortConfig **list = arena_alloc_array(arena, spec->n_ports, sizeof(*list));
    size_t at = 0;
    for (unsigned round = 0; list && round < 2; round++)
        for (size_t i = 0; i < spec->n_ports; i++) {
            const Swarm__PortConfig *port = spec->ports[i];
            bool chosen = is_ingress(port) && port->published_port == 0;
            if (given_first ? chosen != (round == 1) : round == 1)
                continue;
            list[at] = arena_memdup(arena, port, sizeof(*port));
            if (!list[at])
                return NULL;
            at++;
        }
    return list;
}

static int check_ports(const Swarm__EndpointSpec *spec, struct err *err)
{
    for (size_t i = 0; i < spec->n_ports; i++) {
        const Swarm__PortConfig *port = spec->ports[i];
        if ((unsigned)port->protocol >= PORTS_PROTOCOLS)
            return err_set(err, ERR_INVALID_ARGUMENT, "unknown protocol %d of a published port",
                           port->protocol);
        if (port->published_port > 65535)
            return err_set(err, ERR_INVALID_ARGUMENT, "published port %u is out of range",
                           port->published_port);
    }
    return 0;
}

// Makes what is held follow what is wanted.
static void settle(struct ports *ports, const struct wanted *wanted, void *holder)
{
    MAP_EACH (entry, &ports->held)
        if (entry->value == holder && !map_has(&wanted->numbers, entry->key, entry->key_size))
            map_remove(&ports->held, entry->key, entry->key_size);
    MAP_EACH (entry, &wanted->numbers)
        map_put(&ports->held, entry->key, entry->key_size, holder);
}

int ports_allocate(struct ports *ports, void *holder, const Swarm__EndpointSpec *spec,
                   const Swarm__Endpoint *now, struct arena *arena, Swarm__PortConfig ***out,
                   size_t *count, void **other, struct err *err)
{
    CHECK(holder);
    *out = NULL;
    *count = 0;
    *other = NULL;
    struct wanted wanted;
    map_init(&wanted.numbers);
    uint32_t cursor[PORTS_PROTOCOLS];
    memcpy(cursor, ports->cursor, sizeof(cursor));
    size_t n = spec ? spec->n_ports : 0;
    int rc = n ? check_ports(spec, err) : 0;
    bool given_first = now && n > 0 && now->n_ports == n;
    Swarm__PortConfig **list = n && !rc ? ports_copy(spec, given_first, arena) : NULL;
    if (n && !rc && !list)
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "too many ports");
    // Those given first: what is chosen must not take their place.
    for (size_t i = 0; i < n && !rc; i++)
        if (is_ingress(list[i]) && list[i]->published_port)
            rc = take_given(ports, &wanted, holder, list[i], other, err);
    for (size_t i = 0; i < n && !rc; i++)
        if (is_ingress(list[i]) && !list[i]->published_port)
            rc = take_chosen(ports, &wanted, holder, list[i], now, &cursor[list[i]->protocol], err);
    if (!rc) {
        settle(ports, &wanted, holder);
        memcpy(ports->cursor, cursor, sizeof(cursor));
        *out = list;
        *count = n;
    }
    map_fini(&wanted.numbers);
    return rc;
}

bool ports_claim(struct ports *ports, void *holder, const Swarm__Endpoint *endpoint)
{
    bool ok = true;
    for (size_t i = 0; endpoint && i < endpoint->n_ports; i++) {
        const Swarm__PortConfig *port = endpoint->ports[i];
        if (!is_ingress(port) || port->published_port == 0)
            continue;
        uint64_t key = port_key(port, port->published_port);
        void *held = map_get_u64(&ports->held, key);
        if (held && held != holder)
            ok = false;
        else
            map_put_u64(&ports->held, key, holder);
    }
    return ok;
}

void ports_release(struct ports *ports, const void *holder)
{
    MAP_EACH (entry, &ports->held)
        if (entry->value == holder)
            map_remove(&ports->held, entry->key, entry->key_size);
}

size_t ports_count(const struct ports *ports)
{
    return map_count(&ports->held);
}
