// An HTTP/1.1 client for one server: calls with bodies in one piece or as a stream, answers as they
// come, and upgraded connections.
//
// Connections that can be used again are kept, at most HTTP_CLIENT_IDLE_MAX for
// HTTP_CLIENT_IDLE_MS.
#ifndef PROTO_HTTP_CLIENT_IO_H
#define PROTO_HTTP_CLIENT_IO_H

#include "proto/http/message.h"
#include "proto/net/conn_io.h"

#define HTTP_CLIENT_IDLE_MAX 8
#define HTTP_CLIENT_IDLE_MS  30000

struct http_client;
struct http_call;

// Where the calls go and how. `options` as for conn_connect; `host` is the Host header (NULL: the
// address, or "localhost" for a unix socket). What is pointed to is copied.
struct http_client *http_client_new(struct loop *loop, const struct addr *addr,
                                    const struct conn_options *options, const char *host);

// Every call must be over; idle connections are closed.
void http_client_free(struct http_client *client);

struct http_call_request {
    const char *method;
    const char *target;
    const struct http_header *headers; // besides Host, Content-Length and Transfer-Encoding
    size_t headers_count;
    const void *body; // copied; NULL: none
    size_t body_size;
    bool streams_body;  // by http_call_write instead
    bool upgrade;       // asks for "Upgrade: tcp", as docker attach does
    int64_t timeout_ms; // until the answer's head; 0: none
};

// What the caller hears. on_body, on_drain may be NULL.
struct http_call_handler {
    // The head of the final answer (1xx are swallowed). `head` is valid for the call only.
    void (*on_head)(struct http_call *call, void *owner, const struct http_head *head);
    void (*on_body)(struct http_call *call, void *owner, const uint8_t *bytes, size_t size);
    void (*on_drain)(struct http_call *call, void *owner);

    // 101 or 2xx to an upgrading call, after on_head: the connection is the caller's, who sets its
    // handler (conn_set_handler) before returning; on_end follows at once. Bytes that came with the
    // head follow through that handler. NULL: upgrades are an error.
    void (*on_upgrade)(struct http_call *call, void *owner, struct conn *conn);

    // The end, once: why->code is ERR_OK after a complete answer. The call is freed after it.
    void (*on_end)(struct http_call *call, void *owner, const struct err *why);
};

// Starts a call; answers come by the handler, never before this returns.
struct http_call *http_call_start(struct http_client *client,
                                  const struct http_call_request *request,
                                  const struct http_call_handler *handler, void *owner);

// A streamed body: pieces, then the end. http_call_room as conn_room.
void http_call_write(struct http_call *call, const void *bytes, size_t size);
void http_call_finish(struct http_call *call);
size_t http_call_room(const struct http_call *call);

// Holds the server back, and lets it go on.
void http_call_pause(struct http_call *call);
void http_call_resume(struct http_call *call);

// Breaks the call off: on_end comes with CANCELLED.
void http_call_cancel(struct http_call *call);

#endif
