#include "proto/base/entropy_io.h"

#include <errno.h>
#include <sys/random.h>

#include "proto/base/check.h"

void entropy_bytes(void *out, size_t size)
{
    unsigned char *at = out;
    while (size) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        CHECK(got > 0);
        at += got;
        size -= (size_t)got;
    }
}

struct id entropy_id(void)
{
    unsigned char random[ID_RANDOM_BYTES];
    entropy_bytes(random, sizeof random);
    return id_from_random(random);
}

void entropy_seed(struct rand *rand)
{
    uint64_t seed;
    entropy_bytes(&seed, sizeof seed);
    rand_init(rand, seed);
}
