// What crun and runc say of an exec that they could not start, taken out of the process's own
// output.
//
// Both write their error to their standard error as well as to their log, and that stream is the
// process's. Only once the runtime has ended is it known who said it: so a stream that begins as
// such an error does is held back until then, or until it goes on as none would.
#ifndef AGENT_OCI_EXEC_WORDS_H
#define AGENT_OCI_EXEC_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buf.h"

#define EXEC_WORDS_BYTES 2048 // the longest that is held back

struct exec_words {
    struct buf held;
    bool passed; // the stream is not held (any more)
};

void exec_words_init(struct exec_words *words);
void exec_words_fini(struct exec_words *words);

// True: what came is kept. False: first what is held, then this is to be given, and so is all that
// follows; exec_words_pass empties it.
bool exec_words_take(struct exec_words *words, const void *bytes, size_t size);
void exec_words_pass(struct exec_words *words);

// Whether what is held says nothing but this message of the runtime's.
bool exec_words_say(const struct exec_words *words, const char *message);

#endif
