// Request targets: the path, percent-decoding, and the values of a query (RFC 3986, and the
// application/x-www-form-urlencoded rules that Go's net/url follows).
#ifndef PROTO_HTTP_URL_H
#define PROTO_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

// Most name=value pairs looked at in one query.
#define URL_PAIRS_MAX 256

struct url_pair {
    const char *name;
    const char *value; // "" when there is none
};

struct url {
    const char *path;       // decoded, NUL-terminated, starts with '/'
    const char *raw_path;   // as sent, for routing: '/' inside a parameter stays "%2F"
    struct url_pair *pairs; // in order
    size_t pairs_count;
};

// Takes a request target ("/v1.41/info?all=1", or "http://host/path" as proxies send it) apart; all
// text lands in the arena. INVALID_ARGUMENT for a broken escape, an escaped NUL, no leading '/',
// too many pairs or an arena that is full.
int url_parse(const char *target, size_t length, struct arena *arena, struct url *out,
              struct err *err);

// The first value of that name, or NULL.
const char *url_get(const struct url *url, const char *name);

// As dockerd reads booleans (httputils.BoolValue): absent, "", "0", "no", "false" and "none" in any
// case are false, everything else is true.
bool url_get_bool(const struct url *url, const char *name);

// Decodes %xx ('+' too when `plus_is_blank`) into the arena; NULL when it is broken.
char *url_decode(const char *text, size_t length, bool plus_is_blank, struct arena *arena);

// Appends with everything escaped but letters, digits and "-_.~".
void url_encode(const char *text, struct buf *out);

#endif
