#include "cmd/skepd/addresses_io.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/skepd/place.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/addr.h"

// Bridges that this daemon or a Docker engine made for containers: nobody else is behind them.
static bool is_for_containers(const char *name)
{
    static const char *const fixed[] = {"docker0", "docker_gwbridge", "skep0", "skep_gwbridge"};
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        if (str_equal(name, fixed[i]))
            return true;
    return str_starts(name, "br-") && strlen(name) == 15 &&
           strspn(name + 3, "0123456789abcdef") == 12;
}

static bool is_hardware(const char *name)
{
    char path[64];
    (void)str_format(path, sizeof path, "/sys/class/net/%s/device", name);
    return access(path, F_OK) == 0;
}

// Looks through the interfaces that are up, hardware alone or all but those for containers.
// *found counts addresses; the first goes to `out`, and what is said when there are two to `both`.
static void find_addresses(const struct ifaddrs *list, bool hardware, char out[ADDR_TEXT_BYTES],
                           size_t *found, char *both, size_t both_size)
{
    char first[INET_ADDRSTRLEN] = "", text[INET_ADDRSTRLEN];
    const char *first_name = "";
    *found = 0;
    for (const struct ifaddrs *it = list; it; it = it->ifa_next) {
        if (!it->ifa_addr || it->ifa_addr->sa_family != AF_INET || (it->ifa_flags & IFF_LOOPBACK) ||
            !(it->ifa_flags & IFF_UP) || is_for_containers(it->ifa_name) ||
            (hardware && !is_hardware(it->ifa_name)))
            continue;
        struct sockaddr_in ip;
        memcpy(&ip, it->ifa_addr, sizeof ip);
        inet_ntop(AF_INET, &ip.sin_addr, text, sizeof text);
        if (str_starts(text, "169.254."))
            continue; // link-local: of no use to others
        ++*found;
        if (*found == 1) {
            struct addr addr = addr_of_ip((const uint8_t *)&ip.sin_addr, 4, ADDRESSES_SWARM_PORT);
            addr_format(&addr, out);
            str_copy(first, sizeof first, text);
            first_name = it->ifa_name;
        } else if (*found == 2 && str_equal(first_name, it->ifa_name)) {
            (void)str_format(both, both_size, "interface %s (%s and %s)", first_name, first, text);
        } else if (*found == 2) {
            (void)str_format(both, both_size, "different interfaces (%s on %s and %s on %s)", first,
                             first_name, text, it->ifa_name);
        }
    }
}

// The one address of this machine that others can reach, as dockerd finds it: of the hardware if
// that has any, else of any interface that is not there for containers.
static int only_address(char out[ADDR_TEXT_BYTES], struct err *err)
{
    struct ifaddrs *list;
    char both[128] = "";
    size_t found;
    if (getifaddrs(&list))
        return err_set(err, ERR_UNKNOWN, "the addresses of this machine cannot be read");
    find_addresses(list, true, out, &found, both, sizeof both);
    if (found == 0)
        find_addresses(list, false, out, &found, both, sizeof both);
    freeifaddrs(list);
    if (found == 0)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "could not find the system's IP address - specify one with "
                       "--advertise-addr");
    if (found > 1)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "could not choose an IP address to advertise since this system has multiple "
                       "addresses on %s - specify one with --advertise-addr",
                       both);
    return 0;
}

// The IPv4 address of the interface of that name.
static bool address_of_interface(const char *name, char *out, size_t size)
{
    struct ifaddrs *list;
    bool found = false;
    if (getifaddrs(&list))
        return false;
    for (struct ifaddrs *it = list; it && !found; it = it->ifa_next) {
        char text[INET_ADDRSTRLEN];
        struct sockaddr_in ip;
        if (!it->ifa_addr || it->ifa_addr->sa_family != AF_INET || !str_equal(it->ifa_name, name))
            continue;
        memcpy(&ip, it->ifa_addr, sizeof ip);
        found = inet_ntop(AF_INET, &ip.sin_addr, text, sizeof text) && str_copy(out, size, text);
    }
    freeifaddrs(list);
    return found;
}

static bool is_ip(const char *text)
{
    uint8_t ip[16];
    return inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1;
}

// An address or an interface, with the swarm's port where none is given.
static int settle_addr(const char *text, char *out, size_t size, struct err *err)
{
    char formatted[ADDR_TEXT_BYTES];
    struct addr addr;
    int result = addr_parse(text, ADDRESSES_SWARM_PORT, &addr, err);
    if (result)
        return result;
    char ip[INET_ADDRSTRLEN];
    if (addr.kind != ADDR_UNIX && address_of_interface(addr.host, ip, sizeof ip))
        return str_format(out, size, "%s:%u", ip, (unsigned)addr.port)
                   ? 0
                   : err_set(err, ERR_INVALID_ARGUMENT, "%s is too long", text);
    if (addr.kind == ADDR_UNIX || !is_ip(addr.host))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s is no address and no interface", text);
    str_copy(out, size, addr_format(&addr, formatted));
    return 0;
}

static bool is_any(const char *text)
{
    return str_starts(text, "0.0.0.0:") || str_starts(text, "[::]:");
}

// The address of ours that a connection to `remote` would come from, with the port we listen at.
static int address_toward(const char *remote, const char *listen, char out[ADDR_TEXT_BYTES],
                          struct err *err)
{
    struct addr addr, here;
    int result = addr_parse(remote, ADDRESSES_SWARM_PORT, &addr, err);
    if (!result)
        result = addr_parse(listen, ADDRESSES_SWARM_PORT, &here, err);
    if (result)
        return result;
    char port[8];
    str_format(port, sizeof port, "%u", (unsigned)addr.port);
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV}, *list;
    if (getaddrinfo(addr.host, port, &hints, &list))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s cannot be resolved", remote);
    // A datagram socket sends nothing when it connects; it only finds its route.
    struct sockaddr_storage own;
    socklen_t size = sizeof own;
    int fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0 &&
                 getsockname(fd, (struct sockaddr *)&own, &size) == 0;
    if (fd >= 0)
        close(fd);
    freeaddrinfo(list);
    if (!found)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "no address of this machine leads to %s - specify one with "
                       "--advertise-addr",
                       remote);
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    memcpy(&ip4, &own, sizeof ip4);
    memcpy(&ip6, &own, sizeof ip6);
    addr = own.ss_family == AF_INET ? addr_of_ip((const uint8_t *)&ip4.sin_addr, 4, here.port)
                                    : addr_of_ip((const uint8_t *)&ip6.sin6_addr, 16, here.port);
    addr_format(&addr, out);
    return 0;
}

static int settle_advertise(struct place *place, const struct addresses_wish *wish, struct err *err)
{
    char found[ADDR_TEXT_BYTES];
    int result = 0;
    const char *advertise = str_or(wish->advertise, wish->advertise_default);
    if (str_empty(advertise) && !is_any(place->listen_addr)) {
        advertise = place->listen_addr;
    } else if (str_empty(advertise) && wish->remote) {
        result = address_toward(wish->remote, place->listen_addr, found, err);
        advertise = found;
    } else if (str_empty(advertise)) {
        result = only_address(found, err);
        advertise = found;
    }
    if (result)
        return result;
    struct err why;
    if (settle_addr(advertise, place->advertise_addr, sizeof place->advertise_addr, &why) ||
        is_any(place->advertise_addr))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "advertise address must be a non-zero IP address or network interface "
                       "(with optional port number)");
    return 0;
}

static int settle_data_path(struct place *place, const char *wish, struct err *err)
{
    char host[ADDR_TEXT_BYTES];
    place->data_path_addr[0] = '\0';
    if (str_empty(wish))
        return 0;
    bool good = address_of_interface(wish, host, sizeof host) ||
                (is_ip(wish) && str_copy(host, sizeof host, wish));
    if (!good || str_equal(host, "0.0.0.0") || str_equal(host, "::") ||
        !str_copy(place->data_path_addr, sizeof place->data_path_addr, host))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "data path address must be a non-zero IP address or network interface "
                       "(without a port number)");
    if (strchr(host, ':'))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "data path address %s cannot be used: overlay networks are carried over "
                       "IPv4",
                       host);
    return 0;
}

int addresses_settle(struct place *place, const struct addresses_wish *wish, struct err *err)
{
    struct err why;
    if (settle_addr(str_or(wish->listen, PLACE_LISTEN), place->listen_addr,
                    sizeof place->listen_addr, &why))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "listen address must be an IP address or network interface (with optional "
                       "port number)");
    int result = settle_advertise(place, wish, err);
    return result ? result : settle_data_path(place, wish->data_path, err);
}

// Whether an interface of this host, up or not, has the address.
static bool is_of_this_host(const char *host)
{
    struct ifaddrs *list;
    uint8_t wanted[16];
    int family = inet_pton(AF_INET, host, wanted) == 1 ? AF_INET : AF_INET6;
    if (family == AF_INET6 && inet_pton(AF_INET6, host, wanted) != 1)
        return false;
    if (getifaddrs(&list))
        return true; // nobody knows; it is as it was said
    bool found = false;
    for (struct ifaddrs *it = list; it && !found; it = it->ifa_next) {
        if (!it->ifa_addr || it->ifa_addr->sa_family != family)
            continue;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
        if (family == AF_INET) {
            memcpy(&ip4, it->ifa_addr, sizeof ip4);
            found = memcmp(&ip4.sin_addr, wanted, sizeof ip4.sin_addr) == 0;
        } else {
            memcpy(&ip6, it->ifa_addr, sizeof ip6);
            found = memcmp(&ip6.sin6_addr, wanted, sizeof ip6.sin6_addr) == 0;
        }
    }
    freeifaddrs(list);
    return found;
}

bool addresses_own_manager(const struct place *place, char out[ADDR_TEXT_BYTES])
{
    struct addr listen, advertise;
    if (addr_parse(place->listen_addr, ADDRESSES_SWARM_PORT, &listen, NULL) ||
        addr_parse(place->advertise_addr, ADDRESSES_SWARM_PORT, &advertise, NULL))
        return false;
    if (advertise.port == listen.port && is_of_this_host(advertise.host))
        return false;
    if (is_any(place->listen_addr))
        (void)str_copy(listen.host, sizeof listen.host,
                       str_starts(place->listen_addr, "[") ? "::1" : "127.0.0.1");
    addr_format(&listen, out);
    return true;
}
