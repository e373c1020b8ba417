// Manifests and configurations of both kinds are read; ambiguous and hostile ones are not.
#include <check.h>
#include <string.h>

#include "agent/image/images_io.h"
#include "agent/image/manifest.h"
#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const struct platform amd64 = {"linux", "amd64", ""};
static const struct platform armv7 = {"linux", "arm", "v7"};

static int parse(const char *text, const struct platform *platform, struct manifest *out,
                 struct err *err)
{
    static struct arena arena;
    arena_fini(&arena);
    arena_init(&arena, 1 << 20);
    return manifest_parse(text, strlen(text), platform, &arena, out, err);
}

START_TEST(a_manifest_gives_config_and_layers)
{
    struct manifest manifest;
    ck_assert_int_eq(parse("{\"schemaVersion\":2,\"config\":{\"digest\":\"" A "\",\"size\":10},"
                           "\"layers\":[{\"mediaType\":\"application/vnd.docker.image.rootfs.diff."
                           "tar.gzip\",\"digest\":\"" B "\",\"size\":20}]}",
                           &amd64, &manifest, NULL),
                     0);
    ck_assert_str_eq(manifest.config.digest, A);
    ck_assert_uint_eq(manifest.layers_count, 1);
    struct buf out;
    buf_init(&out, 4096);
    manifest_write_oci(&manifest, &out);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "application/vnd.oci.image.layer.v1.tar+gzip"));
    struct manifest again;
    char text[2000];
    str_copy(text, sizeof text, buf_cstr(&out));
    ck_assert_int_eq(parse(text, &amd64, &again, NULL), 0);
    ck_assert_str_eq(again.layers[0].digest, B);
    buf_fini(&out);
}
END_TEST

START_TEST(a_list_gives_the_entry_of_the_platform)
{
    static const char list[] =
        "{\"schemaVersion\":2,\"manifests\":["
        "{\"digest\":\"" B "\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\","
        "\"variant\":\"v6\"}},"
        "{\"digest\":\"" A "\",\"size\":2,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\","
        "\"variant\":\"v7\"}}]}";
    struct manifest manifest;
    struct err err = ERR_INIT;
    ck_assert_int_eq(parse(list, &armv7, &manifest, &err), 0);
    ck_assert(manifest.is_list);
    ck_assert_str_eq(manifest.chosen.digest, A);
    ck_assert_int_eq(parse(list, &amd64, &manifest, &err), -ERR_NOT_FOUND);
    ck_assert_str_eq(err.message,
                     "no matching manifest for linux/amd64 in the manifest list entries");
}
END_TEST

START_TEST(ambiguous_and_broken_manifests_are_refused)
{
    static const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"schemaVersion\":2}",
        "{\"schemaVersion\":3,\"layers\":[]}",
        "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[],\"config\":{}}",
        "{\"schemaVersion\":2,\"layers\":[],\"config\":{\"digest\":\"sha256:../../x\",\"size\":1}}",
        "{\"schemaVersion\":2,\"layers\":[],\"config\":{\"digest\":\"" A "\",\"size\":-1}}",
        "{\"schemaVersion\":2,\"layers\":[{}],\"config\":{\"digest\":\"" A "\",\"size\":1}}",
        "{\"schemaVersion\":2,\"layers\":[1],\"config\":{\"digest\":\"" A "\",\"size\":1}}",
        "{\"schemaVersion\":2,\"layers\":[],\"config\":{\"digest\":\"" A "\",\"size\":99999999}}",
    };
    struct manifest manifest;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_msg(parse(rows[i], &amd64, &manifest, &err) == -ERR_INVALID_ARGUMENT, "%s",
                      rows[i]);
    ck_assert_int_eq(parse("{\"schemaVersion\":1,\"fsLayers\":[]}", &amd64, &manifest, NULL),
                     -ERR_UNIMPLEMENTED);
}
END_TEST

START_TEST(a_configuration_gives_what_containers_get)
{
    static const char text[] =
        "{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2026-01-02T03:04:05Z\","
        "\"config\":{\"Env\":[\"A=1\"],\"Cmd\":[\"sh\"],\"Entrypoint\":null,\"User\":\"app\","
        "\"WorkingDir\":\"/w\",\"Volumes\":{\"/v\":{}},\"ExposedPorts\":{\"80/tcp\":{}},"
        "\"Labels\":{\"k\":\"v\"},\"StopSignal\":\"SIGINT\",\"Healthcheck\":{\"Test\":[\"CMD\","
        "\"true\"],\"Interval\":5000000000,\"Retries\":2}},"
        "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" A "\"]},"
        "\"history\":[{\"created_by\":\"x\",\"empty_layer\":true}]}";
    struct arena arena;
    struct image_config config;
    arena_init(&arena, 1 << 20);
    ck_assert_int_eq(image_config_parse(text, sizeof text - 1, &arena, &config, NULL), 0);
    ck_assert_str_eq(config.env[0], "A=1");
    ck_assert_uint_eq(config.entrypoint_count, 0);
    ck_assert_str_eq(config.volumes[0], "/v");
    ck_assert_str_eq(config.ports[0], "80/tcp");
    ck_assert_str_eq(config.labels[0].value, "v");
    ck_assert_str_eq(config.health.test[1], "true");
    ck_assert_int_eq(config.health.interval_ns, 5000000000);
    ck_assert_int_eq(config.health.retries, 2);
    ck_assert_str_eq(config.stop_signal, "SIGINT");
    ck_assert_str_eq(config.diff_ids[0], A);
    ck_assert(config.history[0].empty_layer);
    arena_fini(&arena);
    arena_init(&arena, 1 << 20);
    ck_assert_int_eq(image_config_parse("{\"config\":{\"Env\":[1]}}", 22, &arena, &config, NULL),
                     -ERR_INVALID_ARGUMENT);
    arena_fini(&arena);
}
END_TEST

START_TEST(registry_credentials_are_read)
{
    static const char json[] = "{\"username\":\"u\",\"password\":\"p?>\",\"serveraddress\":\"s\"}";
    struct buf text;
    struct arena arena;
    struct registry_auth auth;
    arena_init(&arena, 4096);
    for (int kind = BASE64_STD; kind <= BASE64_URL_RAW; kind++) {
        buf_init(&text, 4096);
        base64_encode((enum base64_kind)kind, json, sizeof json - 1, &text);
        ck_assert_int_eq(registry_auth_parse(buf_cstr(&text), &arena, &auth, NULL), 0);
        ck_assert_str_eq(auth.username, "u");
        ck_assert_str_eq(auth.password, "p?>");
        buf_fini(&text);
    }
    ck_assert_int_eq(registry_auth_parse("", &arena, &auth, NULL), 0);
    ck_assert_ptr_null(auth.username);
    ck_assert_int_eq(registry_auth_parse("!!", &arena, &auth, NULL), -ERR_INVALID_ARGUMENT);
    arena_fini(&arena);
}
END_TEST

Suite *suite_manifest(void);
Suite *suite_manifest(void)
{
    Suite *suite = suite_create("manifest");
    TCase *tcase = tcase_create("manifest");
    tcase_add_test(tcase, a_manifest_gives_config_and_layers);
    tcase_add_test(tcase, a_list_gives_the_entry_of_the_platform);
    tcase_add_test(tcase, ambiguous_and_broken_manifests_are_refused);
    tcase_add_test(tcase, a_configuration_gives_what_containers_get);
    tcase_add_test(tcase, registry_credentials_are_read);
    suite_add_tcase(suite, tcase);
    return suite;
}
