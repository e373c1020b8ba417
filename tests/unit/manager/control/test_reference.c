// Names of images: what Docker's grammar takes and what it does not.
#include <check.h>

#include "manager/control/reference.h"
#include "proto/base/check.h"

START_TEST(the_grammar_is_dockers)
{
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {
        {"bb:1", true},
        {"nginx", true},
        {"library/nginx:1.26", true},
        {"docker.io/library/nginx", true},
        {"localhost/x", true},
        {"localhost:5000/a/b_c/d--e:T.a-g", true},
        {"registry.example.test/payment-api:v3.1.0", true},
        {"[fd00::1]:5000/x:1", true},
        {"Host/x", true},
        {"a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", true},
        {"a:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", true},
        {"", false},
        {"Bad:x:y", false},
        {"Bad:IMAGE:x", false},
        {"Bad", false},
        {"a//b", false},
        {"a/b/", false},
        {"/a", false},
        {"a..b", false},
        {"a___b", false},
        {"-a", false},
        {"a:", false},
        {"a:-x", false},
        {"a:b/c", false},
        {"a b", false},
        {"a@sha256:short", false},
        {"host.:80/x", false},
        {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_msg(reference_valid(rows[i].text) == rows[i].valid, "'%s'", rows[i].text);
}
END_TEST

Suite *suite_reference(void);
Suite *suite_reference(void)
{
    Suite *suite = suite_create("reference");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, the_grammar_is_dockers);
    suite_add_tcase(suite, tcase);
    return suite;
}
