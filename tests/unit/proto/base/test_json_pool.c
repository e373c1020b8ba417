// The pool gives JSON the same life as the heap does, in the same few pieces again and again.
#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/json_pool.h"

#define DOCUMENTS 2000

static const char text[] = "{\"Name\":\"a\",\"Labels\":{\"a\":\"b\",\"c\":\"d\"},"
                           "\"Mode\":{\"Replicated\":{\"Replicas\":3}},"
                           "\"Env\":[\"A=1\",\"B=2\",\"C=3\"],\"Deep\":[[[1,2.5,null,true]]]}";

static json_t *pooled(const char *from)
{
    struct err err = ERR_INIT;
    json_pool_begin();
    json_t *value = json_parse(from, strlen(from), &err);
    json_pool_end();
    return value;
}

// Goal: what was given back is used again, so that request after request needs no more than one
// did.
START_TEST(pieces_are_used_again)
{
    for (size_t i = 0; i < DOCUMENTS; i++) {
        json_t *value = pooled(text);
        ck_assert(json_is_object(value));
        json_decref(value);
    }
    ck_assert_uint_le(json_pool_chunks_used(), 1);
}
END_TEST

// Goal: requests that overlap share pieces, and a piece is free when the last of them is over.
START_TEST(overlapping_values_leave_their_pieces)
{
    static json_t *kept[16];
    for (size_t i = 0; i < DOCUMENTS; i++) {
        json_decref(kept[i % COUNT_OF(kept)]);
        kept[i % COUNT_OF(kept)] = pooled(text);
        ck_assert_uint_le(json_pool_chunks_used(), 6);
    }
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        ck_assert_int_eq(
            json_integer_value(json_object_get(
                json_object_get(json_object_get(kept[i], "Mode"), "Replicated"), "Replicas")),
            3);
        json_decref(kept[i]);
    }
    ck_assert_uint_le(json_pool_chunks_used(), 1);
}
END_TEST

// Goal: a full pool is no limit; the heap has what it has not.
START_TEST(the_heap_takes_over)
{
    static json_t *kept[DOCUMENTS];
    for (size_t i = 0; i < DOCUMENTS; i++)
        ck_assert((kept[i] = pooled(text)) != NULL);
    ck_assert_uint_le(json_pool_chunks_used(), JSON_POOL_CHUNKS);
    for (size_t i = 0; i < DOCUMENTS; i++) {
        ck_assert(json_equal(kept[0], kept[DOCUMENTS - 1]));
        if (i > 0 && i < DOCUMENTS - 1)
            json_decref(kept[i]);
    }
    json_decref(kept[0]);
    json_decref(kept[DOCUMENTS - 1]);
    ck_assert_uint_le(json_pool_chunks_used(), 1);
}
END_TEST

// Goal: values may be changed, and outlive what they were parsed with; texts longer than a piece
// are the heap's.
START_TEST(values_live_on)
{
    json_t *value = pooled(text);
    json_t *env = json_incref(json_object_get(value, "Env"));
    json_object_set_new(value, "More", json_string("more"));
    json_array_append_new(env, json_integer(7));
    json_object_del(value, "Labels");
    json_decref(value);
    ck_assert_uint_eq(json_array_size(env), 4);
    ck_assert_str_eq(json_string_value(json_array_get(env, 2)), "C=3");
    json_decref(env);

    static char large[3 * JSON_POOL_CHUNK_BYTES];
    memset(large, 'x', sizeof large - 1);
    large[0] = large[sizeof large - 2] = '"';
    value = pooled(large);
    ck_assert_uint_eq(json_string_length(value), sizeof large - 3);
    json_decref(value);
    value = pooled("{\"broken\":[1,2,{\"a\":\"b\"");
    ck_assert(value == NULL);
    ck_assert_uint_le(json_pool_chunks_used(), 1);
}
END_TEST

Suite *suite_json_pool(void);
Suite *suite_json_pool(void)
{
    Suite *suite = suite_create("json_pool");
    TCase *tcase = tcase_create("json_pool");
    tcase_add_test(tcase, pieces_are_used_again);
    tcase_add_test(tcase, overlapping_values_leave_their_pieces);
    tcase_add_test(tcase, the_heap_takes_over);
    tcase_add_test(tcase, values_live_on);
    suite_add_tcase(suite, tcase);
    return suite;
}
