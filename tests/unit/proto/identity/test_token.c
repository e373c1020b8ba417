// Tokens and lock keys: what stock nodes print is what we read, and the other way round.
#include <check.h>
#include <string.h>

#include "proto/identity/token.h"
#include "tests/unit/proto/identity/vectors.h"

START_TEST(stock_tokens_parse_and_name_the_stock_root)
{
    const char *root = vector("manager/swarm-root-ca.crt");
    struct token worker;
    struct token manager;
    ck_assert_int_eq(token_parse(vector("manager/worker.token"), &worker, NULL), 0);
    ck_assert_int_eq(token_parse(vector("manager/manager.token"), &manager, NULL), 0);
    ck_assert_uint_eq(worker.version, 1);
    ck_assert(!worker.fips);
    ck_assert(token_matches_root(&worker, root, strlen(root)));
    ck_assert(token_matches_root(&manager, root, strlen(root)));
    ck_assert(!token_matches_root(&worker, root, strlen(root) - 1));
    ck_assert_str_ne(worker.secret, manager.secret);
}
END_TEST

START_TEST(a_token_made_here_parses_here)
{
    char text[TOKEN_TEXT_BYTES];
    struct token token;
    token_make("root", 4, false, vector_rng(), text);
    ck_assert_uint_eq(strlen(text), 9 + 50 + 1 + 25);
    ck_assert_int_eq(token_parse(text, &token, NULL), 0);
    ck_assert(token_matches_root(&token, "root", 4));
    token_make("root", 4, true, vector_rng(), text);
    ck_assert_int_eq(strncmp(text, "SWMTKN-2-1-", 11), 0);
    ck_assert_int_eq(token_parse(text, &token, NULL), 0);
    ck_assert(token.fips);
}
END_TEST

#define DIGEST "00000000000000000000000000000000000000000000000000"
#define SECRET "0000000000000000000000001"
static const char *const not_tokens[] = {
    "",
    "SWMTKN",
    "SWMTKN-1",
    "SWMTKN-1-" DIGEST,
    "SWMTKN-1-" DIGEST "-",
    "SWMTKN-1-" DIGEST "-" SECRET "0",
    "SWMTKN-1-" DIGEST "-" SECRET "\n",
    "SWMTKN-1-" DIGEST "0" SECRET "-",
    "SWMTKN-0-" DIGEST "-" SECRET,
    "SWMTKN-3-" DIGEST "-" SECRET,
    "SWMTKN-2-" DIGEST "-" SECRET,
    "SWMTKN-2-2-" DIGEST "-" SECRET,
    "swmtkn-1-" DIGEST "-" SECRET,
    // 36^50 - 1 and 36^25 - 1 are no 256-bit and 128-bit numbers.
    "SWMTKN-1-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz-" SECRET,
    "SWMTKN-1-" DIGEST "-zzzzzzzzzzzzzzzzzzzzzzzzz",
    "SWMTKN-1-" DIGEST "-A000000000000000000000000",
};

START_TEST(anything_else_is_refused_without_quoting_it)
{
    struct token token;
    struct err err = ERR_INIT;
    ck_assert_int_eq(token_parse(not_tokens[_i], &token, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "invalid join token");
    ck_assert_str_eq(token.secret, "");
}
END_TEST

START_TEST(an_empty_expectation_matches_nothing)
{
    ck_assert(token_equal("SWMTKN-1-a", "SWMTKN-1-a"));
    ck_assert(!token_equal("SWMTKN-1-a", "SWMTKN-1-b"));
    ck_assert(!token_equal("", ""));
    ck_assert(!token_equal(NULL, ""));
    ck_assert(!token_equal("", "SWMTKN-1-a"));
}
END_TEST

START_TEST(lock_keys_go_both_ways)
{
    uint8_t key[LOCK_KEY_BYTES];
    char text[LOCK_KEY_TEXT_BYTES];
    const char *stock = vector("locked/unlock.key");
    ck_assert_int_eq(lock_key_parse(stock, key, NULL), 0);
    lock_key_format(key, text);
    ck_assert_str_eq(text, stock);
    ck_assert_int_eq(lock_key_parse("", key, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(lock_key_parse("SWMKEY-1-", key, NULL), -ERR_INVALID_ARGUMENT);
    text[strlen(text) - 1] = '\0';
    ck_assert_int_eq(lock_key_parse(text, key, NULL), -ERR_INVALID_ARGUMENT);
}
END_TEST

Suite *suite_token(void);
Suite *suite_token(void)
{
    Suite *suite = suite_create("token");
    TCase *tcase = tcase_create("token");
    tcase_add_test(tcase, stock_tokens_parse_and_name_the_stock_root);
    tcase_add_test(tcase, a_token_made_here_parses_here);
    tcase_add_loop_test(tcase, anything_else_is_refused_without_quoting_it, 0,
                        (int)(sizeof not_tokens / sizeof *not_tokens));
    tcase_add_test(tcase, an_empty_expectation_matches_nothing);
    tcase_add_test(tcase, lock_keys_go_both_ways);
    suite_add_tcase(suite, tcase);
    return suite;
}
