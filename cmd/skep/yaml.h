// YAML through libyaml as JSON values, with the line of everything in it; and back.
//
// Plain scalars are typed as the docker command types them (YAML 1.1 of go-yaml: yes and on are
// true, 0777 is octal). Anchors, aliases and merge keys ("<<") work; other tags are refused.
#ifndef CMD_SKEP_YAML_H
#define CMD_SKEP_YAML_H

#include <jansson.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

#define YAML_BYTES_MAX ((size_t)4 << 20)
#define YAML_DEPTH_MAX 48
#define YAML_NODES_MAX 50000 // aliases followed included

// The text's one document as a new value; json null when there is none. *lines is a new object:
// "services/web/image" -> line, for every key. NULL and INVALID_ARGUMENT ("line 3: ...").
json_t *yaml_read(const char *text, size_t size, struct arena *arena, json_t **lines,
                  struct err *err);

// The line noted for the path, or for the longest part of it that has one; 0 when none has.
int yaml_line(const json_t *lines, const char *path);

// The scalar's value by the rules for plain text.
json_t *yaml_scalar(const char *text);

// Appends the value as a YAML document in block style.
void yaml_write(const json_t *value, struct buf *out);

#endif
