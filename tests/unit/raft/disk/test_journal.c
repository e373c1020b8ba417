// Records of the journal read back as they were written; a torn one is the end, and damage is an
// error and not a shorter log. What waits for the database is the newest of what they say.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "raft/disk/journal.h"
#include "raft/disk/pending.h"

#define GENERATION 77u
#define FILE_BYTES ((size_t)64 * JOURNAL_PAGE_BYTES)

static uint8_t file[FILE_BYTES];
static size_t ends[32]; // of the records written
static uint64_t written;

static void setup(void)
{
    memset(file, 0, sizeof file);
    written = 0;
}

// A record of entries first..first+count-1, whose rows are `row_size` times the letter `mark`.
static void write_record(uint64_t generation, uint64_t first, uint32_t count, size_t row_size,
                         char mark)
{
    struct buf payload, record;
    buf_init(&payload, JOURNAL_PAYLOAD_MAX);
    buf_init(&record, FILE_BYTES);
    journal_payload_begin(&payload, first, count);
    journal_payload_row(&payload, "hard", 4);
    char *row = malloc(row_size + 1);
    memset(row, mark, row_size);
    for (uint32_t i = 0; i < count; i++)
        journal_payload_row(&payload, row, row_size);
    free(row);
    journal_put(generation, written, payload.data, payload.len, &record);
    ck_assert(buf_ok(&record));
    ck_assert_uint_eq(record.len, journal_record_bytes(payload.len));
    ck_assert_uint_eq(record.len % JOURNAL_PAGE_BYTES, 0);
    size_t at = written ? ends[written - 1] : 0;
    ck_assert_uint_le(at + record.len, FILE_BYTES);
    memcpy(file + at, record.data, record.len);
    ends[written++] = at + record.len;
    buf_fini(&payload);
    buf_fini(&record);
}

// How many records are read; `result` is what the last call said.
static uint64_t count_records(uint64_t generation, int *result, struct err *err)
{
    struct journal_reader reader;
    struct journal_record record;
    uint64_t count = 0;
    journal_reader_init(&reader, file, sizeof file, generation);
    while ((*result = journal_next(&reader, &record, err)) > 0)
        count++;
    journal_reader_fini(&reader);
    return count;
}

static void expect(uint64_t generation, uint64_t count)
{
    struct err err = ERR_INIT;
    int result;
    uint64_t got = count_records(generation, &result, &err);
    ck_assert_msg(result == 0, "%s", err.message);
    ck_assert_uint_eq(got, count);
}

static void expect_damage(uint64_t generation)
{
    struct err err = ERR_INIT;
    int result;
    count_records(generation, &result, &err);
    ck_assert_int_eq(result, -ERR_DATA_LOSS);
    ck_assert_ptr_nonnull(strstr(err.message, "log journal"));
}

START_TEST(records_read_back_as_they_were_written)
{
    size_t sizes[] = {1, 3, 440, 463, 464, 472, 504, 4000, 4096, 20000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        write_record(GENERATION, 10 * i + 1, (uint32_t)(i % 3), sizes[i], (char)('a' + i));
    struct journal_reader reader;
    struct journal_record record;
    journal_reader_init(&reader, file, sizeof file, GENERATION);
    for (size_t i = 0; i < written; i++) {
        ck_assert_int_eq(journal_next(&reader, &record, NULL), 1);
        ck_assert_uint_eq(record.first, 10 * i + 1);
        ck_assert_uint_eq(record.count, i % 3);
        ck_assert_uint_eq(cursor_left(&record.hard), 4);
        ck_assert_mem_eq(record.hard.at, "hard", 4);
        for (size_t k = 0; k < i % 3; k++) {
            struct cursor row = journal_record_row(&record);
            ck_assert_uint_eq(cursor_left(&row), sizes[i]);
            for (size_t at = 0; at < sizes[i]; at++)
                ck_assert_int_eq(row.at[at], 'a' + (int)i);
        }
    }
    ck_assert_int_eq(journal_next(&reader, &record, NULL), 0);
    journal_reader_fini(&reader);
}
END_TEST

START_TEST(the_largest_payload_is_a_record_and_a_full_file_ends_at_its_end)
{
    size_t row = JOURNAL_PAYLOAD_MAX - 12 - 8 - 4;
    struct buf record;
    buf_init(&record, 2 * JOURNAL_PAYLOAD_MAX);
    struct buf payload;
    buf_init(&payload, JOURNAL_PAYLOAD_MAX);
    journal_payload_begin(&payload, 1, 1);
    journal_payload_row(&payload, "hard", 4);
    uint8_t *bytes = calloc(1, row);
    journal_payload_row(&payload, bytes, row);
    free(bytes);
    ck_assert(buf_ok(&payload));
    ck_assert_uint_eq(payload.len, JOURNAL_PAYLOAD_MAX);
    journal_put(GENERATION, 0, payload.data, payload.len, &record);
    struct journal_reader reader;
    struct journal_record read;
    journal_reader_init(&reader, record.data, record.len, GENERATION);
    ck_assert_int_eq(journal_next(&reader, &read, NULL), 1);
    ck_assert_uint_eq(read.count, 1);
    ck_assert_int_eq(journal_next(&reader, &read, NULL), 0);
    journal_reader_fini(&reader);
    buf_fini(&record);
    buf_fini(&payload);
}
END_TEST

START_TEST(what_older_generations_left_is_no_record)
{
    for (int i = 0; i < 8; i++)
        write_record(GENERATION, 1 + (uint64_t)i, 1, 100, 'o');
    written = 0;
    expect(GENERATION + 1, 0);
    write_record(GENERATION + 1, 9, 1, 100, 'n');
    write_record(GENERATION + 1, 10, 1, 5000, 'n');
    expect(GENERATION + 1, 2);
    // But a database older than its journal was put beside it by somebody.
    expect_damage(GENERATION);
}
END_TEST

// Whichever sectors of the last record a loss of power kept: it is all there, or it is the end.
START_TEST(a_torn_record_is_the_end)
{
    static uint8_t before[FILE_BYTES], after[FILE_BYTES];
    for (int old = 0; old < 2; old++) {
        setup();
        if (old)
            for (int i = 0; i < 6; i++)
                write_record(GENERATION - 1, 1 + (uint64_t)i, 1, 6000, 'o');
        written = 0;
        write_record(GENERATION, 7, 1, 300, 'a');
        memcpy(before, file, sizeof file);
        write_record(GENERATION, 8, 2, 2800, 'b'); // two pages
        memcpy(after, file, sizeof file);
        size_t from = ends[0], sectors = (ends[1] - ends[0]) / JOURNAL_SECTOR_BYTES;
        ck_assert_uint_eq(sectors, 16);
        for (unsigned kept = 0; kept < 1u << 16; kept += 1 + kept % 37) {
            memcpy(file, before, sizeof file);
            for (size_t i = 0; i < sectors; i++)
                if (kept >> i & 1)
                    memcpy(file + from + i * JOURNAL_SECTOR_BYTES,
                           after + from + i * JOURNAL_SECTOR_BYTES, JOURNAL_SECTOR_BYTES);
            expect(GENERATION, 1);
        }
        memcpy(file, after, sizeof file);
        expect(GENERATION, 2);
    }
}
END_TEST

// Any bit of what was stored: those of the last record's stamps alone are not told from a record
// that never was.
START_TEST(damage_is_an_error_and_not_a_shorter_log)
{
    write_record(GENERATION, 1, 1, 300, 'a');
    write_record(GENERATION, 2, 1, 5000, 'b');
    write_record(GENERATION, 3, 1, 400, 'c');
    for (size_t at = 0; at < ends[2]; at++) {
        bool last = at >= ends[1];
        if (at % JOURNAL_SECTOR_BYTES < 8 && last)
            continue;
        // What follows the payload is zeros that nobody reads.
        size_t begin = last ? ends[1] : at >= ends[0] ? ends[0] : 0;
        size_t payload = 12 + 8 + 4 + (last ? 400 : at >= ends[0] ? 5000 : 300);
        size_t sector = (at - begin) / JOURNAL_SECTOR_BYTES;
        size_t place = sector * 504 + at % JOURNAL_SECTOR_BYTES - 8;
        bool padding = at % JOURNAL_SECTOR_BYTES >= 8 && place >= 40 + payload;
        file[at] ^= (uint8_t)(1u << at % 8);
        if (padding)
            expect(GENERATION, 3);
        else
            expect_damage(GENERATION);
        file[at] ^= (uint8_t)(1u << at % 8);
    }
    expect(GENERATION, 3);
    // A whole record that is gone, and one in the place of another.
    memset(file + ends[0], 0, ends[1] - ends[0]);
    expect_damage(GENERATION);
    setup();
    write_record(GENERATION, 1, 1, 300, 'a');
    write_record(GENERATION, 2, 1, 300, 'b');
    write_record(GENERATION, 3, 1, 300, 'c');
    memcpy(file + ends[0], file + ends[1], JOURNAL_PAGE_BYTES);
    expect_damage(GENERATION);
}
END_TEST

// ---- what waits ---------------------------------------------------------------------------------

static bool take(struct pending *pending, uint64_t first, uint32_t count, char mark)
{
    struct buf payload;
    buf_init(&payload, JOURNAL_PAYLOAD_MAX);
    journal_payload_begin(&payload, first, count);
    journal_payload_row(&payload, &mark, 1);
    for (uint32_t i = 0; i < count; i++)
        journal_payload_row(&payload, &mark, 1);
    struct journal_record record;
    ck_assert(journal_payload_read(payload.data, payload.len, &record));
    bool ok = pending_take(pending, &record);
    buf_fini(&payload);
    return ok;
}

static void expect_pending(const struct pending *pending, uint64_t first, const char *marks,
                           char hard)
{
    ck_assert_uint_eq(pending->count, strlen(marks));
    if (pending->count)
        ck_assert_uint_eq(pending->first, first);
    for (size_t i = 0; i < pending->count; i++) {
        struct cursor row = pending_row(pending, i);
        ck_assert_uint_eq(cursor_left(&row), 1);
        ck_assert_int_eq(row.at[0], marks[i]);
    }
    ck_assert_uint_eq(pending->hard.len, 1);
    ck_assert_int_eq(pending->hard.data[0], hard);
}

START_TEST(newer_entries_take_the_place_of_those_they_conflict_with)
{
    struct pending pending;
    pending_init(&pending, 1 << 20);
    ck_assert(pending_empty(&pending));
    ck_assert(take(&pending, 0, 0, 'a'));
    ck_assert(!pending_empty(&pending));
    expect_pending(&pending, 0, "", 'a');
    ck_assert(take(&pending, 5, 3, 'b'));
    expect_pending(&pending, 5, "bbb", 'b');
    ck_assert(take(&pending, 8, 1, 'c'));
    expect_pending(&pending, 5, "bbbc", 'c');
    ck_assert(take(&pending, 6, 1, 'd'));
    expect_pending(&pending, 5, "bd", 'd');
    ck_assert(!take(&pending, 8, 1, 'x')); // a gap
    expect_pending(&pending, 5, "bd", 'd');
    ck_assert(take(&pending, 3, 2, 'e')); // before all of them
    expect_pending(&pending, 3, "ee", 'e');
    ck_assert(take(&pending, 0, 0, 'f'));
    expect_pending(&pending, 3, "ee", 'f');
    pending_clear(&pending);
    ck_assert(pending_empty(&pending));
    pending_fini(&pending);
}
END_TEST

Suite *suite_journal(void);
Suite *suite_journal(void)
{
    Suite *suite = suite_create("journal");
    TCase *tcase = tcase_create("journal");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, records_read_back_as_they_were_written);
    tcase_add_test(tcase, the_largest_payload_is_a_record_and_a_full_file_ends_at_its_end);
    tcase_add_test(tcase, what_older_generations_left_is_no_record);
    tcase_add_test(tcase, a_torn_record_is_the_end);
    tcase_add_test(tcase, damage_is_an_error_and_not_a_shorter_log);
    tcase_add_test(tcase, newer_entries_take_the_place_of_those_they_conflict_with);
    suite_add_tcase(suite, tcase);
    return suite;
}
