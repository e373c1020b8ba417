// Network namespaces pinned as files, as dockerd and `ip netns` do it: a bind mount keeps the
// namespace alive without a process in it.
//
// All calls block (some tenths of a millisecond; the kernel may take longer to free one): use them
// in worker jobs. Need CAP_SYS_ADMIN. Where the way back to the caller's namespace is barred, the
// process stops.
#ifndef AGENT_NET_NETNS_IO_H
#define AGENT_NET_NETNS_IO_H

#include <stdbool.h>

#include "proto/base/err.h"

// Makes the folder (0711) and sees to it that what is mounted in it is not copied into the mount
// namespaces of containers. Call once before the others.
int netns_folder(const char *dir, struct err *err);

// Makes a namespace with nothing but a loopback device that is down, and pins it at `path`. A live
// one that is pinned there is left alone (*made is false); a leftover file that is none is
// replaced.
int netns_make(const char *path, bool *made, struct err *err);

// Pins at `path` the namespace that is pinned at `from`; what is at `path` else is replaced.
int netns_share(const char *from, const char *path, bool *made, struct err *err);

// A descriptor of the pinned namespace, close-on-exec. NOT_FOUND when `path` is not there or pins
// none.
int netns_open(const char *path, int *fd, struct err *err);

// Takes the pin away; what is not there is no error. The namespace lives on while a process or a
// descriptor holds it.
int netns_remove(const char *path, struct err *err);

// Calls `visit` with the name of each file in the folder.
int netns_list(const char *dir, void (*visit)(void *ctx, const char *name), void *ctx,
               struct err *err);

// As a namespace's descriptor below: the one the thread is in.
#define NETNS_OWN (-1)

// Runs `work` on this thread inside of the namespace, and comes back. Returns what it returns.
int netns_in(int netns_fd, int (*work)(void *ctx, struct err *err), void *ctx, struct err *err);

// Sets "net/ipv4/ip_forward" and the like in the namespace. A value that is there already is not
// written again. NOT_FOUND for what this kernel does not have.
int netns_sysctl(int netns_fd, const char *name, const char *value, struct err *err);

// The same for a setting that is only ever raised.
int netns_sysctl_raise(int netns_fd, const char *name, unsigned long value, struct err *err);

// Whatever in the namespace remembers an IPv4 route asks for it anew.
int netns_routes_forget(int netns_fd, struct err *err);

#endif
