// Templates of any text, run over a fixed object: they end, and do not crash.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/template.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char object[] =
        "{\"Name\":\"web\",\"N\":3,\"F\":1.5,\"List\":[\"a\",\"b\"],"
        "\"Map\":{\"a\":\"1\"},\"None\":null,\"@labels\":{\"x\":\"y\"},"
        "\"Service\":{\"@type\":\"swarm.Service\",\"Spec\":{\"Name\":\"n\","
        "\"UpdateConfig\":{\"Delay\":5}}}}";
    struct arena arena;
    struct buf out;
    struct err err = ERR_INIT;
    arena_init(&arena, 64 << 20);
    buf_init(&out, 1 << 16);
    char *text = str_ndup((const char *)data, size < 4096 ? size : 4096);
    json_t *value = json_parse(object, strlen(object), NULL);
    struct template *template = template_parse(text, &arena, &err);
    if (template)
        template_run(template, value, &out, &err);
    template_free(template);
    json_decref(value);
    free(text);
    buf_fini(&out);
    arena_fini(&arena);
    return 0;
}
