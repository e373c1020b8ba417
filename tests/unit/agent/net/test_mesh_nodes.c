// Nodes learn of each other in an order that never leaves a client's address in a packet before the
// task's side can bring the answer back.
#include <check.h>
#include <string.h>

#include "agent/net/mesh_nodes.h"
#include "proto/base/check.h"
#include "proto/base/rand.h"

static const struct mono start = {1000 * NS_PER_S};

START_TEST(a_record_comes_back_as_it_went)
{
    struct mesh_record out, record = {0x0a000002, 77, UINT64_C(0x1122334455667788)};
    uint8_t bytes[MESH_RECORD_BYTES + 5] = {0};
    mesh_record_pack(&record, bytes);
    ck_assert_int_eq(mesh_record_parse(bytes, MESH_RECORD_BYTES, &out, NULL), 0);
    ck_assert_mem_eq(&out, &record, sizeof out);
    ck_assert_int_ne(mesh_record_parse(bytes, MESH_RECORD_BYTES - 1, &out, NULL), 0);
    bytes[0] = 2; // a newer one, longer
    ck_assert_int_eq(mesh_record_parse(bytes, sizeof bytes, &out, NULL), 0);
    bytes[0] = 0;
    ck_assert_int_ne(mesh_record_parse(bytes, sizeof bytes, &out, NULL), 0);
}
END_TEST

START_TEST(a_node_keeps_once_it_says_the_same_set)
{
    struct mesh_nodes *a = mesh_nodes_new(1), *b = mesh_nodes_new(2);
    struct mesh_record of_a, of_b;
    mesh_nodes_own(a, 0x0a000002);
    mesh_nodes_own(b, 0x0a000003);
    ck_assert(mesh_nodes_keeps(a, 0x0a000002));
    ck_assert(mesh_nodes_record(b, &of_b));
    mesh_nodes_begin(a);
    mesh_nodes_row(a, &of_b);
    ck_assert(mesh_nodes_end(a, start));
    ck_assert(!mesh_nodes_keeps(a, 0x0a000003)); // b does not know a yet
    ck_assert(mesh_nodes_record(a, &of_a));
    mesh_nodes_begin(b);
    mesh_nodes_row(b, &of_a);
    mesh_nodes_end(b, start);
    ck_assert(mesh_nodes_keeps(b, 0x0a000002));
    ck_assert(mesh_nodes_record(b, &of_b));
    mesh_nodes_begin(a);
    mesh_nodes_row(a, &of_b);
    ck_assert(mesh_nodes_end(a, start));
    ck_assert(mesh_nodes_keeps(a, 0x0a000003));
    // In another life it has to say so again.
    of_b.life++;
    of_b.digest++;
    mesh_nodes_begin(a);
    mesh_nodes_row(a, &of_b);
    ck_assert(mesh_nodes_end(a, start));
    ck_assert(!mesh_nodes_keeps(a, 0x0a000003));
    mesh_nodes_free(a);
    mesh_nodes_free(b);
}
END_TEST

START_TEST(a_node_that_vanished_is_brought_back_to_for_a_while)
{
    struct mesh_nodes *a = mesh_nodes_new(1);
    struct mono due;
    size_t count;
    mesh_nodes_own(a, 0x0a000002);
    mesh_nodes_begin(a);
    mesh_nodes_row(a, &(struct mesh_record){0x0a000001, 9, 9});
    mesh_nodes_end(a, start);
    const uint32_t *addresses = mesh_nodes_addresses(a, &count);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(addresses[0], 0x0a000001);
    mesh_nodes_begin(a);
    ck_assert(mesh_nodes_end(a, start)); // its digest is another now
    mesh_nodes_addresses(a, &count);
    ck_assert_uint_eq(count, 2);
    ck_assert(!mesh_nodes_expire(a, start, &due));
    ck_assert(!mono_before(due, mono_add(start, MESH_NODES_GRACE_MS * NS_PER_MS)));
    ck_assert(mesh_nodes_expire(a, due, &due));
    mesh_nodes_addresses(a, &count);
    ck_assert_uint_eq(count, 1);
    mesh_nodes_free(a);
}
END_TEST

#define NODES 6

// A cluster where rows travel in any order and get lost for a while. At no moment may a node leave
// the client's address in for a task whose node does not bring back answers to it; and in the end
// all do.
START_TEST(never_too_early_and_in_the_end_all)
{
    struct rand rand;
    rand_init(&rand, (uint64_t)_i + 1);
    struct mesh_nodes *nodes[NODES];
    struct mesh_record published[NODES], view[NODES][NODES];
    bool has[NODES][NODES] = {{false}};
    for (uint32_t i = 0; i < NODES; i++) {
        nodes[i] = mesh_nodes_new(i);
        mesh_nodes_own(nodes[i], 0x0a000002 + i);
        mesh_nodes_record(nodes[i], &published[i]);
    }
    for (int turn = 0; turn < 600; turn++) {
        size_t to = (size_t)rand_below(&rand, NODES), from = (size_t)rand_below(&rand, NODES);
        if (to == from)
            continue;
        has[to][from] = turn > 300 || rand_below(&rand, 8) > 0;
        view[to][from] = published[from];
        mesh_nodes_begin(nodes[to]);
        for (size_t i = 0; i < NODES; i++)
            if (has[to][i])
                mesh_nodes_row(nodes[to], &view[to][i]);
        mesh_nodes_end(nodes[to], start);
        mesh_nodes_record(nodes[to], &published[to]);
        for (uint32_t i = 0; i < NODES; i++) {
            for (uint32_t k = 0; k < NODES; k++) {
                size_t count;
                const uint32_t *brings = mesh_nodes_addresses(nodes[k], &count);
                bool there = false;
                for (size_t n = 0; n < count; n++)
                    there |= brings[n] == 0x0a000002 + i;
                ck_assert(there || !mesh_nodes_keeps(nodes[i], 0x0a000002 + k));
            }
        }
    }
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t k = 0; k < NODES; k++)
            ck_assert(mesh_nodes_keeps(nodes[i], 0x0a000002 + k));
    for (size_t i = 0; i < NODES; i++)
        mesh_nodes_free(nodes[i]);
}
END_TEST

Suite *suite_mesh_nodes(void);
Suite *suite_mesh_nodes(void)
{
    Suite *suite = suite_create("mesh_nodes");
    TCase *tcase = tcase_create("mesh_nodes");
    tcase_add_test(tcase, a_record_comes_back_as_it_went);
    tcase_add_test(tcase, a_node_keeps_once_it_says_the_same_set);
    tcase_add_test(tcase, a_node_that_vanished_is_brought_back_to_for_a_while);
    tcase_add_loop_test(tcase, never_too_early_and_in_the_end_all, 0, 16);
    suite_add_tcase(suite, tcase);
    return suite;
}
