// Secrets and configs over the Control API: created, shown without what is secret, changed in their
// labels only, and kept while a service uses them.
#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/wire/wire.h"
#include "tests/unit/manager/control/desk.h"

static struct err err;

static const Swarm__Secret *create_secret(const char *name, const char *data)
{
    Swarm__CreateSecretRequest request = SWARM__CREATE_SECRET_REQUEST__INIT;
    Swarm__SecretSpec *spec = wire_new(&swarm__secret_spec__descriptor, &desk.arena);
    spec->annotations->name = name;
    spec->data = (ProtobufCBinaryData){strlen(data), (uint8_t *)data};
    request.spec = spec;
    const Swarm__CreateSecretResponse *response =
        desk_call(CONTROL("CreateSecret"), &request, &err);
    return response ? response->secret : NULL;
}

static const Swarm__Config *create_config(const char *name, const char *data)
{
    Swarm__CreateConfigRequest request = SWARM__CREATE_CONFIG_REQUEST__INIT;
    Swarm__ConfigSpec *spec = wire_new(&swarm__config_spec__descriptor, &desk.arena);
    spec->annotations->name = name;
    spec->data = (ProtobufCBinaryData){strlen(data), (uint8_t *)data};
    request.spec = spec;
    const Swarm__CreateConfigResponse *response =
        desk_call(CONTROL("CreateConfig"), &request, &err);
    return response ? response->config : NULL;
}

START_TEST(a_secrets_data_is_stored_and_never_shown)
{
    const Swarm__Secret *made = create_secret("one", "hush");
    ck_assert_ptr_nonnull(made);
    ck_assert_uint_eq(made->spec->data.len, 0);
    const Swarm__Secret *stored = desk_get(OBJECT_SECRET, made->id);
    ck_assert_uint_eq(stored->spec->data.len, 4);
    Swarm__ListSecretsRequest request = SWARM__LIST_SECRETS_REQUEST__INIT;
    const Swarm__ListSecretsResponse *list = desk_call(CONTROL("ListSecrets"), &request, NULL);
    ck_assert_uint_eq(list->n_secrets, 1);
    ck_assert_uint_eq(list->secrets[0]->spec->data.len, 0);
    Swarm__GetSecretRequest get = SWARM__GET_SECRET_REQUEST__INIT;
    get.secret_id = made->id;
    const Swarm__GetSecretResponse *got = desk_call(CONTROL("GetSecret"), &get, NULL);
    ck_assert_uint_eq(got->secret->spec->data.len, 0);
}
END_TEST

START_TEST(a_configs_data_is_shown)
{
    const Swarm__Config *made = create_config("one", "text");
    ck_assert_ptr_nonnull(made);
    ck_assert_uint_eq(made->spec->data.len, 4);
    ck_assert_ptr_nonnull(create_secret("one", "x")); // names are each noun's own
}
END_TEST

START_TEST(bad_specs_are_refused_in_swarmkits_words)
{
    ck_assert_ptr_null(create_secret("", "x"));
    ck_assert_str_eq(err.message, "name must be provided");
    ck_assert_ptr_null(create_secret("-a", "x"));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert_ptr_null(create_secret("a", ""));
    ck_assert_str_eq(err.message, "secret data must be larger than 0 and less than 512000 bytes");
    ck_assert_ptr_null(create_config("a", ""));
    ck_assert_str_eq(err.message, "config data must be larger than 0 and less than 1024000 bytes");
    ck_assert_ptr_nonnull(create_config("a", "x"));
    ck_assert_ptr_null(create_config("a", "y"));
    ck_assert_int_eq(err.code, ERR_ALREADY_EXISTS);
    ck_assert_str_eq(err.message, "config a already exists");
}
END_TEST

static const void *update_config(const char *id, uint64_t index, const char *name, const char *data)
{
    Swarm__UpdateConfigRequest request = SWARM__UPDATE_CONFIG_REQUEST__INIT;
    Swarm__Version version = SWARM__VERSION__INIT;
    Swarm__ConfigSpec *spec = wire_new(&swarm__config_spec__descriptor, &desk.arena);
    version.index = index;
    spec->annotations = fake_annotations(&desk.arena, name);
    spec->data = (ProtobufCBinaryData){strlen(data), (uint8_t *)data};
    request.config_id = id;
    request.config_version = &version;
    request.spec = spec;
    return desk_call(CONTROL("UpdateConfig"), &request, &err);
}

START_TEST(only_labels_change_and_only_in_sequence)
{
    const Swarm__Config *made = create_config("a", "x");
    uint64_t index = made->meta->version->index;
    ck_assert_ptr_null(update_config(made->id, index, "b", "x"));
    ck_assert_str_eq(err.message, "only updates to Labels are allowed");
    ck_assert_ptr_null(update_config(made->id, index, "a", "y"));
    ck_assert_str_eq(err.message, "only updates to Labels are allowed");
    ck_assert_ptr_null(update_config(made->id, index + 7, "a", "x"));
    ck_assert_str_eq(err.message, "update out of sequence");
    ck_assert_ptr_null(update_config("nosuch", index, "a", "x"));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(update_config(made->id, index, "a", ""));
}
END_TEST

START_TEST(what_a_service_uses_stays)
{
    const Swarm__Secret *made = create_secret("a", "x");
    Swarm__Service *service = fake_service(&desk.arena, "s1");
    Swarm__SecretReference *reference = wire_new(&swarm__secret_reference__descriptor, &desk.arena);
    reference->secret_id = made->id;
    reference->secret_name = "a";
    FAKE_ADD(&desk.arena, service->spec->task->container, secrets, reference);
    service->spec->annotations = fake_annotations(&desk.arena, "web");
    desk_put(OBJECT_SERVICE, service);
    Swarm__RemoveSecretRequest request = SWARM__REMOVE_SECRET_REQUEST__INIT;
    request.secret_id = made->id;
    ck_assert_ptr_null(desk_call(CONTROL("RemoveSecret"), &request, &err));
    ck_assert_str_eq(err.message, "secret 'a' is in use by the following service: web");
    request.secret_id = "nosuch";
    ck_assert_ptr_null(desk_call(CONTROL("RemoveSecret"), &request, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    const Swarm__Secret *other = create_secret("b", "x");
    request.secret_id = other->id;
    ck_assert_ptr_nonnull(desk_call(CONTROL("RemoveSecret"), &request, NULL));
    ck_assert_ptr_null(desk_get(OBJECT_SECRET, other->id));
}
END_TEST

Suite *suite_payload_rpc(void);
Suite *suite_payload_rpc(void)
{
    Suite *suite = suite_create("payload_rpc");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, desk_set_up, desk_tear_down);
    tcase_add_test(tcase, a_secrets_data_is_stored_and_never_shown);
    tcase_add_test(tcase, a_configs_data_is_shown);
    tcase_add_test(tcase, bad_specs_are_refused_in_swarmkits_words);
    tcase_add_test(tcase, only_labels_change_and_only_in_sequence);
    tcase_add_test(tcase, what_a_service_uses_stays);
    suite_add_tcase(suite, tcase);
    return suite;
}
