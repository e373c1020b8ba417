// What the node process may charge its manager process with: whatever is taken is written again as
// something that reads the same.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skepd/charge.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct charge charge, again;
    struct err err = ERR_INIT;
    if (charge_parse(data, size, &charge, &err) != 0) {
        CHECK(err.code == ERR_INVALID_ARGUMENT);
        return 0;
    }
    CHECK(charge.joins_count <= CHARGE_JOINS_MAX);
    struct buf first, second;
    buf_init(&first, 8 * size + 8 * CHARGE_CLUSTER_BYTES_MAX);
    buf_init(&second, 8 * size + 8 * CHARGE_CLUSTER_BYTES_MAX);
    charge_pack(&charge, &first);
    CHECK(buf_ok(&first));
    CHECK(charge_parse(first.data, first.len, &again, &err) == 0);
    charge_pack(&again, &second);
    CHECK(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    charge_fini(&charge);
    charge_fini(&again);
    buf_wipe(&first);
    buf_wipe(&second);
    return 0;
}
