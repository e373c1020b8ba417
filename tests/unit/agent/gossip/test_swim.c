// SWIM's rules, each with one core under test: what it sends, and what it then believes.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/gossip/stream.h"
#include "agent/gossip/suspicion.h"
#include "agent/gossip/swim.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "tests/unit/agent/gossip/ring.h"

// ---- the surroundings ---------------------------------------------------------------------------

static struct swim *swim;
static struct gossip_counters counters;
static struct mono now;
static char sent[4096];            // "TYPE>PORT ..." of every message since the last look
static struct gossip_message last; // of the kind looked for
static struct buf last_bytes;
static uint32_t last_ticket;
static struct buf last_stream;
static char heard[1024]; // what the rider heard
static bool rider_has;   // something to send along
static const char *user_state = "state";

static const char *const names[] = {"ping", "indirect", "ack",  "suspect",  "alive", "dead",
                                    "-",    "-",        "user", "compress", "-",     "nack"};

static void note(char *out, size_t size, const char *what, const char *who)
{
    size_t used = strlen(out);
    str_format(out + used, size - used, "%s>%s ", what, who);
}

static void on_packet(void *owner, const struct site *to, const struct parcel *parcel, bool crc)
{
    struct span parts[PACKET_PARTS_MAX];
    char port[16];
    (void)owner;
    str_format(port, sizeof port, "%u%s", to->port, crc ? "c" : "");
    size_t count = parcel_spans(parcel, parts);
    for (size_t i = 0; i < count; i++) {
        struct cursor in = cursor_of(parts[i].at, parts[i].size);
        struct gossip_message message;
        ck_assert_int_eq(gossip_decode(&in, &message, NULL), 0);
        note(sent, sizeof sent, names[message.type], port);
        if (i > 0)
            continue;
        buf_clear(&last_bytes);
        buf_put(&last_bytes, parts[i].at, parts[i].size);
        in = cursor_of(last_bytes.data, last_bytes.len);
        ck_assert_int_eq(gossip_decode(&in, &last, NULL), 0);
    }
}

static void on_stream(void *owner, const struct site *to, uint32_t ticket, const struct buf *plain,
                      bool answered)
{
    char port[16];
    (void)owner;
    str_format(port, sizeof port, "%u%s", to->port, answered ? "?" : "");
    note(sent, sizeof sent, "stream", port);
    last_ticket = ticket;
    buf_clear(&last_stream);
    buf_put(&last_stream, plain->data, plain->len);
}

static void rider_fill(void *owner, struct parcel *parcel)
{
    (void)owner;
    (void)parcel;
}
static void rider_user(void *owner, struct mono at, struct span user)
{
    (void)owner;
    (void)at;
    char text[64];
    str_format(text, sizeof text, "%.*s", (int)user.size, (const char *)user.at);
    note(heard, sizeof heard, "user", text);
}
static void rider_state(void *owner, struct mono at, bool join, struct buf *out)
{
    (void)owner;
    (void)at;
    (void)join;
    buf_put_str(out, user_state);
}
static void rider_merge(void *owner, struct mono at, struct span state, bool join)
{
    (void)join;
    rider_user(owner, at, state);
}
static void rider_up(void *owner, struct mono at, const struct swim_member *member)
{
    (void)owner;
    (void)at;
    note(heard, sizeof heard, "up", member->name);
}
static void rider_down(void *owner, struct mono at, const struct swim_member *member)
{
    (void)owner;
    (void)at;
    note(heard, sizeof heard, member->state == GOSSIP_HAS_LEFT ? "left" : "dead", member->name);
}
static void rider_accused(void *owner, struct mono at)
{
    (void)owner;
    (void)at;
    note(heard, sizeof heard, "accused", "me");
}
static void rider_joined(void *owner, struct mono at, const struct site *site, bool good)
{
    (void)owner;
    (void)at;
    (void)site;
    note(heard, sizeof heard, "joined", good ? "good" : "bad");
}
static void rider_sent(void *owner, struct mono at, uint32_t ticket, bool good)
{
    (void)owner;
    (void)at;
    (void)ticket;
    note(heard, sizeof heard, "sent", good ? "good" : "bad");
}

static const struct swim_out out = {.packet = on_packet, .stream = on_stream};
static bool rider_waits(void *owner)
{
    (void)owner;
    return rider_has;
}
static const struct swim_rider rider = {.fill = rider_fill,
                                        .waits = rider_waits,
                                        .packet = rider_user,
                                        .stream = rider_user,
                                        .state = rider_state,
                                        .merge = rider_merge,
                                        .up = rider_up,
                                        .down = rider_down,
                                        .accused = rider_accused,
                                        .joined = rider_joined,
                                        .sent = rider_sent};

static struct site site_of_port(uint16_t port)
{
    return (struct site){.ip = {10, 0, 0, 1}, .ip_size = 4, .port = port};
}

static void forget_sent(void)
{
    sent[0] = heard[0] = 0;
}

static void setup(void)
{
    struct swim_config config = {.name = "me",
                                 .site = site_of_port(1),
                                 .seed = 7,
                                 .out = &out,
                                 .rider = &rider,
                                 .counters = &counters};
    counters = (struct gossip_counters){0};
    now = (struct mono){NS_PER_H};
    buf_init(&last_bytes, 1 << 16);
    buf_init(&last_stream, 1 << 20);
    swim = swim_new(&config, now);
    forget_sent();
}

static void teardown(void)
{
    swim_free(swim);
    buf_fini(&last_bytes);
    buf_fini(&last_stream);
}

// ---- what happens -------------------------------------------------------------------------------

static void hear(const struct gossip_message *message)
{
    struct site from = site_of_port(99);
    swim_packet(swim, now, &from, message);
}

static void hear_alive(const char *name, uint16_t port, uint32_t incarnation)
{
    static const uint8_t ip[4] = {10, 0, 0, 1};
    struct gossip_message message = {.type = GOSSIP_ALIVE,
                                     .alive = {.name = span_text(name),
                                               .addr = {ip, sizeof ip},
                                               .port = port,
                                               .incarnation = incarnation,
                                               .versions = {1, 5, 2}}};
    hear(&message);
}

static void hear_verdict(enum gossip_type type, const char *name, const char *from,
                         uint32_t incarnation)
{
    struct gossip_message message = {
        .type = type,
        .verdict = {.incarnation = incarnation, .node = span_text(name), .from = span_text(from)}};
    hear(&message);
}

// Time passes in the steps in which the core wants to be called.
static void pass(int64_t duration_ns)
{
    struct mono until = mono_add(now, duration_ns);
    for (struct mono due; !mono_before(until, due = swim_next_due(swim, now));) {
        now = mono_before(now, due) ? due : now;
        swim_tick(swim, now);
    }
    now = until;
}

static bool did(const char *what)
{
    return strstr(sent, what) != NULL;
}

// Passes until the message goes out; the time that took.
static int64_t pass_until(const char *what, int64_t limit_ns)
{
    struct mono began = now;
    forget_sent();
    while (!did(what) && mono_since(now, began) < limit_ns)
        pass(10 * NS_PER_MS);
    ck_assert_msg(did(what), "no %s, but: %s", what, sent);
    return mono_since(now, began);
}

static enum gossip_state state_of(const char *name)
{
    const struct swim_member *member = swim_find(swim, name);
    ck_assert_ptr_nonnull(member);
    return member->state;
}

static void ack(uint32_t seq)
{
    struct gossip_message message = {.type = GOSSIP_ACK, .ack = {.seq = seq}};
    hear(&message);
}

// ---- members ------------------------------------------------------------------------------------

START_TEST(alive_is_believed_by_incarnation)
{
    hear_alive("a", 2, 0); // incarnation 0 is nobody's
    ck_assert_ptr_null(swim_find(swim, "a"));
    hear_alive("a", 2, 3);
    ck_assert_str_eq(heard, "up>a ");
    ck_assert_uint_eq(swim_count_alive(swim), 2);
    hear_alive("a", 5, 9); // another address: a conflict while it lives
    ck_assert_uint_eq(swim_find(swim, "a")->site.port, 2);
    ck_assert_uint_eq(counters.drop_conflict, 1);
    hear_verdict(GOSSIP_DEAD, "a", "b", 2); // older than what is known
    ck_assert_int_eq(state_of("a"), GOSSIP_IS_ALIVE);
    hear_verdict(GOSSIP_DEAD, "a", "b", 3);
    ck_assert_int_eq(state_of("a"), GOSSIP_IS_DEAD);
    hear_alive("a", 2, 3); // not newer than its death
    ck_assert_int_eq(state_of("a"), GOSSIP_IS_DEAD);
    hear_alive("a", 2, 4);
    ck_assert_int_eq(state_of("a"), GOSSIP_IS_ALIVE);
    hear_verdict(GOSSIP_DEAD, "a", "a", 4);
    ck_assert_int_eq(state_of("a"), GOSSIP_HAS_LEFT);
    hear_alive("a", 5, 1); // who left may come back elsewhere
    ck_assert_uint_eq(swim_find(swim, "a")->site.port, 5);
    ck_assert_str_eq(heard, "up>a dead>a up>a left>a up>a ");
}
END_TEST

START_TEST(nodes_that_speak_otherwise_are_passed_over)
{
    static const uint8_t bad[][6] = {{0, 0, 0}, {3, 5, 3}, {1, 1, 1}, {1, 5, 2, 1, 1, 1}};
    static const uint8_t ip[4] = {10, 0, 0, 1};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct gossip_message message = {
            .type = GOSSIP_ALIVE,
            .alive = {
                .name = span_text("x"), .addr = {ip, sizeof ip}, .port = 2, .incarnation = 1}};
        memcpy(message.alive.versions, bad[i], 6);
        hear(&message);
    }
    ck_assert_uint_eq(swim_count(swim), 1);
    ck_assert_uint_eq(counters.drop_version, COUNT_OF(bad));
    hear_alive("bad name", 2, 1);
    hear_alive("bad\nname", 2, 1);
    ck_assert_uint_eq(counters.drop_broken, 2);
}
END_TEST

START_TEST(this_node_refutes_what_is_said_of_it)
{
    hear_alive("a", 2, 1);
    hear_verdict(GOSSIP_SUSPECT, "me", "a", 1);
    ck_assert_uint_eq(swim_find(swim, "me")->incarnation, 2);
    ck_assert_uint_eq(swim_health(swim), 1);
    hear_verdict(GOSSIP_DEAD, "me", "a", 1); // an older accusation
    ck_assert_uint_eq(swim_find(swim, "me")->incarnation, 2);
    hear_verdict(GOSSIP_DEAD, "me", "a", 40);
    ck_assert_uint_eq(swim_find(swim, "me")->incarnation, 41);
    ck_assert_ptr_nonnull(strstr(heard, "accused>me"));
    hear_alive("me", 1, 41); // what it said itself
    ck_assert_uint_eq(swim_find(swim, "me")->incarnation, 41);
    hear_alive("me", 1, 50); // a former life's
    ck_assert_uint_eq(swim_find(swim, "me")->incarnation, 51);
    hear_verdict(GOSSIP_SUSPECT, "me", "a", UINT32_MAX); // there is no higher one
    ck_assert_uint_eq(swim_find(swim, "me")->incarnation, UINT32_MAX);
    pass_until("alive>2", NS_PER_S);
}
END_TEST

// ---- probing ------------------------------------------------------------------------------------

START_TEST(a_probe_goes_direct_then_around_then_suspects)
{
    static const char *const others[] = {"a", "b", "c", "d", "e"};
    for (uint16_t i = 0; i < COUNT_OF(others); i++)
        hear_alive(others[i], (uint16_t)(i + 2), 1);
    pass(3 * NS_PER_S); // the queue runs dry; these probes fail
    for (uint16_t i = 0; i < COUNT_OF(others); i++)
        hear_alive(others[i], (uint16_t)(i + 2), 100);
    pass_until("ping", 12 * NS_PER_S);
    ck_assert_int_eq(last.type, GOSSIP_PING);
    char target[8];
    str_format(target, sizeof target, "%.*s", (int)last.ping.node.size,
               (const char *)last.ping.node.at);
    ck_assert_uint_eq(last.ping.source_port, 1);
    forget_sent();
    pass(SWIM_PROBE_TIMEOUT_NS - 20 * NS_PER_MS);
    ck_assert(!did("indirect"));
    pass(40 * NS_PER_MS);
    unsigned indirect = 0;
    for (const char *at = sent; (at = strstr(at, "indirect")); at++)
        indirect++;
    ck_assert_uint_eq(indirect, SWIM_INDIRECT_CHECKS);
    ck_assert(did("stream>"));
    ck_assert_int_eq(state_of(target), GOSSIP_IS_ALIVE);
    pass((int64_t)(swim_health(swim) + 1) * SWIM_PROBE_INTERVAL_NS);
    ck_assert_int_eq(state_of(target), GOSSIP_IS_SUSPECT);
}
END_TEST

START_TEST(an_answer_ends_the_round)
{
    hear_alive("a", 2, 1);
    pass_until("ping>2", 2 * NS_PER_S);
    uint32_t seq = last.ping.seq;
    ack(seq + 1); // not the one asked
    ack(seq);
    pass(990 * NS_PER_MS);
    ck_assert_uint_eq(counters.probes_failed, 0);
    // By TCP alone it is alive too.
    pass_until("stream>2?", 2 * NS_PER_S);
    struct buf plain;
    struct gossip_message message = {.type = GOSSIP_ACK, .ack = {.seq = seq + 1}};
    buf_init(&plain, 100);
    gossip_encode(&message, &plain);
    swim_answer(swim, now, last_ticket, (struct span){plain.data, plain.len});
    buf_fini(&plain);
    pass(600 * NS_PER_MS);
    ck_assert_uint_eq(counters.probes_by_stream, 1);
    ck_assert_uint_eq(counters.probes_failed, 0);
    ck_assert_int_eq(state_of("a"), GOSSIP_IS_ALIVE);
}
END_TEST

START_TEST(a_suspect_of_a_small_cluster_has_four_seconds)
{
    hear_alive("a", 2, 1);
    hear_alive("b", 3, 1);
    hear_verdict(GOSSIP_SUSPECT, "a", "b", 1);
    ck_assert_int_eq(state_of("a"), GOSSIP_IS_SUSPECT);
    // Whoever probes it tells it so, in one packet and with a checksum.
    pass_until("ping>2c suspect>2c", 3 * NS_PER_S);
    teardown();
    setup();
    hear_alive("a", 2, 1);
    hear_verdict(GOSSIP_SUSPECT, "a", "b", 1);
    pass(4 * NS_PER_S - 1);
    ck_assert_int_eq(state_of("a"), GOSSIP_IS_SUSPECT);
    pass(1);
    ck_assert_int_eq(state_of("a"), GOSSIP_IS_DEAD);
    ck_assert_uint_eq(counters.deaths, 1);
    // Forgotten, but not while it may still hear the gossip and refute.
    pass(20 * NS_PER_S);
    ck_assert_ptr_nonnull(swim_find(swim, "a"));
    pass(20 * NS_PER_S);
    ck_assert_ptr_null(swim_find(swim, "a"));
}
END_TEST

START_TEST(confirmations_shorten_a_suspicion)
{
    struct suspicion suspicion;
    struct mono zero = {0};
    suspicion_init(&suspicion, zero, span_text("a"), 5);
    ck_assert_int_eq(suspicion_deadline(&suspicion).ns, 24 * NS_PER_S);
    ck_assert(!suspicion_confirm(&suspicion, span_text("a")));
    ck_assert(suspicion_confirm(&suspicion, span_text("b")));
    ck_assert_int_eq(suspicion_deadline(&suspicion).ns / NS_PER_MS, 11381); // 24 - 20 ln 2 / ln 3
    ck_assert(!suspicion_confirm(&suspicion, span_text("b")));
    ck_assert(suspicion_confirm(&suspicion, span_text("c")));
    ck_assert_int_eq(suspicion_deadline(&suspicion).ns, 4 * NS_PER_S);
    ck_assert(!suspicion_confirm(&suspicion, span_text("d")));
    suspicion_fini(&suspicion);
    suspicion_init(&suspicion, zero, span_text("a"), 3); // nobody could confirm
    ck_assert_int_eq(suspicion_deadline(&suspicion).ns, 4 * NS_PER_S);
    suspicion_fini(&suspicion);
    suspicion_init(&suspicion, zero, span_text("a"), 100);
    ck_assert_int_eq(suspicion_deadline(&suspicion).ns, 48 * NS_PER_S);
    suspicion_fini(&suspicion);
}
END_TEST

// ---- for others ---------------------------------------------------------------------------------

START_TEST(pings_are_answered_where_they_say)
{
    static const uint8_t ip[4] = {10, 0, 0, 9};
    struct gossip_message ping = {.type = GOSSIP_PING, .ping = {.seq = 5, .node = span_text("me")}};
    hear(&ping);
    ck_assert_str_eq(last.type == GOSSIP_ACK ? "ack" : "other", "ack");
    ck_assert(did("ack>99"));
    ping.ping.source_addr = (struct span){ip, sizeof ip};
    ping.ping.source_port = 77;
    hear(&ping);
    ck_assert(did("ack>77"));
    forget_sent();
    ping.ping.node = span_text("former life");
    hear(&ping);
    ck_assert(!did("ack"));
    ck_assert_uint_eq(counters.drop_misdirected, 1);
}
END_TEST

START_TEST(indirect_pings_are_relayed_or_denied)
{
    static const uint8_t ip[4] = {10, 0, 0, 1};
    struct gossip_message indirect = {.type = GOSSIP_INDIRECT,
                                      .indirect = {.seq = 900,
                                                   .target = {ip, sizeof ip},
                                                   .port = 55,
                                                   .node = span_text("x"),
                                                   .nack = true}};
    hear(&indirect);
    ck_assert(did("ping>55"));
    uint32_t seq = last.ping.seq;
    forget_sent();
    ack(seq);
    ck_assert(did("ack>99"));
    ck_assert_uint_eq(last.ack.seq, 900);
    hear(&indirect);
    forget_sent();
    pass(SWIM_PROBE_TIMEOUT_NS);
    ck_assert(did("nack>99"));
    // No more than a bounded number at a time.
    for (int i = 0; i < SWIM_RELAYS_MAX + 5; i++)
        hear(&indirect);
    ck_assert_uint_eq(counters.drop_full, 5);
}
END_TEST

START_TEST(states_are_exchanged_and_the_dead_only_suspected)
{
    static const uint8_t ip[4] = {10, 0, 0, 1};
    hear_alive("a", 2, 1);
    hear_alive("b", 3, 1);
    struct gossip_node nodes[] = {
        {.name = span_text("a"),
         .addr = {ip, 4},
         .port = 2,
         .incarnation = 1,
         .state = GOSSIP_IS_DEAD,
         .versions = {1, 5, 2}},
        {.name = span_text("b"),
         .addr = {ip, 4},
         .port = 3,
         .incarnation = 1,
         .state = GOSSIP_HAS_LEFT,
         .versions = {1, 5, 2}},
        {.name = span_text("c"),
         .addr = {ip, 4},
         .port = 4,
         .incarnation = 1,
         .versions = {1, 5, 2}},
        {.name = span_text("me"),
         .addr = {ip, 4},
         .port = 1,
         .incarnation = 1,
         .state = GOSSIP_IS_DEAD,
         .versions = {1, 5, 2}},
    };
    struct push_pull states = {
        .join = true, .nodes = nodes, .nodes_count = COUNT_OF(nodes), .user = span_text("theirs")};
    struct buf plain, reply;
    struct err err = ERR_INIT;
    buf_init(&plain, 1 << 16);
    buf_init(&reply, 1 << 16);
    push_pull_write(&states, &plain);
    ck_assert_int_eq(swim_request(swim, now, (struct span){plain.data, plain.len}, &reply, &err),
                     0);
    ck_assert_int_eq(state_of("a"), GOSSIP_IS_SUSPECT);
    ck_assert_int_eq(state_of("b"), GOSSIP_HAS_LEFT);
    ck_assert_int_eq(state_of("c"), GOSSIP_IS_ALIVE);
    ck_assert_uint_eq(swim_find(swim, "me")->incarnation, 2);
    ck_assert_ptr_nonnull(strstr(heard, "accused>me"));
    ck_assert_ptr_nonnull(strstr(heard, "user>theirs"));
    // The answer was written before the merge, with the same flag.
    struct arena arena;
    struct push_pull answer;
    arena_init(&arena, 1 << 20);
    ck_assert_int_eq(push_pull_parse(reply.data, reply.len, &arena, &answer, &err), 0);
    ck_assert(answer.join);
    ck_assert_uint_eq(answer.nodes_count, 3);
    ck_assert_uint_eq(answer.user.size, strlen(user_state));
    arena_fini(&arena);
    // Anything unreadable is an error that the peer is told.
    ck_assert_int_ne(swim_request(swim, now, span_text("\x06garbage"), &reply, &err), 0);
    ck_assert_int_ne(swim_request(swim, now, span_text("\x04"), &reply, &err), 0);
    ck_assert_int_ne(swim_request(swim, now, (struct span){NULL, 0}, &reply, &err), 0);
    buf_fini(&plain);
    buf_fini(&reply);
}
END_TEST

START_TEST(joining_and_its_outcome)
{
    struct site site = site_of_port(8);
    ck_assert(swim_join(swim, now, &site));
    ck_assert_str_eq(sent, "stream>8? ");
    swim_failed(swim, now, last_ticket);
    ck_assert_str_eq(heard, "joined>bad ");
    ck_assert(swim_join(swim, now, &site));
    swim_answer(swim, now, last_ticket, (struct span){last_stream.data, last_stream.len});
    ck_assert_ptr_nonnull(strstr(heard, "joined>good"));
    for (int i = 0; i < SWIM_TICKETS_MAX; i++)
        ck_assert(swim_join(swim, now, &site));
    ck_assert(!swim_join(swim, now, &site));
}
END_TEST

START_TEST(leaving_is_said_before_it_ends)
{
    hear_alive("a", 2, 1);
    swim_leave(swim, now);
    ck_assert(!swim_has_left(swim, now));
    pass_until("dead>2", NS_PER_S);
    hear_verdict(GOSSIP_SUSPECT, "me", "a", 5); // not refuted any more
    ck_assert_uint_eq(swim_find(swim, "me")->incarnation, 1);
    pass(SWIM_LEAVE_NS);
    ck_assert(swim_has_left(swim, now));
}
END_TEST

// When this node wants to be called right after a round of probing, whose next is almost 1 s away.
static int64_t due_in(void)
{
    pass_until("ping>2", 2 * NS_PER_S);
    ack(last.ping.seq);
    return mono_since(swim_next_due(swim, now), now);
}

START_TEST(rounds_of_gossip_are_due_only_with_something_to_send)
{
    hear_alive("a", 2, 1);
    for (int i = 0; i < 3; i++)
        (void)due_in(); // what was to say is said
    ck_assert_int_ge(due_in(), 900 * NS_PER_MS);
    rider_has = true;
    ck_assert_int_le(due_in(), SWIM_GOSSIP_INTERVAL_NS);
    rider_has = false;
    ck_assert_int_ge(due_in(), 900 * NS_PER_MS);
    hear_alive("b", 3, 1);
    struct mono due = swim_next_due(swim, now);
    ck_assert_int_le(mono_since(due, now), SWIM_GOSSIP_INTERVAL_NS);
    // A packet that comes when the round is late does not move it.
    now = mono_add(due, NS_PER_MS);
    hear_alive("c", 4, 1);
    ck_assert_int_eq(swim_next_due(swim, now).ns, due.ns);
}
END_TEST

Suite *suite_swim(void);
Suite *suite_swim(void)
{
    Suite *suite = suite_create("swim");
    TCase *rules = tcase_create("rules");
    tcase_add_checked_fixture(rules, setup, teardown);
    tcase_add_test(rules, alive_is_believed_by_incarnation);
    tcase_add_test(rules, nodes_that_speak_otherwise_are_passed_over);
    tcase_add_test(rules, this_node_refutes_what_is_said_of_it);
    tcase_add_test(rules, a_probe_goes_direct_then_around_then_suspects);
    tcase_add_test(rules, an_answer_ends_the_round);
    tcase_add_test(rules, a_suspect_of_a_small_cluster_has_four_seconds);
    tcase_add_test(rules, confirmations_shorten_a_suspicion);
    tcase_add_test(rules, pings_are_answered_where_they_say);
    tcase_add_test(rules, indirect_pings_are_relayed_or_denied);
    tcase_add_test(rules, states_are_exchanged_and_the_dead_only_suspected);
    tcase_add_test(rules, joining_and_its_outcome);
    tcase_add_test(rules, leaving_is_said_before_it_ends);
    tcase_add_test(rules, rounds_of_gossip_are_due_only_with_something_to_send);
    suite_add_tcase(suite, rules);
    return suite;
}
