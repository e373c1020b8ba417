#include "agent/engine/request_priv_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/engine/engine.h"
#include "agent/engine/shape.h"
#include "proto/base/check.h"
#include "proto/base/json_pool.h"
#include "proto/base/str.h"
#include "proto/rpc/status.h"

// Answers up to this size are sent at once, longer ones as the client takes them.
#define PIECE_BYTES (128 * 1024)

// ---- the request -------------------------------------------------------------------------------

const char *request_param(const struct request *request, const char *name)
{
    return http_param(request->x, name);
}

const char *request_query(const struct request *request, const char *name)
{
    return http_query(request->x, name);
}

const char *request_query_at(const struct request *request, const char *name, size_t index)
{
    const struct url *url = http_url(request->x);
    for (size_t i = 0; i < url->pairs_count; i++)
        if (strcmp(url->pairs[i].name, name) == 0 && index-- == 0)
            return url->pairs[i].value;
    return NULL;
}

bool request_flag(const struct request *request, const char *name)
{
    return url_get_bool(http_url(request->x), name);
}

const char *request_header(const struct request *request, const char *name)
{
    return http_head_get(http_request(request->x), name);
}

unsigned request_minor(const struct request *request)
{
    const char *version = http_version(request->x);
    return version ? (unsigned)atoi(version + 2) : ENGINE_MINOR_MAX;
}

struct arena *request_arena(struct request *request)
{
    return http_arena(request->x);
}

const struct backend *request_backend(const struct request *request, void **ctx)
{
    *ctx = request->engine->options.backend_ctx;
    return request->engine->options.backend;
}

// The type without its parameters.
static bool is_json(const char *type)
{
    size_t length = strcspn(str_or(type, ""), "; ");
    return length == strlen("application/json") &&
           strncasecmp(type, "application/json", length) == 0;
}

void request_old_body(struct request *request)
{
    request->old_body = true;
}

static int body_status(const struct request *request)
{
    return request->old_body ? request_bad_status(request) : 400;
}

const json_t *request_json(struct request *request)
{
    size_t size;
    if (request->json)
        return request->json;
    const uint8_t *body = http_body(request->x, &size);
    const char *type = request_header(request, "Content-Type");
    if (size > 0 && !is_json(type)) {
        request_fail(request, 400, "Content-Type specified (%.100s) must be 'application/json'",
                     str_or(type, ""));
        return NULL;
    }
    if (size == 0) {
        request_fail(request, body_status(request), "%s",
                     body_status(request) == 500 ? "EOF" : "got EOF while reading request body");
        return NULL;
    }
    struct err err = ERR_INIT;
    request->json = json_parse(body, size, &err);
    if (json_is_null(request->json))
        request->json = json_object(); // to Go, null says nothing
    if (request->json)
        return request->json;
    bool more = strstr(err.message, "end of file expected");
    bool cut = strstr(err.message, "premature") || strstr(err.message, "end of file") ||
               strstr(err.message, "unexpected end");
    request_fail(request, body_status(request), "%s",
                 more  ? "unexpected content after JSON"
                 : cut ? "unexpected EOF"
                       : err.message);
    return NULL;
}

const json_t *request_brief_json(struct request *request)
{
    json_pool_begin();
    const json_t *json = request_json(request);
    json_pool_end();
    return json;
}

const json_t *request_shaped(struct request *request, const struct shape *shape)
{
    struct err err = ERR_INIT;
    const json_t *json = request_json(request);
    if (!json || shape_check(shape, json, &err) == 0)
        return json;
    request_fail(request, body_status(request), "%s", err.message);
    return NULL;
}

size_t request_body_bytes(const struct request *request)
{
    size_t size;
    http_body(request->x, &size);
    return size;
}

bool request_strict_flag(struct request *request, const char *name, bool *out)
{
    static const char *const trues[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const falses[] = {"0", "f", "F", "FALSE", "false", "False"};
    const char *text = request_query(request, name);
    *out = false;
    if (str_empty(text))
        return true;
    for (size_t i = 0; i < COUNT_OF(trues); i++) {
        if (strcmp(text, trues[i]) == 0)
            *out = true;
        if (strcmp(text, trues[i]) == 0 || strcmp(text, falses[i]) == 0)
            return true;
    }
    request_fail(request, 400,
                 "invalid value for %s: %.100s: strconv.ParseBool: parsing \"%.100s\": invalid "
                 "syntax",
                 name, text, text);
    return false;
}

bool request_index(struct request *request, const char *what, uint64_t *out)
{
    const char *text = str_or(request_query(request, "version"), "");
    if (str_to_u64(text, UINT64_MAX, out))
        return true;
    // dockerd says of some what is wrong with it.
    if (str_equal(what, "secret") || str_equal(what, "config"))
        request_fail(request, 400, "invalid %s version", what);
    else
        request_fail(request, 400,
                     "invalid %s version '%.100s': strconv.ParseUint: parsing \"%.100s\": invalid "
                     "syntax",
                     what, text, text);
    return false;
}

void request_keep(struct request *request, void *state)
{
    request->kept = state;
}

void *request_kept(const struct request *request)
{
    return request->kept;
}

// ---- the answer --------------------------------------------------------------------------------

void request_empty(struct request *request, int status)
{
    http_reply(request->x, status, NULL, "", 0);
}

void request_reply(struct request *request, int status, const char *type, const void *body,
                   size_t size)
{
    http_reply(request->x, status, type, body, size);
}

void request_plain(struct request *request, int status, const char *type, const char *text)
{
    http_reply(request->x, status, type, text, strlen(text));
}

void request_reply_message(struct http_exchange *x, int status, const char *text)
{
    struct buf body;
    struct json_out out;
    buf_init(&body, ERR_MESSAGE_BYTES * 8);
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    json_out_str(&out, "message", text);
    json_out_end(&out);
    buf_put_u8(&body, '\n');
    http_reply(x, status, "application/json", body.data, body.len);
    buf_fini(&body);
}

void request_fail(struct request *request, int status, const char *format, ...)
{
    char text[ERR_MESSAGE_BYTES + 128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    request_reply_message(request->x, status, text);
}

static int status_of(enum err_code code)
{
    switch (code) {
    case ERR_INVALID_ARGUMENT:
    case ERR_FAILED_PRECONDITION:
    case ERR_OUT_OF_RANGE:
        return 400;
    case ERR_UNAUTHENTICATED:
        return 401;
    case ERR_PERMISSION_DENIED:
        return 403;
    case ERR_NOT_FOUND:
        return 404;
    case ERR_ALREADY_EXISTS:
    case ERR_ABORTED:
        return 409;
    case ERR_UNIMPLEMENTED:
        return 501;
    case ERR_UNAVAILABLE:
        return 503;
    default:
        return 500;
    }
}

void request_fail_call(struct request *request, const struct err *err)
{
    char text[RPC_STATUS_TEXT_BYTES];
    rpc_status_text(err, text, sizeof text);
    request_fail(request, status_of(err->code), "%s", text);
}

int request_bad_status(const struct request *request)
{
    return request_minor(request) < 42 ? 500 : 400;
}

void request_fail_filters(struct request *request, const struct err *err)
{
    request_fail_filters_as(request, request_bad_status(request), err);
}

void request_fail_filters_as(struct request *request, int unreadable, const struct err *err)
{
    static const char words[] = "invalid filter";
    bool readable = str_starts(err->message, words);
    if (readable && request_minor(request) < 42)
        request_fail(request, 400, "Invalid filter%s", err->message + sizeof words - 1);
    else
        request_fail(request, readable ? 400 : unreadable, "%s", err->message);
}

void request_fail_err(struct request *request, const struct err *err)
{
    request_fail(request, status_of(err->code), "%s", err->message);
}

struct json_out *request_write(struct request *request)
{
    buf_clear(&request->answer);
    json_out_init(&request->out, &request->answer);
    return &request->out;
}

void request_send_more(struct request *request)
{
    struct http_exchange *x = request->x;
    while (request->sent < request->answer.len && http_reply_room(x) > 0) {
        size_t left = request->answer.len - request->sent;
        size_t size = left < PIECE_BYTES ? left : PIECE_BYTES;
        http_reply_write(x, request->answer.data + request->sent, size);
        request->sent += size;
    }
    if (request->sent == request->answer.len && request->answer.len > 0)
        http_reply_end(x);
}

void request_send(struct request *request, int status)
{
    struct buf *answer = &request->answer;
    if (!json_out_done(&request->out)) {
        request_fail(request, 500, "the answer is longer than %d bytes", ENGINE_ANSWER_BYTES_MAX);
        return;
    }
    buf_put_u8(answer, '\n');
    if (answer->len <= PIECE_BYTES) {
        http_reply(request->x, status, "application/json", answer->data, answer->len);
        return;
    }
    http_reply_start(request->x, status, "application/json");
    request_send_more(request);
}

void request_reply_header(struct request *request, const char *name, const char *value)
{
    http_reply_header(request->x, name, value);
}

// ---- answers that go on ------------------------------------------------------------------------

void request_follow(struct request *request, const struct request_events *wanted, void *owner)
{
    request->events = wanted;
    request->events_owner = owner;
}

void *request_followed(const struct request *request)
{
    return request->events_owner;
}

void request_stream(struct request *request, int status, const char *type)
{
    http_reply_start(request->x, status, type);
}

void request_stream_write(struct request *request, const void *bytes, size_t size)
{
    http_reply_write(request->x, bytes, size);
}

size_t request_room(const struct request *request)
{
    return http_reply_room(request->x);
}

void request_stream_end(struct request *request)
{
    http_reply_end(request->x);
}

void request_stream_abort(struct request *request)
{
    http_reply_abort(request->x);
}

bool request_answering(const struct request *request)
{
    return http_reply_started(request->x);
}

void request_body_pause(struct request *request)
{
    http_body_pause(request->x);
}

void request_body_resume(struct request *request)
{
    http_body_resume(request->x);
}

struct conn *request_hijack(struct request *request, const char *type,
                            const struct conn_handler *handler, void *owner)
{
    return http_hijack(request->x, type, handler, owner);
}

struct bus *request_bus(const struct request *request)
{
    return request->engine->bus;
}

struct loop *request_loop(const struct request *request)
{
    return request->engine->loop;
}
