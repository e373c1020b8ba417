#include <check.h>
#include <string.h>

#include "agent/net/rows.h"

static struct rows *rows;
static struct mono due;

static void setup(void)
{
    rows = rows_new();
}

static void teardown(void)
{
    rows_free(rows);
}

static void add(const char *key, const char *node)
{
    struct rows_row row = {.table = ROWS_PEERS,
                           .key = key,
                           .node = node,
                           .value = (const uint8_t *)key,
                           .value_size = strlen(key)};
    rows_add(rows, &row);
}

static void end_at(int64_t ms)
{
    rows_end(rows, (struct mono){ms * NS_PER_MS}, &due);
}

struct seen {
    int live, lingering;
};

static void see(void *ctx, const struct rows_row *row)
{
    struct seen *seen = ctx;
    if (row->lingers)
        seen->lingering++;
    else
        seen->live++;
    ck_assert(!seen->lingering || row->lingers);
}

static void expect(int live, int lingering)
{
    struct seen seen = {0};
    rows_walk(rows, ROWS_PEERS, see, &seen);
    ck_assert_int_eq(seen.live, live);
    ck_assert_int_eq(seen.lingering, lingering);
    seen = (struct seen){0};
    rows_walk(rows, ROWS_ENDPOINTS, see, &seen);
    ck_assert_int_eq(seen.live + seen.lingering, 0);
}

// Goal: what a live node takes away is gone at once; what went with its node stays for a moment.
START_TEST(rows_of_a_lost_node_linger)
{
    rows_begin(rows);
    rows_node(rows, "a");
    rows_node(rows, "b");
    add("1", "a");
    add("2", "a");
    add("3", "b");
    end_at(1000);
    expect(3, 0);
    ck_assert_int_eq(due.ns, MONO_NEVER.ns);
    rows_begin(rows);
    rows_node(rows, "a");
    add("1", "a");
    end_at(2000);
    expect(1, 1);
    ck_assert_int_eq(due.ns, (2000 + ROWS_LINGER_MS) * NS_PER_MS);
    rows_begin(rows);
    rows_node(rows, "a");
    add("1", "a");
    end_at(2000 + ROWS_LINGER_MS - 1);
    expect(1, 1);
    ck_assert(rows_has_nodes(rows));
    rows_begin(rows);
    end_at(2000 + ROWS_LINGER_MS);
    expect(0, 1);
    ck_assert(!rows_has_nodes(rows));
    rows_begin(rows);
    end_at(90000);
    expect(0, 0);
}
END_TEST

// Goal: a row that comes back is no lingering one any more.
START_TEST(what_comes_back_is_live)
{
    rows_begin(rows);
    add("1", "a");
    end_at(0);
    rows_begin(rows);
    end_at(10);
    expect(0, 1);
    rows_begin(rows);
    add("1", "a2");
    end_at(20);
    expect(1, 0);
}
END_TEST

Suite *suite_rows(void);
Suite *suite_rows(void)
{
    Suite *suite = suite_create("rows");
    TCase *tcase = tcase_create("rows");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, rows_of_a_lost_node_linger);
    tcase_add_test(tcase, what_comes_back_is_live);
    suite_add_tcase(suite, tcase);
    return suite;
}
