#include "manager/ca/guesses.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"

struct guess {
    struct list link;
    struct mono forgiven; // when all of it is forgiven
    size_t host_size;
    char host[];
};

void guesses_init(struct guesses *guesses)
{
    map_init(&guesses->addresses);
    list_init(&guesses->recent);
}

static void drop(struct guesses *guesses, struct guess *guess)
{
    map_remove(&guesses->addresses, guess->host, guess->host_size);
    list_remove(&guess->link);
    free(guess);
}

void guesses_fini(struct guesses *guesses)
{
    while (!list_empty(&guesses->recent))
        drop(guesses, LIST_ENTRY(guesses->recent.next, struct guess, link));
    map_fini(&guesses->addresses);
}

static size_t host_size(const char *addr)
{
    const char *colon = strrchr(addr, ':');
    return colon ? (size_t)(colon - addr) : strlen(addr);
}

// The allowance as a moment: each wrong token moves it GUESSES_REFILL_NS further into the future,
// and it may lie GUESSES_BURST of those ahead.
bool guesses_allow(struct guesses *guesses, const char *addr, struct mono now)
{
    const struct guess *guess = map_get(&guesses->addresses, addr, host_size(addr));
    if (str_empty(addr) || !guess)
        return true;
    return mono_since(guess->forgiven, now) <= (GUESSES_BURST - 1) * GUESSES_REFILL_NS;
}

void guesses_wrong(struct guesses *guesses, const char *addr, struct mono now)
{
    size_t size = host_size(addr);
    if (str_empty(addr))
        return;
    struct guess *guess = map_get(&guesses->addresses, addr, size);
    if (!guess) {
        if (map_count(&guesses->addresses) >= GUESSES_ADDRESSES_MAX)
            drop(guesses, LIST_ENTRY(guesses->recent.next, struct guess, link));
        guess = mem_alloc(sizeof *guess + size);
        guess->host_size = size;
        memcpy(guess->host, addr, size);
        list_init(&guess->link);
        map_put(&guesses->addresses, guess->host, size, guess);
    }
    if (mono_before(guess->forgiven, now))
        guess->forgiven = now;
    guess->forgiven = mono_add(guess->forgiven, GUESSES_REFILL_NS);
    list_remove(&guess->link);
    list_push_back(&guesses->recent, &guess->link);
}
