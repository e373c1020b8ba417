// The header fields of gRPC's requests, responses and trailers, in and out. Pure.
#ifndef PROTO_RPC_HEAD_H
#define PROTO_RPC_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/rpc/h2.h"
#include "proto/rpc/metadata.h"
#include "proto/rpc/status.h"

// What a block of fields said. Texts live in the arena of the metadata.
struct head {
    // Of requests.
    const char *path;
    bool is_post;
    bool has_timeout;
    bool bad_timeout;
    int64_t timeout_ns;
    // Of responses.
    unsigned http_status; // 0: none
    bool has_status;
    enum err_code status;
    const char *message; // NULL: none
    const uint8_t *details;
    size_t details_size;
    // Of both.
    bool is_grpc;         // content-type is application/grpc or one of its forms
    const char *encoding; // grpc-encoding when it is not identity
    bool overflow;        // a limit was passed, and something left out
};

// Takes one field in: into `head`, or when it is an application's, into `metadata`.
void head_field(struct head *head, struct metadata *metadata, const struct h2_field *field);

// Fields to send. The array and the texts it points to live in the arena or as long as what they
// were made of.
struct head_fields {
    struct h2_field *list;
    size_t count;
};

struct head_request {
    const char *path;
    const char *authority;
    bool tls;
    int64_t timeout_ns; // < 0: none
};
void head_make_request(const struct head_request *request, const struct metadata *metadata,
                       struct arena *arena, struct head_fields *fields);

void head_make_response(const struct metadata *metadata, struct arena *arena,
                        struct head_fields *fields);

// `only`: no response came before, so these fields are all there is. `http_status` is 200 but for
// requests that are no gRPC.
void head_make_trailers(const struct rpc_status *status, const struct metadata *metadata, bool only,
                        unsigned http_status, struct arena *arena, struct head_fields *fields);

#endif
