#include "raft/raft_rpc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"
#include "proto/wire/raft.pb-c.h"
#include "raft/envelope.h"
#include "raft/net/convert.h"

// What one message may take decoded, besides its entries' bodies.
#define STREAM_ARENA_BYTES ((size_t)64 << 20)

#define JOIN_ERR_DIAL                                                                              \
    "could not connect to prospective new cluster member using its advertised address"

struct raft_rpc {
    struct loop *loop;
    struct raft_node *node;
    struct peers *peers;
    struct rand rand;
    struct list calls; // under way and waiting for something: struct waiting
    struct list beats; // open calls that heartbeats come from: struct beating
    bool stopped;
};

// A call that waits for a health check or a commit. The check or proposal may outlive the service,
// so it is told by `rpc` being NULL.
struct waiting {
    struct list link;
    struct raft_rpc *rpc;
    struct rpc_call *call;
    struct raft_proposal proposal;
    // A vote, held until its sender proved healthy.
    struct arena arena;
    struct raft_message message;
    // A join.
    uint64_t raft_id;
    enum raft_change_type type;
    char *node_id;
    char *addr;
};

static struct waiting *waiting_new(struct raft_rpc *rpc, struct rpc_call *call)
{
    struct waiting *waiting = MEM_NEW(struct waiting);
    waiting->rpc = rpc;
    waiting->call = call;
    arena_init(&waiting->arena, STREAM_ARENA_BYTES);
    list_push_back(&rpc->calls, &waiting->link);
    return waiting;
}

static void waiting_free(struct waiting *waiting)
{
    list_remove(&waiting->link);
    convert_message_drop(&waiting->message);
    arena_fini(&waiting->arena);
    free(waiting->node_id);
    free(waiting->addr);
    free(waiting);
}

// ---- messages -----------------------------------------------------------------------------------

static void reply_stream(struct rpc_call *call)
{
    Swarm__StreamRaftMessageResponse response = SWARM__STREAM_RAFT_MESSAGE_RESPONSE__INIT;
    rpc_call_reply(call, &response.base);
}

static void reply_process(struct rpc_call *call)
{
    Swarm__ProcessRaftMessageResponse response = SWARM__PROCESS_RAFT_MESSAGE_RESPONSE__INIT;
    rpc_call_reply(call, &response.base);
}

// Both calls answer alike; what the core thinks of a message is not reported (18.4).
static void reply_message(struct rpc_call *call)
{
    if (rpc_call_method(call)->kind == RPC_UNARY)
        reply_process(call);
    else
        reply_stream(call);
}

static void step(struct raft_rpc *rpc, const struct raft_message *message, struct raft_blob *data)
{
    struct err err = ERR_INIT;
    if (raft_node_receive(rpc->node, message, data, &err))
        log_debug("raft message refused", "from=%" PRIx64 " type=%s err=\"%s\"", message->from,
                  raft_message_name(message->type), err.message);
}

static void on_voter_checked(void *ctx, const struct err *err)
{
    struct waiting *waiting = ctx;
    if (waiting->rpc) {
        if (!err)
            step(waiting->rpc, &waiting->message, NULL);
        reply_message(waiting->call);
    }
    waiting_free(waiting);
}

// Takes a whole message; `message` is consumed. The call is answered now or later.
static void take_message(struct raft_rpc *rpc, struct rpc_call *call, struct raft_message *message,
                         struct raft_blob *data)
{
    const struct members *members = raft_node_members(rpc->node);
    bool vote = message->type == RAFT_MSG_VOTE || message->type == RAFT_MSG_PRE_VOTE;
    if (members_was_removed(members, message->from)) {
        rpc_call_failf(call, ERR_NOT_FOUND, MEMBERS_ERR_REMOVED);
    } else if (vote && message->entries_count) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, "a vote with entries");
    } else if (vote) {
        // Somebody whom we cannot reach must not become leader: it would hear no answer of ours.
        if (!members_find(members, message->from)) {
            reply_message(call);
        } else {
            struct waiting *waiting = waiting_new(rpc, call);
            waiting->message = *message;
            // Without entries nothing in it points into the caller's arena.
            waiting->message.entries = NULL;
            peers_check_member(rpc->peers, message->from, on_voter_checked, waiting);
        }
    } else {
        step(rpc, message, data);
        reply_message(call);
    }
    convert_message_drop(message);
}

// ---- StreamRaftMessage --------------------------------------------------------------------------

// One incoming stream: a message, or the pieces of a MsgSnap.
struct incoming {
    bool begun;
    struct arena arena;
    struct raft_message message;
    struct buf data; // of the snapshot, piece by piece
};

static void incoming_free(struct rpc_call *call)
{
    struct incoming *incoming = rpc_call_user(call);
    if (!incoming)
        return;
    rpc_call_set_user(call, NULL);
    convert_message_drop(&incoming->message);
    arena_fini(&incoming->arena);
    buf_fini(&incoming->data);
    free(incoming);
}

static void fail_stream(struct rpc_call *call, const struct err *err)
{
    incoming_free(call);
    rpc_call_fail(call, err);
}

static void handle_stream(struct rpc_call *call)
{
    struct incoming *incoming = MEM_NEW(struct incoming);
    arena_init(&incoming->arena, STREAM_ARENA_BYTES);
    buf_init(&incoming->data, ENVELOPE_BYTES_MAX);
    rpc_call_set_user(call, incoming);
    rpc_call_add_header(call, PEERS_OURS_HEADER, "1");
}

static void on_stream_message(struct rpc_call *call)
{
    struct incoming *incoming = rpc_call_user(call);
    if (!incoming)
        return; // failed already
    const Swarm__StreamRaftMessageRequest *request =
        (const Swarm__StreamRaftMessageRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    const Raftpb__Message *message = request->message;
    if (!message) {
        err_set(&err, ERR_INVALID_ARGUMENT, "raft message is missing");
        fail_stream(call, &err);
        return;
    }
    if (!incoming->begun) {
        if (convert_message_in(message, &incoming->arena, &incoming->message, &err)) {
            fail_stream(call, &err);
            return;
        }
        incoming->begun = true;
    } else if (message->type != RAFTPB__MESSAGE_TYPE__MsgSnap ||
               incoming->message.type != RAFT_MSG_SNAP ||
               message->index != incoming->message.index) {
        err_set(&err, ERR_INVALID_ARGUMENT, "raft message of several pieces is no one snapshot");
        fail_stream(call, &err);
        return;
    }
    if (message->snapshot)
        buf_put(&incoming->data, message->snapshot->data.data, message->snapshot->data.len);
    if (!buf_ok(&incoming->data)) {
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "snapshot is larger than %zu bytes",
                ENVELOPE_BYTES_MAX);
        fail_stream(call, &err);
    }
}

static void on_stream_end(struct rpc_call *call)
{
    struct incoming *incoming = rpc_call_user(call);
    if (!incoming)
        return;
    if (!incoming->begun) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_INVALID_ARGUMENT, "raft message is missing");
        fail_stream(call, &err);
        return;
    }
    struct raft_blob *data = NULL;
    if (incoming->message.type == RAFT_MSG_SNAP) {
        data = raft_blob_new(incoming->data.data, incoming->data.len);
        buf_fini(&incoming->data); // a large one need not be held twice
    }
    rpc_call_set_user(call, NULL); // the call may be gone when take_message returns
    take_message(rpc_call_ctx(call), call, &incoming->message, data);
    raft_blob_unref(data);
    arena_fini(&incoming->arena);
    buf_fini(&incoming->data);
    free(incoming);
}

static void on_stream_cancel(struct rpc_call *call)
{
    struct incoming *incoming = rpc_call_user(call);
    if (!incoming)
        return; // it waits for something and is finished then
    struct err err = ERR_INIT;
    err_set(&err, ERR_CANCELLED, "cancelled");
    fail_stream(call, &err);
}

// ---- Beats --------------------------------------------------------------------------------------

// A leader of our own kind, as long as its call is open (raft/net/beats_io.h).
struct beating {
    struct list link; // in rpc->beats
    struct raft_rpc *rpc;
    struct rpc_call *call;
    uint64_t from; // 0: nobody yet
};

static void beating_end(struct rpc_call *call, const struct err *err)
{
    struct beating *beating = rpc_call_user(call);
    peers_drop_answers(beating->rpc->peers, beating->from, call);
    list_remove(&beating->link);
    free(beating);
    rpc_call_set_user(call, NULL);
    if (err) {
        rpc_call_fail(call, err);
        return;
    }
    rpc_call_finish(call, NULL);
}

static void handle_beats(struct rpc_call *call)
{
    struct raft_rpc *rpc = rpc_call_ctx(call);
    if (rpc->stopped) {
        rpc_call_failf(call, ERR_UNAVAILABLE, RAFT_NODE_ERR_STOPPED);
        return;
    }
    struct beating *beating = MEM_NEW(struct beating);
    beating->rpc = rpc;
    beating->call = call;
    list_push_back(&rpc->beats, &beating->link);
    rpc_call_set_user(call, beating);
}

// Heartbeats of one member, and of nobody who was removed.
static int check_beat(struct beating *beating, const struct raft_message *message, struct err *err)
{
    if (message->type != RAFT_MSG_HEARTBEAT)
        return err_set(err, ERR_INVALID_ARGUMENT, "only heartbeats come this way");
    if (beating->from && message->from != beating->from)
        return err_set(err, ERR_INVALID_ARGUMENT, "heartbeats of two members");
    if (members_was_removed(raft_node_members(beating->rpc->node), message->from))
        return err_set(err, ERR_NOT_FOUND, MEMBERS_ERR_REMOVED);
    return 0;
}

static void on_beat(struct rpc_call *call)
{
    struct beating *beating = rpc_call_user(call);
    if (!beating)
        return; // failed already
    const Swarm__StreamRaftMessageRequest *request =
        (const Swarm__StreamRaftMessageRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    struct arena arena;
    struct raft_message message = {0};
    arena_init_small(&arena, STREAM_ARENA_BYTES);
    if (!request->message)
        err_set(&err, ERR_INVALID_ARGUMENT, "raft message is missing");
    else if (!convert_message_in(request->message, &arena, &message, &err) &&
             !check_beat(beating, &message, &err)) {
        beating->from = message.from;
        peers_set_answers(beating->rpc->peers, message.from, call);
        step(beating->rpc, &message, NULL);
    }
    convert_message_drop(&message);
    arena_fini(&arena);
    if (err.code != ERR_OK)
        beating_end(call, &err);
}

static void on_beats_end(struct rpc_call *call)
{
    if (rpc_call_user(call))
        beating_end(call, NULL);
}

static void on_beats_cancel(struct rpc_call *call)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_CANCELLED, "cancelled");
    if (rpc_call_user(call))
        beating_end(call, &err);
}

// ---- ProcessRaftMessage, ResolveAddress ---------------------------------------------------------

static void handle_process(struct rpc_call *call)
{
    const Swarm__ProcessRaftMessageRequest *request =
        (const Swarm__ProcessRaftMessageRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    struct raft_message message;
    if (!request->message)
        err_set(&err, ERR_INVALID_ARGUMENT, "raft message is missing");
    else
        convert_message_in(request->message, rpc_call_arena(call), &message, &err);
    if (err.code != ERR_OK) {
        rpc_call_fail(call, &err);
        return;
    }
    struct raft_blob *data = NULL;
    if (message.type == RAFT_MSG_SNAP)
        data = raft_blob_new(request->message->snapshot->data.data,
                             request->message->snapshot->data.len);
    take_message(rpc_call_ctx(call), call, &message, data);
    raft_blob_unref(data);
}

static void handle_resolve(struct rpc_call *call)
{
    struct raft_rpc *rpc = rpc_call_ctx(call);
    const Swarm__ResolveAddressRequest *request =
        (const Swarm__ResolveAddressRequest *)rpc_call_message(call);
    const struct member *member = members_find(raft_node_members(rpc->node), request->raft_id);
    if (!member) {
        rpc_call_failf(call, ERR_NOT_FOUND, "member not found");
        return;
    }
    Swarm__ResolveAddressResponse response = SWARM__RESOLVE_ADDRESS_RESPONSE__INIT;
    response.addr = member->addr;
    rpc_call_reply(call, &response.base);
}

// ---- Join ---------------------------------------------------------------------------------------

// A raft id that nobody has or had, in 1..2^63 - 1 (18.2).
static uint64_t fresh_id(struct raft_rpc *rpc)
{
    const struct members *members = raft_node_members(rpc->node);
    for (;;) {
        uint64_t id = rand_u64(&rpc->rand) >> 1;
        if (id && !members_find(members, id) && !members_was_removed(members, id))
            return id;
    }
}

static void reply_join(struct waiting *waiting)
{
    struct arena *arena = rpc_call_arena(waiting->call);
    Swarm__ClusterSnapshot *list = members_save(raft_node_members(waiting->rpc->node), arena);
    if (!list) {
        rpc_call_failf(waiting->call, ERR_RESOURCE_EXHAUSTED, "member list is too long");
        return;
    }
    Swarm__JoinResponse response = SWARM__JOIN_RESPONSE__INIT;
    response.raft_id = waiting->raft_id;
    response.n_members = list->n_members;
    response.members = list->members;
    rpc_call_reply(waiting->call, &response.base);
}

static void on_join_committed(struct raft_proposal *proposal, const struct err *err)
{
    struct waiting *waiting = CONTAINER_OF(proposal, struct waiting, proposal);
    if (waiting->rpc) {
        if (err)
            rpc_call_fail(waiting->call, err);
        else
            reply_join(waiting);
    }
    waiting_free(waiting);
}

// The joiner listens and shows a manager's certificate: it may come in.
static void on_joiner_checked(void *ctx, const struct err *err)
{
    struct waiting *waiting = ctx;
    if (!waiting->rpc) {
        waiting_free(waiting);
        return;
    }
    if (err) {
        rpc_call_failf(waiting->call, ERR_UNKNOWN, JOIN_ERR_DIAL ": %s", err->message);
        waiting_free(waiting);
        return;
    }
    struct err failure = ERR_INIT;
    waiting->proposal.done = on_join_committed;
    if (raft_node_propose_change(waiting->rpc->node, &waiting->proposal, waiting->type,
                                 waiting->raft_id, waiting->node_id, waiting->addr, &failure)) {
        rpc_call_fail(waiting->call, &failure);
        waiting_free(waiting);
    }
}

static bool is_unspecified(const struct addr *addr)
{
    static const uint8_t zeros[16];
    return (addr->kind == ADDR_IP4 && memcmp(addr->ip, zeros, 4) == 0) ||
           (addr->kind == ADDR_IP6 && memcmp(addr->ip, zeros, 16) == 0);
}

// The address others shall use: as given, or the caller's own where it names none.
static int advertised(const char *text, const char *caller, char out[ADDR_TEXT_BYTES],
                      struct err *err)
{
    struct addr addr, source;
    if (addr_parse(text, 0, &addr, NULL) || addr.kind == ADDR_UNIX || addr.port == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid address %.200s in raft join request",
                       text);
    if (is_unspecified(&addr)) {
        if (addr_parse(caller, 0, &source, err))
            return err_wrap(err, "address of the joining node");
        source.port = addr.port;
        addr = source;
    }
    addr_format(&addr, out);
    return 0;
}

static void handle_join(struct rpc_call *call)
{
    struct raft_rpc *rpc = rpc_call_ctx(call);
    const Swarm__JoinRequest *request = (const Swarm__JoinRequest *)rpc_call_message(call);
    const struct caller *caller = rpc_call_caller(call);
    struct err err = ERR_INIT;
    char addr[ADDR_TEXT_BYTES];
    if (!raft_node_role(rpc->node).acting) {
        rpc_call_failf(call, ERR_FAILED_PRECONDITION, RAFT_NODE_ERR_LOST);
        return;
    }
    if (str_empty(caller->node_id)) {
        rpc_call_failf(call, ERR_PERMISSION_DENIED, "a node without a name cannot join");
        return;
    }
    if (advertised(request->addr, caller->addr, addr, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    const struct member *known = members_find_node(raft_node_members(rpc->node), caller->node_id);
    struct waiting *waiting = waiting_new(rpc, call);
    waiting->node_id = str_dup(caller->node_id);
    waiting->addr = str_dup(addr);
    waiting->type = known ? RAFT_CHANGE_UPDATE : RAFT_CHANGE_ADD;
    waiting->raft_id = known ? known->raft_id : fresh_id(rpc);
    if (known && str_equal(known->addr, addr)) {
        reply_join(waiting);
        waiting_free(waiting);
        return;
    }
    peers_check_addr(rpc->peers, addr, on_joiner_checked, waiting);
}

// ---- Leave --------------------------------------------------------------------------------------

static void on_leave_committed(struct raft_proposal *proposal, const struct err *err)
{
    struct waiting *waiting = CONTAINER_OF(proposal, struct waiting, proposal);
    if (waiting->rpc) {
        Swarm__LeaveResponse response = SWARM__LEAVE_RESPONSE__INIT;
        if (err)
            rpc_call_fail(waiting->call, err);
        else
            rpc_call_reply(waiting->call, &response.base);
    }
    waiting_free(waiting);
}

static void handle_leave(struct rpc_call *call)
{
    struct raft_rpc *rpc = rpc_call_ctx(call);
    const Swarm__LeaveRequest *request = (const Swarm__LeaveRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    if (!request->node) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, "no node information provided");
        return;
    }
    if (!raft_node_role(rpc->node).acting)
        err_set(&err, ERR_UNKNOWN, RAFT_NODE_ERR_LOST);
    else
        raft_node_check_removal(rpc->node, request->node->raft_id, &err);
    if (err.code != ERR_OK) {
        err.code = ERR_UNKNOWN; // all of 18.8 are bare texts
        rpc_call_fail(call, &err);
        return;
    }
    struct waiting *waiting = waiting_new(rpc, call);
    waiting->proposal.done = on_leave_committed;
    if (raft_node_propose_change(rpc->node, &waiting->proposal, RAFT_CHANGE_REMOVE,
                                 request->node->raft_id, NULL, NULL, &err)) {
        rpc_call_fail(call, &err);
        waiting_free(waiting);
    }
}

// ---- tables -------------------------------------------------------------------------------------

static const struct rpc_method message_methods[] = {
    {.path = "/docker.swarmkit.v1.Raft/StreamRaftMessage",
     .kind = RPC_CLIENT_STREAM,
     .roles = ROLE_MANAGER,
     .request = &swarm__stream_raft_message_request__descriptor,
     .handle = handle_stream,
     .on_message = on_stream_message,
     .on_end = on_stream_end,
     .on_cancel = on_stream_cancel},
    {.path = PEERS_BEATS_PATH,
     .kind = RPC_BIDI_STREAM,
     .roles = ROLE_MANAGER,
     .request = &swarm__stream_raft_message_request__descriptor,
     .handle = handle_beats,
     .on_message = on_beat,
     .on_end = on_beats_end,
     .on_cancel = on_beats_cancel},
    {.path = "/docker.swarmkit.v1.Raft/ProcessRaftMessage",
     .kind = RPC_UNARY,
     .roles = ROLE_MANAGER,
     .request = &swarm__process_raft_message_request__descriptor,
     .handle = handle_process},
    {.path = "/docker.swarmkit.v1.Raft/ResolveAddress",
     .kind = RPC_UNARY,
     .roles = ROLE_MANAGER,
     .request = &swarm__resolve_address_request__descriptor,
     .handle = handle_resolve},
};

static const struct rpc_method membership_methods[] = {
    {.path = "/docker.swarmkit.v1.RaftMembership/Join",
     .kind = RPC_UNARY,
     .roles = ROLE_MANAGER,
     .request = &swarm__join_request__descriptor,
     .handle = handle_join},
    {.path = "/docker.swarmkit.v1.RaftMembership/Leave",
     .kind = RPC_UNARY,
     .roles = ROLE_MANAGER,
     .request = &swarm__leave_request__descriptor,
     .handle = handle_leave},
};

struct rpc_service raft_rpc_messages(struct raft_rpc *rpc)
{
    return (struct rpc_service){.methods = message_methods,
                                .methods_count = COUNT_OF(message_methods),
                                .ctx = rpc,
                                .home = rpc->loop};
}

struct rpc_service raft_rpc_membership(struct raft_rpc *rpc)
{
    return (struct rpc_service){.methods = membership_methods,
                                .methods_count = COUNT_OF(membership_methods),
                                .ctx = rpc,
                                .home = rpc->loop};
}

struct raft_rpc *raft_rpc_new(struct loop *loop, struct raft_node *node, struct peers *peers,
                              uint64_t seed)
{
    struct raft_rpc *rpc = MEM_NEW(struct raft_rpc);
    rpc->loop = loop;
    rpc->node = node;
    rpc->peers = peers;
    rand_init(&rpc->rand, seed);
    list_init(&rpc->calls);
    list_init(&rpc->beats);
    return rpc;
}

void raft_rpc_stop(struct raft_rpc *rpc)
{
    rpc->stopped = true;
    while (!list_empty(&rpc->beats))
        beating_end(LIST_ENTRY(rpc->beats.next, struct beating, link)->call, NULL);
}

void raft_rpc_free(struct raft_rpc *rpc)
{
    raft_rpc_stop(rpc);
    LIST_EACH_SAFE (it, &rpc->calls) {
        // Freed when what it waits for ends; until then it must not find us.
        struct waiting *waiting = LIST_ENTRY(it, struct waiting, link);
        rpc_call_failf(waiting->call, ERR_UNKNOWN, RAFT_NODE_ERR_STOPPED);
        waiting->rpc = NULL;
        list_remove(&waiting->link);
    }
    free(rpc);
}
