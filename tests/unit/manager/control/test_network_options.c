// Options of overlay networks: what guides type becomes what stock nodes read, nonsense is refused.
#include <check.h>

#include "manager/alloc/vni.h"
#include "manager/control/network_options.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_objects.h"

static struct arena arena;
static struct err err;

static void set_up(void)
{
    arena_init(&arena, SIZE_MAX);
}

static void tear_down(void)
{
    arena_fini(&arena);
}

static Swarm__NetworkSpec *spec_with(const char *driver, const char *key, const char *value)
{
    Swarm__NetworkSpec *spec = wire_new(&swarm__network_spec__descriptor, &arena);
    Swarm__Driver__OptionsEntry *entry =
        wire_new(&swarm__driver__options_entry__descriptor, &arena);
    spec->driver_config = wire_new(&swarm__driver__descriptor, &arena);
    spec->driver_config->name = driver;
    entry->key = key;
    entry->value = value;
    FAKE_ADD(&arena, spec->driver_config, options, entry);
    return spec;
}

static const char *value_of(const Swarm__NetworkSpec *spec, const char *key)
{
    for (size_t i = 0; i < spec->driver_config->n_options; i++)
        if (str_equal(spec->driver_config->options[i]->key, key))
            return spec->driver_config->options[i]->value;
    return NULL;
}

START_TEST(encrypted_false_is_not_there_for_stock_nodes)
{
    Swarm__NetworkSpec *spec = spec_with("overlay", "encrypted", "false");
    ck_assert_int_eq(network_options_settle(spec, &arena, &err), 0);
    ck_assert_ptr_null(value_of(spec, "encrypted"));
    spec = spec_with("overlay", "encrypted", "");
    ck_assert_int_eq(network_options_settle(spec, &arena, &err), 0);
    ck_assert_ptr_nonnull(value_of(spec, "encrypted"));
    spec = spec_with("overlay", "encrypted", "maybe");
    ck_assert_int_eq(network_options_settle(spec, &arena, &err), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(one_vxlan_id_becomes_the_list_of_ids)
{
    Swarm__NetworkSpec *spec = spec_with("overlay", OPTION_VXLAN_ID, "100");
    ck_assert_int_eq(network_options_settle(spec, &arena, &err), 0);
    ck_assert_str_eq(value_of(spec, VNI_OPTION), "100");
    static const char *const wrong[] = {"0", "16777216", "x", "", "1,2"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        ck_assert_int_eq(
            network_options_settle(spec_with("overlay", OPTION_VXLAN_ID, wrong[i]), &arena, &err),
            -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(an_mtu_is_a_number_that_fits)
{
    static const struct {
        const char *text;
        int result;
    } rows[] = {{"1400", 0},
                {"65535", 0},
                {"67", -ERR_INVALID_ARGUMENT},
                {"70000", -ERR_INVALID_ARGUMENT},
                {"big", -ERR_INVALID_ARGUMENT}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_int_eq(
            network_options_settle(spec_with("overlay", OPTION_MTU, rows[i].text), &arena, &err),
            rows[i].result);
}
END_TEST

START_TEST(other_drivers_options_are_left_alone)
{
    Swarm__NetworkSpec *spec = spec_with("macvlan", "encrypted", "false");
    ck_assert_int_eq(network_options_settle(spec, &arena, &err), 0);
    ck_assert_str_eq(value_of(spec, "encrypted"), "false");
}
END_TEST

Suite *suite_network_options(void);
Suite *suite_network_options(void)
{
    Suite *suite = suite_create("network_options");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, encrypted_false_is_not_there_for_stock_nodes);
    tcase_add_test(tcase, one_vxlan_id_becomes_the_list_of_ids);
    tcase_add_test(tcase, an_mtu_is_a_number_that_fits);
    tcase_add_test(tcase, other_drivers_options_are_left_alone);
    suite_add_tcase(suite, tcase);
    return suite;
}
