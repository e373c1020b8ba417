// /volumes: of the local driver, the only one there is.
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/engine/bus.h"
#include "agent/engine/containers.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand.h"
#include "agent/engine/rows.h"
#include "agent/engine/shape.h"
#include "agent/oci/volumes_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

static void write_pairs(struct json_out *out, const char *key, const struct oci_pair *pairs,
                        size_t count)
{
    if (!count) {
        json_out_null(out, key);
        return;
    }
    json_out_object(out, key);
    for (size_t i = 0; i < count; i++)
        json_out_str(out, pairs[i].key, pairs[i].value);
    json_out_end(out);
}

void volume_write_open(const struct volume *volume, struct json_out *out)
{
    char time[WALL_TEXT_BYTES];
    struct wall created = {volume->created.ns - volume->created.ns % NS_PER_S};
    json_out_object(out, NULL);
    json_out_str(out, "CreatedAt", wall_format(created, time));
    json_out_str(out, "Driver", "local");
    write_pairs(out, "Labels", volume->labels, volume->labels_count);
    json_out_str(out, "Mountpoint", volume->path);
    json_out_str(out, "Name", volume->name);
    write_pairs(out, "Options", volume->options, volume->options_count);
    json_out_str(out, "Scope", "local");
}

static void write_volume(const struct volume *volume, struct json_out *out)
{
    volume_write_open(volume, out);
    json_out_end(out);
}

static json_t *labels_of(const struct volume *volume)
{
    json_t *labels = json_object();
    for (size_t i = 0; i < volume->labels_count; i++)
        json_object_set_new(labels, volume->labels[i].key, json_string(volume->labels[i].value));
    return labels;
}

static void tell(struct request *request, const char *action, const char *name)
{
    struct bus_attribute attribute = {"driver", "local"};
    struct bus_event event = {.type = "volume",
                              .action = action,
                              .actor_id = name,
                              .at = wall_now(),
                              .attributes = &attribute,
                              .attributes_count = 1};
    bus_publish(request_bus(request), &event);
}

// ---- list --------------------------------------------------------------------------------------

static const struct filter_row list_filters[] = {
    {"dangling", FILTER_FLAG},
    {"driver", FILTER_KNOWN},
    {"label", FILTER_KNOWN},
    {"name", FILTER_KNOWN},
};

static bool fits(const struct volumes *volumes, const struct volume *volume,
                 const struct filters *filters)
{
    bool driver = !filters_count(filters, "driver");
    for (size_t i = 0; i < filters->count; i++) {
        const char *key = filters->values[i].key, *value = filters->values[i].value;
        if (str_equal(key, "dangling") &&
            filter_is_true(value) != (volumes_users(volumes, volume->name) == 0))
            return false;
        driver = driver || (str_equal(key, "driver") && str_equal(value, "local"));
    }
    json_t *labels = labels_of(volume);
    bool labelled = container_labels_fit(labels, filters, "label", true) &&
                    container_labels_fit(labels, filters, "label!", false);
    json_decref(labels);
    return driver && labelled && filters_found(filters, "name", volume->name);
}

static void list(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    struct filters filters;
    struct err err = ERR_INIT;
    if (!local)
        return;
    if (filters_parse(request_query(request, "filters"), list_filters, COUNT_OF(list_filters),
                      request_arena(request), &filters, &err)) {
        request_fail_filters(request, &err);
        return;
    }
    struct json_out *out = request_write(request);
    size_t position = 0;
    const struct volume *volume;
    json_out_object(out, NULL);
    json_out_array(out, "Volumes");
    while ((volume = volumes_next(local->volumes, &position)))
        if (fits(local->volumes, volume, &filters))
            write_volume(volume, out);
    json_out_end(out);
    json_out_null(out, "Warnings");
    json_out_end(out);
    request_send(request, 200);
}

// ---- one ---------------------------------------------------------------------------------------

static const struct volume *find(struct request *request, const struct backend_local *local)
{
    const struct volume *volume;
    const char *name = request_param(request, "name");
    if (volumes_find(local->volumes, name, &volume, NULL) == 0)
        return volume;
    request_fail(request, 404, "get %.255s: no such volume", name);
    return NULL;
}

static void inspect(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    const struct volume *volume = local ? find(request, local) : NULL;
    if (!volume)
        return;
    write_volume(volume, request_write(request));
    request_send(request, 200);
}

// The texts of a map in the body; false after an answer.
static bool read_map(struct request *request, const json_t *body, const char *key,
                     struct oci_pair **out, size_t *count)
{
    const json_t *map = config_member(body, key);
    const char *name;
    json_t *value;
    *count = 0;
    *out = arena_alloc_array(request_arena(request), json_object_size(map) + 1, sizeof **out);
    if (!*out) {
        request_fail(request, 500, "the request is too large");
        return false;
    }
    json_object_foreach((json_t *)(uintptr_t)map, name, value)(*out)[(*count)++] =
        (struct oci_pair){name, str_or(json_string_value(value), "")};
    return true;
}

static const struct shape_row create_rows[] = {
    {"Name", SHAPE_TEXT, NULL},
    {"Driver", SHAPE_TEXT, NULL},
    {"DriverOpts", SHAPE_MAP, NULL},
    {"Labels", SHAPE_MAP, NULL},
};
static SHAPE(create_shape, "volume.CreateOptions", create_rows);

static void create(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    const json_t *body = local ? request_shaped(request, &create_shape) : NULL;
    struct err err = ERR_INIT;
    struct oci_pair *labels, *options;
    size_t labels_count, options_count;
    if (!body)
        return;
    const char *name = json_string_value(config_member(body, "Name"));
    const char *driver = json_string_value(config_member(body, "Driver"));
    driver = str_or(driver, "local");
    if (!str_equal(driver, "local")) {
        request_fail(request, 404,
                     "create %.255s: error looking up volume plugin %.100s: plugin \"%.100s\" not "
                     "found",
                     str_or(name, ""), driver, driver);
        return;
    }
    if (!read_map(request, body, "Labels", &labels, &labels_count) ||
        !read_map(request, body, "DriverOpts", &options, &options_count))
        return;
    if (config_member(body, "ClusterVolumeSpec")) {
        request_fail(request, 501, "cluster volumes are not supported");
        return;
    }
    const struct volume *volume;
    const struct volume_wish wish = {.name = name,
                                     .labels = labels,
                                     .labels_count = labels_count,
                                     .options = options,
                                     .options_count = options_count};
    if (volumes_create(local->volumes, &wish, &volume, &err)) {
        request_fail(request, err.code == ERR_INVALID_ARGUMENT ? 400 : 500, "%s", err.message);
        return;
    }
    tell(request, "create", volume->name); // one that is there already, too: dockerd does
    write_volume(volume, request_write(request));
    request_send(request, 201);
}

// The containers that have it, as dockerd lists them in its refusal.
static void users_text(const struct backend_local *local, const char *name, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (const struct crate *crate = NULL; (crate = crates_next(local->crates, crate));)
        for (size_t i = 0; i < json_array_size(crate->points); i++)
            if (str_equal(config_str(json_array_get(crate->points, i), "Name"), name) &&
                used + CONTAINER_ID_BYTES + 2 < size) {
                str_format(out + used, size - used, "%s%s", used ? ", " : "", crate->id);
                used = strlen(out);
            }
}

static void remove_it(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    const char *name = request_param(request, "name");
    const struct volume *volume;
    char users[512];
    struct err err = ERR_INIT;
    if (!local)
        return;
    if (volumes_find(local->volumes, name, &volume, NULL) != 0) {
        if (request_flag(request, "force"))
            request_empty(request, 204);
        else
            request_fail(request, 404, "get %.255s: no such volume", name);
        return;
    }
    if (volumes_users(local->volumes, name)) {
        users_text(local, name, users, sizeof users);
        request_fail(request, 409, "remove %.255s: volume is in use - [%s]", name, users);
        return;
    }
    if (volumes_remove(local->volumes, name, &err)) {
        request_fail_err(request, &err);
        return;
    }
    tell(request, "destroy", name);
    request_empty(request, 204);
}

// ---- prune -------------------------------------------------------------------------------------

static const struct filter_row prune_filters[] = {
    {"all", FILTER_FLAG}, {"label", FILTER_KNOWN}, {"label!", FILTER_KNOWN}};

static void prune(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    struct filters filters;
    struct err err = ERR_INIT;
    if (!local)
        return;
    if (filters_parse(request_query(request, "filters"), prune_filters, COUNT_OF(prune_filters),
                      request_arena(request), &filters, &err)) {
        request_fail_filters(request, &err);
        return;
    }
    bool all = request_minor(request) < 42;
    for (size_t i = 0; i < filters.count; i++)
        if (str_equal(filters.values[i].key, "all"))
            all = filter_is_true(filters.values[i].value);
    // The names first: removing one changes what is being walked.
    struct arena *arena = request_arena(request);
    size_t position = 0, count = 0, most = 0;
    const struct volume *volume;
    while (volumes_next(local->volumes, &position))
        most++;
    const char **names = arena_alloc_array(arena, most + 1, sizeof *names);
    position = 0;
    while (names && (volume = volumes_next(local->volumes, &position))) {
        json_t *labels = labels_of(volume);
        if ((all || volume->anonymous) && !volume->options_count &&
            !volumes_users(local->volumes, volume->name) &&
            container_labels_fit(labels, &filters, "label", true) &&
            container_labels_fit(labels, &filters, "label!", false))
            names[count++] = arena_strdup(arena, volume->name);
        json_decref(labels);
    }
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    json_out_array(out, "VolumesDeleted");
    for (size_t i = 0; i < count; i++) {
        if (!names[i] || volumes_remove(local->volumes, names[i], NULL))
            continue;
        json_out_str(out, NULL, names[i]);
        tell(request, "destroy", names[i]);
    }
    json_out_end(out);
    json_out_uint(out, "SpaceReclaimed", 0);
    json_out_end(out);
    tell_pruned(request, "volume", 0);
    request_send(request, 200);
}

static void update(struct request *request)
{
    request_fail(request, 501, "cluster volumes are not supported");
}

static const struct endpoint rows[] = {
    {"GET", "/volumes", list},          {"POST", "/volumes/create", create},
    {"POST", "/volumes/prune", prune},  {"GET", "/volumes/{name}", inspect},
    {"PUT", "/volumes/{name}", update}, {"DELETE", "/volumes/{name}", remove_it},
};
ENDPOINTS(volume_endpoints, rows);
