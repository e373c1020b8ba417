// Any carries a message with its name, and opens only as what it is.
#include <check.h>

#include "proto/wire/any.h"
#include "proto/wire/types.pb-c.h"

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, 1 << 20);
}

static void teardown(void)
{
    arena_fini(&arena);
}

START_TEST(a_wrapped_message_opens_again)
{
    Swarm__Peer peer = SWARM__PEER__INIT;
    peer.addr = "10.0.0.1:2377";
    Google__Any *any = any_new(&peer, NULL);
    ck_assert_str_eq(any->type_url, "type.googleapis.com/docker.swarmkit.v1.Peer");
    ck_assert(any_is(any, &swarm__peer__descriptor));
    Swarm__Peer *back = any_open(any, &swarm__peer__descriptor, &WIRE_LIMITS_RPC, &arena, NULL);
    ck_assert(wire_equal(&peer, back));
    wire_free(any);
}
END_TEST

START_TEST(another_type_is_refused)
{
    Google__Any *any = any_new(wire_new(&swarm__peer__descriptor, &arena), &arena);
    struct err err = ERR_INIT;
    ck_assert_ptr_null(any_open(any, &swarm__version__descriptor, &WIRE_LIMITS_RPC, &arena, &err));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    any->type_url = "docker.swarmkit.v1.Peer"; // no slash: not a type URL
    ck_assert(!any_is(any, &swarm__peer__descriptor));
}
END_TEST

START_TEST(every_url_fits_and_empty_messages_wrap)
{
    Swarm__Version version = SWARM__VERSION__INIT;
    Google__Any *any = any_new(&version, &arena);
    ck_assert_uint_eq(any->value.len, 0);
    ck_assert_ptr_nonnull(
        any_open(any, &swarm__version__descriptor, &WIRE_LIMITS_RPC, &arena, NULL));
    struct arena small;
    arena_init(&small, 16);
    ck_assert_ptr_null(any_new(&version, &small));
    arena_fini(&small);
}
END_TEST

Suite *suite_any(void);
Suite *suite_any(void)
{
    Suite *suite = suite_create("any");
    TCase *tcase = tcase_create("any");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_wrapped_message_opens_again);
    tcase_add_test(tcase, another_type_is_refused);
    tcase_add_test(tcase, every_url_fits_and_empty_messages_wrap);
    suite_add_tcase(suite, tcase);
    return suite;
}
