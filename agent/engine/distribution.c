// What a registry has under a name, asked on behalf of a client: before it makes a service, docker
// asks for the digest to pin and the platforms to be bound to, and goes on without either.
#include <string.h>

#include "agent/engine/engine.h"
#include "agent/engine/errand.h"
#include "agent/engine/rows.h"
#include "agent/image/images_io.h"
#include "agent/image/offer.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define PATH_END "/json"

struct question {
    struct errand errand; // first
    struct images_ask *ask;
};

static void write_platform(struct json_out *out, const struct offer_platform *platform)
{
    json_out_object(out, NULL);
    json_out_str(out, "architecture", platform->architecture);
    json_out_str(out, "os", platform->os);
    if (*platform->os_version)
        json_out_str(out, "os.version", platform->os_version);
    if (platform->os_features_count) {
        json_out_array(out, "os.features");
        for (size_t i = 0; i < platform->os_features_count; i++)
            json_out_str(out, NULL, platform->os_features[i]);
        json_out_end(out);
    }
    if (*platform->variant)
        json_out_str(out, "variant", platform->variant);
    json_out_end(out);
}

static void write_offer(struct json_out *out, const struct offer *offer)
{
    json_out_object(out, NULL);
    json_out_object(out, "Descriptor");
    json_out_str(out, "mediaType", offer->descriptor.media_type);
    json_out_str(out, "digest", offer->descriptor.digest);
    json_out_uint(out, "size", offer->descriptor.size);
    json_out_end(out);
    if (offer->platforms_count) {
        json_out_array(out, "Platforms");
        for (size_t i = 0; i < offer->platforms_count; i++)
            write_platform(out, &offer->platforms[i]);
        json_out_end(out);
    } else {
        json_out_null(out, "Platforms");
    }
    json_out_end(out);
}

// As dockerd: the registry's own status where it gave one.
static int status_of(const struct err *err)
{
    return err->code == ERR_UNAUTHENTICATED     ? 401
           : err->code == ERR_PERMISSION_DENIED ? 403
           : err->code == ERR_NOT_FOUND         ? 404
                                                : 500;
}

static void answered(void *owner, const struct offer *offer, const struct err *err)
{
    struct question *question = owner;
    question->ask = NULL;
    if (!errand_back(&question->errand))
        return;
    struct request *request = question->errand.request;
    if (err) {
        request_fail(request, status_of(err), "%s", err->message);
        return;
    }
    write_offer(request_write(request), offer);
    request_send(request, 200);
}

static void asker_gone(struct errand *errand)
{
    struct question *question = (struct question *)errand;
    if (question->ask)
        images_ask_cancel(question->ask);
}

// The name in the path: it has slashes of its own, and the path goes on behind it.
static const char *name_of(struct request *request)
{
    const char *rest = request_param(request, "rest");
    size_t length = strlen(rest), tail = strlen(PATH_END);
    if (length <= tail || strcmp(rest + length - tail, PATH_END) != 0)
        return NULL;
    return arena_strndup(request_arena(request), rest, length - tail);
}

static void inspect(struct request *request)
{
    const char *name = name_of(request);
    struct reference reference;
    struct registry_auth auth;
    struct err err = ERR_INIT;
    if (!name) {
        request_fail(request, 404, "page not found");
        return;
    }
    if (strlen(name) == 64 && image_id_like(name)) {
        request_fail(request, 500, "no manifest found for full image ID");
        return;
    }
    if (reference_parse(name, &reference, &err)) {
        request_fail_err(request, &err);
        return;
    }
    const struct backend_local *local = errand_local(request);
    if (!local)
        return;
    // What cannot be read is as good as none: older clients send such.
    if (registry_auth_parse(str_or(request_header(request, "X-Registry-Auth"), ""),
                            request_arena(request), &auth, NULL))
        auth = (struct registry_auth){0};
    struct question *question = errand_new(request, sizeof *question);
    question->errand.gone = asker_gone;
    errand_await(&question->errand);
    images_ask(local->images, &reference, &auth, answered, question, &question->ask);
}

static const struct endpoint rows[] = {
    {"GET", "/distribution/{rest...}", inspect},
};
ENDPOINTS(distribution_endpoints, rows);
