// HTTP/1.1 messages: an incremental parser for requests and responses with limits of our own, and
// the writing of heads and chunks. Bytes in, events out.
#ifndef PROTO_HTTP_MESSAGE_H
#define PROTO_HTTP_MESSAGE_H

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define HTTP_TARGET_BYTES_MAX (32 * 1024)
#define HTTP_HEAD_BYTES_MAX   (64 * 1024) // start line and headers
#define HTTP_HEADERS_MAX      128

// Most bytes of the framing of chunks (sizes, extensions, trailers) in one message.
#define HTTP_FRAMING_BYTES_MAX (1024 * 1024)

struct http_header {
    const char *name;
    const char *value;
};

// The head of a message. The texts live as long as the parser holds the message.
struct http_head {
    const char *method; // requests: "GET"
    const char *target; // requests
    int status;         // responses
    const char *reason; // responses
    int minor;          // HTTP/1.<minor>
    bool keep_alive;    // the connection may carry another message afterwards
    bool upgrade;       // asks for (or grants, 101) another protocol
    bool chunked;
    bool has_body;          // the framing says that a body follows
    int64_t content_length; // -1: not given
    size_t headers_count;
    struct http_header headers[];
};

// The first value of the header (any case), or NULL.
const char *http_head_get(const struct http_head *head, const char *name);

// True when the comma-separated header holds the token (any case).
bool http_head_has_token(const struct http_head *head, const char *name, const char *token);

enum http_event {
    HTTP_EVENT_NEED_MORE, // all bytes were used, more are needed
    HTTP_EVENT_HEAD,      // the head is complete: http_parse_head
    HTTP_EVENT_BODY,      // a piece of the body: *body, borrowed from the bytes fed
    HTTP_EVENT_END,       // the message is complete
    HTTP_EVENT_BROKEN,    // *err says why; parse->refusal is the status to answer a request with
};

struct http_parse {
    http_parser parser;
    http_parser_settings settings;
    bool is_response;
    bool response_to_head; // the answer to HEAD has no body, whatever it says
    bool in_value;         // the last header byte belonged to a value
    bool have_head;
    bool ended;
    int refusal; // 400, 414, 431 ...
    size_t head_bytes;
    size_t framing_bytes;
    struct buf text; // method, target and headers, NUL-terminated each
    size_t target_bytes;
    size_t reason_at;
    size_t headers_count;
    struct http_head *head;
    enum http_event event; // what a callback of http-parser saw
    const uint8_t *body;
    size_t body_size;
    uint32_t headers_at[HTTP_HEADERS_MAX][2]; // in `text`: name and value; last, see init
};

// Ready for a message. http_parse_fini gives its memory back; it may be initialised again.
void http_parse_request(struct http_parse *parse);
void http_parse_response(struct http_parse *parse, bool to_head);
void http_parse_fini(struct http_parse *parse);

// Looks at the next bytes: *used of them were taken, and one event is reported. The caller goes on
// with the rest until HTTP_EVENT_NEED_MORE. After HTTP_EVENT_END the rest belongs to the next
// message or, with head->upgrade, to the other protocol. `size` 0 tells the end of the stream,
// which ends a response whose length nobody said and breaks every other message.
enum http_event http_parse_step(struct http_parse *parse, const void *bytes, size_t size,
                                size_t *used, struct err *err);

// The head; valid from HTTP_EVENT_HEAD until http_parse_fini.
const struct http_head *http_parse_head(const struct http_parse *parse);

// The piece of HTTP_EVENT_BODY.
const uint8_t *http_parse_body(const struct http_parse *parse, size_t *size);

// ---- writing -----------------------------------------------------------------------------------

// "Not Found" for 404; "" for numbers nobody defined.
const char *http_reason(int status);

// Token characters only, and no CR, LF or NUL in values: what a header may consist of.
bool http_header_valid(const char *name, const char *value);

void http_put_status(struct buf *out, int status);
void http_put_request(struct buf *out, const char *method, const char *target);
void http_put_header(struct buf *out, const char *name, const char *value); // valid, see above
void http_put_length(struct buf *out, uint64_t size);                       // Content-Length
void http_put_head_end(struct buf *out);

// One chunk of the chunked coding (size at least 1), and the end of such a body.
void http_put_chunk(struct buf *out, const void *bytes, size_t size);
void http_put_last_chunk(struct buf *out);

#endif
