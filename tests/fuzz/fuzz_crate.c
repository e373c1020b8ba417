// What users ask of a container, and headers of archives: any bytes end in a configuration or in an
// error.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/config_settle.h"
#include "agent/crate/points.h"
#include "agent/crate/spec.h"
#include "proto/base/tar.h"

static void make(const json_t *body)
{
    struct err err = ERR_INIT;
    json_t *config = config_read(body, &err), *points = NULL;
    json_t *host = config ? host_config_read(config_member(body, "HostConfig"), &err) : NULL;
    if (host && host_config_settle(config, host, &container_defaults_none, &err) == 0)
        points = points_make(config, host, &err);
    if (points) {
        struct arena arena;
        struct container_spec spec;
        struct crate_plan plan = {.id = "0123456789abcdef",
                                  .defaults = &container_defaults_none,
                                  .name = "x",
                                  .config = config,
                                  .host = host,
                                  .points = points};
        arena_init(&arena, 16u << 20);
        if (crate_spec_make(&plan, &arena, &spec, &err) == 0) {
            spec.container.rootfs = "/";
            bundle_check(&spec.container, &err);
        }
        arena_fini(&arena);
    }
    json_decref(points);
    json_decref(host);
    json_decref(config);
}

static void read_headers(const uint8_t *data, size_t size)
{
    static struct tar_reader reader;
    static struct tar_entry entry;
    struct err err = ERR_INIT;
    tar_reader_init(&reader);
    for (size_t at = 0; at + TAR_BLOCK <= size;) {
        uint64_t skip;
        enum tar_step step = tar_read(&reader, data + at, &entry, &skip, &err);
        at += TAR_BLOCK;
        if (step == TAR_BROKEN || step == TAR_END)
            return;
        if (step == TAR_MORE &&
            (skip > size - at || tar_record(&reader, data + at, (size_t)skip, &err)))
            return;
        if (skip > size - at)
            return;
        at += (size_t)skip + tar_padding(skip);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *body = json_parse(data, size, NULL);
    if (json_is_object(body))
        make(body);
    json_decref(body);
    read_headers(data, size);
    return 0;
}
