// What server_io.c and exchange_io.c know of each other. Nobody else includes it.
#ifndef PROTO_HTTP_SERVER_IMPL_IO_H
#define PROTO_HTTP_SERVER_IMPL_IO_H

#include "proto/base/list.h"
#include "proto/http/server_io.h"

#define SERVER_MAGIC   0x68747376u
#define CHANNEL_MAGIC  0x68746368u
#define EXCHANGE_MAGIC 0x68747865u

struct http_server {
    unsigned magic;
    struct loop *loop;
    struct http_server_options options;
    struct list channels;
    size_t channels_count;
    bool stopping;
    int64_t date_s; // the second that `date` tells
    char date[32];  // of the answers; formatting it costs as much as the rest of a head
    struct loop_timer grace;
    struct loop_later gone;
    void (*stopped)(void *owner);
    void *owner;
};

// One connection.
struct channel {
    unsigned magic;
    struct list link;
    struct http_server *server;
    struct conn *conn;
    struct http_parse parse;
    bool parsing; // `parse` is initialised
    bool advancing;
    struct http_exchange *x;
    struct buf ahead; // bytes that came before their turn
    struct loop_later later;
    struct loop_timer slow; // runs from a request's first byte to the end of its head
};

enum body_state { BODY_NONE, BODY_COLLECT, BODY_STREAM, BODY_DROP };

struct http_exchange {
    unsigned magic;
    struct channel *channel;
    struct arena arena;
    struct url url;
    const char *version;
    struct route_match match;
    const struct http_handler *handler;
    enum body_state body_state : 8;
    bool body_ended : 1;
    bool body_paused : 1;
    bool handled : 1;
    bool started : 1;
    bool ended : 1; // answered
    bool chunked : 1;
    bool head_only : 1;
    bool close_after : 1;
    struct buf body;
    size_t body_bytes;
    size_t headers_count;
    struct http_header headers[HTTP_REPLY_HEADERS_MAX];
    const struct http_events *events;
    void *owner;
};

// An exchange of the channel's. `gone`: the client is, before it was answered.
struct http_exchange *exchange_new(struct channel *channel);
void exchange_free(struct http_exchange *x, bool gone);

#endif
