// Network namespaces for tests: each test runs in a process of its own, gets a fresh mount and
// network namespace, and pins others in a folder.
#ifndef TESTS_UNIT_AGENT_NET_SPACES_H
#define TESTS_UNIT_AGENT_NET_SPACES_H

#include <stdbool.h>

#include "agent/net/netlink_io.h"

// False, with a word of it, without the right to make namespaces: the test has nothing to say then.
bool spaces_begin(void);
void spaces_end(void);

// The folder of pinned namespaces, and the path of one in it (valid until the fourth next call).
const char *spaces_dir(void);
const char *spaces_path(const char *name);

// A new pinned namespace; its descriptor, which spaces_end closes.
int spaces_make(const char *name);

// A way into it, or into the test's own for -1; fails the test when there is none.
struct netlink *spaces_netlink(int netns_fd);

#endif
