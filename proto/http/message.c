#include "proto/http/message.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

const char *http_head_get(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->headers_count; i++)
        if (strcasecmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    return NULL;
}

bool http_head_has_token(const struct http_head *head, const char *name, const char *token)
{
    for (size_t i = 0; i < head->headers_count; i++) {
        if (strcasecmp(head->headers[i].name, name) != 0)
            continue;
        const char *rest = head->headers[i].value;
        for (struct str_part part; str_split(&rest, ',', &part);) {
            part = str_trim(part);
            if (part.len == strlen(token) && strncasecmp(part.at, token, part.len) == 0)
                return true;
        }
    }
    return false;
}

// ---- http-parser's callbacks -------------------------------------------------------------------
// Each notes what it saw; those that stand for an event pause the parser, so that one step is one
// event.

static struct http_parse *parse_of(http_parser *parser)
{
    return CONTAINER_OF(parser, struct http_parse, parser);
}

static int refuse(struct http_parse *parse, int status)
{
    parse->refusal = status;
    return 1; // http-parser stops with an error
}

static int take_text(struct http_parse *parse, const char *at, size_t size)
{
    // A NUL would end the C text before the header does.
    if (memchr(at, '\0', size))
        return refuse(parse, 400);
    buf_put(&parse->text, at, size);
    return buf_ok(&parse->text) ? 0 : refuse(parse, 431);
}

static int on_url(http_parser *parser, const char *at, size_t size)
{
    struct http_parse *parse = parse_of(parser);
    parse->target_bytes += size;
    if (parse->target_bytes > HTTP_TARGET_BYTES_MAX)
        return refuse(parse, 414);
    return take_text(parse, at, size);
}

static int on_status(http_parser *parser, const char *at, size_t size)
{
    return take_text(parse_of(parser), at, size);
}

static int on_field(http_parser *parser, const char *at, size_t size)
{
    struct http_parse *parse = parse_of(parser);
    if (parse->have_head)
        return 0; // a trailer: counted as framing, otherwise ignored
    if (parse->headers_count == 0 || parse->in_value) {
        if (parse->headers_count == HTTP_HEADERS_MAX)
            return refuse(parse, 431);
        buf_put_u8(&parse->text, 0);
        parse->in_value = false;
        parse->headers_at[parse->headers_count][0] = (uint32_t)parse->text.len;
        parse->headers_at[parse->headers_count][1] = 0;
        parse->headers_count++;
    }
    return take_text(parse, at, size);
}

static int on_value(http_parser *parser, const char *at, size_t size)
{
    struct http_parse *parse = parse_of(parser);
    if (parse->have_head)
        return 0;
    if (!parse->in_value) {
        buf_put_u8(&parse->text, 0);
        parse->in_value = true;
        parse->headers_at[parse->headers_count - 1][1] = (uint32_t)parse->text.len;
    }
    return take_text(parse, at, size);
}

static int on_head(http_parser *parser)
{
    struct http_parse *parse = parse_of(parser);
    buf_put_u8(&parse->text, 0);
    if (!buf_ok(&parse->text)) {
        parse->refusal = 431;
        return 3; // 0, 1 and 2 mean something else here
    }
    struct http_head *head =
        mem_alloc(sizeof *head + parse->headers_count * sizeof head->headers[0]);
    const char *text = (const char *)parse->text.data;
    parse->head = head;
    parse->have_head = true;
    head->minor = parser->http_minor;
    head->chunked = (parser->flags & F_CHUNKED) != 0;
    head->content_length = parser->flags & F_CONTENTLENGTH && parser->content_length <= INT64_MAX
                               ? (int64_t)parser->content_length
                               : -1;
    head->keep_alive = http_should_keep_alive(parser);
    head->upgrade = parser->upgrade;
    if (parse->is_response) {
        head->status = parser->status_code;
        head->reason = text;
        head->has_body = !parse->response_to_head && head->status >= 200 && head->status != 204 &&
                         head->status != 304 && head->content_length != 0;
    } else {
        head->method = http_method_str(parser->method);
        head->target = text;
        head->has_body = head->chunked || head->content_length > 0;
    }
    for (size_t i = 0; i < parse->headers_count; i++) {
        head->headers[i].name = text + parse->headers_at[i][0];
        // A header without a value never calls on_value with bytes.
        head->headers[i].value = parse->headers_at[i][1] ? text + parse->headers_at[i][1] : "";
    }
    head->headers_count = parse->headers_count;
    // Debian's http-parser lets blanks into names; proxies differ on what such a header means.
    for (size_t i = 0; i < head->headers_count; i++)
        if (!http_header_valid(head->headers[i].name, head->headers[i].value))
            return 3;
    parse->event = HTTP_EVENT_HEAD;
    http_parser_pause(parser, 1);
    bool bodiless = parse->is_response && !head->has_body && head->content_length != 0;
    return bodiless ? 1 : 0; // 1: http-parser's way to say that no body follows
}

static int on_body(http_parser *parser, const char *at, size_t size)
{
    struct http_parse *parse = parse_of(parser);
    parse->body = (const uint8_t *)at;
    parse->body_size = size;
    parse->event = HTTP_EVENT_BODY;
    http_parser_pause(parser, 1);
    return 0;
}

static int on_end(http_parser *parser)
{
    struct http_parse *parse = parse_of(parser);
    parse->ended = true;
    http_parser_pause(parser, 1);
    return 0;
}

// ---- steps -------------------------------------------------------------------------------------

static void init(struct http_parse *parse, enum http_parser_type type)
{
    // Each message begins here: two numbers for each of the headers that it may have stay as they
    // are.
    memset(parse, 0, offsetof(struct http_parse, headers_at));
    parse->is_response = type == HTTP_RESPONSE;
    parse->refusal = 400;
    http_parser_init(&parse->parser, type);
    http_parser_settings_init(&parse->settings);
    parse->settings.on_url = on_url;
    parse->settings.on_status = on_status;
    parse->settings.on_header_field = on_field;
    parse->settings.on_header_value = on_value;
    parse->settings.on_headers_complete = on_head;
    parse->settings.on_body = on_body;
    parse->settings.on_message_complete = on_end;
    buf_init(&parse->text, HTTP_HEAD_BYTES_MAX + HTTP_HEADERS_MAX * 2 + 1);
}

void http_parse_request(struct http_parse *parse)
{
    init(parse, HTTP_REQUEST);
}

void http_parse_response(struct http_parse *parse, bool to_head)
{
    init(parse, HTTP_RESPONSE);
    parse->response_to_head = to_head;
}

void http_parse_fini(struct http_parse *parse)
{
    buf_fini(&parse->text);
    MEM_FREE(parse->head);
}

static enum http_event broken(struct http_parse *parse, struct err *err)
{
    enum http_errno number = HTTP_PARSER_ERRNO(&parse->parser);
    if (number == HPE_HEADER_OVERFLOW)
        parse->refusal = 431;
    if (parse->refusal == 414)
        err_set(err, ERR_RESOURCE_EXHAUSTED, "request target longer than %d bytes",
                HTTP_TARGET_BYTES_MAX);
    else if (parse->refusal == 431)
        err_set(err, ERR_RESOURCE_EXHAUSTED, "header fields too large");
    else if (number == HPE_OK || number == HPE_INVALID_EOF_STATE)
        err_set(err, ERR_UNAVAILABLE, "the stream ended within a message");
    else
        err_set(err, ERR_INVALID_ARGUMENT, "malformed HTTP: %s", http_errno_description(number));
    return HTTP_EVENT_BROKEN;
}

// Counts what is neither body nor, once it was reported, head.
static bool count(struct http_parse *parse, size_t used)
{
    // http-parser leaves the last byte of a body to the next step, so the piece may be longer than
    // what it says it used.
    size_t payload = parse->event == HTTP_EVENT_BODY ? parse->body_size : 0;
    size_t *bytes = parse->have_head && parse->event != HTTP_EVENT_HEAD ? &parse->framing_bytes
                                                                        : &parse->head_bytes;
    *bytes += used > payload ? used - payload : 0;
    if (parse->head_bytes <= HTTP_HEAD_BYTES_MAX && parse->framing_bytes <= HTTP_FRAMING_BYTES_MAX)
        return true;
    parse->refusal = parse->head_bytes > HTTP_HEAD_BYTES_MAX ? 431 : 400;
    return false;
}

enum http_event http_parse_step(struct http_parse *parse, const void *bytes, size_t size,
                                size_t *used, struct err *err)
{
    *used = 0;
    if (parse->ended)
        return HTTP_EVENT_END;
    parse->event = HTTP_EVENT_NEED_MORE;
    http_parser_pause(&parse->parser, 0);
    *used = http_parser_execute(&parse->parser, &parse->settings, bytes, size);
    enum http_errno number = HTTP_PARSER_ERRNO(&parse->parser);
    if (number != HPE_OK && number != HPE_PAUSED)
        return broken(parse, err);
    if (*used > size) // the end of the stream is reported as one byte
        *used = size;
    if (!count(parse, *used))
        return broken(parse, err);
    // The end may be noticed in the same step as the last piece; the next step tells it.
    if (parse->event == HTTP_EVENT_NEED_MORE && parse->ended)
        return HTTP_EVENT_END;
    if (parse->event == HTTP_EVENT_NEED_MORE && size == 0)
        return broken(parse, err);
    return parse->event;
}

const struct http_head *http_parse_head(const struct http_parse *parse)
{
    CHECK(parse->head);
    return parse->head;
}

const uint8_t *http_parse_body(const struct http_parse *parse, size_t *size)
{
    *size = parse->body_size;
    return parse->body;
}

// ---- writing -----------------------------------------------------------------------------------

const char *http_reason(int status)
{
    switch (status) {
#define X(number, name, text)                                                                      \
    case number:                                                                                   \
        return #text;
        HTTP_STATUS_MAP(X)
#undef X
    }
    return "";
}

// RFC 9110 section 5.6.2.
static bool is_token(unsigned char c)
{
    // A bit per character from 0 on; strspn builds such a table anew at every call.
    static const uint64_t bits[2] = {
        UINT64_C(0x03ff6cfa00000000), // !#$%&'*+-. and digits
        UINT64_C(0x57ffffffc7fffffe), // letters, ^_`|~
    };
    return c < 128 && (bits[c / 64] >> c % 64 & 1) != 0;
}

bool http_header_valid(const char *name, const char *value)
{
    if (!*name)
        return false;
    for (; *name; name++)
        if (!is_token((unsigned char)*name))
            return false;
    for (; *value; value++)
        if (*value == '\r' || *value == '\n')
            return false;
    return true;
}

// printf takes several times as long for the few parts of a head.
static void put_number(struct buf *out, uint64_t value)
{
    char text[20];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    buf_put(out, text + at, sizeof text - at);
}

void http_put_status(struct buf *out, int status)
{
    CHECK(status >= 100);
    buf_put_str(out, "HTTP/1.1 ");
    put_number(out, (uint64_t)status);
    buf_put_u8(out, ' ');
    buf_put_str(out, http_reason(status));
    buf_put(out, "\r\n", 2);
}

void http_put_request(struct buf *out, const char *method, const char *target)
{
    buf_printf(out, "%s %s HTTP/1.1\r\n", method, target);
}

void http_put_header(struct buf *out, const char *name, const char *value)
{
    CHECK(http_header_valid(name, value));
    buf_put_str(out, name);
    buf_put(out, ": ", 2);
    buf_put_str(out, value);
    buf_put(out, "\r\n", 2);
}

void http_put_length(struct buf *out, uint64_t size)
{
    buf_put_str(out, "Content-Length: ");
    put_number(out, size);
    buf_put(out, "\r\n", 2);
}

void http_put_head_end(struct buf *out)
{
    buf_put(out, "\r\n", 2);
}

void http_put_chunk(struct buf *out, const void *bytes, size_t size)
{
    CHECK(size > 0);
    buf_printf(out, "%zx\r\n", size);
    buf_put(out, bytes, size);
    buf_put(out, "\r\n", 2);
}

void http_put_last_chunk(struct buf *out)
{
    buf_put_str(out, "0\r\n\r\n");
}
