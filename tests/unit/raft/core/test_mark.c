// Our mark: it survives the way, and nothing else passes for it.
#include <check.h>
#include <string.h>

#include "raft/core/mark.h"

static const struct mark sample = {
    .kind = MARK_HEARTBEAT,
    .heartbeat_ms = 100,
    .election_ms = 400,
    .digest = 0xdeadbeef,
    .ours = 0x8000000000000001,
    .round = 77,
};

START_TEST(a_mark_round_trips)
{
    struct raft_message message = {0};
    mark_write(&sample, &message);
    ck_assert_uint_eq(message.context_len, MARK_BYTES);
    struct mark read;
    ck_assert(mark_read(&message, &read));
    ck_assert_int_eq(read.kind, MARK_HEARTBEAT);
    ck_assert_uint_eq(read.heartbeat_ms, 100);
    ck_assert_uint_eq(read.election_ms, 400);
    ck_assert_uint_eq(read.digest, 0xdeadbeef);
    ck_assert_uint_eq(read.ours, 0x8000000000000001);
    ck_assert_uint_eq(read.round, 77);
}
END_TEST

START_TEST(other_contexts_are_no_marks)
{
    struct raft_message message = {0};
    struct mark read;
    ck_assert(!mark_read(&message, &read));
    message.context_len = sizeof RAFT_CAMPAIGN_TRANSFER - 1;
    memcpy(message.context, RAFT_CAMPAIGN_TRANSFER, message.context_len);
    ck_assert(!mark_read(&message, &read));
    mark_write(&sample, &message);
    message.context[5] = 2; // version
    ck_assert(!mark_read(&message, &read));
    mark_write(&sample, &message);
    message.context[4] = 'x'; // kind
    ck_assert(!mark_read(&message, &read));
    mark_write(&sample, &message);
    message.context_len = MARK_BYTES + 1;
    ck_assert(!mark_read(&message, &read));
    message.context_len = MARK_BYTES - 1;
    ck_assert(!mark_read(&message, &read));
}
END_TEST

START_TEST(digests_tell_voters_apart)
{
    struct raft_conf a = {.voters_count = 2, .voters = {1, 2}};
    struct raft_conf b = {.voters_count = 2, .voters = {1, 3}};
    ck_assert_uint_ne(mark_digest(&a), mark_digest(&b));
    b = a;
    b.outgoing_count = 1; // only the incoming half counts
    ck_assert_uint_eq(mark_digest(&a), mark_digest(&b));
}
END_TEST

Suite *suite_mark(void);
Suite *suite_mark(void)
{
    Suite *suite = suite_create("mark");
    TCase *tcase = tcase_create("mark");
    tcase_add_test(tcase, a_mark_round_trips);
    tcase_add_test(tcase, other_contexts_are_no_marks);
    tcase_add_test(tcase, digests_tell_voters_apart);
    suite_add_tcase(suite, tcase);
    return suite;
}
