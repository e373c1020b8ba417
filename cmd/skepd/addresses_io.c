#include "cmd/skepd/addresses_io.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "cmd/skepd/place.h"
#include "proto/base/str.h"
#include "proto/net/addr.h"

// The one address of this machine that others can reach, as dockerd finds it.
static int only_address(char out[ADDR_TEXT_BYTES], struct err *err)
{
    struct ifaddrs *list;
    if (getifaddrs(&list))
        return err_set(err, ERR_UNKNOWN, "the addresses of this machine cannot be read");
    size_t found = 0;
    for (struct ifaddrs *it = list; it; it = it->ifa_next) {
        if (!it->ifa_addr || it->ifa_addr->sa_family != AF_INET || (it->ifa_flags & IFF_LOOPBACK) ||
            !(it->ifa_flags & IFF_UP))
            continue;
        struct sockaddr_in ip;
        memcpy(&ip, it->ifa_addr, sizeof ip);
        struct addr addr = addr_of_ip((const uint8_t *)&ip.sin_addr, 4, ADDRESSES_SWARM_PORT);
        if (found++ == 0)
            addr_format(&addr, out);
    }
    freeifaddrs(list);
    if (found == 0)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "could not find the system's IP address - specify one with "
                       "--advertise-addr");
    if (found > 1)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "could not choose an IP address to advertise since this system has multiple "
                       "addresses - specify one with --advertise-addr");
    return 0;
}

// The address of an interface named by the user, else what was given.
static void resolve_interface(const char *name, char *out, size_t size)
{
    struct ifaddrs *list;
    str_copy(out, size, name);
    if (getifaddrs(&list))
        return;
    for (struct ifaddrs *it = list; it; it = it->ifa_next) {
        if (!it->ifa_addr || it->ifa_addr->sa_family != AF_INET || !str_equal(it->ifa_name, name))
            continue;
        struct sockaddr_in ip;
        memcpy(&ip, it->ifa_addr, sizeof ip);
        struct addr addr = addr_of_ip((const uint8_t *)&ip.sin_addr, 4, ADDRESSES_SWARM_PORT);
        char text[ADDR_TEXT_BYTES];
        str_copy(out, size, addr_format(&addr, text));
        break;
    }
    freeifaddrs(list);
}

// "host" or "host:port" with the swarm's port where none is given.
static int settle_addr(const char *text, char *out, size_t size, struct err *err)
{
    char resolved[ADDR_TEXT_BYTES], formatted[ADDR_TEXT_BYTES];
    struct addr addr;
    resolve_interface(text, resolved, sizeof resolved);
    int result = addr_parse(resolved, ADDRESSES_SWARM_PORT, &addr, err);
    if (!result && addr.kind == ADDR_UNIX)
        result = err_set(err, ERR_INVALID_ARGUMENT, "%s is no network address", text);
    if (!result)
        str_copy(out, size, addr_format(&addr, formatted));
    return result;
}

static bool is_any(const char *text)
{
    return str_starts(text, "0.0.0.0:") || str_starts(text, "[::]:");
}

int addresses_settle(struct place *place, const struct addresses_wish *wish, struct err *err)
{
    int result = settle_addr(str_or(wish->listen, PLACE_LISTEN), place->listen_addr,
                             sizeof place->listen_addr, err);
    if (result)
        return err_wrap(err, "listen address");
    const char *advertise = str_or(wish->advertise, wish->advertise_default);
    char found[ADDR_TEXT_BYTES];
    if (str_empty(advertise) && !is_any(place->listen_addr)) {
        advertise = place->listen_addr;
    } else if (str_empty(advertise)) {
        result = only_address(found, err);
        advertise = found;
    }
    if (!result)
        result = settle_addr(advertise, place->advertise_addr, sizeof place->advertise_addr, err);
    if (!result && is_any(place->advertise_addr))
        result = err_set(err, ERR_INVALID_ARGUMENT,
                         "advertise address must be a non-zero IP address or network interface "
                         "(with optional port number)");
    return result;
}
