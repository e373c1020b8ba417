#include "manager/ca/settle.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/key.h"
#include "proto/identity/pem.h"
#include "proto/identity/rootca.h"
#include "proto/identity/x509.h"
#include "proto/wire/wire.h"

#define PEM_BYTES 65536

static const char *text_of(ProtobufCBinaryData data, struct arena *arena)
{
    const char *text = arena_strndup(arena, data.len > 0 ? (const char *)data.data : "", data.len);
    CHECK(text);
    return text;
}

static ProtobufCBinaryData keep(const char *text, struct arena *arena)
{
    ProtobufCBinaryData data = {.len = strlen(text)};
    if (data.len > 0) {
        data.data = arena_memdup(arena, text, data.len);
        CHECK(data.data);
    }
    return data;
}

// ---- what is asked for -------------------------------------------------------------------------

static size_t count_blocks(const char *pem)
{
    struct cursor text = cursor_of(pem, strlen(pem));
    struct pem_block block;
    size_t count = 0;
    while (pem_next(&text, &block, NULL) == 0) {
        pem_block_fini(&block);
        count++;
    }
    return count;
}

static int check_pair(const char *root_pem, const char *key_pem, struct err *err)
{
    struct signer *signer = signer_new(root_pem, key_pem, NULL, err);
    if (!signer)
        return -(int)err->code;
    signer_free(signer);
    return 0;
}

static int check_root(const char *root_pem, const char *key_pem, struct wall now, struct err *err)
{
    if (count_blocks(root_pem) != 1)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the desired CA certificate cannot contain multiple certificates");
    if (rootca_check(root_pem, now, err))
        return -(int)err->code;
    if (rootca_check(root_pem, wall_add(now, SETTLE_VALID_NS), NULL))
        return err_set(err, ERR_INVALID_ARGUMENT, "CA certificate expires too soon");
    return str_empty(key_pem) ? 0 : check_pair(root_pem, key_pem, err);
}

static bool same_key(const char *root_pem, const char *other_pem)
{
    return x509_check_crossed(root_pem, other_pem, NULL) == 0;
}

static void add_need(struct settle_plan *plan, const Swarm__Cluster *cluster, const char *what,
                     ProtobufCBinaryData root, struct arena *arena)
{
    CHECK(plan->needs_count < SETTLE_NEEDS_MAX);
    struct settle_need *need = &plan->needs[plan->needs_count++];
    need->what = what;
    need->root_pem = text_of(root, arena);
    need->urls_count = external_urls(cluster, root, need->urls);
}

static int plan_rotation(const Swarm__Cluster *cluster, struct settle_plan *plan, struct err *err)
{
    plan->turn = SETTLE_ROTATE;
    if (cluster->root_ca->ca_key.len > 0)
        return 0;
    if (str_empty(plan->key_pem))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "rotating from one external CA to a different external CA is not supported");
    plan->crossed_outside = true;
    return 0;
}

// No root is named: a fresh one, or none.
static int plan_unnamed(const Swarm__Cluster *cluster, const struct rng *rng, struct wall now,
                        struct arena *arena, struct settle_plan *plan, struct err *err)
{
    const Swarm__RootCA *ca = cluster->root_ca;
    const Swarm__RootRotation *rotation = ca->root_rotation;
    if (cluster->spec->ca_config->force_rotate == ca->last_forced_rotation) {
        if (rotation && rotation->ca_key.len == 0)
            add_need(plan, cluster, "next", rotation->ca_cert, arena);
        return 0;
    }
    struct buf cert;
    struct buf key;
    buf_init(&cert, PEM_BYTES);
    buf_init(&key, PEM_BYTES);
    rootca_make(rng, now, &cert, &key);
    plan->root_pem = arena_strdup(arena, buf_cstr(&cert));
    plan->key_pem = arena_strdup(arena, buf_cstr(&key));
    buf_fini(&cert);
    buf_wipe(&key);
    CHECK(plan->root_pem && plan->key_pem);
    return plan_rotation(cluster, plan, err);
}

static int plan_named(const Swarm__Cluster *cluster, struct wall now, struct arena *arena,
                      struct settle_plan *plan, struct err *err)
{
    const Swarm__RootCA *ca = cluster->root_ca;
    const Swarm__RootRotation *rotation = ca->root_rotation;
    ProtobufCBinaryData wanted = cluster->spec->ca_config->signing_ca_cert;
    if (check_root(plan->root_pem, plan->key_pem, now, err))
        return -(int)err->code;
    if (str_empty(plan->key_pem))
        add_need(plan, cluster, "desired", wanted, arena);
    if (external_same_certs(ca->ca_cert, wanted)) {
        plan->turn = SETTLE_KEY;
        return 0;
    }
    // Go builds no chain of two certificates with one key.
    if (same_key(plan->root_pem, text_of(ca->ca_cert, arena)))
        return err_set(err, ERR_INVALID_ARGUMENT, "Cannot update to a cert with an identical key");
    if (rotation && external_same_certs(rotation->ca_cert, wanted)) {
        plan->turn = SETTLE_NEXT_KEY;
        return 0;
    }
    return plan_rotation(cluster, plan, err);
}

int settle_plan(const Swarm__Cluster *cluster, const struct rng *rng, struct wall now,
                struct arena *arena, struct settle_plan *plan, struct err *err)
{
    const Swarm__RootCA *ca = cluster->root_ca;
    const Swarm__CAConfig *config = cluster->spec->ca_config;
    *plan = (struct settle_plan){.turn = SETTLE_STAYS, .key_pem = ""};
    if (!config)
        return 0;
    if (external_check(config, err))
        return -(int)err->code;
    if (config->signing_ca_key.len > 0 && config->signing_ca_cert.len == 0)
        return err_set(
            err, ERR_INVALID_ARGUMENT,
            "if a signing CA key is provided, the signing CA cert must also be provided");
    plan->root_pem = text_of(config->signing_ca_cert, arena);
    plan->key_pem = text_of(config->signing_ca_key, arena);
    if (ca->ca_key.len == 0) {
        // With the key at last, nobody outside is needed any more.
        if (!str_empty(plan->key_pem) &&
            external_same_certs(ca->ca_cert, config->signing_ca_cert)) {
            plan->turn = SETTLE_KEY;
            return check_pair(plan->root_pem, plan->key_pem, err);
        }
        add_need(plan, cluster, "current", ca->ca_cert, arena);
    }
    return str_empty(plan->root_pem) ? plan_unnamed(cluster, rng, now, arena, plan, err)
                                     : plan_named(cluster, now, arena, plan, err);
}

// ---- carrying it out ---------------------------------------------------------------------------

static int cross_sign(const Swarm__RootCA *ca, const char *root_pem, const struct rng *rng,
                      struct arena *arena, ProtobufCBinaryData *out, struct err *err)
{
    struct buf crossed;
    struct signer *signer =
        signer_new(text_of(ca->ca_cert, arena), text_of(ca->ca_key, arena), NULL, err);
    if (!signer)
        return -(int)err->code;
    buf_init(&crossed, PEM_BYTES);
    int result = signer_cross_sign(signer, root_pem, rng, &crossed, err);
    if (result == 0)
        *out = keep(buf_cstr(&crossed), arena);
    buf_fini(&crossed);
    signer_free(signer);
    return result;
}

static int begin(Swarm__RootCA *ca, const struct settle_plan *plan, const char *crossed_pem,
                 const struct rng *rng, struct arena *arena, struct err *err)
{
    ProtobufCBinaryData crossed;
    CHECK((crossed_pem != NULL) == plan->crossed_outside);
    if (crossed_pem)
        crossed = keep(crossed_pem, arena);
    else if (cross_sign(ca, plan->root_pem, rng, arena, &crossed, err))
        return -(int)err->code;
    Swarm__RootRotation *rotation = wire_new(&swarm__root_rotation__descriptor, arena);
    CHECK(rotation);
    rotation->ca_cert = keep(plan->root_pem, arena);
    rotation->ca_key = keep(plan->key_pem, arena);
    rotation->cross_signed_ca_cert = crossed;
    ca->root_rotation = rotation;
    return 0;
}

int settle_apply(Swarm__Cluster *cluster, const struct settle_plan *plan, const char *crossed_pem,
                 const struct rng *rng, struct arena *arena, struct err *err)
{
    Swarm__RootCA *ca = cluster->root_ca;
    int result = 0;
    switch (plan->turn) {
    case SETTLE_STAYS:
        return 0;
    case SETTLE_KEY:
        ca->ca_key = keep(plan->key_pem, arena);
        ca->root_rotation = NULL;
        break;
    case SETTLE_NEXT_KEY:
        ca->root_rotation->ca_key = keep(plan->key_pem, arena);
        break;
    case SETTLE_ROTATE:
        result = begin(ca, plan, crossed_pem, rng, arena, err);
        break;
    }
    if (result == 0)
        ca->last_forced_rotation = cluster->spec->ca_config->force_rotate;
    return result;
}
