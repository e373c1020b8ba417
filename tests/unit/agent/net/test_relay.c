// What the relay process is told of a port.
#include <check.h>

#include "agent/net/relay.h"

START_TEST(ports_come_back_as_they_went)
{
    static const struct relay_port ports[] = {
        {RELAY_TCP, 1}, {RELAY_UDP, 65535}, {RELAY_TCP, 8080}};
    struct err err = ERR_INIT;
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        struct relay_port got;
        struct buf payload;
        buf_init(&payload, RELAY_PORT_BYTES);
        relay_pack(&payload, ports[i]);
        ck_assert(buf_ok(&payload));
        ck_assert_int_eq(relay_parse(payload.data, payload.len, &got, &err), 0);
        ck_assert_uint_eq(got.protocol, ports[i].protocol);
        ck_assert_uint_eq(got.port, ports[i].port);
        buf_fini(&payload);
    }
}
END_TEST

START_TEST(what_is_no_port_is_refused)
{
    static const struct {
        uint8_t bytes[4];
        size_t size;
    } rows[] = {
        {{6, 0, 80}, 2},   {{6, 0, 80, 0}, 4}, {{6, 0, 0}, 3},
        {{132, 0, 80}, 3}, {{0, 0, 80}, 3},    {{0}, 0},
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
