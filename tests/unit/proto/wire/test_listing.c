// Lists by difference: what is asked for arrives, answers are read item by item, plain lists are
// read as such, and broken bytes end the reading.
#include <check.h>
#include <string.h>

#include "proto/wire/control.pb-c.h"
#include "proto/wire/listing.h"
#include "proto/wire/raw.h"
#include "proto/wire/wire.h"

START_TEST(a_question_carries_its_mark)
{
    const struct listing_mark marks[] = {{0, 0}, {1, 1}, {UINT64_MAX, UINT64_MAX}};
    struct wire_limits limits = WIRE_LIMITS_RPC;
    for (size_t i = 0; i < 3; i++) {
        Swarm__ListTasksRequest request = SWARM__LIST_TASKS_REQUEST__INIT;
        Swarm__ListTasksRequest__Filters filters = SWARM__LIST_TASKS_REQUEST__FILTERS__INIT;
        const char *ids[] = {"one"};
        filters.service_ids = ids;
        filters.n_service_ids = 1;
        request.filters = &filters;
        struct buf bytes;
        buf_init(&bytes, 1 << 16);
        ck_assert_int_eq(wire_pack(&request, &bytes, NULL), 0);
        struct listing_mark got = {7, 7};
        ck_assert(!listing_asked(&request.base, &got));
        ck_assert_uint_eq(got.edit, 0);
        listing_ask(&bytes, marks[i]);
        struct arena arena;
        arena_init(&arena, 1 << 16);
        const Swarm__ListTasksRequest *arrived = wire_unpack(
            &swarm__list_tasks_request__descriptor, bytes.data, bytes.len, &limits, &arena, NULL);
        ck_assert_ptr_nonnull(arrived);
        ck_assert_str_eq(arrived->filters->service_ids[0], "one");
        ck_assert(listing_asked(&arrived->base, &got));
        ck_assert_uint_eq(got.store, marks[i].store);
        ck_assert_uint_eq(got.edit, marks[i].edit);
        arena_fini(&arena);
        buf_fini(&bytes);
    }
}
END_TEST

START_TEST(an_answer_is_read_item_by_item)
{
    struct buf bytes;
    struct listing_reader reader;
    struct listing_item item;
    buf_init(&bytes, 1 << 16);
    listing_put_mark(&bytes, (struct listing_mark){5, 9}, false);
    listing_put_held(&bytes, "held");
    listing_put_object(&bytes, 9, "new", 3);
    raw_put_message(&bytes, 1, "plain", 5);
    listing_put_object(&bytes, 8, NULL, 0);
    listing_read(&reader, bytes.data, bytes.len);
    ck_assert_uint_eq(reader.mark.store, 5);
    ck_assert_uint_eq(reader.mark.edit, 9);
    ck_assert(!reader.same);
    ck_assert(listing_next(&reader, &item) && item.held);
    ck_assert(item.size == 4 && memcmp(item.bytes, "held", 4) == 0);
    ck_assert(listing_next(&reader, &item) && !item.held);
    ck_assert(item.birth == 9 && item.size == 3);
    ck_assert(listing_next(&reader, &item) && !item.held);
    ck_assert(item.birth == 0 && item.size == 5);
    ck_assert(listing_next(&reader, &item) && item.birth == 8 && item.size == 0);
    ck_assert(!listing_next(&reader, &item));
    ck_assert(cursor_ok(&reader.cursor));

    buf_clear(&bytes);
    listing_put_mark(&bytes, (struct listing_mark){5, 9}, true);
    listing_read(&reader, bytes.data, bytes.len);
    ck_assert(reader.same);
    ck_assert(!listing_next(&reader, &item));
    buf_fini(&bytes);
}
END_TEST

START_TEST(a_plain_list_has_no_mark)
{
    struct buf bytes;
    struct listing_reader reader;
    struct listing_item item;
    buf_init(&bytes, 1 << 16);
    listing_read(&reader, NULL, 0);
    ck_assert_uint_eq(reader.mark.edit, 0);
    ck_assert(!listing_next(&reader, &item) && cursor_ok(&reader.cursor));
    raw_put_message(&bytes, 1, "one", 3);
    raw_put_message(&bytes, 1, "two", 3);
    listing_read(&reader, bytes.data, bytes.len);
    ck_assert_uint_eq(reader.mark.edit, 0);
    ck_assert(listing_next(&reader, &item) && listing_next(&reader, &item));
    ck_assert(!listing_next(&reader, &item) && cursor_ok(&reader.cursor));
    listing_read(&reader, bytes.data, bytes.len - 1);
    ck_assert(listing_next(&reader, &item));
    ck_assert(!listing_next(&reader, &item));
    ck_assert(!cursor_ok(&reader.cursor));
    buf_fini(&bytes);
}
END_TEST

Suite *suite_listing(void);
Suite *suite_listing(void)
{
    Suite *suite = suite_create("listing");
    TCase *tcase = tcase_create("listing");
    tcase_add_test(tcase, a_question_carries_its_mark);
    tcase_add_test(tcase, an_answer_is_read_item_by_item);
    tcase_add_test(tcase, a_plain_list_has_no_mark);
    suite_add_tcase(suite, tcase);
    return suite;
}
