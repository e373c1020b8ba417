#include "agent/container_defaults.h"

#include <ctype.h>
#include <string.h>

#include "agent/oci/etc_files.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define SIZE_TEXT_MAX 32

const struct container_defaults container_defaults_none;

int container_defaults_resolv(const struct container_defaults *defaults, const char *host_text,
                              struct buf *out, struct err *err)
{
    return etc_resolv_over(host_text, &defaults->dns, &defaults->dns_search, &defaults->dns_options,
                           out, err);
}

static bool has_limit(const struct oci_container *container, const char *name)
{
    for (size_t i = 0; i < container->ulimits_count; i++)
        if (str_equal(container->ulimits[i].name, name))
            return true;
    return false;
}

void container_defaults_ulimits(const struct container_defaults *defaults, struct arena *arena,
                                struct oci_container *container)
{
    if (!defaults->ulimits_count)
        return;
    size_t most = container->ulimits_count + defaults->ulimits_count;
    struct oci_ulimit *all = arena_alloc_array(arena, most, sizeof *all);
    size_t count = 0;
    for (; all && count < container->ulimits_count; count++)
        all[count] = container->ulimits[count];
    for (size_t i = 0; all && i < defaults->ulimits_count; i++)
        if (!has_limit(container, defaults->ulimits[i].name))
            all[count++] = defaults->ulimits[i];
    container->ulimits = all;
    container->ulimits_count = count;
}

const char *container_defaults_log(const struct container_defaults *defaults, const char *driver,
                                   bool *options)
{
    const char *own = str_or(defaults->log_driver, LOG_DRIVER_DEFAULT);
    driver = str_or(driver, own);
    *options = str_equal(driver, own);
    return driver;
}

// ---- drivers and their options ------------------------------------------------------------------

bool container_size_parse(const char *text, uint64_t *out)
{
    char number[SIZE_TEXT_MAX];
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits >= sizeof number)
        return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    const char *unit = text + digits;
    static const char units[] = "kmgt";
    unsigned shift = 0;
    const char *at = *unit ? strchr(units, tolower((unsigned char)*unit)) : NULL;
    if (at) {
        shift = 10 * (unsigned)(at - units + 1);
        unit++;
    }
    if (*unit && !str_equal_case(unit, "b") && !(at && str_equal_case(unit, "ib")))
        return false;
    if (!str_to_u64(number, UINT64_MAX >> shift, out))
        return false;
    *out <<= shift;
    return true;
}

const char *const container_log_drivers[] = {"json-file", "local", "none", NULL};

static bool listed(const char *const *list, const char *text)
{
    while (*list && !str_equal(*list, text))
        list++;
    return *list != NULL;
}

int container_log_driver_check(const char *driver, struct err *err)
{
    if (listed(container_log_drivers, driver))
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "logger: no log driver named '%.100s' is registered",
                   driver);
}

int container_log_option_check(const char *driver, const char *key, struct err *err)
{
    // How much is kept, and whether a writer is held up by its reader (ours never is).
    static const char *const kept[] = {"max-size", "max-file",        "compress",
                                       "mode",     "max-buffer-size", NULL};
    // How lines are marked when they are read with details.
    static const char *const marks[] = {"labels", "labels-regex", "env", "env-regex", "tag", NULL};
    if (str_equal(driver, "none") || listed(kept, key) ||
        (!str_equal(driver, "local") && listed(marks, key)))
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT,
                   str_equal(driver, "local") ? "unknown log opt '%.100s' for log driver %s"
                                              : "unknown log opt '%.100s' for %s log driver",
                   key, driver);
}
