// Constraints parse and match as swarmkit.md section 15.1 has them.
#include "manager/sched/constraint.h"

#include <check.h>
#include <string.h>

#include "proto/base/check.h"

static const struct trait labels[] = {{"zone", "East-1"}, {"Disk", "ssd"}, {"empty", ""}};
static const struct trait engine_labels[] = {{"gpu", "a100"}};
static const struct node_traits node = {
    .id = "abc123",
    .hostname = "Host-1",
    .addr = "10.0.3.7",
    .role = "manager",
    .os = "linux",
    .arch = "x86_64",
    .labels = labels,
    .labels_count = COUNT_OF(labels),
    .engine_labels = engine_labels,
    .engine_labels_count = COUNT_OF(engine_labels),
};

static const struct {
    const char *text;
    bool matches;
} matches[] = {
    {"node.id == abc123", true},
    {"node.id==ABC123", true},
    {"node.id != abc123", false},
    {"NODE.Hostname == host-1", true},
    {"node.hostname == host", false},
    {"node.hostname == .*", false}, // characters of patterns, but no patterns
    {"node.ip == 10.0.3.7", true},
    {"node.ip == 10.0.3.0/24", true},
    {"node.ip != 10.0.3.0/24", false},
    {"node.ip == 10.0.4.0/24", false},
    {"node.ip != 10.0.4.0/24", true},
    {"node.ip == fd00::1", false},
    {"node.ip != fd00::1", true},
    {"node.ip == here", false}, // no address: met by nobody
    {"node.ip != here", false},
    {"node.ip == 10.0.3.0/33", false},
    {"node.role == manager", true},
    {"node.role == worker", false},
    {"node.platform.os == Linux", true},
    {"node.platform.arch == x86_64", true},
    {"node.platform.arch == amd64", false}, // no aliases here
    {"node.labels.zone == east-1", true},
    {"node.labels.Zone == east-1", false}, // label names keep their case
    {"Node.Labels.zone == east-1", true},
    {"node.labels.none == x", false},
    {"node.labels.none != x", true}, // a missing value is the empty text
    {"node.labels.empty != x", true},
    {"engine.labels.gpu == A100", true},
    {"engine.labels.zone == east-1", false},
    {"node.labels. == x", false},
    {"node.other == x", false}, // nobody knows this key
    {"node.other != x", false},
};

START_TEST(constraint_matches_by_equality_without_case)
{
    struct arena arena;
    arena_init(&arena, 65536);
    struct constraints parsed;
    struct err err = ERR_INIT;
    ck_assert_msg(constraints_parse(&matches[_i].text, 1, &arena, &parsed, &err) == 0, "%s: %s",
                  matches[_i].text, err.message);
    ck_assert_msg(constraints_match(&parsed, &node) == matches[_i].matches, "%s", matches[_i].text);
    arena_fini(&arena);
}
END_TEST

static const struct {
    const char *text;
    const char *error;
} broken[] = {
    {"node.id", "constraint expected one operator from ==, !="},
    {"node.id = x", "constraint expected one operator from ==, !="},
    {"", "constraint expected one operator from ==, !="},
    {"1node.id == x", "key '1node.id' is invalid"},
    {"n == x", "key 'n' is invalid"}, // two characters at least
    {"node id == x", "key 'node id' is invalid"},
    {" == x", "key '' is invalid"},
    {"node.id == ", "value '' is invalid"},
    {"node.id == a=b", "value 'a=b' is invalid"},
    {"node.id == a>b", "value 'a>b' is invalid"},
};

START_TEST(broken_constraint_says_what_is_wrong)
{
    struct arena arena;
    arena_init(&arena, 65536);
    struct constraints parsed;
    struct err err = ERR_INIT;
    ck_assert_int_eq(constraints_parse(&broken[_i].text, 1, &arena, &parsed, &err), -ERR_UNKNOWN);
    ck_assert_str_eq(err.message, broken[_i].error);
    arena_fini(&arena);
}
END_TEST

START_TEST(all_constraints_must_match)
{
    struct arena arena;
    arena_init(&arena, 65536);
    struct constraints parsed;
    struct err err = ERR_INIT;
    const char *texts[] = {"node.role == manager", "node.labels.zone != east-1"};
    ck_assert_int_eq(constraints_parse(texts, 2, &arena, &parsed, &err), 0);
    ck_assert(!constraints_match(&parsed, &node));
    ck_assert_int_eq(constraints_parse(texts, 1, &arena, &parsed, &err), 0);
    ck_assert(constraints_match(&parsed, &node));
    ck_assert_int_eq(constraints_parse(texts, 0, &arena, &parsed, &err), 0);
    ck_assert(constraints_match(&parsed, &node));
    ck_assert_int_eq(constraints_parse(texts, CONSTRAINTS_MAX + 1, &arena, &parsed, &err),
                     -ERR_INVALID_ARGUMENT);
    arena_fini(&arena);
}
END_TEST

Suite *suite_constraint(void);
Suite *suite_constraint(void)
{
    Suite *suite = suite_create("constraint");
    TCase *tcase = tcase_create("constraint");
    tcase_add_loop_test(tcase, constraint_matches_by_equality_without_case, 0,
                        (int)COUNT_OF(matches));
    tcase_add_loop_test(tcase, broken_constraint_says_what_is_wrong, 0, (int)COUNT_OF(broken));
    tcase_add_test(tcase, all_constraints_must_match);
    suite_add_tcase(suite, tcase);
    return suite;
}
