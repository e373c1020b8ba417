// Images on their way in and out: pull, push, import, load, save. What comes and goes as an archive
// passes through a file; progress is a stream of JSON objects, and a slow reader misses steps of
// it, never its end.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/engine/bus.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand_files.h"
#include "agent/engine/shape.h"
#include "agent/engine/rows.h"
#include "agent/image/images_io.h"
#include "agent/image/instruction.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

#define AUTH_BYTES_MAX (64u << 10)
#define NAMES_MAX      257 // of images to save, and one

struct transfer {
    struct errand_files files; // first
    struct images_pull *pull;  // under way
    struct images *images;
    char name[REFERENCE_TEXT_BYTES];
    char before[72]; // the image that had the name
    struct arena arena;
    struct import_config config;
    json_t *changes; // config.config
    bool quiet;
    const char *const *names; // to save; the request's
    size_t names_count;
};

static struct transfer *transfer_of(struct errand *errand)
{
    return (struct transfer *)errand;
}

static void transfer_fini(struct errand_files *files)
{
    struct transfer *transfer = (struct transfer *)files;
    json_decref(transfer->changes);
    arena_fini(&transfer->arena);
}

static struct transfer *transfer_new(struct request *request, const struct backend_local *local,
                                     struct err *err)
{
    struct transfer *transfer = errand_new(request, sizeof *transfer);
    transfer->images = local->images;
    transfer->files.fini = transfer_fini;
    transfer->changes = json_object();
    transfer->config.config = transfer->changes;
    arena_init(&transfer->arena, 1u << 20);
    return errand_files_init(&transfer->files, local->tmp_dir, err) ? NULL : transfer;
}

// ---- the stream --------------------------------------------------------------------------------

static void send_object(struct request *request, struct buf *text)
{
    if (!request_answering(request))
        request_stream(request, 200, "application/json");
    buf_put_str(text, "\r\n");
    request_stream_write(request, text->data, text->len);
    buf_fini(text);
}

// {"status": ...}, with progress when it has any.
static void send_status(struct request *request, const struct pull_progress *progress)
{
    struct buf text;
    struct json_out out;
    buf_init(&text, 8192);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    json_out_str(&out, "status", progress->status);
    if (progress->total || progress->current) {
        json_out_object(&out, "progressDetail");
        json_out_uint(&out, "current", progress->current);
        json_out_uint(&out, "total", progress->total);
        json_out_end(&out);
    } else if (!str_empty(progress->id)) {
        json_out_object(&out, "progressDetail");
        json_out_end(&out);
    }
    if (!str_empty(progress->id))
        json_out_str(&out, "id", progress->id);
    json_out_end(&out);
    send_object(request, &text);
}

static void send_text(struct request *request, const char *key, const char *value)
{
    struct buf text;
    struct json_out out;
    buf_init(&text, 8192);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    json_out_str(&out, key, value);
    json_out_end(&out);
    send_object(request, &text);
}

// Errors before the first object are answers of their own, later ones are the last object.
static void send_error(struct request *request, const struct err *err)
{
    if (!request_answering(request)) {
        int status = err->code == ERR_NOT_FOUND           ? 404
                     : err->code == ERR_INVALID_ARGUMENT  ? 400
                     : err->code == ERR_UNIMPLEMENTED     ? 501
                     : err->code == ERR_UNAUTHENTICATED   ? 500
                     : err->code == ERR_PERMISSION_DENIED ? 404
                                                          : 500;
        request_fail(request, status, "%s", err->message);
        return;
    }
    struct buf text;
    struct json_out out;
    buf_init(&text, 8192);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    json_out_object(&out, "errorDetail");
    json_out_str(&out, "message", err->message);
    json_out_end(&out);
    json_out_str(&out, "error", err->message);
    json_out_end(&out);
    send_object(request, &text);
    request_stream_end(request);
}

static void tell(struct request *request, const char *action, const char *id, const char *name)
{
    struct bus_attribute attribute = {"name", name};
    struct bus_event event = {.type = "image",
                              .action = action,
                              .actor_id = id,
                              .at = wall_now(),
                              .attributes = &attribute,
                              .attributes_count = 1};
    bus_publish(request_bus(request), &event);
}

// ---- pull --------------------------------------------------------------------------------------

static void pull_progress(void *owner, const struct pull_progress *progress)
{
    struct transfer *transfer = owner;
    struct request *request = transfer->files.errand.request;
    if (!request)
        return;
    if (request_answering(request) && request_room(request) == 0 && progress->total)
        return; // a later step says more
    send_status(request, progress);
}

static void pull_done(void *owner, const struct image *image, const struct err *err)
{
    struct transfer *transfer = owner;
    transfer->pull = NULL;
    if (!errand_back(&transfer->files.errand))
        return;
    struct request *request = transfer->files.errand.request;
    if (err) {
        send_error(request, err);
        return;
    }
    (void)image;
    tell(request, "pull", transfer->name, transfer->name);
    if (!request_answering(request))
        request_stream(request, 200, "application/json");
    request_stream_end(request);
}

static void pull_gone(struct errand *errand)
{
    struct transfer *transfer = transfer_of(errand);
    if (transfer->pull)
        images_pull_cancel(transfer->pull);
}

static int read_auth(struct request *request, struct arena *arena, struct registry_auth *auth,
                     struct err *err)
{
    const char *text = str_or(request_header(request, "X-Registry-Auth"), "");
    *auth = (struct registry_auth){0};
    if (strlen(text) > AUTH_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "the credentials are too long");
    // Older clients send what is no JSON; dockerd then asks without.
    if (registry_auth_parse(text, arena, auth, err) == 0 || request_minor(request) >= 44)
        return err->code ? -(int)err->code : 0;
    err_clear(err);
    return 0;
}

static void pull(struct request *request, const struct backend_local *local)
{
    const char *from = request_query(request, "fromImage");
    const char *tag = str_or(request_query(request, "tag"), "");
    const char *platform = request_query(request, "platform");
    struct registry_auth auth;
    struct err err = ERR_INIT;
    struct transfer *transfer = transfer_new(request, local, &err);
    if (transfer)
        str_format(transfer->name, sizeof transfer->name,
                   !*tag              ? "%s"
                   : strchr(tag, ':') ? "%s@%s"
                                      : "%s:%s",
                   from, tag);
    struct reference reference;
    if (!transfer || reference_parse(transfer->name, &reference, &err) ||
        read_auth(request, &transfer->arena, &auth, &err)) {
        request_fail_err(request, &err);
        return;
    }
    struct pull_request wanted = {
        .reference = transfer->name,
        .auth = &auth,
        .platform = str_or(platform, NULL),
        .always = true,
        .progress = pull_progress,
    };
    transfer->files.errand.gone = pull_gone;
    errand_await(&transfer->files.errand);
    images_pull(local->images, &wanted, pull_done, transfer, &transfer->pull);
}

// ---- import ------------------------------------------------------------------------------------

static void import_done(void *owner, const struct image *image, const struct err *err)
{
    struct transfer *transfer = owner;
    if (!errand_back(&transfer->files.errand))
        return;
    struct request *request = transfer->files.errand.request;
    if (err) {
        send_error(request, err);
        return;
    }
    send_text(request, "status", image->id);
    image_tell(request, "import", image, NULL);
    if (*transfer->name)
        image_tell(request, "tag", image, transfer->name);
    request_stream_end(request);
}

static void import_uploaded(struct errand_files *files)
{
    struct transfer *transfer = (struct transfer *)files;
    errand_await(&files->errand);
    images_import(transfer->images, files->path, &transfer->config, str_or(transfer->name, NULL),
                  import_done, transfer);
}

static void import(struct request *request, const struct backend_local *local)
{
    struct err err = ERR_INIT;
    const char *repo = str_or(request_query(request, "repo"), "");
    const char *tag = str_or(request_query(request, "tag"), "");
    const char *message = request_query(request, "message");
    if (!str_equal(request_query(request, "fromSrc"), "-")) {
        request_fail(request, 501, "importing from an address is not supported: send the archive");
        return;
    }
    struct transfer *transfer = transfer_new(request, local, &err);
    struct reference reference;
    if (!transfer) {
        request_fail_err(request, &err);
        return;
    }
    str_format(transfer->name, sizeof transfer->name, *tag ? "%s:%s" : "%s", repo, tag);
    if (*transfer->name && reference_parse(transfer->name, &reference, &err)) {
        request_fail_err(request, &err);
        return;
    }
    transfer->config.comment =
        arena_strdup(&transfer->arena, str_empty(message) ? "Imported from -" : message);
    const char *change;
    bool cmd_set = false;
    for (size_t i = 0; (change = request_query_at(request, "changes", i)); i++)
        if (instruction_apply(transfer->changes, change, &cmd_set, &err)) {
            request_fail_err(request, &err);
            return;
        }
    if (errand_upload(&transfer->files, import_uploaded, &err))
        request_fail_err(request, &err);
}

// Pull and import are one route, and only one of them has a body; a pull's is thrown away.
static void create(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    if (!local)
        return;
    if (!str_empty(request_query(request, "fromImage")))
        pull(request, local);
    else if (!str_empty(request_query(request, "fromSrc")))
        import(request, local);
    else
        request_fail(request, request_bad_status(request),
                     "neither fromImage nor fromSrc is given");
}

// ---- load --------------------------------------------------------------------------------------

static void load_one(void *owner, const struct image *image, const char *tag)
{
    struct transfer *transfer = owner;
    struct request *request = transfer->files.errand.request;
    char line[REFERENCE_TEXT_BYTES + 64], text[REFERENCE_TEXT_BYTES];
    struct reference reference;
    if (!request)
        return;
    if (!tag)
        str_format(line, sizeof line, "Loaded image ID: %s\n", image->id);
    else
        str_format(line, sizeof line, "Loaded image: %s\n",
                   reference_parse(tag, &reference, NULL) == 0
                       ? reference_familiar(&reference, text)
                       : tag);
    send_text(request, "stream", line);
    image_tell(request, "load", image, NULL);
}

static void load_done(void *owner, const struct err *err)
{
    struct transfer *transfer = owner;
    if (!errand_back(&transfer->files.errand))
        return;
    struct request *request = transfer->files.errand.request;
    if (!request_answering(request))
        request_stream(request, 200, "application/json");
    if (err)
        send_error(request, err);
    else
        request_stream_end(request);
}

static void load_uploaded(struct errand_files *files)
{
    struct transfer *transfer = (struct transfer *)files;
    errand_await(&files->errand);
    images_load(transfer->images, files->path, load_one, load_done, transfer);
}

static void load(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    struct err err = ERR_INIT;
    if (!local)
        return;
    struct transfer *transfer = transfer_new(request, local, &err);
    if (!transfer || errand_upload(&transfer->files, load_uploaded, &err))
        request_fail_err(request, &err);
}

static const struct endpoint upload_rows[] = {
    {"POST", "/images/create", create},
    {"POST", "/images/load", load},
};
UPLOAD_ENDPOINTS(image_upload_endpoints, upload_rows);

// ---- save and push -----------------------------------------------------------------------------

// Once for each image, however many of its names were given.
static void tell_saved(const struct transfer *transfer)
{
    const struct library *library = images_library(transfer->images);
    const struct image *image, *other;
    for (size_t i = 0; i < transfer->names_count; i++) {
        bool told = library_find(library, transfer->names[i], &image, NULL) != 0;
        for (size_t k = 0; k < i && !told; k++)
            told = library_find(library, transfer->names[k], &other, NULL) == 0 && other == image;
        if (!told)
            image_tell(transfer->files.errand.request, "save", image, NULL);
    }
}

static void save_done(void *owner, const struct err *err)
{
    struct transfer *transfer = owner;
    if (!errand_back(&transfer->files.errand))
        return;
    if (err && err->code == ERR_NOT_FOUND)
        request_fail(transfer->files.errand.request, 404, "reference does not exist");
    else if (err)
        send_error(transfer->files.errand.request, err);
    else {
        tell_saved(transfer);
        errand_download(&transfer->files, "application/x-tar");
    }
}

// dockerd takes names one by one and with commas between them.
static size_t split_names(struct request *request, const char ***out)
{
    const char **names = arena_alloc_array(request_arena(request), NAMES_MAX, sizeof *names);
    const char *list;
    struct str_part part;
    size_t count = 0;
    for (size_t i = 0; names && (list = request_query_at(request, "names", i)); i++)
        while (count < NAMES_MAX && str_split(&list, ',', &part))
            if (part.len)
                names[count++] = arena_strndup(request_arena(request), part.at, part.len);
    *out = names;
    return count;
}

// The names live as long as the request.
static void save(struct request *request, const char *const *names, size_t count)
{
    const struct backend_local *local = errand_local(request);
    struct err err = ERR_INIT;
    if (!local)
        return;
    if (!count || count == NAMES_MAX) {
        request_fail(request, 400, "between 1 and %d names of images are to be given",
                     NAMES_MAX - 1);
        return;
    }
    struct transfer *transfer = transfer_new(request, local, &err);
    if (!transfer) {
        request_fail_err(request, &err);
        return;
    }
    transfer->names = names;
    transfer->names_count = count;
    errand_await(&transfer->files.errand);
    images_save(local->images, names, count, transfer->files.path, save_done, transfer);
}

static void save_one(struct request *request)
{
    const char **name = arena_alloc_array(request_arena(request), 1, sizeof *name);
    CHECK(name);
    *name = request_param(request, "name");
    save(request, name, 1);
}

static void save_named(struct request *request)
{
    const char **names;
    size_t count = split_names(request, &names);
    save(request, names, count);
}

// What was sent, for people and for programs.
static void send_pushed(struct request *request, const char *name, const char *digest,
                        uint64_t size)
{
    struct reference reference;
    struct buf text;
    struct json_out out;
    char line[REFERENCE_TEXT_BYTES];
    if (reference_parse(name, &reference, NULL) || str_empty(digest))
        return;
    reference_default_tag(&reference);
    str_format(line, sizeof line, "%s: digest: %s size: %" PRIu64, reference.tag, digest, size);
    send_status(request, &(struct pull_progress){.status = line});
    buf_init(&text, 1024);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    json_out_object(&out, "progressDetail");
    json_out_end(&out);
    json_out_object(&out, "aux");
    json_out_str(&out, "Tag", reference.tag);
    json_out_str(&out, "Digest", digest);
    json_out_uint(&out, "Size", size);
    json_out_end(&out);
    json_out_end(&out);
    send_object(request, &text);
}

static void push_done(void *owner, const char *digest, uint64_t size, const struct err *err)
{
    struct transfer *transfer = owner;
    if (!errand_back(&transfer->files.errand))
        return;
    struct request *request = transfer->files.errand.request;
    if (err) {
        send_error(request, err);
        return;
    }
    tell(request, "push", transfer->name, transfer->name);
    send_pushed(request, transfer->name, digest, size);
    request_stream_end(request);
}

static void push(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    const char *tag = str_or(request_query(request, "tag"), "");
    struct registry_auth auth;
    struct err err = ERR_INIT;
    if (!local)
        return;
    struct transfer *transfer = transfer_new(request, local, &err);
    if (!transfer || read_auth(request, &transfer->arena, &auth, &err)) {
        request_fail_err(request, &err);
        return;
    }
    const struct image *image;
    struct reference reference;
    if (image_target(request_param(request, "name"), tag, transfer->name, &err) ||
        reference_parse(transfer->name, &reference, &err)) {
        request_fail_err(request, &err);
        return;
    }
    char line[REFERENCE_TEXT_BYTES + 64], name[REFERENCE_TEXT_BYTES];
    str_format(line, sizeof line, "The push refers to repository [%s]",
               reference_name(&reference, name));
    send_status(request, &(struct pull_progress){.status = line});
    if (library_find(images_library(local->images), transfer->name, &image, NULL)) {
        err_set(&err, ERR_NOT_FOUND, "An image does not exist locally with the tag: %.300s",
                reference_familiar_name(&reference, name));
        send_error(request, &err);
        return;
    }
    errand_await(&transfer->files.errand);
    images_push(local->images, transfer->name, &auth, push_done, transfer);
}

// ---- login -------------------------------------------------------------------------------------

static void login_done(void *owner, const struct err *err)
{
    struct errand *errand = owner;
    if (!errand_back(errand))
        return;
    if (err) {
        request_fail(errand->request,
                     err->code == ERR_UNAUTHENTICATED    ? 401
                     : err->code == ERR_INVALID_ARGUMENT ? 400
                     : err->code == ERR_UNIMPLEMENTED    ? 501
                                                         : 500,
                     "%s", err->message);
        return;
    }
    struct json_out *out = request_write(errand->request);
    json_out_object(out, NULL);
    json_out_str(out, "Status", "Login Succeeded");
    json_out_str(out, "IdentityToken", "");
    json_out_end(out);
    request_send(errand->request, 200);
}

static const struct shape_row login_rows[] = {
    {"username", SHAPE_TEXT, NULL},      {"password", SHAPE_TEXT, NULL},
    {"identitytoken", SHAPE_TEXT, NULL}, {"registrytoken", SHAPE_TEXT, NULL},
    {"serveraddress", SHAPE_TEXT, NULL}, {"email", SHAPE_TEXT, NULL},
};
static SHAPE(login_shape, "types.AuthConfig", login_rows);

static void login(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    const json_t *body = local ? request_shaped(request, &login_shape) : NULL;
    if (!body)
        return;
    struct registry_auth auth = {
        .username = config_str(body, "username"),
        .password = config_str(body, "password"),
        .identity_token = config_str(body, "identitytoken"),
        .registry_token = config_str(body, "registrytoken"),
        .server = config_str(body, "serveraddress"),
    };
    struct errand *errand = errand_new(request, sizeof *errand);
    errand_await(errand);
    images_login(local->images, &auth, login_done, errand);
}

static const struct endpoint rows[] = {
    {"GET", "/images/get", save_named},
    {"GET", "/images/{name...}/get", save_one},
    {"POST", "/images/{name...}/push", push},
    {"POST", "/auth", login},
};
ENDPOINTS(image_transfer_endpoints, rows);
