#include "raft/disk/row.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define FACT_BYTES_MAX  4096
#define STATE_PLACE_MAX 640

static_assert(FACT_BYTES_MAX >= 5 * 4 + 4 * 8 * RAFT_MEMBERS_MAX, "a configuration fits");

// ---- entries -----------------------------------------------------------------------------------

// "log", index, term and type: what an entry's body is bound to.
struct entry_place {
    uint8_t bytes[3 + 8 + ROW_ENTRY_HEAD_BYTES];
};

static struct entry_place entry_place(uint64_t index, const uint8_t head[ROW_ENTRY_HEAD_BYTES])
{
    struct entry_place place = {.bytes = {'l', 'o', 'g'}};
    for (unsigned i = 0; i < 8; i++)
        place.bytes[3 + i] = (uint8_t)(index >> (8 * i));
    memcpy(place.bytes + 11, head, ROW_ENTRY_HEAD_BYTES);
    return place;
}

void row_put_entry(struct seal *seal, const struct raft_entry *entry, struct buf *out)
{
    size_t head = out->len;
    buf_put_u64le(out, entry->term);
    buf_put_u8(out, (uint8_t)entry->type);
    if (!buf_ok(out))
        return;
    struct entry_place place = entry_place(entry->index, out->data + head);
    seal_put(seal, place.bytes, sizeof place.bytes, entry->data ? entry->data->bytes : NULL,
             entry->data ? entry->data->len : 0, out);
}

uint64_t row_entry_term(const void *row, size_t size)
{
    struct cursor cursor = cursor_of(row, size);
    return cursor_u64le(&cursor);
}

int row_get_entry(struct seal *seal, uint64_t index, const void *row, size_t size,
                  struct raft_entry *entry, struct err *err)
{
    struct cursor cursor = cursor_of(row, size);
    uint64_t term = cursor_u64le(&cursor);
    uint8_t type = cursor_u8(&cursor);
    if (!cursor_ok(&cursor) || type > RAFT_ENTRY_CONF_CHANGE_V2 || term == 0)
        return err_set(err, ERR_DATA_LOSS, "log entry %" PRIu64 " is damaged", index);
    struct entry_place place = entry_place(index, row);
    struct buf body;
    buf_init(&body, ROW_ENTRY_BYTES_MAX);
    int result = seal_open(seal, place.bytes, sizeof place.bytes, cursor.at, cursor_left(&cursor),
                           &body, err);
    if (result) {
        buf_fini(&body);
        return err_wrap(err, "log entry %" PRIu64, index);
    }
    *entry = (struct raft_entry){.term = term, .index = index, .type = type};
    if (body.len)
        entry->data = raft_blob_new(body.data, body.len);
    buf_fini(&body);
    return 0;
}

// ---- facts -------------------------------------------------------------------------------------

static void put_fact(struct seal *seal, const char *name, const struct buf *fact, struct buf *out)
{
    CHECK(buf_ok(fact));
    seal_put(seal, name, strlen(name), fact->data, fact->len, out);
}

// Opens a fact into `fact` (initialised here; the caller finishes it, also on error).
static int get_fact(struct seal *seal, const char *name, const void *row, size_t size,
                    struct buf *fact, struct err *err)
{
    buf_init(fact, FACT_BYTES_MAX);
    if (seal_open(seal, name, strlen(name), row, size, fact, err))
        return err_wrap(err, "log record '%s'", name);
    return 0;
}

// What all facts end with: everything read, nothing left over.
static int end_fact(const char *name, struct cursor *cursor, struct buf *fact, struct err *err)
{
    bool done = cursor_done(cursor);
    buf_fini(fact);
    return done ? 0 : err_set(err, ERR_DATA_LOSS, "log record '%s' is damaged", name);
}

void row_put_hard(struct seal *seal, const struct raft_hard_state *hard, struct buf *out)
{
    struct buf fact;
    buf_init(&fact, FACT_BYTES_MAX);
    buf_put_u64le(&fact, hard->term);
    buf_put_u64le(&fact, hard->vote);
    buf_put_u64le(&fact, hard->commit);
    put_fact(seal, ROW_HARD, &fact, out);
    buf_fini(&fact);
}

int row_get_hard(struct seal *seal, const void *row, size_t size, struct raft_hard_state *hard,
                 struct err *err)
{
    struct buf fact;
    int result = get_fact(seal, ROW_HARD, row, size, &fact, err);
    if (result) {
        buf_fini(&fact);
        return result;
    }
    struct cursor cursor = cursor_of(fact.data, fact.len);
    hard->term = cursor_u64le(&cursor);
    hard->vote = cursor_u64le(&cursor);
    hard->commit = cursor_u64le(&cursor);
    return end_fact(ROW_HARD, &cursor, &fact, err);
}

void row_put_start(struct seal *seal, const struct raft_run *start, struct buf *out)
{
    struct buf fact;
    buf_init(&fact, FACT_BYTES_MAX);
    buf_put_u64le(&fact, start->index);
    buf_put_u64le(&fact, start->term);
    put_fact(seal, ROW_START, &fact, out);
    buf_fini(&fact);
}

int row_get_start(struct seal *seal, const void *row, size_t size, struct raft_run *start,
                  struct err *err)
{
    struct buf fact;
    int result = get_fact(seal, ROW_START, row, size, &fact, err);
    if (result) {
        buf_fini(&fact);
        return result;
    }
    struct cursor cursor = cursor_of(fact.data, fact.len);
    start->index = cursor_u64le(&cursor);
    start->term = cursor_u64le(&cursor);
    return end_fact(ROW_START, &cursor, &fact, err);
}

void row_put_applied(struct seal *seal, uint64_t applied, struct buf *out)
{
    struct buf fact;
    buf_init(&fact, FACT_BYTES_MAX);
    buf_put_u64le(&fact, applied);
    put_fact(seal, ROW_APPLIED, &fact, out);
    buf_fini(&fact);
}

int row_get_applied(struct seal *seal, const void *row, size_t size, uint64_t *applied,
                    struct err *err)
{
    struct buf fact;
    int result = get_fact(seal, ROW_APPLIED, row, size, &fact, err);
    if (result) {
        buf_fini(&fact);
        return result;
    }
    struct cursor cursor = cursor_of(fact.data, fact.len);
    *applied = cursor_u64le(&cursor);
    return end_fact(ROW_APPLIED, &cursor, &fact, err);
}

static void put_ids(struct buf *out, const uint64_t *ids, uint32_t count)
{
    CHECK(count <= RAFT_MEMBERS_MAX);
    buf_put_u32le(out, count);
    for (uint32_t i = 0; i < count; i++)
        buf_put_u64le(out, ids[i]);
}

static uint32_t get_ids(struct cursor *cursor, uint64_t ids[RAFT_MEMBERS_MAX])
{
    uint32_t count = cursor_u32le(cursor);
    if (count > RAFT_MEMBERS_MAX)
        cursor_fail(cursor);
    for (uint32_t i = 0; cursor_ok(cursor) && i < count; i++)
        ids[i] = cursor_u64le(cursor);
    return cursor_ok(cursor) ? count : 0;
}

void row_put_conf(struct seal *seal, const struct raft_conf *conf, struct buf *out)
{
    struct buf fact;
    buf_init(&fact, FACT_BYTES_MAX);
    put_ids(&fact, conf->voters, conf->voters_count);
    put_ids(&fact, conf->outgoing, conf->outgoing_count);
    put_ids(&fact, conf->learners, conf->learners_count);
    put_ids(&fact, conf->learners_next, conf->learners_next_count);
    buf_put_u8(&fact, conf->auto_leave);
    put_fact(seal, ROW_CONF, &fact, out);
    buf_fini(&fact);
}

int row_get_conf(struct seal *seal, const void *row, size_t size, struct raft_conf *conf,
                 struct err *err)
{
    struct buf fact;
    int result = get_fact(seal, ROW_CONF, row, size, &fact, err);
    if (result) {
        buf_fini(&fact);
        return result;
    }
    *conf = (struct raft_conf){0};
    struct cursor cursor = cursor_of(fact.data, fact.len);
    conf->voters_count = get_ids(&cursor, conf->voters);
    conf->outgoing_count = get_ids(&cursor, conf->outgoing);
    conf->learners_count = get_ids(&cursor, conf->learners);
    conf->learners_next_count = get_ids(&cursor, conf->learners_next);
    conf->auto_leave = cursor_u8(&cursor) != 0;
    return end_fact(ROW_CONF, &cursor, &fact, err);
}

void row_put_ours(struct seal *seal, const uint64_t *ours, size_t count, struct buf *out)
{
    CHECK(count <= RAFT_MEMBERS_MAX);
    struct buf fact;
    buf_init(&fact, FACT_BYTES_MAX);
    put_ids(&fact, ours, (uint32_t)count);
    put_fact(seal, ROW_OURS, &fact, out);
    buf_fini(&fact);
}

int row_get_ours(struct seal *seal, const void *row, size_t size, uint64_t ours[RAFT_MEMBERS_MAX],
                 size_t *count, struct err *err)
{
    struct buf fact;
    int result = get_fact(seal, ROW_OURS, row, size, &fact, err);
    if (result) {
        buf_fini(&fact);
        return result;
    }
    struct cursor cursor = cursor_of(fact.data, fact.len);
    *count = get_ids(&cursor, ours);
    return end_fact(ROW_OURS, &cursor, &fact, err);
}

// ---- state -------------------------------------------------------------------------------------

// "state" and the key. Keys are bounded by the database (511 bytes).
static size_t state_place(const void *key, size_t key_size, uint8_t place[STATE_PLACE_MAX])
{
    static const char table[] = "state";
    CHECK(key_size <= STATE_PLACE_MAX - sizeof table);
    memcpy(place, table, sizeof table);
    memcpy(place + sizeof table, key, key_size);
    return sizeof table + key_size;
}

void row_put_state(struct seal *seal, const void *key, size_t key_size, const void *value,
                   size_t value_size, struct buf *out)
{
    uint8_t place[STATE_PLACE_MAX];
    size_t place_size = state_place(key, key_size, place);
    seal_put(seal, place, place_size, value, value_size, out);
}

int row_get_state(struct seal *seal, const void *key, size_t key_size, const void *row, size_t size,
                  struct buf *value, struct err *err)
{
    uint8_t place[STATE_PLACE_MAX];
    size_t place_size = state_place(key, key_size, place);
    if (seal_open(seal, place, place_size, row, size, value, err))
        return err_wrap(err, "state record %.*s", (int)key_size, (const char *)key);
    return 0;
}
