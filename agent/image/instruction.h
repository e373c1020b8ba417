// Lines of a Dockerfile that change an image's configuration, as `docker commit --change` and
// `docker import --change` take them. Pure.
//
// Known are CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and
// WORKDIR. Variables ($X, ${X}, ${X:-y}, ${X:+y}) stand for what the configuration's Env has.
#ifndef AGENT_IMAGE_INSTRUCTION_H
#define AGENT_IMAGE_INSTRUCTION_H

#include "proto/base/err.h"
#include "proto/base/json.h"

#define INSTRUCTION_BYTES_MAX (64u << 10) // of one text
#define INSTRUCTION_WORDS_MAX 1024        // of one line

// Applies the lines of `text` in order to `config`, an object with docker's members ("Cmd", "Env",
// ...). An ENTRYPOINT takes away a Cmd that is not of an earlier line. INVALID_ARGUMENT; the
// configuration may then be half changed. *cmd_set, false at first, is kept between texts.
int instruction_apply(json_t *config, const char *text, bool *cmd_set, struct err *err);

#endif
