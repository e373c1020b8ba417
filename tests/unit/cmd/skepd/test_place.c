#include <check.h>
#include <string.h>

#include "cmd/skepd/place.h"

Suite *suite_place(void);

static int read_text(const char *text, struct place *out)
{
    return place_read(text, strlen(text), out, NULL);
}

// Goal: what is written is read again.
START_TEST(place_round_trips)
{
    struct place place = place_default(), again;
    struct buf text;
    ck_assert_str_eq(place.listen_addr, PLACE_LISTEN);
    strcpy(place.listen_addr, "10.0.0.1:2377");
    strcpy(place.advertise_addr, "10.0.0.2:2377");
    strcpy(place.data_path_addr, "10.0.0.3");
    buf_init(&text, PLACE_BYTES_MAX);
    place_write(&place, &text);
    ck_assert_int_eq(place_read(text.data, text.len, &again, NULL), 0);
    ck_assert_str_eq(again.listen_addr, "10.0.0.1:2377");
    ck_assert_str_eq(again.advertise_addr, "10.0.0.2:2377");
    ck_assert_str_eq(again.data_path_addr, "10.0.0.3");
    buf_fini(&text);
}
END_TEST

// Goal: a damaged file is an error, never a guess.
START_TEST(place_refuses_damage)
{
    struct place place;
    ck_assert_int_eq(read_text("", &place), -ERR_DATA_LOSS);
    ck_assert_int_eq(read_text("{", &place), -ERR_DATA_LOSS);
    ck_assert_int_eq(read_text("{}", &place), -ERR_DATA_LOSS);
    ck_assert_int_eq(read_text("{\"listen_addr\":\"a\"}", &place), -ERR_DATA_LOSS);
    ck_assert_int_eq(read_text("{\"listen_addr\":\"a\",\"advertise_addr\":1,"
                               "\"data_path_addr\":\"\"}",
                               &place),
                     -ERR_DATA_LOSS);
}
END_TEST

Suite *suite_place(void)
{
    Suite *suite = suite_create("place");
    TCase *tcase = tcase_create("place");
    tcase_add_test(tcase, place_round_trips);
    tcase_add_test(tcase, place_refuses_damage);
    suite_add_tcase(suite, tcase);
    return suite;
}
