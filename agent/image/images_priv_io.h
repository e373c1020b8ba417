// What images_io.c and its neighbours share: the images struct, worker steps, staging folders.
#ifndef AGENT_IMAGE_IMAGES_PRIV_IO_H
#define AGENT_IMAGE_IMAGES_PRIV_IO_H

#include "agent/image/images_io.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/base/process_io.h"

#define IMAGES_MAGIC      0x696d6773u
#define IMAGES_PATH_BYTES 4096

struct images {
    unsigned magic;
    struct loop *loop;
    char *root;
    char *skopeo;
    char *umoci;
    char *certs_dir;           // NULL: skopeo's own choice
    struct arena mirrors_text; // what `mirrors` points to
    struct mirrors mirrors;
    char *mirrors_conf; // the file that says them to skopeo, written while there are mirrors
    unsigned pulls_max; // fetches that may run at once
    unsigned pulls;     // those that run
    int64_t stall_ms;
    struct library *library;
    struct map unpacks;      // id -> struct unpack under way
    struct map fetches;      // key -> struct fetch under way
    struct list fetch_queue; // fetches that wait for their turn
    struct list asks;        // questions to registries, oldest first
    unsigned asks_running;   // of those
    size_t ops;              // operations under way
    size_t writers;          // of those, what brings blobs that no image has yet
    uint64_t stage_number;
};

// A step on a worker thread: `run` may touch only what it finds through `ctx`, which nobody else
// touches meanwhile; `done` runs on the loop.
struct step {
    struct loop_work work;
    void (*run)(void *ctx, struct err *err);
    void (*done)(void *ctx, const struct err *err); // err NULL on success
    void *ctx;
    struct err err;
};

void step_start(struct loop *loop, struct step *step, void (*run)(void *ctx, struct err *err),
                void (*done)(void *ctx, const struct err *err), void *ctx);

// A fresh name below <root>/tmp; the folder is made by the worker that uses it.
void images_stage(struct images *images, char out[IMAGES_PATH_BYTES]);

// Hard-links a blob of the store to `target`.
int images_link_blob(const char *root, const char *digest, const char *target, struct err *err);

// Copies of what a worker needs of an image: its manifest's JSON is parsed again there.
int images_write_layout(const char *root, const char *stage, const struct manifest *manifest,
                        struct err *err);

bool images_is_unpacked(const struct images *images, const char *id);

// Removes blobs that no image needs. Does nothing while fetches or imports are under way.
void images_sweep(struct images *images);

// All questions to registries that are under way.
void images_asks_cancel(struct images *images);

// A path below a folder; INVALID_ARGUMENT when too long.
int images_path(char out[IMAGES_PATH_BYTES], struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
