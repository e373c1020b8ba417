// One request of the Engine API as its handlers see it: what came, calls to the manager's Control
// API on its behalf, and the answer. Pure: engine_io.c puts HTTP and gRPC under it.
//
// A handler answers at once, or starts one call whose continuation answers or starts the next. When
// the client goes away in between, the continuation never runs.
#ifndef AGENT_ENGINE_REQUEST_H
#define AGENT_ENGINE_REQUEST_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/backend.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/base/json.h"

struct bus;
struct conn;
struct conn_handler;
struct loop;
struct request;
struct noun;
struct shape;
struct shelf;
struct shelves;

// ---- what came ---------------------------------------------------------------------------------

const char *request_param(const struct request *request, const char *name); // of the path
const char *request_query(const struct request *request, const char *name); // NULL when absent
// Of a name that may come more than once; NULL past the last.
const char *request_query_at(const struct request *request, const char *name, size_t index);
bool request_flag(const struct request *request, const char *name); // as dockerd reads booleans
const char *request_header(const struct request *request, const char *name);
unsigned request_minor(const struct request *request); // API 1.<minor> that the client speaks
struct arena *request_arena(struct request *request);
const struct backend *request_backend(const struct request *request, void **ctx);

// The JSON body, which lives as long as the request; NULL after answering 400 in dockerd's words.
const json_t *request_json(struct request *request);
// The same for who keeps nothing of it beyond the request (json_pool.h).
const json_t *request_brief_json(struct request *request);
// As request_json, of a body that has this shape, or is null.
const json_t *request_shaped(struct request *request, const struct shape *shape);
// Those that come next decode as dockerd's oldest handlers do: until API 1.41 what cannot be read
// is 500 there.
void request_old_body(struct request *request);
size_t request_body_bytes(const struct request *request); // 0: there is none

// A boolean that dockerd reads strictly; absent is false. False after answering 400.
bool request_strict_flag(struct request *request, const char *name, bool *out);

// `version` of the query; false after answering 400. `what`: "node", "service".
bool request_index(struct request *request, const char *what, uint64_t *out);

// For handlers that go on in several steps: theirs, kept in the arena.
void request_keep(struct request *request, void *state);
void *request_kept(const struct request *request);

// ---- the manager -------------------------------------------------------------------------------

// False after answering 503 in stock's words: this node is no manager.
bool request_needs_manager(struct request *request);

// A body for the manager, read into the settled message (fields.h) in stock's order of complaints:
// first what is no JSON or has a member of a wrong type, then the `version` of the query (`index`
// NULL: none is asked for), then that this node is no manager, then the members' values. False
// after answering.
struct fields;
bool request_read(struct request *request, const struct fields *fields, void *message,
                  const char *what, uint64_t *index);

bool request_has_manager(const struct request *request);

// Whether this daemon, in this life, founded its swarm with a list of address pools that is there
// and empty, as the docker command sends it: stock then shows none until it starts again.
bool request_pools_empty(const struct request *request);
void request_set_pools_empty(struct request *request, bool empty);

typedef void request_then(struct request *request, const void *response);
typedef void request_else(struct request *request, const struct err *err);
typedef void request_id_then(struct request *request, const char *id);

// Calls a method of proto/wire/methods.h by its path, then goes on with the response, which is
// valid until `then` returns. Errors are answered as dockerd does, unless `otherwise` takes them.
void request_call(struct request *request, const char *path, const void *message,
                  request_then *then, request_else *otherwise);

// Calls one of the Create methods, then goes on with the id of what was made, which is all that
// their callers tell; the object, which the answer holds, is not even decoded. Errors are answered.
void request_call_create(struct request *request, const char *path, const void *message,
                         request_id_then *then);

// The same with messages that are bytes, and errors that are answered.
typedef void request_bytes_then(struct request *request, const void *bytes, size_t size);
void request_call_bytes(struct request *request, const char *path, const void *bytes, size_t size,
                        request_bytes_then *then);

// Lists of everything have ENGINE_TURNS turns: each may be some megabytes, and the answers to a
// hundred at once were more than a connection to a manager takes. `then` runs when it is the
// request's turn, now or later; the turn ends with request_end_turn (which does nothing without
// one) or the request.
#define ENGINE_TURNS 4
void request_take_turn(struct request *request, void (*then)(struct request *request));
void request_end_turn(struct request *request);

// The lists that the engine holds (shelves.h), and holding one more of them for a while.
struct shelves *request_shelves(const struct request *request);
void request_shelve(struct request *request, const struct noun *noun, struct shelf *shelf);

// A call that answers with many messages: each goes to `then`, the end to `over` (err NULL:
// success). No messages come between pause and resume.
typedef void request_over(struct request *request, const struct err *err);
void request_call_stream(struct request *request, const char *path, const void *message,
                         request_then *then, request_over *over);
void request_call_pause(struct request *request);
void request_call_resume(struct request *request);

// A new message of the method's request type in the arena; never NULL for messages without limits
// of their own.
void *request_message(struct request *request, const char *path);

#define CONTROL(name) "/docker.swarmkit.v1.Control/" name

// ---- long operations of the node ---------------------------------------------------------------

// Give `done` and `owner` to a backend function; `then` goes on with its text.
typedef void request_text_then(struct request *request, const char *text);
backend_done *request_backend_done(struct request *request, request_text_then *then, void **owner);

// The same, but errors go to `otherwise`.
backend_done *request_backend_done_or(struct request *request, request_text_then *then,
                                      request_else *otherwise, void **owner);

// ---- the answer --------------------------------------------------------------------------------

void request_empty(struct request *request, int status);
void request_reply(struct request *request, int status, const char *type, const void *body,
                   size_t size);
void request_plain(struct request *request, int status, const char *type, const char *text);
void request_fail(struct request *request, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// The status for complaints that dockerd answered with 500 before API 1.42, and with 400 since.
int request_bad_status(const struct request *request);

// The status of a failed call in dockerd's words: "rpc error: code = NotFound desc = ...".
void request_fail_call(struct request *request, const struct err *err);

// What filters_parse found: 400; before 1.42 dockerd answered 500 to what it could not read.
// With `_as`, what could not be read has the status `unreadable`.
void request_fail_filters(struct request *request, const struct err *err);
void request_fail_filters_as(struct request *request, int unreadable, const struct err *err);

// INVALID_ARGUMENT is 400 with the bare text, anything else as request_fail_call.
void request_fail_err(struct request *request, const struct err *err);

// A JSON answer: write one value, then send it.
struct json_out *request_write(struct request *request);
void request_send(struct request *request, int status);

// Header of the answer; before it.
void request_reply_header(struct request *request, const char *name, const char *value);

// ---- answers that go on ------------------------------------------------------------------------

// What a handler hears that answers in pieces, takes a body in pieces, or gives the connection
// away. All may be NULL.
struct request_events {
    // request_room has become positive again.
    void (*drain)(struct request *request, void *owner);
    // Pieces of the body, for rows of a table that streams bodies, then its end.
    void (*body)(struct request *request, void *owner, const uint8_t *bytes, size_t size);
    void (*body_end)(struct request *request, void *owner);
    // The last call, always, once: answered whole, given away, or the client is `gone`.
    void (*over)(struct request *request, void *owner, bool gone);
};
void request_follow(struct request *request, const struct request_events *events, void *owner);
void *request_followed(const struct request *request); // the owner

// An answer in pieces. Its head is sent at once; the writer stops while there is no room.
void request_stream(struct request *request, int status, const char *type);
void request_stream_write(struct request *request, const void *bytes, size_t size);
size_t request_room(const struct request *request);
void request_stream_end(struct request *request);
void request_stream_abort(struct request *request); // it failed in the middle
bool request_answering(const struct request *request);

// Holds the client's body back, and lets it go on.
void request_body_pause(struct request *request);
void request_body_resume(struct request *request);

// Takes the connection over, "101 UPGRADED" or "200 OK" as the client asked; the request is over
// then. Bytes that came already are given to the new handler first.
struct conn *request_hijack(struct request *request, const char *type,
                            const struct conn_handler *handler, void *owner);

// The node's events (bus.h).
struct bus *request_bus(const struct request *request);

// The loop that everything here runs on.
struct loop *request_loop(const struct request *request);

#endif
