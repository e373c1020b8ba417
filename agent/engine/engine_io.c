#include "agent/engine/engine_io.h"

#include <stdlib.h>
#include <string.h>

#include "agent/engine/engine.h"
#include "agent/engine/request_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// One a line: several hands add to it.
// clang-format off
const struct endpoints *const engine_endpoints[] = {
    &system_endpoints,
    &info_endpoints,
    &swarm_endpoints,
    &standing_endpoints,
    &node_endpoints,
    &service_endpoints,
    &task_endpoints,
    &network_endpoints,
    &network_create_endpoints,
    &network_attach_endpoints,
    &secret_endpoints,
    &event_endpoints,
    &log_endpoints,
    &absent_endpoints,
    &container_endpoints,
    &container_list_endpoints,
    &container_prune_endpoints,
    &container_stream_endpoints,
    &container_attach_endpoints,
    &image_endpoints,
    &image_upload_endpoints,
    &image_transfer_endpoints,
    &volume_endpoints,
    &container_look_endpoints,
    &commit_endpoints,
    &container_archive_endpoints,
    &container_upload_endpoints,
    &disk_usage_endpoints,
    &checkup_endpoints,
    &distribution_endpoints,
};
// clang-format on
const size_t engine_endpoints_count = COUNT_OF(engine_endpoints);

// ---- life of a request -------------------------------------------------------------------------

static void on_drain(struct http_exchange *x, void *owner)
{
    struct request *request = owner;
    if (http_reply_started(x) && request->answer.len > 0)
        request_send_more(request);
    else if (request->events && request->events->drain)
        request->events->drain(request, request->events_owner);
}

static void on_body(struct http_exchange *x, void *owner, const uint8_t *bytes, size_t size)
{
    (void)x;
    struct request *request = owner;
    if (request->events && request->events->body)
        request->events->body(request, request->events_owner, bytes, size);
}

static void on_body_end(struct http_exchange *x, void *owner)
{
    (void)x;
    struct request *request = owner;
    if (request->events && request->events->body_end)
        request->events->body_end(request, request->events_owner);
}

static void on_done(struct http_exchange *x, void *owner, bool gone)
{
    (void)x;
    struct request *request = owner;
    const struct engine_options *options = &request->engine->options;
    list_remove(&request->parked);
    request_end_turn(request);
    if (request->events && request->events->over)
        request->events->over(request, request->events_owner, gone);
    if (request->call)
        rpc_request_drop(request->call);
    if (request->waiting)
        options->backend->forget(options->backend_ctx, request);
    buf_fini(&request->answer);
    json_decref(request->json);
    free(request);
}

static const struct http_events events = {
    .on_body = on_body, .on_body_end = on_body_end, .on_drain = on_drain, .on_done = on_done};

static bool is_starting(const struct engine *engine)
{
    struct backend_swarm swarm = {0};
    engine->options.backend->swarm(engine->options.backend_ctx, &swarm);
    return swarm.starting;
}

static void handle(struct http_exchange *x, void *context)
{
    struct engine *engine = context;
    const struct route *route = http_route(x);
    size_t index = (size_t)(route - engine->routes);
    CHECK(index < engine->routes_count);
    struct request *request = MEM_NEW(struct request);
    request->x = x;
    request->engine = engine;
    list_init(&request->parked);
    buf_init(&request->answer, ENGINE_ANSWER_BYTES_MAX);
    http_exchange_follow(x, &events, request);
    size_t set = 0;
    while (index >= engine_endpoints[set]->count)
        index -= engine_endpoints[set++]->count;
    request->handle = engine_endpoints[set]->rows[index].handle;
    if (engine_endpoints[set]->of_swarm && is_starting(engine))
        list_push_back(&engine->parked, &request->parked);
    else
        request->handle(request);
}

// One that is answered may end others, by closing what they came on: they are taken one by one.
void engine_started(struct engine *engine)
{
    struct list *link;
    while ((link = list_pop_front(&engine->parked))) {
        struct request *request = LIST_ENTRY(link, struct request, parked);
        request->handle(request);
    }
}

// ---- lists that are held -----------------------------------------------------------------------

struct shelves *request_shelves(const struct request *request)
{
    return request->engine->shelves;
}

static void age_shelves(struct loop_timer *timer)
{
    struct engine *engine = CONTAINER_OF(timer, struct engine, shelves_timer);
    if (shelves_age(engine->shelves, loop_now(engine->loop)))
        loop_timer_start(timer, SHELVES_HELD_MS / 2);
}

void request_shelve(struct request *request, const struct noun *noun, struct shelf *shelf)
{
    struct engine *engine = request->engine;
    shelves_put(engine->shelves, noun, shelf, loop_now(engine->loop));
    if (!loop_timer_running(&engine->shelves_timer))
        loop_timer_start(&engine->shelves_timer, SHELVES_HELD_MS / 2);
}

// ---- the server --------------------------------------------------------------------------------

// dockerd knows no 405.
static void unrouted(struct http_exchange *x, int status, void *context)
{
    (void)status;
    (void)context;
    if (strcmp(http_request(x)->method, "OPTIONS") == 0)
        http_reply(x, 200, NULL, "", 0);
    else
        request_reply_message(x, 404, "page not found");
}

static void refused(struct http_exchange *x, int status, const char *why, void *context)
{
    (void)context;
    request_reply_message(x, status, why);
}

// False when the version is not served.
static bool admit(struct http_exchange *x, const char *version, void *context)
{
    (void)context;
    char text[200];
    if (!version)
        return true;
    const char *dot = strchr(version, '.');
    uint64_t major = 0, minor = 0;
    char head[16];
    str_format(head, sizeof head, "%.*s", (int)(dot - version), version);
    bool numbers = str_to_u64(head, 1000, &major) && str_to_u64(dot + 1, 1000, &minor);
    bool old = numbers && (major < 1 || (major == 1 && minor < ENGINE_MINOR_MIN));
    if (numbers && major == 1 && minor >= ENGINE_MINOR_MIN && minor <= ENGINE_MINOR_MAX)
        return true;
    if (old)
        str_format(text, sizeof text,
                   "client version %.20s is too old. Minimum supported API version is 1.%d, please "
                   "upgrade your client to a newer version",
                   version, ENGINE_MINOR_MIN);
    else
        str_format(text, sizeof text,
                   "client version %.20s is too new. Maximum supported API version is 1.%d",
                   version, ENGINE_MINOR_MAX);
    request_reply_message(x, 400, text);
    return false;
}

struct engine *engine_new(struct loop *loop, const struct engine_options *options)
{
    CHECK(options->backend->swarm);
    CHECK(options->backend->version);
    CHECK(options->backend->info);
    struct engine *engine = MEM_NEW(struct engine);
    engine->loop = loop;
    engine->options = *options;
    list_init(&engine->parked);
    list_init(&engine->queue);
    loop_later_init(&engine->next_turn, loop, engine_next_turn);
    engine->bus = bus_new();
    engine->feed = feed_new(loop, engine->bus);
    engine->shelves = shelves_new();
    loop_timer_init(&engine->shelves_timer, loop, age_shelves);
    for (size_t i = 0; i < COUNT_OF(engine_endpoints); i++) {
        for (size_t j = 0; j < engine_endpoints[i]->count; j++) {
            CHECK(engine->routes_count < ROUTES_MAX);
            const struct endpoint *endpoint = &engine_endpoints[i]->rows[j];
            struct http_handler *handler = &engine->handlers[engine->routes_count];
            handler->handle = handle;
            handler->streams_body = engine_endpoints[i]->streams_body;
            handler->body_bytes_max =
                handler->streams_body ? ENGINE_UPLOAD_BYTES_MAX : ENGINE_BODY_BYTES_MAX;
            engine->routes[engine->routes_count++] =
                (struct route){endpoint->method, endpoint->pattern, handler};
        }
    }
    struct backend_version version = {0};
    options->backend->version(options->backend_ctx, &version);
    str_format(engine->server_header, sizeof engine->server_header, "Skep/%s (linux)",
               str_or(version.version, "0"));
    engine->headers[0] = (struct http_header){"Api-Version", "1.50"};
    engine->headers[1] = (struct http_header){"Docker-Experimental", "false"};
    engine->headers[2] = (struct http_header){"Ostype", "linux"};
    engine->headers[3] = (struct http_header){"Server", engine->server_header};
    static_assert(ENGINE_MINOR_MAX == 50, "the Api-Version header");
    struct http_server_options server = {
        .routes = engine->routes,
        .routes_count = engine->routes_count,
        .context = engine,
        .headers = engine->headers,
        .headers_count = COUNT_OF(engine->headers),
        .unrouted = unrouted,
        .refused = refused,
        .admit = admit,
    };
    engine->server = http_server_new(loop, &server);
    return engine;
}

void engine_set_manager(struct engine *engine, struct rpc_client *client)
{
    engine->manager = client;
    if (!client)
        shelves_clear(engine->shelves);
    feed_set_manager(engine->feed, client);
}

struct bus *engine_bus(struct engine *engine)
{
    return engine->bus;
}

void engine_take(struct engine *engine, struct conn *conn)
{
    http_server_take(engine->server, conn);
}

static void on_stopped(void *owner)
{
    struct engine *engine = owner;
    void (*stopped)(void *) = engine->stopped;
    void *stopped_owner = engine->stopped_owner;
    feed_free(engine->feed);
    loop_timer_stop(&engine->shelves_timer);
    loop_later_cancel(&engine->next_turn);
    shelves_free(engine->shelves);
    bus_free(engine->bus);
    free(engine);
    if (stopped)
        stopped(stopped_owner);
}

void engine_stop(struct engine *engine, int64_t grace_ms, void (*stopped)(void *owner), void *owner)
{
    engine->stopped = stopped;
    engine->stopped_owner = owner;
    http_server_stop(engine->server, grace_ms, on_stopped, engine);
}
