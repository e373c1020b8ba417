// /containers: making, changing and showing them. Their streams are in container_streams.c.
#include "agent/engine/containers.h"

#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_io.h"
#include "agent/crate/names.h"
#include "agent/engine/container_json.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand.h"
#include "agent/engine/networks.h"
#include "agent/engine/rows.h"
#include "agent/engine/shape.h"
#include "agent/image/library_io.h"
#include "agent/image/platform.h"
#include "agent/image/rootfs_io.h"
#include "agent/net/ipnet.h"
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

#define ENDPOINT_NAMES_BYTES 4096 // in a refusal
#define START_BODY_BYTES     7
#define SIGNAL_MAX           64

// ---- making ------------------------------------------------------------------------------------

// Of a wrong type or a bind that cannot be, which dockerd calls a bad request since API 1.42.
static bool is_old_complaint(const char *message)
{
    return str_starts(message, "json: ") || str_starts(message, "invalid mode: ") ||
           str_starts(message, "invalid volume specification: '");
}

static void created(void *owner, const char *id, const json_t *warnings, const struct err *err)
{
    struct errand *errand = owner;
    if (!errand_back(errand))
        return;
    if (err && err->code == ERR_INVALID_ARGUMENT && is_old_complaint(err->message)) {
        request_fail(errand->request, request_bad_status(errand->request), "%s", err->message);
        return;
    }
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

// The platform asked for is that of the image which is here; false after an answer.
static bool check_platform(struct request *request, const struct backend_local *local,
                           const json_t *body)
{
    const char *platform = str_or(request_query(request, "platform"), "");
    const char *name = str_or(json_string_value(config_member(body, "Image")), "");
    const struct image *image;
    struct platform_parts wanted;
    struct err err = ERR_INIT;
    char actual[96];
    if (!*platform || request_minor(request) < 41)
        return true;
    if (platform_parse(platform, &wanted, &err)) {
        request_fail(request, 400, "%s", err.message);
        return false;
    }
    if (library_find(images_library(local->images), name, &image, NULL) != 0)
        return true; // what is missing is said later
    const struct image_config *config = &image->config;
    str_format(actual, sizeof actual, "%.30s/%.30s%s%.30s", config->os, config->architecture,
               str_empty(config->variant) ? "" : "/", str_or(config->variant, ""));
    if (platform_serves(&wanted, config->os, config->architecture, config->variant))
        return true;
    request_fail(request, 404,
                 "image with reference %.300s was found but does not match the specified platform: "
                 "wanted %.50s, actual: %s",
                 name, platform, actual);
    return false;
}

// Before 1.44 a container is made on one network, and no option of its networks is passed over;
// false after an answer.
static bool check_endpoints(struct request *request, const json_t *body)
{
    const json_t *networking = config_member(body, "NetworkingConfig");
    const json_t *endpoints = networking ? config_member(networking, "EndpointsConfig") : NULL;
    struct buf names;
    const char *name;
    json_t *settings;
    struct ipnet ip;
    bool good = true;
    buf_init(&names, ENDPOINT_NAMES_BYTES);
    json_object_foreach((json_t *)(uintptr_t)endpoints, name, settings)
    {
        const json_t *ipam = config_member(settings, "IPAMConfig");
        const char *text =
            str_or(json_string_value(ipam ? config_member(ipam, "IPv4Address") : NULL), "");
        if (good && *text && (!ipnet_parse(text, &ip) || strchr(text, '/'))) {
            request_fail(request, 400, "invalid IPv4 address: %.100s", text);
            good = false;
        }
        good = good && endpoint_check(request, name, settings);
        buf_printf(&names, "%s%s", names.len ? ", " : "", name);
    }
    if (good && request_minor(request) < 44 && json_object_size(endpoints) > 1) {
        request_fail(request, 400, "Container cannot be connected to network endpoints: %.500s",
                     buf_cstr(&names));
        good = false;
    }
    buf_fini(&names);
    return good;
}

static void create(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    request_old_body(request);
    const json_t *body = local ? request_shaped(request, &rest_shape) : NULL;
    if (!body)
        return;
    if (!json_is_object(body) || !config_given(body)) {
        request_fail(request, 400, "Config cannot be empty in order to create a container");
        return;
    }
    if (!check_platform(request, local, body) || !check_endpoints(request, body))
        return;
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
    if (!crate)
        return;
    // As in dockerd: "{}" and "null" are let pass.
    if (request_body_bytes(request) > START_BODY_BYTES)
        request_fail(request, 400,
                     "starting container with non-empty request body was deprecated since API "
                     "v1.22 and removed in v1.24");
    else if (!str_empty(request_query(request, "checkpoint")))
        request_fail(request, 400, "checkpoint is only supported in experimental mode");
    else if (crate->state == CRATE_PAUSED)
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
        request_fail(request, request_bad_status(request),
                     "strconv.Atoi: parsing \"%.100s\": invalid syntax", text);
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
    int64_t number;
    if (!local)
        return;
    int signal = signal_of_name(text);
    struct crate *crate = crates_find(local->crates, name, &err);
    if (!crate)
        request_fail(request, 404, "Cannot kill container: %.200s: %s", name, err.message);
    else if (!signal && str_to_i64(text, SIGNAL_MAX + 1, INT32_MAX, &number))
        request_fail(request, request_bad_status(request),
                     "Cannot kill container: %.200s: The linux daemon does not support signal %s",
                     name, text);
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
                     "Error when allocating new name: Invalid container name (%.100s), only "
                     "[a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                     name);
    else if (crate_rename(crate, name, &err) && err.code == ERR_ALREADY_EXISTS)
        request_fail(request, 409, "Error when allocating new name: %s", err.message);
    else if (err.code)
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
    request_old_body(request);
    const json_t *body = request_json(request);
    struct crate *crate = body ? container_find(request) : NULL;
    if (crate)
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
    else {
        crate_tell(crate, "resize", (const char *const[]){"height", h, "width", w, NULL});
        request_empty(request, 200);
    }
}

static const struct endpoint rows[] = {
    {"POST", "/containers/create", create},        {"POST", "/containers/{id}/start", start},
    {"POST", "/containers/{id}/stop", stop},       {"POST", "/containers/{id}/restart", restart},
    {"POST", "/containers/{id}/kill", kill_it},    {"POST", "/containers/{id}/pause", pause_it},
    {"POST", "/containers/{id}/unpause", unpause}, {"POST", "/containers/{id}/rename", rename_it},
    {"POST", "/containers/{id}/update", update},   {"POST", "/containers/{id}/resize", resize},
    {"DELETE", "/containers/{id}", remove_it},
};
ENDPOINTS(container_endpoints, rows);
