// Names of images as docker writes them: [domain/]path[:tag][@digest], parsed and put in full.
//
// "busybox" is docker.io/library/busybox, and familiar forms leave that out again (the grammar is
// distribution/reference's).
#ifndef AGENT_IMAGE_REFERENCE_H
#define AGENT_IMAGE_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"

#define REFERENCE_NAME_MAX   255 // of domain/path
#define REFERENCE_TAG_MAX    128
#define REFERENCE_DIGEST_MAX 135 // "sha512:" and 128 digits
#define REFERENCE_TEXT_BYTES (REFERENCE_NAME_MAX + REFERENCE_TAG_MAX + REFERENCE_DIGEST_MAX + 4)

struct reference {
    char domain[REFERENCE_NAME_MAX + 1];   // "docker.io", "localhost:5000"
    char path[REFERENCE_NAME_MAX + 1];     // "library/busybox"
    char tag[REFERENCE_TAG_MAX + 1];       // "" when the text had none
    char digest[REFERENCE_DIGEST_MAX + 1]; // "sha256:..." or ""
};

// INVALID_ARGUMENT with docker's words ("invalid reference format", "repository name must be
// lowercase"). 64 hexadecimal digits alone are an id, not a name, and are refused as docker does.
int reference_parse(const char *text, struct reference *out, struct err *err);

// Gives it the tag "latest" when it has neither tag nor digest.
void reference_default_tag(struct reference *reference);

// "docker.io/library/busybox:1.36@sha256:..."; returns out.
char *reference_full(const struct reference *reference, char out[REFERENCE_TEXT_BYTES]);
// "docker.io/library/busybox"
char *reference_name(const struct reference *reference, char out[REFERENCE_TEXT_BYTES]);
// As docker shows it: "busybox:1.36", "localhost:5000/a/b".
char *reference_familiar(const struct reference *reference, char out[REFERENCE_TEXT_BYTES]);
char *reference_familiar_name(const struct reference *reference, char out[REFERENCE_TEXT_BYTES]);

// "sha256:" with 64 lower-case digits (the only algorithm images are stored under).
bool digest_valid(const char *text);
// A full id ("sha256:<64>", "<64>") or a beginning of at least 4 hexadecimal digits.
bool image_id_like(const char *text);

#endif
