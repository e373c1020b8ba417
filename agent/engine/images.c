// /images: showing, naming, removing them. Getting them in and out is in image_transfers.c.
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/engine/bus.h"
#include "agent/engine/containers.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand.h"
#include "agent/engine/rows.h"
#include "agent/engine/stamp.h"
#include "agent/image/images_io.h"
#include "agent/image/rootfs_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

static const struct image *find(struct request *request, const struct backend_local *local)
{
    const struct image *image;
    struct err err = ERR_INIT;
    const char *name = request_param(request, "name");
    if (library_find(images_library(local->images), name, &image, &err) == 0)
        return image;
    struct reference reference;
    char text[REFERENCE_TEXT_BYTES];
    if (err.code == ERR_NOT_FOUND && reference_parse(name, &reference, NULL) == 0) {
        reference_default_tag(&reference);
        request_fail(request, 404, "No such image: %s", reference_familiar(&reference, text));
    } else {
        request_fail_err(request, &err);
    }
    return NULL;
}

static const char *familiar(const char *full, char out[REFERENCE_TEXT_BYTES])
{
    struct reference reference;
    return reference_parse(full, &reference, NULL) == 0 ? reference_familiar(&reference, out)
                                                        : full;
}

static void write_names(struct json_out *out, const char *key, char *const *names, size_t count,
                        bool null_when_none)
{
    char text[REFERENCE_TEXT_BYTES];
    if (!count && null_when_none) {
        json_out_null(out, key);
        return;
    }
    json_out_array(out, key);
    for (size_t i = 0; i < count; i++)
        json_out_str(out, NULL, familiar(names[i], text));
    json_out_end(out);
}

// ---- list --------------------------------------------------------------------------------------

static const struct filter_row list_filters[] = {
    {"before", FILTER_KNOWN},    {"dangling", FILTER_FLAG}, {"label", FILTER_KNOWN},
    {"reference", FILTER_KNOWN}, {"since", FILTER_KNOWN},   {"until", FILTER_KNOWN},
};

struct picking {
    const struct filters *filters;
    struct wall before, since; // 0: no bound
};

static json_t *labels_of(const struct image *image)
{
    json_t *labels = json_object();
    for (size_t i = 0; i < image->config.labels_count; i++)
        json_object_set_new(labels, image->config.labels[i].key,
                            json_string(image->config.labels[i].value));
    return labels;
}

static bool tag_fits(const char *tag, const char *pattern)
{
    struct reference reference;
    char text[REFERENCE_TEXT_BYTES];
    if (reference_parse(tag, &reference, NULL) != 0)
        return false;
    return fnmatch(pattern, reference_familiar(&reference, text), FNM_PATHNAME) == 0 ||
           fnmatch(pattern, reference_familiar_name(&reference, text), FNM_PATHNAME) == 0 ||
           fnmatch(pattern, tag, FNM_PATHNAME) == 0;
}

// Whether the tag is one that the references asked for name.
static bool tag_wanted(const char *tag, const struct filters *filters)
{
    bool any = false;
    for (size_t i = 0; i < filters->count; i++) {
        if (!str_equal(filters->values[i].key, "reference"))
            continue;
        any = true;
        if (tag_fits(tag, filters->values[i].value))
            return true;
    }
    return !any;
}

static bool fits(const struct picking *picking, const struct image *image)
{
    const struct filters *filters = picking->filters;
    bool named = filters_count(filters, "reference") == 0;
    if (picking->before.ns && image->config.created.ns >= picking->before.ns)
        return false;
    if (picking->since.ns && image->config.created.ns <= picking->since.ns)
        return false;
    for (size_t i = 0; i < filters->count; i++) {
        const char *key = filters->values[i].key;
        bool yes = filter_is_true(filters->values[i].value);
        if (str_equal(key, "dangling") && yes != (image->tags_count == 0))
            return false;
    }
    for (size_t i = 0; i < image->tags_count && !named; i++)
        named = tag_wanted(image->tags[i], filters);
    json_t *labels = labels_of(image);
    bool good = named && container_labels_fit(labels, filters, "label", true) &&
                container_labels_fit(labels, filters, "label!", false);
    json_decref(labels);
    return good;
}

static bool pick_times(struct request *request, const struct library *library,
                       struct picking *picking, int unreadable)
{
    for (size_t i = 0; i < picking->filters->count; i++) {
        const char *key = picking->filters->values[i].key;
        const char *value = picking->filters->values[i].value;
        const struct image *image;
        struct err err = ERR_INIT;
        if (str_equal(key, "before") || str_equal(key, "since")) {
            if (library_find(library, value, &image, &err) != 0) {
                request_fail_err(request, &err);
                return false;
            }
            *(str_equal(key, "before") ? &picking->before : &picking->since) =
                image->config.created;
        } else if (str_equal(key, "until")) {
            if (stamp_filter_parse(value, wall_now(), &picking->before, &err)) {
                request_fail(request, unreadable, "%s", err.message);
                return false;
            }
        }
    }
    return true;
}

static void write_row(const struct image *image, int64_t containers, int64_t shared,
                      const struct filters *filters, unsigned minor, struct json_out *out)
{
    json_t *labels = labels_of(image);
    char **tags = mem_alloc_array(image->tags_count + 1, sizeof *tags);
    size_t count = 0;
    for (size_t i = 0; i < image->tags_count; i++)
        if (tag_wanted(image->tags[i], filters))
            tags[count++] = image->tags[i];
    json_out_object(out, NULL);
    json_out_int(out, "Containers", containers);
    json_out_int(out, "Created", image->config.created.ns / NS_PER_S);
    json_out_str(out, "Id", image->id);
    if (json_object_size(labels))
        json_out_value(out, "Labels", labels);
    else
        json_out_null(out, "Labels");
    json_out_str(out, "ParentId", "");
    if (minor < 43 && !image->tags_count && !image->digests_count) {
        json_out_array(out, "RepoDigests");
        json_out_str(out, NULL, "<none>@<none>");
        json_out_end(out);
        json_out_array(out, "RepoTags");
        json_out_str(out, NULL, "<none>:<none>");
        json_out_end(out);
    } else {
        write_names(out, "RepoDigests", image->digests, image->digests_count, minor < 43);
        write_names(out, "RepoTags", tags, count, minor < 43);
    }
    json_out_int(out, "SharedSize", shared);
    json_out_uint(out, "Size", image->size_bytes);
    if (minor < 44)
        json_out_uint(out, "VirtualSize", image->size_bytes);
    json_out_end(out);
    json_decref(labels);
    free(tags);
}

void image_write_row(const struct image *image, int64_t containers, int64_t shared, unsigned minor,
                     struct json_out *out)
{
    static const struct filters none;
    write_row(image, containers, shared, &none, minor, out);
}

// Before 1.41 a reference could be asked for in a word of its own; false after an answer.
static bool old_filter(struct request *request, struct filters *filters)
{
    const char *reference = request_query(request, "filter");
    struct filter_value *values;
    if (str_empty(reference) || request_minor(request) >= 41)
        return true;
    values = arena_alloc_array(request_arena(request), filters->count + 1, sizeof *values);
    if (!values) {
        request_fail(request, 500, "the request is too large");
        return false;
    }
    for (size_t i = 0; i < filters->count; i++)
        values[i] = filters->values[i];
    values[filters->count] = (struct filter_value){"reference", reference};
    *filters = (struct filters){values, filters->count + 1};
    return true;
}

static void list(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    struct filters filters;
    struct err err = ERR_INIT;
    if (!local)
        return;
    struct picking picking = {.filters = &filters};
    const struct library *library = images_library(local->images);
    if (filters_parse(request_query(request, "filters"), list_filters, COUNT_OF(list_filters),
                      request_arena(request), &filters, &err)) {
        request_fail_filters(request, &err);
        return;
    }
    if (!pick_times(request, library, &picking, 400) || !old_filter(request, &filters))
        return;
    struct json_out *out = request_write(request);
    size_t position = 0;
    const struct image *image;
    json_out_array(out, NULL);
    while ((image = library_next(library, &position)))
        if (fits(&picking, image))
            write_row(image, -1, -1, &filters, request_minor(request), out);
    json_out_end(out);
    request_send(request, 200);
}

// ---- inspect and history -----------------------------------------------------------------------

static void write_driver(const struct image *image, const char *root, struct json_out *out)
{
    char path[4096];
    str_format(path, sizeof path, "%s/trees/%s", root, image->id + strlen("sha256:"));
    json_out_object(out, "GraphDriver");
    json_out_object(out, "Data");
    json_out_str(out, "UpperDir", path);
    json_out_str(out, "MergedDir", path);
    json_out_str(out, "WorkDir", "");
    json_out_end(out);
    json_out_str(out, "Name", "overlay2");
    json_out_end(out);
}

static void inspect(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    const struct image *image = local ? find(request, local) : NULL;
    char time[WALL_TEXT_BYTES];
    if (!image)
        return;
    const struct image_config *config = &image->config;
    json_t *raw = json_parse(image->config_json, image->config_json_bytes, NULL);
    json_t *settled = config_read(raw ? config_member(raw, "config") : NULL, NULL);
    // An image without labels has null, a container {}.
    if (settled && json_object_size(json_object_get(settled, "Labels")) == 0)
        json_object_set_new(settled, "Labels", json_null());
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    json_out_str(out, "Id", image->id);
    write_names(out, "RepoTags", image->tags, image->tags_count, false);
    write_names(out, "RepoDigests", image->digests, image->digests_count, false);
    json_out_str(out, "Parent", "");
    json_out_str(out, "Comment", config->comment);
    json_out_str(out, "Created", wall_format(config->created, time));
    if (request_minor(request) < 45) {
        json_t *empty = config_read(NULL, NULL);
        json_object_set_new(empty, "Labels", json_null());
        json_out_str(out, "Container", "");
        json_out_value(out, "ContainerConfig", empty);
        json_decref(empty);
    }
    json_out_str(out, "DockerVersion", config->docker_version);
    json_out_str(out, "Author", config->author);
    if (settled)
        json_out_value(out, "Config", settled);
    json_out_str(out, "Architecture", config->architecture);
    if (!str_empty(config->variant))
        json_out_str(out, "Variant", config->variant);
    json_out_str(out, "Os", config->os);
    json_out_uint(out, "Size", image->size_bytes);
    if (request_minor(request) < 44)
        json_out_uint(out, "VirtualSize", image->size_bytes);
    write_driver(image, images_root(local->images), out);
    json_out_object(out, "RootFS");
    json_out_str(out, "Type", "layers");
    json_out_array(out, "Layers");
    for (size_t i = 0; i < config->diff_ids_count; i++)
        json_out_str(out, NULL, config->diff_ids[i]);
    json_out_end(out);
    json_out_end(out);
    json_out_object(out, "Metadata");
    json_out_str(out, "LastTagTime",
                 image->last_tagged.ns ? wall_format(image->last_tagged, time)
                                       : "0001-01-01T00:00:00Z");
    json_out_end(out);
    json_out_end(out);
    json_decref(settled);
    json_decref(raw);
    request_send(request, 200);
}

// Newest first; the layers of the manifest are those steps that are not empty.
static void history(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    const struct image *image = local ? find(request, local) : NULL;
    if (!image)
        return;
    size_t layer = image->manifest.layers_count, steps = image->config.history_count;
    struct json_out *out = request_write(request);
    json_out_array(out, NULL);
    size_t count = steps ? steps : layer;
    for (size_t i = count; i-- > 0;) {
        const struct image_history *step = steps ? &image->config.history[i] : NULL;
        uint64_t size = 0;
        if ((!step || !step->empty_layer) && layer > 0)
            size = image->layer_bytes[--layer];
        bool newest = i == count - 1;
        json_out_object(out, NULL);
        json_out_str(out, "Comment", step ? step->comment : "");
        json_out_int(out, "Created",
                     (step ? step->created.ns : image->config.created.ns) / NS_PER_S);
        json_out_str(out, "CreatedBy", step ? step->created_by : "");
        json_out_str(out, "Id", newest ? image->id : "<missing>");
        json_out_uint(out, "Size", size);
        write_names(out, "Tags", image->tags, newest ? image->tags_count : 0, true);
        json_out_end(out);
    }
    json_out_end(out);
    request_send(request, 200);
}

// ---- events ------------------------------------------------------------------------------------

static void tell(struct request *request, const char *action, const char *id, const char *name,
                 const json_t *labels)
{
    struct bus_attribute attributes[BUS_ATTRIBUTES_MAX] = {{"name", name}};
    struct bus_event event = {.type = "image",
                              .action = action,
                              .actor_id = id,
                              .at = wall_now(),
                              .attributes = attributes,
                              .attributes_count = 1};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        // One of that name is the image's.
        if (event.attributes_count < COUNT_OF(attributes) && !str_equal(key, "name"))
            attributes[event.attributes_count++] =
                (struct bus_attribute){key, json_string_value(value)};
    }
    bus_publish(request_bus(request), &event);
}

void image_tell(struct request *request, const char *action, const struct image *image,
                const char *name)
{
    json_t *labels = labels_of(image);
    tell(request, action, image->id, str_or(name, image->id), labels);
    json_decref(labels);
}

// ---- names and removal -------------------------------------------------------------------------

int image_target(const char *repo, const char *tag, char out[REFERENCE_TEXT_BYTES], struct err *err)
{
    struct reference reference;
    int rc = reference_parse(repo, &reference, err);
    if (rc)
        return rc;
    if (*tag) {
        char name[REFERENCE_TEXT_BYTES];
        if (!str_format(out, REFERENCE_TEXT_BYTES, "%s:%s",
                        reference_familiar_name(&reference, name), tag) ||
            reference_parse(out, &reference, NULL))
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid tag format");
    }
    reference_familiar(&reference, out);
    return 0;
}

static void tag(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    const struct image *image = local ? find(request, local) : NULL;
    const char *repo = str_or(request_query(request, "repo"), "");
    const char *tag_text = str_or(request_query(request, "tag"), "");
    char target[REFERENCE_TEXT_BYTES + 1], text[REFERENCE_TEXT_BYTES], id[72];
    struct err err = ERR_INIT;
    if (!image)
        return;
    str_copy(id, sizeof id, image->id);
    if (image_target(repo, tag_text, target, &err)) {
        request_fail(request, request_bad_status(request), "%s", err.message);
        return;
    }
    if (images_tag(local->images, id, target, &err)) {
        request_fail_err(request, &err);
        return;
    }
    image = library_by_id(images_library(local->images), id);
    if (image)
        image_tell(request, "tag", image, familiar(target, text));
    request_empty(request, 201);
}

struct removing {
    struct request *request;
    struct json_out *out;
    size_t count;
    char id[72];    // of the image that goes, or loses a name
    json_t *labels; // its
};

static void removing_begin(struct removing *removing, const struct image *image)
{
    str_copy(removing->id, sizeof removing->id, image->id);
    json_decref(removing->labels);
    removing->labels = labels_of(image);
}

static void removed(void *owner, enum images_gone gone, const char *what)
{
    struct removing *removing = owner;
    char text[REFERENCE_TEXT_BYTES];
    if (!removing->count++)
        json_out_array(removing->out, NULL);
    json_out_object(removing->out, NULL);
    json_out_str(removing->out, gone == IMAGES_UNTAGGED ? "Untagged" : "Deleted",
                 gone == IMAGES_UNTAGGED ? familiar(what, text) : what);
    json_out_end(removing->out);
    if (gone != IMAGES_LAYER)
        tell(removing->request, gone == IMAGES_DELETED ? "delete" : "untag", removing->id,
             removing->id, gone == IMAGES_DELETED ? NULL : removing->labels);
}

static void remove_it(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    struct err err = ERR_INIT;
    const struct image *image = local ? find(request, local) : NULL;
    if (!image)
        return;
    struct removing removing = {.request = request, .out = request_write(request)};
    removing_begin(&removing, image);
    int rc = images_remove(local->images, request_param(request, "name"),
                           request_flag(request, "force"), removed, &removing, &err);
    json_decref(removing.labels);
    if (rc) {
        request_fail(request, err.code == ERR_FAILED_PRECONDITION ? 409 : 500, "%s", err.message);
        return;
    }
    if (!removing.count)
        json_out_array(removing.out, NULL);
    json_out_end(removing.out);
    request_send(request, 200);
}

static const struct filter_row prune_filters[] = {
    {"dangling", FILTER_FLAG},
    {"label", FILTER_KNOWN},
    {"label!", FILTER_KNOWN},
    {"until", FILTER_KNOWN},
};

static void prune(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    struct filters filters;
    struct err err = ERR_INIT;
    if (!local)
        return;
    const struct library *library = images_library(local->images);
    if (filters_parse(request_query(request, "filters"), prune_filters, COUNT_OF(prune_filters),
                      request_arena(request), &filters, &err)) {
        request_fail_filters(request, &err);
        return;
    }
    bool all = false;
    struct filters rest = filters;
    rest.values = arena_alloc_array(request_arena(request), filters.count + 1, sizeof *rest.values);
    rest.count = 0;
    for (size_t i = 0; rest.values && i < filters.count; i++) {
        bool dangling = str_equal(filters.values[i].key, "dangling");
        if (dangling)
            all = !filter_is_true(filters.values[i].value);
        else
            rest.values[rest.count++] = filters.values[i];
    }
    struct picking picking = {.filters = &rest};
    if (!pick_times(request, library, &picking, request_bad_status(request)))
        return;
    // The ids first: removing one changes what is being walked.
    char(*ids)[72] = mem_alloc_array(library_count(library) + 1, sizeof *ids);
    size_t count = 0, position = 0;
    const struct image *image;
    while ((image = library_next(library, &position)))
        if ((all || !image->tags_count) && fits(&picking, image))
            str_copy(ids[count++], sizeof ids[0], image->id);
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    struct removing removing = {.request = request, .out = out, .count = 1};
    uint64_t freed = 0;
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        image = library_by_id(library, ids[i]);
        uint64_t size = image ? image->size_bytes : 0;
        char user[160];
        if (!image || rootfs_users(images_root(local->images), ids[i], user, sizeof user))
            continue;
        if (!any)
            json_out_array(out, "ImagesDeleted");
        any = true;
        removing_begin(&removing, image);
        if (images_remove(local->images, ids[i], true, removed, &removing, NULL) == 0)
            freed += size;
    }
    json_decref(removing.labels);
    free(ids);
    if (any)
        json_out_end(out);
    else
        json_out_null(out, "ImagesDeleted");
    json_out_uint(out, "SpaceReclaimed", freed);
    json_out_end(out);
    tell_pruned(request, "image", freed);
    request_send(request, 200);
}

static void search(struct request *request)
{
    request_fail(request, 501,
                 "searching registries is not supported: look at the registry itself");
}

static const struct endpoint rows[] = {
    {"GET", "/images/json", list},
    {"GET", "/images/search", search},
    {"POST", "/images/prune", prune},
    {"GET", "/images/{name...}/json", inspect},
    {"GET", "/images/{name...}/history", history},
    {"POST", "/images/{name...}/tag", tag},
    {"DELETE", "/images/{name...}", remove_it},
};
ENDPOINTS(image_endpoints, rows);
