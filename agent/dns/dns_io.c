#include "agent/dns/dns_io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/dns/dns_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/metrics.h"
#include "proto/base/str.h"

#define SERVER_MAGIC  0x444e5356u
#define SANDBOX_MAGIC 0x444e5342u
#define PENDING_MAGIC 0x444e5350u

// Of the host's sockets one sandbox has a quarter at most; its own ones are all its own.
#define HOST_SHARE    4
#define SANDBOX_SHARE 1

// ---- questions ----------------------------------------------------------------------------------

void dns_pending_drop(struct dns_pending *pending)
{
    MAGIC_CHECK(pending, PENDING_MAGIC);
    struct dns_sandbox *sandbox = pending->sandbox;
    CHECK(sandbox->pendings_count > 0);
    sandbox->pendings_count--;
    list_remove(&pending->link);
    list_remove(&pending->conn_link);
    if (pending->ask)
        ask_cancel(pending->ask);
    MAGIC_CLEAR(pending);
    free(pending);
}

static void reply_later(struct dns_sandbox *sandbox, const struct dns_origin *origin,
                        const struct buf *reply)
{
    if (origin->conn)
        dns_conn_reply(origin->conn, reply);
    else if (sandbox->udp)
        dns_udp_reply(sandbox->udp, &origin->peer, reply);
}

// A name server has answered, or none has.
static void on_answer(void *owner, const uint8_t *bytes, size_t size)
{
    struct dns_pending *pending = owner;
    MAGIC_CHECK(pending, PENDING_MAGIC);
    struct dns_sandbox *sandbox = pending->sandbox;
    struct dns_server *server = sandbox->server;
    struct buf *reply = &server->reply;
    const struct dns_msg *query = &pending->query;
    struct dns_origin origin = pending->origin;
    bool tcp = origin.conn != NULL;
    buf_clear(reply);
    if (!bytes) {
        server->counters.failed++;
        resolver_fail(query, tcp, DNS_RCODE_SERVFAIL, reply);
    } else if (size > dns_reply_limit(query, tcp)) {
        resolver_cut(query, tcp, reply);
    } else {
        buf_put(reply, bytes, size);
        reply->data[0] = (uint8_t)(query->id >> 8);
        reply->data[1] = (uint8_t)query->id;
    }
    pending->ask = NULL; // it ends by itself
    dns_pending_drop(pending);
    reply_later(sandbox, &origin, reply);
}

static void forward(struct dns_sandbox *sandbox, const struct dns_msg *query, const uint8_t *bytes,
                    size_t size, const struct dns_origin *origin, struct buf *reply)
{
    struct dns_server *server = sandbox->server;
    bool tcp = origin->conn != NULL;
    if (sandbox->pendings_count >= DNS_PENDING_MAX) {
        server->counters.refused++;
        resolver_fail(query, tcp, DNS_RCODE_REFUSED, reply);
        return;
    }
    struct dns_pending *pending = MEM_NEW(struct dns_pending);
    MAGIC_SET(pending, PENDING_MAGIC);
    pending->sandbox = sandbox;
    pending->origin = *origin;
    pending->query = *query;
    list_init(&pending->conn_link);
    list_push_back(&sandbox->pendings, &pending->link);
    sandbox->pendings_count++;
    server->counters.forwarded++;
    const struct ask_spec spec = {
        .outside = &sandbox->outside,
        .inside = sandbox->pool ? &sandbox->inside : NULL,
        .servers = sandbox->servers,
        .servers_count = sandbox->policy.upstreams_count,
        .query = query,
        .bytes = bytes,
        .size = size,
        .tcp = tcp,
    };
    pending->ask = ask_start(server->loop, &spec, on_answer, pending);
    if (tcp)
        dns_conn_pending(origin->conn, pending);
}

void dns_question(struct dns_sandbox *sandbox, const uint8_t *bytes, size_t size,
                  const struct dns_origin *origin, struct buf *reply)
{
    MAGIC_CHECK(sandbox, SANDBOX_MAGIC);
    struct dns_server *server = sandbox->server;
    struct dns_msg query;
    server->counters.questions++;
    switch (resolver_ask(server->names, sandbox->names, &sandbox->policy, bytes, size,
                         origin->conn != NULL, &query, reply)) {
    case RESOLVER_ANSWER:
    case RESOLVER_REFUSE:
        server->counters.answered++;
        return;
    case RESOLVER_FORWARD:
        forward(sandbox, &query, bytes, size, origin, reply);
        return;
    case RESOLVER_DROP:
        server->counters.dropped++;
        return;
    }
    UNREACHABLE("a verdict without consequence");
}

// ---- sandboxes ----------------------------------------------------------------------------------

static void sandbox_free(struct dns_sandbox *sandbox)
{
    MAGIC_CHECK(sandbox, SANDBOX_MAGIC);
    while (!list_empty(&sandbox->pendings))
        dns_pending_drop(LIST_ENTRY(sandbox->pendings.next, struct dns_pending, link));
    dns_udp_close(sandbox->udp);
    dns_tcp_close(sandbox->tcp);
    ask_pool_close(sandbox->pool);
    free(sandbox->search);
    free(sandbox->id);
    MAGIC_CLEAR(sandbox);
    free(sandbox);
}

static void sandbox_settings(struct dns_sandbox *sandbox, const struct feed_sandbox *settings)
{
    size_t count = 0;
    free(sandbox->search);
    sandbox->search = mem_alloc_array(settings->search_count, sizeof *sandbox->search);
    for (size_t i = 0; i < settings->search_count; i++)
        if (dns_name_parse(settings->search[i], &sandbox->search[count], NULL) == 0)
            count++;
    memcpy(sandbox->servers, settings->servers, sizeof sandbox->servers);
    sandbox->policy = (struct resolver_policy){
        .upstreams_count = settings->servers_count,
        .ndots_set = settings->ndots_set,
        .search = sandbox->search,
        .search_count = count,
    };
}

static int sandbox_put(struct dns_server *server, const struct feed_sandbox *settings,
                       struct err *err)
{
    int result = names_sandbox_put(server->names, settings->id, settings->networks,
                                   settings->networks_count, err);
    if (result)
        return result;
    struct dns_sandbox *sandbox = map_get_str(&server->sandboxes, settings->id);
    if (!sandbox) {
        sandbox = MEM_NEW(struct dns_sandbox);
        MAGIC_SET(sandbox, SANDBOX_MAGIC);
        sandbox->server = server;
        sandbox->id = str_dup(settings->id);
        list_init(&sandbox->pendings);
        ask_door_init(&sandbox->outside, server->pool);
        map_put_str(&server->sandboxes, sandbox->id, sandbox);
    }
    sandbox->names = names_sandbox_get(server->names, settings->id);
    sandbox_settings(sandbox, settings);
    return 0;
}

static int sandbox_remove(struct dns_server *server, const char *id, struct err *err)
{
    struct dns_sandbox *sandbox = map_remove_str(&server->sandboxes, id);
    if (!sandbox)
        return err_set(err, ERR_NOT_FOUND, "sandbox %s not found", id);
    sandbox_free(sandbox);
    names_sandbox_remove(server->names, id);
    return 0;
}

// ---- sockets ------------------------------------------------------------------------------------

// Takes the message's descriptor out of it.
static int take_fd(const struct channel_message *message, size_t at)
{
    int fd = message->fds[at];
    message->fds[at] = -1;
    return fd;
}

static int take_answer(struct dns_sandbox *sandbox, const struct channel_message *message,
                       struct err *err)
{
    if (message->fds_count != 2 || sandbox->udp || sandbox->tcp)
        return err_set(err, ERR_INVALID_ARGUMENT, "sandbox %s gets odd sockets", sandbox->id);
    sandbox->udp = dns_udp_open(sandbox, take_fd(message, 0), err);
    if (sandbox->udp)
        sandbox->tcp = dns_tcp_open(sandbox, take_fd(message, 1), err);
    return sandbox->udp && sandbox->tcp ? 0 : -ERR_INVALID_ARGUMENT;
}

static int take_sockets(struct dns_server *server, const struct feed_message *got,
                        const struct channel_message *message, struct err *err)
{
    struct ask_pool *pool = server->pool;
    if (*got->sandbox.id) {
        struct dns_sandbox *sandbox = map_get_str(&server->sandboxes, got->sandbox.id);
        if (!sandbox)
            return err_set(err, ERR_NOT_FOUND, "sandbox %s not found", got->sandbox.id);
        if (got->sockets == FEED_SOCKETS_ANSWER)
            return take_answer(sandbox, message, err);
        if (!sandbox->pool) {
            sandbox->pool = ask_pool_open(server->loop, SANDBOX_SHARE);
            ask_door_init(&sandbox->inside, sandbox->pool);
        }
        pool = sandbox->pool;
    }
    int result = 0;
    for (size_t i = 0; i < message->fds_count && !result; i++)
        result = ask_pool_add(pool, take_fd(message, i), err);
    return result;
}

// ---- the feed -----------------------------------------------------------------------------------

static int apply(struct dns_server *server, const struct feed_message *got,
                 const struct channel_message *message, struct err *err)
{
    switch (got->type) {
    case FEED_NETWORK_PUT:
        return names_network_put(server->names, got->network, got->name, got->internal, err);
    case FEED_NETWORK_REMOVE:
        return names_network_remove(server->names, got->network)
                   ? 0
                   : err_set(err, ERR_NOT_FOUND, "network %s not found", got->network);
    case FEED_RECORD_PUT:
        return names_record_put(server->names, got->network, &got->record, err);
    case FEED_RECORD_REMOVE:
        return names_record_remove(server->names, got->network, got->record.endpoint)
                   ? 0
                   : err_set(err, ERR_NOT_FOUND, "endpoint %s not found", got->record.endpoint);
    case FEED_SANDBOX_PUT:
        return sandbox_put(server, &got->sandbox, err);
    case FEED_SANDBOX_REMOVE:
        return sandbox_remove(server, got->sandbox.id, err);
    case FEED_SOCKETS:
        return take_sockets(server, got, message, err);
    }
    UNREACHABLE("a feed message without type");
}

int dns_server_take(struct dns_server *server, const struct channel_message *message,
                    struct err *err)
{
    MAGIC_CHECK(server, SERVER_MAGIC);
    struct arena arena;
    struct feed_message got;
    arena_init(&arena, FEED_ARENA_BYTES);
    int result =
        feed_parse(message->type, message->payload, message->payload_bytes, &arena, &got, err);
    if (!result)
        result = apply(server, &got, message, err);
    arena_fini(&arena);
    return result;
}

// ---- life ---------------------------------------------------------------------------------------

struct dns_server *dns_server_open(struct loop *loop, uint64_t seed)
{
    struct dns_server *server = MEM_NEW(struct dns_server);
    MAGIC_SET(server, SERVER_MAGIC);
    server->loop = loop;
    server->names = names_new(seed);
    map_init(&server->sandboxes);
    server->pool = ask_pool_open(loop, HOST_SHARE);
    buf_init(&server->reply, DNS_MESSAGE_BYTES);
    for (size_t i = 0; i < DNS_BATCH; i++)
        buf_init(&server->replies[i], DNS_MESSAGE_BYTES);
    return server;
}

void dns_server_close(struct dns_server *server)
{
    if (!server)
        return;
    MAGIC_CHECK(server, SERVER_MAGIC);
    MAP_EACH (entry, &server->sandboxes)
        sandbox_free(entry->value);
    map_fini(&server->sandboxes);
    ask_pool_close(server->pool);
    names_free(server->names);
    buf_fini(&server->reply);
    for (size_t i = 0; i < DNS_BATCH; i++)
        buf_fini(&server->replies[i]);
    MAGIC_CLEAR(server);
    free(server);
}

const struct dns_counters *dns_server_counters(const struct dns_server *server)
{
    MAGIC_CHECK(server, SERVER_MAGIC);
    return &server->counters;
}

void dns_server_figures(const struct dns_server *server, struct buf *out)
{
    MAGIC_CHECK(server, SERVER_MAGIC);
    const struct dns_counters *counters = &server->counters;
    const struct {
        const char *name, *help;
        uint64_t value;
    } rows[] = {
        {"skep_resolver_questions_total", "Names that containers asked for.", counters->questions},
        {"skep_resolver_answered_total", "Of these, answered from the names of their networks.",
         counters->answered},
        {"skep_resolver_forwarded_total", "Of these, given to name servers.", counters->forwarded},
        {"skep_resolver_failed_total", "Of those, that no name server answered.", counters->failed},
        {"skep_resolver_refused_total", "Questions refused: too many at a time.",
         counters->refused},
        {"skep_resolver_dropped_total", "What was no question, and answers that could not be sent.",
         counters->dropped},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        metrics_counter(out, rows[i].name, rows[i].help, (double)rows[i].value);
}
