// The first cluster object, tokens, keys.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "manager/ca/bootstrap.h"
#include "manager/ca/trust.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"

static struct arena arena;
static const struct wall now = {.ns = INT64_C(1800000000) * NS_PER_S};

static void set_up(void)
{
    arena_init(&arena, SIZE_MAX);
}

static void tear_down(void)
{
    arena_fini(&arena);
}

static Swarm__Cluster *make(bool fips)
{
    struct bootstrap bootstrap = {.cluster_id = "cluster1", .fips = fips};
    return bootstrap_cluster(&bootstrap, &rng_kernel, now, &arena);
}

START_TEST(a_new_cluster_has_root_tokens_keys_and_defaults)
{
    Swarm__Cluster *cluster = make(false);
    ck_assert_str_eq(cluster->id, "cluster1");
    ck_assert_str_eq(cluster->spec->annotations->name, "default");
    ck_assert_uint_eq(cluster->subnetsize, 24);
    ck_assert_uint_eq(cluster->vxlanudpport, 4789);
    ck_assert_uint_eq(cluster->n_defaultaddresspool, 0);
    ck_assert_uint_eq(cluster->n_unlock_keys, 0);
    ck_assert(str_starts(cluster->root_ca->ca_cert_hash, "sha256:"));
    struct token worker;
    struct token manager;
    struct err err = ERR_INIT;
    const Swarm__JoinTokens *tokens = cluster->root_ca->join_tokens;
    ck_assert_int_eq(token_parse(tokens->worker, &worker, &err), 0);
    ck_assert_int_eq(token_parse(tokens->manager, &manager, &err), 0);
    ck_assert_uint_eq(worker.version, 1);
    ck_assert_str_ne(worker.secret, manager.secret);
    ProtobufCBinaryData root = cluster->root_ca->ca_cert;
    ck_assert(token_matches_root(&worker, root.data, root.len));
    ck_assert(token_matches_root(&manager, root.data, root.len));
    char *pem = str_ndup((const char *)root.data, root.len);
    ck_assert_int_eq(rootca_check(pem, now, &err), 0);
    free(pem);
}
END_TEST

START_TEST(a_fips_cluster_gives_tokens_of_version_2)
{
    struct token token;
    Swarm__Cluster *cluster = make(true);
    ck_assert_int_eq(token_parse(cluster->root_ca->join_tokens->worker, &token, NULL), 0);
    ck_assert_uint_eq(token.version, 2);
    ck_assert(token.fips);
}
END_TEST

START_TEST(network_keys_are_three_per_subsystem_with_rising_lamport_times)
{
    Swarm__Cluster *cluster = make(false);
    ck_assert_uint_eq(cluster->n_network_bootstrap_keys, 6);
    uint64_t last = 0;
    for (size_t i = 0; i < 6; i++) {
        const Swarm__EncryptionKey *key = cluster->network_bootstrap_keys[i];
        ck_assert_str_eq(key->subsystem, i < 3 ? NAME_SUBSYSTEM_GOSSIP : NAME_SUBSYSTEM_IPSEC);
        ck_assert_uint_eq(key->key.len, 16);
        ck_assert_uint_gt(key->lamport_time, last);
        last = key->lamport_time;
    }
    ck_assert_uint_eq(cluster->encryption_key_lamport_clock, last);
}
END_TEST

START_TEST(rotating_network_keys_drops_the_oldest_of_each_subsystem)
{
    Swarm__Cluster *cluster = make(false);
    uint64_t clock = cluster->encryption_key_lamport_clock;
    uint64_t gossip = cluster->network_bootstrap_keys[0]->lamport_time;
    uint64_t ipsec = cluster->network_bootstrap_keys[3]->lamport_time;
    bootstrap_rotate_network_keys(cluster, &rng_kernel, &arena);
    ck_assert_uint_eq(cluster->n_network_bootstrap_keys, 6);
    ck_assert_uint_eq(cluster->encryption_key_lamport_clock, clock + 2);
    ck_assert_uint_eq(cluster->network_bootstrap_keys[2]->lamport_time, clock + 1);
    ck_assert_uint_eq(cluster->network_bootstrap_keys[5]->lamport_time, clock + 2);
    for (size_t i = 0; i < 6; i++) {
        ck_assert_uint_ne(cluster->network_bootstrap_keys[i]->lamport_time, gossip);
        ck_assert_uint_ne(cluster->network_bootstrap_keys[i]->lamport_time, ipsec);
    }
}
END_TEST

START_TEST(tokens_rotate_one_at_a_time)
{
    Swarm__Cluster *cluster = make(false);
    char *worker = arena_strdup(&arena, cluster->root_ca->join_tokens->worker);
    char *manager = arena_strdup(&arena, cluster->root_ca->join_tokens->manager);
    bootstrap_rotate_tokens(cluster, true, false, &rng_kernel, &arena);
    ck_assert_str_ne(cluster->root_ca->join_tokens->worker, worker);
    ck_assert_str_eq(cluster->root_ca->join_tokens->manager, manager);
    struct trust trust = {.signer = NULL};
    enum identity_role role;
    trust_update(&trust, cluster);
    ck_assert(!trust_admits(&trust, worker, &role));
    ck_assert(trust_admits(&trust, manager, &role));
    ck_assert_int_eq(role, IDENTITY_MANAGER);
    ck_assert(trust_admits(&trust, cluster->root_ca->join_tokens->worker, &role));
    ck_assert_int_eq(role, IDENTITY_WORKER);
    ck_assert(!trust_admits(&trust, "", &role));
    trust_fini(&trust);
}
END_TEST

START_TEST(locked_managers_have_an_unlock_key)
{
    Swarm__Cluster *cluster = make(false);
    cluster->spec->encryption_config = wire_new(&swarm__encryption_config__descriptor, &arena);
    cluster->spec->encryption_config->auto_lock_managers = true;
    bootstrap_rotate_unlock_key(cluster, &rng_kernel, &arena);
    ck_assert_uint_eq(cluster->n_unlock_keys, 1);
    ck_assert_str_eq(cluster->unlock_keys[0]->subsystem, "swarm-manager");
    ck_assert_uint_eq(cluster->unlock_keys[0]->key.len, 32);
    const uint8_t *old = cluster->unlock_keys[0]->key.data;
    bootstrap_rotate_unlock_key(cluster, &rng_kernel, &arena);
    ck_assert_uint_eq(cluster->n_unlock_keys, 1);
    ck_assert_mem_ne(cluster->unlock_keys[0]->key.data, old, 32);
    cluster->spec->encryption_config->auto_lock_managers = false;
    bootstrap_rotate_unlock_key(cluster, &rng_kernel, &arena);
    ck_assert_uint_eq(cluster->n_unlock_keys, 0);
}
END_TEST

START_TEST(without_a_key_or_with_an_external_ca_there_is_no_signer_but_a_reason)
{
    Swarm__Cluster *cluster = make(false);
    struct trust trust = {.signer = NULL};
    trust_update(&trust, cluster);
    ck_assert_ptr_nonnull(trust.signer);
    struct signer *kept = trust.signer;
    trust_update(&trust, cluster);
    ck_assert_ptr_eq(trust.signer, kept);
    Swarm__ExternalCA *external = wire_new(&swarm__external_ca__descriptor, &arena);
    external->url = "https://ca";
    cluster->spec->ca_config = wire_new(&swarm__caconfig__descriptor, &arena);
    cluster->spec->ca_config->external_cas = &external;
    cluster->spec->ca_config->n_external_cas = 1;
    trust_update(&trust, cluster);
    ck_assert_ptr_null(trust.signer);
    ck_assert_uint_eq(trust.external_count, 1);
    ck_assert_str_eq(trust.external_urls[0], "https://ca");
    ck_assert_str_eq(trust.intermediates_pem, "");
    cluster->spec->ca_config->n_external_cas = 0;
    ProtobufCBinaryData key = cluster->root_ca->ca_key;
    cluster->root_ca->ca_key.len = 0;
    trust_update(&trust, cluster);
    ck_assert_ptr_null(trust.signer);
    ck_assert_int_eq(trust.why.code, ERR_FAILED_PRECONDITION);
    cluster->root_ca->ca_key = key;
    trust_update(&trust, cluster);
    ck_assert_ptr_nonnull(trust.signer);
    trust_fini(&trust);
}
END_TEST

START_TEST(the_first_manager_needs_no_certificate)
{
    Swarm__Node *node = bootstrap_node(make(false), "n1", &arena);
    ck_assert_int_eq(node->role, SWARM__NODE_ROLE__MANAGER);
    ck_assert_int_eq(node->certificate->status->state, SWARM__ISSUANCE_STATUS__STATE__ISSUED);
    ck_assert_uint_eq(node->certificate->certificate.len, 0);
    ck_assert_uint_eq(node->vxlanudpport, 4789);
}
END_TEST

Suite *suite_bootstrap(void);
Suite *suite_bootstrap(void)
{
    Suite *suite = suite_create("bootstrap");
    TCase *tcase = tcase_create("bootstrap");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_new_cluster_has_root_tokens_keys_and_defaults);
    tcase_add_test(tcase, a_fips_cluster_gives_tokens_of_version_2);
    tcase_add_test(tcase, network_keys_are_three_per_subsystem_with_rising_lamport_times);
    tcase_add_test(tcase, rotating_network_keys_drops_the_oldest_of_each_subsystem);
    tcase_add_test(tcase, tokens_rotate_one_at_a_time);
    tcase_add_test(tcase, locked_managers_have_an_unlock_key);
    tcase_add_test(tcase, without_a_key_or_with_an_external_ca_there_is_no_signer_but_a_reason);
    tcase_add_test(tcase, the_first_manager_needs_no_certificate);
    suite_add_tcase(suite, tcase);
    return suite;
}
