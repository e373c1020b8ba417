#include "agent/net/relays_io.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define BACKLOG  128
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
    struct map entries; // "6 8080" -> struct entry
    struct channel *channel;
    struct loop_later tell;
    struct loop_timer retry;
    bool without; // this machine has no IPv6
    void (*wanted)(void *owner);
    void *wanted_owner;
};

static void key_of(struct relay_port port, char out[16])
{
    (void)str_format(out, 16, "%u %u", port.protocol, port.port);
}

// ---- sockets ------------------------------------------------------------------------------------

static int bind_port(struct relay_port port)
{
    static const int on = 1;
    const struct sockaddr_in6 any = {
        .sin6_family = AF_INET6, .sin6_port = htons(port.port), .sin6_addr = in6addr_any};
    bool tcp = port.protocol == RELAY_TCP;
    int fd = socket(AF_INET6, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    bool fine = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0;
    if (tcp) // connections of before may still be ending
        fine = fine && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    else
        fine = fine && setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) == 0;
    fine = fine && bind(fd, (const struct sockaddr *)&any, sizeof any) == 0 &&
           (!tcp || listen(fd, BACKLOG) == 0);
    if (fine)
        return fd;
    int errnum = errno;
    close(fd);
    errno = errnum;
    return -1;
}

static void entry_open(struct relays *relays, struct entry *entry)
{
    if (entry->fd >= 0 || relays->without)
        return;
    entry->fd = bind_port(entry->port);
    if (entry->fd >= 0)
        return;
    struct err err = ERR_INIT;
    relays->without = errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL;
    err_set_errno(&err, errno, "bind [::]:%u", entry->port.port);
    if (relays->without)
        log_info("published ports answer on IPv4 alone", "err=\"%s\"", err.message);
    else if (!entry->missed)
        log_warn("published port does not answer on IPv6", "port=%u err=\"%s\"", entry->port.port,
                 err.message);
    entry->missed = true;
    if (!relays->without)
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
    relay_pack(&payload, entry->port);
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
        char key[16];
        key_of(entry->port, key);
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
                 size_t count)
{
    if (!relays)
        return;
    MAP_EACH (item, &relays->entries)
        ((struct entry *)item->value)->who &= ~(1u << who);
    for (size_t i = 0; i < count; i++) {
        char key[16];
        if (ports[i].protocol != RELAY_TCP && ports[i].protocol != RELAY_UDP)
            continue;
        key_of(ports[i], key);
        struct entry *entry = map_get_str(&relays->entries, key);
        if (!entry) {
            entry = MEM_NEW(struct entry);
            entry->port = ports[i];
            entry->fd = -1;
            map_put_str(&relays->entries, key, entry);
        }
        entry->who |= 1u << who;
    }
    loop_later_ask(&relays->tell);
}

// ---- life ---------------------------------------------------------------------------------------

struct relays *relays_open(struct loop *loop)
{
    struct relays *relays = MEM_NEW(struct relays);
    relays->loop = loop;
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
