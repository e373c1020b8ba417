// JSON from anybody: refused, or a value that is written again and read back as the same value.
#include <stdint.h>
#include <stdlib.h>

#include "proto/base/json.h"

#define TEXT_BYTES_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536)
        return 0;
    json_t *value = json_parse(data, size, NULL);
    if (!value)
        return 0;
    struct buf text;
    struct json_out out;
    buf_init(&text, TEXT_BYTES_MAX);
    json_out_init(&out, &text);
    json_out_value(&out, NULL, value);
    if (!json_out_done(&out))
        abort();
    json_t *again = json_parse(text.data, text.len, NULL);
    if (!again || !json_equal(value, again))
        abort();
    json_decref(again);
    json_decref(value);
    buf_fini(&text);
    return 0;
}
