// The network namespaces of running containers where `ip netns` looks for them: links in a folder
// (/run/netns), each under the first twelve characters of the sandbox's id, which is the
// container's, and under the whole id, since `docker inspect` shows that one:
//
//   ip netns exec $(docker inspect -f '{{.NetworkSettings.SandboxID}}' web) ip addr
//
// They are for people and their tools: nothing of ours depends on them, and one that cannot be
// made is no error. They lead to the namespace by way of the container's process, so they end with
// it.
#ifndef AGENT_CRATE_SANDBOX_LINK_IO_H
#define AGENT_CRATE_SANDBOX_LINK_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/crate/crates_io.h"

// Takes away what an earlier life left in the folder, and nothing that is not ours.
void sandbox_links_sweep(const char *dir);

// Makes the links of a crate that runs, and takes away those of one that does not.
void crate_link_sandbox(const struct crate *crate);

#endif
