// What a registry has under a name gives the digest's document and the platforms to be bound to.
#include <check.h>
#include <string.h>

#include "agent/image/offer.h"
#include "proto/base/check.h"

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct arena arena;

static int parse(const char *text, struct offer *out, struct err *err)
{
    arena_fini(&arena);
    arena_init(&arena, 1 << 20);
    return offer_parse(text, strlen(text), &arena, out, err);
}

START_TEST(a_list_gives_all_its_platforms)
{
    static const char list[] =
        "{\"schemaVersion\":2,\"mediaType\":\"list/x\",\"manifests\":["
        "{\"digest\":\"" A "\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\","
        "\"variant\":\"v7\"}},"
        "{\"platform\":{\"os\":\"windows\",\"architecture\":\"amd64\",\"os.version\":\"10.0\","
        "\"os.features\":[\"win32k\",7,\"b\"]}},{}]}";
    struct offer offer;
    ck_assert_int_eq(parse(list, &offer, NULL), 0);
    ck_assert_str_eq(offer.descriptor.media_type, "list/x");
    ck_assert_uint_eq(offer.descriptor.size, sizeof list - 1);
    ck_assert_ptr_null(offer.config_digest);
    ck_assert_uint_eq(offer.platforms_count, 3);
    ck_assert_str_eq(offer.platforms[0].architecture, "arm");
    ck_assert_str_eq(offer.platforms[0].variant, "v7");
    ck_assert_str_eq(offer.platforms[1].os_version, "10.0");
    ck_assert_uint_eq(offer.platforms[1].os_features_count, 2);
    ck_assert_str_eq(offer.platforms[1].os_features[1], "b");
    ck_assert_str_eq(offer.platforms[2].os, "");
    arena_fini(&arena);
}
END_TEST

START_TEST(a_manifest_names_the_configuration_that_says_its_platform)
{
    static const char manifest[] =
        "{\"schemaVersion\":2,\"config\":{\"digest\":\"" A "\",\"size\":10},\"layers\":[]}";
    static const char config[] = "{\"os\":\"linux\",\"architecture\":\"arm64\"}\n";
    static const char *const silent[] = {"", "[]", "{}", "{\"os\":1}", "{\"os\":\"\"}"};
    struct offer offer;
    for (size_t i = 0; i < COUNT_OF(silent); i++) {
        ck_assert_int_eq(parse(manifest, &offer, NULL), 0);
        ck_assert_str_eq(offer.config_digest, A);
        ck_assert_str_eq(offer.descriptor.media_type, "application/vnd.oci.image.manifest.v1+json");
        offer_take_config(&offer, silent[i], strlen(silent[i]), &arena);
        ck_assert_uint_eq(offer.platforms_count, 0);
    }
    offer_take_config(&offer, config, sizeof config - 1, &arena);
    ck_assert_uint_eq(offer.platforms_count, 1);
    ck_assert_str_eq(offer.platforms[0].architecture, "arm64");
    arena_fini(&arena);
}
END_TEST

START_TEST(broken_documents_are_refused)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        {"", ERR_INVALID_ARGUMENT},
        {"[]", ERR_INVALID_ARGUMENT},
        {"{\"schemaVersion\":1}", ERR_UNIMPLEMENTED},
        {"{\"schemaVersion\":2}", ERR_INVALID_ARGUMENT},
        {"{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", ERR_INVALID_ARGUMENT},
        {"{\"schemaVersion\":2,\"layers\":[],\"config\":{\"digest\":\"sha256:../x\"}}",
         ERR_INVALID_ARGUMENT},
        {"{\"schemaVersion\":2,\"layers\":[]}", ERR_INVALID_ARGUMENT},
    };
    struct offer offer;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct err err = ERR_INIT;
        ck_assert_int_eq(parse(rows[i].text, &offer, &err), -rows[i].code);
        ck_assert_int_eq((int)err.code, rows[i].code);
    }
    arena_fini(&arena);
}
END_TEST

START_TEST(a_list_has_a_bound)
{
    struct buf text;
    struct offer offer;
    buf_init(&text, 1 << 20);
    buf_put_str(&text, "{\"schemaVersion\":2,\"manifests\":[{}");
    for (int i = 0; i < MANIFEST_LIST_MAX; i++)
        buf_put_str(&text, ",{}");
    buf_put_str(&text, "]}");
    ck_assert_int_eq(parse(buf_cstr(&text), &offer, NULL), -ERR_INVALID_ARGUMENT);
    buf_fini(&text);
    arena_fini(&arena);
}
END_TEST

Suite *suite_offer(void);
Suite *suite_offer(void)
{
    Suite *suite = suite_create("offer");
    TCase *tcase = tcase_create("offer");
    tcase_add_test(tcase, a_list_gives_all_its_platforms);
    tcase_add_test(tcase, a_manifest_names_the_configuration_that_says_its_platform);
    tcase_add_test(tcase, broken_documents_are_refused);
    tcase_add_test(tcase, a_list_has_a_bound);
    suite_add_tcase(suite, tcase);
    return suite;
}
