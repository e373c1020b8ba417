// HTTP/1.1 responses from anybody.
#include "tests/fuzz/http_cut.h"

static void begin(struct http_parse *parse)
{
    http_parse_response(parse, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    http_cut(begin, data, size);
    return 0;
}
