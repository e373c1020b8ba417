// Who calls: certificates, forwarding, and the one hop that is allowed.
#include <check.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/rpc/peer.h"

static struct arena arena;
static struct metadata metadata;

static void begin(void)
{
    arena_init(&arena, 1 << 20);
    metadata_init(&metadata, &arena);
}

static void end(void)
{
    arena_fini(&arena);
}

static struct peer node(const char *id, const char *unit, const char *cluster)
{
    struct peer peer = {.authenticated = true};
    str_copy(peer.identity.node_id, sizeof peer.identity.node_id, id);
    str_copy(peer.identity.cluster_id, sizeof peer.identity.cluster_id, cluster);
    str_copy(peer.identity.units[0], sizeof peer.identity.units[0], unit);
    peer.identity.units_count = 1;
    str_copy(peer.addr, sizeof peer.addr, "10.0.0.9:1234");
    return peer;
}

static struct peer manager(void)
{
    return node("m1", "swarm-manager", "c1");
}

static struct peer worker(void)
{
    return node("w1", "swarm-worker", "c1");
}

static struct peer stranger(void)
{
    struct peer peer = {0};
    str_copy(peer.addr, sizeof peer.addr, "10.0.0.9:1234");
    return peer;
}

static bool removed(void *ctx, const char *node_id)
{
    return strcmp(node_id, ctx) == 0;
}

static char gone[] = "gone";
static const struct authority authority = {.cluster_id = "c1", .removed = removed, .ctx = gone};

static void forward_as(const char *id, const char *unit, const char *cluster)
{
    metadata_add(&metadata, "forwarded_cert", "true");
    metadata_add(&metadata, "forwarded_cert_cn", id);
    metadata_add(&metadata, "forwarded_cert_org", cluster);
    if (unit)
        metadata_add(&metadata, "forwarded_cert_ou", unit);
    metadata_add(&metadata, "remote_addr", "10.0.0.7:5555");
}

#define NODES (ROLE_WORKER | ROLE_MANAGER)

static void refused(const struct peer *peer, unsigned roles, const char *why)
{
    struct caller caller;
    struct err err = ERR_INIT;
    ck_assert_int_eq(caller_resolve(peer, &metadata, roles, &authority, &caller, &err),
                     -ERR_PERMISSION_DENIED);
    ck_assert_str_eq(err.message, why);
}

static struct caller allowed(const struct peer *peer, unsigned roles)
{
    struct caller caller;
    struct err err = ERR_INIT;
    int result = caller_resolve(peer, &metadata, roles, &authority, &caller, &err);
    ck_assert_msg(result == 0, "%s", err.message);
    return caller;
}

START_TEST(direct_calls_need_the_role)
{
    struct peer peer = worker();
    struct caller caller = allowed(&peer, NODES);
    ck_assert_str_eq(caller.node_id, "w1");
    ck_assert_str_eq(caller.addr, "10.0.0.9:1234");
    ck_assert_uint_eq(caller.roles, ROLE_WORKER);
    ck_assert_ptr_null(caller.forwarded_by);
    refused(&peer, ROLE_MANAGER,
            "Permission denied: unauthorized peer role: rpc error: code = PermissionDenied desc = "
            "Permission denied: remote certificate not part of OUs: [swarm-manager]");
    peer = manager();
    ck_assert_uint_eq(allowed(&peer, ROLE_MANAGER).roles, ROLE_MANAGER);
}
END_TEST

START_TEST(calls_without_certificate_are_refused_in_stock_words)
{
    struct peer peer = stranger();
    refused(&peer, NODES,
            "Permission denied: unauthorized peer role: rpc error: code = PermissionDenied desc = "
            "no client certificates in request");
}
END_TEST

START_TEST(other_clusters_and_removed_nodes_are_refused)
{
    struct peer peer = node("w1", "swarm-worker", "c2");
    refused(&peer, NODES,
            "Permission denied: unauthorized peer role: rpc error: code = PermissionDenied desc = "
            "Permission denied: remote certificate not part of organization: c1");
    peer = node("gone", "swarm-worker", "c1");
    refused(&peer, NODES,
            "Permission denied: unauthorized peer role: rpc error: code = PermissionDenied desc = "
            "Permission denied: node gone was removed from swarm");
    // A cluster without an id matches no certificate, not even one without a cluster.
    struct authority nameless = {.cluster_id = ""};
    struct caller caller;
    peer = node("w1", "swarm-worker", "");
    ck_assert_int_lt(caller_resolve(&peer, &metadata, NODES, &nameless, &caller, NULL), 0);
}
END_TEST

START_TEST(managers_forward_the_calls_of_nodes)
{
    forward_as("w1", "swarm-worker", "c1");
    struct peer peer = manager();
    struct caller caller = allowed(&peer, NODES);
    ck_assert_str_eq(caller.node_id, "w1");
    ck_assert_str_eq(caller.addr, "10.0.0.7:5555");
    ck_assert_uint_eq(caller.roles, ROLE_WORKER);
    ck_assert_str_eq(caller.forwarded_by, "m1");
    // The removed list is for direct peers (swarmkit.md section 7.2).
    metadata_remove(&metadata, "forwarded_cert_cn");
    metadata_add(&metadata, "forwarded_cert_cn", "gone");
    ck_assert_str_eq(allowed(&peer, NODES).node_id, "gone");
}
END_TEST

START_TEST(nobody_else_forwards)
{
    forward_as("m2", "swarm-manager", "c1");
    struct peer peer = worker();
    refused(&peer, NODES,
            "Permission denied: unauthorized forwarder role: rpc error: code = PermissionDenied "
            "desc = Permission denied: remote certificate not part of OUs: [swarm-manager]");
    peer = stranger();
    refused(&peer, NODES,
            "Permission denied: unauthorized forwarder role: rpc error: code = PermissionDenied "
            "desc = no client certificates in request");
    peer = node("m1", "swarm-manager", "c2");
    refused(&peer, NODES,
            "Permission denied: unauthorized forwarder role: rpc error: code = PermissionDenied "
            "desc = Permission denied: remote certificate not part of organization: c1");
}
END_TEST

START_TEST(forwarded_identity_is_held_to_the_same_rules)
{
    struct peer peer = manager();
    forward_as("w1", "swarm-worker", "c1");
    refused(&peer, ROLE_MANAGER,
            "Permission denied: unauthorized forwarded role, expecting: [swarm-manager]");
    metadata_init(&metadata, &arena);
    forward_as("w1", "swarm-worker", "c2");
    refused(&peer, NODES, "Permission denied: organization mismatch, expecting: c1");
    metadata_init(&metadata, &arena);
    forward_as("", "swarm-worker", "c1");
    refused(&peer, NODES, "Permission denied: missing information in forwarded request");
    metadata_init(&metadata, &arena);
    forward_as("w1", NULL, "c1");
    refused(&peer, NODES, "Permission denied: missing information in forwarded request");
}
END_TEST

// The lesson of CVE-2026-115539: whatever half of the metadata is there, the forwarding manager is
// never taken for the caller.
START_TEST(cve_2026_115539_a_forwarder_never_becomes_the_caller)
{
    static const char *const values[] = {"", "false", "TRUE", "1", "true "};
    struct peer peer = manager();
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        metadata_init(&metadata, &arena);
        metadata_add(&metadata, "forwarded_cert", values[i]);
        refused(&peer, NODES, "Permission denied: missing information in forwarded request");
        struct caller caller = allowed(&peer, ROLE_ANYONE);
        ck_assert_str_eq(caller.node_id, "");
        ck_assert_uint_eq(caller.roles, 0);
    }
    // Two of a key: one of them was there before the forwarder added its own.
    metadata_init(&metadata, &arena);
    forward_as("w1", "swarm-worker", "c1");
    metadata_add(&metadata, "forwarded_cert", "true");
    refused(&peer, NODES, "Permission denied: missing information in forwarded request");
    metadata_init(&metadata, &arena);
    forward_as("w1", "swarm-worker", "c1");
    metadata_add(&metadata, "forwarded_cert_cn", "m9");
    refused(&peer, NODES, "Permission denied: missing information in forwarded request");
}
END_TEST

START_TEST(cve_2026_115539_a_second_hop_is_refused)
{
    // m1 believes that m2 leads, m2 believes that m3 does: m2 gets w1's call from m1.
    struct peer from_worker = worker();
    struct metadata first, second;
    metadata_init(&first, &arena);
    metadata_init(&second, &arena);
    struct err err = ERR_INIT;
    ck_assert_int_eq(caller_forward(&from_worker, &metadata, &first, &err), 0);
    struct peer from_manager = manager();
    ck_assert_int_eq(caller_forward(&from_manager, &first, &second, &err), -ERR_RESOURCE_EXHAUSTED);
    ck_assert(str_starts(err.message, "more than one redirect to leader from: ["));
    // Stock managers since 23.0 lose `redirect` on the way.
    metadata_remove(&first, "redirect");
    ck_assert_int_eq(caller_forward(&from_manager, &first, &second, &err), -ERR_RESOURCE_EXHAUSTED);
    ck_assert_uint_eq(second.count, 0);
}
END_TEST

START_TEST(forwarding_tells_who_called_and_overwrites_what_came)
{
    metadata_add(&metadata, "x-own", "kept");
    metadata_add(&metadata, "forwarded_cert", "true");
    metadata_add(&metadata, "forwarded_cert_cn", "m1");
    metadata_add(&metadata, "forwarded_cert_ou", "swarm-manager");
    metadata_add(&metadata, "remote_addr", "1.2.3.4:5");
    struct peer peer = worker();
    str_copy(peer.identity.units[1], sizeof peer.identity.units[1], "other");
    peer.identity.units_count = 2;
    struct metadata out;
    metadata_init(&out, &arena);
    struct err err = ERR_INIT;
    ck_assert_int_eq(caller_forward(&peer, &metadata, &out, &err), 0);
    ck_assert_str_eq(metadata_get(&out, "x-own"), "kept");
    ck_assert_str_eq(metadata_get(&out, "forwarded_cert"), "true");
    ck_assert_uint_eq(metadata_values(&out, "forwarded_cert"), 1);
    ck_assert_str_eq(metadata_get(&out, "forwarded_cert_cn"), "w1");
    ck_assert_str_eq(metadata_get(&out, "forwarded_cert_org"), "c1");
    ck_assert_uint_eq(metadata_values(&out, "forwarded_cert_ou"), 2);
    ck_assert_str_eq(metadata_get(&out, "forwarded_cert_ou"), "swarm-worker");
    ck_assert_str_eq(metadata_get(&out, "remote_addr"), "10.0.0.9:1234");
    ck_assert_str_eq(metadata_get(&out, "redirect"), "10.0.0.9:1234");
}
END_TEST

START_TEST(forwarded_calls_without_certificate_stay_nobodys)
{
    struct peer peer = stranger();
    struct metadata out;
    metadata_init(&out, &arena);
    ck_assert_int_eq(caller_forward(&peer, &metadata, &out, NULL), 0);
    ck_assert_str_eq(metadata_get(&out, "forwarded_cert_cn"), "");
    ck_assert_uint_eq(metadata_values(&out, "forwarded_cert_ou"), 0);
    metadata = out;
    struct peer forwarder = manager();
    struct caller caller = allowed(&forwarder, ROLE_ANYONE);
    ck_assert_str_eq(caller.node_id, "");
    ck_assert_str_eq(caller.addr, "10.0.0.9:1234");
    refused(&forwarder, NODES, "Permission denied: missing information in forwarded request");
}
END_TEST

START_TEST(local_calls_may_everything_and_travel_as_ours)
{
    struct peer peer = {.local = true};
    ck_assert(allowed(&peer, ROLE_MANAGER).local);
    metadata_add(&metadata, "forwarded_cert", "true");
    struct metadata out;
    metadata_init(&out, &arena);
    ck_assert_int_eq(caller_forward(&peer, &metadata, &out, NULL), 0);
    ck_assert_uint_eq(metadata_values(&out, "forwarded_cert"), 0);
    ck_assert_uint_eq(metadata_values(&out, "redirect"), 1);
}
END_TEST

START_TEST(open_methods_know_callers_as_far_as_they_are_certain)
{
    struct peer peer = worker();
    ck_assert_str_eq(allowed(&peer, ROLE_ANYONE).node_id, "w1");
    peer = node("w1", "swarm-worker", "c2");
    ck_assert_str_eq(allowed(&peer, ROLE_ANYONE).node_id, "");
    peer = node("gone", "swarm-worker", "c1");
    ck_assert_str_eq(allowed(&peer, ROLE_ANYONE).node_id, "");
    forward_as("w7", "swarm-worker", "c1");
    peer = manager();
    ck_assert_str_eq(allowed(&peer, ROLE_ANYONE).node_id, "w7");
    peer = worker(); // no forwarder: nobody in particular
    ck_assert_str_eq(allowed(&peer, ROLE_ANYONE).node_id, "");
    ck_assert_str_eq(allowed(&peer, ROLE_ANYONE).addr, "10.0.0.9:1234");
}
END_TEST

Suite *suite_peer(void);
Suite *suite_peer(void)
{
    Suite *suite = suite_create("peer");
    TCase *identity = tcase_create("identity");
    tcase_add_checked_fixture(identity, begin, end);
    tcase_add_test(identity, direct_calls_need_the_role);
    tcase_add_test(identity, calls_without_certificate_are_refused_in_stock_words);
    tcase_add_test(identity, other_clusters_and_removed_nodes_are_refused);
    tcase_add_test(identity, managers_forward_the_calls_of_nodes);
    tcase_add_test(identity, nobody_else_forwards);
    tcase_add_test(identity, forwarded_identity_is_held_to_the_same_rules);
    tcase_add_test(identity, cve_2026_115539_a_forwarder_never_becomes_the_caller);
    tcase_add_test(identity, cve_2026_115539_a_second_hop_is_refused);
    tcase_add_test(identity, forwarding_tells_who_called_and_overwrites_what_came);
    tcase_add_test(identity, forwarded_calls_without_certificate_stay_nobodys);
    tcase_add_test(identity, local_calls_may_everything_and_travel_as_ours);
    tcase_add_test(identity, open_methods_know_callers_as_far_as_they_are_certain);
    suite_add_tcase(suite, identity);
    return suite;
}
