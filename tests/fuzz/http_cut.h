// One input of HTTP/1.1 messages, read whole and byte by byte: the same events, bounds kept. For
// the fuzzers of requests and of responses.
#ifndef TESTS_FUZZ_HTTP_CUT_H
#define TESTS_FUZZ_HTTP_CUT_H

#include <stdint.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/http/message.h"

// Makes the parser ready for a message, the first or the next.
typedef void http_cut_begin(struct http_parse *parse);

// What the messages of one input came to.
struct http_sum {
    unsigned heads, ends, broken;
    size_t body_bytes;
};

static inline struct http_sum http_cut_run(http_cut_begin *begin, const uint8_t *data, size_t size,
                                           size_t step)
{
    struct http_sum sum = {0};
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

static inline void http_cut(http_cut_begin *begin, const uint8_t *data, size_t size)
{
    struct http_sum whole = http_cut_run(begin, data, size, SIZE_MAX);
    struct http_sum cut = http_cut_run(begin, data, size, 1);
    CHECK(whole.heads == cut.heads);
    CHECK(whole.ends == cut.ends);
    CHECK(whole.broken == cut.broken);
}

#endif
