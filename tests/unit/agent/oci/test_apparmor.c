// The default AppArmor profile: what it says, who gets it, and the kernel's list of profiles.
#include <check.h>
#include <string.h>

#include "agent/oci/apparmor.h"
#include "agent/oci/bundle.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static const char *profile_under(const char *own)
{
    static char text[16384];
    struct buf out;
    buf_init(&out, sizeof text);
    apparmor_write(own, &out);
    ck_assert(buf_ok(&out));
    str_copy(text, sizeof text, buf_cstr(&out));
    buf_fini(&out);
    return text;
}

START_TEST(the_profile_denies_what_docker_s_denies)
{
    static const char *const rules[] = {
        "  deny mount,\n",
        "  deny /proc/sysrq-trigger rwklx,\n",
        "  deny /proc/* w,\n",
        "  deny /sys/firmware/** rwklx,\n",
        "  deny /proc/sys/[^k]** w,\n",
        "  file,\n",
        "  signal (receive) peer=unconfined,\n",
        "  ptrace (trace, read, tracedby, readby) peer=docker-default,\n",
    };
    const char *text = profile_under(NULL);
    ck_assert(str_starts(text, "profile docker-default flags=("));
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        ck_assert_msg(strstr(text, rules[i]) != NULL, "%s", rules[i]);
    ck_assert_str_eq(text + strlen(text) - 2, "}\n");
    ck_assert_ptr_null(strstr(text, "include"));
}
END_TEST

START_TEST(signals_come_from_the_profile_that_we_run_under)
{
    const char *rule = "  signal (receive) peer=\"/usr/sbin/skepd\",\n";
    ck_assert_ptr_nonnull(strstr(profile_under("/usr/sbin/skepd"), rule));
    ck_assert_ptr_null(strstr(profile_under(""), "peer=\""));
}
END_TEST

START_TEST(names_are_found_whole_in_the_kernel_s_list)
{
    const char *list =
        "/usr/bin/man (enforce)\ndocker-default-2 (enforce)\nlsb_release (complain)\n"
        "two words (enforce)\n";
    ck_assert(apparmor_lists(list, "/usr/bin/man"));
    ck_assert(apparmor_lists(list, "lsb_release"));
    ck_assert(apparmor_lists(list, "two words"));
    ck_assert(!apparmor_lists(list, "docker-default"));
    ck_assert(!apparmor_lists(list, "two"));
    ck_assert(!apparmor_lists(list, "words"));
    ck_assert(!apparmor_lists("", "docker-default"));
    ck_assert(!apparmor_lists("docker-default", "docker-default"));
}
END_TEST

START_TEST(names_that_no_profile_can_have_are_refused)
{
    char longest[APPARMOR_NAME_CHARS_MAX + 2];
    static const char *const bad[] = {"", "a\nb", "a\"b", "\x7f"};
    memset(longest, 'a', sizeof longest);
    longest[APPARMOR_NAME_CHARS_MAX] = '\0';
    ck_assert_int_eq(apparmor_check_name(longest, NULL), 0);
    longest[APPARMOR_NAME_CHARS_MAX] = 'a';
    longest[APPARMOR_NAME_CHARS_MAX + 1] = '\0';
    ck_assert_int_eq(apparmor_check_name(longest, NULL), -ERR_INVALID_ARGUMENT);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_int_eq(apparmor_check_name(bad[i], NULL), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(who_names_none_gets_the_host_s_unless_privileged)
{
    ck_assert_str_eq(bundle_apparmor(NULL, false, APPARMOR_DEFAULT), "docker-default");
    ck_assert_str_eq(bundle_apparmor("", false, APPARMOR_DEFAULT), "docker-default");
    ck_assert_ptr_null(bundle_apparmor(NULL, true, APPARMOR_DEFAULT));
    ck_assert_ptr_null(bundle_apparmor(NULL, false, NULL));
    ck_assert_ptr_null(bundle_apparmor("unconfined", false, APPARMOR_DEFAULT));
    ck_assert_str_eq(bundle_apparmor("strict", true, APPARMOR_DEFAULT), "strict");
}
END_TEST

Suite *suite_apparmor(void);

Suite *suite_apparmor(void)
{
    Suite *suite = suite_create("apparmor");
    TCase *tcase = tcase_create("profile");
    tcase_add_test(tcase, the_profile_denies_what_docker_s_denies);
    tcase_add_test(tcase, signals_come_from_the_profile_that_we_run_under);
    tcase_add_test(tcase, names_are_found_whole_in_the_kernel_s_list);
    tcase_add_test(tcase, names_that_no_profile_can_have_are_refused);
    tcase_add_test(tcase, who_names_none_gets_the_host_s_unless_privileged);
    suite_add_tcase(suite, tcase);
    return suite;
}
