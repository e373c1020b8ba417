// Addresses as the kernel's structs.
#ifndef PROTO_NET_ADDR_IO_H
#define PROTO_NET_ADDR_IO_H

#include <sys/socket.h>

#include "proto/net/addr.h"

// An address as the kernel has it. Families other than IPv4, IPv6 and unix are INVALID_ARGUMENT.
int addr_from_sock(const struct sockaddr *sock, size_t size, struct addr *out, struct err *err);

// The other way; *size is the bytes in use. INVALID_ARGUMENT for a name, and for an IPv6 scope that
// is no interface here.
int addr_to_sock(const struct addr *addr, struct sockaddr_storage *out, socklen_t *size,
                 struct err *err);

#endif
