// How often an address may show a wrong join token.
//
// Nobody guesses 128 bits; the limit keeps a guesser from costing log lines, arenas and commits
// that others wait for. An address past it is refused before its token is looked at, right or
// wrong, until its allowance has grown again.
#ifndef MANAGER_CA_GUESSES_H
#define MANAGER_CA_GUESSES_H

#include <stdbool.h>

#include "proto/base/clock.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

// Wrong tokens at once, how long until one more is forgiven, and how many addresses are remembered
// (the one that guessed longest ago gives way).
#define GUESSES_BURST         10
#define GUESSES_REFILL_NS     (2 * NS_PER_S)
#define GUESSES_ADDRESSES_MAX 4096

struct guesses {
    struct map addresses; // host text -> struct guess
    struct list recent;   // oldest first
};

void guesses_init(struct guesses *guesses);
void guesses_fini(struct guesses *guesses);

// False while the address has used up its allowance. `addr` is "ip:port"; the port does not count.
// "" (a local caller) is always allowed.
bool guesses_allow(struct guesses *guesses, const char *addr, struct mono now);

// A wrong token came from there.
void guesses_wrong(struct guesses *guesses, const char *addr, struct mono now);

#endif
