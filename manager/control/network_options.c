#include "manager/control/network_options.h"

#include "manager/alloc/vni.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

#define MTU_MIN 68 // of IPv4
#define MTU_MAX 65535

static const char *option(const Swarm__Driver *driver, const char *key)
{
    for (size_t i = 0; i < driver->n_options; i++)
        if (str_equal(driver->options[i]->key, key))
            return driver->options[i]->value;
    return NULL;
}

static void drop(Swarm__Driver *driver, const char *key)
{
    size_t kept = 0;
    for (size_t i = 0; i < driver->n_options; i++)
        if (!str_equal(driver->options[i]->key, key))
            driver->options[kept++] = driver->options[i];
    driver->n_options = kept;
}

static void add(Swarm__Driver *driver, const char *key, const char *value, struct arena *arena)
{
    Swarm__Driver__OptionsEntry *entry = wire_new(&swarm__driver__options_entry__descriptor, arena);
    Swarm__Driver__OptionsEntry **all =
        arena_alloc_array(arena, driver->n_options + 1, sizeof *all);
    CHECK(entry);
    CHECK(all);
    for (size_t i = 0; i < driver->n_options; i++)
        all[i] = driver->options[i];
    entry->key = key;
    entry->value = value;
    all[driver->n_options++] = entry;
    driver->options = all;
}

static bool is_among(const char *text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal_case(text, list[i]))
            return true;
    return false;
}

// Being there is yes, as stock has it, and so are the words for it; the words for no take it away.
static int settle_encrypted(Swarm__Driver *driver, struct err *err)
{
    static const char *const yes[] = {"", "true", "1", "t", "yes", "on"};
    static const char *const no[] = {"false", "0", "f", "no", "off"};
    const char *value = option(driver, OPTION_ENCRYPTED);
    if (!value || is_among(value, yes, COUNT_OF(yes)))
        return 0;
    if (!is_among(value, no, COUNT_OF(no)))
        return err_set(err, ERR_INVALID_ARGUMENT, "option %s is either true or false, not '%.100s'",
                       OPTION_ENCRYPTED, value);
    drop(driver, OPTION_ENCRYPTED);
    return 0;
}

static int settle_vxlan(Swarm__Driver *driver, struct arena *arena, struct err *err)
{
    const char *id = option(driver, OPTION_VXLAN_ID), *list = option(driver, VNI_OPTION);
    uint64_t number;
    if (id && list && !str_equal(id, list))
        return err_set(err, ERR_INVALID_ARGUMENT, "options %s and %s disagree", OPTION_VXLAN_ID,
                       VNI_OPTION);
    if (id && !list) {
        if (!str_to_u64(id, VNI_MAX, &number) || number == 0)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "option %s is a number from 1 to %u, not '%.100s'", OPTION_VXLAN_ID,
                           VNI_MAX, id);
        add(driver, VNI_OPTION, id, arena);
    }
    return 0;
}

static int check_mtu(const Swarm__Driver *driver, struct err *err)
{
    const char *mtu = option(driver, OPTION_MTU);
    uint64_t number;
    if (!mtu || (str_to_u64(mtu, MTU_MAX, &number) && number >= MTU_MIN))
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "option %s is a number from %d to %d, not '%.100s'",
                   OPTION_MTU, MTU_MIN, MTU_MAX, mtu);
}

int network_options_settle(Swarm__NetworkSpec *spec, struct arena *arena, struct err *err)
{
    Swarm__Driver *driver = spec->driver_config;
    if (!driver || (!str_empty(driver->name) && !str_equal(driver->name, "overlay")))
        return 0;
    int result = settle_encrypted(driver, err);
    if (!result)
        result = settle_vxlan(driver, arena, err);
    return result ? result : check_mtu(driver, err);
}
