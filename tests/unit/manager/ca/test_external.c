// What authorities outside are asked, and which of their answers are believed.
#include <check.h>
#include <string.h>

#include "manager/ca/external.h"
#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"
#include "proto/identity/certificate.h"
#include "proto/identity/csr.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/rootca.h"
#include "proto/identity/x509.h"
#include "proto/wire/wire.h"

static const struct wall now = {.ns = INT64_C(1800000000) * NS_PER_S};
static struct arena arena;
static struct key node_key, other_key, root_key, strange_key;
static char *root_pem, *root_key_pem, *strange_pem;
static char *csr;

static void make_root(char **cert, char **key_pem, struct key *key)
{
    struct buf a;
    struct buf b;
    buf_init(&a, 65536);
    buf_init(&b, 65536);
    rootca_make(&rng_kernel, now, &a, &b);
    *cert = arena_strdup(&arena, buf_cstr(&a));
    *key_pem = arena_strdup(&arena, buf_cstr(&b));
    ck_assert_int_eq(key_parse_pem(key, *key_pem, strlen(*key_pem), NULL), 0);
    buf_fini(&a);
    buf_fini(&b);
}

static void set_up(void)
{
    struct buf text;
    char *unused;
    arena_init(&arena, SIZE_MAX);
    make_root(&root_pem, &root_key_pem, &root_key);
    make_root(&strange_pem, &unused, &strange_key);
    key_make(&node_key, &rng_kernel);
    key_make(&other_key, &rng_kernel);
    buf_init(&text, CSR_BYTES_MAX);
    csr_make(&node_key, &rng_kernel, &text);
    csr = arena_strdup(&arena, buf_cstr(&text));
    buf_fini(&text);
}

static void tear_down(void)
{
    key_fini(&node_key);
    key_fini(&other_key);
    key_fini(&root_key);
    key_fini(&strange_key);
    arena_fini(&arena);
}

static struct external_order order_for(enum identity_role role)
{
    return (struct external_order){.csr_pem = csr,
                                   .csr_size = strlen(csr),
                                   .node_id = "node1",
                                   .cluster_id = "cluster1",
                                   .role = role,
                                   .roots_pem = root_pem,
                                   .intermediates_pem = ""};
}

// ---- what is asked -----------------------------------------------------------------------------

START_TEST(everything_in_a_request_but_the_key_is_ours)
{
    struct external_order order = order_for(IDENTITY_MANAGER);
    struct buf json;
    buf_init(&json, EXTERNAL_REQUEST_BYTES_MAX);
    ck_assert_int_eq(external_request(&order, &json, NULL), 0);
    json_t *asked = json_parse(json.data, json.len, NULL);
    ck_assert_ptr_nonnull(asked);
    const json_t *hosts = json_object_get(asked, "hosts");
    ck_assert_uint_eq(json_array_size(hosts), 3);
    ck_assert_str_eq(json_string_value(json_array_get(hosts, 0)), "swarm-manager");
    ck_assert_str_eq(json_string_value(json_array_get(hosts, 1)), "node1");
    ck_assert_str_eq(json_string_value(json_array_get(hosts, 2)), "swarm-ca");
    ck_assert_str_eq(json_string_value(json_object_get(asked, "certificate_request")), csr);
    const json_t *subject = json_object_get(asked, "subject");
    ck_assert_str_eq(json_string_value(json_object_get(subject, "CN")), "node1");
    const json_t *names = json_array_get(json_object_get(subject, "names"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(names, "O")), "cluster1");
    ck_assert_str_eq(json_string_value(json_object_get(names, "OU")), "swarm-manager");
    ck_assert_ptr_null(json_object_get(asked, "profile"));
    json_decref(asked);
    buf_fini(&json);

    order.csr_pem = "nonsense";
    order.csr_size = 8;
    buf_init(&json, EXTERNAL_REQUEST_BYTES_MAX);
    ck_assert_int_eq(external_request(&order, &json, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(json.len, 0);
    buf_fini(&json);
}
END_TEST

START_TEST(a_new_root_is_asked_for_with_the_profile_of_authorities)
{
    struct buf json;
    buf_init(&json, EXTERNAL_REQUEST_BYTES_MAX);
    ck_assert_int_eq(external_cross_request(root_pem, root_key_pem, &rng_kernel, &json, NULL), 0);
    json_t *asked = json_parse(json.data, json.len, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(asked, "profile")), "CA");
    const char *request = json_string_value(json_object_get(asked, "certificate_request"));
    struct buf public_key;
    buf_init(&public_key, 4096);
    ck_assert_int_eq(csr_open(request, strlen(request), &public_key, NULL), 0);
    ck_assert(x509_has_public_key(root_pem, cursor_of(public_key.data, public_key.len)));
    buf_fini(&public_key);
    json_decref(asked);
    buf_clear(&json);
    ck_assert_int_eq(external_cross_request(strange_pem, root_key_pem, &rng_kernel, &json, NULL),
                     -ERR_INVALID_ARGUMENT);
    buf_fini(&json);
}
END_TEST

// ---- envelopes ---------------------------------------------------------------------------------

static const struct {
    int status;
    const char *text;
    int code;
} answers[] = {
    {200, "{\"success\":true,\"result\":{\"certificate\":\"x\"},\"errors\":[]}", 0},
    {500, "{\"success\":true,\"result\":{\"certificate\":\"x\"}}", ERR_ABORTED},
    {302, "", ERR_ABORTED},
    {200, "", ERR_ABORTED},
    {200, "<html>", ERR_ABORTED},
    {200, "[]", ERR_ABORTED},
    {200, "7", ERR_ABORTED},
    {200, "{\"success\":true}", ERR_ABORTED},
    {200, "{\"success\":true,\"result\":null}", ERR_ABORTED},
    {200, "{\"success\":true,\"result\":[]}", ERR_ABORTED},
    {200, "{\"success\":true,\"result\":{\"certificate\":7}}", ERR_ABORTED},
    {200, "{\"success\":true,\"result\":{\"certificate\":\"a\\u0000b\"}}", ERR_ABORTED},
    {200, "{\"success\":\"true\",\"result\":{\"certificate\":\"x\"}}", ERR_FAILED_PRECONDITION},
    {200, "{}", ERR_FAILED_PRECONDITION},
    {200, "{\"success\":false,\"errors\":[{\"code\":5100,\"message\":\"no \\\"\\nway\"}]}",
     ERR_FAILED_PRECONDITION},
    {200, "{\"success\":false,\"errors\":7}", ERR_FAILED_PRECONDITION},
};

START_TEST(an_envelope_is_taken_or_told_apart)
{
    struct err err = ERR_INIT;
    struct buf pem;
    buf_init(&pem, EXTERNAL_ANSWER_BYTES_MAX);
    int result =
        external_answer(answers[_i].status, answers[_i].text, strlen(answers[_i].text), &pem, &err);
    ck_assert_msg(result == -answers[_i].code, "%s: %s", answers[_i].text, err.message);
    ck_assert_str_eq(buf_cstr(&pem), answers[_i].code ? "" : "x");
    ck_assert_ptr_null(strchr(err.message, '\n'));
    if (answers[_i].code == ERR_FAILED_PRECONDITION)
        ck_assert_ptr_null(strchr(err.message, 0x22)); // whatever the authority said
    buf_fini(&pem);
}
END_TEST

// ---- certificates ------------------------------------------------------------------------------

struct made {
    const char *what;
    enum identity_role asked;
    const char *node, *cluster, *unit;
    const char *names[CERTIFICATE_NAMES_MAX];
    size_t names_count;
    const struct key *key;
    bool strange, ca, early, late;
    bool good;
};

#define WORKER  "node1", "cluster1", "swarm-worker"
#define MANAGER "node1", "cluster1", "swarm-manager"
#define AS_WORKER                                                                                  \
    {                                                                                              \
        "swarm-worker", "node1"                                                                    \
    }
static const struct made made[] = {
    {"a worker", 0, WORKER, AS_WORKER, 2, &node_key, .good = true},
    {"a manager", 1, MANAGER, {"swarm-manager", "node1", "swarm-ca"}, 3, &node_key, .good = true},
    {"another name besides", 0, WORKER, {"swarm-worker", "node1", "h"}, 3, &node_key, .good = true},
    {"another key", 0, WORKER, AS_WORKER, 2, &other_key},
    {"another node", 0, "node2", "cluster1", "swarm-worker", AS_WORKER, 2, &node_key},
    {"another cluster", 0, "node1", "cluster2", "swarm-worker", AS_WORKER, 2, &node_key},
    {"the other role", 0, MANAGER, {"swarm-manager", "node1", "swarm-ca"}, 3, &node_key},
    {"no role", 0, "node1", "cluster1", "somebody", AS_WORKER, 2, &node_key},
    {"a worker's for a manager", 1, WORKER, AS_WORKER, 2, &node_key},
    {"a worker by a manager's name",
     0,
     WORKER,
     {"swarm-worker", "node1", "swarm-manager"},
     3,
     &node_key},
    {"a worker by the CA's name", 0, WORKER, {"swarm-worker", "node1", "swarm-ca"}, 3, &node_key},
    {"a worker by any name", 0, WORKER, {"swarm-worker", "node1", "*"}, 3, &node_key},
    {"no names", 0, WORKER, {NULL}, 0, &node_key},
    {"a manager that is no CA", 1, MANAGER, {"swarm-manager", "node1"}, 2, &node_key},
    {"an authority", 0, WORKER, AS_WORKER, 2, &node_key, .ca = true},
    {"of another root", 0, WORKER, AS_WORKER, 2, &node_key, .strange = true},
    {"not yet valid", 0, WORKER, AS_WORKER, 2, &node_key, .early = true},
    {"not valid any more", 0, WORKER, AS_WORKER, 2, &node_key, .late = true},
};

static char *make(const struct made *it)
{
    struct buf subject, issuer, public_key, pem;
    buf_init(&subject, 4096);
    buf_init(&issuer, 4096);
    buf_init(&public_key, 4096);
    buf_init(&pem, 65536);
    ck_assert(certificate_name(it->cluster, it->unit, it->node, &subject));
    struct x509_issuer root;
    ck_assert_int_eq(x509_issuer(root_pem, root_pem, &root, NULL), 0);
    key_write_public(&it->key->pk, &public_key);
    unsigned char identifier[KEY_SHA1_BYTES];
    key_identifier(&it->key->pk, identifier);
    int64_t shift = it->early ? NS_PER_H : it->late ? -3 * NS_PER_H : -NS_PER_H;
    struct certificate certificate = {
        .issuer = cursor_of(root.subject.data, root.subject.len),
        .subject = cursor_of(subject.data, subject.len),
        .not_before = wall_add(now, shift),
        .not_after = wall_add(now, shift + 2 * NS_PER_H),
        .public_key = cursor_of(public_key.data, public_key.len),
        .ca = it->ca,
        .dns_names_count = it->names_count,
        .key_identifier = cursor_of(identifier, sizeof identifier),
    };
    for (size_t i = 0; i < it->names_count; i++)
        certificate.dns_names[i] = it->names[i];
    certificate_sign(&certificate, it->strange ? &strange_key : &root_key, &rng_kernel, &pem);
    char *text = arena_strdup(&arena, buf_cstr(&pem));
    x509_issuer_fini(&root);
    buf_fini(&subject);
    buf_fini(&issuer);
    buf_fini(&public_key);
    buf_fini(&pem);
    return text;
}

START_TEST(only_what_was_ordered_is_taken)
{
    const struct made *it = &made[_i];
    struct external_order order = order_for(it->asked);
    struct err err = ERR_INIT;
    struct buf chain;
    buf_init(&chain, 65536);
    int result = external_take(&order, make(it), now, &chain, &err);
    ck_assert_msg(result == (it->good ? 0 : -ERR_ABORTED), "%s: %s", it->what, err.message);
    ck_assert_msg((chain.len > 0) == it->good, "%s", it->what);
    buf_fini(&chain);
}
END_TEST

START_TEST(texts_that_are_no_certificate_are_not_taken)
{
    static const char *const texts[] = {"", "x", "-----BEGIN CERTIFICATE-----\n",
                                        "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                        "-----END CERTIFICATE-----\n"};
    struct external_order order = order_for(IDENTITY_WORKER);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct buf chain;
        buf_init(&chain, 65536);
        ck_assert_int_eq(external_take(&order, texts[i], now, &chain, NULL), -ERR_ABORTED);
        ck_assert_int_eq(external_take_crossed(texts[i], root_pem, strange_pem, now, NULL),
                         -ERR_ABORTED);
        ck_assert_uint_eq(chain.len, 0);
        buf_fini(&chain);
    }
}
END_TEST

START_TEST(a_crossed_root_is_the_new_one_under_the_present_one)
{
    struct buf crossed;
    buf_init(&crossed, 65536);
    struct signer *signer = signer_new(root_pem, root_key_pem, NULL, NULL);
    ck_assert_int_eq(signer_cross_sign(signer, strange_pem, &rng_kernel, &crossed, NULL), 0);
    const char *pem = buf_cstr(&crossed);
    ck_assert_int_eq(external_take_crossed(pem, strange_pem, root_pem, now, NULL), 0);
    ck_assert_int_eq(external_take_crossed(pem, root_pem, root_pem, now, NULL), -ERR_ABORTED);
    ck_assert_int_eq(external_take_crossed(pem, strange_pem, strange_pem, now, NULL), -ERR_ABORTED);
    ck_assert_int_eq(external_take_crossed(make(&made[0]), strange_pem, root_pem, now, NULL),
                     -ERR_ABORTED);
    signer_free(signer);
    buf_fini(&crossed);
}
END_TEST

// ---- the list ----------------------------------------------------------------------------------

static const struct {
    const char *url;
    int protocol;
    bool good;
} entries[] = {
    {"https://ca.test/api/v1/cfssl/sign", 0, true},
    {"https://10.0.0.1:8888", 0, true},
    {"https://[fd00::1]:8888/x?y#z", 0, true},
    {"https://ca.test", 1, false},
    {"http://ca.test", 0, false},
    {"HTTPS://ca.test", 0, false},
    {"ca.test", 0, false},
    {"", 0, false},
    {"https://", 0, false},
    {"https:///sign", 0, false},
    {"https://:8888/", 0, false},
    {"https://user:word@ca.test/", 0, false},
    {"https://ca.test:0/", 0, false},
    {"https://ca.test:99999/", 0, false},
    {"https://ca.test/a b", 0, false},
    {"https://ca.test/\r\nHost: x", 0, false},
    {"https://unix:///x", 0, false},
};

START_TEST(entries_of_the_list_are_checked)
{
    Swarm__ExternalCA *external = wire_new(&swarm__external_ca__descriptor, &arena);
    Swarm__CAConfig *config = wire_new(&swarm__caconfig__descriptor, &arena);
    external->url = entries[_i].url;
    external->protocol = (Swarm__ExternalCA__CAProtocol)entries[_i].protocol;
    config->external_cas = &external;
    config->n_external_cas = 1;
    struct err err = ERR_INIT;
    int result = external_check(config, &err);
    ck_assert_msg(result == (entries[_i].good ? 0 : -ERR_INVALID_ARGUMENT), "%s: %s",
                  entries[_i].url, err.message);
    if (!entries[_i].good)
        ck_assert_ptr_nonnull(strstr(err.message, "external CA 1"));
}
END_TEST

Suite *suite_external(void);
Suite *suite_external(void)
{
    Suite *suite = suite_create("external");
    TCase *tcase = tcase_create("external");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, everything_in_a_request_but_the_key_is_ours);
    tcase_add_test(tcase, a_new_root_is_asked_for_with_the_profile_of_authorities);
    tcase_add_loop_test(tcase, an_envelope_is_taken_or_told_apart, 0, COUNT_OF(answers));
    tcase_add_loop_test(tcase, only_what_was_ordered_is_taken, 0, COUNT_OF(made));
    tcase_add_test(tcase, texts_that_are_no_certificate_are_not_taken);
    tcase_add_test(tcase, a_crossed_root_is_the_new_one_under_the_present_one);
    tcase_add_loop_test(tcase, entries_of_the_list_are_checked, 0, COUNT_OF(entries));
    suite_add_tcase(suite, tcase);
    return suite;
}
