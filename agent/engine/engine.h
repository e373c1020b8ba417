// The routes of the Engine API. Each noun's file exports its table; engine_io.c joins them.
#ifndef AGENT_ENGINE_ENGINE_H
#define AGENT_ENGINE_ENGINE_H

#include <stddef.h>

#include "agent/engine/request.h"

// The versions served: 1.24 to 1.50 (1.<minor>).
#define ENGINE_MINOR_MIN 24
#define ENGINE_MINOR_MAX 50

struct endpoint {
    const char *method;
    const char *pattern; // as proto/http/router.h
    void (*handle)(struct request *request);
};

struct endpoints {
    const struct endpoint *rows;
    size_t count;
    bool streams_body; // handlers are called at the head; the body comes by request_events
    bool of_swarm;     // they wait while a manager starts (backend.h, `starting`)
};

// Most bytes of a JSON body: more than the manager takes, which says so in stock's words.
#define ENGINE_BODY_BYTES_MAX ((size_t)6 << 20)

// Most bytes of an archive that comes as a body.
#define ENGINE_UPLOAD_BYTES_MAX ((size_t)64 << 30)

#define ENDPOINTS(name_, rows_)                                                                    \
    const struct endpoints name_ = {rows_, sizeof(rows_) / sizeof((rows_)[0]), false, false}
#define UPLOAD_ENDPOINTS(name_, rows_)                                                             \
    const struct endpoints name_ = {rows_, sizeof(rows_) / sizeof((rows_)[0]), true, false}
#define SWARM_ENDPOINTS(name_, rows_)                                                              \
    const struct endpoints name_ = {rows_, sizeof(rows_) / sizeof((rows_)[0]), false, true}

extern const struct endpoints system_endpoints, swarm_endpoints, node_endpoints, service_endpoints,
    task_endpoints, network_endpoints, secret_endpoints, event_endpoints, log_endpoints,
    absent_endpoints, container_endpoints, container_stream_endpoints, network_create_endpoints,
    image_endpoints, image_upload_endpoints, image_transfer_endpoints, volume_endpoints,
    container_look_endpoints, commit_endpoints, container_upload_endpoints, disk_usage_endpoints,
    checkup_endpoints, network_attach_endpoints, container_list_endpoints,
    container_attach_endpoints, container_archive_endpoints, distribution_endpoints,
    standing_endpoints, info_endpoints, container_prune_endpoints;

// All of them, for who walks the API: engine_io.c, and tests that try every endpoint.
extern const struct endpoints *const engine_endpoints[];
extern const size_t engine_endpoints_count;

#endif
