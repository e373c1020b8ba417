// The queues to other members, over a real connection to a member that is made up: its manners are
// those of stock, of our own kind, or of one that is slow, old, gone or lying.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/addr.h"
#include "proto/rpc/server_io.h"
#include "proto/wire/health.pb-c.h"
#include "proto/wire/raft.pb-c.h"
#include "raft/net/peers_io.h"

#define WAIT_MS   30000
#define HIM       7 // the member's raft id
#define CALLS_MAX 256
#define SEEN_MAX  512
#define DATA_MAX  ((size_t)16 << 20)

static struct loop loop;
static struct peers *peers;
static struct transport *transport;

// ---- the member ---------------------------------------------------------------------------------

static struct {
    struct rpc_server *server;
    struct addr addr;
    bool ours;  // says so in its replies
    bool holds; // answers when the test says so
    enum err_code fails;
    const char *text;
    bool serving;
    struct rpc_call *held[CALLS_MAX];
    size_t held_count;
    uint64_t seen[SEEN_MAX]; // indexes of the messages, as they came
    size_t seen_count;
    size_t pieces, piece_bytes_max;
    struct buf data; // of snapshots
    size_t old_calls;
    struct rpc_call *beats; // the call that heartbeats come from
    size_t beats_calls, beats_count;
    bool mute; // answers no heartbeat
    enum raft_message_type answers_with;
    bool closed;
} member;

static void see(const Raftpb__Message *message)
{
    ck_assert_ptr_nonnull(message);
    ck_assert_uint_eq(message->to, HIM);
    if (message->type == RAFTPB__MESSAGE_TYPE__MsgSnap) {
        const ProtobufCBinaryData *data = &message->snapshot->data;
        buf_put(&member.data, data->data, data->len);
        member.pieces++;
        if (data->len > member.piece_bytes_max)
            member.piece_bytes_max = data->len;
        if (member.pieces > 1)
            return; // of the same message
    }
    ck_assert_uint_lt(member.seen_count, SEEN_MAX);
    member.seen[member.seen_count++] = message->index;
}

static void reply(struct rpc_call *call)
{
    Swarm__StreamRaftMessageResponse response = SWARM__STREAM_RAFT_MESSAGE_RESPONSE__INIT;
    if (member.fails)
        rpc_call_failf(call, member.fails, "%s", str_or(member.text, "no"));
    else
        rpc_call_reply(call, &response.base);
}

static void handle_stream(struct rpc_call *call)
{
    if (member.ours)
        rpc_call_add_header(call, PEERS_OURS_HEADER, "1");
}

static void on_stream_message(struct rpc_call *call)
{
    see(((const Swarm__StreamRaftMessageRequest *)rpc_call_message(call))->message);
}

static void on_stream_end(struct rpc_call *call)
{
    if (!member.holds) {
        reply(call);
        return;
    }
    ck_assert_uint_lt(member.held_count, CALLS_MAX);
    member.held[member.held_count++] = call;
}

static void on_stream_cancel(struct rpc_call *call)
{
    for (size_t i = 0; i < member.held_count; i++)
        if (member.held[i] == call)
            member.held[i] = member.held[--member.held_count];
    rpc_call_failf(call, ERR_CANCELLED, "cancelled");
}

static void answer_held(void)
{
    struct rpc_call *held[CALLS_MAX];
    size_t count = member.held_count;
    memcpy(held, member.held, sizeof held);
    member.held_count = 0;
    for (size_t i = 0; i < count; i++)
        reply(held[i]);
}

static void handle_beats(struct rpc_call *call)
{
    member.beats = call;
    member.beats_calls++;
}

static void on_beat(struct rpc_call *call)
{
    const Raftpb__Message *heartbeat =
        ((const Swarm__StreamRaftMessageRequest *)rpc_call_message(call))->message;
    ck_assert_int_eq(heartbeat->type, RAFTPB__MESSAGE_TYPE__MsgHeartbeat);
    member.beats_count++;
    if (member.mute)
        return;
    Raftpb__Message message = *heartbeat;
    message.type = (Raftpb__MessageType)member.answers_with;
    message.from = heartbeat->to;
    message.to = heartbeat->from;
    Swarm__StreamRaftMessageRequest answer = SWARM__STREAM_RAFT_MESSAGE_REQUEST__INIT;
    answer.message = &message;
    ck_assert_int_eq(rpc_call_send(call, &answer.base, NULL), 0);
}

static void on_beats_over(struct rpc_call *call)
{
    if (member.beats == call)
        member.beats = NULL;
    rpc_call_finish(call, NULL);
}

static void handle_process(struct rpc_call *call)
{
    see(((const Swarm__ProcessRaftMessageRequest *)rpc_call_message(call))->message);
    member.old_calls++;
    Swarm__ProcessRaftMessageResponse response = SWARM__PROCESS_RAFT_MESSAGE_RESPONSE__INIT;
    rpc_call_reply(call, &response.base);
}

static void handle_health(struct rpc_call *call)
{
    const Swarm__HealthCheckRequest *request =
        (const Swarm__HealthCheckRequest *)rpc_call_message(call);
    ck_assert_str_eq(request->service, "Raft");
    Swarm__HealthCheckResponse response = SWARM__HEALTH_CHECK_RESPONSE__INIT;
    response.status = member.serving ? SWARM__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                                     : SWARM__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
    rpc_call_reply(call, &response.base);
}

static const struct rpc_method methods[] = {
    {.path = "/docker.swarmkit.v1.Raft/ProcessRaftMessage",
     .kind = RPC_UNARY,
     .request = &swarm__process_raft_message_request__descriptor,
     .handle = handle_process},
    {.path = "/docker.swarmkit.v1.Health/Check",
     .kind = RPC_UNARY,
     .request = &swarm__health_check_request__descriptor,
     .handle = handle_health},
    {.path = PEERS_BEATS_PATH,
     .kind = RPC_BIDI_STREAM,
     .request = &swarm__stream_raft_message_request__descriptor,
     .handle = handle_beats,
     .on_message = on_beat,
     .on_end = on_beats_over,
     .on_cancel = on_beats_over},
    // Last: an old member lacks it.
    {.path = "/docker.swarmkit.v1.Raft/StreamRaftMessage",
     .kind = RPC_CLIENT_STREAM,
     .request = &swarm__stream_raft_message_request__descriptor,
     .handle = handle_stream,
     .on_message = on_stream_message,
     .on_end = on_stream_end,
     .on_cancel = on_stream_cancel},
};

static void member_start(bool old)
{
    struct loop *loops[] = {&loop};
    struct rpc_service service = {
        .methods = methods, .methods_count = COUNT_OF(methods) - old, .ctx = &member};
    member.server = rpc_server_new(&(struct rpc_server_config){
        .loops = loops, .loops_count = 1, .services = &service, .services_count = 1});
    struct err err = ERR_INIT;
    struct addr any;
    ck_assert_int_eq(addr_parse("127.0.0.1:1", 0, &any, &err), 0);
    any.port = 0;
    ck_assert_msg(rpc_server_listen(member.server, &any, -1, &member.addr, &err) == 0, "%s",
                  err.message);
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static bool is_set(void *ctx)
{
    return *(bool *)ctx;
}

static void member_stop(void)
{
    if (!member.server)
        return;
    member.closed = false;
    rpc_server_close(member.server, 0, &loop, set_flag, &member.closed);
    ck_assert(loop_run_until(&loop, is_set, &member.closed, WAIT_MS));
    member.server = NULL;
}

// ---- what is reported ---------------------------------------------------------------------------

static size_t unreachable, snapshots_sent, snapshots_lost, removals, recognised, answered;

static void on_answered(void *ctx, const struct raft_message *message)
{
    (void)ctx;
    ck_assert_int_eq(message->type, RAFT_MSG_HEARTBEAT_RESP);
    ck_assert_uint_eq(message->from, HIM);
    answered++;
}

static void on_unreachable(void *ctx, uint64_t raft_id)
{
    (void)ctx;
    ck_assert_uint_eq(raft_id, HIM);
    unreachable++;
}

static void on_snapshot_sent(void *ctx, uint64_t raft_id, bool ok)
{
    (void)ctx;
    ck_assert_uint_eq(raft_id, HIM);
    *(ok ? &snapshots_sent : &snapshots_lost) += 1;
}

static void on_removed(void *ctx)
{
    (void)ctx;
    removals++;
}

static void on_ours(void *ctx, uint64_t raft_id)
{
    (void)ctx;
    ck_assert_uint_eq(raft_id, HIM);
    recognised++;
}

struct at_least {
    const size_t *figure;
    size_t wanted;
};

static bool is_reached(void *ctx)
{
    const struct at_least *it = ctx;
    return *it->figure >= it->wanted;
}

static void await(const size_t *figure, size_t wanted)
{
    struct at_least it = {figure, wanted};
    ck_assert_msg(loop_run_until(&loop, is_reached, &it, WAIT_MS), "%zu of %zu", *figure, wanted);
}

// ---- sending ------------------------------------------------------------------------------------

static void know_him(void)
{
    char text[ADDR_TEXT_BYTES];
    transport->set_peer(transport, HIM, "him", addr_format(&member.addr, text));
}

static void send_one(uint64_t index)
{
    struct raft_message message = {.type = RAFT_MSG_APP, .to = HIM, .from = 1, .index = index};
    transport->send(transport, &message, NULL);
}

static void send_many(uint64_t first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        send_one(first + i);
}

static uint8_t *snapshot_bytes(size_t size)
{
    uint8_t *bytes = mem_alloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 12));
    return bytes;
}

static void send_snapshot(size_t size)
{
    struct raft_snapshot snapshot = {.index = 99, .term = 1};
    struct raft_message message = {
        .type = RAFT_MSG_SNAP, .to = HIM, .from = 1, .index = 99, .snapshot = &snapshot};
    uint8_t *bytes = snapshot_bytes(size);
    struct raft_blob *blob = raft_blob_new(bytes, size);
    transport->send(transport, &message, blob);
    raft_blob_unref(blob);
    free(bytes);
}

static void check_order(size_t count)
{
    ck_assert_uint_eq(member.seen_count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(member.seen[i], i + 1);
}

static void setup(void)
{
    loop_init(&loop);
    memset(&member, 0, sizeof member);
    buf_init(&member.data, DATA_MAX);
    unreachable = snapshots_sent = snapshots_lost = removals = recognised = answered = 0;
    member.answers_with = RAFT_MSG_HEARTBEAT_RESP;
    peers = peers_new(&(struct peers_config){.loop = &loop, .ours = on_ours});
    transport = peers_transport(peers);
    peers_set_reports(peers, &(struct transport_reports){.unreachable = on_unreachable,
                                                         .snapshot_sent = on_snapshot_sent,
                                                         .answered = on_answered,
                                                         .removed = on_removed});
}

static void teardown(void)
{
    bool closed = false;
    peers_close(peers, set_flag, &closed);
    ck_assert(!closed); // never inside of the call
    ck_assert(loop_run_until(&loop, is_set, &closed, WAIT_MS));
    member_stop();
    buf_fini(&member.data);
    loop_fini(&loop);
}

// ---- order and width ----------------------------------------------------------------------------

// Its handlers run at the same time: two calls at once could change places.
START_TEST(a_stock_member_gets_the_next_message_when_it_has_answered_the_last)
{
    member_start(false);
    member.holds = true;
    know_him();
    send_many(1, 40);
    for (size_t i = 1; i <= 40; i++) {
        await(&member.seen_count, i);
        ck_assert_uint_eq(member.seen_count, i);
        ck_assert_uint_le(member.held_count, 1);
        await(&member.held_count, 1);
        answer_held();
    }
    check_order(40);
    ck_assert_uint_eq(recognised, 0);
    ck_assert_uint_eq(unreachable, 0);
}
END_TEST

START_TEST(our_own_kind_gets_a_pipeline_in_order)
{
    member_start(false);
    member.ours = member.holds = true;
    know_him();
    send_many(1, 200);
    await(&member.held_count, 1); // nobody knows yet what it is
    answer_held();
    await(&member.held_count, PEERS_PIPELINE);
    ck_assert_uint_eq(member.held_count, PEERS_PIPELINE);
    ck_assert_uint_eq(recognised, 1);
    member.holds = false;
    answer_held();
    await(&member.seen_count, 200);
    check_order(200);
    ck_assert_uint_eq(recognised, 1);
    ck_assert(transport->reachable(transport, HIM));
}
END_TEST

START_TEST(an_old_member_is_spoken_to_in_the_old_way)
{
    member_start(true);
    know_him();
    send_many(1, 20);
    await(&member.old_calls, 20);
    check_order(20);
    ck_assert_uint_eq(unreachable, 0);
}
END_TEST

START_TEST(a_member_that_moved_is_found_at_its_new_address)
{
    member_start(false);
    know_him();
    send_one(1);
    await(&member.seen_count, 1);
    member_stop();
    member_start(false);
    know_him();
    send_one(2);
    await(&member.seen_count, 2);
    check_order(2);
}
END_TEST

// ---- heartbeats ---------------------------------------------------------------------------------

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

static void run_for_ms(int64_t ms)
{
    loop_run_until(&loop, never, NULL, ms);
}

static void send_heartbeat(void)
{
    struct raft_message message = {.type = RAFT_MSG_HEARTBEAT, .to = HIM, .from = 1};
    transport->send(transport, &message, NULL);
}

// A member of our own kind, known as such.
static void know_one_of_ours(void)
{
    member_start(false);
    member.ours = true;
    know_him();
    send_one(1);
    await(&recognised, 1);
    while (!transport->reachable(transport, HIM))
        run_for_ms(1);
}

START_TEST(heartbeats_to_our_own_kind_and_their_answers_have_one_call)
{
    know_one_of_ours();
    for (size_t i = 1; i <= 20; i++) {
        send_heartbeat();
        await(&answered, i);
    }
    ck_assert_uint_eq(member.beats_calls, 1);
    ck_assert_uint_eq(member.beats_count, 20);
    ck_assert_uint_eq(member.seen_count, 1); // no call of their own
    ck_assert_uint_eq(unreachable, 0);
}
END_TEST

START_TEST(heartbeats_to_stock_are_calls)
{
    member_start(false);
    know_him();
    send_one(1);
    await(&member.seen_count, 1);
    send_heartbeat();
    await(&member.seen_count, 2);
    ck_assert_uint_eq(member.beats_calls, 0);
}
END_TEST

START_TEST(a_call_of_heartbeats_that_broke_is_made_again)
{
    know_one_of_ours();
    send_heartbeat();
    await(&answered, 1);
    member_stop();
    await(&unreachable, 1);
    ck_assert(!transport->reachable(transport, HIM));
    member_start(false);
    know_him();
    send_heartbeat(); // a call, as nobody knows whether it is there
    await(&member.seen_count, 2);
    while (!transport->reachable(transport, HIM))
        run_for_ms(1);
    send_heartbeat();
    await(&answered, 2);
    ck_assert_uint_eq(member.beats_calls, 2);
}
END_TEST

START_TEST(a_member_that_answers_no_heartbeat_is_unreachable)
{
    know_one_of_ours();
    member.mute = member.holds = true;
    send_heartbeat();
    await(&member.beats_count, 1);
    while (unreachable == 0) {
        send_heartbeat();
        run_for_ms(50);
    }
    ck_assert(!transport->reachable(transport, HIM));
    ck_assert_uint_eq(member.beats_calls, 1);
    ck_assert_uint_eq(answered, 0);
}
END_TEST

START_TEST(an_answer_that_is_none_ends_the_call)
{
    know_one_of_ours();
    member.answers_with = RAFT_MSG_APP;
    send_heartbeat();
    await(&unreachable, 1);
    ck_assert_uint_eq(answered, 0);
}
END_TEST

START_TEST(who_answers_heartbeats_sends_none)
{
    know_one_of_ours();
    send_heartbeat();
    await(&answered, 1);
    ck_assert_ptr_nonnull(member.beats);
    struct raft_message message = {.type = RAFT_MSG_HEARTBEAT_RESP, .to = HIM, .from = 1};
    transport->send(transport, &message, NULL);
    await(&member.seen_count, 2); // no call of his is open: as any other
    while (member.beats)
        run_for_ms(1);
    ck_assert_uint_eq(unreachable, 0);
}
END_TEST

// ---- snapshots ----------------------------------------------------------------------------------

START_TEST(a_snapshot_goes_in_pieces_that_stock_takes)
{
    member_start(false);
    know_him();
    send_snapshot(9 << 20);
    await(&snapshots_sent, 1);
    ck_assert_uint_eq(member.pieces, 3);
    ck_assert_uint_lt(member.piece_bytes_max, PEERS_CHUNK_BYTES);
    ck_assert_uint_eq(member.data.len, 9 << 20);
    uint8_t *bytes = snapshot_bytes(9 << 20);
    ck_assert_int_eq(memcmp(member.data.data, bytes, 9 << 20), 0);
    free(bytes);
    ck_assert_uint_eq(snapshots_lost, 0);
}
END_TEST

START_TEST(a_snapshot_that_is_refused_is_told)
{
    member_start(false);
    member.fails = ERR_INTERNAL;
    know_him();
    send_snapshot(1000);
    await(&snapshots_lost, 1);
    await(&unreachable, 1);
    ck_assert_uint_eq(snapshots_sent, 0);
}
END_TEST

// ---- who does not answer ------------------------------------------------------------------------

START_TEST(who_is_not_there_is_unreachable_and_comes_back)
{
    member_start(false);
    know_him();
    member_stop(); // its address is nobody's now
    send_one(1);
    await(&unreachable, 1);
    ck_assert(!transport->reachable(transport, HIM));
    send_snapshot(1000);
    await(&snapshots_lost, 1);
    member_start(false);
    know_him();
    send_one(2);
    await(&member.seen_count, 1);
    ck_assert_uint_eq(member.seen[0], 2);
}
END_TEST

START_TEST(a_member_that_never_answers_holds_up_a_bounded_queue_for_a_bounded_time)
{
    member_start(false);
    member.holds = true;
    know_him();
    send_many(1, 1 + PEERS_QUEUE_MAX); // one is under way
    struct mono begin = loop_now(&loop);
    await(&member.held_count, 1);
    ck_assert_uint_eq(unreachable, 0);
    send_many(5000, 10);
    ck_assert_uint_eq(unreachable, 0); // never inside of the call
    await(&unreachable, 10);
    ck_assert_uint_eq(unreachable, 10);
    await(&unreachable, 11); // the first one's time is over
    ck_assert_int_ge(mono_since(loop_now(&loop), begin), PEERS_SEND_MS * NS_PER_MS / 2);
}
END_TEST

START_TEST(nobody_knows_a_member_without_an_address)
{
    send_one(1);
    send_snapshot(10);
    await(&unreachable, 2);
    ck_assert_uint_eq(snapshots_lost, 1);
    transport->set_peer(transport, HIM, "him", "no address");
    ck_assert(!transport->reachable(transport, HIM));
    send_one(2);
    await(&unreachable, 3);
}
END_TEST

START_TEST(a_member_says_that_we_were_removed)
{
    member_start(false);
    member.fails = ERR_NOT_FOUND;
    member.text = "something else";
    know_him();
    send_one(1);
    await(&unreachable, 1);
    ck_assert_uint_eq(removals, 0);
    member.text = "raft: member was removed from the cluster";
    send_one(2);
    await(&removals, 1);
}
END_TEST

// What a removed member has not heard yet, its removal above all, still goes out.
START_TEST(what_waits_for_a_removed_member_still_goes_out)
{
    member_start(false);
    member.holds = true;
    know_him();
    send_many(1, 5);
    await(&member.held_count, 1);
    transport->remove_peer(transport, HIM);
    send_one(6); // too late
    await(&unreachable, 1);
    member.holds = false;
    answer_held();
    await(&member.seen_count, 5);
    check_order(5);
}
END_TEST

// ---- health -------------------------------------------------------------------------------------

struct health {
    bool done;
    enum err_code code;
};

static void on_health(void *ctx, const struct err *err)
{
    struct health *health = ctx;
    ck_assert(!health->done);
    *health = (struct health){true, err ? err->code : ERR_OK};
}

static enum err_code health_of_member(void)
{
    struct health health = {0};
    peers_check_member(peers, HIM, on_health, &health);
    ck_assert(!health.done);
    ck_assert(loop_run_until(&loop, is_set, &health.done, WAIT_MS));
    return health.code;
}

static enum err_code health_of(const char *addr)
{
    struct health health = {0};
    peers_check_addr(peers, addr, on_health, &health);
    ck_assert(!health.done);
    ck_assert(loop_run_until(&loop, is_set, &health.done, WAIT_MS));
    return health.code;
}

START_TEST(health_is_what_the_member_says)
{
    ck_assert_int_eq(health_of_member(), ERR_NOT_FOUND);
    member_start(false);
    know_him();
    ck_assert_int_eq(health_of_member(), ERR_UNAVAILABLE);
    member.serving = true;
    ck_assert_int_eq(health_of_member(), ERR_OK);
    char text[ADDR_TEXT_BYTES];
    ck_assert_int_eq(health_of(addr_format(&member.addr, text)), ERR_OK);
    ck_assert_int_eq(health_of("no address"), ERR_INVALID_ARGUMENT);
    member_stop();
    ck_assert_int_ne(health_of(text), ERR_OK);
}
END_TEST

Suite *suite_peers_io(void);
Suite *suite_peers_io(void)
{
    Suite *suite = suite_create("peers_io");
    TCase *tcase = tcase_create("peers_io");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_stock_member_gets_the_next_message_when_it_has_answered_the_last);
    tcase_add_test(tcase, our_own_kind_gets_a_pipeline_in_order);
    tcase_add_test(tcase, an_old_member_is_spoken_to_in_the_old_way);
    tcase_add_test(tcase, a_member_that_moved_is_found_at_its_new_address);
    tcase_add_test(tcase, heartbeats_to_our_own_kind_and_their_answers_have_one_call);
    tcase_add_test(tcase, heartbeats_to_stock_are_calls);
    tcase_add_test(tcase, a_call_of_heartbeats_that_broke_is_made_again);
    tcase_add_test(tcase, a_member_that_answers_no_heartbeat_is_unreachable);
    tcase_add_test(tcase, an_answer_that_is_none_ends_the_call);
    tcase_add_test(tcase, who_answers_heartbeats_sends_none);
    tcase_add_test(tcase, a_snapshot_goes_in_pieces_that_stock_takes);
    tcase_add_test(tcase, a_snapshot_that_is_refused_is_told);
    tcase_add_test(tcase, who_is_not_there_is_unreachable_and_comes_back);
    tcase_add_test(tcase, a_member_that_never_answers_holds_up_a_bounded_queue_for_a_bounded_time);
    tcase_add_test(tcase, nobody_knows_a_member_without_an_address);
    tcase_add_test(tcase, a_member_says_that_we_were_removed);
    tcase_add_test(tcase, what_waits_for_a_removed_member_still_goes_out);
    tcase_add_test(tcase, health_is_what_the_member_says);
    suite_add_tcase(suite, tcase);
    return suite;
}
