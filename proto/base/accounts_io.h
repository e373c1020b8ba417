// The numbers of users and groups by name, from wherever this machine keeps its accounts.
//
// A process of its own looks each of them up: what a machine has for it (files, systemd, LDAP)
// comes as libraries with threads and connections, which would stay in a process that runs for
// months and asks once.
#ifndef PROTO_BASE_ACCOUNTS_IO_H
#define PROTO_BASE_ACCOUNTS_IO_H

#include <sys/types.h>

#include "proto/base/err.h"

// NOT_FOUND when there is no such user or group; any other error when nobody could tell.
int accounts_user(const char *name, uid_t *uid, gid_t *gid, struct err *err);
int accounts_group(const char *name, gid_t *gid, struct err *err);

#endif
