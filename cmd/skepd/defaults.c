#include "cmd/skepd/defaults.h"

#include <string.h>

#include "agent/container_log.h"
#include "agent/oci/etc_files.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define DEFAULTS_BYTES_MAX (4u << 20)
#define MTU_MIN            68
#define MTU_MAX            65535
#define POOL_PREFIX_MAX    30

struct making {
    const struct config *config;
    struct defaults *out;
    struct err *err;
};

static int bad(struct making *making, const char *option, const char *value, const char *wanted)
{
    return err_set(making->err, ERR_INVALID_ARGUMENT, "invalid value \"%.64s\" for %s: %s", value,
                   option, wanted);
}

static struct oci_strings strings_of(const struct config_list *list)
{
    return (struct oci_strings){(const char *const *)list->items, list->count};
}

// ---- names --------------------------------------------------------------------------------------

static int make_dns(struct making *making)
{
    struct container_defaults *out = &making->out->containers;
    struct buf text;
    out->dns = strings_of(&making->config->dns);
    out->dns_search = strings_of(&making->config->dns_search);
    out->dns_options = strings_of(&making->config->dns_opts);
    buf_init(&text, ETC_FILE_BYTES);
    int rc = container_defaults_resolv(out, NULL, &text, making->err);
    buf_fini(&text);
    return rc;
}

// ---- limits -------------------------------------------------------------------------------------

static bool number_of(struct str_part text, int64_t *out)
{
    char copy[24];
    uint64_t value;
    if (str_part_is(text, "-1")) {
        *out = -1;
        return true;
    }
    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    bool good = str_to_u64(copy, INT64_MAX, &value);
    *out = (int64_t)value;
    return good;
}

// "nofile=1024", "nofile=1024:2048": soft and hard, -1 for none.
static int make_ulimits(struct making *making)
{
    const struct config_list *list = &making->config->ulimits;
    struct oci_ulimit *limits =
        arena_alloc_array(&making->out->arena, list->count + 1, sizeof *limits);
    for (size_t i = 0; limits && i < list->count; i++) {
        const char *text = list->items[i];
        const char *value = strchr(text, '=');
        if (!value)
            return bad(making, "default-ulimit", text, "must be name=soft[:hard]");
        struct str_part soft = {value + 1, strcspn(value + 1, ":")};
        struct str_part hard = soft;
        if (soft.at[soft.len] == ':')
            hard = (struct str_part){soft.at + soft.len + 1, strlen(soft.at + soft.len + 1)};
        limits[i].name = arena_strndup(&making->out->arena, text, (size_t)(value - text));
        if (!number_of(soft, &limits[i].soft) || !number_of(hard, &limits[i].hard))
            return bad(making, "default-ulimit", text, "must be name=soft[:hard]");
        int rc = bundle_ulimit_check(&limits[i], making->err);
        if (rc)
            return rc;
    }
    making->out->containers.ulimits = limits;
    making->out->containers.ulimits_count = list->count;
    return 0;
}

// 0 where nothing is said.
static bool shm_bytes(const struct config *config, uint64_t *out)
{
    *out = 0;
    return str_empty(config->shm_size) || container_size_parse(config->shm_size, out);
}

static int make_shm(struct making *making)
{
    if (!shm_bytes(making->config, &making->out->containers.shm_bytes))
        return bad(making, "default-shm-size", making->config->shm_size,
                   "must be a size such as 64m");
    return 0;
}

// ---- logs ---------------------------------------------------------------------------------------

static int make_log(struct making *making)
{
    const struct config *config = making->config;
    struct container_defaults *out = &making->out->containers;
    // Files and size may still come from the container.
    struct container_log tried = {.bytes_max = 1, .files_max = CONTAINER_LOG_FILES_MAX};
    const char *driver = str_or(config->log_driver, LOG_DRIVER_DEFAULT);
    struct oci_pair *options =
        arena_alloc_array(&making->out->arena, config->log_opts.count + 1, sizeof *options);
    int rc = container_log_driver_check(driver, making->err);
    for (size_t i = 0; options && i < config->log_opts.count && !rc; i++) {
        const char *text = config->log_opts.items[i];
        size_t size = strcspn(text, "=");
        if (!text[size] || !size)
            return bad(making, "log-opt", text, "must be key=value");
        options[i].key = arena_strndup(&making->out->arena, text, size);
        options[i].value = text + size + 1;
        rc = container_log_option_check(driver, options[i].key, making->err);
        if (!rc)
            rc = container_log_option(&tried, options[i].key, options[i].value, making->err);
    }
    if (!rc)
        rc = container_log_check(&tried, driver, making->err);
    out->log_driver = driver;
    out->log_options = options;
    out->log_options_count = config->log_opts.count;
    return rc;
}

// ---- rights -------------------------------------------------------------------------------------

static int make_rights(struct making *making)
{
    struct container_defaults *out = &making->out->containers;
    const char *cgroup = making->config->cgroupns, *ipc = making->config->ipc;
    out->no_new_privileges = making->config->no_new_privileges;
    out->cgroup_ns_host = str_equal(cgroup, "host");
    out->ipc_shareable = str_equal(ipc, "shareable");
    if (!str_empty(cgroup) && !out->cgroup_ns_host && !str_equal(cgroup, "private"))
        return bad(making, "default-cgroupns-mode", cgroup, "must be host or private");
    if (!str_empty(ipc) && !out->ipc_shareable && !str_equal(ipc, "private"))
        return bad(making, "default-ipc-mode", ipc, "must be shareable or private");
    return 0;
}

// ---- networks -----------------------------------------------------------------------------------

// "base=10.0.0.0/8,size=24", in either order.
static bool parse_pool(const char *text, struct local_source *out)
{
    struct str_part field;
    char value[IPNET_TEXT_BYTES];
    uint64_t size = 0;
    *out = (struct local_source){0};
    while (str_split(&text, ',', &field)) {
        const char *sign = memchr(field.at, '=', field.len);
        if (!sign || field.len - (size_t)(sign + 1 - field.at) >= sizeof value)
            return false;
        size_t length = field.len - (size_t)(sign + 1 - field.at);
        memcpy(value, sign + 1, length);
        value[length] = '\0';
        struct str_part key = {field.at, (size_t)(sign - field.at)};
        if (str_part_is(key, "base")) {
            if (!strchr(value, '/') || !ipnet_parse(value, &out->base) || out->base.size != 4)
                return false;
        } else if (!str_part_is(key, "size") || !str_to_u64(value, POOL_PREFIX_MAX, &size)) {
            return false;
        }
    }
    out->base = ipnet_base(&out->base);
    out->prefix = (uint8_t)size;
    return ipnet_is_set(&out->base) && size >= out->base.prefix && size > 0;
}

static int make_networks(struct making *making)
{
    const struct config *config = making->config;
    struct local_defaults *out = &making->out->networks;
    struct local_source *sources =
        arena_alloc_array(&making->out->arena, config->address_pools.count + 1, sizeof *sources);
    for (size_t i = 0; sources && i < config->address_pools.count; i++)
        if (!parse_pool(config->address_pools.items[i], &sources[i]))
            return bad(making, "default-address-pool", config->address_pools.items[i],
                       "must be base=10.0.0.0/8,size=24, with a size from the base's to 30");
    out->sources = sources;
    out->sources_count = config->address_pools.count;
    if (!str_empty(config->bip) &&
        (!strchr(config->bip, '/') || !ipnet_parse(config->bip, &out->bridge) ||
         out->bridge.size != 4 || out->bridge.prefix > POOL_PREFIX_MAX ||
         !ipnet_is_unicast(&out->bridge)))
        return bad(making, "bip", config->bip, "must be the bridge's address, such as 10.1.2.1/24");
    if (config->mtu && (config->mtu < MTU_MIN || config->mtu > MTU_MAX))
        return err_set(making->err, ERR_INVALID_ARGUMENT,
                       "invalid value \"%lld\" for mtu: must be %d to %d", (long long)config->mtu,
                       MTU_MIN, MTU_MAX);
    out->mtu = (uint32_t)config->mtu;
    return 0;
}

int defaults_make(const struct config *config, struct defaults *out, struct err *err)
{
    static int (*const steps[])(struct making *) = {
        make_dns, make_ulimits, make_shm, make_log, make_rights, make_networks,
    };
    struct making making = {config, out, err};
    *out = (struct defaults){0};
    arena_init(&out->arena, DEFAULTS_BYTES_MAX);
    int rc = 0;
    for (size_t i = 0; i < COUNT_OF(steps) && !rc; i++)
        rc = steps[i](&making);
    if (!rc && arena_overflowed(&out->arena))
        rc = err_set(err, ERR_INVALID_ARGUMENT, "the defaults of containers are too many");
    if (rc)
        defaults_fini(out);
    return rc;
}

void defaults_reload(const struct config *config, struct defaults *defaults)
{
    bool good = shm_bytes(config, &defaults->containers.shm_bytes);
    CHECK(good);
}

void defaults_fini(struct defaults *defaults)
{
    arena_fini(&defaults->arena);
    *defaults = (struct defaults){0};
}
