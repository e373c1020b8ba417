// HTTP/1.1 requests from anybody: the same events however the bytes are cut, bounds kept.
#include <stdint.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/http/message.h"

// What the messages of one input came to.
struct sum {
    unsigned heads, ends, broken;
    size_t body_bytes;
};

static void begin(struct http_parse *parse)
{
    http_parse_request(parse);
}

static struct sum run(const uint8_t *data, size_t size, size_t step)
{
    struct sum sum = {0};
    struct http_parse parse;
    begin(&parse);
    for (size_t at = 0; at < size && !sum.broken;) {
        size_t end = size - at > step ? at + step : size;
        while (at < end && !sum.broken) {
            size_t used, body_size;
            enum http_event event = http_parse_step(&parse, data + at, end - at, &used, NULL);
            CHECK(used <= end - at);
            at += used;
            if (event == HTTP_EVENT_HEAD)
                sum.heads++;
            if (event == HTTP_EVENT_BODY) {
                http_parse_body(&parse, &body_size);
                sum.body_bytes += body_size;
            }
            sum.broken += event == HTTP_EVENT_BROKEN;
            if (event == HTTP_EVENT_END) {
                CHECK(http_parse_head(&parse)->headers_count <= HTTP_HEADERS_MAX);
                sum.ends++;
                http_parse_fini(&parse);
                begin(&parse);
            }
        }
    }
    http_parse_fini(&parse);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sum whole = run(data, size, SIZE_MAX);
    struct sum cut = run(data, size, 1);
    CHECK(whole.heads == cut.heads);
    CHECK(whole.ends == cut.ends);
    CHECK(whole.broken == cut.broken);
    return 0;
}
