// The list of managers goes to disk and back, in dockerd's form.
#include <check.h>
#include <string.h>

#include "agent/managers.h"

START_TEST(the_list_is_sorted_and_comes_back)
{
    struct remotes remotes;
    struct remotes back;
    struct buf text;
    remotes_init(&remotes);
    remotes_init(&back);
    buf_init(&text, MANAGERS_BYTES_MAX);
    remotes_observe(&remotes, "n2", "10.0.0.2:2377", REMOTES_OBSERVED_GOOD);
    remotes_observe(&remotes, "n1", "10.0.0.1:2377", REMOTES_OBSERVED_GOOD);
    managers_write(&remotes, &text);
    ck_assert_str_eq(buf_cstr(&text), "[{\"node_id\":\"n1\",\"addr\":\"10.0.0.1:2377\"},"
                                      "{\"node_id\":\"n2\",\"addr\":\"10.0.0.2:2377\"}]");
    ck_assert_int_eq(managers_read(text.data, text.len, &back, NULL), 0);
    ck_assert_uint_eq(back.count, 2);
    ck_assert_str_eq(back.list[0].addr, "10.0.0.1:2377");
    buf_fini(&text);
    remotes_fini(&remotes);
    remotes_fini(&back);
}
END_TEST

START_TEST(other_texts_are_refused_and_empty_addresses_skipped)
{
    struct remotes remotes;
    remotes_init(&remotes);
    ck_assert_int_eq(managers_read("", 0, &remotes, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(managers_read("{}", 2, &remotes, NULL), -ERR_INVALID_ARGUMENT);
    const char *text = "[1, {\"node_id\":\"n\"}, {\"addr\":\"\"}, {\"addr\":7}]";
    ck_assert_int_eq(managers_read(text, strlen(text), &remotes, NULL), 0);
    ck_assert_uint_eq(remotes.count, 0);
    remotes_fini(&remotes);
}
END_TEST

Suite *suite_managers(void);
Suite *suite_managers(void)
{
    Suite *suite = suite_create("managers");
    TCase *tcase = tcase_create("managers");
    tcase_add_test(tcase, the_list_is_sorted_and_comes_back);
    tcase_add_test(tcase, other_texts_are_refused_and_empty_addresses_skipped);
    suite_add_tcase(suite, tcase);
    return suite;
}
