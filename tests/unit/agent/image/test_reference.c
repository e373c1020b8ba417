// Image names are read and written as docker does.
#include <check.h>
#include <string.h>

#include "agent/image/reference.h"
#include "proto/base/check.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

START_TEST(names_are_made_full_and_familiar_again)
{
    static const struct {
        const char *text;
        const char *full;
        const char *familiar;
    } rows[] = {
        {"busybox", "docker.io/library/busybox", "busybox"},
        {"busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"},
        {"user/app", "docker.io/user/app", "user/app"},
        {"docker.io/busybox", "docker.io/library/busybox", "busybox"},
        {"index.docker.io/library/x", "docker.io/library/x", "x"},
        {"localhost/x", "localhost/x", "localhost/x"},
        {"localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"},
        {"host.example/a/b/c", "host.example/a/b/c", "host.example/a/b/c"},
        {"HOST/x", "HOST/x", "HOST/x"},
        {"[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"},
        {"a__b/c--d.e", "docker.io/a__b/c--d.e", "a__b/c--d.e"},
        {"x@sha256:" HEX, "docker.io/library/x@sha256:" HEX, "x@sha256:" HEX},
        {"x:t@sha256:" HEX, "docker.io/library/x:t@sha256:" HEX, "x:t@sha256:" HEX},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct reference reference;
        char text[REFERENCE_TEXT_BYTES];
        struct err err = ERR_INIT;
        ck_assert_msg(reference_parse(rows[i].text, &reference, &err) == 0, "%s: %s", rows[i].text,
                      err.message);
        ck_assert_str_eq(reference_full(&reference, text), rows[i].full);
        ck_assert_str_eq(reference_familiar(&reference, text), rows[i].familiar);
        struct reference again;
        ck_assert_int_eq(reference_parse(rows[i].full, &again, NULL), 0);
        ck_assert_str_eq(reference_full(&again, text), rows[i].full);
    }
}
END_TEST

START_TEST(what_is_no_name_is_refused)
{
    static const char *const rows[] = {
        "",     "Busybox",     "a/B",        "-a",     "a-", "a..b", "a___b",       "x:",
        "x:-t", "x@sha256:12", "x@md5:" HEX, "/x",     "x/", "a//b", "host:port/x", "host:99999/x",
        HEX,    "x y",         "x:a/b:c d",  "-h.x/a", "_x", "x\n",  "../x",        "a/../b",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct reference reference;
        ck_assert_msg(reference_parse(rows[i], &reference, NULL) == -ERR_INVALID_ARGUMENT, "%s",
                      rows[i]);
    }
    char tag[200] = "x:";
    memset(tag + 2, 'a', 129);
    struct reference reference;
    ck_assert_int_ne(reference_parse(tag, &reference, NULL), 0);
    tag[2 + 128] = '\0';
    ck_assert_int_eq(reference_parse(tag, &reference, NULL), 0);
    char name[400];
    memset(name, 'a', sizeof name);
    name[300] = '\0';
    ck_assert_int_ne(reference_parse(name, &reference, NULL), 0);
}
END_TEST

START_TEST(only_bare_names_get_the_default_tag)
{
    struct reference reference;
    ck_assert_int_eq(reference_parse("x", &reference, NULL), 0);
    reference_default_tag(&reference);
    ck_assert_str_eq(reference.tag, "latest");
    ck_assert_int_eq(reference_parse("x@sha256:" HEX, &reference, NULL), 0);
    reference_default_tag(&reference);
    ck_assert_str_eq(reference.tag, "");
    ck_assert(image_id_like("abcd"));
    ck_assert(image_id_like("sha256:" HEX));
    ck_assert(!image_id_like("abc"));
    ck_assert(!image_id_like("xyzw"));
}
END_TEST

Suite *suite_reference(void);
Suite *suite_reference(void)
{
    Suite *suite = suite_create("reference");
    TCase *tcase = tcase_create("reference");
    tcase_add_test(tcase, names_are_made_full_and_familiar_again);
    tcase_add_test(tcase, what_is_no_name_is_refused);
    tcase_add_test(tcase, only_bare_names_get_the_default_tag);
    suite_add_tcase(suite, tcase);
    return suite;
}
