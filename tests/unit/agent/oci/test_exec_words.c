// What a runtime says of an exec it could not start is told apart from what the process says.
#include <check.h>
#include <string.h>

#include "agent/oci/exec_words.h"

static struct exec_words words;

static void setup(void)
{
    exec_words_init(&words);
}

static void teardown(void)
{
    exec_words_fini(&words);
}

static bool take(const char *text)
{
    return exec_words_take(&words, text, strlen(text));
}

static const char missing[] =
    "executable file `nosuch` not found in $PATH: No such file or directory";

START_TEST(the_runtimes_own_line_is_held_and_known)
{
    ck_assert(take("executable file `nosuch` not found in $PATH"));
    ck_assert(!exec_words_say(&words, missing));
    ck_assert(take(": No such file or directory\n"));
    ck_assert(exec_words_say(&words, missing));
    ck_assert(!exec_words_say(&words, "executable file `nosuch`"));
    ck_assert(!exec_words_say(&words, ""));
}
END_TEST

// As it looks on a terminal.
START_TEST(colours_and_carriage_returns_do_not_count)
{
    ck_assert(take("\x1b[1;31mexecutable file `nosuch` not found in $PATH: No such file or "
                   "directory\x1b[0m\r\n"));
    ck_assert(exec_words_say(&words, missing));
}
END_TEST

START_TEST(one_byte_after_the_other_is_the_same)
{
    for (const char *at = missing; *at; at++)
        ck_assert(exec_words_take(&words, at, 1));
    ck_assert(take("\n"));
    ck_assert(exec_words_say(&words, missing));
}
END_TEST

START_TEST(what_a_program_says_is_not_held)
{
    ck_assert(!take("ls: /nosuch: No such file or directory\n"));
    ck_assert_uint_eq(words.held.len, 0);
    ck_assert(!take(missing));
    ck_assert(!exec_words_say(&words, missing));
}
END_TEST

START_TEST(what_is_held_is_given_when_more_comes)
{
    ck_assert(take("exec failed: so it says\n"));
    ck_assert(!take("and goes on\n"));
    ck_assert_uint_eq(words.held.len, strlen("exec failed: so it says\n"));
    exec_words_pass(&words);
    ck_assert_uint_eq(words.held.len, 0);
    ck_assert(!take("exec failed: again\n"));
}
END_TEST

START_TEST(two_lines_at_once_are_none_of_the_runtimes)
{
    ck_assert(!take("exec failed: so it says\nand goes on\n"));
    ck_assert_uint_eq(words.held.len, 0);
}
END_TEST

START_TEST(what_is_too_long_is_given)
{
    char long_text[EXEC_WORDS_BYTES];
    memset(long_text, 'x', sizeof long_text);
    ck_assert(take("exec failed: "));
    ck_assert(!exec_words_take(&words, long_text, sizeof long_text));
    ck_assert_uint_eq(words.held.len, strlen("exec failed: "));
}
END_TEST

Suite *suite_exec_words(void);
Suite *suite_exec_words(void)
{
    Suite *suite = suite_create("exec_words");
    TCase *tcase = tcase_create("exec_words");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_runtimes_own_line_is_held_and_known);
    tcase_add_test(tcase, colours_and_carriage_returns_do_not_count);
    tcase_add_test(tcase, one_byte_after_the_other_is_the_same);
    tcase_add_test(tcase, what_a_program_says_is_not_held);
    tcase_add_test(tcase, what_is_held_is_given_when_more_comes);
    tcase_add_test(tcase, two_lines_at_once_are_none_of_the_runtimes);
    tcase_add_test(tcase, what_is_too_long_is_given);
    suite_add_tcase(suite, tcase);
    return suite;
}
