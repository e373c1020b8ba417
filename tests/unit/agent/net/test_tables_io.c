// Tables that others take away come back, whatever else is wished meanwhile; and what is wished by
// turns is there once.
#include <check.h>

#include "agent/net/guard.h"
#include "agent/net/tables_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
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

// A table that leads to one of its chains, which comes with the wish.
#define TURNS_TABLE "turns"
static struct nftable *leads_to(const char *chain)
{
    char verdict[NFTABLE_KEY_BYTES];
    ck_assert(str_format(verdict, sizeof verdict, "goto %s", chain));
    struct nftable *table = nftable_new("ip", TURNS_TABLE);
    nftable_collection(table, "map", "ways", "type ipv4_addr : verdict;");
    nftable_chain(table, "pre", "type filter hook prerouting priority 0");
    nftable_rule(table, "ip daddr vmap @ways");
    nftable_element(table, "ways", "10.0.0.1", verdict);
    nftable_chain(table, chain, NULL);
    nftable_rule(table, "drop");
    return table;
}

static bool kernel_has(const struct nftable *wanted)
{
    struct err err = ERR_INIT;
    struct buf text;
    buf_init(&text, NFTABLE_TEXT_BYTES_MAX);
    struct nft *nft = nft_open(NFT_NETNS_OWN, &err);
    ck_assert_msg(nft != NULL, "%s", err.message);
    ck_assert_msg(nft_list(nft, "ip", TURNS_TABLE, &text, &err) == 0, "%s", err.message);
    struct nftable *actual = nftable_parse("ip", TURNS_TABLE, text.data, text.len, &err);
    ck_assert_msg(actual != NULL, "%s", err.message);
    buf_clear(&text);
    bool differs = nftable_diff(actual, wanted, &text);
    nftable_free(actual);
    nft_close(nft);
    buf_fini(&text);
    return !differs;
}

START_TEST(a_chain_that_is_wished_again_has_its_rules_once)
{
    static const char *const turns[] = {"two", "three", "two"};
    struct err err = ERR_INIT;
    if (!spaces_begin())
        return;
    loop_init(&loop);
    const struct tables_config config = {
        .loop = &loop, .netns_fd = NFT_NETNS_OWN, .settled = on_settled};
    tables = tables_open(&config, &err);
    ck_assert_msg(tables != NULL, "%s", err.message);
    for (size_t i = 0; i < COUNT_OF(turns); i++) {
        settled = 0;
        tables_want(tables, leads_to(turns[i]));
        ck_assert(loop_run_until(&loop, happened, &settled, PATIENCE_MS));
        struct nftable *wanted = leads_to(turns[i]);
        ck_assert(kernel_has(wanted));
        nftable_free(wanted);
    }
    ck_assert_uint_eq(tables_counts(tables).repairs, 0);
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
    tcase_add_test(tcase, a_chain_that_is_wished_again_has_its_rules_once);
    suite_add_tcase(suite, tcase);
    return suite;
}
