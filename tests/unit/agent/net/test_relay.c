// What the relay process is told of a port.
#include <check.h>

#include "agent/net/relay.h"

START_TEST(ports_come_back_as_they_went)
{
    static const struct relay_port ports[] = {
        {.protocol = RELAY_TCP, .port = 1},
        {.protocol = RELAY_UDP, .port = 65535},
        {.protocol = RELAY_TCP, .port = 8080, .inner = 0xac110002, .inner_port = 80},
        {.protocol = RELAY_TCP,
         .port = 8080,
         .at = {[15] = 1},
         .inner = 0xac110002,
         .inner_port = 80},
    };
    char keys[sizeof ports / sizeof *ports][RELAY_KEY_BYTES];
    struct err err = ERR_INIT;
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        struct relay_port got;
        struct buf payload;
        buf_init(&payload, RELAY_PORT_BYTES);
        relay_pack(&payload, &ports[i]);
        ck_assert(buf_ok(&payload));
        ck_assert_int_eq(relay_parse(payload.data, payload.len, &got, &err), 0);
        ck_assert_uint_eq(got.protocol, ports[i].protocol);
        ck_assert_uint_eq(got.port, ports[i].port);
        ck_assert_mem_eq(got.at, ports[i].at, sizeof got.at);
        ck_assert_uint_eq(got.inner, ports[i].inner);
        ck_assert_uint_eq(got.inner_port, ports[i].inner_port);
        relay_key(&got, keys[i]);
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(keys[i], keys[k]);
        buf_fini(&payload);
    }
}
END_TEST

START_TEST(what_is_no_port_is_refused)
{
    static const struct {
        uint8_t bytes[RELAY_PORT_BYTES + 1];
        size_t size;
    } rows[] = {
        {{6, 0, 80}, 3},
        {{6, 0, 80}, RELAY_PORT_BYTES - 1},
        {{6, 0, 80}, RELAY_PORT_BYTES + 1},
        {{6, 0, 0}, RELAY_PORT_BYTES},
        {{132, 0, 80}, RELAY_PORT_BYTES},
        {{0, 0, 80}, RELAY_PORT_BYTES},
        {{6, 0, 80, [19] = 10}, RELAY_PORT_BYTES}, // an address without a port
        {{6, 0, 80, [24] = 80}, RELAY_PORT_BYTES}, // and a port without one
        {{0}, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = ERR_INIT;
        struct relay_port got;
        ck_assert_int_eq(relay_parse(rows[i].bytes, rows[i].size, &got, &err),
                         -ERR_INVALID_ARGUMENT);
    }
}
END_TEST

Suite *suite_relay(void);
Suite *suite_relay(void)
{
    Suite *suite = suite_create("relay");
    TCase *tcase = tcase_create("relay");
    tcase_add_test(tcase, ports_come_back_as_they_went);
    tcase_add_test(tcase, what_is_no_port_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
