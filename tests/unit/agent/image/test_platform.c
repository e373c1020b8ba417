// Platforms are read and compared as containerd does.
#include <check.h>

#include "agent/image/manifest.h"
#include "agent/image/platform.h"

static struct platform_parts parse(const char *text)
{
    struct platform_parts parts;
    ck_assert_msg(platform_parse(text, &parts, NULL) == 0, "%s", text);
    return parts;
}

static void is(const char *text, const char *os, const char *architecture, const char *variant)
{
    struct platform_parts parts = parse(text);
    ck_assert_str_eq(parts.os, os);
    ck_assert_str_eq(parts.architecture, architecture);
    ck_assert_str_eq(parts.variant, variant);
}

START_TEST(platforms_are_read)
{
    is("linux", "linux", PLATFORM_NATIVE_ARCH, "");
    is("linux/amd64", "linux", "amd64", "");
    is("Linux/x86_64", "linux", "amd64", "");
    is("linux/amd64/v1", "linux", "amd64", "");
    is("linux/amd64/v3", "linux", "amd64", "v3");
    is("aarch64", "linux", "arm64", "");
    is("linux/arm64/v8", "linux", "arm64", "");
    is("linux/arm", "linux", "arm", "v7");
    is("armel", "linux", "arm", "v6");
    is("linux/arm/5", "linux", "arm", "v5");
    is("windows/amd64", "windows", "amd64", "");
    is("odd/thing", "odd", "thing", "");
}
END_TEST

START_TEST(what_is_no_platform_is_said)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "\"\" is an invalid component of \"\""},
        {"bogus", "\"bogus\": unknown operating system or architecture: invalid argument"},
        {"linux//v7", "\"\" is an invalid component of \"linux//v7\""},
        {"linux/a md64", "\"a md64\" is an invalid component"},
        {"linux/arm/v7/x", "\"linux/arm/v7/x\": cannot parse platform specifier"},
        {"linux/abcdefghijklmnopqrstuvwxyzabcdefghijklmnop", "is an invalid component"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct platform_parts parts;
        struct err err = ERR_INIT;
        ck_assert_int_eq(platform_parse(rows[i].text, &parts, &err), -ERR_INVALID_ARGUMENT);
        ck_assert_msg(strstr(err.message, rows[i].why) != NULL, "%s", err.message);
    }
}
END_TEST

START_TEST(an_image_serves_its_platform_and_later_ones)
{
    struct platform_parts v2 = parse("linux/amd64/v2"), plain = parse("linux/amd64");
    struct platform_parts v6 = parse("linux/arm/v6"), arm64 = parse("linux/arm64");
    ck_assert(platform_serves(&v2, "linux", "amd64", ""));
    ck_assert(platform_serves(&v2, "linux", "amd64", NULL));
    ck_assert(platform_serves(&v2, "linux", "amd64", "v2"));
    ck_assert(!platform_serves(&v2, "linux", "amd64", "v3"));
    ck_assert(!platform_serves(&plain, "linux", "amd64", "v2"));
    ck_assert(!platform_serves(&plain, "linux", "arm64", ""));
    ck_assert(!platform_serves(&plain, "windows", "amd64", ""));
    ck_assert(!platform_serves(&plain, NULL, NULL, NULL));
    ck_assert(platform_serves(&v6, "linux", "arm", "v5"));
    ck_assert(!platform_serves(&v6, "linux", "arm", ""));
    ck_assert(platform_serves(&arm64, "linux", "arm64", "v8"));
    ck_assert(platform_serves(&arm64, "linux", "arm", "v7"));
}
END_TEST

Suite *suite_platform(void);
Suite *suite_platform(void)
{
    Suite *suite = suite_create("platform");
    TCase *tcase = tcase_create("platform");
    tcase_add_test(tcase, platforms_are_read);
    tcase_add_test(tcase, what_is_no_platform_is_said);
    tcase_add_test(tcase, an_image_serves_its_platform_and_later_ones);
    suite_add_tcase(suite, tcase);
    return suite;
}
