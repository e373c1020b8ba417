// Filters in both forms, what is refused, and what reaches the Control request.
#include <check.h>

#include "agent/engine/objects.h"
#include "agent/engine/filter.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/wire.h"

static const struct filter_row rows[] = {
    {"id", FILTER_TEXTS, "id_prefixes", NULL},
    {"label", FILTER_LABELS, "labels", NULL},
    {"role", FILTER_ENUM, "roles", &node_role_names},
    {"mode", FILTER_KNOWN, NULL, NULL},
    {"dangling", FILTER_FLAG, NULL, NULL},
};

static struct arena arena;
static struct filters filters;

static int parse(const char *text, struct err *err)
{
    return filters_parse(text, rows, sizeof rows / sizeof rows[0], &arena, &filters, err);
}

static const char *const forms[] = {
    "{\"id\":[\"a\",\"b\"],\"label\":[\"k=v\"],\"role\":[\"manager\"],\"mode\":[\"global\"]}",
    "{\"id\":{\"a\":true,\"b\":true,\"c\":false},\"label\":{\"k=v\":true},"
    "\"role\":{\"manager\":true},"
    "\"mode\":{\"global\":true}}",
};

START_TEST(both_forms_reach_the_request)
{
    arena_init(&arena, 1 << 20);
    ck_assert_int_eq(parse(forms[_i], NULL), 0);
    Swarm__ListNodesRequest__Filters *out =
        wire_new(&swarm__list_nodes_request__filters__descriptor, &arena);
    ck_assert_int_eq(
        filters_apply(&filters, rows, sizeof rows / sizeof rows[0], &out->base, &arena, NULL), 0);
    ck_assert_uint_eq(out->n_id_prefixes, 2);
    ck_assert_str_eq(out->id_prefixes[1], "b");
    ck_assert_uint_eq(out->n_labels, 1);
    ck_assert_str_eq(out->labels[0]->key, "k");
    ck_assert_str_eq(out->labels[0]->value, "v");
    ck_assert_uint_eq(out->n_roles, 1);
    ck_assert_int_eq(out->roles[0], SWARM__NODE_ROLE__MANAGER);
    ck_assert(filters_match(&filters, "mode", "global", false));
    ck_assert(!filters_match(&filters, "mode", "replicated", false));
    ck_assert(filters_match(&filters, "absent", "anything", false));
    arena_fini(&arena);
}
END_TEST

static const struct {
    const char *text, *complaint; // NULL: any
} bad[] = {
    {"{\"bogus\":[\"x\"]}", "invalid filter 'bogus'"},
    {"[1]", "json: cannot unmarshal array into Go value of type map[string]map[string]bool"},
    {"bogus", NULL},
    {"{\"id\":5}", "json: cannot unmarshal number into Go value of type map[string]bool"},
    {"{\"id\":[5]}", "json: cannot unmarshal array into Go value of type map[string]bool"},
    {"{\"dangling\":[\"perhaps\"]}", "invalid filter 'dangling=[perhaps]'"},
};

START_TEST(bad_filters_are_refused)
{
    struct err err = ERR_INIT;
    arena_init(&arena, 1 << 20);
    ck_assert_int_eq(parse(bad[_i].text, &err), -ERR_INVALID_ARGUMENT);
    if (bad[_i].complaint)
        ck_assert_str_eq(err.message, bad[_i].complaint);
    arena_fini(&arena);
}
END_TEST

START_TEST(names_are_expressions_and_flags_have_two_words)
{
    arena_init(&arena, 1 << 20);
    ck_assert_int_eq(parse("{\"id\":[\"^we[ab]$\"],\"dangling\":[\"1\"]}", NULL), 0);
    ck_assert(filters_found(&filters, "id", "web"));
    ck_assert(!filters_found(&filters, "id", "webs"));
    ck_assert(filters_found(&filters, "mode", "anything"));
    ck_assert(filter_is_true("1") && filter_is_true("true") && !filter_is_true("0"));
    ck_assert_int_eq(parse("{\"id\":[\"[\"]}", NULL), 0);
    ck_assert(!filters_found(&filters, "id", "web")); // no expression fits nothing
    ck_assert(filters_found(&filters, "id", "["));    // but itself
    ck_assert_int_eq(parse("null", NULL), 0);
    ck_assert_uint_eq(filters.count, 0);
    arena_fini(&arena);
}
END_TEST

START_TEST(unknown_enum_text_is_told_apart)
{
    struct err err = ERR_INIT;
    arena_init(&arena, 1 << 20);
    ck_assert_int_eq(parse("{\"role\":[\"bogus\"]}", NULL), 0);
    Swarm__ListNodesRequest__Filters *out =
        wire_new(&swarm__list_nodes_request__filters__descriptor, &arena);
    ck_assert_int_eq(
        filters_apply(&filters, rows, sizeof rows / sizeof rows[0], &out->base, &arena, &err),
        -ERR_INTERNAL);
    ck_assert_str_eq(err.message, "Invalid role filter: 'bogus'");
    arena_fini(&arena);
}
END_TEST

Suite *suite_filter(void);
Suite *suite_filter(void)
{
    Suite *suite = suite_create("filter");
    TCase *tcase = tcase_create("filters");
    tcase_add_loop_test(tcase, both_forms_reach_the_request, 0, 2);
    tcase_add_loop_test(tcase, bad_filters_are_refused, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(tcase, names_are_expressions_and_flags_have_two_words);
    tcase_add_test(tcase, unknown_enum_text_is_told_apart);
    suite_add_tcase(suite, tcase);
    return suite;
}
