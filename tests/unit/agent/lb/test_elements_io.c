// What the kernel answers is read whole or refused; the messages themselves are played to the
// kernel by test_nft_io.c.
#include <check.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lb/elements_io.h"

static size_t put_answer(uint8_t *at, int error)
{
    struct nlmsghdr head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct nlmsgerr)),
                            .nlmsg_type = NLMSG_ERROR};
    struct nlmsgerr body = {.error = error};
    memcpy(at, &head, sizeof head);
    memcpy(at + NLMSG_HDRLEN, &body, sizeof body);
    return NLMSG_ALIGN(head.nlmsg_len);
}

START_TEST(one_complaint_among_answers_is_found)
{
    uint8_t bytes[256];
    bool acked = false;
    size_t size = put_answer(bytes, 0);
    ck_assert_int_eq(elements_answer(bytes, size, &acked), 0);
    ck_assert(acked);
    size += put_answer(bytes + size, -ENOENT);
    ck_assert_int_eq(elements_answer(bytes, size, &acked), -ENOENT);
}
END_TEST

START_TEST(answers_cut_short_are_refused)
{
    uint8_t bytes[64];
    bool acked = false;
    size_t size = put_answer(bytes, 0);
    for (size_t cut = sizeof(struct nlmsghdr); cut < size; cut++) {
        uint8_t *exact = memcpy(malloc(cut), bytes, cut);
        ck_assert_int_eq(elements_answer(exact, cut, &acked), -EBADMSG);
        free(exact);
    }
    memset(bytes, 0, sizeof bytes); // a length of 0 would not end
    ck_assert_int_eq(elements_answer(bytes, sizeof bytes, &acked), -EBADMSG);
    ck_assert(!acked);
}
END_TEST

START_TEST(what_is_equal_makes_no_batch)
{
    struct services services;
    struct ruleset actual, wanted;
    struct err err = ERR_INIT;
    struct backend backend = {0x0a000202, 1};
    struct buf batch;
    services_init(&services);
    ruleset_init(&actual);
    ruleset_init(&wanted);
    buf_init(&batch, ELEMENTS_BYTES_MAX);
    ck_assert_int_eq(services_set(&services, 0x0a000102, &backend, 1, &err), 0);
    ruleset_compile(&wanted, &services, RULESET_BY_ADDRESS);
    ruleset_compile(&actual, &services, RULESET_BY_ADDRESS);
    ck_assert(!elements_pack(&actual, &wanted, &batch));
    ck_assert_uint_eq(batch.len, 0);
    ruleset_fini(&actual);
    ck_assert(elements_pack(&actual, &wanted, &batch));
    ck_assert_uint_gt(batch.len, 0);
    ck_assert_uint_eq(batch.len % NLMSG_ALIGNTO, 0);
    buf_fini(&batch);
    ruleset_fini(&actual);
    ruleset_fini(&wanted);
    services_fini(&services);
}
END_TEST

Suite *suite_elements_io(void);
Suite *suite_elements_io(void)
{
    Suite *suite = suite_create("elements_io");
    TCase *tcase = tcase_create("elements_io");
    tcase_add_test(tcase, one_complaint_among_answers_is_found);
    tcase_add_test(tcase, answers_cut_short_are_refused);
    tcase_add_test(tcase, what_is_equal_makes_no_batch);
    suite_add_tcase(suite, tcase);
    return suite;
}
