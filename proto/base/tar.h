// Headers of tar archives, as docker's clients send and take them: ustar, with pax records for long
// names and GNU's long names when reading. Pure.
#ifndef PROTO_BASE_TAR_H
#define PROTO_BASE_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define TAR_BLOCK     512
#define TAR_NAME_MAX  4096
#define TAR_PAX_BYTES (1u << 20) // most of one pax or long-name record

enum tar_kind {
    TAR_FILE,
    TAR_HARD_LINK,
    TAR_SYMLINK,
    TAR_CHAR,
    TAR_BLOCK_DEVICE,
    TAR_DIR,
    TAR_FIFO,
};

struct tar_attribute {
    const char *name; // "security.capability"
    const void *value;
    size_t size;
};

struct tar_entry {
    enum tar_kind kind;
    char name[TAR_NAME_MAX]; // folders end in '/'
    char link[TAR_NAME_MAX]; // of links; "" else
    uint32_t mode;           // permission bits, set-id and sticky included
    uint32_t uid, gid;
    uint64_t size; // of what follows, files only
    int64_t mtime_s;
    uint32_t major, minor;
    // Attributes, written and not read; borrowed.
    const struct tar_attribute *attributes;
    size_t attributes_count;
};

// Appends the entry's header (and a pax record before it when it needs one).
void tar_put(struct buf *out, const struct tar_entry *entry);
// What fills the last block after `size` bytes, and the end of an archive.
size_t tar_padding(uint64_t size);
void tar_put_end(struct buf *out);

// What one header block means.
enum tar_step {
    TAR_ENTRY, // *out is whole; out->size bytes and their padding follow
    TAR_MORE,  // a record of `*skip` bytes follows: give it to tar_record, then the next block
    TAR_PASS,  // of no interest: pass over *skip bytes and their padding
    TAR_END,   // an empty block
    TAR_BROKEN,
};

// What long-name and pax records said of the next entry.
struct tar_reader {
    char record; // 'x', 'L', 'K', or 0
    char name[TAR_NAME_MAX];
    char link[TAR_NAME_MAX];
    bool size_set;
    uint64_t size;
};

void tar_reader_init(struct tar_reader *reader);
enum tar_step tar_read(struct tar_reader *reader, const uint8_t block[TAR_BLOCK],
                       struct tar_entry *out, uint64_t *skip, struct err *err);
int tar_record(struct tar_reader *reader, const void *bytes, size_t size, struct err *err);

// Looks an archive through without keeping anything of it: is it whole?
struct tar_scan {
    struct tar_reader reader;
    uint8_t block[TAR_BLOCK];
    size_t have;       // of the block
    uint64_t skip;     // bytes of content still to pass
    struct buf record; // what a TAR_MORE brings
    size_t record_left;
    size_t record_bytes;
    bool ended;
    uint64_t entries;
    uint64_t content; // bytes of all files and symbolic links, as they count on a disk
};

void tar_scan_init(struct tar_scan *scan);
void tar_scan_fini(struct tar_scan *scan);
int tar_scan_feed(struct tar_scan *scan, const void *bytes, size_t size, struct err *err);
// No more comes: INVALID_ARGUMENT when it ends in the middle of an entry, or is empty.
int tar_scan_end(const struct tar_scan *scan, struct err *err);

#endif
