// Messages byte by byte and in one piece, and each limit at its edge.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http/message.h"

// Everything one message gave, in the words of the events.
struct result {
    int heads, ends;
    bool broken;
    int refusal;
    struct buf body;
    size_t used; // up to the end of the message
    struct err err;
};

static struct http_parse parse;

static struct result run(const char *bytes, size_t size, size_t step, bool eof)
{
    struct result result = {0};
    buf_init(&result.body, 1 << 24);
    size_t at = 0;
    while (at < size && !result.ends) {
        size_t end = at + step < size ? at + step : size;
        while (at < end && !result.ends) {
            size_t used, body_size;
            enum http_event event =
                http_parse_step(&parse, bytes + at, end - at, &used, &result.err);
            at += used;
            if (event == HTTP_EVENT_HEAD) {
                result.heads++;
            } else if (event == HTTP_EVENT_BODY) {
                const uint8_t *body = http_parse_body(&parse, &body_size);
                buf_put(&result.body, body, body_size);
            } else if (event == HTTP_EVENT_END) {
                result.ends++;
            } else if (event == HTTP_EVENT_BROKEN) {
                result.broken = true;
                result.refusal = parse.refusal;
                return result;
            }
        }
    }
    size_t used;
    if (eof && http_parse_step(&parse, "", 0, &used, &result.err) == HTTP_EVENT_END)
        result.ends = 1;
    result.used = at;
    return result;
}

static struct result request(const char *text, size_t step)
{
    http_parse_request(&parse);
    return run(text, strlen(text), step, false);
}

static void done(struct result *result)
{
    buf_fini(&result->body);
    http_parse_fini(&parse);
}

static const size_t steps[] = {1, 2, 3, 7, 10000};

START_TEST(request_with_length_is_read_in_any_cut)
{
    struct result r = request("POST /a?b=1 HTTP/1.1\r\nHost: x\r\nEmpty:\r\nX-Long: one\r\n"
                              "Content-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n",
                              steps[_i]);
    ck_assert_int_eq(r.heads, 1);
    ck_assert_int_eq(r.ends, 1);
    ck_assert_uint_eq(r.used, 78);
    ck_assert_uint_eq(r.body.len, 5);
    ck_assert_mem_eq(r.body.data, "hello", 5);
    const struct http_head *head = http_parse_head(&parse);
    ck_assert_str_eq(head->method, "POST");
    ck_assert_str_eq(head->target, "/a?b=1");
    ck_assert_int_eq(head->content_length, 5);
    ck_assert(head->keep_alive);
    ck_assert_str_eq(http_head_get(head, "host"), "x");
    ck_assert_str_eq(http_head_get(head, "EMPTY"), "");
    ck_assert_str_eq(http_head_get(head, "X-Long"), "one");
    ck_assert_ptr_null(http_head_get(head, "X-Absent"));
    done(&r);
}
END_TEST

START_TEST(chunks_are_put_together_in_any_cut)
{
    struct result r = request("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n",
                              steps[_i]);
    ck_assert_int_eq(r.ends, 1);
    ck_assert_uint_eq(r.body.len, 11);
    ck_assert_mem_eq(r.body.data, "hello world", 11);
    ck_assert(http_parse_head(&parse)->chunked);
    done(&r);
}
END_TEST

START_TEST(upgrade_leaves_the_rest_alone)
{
    struct result r = request("POST /attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                              "Upgrade: tcp\r\n\r\n\x01\x02raw",
                              steps[_i]);
    ck_assert_int_eq(r.ends, 1);
    ck_assert_uint_eq(r.used, 69);
    ck_assert(http_parse_head(&parse)->upgrade);
    ck_assert(http_head_has_token(http_parse_head(&parse), "connection", "upgrade"));
    done(&r);
}
END_TEST

static const struct {
    const char *text;
    bool to_head;
    const char *body;
} responses[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, "hi"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false, "hi"},
    {"HTTP/1.0 200 OK\r\n\r\nuntil the end", false, "until the end"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", true, ""},
    {"HTTP/1.1 204 No Content\r\n\r\n", false, ""},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", false, ""},
};

START_TEST(responses_end_where_they_say)
{
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        http_parse_response(&parse, responses[_i].to_head);
        struct result r = run(responses[_i].text, strlen(responses[_i].text), steps[i], true);
        ck_assert_msg(r.ends == 1 && !r.broken, "step %zu: %s", steps[i], r.err.message);
        ck_assert_uint_eq(r.body.len, strlen(responses[_i].body));
        if (r.body.len)
            ck_assert_mem_eq(r.body.data, responses[_i].body, r.body.len);
        done(&r);
    }
}
END_TEST

static const struct {
    const char *text;
    int refusal;
} bad[] = {
    {"GET\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nBroken header\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nSpace : x\r\n\r\n", 400},
    {"\x16\x03\x01\x02\x00\x01", 400},
    // What lets one request be taken for two by someone else on the way.
    {"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
    {"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\nhello", 400},
    {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\nhello", 400},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
};

START_TEST(malformed_requests_are_refused_in_any_cut)
{
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct result r = request(bad[_i].text, steps[i]);
        ck_assert_msg(r.broken, "step %zu", steps[i]);
        ck_assert_int_eq(r.refusal, bad[_i].refusal);
        done(&r);
    }
}
END_TEST

// One request with `count` headers whose head is filled up to `bytes`.
static struct result sized(size_t count, size_t target_bytes, size_t bytes)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_put_str(&text, "GET /");
    for (size_t i = 1; i < target_bytes; i++)
        buf_put_u8(&text, 'a');
    buf_put_str(&text, " HTTP/1.1\r\n");
    for (size_t i = 0; i < count; i++)
        buf_put_str(&text, "A: b\r\n");
    if (bytes > text.len + 7) {
        buf_put_str(&text, "F: ");
        while (text.len < bytes - 4)
            buf_put_u8(&text, 'x');
        buf_put_str(&text, "\r\n");
    }
    buf_put_str(&text, "\r\n");
    http_parse_request(&parse);
    struct result r = run((const char *)text.data, text.len, 4096, false);
    buf_fini(&text);
    return r;
}

START_TEST(head_limits_hold_at_their_edges)
{
    struct result r = sized(HTTP_HEADERS_MAX, 1, 0);
    ck_assert(!r.broken);
    done(&r);
    r = sized(HTTP_HEADERS_MAX + 1, 1, 0);
    ck_assert_int_eq(r.refusal, 431);
    done(&r);
    r = sized(0, HTTP_TARGET_BYTES_MAX, 0);
    ck_assert(!r.broken);
    done(&r);
    r = sized(0, HTTP_TARGET_BYTES_MAX + 1, 0);
    ck_assert_int_eq(r.refusal, 414);
    done(&r);
    r = sized(0, 1, HTTP_HEAD_BYTES_MAX);
    ck_assert(!r.broken);
    done(&r);
    r = sized(0, 1, HTTP_HEAD_BYTES_MAX + 2);
    ck_assert_int_eq(r.refusal, 431);
    done(&r);
}
END_TEST

START_TEST(endless_framing_is_refused)
{
    struct buf text;
    buf_init(&text, 4 << 20);
    buf_put_str(&text, "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (text.len < (2 << 20))
        buf_put_str(&text, "1;an-extension-that-is-longer-than-what-it-extends=1\r\nx\r\n");
    http_parse_request(&parse);
    struct result r = run((const char *)text.data, text.len, 4096, false);
    ck_assert(r.broken);
    ck_assert_int_eq(r.refusal, 400);
    done(&r);
    buf_fini(&text);
}
END_TEST

START_TEST(headers_cannot_be_smuggled_into_answers)
{
    ck_assert(http_header_valid("X-A", "b c"));
    ck_assert(!http_header_valid("X-A", "b\r\nSet-Cookie: c"));
    ck_assert(!http_header_valid("X A", "b"));
    ck_assert(!http_header_valid("", "b"));
    ck_assert_str_eq(http_reason(404), "Not Found");
    ck_assert_str_eq(http_reason(799), "");
}
END_TEST

Suite *suite_message(void);
Suite *suite_message(void)
{
    Suite *suite = suite_create("message");
    TCase *tcase = tcase_create("parsing");
    int cuts = sizeof steps / sizeof steps[0];
    tcase_add_loop_test(tcase, request_with_length_is_read_in_any_cut, 0, cuts);
    tcase_add_loop_test(tcase, chunks_are_put_together_in_any_cut, 0, cuts);
    tcase_add_loop_test(tcase, upgrade_leaves_the_rest_alone, 0, cuts);
    tcase_add_loop_test(tcase, responses_end_where_they_say, 0,
                        sizeof responses / sizeof responses[0]);
    tcase_add_loop_test(tcase, malformed_requests_are_refused_in_any_cut, 0,
                        sizeof bad / sizeof bad[0]);
    tcase_add_test(tcase, head_limits_hold_at_their_edges);
    tcase_add_test(tcase, endless_framing_is_refused);
    tcase_add_test(tcase, headers_cannot_be_smuggled_into_answers);
    suite_add_tcase(suite, tcase);
    return suite;
}
