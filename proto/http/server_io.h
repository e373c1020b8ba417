// An HTTP/1.1 server on one loop: it reads requests within limits, finds the route, hands the
// request to its handler as an exchange, and writes what the handler answers.
//
// A handler may answer at once or keep the exchange and answer later, in one piece or as a stream,
// or take the connection over (hijack). One exchange is under way per connection; requests sent
// ahead wait, within HTTP_AHEAD_BYTES_MAX.
#ifndef PROTO_HTTP_SERVER_IO_H
#define PROTO_HTTP_SERVER_IO_H

#include "proto/base/arena.h"
#include "proto/http/message.h"
#include "proto/http/router.h"
#include "proto/http/url.h"
#include "proto/net/conn_io.h"
#include "proto/net/listener_io.h"

#define HTTP_BODY_BYTES_MAX     (4 * 1024 * 1024)  // a body collected for a handler
#define HTTP_AHEAD_BYTES_MAX    (64 * 1024)        // bytes of requests sent ahead of their turn
#define HTTP_EXCHANGE_BYTES_MAX (16 * 1024 * 1024) // the exchange's arena, answer not included
#define HTTP_REPLY_HEADERS_MAX  16
#define HTTP_FIRST_MS           9000   // accept to the first byte, on TCP
#define HTTP_HEAD_MS            10000  // first byte to the end of the head
#define HTTP_BODY_IDLE_MS       30000  // between two pieces of a body
#define HTTP_KEEP_ALIVE_MS      300000 // between two requests
#define HTTP_WRITE_IDLE_MS      120000 // a client that takes nothing of its answer

struct http_exchange;
struct http_server;

// What the keeper of an exchange hears while it is under way. All may be NULL.
struct http_events {
    // Streamed request bodies only.
    void (*on_body)(struct http_exchange *x, void *owner, const uint8_t *bytes, size_t size);
    void (*on_body_end)(struct http_exchange *x, void *owner);
    // http_reply_room has become positive again.
    void (*on_drain)(struct http_exchange *x, void *owner);
    // The exchange is over: answered and sent off, or the client is gone (`gone`). The last call; x
    // and its arena are freed after it. It always comes, once, also when the handler answered at
    // once.
    void (*on_done)(struct http_exchange *x, void *owner, bool gone);
};

struct http_handler {
    void (*handle)(struct http_exchange *x, void *context);
    bool streams_body; // called at the head, the body comes by on_body; else called with the body
    size_t body_bytes_max; // of a collected or streamed body; 0: HTTP_BODY_BYTES_MAX
};

struct http_server_options {
    const struct route *routes; // target: const struct http_handler *
    size_t routes_count;
    void *context;                     // for every handler
    const struct http_header *headers; // put on every answer
    size_t headers_count;
    int64_t head_ms; // 0: HTTP_HEAD_MS
    // Called for requests no route fits (404, 405); answers them. NULL: a plain text answer.
    void (*unrouted)(struct http_exchange *x, int status, void *context);
    // Called for what cannot be taken (a head that cannot be read, a body that is too large) before
    // its connection is closed; answers it. NULL: a plain text answer.
    void (*refused)(struct http_exchange *x, int status, const char *why, void *context);
    // Called before the route is looked for, with the version of "/v1.NN" (NULL: none); false when
    // it has answered itself. NULL: every request goes on.
    bool (*admit)(struct http_exchange *x, const char *version, void *context);
};

struct http_server *http_server_new(struct loop *loop, const struct http_server_options *options);

// Serves a connection just accepted (from a listener's on_accept; `conn` must be open).
void http_server_take(struct http_server *server, struct conn *conn);

// Closes idle connections at once and others after their exchange, at the latest after `grace_ms`;
// then `stopped` runs and the server is freed.
void http_server_stop(struct http_server *server, int64_t grace_ms, void (*stopped)(void *owner),
                      void *owner);

size_t http_server_conns(const struct http_server *server);

// ---- the request -------------------------------------------------------------------------------

const struct http_head *http_request(const struct http_exchange *x);
const struct url *http_url(const struct http_exchange *x);
const struct route *http_route(const struct http_exchange *x); // the row that fitted
const char *http_version(const struct http_exchange *x);       // "1.41" of the path, or NULL
const char *http_param(const struct http_exchange *x, const char *name);
const char *http_query(const struct http_exchange *x, const char *name); // NULL when absent
const uint8_t *http_body(const struct http_exchange *x, size_t *size);   // collected; never NULL
struct arena *http_arena(struct http_exchange *x);
struct conn *http_conn(struct http_exchange *x);
void *http_context(const struct http_exchange *x);

// Follows the exchange from here on. Needed by whoever keeps it beyond its handler.
void http_exchange_follow(struct http_exchange *x, const struct http_events *events, void *owner);
void *http_exchange_owner(const struct http_exchange *x);

// Streamed request bodies: holds the client back, and lets it go on.
void http_body_pause(struct http_exchange *x);
void http_body_resume(struct http_exchange *x);

// ---- the answer --------------------------------------------------------------------------------

// Adds a header; before the answer starts. Name and value are copied; a value with CR or LF is a
// broken invariant.
void http_reply_header(struct http_exchange *x, const char *name, const char *value);

// The whole answer. type NULL: no Content-Type. The exchange is over afterwards.
void http_reply(struct http_exchange *x, int status, const char *type, const void *body,
                size_t size);

// An answer in pieces (chunked; HTTP/1.0 clients read until the close). The writer stops while
// http_reply_room is 0 and goes on at on_drain.
void http_reply_start(struct http_exchange *x, int status, const char *type);
void http_reply_write(struct http_exchange *x, const void *bytes, size_t size);
size_t http_reply_room(const struct http_exchange *x);
void http_reply_end(struct http_exchange *x);

// Breaks the connection off in the middle of an answer: the only way left to say that it failed.
void http_reply_abort(struct http_exchange *x);

bool http_reply_started(const struct http_exchange *x);

// Takes the connection over: answers "101 UPGRADED" when the client asked for an upgrade, else
// "200 OK", both with Content-Type `type`; bytes already received come to the new handler first.
// The exchange is over (on_done) afterwards and the server forgets the connection.
struct conn *http_hijack(struct http_exchange *x, const char *type,
                         const struct conn_handler *handler, void *owner);

#endif
