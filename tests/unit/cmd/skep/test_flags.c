// Command lines as the docker command takes them apart.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/flags.h"
#include "proto/base/clock.h"

static const struct flag flags[] = {
    {"name", 'n', FLAG_TEXT, "string", ""},
    {"quiet", 'q', FLAG_BOOL, NULL, ""},
    {"env", 'e', FLAG_LIST, "list", ""},
    {"subnet", 0, FLAG_COMMAS, "strings", ""},
    {"replicas", 0, FLAG_UINT, "uint", ""},
    {"delay", 0, FLAG_DURATION, "duration", ""},
    {"memory", 'm', FLAG_BYTES, "bytes", ""},
    {"cpus", 0, FLAG_CPUS, "decimal", ""},
    {"ratio", 0, FLAG_FLOAT, "float", ""},
    {"all", 'a', FLAG_BOOL, NULL, ""},
    {"retries", 0, FLAG_INT, "int", ""},
    {"distrust", 0, FLAG_TRUE, NULL, ""},
    {"by", 0, FLAG_SWARM, "name", ""},
    {"label", 'l', FLAG_LABELS, "key=value", ""},
    {"filter", 'f', FLAG_FILTERS, "", ""},
    {"dns", 0, FLAG_IPS, "address", ""},
    {0},
};

static struct arena arena;
static struct args args;
static struct err err;

static void setup(void)
{
    arena_init(&arena, 1 << 20);
    err_clear(&err);
}

static void teardown(void)
{
    arena_fini(&arena);
}

// Splits at blanks.
static int parse(bool stops, const char *line)
{
    static char copy[512];
    char *argv[64];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return args_parse(&args, flags, stops, argc, argv, &arena, &err);
}

START_TEST(every_form_of_an_option_is_taken)
{
    ck_assert_int_eq(parse(false, "--name a one --quiet --env A=1 -e B=2 -eC=3 --subnet x,y "
                                  "--subnet=z --replicas=3 --delay 1m30s -m64m --cpus 0.5 "
                                  "--ratio=.25 --retries -1 two"),
                     0);
    const char *const *list;
    ck_assert_str_eq(args_text(&args, "name"), "a");
    ck_assert(args_on(&args, "quiet"));
    ck_assert(!args_set(&args, "all"));
    ck_assert_uint_eq(args_list(&args, "env", &list), 3);
    ck_assert_str_eq(list[0], "A=1");
    ck_assert_str_eq(list[2], "C=3");
    ck_assert_uint_eq(args_list(&args, "subnet", &list), 3);
    ck_assert_str_eq(list[1], "y");
    ck_assert_int_eq(args_number(&args, "replicas", 0), 3);
    ck_assert_int_eq(args_number(&args, "delay", 0), 90 * NS_PER_S);
    ck_assert_int_eq(args_number(&args, "memory", 0), 64 << 20);
    ck_assert_int_eq(args_number(&args, "cpus", 0), 500000000);
    ck_assert_int_eq(args_number(&args, "retries", 7), -1);
    ck_assert(args_float(&args, "ratio", 0) > 0.24);
    ck_assert_int_eq(args.argc, 2);
    ck_assert_str_eq(args.argv[1], "two");
    ck_assert_ptr_null(args.argv[2]);
}
END_TEST

START_TEST(letters_are_grouped_and_booleans_take_values)
{
    ck_assert_int_eq(parse(false, "-qa -qn x"), 0);
    ck_assert(args_on(&args, "all"));
    ck_assert_str_eq(args_text(&args, "name"), "x");
    ck_assert_int_eq(parse(false, "--quiet=false -a=0"), 0);
    ck_assert(args_set(&args, "quiet"));
    ck_assert(!args_on(&args, "quiet"));
    ck_assert(!args_on(&args, "all"));
}
END_TEST

START_TEST(what_follows_the_image_is_the_containers)
{
    ck_assert_int_eq(parse(true, "-q image sh -c --name"), 0);
    ck_assert_int_eq(args.argc, 4);
    ck_assert_str_eq(args.argv[3], "--name");
    ck_assert_int_eq(parse(false, "-q -- --name -x"), 0);
    ck_assert_int_eq(args.argc, 2);
    ck_assert_int_eq(parse(false, "--help"), 0);
    ck_assert(args.help);
}
END_TEST

static const struct {
    const char *line, *part;
} bad[] = {
    {"--nmae x", "unknown flag: --nmae\nDid you mean --name?"},
    {"--zzzzzz", "unknown flag: --zzzzzz"},
    {"-x", "unknown shorthand flag: 'x' in -x"},
    {"--name", "flag needs an argument: --name"},
    {"-n", "flag needs an argument: 'n' in -n"},
    {"--replicas x", "invalid argument \"x\" for \"--replicas\" flag"},
    {"--replicas -1", "invalid argument"},
    {"--delay 5", "invalid argument"},
    {"-m 1y", "invalid argument \"1y\" for \"-m, --memory\" flag: invalid suffix"},
    {"--cpus 1.0000000001", "too precise"},
    {"--quiet=maybe", "neither true nor false"},
    {"--ratio nan", "no number"},
    {"-l =x", "for \"-l, --label\" flag: invalid label '=x': empty name"},
    {"--filter odd", "bad format of filter"},
    {"--dns odd", "IP address is not correctly formatted: odd"},
    {"--dns 1.2.3", "IP address is not correctly formatted: 1.2.3"},
};

START_TEST(lists_of_what_has_a_form_are_taken)
{
    const char *const *list;
    ck_assert_int_eq(parse(false, "-l a=b --label c --filter x= -f y=z=1 --dns ::1 --dns 10.0.0.1"),
                     0);
    ck_assert_uint_eq(args_list(&args, "label", &list), 2);
    ck_assert_str_eq(list[1], "c");
    ck_assert_uint_eq(args_list(&args, "filter", &list), 2);
    ck_assert_str_eq(list[1], "y=z=1");
    ck_assert_uint_eq(args_list(&args, "dns", &list), 2);
    ck_assert_str_eq(list[0], "::1");
}
END_TEST

START_TEST(what_only_one_value_is_supported_of_refuses_the_others)
{
    ck_assert_int_eq(parse(false, "--distrust --by swarm --by=all"), 0);
    ck_assert(args_on(&args, "distrust"));
    ck_assert_str_eq(args_text(&args, "by"), "all");
    ck_assert_int_eq(parse(false, "--distrust=true"), 0);
    ck_assert_int_lt(parse(false, "--distrust=false"), 0);
    ck_assert_str_eq(err.message,
                     "invalid argument \"false\" for \"--distrust\" flag: false is not supported");
    ck_assert_int_lt(parse(false, "--by kubernetes"), 0);
    ck_assert_ptr_nonnull(strstr(err.message, "the swarm is the only orchestrator"));
    ck_assert_ptr_null(args.unknown);
    ck_assert_int_lt(parse(false, "--nosuch=3"), 0);
    ck_assert_str_eq(args.unknown, "nosuch");
}
END_TEST

START_TEST(mistakes_are_named)
{
    ck_assert_int_lt(parse(false, bad[_i].line), 0);
    ck_assert_msg(strstr(err.message, bad[_i].part) != NULL, "%s: %s", bad[_i].line, err.message);
}
END_TEST

Suite *suite_flags(void);
Suite *suite_flags(void)
{
    Suite *suite = suite_create("flags");
    TCase *tc = tcase_create("flags");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, every_form_of_an_option_is_taken);
    tcase_add_test(tc, letters_are_grouped_and_booleans_take_values);
    tcase_add_test(tc, what_follows_the_image_is_the_containers);
    tcase_add_test(tc, lists_of_what_has_a_form_are_taken);
    tcase_add_test(tc, what_only_one_value_is_supported_of_refuses_the_others);
    tcase_add_loop_test(tc, mistakes_are_named, 0, sizeof bad / sizeof bad[0]);
    suite_add_tcase(suite, tc);
    return suite;
}
