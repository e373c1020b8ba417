// What the operator of a node gives its containers where they, or the service, say nothing: name
// servers, limits, logging and kinds of namespaces.
//
// Pure. Texts are borrowed for as long as the struct is used.
#ifndef AGENT_CONTAINER_DEFAULTS_H
#define AGENT_CONTAINER_DEFAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/oci/bundle.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

#define LOG_DRIVER_DEFAULT "json-file"

// All zero: what a node has whose operator said nothing.
struct container_defaults {
    struct oci_strings dns, dns_search, dns_options; // in the place of the host's own
    uint64_t shm_bytes;                              // 0: OCI_SHM_BYTES
    const struct oci_ulimit *ulimits;
    size_t ulimits_count;
    const char *log_driver; // NULL: LOG_DRIVER_DEFAULT
    const struct oci_pair *log_options;
    size_t log_options_count;
    bool no_new_privileges;
    bool cgroup_ns_host;
    bool ipc_shareable;
    unsigned cpus; // of this machine: no container may want more; 0: nobody counted
};

extern const struct container_defaults container_defaults_none;

// The host's resolv.conf as containers are to see it. INVALID_ARGUMENT for words that cannot be.
int container_defaults_resolv(const struct container_defaults *defaults, const char *host_text,
                              struct buf *out, struct err *err);

// Adds the node's limits to a container's own, which win by name. In the arena; told by it.
void container_defaults_ulimits(const struct container_defaults *defaults, struct arena *arena,
                                struct oci_container *container);

// The driver that a log of this kind ("" or NULL: not said) has, and whether the node's options go
// with it: they are the default driver's.
const char *container_defaults_log(const struct container_defaults *defaults, const char *driver,
                                   bool *options);

// Whether there is a logging driver of that name, and whether an option is one of its. NOT_FOUND
// and INVALID_ARGUMENT in dockerd's words.
int container_log_driver_check(const char *driver, struct err *err);
int container_log_option_check(const char *driver, const char *key, struct err *err);

// "10m", "512k", "1gb", "64MiB" or plain bytes.
bool container_size_parse(const char *text, uint64_t *out);

// The logging drivers there are; NULL ends them.
extern const char *const container_log_drivers[];

#endif
