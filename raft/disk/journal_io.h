// The journal's file: made ahead at its full size and full of zeros, so that storing a record is
// one write and one flush of data that moves no block and no size.
//
// All calls block, one at a time.
#ifndef RAFT_DISK_JOURNAL_IO_H
#define RAFT_DISK_JOURNAL_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "raft/disk/journal.h"

#define JOURNAL_FILE "journal"

// Size of the file. What it holds goes to the database once a second or when enough came together;
// this is for some thousand writes between.
#define JOURNAL_BYTES ((size_t)4 << 20)

struct journal_file {
    int fd;              // -1: none
    size_t bytes;        // that may be written, whole pages; 0: the disk had no room for it
    uint64_t generation; // of what is written from now on
    uint64_t number;     // of the next record
    size_t at;           // where it goes
    bool used;           // something of this generation may be in the file
    bool shut;           // nothing goes in before the next generation
    struct buf record;   // being written
};

// Opens the file in `dir`, of which at least `bytes` were in use; `bytes` NULL: a new one, and what
// was there is forgotten. DATA_LOSS when it is not there or too short.
int journal_file_open(struct journal_file *file, const char *dir, const uint64_t *bytes,
                      struct err *err);
void journal_file_close(struct journal_file *file); // also after a failed open, or none

// Appends the whole file to `out`.
int journal_file_read(struct journal_file *file, struct buf *out, struct err *err);

// Brings the file to its full size. A disk too full for it is no error: `bytes` tells.
int journal_file_extend(struct journal_file *file, const char *dir, struct err *err);

// What is in the file is of no use any more: `generation` begins at its start.
void journal_file_restart(struct journal_file *file, uint64_t generation);

// Whether a record of this payload can be stored now.
bool journal_file_has_room(const struct journal_file *file, size_t payload);

// Stores a record: when it returns 0 no loss of power takes it away. RESOURCE_EXHAUSTED: it is not
// stored, and the file is shut. DATA_LOSS: nobody knows what is stored. The caller must write
// nothing more and forget nothing; above all it must not flush again, since the system reports such
// an error once and then takes the pages for clean.
int journal_file_append(struct journal_file *file, const struct buf *payload, struct err *err);

#endif
