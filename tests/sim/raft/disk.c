// A fake disk: what was synced stays; a write in flight when the power fails may be gone, whole, or
// torn. Records carry a checksum, so that a torn one is known for what it is.
//
// On a sealed disk, entries and hard state are kept as the rows that raft/disk makes of them, and a
// restart has nothing but those rows to start from.
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "tests/sim/raft/sim.h"

#define ROW_BYTES_MAX 65536

static struct rand *nonces;

static void draw(void *out, size_t size)
{
    rand_bytes(nonces, out, size);
}

void disk_init(struct sim_disk *disk, struct rand *rand, bool sealed)
{
    *disk = (struct sim_disk){0};
    buf_init(&disk->hard_row, ROW_BYTES_MAX);
    if (!sealed)
        return;
    struct seal_key key;
    rand_bytes(rand, key.bytes, sizeof key.bytes);
    nonces = rand;
    disk->seal = seal_new(&key, NULL, draw);
}

static void drop(struct sim_disk *disk, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        raft_blob_unref(disk->entries[i].data);
        raft_blob_unref(disk->rows[i]);
    }
}

static void drop_from(struct sim_disk *disk, size_t at)
{
    drop(disk, at, disk->count);
    if (at < disk->count)
        disk->count = at;
}

void disk_fini(struct sim_disk *disk)
{
    drop_from(disk, 0);
    free(disk->entries);
    free(disk->rows);
    buf_fini(&disk->hard_row);
    seal_free(disk->seal);
    *disk = (struct sim_disk){0};
}

// The row of an entry, or NULL on a disk that is not sealed.
static struct raft_blob *seal_entry(struct sim_disk *disk, const struct raft_entry *entry)
{
    if (!disk->seal)
        return NULL;
    struct buf row;
    buf_init(&row, ROW_BYTES_MAX);
    row_put_entry(disk->seal, entry, &row);
    CHECK(buf_ok(&row));
    struct raft_blob *blob = raft_blob_new(row.data, row.len);
    buf_fini(&row);
    return blob;
}

static void push(struct sim_disk *disk, const struct raft_entry *entry)
{
    size_t rows_cap = disk->cap;
    disk->entries = raft_grow(disk->entries, disk->count, &disk->cap, sizeof *disk->entries);
    disk->rows = raft_grow(disk->rows, disk->count, &rows_cap, sizeof *disk->rows);
    disk->rows[disk->count] = seal_entry(disk, entry);
    disk->entries[disk->count++] = *entry;
    raft_blob_ref(entry->data);
}

uint64_t disk_last(const struct sim_disk *disk)
{
    return disk->start_index + disk->count;
}

uint64_t disk_term(const struct sim_disk *disk, uint64_t index)
{
    if (index == disk->start_index)
        return disk->start_term;
    if (index < disk->start_index || index > disk_last(disk))
        return 0;
    return disk->entries[index - disk->start_index - 1].term;
}

void disk_submit(struct sim_disk *disk, const struct raft_write *write)
{
    CHECK(!disk->in_flight);
    disk->in_flight = write;
}

static void perform(struct sim_disk *disk, const struct raft_write *write)
{
    if (write->snapshot) {
        drop_from(disk, 0);
        disk->start_index = write->snapshot->index;
        disk->start_term = write->snapshot->term;
    }
    if (write->entries_count > 0) {
        CHECK(write->entries[0].index > disk->start_index);
        CHECK(write->entries[0].index <= disk_last(disk) + 1);
        drop_from(disk, write->entries[0].index - disk->start_index - 1);
    }
    for (size_t i = 0; i < write->entries_count; i++)
        push(disk, &write->entries[i]);
    disk->hard = write->hard;
    if (disk->seal) {
        buf_clear(&disk->hard_row);
        row_put_hard(disk->seal, &write->hard, &disk->hard_row);
    }
}

void disk_sync(struct sim_disk *disk)
{
    CHECK(disk->in_flight);
    perform(disk, disk->in_flight);
    disk->in_flight = NULL;
}

// ---- the record ---------------------------------------------------------------------------------

static uint64_t checksum(const uint8_t *bytes, size_t size)
{
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(1099511628211);
    return sum;
}

static void encode(const struct raft_write *write, struct buf *out)
{
    struct buf body;
    buf_init(&body, SIZE_MAX / 2);
    buf_put_u64be(&body, write->hard.term);
    buf_put_u64be(&body, write->hard.vote);
    buf_put_u64be(&body, write->hard.commit);
    buf_put_u64be(&body, write->snapshot ? write->snapshot->index : 0);
    buf_put_u64be(&body, write->snapshot ? write->snapshot->term : 0);
    buf_put_u64be(&body, write->snapshot ? write->snapshot->handle : 0);
    buf_put_u64be(&body, write->entries_count);
    for (size_t i = 0; i < write->entries_count; i++) {
        const struct raft_entry *entry = &write->entries[i];
        buf_put_u64be(&body, entry->term);
        buf_put_u64be(&body, entry->index);
        buf_put_u8(&body, (uint8_t)entry->type);
        buf_put_u8(&body, entry->data != NULL);
        buf_put_u32be(&body, entry->data ? entry->data->len : 0);
        if (entry->data)
            buf_put(&body, entry->data->bytes, entry->data->len);
    }
    buf_put_u64be(out, body.len);
    buf_put_u64be(out, checksum(body.data, body.len));
    buf_put(out, body.data, body.len);
    buf_fini(&body);
}

// Performs the record if it is whole. Returns whether it was.
static bool replay(struct sim_disk *disk, const struct buf *record, size_t size, uint64_t *handle)
{
    struct cursor cursor = cursor_of(record->data, size);
    uint64_t len = cursor_u64be(&cursor);
    uint64_t sum = cursor_u64be(&cursor);
    if (!cursor_ok(&cursor) || cursor_left(&cursor) != len || checksum(cursor.at, len) != sum)
        return false;
    struct raft_write write = {0};
    struct raft_snapshot snapshot = {0};
    write.hard.term = cursor_u64be(&cursor);
    write.hard.vote = cursor_u64be(&cursor);
    write.hard.commit = cursor_u64be(&cursor);
    snapshot.index = cursor_u64be(&cursor);
    snapshot.term = cursor_u64be(&cursor);
    *handle = cursor_u64be(&cursor);
    write.snapshot = snapshot.index ? &snapshot : NULL;
    uint64_t count = cursor_u64be(&cursor);
    struct raft_batch batch = {0};
    size_t cap = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct raft_entry entry = {.term = cursor_u64be(&cursor), .index = cursor_u64be(&cursor)};
        entry.type = (enum raft_entry_type)cursor_u8(&cursor);
        bool has_data = cursor_u8(&cursor);
        uint32_t bytes = cursor_u32be(&cursor);
        entry.data = has_data ? raft_blob_new(cursor_bytes(&cursor, bytes), bytes) : NULL;
        batch_add(&batch, &cap, &entry);
        raft_blob_unref(entry.data);
    }
    CHECK(cursor_done(&cursor));
    write.entries = batch.entries;
    write.entries_count = batch.count;
    perform(disk, &write);
    batch_fini(&batch);
    return true;
}

uint64_t disk_crash(struct sim_disk *disk, struct rand *rand, bool *sound)
{
    uint64_t handle = 0;
    *sound = true;
    if (!disk->in_flight)
        return 0;
    struct buf record;
    buf_init(&record, SIZE_MAX / 2);
    encode(disk->in_flight, &record);
    size_t kept = 0;
    switch (rand_below(rand, 3)) {
    case 0:
        break; // nothing of it arrived
    case 1:
        kept = record.len; // it was only never reported
        break;
    default:
        kept = rand_below(rand, record.len); // torn
        break;
    }
    bool whole = replay(disk, &record, kept, &handle);
    *sound = whole == (kept == record.len);
    disk->in_flight = NULL;
    buf_fini(&record);
    return handle;
}

// ---- reading ------------------------------------------------------------------------------------

void disk_compact(struct sim_disk *disk, uint64_t index)
{
    if (index <= disk->start_index)
        return;
    CHECK(index <= disk_last(disk));
    uint64_t term = disk_term(disk, index);
    size_t gone = index - disk->start_index;
    drop(disk, 0, gone);
    memmove(disk->entries, disk->entries + gone, (disk->count - gone) * sizeof *disk->entries);
    memmove(disk->rows, disk->rows + gone, (disk->count - gone) * sizeof *disk->rows);
    disk->count -= gone;
    disk->start_index = index;
    disk->start_term = term;
}

// Forgets what is in memory and reads the rows again.
static int reread(struct sim_disk *disk, struct err *err)
{
    for (size_t i = 0; i < disk->count; i++) {
        uint64_t index = disk->start_index + 1 + i;
        uint64_t term = row_entry_term(disk->rows[i]->bytes, disk->rows[i]->len);
        raft_blob_unref(disk->entries[i].data);
        disk->entries[i] = (struct raft_entry){0};
        int result = row_get_entry(disk->seal, index, disk->rows[i]->bytes, disk->rows[i]->len,
                                   &disk->entries[i], err);
        if (result < 0)
            return result;
        if (disk->entries[i].index != index || disk->entries[i].term != term)
            return err_set(err, ERR_DATA_LOSS, "row of another entry");
    }
    if (disk->hard_row.len == 0)
        return 0;
    disk->hard = (struct raft_hard_state){0};
    return row_get_hard(disk->seal, disk->hard_row.data, disk->hard_row.len, &disk->hard, err);
}

int disk_reread(struct sim_disk *disk, struct err *err)
{
    return disk->seal ? reread(disk, err) : 0;
}

void disk_boot(const struct sim_disk *disk, struct raft_boot *boot, struct raft_run *runs)
{
    boot->hard = disk->hard;
    boot->start.index = disk->start_index;
    boot->start.term = disk->start_term;
    boot->last_index = disk_last(disk);
    boot->runs = runs;
    boot->runs_count = 0;
    for (size_t i = 0; i < disk->count; i++)
        if (i == 0 || disk->entries[i].term != disk->entries[i - 1].term)
            runs[boot->runs_count++] =
                (struct raft_run){disk->entries[i].index, disk->entries[i].term};
}

size_t disk_load(const struct sim_disk *disk, const struct raft_load *load,
                 const struct raft_entry **entries)
{
    if (load->first <= disk->start_index || load->first > disk_last(disk))
        return 0;
    size_t at = load->first - disk->start_index - 1;
    *entries = &disk->entries[at];
    size_t count = 0;
    size_t bytes = 0;
    while (at + count < disk->count && load->first + count <= load->last) {
        bytes += raft_entry_bytes(&disk->entries[at + count]);
        if (count > 0 && bytes > load->bytes)
            break;
        count++;
    }
    return count;
}
