// What the suites of this room share: the files a stock dockerd wrote (vectors/, recorded by
// vectors/record.sh), a repeatable source of randomness, and running OpenSSL as the other opinion.
#ifndef TESTS_UNIT_PROTO_IDENTITY_VECTORS_H
#define TESTS_UNIT_PROTO_IDENTITY_VECTORS_H

#include "proto/base/clock.h"
#include "proto/identity/rng.h"

// The text of vectors/NAME, without the newline of one-line files. The test fails when it is
// missing. Lives until the process ends.
const char *vector(const char *name);

// Keeps a heap text until the process ends, and returns it.
char *vector_keep(char *text);

// When the vectors were recorded: "now" for every check of theirs.
struct wall vector_now(void);

// A source that gives the same bytes in every run; each call starts it afresh.
const struct rng *vector_rng(void);

// Runs a shell command and returns what it printed, up to 8 KiB; the test fails when the command
// does.
const char *vector_run(const char *command);

#endif
