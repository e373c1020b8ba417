// libnftables, loaded when a process first needs it. All of skepd's processes are one program, and
// only the node's changes the packet filter: the others need not have this library and the five it
// brings along in their memory, some 0.3 MB of each of theirs.
#ifndef AGENT_LB_NFTLIB_IO_H
#define AGENT_LB_NFTLIB_IO_H

#include <nftables/libnftables.h>

#include "proto/base/err.h"

// What is used of it, with its own names and types.
#define NFTLIB_FUNCTIONS(X)                                                                        \
    X(nft_ctx_new)                                                                                 \
    X(nft_ctx_free)                                                                                \
    X(nft_ctx_buffer_error)                                                                        \
    X(nft_ctx_buffer_output)                                                                       \
    X(nft_ctx_get_error_buffer)                                                                    \
    X(nft_ctx_get_output_buffer)                                                                   \
    X(nft_ctx_output_set_flags)                                                                    \
    X(nft_run_cmd_from_buffer)

struct nftlib {
#define NFTLIB_MEMBER(name) __typeof__(name) *name;
    NFTLIB_FUNCTIONS(NFTLIB_MEMBER)
#undef NFTLIB_MEMBER
};

// Loads the library, which then stays until the program ends. UNAVAILABLE when it cannot be had,
// then and any time later. From any thread.
int nftlib_load(struct err *err);

// Once it is loaded.
const struct nftlib *nftlib(void);

#endif
