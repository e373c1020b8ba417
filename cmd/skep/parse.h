// Values of options that have a grammar of their own, as the API wants them: images, ports, mounts,
// secrets, networks, limits, environments. Pure; every function here is given what a user wrote.
#ifndef CMD_SKEP_PARSE_H
#define CMD_SKEP_PARSE_H

#include <jansson.h>
#include <stdbool.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"

// The familiar form of an image's name: "docker.io/library/web" is "web"; a name with neither tag
// nor digest gets ":latest". NULL and INVALID_ARGUMENT for what is no image name.
const char *parse_image(const char *text, struct arena *arena, struct err *err);

// The parts of a familiar name: repository, and tag or digest ("" when it has none).
void parse_image_parts(const char *image, struct arena *arena, const char **repository,
                       const char **tag, const char **digest);

// A published port of a service, "8080:80", "8080-8082:80-82/udp" or
// "published=8080,target=80,mode=host": appends to `ports`.
int parse_service_port(const char *text, json_t *ports, struct arena *arena, struct err *err);

// A published port of a container, "[ip:][published:]target[/protocol]": fills the "PortBindings"
// of `host` and the "ExposedPorts" of `config`.
int parse_container_port(const char *text, json_t *bindings, json_t *exposed, struct arena *arena,
                         struct err *err);

// --mount: "type=bind,source=/a,target=/b,readonly": a new object.
json_t *parse_mount(const char *text, struct arena *arena, struct err *err);

// --secret and --config: a name, or "source=s,target=t,uid=0,gid=0,mode=0400": a new object with
// "File" and "<kind>Name" (kind "Secret" or "Config").
json_t *parse_file_reference(const char *text, const char *kind, struct arena *arena,
                             struct err *err);

// --network of a service: a name, or "name=n,alias=a,driver-opt=k=v": {"Target", "Aliases",
// "DriverOpts"}. Containers may also give "ip" and "ip6" and "link-local-ip", "mac-address".
json_t *parse_network(const char *text, struct arena *arena, struct err *err);

// --ulimit nofile=1024:2048: {"Name", "Soft", "Hard"}.
json_t *parse_ulimit(const char *text, struct err *err);

// --host name:ip, as the "ip name" of a service's hosts.
const char *parse_host(const char *text, struct arena *arena, struct err *err);

// --generic-resource gpu=2 or gpu=uuid1: appends to `resources`.
int parse_generic(const char *text, json_t *resources, struct arena *arena, struct err *err);

// --placement-pref spread=node.labels.zone: appends to `preferences`.
int parse_preference(const char *text, json_t *preferences, struct err *err);

// --gpus all, a number, or device=0,driver=nvidia,capabilities=utility: a request for devices,
// owned by the caller.
json_t *parse_gpus(const char *text, struct arena *arena, struct err *err);

// The octal mode of a file, such as 0440; false for what is none.
bool parse_file_mode(const char *text, int *mode);

// A file of variables, a "KEY=value" on each line; '#' begins a comment line. A line that is a name
// alone takes the value `look_up` gives, or is left out; without `look_up` (NULL) it stays a name.
// Appends "KEY=value" texts.
int parse_env_file(const char *text, const char *(*look_up)(const char *name), json_t *env,
                   struct arena *arena, struct err *err);

// Words of a command line with quotes and backslashes, as a shell would split them.
int parse_words(const char *text, json_t *words, struct arena *arena, struct err *err);

// "CAP_NET_ADMIN" for "net_admin".
const char *parse_capability(const char *text, struct arena *arena);

#endif
