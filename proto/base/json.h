// JSON: reading through jansson with bounds of our own, writing as a stream into a buf.
#ifndef PROTO_BASE_JSON_H
#define PROTO_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

// Deepest nesting accepted from outside.
#define JSON_DEPTH_MAX 64

// Parses one JSON value of any kind. Nesting beyond JSON_DEPTH_MAX, broken UTF-8 and anything after
// the value (but blanks) are INVALID_ARGUMENT. Of repeated keys the last wins. The caller gives the
// result back with json_decref; NULL on error, with *err filled.
json_t *json_parse(const void *bytes, size_t size, struct err *err);

// ---- writing ------------------------------------------------------------------------------------
// Values go
// straight into the buf, in order. Inside an object every call names its key; elsewhere the key is
// NULL. Text that is not UTF-8 is written with U+FFFD in place of what is broken, as Go does.

struct json_out {
    struct buf *buf;
    unsigned depth;
    uint64_t in_object; // bit per level: 1 = object
    bool first;         // nothing written yet at this level
};

void json_out_init(struct json_out *out, struct buf *buf);

void json_out_object(struct json_out *out, const char *key); // until json_out_end
void json_out_array(struct json_out *out, const char *key);  // until json_out_end
void json_out_end(struct json_out *out);

void json_out_str(struct json_out *out, const char *key, const char *text); // NULL is ""
void json_out_strn(struct json_out *out, const char *key, const char *text, size_t length);
void json_out_int(struct json_out *out, const char *key, int64_t value);
void json_out_uint(struct json_out *out, const char *key, uint64_t value);
void json_out_double(struct json_out *out, const char *key, double value); // finite
void json_out_bool(struct json_out *out, const char *key, bool value);
void json_out_null(struct json_out *out, const char *key);

// Text that is JSON already.
void json_out_raw(struct json_out *out, const char *key, const char *json, size_t length);

// A value read by jansson, written as it is.
void json_out_value(struct json_out *out, const char *key, const json_t *value);

// True when every level was ended and the buf took it all.
bool json_out_done(const struct json_out *out);

#endif
