// /containers: making, changing and showing them. Their streams are in container_streams.c.
#include "agent/engine/containers.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_io.h"
#include "agent/crate/names.h"
#include "agent/engine/container_json.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand.h"
#include "agent/engine/filter.h"
#include "agent/engine/networks.h"
#include "agent/engine/rows.h"
#include "agent/engine/shape.h"
#include "agent/image/rootfs_io.h"
#include "agent/oci/signals.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

// ---- finding one -------------------------------------------------------------------------------

static struct crate *find_named(struct request *request, const char *name)
{
    const struct backend_local *local = errand_local(request);
    struct err err = ERR_INIT;
    struct crate *crate = local ? crates_find(local->crates, name, &err) : NULL;
    if (local && !crate)
        request_fail_err(request, &err);
    return crate;
}

struct crate *container_find(struct request *request)
{
    return find_named(request, request_param(request, "id"));
}

// ---- filters of the list -----------------------------------------------------------------------

static const struct filter_row list_filters[] = {
    {"ancestor", FILTER_KNOWN},  {"before", FILTER_KNOWN},  {"exited", FILTER_KNOWN},
    {"expose", FILTER_KNOWN},    {"health", FILTER_KNOWN},  {"id", FILTER_KNOWN},
    {"isolation", FILTER_KNOWN}, {"is-task", FILTER_KNOWN}, {"label", FILTER_KNOWN},
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

// A name filter is an expression, as the CLI's users write them: "^/web$", "web".
static bool name_fits(const char *name, const char *pattern)
{
    regex_t expression;
    char with_slash[CRATE_NAME_BYTES + 1];
    str_format(with_slash, sizeof with_slash, "/%s", name);
    if (str_equal(name, pattern) || str_equal(with_slash, pattern))
        return true;
    if (strlen(pattern) > 256 || regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    bool fits = regexec(&expression, name, 0, NULL, 0) == 0 ||
                regexec(&expression, with_slash, 0, NULL, 0) == 0;
    regfree(&expression);
    return fits;
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

static bool port_fits(const json_t *ports, const char *wanted)
{
    char port[32];
    str_format(port, sizeof port, strchr(wanted, '/') ? "%.20s" : "%.20s/tcp", wanted);
    return json_object_get(ports, port) != NULL;
}

static bool network_fits(const struct crate *crate, const char *wanted)
{
    const char *mode = config_str(crate->host, "NetworkMode");
    return str_equal(mode, wanted) || (str_equal(mode, "default") && str_equal(wanted, "bridge")) ||
           json_object_get(crate->endpoints, wanted);
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
        return port_fits(json_object_get(crate->config, "ExposedPorts"), value);
    if (str_equal(key, "publish"))
        return port_fits(json_object_get(crate->host, "PortBindings"), value);
    if (str_equal(key, "health"))
        return str_equal(value, str_or(crate->health, "none"));
    if (str_equal(key, "id"))
        return str_starts(crate->id, value);
    if (str_equal(key, "is-task"))
        return crate->task == (str_equal(value, "true") || str_equal(value, "1"));
    if (str_equal(key, "name"))
        return name_fits(crate->name, value);
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
    if (!container_labels_fit(json_object_get(crate->config, "Labels"), filters, "label", true))
        return false;
    for (size_t i = 0; i < COUNT_OF(list_filters); i++) {
        const char *key = list_filters[i].key;
        bool any = false, fits = false;
        if (str_equal(key, "label"))
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

// ---- making ------------------------------------------------------------------------------------

static void created(void *owner, const char *id, const json_t *warnings, const struct err *err)
{
    struct errand *errand = owner;
    if (!errand_back(errand))
        return;
    if (err) {
        errand_fail(errand->request, err);
        return;
    }
    struct json_out *out = request_write(errand->request);
    json_out_object(out, NULL);
    json_out_str(out, "Id", id);
    json_out_value(out, "Warnings", warnings);
    json_out_end(out);
    request_send(errand->request, 201);
}

// What config.h does not read.
static const struct shape_row networking_rows[] = {
    {"EndpointsConfig", SHAPE_NAMED, &endpoint_shape},
};
static SHAPE(networking_shape, "network.NetworkingConfig", networking_rows);

static const struct shape_row rest_rows[] = {
    {"NetworkingConfig", SHAPE_OBJECT, &networking_shape},
};
static SHAPE(rest_shape, "container.CreateRequest", rest_rows);

static void create(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    const json_t *body = local ? request_shaped(request, &rest_shape) : NULL;
    if (!body)
        return;
    if (!json_is_object(body) || !config_given(body)) {
        request_fail(request, 400, "Config cannot be empty in order to create a container");
        return;
    }
    const char *platform = str_or(request_query(request, "platform"), "");
    if (*platform && !str_starts(platform, "linux")) {
        request_fail(request, 400, "\"%.50s\": unsupported platform", platform);
        return;
    }
    struct errand *errand = errand_new(request, sizeof *errand);
    errand_await(errand);
    crates_create(local->crates, request_query(request, "name"), body, created, errand);
}

// ---- changing ----------------------------------------------------------------------------------

// Operations whose success is 204.
static void op_done(void *owner, const struct err *err)
{
    struct errand *errand = owner;
    if (!errand_back(errand))
        return;
    if (err)
        errand_fail(errand->request, err);
    else
        request_empty(errand->request, 204);
}

static struct errand *op_errand(struct request *request)
{
    struct errand *errand = errand_new(request, sizeof *errand);
    errand_await(errand);
    return errand;
}

// A port that is taken is a failed start in dockerd, no conflict.
static void start_done(void *owner, const struct err *err)
{
    struct errand *errand = owner;
    if (!err || err->code != ERR_ALREADY_EXISTS)
        op_done(owner, err);
    else if (errand_back(errand))
        request_fail(errand->request, 500, "%s", err->message);
}

static void start(struct request *request)
{
    struct crate *crate = container_find(request);
    const char *keys = request_query(request, "detachKeys");
    (void)keys;
    if (!crate)
        return;
    if (crate->state == CRATE_PAUSED)
        request_fail(request, 409, "cannot start a paused container, try unpause instead");
    else if (crate_running(crate))
        request_empty(request, 304);
    else
        crate_start(crate, start_done, op_errand(request));
}

// The query's signal and seconds; false after an answer.
static bool stop_query(struct request *request, const struct crate *crate, int *signal,
                       int64_t *seconds)
{
    const char *text = request_query(request, "t"), *name = request_query(request, "signal");
    *signal = 0;
    *seconds = crate_stop_seconds(crate);
    if (!str_empty(text) && !str_to_i64(text, INT32_MIN, INT32_MAX, seconds)) {
        request_fail(request, 400, "strconv.Atoi: parsing \"%.100s\": invalid syntax", text);
        return false;
    }
    if (str_empty(name) || request_minor(request) < 42)
        return true;
    *signal = signal_of_name(name);
    if (!*signal)
        request_fail(request, 400, "Invalid signal: %.100s", name);
    return *signal != 0;
}

static void stop(struct request *request)
{
    struct crate *crate = container_find(request);
    int signal;
    int64_t seconds;
    if (!crate || !stop_query(request, crate, &signal, &seconds))
        return;
    if (!crate_running(crate) && crate->state != CRATE_RESTARTING)
        request_empty(request, 304);
    else
        crate_stop(crate, signal, seconds, op_done, op_errand(request));
}

static void restart(struct request *request)
{
    struct crate *crate = container_find(request);
    int signal;
    int64_t seconds;
    if (crate && stop_query(request, crate, &signal, &seconds))
        crate_restart(crate, signal, seconds, op_done, op_errand(request));
}

static void kill_it(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    const char *name = request_param(request, "id");
    const char *text = str_or(request_query(request, "signal"), "SIGKILL");
    struct err err = ERR_INIT;
    if (!local)
        return;
    int signal = signal_of_name(text);
    struct crate *crate = crates_find(local->crates, name, &err);
    if (!crate)
        request_fail(request, 404, "Cannot kill container: %.200s: %s", name, err.message);
    else if (!signal)
        request_fail(request, 400, "Invalid signal: %.100s", text);
    else if (!crate_running(crate))
        request_fail(request, 409, "Cannot kill container: %.200s: Container %s is not running",
                     name, crate->id);
    else if (crate_kill(crate, signal, &err))
        request_fail(request, 500, "Cannot kill container: %.200s: %s", name, err.message);
    else
        request_empty(request, 204);
}

static void pause_it(struct request *request)
{
    struct crate *crate = container_find(request);
    if (crate)
        crate_pause(crate, op_done, op_errand(request));
}

static void unpause(struct request *request)
{
    struct crate *crate = container_find(request);
    if (crate)
        crate_unpause(crate, op_done, op_errand(request));
}

static void rename_it(struct request *request)
{
    struct crate *crate = container_find(request);
    const char *name = request_query(request, "name");
    struct err err = ERR_INIT;
    if (!crate)
        return;
    if (str_empty(name) || str_equal(name, "/"))
        request_fail(request, 400, "Neither old nor new names may be empty");
    else if (!crate_name_valid(name[0] == '/' ? name + 1 : name))
        request_fail(request, 400,
                     "Invalid container name (%.100s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                     name);
    else if (crate_rename(crate, name, &err))
        errand_fail(request, &err);
    else
        request_empty(request, 204);
}

static void update_done(void *owner, const struct err *err)
{
    struct errand *errand = owner;
    if (!errand_back(errand))
        return;
    if (err) {
        errand_fail(errand->request, err);
        return;
    }
    struct json_out *out = request_write(errand->request);
    json_out_object(out, NULL);
    json_out_null(out, "Warnings");
    json_out_end(out);
    request_send(errand->request, 200);
}

static void update(struct request *request)
{
    struct crate *crate = container_find(request);
    const json_t *body = crate ? request_json(request) : NULL;
    if (body)
        crate_update(crate, body, update_done, op_errand(request));
}

static void remove_it(struct request *request)
{
    struct crate *crate = container_find(request);
    if (!crate)
        return;
    if (request_flag(request, "link")) {
        request_fail(request, 501, "links between containers are not supported");
        return;
    }
    if (crate->state == CRATE_REMOVING) {
        request_fail(request, 409, "removal of container %s is already in progress",
                     request_param(request, "id"));
        return;
    }
    crate_remove(crate, request_flag(request, "force"), request_flag(request, "v"), op_done,
                 op_errand(request));
}

static void resize(struct request *request)
{
    struct crate *crate = container_find(request);
    struct err err = ERR_INIT;
    uint64_t rows, columns;
    const char *h = str_or(request_query(request, "h"), "");
    const char *w = str_or(request_query(request, "w"), "");
    if (!crate)
        return;
    bool good_h = str_to_u64(h, UINT16_MAX, &rows), good_w = str_to_u64(w, UINT16_MAX, &columns);
    if (!good_h || !good_w)
        request_fail(request, 400, "strconv.Atoi: parsing \"%.50s\": invalid syntax",
                     good_h ? w : h);
    else if (crate_resize(crate, (unsigned)rows, (unsigned)columns, &err))
        errand_fail(request, &err);
    else
        request_empty(request, 200);
}

// ---- pruning -----------------------------------------------------------------------------------

static const struct filter_row prune_filters[] = {
    {"label", FILTER_KNOWN}, {"label!", FILTER_KNOWN}, {"until", FILTER_KNOWN}};

struct pruning {
    struct errand errand;
    char **ids;
    size_t count;
};

static void pruning_fini(struct errand *errand)
{
    struct pruning *pruning = CONTAINER_OF(errand, struct pruning, errand);
    for (size_t i = 0; i < pruning->count; i++)
        free(pruning->ids[i]);
    free(pruning->ids);
}

static void prune_answer(struct pruning *pruning)
{
    struct json_out *out = request_write(pruning->errand.request);
    json_out_object(out, NULL);
    if (pruning->count)
        json_out_array(out, "ContainersDeleted");
    else
        json_out_null(out, "ContainersDeleted");
    for (size_t i = 0; i < pruning->count; i++)
        json_out_str(out, NULL, pruning->ids[i]);
    if (pruning->count)
        json_out_end(out);
    json_out_uint(out, "SpaceReclaimed", 0);
    json_out_end(out);
    tell_pruned(pruning->errand.request, "container", 0);
    request_send(pruning->errand.request, 200);
}

static void prune_removed(void *owner, const struct err *err)
{
    struct pruning *pruning = owner;
    (void)err; // it was started or removed by somebody else meanwhile
    if (errand_back(&pruning->errand) && !pruning->errand.pending)
        prune_answer(pruning);
}

// Unix seconds or a duration back from now.
static bool until_of(const struct filters *filters, struct wall *out)
{
    for (size_t i = 0; i < filters->count; i++) {
        int64_t seconds, back;
        struct wall at;
        const char *text = filters->values[i].value;
        if (!str_equal(filters->values[i].key, "until"))
            continue;
        if (str_to_i64(text, 0, INT64_MAX / NS_PER_S, &seconds))
            out->ns = seconds * NS_PER_S;
        else if (duration_parse(text, &back, NULL) == 0)
            *out = wall_add(wall_now(), -back);
        else if (wall_parse(text, &at, NULL) == 0)
            *out = at;
        else
            return false;
    }
    return true;
}

static void prune(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    struct filters filters;
    struct err err = ERR_INIT;
    struct wall until = {INT64_MAX};
    if (!local)
        return;
    if (filters_parse(request_query(request, "filters"), prune_filters, COUNT_OF(prune_filters),
                      request_arena(request), &filters, &err)) {
        request_fail(request, 400, "%s", err.message);
        return;
    }
    if (!until_of(&filters, &until)) {
        request_fail(request, 400, "invalid until filter");
        return;
    }
    struct pruning *pruning = errand_new(request, sizeof *pruning);
    pruning->errand.fini = pruning_fini;
    pruning->ids = mem_alloc_array(CRATES_MAX, sizeof *pruning->ids);
    for (struct crate *crate = NULL; (crate = crates_next(local->crates, crate));) {
        const json_t *labels = json_object_get(crate->config, "Labels");
        if (crate->task || crate_running(crate) || crate->state == CRATE_RESTARTING ||
            crate->state == CRATE_REMOVING || crate->created.ns > until.ns ||
            !container_labels_fit(labels, &filters, "label", true) ||
            !container_labels_fit(labels, &filters, "label!", false) ||
            pruning->count >= CRATES_MAX)
            continue;
        pruning->ids[pruning->count++] = str_dup(crate->id);
        errand_await(&pruning->errand);
        crate_remove(crate, false, false, prune_removed, pruning);
    }
    if (!pruning->errand.pending)
        prune_answer(pruning);
}

static const struct endpoint rows[] = {
    {"GET", "/containers/json", list},
    {"POST", "/containers/create", create},
    {"POST", "/containers/prune", prune},
    {"GET", "/containers/{id}/json", inspect},
    {"POST", "/containers/{id}/start", start},
    {"POST", "/containers/{id}/stop", stop},
    {"POST", "/containers/{id}/restart", restart},
    {"POST", "/containers/{id}/kill", kill_it},
    {"POST", "/containers/{id}/pause", pause_it},
    {"POST", "/containers/{id}/unpause", unpause},
    {"POST", "/containers/{id}/rename", rename_it},
    {"POST", "/containers/{id}/update", update},
    {"POST", "/containers/{id}/resize", resize},
    {"DELETE", "/containers/{id}", remove_it},
};
ENDPOINTS(container_endpoints, rows);
