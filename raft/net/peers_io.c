#include "raft/net/peers_io.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/identity/credentials.h"
#include "proto/wire/raft.pb-c.h"
#include "raft/net/convert.h"
#include "raft/net/peers_private_io.h"

#define PATH_STREAM  "/docker.swarmkit.v1.Raft/StreamRaftMessage"
#define PATH_PROCESS "/docker.swarmkit.v1.Raft/ProcessRaftMessage"

// What a stock member says to one that was removed (swarmkit 18.4).
#define REMOVED_TEXT "raft: member was removed from the cluster"

// Room for one message as structs; bodies are borrowed.
#define MESSAGE_ARENA_BYTES ((size_t)64 << 20)

// A message on its way: queued, then a call.
struct letter {
    struct list link;
    struct peer_link *peer; // NULL: the peer is gone, the call only ends
    struct raft_message message;
    struct raft_snapshot snapshot;
    struct raft_blob *data; // of a MsgSnap
    size_t bytes;
    size_t sent; // of `data`, in pieces
    struct rpc_request *request;
};

static struct peers *peers_of(struct transport *transport)
{
    struct peers *peers = CONTAINER_OF(transport, struct peers, transport);
    MAGIC_CHECK(peers, PEERS_MAGIC);
    return peers;
}

// ---- letters ------------------------------------------------------------------------------------

static struct letter *letter_new(const struct raft_message *message, struct raft_blob *data)
{
    struct letter *letter = MEM_NEW(struct letter);
    list_init(&letter->link);
    letter->message = *message;
    struct raft_entry *entries =
        mem_dup(message->entries, message->entries_count * sizeof *entries);
    for (size_t i = 0; i < message->entries_count; i++) {
        raft_blob_ref(entries[i].data);
        letter->bytes += raft_entry_bytes(&entries[i]);
    }
    letter->message.entries = entries;
    if (message->snapshot) {
        letter->snapshot = *message->snapshot;
        letter->message.snapshot = &letter->snapshot;
        letter->bytes += data ? data->len : 0;
    }
    letter->data = raft_blob_ref(data);
    return letter;
}

static void letter_free(struct letter *letter)
{
    list_remove(&letter->link);
    for (size_t i = 0; i < letter->message.entries_count; i++)
        raft_blob_unref(letter->message.entries[i].data);
    free((void *)letter->message.entries);
    raft_blob_unref(letter->data);
    free(letter);
}

// The fate of a letter is known.
static void report(struct peer_link *peer, const struct letter *letter, bool ok)
{
    struct transport_reports *reports = &peer->peers->reports;
    peer->active = ok;
    if (letter->message.type == RAFT_MSG_SNAP && reports->snapshot_sent)
        reports->snapshot_sent(reports->ctx, peer->raft_id, ok);
    if (!ok && reports->unreachable)
        reports->unreachable(reports->ctx, peer->raft_id);
}

// ---- sending ------------------------------------------------------------------------------------

static void pump(struct peer_link *peer);

static const struct rpc_status *status_or_null(const struct rpc_status *status)
{
    return status->err.code == ERR_OK ? NULL : status;
}

static void on_headers(struct rpc_request *request, void *ctx, const struct metadata *metadata)
{
    (void)request;
    struct letter *letter = ctx;
    struct peer_link *peer = letter->peer;
    if (!peer || peer->ours || !metadata_get(metadata, PEERS_OURS_HEADER))
        return;
    peer->ours = true;
    if (peer->peers->ours)
        peer->peers->ours(peer->peers->ctx, peer->raft_id);
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    struct letter *letter = ctx;
    struct peer_link *peer = letter->peer;
    if (!peer) {
        letter_free(letter);
        return;
    }
    list_remove(&letter->link);
    peer->flight_count--;
    const struct rpc_status *failure = status_or_null(status);
    if (failure && failure->err.code == ERR_UNIMPLEMENTED && !peer->process) {
        // An old peer: everything from here on goes the old way, this one first.
        peer->process = true;
        letter->sent = 0;
        list_push_front(&peer->queue, &letter->link);
        peer->queue_count++;
        peer->queue_bytes += letter->bytes;
        pump(peer);
        return;
    }
    struct transport_reports *reports = &peer->peers->reports;
    bool removed =
        failure && failure->err.code == ERR_NOT_FOUND && strstr(failure->err.message, REMOVED_TEXT);
    if (failure && !peer->reported && !removed)
        log_warn("raft peer does not answer", "peer=%" PRIx64 " addr=%s err=\"%s\"", peer->raft_id,
                 peer->addr, failure->err.message);
    peer->reported = failure != NULL;
    report(peer, letter, !failure);
    letter_free(letter);
    if (removed && reports->removed)
        reports->removed(reports->ctx);
    pump(peer);
}

// The message with the piece of the snapshot that begins at letter->sent; NULL past the end.
static int send_piece(struct letter *letter, struct err *err)
{
    size_t left = letter->data ? letter->data->len - letter->sent : 0;
    // The message around the piece counts as well; it is small next to the room left for it.
    size_t room = PEERS_CHUNK_BYTES - PEERS_CHUNK_BYTES / 16;
    size_t size = left < room ? left : room;
    struct arena arena;
    arena_init(&arena, MESSAGE_ARENA_BYTES);
    Swarm__StreamRaftMessageRequest request = SWARM__STREAM_RAFT_MESSAGE_REQUEST__INIT;
    request.message = convert_message_out(
        &letter->message, letter->data ? letter->data->bytes + letter->sent : NULL, size, &arena);
    int result = request.message
                     ? rpc_request_send(letter->request, &request.base, err)
                     : err_set(err, ERR_RESOURCE_EXHAUSTED, "raft message is too large");
    arena_fini(&arena);
    if (!result)
        letter->sent += size;
    return result;
}

// Sends pieces while there is room, and ends the stream after the last.
static void send_pieces(struct letter *letter)
{
    size_t total = letter->data ? letter->data->len : 0;
    do {
        struct err err = ERR_INIT;
        if (send_piece(letter, &err)) {
            rpc_request_cancel(letter->request);
            return;
        }
    } while (letter->sent < total && rpc_request_writable(letter->request));
    if (letter->sent == total)
        rpc_request_end(letter->request);
}

static void on_writable(struct rpc_request *request, void *ctx)
{
    (void)request;
    struct letter *letter = ctx;
    if (letter->peer && letter->data && letter->sent < letter->data->len)
        send_pieces(letter);
}

static int64_t timeout_of(const struct letter *letter)
{
    size_t pieces = letter->data ? letter->data->len / PEERS_CHUNK_BYTES + 1 : 0;
    return PEERS_SEND_MS + (int64_t)pieces * PEERS_CHUNK_MS;
}

static void send_letter(struct peer_link *peer, struct letter *letter)
{
    struct rpc_request_spec spec = {
        .path = peer->process ? PATH_PROCESS : PATH_STREAM,
        .kind = peer->process ? RPC_UNARY : RPC_CLIENT_STREAM,
        .response = peer->process ? &swarm__process_raft_message_response__descriptor
                                  : &swarm__stream_raft_message_response__descriptor,
        .timeout_ms = timeout_of(letter),
        .on_headers = on_headers,
        .on_writable = on_writable,
        .on_done = on_done,
        .ctx = letter,
    };
    list_push_back(&peer->flight, &letter->link);
    peer->flight_count++;
    if (!peer->process) {
        letter->request = rpc_client_call(peer->client, &spec, NULL);
        send_pieces(letter);
        return;
    }
    struct arena arena;
    arena_init(&arena, MESSAGE_ARENA_BYTES);
    Swarm__ProcessRaftMessageRequest request = SWARM__PROCESS_RAFT_MESSAGE_REQUEST__INIT;
    request.message =
        convert_message_out(&letter->message, letter->data ? letter->data->bytes : NULL,
                            letter->data ? letter->data->len : 0, &arena);
    CHECK(request.message);
    letter->request = rpc_client_call(peer->client, &spec, &request.base);
    arena_fini(&arena);
}

static void pump(struct peer_link *peer)
{
    size_t width = peer->ours && !peer->process ? PEERS_PIPELINE : 1;
    while (peer->flight_count < width && !list_empty(&peer->queue)) {
        struct letter *letter = LIST_ENTRY(list_pop_front(&peer->queue), struct letter, link);
        peer->queue_count--;
        peer->queue_bytes -= letter->bytes;
        send_letter(peer, letter);
    }
}

// A failure that no call will report: told in a later turn, since it happens inside the core's
// flush.
struct late_report {
    struct loop_post post;
    struct peers *peers;
    uint64_t raft_id;
    bool snapshot;
};

static void on_late_report(struct loop_post *post)
{
    struct late_report *late = CONTAINER_OF(post, struct late_report, post);
    struct transport_reports *reports = &late->peers->reports;
    if (!late->peers->closing) {
        if (late->snapshot && reports->snapshot_sent)
            reports->snapshot_sent(reports->ctx, late->raft_id, false);
        if (reports->unreachable)
            reports->unreachable(reports->ctx, late->raft_id);
    }
    late->peers->checks--;
    peers_finish_closing(late->peers);
    free(late);
}

static void refuse(struct peers *peers, const struct raft_message *message)
{
    struct late_report *late = MEM_NEW(struct late_report);
    late->peers = peers;
    late->raft_id = message->to;
    late->snapshot = message->type == RAFT_MSG_SNAP;
    peers->checks++; // keeps `peers` until it ran
    loop_post(peers->loop, &late->post, on_late_report);
}

// ---- heartbeats ---------------------------------------------------------------------------------

static void on_answered(struct beats *beats, const struct raft_message *message)
{
    struct peer_link *peer = CONTAINER_OF(beats, struct peer_link, beats);
    struct transport_reports *reports = &peer->peers->reports;
    peer->active = true;
    if (reports->answered && message->from == peer->raft_id)
        reports->answered(reports->ctx, message);
}

static void on_beats_ended(struct beats *beats, const struct err *why)
{
    struct peer_link *peer = CONTAINER_OF(beats, struct peer_link, beats);
    struct transport_reports *reports = &peer->peers->reports;
    if (why->code == ERR_OK)
        return;
    // The next ones go as calls, whose ends say what is wrong; beats are tried again after the
    // first that succeeds.
    if (why->code == ERR_UNIMPLEMENTED) {
        peer->calls_alone = true;
        return;
    }
    peer->active = false;
    if (reports->unreachable)
        reports->unreachable(reports->ctx, peer->raft_id);
}

// False: the message goes as any other.
static bool send_beat(struct peer_link *peer, const struct raft_message *message)
{
    if (!peer->ours || peer->process || peer->calls_alone || !peer->active)
        return false;
    if (beats_send(&peer->beats, peer->client, message, PEERS_SEND_MS))
        return true;
    peer->active = false;
    refuse(peer->peers, message);
    return false;
}

// An answer goes the way that the question came, once a call to the member has succeeded: that
// proves the other way, which calls that are passed on need.
static bool send_answer(struct peer_link *peer, const struct raft_message *message)
{
    if (!peer->answers || !peer->active || !rpc_call_writable(peer->answers))
        return false;
    struct arena arena;
    arena_init_small(&arena, MESSAGE_ARENA_BYTES);
    Swarm__StreamRaftMessageRequest answer = SWARM__STREAM_RAFT_MESSAGE_REQUEST__INIT;
    answer.message = convert_message_out(message, NULL, 0, &arena);
    bool sent = answer.message && rpc_call_send(peer->answers, &answer.base, NULL) == 0;
    arena_fini(&arena);
    return sent;
}

void peers_set_answers(struct peers *peers, uint64_t raft_id, struct rpc_call *call)
{
    struct peer_link *peer = map_get_u64(&peers->links, raft_id);
    if (peer)
        peer->answers = call;
}

void peers_drop_answers(struct peers *peers, uint64_t raft_id, const struct rpc_call *call)
{
    struct peer_link *peer = map_get_u64(&peers->links, raft_id);
    if (peer && peer->answers == call)
        peer->answers = NULL;
}

static bool send_quickly(struct peer_link *peer, const struct raft_message *message)
{
    if (message->type == RAFT_MSG_HEARTBEAT)
        return send_beat(peer, message);
    if (message->type != RAFT_MSG_HEARTBEAT_RESP)
        return false;
    // Whom we answer leads, so we do not.
    MAP_EACH (entry, &peer->peers->links)
        beats_close(&((struct peer_link *)entry->value)->beats);
    return send_answer(peer, message);
}

static void transport_send(struct transport *transport, const struct raft_message *message,
                           struct raft_blob *snapshot)
{
    struct peers *peers = peers_of(transport);
    struct peer_link *peer = map_get_u64(&peers->links, message->to);
    if (peer && send_quickly(peer, message))
        return;
    if (!peer || peer->queue_count >= PEERS_QUEUE_MAX ||
        peer->queue_bytes >= PEERS_QUEUE_BYTES_MAX) {
        refuse(peers, message);
        return;
    }
    struct letter *letter = letter_new(message, snapshot);
    letter->peer = peer;
    list_push_back(&peer->queue, &letter->link);
    peer->queue_count++;
    peer->queue_bytes += letter->bytes;
    pump(peer);
}

// ---- members ------------------------------------------------------------------------------------

struct rpc_client *peers_client_new(struct peers *peers, const char *addr_text, struct err *err)
{
    struct addr addr;
    if (addr_parse(addr_text, 0, &addr, err))
        return NULL;
    return rpc_client_new(&(struct rpc_client_config){
        .loop = peers->loop,
        .addr = addr,
        .tls = peers->tls,
        .server_name = SERVER_NAME_MANAGER,
        .connect_ms = PEERS_HEALTH_MS,
        .backoff_ms_max = PEERS_BACKOFF_MS,
    });
}

void peers_finish_closing(struct peers *peers)
{
    if (!peers->closing || peers->closing_clients || peers->checks)
        return;
    map_fini(&peers->links);
    tls_config_unref(peers->tls);
    void (*closed)(void *ctx) = peers->closed;
    void *ctx = peers->closed_ctx;
    MAGIC_CLEAR(peers);
    free(peers);
    if (closed)
        closed(ctx);
}

static void on_client_closed(void *ctx)
{
    struct peers *peers = ctx;
    peers->closing_clients--;
    peers_finish_closing(peers);
}

void peers_close_client(struct peers *peers, struct rpc_client *client)
{
    if (!client)
        return;
    peers->closing_clients++;
    rpc_client_close(client, on_client_closed, peers);
}

static void link_free(struct peer_link *peer)
{
    while (!list_empty(&peer->queue))
        letter_free(LIST_ENTRY(peer->queue.next, struct letter, link));
    // Calls under way end by themselves, soon, and find their peer gone.
    LIST_EACH_SAFE (it, &peer->flight) {
        struct letter *letter = LIST_ENTRY(it, struct letter, link);
        letter->peer = NULL;
        list_remove(&letter->link);
    }
    loop_timer_stop(&peer->linger);
    list_remove(&peer->link);
    beats_close(&peer->beats);
    peers_close_client(peer->peers, peer->client);
    free(peer->node_id);
    free(peer->addr);
    free(peer);
}

static void on_linger(struct loop_timer *timer)
{
    link_free(CONTAINER_OF(timer, struct peer_link, linger));
}

static void transport_set_peer(struct transport *transport, uint64_t raft_id, const char *node_id,
                               const char *addr)
{
    struct peers *peers = peers_of(transport);
    struct peer_link *peer = map_get_u64(&peers->links, raft_id);
    if (peer && str_equal(peer->addr, addr) && str_equal(peer->node_id, node_id))
        return;
    struct err err = ERR_INIT;
    struct rpc_client *client = peers_client_new(peers, addr, &err);
    if (!client) {
        log_warn("raft member has an unusable address", "peer=%" PRIx64 " err=\"%s\"", raft_id,
                 err.message);
        return;
    }
    if (!peer) {
        peer = MEM_NEW(struct peer_link);
        peer->peers = peers;
        peer->raft_id = raft_id;
        list_init(&peer->link);
        list_init(&peer->queue);
        list_init(&peer->flight);
        loop_timer_init(&peer->linger, peers->loop, on_linger);
        beats_init(&peer->beats, peers->loop);
        peer->beats.answered = on_answered;
        peer->beats.ended = on_beats_ended;
        map_put_u64(&peers->links, raft_id, peer);
    }
    beats_close(&peer->beats);
    peers_close_client(peers, peer->client);
    peer->client = client;
    free(peer->node_id);
    free(peer->addr);
    peer->node_id = str_dup(node_id);
    peer->addr = str_dup(addr);
}

static void transport_remove_peer(struct transport *transport, uint64_t raft_id)
{
    struct peers *peers = peers_of(transport);
    struct peer_link *peer = map_remove_u64(&peers->links, raft_id);
    if (!peer)
        return;
    beats_close(&peer->beats);
    peer->answers = NULL;
    list_push_back(&peers->leaving, &peer->link);
    loop_timer_start(&peer->linger, PEERS_LINGER_MS);
}

static bool transport_reachable(struct transport *transport, uint64_t raft_id)
{
    struct peer_link *peer = map_get_u64(&peers_of(transport)->links, raft_id);
    return peer && peer->active;
}

struct rpc_client *peers_client(struct peers *peers, uint64_t raft_id)
{
    struct peer_link *peer = map_get_u64(&peers->links, raft_id);
    return peer ? peer->client : NULL;
}

// ---- life ---------------------------------------------------------------------------------------

struct peers *peers_new(const struct peers_config *config)
{
    struct peers *peers = MEM_NEW(struct peers);
    MAGIC_SET(peers, PEERS_MAGIC);
    peers->transport = (struct transport){
        .send = transport_send,
        .set_peer = transport_set_peer,
        .remove_peer = transport_remove_peer,
        .reachable = transport_reachable,
    };
    peers->loop = config->loop;
    peers->tls = config->tls ? tls_config_ref(config->tls) : NULL;
    peers->ours = config->ours;
    peers->ctx = config->ctx;
    map_init(&peers->links);
    list_init(&peers->leaving);
    return peers;
}

void peers_set_reports(struct peers *peers, const struct transport_reports *reports)
{
    peers->reports = *reports;
}

struct transport *peers_transport(struct peers *peers)
{
    return &peers->transport;
}

void peers_set_tls(struct peers *peers, struct tls_config *tls)
{
    tls_config_ref(tls);
    tls_config_unref(peers->tls);
    peers->tls = tls;
    MAP_EACH (entry, &peers->links) {
        struct peer_link *peer = entry->value;
        rpc_client_set_tls(peer->client, tls);
    }
}

void peers_close(struct peers *peers, void (*closed)(void *ctx), void *ctx)
{
    MAGIC_CHECK(peers, PEERS_MAGIC);
    CHECK(!peers->closing);
    peers->closed = closed;
    peers->closed_ctx = ctx;
    peers->reports = (struct transport_reports){0};
    MAP_EACH (entry, &peers->links)
        link_free(entry->value);
    map_clear(&peers->links);
    while (!list_empty(&peers->leaving))
        link_free(LIST_ENTRY(peers->leaving.next, struct peer_link, link));
    peers->closing = true;
    // The callers' `closed` never runs inside this call: clients close in a later turn, and with
    // none of them a refused message's report or this one does.
    if (!peers->closing_clients && !peers->checks) {
        struct late_report *late = MEM_NEW(struct late_report);
        late->peers = peers;
        peers->checks++;
        loop_post(peers->loop, &late->post, on_late_report);
    }
}
