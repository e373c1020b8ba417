#include "proto/net/addr_io.h"

#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

static_assert(ADDR_PATH_BYTES == sizeof(((struct sockaddr_un *)0)->sun_path), "sun_path's size");

static void from_unix(const struct sockaddr_un *un, size_t size, struct addr *out)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t room = size > head ? size - head : 0;
    if (room >= sizeof un->sun_path)
        room = sizeof un->sun_path - 1;
    out->kind = ADDR_UNIX;
    if (room > 1 && un->sun_path[0] == '\0') {
        out->host[0] = '@';
        memcpy(out->host + 1, un->sun_path + 1, room - 1);
    } else if (room > 0) {
        memcpy(out->host, un->sun_path, strnlen(un->sun_path, room));
    }
}

int addr_from_sock(const struct sockaddr *sock, size_t size, struct addr *out, struct err *err)
{
    *out = (struct addr){0};
    if (sock->sa_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)sock;
        *out = addr_of_ip((const uint8_t *)&in4->sin_addr, 4, ntohs(in4->sin_port));
        return 0;
    }
    if (sock->sa_family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sock;
        *out = addr_of_ip(in6->sin6_addr.s6_addr, 16, ntohs(in6->sin6_port));
        char scope[IF_NAMESIZE];
        if (in6->sin6_scope_id && if_indextoname(in6->sin6_scope_id, scope)) {
            size_t used = strlen(out->host);
            str_format(out->host + used, sizeof out->host - used, "%%%s", scope);
        }
        return 0;
    }
    if (sock->sa_family == AF_UNIX) {
        from_unix((const struct sockaddr_un *)sock, size, out);
        return 0;
    }
    return err_set(err, ERR_INVALID_ARGUMENT, "address family %d is not supported",
                   sock->sa_family);
}

static int to_ip6(const struct addr *addr, struct sockaddr_in6 *in6, struct err *err)
{
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(addr->port);
    memcpy(&in6->sin6_addr, addr->ip, 16);
    const char *scope = strchr(addr->host, '%');
    if (!scope)
        return 0;
    in6->sin6_scope_id = if_nametoindex(scope + 1);
    if (in6->sin6_scope_id == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "no interface \"%s\"", scope + 1);
    return 0;
}

int addr_to_sock(const struct addr *addr, struct sockaddr_storage *out, socklen_t *size,
                 struct err *err)
{
    memset(out, 0, sizeof *out);
    if (addr->kind == ADDR_IP4) {
        struct sockaddr_in *in4 = (struct sockaddr_in *)out;
        in4->sin_family = AF_INET;
        in4->sin_port = htons(addr->port);
        memcpy(&in4->sin_addr, addr->ip, 4);
        *size = sizeof *in4;
        return 0;
    }
    if (addr->kind == ADDR_IP6) {
        *size = sizeof(struct sockaddr_in6);
        return to_ip6(addr, (struct sockaddr_in6 *)out, err);
    }
    if (addr->kind == ADDR_UNIX) {
        struct sockaddr_un *un = (struct sockaddr_un *)out;
        size_t length = strlen(addr->host);
        CHECK(length < sizeof un->sun_path);
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, addr->host, length);
        // The abstract namespace: a NUL in front, and the length says where it ends.
        if (addr->host[0] == '@')
            un->sun_path[0] = '\0';
        *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length +
                            (addr->host[0] == '@' ? 0 : 1));
        return 0;
    }
    return err_set(err, ERR_INVALID_ARGUMENT, "\"%s\" is a name, not an address", addr->host);
}
