// The route table: exact rows, parameters, versions, and what is not there.
#include <check.h>

#include "proto/http/router.h"

static const struct route routes[] = {
    {"GET", "/info", "info"},
    {"GET", "/networks", "networks"},
    {"POST", "/networks/create", "create"},
    {"GET", "/networks/{id}", "network"},
    {"DELETE", "/networks/{id}", "remove"},
    {"POST", "/tasks/{id}/logs/{n}", "two"},
    {"GET", "/images/{name...}/json", "image"},
    {"HEAD", "/_ping", "head"},
    {"GET", "/_ping", "ping"},
};

static struct arena arena;
static struct route_match match;

static enum route_result find(const char *method, const char *path)
{
    arena_reset(&arena);
    return route_find(routes, sizeof routes / sizeof routes[0], method, path, &arena, &match);
}

START_TEST(rows_are_found_and_parameters_bound)
{
    arena_init(&arena, 10000);
    ck_assert_int_eq(find("GET", "/info"), ROUTE_FOUND);
    ck_assert_str_eq(match.route->target, "info");
    ck_assert_int_eq(find("GET", "/networks/a%2Fb"), ROUTE_FOUND);
    ck_assert_str_eq(match.route->target, "network");
    ck_assert_str_eq(route_match_get(&match, "id"), "a/b");
    ck_assert_ptr_null(route_match_get(&match, "i"));
    ck_assert_int_eq(find("POST", "/networks/create"), ROUTE_FOUND);
    ck_assert_str_eq(match.route->target, "create");
    ck_assert_int_eq(find("POST", "/tasks/7/logs/x"), ROUTE_FOUND);
    ck_assert_str_eq(route_match_get(&match, "id"), "7");
    ck_assert_str_eq(route_match_get(&match, "n"), "x");
    ck_assert_int_eq(find("GET", "/images/host:5000/a/b:tag/json"), ROUTE_FOUND);
    ck_assert_str_eq(route_match_get(&match, "name"), "host:5000/a/b:tag");
    arena_fini(&arena);
}
END_TEST

START_TEST(absent_paths_and_methods_are_told_apart)
{
    arena_init(&arena, 10000);
    ck_assert_int_eq(find("GET", "/nothing"), ROUTE_NO_PATH);
    ck_assert_int_eq(find("GET", "/info/"), ROUTE_NO_PATH);
    ck_assert_int_eq(find("GET", "/inf"), ROUTE_NO_PATH);
    ck_assert_int_eq(find("GET", "/networks/"), ROUTE_NO_PATH);
    ck_assert_int_eq(find("GET", "/networks/a/b"), ROUTE_NO_PATH);
    ck_assert_int_eq(find("GET", "/networks/%00"), ROUTE_NO_PATH);
    ck_assert_int_eq(find("GET", "/images/json"), ROUTE_NO_PATH);
    ck_assert_int_eq(find("PUT", "/info"), ROUTE_NO_METHOD);
    arena_fini(&arena);
}
END_TEST

START_TEST(head_falls_back_to_get)
{
    arena_init(&arena, 10000);
    ck_assert_int_eq(find("HEAD", "/info"), ROUTE_FOUND);
    ck_assert_str_eq(match.route->target, "info");
    ck_assert_int_eq(find("HEAD", "/_ping"), ROUTE_FOUND);
    ck_assert_str_eq(match.route->target, "head");
    ck_assert_int_eq(find("HEAD", "/networks/create"), ROUTE_FOUND); // GET /networks/{id}
    arena_fini(&arena);
}
END_TEST

START_TEST(version_is_split_off)
{
    const char *version;
    arena_init(&arena, 10000);
    ck_assert_str_eq(route_version("/v1.41/info", &arena, &version), "/info");
    ck_assert_str_eq(version, "1.41");
    const char *plain[] = {"/info", "/v1/info", "/v1.41", "/v1.x/info", "/volumes", "/v.1/x"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        ck_assert_str_eq(route_version(plain[i], &arena, &version), plain[i]);
        ck_assert_ptr_null(version);
    }
    arena_fini(&arena);
}
END_TEST

Suite *suite_router(void);
Suite *suite_router(void)
{
    Suite *suite = suite_create("router");
    TCase *tcase = tcase_create("table");
    tcase_add_test(tcase, rows_are_found_and_parameters_bound);
    tcase_add_test(tcase, absent_paths_and_methods_are_told_apart);
    tcase_add_test(tcase, head_falls_back_to_get);
    tcase_add_test(tcase, version_is_split_off);
    suite_add_tcase(suite, tcase);
    return suite;
}
