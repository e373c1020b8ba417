#include "cmd/skepd/charge.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/json.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

static const char *const births[] = {
    [MANAGER_RESTART] = "restart",
    [MANAGER_FOUND] = "found",
    [MANAGER_JOIN] = "join",
    [MANAGER_FORCE] = "force",
};

static void wipe_text(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void charge_fini(struct charge *charge)
{
    free(charge->advertise);
    free(charge->chain_pem);
    wipe_text(charge->key_pem);
    free(charge->roots_pem);
    wire_free(charge->first_cluster);
    for (size_t i = 0; i < charge->joins_count; i++)
        free(charge->joins[i]);
    explicit_bzero(charge, sizeof *charge);
}

void charge_set_credentials(struct charge *charge, const struct credentials *credentials)
{
    free(charge->chain_pem);
    wipe_text(charge->key_pem);
    free(charge->roots_pem);
    charge->chain_pem = str_dup(credentials->chain_pem);
    charge->key_pem = str_dup(credentials->key_pem);
    charge->roots_pem = str_dup(credentials->roots_pem);
}

void charge_fill(struct charge *charge, enum manager_birth birth, const char *advertise,
                 const struct credentials *credentials, const struct data_key *key)
{
    CHECK(key->bytes_count == SEAL_KEY_BYTES);
    charge_fini(charge);
    charge->birth = birth;
    charge->advertise = str_dup(advertise);
    memcpy(charge->key.bytes, key->bytes, SEAL_KEY_BYTES);
    charge_set_credentials(charge, credentials);
}

void charge_set_keys(struct charge *charge, const struct data_key *key, const struct data_key *next)
{
    CHECK(key->bytes_count == SEAL_KEY_BYTES);
    charge->has_previous_key = next->bytes_count == SEAL_KEY_BYTES;
    memcpy(charge->key.bytes, charge->has_previous_key ? next->bytes : key->bytes, SEAL_KEY_BYTES);
    explicit_bzero(&charge->previous_key, sizeof charge->previous_key);
    if (charge->has_previous_key)
        memcpy(charge->previous_key.bytes, key->bytes, SEAL_KEY_BYTES);
}

// ---- writing ------------------------------------------------------------------------------------

static void put_bytes(struct json_out *out, const char *key, const void *bytes, size_t size)
{
    struct buf text;
    buf_init(&text, base64_length(BASE64_STD, size) + 1);
    base64_encode(BASE64_STD, bytes, size, &text);
    json_out_strn(out, key, (const char *)text.data, text.len);
    buf_wipe(&text);
}

int charge_check_cluster(const Swarm__Cluster *cluster, struct err *err)
{
    struct buf packed;
    buf_init(&packed, CHARGE_CLUSTER_BYTES_MAX);
    int result = wire_pack(cluster, &packed, NULL);
    buf_wipe(&packed);
    return result ? err_set(err, ERR_INVALID_ARGUMENT,
                            "the settings of the swarm are too large to found it with: at most "
                            "%zu bytes; larger ones can be set afterwards",
                            CHARGE_CLUSTER_BYTES_MAX)
                  : 0;
}

void charge_pack(const struct charge *charge, struct buf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_object(&json, NULL);
    json_out_str(&json, "birth", births[charge->birth]);
    put_bytes(&json, "key", charge->key.bytes, sizeof charge->key.bytes);
    if (charge->has_previous_key)
        put_bytes(&json, "previous_key", charge->previous_key.bytes,
                  sizeof charge->previous_key.bytes);
    json_out_str(&json, "advertise", charge->advertise);
    json_out_str(&json, "chain", charge->chain_pem);
    json_out_str(&json, "node_key", charge->key_pem);
    json_out_str(&json, "roots", charge->roots_pem);
    if (charge->first_cluster) {
        struct buf packed;
        buf_init(&packed, CHARGE_CLUSTER_BYTES_MAX);
        int result = wire_pack(charge->first_cluster, &packed, NULL);
        CHECK(result == 0);
        put_bytes(&json, "cluster", packed.data, packed.len);
        buf_wipe(&packed);
    }
    json_out_int(&json, "availability", charge->availability);
    json_out_array(&json, "joins");
    for (size_t i = 0; i < charge->joins_count; i++)
        json_out_str(&json, NULL, charge->joins[i]);
    json_out_end(&json);
    json_out_end(&json);
}

// ---- reading ------------------------------------------------------------------------------------

static int take_text(const json_t *object, const char *name, char **out, struct err *err)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (!text)
        return err_set(err, ERR_INVALID_ARGUMENT, "charge lacks %s", name);
    *out = str_dup(text);
    return 0;
}

static int take_key(const json_t *object, const char *name, struct seal_key *out, struct err *err)
{
    const char *text = json_string_value(json_object_get(object, name));
    struct buf bytes;
    buf_init(&bytes, sizeof out->bytes);
    bool ok = text && base64_decode(BASE64_STD, text, strlen(text), &bytes) &&
              bytes.len == sizeof out->bytes;
    if (ok)
        memcpy(out->bytes, bytes.data, sizeof out->bytes);
    buf_wipe(&bytes);
    return ok ? 0 : err_set(err, ERR_INVALID_ARGUMENT, "charge has no usable %s", name);
}

static int take_cluster(const json_t *object, Swarm__Cluster **out, struct err *err)
{
    const char *text = json_string_value(json_object_get(object, "cluster"));
    if (!text)
        return 0;
    struct buf bytes;
    buf_init(&bytes, CHARGE_CLUSTER_BYTES_MAX);
    if (base64_decode(BASE64_STD, text, strlen(text), &bytes))
        *out = wire_unpack(&swarm__cluster__descriptor, bytes.data, bytes.len, &WIRE_LIMITS_RPC,
                           NULL, NULL);
    buf_wipe(&bytes);
    return *out ? 0 : err_set(err, ERR_INVALID_ARGUMENT, "charge has no usable cluster");
}

static int take_birth(const json_t *object, enum manager_birth *out, struct err *err)
{
    const char *text = json_string_value(json_object_get(object, "birth"));
    for (size_t i = 0; text && i < COUNT_OF(births); i++) {
        if (str_equal(text, births[i])) {
            *out = (enum manager_birth)i;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID_ARGUMENT, "charge has no usable birth");
}

static int take_joins(const json_t *object, struct charge *out, struct err *err)
{
    const json_t *joins = json_object_get(object, "joins");
    if (!json_is_array(joins) || json_array_size(joins) > CHARGE_JOINS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "charge has no usable joins");
    for (size_t i = 0; i < json_array_size(joins); i++) {
        const char *text = json_string_value(json_array_get(joins, i));
        if (!text)
            return err_set(err, ERR_INVALID_ARGUMENT, "charge has no usable joins");
        out->joins[out->joins_count++] = str_dup(text);
    }
    return 0;
}

static int take_all(const json_t *object, struct charge *out, struct err *err)
{
    int result = take_birth(object, &out->birth, err);
    if (!result)
        result = take_key(object, "key", &out->key, err);
    out->has_previous_key = json_object_get(object, "previous_key") != NULL;
    if (!result && out->has_previous_key)
        result = take_key(object, "previous_key", &out->previous_key, err);
    if (!result)
        result = take_text(object, "advertise", &out->advertise, err);
    if (!result)
        result = take_text(object, "chain", &out->chain_pem, err);
    if (!result)
        result = take_text(object, "node_key", &out->key_pem, err);
    if (!result)
        result = take_text(object, "roots", &out->roots_pem, err);
    if (!result)
        result = take_cluster(object, &out->first_cluster, err);
    const json_t *availability = json_object_get(object, "availability");
    int64_t number = json_is_integer(availability) ? json_integer_value(availability) : -1;
    if (!result && (number < SWARM__NODE_SPEC__AVAILABILITY__ACTIVE ||
                    number > SWARM__NODE_SPEC__AVAILABILITY__DRAIN))
        result = err_set(err, ERR_INVALID_ARGUMENT, "charge has no usable availability");
    out->availability = (Swarm__NodeSpec__Availability)number;
    return result ? result : take_joins(object, out, err);
}

int charge_parse(const void *text, size_t size, struct charge *out, struct err *err)
{
    *out = (struct charge){0};
    json_t *object = json_parse(text, size, err);
    if (!object)
        return -(int)ERR_INVALID_ARGUMENT;
    int result = take_all(object, out, err);
    json_decref(object);
    if (result)
        charge_fini(out);
    return result;
}
