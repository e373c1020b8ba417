// /etc/hosts, resolv.conf and log lines: what goes into a line cannot start another.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/oci/etc_files.h"
#include "agent/oci/logline.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

START_TEST(hosts_hold_own_name_and_extra_ones)
{
    struct buf out;
    buf_init(&out, ETC_FILE_BYTES);
    const char *address = "10.0.0.5";
    const char *extra[] = {"10.0.0.1 db database", "web:10.0.0.2", "v6:fe80::1"};
    struct oci_strings list = {extra, 3};
    ck_assert_int_eq(etc_hosts("box", NULL, &address, 1, &list, &out, NULL), 0);
    const char *text = buf_cstr(&out);
    ck_assert_ptr_nonnull(strstr(text, "127.0.0.1\tlocalhost\n"));
    ck_assert_ptr_nonnull(strstr(text, "10.0.0.1\tdb\tdatabase\n"));
    ck_assert_ptr_nonnull(strstr(text, "10.0.0.2\tweb\n"));
    ck_assert_ptr_nonnull(strstr(text, "fe80::1\tv6\n"));
    ck_assert_ptr_nonnull(strstr(text, "10.0.0.5\tbox\n"));
    buf_fini(&out);
}
END_TEST

START_TEST(own_lines_come_and_go_beside_what_others_wrote)
{
    struct buf out;
    buf_init(&out, ETC_FILE_BYTES);
    etc_hosts_change("127.0.0.1\tlocalhost\n10.0.0.5\tbox\n10.0.0.5\tother", "box", NULL,
                     "10.1.0.7", true, &out);
    ck_assert_str_eq(buf_cstr(&out), "127.0.0.1\tlocalhost\n10.0.0.5\tbox\n10.0.0.5\tother\n"
                                     "10.1.0.7\tbox\n");
    char *text = str_dup(buf_cstr(&out));
    buf_clear(&out);
    etc_hosts_change(text, "box", NULL, "10.0.0.5", false, &out);
    ck_assert_str_eq(buf_cstr(&out), "127.0.0.1\tlocalhost\n10.0.0.5\tother\n10.1.0.7\tbox\n");
    free(text);
    buf_clear(&out);
    etc_hosts_change("", "box", "lan", "10.1.0.7", true, &out);
    ck_assert_str_eq(buf_cstr(&out), "10.1.0.7\tbox.lan box\n");
    buf_fini(&out);
}
END_TEST

START_TEST(no_entry_can_bring_a_line_of_its_own)
{
    static const char *const bad[] = {"10.0.0.1 a\n6.6.6.6", "a\nb:10.0.0.1", "nowhere", "x:notip",
                                      "10.0.0.1 ",           "bad name"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct buf out;
        buf_init(&out, ETC_FILE_BYTES);
        struct oci_strings list = {&bad[i], 1};
        ck_assert_msg(etc_hosts("box", NULL, NULL, 0, &list, &out, NULL) == -ERR_INVALID_ARGUMENT,
                      "%s", bad[i]);
        ck_assert_int_eq(etc_resolv(&list, NULL, NULL, &out, NULL), -ERR_INVALID_ARGUMENT);
        buf_fini(&out);
    }
}
END_TEST

// Goal: each list stands in the place of the host's lines of its kind, and of no other.
START_TEST(resolv_conf_lists_replace_their_kind)
{
    static const char host[] = "# c\nnameserver 9.9.9.9\nsearch x\ndomain y\noptions rotate\n";
    const char *servers[] = {"1.2.3.4"}, *search[] = {"a", "b"}, *nothing[] = {"."};
    const struct oci_strings none = {0}, s = {servers, 1}, d = {search, 2}, n = {nothing, 1};
    struct buf out;
    buf_init(&out, ETC_FILE_BYTES);
    ck_assert_int_eq(etc_resolv_over(host, &s, &none, &none, &out, NULL), 0);
    ck_assert_str_eq(buf_cstr(&out), "search x\ndomain y\noptions rotate\nnameserver 1.2.3.4\n");
    buf_clear(&out);
    ck_assert_int_eq(etc_resolv_over(host, &none, &d, &none, &out, NULL), 0);
    ck_assert_str_eq(buf_cstr(&out), "nameserver 9.9.9.9\noptions rotate\nsearch a b\n");
    buf_clear(&out);
    ck_assert_int_eq(etc_resolv_over(host, &none, &n, &s, &out, NULL), 0);
    ck_assert_str_eq(buf_cstr(&out), "nameserver 9.9.9.9\noptions 1.2.3.4\n");
    buf_clear(&out);
    ck_assert_int_eq(etc_resolv_over(NULL, &s, &none, &none, &out, NULL), 0);
    ck_assert_str_eq(buf_cstr(&out), "nameserver 1.2.3.4\n");
    buf_fini(&out);
}
END_TEST

START_TEST(resolv_conf_is_made_and_filtered)
{
    struct buf out;
    buf_init(&out, ETC_FILE_BYTES);
    const char *servers[] = {"8.8.8.8", "::2"}, *search[] = {"a.b", "c"}, *options[] = {"ndots:0"};
    struct oci_strings s = {servers, 2}, d = {search, 2}, o = {options, 1};
    ck_assert_int_eq(etc_resolv(&s, &d, &o, &out, NULL), 0);
    ck_assert_str_eq(buf_cstr(&out),
                     "nameserver 8.8.8.8\nnameserver ::2\nsearch a.b c\noptions ndots:0\n");
    buf_clear(&out);
    size_t dropped;
    etc_resolv_filter("# c\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch x\n", &out, &dropped);
    ck_assert_str_eq(buf_cstr(&out), "nameserver 9.9.9.9\nsearch x\n");
    ck_assert_uint_eq(dropped, 1);
    buf_fini(&out);
}
END_TEST

START_TEST(log_lines_are_taken_apart)
{
    struct log_line line;
    const char full[] = "2026-11-20T14:00:16.232459020+01:00 stderr F some words";
    ck_assert(logline_parse(full, sizeof full - 1, &line));
    ck_assert_int_eq(line.stream, LOG_STREAM_STDERR);
    ck_assert(!line.partial);
    ck_assert_uint_eq(line.size, 10);
    char stamp[WALL_TEXT_BYTES];
    ck_assert_str_eq(wall_format(line.at, stamp), "2026-11-20T13:00:16.23245902Z");
    const char part[] = "2026-11-20T14:00:16.2Z stdout P ";
    ck_assert(logline_parse(part, sizeof part - 1, &line));
    ck_assert(line.partial);
    ck_assert_uint_eq(line.size, 0);
    static const char *const broken[] = {"",
                                         " ",
                                         "2026-11-20T14:00:16Z",
                                         "x stdout F a",
                                         "2026-11-20T14:00:16Z stdin F a",
                                         "2026-11-20T14:00:16Z stdout X a",
                                         "2026-11-20T14:00:16Z stdout Fa"};
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        ck_assert(!logline_parse(broken[i], strlen(broken[i]), &line));
}
END_TEST

Suite *suite_etc_files(void);
Suite *suite_etc_files(void)
{
    Suite *suite = suite_create("etc_files");
    TCase *tcase = tcase_create("etc_files");
    tcase_add_test(tcase, hosts_hold_own_name_and_extra_ones);
    tcase_add_test(tcase, own_lines_come_and_go_beside_what_others_wrote);
    tcase_add_test(tcase, no_entry_can_bring_a_line_of_its_own);
    tcase_add_test(tcase, resolv_conf_is_made_and_filtered);
    tcase_add_test(tcase, resolv_conf_lists_replace_their_kind);
    tcase_add_test(tcase, log_lines_are_taken_apart);
    suite_add_tcase(suite, tcase);
    return suite;
}
