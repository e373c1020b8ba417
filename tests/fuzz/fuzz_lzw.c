// Any bytes as compressed ones; and what they give, or else they themselves, compress and come
// back.
#include <stdint.h>
#include <string.h>

#include "agent/gossip/lzw.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PLAIN_BYTES_MAX (1 << 20)

static void round_trip(const uint8_t *bytes, size_t size)
{
    struct buf packed, plain;
    buf_init(&packed, 2 * size + 64);
    buf_init(&plain, size);
    lzw_compress(bytes, size, &packed);
    CHECK(buf_ok(&packed));
    int result = lzw_decompress(packed.data, packed.len, &plain, NULL);
    CHECK(result == 0);
    CHECK(plain.len == size);
    CHECK(size == 0 || memcmp(plain.data, bytes, size) == 0);
    buf_fini(&packed);
    buf_fini(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf plain;
    buf_init(&plain, PLAIN_BYTES_MAX);
    if (lzw_decompress(data, size, &plain, NULL) == 0)
        round_trip(plain.data, plain.len);
    round_trip(data, size);
    CHECK(plain.cap <= PLAIN_BYTES_MAX);
    buf_fini(&plain);
    return 0;
}
