// /swarm
#include "agent/engine/swarm.h"

#include <string.h>

#include "agent/crate/config.h"
#include "agent/engine/engine.h"
#include "agent/engine/noun.h"
#include "agent/engine/objects.h"
#include "agent/engine/parts.h"
#include "agent/engine/shape.h"
#include "agent/engine/swarm_check.h"
#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"
#include "proto/identity/x509.h"
#include "proto/wire/ca.pb-c.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/defaults.h"
#include "proto/wire/skep.pb-c.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

#define GET_UNLOCK_KEY      "/docker.swarmkit.v1.CA/GetUnlockKey"
#define ROTATE_NETWORK_KEYS "/skep.NetworkKeys/RotateNetworkKeys"
#define DATA_PATH_PORT      4789 // where the cluster does not say
#define ROOT_PEM_BYTES      (64 * 1024)

// ---- showing -----------------------------------------------------------------------------------

static void write_base64(const char *key, const struct buf *bytes, struct json_out *out)
{
    struct buf text;
    buf_init(&text, base64_length(BASE64_STD, bytes->len) + 1);
    base64_encode(BASE64_STD, bytes->data, bytes->len, &text);
    json_out_strn(out, key, (const char *)text.data, text.len);
    buf_fini(&text);
}

// The root, and what identifies its key: `node ls` compares them with what each node reports.
static void write_tls_info(const Swarm__RootCA *root, struct json_out *out)
{
    json_out_object(out, "TLSInfo");
    if (root && root->ca_cert.len > 0 && root->ca_cert.len < ROOT_PEM_BYTES) {
        struct buf pem;
        struct x509_issuer issuer;
        buf_init(&pem, ROOT_PEM_BYTES + 1);
        buf_put(&pem, root->ca_cert.data, root->ca_cert.len);
        json_out_str(out, "TrustRoot", buf_cstr(&pem));
        // A root is its own issuer.
        if (x509_issuer(buf_cstr(&pem), buf_cstr(&pem), &issuer, NULL) == 0) {
            write_base64("CertIssuerSubject", &issuer.subject, out);
            write_base64("CertIssuerPublicKey", &issuer.public_key, out);
            x509_issuer_fini(&issuer);
        }
        buf_fini(&pem);
    }
    json_out_end(out);
}

void cluster_write(const void *object, bool tokens, bool pools_empty, struct json_out *out)
{
    const Swarm__Cluster *cluster = object;
    const Swarm__RootCA *root = cluster->root_ca;
    fields_write(&cluster_fields, cluster, out);
    write_tls_info(root, out);
    json_out_bool(out, "RootRotationInProgress", root && root->root_rotation);
    if (cluster->n_defaultaddresspool == 0 || pools_empty) {
        json_out_null(out, "DefaultAddrPool");
    } else {
        json_out_array(out, "DefaultAddrPool");
        for (size_t i = 0; i < cluster->n_defaultaddresspool; i++)
            json_out_str(out, NULL, cluster->defaultaddresspool[i]);
        json_out_end(out);
    }
    json_out_uint(out, "SubnetSize", cluster->subnetsize);
    json_out_uint(out, "DataPathPort",
                  cluster->vxlanudpport ? cluster->vxlanudpport : DATA_PATH_PORT);
    if (!tokens)
        return;
    json_out_object(out, "JoinTokens");
    json_out_str(out, "Worker", root && root->join_tokens ? root->join_tokens->worker : "");
    json_out_str(out, "Manager", root && root->join_tokens ? root->join_tokens->manager : "");
    json_out_end(out);
}

static void show(struct request *request, const void *response)
{
    size_t count;
    void *const *clusters = noun_objects(response, &count);
    if (count == 0) {
        request_fail(request, 404, "swarm not found");
        return;
    }
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    cluster_write(clusters[0], true, request_pools_empty(request), out);
    json_out_end(out);
    request_send(request, 200);
}

static void inspect(struct request *request)
{
    if (request_needs_manager(request))
        request_call(request, CONTROL("ListClusters"),
                     request_message(request, CONTROL("ListClusters")), show, NULL);
}

// ---- updating ----------------------------------------------------------------------------------

static void keys_renewed(struct request *request, const void *response)
{
    (void)response;
    request_empty(request, 200);
}

static void keys_not_renewed(struct request *request, const struct err *err)
{
    if (err->code == ERR_UNIMPLEMENTED)
        request_fail(request, 501,
                     "network keys are not renewed: the leader of this swarm is a Docker engine, "
                     "which renews them by itself, every 12 hours, and not when asked");
    else
        request_fail_err(request, err);
}

// Docker's API has no such thing, nor have its managers: a flag and a service of our own.
static bool wants_network_keys(struct request *request, bool *wanted)
{
    return request_strict_flag(request, "rotateNetworkKeys", wanted);
}

static void updated(struct request *request, const void *response)
{
    (void)response;
    const Swarm__UpdateClusterRequest *asked = request_kept(request);
    bool network_keys;
    if (!wants_network_keys(request, &network_keys))
        return;
    if (!network_keys) {
        request_empty(request, 200);
        return;
    }
    Skep__RotateNetworkKeysRequest *message = request_message(request, ROTATE_NETWORK_KEYS);
    message->cluster_id = asked->cluster_id;
    request_call(request, ROTATE_NETWORK_KEYS, message, keys_renewed, keys_not_renewed);
}

// The body is a whole spec; what it leaves out falls back to the present one's, as in dockerd.
static void update_found(struct request *request, const void *response)
{
    struct err err = ERR_INIT;
    struct arena *arena = request_arena(request);
    Swarm__UpdateClusterRequest *message = request_kept(request);
    size_t count;
    void *const *clusters = noun_objects(response, &count);
    if (count == 0) {
        request_fail(request, 404, "swarm not found");
        return;
    }
    const Swarm__Cluster *cluster = clusters[0];
    message->cluster_id = str_or(arena_strdup(arena, cluster->id), "");
    const json_t *json = request_json(request);
    if (!json)
        return;
    message->spec = swarm_spec_read(json, cluster->spec, arena, &err);
    if (!message->spec)
        request_fail_err(request, &err);
    else if (!str_equal(message->spec->annotations->name, "default"))
        request_fail(request, 400, "swarm spec must be named \"default\"");
    else
        request_call(request, CONTROL("UpdateCluster"), message, updated, NULL);
}

static void update(struct request *request)
{
    struct arena *arena = request_arena(request);
    uint64_t index;
    // Read again once the swarm's own settings are known, which stand where the body has none.
    Swarm__ClusterSpec *spec = wire_new(&swarm__cluster_spec__descriptor, arena);
    CHECK(spec);
    if (!request_read(request, &cluster_spec_fields, spec, "swarm", &index))
        return;
    Swarm__UpdateClusterRequest *message = request_message(request, CONTROL("UpdateCluster"));
    Swarm__KeyRotation *rotation = wire_new(&swarm__key_rotation__descriptor, arena);
    bool worker, manager, unlock_key, network_keys;
    if (!request_strict_flag(request, "rotateWorkerToken", &worker) ||
        !request_strict_flag(request, "rotateManagerToken", &manager) ||
        !request_strict_flag(request, "rotateManagerUnlockKey", &unlock_key) ||
        !wants_network_keys(request, &network_keys))
        return;
    rotation->worker_join_token = worker;
    rotation->manager_join_token = manager;
    rotation->manager_unlock_key = unlock_key;
    message->rotation = rotation;
    message->cluster_version = wire_new(&swarm__version__descriptor, arena);
    message->cluster_version->index = index;
    request_keep(request, message);
    request_call(request, CONTROL("ListClusters"),
                 request_message(request, CONTROL("ListClusters")), update_found, NULL);
}

// ---- the unlock key ----------------------------------------------------------------------------

static void show_key(struct request *request, const void *response)
{
    const Swarm__GetUnlockKeyResponse *key = response;
    struct buf text;
    buf_init(&text, 256);
    if (key->unlock_key.len > 0) {
        buf_put_str(&text, "SWMKEY-1-");
        base64_encode(BASE64_STD_RAW, key->unlock_key.data, key->unlock_key.len, &text);
    }
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    json_out_str(out, "UnlockKey", buf_cstr(&text));
    json_out_end(out);
    buf_wipe(&text);
    request_send(request, 200);
}

static void unlock_key(struct request *request)
{
    if (request_needs_manager(request))
        request_call(request, GET_UNLOCK_KEY, request_message(request, GET_UNLOCK_KEY), show_key,
                     NULL);
}

// ---- init, join, leave, unlock: the node's own business ----------------------------------------

static void done_with_text(struct request *request, const char *text)
{
    struct json_out *out = request_write(request);
    json_out_str(out, NULL, text);
    request_send(request, 200);
}

static void founded(struct request *request, const char *text)
{
    const json_t *body = request_json(request), *pools = fields_member(body, "DefaultAddrPool");
    request_set_pools_empty(request, json_is_array(pools) && json_array_size(pools) == 0 &&
                                         !json_is_true(fields_member(body, "ForceNewCluster")));
    done_with_text(request, text);
}

static void done_empty(struct request *request, const char *text)
{
    (void)text;
    request_empty(request, 200);
}

static const struct shape_row init_rows[] = {
    {"ListenAddr", SHAPE_TEXT, NULL},       {"AdvertiseAddr", SHAPE_TEXT, NULL},
    {"DataPathAddr", SHAPE_TEXT, NULL},     {"DataPathPort", SHAPE_NUMBER, NULL},
    {"DefaultAddrPool", SHAPE_TEXTS, NULL}, {"SubnetSize", SHAPE_NUMBER, NULL},
    {"ForceNewCluster", SHAPE_FLAG, NULL},  {"AutoLockManagers", SHAPE_FLAG, NULL},
    {"Availability", SHAPE_TEXT, NULL},     {"Spec", SHAPE_OBJECT, NULL},
};
static SHAPE(init_shape, "swarm.InitRequest", init_rows);

static const struct shape_row join_rows[] = {
    {"ListenAddr", SHAPE_TEXT, NULL},   {"AdvertiseAddr", SHAPE_TEXT, NULL},
    {"DataPathAddr", SHAPE_TEXT, NULL}, {"RemoteAddrs", SHAPE_TEXTS, NULL},
    {"JoinToken", SHAPE_TEXT, NULL},    {"Availability", SHAPE_TEXT, NULL},
};
static SHAPE(join_shape, "swarm.JoinRequest", join_rows);

static const struct shape_row unlock_rows[] = {
    {"UnlockKey", SHAPE_TEXT, NULL},
};
static SHAPE(unlock_shape, "swarm.UnlockRequest", unlock_rows);

// Members of a body that has its shape.
static const char *text_of(const json_t *json, const char *name)
{
    return str_or(json_string_value(fields_member(json, name)), "");
}

static uint32_t number_of(const json_t *json, const char *name)
{
    return (uint32_t)json_integer_value(fields_member(json, name));
}

static const char *const *texts_of(struct request *request, const json_t *json, const char *name,
                                   size_t *count)
{
    const json_t *value = fields_member(json, name);
    const char **texts =
        arena_alloc_array(request_arena(request), json_array_size(value), sizeof *texts);
    *count = texts ? json_array_size(value) : 0;
    for (size_t i = 0; i < *count; i++)
        texts[i] = str_or(json_string_value(json_array_get(value, i)), "");
    return texts;
}

// False after answering: the standing does not allow it, or the node cannot do it.
static bool may_enter(struct request *request, bool able)
{
    void *ctx;
    const struct backend *backend = request_backend(request, &ctx);
    struct backend_swarm swarm = {0};
    backend->swarm(ctx, &swarm);
    if (swarm.standing != STANDING_INACTIVE && swarm.standing != STANDING_ERROR)
        request_fail(request, 503,
                     "This node is already part of a swarm. Use \"docker swarm leave\" to leave "
                     "this swarm and join another one.");
    else if (!able)
        request_fail(request, 501, "this node is not set up to take part in swarms");
    else
        return true;
    return false;
}

// False after an answer: no address is taken for granted.
static bool listens(struct request *request, const char *address)
{
    if (str_empty(address))
        request_fail(request, 400, "invalid ListenAddr \"\": invalid empty address");
    return !str_empty(address);
}

static void init(struct request *request)
{
    void *ctx, *owner;
    const struct backend *backend = request_backend(request, &ctx);
    struct backend_init it = {0};
    struct err err = ERR_INIT;
    const json_t *json = request_shaped(request, &init_shape);
    if (!json)
        return;
    it.listen_addr = text_of(json, "ListenAddr");
    it.advertise_addr = text_of(json, "AdvertiseAddr");
    it.data_path_addr = text_of(json, "DataPathAddr");
    it.availability = text_of(json, "Availability");
    it.data_path_port = number_of(json, "DataPathPort");
    it.subnet_size = number_of(json, "SubnetSize");
    it.address_pools = texts_of(request, json, "DefaultAddrPool", &it.address_pools_count);
    it.force_new_cluster = json_is_true(fields_member(json, "ForceNewCluster"));
    it.auto_lock = json_is_true(fields_member(json, "AutoLockManagers"));
    const json_t *spec = fields_member(json, "Spec");
    json_t *none = json_object();
    Swarm__ClusterSpec *defaults = defaults_new_cluster_spec(request_arena(request));
    CHECK(defaults);
    Swarm__ClusterSpec *settings =
        swarm_spec_read(spec ? spec : none, defaults, request_arena(request), &err);
    json_decref(none);
    if (!settings) {
        request_fail_err(request, &err);
        return;
    }
    it.spec = settings;
    if (!it.force_new_cluster && !may_enter(request, backend->init != NULL))
        return;
    if (!listens(request, it.listen_addr))
        return;
    if (!backend->init) {
        request_fail(request, 501, "this node is not set up to take part in swarms");
        return;
    }
    if (swarm_check_pools(&it, &err)) {
        request_fail(request, request_bad_status(request), "%s", err.message);
        return;
    }
    // Looked at before anything is founded: stock founds a swarm first, and then complains.
    if (duration_to_ns(settings->ca_config->node_cert_expiry, 0) < CERT_EXPIRY_NS_MIN) {
        request_fail(request, request_bad_status(request),
                     "error updating cluster settings: rpc error: code = InvalidArgument desc = "
                     "minimum certificate expiry time is: 1h0m0s");
        return;
    }
    backend_done *done = request_backend_done(request, founded, &owner);
    backend->init(ctx, &it, done, owner);
}

static void join(struct request *request)
{
    void *ctx, *owner;
    const struct backend *backend = request_backend(request, &ctx);
    struct backend_join it = {0};
    const json_t *json = request_shaped(request, &join_shape);
    if (!json)
        return;
    it.listen_addr = text_of(json, "ListenAddr");
    it.advertise_addr = text_of(json, "AdvertiseAddr");
    it.data_path_addr = text_of(json, "DataPathAddr");
    it.token = text_of(json, "JoinToken");
    it.availability = text_of(json, "Availability");
    it.remotes = texts_of(request, json, "RemoteAddrs", &it.remotes_count);
    if (!may_enter(request, backend->join != NULL) || !listens(request, it.listen_addr))
        return;
    if (str_empty(it.token)) {
        request_fail(request, 400,
                     "rpc error: code = InvalidArgument desc = A valid join token is necessary to "
                     "join this cluster");
        return;
    }
    request_set_pools_empty(request, false);
    backend_done *done = request_backend_done(request, done_empty, &owner);
    backend->join(ctx, &it, done, owner);
}

// That a manager must not go without force is 503, as everything about a node's place in a swarm.
static void not_left(struct request *request, const struct err *err)
{
    if (err->code == ERR_FAILED_PRECONDITION)
        request_fail(request, 503, "%s", err->message);
    else
        request_fail_err(request, err);
}

static void leave(struct request *request)
{
    void *ctx, *owner;
    const struct backend *backend = request_backend(request, &ctx);
    struct backend_swarm swarm = {0};
    backend->swarm(ctx, &swarm);
    if (swarm.standing == STANDING_INACTIVE) {
        request_fail(request, 503, "This node is not part of a swarm");
        return;
    }
    if (!backend->leave) {
        request_fail(request, 501, "this node is not set up to take part in swarms");
        return;
    }
    backend_done *done = request_backend_done_or(request, done_empty, not_left, &owner);
    backend->leave(ctx, request_flag(request, "force"), done, owner);
}

static void unlock(struct request *request)
{
    void *ctx, *owner;
    const struct backend *backend = request_backend(request, &ctx);
    struct backend_swarm swarm = {0};
    const json_t *json = request_shaped(request, &unlock_shape);
    if (!json)
        return;
    const char *key = text_of(json, "UnlockKey");
    backend->swarm(ctx, &swarm);
    if (swarm.standing != STANDING_LOCKED) {
        if (request_needs_manager(request))
            request_fail(request, 409, "swarm is not locked");
        return;
    }
    if (!str_starts(key, "SWMKEY-1-")) {
        request_fail(request, 400, "invalid key string");
        return;
    }
    if (!backend->unlock) {
        request_fail(request, 501, "this node is not set up to take part in swarms");
        return;
    }
    backend_done *done = request_backend_done(request, done_empty, &owner);
    backend->unlock(ctx, key, done, owner);
}

static const struct endpoint rows[] = {
    {"GET", "/swarm", inspect},
    {"POST", "/swarm/update", update},
    {"GET", "/swarm/unlockkey", unlock_key},
};
SWARM_ENDPOINTS(swarm_endpoints, rows);

static const struct endpoint standing_rows[] = {
    {"POST", "/swarm/init", init},
    {"POST", "/swarm/join", join},
    {"POST", "/swarm/leave", leave},
    {"POST", "/swarm/unlock", unlock},
};
ENDPOINTS(standing_endpoints, standing_rows);
