// The memory of nghttp2's server sessions, without the 16 KB each of them would keep for its next
// frame.
//
// A session builds every frame it sends in one buffer, which it has from its first moment on.
// h2_output takes the frame away before anything else happens, so between two calls that buffer
// holds nothing: the sessions of one thread share what it lends (proto/net/lent.h). A library whose
// buffer is larger simply gets one of its own. A session is therefore made, used and freed on one
// thread. (A client's has its preface in the buffer until the first output; clients are few, and
// have their own.)
#ifndef PROTO_RPC_H2_LOAN_H
#define PROTO_RPC_H2_LOAN_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

struct h2_loan {
    void *lent; // NULL: the session has no part in the thread's buffer
};

// For nghttp2_session_*_new3. The loan lives as long as the session.
nghttp2_mem h2_loan_memory(struct h2_loan *loan);

// False on another thread than the session's own.
bool h2_loan_is_here(const struct h2_loan *loan);

#endif
