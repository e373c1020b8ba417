// The labels, variables and tag beside the lines of a log, as json-file makes them.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "agent/log_marks.h"
#include "proto/base/check.h"

static const struct oci_pair labels[] = {{"x.y", "1"}, {"xz", "2"}, {"q", ""}};
static const char *const env[] = {"FOO=bar", "BAR=a b=c", "BARE"};
static const struct log_marks_container container = {
    .id = "6f58ef63c3821c17dfba722b",
    .name = "aa",
    .image = "busybox:lab",
    .image_id = "sha256:faba0e5ad2d2a7",
    .command = "echo hi",
    .labels = labels,
    .labels_count = COUNT_OF(labels),
    .env = {env, COUNT_OF(env)},
};

// "key=value;..." of what the options give, or the error.
static const char *made(const struct log_marks_options *options)
{
    static char text[1024];
    struct err err = ERR_INIT;
    struct arena arena;
    struct oci_pair *marks;
    size_t count;
    arena_init(&arena, 1 << 16);
    text[0] = '\0';
    if (log_marks_make(options, &container, &arena, &marks, &count, &err))
        snprintf(text, sizeof text, "%s", err.message);
    else
        for (size_t i = 0; i < count; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s=%s;", marks[i].key,
                     marks[i].value);
    arena_fini(&arena);
    return text;
}

START_TEST(names_choose_labels_and_variables)
{
    ck_assert_str_eq(made(&(struct log_marks_options){0}), "");
    ck_assert_str_eq(made(&(struct log_marks_options){.labels = "xz,no,q"}), "xz=2;q=;");
    ck_assert_str_eq(made(&(struct log_marks_options){.env = "BAR,BARE"}), "BAR=a b=c;");
}
END_TEST

START_TEST(expressions_choose_further_ones)
{
    ck_assert_str_eq(made(&(struct log_marks_options){.labels_regex = "^x\\.", .env_regex = "^F"}),
                     "x.y=1;FOO=bar;");
    ck_assert_str_eq(made(&(struct log_marks_options){.labels = "q", .labels_regex = "z"}),
                     "xz=2;q=;");
    ck_assert_ptr_nonnull(
        strstr(made(&(struct log_marks_options){.env_regex = "("}), "error parsing regexp"));
}
END_TEST

START_TEST(a_tag_is_a_template)
{
    ck_assert_str_eq(
        made(&(struct log_marks_options){
            .tag = "{{.Name}}/{{.ID}}/{{.ImageName}}/{{.ImageID}}/{{upper .Command}}"}),
        "tag=aa/6f58ef63c382/busybox:lab/sha256:faba0/ECHO HI;");
    ck_assert_ptr_nonnull(
        strstr(made(&(struct log_marks_options){.tag = "{{.Bad}}"}), "log-tag: template: "));
    ck_assert_ptr_nonnull(
        strstr(made(&(struct log_marks_options){.tag = "{{secret \"a\"}}"}), "not supported"));
}
END_TEST

START_TEST(a_check_finds_what_cannot_be)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(log_marks_check(&(struct log_marks_options){.tag = "{{.Name}}"}, &err), 0);
    ck_assert_int_eq(log_marks_check(&(struct log_marks_options){.tag = "{{"}, &err),
                     -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(there_are_never_more_than_the_bound)
{
    struct oci_pair many[LOG_MARKS_MAX + 10];
    char keys[COUNT_OF(many)][8];
    struct log_marks_container crowd = {.labels = many, .labels_count = COUNT_OF(many)};
    struct oci_pair *marks;
    struct arena arena;
    size_t count;
    for (size_t i = 0; i < COUNT_OF(many); i++) {
        snprintf(keys[i], sizeof keys[i], "k%zu", i);
        many[i] = (struct oci_pair){keys[i], "v"};
    }
    arena_init(&arena, 1 << 16);
    ck_assert_int_eq(log_marks_make(&(struct log_marks_options){.labels_regex = "k"}, &crowd,
                                    &arena, &marks, &count, NULL),
                     0);
    ck_assert_uint_eq(count, LOG_MARKS_MAX);
    arena_fini(&arena);
}
END_TEST

Suite *suite_log_marks(void);
Suite *suite_log_marks(void)
{
    Suite *suite = suite_create("log_marks");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, names_choose_labels_and_variables);
    tcase_add_test(tcase, expressions_choose_further_ones);
    tcase_add_test(tcase, a_tag_is_a_template);
    tcase_add_test(tcase, a_check_finds_what_cannot_be);
    tcase_add_test(tcase, there_are_never_more_than_the_bound);
    suite_add_tcase(suite, tcase);
    return suite;
}
