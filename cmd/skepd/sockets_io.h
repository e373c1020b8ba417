// Sockets that the node process binds with its rights, for itself or for another process to serve.
//
// Bound, not listening: until somebody serves it, who connects is refused instead of left waiting.
#ifndef CMD_SKEPD_SOCKETS_IO_H
#define CMD_SKEPD_SOCKETS_IO_H

#include <stddef.h>

#include "proto/base/err.h"
#include "proto/net/addr.h"

#define SOCKETS_MAX 32

struct bound_socket {
    int fd;           // close-on-exec
    struct addr addr; // as bound, with the port the kernel chose for port 0
    bool remove_path; // a unix socket that we made
};

struct sockets {
    struct bound_socket items[SOCKETS_MAX];
    size_t count;
};

// Binds one address; a unix path gets mode 0660, root and `group` (NULL or "": "docker" where there
// is such a group, else root). A path left behind by a dead server is replaced; ALREADY_EXISTS or
// UNAVAILABLE when somebody serves it or the address is taken. NOT_FOUND for an unknown group.
int socket_bind(const struct addr *addr, const char *group, struct bound_socket *out,
                struct err *err);

// Closes it, and removes the path that was made for it.
void socket_unbind(struct bound_socket *bound);

// Binds what -H names, each of `hosts`; fd:// takes what the service manager handed over. On an
// error nothing stays bound.
int sockets_bind_hosts(struct sockets *sockets, char *const *hosts, size_t count, const char *group,
                       struct err *err);
void sockets_unbind(struct sockets *sockets);

#endif
