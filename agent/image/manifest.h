// What registries and archives say of an image: manifests, lists of them, and configurations, in
// docker's schema 2 and the OCI forms.
#ifndef AGENT_IMAGE_MANIFEST_H
#define AGENT_IMAGE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/image/reference.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/base/json.h"

#define MANIFEST_BYTES_MAX     (4u << 20)
#define MANIFEST_LAYERS_MAX    512
#define MANIFEST_LIST_MAX      1024
#define IMAGE_CONFIG_BYTES_MAX (4u << 20)
#define IMAGE_ITEMS_MAX        8192 // of env, labels, ports, ...

struct descriptor {
    const char *media_type;
    const char *digest; // valid (digest_valid)
    uint64_t size;
};

struct platform {
    const char *os;
    const char *architecture;
    const char *variant; // "" or "v7" ...
};

// The architecture this program is compiled for, by the name that images have for it.
#if defined(__x86_64__)
#define PLATFORM_NATIVE_ARCH "amd64"
#elif defined(__aarch64__)
#define PLATFORM_NATIVE_ARCH "arm64"
#elif defined(__arm__)
#define PLATFORM_NATIVE_ARCH "arm"
#elif defined(__powerpc64__)
#define PLATFORM_NATIVE_ARCH "ppc64le"
#elif defined(__s390x__)
#define PLATFORM_NATIVE_ARCH "s390x"
#else
#define PLATFORM_NATIVE_ARCH "riscv64"
#endif

struct manifest {
    bool is_list;
    // a manifest
    struct descriptor config;
    struct descriptor *layers; // bottom first
    size_t layers_count;
    // a list: the entry for the wanted platform
    struct descriptor chosen;
};

// The document, of at most MANIFEST_BYTES_MAX, which the caller releases, and which of the two it
// is, an unambiguous one. UNIMPLEMENTED for schema 1, INVALID_ARGUMENT.
int manifest_open(const void *bytes, size_t size, json_t **root, bool *is_list, struct err *err);

// Reads a manifest or a list; from a list it picks the entry for `wanted` (the exact variant
// first). Everything lands in the arena. NOT_FOUND "no matching manifest for linux/amd64 in the
// manifest list entries", UNIMPLEMENTED for schema 1 and foreign layers, INVALID_ARGUMENT for
// anything broken.
int manifest_parse(const void *bytes, size_t size, const struct platform *wanted,
                   struct arena *arena, struct manifest *out, struct err *err);

// Writes the OCI manifest with the same config and layers (umoci reads no other kind).
void manifest_write_oci(const struct manifest *manifest, struct buf *out);
// Writes docker's schema 2 manifest with the same config and layers.
void manifest_write_docker(const struct manifest *manifest, struct buf *out);

struct image_history {
    struct wall created;
    const char *created_by;
    const char *comment;
    bool empty_layer;
};

struct image_health {
    const char **test; // "CMD", ... ; count 0: none given
    size_t test_count;
    int64_t interval_ns; // 0: default
    int64_t timeout_ns;
    int64_t start_period_ns;
    int64_t start_interval_ns;
    int64_t retries;
};

struct string_pair {
    const char *key;
    const char *value;
};

// An image's configuration: what a container gets when its spec says nothing.
struct image_config {
    struct wall created;
    const char *author;
    const char *comment;
    const char *architecture;
    const char *variant;
    const char *os;
    const char *docker_version;
    const char **env; // "K=V"
    size_t env_count;
    const char **entrypoint;
    size_t entrypoint_count;
    const char **cmd;
    size_t cmd_count;
    const char **shell;
    size_t shell_count;
    const char **volumes; // paths
    size_t volumes_count;
    const char **ports; // "80/tcp"
    size_t ports_count;
    const char **on_build;
    size_t on_build_count;
    const char *working_dir;
    const char *user;
    const char *stop_signal; // "" : SIGTERM
    struct string_pair *labels;
    size_t labels_count;
    struct image_health health;
    const char **diff_ids; // digests of the uncompressed layers, bottom first
    size_t diff_ids_count;
    struct image_history *history;
    size_t history_count;
};

int image_config_parse(const void *bytes, size_t size, struct arena *arena,
                       struct image_config *out, struct err *err);

#endif
