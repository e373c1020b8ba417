// Compose files of any text, and environment files: read, merged with themselves, converted.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/compose.h"
#include "cmd/skep/parse.h"
#include "cmd/skep/yaml.h"
#include "proto/base/str.h"

static const char *read_data(void *owner, const char *path, size_t *size, struct err *err)
{
    (void)owner;
    (void)path;
    (void)err;
    if (size)
        *size = 4;
    return "A=b\n";
}

static const char *look_up(const char *name)
{
    return *name == 'A' ? "x" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct err err = ERR_INIT;
    if (size > 16384)
        return 0;
    arena_init(&arena, 64 << 20);
    char *text = str_ndup((const char *)data, size);
    json_t *variables = json_pack("{s:s}", "A", "1"), *warnings = json_array();
    json_t *env = json_array();
    parse_env_file(text, look_up, env, &arena, &err);
    json_t *project = compose_read("f", text, size, variables, warnings, &arena, &err);
    if (project) {
        json_t *copy = json_deep_copy(project);
        compose_merge(project, copy);
        json_decref(copy);
        struct compose_files files = {read_data, NULL, "/f", variables};
        json_decref(compose_convert(project, "s", &files, &arena, &err));
        struct buf out;
        buf_init(&out, 1 << 20);
        yaml_write(project, &out);
        buf_fini(&out);
        json_decref(project);
    }
    json_decref(env);
    json_decref(variables);
    json_decref(warnings);
    free(text);
    arena_fini(&arena);
    return 0;
}
