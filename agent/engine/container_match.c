#include "agent/engine/container_match.h"

#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/names.h"
#include "agent/engine/container_net_json.h"
#include "agent/engine/containers.h"
#include "agent/net/local.h"
#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

const struct filter_row container_match_rows[] = {
    {"ancestor", FILTER_KNOWN},  {"before", FILTER_KNOWN},  {"exited", FILTER_KNOWN},
    {"expose", FILTER_KNOWN},    {"health", FILTER_KNOWN},  {"id", FILTER_KNOWN},
    {"isolation", FILTER_KNOWN}, {"is-task", FILTER_FLAG},  {"label", FILTER_KNOWN},
    {"name", FILTER_KNOWN},      {"network", FILTER_KNOWN}, {"publish", FILTER_KNOWN},
    {"since", FILTER_KNOWN},     {"status", FILTER_KNOWN},  {"volume", FILTER_KNOWN},
};
const size_t container_match_rows_count = COUNT_OF(container_match_rows);

static bool label_fits(const json_t *labels, const char *wanted)
{
    const char *equal = strchr(wanted, '=');
    char key[512];
    if (!equal)
        return json_object_get(labels, wanted) != NULL;
    if (!str_format(key, sizeof key, "%.*s", (int)(equal - wanted), wanted))
        return false;
    const json_t *value = json_object_get(labels, key);
    return value && str_equal(json_string_value(value), equal + 1);
}

bool container_labels_fit(const json_t *labels, const struct filters *filters, const char *key,
                          bool wanted)
{
    for (size_t i = 0; i < filters->count; i++)
        if (str_equal(filters->values[i].key, key) &&
            label_fits(labels, filters->values[i].value) != wanted)
            return false;
    return true;
}

// Users write names with the slash that they are shown with, and without.
static bool name_fits(const struct filters *filters, const char *name)
{
    char with_slash[CRATE_NAME_BYTES + 1];
    str_format(with_slash, sizeof with_slash, "/%s", name);
    return filters_found(filters, "name", name) || filters_found(filters, "name", with_slash);
}

static bool volume_fits(const struct crate *crate, const char *wanted)
{
    for (size_t i = 0; i < json_array_size(crate->points); i++) {
        const json_t *point = json_array_get(crate->points, i);
        if (str_equal(config_str(point, "Name"), wanted) ||
            str_equal(config_str(point, "Source"), wanted) ||
            str_equal(config_str(point, "Destination"), wanted))
            return true;
    }
    return false;
}

static bool ancestor_fits(const struct container_match *match, const struct crate *crate,
                          const char *wanted)
{
    const struct image *image;
    return str_equal(config_str(crate->config, "Image"), wanted) ||
           (library_find(match->library, wanted, &image, NULL) == 0 &&
            str_equal(image->id, crate->image_id));
}

// "80", "8000-8100/udp".
static int port_range_parse(const char *key, const char *text, struct port_range *out,
                            struct err *err)
{
    char port[16], last[16];
    const char *slash = strchr(text, '/'), *dash = strchr(text, '-');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    size_t first = dash && (size_t)(dash - text) < length ? (size_t)(dash - text) : length;
    bool whole =
        str_format(port, sizeof port, "%.*s", (int)first, text) &&
        str_format(last, sizeof last, "%.*s", (int)(first < length ? length - first - 1 : first),
                   first < length ? dash + 1 : text);
    out->protocol = container_protocol(slash ? slash + 1 : "tcp");
    if (whole && out->protocol && str_to_u64(port, UINT16_MAX, &out->from) &&
        str_to_u64(last, UINT16_MAX, &out->to))
        return 0;
    return err_set(err, ERR_INTERNAL,
                   "error while looking up for %s %.50s: strconv.ParseUint: parsing \"%.50s\": "
                   "invalid syntax",
                   key, text, text);
}

static bool in_range(const struct port_range *range, uint64_t port, uint8_t protocol)
{
    return range->protocol == protocol && port >= range->from && port <= range->to;
}

static bool published_fits(const struct crate *crate, const struct port_range *range)
{
    size_t count;
    const struct ports_row *ports = crate_ports(crate, &count);
    for (size_t i = 0; i < count; i++)
        if (in_range(range, ports[i].published, ports[i].protocol))
            return true;
    return false;
}

static bool exposed_fits(const struct crate *crate, const struct port_range *range)
{
    struct port_range exposed;
    const char *key;
    json_t *value;
    size_t count;
    const struct ports_row *ports = crate_ports(crate, &count);
    for (size_t i = 0; i < count; i++)
        if (in_range(range, ports[i].target, ports[i].protocol))
            return true;
    json_object_foreach(json_object_get(crate->config, "ExposedPorts"), key, value)
    {
        if (port_range_parse("expose", key, &exposed, NULL) == 0 &&
            in_range(range, exposed.from, exposed.protocol))
            return true;
    }
    return false;
}

// By its name, or by the beginning of its id.
static bool network_fits(const struct crate *crate, const char *wanted)
{
    const char *mode = config_str(crate->host, "NetworkMode"), *key;
    const struct local_endpoint *none;
    json_t *settings;
    if (str_equal(mode, wanted) || (str_equal(mode, "default") && str_equal(wanted, "bridge")) ||
        json_object_get(crate->endpoints, wanted))
        return true;
    const struct local *first = crate_local(crate, crate_network(crate), &none);
    if (first && str_starts(first->id, wanted))
        return true;
    json_object_foreach(crate->endpoints, key, settings)
    {
        const struct local *local = crate_local(crate, key, &none);
        struct attachment_view shared;
        const char *id = local ? local->id
                         : crate_attachment(crate, key, &shared)
                             ? shared.network_id
                             : config_str(settings, "NetworkID");
        if (!str_empty(id) && str_starts(id, wanted))
            return true;
    }
    return false;
}

// Whether the crate fits one value of a filter.
static bool value_fits(const struct container_match *match, const struct crate *crate, size_t index)
{
    const struct filter_value *filter = &match->filters->values[index];
    const char *key = filter->key, *value = filter->value;
    if (str_equal(key, "ancestor"))
        return ancestor_fits(match, crate, value);
    if (str_equal(key, "exited"))
        return !crate_running(crate) && crate->state != CRATE_CREATED &&
               crate->exit_code == atoi(value);
    if (str_equal(key, "expose"))
        return exposed_fits(crate, &match->ranges[index]);
    if (str_equal(key, "publish"))
        return published_fits(crate, &match->ranges[index]);
    if (str_equal(key, "health"))
        return str_equal(value, str_or(crate->health, "none"));
    if (str_equal(key, "id"))
        return str_starts(crate->id, value);
    if (str_equal(key, "is-task"))
        return crate->task == filter_is_true(value);
    if (str_equal(key, "network"))
        return network_fits(crate, value);
    if (str_equal(key, "status"))
        return str_equal(value, crate_state_name(crate));
    if (str_equal(key, "volume"))
        return volume_fits(crate, value);
    return true;
}

bool container_match(const struct container_match *match, const struct crate *crate)
{
    const struct filters *filters = match->filters;
    if (match->before.ns && crate->created.ns >= match->before.ns)
        return false;
    if (match->since.ns && crate->created.ns <= match->since.ns)
        return false;
    if (!container_labels_fit(json_object_get(crate->config, "Labels"), filters, "label", true) ||
        !name_fits(filters, crate->name))
        return false;
    for (size_t i = 0; i < COUNT_OF(container_match_rows); i++) {
        const char *key = container_match_rows[i].key;
        bool any = false, fits = false;
        if (str_equal(key, "label") || str_equal(key, "name"))
            continue;
        for (size_t j = 0; j < filters->count; j++)
            if (str_equal(filters->values[j].key, key)) {
                any = true;
                fits = fits || value_fits(match, crate, j);
            }
        if (any && !fits)
            return false;
    }
    return true;
}

static int find_times(struct container_match *match, const struct crates *crates, struct err *err)
{
    for (size_t i = 0; i < match->filters->count; i++) {
        const struct filter_value *filter = &match->filters->values[i];
        bool before = str_equal(filter->key, "before"), since = str_equal(filter->key, "since");
        if (!before && !since)
            continue;
        const struct crate *crate = crates_find(crates, filter->value, NULL);
        if (!crate)
            return err_set(err, ERR_INTERNAL, "no such container %.100s", filter->value);
        *(before ? &match->before : &match->since) = crate->created;
    }
    return 0;
}

static int check_values(struct container_match *match, struct err *err)
{
    static const char *const states[] = {"created",  "running", "paused", "restarting",
                                         "removing", "exited",  "dead"};
    static const char *const healths[] = {"none", "starting", "healthy", "unhealthy"};
    for (size_t i = 0; i < match->filters->count; i++) {
        const char *key = match->filters->values[i].key;
        const char *value = match->filters->values[i].value;
        bool good = true;
        int64_t number;
        if (str_equal(key, "status")) {
            good = false;
            for (size_t j = 0; j < COUNT_OF(states); j++)
                good = good || str_equal(states[j], value);
            match->ended = true;
        } else if (str_equal(key, "health")) {
            good = false;
            for (size_t j = 0; j < COUNT_OF(healths); j++)
                good = good || str_equal(healths[j], value);
        } else if (str_equal(key, "exited")) {
            match->ended = true;
            if (!str_to_i64(value, INT32_MIN, INT32_MAX, &number))
                return err_set(err, ERR_INTERNAL,
                               "strconv.Atoi: parsing \"%.100s\": invalid syntax", value);
        } else if (str_equal(key, "before") || str_equal(key, "since")) {
            match->ended = true;
        } else if (str_equal(key, "publish") || str_equal(key, "expose")) {
            int rc = port_range_parse(key, value, &match->ranges[i], err);
            if (rc)
                return rc;
        }
        if (!good && str_equal(key, "health"))
            return err_set(err, ERR_INVALID_ARGUMENT, "Unrecognised filter value for %s: %.100s",
                           key, value);
        if (!good)
            return err_set(err, ERR_INVALID_ARGUMENT, "Invalid filter '%s=%.100s'", key, value);
    }
    return 0;
}

int container_match_make(const struct filters *filters, const struct backend_local *local,
                         struct arena *arena, struct container_match *out, struct err *err)
{
    *out = (struct container_match){
        .filters = filters,
        .library = images_library(local->images),
        .ranges = arena_alloc_array(arena, filters->count + 1, sizeof *out->ranges),
    };
    if (!out->ranges)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the filters are too many");
    int rc = check_values(out, err);
    return rc ? rc : find_times(out, local->crates, err);
}
