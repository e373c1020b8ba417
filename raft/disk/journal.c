#include "raft/disk/journal.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#include "proto/base/check.h"

#define MAGIC        0x6c6e6a53u // "Sjnl"
#define STAMP_BYTES  8
#define SUM_BYTES    8
#define HEAD_BYTES   40
#define PLACE_BYTES  24 // magic, size, generation, number
#define SECTOR_ROOM  (JOURNAL_SECTOR_BYTES - STAMP_BYTES)
#define PAGE_SECTORS (JOURNAL_PAGE_BYTES / JOURNAL_SECTOR_BYTES)

static_assert(JOURNAL_PAGE_BYTES % JOURNAL_SECTOR_BYTES == 0, "a page is whole sectors");
static_assert(HEAD_BYTES < SECTOR_ROOM, "a head lies in one sector");

// Keys of the hashes, which guard against accidents and not against anybody: they are no secrets.
static const uint8_t stamp_key[crypto_shorthash_KEYBYTES] = "skep log sector";
static const uint8_t sum_key[crypto_shorthash_KEYBYTES] = "skep log record";

static_assert(crypto_shorthash_BYTES == STAMP_BYTES, "a stamp is a hash");
static_assert(crypto_shorthash_BYTES == SUM_BYTES, "a checksum is a hash");
static_assert(PLACE_BYTES + 2 * SUM_BYTES == HEAD_BYTES, "a head is a place and two checksums");

// ---- numbers and hashes -------------------------------------------------------------------------

static void store_le(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void hash(uint8_t out[STAMP_BYTES], const void *bytes, size_t size, const uint8_t *key)
{
    int result = crypto_shorthash(out, bytes, size, key);
    CHECK(result == 0);
}

static void make_stamp(uint8_t stamp[STAMP_BYTES], uint64_t generation, uint64_t number)
{
    uint8_t place[16];
    store_le(place, generation, 8);
    store_le(place + 8, number, 8);
    hash(stamp, place, sizeof place, stamp_key);
}

// ---- writing ------------------------------------------------------------------------------------

void journal_payload_begin(struct buf *payload, uint64_t first, uint32_t count)
{
    buf_put_u64le(payload, first);
    buf_put_u32le(payload, count);
}

void journal_payload_row(struct buf *payload, const void *row, size_t size)
{
    CHECK(size <= UINT32_MAX);
    buf_put_u32le(payload, (uint32_t)size);
    buf_put(payload, row, size);
}

size_t journal_record_bytes(size_t payload)
{
    CHECK(payload <= JOURNAL_PAYLOAD_MAX);
    size_t sectors = (HEAD_BYTES + payload + SECTOR_ROOM - 1) / SECTOR_ROOM;
    return (sectors + PAGE_SECTORS - 1) / PAGE_SECTORS * JOURNAL_PAGE_BYTES;
}

void journal_put(uint64_t generation, uint64_t number, const void *payload, size_t size,
                 struct buf *out)
{
    size_t total = journal_record_bytes(size);
    uint8_t *at = buf_extend(out, total);
    if (!at)
        return; // buf_ok tells
    memset(at, 0, total);
    uint8_t stamp[STAMP_BYTES], head[HEAD_BYTES];
    make_stamp(stamp, generation, number);
    store_le(head, MAGIC, 4);
    store_le(head + 4, size, 4);
    store_le(head + 8, generation, 8);
    store_le(head + 16, number, 8);
    hash(head + PLACE_BYTES, payload, size, sum_key);
    hash(head + PLACE_BYTES + SUM_BYTES, head, PLACE_BYTES + SUM_BYTES, sum_key);
    memcpy(at + STAMP_BYTES, head, HEAD_BYTES);
    size_t used = HEAD_BYTES;
    const uint8_t *from = payload;
    for (uint8_t *sector = at; sector < at + total; sector += JOURNAL_SECTOR_BYTES) {
        memcpy(sector, stamp, STAMP_BYTES);
        size_t part = size < SECTOR_ROOM - used ? size : SECTOR_ROOM - used;
        if (part)
            memcpy(sector + STAMP_BYTES + used, from, part);
        from += part;
        size -= part;
        used = 0;
    }
    CHECK(size == 0);
}

// ---- payloads -----------------------------------------------------------------------------------

bool journal_payload_read(const void *payload, size_t size, struct journal_record *record)
{
    struct cursor cursor = cursor_of(payload, size);
    record->first = cursor_u64le(&cursor);
    record->count = cursor_u32le(&cursor);
    record->hard = cursor_sub(&cursor, cursor_u32le(&cursor));
    record->sized = cursor;
    for (uint32_t i = 0; cursor_ok(&cursor) && i < record->count; i++)
        cursor_sub(&cursor, cursor_u32le(&cursor));
    return cursor_done(&cursor) && (record->count == 0 || record->first > 0) &&
           record->first <= UINT64_MAX - record->count;
}

struct cursor journal_record_row(struct journal_record *record)
{
    return cursor_sub(&record->sized, cursor_u32le(&record->sized));
}

// ---- reading ------------------------------------------------------------------------------------

void journal_reader_init(struct journal_reader *reader, const void *bytes, size_t size,
                         uint64_t generation)
{
    *reader = (struct journal_reader){
        .bytes = bytes,
        .size = size / JOURNAL_PAGE_BYTES * JOURNAL_PAGE_BYTES,
        .generation = generation,
    };
    buf_init(&reader->payload, JOURNAL_PAYLOAD_MAX + HEAD_BYTES);
}

void journal_reader_fini(struct journal_reader *reader)
{
    buf_fini(&reader->payload);
}

// What a record's first sector tells.
struct head {
    uint64_t size, generation, number;
    const uint8_t *bytes; // the head itself
};

// True when a record begins at `at`, of whatever generation: its sector has the stamp that its head
// asks for, and the head verifies.
static bool read_head(const struct journal_reader *reader, size_t at, struct head *head)
{
    const uint8_t *sector = reader->bytes + at;
    struct cursor cursor = cursor_of(sector + STAMP_BYTES, HEAD_BYTES);
    uint32_t magic = cursor_u32le(&cursor);
    head->bytes = sector + STAMP_BYTES;
    head->size = cursor_u32le(&cursor);
    head->generation = cursor_u64le(&cursor);
    head->number = cursor_u64le(&cursor);
    uint8_t stamp[STAMP_BYTES], sum[SUM_BYTES];
    make_stamp(stamp, head->generation, head->number);
    hash(sum, head->bytes, PLACE_BYTES + SUM_BYTES, sum_key);
    return magic == MAGIC && memcmp(sector, stamp, sizeof stamp) == 0 &&
           memcmp(head->bytes + PLACE_BYTES + SUM_BYTES, sum, sizeof sum) == 0;
}

// The journal ends here, unless something tells that it went on.
static int at_end(const struct journal_reader *reader, struct err *err)
{
    for (size_t at = reader->at; at < reader->size; at += JOURNAL_PAGE_BYTES) {
        struct head head;
        if (!read_head(reader, at, &head))
            continue;
        if (head.generation > reader->generation)
            return err_set(err, ERR_DATA_LOSS,
                           "log journal is newer than the database beside it (record %" PRIu64
                           " at %zu)",
                           head.number, at);
        if (head.generation == reader->generation && head.number > reader->number)
            return err_set(err, ERR_DATA_LOSS,
                           "log journal lacks record %" PRIu64 " at %zu, and has %" PRIu64
                           " behind it",
                           reader->number, reader->at, head.number);
    }
    return 0;
}

static int damaged(const struct journal_reader *reader, struct err *err)
{
    return err_set(err, ERR_DATA_LOSS, "log journal is damaged: record %" PRIu64 " at %zu",
                   reader->number, reader->at);
}

// Gathers head and payload of the record at hand. False: torn.
static bool gather(struct journal_reader *reader, const uint8_t *stamp, size_t bytes)
{
    buf_clear(&reader->payload);
    const uint8_t *sector = reader->bytes + reader->at;
    for (size_t i = 0; i < bytes / JOURNAL_SECTOR_BYTES; i++, sector += JOURNAL_SECTOR_BYTES) {
        if (memcmp(sector, stamp, STAMP_BYTES) != 0)
            return false;
        size_t left = JOURNAL_PAYLOAD_MAX + HEAD_BYTES - reader->payload.len;
        buf_put(&reader->payload, sector + STAMP_BYTES, left < SECTOR_ROOM ? left : SECTOR_ROOM);
    }
    CHECK(buf_ok(&reader->payload));
    return true;
}

int journal_next(struct journal_reader *reader, struct journal_record *record, struct err *err)
{
    if (reader->at == reader->size)
        return 0;
    uint8_t stamp[STAMP_BYTES], sum[SUM_BYTES];
    make_stamp(stamp, reader->generation, reader->number);
    if (memcmp(reader->bytes + reader->at, stamp, sizeof stamp) != 0)
        return at_end(reader, err);
    // The first sector was written, so all of it was.
    struct head head;
    if (!read_head(reader, reader->at, &head) || head.generation != reader->generation ||
        head.number != reader->number || head.size > JOURNAL_PAYLOAD_MAX)
        return damaged(reader, err);
    size_t bytes = journal_record_bytes((size_t)head.size);
    if (bytes > reader->size - reader->at)
        return damaged(reader, err);
    if (!gather(reader, stamp, bytes))
        return at_end(reader, err);
    const uint8_t *payload = reader->payload.data + HEAD_BYTES;
    hash(sum, payload, (size_t)head.size, sum_key);
    if (memcmp(sum, head.bytes + PLACE_BYTES, sizeof sum) != 0 ||
        !journal_payload_read(payload, (size_t)head.size, record))
        return damaged(reader, err);
    reader->at += bytes;
    reader->number++;
    return 1;
}
