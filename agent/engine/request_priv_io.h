// The engine and a request of it: engine_io.c makes and ends them, request_io.c reads and answers,
// request_call_io.c asks the manager.
#ifndef AGENT_ENGINE_REQUEST_PRIV_IO_H
#define AGENT_ENGINE_REQUEST_PRIV_IO_H

#include "agent/engine/engine_io.h"

#include "agent/engine/bus.h"
#include "agent/engine/feed_io.h"
#include "agent/engine/request.h"
#include "agent/engine/shelves.h"
#include "proto/base/list.h"

#define ROUTES_MAX 256

struct engine {
    struct loop *loop;
    struct http_server *server;
    struct engine_options options;
    struct rpc_client *manager;
    struct list parked; // requests that wait for a manager that starts
    struct list queue;  // requests that wait for their turn
    size_t turns;       // taken
    struct loop_later next_turn;
    struct bus *bus;
    struct feed *feed;
    struct shelves *shelves;
    struct loop_timer shelves_timer; // runs while something is held
    bool pools_empty;                // request_pools_empty
    struct http_handler handlers[ROUTES_MAX];
    struct route routes[ROUTES_MAX];
    size_t routes_count;
    char server_header[64];
    struct http_header headers[4];
    void (*stopped)(void *owner);
    void *stopped_owner;
};

struct request {
    struct http_exchange *x;
    struct engine *engine;
    struct list parked;                    // engine.parked or .queue, or by itself
    void (*turn)(struct request *request); // in the queue: what waits
    bool in_turn;
    void (*handle)(struct request *request); // of its endpoint
    json_t *json;
    bool old_body; // request_old_body
    void *kept;
    struct rpc_request *call;
    request_then *then;
    request_else *otherwise;
    request_over *over; // of a call with many messages
    request_bytes_then *bytes_then;
    request_id_then *id_then;
    request_text_then *text_then;
    bool waiting;                        // for the backend
    const struct request_events *events; // of who answers in pieces; NULL: nobody
    void *events_owner;
    struct buf answer;
    struct json_out out;
    size_t sent;
};

// Who is next in the queue takes turns that are free.
void engine_next_turn(struct loop_later *later);

// Sends more of a long answer while there is room.
void request_send_more(struct request *request);

// {"message": ...} and a newline, as Go's encoder ends its documents.
void request_reply_message(struct http_exchange *x, int status, const char *text);

#endif
