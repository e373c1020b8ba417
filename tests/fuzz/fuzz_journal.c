// The journal of the Raft log: any file is read to an end or refused, every record that is read can
// be written and reads the same, and a record more at the end is found. The input is taken as a
// generation (one byte) and the file.
#include <stdlib.h>
#include <string.h>

#include "raft/disk/journal.h"
#include "raft/disk/pending.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

// Reads all records into `pending`; what they are written as again goes to `again`.
static int read_all(const void *bytes, size_t size, uint64_t generation, struct pending *pending,
                    struct buf *again, uint64_t *count)
{
    struct journal_reader reader;
    struct journal_record record;
    int result;
    journal_reader_init(&reader, bytes, size, generation);
    while ((result = journal_next(&reader, &record, NULL)) > 0) {
        struct journal_record rows = record;
        struct buf payload;
        buf_init(&payload, JOURNAL_PAYLOAD_MAX);
        journal_payload_begin(&payload, record.first, record.count);
        journal_payload_row(&payload, record.hard.at, cursor_left(&record.hard));
        for (uint32_t i = 0; i < record.count; i++) {
            struct cursor row = journal_record_row(&rows);
            if (!cursor_ok(&row))
                abort();
            journal_payload_row(&payload, row.at, cursor_left(&row));
        }
        journal_put(generation, reader.number - 1, payload.data, payload.len, again);
        if (!buf_ok(&payload) || again->len != reader.at)
            abort();
        buf_fini(&payload);
        pending_take(pending, &record);
    }
    *count = reader.number;
    journal_reader_fini(&reader);
    return result;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (size < 1 || size > FILE_BYTES_MAX)
        return 0;
    struct pending pending, same;
    struct buf again, rest;
    uint64_t count, again_count;
    pending_init(&pending, FILE_BYTES_MAX);
    pending_init(&same, FILE_BYTES_MAX);
    buf_init(&again, 2 * FILE_BYTES_MAX);
    buf_init(&rest, 2 * FILE_BYTES_MAX);
    if (read_all(data + 1, size - 1, data[0], &pending, &again, &count) == 0) {
        static const uint8_t payload[16];
        journal_put(data[0], count, payload, sizeof payload, &again);
        if (!buf_ok(&again) ||
            read_all(again.data, again.len, data[0], &same, &rest, &again_count) ||
            again_count != count + 1 || same.count != pending.count ||
            same.bytes.len != pending.bytes.len ||
            (same.bytes.len && memcmp(same.bytes.data, pending.bytes.data, same.bytes.len) != 0))
            abort();
    }
    pending_fini(&pending);
    pending_fini(&same);
    buf_fini(&again);
    buf_fini(&rest);
    return 0;
}
