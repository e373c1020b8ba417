#include "agent/net/relays_io.h"

#include <stdlib.h>
#include <unistd.h>

#include "agent/net/hold_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define RETRY_MS 2000 // after the channel had no room, or another program had the port

struct entry {
    struct relay_port port;
    unsigned who; // bits: who wants it
    int fd;       // -1: not to be had
    bool told;    // to the relay process
    bool missed;  // the log says that it is not to be had
};

struct relays {
    struct loop *loop;
    struct map entries; // relay_key -> struct entry
    struct channel *channel;
    struct loop_later tell;
    struct loop_timer retry;
    bool without; // this machine has no IPv6
    void (*wanted)(void *owner);
    void *wanted_owner;
};

// ---- sockets ------------------------------------------------------------------------------------

static int bind_port(const struct relay_port *port, struct err *err)
{
    uint16_t number = port->port;
    return hold_open6(port->protocol, port->at, &number, err);
}

static void entry_open(struct relays *relays, struct entry *entry)
{
    if (entry->fd >= 0 || relays->without)
        return;
    struct err err = ERR_INIT;
    entry->fd = bind_port(&entry->port, &err);
    if (entry->fd >= 0)
        return;
    if (!entry->missed)
        log_warn("published port does not answer on IPv6", "port=%u err=\"%s\"", entry->port.port,
                 err.message);
    entry->missed = true;
    loop_timer_start(&relays->retry, RETRY_MS);
}

static void entry_free(struct entry *entry)
{
    if (entry->fd >= 0)
        close(entry->fd);
    free(entry);
}

// ---- telling ------------------------------------------------------------------------------------

static bool tell(struct relays *relays, enum relay_type type, const struct entry *entry)
{
    struct buf payload;
    struct err err = ERR_INIT;
    buf_init(&payload, RELAY_PORT_BYTES);
    relay_pack(&payload, &entry->port);
    bool fine = channel_send(relays->channel, (uint16_t)type, payload.data, payload.len, &entry->fd,
                             type == RELAY_OPEN, &err) == 0;
    buf_fini(&payload);
    if (!fine && err.code != ERR_UNAVAILABLE) // its end is the supervisor's business
        loop_timer_start(&relays->retry, RETRY_MS);
    return fine;
}

// Opens what is wanted, shuts what is wanted no more, and says both.
static void on_tell(struct loop_later *later)
{
    struct relays *relays = CONTAINER_OF(later, struct relays, tell);
    bool any = false;
    MAP_EACH (item, &relays->entries) {
        struct entry *entry = item->value;
        if (entry->who) {
            entry_open(relays, entry);
            if (entry->fd >= 0 && !entry->told && relays->channel)
                entry->told = tell(relays, RELAY_OPEN, entry);
            any |= entry->fd >= 0;
            continue;
        }
        if (entry->told && relays->channel && !tell(relays, RELAY_SHUT, entry))
            continue;
        char key[RELAY_KEY_BYTES];
        relay_key(&entry->port, key);
        (void)map_remove_str(&relays->entries, key);
        entry_free(entry);
    }
    void (*wanted)(void *) = any ? relays->wanted : NULL;
    if (!wanted)
        return;
    relays->wanted = NULL;
    wanted(relays->wanted_owner);
}

static void on_retry(struct loop_timer *timer)
{
    loop_later_ask(&CONTAINER_OF(timer, struct relays, retry)->tell);
}

void relays_attach(struct relays *relays, struct channel *channel)
{
    relays->channel = channel;
    MAP_EACH (item, &relays->entries)
        ((struct entry *)item->value)->told = false;
    loop_later_ask(&relays->tell);
}

void relays_detach(struct relays *relays)
{
    relays->channel = NULL;
    MAP_EACH (item, &relays->entries)
        ((struct entry *)item->value)->told = false;
}

void relays_on_wanted(struct relays *relays, void (*wanted)(void *owner), void *owner)
{
    relays->wanted = wanted;
    relays->wanted_owner = owner;
    loop_later_ask(&relays->tell);
}

// ---- wishes -------------------------------------------------------------------------------------

void relays_want(struct relays *relays, enum relays_of who, const struct relay_port *ports,
                 const int *fds, size_t count)
{
    if (!relays)
        return;
    MAP_EACH (item, &relays->entries)
        ((struct entry *)item->value)->who &= ~(1u << who);
    for (size_t i = 0; i < count; i++) {
        char key[RELAY_KEY_BYTES];
        if (ports[i].protocol != RELAY_TCP && ports[i].protocol != RELAY_UDP)
            continue;
        relay_key(&ports[i], key);
        struct entry *entry = map_get_str(&relays->entries, key);
        if (!entry) {
            entry = MEM_NEW(struct entry);
            entry->port = ports[i];
            entry->fd = fds && fds[i] >= 0 ? dup(fds[i]) : -1;
            map_put_str(&relays->entries, key, entry);
        }
        entry->who |= 1u << who;
    }
    loop_later_ask(&relays->tell);
}

bool relays_able(const struct relays *relays)
{
    return relays && !relays->without;
}

// ---- life ---------------------------------------------------------------------------------------

static bool is_without(void)
{
    static const uint8_t any[16];
    uint16_t port = 0;
    struct err err = ERR_INIT;
    int fd = hold_open6(RELAY_TCP, any, &port, &err);
    if (fd >= 0)
        close(fd);
    else
        log_info("published ports answer on IPv4 alone", "err=\"%s\"", err.message);
    return fd < 0;
}

struct relays *relays_open(struct loop *loop)
{
    struct relays *relays = MEM_NEW(struct relays);
    relays->loop = loop;
    relays->without = is_without();
    map_init(&relays->entries);
    loop_later_init(&relays->tell, loop, on_tell);
    loop_timer_init(&relays->retry, loop, on_retry);
    return relays;
}

void relays_close(struct relays *relays)
{
    if (!relays)
        return;
    loop_later_cancel(&relays->tell);
    loop_timer_stop(&relays->retry);
    MAP_EACH (item, &relays->entries)
        entry_free(item->value);
    map_fini(&relays->entries);
    free(relays);
}
