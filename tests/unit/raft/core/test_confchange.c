// What membership changes make of a configuration, and which ones are refused.
#include <check.h>
#include <string.h>

#include "raft/core/confchange.h"

static struct raft_conf conf_of(const char *voters, const char *learners)
{
    struct raft_conf conf = {0};
    for (; *voters; voters++)
        conf.voters[conf.voters_count++] = (uint64_t)(*voters - '0');
    for (; *learners; learners++)
        conf.learners[conf.learners_count++] = (uint64_t)(*learners - '0');
    return conf;
}

static struct raft_conf_change change_of(enum raft_change_type type, uint64_t id)
{
    return (struct raft_conf_change){.changes_count = 1, .changes = {{type, id}}};
}

static void becomes(const struct raft_conf *conf, const struct raft_conf_change *change,
                    const struct raft_conf *wanted)
{
    struct raft_conf out;
    struct err err = ERR_INIT;
    ck_assert_msg(confchange_apply(conf, change, &out, &err) == 0, "%s", err.message);
    ck_assert(raft_conf_equal(&out, wanted));
}

static void refused(const struct raft_conf *conf, const struct raft_conf_change *change,
                    const char *why)
{
    struct raft_conf out;
    struct err err = ERR_INIT;
    ck_assert_int_eq(confchange_apply(conf, change, &out, &err), -(int)ERR_INVALID_ARGUMENT);
    ck_assert_msg(strstr(err.message, why), "%s", err.message);
}

START_TEST(simple_changes)
{
    static const struct {
        const char *voters, *learners;
        enum raft_change_type type;
        uint64_t id;
        const char *wanted_voters, *wanted_learners;
    } rows[] = {
        {"", "", RAFT_CHANGE_ADD, 1, "1", ""},
        {"13", "", RAFT_CHANGE_ADD, 2, "123", ""},
        {"123", "", RAFT_CHANGE_ADD, 2, "123", ""},
        {"123", "", RAFT_CHANGE_REMOVE, 2, "13", ""},
        {"13", "", RAFT_CHANGE_REMOVE, 2, "13", ""},
        {"13", "", RAFT_CHANGE_UPDATE, 3, "13", ""},
        {"13", "", RAFT_CHANGE_ADD_LEARNER, 2, "13", "2"},
        {"13", "2", RAFT_CHANGE_ADD, 2, "123", ""},
        {"123", "", RAFT_CHANGE_ADD_LEARNER, 2, "13", "2"},
        {"13", "2", RAFT_CHANGE_REMOVE, 2, "13", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct raft_conf conf = conf_of(rows[i].voters, rows[i].learners);
        struct raft_conf wanted = conf_of(rows[i].wanted_voters, rows[i].wanted_learners);
        struct raft_conf_change change = change_of(rows[i].type, rows[i].id);
        becomes(&conf, &change, &wanted);
    }
}
END_TEST

START_TEST(an_empty_v1_change_changes_nothing)
{
    struct raft_conf conf = conf_of("12", "");
    struct raft_conf_change change = {0};
    becomes(&conf, &change, &conf);
}
END_TEST

START_TEST(nonsense_is_refused)
{
    struct raft_conf conf = conf_of("1", "");
    struct raft_conf_change change = change_of(RAFT_CHANGE_ADD, 0);
    refused(&conf, &change, "member id 0");
    change = change_of((enum raft_change_type)9, 2);
    refused(&conf, &change, "unknown membership change");
    change = change_of(RAFT_CHANGE_REMOVE, 1);
    refused(&conf, &change, "last voter");
    change = change_of(RAFT_CHANGE_ADD_LEARNER, 1);
    refused(&conf, &change, "last voter");
    change.changes_count = RAFT_MEMBERS_MAX + 1;
    refused(&conf, &change, "change of 65 members");
    change = (struct raft_conf_change){.changes_count = 2, .changes = {{0, 2}, {0, 3}}};
    refused(&conf, &change, "more than one member");
}
END_TEST

START_TEST(a_full_configuration_takes_nobody)
{
    struct raft_conf conf = {.voters_count = RAFT_MEMBERS_MAX};
    for (uint64_t i = 0; i < RAFT_MEMBERS_MAX; i++)
        conf.voters[i] = i + 1;
    struct raft_conf_change change = change_of(RAFT_CHANGE_ADD, 1000);
    refused(&conf, &change, "more than 64");
    struct raft_conf learners = {.voters_count = 1, .voters = {2000}};
    learners.learners_count = RAFT_MEMBERS_MAX;
    memcpy(learners.learners, conf.voters, sizeof conf.voters);
    change = change_of(RAFT_CHANGE_ADD_LEARNER, 1000);
    refused(&learners, &change, "more than 64");
}
END_TEST

START_TEST(joint_is_entered_and_left)
{
    struct raft_conf conf = conf_of("123", "");
    struct raft_conf_change change = {
        .v2 = true,
        .changes_count = 3,
        .changes = {{RAFT_CHANGE_ADD, 4}, {RAFT_CHANGE_REMOVE, 1}, {RAFT_CHANGE_ADD_LEARNER, 2}},
    };
    struct raft_conf joint;
    ck_assert_int_eq(confchange_apply(&conf, &change, &joint, NULL), 0);
    struct raft_conf wanted = conf_of("34", "");
    wanted.outgoing_count = 3;
    memcpy(wanted.outgoing, conf.voters, 3 * sizeof conf.voters[0]);
    wanted.learners_next_count = 1;
    wanted.learners_next[0] = 2;
    wanted.auto_leave = true;
    ck_assert(raft_conf_equal(&joint, &wanted));
    ck_assert(raft_conf_is_voter(&joint, 1));
    ck_assert(!raft_conf_is_learner(&joint, 2));
    struct raft_conf_change leave = {.v2 = true};
    struct raft_conf left = conf_of("34", "2");
    becomes(&joint, &leave, &left);
    refused(&left, &leave, "not in a joint");
    change.changes_count = 1;
    refused(&joint, &change, "must be left first");
}
END_TEST

START_TEST(explicit_joint_does_not_leave_by_itself)
{
    struct raft_conf conf = conf_of("12", "");
    struct raft_conf_change change = change_of(RAFT_CHANGE_ADD, 3);
    change.v2 = true;
    change.transition = 2;
    struct raft_conf joint;
    ck_assert_int_eq(confchange_apply(&conf, &change, &joint, NULL), 0);
    ck_assert(!joint.auto_leave);
    ck_assert_uint_eq(joint.outgoing_count, 2);
    struct raft_conf none = conf_of("", "");
    refused(&none, &change, "no voters to be joint with");
    change.transition = 0; // one change, automatic: simple
    struct raft_conf wanted = conf_of("123", "");
    becomes(&conf, &change, &wanted);
}
END_TEST

START_TEST(leaving_with_too_many_learners_is_refused)
{
    struct raft_conf conf = {.voters_count = 1, .voters = {900}, .outgoing_count = 1};
    conf.outgoing[0] = 901;
    conf.learners_next_count = 1;
    conf.learners_next[0] = 901;
    conf.learners_count = RAFT_MEMBERS_MAX;
    for (uint64_t i = 0; i < RAFT_MEMBERS_MAX; i++)
        conf.learners[i] = i + 1;
    struct raft_conf_change leave = {.v2 = true};
    refused(&conf, &leave, "more than 64");
}
END_TEST

START_TEST(settle_sorts_and_refuses)
{
    struct raft_conf conf = conf_of("312", "54");
    struct raft_conf wanted = conf_of("123", "45");
    ck_assert_int_eq(confchange_settle(&conf, NULL), 0);
    ck_assert(raft_conf_equal(&conf, &wanted));
    conf = conf_of("11", "");
    ck_assert_int_lt(confchange_settle(&conf, NULL), 0);
    conf = conf_of("10", "");
    ck_assert_int_lt(confchange_settle(&conf, NULL), 0);
    conf = conf_of("12", "2");
    ck_assert_int_lt(confchange_settle(&conf, NULL), 0);
    conf = conf_of("12", "");
    conf.outgoing_count = RAFT_MEMBERS_MAX + 1;
    ck_assert_int_lt(confchange_settle(&conf, NULL), 0);
    conf = conf_of("12", "33");
    ck_assert_int_lt(confchange_settle(&conf, NULL), 0);
}
END_TEST

START_TEST(configurations_differ_in_every_part)
{
    struct raft_conf a = conf_of("12", "3");
    struct raft_conf b = a;
    ck_assert(raft_conf_equal(&a, &b));
    b.voters[0] = 9;
    ck_assert(!raft_conf_equal(&a, &b));
    b = a;
    b.outgoing_count = 1;
    ck_assert(!raft_conf_equal(&a, &b));
    b = a;
    b.learners_count = 0;
    ck_assert(!raft_conf_equal(&a, &b));
    b = a;
    b.learners_next_count = 1;
    ck_assert(!raft_conf_equal(&a, &b));
    b = a;
    b.auto_leave = true;
    ck_assert(!raft_conf_equal(&a, &b));
    ck_assert(raft_conf_has(&a, 3));
    ck_assert(!raft_conf_has(&a, 4));
}
END_TEST

Suite *suite_confchange(void);
Suite *suite_confchange(void)
{
    Suite *suite = suite_create("confchange");
    TCase *tcase = tcase_create("confchange");
    tcase_add_test(tcase, simple_changes);
    tcase_add_test(tcase, an_empty_v1_change_changes_nothing);
    tcase_add_test(tcase, nonsense_is_refused);
    tcase_add_test(tcase, a_full_configuration_takes_nobody);
    tcase_add_test(tcase, joint_is_entered_and_left);
    tcase_add_test(tcase, explicit_joint_does_not_leave_by_itself);
    tcase_add_test(tcase, leaving_with_too_many_learners_is_refused);
    tcase_add_test(tcase, settle_sorts_and_refuses);
    tcase_add_test(tcase, configurations_differ_in_every_part);
    suite_add_tcase(suite, tcase);
    return suite;
}
