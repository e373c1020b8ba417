// Mirrors of docker.io as skopeo is told of them, and who is spoken to without verified TLS.
#include <check.h>
#include <string.h>

#include "agent/image/mirrors.h"
#include "proto/base/check.h"

START_TEST(mirrors_are_written_in_their_order)
{
    static const char *const urls[] = {"https://mirror.example:5000/path/", "http://10.0.0.1"};
    static const char *const insecure[] = {"mirror.example:5000"};
    struct mirrors mirrors = {.urls = urls, .urls_count = 2};
    struct buf out;
    buf_init(&out, MIRRORS_CONF_BYTES);
    ck_assert_int_eq(mirrors_check(&mirrors, NULL), 0);
    mirrors_conf(&mirrors, &out);
    ck_assert_str_eq(buf_cstr(&out),
                     "[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n"
                     "insecure = false\n"
                     "[[registry.mirror]]\nlocation = \"mirror.example:5000/path\"\n"
                     "insecure = false\n"
                     "[[registry.mirror]]\nlocation = \"10.0.0.1\"\ninsecure = true\n");
    buf_clear(&out);
    mirrors.insecure = insecure;
    mirrors.insecure_count = 1;
    mirrors.urls_count = 1;
    mirrors_conf(&mirrors, &out);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "5000/path\"\ninsecure = true\n"));
    buf_fini(&out);
}
END_TEST

START_TEST(what_is_no_mirror_is_refused)
{
    static const struct {
        const char *url, *why;
    } rows[] = {
        {"mirror.example", "unsupported scheme"},
        {"ftp://mirror.example", "unsupported scheme"},
        {"https://me:secret@mirror.example", "username/password not allowed"},
        {"https://mirror.example/?a=b", "query or fragment"},
        {"https://mirror.example/#a", "query or fragment"},
        {"https://", "not a valid URI"},
        {"https:///path", "not a valid URI"},
        {"https://a\"\ninsecure = true", "not a valid URI"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct err err = ERR_INIT;
        struct mirrors mirrors = {.urls = &rows[i].url, .urls_count = 1};
        ck_assert_int_eq(mirrors_check(&mirrors, &err), -ERR_INVALID_ARGUMENT);
        ck_assert_msg(strstr(err.message, rows[i].why) != NULL, "%s", err.message);
        ck_assert_ptr_null(strstr(err.message, "secret"));
    }
    const char *many[MIRRORS_MAX + 1];
    for (size_t i = 0; i < COUNT_OF(many); i++)
        many[i] = "https://mirror.example";
    struct mirrors mirrors = {.urls = many, .urls_count = COUNT_OF(many)};
    ck_assert_int_eq(mirrors_check(&mirrors, NULL), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(names_and_networks_may_do_without_tls)
{
    static const char *const insecure[] = {"registry.example:5000", "10.1.0.0/16", "fd00::/8",
                                           "0.0.0.0/x"};
    struct mirrors mirrors = {.insecure = insecure, .insecure_count = COUNT_OF(insecure)};
    static const struct {
        const char *domain;
        bool insecure;
    } rows[] = {
        {"registry.example:5000", true},
        {"registry.example", false},
        {"10.1.2.3:5000", true},
        {"10.1.2.3", true},
        {"10.2.2.3:5000", false},
        {"[fd12::1]:5000", true},
        {"[fe80::1]:5000", false},
        {"localhost:5000", true},
        {"127.1.2.3:1", true},
        {"localhost.example", false},
        {"docker.io", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_msg(mirrors_insecure(&mirrors, rows[i].domain) == rows[i].insecure, "%s",
                      rows[i].domain);
}
END_TEST

Suite *suite_mirrors(void);
Suite *suite_mirrors(void)
{
    Suite *suite = suite_create("mirrors");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, mirrors_are_written_in_their_order);
    tcase_add_test(tcase, what_is_no_mirror_is_refused);
    tcase_add_test(tcase, names_and_networks_may_do_without_tls);
    suite_add_tcase(suite, tcase);
    return suite;
}
