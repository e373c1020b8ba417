// Templates, which users write into specs, secrets and configs.
#include <stdint.h>
#include <stdlib.h>

#include "agent/task/template.h"
#include "proto/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct template_node node = {
        .id = "n", .hostname = "h", .os = "linux", .architecture = "x86_64"};
    struct arena arena;
    arena_init(&arena, 1 << 20);
    Swarm__Task *task = wire_new(&swarm__task__descriptor, &arena);
    struct template_context context = {.task = task, .node = &node};
    for (int payload = 0; payload < 2; payload++) {
        struct buf out;
        buf_init(&out, TEMPLATE_VALUE_BYTES);
        if (template_expand(&context, (const char *)data, size, payload, &out, NULL) == 0 &&
            !buf_ok(&out))
            abort(); // success means that all of it is there
        buf_fini(&out);
    }
    arena_fini(&arena);
    return 0;
}
