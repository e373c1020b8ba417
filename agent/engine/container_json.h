// Containers as the API shows them.
#ifndef AGENT_ENGINE_CONTAINER_JSON_H
#define AGENT_ENGINE_CONTAINER_JSON_H

#include "agent/crate/crates_io.h"
#include "proto/base/json.h"

// "5 minutes", as `docker ps` says durations.
void human_duration(int64_t seconds, char *out, size_t size);

// What `size` adds; negative: not asked for.
struct container_size {
    int64_t rw;
    int64_t root;
};

void container_write_row(const struct crate *crate, const struct container_size *size,
                         struct json_out *out);
void container_write(const struct crate *crate, const struct container_size *size, unsigned minor,
                     struct json_out *out);
void exec_write(const struct crate_exec *exec, struct json_out *out);

#endif
