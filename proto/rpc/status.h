// A gRPC status: how a call ended. A code, a message for people, and details for programs.
//
// struct err carries code and message inside the process; a status is what crosses the wire, where
// details (a serialised google.rpc.Status, in grpc-status-details-bin) may come along.
#ifndef PROTO_RPC_STATUS_H
#define PROTO_RPC_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

// Most bytes of details sent or kept; longer ones from a peer are dropped, longer ones of our own
// are a broken invariant.
#define RPC_STATUS_DETAILS_BYTES_MAX 4096

struct rpc_status {
    struct err err;         // code ERR_OK: success, the message is then empty
    const uint8_t *details; // borrowed; NULL when there are none
    size_t details_size;
};

// Success.
#define RPC_STATUS_OK ((struct rpc_status){.err = {.code = ERR_OK}})

// The status of an error; of success when its code is ERR_OK. No details.
struct rpc_status rpc_status_of_err(const struct err *err);

// A status with a formatted message; `code` may be ERR_OK with an empty format.
struct rpc_status rpc_status_make(enum err_code code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Fills `err` and returns the negative code, or returns 0 for success.
int rpc_status_to_err(const struct rpc_status *status, struct err *err);

// The code for a grpc-status value. Numbers past the table become ERR_UNKNOWN, as does text that is
// no number.
enum err_code rpc_status_parse_code(const char *text, size_t length);

// The code for a response without grpc-status, from its HTTP status (grpc/doc/
// http-grpc-status-mapping.md).
enum err_code rpc_status_of_http(unsigned http_status);

// The code for a stream reset with an HTTP/2 error code (grpc/doc/PROTOCOL-HTTP2.md, Errors).
enum err_code rpc_status_of_reset(uint32_t h2_error);

// The error as Go programs print one that came over the wire, and as docker's users know it: "rpc
// error: code = NotFound desc = ...". Cut where `size` ends; RPC_STATUS_TEXT_BYTES always suffice.
#define RPC_STATUS_TEXT_BYTES (ERR_MESSAGE_BYTES + 64)
void rpc_status_text(const struct err *err, char *out, size_t size);

// The same as the error's own message. The code is kept.
void rpc_status_word(struct err *err);

#endif
