// Prefixes, addresses, VXLAN ids: serial, bounded, exact.
#include "manager/alloc/ipam.h"

#include <check.h>
#include <string.h>

#include "manager/alloc/vni.h"
#include "proto/base/rand.h"

static struct prefix prefix(const char *text)
{
    struct prefix out;
    ck_assert_msg(prefix_parse(text, &out), "%s", text);
    return out;
}

static struct prefix address(const char *text)
{
    struct prefix out;
    ck_assert_msg(prefix_parse_address(text, &out), "%s", text);
    return out;
}

START_TEST(prefix_reads_and_writes_both_families)
{
    char text[PREFIX_TEXT_BYTES];
    struct prefix out;
    out = prefix_network(prefix("10.1.2.3/20"));
    ck_assert_str_eq(prefix_format(&out, text), "10.1.0.0/20");
    out = prefix_network(prefix("fd00:1:2:3::9/56"));
    ck_assert_str_eq(prefix_format(&out, text), "fd00:1:2::/56");
    out = address("10.1.2.3");
    ck_assert_uint_eq(out.bits, 32);
    out = address("10.1.2.3/24");
    ck_assert_str_eq(prefix_format_address(&out, text), "10.1.2.3");
    const char *bad[] = {"",    "10.0.0.0",  "10.0.0.0/33", "10.0.0/8",
                         "x/8", "10.0.0.0/", "10.0.0.0/-1", "fd00::/129"};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!prefix_parse(bad[i], &out), "%s", bad[i]);
    ck_assert(!prefix_parse_address(NULL, &out));
}
END_TEST

START_TEST(prefixes_overlap_and_contain)
{
    struct prefix wide = prefix("10.0.0.0/8");
    struct prefix narrow = prefix("10.200.1.0/24");
    struct prefix other = prefix("11.0.0.0/8");
    struct prefix six = prefix("::/0");
    ck_assert(prefix_overlaps(&wide, &narrow));
    ck_assert(prefix_overlaps(&narrow, &wide));
    ck_assert(!prefix_overlaps(&wide, &other));
    ck_assert(!prefix_overlaps(&six, &wide));
    struct prefix inside = address("10.200.1.77");
    ck_assert(prefix_contains(&narrow, &inside));
    ck_assert_uint_eq(prefix_offset(&narrow, &inside), 77);
    ck_assert_uint_eq(prefix_offset(&wide, &inside), (200 << 16) + (1 << 8) + 77);
    ck_assert_uint_eq(prefix_size(&narrow), 256);
    ck_assert_uint_eq(prefix_size(&six), UINT64_MAX);
    struct prefix back = prefix_at(&wide, prefix_offset(&wide, &inside));
    ck_assert_mem_eq(back.addr, inside.addr, 4);
    struct prefix net6 = prefix("fd00::/20");
    struct prefix in6 = address("fd00:0:0:0:1:2:3:4");
    back = prefix_at(&net6, prefix_offset(&net6, &in6));
    ck_assert_mem_eq(back.addr, in6.addr, 16);
}
END_TEST

static const char *take(struct ipam *ipam)
{
    static char text[PREFIX_TEXT_BYTES];
    uint64_t offset;
    if (!ipam_take(ipam, &offset))
        return "none";
    struct prefix at = prefix_at(&ipam->subnet, offset);
    return prefix_format(&at, text);
}

START_TEST(addresses_are_serial_and_leave_out_network_and_broadcast)
{
    struct ipam ipam;
    struct prefix subnet = prefix("192.168.7.0/29");
    ipam_init(&ipam, &subnet, NULL);
    ck_assert_str_eq(take(&ipam), "192.168.7.1/29");
    ck_assert_str_eq(take(&ipam), "192.168.7.2/29");
    ipam_release(&ipam, 1);
    ck_assert_str_eq(take(&ipam), "192.168.7.3/29"); // .1 rests
    uint64_t offset;
    struct prefix wanted = address("192.168.7.5");
    ck_assert(ipam_claim(&ipam, &wanted, &offset));
    ck_assert(!ipam_claim(&ipam, &wanted, &offset));
    ck_assert_str_eq(take(&ipam), "192.168.7.4/29");
    ck_assert_str_eq(take(&ipam), "192.168.7.6/29");
    ck_assert_str_eq(take(&ipam), "192.168.7.1/29"); // around
    ck_assert_str_eq(take(&ipam), "none");
    ck_assert_uint_eq(ipam_count(&ipam), 6);
    wanted = address("192.168.8.1");
    ck_assert(!ipam_claim(&ipam, &wanted, &offset));
    ipam_fini(&ipam);
}
END_TEST

START_TEST(range_narrows_and_tiny_and_huge_subnets_work)
{
    struct ipam ipam;
    struct prefix subnet = prefix("10.9.0.0/16");
    struct prefix range = prefix("10.9.4.0/30");
    ipam_init(&ipam, &subnet, &range);
    ck_assert_str_eq(take(&ipam), "10.9.4.0/16");
    ck_assert_str_eq(take(&ipam), "10.9.4.1/16");
    ck_assert_str_eq(take(&ipam), "10.9.4.2/16");
    ck_assert_str_eq(take(&ipam), "10.9.4.3/16");
    ck_assert_str_eq(take(&ipam), "none");
    uint64_t offset;
    struct prefix outside = address("10.9.77.7"); // asked for by name: the whole subnet
    ck_assert(ipam_claim(&ipam, &outside, &offset));
    ipam_fini(&ipam);

    subnet = prefix("10.0.0.4/31");
    ipam_init(&ipam, &subnet, NULL);
    ck_assert_str_eq(take(&ipam), "10.0.0.4/31");
    ck_assert_str_eq(take(&ipam), "10.0.0.5/31");
    ck_assert_str_eq(take(&ipam), "none");
    ipam_fini(&ipam);

    subnet = prefix("fd00::/32"); // more than 64 bits of hosts
    ipam_init(&ipam, &subnet, NULL);
    ck_assert_str_eq(take(&ipam), "fd00::1/32");
    ck_assert_str_eq(take(&ipam), "fd00::2/32");
    ipam_fini(&ipam);
}
END_TEST

#define MODEL_BITS 6
#define MODEL_SIZE (1u << MODEL_BITS)

START_TEST(any_sequence_agrees_with_a_plain_array)
{
    struct rand rand;
    rand_init(&rand, (uint64_t)_i);
    bool held[MODEL_SIZE] = {false};
    struct ipam ipam;
    struct prefix subnet = prefix("172.16.3.0/26");
    ipam_init(&ipam, &subnet, NULL);
    uint64_t last = MODEL_SIZE - 2;
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t offset = rand_below(&rand, MODEL_SIZE);
        unsigned free_count = 0;
        for (unsigned k = 1; k < MODEL_SIZE - 1; k++)
            free_count += !held[k];
        switch (rand_below(&rand, i % 1000 < 600 ? 4 : 2)) {
        case 0:
            ck_assert_int_eq(ipam_is_held(&ipam, offset), held[offset]);
            if (held[offset])
                ipam_release(&ipam, offset);
            held[offset] = false;
            break;
        case 1: {
            struct prefix wanted = prefix_at(&subnet, offset);
            uint64_t claimed;
            ck_assert_int_eq(ipam_claim(&ipam, &wanted, &claimed), !held[offset]);
            held[offset] = true;
            break;
        }
        default: {
            bool ok = ipam_take(&ipam, &offset);
            ck_assert_int_eq(ok, free_count > 0);
            if (!ok)
                break;
            uint64_t next = last;
            do {
                next = next >= MODEL_SIZE - 2 ? 1 : next + 1;
            } while (held[next]);
            ck_assert_uint_eq(offset, next);
            last = next;
            held[offset] = true;
        }
        }
    }
    ipam_fini(&ipam);
}
END_TEST

START_TEST(vnis_are_serial_and_claims_tell_the_holder)
{
    struct vnis vnis;
    int a;
    int b;
    uint32_t id;
    vnis_init(&vnis);
    ck_assert(vnis_take(&vnis, &a, &id));
    ck_assert_uint_eq(id, 4096);
    ck_assert_ptr_null(vnis_claim(&vnis, 4097, &b));
    ck_assert_ptr_eq(vnis_claim(&vnis, 4097, &a), &b);
    ck_assert(vnis_take(&vnis, &a, &id));
    ck_assert_uint_eq(id, 4098);
    vnis_release(&vnis, 4096);
    ck_assert(vnis_take(&vnis, &a, &id));
    ck_assert_uint_eq(id, 4099);
    vnis.cursor = VNI_MAX - 1;
    ck_assert(vnis_take(&vnis, &a, &id));
    ck_assert_uint_eq(id, VNI_MAX);
    ck_assert(vnis_take(&vnis, &a, &id));
    ck_assert_uint_eq(id, 4096);                  // around
    ck_assert_ptr_null(vnis_claim(&vnis, 7, &b)); // small ones only by name
    vnis_fini(&vnis);
}
END_TEST

Suite *suite_ipam(void);
Suite *suite_ipam(void)
{
    Suite *suite = suite_create("ipam");
    TCase *tcase = tcase_create("ipam");
    tcase_add_test(tcase, prefix_reads_and_writes_both_families);
    tcase_add_test(tcase, prefixes_overlap_and_contain);
    tcase_add_test(tcase, addresses_are_serial_and_leave_out_network_and_broadcast);
    tcase_add_test(tcase, range_narrows_and_tiny_and_huge_subnets_work);
    tcase_add_loop_test(tcase, any_sequence_agrees_with_a_plain_array, 0, 8);
    tcase_add_test(tcase, vnis_are_serial_and_claims_tell_the_holder);
    suite_add_tcase(suite, tcase);
    return suite;
}
