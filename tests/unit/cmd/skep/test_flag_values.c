// Values that the command refuses by itself, and those it takes, as the docker command's rules have
// it.
#include <check.h>
#include <stdlib.h>

#include "cmd/skep/flag_values.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static struct arena arena;

typedef const char *taker(const char *text, struct arena *arena, struct err *err);

static void takes(taker *take, const char *text, const char *wanted)
{
    struct err err = ERR_INIT;
    const char *taken = take(text, &arena, &err);
    ck_assert_msg(taken && str_equal(taken, wanted), "'%s': '%s', %s", text, str_or(taken, ""),
                  err.message);
}

static void refuses(taker *take, const char *text, const char *why)
{
    struct err err = ERR_INIT;
    const char *taken = take(text, &arena, &err);
    ck_assert_msg(!taken, "'%s' is taken: '%s'", text, str_or(taken, ""));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, why);
}

static void setup(void)
{
    arena_init(&arena, 1 << 16);
}

static void teardown(void)
{
    arena_fini(&arena);
}

START_TEST(lines_of_hosts_come_in_two_forms)
{
    takes(flag_extra_host, "db:10.0.0.1", "db:10.0.0.1");
    takes(flag_extra_host, "db=10.0.0.1", "db:10.0.0.1");
    takes(flag_extra_host, "db:2001:db8::1", "db:2001:db8::1");
    takes(flag_extra_host, "db=[2001:db8::1]", "db:2001:db8::1");
    takes(flag_extra_host, "me:host-gateway", "me:host-gateway");
    refuses(flag_extra_host, "odd", "bad format for add-host: \"odd\"");
    refuses(flag_extra_host, "", "bad format for add-host: \"\"");
    refuses(flag_extra_host, ":10.0.0.1", "bad format for add-host: \":10.0.0.1\"");
    refuses(flag_extra_host, "a:b=10.0.0.1", "bad format for add-host: \"a:b=10.0.0.1\"");
    refuses(flag_extra_host, "db:odd", "invalid IP address in add-host: \"odd\"");
    refuses(flag_extra_host, "db=", "invalid IP address in add-host: \"\"");
}
END_TEST

START_TEST(domains_have_labels_with_a_letter_somewhere)
{
    takes(flag_domain, "example.com", "example.com");
    takes(flag_domain, "a-b.c1.", "a-b.c1");
    takes(flag_domain, " . ", ".");
    refuses(flag_domain, "", " is not a valid domain");
    refuses(flag_domain, "1.2", "1.2 is not a valid domain");
    refuses(flag_domain, "-a.b", "-a.b is not a valid domain");
    refuses(flag_domain, "a..b", "a..b is not a valid domain");
    refuses(flag_domain, "a=b", "a=b is not a valid domain");
}
END_TEST

START_TEST(networks_have_an_address_and_bits)
{
    takes(flag_cidr, "10.0.0.0/8", "10.0.0.0/8");
    takes(flag_cidr, " fd00::/64", "fd00::/64");
    refuses(flag_cidr, "odd", "invalid string being converted to CIDR: odd");
    refuses(flag_cidr, "10.0.0.0/33", "invalid string being converted to CIDR: 10.0.0.0/33");
    refuses(flag_cidr, "10.0.0/8", "invalid string being converted to CIDR: 10.0.0/8");
}
END_TEST

START_TEST(settings_are_those_of_a_containers_own)
{
    takes(flag_sysctl, "net.core.somaxconn=1", "net.core.somaxconn=1");
    takes(flag_sysctl, "fs.mqueue.msg_max=1", "fs.mqueue.msg_max=1");
    takes(flag_sysctl, "kernel.shmmax=1", "kernel.shmmax=1");
    refuses(flag_sysctl, "net.core.somaxconn", "sysctl 'net.core.somaxconn' is not allowed");
    refuses(flag_sysctl, "kernel.panic=1", "sysctl 'kernel.panic=1' is not allowed");
}
END_TEST

START_TEST(rules_of_devices_have_kind_numbers_and_rights)
{
    takes(flag_device_rule, "c 1:3 rwm", "c 1:3 rwm");
    takes(flag_device_rule, "a *:* r", "a *:* r");
    static const char *const odd[] = {"",         "odd",        "c 1:3",   "c 1:3 ",
                                      "d 1:3 r",  "c 1:3 rwmr", "c 1:3 x", "c 1 r",
                                      "c  1:3 r", "c 1:3  r",   "c :3 r",  "c 1:*3 r"};
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        ck_assert_ptr_null(flag_device_rule(odd[i], &arena, NULL));
}
END_TEST

Suite *suite_flag_values(void);
Suite *suite_flag_values(void)
{
    Suite *suite = suite_create("flag_values");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, lines_of_hosts_come_in_two_forms);
    tcase_add_test(tests, domains_have_labels_with_a_letter_somewhere);
    tcase_add_test(tests, networks_have_an_address_and_bits);
    tcase_add_test(tests, settings_are_those_of_a_containers_own);
    tcase_add_test(tests, rules_of_devices_have_kind_numbers_and_rights);
    suite_add_tcase(suite, tests);
    return suite;
}
