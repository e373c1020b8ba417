// The records of the log's journal: how one write of the log becomes bytes of a file that is
// written from its start again and again, and how a restart reads them. Pure.
//
// A record is whole pages. Each sector of it begins with a stamp (8) that is made of the record's
// generation and number; what the sectors hold besides, one after the other, is
//
//   magic (4) | payload size (4) | generation (8) | number (8) |
//   checksum of the payload (8) | checksum of all that (8) | payload | zeros
//
// and the payload is the index of the first entry (8), how many there are (4), then the row of the
// hard state and those of the entries, each after its size (4). Rows are sealed (row.h): nothing
// else of a write is in the file. All numbers are little-endian.
//
// A generation is the time between two moments at which all that the journal holds was moved to the
// database; it begins at the file's start with record 0. What older ones left lies behind its last
// record. A record is written when the one before it is known to be stored, so only the last can be
// torn. Disks store sectors whole or not at all (etcd's log leans on that, too): a record of which
// one sector has another stamp was torn, or never written, and is the end. Everything else that
// does not add up is damage: a record that is written whole and does not verify, or one that is
// missing while a later one is there.
#ifndef RAFT_DISK_JOURNAL_H
#define RAFT_DISK_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

// A page is written by one record of a generation only: what is stored is not written again.
#define JOURNAL_PAGE_BYTES   4096
#define JOURNAL_SECTOR_BYTES 512

// Largest payload. Larger writes of the log are rare, and the database takes them as well.
#define JOURNAL_PAYLOAD_MAX ((size_t)256 << 10)

// ---- writing ------------------------------------------------------------------------------------

// A payload is begun, then takes the hard state's row and those of `count` entries.
void journal_payload_begin(struct buf *payload, uint64_t first, uint32_t count);
void journal_payload_row(struct buf *payload, const void *row, size_t size);

// What a record with such a payload takes, in whole pages.
size_t journal_record_bytes(size_t payload);

// Appends the record.
void journal_put(uint64_t generation, uint64_t number, const void *payload, size_t size,
                 struct buf *out);

// ---- reading ------------------------------------------------------------------------------------

struct journal_record {
    struct cursor hard;  // the row
    uint64_t first;      // index of the first entry
    uint32_t count;      // of entries; 0: `first` means nothing
    struct cursor sized; // their rows, each after its size; all there
};

// Reads a payload. False when it is none.
bool journal_payload_read(const void *payload, size_t size, struct journal_record *record);

// The next row of a record's entries.
struct cursor journal_record_row(struct journal_record *record);

struct journal_reader {
    const uint8_t *bytes; // borrowed
    size_t size;
    uint64_t generation;
    uint64_t number; // of the next record
    size_t at;       // where it begins
    struct buf payload;
};

// Reads what `generation` left in these bytes, the whole file.
void journal_reader_init(struct journal_reader *reader, const void *bytes, size_t size,
                         uint64_t generation);
void journal_reader_fini(struct journal_reader *reader);

// 1: a record, valid until the next call. 0: the end. DATA_LOSS: damage, and nothing that came
// before may be used as if it were all.
int journal_next(struct journal_reader *reader, struct journal_record *record, struct err *err);

#endif
