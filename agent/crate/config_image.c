#include "agent/crate/config_image.h"

#include <string.h>

#include "agent/crate/config.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static void merge_words(json_t *config, const char *key, const char **words, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(words[i]));
    json_object_set_new(config, key, list);
}

static bool has_variable(const json_t *env, const char *entry)
{
    size_t length = strcspn(entry, "=");
    for (size_t i = 0; i < json_array_size(env); i++) {
        const char *have = json_string_value(json_array_get(env, i));
        if (strncmp(have, entry, length) == 0 && (have[length] == '=' || !have[length]))
            return true;
    }
    return false;
}

static void merge_set(json_t *config, const char *key, const char **names, size_t count)
{
    if (!count)
        return;
    if (!json_is_object(json_object_get(config, key)))
        json_object_set_new(config, key, json_object());
    json_t *set = json_object_get(config, key);
    for (size_t i = 0; i < count; i++)
        if (!json_object_get(set, names[i]))
            json_object_set_new(set, names[i], json_object());
}

static void merge_health(json_t *config, const struct image_health *health)
{
    json_t *own = json_object_get(config, "Healthcheck");
    if (!health->test_count)
        return;
    if (!own) {
        json_object_set_new(config, "Healthcheck", json_object());
        own = json_object_get(config, "Healthcheck");
    }
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"Interval", health->interval_ns},
        {"Timeout", health->timeout_ns},
        {"StartPeriod", health->start_period_ns},
        {"StartInterval", health->start_interval_ns},
        {"Retries", health->retries},
    };
    if (!json_array_size(json_object_get(own, "Test")))
        merge_words(own, "Test", health->test, health->test_count);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        if (!json_integer_value(json_object_get(own, numbers[i].key)) && numbers[i].value)
            json_object_set_new(own, numbers[i].key, json_integer(numbers[i].value));
}

void config_merge_image(json_t *config, const struct image_config *image)
{
    json_t *env = json_object_get(config, "Env");
    bool own_entrypoint = config_of(config, "Entrypoint") != NULL;
    bool own_cmd = json_array_size(config_of(config, "Cmd")) > 0;
    if (!json_is_array(env) && image->env_count) {
        json_object_set_new(config, "Env", json_array());
        env = json_object_get(config, "Env");
    }
    for (size_t i = 0; i < image->env_count; i++)
        if (!has_variable(env, image->env[i]))
            json_array_append_new(env, json_string(image->env[i]));
    // An entrypoint of one's own makes the image's command meaningless.
    if (!own_cmd && !own_entrypoint && image->cmd_count)
        merge_words(config, "Cmd", image->cmd, image->cmd_count);
    if (!own_entrypoint && image->entrypoint_count)
        merge_words(config, "Entrypoint", image->entrypoint, image->entrypoint_count);
    if (str_empty(config_str(config, "User")) && !str_empty(image->user))
        json_object_set_new(config, "User", json_string(image->user));
    if (str_empty(config_str(config, "WorkingDir")) && !str_empty(image->working_dir))
        json_object_set_new(config, "WorkingDir", json_string(image->working_dir));
    if (str_empty(config_str(config, "StopSignal")) && !str_empty(image->stop_signal))
        json_object_set_new(config, "StopSignal", json_string(image->stop_signal));
    json_t *labels = json_object_get(config, "Labels");
    for (size_t i = 0; i < image->labels_count; i++)
        if (!json_object_get(labels, image->labels[i].key))
            json_object_set_new(labels, image->labels[i].key, json_string(image->labels[i].value));
    merge_set(config, "Volumes", image->volumes, image->volumes_count);
    merge_set(config, "ExposedPorts", image->ports, image->ports_count);
    merge_health(config, &image->health);
    // `--entrypoint ""`: the image's is taken away, and there is none.
    const json_t *words = config_of(config, "Entrypoint");
    if (json_array_size(words) == 1 && str_empty(json_string_value(json_array_get(words, 0))))
        json_object_set_new(config, "Entrypoint", json_null());
    if (image->shell_count && !config_of(config, "Shell"))
        merge_words(config, "Shell", image->shell, image->shell_count);
}
