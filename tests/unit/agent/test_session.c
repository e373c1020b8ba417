// When a session is opened, kept and given up; time moves only when the test moves it.
#include <check.h>
#include <string.h>

#include "agent/session.h"

static struct session session;
static struct mono now;
static Swarm__SessionMessage message;

static void set_up(void)
{
    now = (struct mono){NS_PER_H};
    session_init(&session, 1, now);
    swarm__session_message__init(&message);
    message.session_id = "s1";
}

static void come_up(void)
{
    bool registered;
    session_step(&session, now);
    ck_assert_int_eq(session_message(&session, &message, now, &registered, NULL), 0);
    ck_assert(registered);
}

START_TEST(it_opens_at_once_and_beats_right_after_registration)
{
    ck_assert(session_step(&session, now).open);
    struct session_asks asks = session_step(&session, now);
    ck_assert(!asks.open);
    ck_assert(!asks.heartbeat);
    bool registered;
    ck_assert_int_eq(session_message(&session, &message, now, &registered, NULL), 0);
    ck_assert(registered);
    ck_assert(session_step(&session, now).heartbeat);
    ck_assert(!session_step(&session, now).heartbeat); // one at a time
    session_beat(&session, 5 * NS_PER_S, now);
    asks = session_step(&session, now);
    ck_assert(!asks.heartbeat);
    ck_assert_int_eq(mono_since(asks.wake, now), 5 * NS_PER_S);
    now = asks.wake;
    ck_assert(session_step(&session, now).heartbeat);
    // Later messages register nothing.
    ck_assert_int_eq(session_message(&session, &message, now, &registered, NULL), 0);
    ck_assert(!registered);
}
END_TEST

START_TEST(no_first_message_in_time_is_given_up)
{
    struct session_asks asks = session_step(&session, now);
    now = asks.wake;
    ck_assert(session_step(&session, now).give_up);
    session_ended(&session, false, now);
    ck_assert(!session_step(&session, now).give_up);
}
END_TEST

START_TEST(a_message_without_a_usable_id_is_refused)
{
    bool registered;
    char longer[SESSION_TEXT_BYTES + 1];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    session_step(&session, now);
    message.session_id = "";
    ck_assert_int_eq(session_message(&session, &message, now, &registered, NULL),
                     -ERR_INVALID_ARGUMENT);
    message.session_id = longer;
    ck_assert_int_eq(session_message(&session, &message, now, &registered, NULL),
                     -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(pauses_grow_to_eight_seconds_and_shrink_on_success)
{
    int64_t bounds_ms[] = {100, 300, 700, 1500, 3100, 6300, 8000, 8000};
    for (size_t i = 0; i < sizeof bounds_ms / sizeof *bounds_ms; i++) {
        ck_assert(session_step(&session, now).open);
        session_ended(&session, false, now);
        ck_assert_int_eq(session.backoff_ns, bounds_ms[i] * NS_PER_MS);
        ck_assert_int_lt(mono_since(session.due, now), session.backoff_ns);
        now = session.due;
    }
    come_up();
    session_ended(&session, false, now);
    ck_assert_int_eq(session.backoff_ns, SESSION_BACKOFF_NS);
    ck_assert_str_eq(session.id, "s1"); // offered again
    session_ended(&session, true, now);
    ck_assert_int_eq(session.backoff_ns, 0);
    ck_assert(session_step(&session, now).open); // on purpose: at once
}
END_TEST

static int assign(Swarm__AssignmentsMessage__Type type, const char *applies, const char *results)
{
    Swarm__AssignmentsMessage assignments;
    swarm__assignments_message__init(&assignments);
    assignments.type = type;
    assignments.applies_to = (char *)applies;
    assignments.results_in = (char *)results;
    return session_assignments(&session, &assignments, NULL);
}

START_TEST(assignments_follow_each_other_or_the_stream_is_reopened)
{
    const Swarm__AssignmentsMessage__Type complete = SWARM__ASSIGNMENTS_MESSAGE__TYPE__COMPLETE;
    const Swarm__AssignmentsMessage__Type more = SWARM__ASSIGNMENTS_MESSAGE__TYPE__INCREMENTAL;
    come_up();
    ck_assert_int_eq(assign(more, "", "1"), -ERR_ABORTED); // first must be complete
    ck_assert_int_eq(assign(complete, "", "1"), 0);
    ck_assert_int_eq(assign(more, "1", "2"), 0);
    ck_assert_int_eq(assign(more, "3", "4"), -ERR_ABORTED);
    session_reopened(&session);
    ck_assert_int_eq(assign(more, "2", "3"), -ERR_ABORTED);
    ck_assert_int_eq(assign(complete, "", "1"), 0);
}
END_TEST

Suite *suite_session(void);
Suite *suite_session(void)
{
    Suite *suite = suite_create("session");
    TCase *tcase = tcase_create("session");
    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_test(tcase, it_opens_at_once_and_beats_right_after_registration);
    tcase_add_test(tcase, no_first_message_in_time_is_given_up);
    tcase_add_test(tcase, a_message_without_a_usable_id_is_refused);
    tcase_add_test(tcase, pauses_grow_to_eight_seconds_and_shrink_on_success);
    tcase_add_test(tcase, assignments_follow_each_other_or_the_stream_is_reopened);
    suite_add_tcase(suite, tcase);
    return suite;
}
