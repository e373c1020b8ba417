// Errors: a code that maps one to one onto a gRPC status, and a bounded message in the caller's
// frame.
//
// A function that can fail returns int, 0 or a negative code, and takes `struct err *err` last.
// Each layer adds its context once, on the way up (err_wrap); the error is logged once, where it
// stops. Nothing here allocates.
#ifndef PROTO_BASE_ERR_H
#define PROTO_BASE_ERR_H

#include <stdarg.h>

// Longest message kept, terminator included. What does not fit is cut, with "..." at the end.
#define ERR_MESSAGE_BYTES 1024

// The numbers are gRPC's status codes (grpc/doc/statuscodes.md); functions return their negatives.
#define ERR_CODES(X)                                                                               \
    X(CANCELLED, 1)                                                                                \
    X(UNKNOWN, 2)                                                                                  \
    X(INVALID_ARGUMENT, 3)                                                                         \
    X(DEADLINE_EXCEEDED, 4)                                                                        \
    X(NOT_FOUND, 5)                                                                                \
    X(ALREADY_EXISTS, 6)                                                                           \
    X(PERMISSION_DENIED, 7)                                                                        \
    X(RESOURCE_EXHAUSTED, 8)                                                                       \
    X(FAILED_PRECONDITION, 9)                                                                      \
    X(ABORTED, 10)                                                                                 \
    X(OUT_OF_RANGE, 11)                                                                            \
    X(UNIMPLEMENTED, 12)                                                                           \
    X(INTERNAL, 13)                                                                                \
    X(UNAVAILABLE, 14)                                                                             \
    X(DATA_LOSS, 15)                                                                               \
    X(UNAUTHENTICATED, 16)

enum err_code {
    ERR_OK = 0,
#define X(name, number) ERR_##name = number,
    ERR_CODES(X)
#undef X
};

struct err {
    enum err_code code;
    char message[ERR_MESSAGE_BYTES]; // NUL-terminated; no secret ever goes in here
};

// An empty error, for `struct err err = ERR_INIT;`.
#define ERR_INIT                                                                                   \
    {                                                                                              \
        .code = ERR_OK                                                                             \
    }

// Fills `err` (may be NULL: then only the code travels). Returns -code, so that callers can write
// `return err_set(err, ERR_NOT_FOUND, "node %s not found", id);`. `code` must not be ERR_OK.
int err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int err_setv(struct err *err, enum err_code code, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

// As err_set, from an errno value; ": <text of errnum>" is appended and the code follows from it
// (ENOENT -> NOT_FOUND, EACCES -> PERMISSION_DENIED, ENOSPC -> RESOURCE_EXHAUSTED ...). A negative
// errnum, as libuv returns, is taken for its absolute value.
int err_set_errno(struct err *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Puts "<context>: " before the message and keeps the code. Returns -code. `err` holds an error, or
// is NULL: nobody reads the message then, and as the code is not known here, UNKNOWN comes back. A
// function whose caller may pass NULL and want the code gives an error of its own to what it calls.
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Copies `from` (not NULL) into `err` (may be NULL). Returns -code.
int err_copy(struct err *err, const struct err *from);

// Back to "no error". NULL is fine.
void err_clear(struct err *err);

// The code's name in gRPC's spelling, such as "NOT_FOUND"; "OK" for 0; "CODE(n)" is never returned:
// numbers outside the table give "UNKNOWN".
const char *err_code_name(enum err_code code);

// The code an errno value maps to. Never ERR_OK.
enum err_code err_code_of_errno(int errnum);

#endif
