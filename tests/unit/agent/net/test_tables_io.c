// Tables that others take away come back, whatever else is wished meanwhile.
#include <check.h>

#include "agent/net/guard.h"
#include "agent/net/tables_io.h"
#include "tests/unit/agent/net/spaces.h"

#define PATIENCE_MS 50000

static struct loop loop;
static struct tables *tables;
static struct loop_timer wishing;
static unsigned settled, closed;
static bool back;

static void wish(void)
{
    static const uint32_t members[] = {0x0a000001, 0x0a000002};
    const struct guard guard = {.members = members, .members_count = 2};
    tables_want(tables, guard_table(&guard));
}

static void on_settled(void *owner, const struct err *err)
{
    (void)owner;
    settled += !err;
}

static void on_closed(void *owner)
{
    (void)owner;
    closed++;
}

static bool happened(void *ctx)
{
    return *(unsigned *)ctx > 0;
}

static bool is_there(void)
{
    struct err err = ERR_INIT;
    struct buf listing;
    buf_init(&listing, NFTABLE_TEXT_BYTES_MAX);
    struct nft *nft = nft_open(NFT_NETNS_OWN, &err);
    ck_assert_msg(nft != NULL, "%s", err.message);
    ck_assert_msg(nft_list(nft, "ip", GUARD_TABLE, &listing, &err) == 0, "%s", err.message);
    bool there = listing.len > 0;
    nft_close(nft);
    buf_fini(&listing);
    return there;
}

static bool is_there_again(void *ctx)
{
    (void)ctx;
    return back;
}

static void on_wishing(struct loop_timer *timer)
{
    // (Not while a worker has to do with the library.)
    if (!tables_busy(tables)) {
        back = is_there();
        wish();
    }
    loop_timer_start(timer, 20);
}

START_TEST(what_others_remove_comes_back_while_the_same_is_wished_all_the_time)
{
    struct err err = ERR_INIT;
    if (!spaces_begin())
        return;
    loop_init(&loop);
    const struct tables_config config = {
        .loop = &loop, .netns_fd = NFT_NETNS_OWN, .watch = true, .settled = on_settled};
    tables = tables_open(&config, &err);
    ck_assert_msg(tables != NULL, "%s", err.message);
    wish();
    ck_assert(loop_run_until(&loop, happened, &settled, PATIENCE_MS));
    ck_assert(is_there());
    // Wishes that change nothing come more often than tables are looked at after a change.
    loop_timer_init(&wishing, &loop, on_wishing);
    loop_timer_start(&wishing, 0);
    struct nft *nft = nft_open(NFT_NETNS_OWN, &err);
    ck_assert_msg(nft_apply(nft, "delete table ip " GUARD_TABLE "\n", &err) == 0, "%s",
                  err.message);
    nft_close(nft);
    ck_assert(loop_run_until(&loop, is_there_again, NULL, PATIENCE_MS));
    loop_timer_stop(&wishing);
    tables_close(tables, on_closed, NULL);
    ck_assert(loop_run_until(&loop, happened, &closed, PATIENCE_MS));
    loop_fini(&loop);
    spaces_end();
}
END_TEST

Suite *suite_tables_io(void);
Suite *suite_tables_io(void)
{
    Suite *suite = suite_create("tables_io");
    TCase *tcase = tcase_create("tables");
    tcase_set_timeout(tcase, 110);
    tcase_add_test(tcase, what_others_remove_comes_back_while_the_same_is_wished_all_the_time);
    suite_add_tcase(suite, tcase);
    return suite;
}
