// What docker has and skep has not: nothing of it is there after all.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/absent.h"
#include "cmd/skep/command.h"

START_TEST(no_command_is_both_there_and_missing)
{
    const struct command *command;
    for (size_t at = 0; (command = command_next(&at));) {
        ck_assert_msg(!absent_command(command->path), "%s", command->path);
        for (const struct flag *flag = command->flags; flag && flag->name; flag++)
            // A container has a platform, an image here does not.
            ck_assert_msg(!absent_option(command->path, flag->name) ||
                              (strncmp(command->path, "image", 5) == 0 &&
                               strcmp(flag->name, "platform") == 0),
                          "%s --%s", command->path, flag->name);
    }
    for (const struct command_alias *alias = command_aliases; alias->path; alias++)
        ck_assert_msg(!absent_command(alias->path), "%s", alias->path);
}
END_TEST

START_TEST(a_missing_command_is_known_by_its_first_words)
{
    ck_assert_ptr_nonnull(strstr(absent_command("plugin"), "not supported"));
    ck_assert_ptr_eq(absent_command("plugin install"), absent_command("plugin"));
    ck_assert_ptr_nonnull(absent_command("image build"));
    ck_assert_ptr_null(absent_command("image"));
    ck_assert_ptr_null(absent_command("plugins"));
    ck_assert_ptr_nonnull(strstr(absent_option("volume create", "scope"), "CSI"));
    ck_assert_ptr_null(absent_option("volume create", "nosuch"));
    ck_assert_ptr_null(absent_option("network create", "scope"));
    ck_assert_ptr_null(absent_option("volume create", ""));
}
END_TEST

START_TEST(every_reason_says_that_it_is_one)
{
    static const char *const paths[] = {"build",      "buildx",  "builder build",
                                        "checkpoint", "compose", "trust",
                                        "manifest",   "plugin",  "volume update"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        ck_assert_ptr_nonnull(strstr(absent_command(paths[i]), "not supported"));
}
END_TEST

Suite *suite_absent(void);
Suite *suite_absent(void)
{
    Suite *suite = suite_create("absent");
    TCase *rows = tcase_create("rows");
    tcase_add_test(rows, no_command_is_both_there_and_missing);
    tcase_add_test(rows, a_missing_command_is_known_by_its_first_words);
    tcase_add_test(rows, every_reason_says_that_it_is_one);
    suite_add_tcase(suite, rows);
    return suite;
}
