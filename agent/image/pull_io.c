// Pulls as callers see them: several of the same image share one fetch.
#include <stdlib.h>
#include <string.h>

#include "agent/image/blobs_io.h"
#include "agent/image/fetch_io.h"
#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define PULL_MAGIC 0x70756c6cu
#define AUTH_BYTES 65536

// A fetch and those who wait for it.
struct shared {
    struct images *images;
    char *key;
    struct fetch *fetch;
    struct list pulls;
};

struct images_pull {
    unsigned magic;
    struct list link;
    struct images *images;
    struct shared *shared; // NULL: answered from what is here, or not started
    images_progress *progress;
    images_done *done;
    void *owner;
    char id[72]; // of a local image
    struct err err;
    struct loop_later later;
};

static void pull_end(struct images_pull *pull, const struct image *image, const struct err *err)
{
    images_done *done = pull->done;
    void *owner = pull->owner;
    pull->images->ops--;
    MAGIC_CLEAR(pull);
    free(pull);
    done(owner, image, err);
}

static void answer(struct loop_later *later)
{
    struct images_pull *pull = CONTAINER_OF(later, struct images_pull, later);
    MAGIC_CHECK(pull, PULL_MAGIC);
    struct err err = pull->err;
    const struct image *image = NULL;
    if (!err.code && !(image = library_by_id(pull->images->library, pull->id)))
        err_set(&err, ERR_NOT_FOUND, "No such image: %s", pull->id);
    pull_end(pull, image, err.code ? &err : NULL);
}

static void shared_progress(void *owner, const struct pull_progress *progress)
{
    struct shared *shared = owner;
    LIST_EACH (link, &shared->pulls) {
        struct images_pull *pull = LIST_ENTRY(link, struct images_pull, link);
        if (pull->progress)
            pull->progress(pull->owner, progress);
    }
}

static void shared_done(void *owner, const struct image *image, const struct err *err)
{
    struct shared *shared = owner;
    char id[72] = "";
    struct list pulls;
    struct list *link;
    if (image)
        str_copy(id, sizeof id, image->id);
    map_remove_str(&shared->images->fetches, shared->key);
    list_init(&pulls);
    while ((link = list_pop_front(&shared->pulls)))
        list_push_back(&pulls, link);
    struct images *images = shared->images;
    free(shared->key);
    free(shared);
    while ((link = list_pop_front(&pulls))) {
        struct images_pull *pull = LIST_ENTRY(link, struct images_pull, link);
        // Looked up anew each time: an answer before may have changed the library.
        image = *id ? library_by_id(images->library, id) : NULL;
        struct err gone = ERR_INIT;
        if (*id && !image)
            err_set(&gone, ERR_NOT_FOUND, "No such image: %s", id);
        pull_end(pull, image, err ? err : gone.code ? &gone : NULL);
    }
}

// Who asks for the same with other credentials gets a fetch of its own: one must not see what only
// the other may.
static char *key_of(const struct reference *reference, const char *platform,
                    const struct registry_auth *auth)
{
    char name[REFERENCE_TEXT_BYTES], digest[72];
    struct buf text;
    buf_init(&text, AUTH_BYTES);
    if (auth)
        buf_printf(&text, "%s\n%s\n%s", str_or(auth->username, ""), str_or(auth->password, ""),
                   str_or(auth->identity_token, ""));
    blobs_digest(text.data, text.len, digest);
    buf_wipe(&text);
    return str_printf("%s %s %s", reference_full(reference, name), str_or(platform, ""), digest);
}

void images_pull(struct images *images, const struct pull_request *request, images_done *done,
                 void *owner, struct images_pull **out)
{
    CHECK(done);
    struct images_pull *pull = MEM_NEW(struct images_pull);
    MAGIC_SET(pull, PULL_MAGIC);
    images->ops++;
    pull->images = images;
    pull->progress = request->progress;
    pull->done = done;
    pull->owner = owner;
    list_init(&pull->link);
    loop_later_init(&pull->later, images->loop, answer);
    if (out)
        *out = pull;

    const struct image *image;
    struct reference reference;
    bool here =
        !request->always && library_find(images->library, request->reference, &image, NULL) == 0;
    if (here)
        str_copy(pull->id, sizeof pull->id, image->id);
    if (here || reference_parse(request->reference, &reference, &pull->err) != 0) {
        loop_later_ask(&pull->later);
        return;
    }
    reference_default_tag(&reference);
    char *key = key_of(&reference, request->platform, request->auth);
    struct shared *shared = map_get_str(&images->fetches, key);
    if (!shared) {
        shared = MEM_NEW(struct shared);
        shared->images = images;
        shared->key = str_dup(key);
        list_init(&shared->pulls);
        map_put_str(&images->fetches, key, shared);
        struct fetch_spec spec = {
            .source = {NULL, &reference, request->auth, request->platform},
            .progress = shared_progress,
            .done = shared_done,
            .owner = shared,
        };
        shared->fetch = fetch_start(images, &spec);
    }
    free(key);
    pull->shared = shared;
    list_push_back(&shared->pulls, &pull->link);
}

void images_pull_cancel(struct images_pull *pull)
{
    MAGIC_CHECK(pull, PULL_MAGIC);
    if (!pull->shared)
        return; // its answer is on its way
    struct shared *shared = pull->shared;
    list_remove(&pull->link);
    pull->shared = NULL;
    err_set(&pull->err, ERR_CANCELLED, "pull was cancelled");
    loop_later_ask(&pull->later);
    if (!list_empty(&shared->pulls))
        return;
    // Nobody waits any more. A new pull of the same must not join what is being given up.
    map_remove_str(&shared->images->fetches, shared->key);
    fetch_cancel(shared->fetch);
}

void images_cancel_all(struct images *images)
{
    images_asks_cancel(images);
    MAP_EACH (entry, &images->fetches) {
        struct shared *shared = entry->value;
        while (!list_empty(&shared->pulls)) {
            bool last = shared->pulls.next->next == &shared->pulls;
            images_pull_cancel(LIST_ENTRY(shared->pulls.next, struct images_pull, link));
            if (last)
                break;
        }
    }
}

// ---- credentials as text ------------------------------------------------------------------------

int registry_auth_parse(const char *text, struct arena *arena, struct registry_auth *out,
                        struct err *err)
{
    memset(out, 0, sizeof *out);
    if (str_empty(text))
        return 0;
    struct buf decoded;
    buf_init(&decoded, AUTH_BYTES);
    size_t size = strlen(text);
    static const enum base64_kind kinds[] = {BASE64_URL, BASE64_STD, BASE64_URL_RAW,
                                             BASE64_STD_RAW};
    bool ok = false;
    for (size_t i = 0; i < COUNT_OF(kinds) && !ok && size < AUTH_BYTES; i++)
        ok = base64_decode(kinds[i], text, size, &decoded) && buf_ok(&decoded);
    json_t *json = ok ? json_parse(decoded.data, decoded.len, NULL) : NULL;
    buf_wipe(&decoded);
    if (!json_is_object(json)) {
        json_decref(json);
        return err_set(err, ERR_INVALID_ARGUMENT, "registry credentials are no base64 of JSON");
    }
    const struct {
        const char *key;
        const char **value;
    } rows[] = {
        {"username", &out->username},
        {"password", &out->password},
        {"identitytoken", &out->identity_token},
        {"registrytoken", &out->registry_token},
        {"serveraddress", &out->server},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *value = json_string_value(json_object_get(json, rows[i].key));
        if (!str_empty(value))
            *rows[i].value = arena_strdup(arena, value);
    }
    json_decref(json);
    return arena_overflowed(arena)
               ? err_set(err, ERR_RESOURCE_EXHAUSTED, "registry credentials are too long")
               : 0;
}
