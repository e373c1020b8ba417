#include "cmd/skep/client_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/skep/endpoint.h"
#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"
#include "proto/http/url.h"
#include "proto/identity/rng_io.h"

#define WAIT_MS_MAX     INT64_C(1000000000000)
#define UPLOAD_BYTES    (64 * 1024)
#define HEADERS_KEPT    8
#define STREAM_MAGIC    0x5374724dU
#define ERROR_BYTES_MAX (64 * 1024)

struct client {
    struct endpoint endpoint;
    struct http_client *http;
    struct tls_config *tls;
    const char *version; // "1.41"
    int minor;
    struct buf text; // of the last answer
};

struct stream {
    unsigned magic;
    struct cli *cli;
    struct stream_request request;
    struct http_call *call;
    struct conn *conn;
    int status;
    bool done;
    bool broken_off; // by on_data
    struct err why;
    struct buf text;
    struct http_header headers[HEADERS_KEPT];
    size_t headers_count;
    // The upload: what was read but not yet sent is asked for again when there is room.
    bool uploads;
    uv_idle_t reader;
    bool reader_open;
};

// ---- the connection -----------------------------------------------------------------------------

static int make_client(struct cli *cli)
{
    struct endpoint endpoint;
    if (endpoint_find(cli, &endpoint) < 0)
        return -(int)cli->error.code;
    struct conn_options options = {0};
    struct tls_config *tls = NULL;
    if (endpoint.tls) {
        struct tls_options wanted = {.verify =
                                         endpoint.verify ? TLS_VERIFY_REQUIRED : TLS_VERIFY_NONE,
                                     .alpn = TLS_ALPN_NONE,
                                     .chain_pem = endpoint.cert,
                                     .key_pem = endpoint.key,
                                     .roots_pem = endpoint.ca,
                                     .rng = &rng_kernel};
        tls = tls_config_new(&wanted, &cli->error);
        if (!tls)
            return err_wrap(&cli->error, "TLS");
        options.tls = tls;
        options.server_name = endpoint.server_name;
    }
    cli->client = MEM_NEW(struct client);
    cli->client->endpoint = endpoint;
    cli->client->tls = tls;
    cli->client->minor = -1;
    cli->client->http = http_client_new(cli_loop(cli), &endpoint.addr, &options,
                                        endpoint.addr.kind == ADDR_UNIX ? "docker" : NULL);
    buf_init(&cli->client->text, CLIENT_ANSWER_BYTES_MAX);
    return 0;
}

void client_close(struct cli *cli)
{
    if (!cli->client)
        return;
    http_client_free(cli->client->http);
    tls_config_unref(cli->client->tls);
    buf_fini(&cli->client->text);
    free(cli->client);
    cli->client = NULL;
    // Handles are freed by the loop once they have closed.
    uv_run(&cli_loop(cli)->uv, UV_RUN_NOWAIT);
}

const char *client_host(struct cli *cli)
{
    if (cli->client)
        return cli->client->endpoint.host;
    struct endpoint endpoint;
    return endpoint_find(cli, &endpoint) == 0 ? endpoint.host : "";
}

void client_wait(struct cli *cli, bool (*done)(void *context), void *context)
{
    say_flush(cli);
    loop_run_until(cli_loop(cli), done, context, WAIT_MS_MAX);
}

// ---- streams ------------------------------------------------------------------------------------

static void upload_step(uv_idle_t *reader)
{
    struct stream *stream = reader->data;
    uint8_t bytes[UPLOAD_BYTES];
    if (!stream->call || http_call_room(stream->call) == 0) {
        uv_idle_stop(reader);
        return;
    }
    ssize_t got = read(stream->request.upload_fd, bytes, sizeof bytes);
    if (got > 0) {
        http_call_write(stream->call, bytes, (size_t)got);
    } else if (got == 0) {
        uv_idle_stop(reader);
        stream->uploads = false;
        http_call_finish(stream->call);
    } else if (errno != EINTR && errno != EAGAIN) {
        err_set_errno(&stream->why, errno, "reading what is to be sent");
        uv_idle_stop(reader);
        stream->uploads = false;
        http_call_cancel(stream->call);
    }
}

static void on_drain(struct http_call *call, void *owner)
{
    (void)call;
    struct stream *stream = owner;
    if (stream->uploads)
        uv_idle_start(&stream->reader, upload_step);
}

static void on_head(struct http_call *call, void *owner, const struct http_head *head)
{
    (void)call;
    static const char *const kept[] = {
        "Content-Type", "Api-Version",     "X-Docker-Container-Path-Stat",
        "Server",       "Builder-Version", "Docker-Experimental"};
    static_assert(COUNT_OF(kept) <= HEADERS_KEPT, "there is room for the headers we look at");
    struct stream *stream = owner;
    stream->status = head->status;
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        const char *value = http_head_get(head, kept[i]);
        if (value)
            stream->headers[stream->headers_count++] =
                (struct http_header){kept[i], textf(stream->cli, "%s", value)};
    }
}

static void on_body(struct http_call *call, void *owner, const uint8_t *bytes, size_t size)
{
    struct stream *stream = owner;
    if (stream->broken_off)
        return;
    if (stream->request.on_data && stream->status < 300) {
        if (!stream->request.on_data(stream->request.owner, bytes, size)) {
            stream->broken_off = true;
            http_call_cancel(call);
        }
        return;
    }
    buf_put(&stream->text, bytes, size);
}

// Until the caller has set its own handler.
static void held_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    (void)owner;
    conn_unread(conn, bytes, size);
}

static void held_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    (void)why;
    struct stream *stream = owner;
    stream->conn = NULL;
}

static void on_upgrade(struct http_call *call, void *owner, struct conn *conn)
{
    (void)call;
    struct stream *stream = owner;
    // What comes early waits until the caller has set its handler.
    conn_pause(conn);
    static const struct conn_handler holding = {.on_data = held_data, .on_close = held_close};
    conn_set_handler(conn, &holding, stream);
    stream->conn = conn;
}

static void on_end(struct http_call *call, void *owner, const struct err *why)
{
    (void)call;
    struct stream *stream = owner;
    stream->call = NULL;
    stream->done = true;
    if (stream->why.code == ERR_OK && !stream->broken_off)
        stream->why = *why;
}

static const struct http_call_handler call_handler = {
    .on_head = on_head,
    .on_body = on_body,
    .on_drain = on_drain,
    .on_upgrade = on_upgrade,
    .on_end = on_end,
};

static struct stream *start(struct cli *cli, const struct stream_request *request,
                            const char *target)
{
    struct stream *stream = MEM_NEW(struct stream);
    MAGIC_SET(stream, STREAM_MAGIC);
    stream->cli = cli;
    stream->request = *request;
    buf_init(&stream->text, request->on_data ? ERROR_BYTES_MAX : CLIENT_ANSWER_BYTES_MAX);
    struct http_header headers[3];
    size_t count = 0;
    headers[count++] = (struct http_header){"User-Agent", "skep/" SKEP_VERSION};
    char *body = NULL;
    size_t body_size = 0;
    if (request->body) {
        struct buf text;
        buf_init(&text, CLIENT_ANSWER_BYTES_MAX);
        struct json_out out;
        json_out_init(&out, &text);
        json_out_value(&out, NULL, request->body);
        body = (char *)buf_steal(&text, &body_size);
        headers[count++] = (struct http_header){"Content-Type", "application/json"};
    }
    stream->uploads = request->upload_fd >= 0;
    if (stream->uploads)
        headers[count++] = (struct http_header){"Content-Type", request->upload_type};
    if (request->registry_auth)
        headers[count++] = (struct http_header){"X-Registry-Auth", request->registry_auth};
    struct http_call_request call = {.method = request->method,
                                     .target = target,
                                     .headers = headers,
                                     .headers_count = count,
                                     .body = body,
                                     .body_size = body_size,
                                     .streams_body = stream->uploads,
                                     .upgrade = request->upgrade};
    stream->call = http_call_start(cli->client->http, &call, &call_handler, stream);
    if (body)
        explicit_bzero(body, body_size);
    free(body);
    uv_idle_init(&cli_loop(cli)->uv, &stream->reader);
    stream->reader.data = stream;
    stream->reader_open = true;
    if (stream->uploads)
        uv_idle_start(&stream->reader, upload_step);
    return stream;
}

struct stream *stream_start(struct cli *cli, const struct stream_request *request)
{
    const char *version = client_version(cli);
    if (!version)
        return NULL;
    return start(cli, request, textf(cli, "/v%s%s", version, request->target));
}

bool stream_done(const struct stream *stream)
{
    return stream->done;
}

struct conn *stream_conn(struct stream *stream)
{
    return stream->conn;
}

const char *stream_header(const struct stream *stream, const char *name)
{
    for (size_t i = 0; i < stream->headers_count; i++)
        if (str_equal_case(stream->headers[i].name, name))
            return stream->headers[i].value;
    return NULL;
}

static bool is_done(void *context)
{
    const struct stream *stream = context;
    return stream->done;
}

bool stream_has_head(void *context)
{
    const struct stream *stream = context;
    return stream->done || (stream->status > 0 && stream->status < 300);
}

// What went wrong, in the words users know.
static int judge(struct stream *stream)
{
    struct cli *cli = stream->cli;
    cli->status = stream->status;
    if (stream->status == 0) {
        if (stream->why.code == ERR_UNAUTHENTICATED || stream->why.code == ERR_CANCELLED)
            return err_copy(&cli->error, &stream->why);
        const struct endpoint *endpoint = &cli->client->endpoint;
        if (endpoint->addr.kind == ADDR_UNIX && access(endpoint->addr.host, W_OK) < 0 &&
            errno == EACCES)
            return err_set(&cli->error, ERR_PERMISSION_DENIED,
                           "permission denied while trying to connect to the daemon at %s: it is "
                           "for root and the socket's group (of skepd's: skep-api)",
                           endpoint->host);
        return err_set(&cli->error, ERR_UNAVAILABLE,
                       "Cannot connect to the daemon at %s. Is it running? (%s)", endpoint->host,
                       stream->why.message);
    }
    if (stream->status >= 400) {
        json_t *answer =
            stream->text.len ? json_parse(stream->text.data, stream->text.len, NULL) : NULL;
        const char *message = json_string_value(json_object_get(answer, "message"));
        const char *text = message ? message : buf_cstr(&stream->text);
        err_set(&cli->error, stream->status == 404 ? ERR_NOT_FOUND : ERR_UNKNOWN,
                "Error response from daemon: %s",
                str_empty(text) ? http_reason(stream->status) : text);
        json_decref(answer);
        return -(int)cli->error.code;
    }
    if (stream->why.code != ERR_OK && !stream->broken_off && !stream->conn)
        return err_copy(&cli->error, &stream->why);
    return 0;
}

int stream_wait_head(struct stream *stream)
{
    client_wait(stream->cli, stream_has_head, stream);
    return stream->done ? judge(stream) : 0;
}

int stream_wait(struct stream *stream)
{
    client_wait(stream->cli, is_done, stream);
    return judge(stream);
}

static void on_reader_closed(uv_handle_t *handle)
{
    struct stream *stream = handle->data;
    MAGIC_CLEAR(stream);
    free(stream);
}

void stream_free(struct stream *stream)
{
    MAGIC_CHECK(stream, STREAM_MAGIC);
    if (!stream->done) {
        http_call_cancel(stream->call);
        client_wait(stream->cli, is_done, stream);
    }
    buf_wipe(&stream->text);
    uv_close((uv_handle_t *)&stream->reader, on_reader_closed);
}

int stream_run(struct cli *cli, const struct stream_request *request)
{
    struct stream *stream = stream_start(cli, request);
    if (!stream)
        return -(int)cli->error.code;
    int result = stream_wait(stream);
    stream_free(stream);
    return result;
}

// ---- the version --------------------------------------------------------------------------------

static bool parse_version(const char *text, int *minor)
{
    uint64_t number = 0;
    if (!str_starts(text, "1.") || !str_to_u64(text + 2, 10000, &number))
        return false;
    *minor = (int)number;
    return true;
}

static int ping(struct cli *cli)
{
    struct stream_request request = {.method = "GET", .target = "/_ping", .upload_fd = -1};
    struct stream *stream = start(cli, &request, "/_ping");
    int result = stream_wait(stream), minor = CLIENT_API_MIN;
    const char *said = stream_header(stream, "Api-Version");
    if (result == 0) {
        if (said && !parse_version(said, &minor))
            result =
                err_set(&cli->error, ERR_UNIMPLEMENTED,
                        "the daemon speaks version %s of the API, which is not known here", said);
        cli->client->minor = minor < CLIENT_API_MAX ? minor : CLIENT_API_MAX;
    }
    stream_free(stream);
    return result;
}

const char *client_version(struct cli *cli)
{
    if (!cli->client && make_client(cli) < 0)
        return NULL;
    struct client *client = cli->client;
    if (client->version)
        return client->version;
    const char *asked = cli_env("DOCKER_API_VERSION");
    if (asked) {
        if (!parse_version(asked, &client->minor)) {
            err_set(&cli->error, ERR_INVALID_ARGUMENT, "DOCKER_API_VERSION: '%s' is no version",
                    asked);
            return NULL;
        }
    } else if (ping(cli) < 0) {
        return NULL;
    }
    if (client->minor < CLIENT_API_MIN) {
        err_set(&cli->error, ERR_UNIMPLEMENTED,
                "the daemon speaks version 1.%d of the API; at least 1.%d is needed", client->minor,
                CLIENT_API_MIN);
        return NULL;
    }
    client->version = textf(cli, "1.%d", client->minor);
    return client->version;
}

int client_minor(struct cli *cli)
{
    return client_version(cli) ? cli->client->minor : -1;
}

// ---- ask and wait -------------------------------------------------------------------------------

json_t *api_auth(struct cli *cli, const char *method, const char *target, json_t *body,
                 const char *registry_auth)
{
    struct stream_request request = {.method = method,
                                     .target = target,
                                     .body = body,
                                     .registry_auth = registry_auth,
                                     .upload_fd = -1};
    struct stream *stream = stream_start(cli, &request);
    if (!stream)
        return NULL;
    json_t *answer = NULL;
    if (stream_wait(stream) == 0) {
        struct buf *text = &cli->client->text;
        buf_fini(text);
        *text = stream->text;
        buf_init(&stream->text, 1);
        bool empty = true;
        for (size_t i = 0; i < text->len && empty; i++)
            empty = strchr(" \r\n", text->data[i]) != NULL;
        if (!buf_ok(text))
            err_set(&cli->error, ERR_RESOURCE_EXHAUSTED, "the answer is too long");
        else if (empty)
            answer = keep(cli, json_null());
        else
            answer = keep(cli, json_parse(text->data, text->len, &cli->error));
        if (!answer)
            err_wrap(&cli->error, "%s %s", method, target);
    }
    stream_free(stream);
    return answer;
}

json_t *api(struct cli *cli, const char *method, const char *target, json_t *body)
{
    return api_auth(cli, method, target, body, NULL);
}

json_t *api_get(struct cli *cli, const char *format, ...)
{
    char target[16384];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(target, sizeof target, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof target) {
        err_set(&cli->error, ERR_INVALID_ARGUMENT, "the request is too long");
        return NULL;
    }
    return api(cli, "GET", target, NULL);
}

const char *api_text(struct cli *cli, size_t *size)
{
    *size = cli->client->text.len;
    return buf_cstr(&cli->client->text);
}

const char *escape(struct cli *cli, const char *text)
{
    struct buf out;
    buf_init(&out, 64 * 1024);
    url_encode(text, &out);
    const char *copy = textf(cli, "%s", buf_cstr(&out));
    buf_fini(&out);
    return copy;
}

const char *parameter(struct cli *cli, const char *name, const char *value)
{
    return str_empty(value) ? "" : textf(cli, "&%s=%s", name, escape(cli, value));
}
