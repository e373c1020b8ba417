#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/hostname.h"

START_TEST(labels_are_letters_digits_and_hyphens_inside)
{
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        {"a", true},    {"A9", true},   {"a-b", true},       {"0", true},   {"a--b", true},
        {"", false},    {"-", false},   {"-a", false},       {"a-", false}, {"a_b", false},
        {"a.b", false}, {"a b", false}, {"\xc3\xa4", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_msg(hostname_label_ok((struct str_part){rows[i].text, strlen(rows[i].text)}) ==
                          rows[i].ok,
                      "%s", rows[i].text);
    // Only the part counts.
    ck_assert(hostname_label_ok((struct str_part){"a-.", 1}));
}
END_TEST

Suite *suite_hostname(void);
Suite *suite_hostname(void)
{
    Suite *suite = suite_create("hostname");
    TCase *tcase = tcase_create("hostname");
    tcase_add_test(tcase, labels_are_letters_digits_and_hyphens_inside);
    suite_add_tcase(suite, tcase);
    return suite;
}
