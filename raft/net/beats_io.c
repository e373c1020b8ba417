#include "raft/net/beats_io.h"

#include "proto/base/check.h"
#include "proto/wire/raft.pb-c.h"
#include "raft/net/convert.h"
#include "raft/net/peers_io.h"

// Room for one message as structs.
#define BEAT_ARENA_BYTES ((size_t)64 << 10)

void beats_init(struct beats *beats, struct loop *loop)
{
    *beats = (struct beats){.loop = loop, .asked = MONO_NEVER};
}

void beats_close(struct beats *beats)
{
    if (beats->request)
        rpc_request_drop(beats->request);
    beats->request = NULL;
    beats->asked = MONO_NEVER;
}

static void on_message(struct rpc_request *request, void *ctx, const ProtobufCMessage *it)
{
    struct beats *beats = ctx;
    const Swarm__StreamRaftMessageRequest *answer = (const Swarm__StreamRaftMessageRequest *)it;
    struct arena arena;
    arena_init_small(&arena, BEAT_ARENA_BYTES);
    struct raft_message message;
    if (!answer->message || convert_message_in(answer->message, &arena, &message, NULL)) {
        rpc_request_cancel(request);
    } else {
        if (message.type == RAFT_MSG_HEARTBEAT_RESP) {
            beats->asked = MONO_NEVER;
            beats->answered(beats, &message);
        } else {
            rpc_request_cancel(request);
        }
        convert_message_drop(&message);
    }
    arena_fini(&arena);
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    struct beats *beats = ctx;
    beats->request = NULL;
    beats->asked = MONO_NEVER;
    beats->ended(beats, &status->err);
}

static void open_call(struct beats *beats, struct rpc_client *client)
{
    struct rpc_request_spec spec = {
        .path = PEERS_BEATS_PATH,
        .kind = RPC_BIDI_STREAM,
        .response = &swarm__stream_raft_message_request__descriptor,
        .on_message = on_message,
        .on_done = on_done,
        .ctx = beats,
    };
    beats->opened = loop_now(beats->loop);
    beats->request = rpc_client_call(client, &spec, NULL);
}

bool beats_send(struct beats *beats, struct rpc_client *client, const struct raft_message *message,
                int64_t silent_ms)
{
    CHECK(message->type == RAFT_MSG_HEARTBEAT);
    struct mono now = loop_now(beats->loop);
    bool silent =
        beats->asked.ns != MONO_NEVER.ns && mono_since(now, beats->asked) >= silent_ms * NS_PER_MS;
    if (beats->request && (silent || !rpc_request_writable(beats->request))) {
        beats_close(beats);
        return false;
    }
    if (mono_since(now, beats->opened) >= BEATS_CALL_MS * NS_PER_MS)
        beats_close(beats);
    if (!beats->request)
        open_call(beats, client);
    struct arena arena;
    arena_init_small(&arena, BEAT_ARENA_BYTES);
    Swarm__StreamRaftMessageRequest request = SWARM__STREAM_RAFT_MESSAGE_REQUEST__INIT;
    request.message = convert_message_out(message, NULL, 0, &arena);
    bool sent = request.message && rpc_request_send(beats->request, &request.base, NULL) == 0;
    arena_fini(&arena);
    if (!sent)
        beats_close(beats);
    else if (beats->asked.ns == MONO_NEVER.ns)
        beats->asked = now;
    return sent;
}
