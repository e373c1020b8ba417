// Text for people: sizes, spans of time, shortened ids, the nearest word to a misspelt one.
//
// The forms are those the docker command prints, because scripts read them.
#ifndef CMD_SKEP_TEXT_H
#define CMD_SKEP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"

// Characters of a shortened id.
#define TEXT_SHORT_ID 12

// "About an hour", "3 minutes", "Less than a second": a span of time as people say it.
const char *text_span(int64_t span_ns, struct arena *arena);

// The same from an RFC 3339 moment until `now`; "" when the text is no moment or year 1.
const char *text_since(const char *moment, struct wall now, struct arena *arena);

// "1.5MB" with steps of 1000 and four digits at most, "1.5MiB" with steps of 1024.
const char *text_size(double bytes, struct arena *arena);
const char *text_size_binary(double bytes, struct arena *arena);
// As text_size with three digits: what image and volume sizes are shown with.
const char *text_size_short(double bytes, struct arena *arena);

// "64m", "1.5g", "2GiB", "1024": bytes with steps of 1024. INVALID_ARGUMENT on anything else.
int text_parse_bytes(const char *text, int64_t *out, struct err *err);

// "0.5", "1.25": processors in units of 10^-9. INVALID_ARGUMENT on anything else, OUT_OF_RANGE when
// it has more than nine decimals or does not fit.
int text_parse_cpus(const char *text, int64_t *out, struct err *err);

// The first TEXT_SHORT_ID characters, without "sha256:" in front.
const char *text_short_id(const char *id, struct arena *arena);

// At most `columns` characters, with an ellipsis in place of what was cut.
const char *text_cut(const char *text, size_t columns, struct arena *arena);

// Columns the text takes on a terminal: a code point each, two for wide ones, none for combining
// marks and escape sequences.
size_t text_columns(const char *text);

// How many letters must be added, removed, changed or swapped to make one word of the other. Words
// beyond 63 letters are far from everything.
unsigned text_distance(const char *a, const char *b);

// The text with everything changed that could move a terminal's cursor or change its colours: what
// comes from a server is not trusted with the screen.
const char *text_printable(const char *text, struct arena *arena);

// A moment of RFC 3339 in UTC as Go prints it, "2026-11-20 12:00:00.5 +0000 UTC"; what is none
// stays.
const char *text_moment(const char *moment, struct arena *arena);
const char *text_moment_small(const char *moment, struct arena *arena); // with "utc"

#endif
