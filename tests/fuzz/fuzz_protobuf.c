// Any bytes as any message: the first two choose the type, the third how much memory there is. What
// decodes has to survive validation, encoding, decoding and copying.
#include <stddef.h>
#include <stdint.h>

#include "proto/base/check.h"
#include "proto/wire/registry.h"
#include "proto/wire/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Whole again after a trip over the wire and as a copy.
static void check_trip(const void *message, const wire_type *type, struct arena *arena)
{
    size_t packed_size;
    uint8_t *packed = wire_pack_arena(message, arena, &packed_size);
    CHECK(packed);
    struct wire_limits limits = WIRE_LIMITS_PEER;
    limits.nul_in_texts = true;
    void *back = wire_unpack(type, packed, packed_size, &limits, NULL, NULL);
    CHECK(back);
    CHECK(wire_equal(message, back));
    void *copy = wire_copy(back, NULL);
    wire_free(back);
    CHECK(wire_equal(copy, message));
    wire_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    const wire_type *type = registry_types[(size_t)(data[0] << 8 | data[1]) % registry_count];
    // Small arenas try every place where memory can end.
    struct arena arena, tight;
    arena_init(&arena, (size_t)64 << 20);
    arena_init(&tight, (size_t)data[2] * 64);
    struct wire_limits limits = WIRE_LIMITS_RPC;
    wire_unpack(type, data + 3, size - 3, &limits, &tight, NULL);
    limits.nul_in_texts = data[2] & 1;
    const void *message = wire_unpack(type, data + 3, size - 3, &limits, &arena, NULL);
    if (message) {
        validate_message(message, NULL);
        check_trip(message, type, &arena);
    }
    arena_fini(&tight);
    arena_fini(&arena);
    return 0;
}
