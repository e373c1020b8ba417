// The kernel takes our transactions, and what it lists is what we sent. Needs the right to make
// network namespaces; without it these tests have nothing to say and pass.
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/lb/generation_io.h"
#include "agent/lb/nft_io.h"
#include "proto/base/rand.h"

static struct services services;
static struct ruleset actual;
static struct nft *nft; // NULL without the right to make namespaces

// Each test runs in a process of its own, so its namespace vanishes with it.
static bool own_namespace(void)
{
    if (unshare(CLONE_NEWNET) == 0)
        return true;
    ck_assert_int_eq(errno, EPERM);
    printf("skipped: no right to make a network namespace\n");
    return false;
}

static void setup(void)
{
    services_init(&services);
    ruleset_init(&actual);
}

static void teardown(void)
{
    services_fini(&services);
    ruleset_fini(&actual);
    nft_close(nft);
}

static void open_in(int netns_fd)
{
    struct err err = ERR_INIT;
    nft_close(nft);
    nft = nft_open(netns_fd, &err);
    ck_assert_msg(nft != NULL, "%s", err.message);
}

static void read_back(void)
{
    struct err err = ERR_INIT;
    ruleset_fini(&actual);
    int rc = nft_read(nft, &actual, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
}

// Brings the kernel to the services. False when there was nothing to do.
static bool bring(void)
{
    struct err err = ERR_INIT;
    struct ruleset wanted;
    bool some;
    ruleset_init(&wanted);
    ruleset_compile(&wanted, &services, RULESET_BY_ADDRESS);
    int rc = nft_bring(nft, &actual, &wanted, &some, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
    return some;
}

static void set(uint32_t vip, uint32_t backends_count)
{
    struct err err = ERR_INIT;
    struct backend backends[16];
    for (uint32_t i = 0; i < backends_count; i++)
        backends[i] = (struct backend){0x0a010000 + i, 1 + i % 3};
    ck_assert_int_eq(services_set(&services, vip, backends, backends_count, &err), 0);
}

START_TEST(the_kernel_lists_what_deltas_made)
{
    if (!own_namespace())
        return;
    open_in(NFT_NETNS_OWN);
    struct rand rand;
    rand_init(&rand, 7);
    for (int step = 0; step < 60; step++) {
        uint32_t vip = 0x0a000100u + (uint32_t)rand_below(&rand, 10);
        if (rand_chance(&rand, 1, 5))
            services_remove(&services, vip);
        else
            set(vip, (uint32_t)rand_below(&rand, 9));
        bring();
        read_back();
        ck_assert(actual.present);
        ck_assert(actual.sound);
        ck_assert(!bring()); // what is there is what is wanted
    }
}
END_TEST

START_TEST(damage_is_seen_and_repaired)
{
    const char *damages[] = {
        "delete table ip skep_lb",
        "flush chain ip skep_lb out",
        "flush chain ip skep_lb pick_3",
        "add rule ip skep_lb pre accept",
        "add chain ip skep_lb stranger",
        "flush map ip skep_lb slots",
        "delete element ip skep_lb vips { 10.0.1.0 }",
        "delete element ip skep_lb picks { 0:3 }",
        "delete element ip skep_lb picks { 0:3 }; add element ip skep_lb picks { 0:3 : drop }",
        "add element ip skep_lb idle { 10.0.1.0 }",
        "add table ip skep_lb { flags dormant; }",
        "add element ip skep_lb slots { 10.0.1.0 . 77 : 10.0.9.9 }",
    };
    if (!own_namespace())
        return;
    open_in(NFT_NETNS_OWN);
    set(0x0a000100, 2);
    set(0x0a000101, 0);
    bring();
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        struct err err = ERR_INIT;
        ck_assert_msg(nft_apply(nft, damages[i], &err) == 0, "%s", err.message);
        read_back();
        ck_assert_msg(bring(), "not seen: %s", damages[i]);
        read_back();
        ck_assert(actual.sound);
        ck_assert_msg(!bring(), "not repaired: %s", damages[i]);
    }
}
END_TEST

START_TEST(a_refused_transaction_changes_nothing)
{
    if (!own_namespace())
        return;
    open_in(NFT_NETNS_OWN);
    struct err err = ERR_INIT;
    set(0x0a000100, 2);
    bring();
    ck_assert_int_eq(nft_apply(nft,
                               "add element ip skep_lb idle { 10.0.7.7 }\n"
                               "delete element ip skep_lb idle { 10.0.8.8 }\n",
                               &err),
                     -ERR_ABORTED);
    ck_assert_ptr_nonnull(strstr(err.message, "nftables: "));
    ck_assert_int_eq(nft_apply(nft, "no such language", &err), -ERR_ABORTED);
    read_back();
    ck_assert(!bring());
}
END_TEST

START_TEST(another_namespace_is_changed_and_this_one_not)
{
    if (!own_namespace())
        return;
    int other_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(other_fd, 0);
    ck_assert(own_namespace());
    struct stat before, after;
    ck_assert_int_eq(stat("/proc/self/ns/net", &before), 0);
    set(0x0a000100, 3);
    open_in(other_fd);
    close(other_fd);
    ck_assert(bring());
    read_back();
    ck_assert(actual.sound);
    ck_assert_uint_eq(actual.vips_count, 1);
    open_in(NFT_NETNS_OWN);
    read_back();
    ck_assert(!actual.present);
    ck_assert_int_eq(stat("/proc/self/ns/net", &after), 0);
    ck_assert(before.st_ino == after.st_ino);
}
END_TEST

START_TEST(what_is_no_namespace_is_an_error)
{
    struct err err = ERR_INIT;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_ptr_null(nft_open(fd, &err));
    ck_assert_ptr_nonnull(strstr(err.message, "enter network namespace"));
    close(fd);
    ck_assert_ptr_null(nft_open(fd, &err));
    ck_assert_ptr_nonnull(strstr(err.message, "open network namespace"));
}
END_TEST

START_TEST(teardown_leaves_no_table_and_may_be_repeated)
{
    if (!own_namespace())
        return;
    open_in(NFT_NETNS_OWN);
    struct err err = ERR_INIT;
    struct buf buf;
    set(0x0a000100, 2);
    bring();
    buf_init(&buf, 4096);
    ruleset_teardown(&buf);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(nft_apply(nft, buf_cstr(&buf), &err), 0);
    read_back();
    ck_assert(!actual.present);
    buf_fini(&buf);
}
END_TEST

// Its library would write past the end of a select set.
START_TEST(more_descriptors_than_select_knows_do_no_harm)
{
    struct rlimit limit;
    struct err err = ERR_INIT;
    if (!own_namespace())
        return;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), last = fd;
    while (last >= 0 && last <= FD_SETSIZE)
        last = dup(fd);
    if (last < 0) {
        printf("skipped: no right to open so many files\n");
        return;
    }
    open_in(NFT_NETNS_OWN);
    set(0x0a000100, 2);
    ck_assert(bring());
    read_back();
    ck_assert(actual.present);
    ck_assert(!bring());
    ck_assert_int_eq(nft_apply(nft, "delete table ip nosuch", &err), -ERR_ABORTED);
    ck_assert_int_eq(fcntl(last, F_GETFD), 0); // ours are as they were
}
END_TEST

START_TEST(each_transaction_is_another_generation)
{
    struct err err = ERR_INIT;
    if (!own_namespace())
        return;
    open_in(NFT_NETNS_OWN);
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    uint32_t before = generation_of(NFT_NETNS_OWN);
    ck_assert_uint_ne(before, 0);
    ck_assert_uint_eq(generation_of(NFT_NETNS_OWN), before);
    read_back(); // looking is no change
    ck_assert_uint_eq(generation_of(fd), before);
    ck_assert_int_eq(nft_apply(nft, "add table ip other\n", &err), 0);
    uint32_t after = generation_of(fd);
    ck_assert_uint_ne(after, before);
    // And in another namespace it is that one's own.
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    ck_assert_uint_ne(generation_of(NFT_NETNS_OWN), after);
    ck_assert_uint_eq(generation_of(fd), after);
    close(fd);
}
END_TEST

START_TEST(only_a_whole_answer_has_a_generation)
{
    // As the kernel gives it: a header, which family, and the number among other attributes.
    static const uint8_t answer[] = {36, 0, 0, 0, 15, 10, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0,
                                     0,  0, 8, 0, 2,  0,  9, 9, 9, 9, 8, 0, 1, 0, 1, 2, 3, 4};
    uint8_t other[sizeof answer];
    ck_assert_uint_eq(generation_parse(answer, sizeof answer), 0x01020304);
    for (size_t size = 0; size < sizeof answer; size++)
        ck_assert_uint_eq(generation_parse(answer, size), 0);
    // Whatever a byte is, nothing beyond the end is read.
    for (size_t at = 0; at < sizeof answer; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            memcpy(other, answer, sizeof answer);
            other[at] = (uint8_t)byte;
            (void)generation_parse(other, sizeof other);
        }
    }
}
END_TEST

START_TEST(a_look_is_trusted_for_a_while_and_at_its_generation_alone)
{
    struct generation_trust trust = {0};
    ck_assert(!generation_trusted(&trust, 0));
    ck_assert(!generation_trusted(&trust, 7));
    generation_looked(&trust, 7);
    ck_assert(!generation_trusted(&trust, 8));
    ck_assert(!generation_trusted(&trust, 0)); // not known
    for (int i = 1; i < GENERATION_LOOKS; i++)
        ck_assert(generation_trusted(&trust, 7));
    ck_assert(!generation_trusted(&trust, 7));
    generation_looked(&trust, 7);
    generation_looked(&trust, 0);
    ck_assert(!generation_trusted(&trust, 7));
    ck_assert(!generation_trusted(&trust, 0));
}
END_TEST

Suite *suite_nft_io(void);
Suite *suite_nft_io(void)
{
    Suite *suite = suite_create("nft_io");
    TCase *tcase = tcase_create("nft_io");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_kernel_lists_what_deltas_made);
    tcase_add_test(tcase, damage_is_seen_and_repaired);
    tcase_add_test(tcase, more_descriptors_than_select_knows_do_no_harm);
    tcase_add_test(tcase, a_refused_transaction_changes_nothing);
    tcase_add_test(tcase, another_namespace_is_changed_and_this_one_not);
    tcase_add_test(tcase, what_is_no_namespace_is_an_error);
    tcase_add_test(tcase, teardown_leaves_no_table_and_may_be_repeated);
    tcase_add_test(tcase, each_transaction_is_another_generation);
    tcase_add_test(tcase, only_a_whole_answer_has_a_generation);
    tcase_add_test(tcase, a_look_is_trusted_for_a_while_and_at_its_generation_alone);
    suite_add_tcase(suite, tcase);
    return suite;
}
