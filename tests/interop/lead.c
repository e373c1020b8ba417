// Moves the leadership of a Raft group from member to member, of whatever kind they are: it tells
// the next one to campaign, as a leader does that hands over (MsgTimeoutNow), with a manager's
// certificate and a term above all others'. Under load the one that was asked may lack what the
// leader just wrote, and gets no votes; then another is asked, until one leads: no member waits for
// its clock. The one that led least is asked first, and the last SECONDS are exceeded until each
// member has led: who was asked in vain by chance has its turn again.
//
//   interop_lead ADDR FOLDER SECONDS PAUSE_MS
//
// ADDR is a manager's, which knows the members; FOLDER holds a manager's certificate, laid out as
// dockerd's certificates folder. Prints "asked ADDR" for each move, and "led ADDR" when
// that member has come to lead. Exits 1 when some member never led, MORE_S after SECONDS.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/loop_io.h"
#include "proto/base/str.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/names.h"
#include "proto/wire/raft.pb-c.h"
#include "tests/support/manager_client.h"

#define MEMBERS_MAX 16
// Elections raise the term by one each, so that a step like this is above all of them.
#define TERM_STEP   50
#define CALL_MS     500
#define ARENA_BYTES ((size_t)16 << 20)
#define ENDS_MS     60000 // by which a call has ended, also where this process was held up
// How long a member may take to lead once it was asked to, before another is.
#define LEAD_MS 1500
// How much longer it goes on for a member that has not led yet.
#define MORE_S 60

static struct loop loop;

struct member {
    uint64_t raft_id;
    char addr[ADDR_TEXT_BYTES];
    bool leads;
    size_t led;   // How often it came to lead.
    bool in_vain; // Asked since somebody came to lead.
};

static struct member members[MEMBERS_MAX];
static size_t members_count;

static void die(const struct err *err)
{
    fprintf(stderr, "%s: %s\n", err_code_name(err->code), err->message);
    exit(1);
}

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

// ---- who there is -------------------------------------------------------------------------------

// Known ones keep what they did; NULL past the most there can be.
static struct member *member_of(uint64_t raft_id)
{
    for (size_t i = 0; i < members_count; i++)
        if (members[i].raft_id == raft_id)
            return &members[i];
    if (members_count == MEMBERS_MAX)
        return NULL;
    members[members_count] = (struct member){.raft_id = raft_id};
    return &members[members_count++];
}

static void note_members(const Swarm__ListNodesResponse *list)
{
    for (size_t i = 0; i < members_count; i++)
        members[i].leads = false;
    for (size_t i = 0; i < list->n_nodes; i++) {
        const Swarm__ManagerStatus *manager = list->nodes[i]->manager_status;
        struct member *member = manager && manager->raft_id ? member_of(manager->raft_id) : NULL;
        if (!member)
            continue;
        member->leads = manager->leader;
        str_copy(member->addr, sizeof member->addr, manager->addr);
    }
}

static bool list_members(struct rpc_client *manager)
{
    struct err err = ERR_INIT;
    struct arena arena;
    Swarm__ListNodesRequest request = SWARM__LIST_NODES_REQUEST__INIT;
    struct manager_call call = {.path = "/docker.swarmkit.v1.Control/ListNodes",
                                .response = &swarm__list_nodes_response__descriptor,
                                .request = &request.base,
                                .timeout_ms = CALL_MS,
                                .arena = &arena};
    arena_init(&arena, ARENA_BYTES);
    bool ok = manager_client_call(&loop, manager, &call, &err) == 0;
    if (ok)
        note_members(call.reply);
    arena_fini(&arena);
    return ok && members_count > 0;
}

static const struct member *leader(void)
{
    for (size_t i = 0; i < members_count; i++)
        if (members[i].leads)
            return &members[i];
    return NULL;
}

static bool all_led(void)
{
    for (size_t i = 0; i < members_count; i++)
        if (members[i].led == 0)
            return false;
    return members_count > 0;
}

// Who led least and was not yet asked in vain; NULL when there is nobody.
static struct member *next_target(void)
{
    struct member *best = NULL;
    for (size_t i = 0; i < members_count; i++) {
        struct member *it = &members[i];
        if (!it->leads && !it->in_vain && (!best || it->led < best->led))
            best = it;
    }
    return best;
}

static void forget_vain(void)
{
    for (size_t i = 0; i < members_count; i++)
        members[i].in_vain = false;
}

// ---- moving it ----------------------------------------------------------------------------------

struct sent {
    bool done, ok;
};

static void on_sent(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    *(struct sent *)ctx = (struct sent){.done = true, .ok = status->err.code == ERR_OK};
}

static bool is_sent(void *ctx)
{
    return ((struct sent *)ctx)->done;
}

static bool tell(const struct member *target, uint64_t from, uint64_t term, const char *folder)
{
    struct sent sent = {0};
    struct err err = ERR_INIT;
    struct rpc_client *client = manager_client_new(&loop, target->addr, folder, &err);
    if (!client)
        die(&err);
    Raftpb__Message message = RAFTPB__MESSAGE__INIT;
    message.has_type = message.has_to = message.has_from = message.has_term = true;
    message.type = RAFTPB__MESSAGE_TYPE__MsgTimeoutNow;
    message.to = target->raft_id;
    message.from = from;
    message.term = term;
    // grpc-go wants every scalar of a proto2 message that it writes itself.
    message.has_logterm = message.has_index = message.has_commit = message.has_reject =
        message.has_rejecthint = true;
    Swarm__StreamRaftMessageRequest request = SWARM__STREAM_RAFT_MESSAGE_REQUEST__INIT;
    request.message = &message;
    struct rpc_request_spec spec = {.path = "/docker.swarmkit.v1.Raft/StreamRaftMessage",
                                    .kind = RPC_CLIENT_STREAM,
                                    .response = &swarm__stream_raft_message_response__descriptor,
                                    .timeout_ms = CALL_MS,
                                    .wait_for_ready = true,
                                    .on_done = on_sent,
                                    .ctx = &sent};
    struct rpc_request *call = rpc_client_call(client, &spec, NULL);
    rpc_request_send(call, &request.base, NULL);
    rpc_request_end(call);
    CHECK(loop_run_until(&loop, is_sent, &sent, ENDS_MS));
    manager_client_close(&loop, client);
    return sent.ok;
}

static bool comes_to_lead(struct rpc_client *manager, const char *addr)
{
    struct mono begin = loop_now(&loop);
    while (mono_since(loop_now(&loop), begin) < LEAD_MS * NS_PER_MS) {
        if (list_members(manager) && leader() && str_equal(leader()->addr, addr))
            return true;
        loop_run_until(&loop, never, NULL, 100);
    }
    return false;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "see the top of %s\n", __FILE__);
        return 2;
    }
    struct err err = ERR_INIT;
    loop_init(&loop);
    struct rpc_client *manager = manager_client_new(&loop, argv[1], argv[2], &err);
    if (!manager)
        die(&err);
    int64_t length_ns = atoll(argv[3]) * NS_PER_S;
    uint64_t term = 0, from = 0;
    struct mono begin = loop_now(&loop);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        int64_t past_ns = mono_since(loop_now(&loop), begin) - length_ns;
        if (past_ns > 0 && all_led())
            return 0;
        if (past_ns > MORE_S * NS_PER_S)
            return 1;
        // Without a leader nobody may tell who there is; who there was is asked all the same.
        list_members(manager);
        if (leader())
            from = leader()->raft_id;
        struct member *target = from ? next_target() : NULL;
        if (!target) {
            forget_vain();
            loop_run_until(&loop, never, NULL, 200);
            continue;
        }
        term += TERM_STEP;
        target->in_vain = true;
        printf("asked %s\n", target->addr);
        if (!tell(target, from, term, argv[2]) || !comes_to_lead(manager, target->addr))
            continue;
        forget_vain();
        target->led++;
        printf("led %s\n", target->addr);
        loop_run_until(&loop, never, NULL, atoll(argv[4]));
    }
}
