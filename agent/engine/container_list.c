// /containers/json and one container: who fits the filters, and how large they are.
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_io.h"
#include "agent/crate/names.h"
#include "agent/engine/container_json.h"
#include "agent/engine/containers.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand.h"
#include "agent/engine/filter.h"
#include "agent/engine/rows.h"
#include "agent/image/rootfs_io.h"
#include "agent/net/local.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

// ---- filters of the list -----------------------------------------------------------------------

static const struct filter_row list_filters[] = {
    {"ancestor", FILTER_KNOWN},  {"before", FILTER_KNOWN},  {"exited", FILTER_KNOWN},
    {"expose", FILTER_KNOWN},    {"health", FILTER_KNOWN},  {"id", FILTER_KNOWN},
    {"isolation", FILTER_KNOWN}, {"is-task", FILTER_FLAG},  {"label", FILTER_KNOWN},
    {"name", FILTER_KNOWN},      {"network", FILTER_KNOWN}, {"publish", FILTER_KNOWN},
    {"since", FILTER_KNOWN},     {"status", FILTER_KNOWN},  {"volume", FILTER_KNOWN},
};

struct listing {
    const struct filters *filters;
    const struct library *library;
    bool all;
    struct wall before; // 0: no bound
    struct wall since;
};

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

static bool ancestor_fits(const struct listing *listing, const struct crate *crate,
                          const char *wanted)
{
    const struct image *image;
    return str_equal(config_str(crate->config, "Image"), wanted) ||
           (library_find(listing->library, wanted, &image, NULL) == 0 &&
            str_equal(image->id, crate->image_id));
}

// "80", "8000-8100/udp".
struct port_range {
    uint64_t from, to;
    uint8_t protocol;
};

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

static bool published_fits(const struct crate *crate, const char *wanted)
{
    struct port_range range;
    size_t count;
    const struct ports_row *ports = crate_ports(crate, &count);
    if (port_range_parse("publish", wanted, &range, NULL))
        return false;
    for (size_t i = 0; i < count; i++)
        if (in_range(&range, ports[i].published, ports[i].protocol))
            return true;
    return false;
}

static bool exposed_fits(const struct crate *crate, const char *wanted)
{
    struct port_range range, exposed;
    const char *key;
    json_t *value;
    size_t count;
    const struct ports_row *ports = crate_ports(crate, &count);
    if (port_range_parse("expose", wanted, &range, NULL))
        return false;
    for (size_t i = 0; i < count; i++)
        if (in_range(&range, ports[i].target, ports[i].protocol))
            return true;
    json_object_foreach(json_object_get(crate->config, "ExposedPorts"), key, value)
    {
        if (port_range_parse("expose", key, &exposed, NULL) == 0 &&
            in_range(&range, exposed.from, exposed.protocol))
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
static bool value_fits(const struct listing *listing, const struct crate *crate,
                       const struct filter_value *filter)
{
    const char *key = filter->key, *value = filter->value;
    if (str_equal(key, "ancestor"))
        return ancestor_fits(listing, crate, value);
    if (str_equal(key, "exited"))
        return !crate_running(crate) && crate->state != CRATE_CREATED &&
               crate->exit_code == atoi(value);
    if (str_equal(key, "expose"))
        return exposed_fits(crate, value);
    if (str_equal(key, "publish"))
        return published_fits(crate, value);
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

static bool crate_fits(const struct listing *listing, const struct crate *crate)
{
    const struct filters *filters = listing->filters;
    if (listing->before.ns && crate->created.ns >= listing->before.ns)
        return false;
    if (listing->since.ns && crate->created.ns <= listing->since.ns)
        return false;
    if (!container_labels_fit(json_object_get(crate->config, "Labels"), filters, "label", true) ||
        !name_fits(filters, crate->name))
        return false;
    for (size_t i = 0; i < COUNT_OF(list_filters); i++) {
        const char *key = list_filters[i].key;
        bool any = false, fits = false;
        if (str_equal(key, "label") || str_equal(key, "name"))
            continue;
        for (size_t j = 0; j < filters->count; j++)
            if (str_equal(filters->values[j].key, key)) {
                any = true;
                fits = fits || value_fits(listing, crate, &filters->values[j]);
            }
        if (any && !fits)
            return false;
    }
    return true;
}

static int listing_times(struct listing *listing, const struct crates *crates, struct err *err)
{
    for (size_t i = 0; i < listing->filters->count; i++) {
        const struct filter_value *filter = &listing->filters->values[i];
        bool before = str_equal(filter->key, "before"), since = str_equal(filter->key, "since");
        if (!before && !since)
            continue;
        const struct crate *crate = crates_find(crates, filter->value, NULL);
        if (!crate)
            return err_set(err, ERR_INTERNAL, "no such container %.100s", filter->value);
        *(before ? &listing->before : &listing->since) = crate->created;
    }
    return 0;
}

static int check_values(struct listing *listing, struct err *err)
{
    static const char *const states[] = {"created",  "running", "paused", "restarting",
                                         "removing", "exited",  "dead"};
    static const char *const healths[] = {"none", "starting", "healthy", "unhealthy"};
    for (size_t i = 0; i < listing->filters->count; i++) {
        const char *key = listing->filters->values[i].key;
        const char *value = listing->filters->values[i].value;
        bool good = true;
        int64_t number;
        if (str_equal(key, "status")) {
            good = false;
            for (size_t j = 0; j < COUNT_OF(states); j++)
                good = good || str_equal(states[j], value);
            listing->all = true;
        } else if (str_equal(key, "health")) {
            good = false;
            for (size_t j = 0; j < COUNT_OF(healths); j++)
                good = good || str_equal(healths[j], value);
        } else if (str_equal(key, "exited")) {
            listing->all = true;
            if (!str_to_i64(value, INT32_MIN, INT32_MAX, &number))
                return err_set(err, ERR_INTERNAL,
                               "strconv.Atoi: parsing \"%.100s\": invalid syntax", value);
        } else if (str_equal(key, "before") || str_equal(key, "since")) {
            listing->all = true;
        } else if (str_equal(key, "publish") || str_equal(key, "expose")) {
            struct port_range range;
            int rc = port_range_parse(key, value, &range, err);
            if (rc)
                return rc;
        }
        if (!good)
            return err_set(err, ERR_INVALID_ARGUMENT, "Invalid filter '%s=%.100s'", key, value);
    }
    return 0;
}

// ---- list --------------------------------------------------------------------------------------

struct sizing {
    struct errand errand;
    struct loop_work work;
    const struct filters *filters;
    char *root;
    size_t count;
    char (*ids)[CONTAINER_ID_BYTES];
    struct container_size *sizes;
    const struct crates *crates;
    bool one; // an inspect
};

static void sizing_fini(struct errand *errand)
{
    struct sizing *sizing = CONTAINER_OF(errand, struct sizing, errand);
    free(sizing->root);
    free(sizing->ids);
    free(sizing->sizes);
}

static void sizing_work(struct loop_work *work)
{
    struct sizing *sizing = CONTAINER_OF(work, struct sizing, work);
    for (size_t i = 0; i < sizing->count; i++)
        sizing->sizes[i].rw = (int64_t)rootfs_upper_bytes(sizing->root, sizing->ids[i]);
}

static void sizing_done(struct loop_work *work)
{
    struct sizing *sizing = CONTAINER_OF(work, struct sizing, work);
    if (!errand_back(&sizing->errand))
        return;
    struct request *request = sizing->errand.request;
    struct json_out *out = request_write(request);
    struct images *images = crates_images(sizing->crates);
    if (!sizing->one)
        json_out_array(out, NULL);
    size_t written = 0;
    for (size_t i = 0; i < sizing->count; i++) {
        const struct crate *crate = crates_find(sizing->crates, sizing->ids[i], NULL);
        if (!crate)
            continue;
        const struct image *image = library_by_id(images_library(images), crate->image_id);
        sizing->sizes[i].root = sizing->sizes[i].rw + (image ? (int64_t)image->size_bytes : 0);
        if (sizing->one)
            container_write(crate, &sizing->sizes[i], request_minor(request), out);
        else
            container_write_row(crate, &sizing->sizes[i], out);
        written++;
    }
    if (!sizing->one)
        json_out_end(out);
    if (sizing->one && !written)
        request_fail(request, 404, "No such container: %s", sizing->ids[0]);
    else
        request_send(request, 200);
}

// Answers with sizes, which are counted in a worker job.
static struct sizing *sizing_new(struct request *request, const struct crates *crates, size_t most)
{
    struct sizing *sizing = errand_new(request, sizeof *sizing);
    sizing->errand.fini = sizing_fini;
    sizing->crates = crates;
    sizing->root = str_dup(images_root(crates_images(crates)));
    sizing->ids = mem_alloc_array(most + 1, sizeof *sizing->ids);
    sizing->sizes = mem_alloc_array(most + 1, sizeof *sizing->sizes);
    return sizing;
}

static void sizing_start(struct request *request, struct sizing *sizing)
{
    errand_await(&sizing->errand);
    loop_work_start(request_loop(request), &sizing->work, sizing_work, sizing_done);
}

static void list(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    struct filters filters;
    struct err err = ERR_INIT;
    if (!local)
        return;
    struct listing listing = {
        .filters = &filters,
        .library = images_library(local->images),
        .all = request_flag(request, "all"),
    };
    int64_t limit = -1;
    const char *limit_text = request_query(request, "limit");
    if (filters_parse(request_query(request, "filters"), list_filters, COUNT_OF(list_filters),
                      request_arena(request), &filters, &err)) {
        request_fail_filters(request, &err);
        return;
    }
    if (!str_empty(limit_text) && !str_to_i64(limit_text, INT32_MIN, INT32_MAX, &limit))
        err_set(&err, ERR_INTERNAL, "strconv.Atoi: parsing \"%.100s\": invalid syntax", limit_text);
    if (!err.code && check_values(&listing, &err) == 0)
        listing_times(&listing, local->crates, &err);
    if (err.code) {
        request_fail_err(request, &err);
        return;
    }
    bool all = listing.all || limit > 0;
    bool sized = request_flag(request, "size");
    struct sizing *sizing = sized ? sizing_new(request, local->crates, CRATES_MAX) : NULL;
    struct json_out *out = request_write(request);
    json_out_array(out, NULL);
    int64_t count = 0;
    for (const struct crate *crate = NULL; (crate = crates_next(local->crates, crate));) {
        if (limit > 0 && count >= limit)
            break;
        if ((!all && !crate_running(crate) && crate->state != CRATE_RESTARTING) ||
            !crate_fits(&listing, crate))
            continue;
        count++;
        if (sizing && sizing->count < CRATES_MAX)
            str_copy(sizing->ids[sizing->count++], CONTAINER_ID_BYTES, crate->id);
        else if (!sizing)
            container_write_row(crate, NULL, out);
    }
    json_out_end(out);
    if (sizing)
        sizing_start(request, sizing);
    else
        request_send(request, 200);
}

static void inspect(struct request *request)
{
    struct crate *crate = container_find(request);
    if (!crate)
        return;
    if (request_flag(request, "size")) {
        struct sizing *sizing = sizing_new(request, crate->crates, 1);
        sizing->one = true;
        str_copy(sizing->ids[sizing->count++], CONTAINER_ID_BYTES, crate->id);
        sizing_start(request, sizing);
        return;
    }
    container_write(crate, NULL, request_minor(request), request_write(request));
    request_send(request, 200);
}

static const struct endpoint rows[] = {
    {"GET", "/containers/json", list},
    {"GET", "/containers/{id}/json", inspect},
};
ENDPOINTS(container_list_endpoints, rows);
