// Getting past other programs' rules: from listings to commands.
#include <check.h>
#include <string.h>

#include "agent/net/forward.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static const char *const bridges[] = {"skep0", "skep_gwbridge"};

// A listing of these objects; ' stands for ".
static const char *listing(const char *const *objects)
{
    static char text[8192];
    (void)str_copy(text, sizeof text, "{\"nftables\":[");
    for (size_t i = 0; objects[i]; i++) {
        size_t at = strlen(text);
        (void)str_format(text + at, sizeof text - at, "%s%s", i ? "," : "", objects[i]);
    }
    size_t at = strlen(text);
    (void)str_copy(text + at, sizeof text - at, "]}");
    for (char *it = text; *it; it++)
        *it = *it == '\'' ? '"' : *it;
    return text;
}

static const char *commands(const char *const *objects, size_t count)
{
    static char text[4096];
    const char *from = objects ? listing(objects) : "";
    struct buf out;
    struct err err = ERR_INIT;
    buf_init(&out, sizeof text - 1);
    ck_assert_int_eq(forward_commands(from, strlen(from), bridges, count, &out, &err), 0);
    (void)str_copy(text, sizeof text, buf_cstr(&out));
    buf_fini(&out);
    return text;
}

#define CHAIN(name)     "{'chain':{'family':'ip','table':'filter','name':'" name "'}}"
#define JUMP(chain, to) "{'rule':{'chain':'" chain "','expr':[{'jump':{'target':'" to "'}}]}}"
#define ACCEPT(key, link)                                                                          \
    "{'rule':{'chain':'SKEP-FORWARD','expr':[{'match':{'op':'==','left':{'meta':{'key':'" key      \
    "'}},'right':'" link "'}},{'accept':null}]}}"

START_TEST(bridges_are_let_pass_before_others_rules)
{
    static const char *const ufw[] = {CHAIN("FORWARD"), JUMP("FORWARD", "ufw-before"), NULL};
    static const char *const docker[] = {CHAIN("FORWARD"), CHAIN("DOCKER-USER"), NULL};
    const char *got = commands(ufw, 2);
    ck_assert_ptr_nonnull(strstr(got, "insert rule ip filter FORWARD jump SKEP-FORWARD\n"));
    ck_assert_ptr_nonnull(strstr(got, "filter SKEP-FORWARD iifname \"skep0\" accept\n"));
    ck_assert_ptr_nonnull(strstr(got, "filter SKEP-FORWARD oifname \"skep_gwbridge\" accept\n"));
    // An operator's rules go first.
    const char *user = strstr(commands(docker, 1), "SKEP-FORWARD jump DOCKER-USER\n");
    ck_assert_ptr_nonnull(user);
    ck_assert_ptr_nonnull(strstr(user, "accept"));
}
END_TEST

START_TEST(what_is_right_is_left_alone)
{
    static const char *right[] = {CHAIN("FORWARD"),
                                  CHAIN("SKEP-FORWARD"),
                                  JUMP("FORWARD", "x"),
                                  JUMP("FORWARD", "SKEP-FORWARD"),
                                  ACCEPT("iifname", "skep0"),
                                  ACCEPT("oifname", "skep0"),
                                  NULL,
                                  NULL};
    static const char *const input[] = {CHAIN("INPUT"), NULL}, *const bare[] = {CHAIN("FORWARD"),
                                                                                NULL};
    ck_assert_str_eq(commands(right, 1), "");
    // Another bridge, and one too many: the chain is made anew, the jump stays.
    ck_assert_ptr_nonnull(strstr(commands(right, 2), "flush chain"));
    ck_assert_ptr_null(strstr(commands(right, 2), "insert rule"));
    ck_assert_ptr_nonnull(strstr(commands(right, 0), "flush chain"));
    right[COUNT_OF(right) - 2] = CHAIN("DOCKER-USER");
    ck_assert_ptr_nonnull(strstr(commands(right, 1), "jump DOCKER-USER"));
    // Nobody filters, or nothing is to pass.
    ck_assert_str_eq(commands(NULL, 2), "");
    ck_assert_str_eq(commands(input, 2), "");
    ck_assert_str_eq(commands(bare, 0), "");
    struct buf out;
    struct err err = ERR_INIT;
    buf_init(&out, 100);
    ck_assert_int_lt(forward_commands("nonsense", 8, bridges, 1, &out, &err), 0);
    buf_fini(&out);
}
END_TEST

START_TEST(others_that_drop_are_named)
{
#define BASE(family, table, hook, policy)                                                          \
    "{'chain':{'family':'" family "','table':'" table "','name':'fwd','hook':'" hook               \
    "','policy':'" policy "'}}"
    static const char *const chains[] = {
        BASE("inet", "firewalld", "forward", "drop"), BASE("ip", "filter", "forward", "drop"),
        BASE("ip", "skep_local", "forward", "drop"),  BASE("ip", "mine", "forward", "accept"),
        BASE("ip", "mine", "input", "drop"),          BASE("ip6", "six", "forward", "drop"),
        BASE("ip", "mine", "forward", "drop"),        NULL};
    char names[FORWARD_BLOCKERS_MAX][FORWARD_NAME_BYTES];
    const char *from = listing(chains);
    ck_assert_uint_eq(forward_blockers(from, strlen(from), names), 2);
    ck_assert_str_eq(names[0], "inet firewalld/fwd");
    ck_assert_str_eq(names[1], "ip mine/fwd");
    ck_assert_uint_eq(forward_blockers("[", 1, names), 0);
}
END_TEST

Suite *suite_forward(void);
Suite *suite_forward(void)
{
    Suite *suite = suite_create("forward");
    TCase *tcase = tcase_create("forward");
    tcase_add_test(tcase, bridges_are_let_pass_before_others_rules);
    tcase_add_test(tcase, what_is_right_is_left_alone);
    tcase_add_test(tcase, others_that_drop_are_named);
    suite_add_tcase(suite, tcase);
    return suite;
}
