// PEM blocks: what Go writes with headers comes apart and together again.
#include <check.h>
#include <string.h>

#include "proto/identity/pem.h"

static int next(const char *text, struct pem_block *block)
{
    struct cursor cursor = cursor_of(text, strlen(text));
    return pem_next(&cursor, block, NULL);
}

START_TEST(headers_and_body_come_apart)
{
    struct pem_block block;
    ck_assert_int_eq(next("junk\n-----BEGIN THING-----\nb: 2\na: x: y\n\nYWJj\nZGVm\n"
                          "-----END THING-----\n",
                          &block),
                     0);
    ck_assert_str_eq(block.type, "THING");
    ck_assert_str_eq(pem_header_get(&block, "a"), "x: y");
    ck_assert_str_eq(pem_header_get(&block, "b"), "2");
    ck_assert_ptr_null(pem_header_get(&block, "c"));
    ck_assert_uint_eq(block.der.len, 6);
    ck_assert_mem_eq(block.der.data, "abcdef", 6);
    pem_block_fini(&block);
}
END_TEST

START_TEST(carriage_returns_and_stray_blanks_do_no_harm)
{
    struct pem_block block;
    ck_assert_int_eq(next("-----BEGIN A-----\r\n  YWJj \r\n\r\n-----END A-----", &block), 0);
    ck_assert_uint_eq(block.der.len, 3);
    pem_block_fini(&block);
}
END_TEST

START_TEST(blocks_follow_each_other_until_not_found)
{
    const char *text = "-----BEGIN A-----\nYQ==\n-----END A-----\n"
                       "-----BEGIN B-----\nYg==\n-----END B-----\n";
    struct cursor cursor = cursor_of(text, strlen(text));
    struct pem_block block;
    ck_assert_int_eq(pem_next(&cursor, &block, NULL), 0);
    ck_assert_str_eq(block.type, "A");
    pem_block_fini(&block);
    ck_assert_int_eq(pem_next(&cursor, &block, NULL), 0);
    ck_assert_str_eq(block.type, "B");
    pem_block_fini(&block);
    ck_assert_int_eq(pem_next(&cursor, &block, NULL), -ERR_NOT_FOUND);
}
END_TEST

static const char *const broken[] = {
    "-----BEGIN A-----",
    "-----BEGIN A-----\nYQ==\n",
    "-----BEGIN A-----\nYQ==\n-----END B-----\n",
    "-----BEGIN A-----\nY?==\n-----END A-----\n",
    "-----BEGIN A-----\nYQ\n-----END A-----\n",
    "-----BEGIN -----\nYQ==\n-----END -----\n",
    "-----BEGIN A-----\nk: 1\nk: 2\n\nYQ==\n-----END A-----\n",
    "-----BEGIN A-----\n: 1\n\nYQ==\n-----END A-----\n",
    "-----BEGIN A-----\na:\na1:\na2:\na3:\na4:\na5:\na6:\na7:\na8:\na9:\nb:\nc:\nd:\ne:\nf:\ng:\n"
    "h:\n\nYQ==\n-----END A-----\n",
};

START_TEST(broken_blocks_are_refused)
{
    struct pem_block block;
    ck_assert_int_eq(next(broken[_i], &block), -ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(block.headers_count, 0);
    ck_assert_ptr_null(block.der.data);
}
END_TEST

START_TEST(proc_type_is_written_first_and_the_rest_by_name)
{
    struct pem_block block = {.type = "T"};
    struct buf text;
    buf_init(&block.der, 64);
    buf_put_str(&block.der, "abc");
    ck_assert(pem_header_set(&block, "b", "2"));
    ck_assert(pem_header_set(&block, "Proc-Type", "4,ENCRYPTED"));
    ck_assert(pem_header_set(&block, "a", "1"));
    ck_assert(!pem_header_set(&block, "a:b", "1"));
    ck_assert(!pem_header_set(&block, "a", "1\n2"));
    buf_init(&text, 4096);
    pem_write(&text, &block);
    ck_assert_str_eq(buf_cstr(&text), "-----BEGIN T-----\nProc-Type: 4,ENCRYPTED\na: 1\nb: 2\n\n"
                                      "YWJj\n-----END T-----\n");
    ck_assert(pem_header_set(&block, "a", NULL));
    ck_assert_ptr_null(pem_header_get(&block, "a"));
    ck_assert_uint_eq(block.headers_count, 2);
    pem_block_fini(&block);
    buf_fini(&text);
}
END_TEST

Suite *suite_pem(void);
Suite *suite_pem(void)
{
    Suite *suite = suite_create("pem");
    TCase *tcase = tcase_create("pem");
    tcase_add_test(tcase, headers_and_body_come_apart);
    tcase_add_test(tcase, carriage_returns_and_stray_blanks_do_no_harm);
    tcase_add_test(tcase, blocks_follow_each_other_until_not_found);
    tcase_add_loop_test(tcase, broken_blocks_are_refused, 0, (int)(sizeof broken / sizeof *broken));
    tcase_add_test(tcase, proc_type_is_written_first_and_the_rest_by_name);
    suite_add_tcase(suite, tcase);
    return suite;
}
