// The member list follows committed changes by SwarmKit's rules, guards the quorum and survives its
// own message form; the snapshot envelope is taken apart without its store.
#include <check.h>
#include <string.h>

#include "proto/wire/wire.h"
#include "raft/envelope.h"
#include "raft/members.h"
#include "raft/net/convert.h"

static struct members members;

static void setup(void)
{
    members_init(&members);
}

static void teardown(void)
{
    members_fini(&members);
}

static int change(enum raft_change_type type, uint64_t id, const char *node_id, const char *addr,
                  struct err *err)
{
    Swarm__RaftMember row = SWARM__RAFT_MEMBER__INIT;
    row.raft_id = id;
    row.node_id = (char *)node_id;
    row.addr = (char *)addr;
    struct raft_conf_change conf_change = {.changes_count = 1,
                                           .changes = {{.type = type, .id = id}}};
    const Swarm__RaftMember *context = node_id ? &row : NULL;
    int result = members_check(&members, &conf_change, context, err);
    if (!result)
        members_apply(&members, &conf_change, context);
    return result;
}

START_TEST(members_come_go_and_never_come_back)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(change(RAFT_CHANGE_ADD, 5, "b", "h:1", &err), 0);
    ck_assert_int_eq(change(RAFT_CHANGE_ADD, 3, "a", "h:2", &err), 0);
    ck_assert_uint_eq(members.list[0].raft_id, 3); // ascending
    ck_assert_str_eq(members_find_node(&members, "b")->addr, "h:1");
    ck_assert_int_eq(change(RAFT_CHANGE_ADD, 3, "a", "h:2", &err), -ERR_ALREADY_EXISTS);
    ck_assert_int_eq(change(RAFT_CHANGE_UPDATE, 3, "a", "h:9", &err), 0);
    ck_assert_str_eq(members_find(&members, 3)->addr, "h:9");
    ck_assert_int_eq(change(RAFT_CHANGE_UPDATE, 4, "x", "h:9", &err), -ERR_NOT_FOUND);
    ck_assert_int_eq(change(RAFT_CHANGE_REMOVE, 3, NULL, NULL, &err), 0);
    ck_assert_ptr_null(members_find(&members, 3));
    ck_assert(members_was_removed(&members, 3));
    ck_assert_int_eq(change(RAFT_CHANGE_ADD, 3, "a", "h:2", &err), -ERR_FAILED_PRECONDITION);
    ck_assert_int_eq(change(RAFT_CHANGE_REMOVE, 3, NULL, NULL, &err), -ERR_FAILED_PRECONDITION);
    ck_assert_int_eq(change(RAFT_CHANGE_ADD, 7, NULL, NULL, &err), -ERR_INVALID_ARGUMENT);
}
END_TEST

static uint64_t reachable_mask;

static bool reachable(void *ctx, uint64_t raft_id)
{
    (void)ctx;
    return reachable_mask >> raft_id & 1;
}

// Members 1..n, those in `mask` reachable: may `victim` go? (floor((n - 1) / 2) + 1 others needed)
static const struct {
    unsigned n;
    uint64_t mask;
    uint64_t victim;
    bool allowed;
} removals[] = {
    {1, 0x2, 1, false}, {2, 0x6, 2, true},   {2, 0x4, 2, false}, {3, 0xe, 3, true},
    {3, 0x6, 3, true},  {3, 0xa, 3, false},  {3, 0x6, 2, false}, {5, 0x3e, 5, true},
    {5, 0x0e, 5, true}, {5, 0x06, 5, false},
};

START_TEST(removal_keeps_a_quorum_of_reachable_members)
{
    for (uint64_t id = 1; id <= removals[_i].n; id++)
        ck_assert_int_eq(change(RAFT_CHANGE_ADD, id, "n", "h:1", NULL), 0);
    reachable_mask = removals[_i].mask;
    struct err err = ERR_INIT;
    int result = members_check_removal(&members, removals[_i].victim, reachable, NULL, &err);
    ck_assert_int_eq(result == 0, removals[_i].allowed);
    if (result)
        ck_assert_str_eq(err.message, MEMBERS_ERR_QUORUM);
    ck_assert_int_eq(members_check_removal(&members, 60, reachable, NULL, &err), -ERR_NOT_FOUND);
}
END_TEST

START_TEST(the_list_survives_its_message_form)
{
    change(RAFT_CHANGE_ADD, 1, "a", "h:1", NULL);
    change(RAFT_CHANGE_ADD, 2, "b", "h:2", NULL);
    change(RAFT_CHANGE_REMOVE, 1, NULL, NULL, NULL);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    Swarm__ClusterSnapshot *saved = members_save(&members, &arena);
    struct members loaded;
    members_init(&loaded);
    ck_assert_int_eq(members_load(&loaded, saved, NULL), 0);
    ck_assert_uint_eq(loaded.count, 1);
    ck_assert_str_eq(loaded.list[0].node_id, "b");
    ck_assert(members_was_removed(&loaded, 1));
    // A list with a member twice changes nothing.
    Swarm__RaftMember *twice[] = {saved->members[0], saved->members[0]};
    Swarm__ClusterSnapshot bad = SWARM__CLUSTER_SNAPSHOT__INIT;
    bad.n_members = 2;
    bad.members = twice;
    ck_assert_int_eq(members_load(&loaded, &bad, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(loaded.count, 1);
    members_fini(&loaded);
    arena_fini(&arena);
}
END_TEST

START_TEST(the_envelope_is_swarmkits_snapshot_message)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 16);
    struct envelope in = {.members = (const uint8_t *)"\x10\x05",
                          .members_size = 2,
                          .store = (const uint8_t *)"",
                          .store_size = 0},
                    out;
    envelope_put(&in, &bytes);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    Swarm__Snapshot *message = wire_unpack(&swarm__snapshot__descriptor, bytes.data, bytes.len,
                                           &WIRE_LIMITS_STATE, &arena, NULL);
    ck_assert_ptr_nonnull(message);
    ck_assert_uint_eq(message->membership->removed[0], 5);
    ck_assert_ptr_nonnull(message->store);
    ck_assert_int_eq(envelope_get(bytes.data, bytes.len, &out, NULL), 0);
    ck_assert_uint_eq(out.members_size, 2);
    ck_assert_int_eq(envelope_get(bytes.data, bytes.len - 1, &out, NULL), -ERR_INVALID_ARGUMENT);
    struct err err = ERR_INIT;
    ck_assert_int_eq(envelope_get("\x08\x07", 2, &out, &err), -ERR_UNIMPLEMENTED);
    ck_assert_int_eq(envelope_get("\x12\xff\xff\xff\xff\x0f", 6, &out, &err),
                     -ERR_INVALID_ARGUMENT);
    arena_fini(&arena);
    buf_fini(&bytes);
}
END_TEST

START_TEST(messages_and_changes_survive_raftpb)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct raft_entry entries[2] = {
        {.term = 3, .index = 8, .data = raft_blob_new("x", 1)},
        {.term = 3, .index = 9, .type = RAFT_ENTRY_CONF_CHANGE},
    };
    struct raft_snapshot snapshot = {
        .index = 7, .term = 2, .conf = {.voters_count = 2, .voters = {1, 9}}};
    struct raft_message message = {.type = RAFT_MSG_SNAP,
                                   .to = 1,
                                   .from = 2,
                                   .term = 3,
                                   .log_term = 2,
                                   .index = 7,
                                   .commit = 6,
                                   .reject_hint = 4,
                                   .reject = true,
                                   .context_len = 3,
                                   .context = "ctx",
                                   .entries = entries,
                                   .entries_count = 2,
                                   .snapshot = &snapshot},
                        back;
    Raftpb__Message *wire = convert_message_out(&message, "data", 4, &arena);
    struct buf bytes;
    buf_init(&bytes, 1 << 16);
    ck_assert_int_eq(wire_pack(wire, &bytes, NULL), 0);
    Raftpb__Message *again = wire_unpack(&raftpb__message__descriptor, bytes.data, bytes.len,
                                         &WIRE_LIMITS_PEER, &arena, NULL);
    ck_assert_ptr_nonnull(again);
    ck_assert_mem_eq(again->snapshot->data.data, "data", 4);
    ck_assert_int_eq(convert_message_in(again, &arena, &back, NULL), 0);
    ck_assert_int_eq(back.type, RAFT_MSG_SNAP);
    ck_assert_uint_eq(back.from, 2);
    ck_assert_uint_eq(back.log_term, 2);
    ck_assert_uint_eq(back.reject_hint, 4);
    ck_assert(back.reject);
    ck_assert_mem_eq(back.context, "ctx", 3);
    ck_assert_uint_eq(back.entries_count, 2);
    ck_assert_mem_eq(back.entries[0].data->bytes, "x", 1);
    ck_assert_ptr_null(back.entries[1].data);
    ck_assert(raft_conf_equal(&back.snapshot->conf, &snapshot.conf));
    convert_message_drop(&back);
    raft_blob_unref(entries[0].data);

    again->from = 0;
    ck_assert_int_eq(convert_message_in(again, &arena, &back, NULL), -ERR_INVALID_ARGUMENT);
    again->from = 2;
    again->type = RAFTPB__MESSAGE_TYPE__MsgHup;
    ck_assert_int_eq(convert_message_in(again, &arena, &back, NULL), -ERR_INVALID_ARGUMENT);
    again->type = RAFTPB__MESSAGE_TYPE__MsgSnap;
    again->snapshot = NULL;
    ck_assert_int_eq(convert_message_in(again, &arena, &back, NULL), -ERR_INVALID_ARGUMENT);

    buf_clear(&bytes);
    Swarm__RaftMember row = SWARM__RAFT_MEMBER__INIT;
    row.raft_id = 77;
    row.node_id = (char *)"node";
    row.addr = (char *)"h:1";
    convert_change_out(RAFT_CHANGE_ADD, 77, &row, &bytes);
    struct raft_conf_change conf_change;
    Swarm__RaftMember *context;
    ck_assert_int_eq(convert_change_in(RAFT_ENTRY_CONF_CHANGE, bytes.data, bytes.len, &arena,
                                       &conf_change, &context, NULL),
                     0);
    ck_assert_uint_eq(conf_change.changes_count, 1);
    ck_assert_uint_eq(conf_change.changes[0].id, 77);
    ck_assert_str_eq(context->node_id, "node");
    ck_assert_int_lt(
        convert_change_in(RAFT_ENTRY_CONF_CHANGE, "\xff", 1, &arena, &conf_change, &context, NULL),
        0);
    buf_fini(&bytes);
    arena_fini(&arena);
}
END_TEST

Suite *suite_members(void);
Suite *suite_members(void)
{
    Suite *suite = suite_create("members");
    TCase *tcase = tcase_create("members");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, members_come_go_and_never_come_back);
    tcase_add_loop_test(tcase, removal_keeps_a_quorum_of_reachable_members, 0,
                        (int)(sizeof removals / sizeof removals[0]));
    tcase_add_test(tcase, the_list_survives_its_message_form);
    tcase_add_test(tcase, the_envelope_is_swarmkits_snapshot_message);
    tcase_add_test(tcase, messages_and_changes_survive_raftpb);
    suite_add_tcase(suite, tcase);
    return suite;
}
