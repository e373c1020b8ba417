#include "agent/engine/shelves.h"

#include <malloc.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

struct shelves {
    size_t count;
    struct held {
        const struct noun *noun;
        struct shelf *shelf; // NULL: none
        struct mono used;
    } held[SHELVES_NOUNS_MAX];
};

struct shelves *shelves_new(void)
{
    return MEM_NEW(struct shelves);
}

void shelves_free(struct shelves *shelves)
{
    shelves_clear(shelves);
    free(shelves);
}

static struct held *held_of(struct shelves *shelves, const struct noun *noun)
{
    for (size_t i = 0; i < shelves->count; i++)
        if (shelves->held[i].noun == noun)
            return &shelves->held[i];
    CHECK(shelves->count < SHELVES_NOUNS_MAX);
    shelves->held[shelves->count].noun = noun;
    return &shelves->held[shelves->count++];
}

struct shelf *shelves_find(struct shelves *shelves, const struct noun *noun)
{
    return held_of(shelves, noun)->shelf;
}

void shelves_put(struct shelves *shelves, const struct noun *noun, struct shelf *shelf,
                 struct mono now)
{
    struct listing_mark mark = shelf_mark(shelf);
    if (mark.edit == 0 || shelf_bytes(shelf) > SHELVES_BYTES_MAX)
        return;
    struct held *held = held_of(shelves, noun);
    held->used = now;
    if (held->shelf) {
        struct listing_mark was = shelf_mark(held->shelf);
        if (was.store == mark.store && was.edit >= mark.edit)
            return;
    }
    shelf_ref(shelf);
    shelf_unref(held->shelf);
    held->shelf = shelf;
}

static void drop(struct held *held)
{
    shelf_unref(held->shelf);
    held->shelf = NULL;
}

bool shelves_age(struct shelves *shelves, struct mono now)
{
    bool any = false, dropped = false;
    for (size_t i = 0; i < shelves->count; i++) {
        struct held *held = &shelves->held[i];
        if (held->shelf && mono_since(now, held->used) >= SHELVES_HELD_MS * NS_PER_MS) {
            drop(held);
            dropped = true;
        }
        any = any || held->shelf;
    }
    if (dropped)
        malloc_trim(0); // thousands of small pieces: the heap keeps their pages otherwise
    return any;
}

void shelves_clear(struct shelves *shelves)
{
    for (size_t i = 0; i < shelves->count; i++)
        drop(&shelves->held[i]);
}
