// The mount points of a container: what HostConfig's Binds, Mounts and Tmpfs and Config's Volumes
// ask for, as one list in the shape that inspect shows as "Mounts", with a few members more that
// inspect leaves out (their names begin in lower case). Pure.
#ifndef AGENT_CRATE_POINTS_H
#define AGENT_CRATE_POINTS_H

#include "proto/base/err.h"
#include "proto/base/json.h"

#define POINTS_MAX 512

// NULL and INVALID_ARGUMENT in dockerd's words, or UNIMPLEMENTED. Volumes without a name have ""
// as Name: the caller makes them and fills in Name and Source.
json_t *points_make(const json_t *config, const json_t *host, struct err *err);

// Adds the points of another container (VolumesFrom "name[:ro]") where nothing is yet.
void points_add(json_t *points, const json_t *from, bool readonly);

// Writes the list as inspect shows it.
void points_write(const json_t *points, struct json_out *out, const char *key);

#endif
