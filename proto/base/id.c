#include "proto/base/id.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/codec.h"

// 17 bytes with the top bit set have 27 base-36 digits or, rarely for other sizes, fewer: 2^135 is
// above 36^26, so 27 digits always.
#define ID_DIGITS 27

struct id id_from_random(const unsigned char random[ID_RANDOM_BYTES])
{
    unsigned char bytes[ID_RANDOM_BYTES];
    memcpy(bytes, random, sizeof bytes);
    bytes[0] |= 0x80;
    char digits[ID_DIGITS + 1];
    bool fits = base36_encode(bytes, sizeof bytes, digits, ID_DIGITS);
    CHECK(fits);
    CHECK(digits[0] != '0');
    struct id id;
    memcpy(id.text, digits + 1, ID_CHARS);
    id.text[ID_CHARS] = '\0';
    return id;
}

struct id id_from_rand(struct rand *rand)
{
    unsigned char random[ID_RANDOM_BYTES];
    rand_bytes(rand, random, sizeof random);
    return id_from_random(random);
}

bool id_valid(const char *text)
{
    return strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz") == ID_CHARS &&
           text[ID_CHARS] == '\0';
}
