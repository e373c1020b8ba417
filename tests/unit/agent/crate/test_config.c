// What users ask for becomes a whole configuration, or is refused in dockerd's words.
#include <check.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/config_image.h"
#include "agent/crate/config_settle.h"
#include "agent/crate/names.h"
#include "agent/crate/points.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static json_t *json(const char *text)
{
    json_t *value = json_parse(text, strlen(text), NULL);
    ck_assert_ptr_nonnull(value);
    return value;
}

// Settles the HostConfig and gives the error's words, "" for none.
static const char *settle(const char *text, json_t **host)
{
    static struct err err;
    err_clear(&err);
    json_t *raw = json(text), *config = config_read(NULL, NULL);
    *host = host_config_read(raw, &err);
    if (*host)
        host_config_settle(config, *host, &container_defaults_none, &err);
    json_decref(raw);
    json_decref(config);
    return err.message;
}

START_TEST(keys_match_in_any_case_and_all_members_are_there)
{
    struct err err = ERR_INIT;
    json_t *raw = json("{\"image\":\"bb:1\",\"CMD\":\"one\",\"Unknown\":5,\"Env\":null}");
    json_t *config = config_read(raw, &err);
    ck_assert_ptr_nonnull(config);
    ck_assert_str_eq(config_str(config, "Image"), "bb:1");
    ck_assert_uint_eq(json_array_size(config_of(config, "Cmd")), 1);
    ck_assert(json_is_null(json_object_get(config, "Env")));
    ck_assert(json_is_false(json_object_get(config, "Tty")));
    ck_assert_ptr_null(json_object_get(config, "Unknown"));
    ck_assert_ptr_null(json_object_get(config, "StopSignal"));
    json_decref(config);
    json_decref(raw);
}
END_TEST

START_TEST(wrong_types_are_told_in_gos_words)
{
    struct err err = ERR_INIT;
    json_t *raw = json("{\"Tty\":\"yes\"}");
    ck_assert_ptr_null(config_read(raw, &err));
    ck_assert_str_eq(err.message, "json: cannot unmarshal string into Go struct field "
                                  "ContainerConfigWrapper.Tty of type bool");
    json_decref(raw);
}
END_TEST

START_TEST(bad_limits_and_policies_are_refused)
{
    static const struct {
        const char *text;
        const char *words;
    } rows[] = {
        {"{\"Memory\":1}", "Minimum memory limit allowed is 6MB"},
        {"{\"RestartPolicy\":{\"Name\":\"bogus\"}}", "invalid restart policy 'bogus'"},
        {"{\"AutoRemove\":true,\"RestartPolicy\":{\"Name\":\"always\"}}",
         "can't create 'AutoRemove' container with restart policy"},
        {"{\"Links\":[\"a:b\"]}", "the option Links is not supported by Skep"},
        {"{\"PidMode\":\"bogus\"}", "invalid PID mode: bogus"},
        {"{\"LogConfig\":{\"Type\":\"syslog\"}}",
         "logger: no log driver named 'syslog' is registered"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        json_t *host;
        ck_assert_str_eq(settle(rows[i].text, &host), rows[i].words);
        json_decref(host);
    }
}
END_TEST

START_TEST(defaults_are_settled)
{
    json_t *host;
    ck_assert_str_eq(settle("{\"Memory\":67108864,\"MemorySwappiness\":-1}", &host), "");
    ck_assert_int_eq(config_int(host, "MemorySwap"), 134217728);
    ck_assert_int_eq(config_int(host, "ShmSize"), 67108864);
    ck_assert_str_eq(config_str(host, "NetworkMode"), "default");
    ck_assert_str_eq(config_str(config_of(host, "LogConfig"), "Type"), "json-file");
    ck_assert(json_is_null(json_object_get(host, "MemorySwappiness")));
    json_decref(host);
}
END_TEST

START_TEST(an_entrypoint_of_ones_own_drops_the_images_command)
{
    const char *cmd[] = {"image-cmd"}, *entry[] = {"image-entry"}, *env[] = {"A=1", "B=2"};
    struct image_config image = {.cmd = cmd,
                                 .cmd_count = 1,
                                 .entrypoint = entry,
                                 .entrypoint_count = 1,
                                 .env = env,
                                 .env_count = 2};
    json_t *raw = json("{\"Entrypoint\":[\"own\"],\"Env\":[\"B=3\"]}");
    json_t *config = config_read(raw, NULL);
    config_merge_image(config, &image);
    ck_assert(json_is_null(json_object_get(config, "Cmd")));
    ck_assert_uint_eq(json_array_size(config_of(config, "Env")), 2);
    json_decref(config);
    json_decref(raw);
    config = config_read(NULL, NULL);
    config_merge_image(config, &image);
    ck_assert_uint_eq(json_array_size(config_of(config, "Cmd")), 1);
    ck_assert_uint_eq(json_array_size(config_of(config, "Entrypoint")), 1);
    json_decref(config);
}
END_TEST

START_TEST(mounts_come_from_all_places_and_never_twice)
{
    struct err err = ERR_INIT;
    json_t *raw = json("{\"Binds\":[\"/src:/a:ro\",\"vol:/b/\"],\"Tmpfs\":{\"/t\":\"\"},"
                       "\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/c\",\"Source\":\"v2\"}]}");
    json_t *volumes = json("{\"Volumes\":{\"/b\":{},\"/d\":{}}}");
    json_t *host = host_config_read(raw, NULL), *config = config_read(volumes, NULL);
    json_t *points = points_make(config, host, &err);
    ck_assert_uint_eq(json_array_size(points), 5);
    ck_assert_str_eq(config_str(json_array_get(points, 1), "Destination"), "/b");
    ck_assert(!config_bool(json_array_get(points, 0), "RW"));
    json_decref(points);
    json_decref(host);
    json_decref(raw);
    raw = json("{\"Binds\":[\"/src:/a\",\"/other:/a\"]}");
    host = host_config_read(raw, NULL);
    ck_assert_ptr_null(points_make(config, host, &err));
    ck_assert_str_eq(err.message, "Duplicate mount point: /a");
    json_decref(host);
    json_decref(raw);
    raw = json("{\"Binds\":[\"/src:/a:bogus\"]}");
    host = host_config_read(raw, NULL);
    ck_assert_ptr_null(points_make(config, host, &err));
    ck_assert_str_eq(err.message, "invalid mode: bogus");
    json_decref(host);
    json_decref(raw);
    json_decref(volumes);
    json_decref(config);
}
END_TEST

START_TEST(names_are_checked_and_made)
{
    struct rand rand;
    char name[64];
    rand_init(&rand, 1);
    for (unsigned i = 0; i < 20; i++) {
        crate_name_make(&rand, i, name, sizeof name);
        ck_assert(crate_name_valid(name));
    }
    ck_assert(!crate_name_valid("x"));
    ck_assert(!crate_name_valid("bad name"));
    ck_assert(!crate_name_valid("_x"));
}
END_TEST

Suite *suite_config(void);
Suite *suite_config(void)
{
    Suite *suite = suite_create("config");
    TCase *tcase = tcase_create("config");
    tcase_add_test(tcase, keys_match_in_any_case_and_all_members_are_there);
    tcase_add_test(tcase, wrong_types_are_told_in_gos_words);
    tcase_add_test(tcase, bad_limits_and_policies_are_refused);
    tcase_add_test(tcase, defaults_are_settled);
    tcase_add_test(tcase, an_entrypoint_of_ones_own_drops_the_images_command);
    tcase_add_test(tcase, mounts_come_from_all_places_and_never_twice);
    tcase_add_test(tcase, names_are_checked_and_made);
    suite_add_tcase(suite, tcase);
    return suite;
}
