// The dispatcher's core with a clock, a log and streams of the test's own.
#include <check.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/dispatch/dispatcher.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/wire/defaults.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

static struct fake_log log_;
static struct arena arena;
static struct dispatcher *dispatcher;
static struct moment now;

// ---- streams that remember ----------------------------------------------------------------------

struct sink {
    struct dispatch_stream stream;
    bool blocked;
    int messages;
    int ended; // code, 0 while open
    char text[128];
    const Swarm__SessionMessage *session;
    const Swarm__AssignmentsMessage *assignments;
    const Swarm__TasksMessage *tasks;
    bool quiet; // do not decode
};

static bool sink_writable(struct dispatch_stream *stream)
{
    return !CONTAINER_OF(stream, struct sink, stream)->blocked;
}

static const void *decode(const wire_type *type, const void *bytes, size_t size)
{
    struct err err = ERR_INIT;
    const void *message = wire_unpack(type, bytes, size, &WIRE_LIMITS_PEER, &arena, &err);
    ck_assert_msg(message != NULL, "%s", err.message);
    return message;
}

static int sink_send(struct dispatch_stream *stream, const void *bytes, size_t size,
                     struct err *err)
{
    struct sink *sink = CONTAINER_OF(stream, struct sink, stream);
    (void)err;
    sink->messages++;
    if (sink->quiet)
        return 0;
    if (!stream->assign)
        sink->session = decode(&swarm__session_message__descriptor, bytes, size);
    else if (stream->legacy)
        sink->tasks = decode(&swarm__tasks_message__descriptor, bytes, size);
    else
        sink->assignments = decode(&swarm__assignments_message__descriptor, bytes, size);
    return 0;
}

static void sink_end(struct dispatch_stream *stream, const struct err *err)
{
    struct sink *sink = CONTAINER_OF(stream, struct sink, stream);
    ck_assert_int_eq(sink->ended, 0);
    sink->ended = (int)err->code;
    str_copy(sink->text, sizeof sink->text, err->message);
}

static const struct dispatch_stream_ops sink_ops = {
    .writable = sink_writable, .send = sink_send, .end = sink_end};

static void sink_init(struct sink *sink)
{
    *sink = (struct sink){.stream = {.ops = &sink_ops}};
}

// ---- the world ----------------------------------------------------------------------------------

static void put(enum object_type type, void *object)
{
    struct txn *txn = fake_begin(&log_, 100);
    ck_assert_int_eq(txn_create(txn, type, object, NULL), 0);
    fake_write(&log_, txn);
}

static void start(void)
{
    static const struct dispatch_manager managers[] = {{"m1", "10.0.0.1:2377"}, {"m2", ""}};
    struct dispatcher_config config = {
        .store = log_.store, .rng = &rng_kernel, .seed = 7, .node_id = "m1"};
    dispatcher = dispatcher_new(&config, now);
    dispatcher_set_managers(dispatcher, managers, COUNT_OF(managers));
    fake_commit_all(&log_);
}

static Swarm__Cluster *make_cluster(void)
{
    Swarm__Cluster *cluster = fake_cluster(&arena, "cluster1");
    Swarm__EncryptionKey *key = wire_new(&swarm__encryption_key__descriptor, &arena);
    key->subsystem = "networking:gossip";
    key->lamport_time = 5;
    FAKE_ADD(&arena, cluster, network_bootstrap_keys, key);
    cluster->root_ca = wire_new(&swarm__root_ca__descriptor, &arena);
    cluster->root_ca->ca_cert = (ProtobufCBinaryData){.data = (uint8_t *)"PEM", .len = 3};
    return cluster;
}

static void set_up(void)
{
    now = (struct moment){.mono = {.ns = 1000 * NS_PER_S}, .wall = {.ns = 5000 * NS_PER_S}};
    fake_log_init(&log_, 10);
    arena_init(&arena, SIZE_MAX);
    put(OBJECT_CLUSTER, make_cluster());
    put(OBJECT_NODE, fake_node(&arena, "n1"));
    put(OBJECT_NODE, fake_node(&arena, "n2"));
    start();
}

static void tear_down(void)
{
    if (dispatcher)
        dispatcher_free(dispatcher);
    dispatcher = NULL;
    fake_log_fini(&log_);
    arena_fini(&arena);
}

// Time goes on, step by step at every moment the core asks for, and the log commits.
static void pass(int64_t ns)
{
    struct mono end = mono_add(now.mono, ns);
    for (;;) {
        dispatcher_step(dispatcher, now);
        fake_commit_all(&log_);
        dispatcher_step(dispatcher, now);
        struct mono due = dispatcher_due(dispatcher);
        if (mono_before(end, due))
            break;
        now.wall = wall_add(now.wall, mono_since(due, now.mono));
        now.mono = due;
    }
    now.wall = wall_add(now.wall, mono_since(end, now.mono));
    now.mono = end;
}

static const Swarm__Node *node(const char *id)
{
    struct view view = store_pin(log_.store);
    const Swarm__Node *found = object_unpack(view_get(view, OBJECT_NODE, id), &arena);
    store_unpin(view);
    return found;
}

static const Swarm__Task *task(const char *id)
{
    struct view view = store_pin(log_.store);
    const Swarm__Task *found = object_unpack(view_get(view, OBJECT_TASK, id), &arena);
    store_unpin(view);
    return found;
}

static int open_session(struct sink *sink, const char *id, const char *session_id, struct err *err)
{
    Swarm__SessionRequest request = SWARM__SESSION_REQUEST__INIT;
    Swarm__NodeDescription description = SWARM__NODE_DESCRIPTION__INIT;
    description.hostname = "host";
    request.description = &description;
    request.session_id = session_id;
    sink_init(sink);
    return dispatcher_session(dispatcher, id, "10.0.0.9", &request, &sink->stream, now, err);
}

// A registered agent; returns its session id.
static const char *join(struct sink *sink, const char *id)
{
    struct err err = ERR_INIT;
    ck_assert_msg(open_session(sink, id, "", &err) == 0, "%s", err.message);
    pass(STATUS_BATCH_NS);
    ck_assert_int_eq(sink->messages, 1);
    return sink->session->session_id;
}

static void open_assignments(struct sink *sink, const char *id, const char *session_id)
{
    struct err err = ERR_INIT;
    sink_init(sink);
    ck_assert_msg(
        dispatcher_assignments(dispatcher, id, session_id, false, &sink->stream, now, &err) == 0,
        "%s", err.message);
    pass(0);
    ck_assert_int_eq(sink->messages, 1);
}

static Swarm__Task *make_task(const char *id, const char *node_id, int state)
{
    Swarm__Task *made = fake_task(&arena, id, "s1", 1);
    made->node_id = node_id;
    made->status->state = (Swarm__TaskState)state;
    return made;
}

static void assign_task_to(const char *id, const char *node_id)
{
    struct txn *txn = fake_begin(&log_, 100);
    Swarm__Task *edited = txn_edit(txn, OBJECT_TASK, id);
    edited->node_id = node_id;
    edited->status->state = SWARM__TASK_STATE__ASSIGNED;
    ck_assert_int_eq(txn_update(txn, OBJECT_TASK, edited, NULL), 0);
    fake_write(&log_, txn);
}

static int report(const char *id, const char *session_id, const char *task_id, int state,
                  struct err *err)
{
    Swarm__TaskStatus status = SWARM__TASK_STATUS__INIT;
    Swarm__UpdateTaskStatusRequest__TaskStatusUpdate update =
        SWARM__UPDATE_TASK_STATUS_REQUEST__TASK_STATUS_UPDATE__INIT;
    Swarm__UpdateTaskStatusRequest__TaskStatusUpdate *updates[] = {&update};
    Swarm__UpdateTaskStatusRequest request = SWARM__UPDATE_TASK_STATUS_REQUEST__INIT;
    status.state = (Swarm__TaskState)state;
    status.message = "reported";
    update.task_id = task_id;
    update.status = &status;
    request.session_id = session_id;
    request.updates = updates;
    request.n_updates = 1;
    return dispatcher_report(dispatcher, id, &request, now, err);
}

static int beat(const char *id, const char *session_id, int64_t *period_ns, struct err *err)
{
    return dispatcher_heartbeat(dispatcher, id, session_id, now, period_ns, err);
}

// ---- sessions -----------------------------------------------------------------------------------

START_TEST(a_session_begins_when_the_node_is_ready_in_the_store)
{
    static struct sink sink;
    struct err err = ERR_INIT;
    ck_assert_int_eq(open_session(&sink, "n1", "", &err), 0);
    pass(STATUS_BATCH_NS / 2);
    ck_assert_int_eq(sink.messages, 0);
    pass(STATUS_BATCH_NS / 2);
    ck_assert_int_eq(sink.messages, 1);
    ck_assert_uint_eq(strlen(sink.session->session_id), 25);
    ck_assert_str_eq(sink.session->node->id, "n1");
    ck_assert_int_eq(sink.session->node->status->state, SWARM__NODE_STATUS__STATE__READY);
    ck_assert_str_eq(sink.session->node->status->addr, "10.0.0.9");
    ck_assert_str_eq(sink.session->node->description->hostname, "host");
    ck_assert_uint_eq(sink.session->n_managers, 1); // the one with an address
    ck_assert_str_eq(sink.session->managers[0]->peer->addr, "10.0.0.1:2377");
    ck_assert_int_eq(sink.session->managers[0]->weight, 10);
    ck_assert_uint_eq(sink.session->n_network_bootstrap_keys, 1);
    ck_assert_uint_eq(sink.session->network_bootstrap_keys[0]->lamport_time, 5);
    ck_assert_uint_eq(sink.session->rootca.len, 3);
    ck_assert_int_eq(node("n1")->status->state, SWARM__NODE_STATUS__STATE__READY);
}
END_TEST

START_TEST(a_node_that_is_not_in_the_store_cannot_register)
{
    static struct sink sink;
    struct err err = ERR_INIT;
    ck_assert_int_eq(open_session(&sink, "gone", "", &err), -ERR_UNKNOWN);
    ck_assert_str_eq(err.message, "node not found");
    // Removed between registration and write.
    ck_assert_int_eq(open_session(&sink, "n1", "", &err), 0);
    struct txn *txn = fake_begin(&log_, 100);
    ck_assert_int_eq(txn_delete(txn, OBJECT_NODE, "n1", NULL), 0);
    fake_write(&log_, txn);
    pass(STATUS_BATCH_NS);
    ck_assert_int_ne(sink.ended, 0);
}
END_TEST

START_TEST(every_change_that_concerns_an_agent_is_told_once)
{
    static struct sink sink;
    static struct sink other;
    join(&sink, "n1");
    join(&other, "n2");
    int before = other.messages;
    sink.messages = 0;
    struct txn *txn = fake_begin(&log_, 100);
    Swarm__Node *edited = txn_edit(txn, OBJECT_NODE, "n1");
    edited->spec->desired_role = SWARM__NODE_ROLE__MANAGER;
    ck_assert_int_eq(txn_update(txn, OBJECT_NODE, edited, NULL), 0);
    fake_write(&log_, txn);
    pass(0);
    ck_assert_int_eq(sink.messages, 1);
    ck_assert_int_eq(sink.session->node->spec->desired_role, SWARM__NODE_ROLE__MANAGER);
    ck_assert_int_eq(other.messages, before);
    txn = fake_begin(&log_, 100);
    Swarm__Cluster *cluster = txn_edit(txn, OBJECT_CLUSTER, "cluster1");
    cluster->network_bootstrap_keys[0]->lamport_time = 6;
    ck_assert_int_eq(txn_update(txn, OBJECT_CLUSTER, cluster, NULL), 0);
    fake_write(&log_, txn);
    pass(0);
    ck_assert_int_eq(sink.messages, 2);
    ck_assert_int_eq(other.messages, before + 1);
    ck_assert_uint_eq(sink.session->network_bootstrap_keys[0]->lamport_time, 6);
    const struct dispatch_manager managers[] = {{"m1", "10.0.0.1:2377"}, {"m2", "10.0.0.2:2377"}};
    dispatcher_set_managers(dispatcher, managers, 2);
    ck_assert_int_eq(sink.messages, 3);
    ck_assert_uint_eq(sink.session->n_managers, 2);
    dispatcher_set_managers(dispatcher, managers, 2); // the same again
    dispatcher_set_managers(dispatcher, managers, 0); // never an empty list
    pass(0);
    ck_assert_int_eq(sink.messages, 3);
}
END_TEST

START_TEST(an_offered_session_is_kept_and_refreshed)
{
    static struct sink first;
    static struct sink second;
    struct err err = ERR_INIT;
    const char *session = join(&first, "n1");
    dispatcher_close(dispatcher, &first.stream);
    ck_assert_int_eq(open_session(&second, "n1", session, &err), 0);
    pass(STATUS_BATCH_NS);
    ck_assert_int_eq(second.messages, 1);
    ck_assert_str_eq(second.session->session_id, session);
    ck_assert_int_eq(first.ended, 0); // closed by its client: not told
}
END_TEST

START_TEST(a_new_session_ends_the_streams_of_the_old_one)
{
    static struct sink first;
    static struct sink second;
    static struct sink assignments;
    struct err err = ERR_INIT;
    const char *session = join(&first, "n1");
    open_assignments(&assignments, "n1", session);
    const char *fresh = join(&second, "n1");
    ck_assert_str_ne(fresh, session);
    ck_assert_int_eq(first.ended, ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(first.text, "session invalid");
    ck_assert_int_eq(assignments.ended, ERR_INVALID_ARGUMENT);
    int64_t period;
    ck_assert_int_eq(beat("n1", session, &period, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(beat("n1", fresh, &period, &err), 0);
}
END_TEST

START_TEST(registering_too_often_is_refused_for_a_while)
{
    static struct sink sinks[5];
    struct err err = ERR_INIT;
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(open_session(&sinks[i], "n1", "", &err), 0);
        pass(NS_PER_S);
    }
    ck_assert_int_eq(open_session(&sinks[4], "n1", "", &err), -ERR_UNAVAILABLE);
    ck_assert_str_eq(err.message, "node n1 exceeded rate limit count of registrations");
    pass(9 * NS_PER_S);
    ck_assert_int_eq(open_session(&sinks[4], "n1", "", &err), 0);
}
END_TEST

START_TEST(calls_without_the_right_session_are_refused)
{
    static struct sink sink;
    struct err err = ERR_INIT;
    int64_t period;
    ck_assert_int_eq(beat("nobody", "s", &period, &err), -ERR_NOT_FOUND);
    ck_assert_str_eq(err.message, "node not registered");
    join(&sink, "n1");
    ck_assert_int_eq(beat("n1", "", &period, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "session invalid");
    ck_assert_int_eq(beat("n2", sink.session->session_id, &period, &err), -ERR_INVALID_ARGUMENT);
    static struct sink stream;
    sink_init(&stream);
    ck_assert_int_eq(
        dispatcher_assignments(dispatcher, "n1", "x", false, &stream.stream, now, &err),
        -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(report("n1", "x", "t", SWARM__TASK_STATE__RUNNING, &err),
                     -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(an_agent_holds_a_bounded_number_of_streams)
{
    static struct sink session;
    static struct sink sinks[3];
    const char *id = join(&session, "n1");
    for (int i = 0; i < 3; i++)
        open_assignments(&sinks[i], "n1", id);
    ck_assert_int_eq(sinks[0].ended, ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(sinks[1].ended, 0);
}
END_TEST

START_TEST(stopping_says_goodbye)
{
    static struct sink session;
    static struct sink assignments;
    static struct sink waiting;
    struct err err = ERR_INIT;
    open_assignments(&assignments, "n1", join(&session, "n1"));
    ck_assert_int_eq(open_session(&waiting, "n2", "", &err), 0);
    dispatcher_free(dispatcher);
    dispatcher = NULL;
    ck_assert_int_eq(session.messages, 2); // one last message
    ck_assert_int_eq(session.ended, ERR_ABORTED);
    ck_assert_str_eq(session.text, "node must disconnect");
    ck_assert_int_eq(assignments.ended, ERR_ABORTED);
    ck_assert_str_eq(assignments.text, "dispatcher is stopped");
    ck_assert_int_eq(waiting.messages, 0);
    ck_assert_int_eq(waiting.ended, ERR_ABORTED);
}
END_TEST

START_TEST(a_removed_node_is_disconnected)
{
    static struct sink session;
    join(&session, "n1");
    struct txn *txn = fake_begin(&log_, 100);
    ck_assert_int_eq(txn_delete(txn, OBJECT_NODE, "n1", NULL), 0);
    fake_write(&log_, txn);
    pass(0);
    ck_assert_int_eq(session.ended, ERR_ABORTED);
    struct dispatcher_stats stats;
    dispatcher_stats(dispatcher, &stats);
    ck_assert_uint_eq(stats.agents, 1);
    ck_assert_uint_eq(stats.streams, 0);
}
END_TEST

// ---- heartbeats ---------------------------------------------------------------------------------

START_TEST(heartbeats_are_asked_for_at_the_period_give_or_take_half_a_second)
{
    static struct sink sink;
    const char *session = join(&sink, "n1");
    int64_t lowest = INT64_MAX;
    int64_t highest = 0;
    for (int i = 0; i < 200; i++) {
        int64_t period;
        ck_assert_int_eq(beat("n1", session, &period, NULL), 0);
        lowest = period < lowest ? period : lowest;
        highest = period > highest ? period : highest;
    }
    ck_assert_int_ge(lowest, 4500 * NS_PER_MS);
    ck_assert_int_lt(lowest, 4600 * NS_PER_MS);
    ck_assert_int_le(highest, 5500 * NS_PER_MS);
    ck_assert_int_gt(highest, 5400 * NS_PER_MS);
}
END_TEST

START_TEST(the_period_follows_the_cluster)
{
    static struct sink sink;
    const char *session = join(&sink, "n1");
    struct txn *txn = fake_begin(&log_, 100);
    Swarm__Cluster *cluster = txn_edit(txn, OBJECT_CLUSTER, "cluster1");
    Google__Duration period = GOOGLE__DURATION__INIT;
    period.seconds = 20;
    if (!cluster->spec->dispatcher)
        cluster->spec->dispatcher = wire_new(&swarm__dispatcher_config__descriptor, &arena);
    cluster->spec->dispatcher->heartbeat_period = &period;
    ck_assert_int_eq(txn_update(txn, OBJECT_CLUSTER, cluster, NULL), 0);
    fake_write(&log_, txn);
    pass(0);
    int64_t next;
    ck_assert_int_eq(beat("n1", session, &next, NULL), 0);
    ck_assert_int_ge(next, 19 * NS_PER_S);
}
END_TEST

START_TEST(three_missed_periods_make_a_node_down)
{
    static struct sink sink;
    const char *session = join(&sink, "n1");
    int64_t period;
    struct err err = ERR_INIT;
    for (int i = 0; i < 20; i++) { // it lives on as long as it beats
        pass(4 * NS_PER_S);
        ck_assert_int_eq(beat("n1", session, &period, &err), 0);
    }
    pass(3 * period - NS_PER_MS);
    ck_assert_int_eq(node("n1")->status->state, SWARM__NODE_STATUS__STATE__READY);
    pass(NS_PER_MS + STATUS_BATCH_NS);
    ck_assert_int_eq(node("n1")->status->state, SWARM__NODE_STATUS__STATE__DOWN);
    ck_assert_str_eq(node("n1")->status->message, "heartbeat failure");
    ck_assert_str_eq(node("n1")->status->addr, "10.0.0.9");
    ck_assert_str_eq(node("n1")->description->hostname, "host");
    ck_assert_int_eq(sink.ended, ERR_NOT_FOUND);
    ck_assert_int_eq(beat("n1", session, &period, &err), -ERR_NOT_FOUND);
    join(&sink, "n1"); // and comes back
    ck_assert_int_eq(node("n1")->status->state, SWARM__NODE_STATUS__STATE__READY);
}
END_TEST

START_TEST(after_a_change_of_leader_nodes_are_unknown_for_twice_as_long)
{
    ck_assert_int_eq(node("n1")->status->state, SWARM__NODE_STATUS__STATE__UNKNOWN);
    ck_assert_str_eq(node("n1")->status->message,
                     "Node moved to \"unknown\" state due to leadership change in cluster");
    static struct sink sink;
    join(&sink, "n2");
    int64_t period;
    for (int i = 0; i < 5; i++) {
        pass(29 * NS_PER_S / 5);
        ck_assert_int_eq(beat("n2", sink.session->session_id, &period, NULL), 0);
    }
    ck_assert_int_eq(node("n1")->status->state, SWARM__NODE_STATUS__STATE__UNKNOWN);
    pass(NS_PER_S);
    ck_assert_int_eq(node("n1")->status->state, SWARM__NODE_STATUS__STATE__DOWN);
    ck_assert_str_eq(node("n1")->status->message,
                     "heartbeat failure for node in \"unknown\" state");
    ck_assert_int_eq(node("n2")->status->state, SWARM__NODE_STATUS__STATE__READY);
}
END_TEST

START_TEST(tasks_of_a_node_that_stays_down_are_orphaned_after_a_day)
{
    put(OBJECT_TASK, make_task("runs", "n1", SWARM__TASK_STATE__RUNNING));
    put(OBJECT_TASK, make_task("over", "n1", SWARM__TASK_STATE__FAILED));
    put(OBJECT_TASK, make_task("else", "n2", SWARM__TASK_STATE__RUNNING));
    static struct sink sink;
    join(&sink, "n2");
    for (int i = 0; i < 24 * 360; i++) {
        int64_t period;
        ck_assert_int_eq(beat("n2", sink.session->session_id, &period, NULL), 0);
        pass(10 * NS_PER_S);
    }
    ck_assert_int_eq(node("n1")->status->state, SWARM__NODE_STATUS__STATE__DOWN);
    ck_assert_int_eq(task("runs")->status->state, SWARM__TASK_STATE__RUNNING);
    int64_t period;
    ck_assert_int_eq(beat("n2", sink.session->session_id, &period, NULL), 0);
    pass(10 * NS_PER_S);
    ck_assert_int_eq(beat("n2", sink.session->session_id, &period, NULL), 0);
    pass(10 * NS_PER_S);
    ck_assert_int_eq(beat("n2", sink.session->session_id, &period, NULL), 0);
    pass(10 * NS_PER_S);
    ck_assert_int_eq(beat("n2", sink.session->session_id, &period, NULL), 0);
    pass(10 * NS_PER_S);
    ck_assert_int_eq(task("runs")->status->state, SWARM__TASK_STATE__ORPHANED);
    ck_assert_int_eq(task("over")->status->state, SWARM__TASK_STATE__FAILED);
    ck_assert_int_eq(task("else")->status->state, SWARM__TASK_STATE__RUNNING);
}
END_TEST

// ---- assignments --------------------------------------------------------------------------------

START_TEST(assignments_come_at_once_and_then_in_batches)
{
    static struct sink session;
    static struct sink sink;
    static struct sink other;
    put(OBJECT_TASK, make_task("a", "", SWARM__TASK_STATE__PENDING));
    put(OBJECT_TASK, make_task("b", "", SWARM__TASK_STATE__PENDING));
    static struct sink session2;
    open_assignments(&other, "n2", join(&session2, "n2"));
    open_assignments(&sink, "n1", join(&session, "n1"));
    ck_assert_int_eq(sink.assignments->type, SWARM__ASSIGNMENTS_MESSAGE__TYPE__COMPLETE);
    assign_task_to("a", "n1");
    pass(ASSIGNMENT_BATCH_NS / 2);
    assign_task_to("b", "n1");
    pass(ASSIGNMENT_BATCH_NS / 2 - 1);
    ck_assert_int_eq(sink.messages, 1);
    pass(1);
    ck_assert_int_eq(sink.messages, 2);
    ck_assert_uint_eq(sink.assignments->n_changes, 2);
    ck_assert_int_eq(other.messages, 1);
}
END_TEST

START_TEST(what_comes_to_a_quiet_stream_goes_at_once)
{
    static struct sink session;
    static struct sink sink;
    put(OBJECT_TASK, make_task("a", "", SWARM__TASK_STATE__PENDING));
    put(OBJECT_TASK, make_task("b", "", SWARM__TASK_STATE__PENDING));
    put(OBJECT_TASK, make_task("c", "", SWARM__TASK_STATE__PENDING));
    open_assignments(&sink, "n1", join(&session, "n1"));
    pass(ASSIGNMENT_BATCH_NS);
    assign_task_to("a", "n1");
    pass(0);
    ck_assert_int_eq(sink.messages, 2);
    assign_task_to("b", "n1");
    pass(ASSIGNMENT_BATCH_NS / 2);
    assign_task_to("c", "n1");
    pass(ASSIGNMENT_BATCH_NS / 2 - 1);
    ck_assert_int_eq(sink.messages, 2);
    pass(1);
    ck_assert_int_eq(sink.messages, 3);
    ck_assert_uint_eq(sink.assignments->n_changes, 2);
}
END_TEST

START_TEST(a_hundred_changes_go_at_once)
{
    static struct sink session;
    static struct sink sink;
    open_assignments(&sink, "n1", join(&session, "n1"));
    struct txn *txn = fake_begin(&log_, 100);
    for (int i = 0; i < ASSIGNMENT_BATCH_MAX; i++) {
        char id[16];
        snprintf(id, sizeof id, "t%d", i);
        Swarm__Task *made = make_task(id, "n1", SWARM__TASK_STATE__ASSIGNED);
        ck_assert_int_eq(txn_create(txn, OBJECT_TASK, made, NULL), 0);
    }
    fake_write(&log_, txn);
    dispatcher_step(dispatcher, now);
    ck_assert_int_eq(sink.messages, 2);
    ck_assert_uint_eq(sink.assignments->n_changes, ASSIGNMENT_BATCH_MAX);
}
END_TEST

START_TEST(what_is_committed_but_not_yet_followed_is_not_sent_twice)
{
    static struct sink session;
    static struct sink sink;
    const char *id = join(&session, "n1");
    put(OBJECT_TASK, make_task("a", "", SWARM__TASK_STATE__PENDING));
    assign_task_to("a", "n1"); // its event still waits
    open_assignments(&sink, "n1", id);
    ck_assert_uint_eq(sink.assignments->n_changes, 1);
    pass(NS_PER_S);
    ck_assert_int_eq(sink.messages, 1);
}
END_TEST

START_TEST(a_stream_without_room_collects_and_goes_on_when_there_is_some)
{
    static struct sink session;
    static struct sink sink;
    open_assignments(&sink, "n1", join(&session, "n1"));
    put(OBJECT_TASK, make_task("a", "", SWARM__TASK_STATE__PENDING));
    put(OBJECT_TASK, make_task("b", "", SWARM__TASK_STATE__PENDING));
    sink.blocked = true;
    session.blocked = true;
    assign_task_to("a", "n1");
    pass(NS_PER_S);
    assign_task_to("b", "n1");
    struct txn *txn = fake_begin(&log_, 100);
    Swarm__Node *edited = txn_edit(txn, OBJECT_NODE, "n1");
    ck_assert_int_eq(txn_update(txn, OBJECT_NODE, edited, NULL), 0);
    fake_write(&log_, txn);
    pass(NS_PER_S);
    ck_assert_int_eq(sink.messages, 1);
    ck_assert_int_eq(session.messages, 1);
    sink.blocked = false;
    session.blocked = false;
    dispatcher_writable(dispatcher, &sink.stream, now);
    dispatcher_writable(dispatcher, &session.stream, now);
    pass(0);
    ck_assert_int_eq(sink.messages, 2);
    ck_assert_uint_eq(sink.assignments->n_changes, 2);
    ck_assert_int_eq(session.messages, 2);
}
END_TEST

START_TEST(the_legacy_stream_repeats_the_whole_list)
{
    static struct sink session;
    static struct sink sink;
    const char *id = join(&session, "n1");
    put(OBJECT_TASK, make_task("a", "n1", SWARM__TASK_STATE__ASSIGNED));
    put(OBJECT_TASK, make_task("b", "", SWARM__TASK_STATE__PENDING));
    sink_init(&sink);
    ck_assert_int_eq(dispatcher_assignments(dispatcher, "n1", id, true, &sink.stream, now, NULL),
                     0);
    pass(0);
    ck_assert_uint_eq(sink.tasks->n_tasks, 1);
    assign_task_to("b", "n1");
    pass(ASSIGNMENT_BATCH_NS);
    ck_assert_uint_eq(sink.tasks->n_tasks, 2);
}
END_TEST

// ---- reports ------------------------------------------------------------------------------------

START_TEST(reports_are_stored_with_who_and_when)
{
    static struct sink sink;
    struct err err = ERR_INIT;
    const char *session = join(&sink, "n1");
    put(OBJECT_TASK, make_task("a", "n1", SWARM__TASK_STATE__ASSIGNED));
    ck_assert_int_eq(report("n1", session, "a", SWARM__TASK_STATE__RUNNING, &err), 0);
    ck_assert_int_eq(report("n1", session, "unknown", SWARM__TASK_STATE__RUNNING, &err), 0);
    ck_assert_int_eq(task("a")->status->state, SWARM__TASK_STATE__ASSIGNED);
    pass(STATUS_BATCH_NS);
    const Swarm__TaskStatus *status = task("a")->status;
    ck_assert_int_eq(status->state, SWARM__TASK_STATE__RUNNING);
    ck_assert_str_eq(status->message, "reported");
    ck_assert_str_eq(status->applied_by, "m1");
    ck_assert_int_eq(status->applied_at->seconds, now.wall.ns / NS_PER_S);
}
END_TEST

START_TEST(states_never_go_back_and_repeats_are_not_written)
{
    static struct sink sink;
    const char *session = join(&sink, "n1");
    put(OBJECT_TASK, make_task("a", "n1", SWARM__TASK_STATE__ASSIGNED));
    ck_assert_int_eq(report("n1", session, "a", SWARM__TASK_STATE__FAILED, NULL), 0);
    ck_assert_int_eq(report("n1", session, "a", SWARM__TASK_STATE__RUNNING, NULL), 0);
    pass(STATUS_BATCH_NS);
    ck_assert_int_eq(task("a")->status->state, SWARM__TASK_STATE__FAILED);
    size_t entries = log_.count;
    ck_assert_int_eq(report("n1", session, "a", SWARM__TASK_STATE__RUNNING, NULL), 0);
    pass(STATUS_BATCH_NS);
    ck_assert_int_eq(report("n1", session, "a", SWARM__TASK_STATE__FAILED, NULL), 0);
    pass(STATUS_BATCH_NS);
    ck_assert_int_eq(task("a")->status->state, SWARM__TASK_STATE__FAILED);
    ck_assert_uint_eq(log_.count, entries);
}
END_TEST

START_TEST(one_foreign_task_refuses_the_whole_call)
{
    static struct sink sink;
    struct err err = ERR_INIT;
    const char *session = join(&sink, "n1");
    put(OBJECT_TASK, make_task("mine", "n1", SWARM__TASK_STATE__ASSIGNED));
    put(OBJECT_TASK, make_task("theirs", "n2", SWARM__TASK_STATE__ASSIGNED));
    Swarm__TaskStatus status = SWARM__TASK_STATUS__INIT;
    status.state = SWARM__TASK_STATE__RUNNING;
    Swarm__UpdateTaskStatusRequest__TaskStatusUpdate mine =
        SWARM__UPDATE_TASK_STATUS_REQUEST__TASK_STATUS_UPDATE__INIT;
    Swarm__UpdateTaskStatusRequest__TaskStatusUpdate theirs = mine;
    mine.task_id = "mine";
    theirs.task_id = "theirs";
    mine.status = theirs.status = &status;
    Swarm__UpdateTaskStatusRequest__TaskStatusUpdate *updates[] = {&mine, &theirs};
    Swarm__UpdateTaskStatusRequest request = SWARM__UPDATE_TASK_STATUS_REQUEST__INIT;
    request.session_id = session;
    request.updates = updates;
    request.n_updates = 2;
    ck_assert_int_eq(dispatcher_report(dispatcher, "n1", &request, now, &err),
                     -ERR_PERMISSION_DENIED);
    pass(NS_PER_S);
    ck_assert_int_eq(task("mine")->status->state, SWARM__TASK_STATE__ASSIGNED);
    theirs.status = NULL; // a missing status is ignored, the task not looked at
    ck_assert_int_eq(dispatcher_report(dispatcher, "n1", &request, now, &err), 0);
    pass(NS_PER_S);
    ck_assert_int_eq(task("mine")->status->state, SWARM__TASK_STATE__RUNNING);
}
END_TEST

START_TEST(states_of_managers_are_not_an_agents_to_report)
{
    static struct sink sink;
    struct err err = ERR_INIT;
    const char *session = join(&sink, "n1");
    put(OBJECT_TASK, make_task("a", "n1", SWARM__TASK_STATE__ASSIGNED));
    ck_assert_int_eq(report("n1", session, "a", SWARM__TASK_STATE__ORPHANED, &err),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(report("n1", session, "a", 100000, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(report("n1", session, "a", SWARM__TASK_STATE__REJECTED, &err), 0);
}
END_TEST

START_TEST(reports_wait_while_the_store_takes_none)
{
    static struct sink sink;
    const char *session = join(&sink, "n1");
    put(OBJECT_TASK, make_task("a", "n1", SWARM__TASK_STATE__ASSIGNED));
    store_set_proposer(log_.store, NULL);
    ck_assert_int_eq(report("n1", session, "a", SWARM__TASK_STATE__RUNNING, NULL), 0);
    dispatcher_step(dispatcher, now);
    now.mono = mono_add(now.mono, STATUS_BATCH_NS);
    dispatcher_step(dispatcher, now);
    struct dispatcher_stats stats;
    dispatcher_stats(dispatcher, &stats);
    ck_assert_uint_eq(stats.reports, 1);
    store_set_proposer(log_.store, &log_.proposer);
    pass(NS_PER_S);
    ck_assert_int_eq(task("a")->status->state, SWARM__TASK_STATE__RUNNING);
}
END_TEST

START_TEST(volumes_given_back_are_marked_for_the_controller)
{
    static struct sink sink;
    const char *session = join(&sink, "n1");
    Swarm__Volume *volume = wire_new(&swarm__volume__descriptor, &arena);
    Swarm__VolumePublishStatus *status =
        wire_new(&swarm__volume_publish_status__descriptor, &arena);
    volume->id = "v1";
    volume->spec->annotations->name = "v1";
    status->node_id = "n1";
    status->state = SWARM__VOLUME_PUBLISH_STATUS__STATE__PENDING_NODE_UNPUBLISH;
    FAKE_ADD(&arena, volume, publish_status, status);
    put(OBJECT_VOLUME, volume);
    Swarm__UpdateVolumeStatusRequest__VolumeStatusUpdate update =
        SWARM__UPDATE_VOLUME_STATUS_REQUEST__VOLUME_STATUS_UPDATE__INIT;
    Swarm__UpdateVolumeStatusRequest__VolumeStatusUpdate *updates[] = {&update};
    Swarm__UpdateVolumeStatusRequest request = SWARM__UPDATE_VOLUME_STATUS_REQUEST__INIT;
    update.id = "v1";
    update.unpublished = true;
    request.session_id = session;
    request.updates = updates;
    request.n_updates = 1;
    ck_assert_int_eq(dispatcher_report_volumes(dispatcher, "n1", &request, now, NULL), 0);
    pass(STATUS_BATCH_NS);
    struct view view = store_pin(log_.store);
    const Swarm__Volume *stored = object_unpack(view_get(view, OBJECT_VOLUME, "v1"), &arena);
    store_unpin(view);
    ck_assert_int_eq(stored->publish_status[0]->state,
                     SWARM__VOLUME_PUBLISH_STATUS__STATE__PENDING_UNPUBLISH);
}
END_TEST

// ---- figures ------------------------------------------------------------------------------------

#define CROWD 1000

START_TEST(a_crowd_of_agents_takes_little_memory_and_registers_in_few_entries)
{
    static struct sink sessions[CROWD];
    static struct sink assignments[CROWD];
    static char ids[CROWD][16];
    struct txn *txn = fake_begin(&log_, 100);
    for (int i = 0; i < CROWD; i++) {
        snprintf(ids[i], sizeof ids[i], "crowd%d", i);
        ck_assert_int_eq(txn_turn(&txn, 1, NULL), 0);
        ck_assert_int_eq(txn_create(txn, OBJECT_NODE, fake_node(&arena, ids[i]), NULL), 0);
        for (int t = 0; t < 10; t++) {
            char id[32];
            snprintf(id, sizeof id, "%s.%d", ids[i], t);
            ck_assert_int_eq(txn_turn(&txn, 1, NULL), 0);
            Swarm__Task *made = make_task(id, ids[i], SWARM__TASK_STATE__ASSIGNED);
            ck_assert_int_eq(txn_create(txn, OBJECT_TASK, made, NULL), 0);
        }
    }
    fake_write(&log_, txn);
    dispatcher_step(dispatcher, now);
    size_t entries = log_.count;
    for (int i = 0; i < CROWD; i++) {
        ck_assert_int_eq(open_session(&sessions[i], ids[i], "", NULL), 0);
    }
    pass(STATUS_BATCH_NS);
    ck_assert_uint_le(log_.count - entries, CROWD / 200 + 1);
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < CROWD; i++) {
        ck_assert_int_eq(sessions[i].messages, 1);
        sink_init(&assignments[i]);
        assignments[i].quiet = true;
        ck_assert_int_eq(dispatcher_assignments(dispatcher, ids[i], sessions[i].session->session_id,
                                                false, &assignments[i].stream, now, NULL),
                         0);
        dispatcher_step(dispatcher, now);
        ck_assert_int_eq(assignments[i].messages, 1);
    }
    size_t each = (mallinfo2().uordblks - before) / CROWD;
    printf("bytes per agent with 10 tasks: %zu\n", each);
    ck_assert_uint_lt(each, 8192); // of the 25 KB an agent may take in all
}
END_TEST

Suite *suite_dispatcher(void);
Suite *suite_dispatcher(void)
{
    Suite *suite = suite_create("dispatcher");
    TCase *tcase = tcase_create("dispatcher");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_session_begins_when_the_node_is_ready_in_the_store);
    tcase_add_test(tcase, a_node_that_is_not_in_the_store_cannot_register);
    tcase_add_test(tcase, every_change_that_concerns_an_agent_is_told_once);
    tcase_add_test(tcase, an_offered_session_is_kept_and_refreshed);
    tcase_add_test(tcase, a_new_session_ends_the_streams_of_the_old_one);
    tcase_add_test(tcase, registering_too_often_is_refused_for_a_while);
    tcase_add_test(tcase, calls_without_the_right_session_are_refused);
    tcase_add_test(tcase, an_agent_holds_a_bounded_number_of_streams);
    tcase_add_test(tcase, stopping_says_goodbye);
    tcase_add_test(tcase, a_removed_node_is_disconnected);
    tcase_add_test(tcase, heartbeats_are_asked_for_at_the_period_give_or_take_half_a_second);
    tcase_add_test(tcase, the_period_follows_the_cluster);
    tcase_add_test(tcase, three_missed_periods_make_a_node_down);
    tcase_add_test(tcase, after_a_change_of_leader_nodes_are_unknown_for_twice_as_long);
    tcase_add_test(tcase, tasks_of_a_node_that_stays_down_are_orphaned_after_a_day);
    tcase_add_test(tcase, assignments_come_at_once_and_then_in_batches);
    tcase_add_test(tcase, what_comes_to_a_quiet_stream_goes_at_once);
    tcase_add_test(tcase, a_hundred_changes_go_at_once);
    tcase_add_test(tcase, what_is_committed_but_not_yet_followed_is_not_sent_twice);
    tcase_add_test(tcase, a_stream_without_room_collects_and_goes_on_when_there_is_some);
    tcase_add_test(tcase, the_legacy_stream_repeats_the_whole_list);
    tcase_add_test(tcase, reports_are_stored_with_who_and_when);
    tcase_add_test(tcase, states_never_go_back_and_repeats_are_not_written);
    tcase_add_test(tcase, one_foreign_task_refuses_the_whole_call);
    tcase_add_test(tcase, states_of_managers_are_not_an_agents_to_report);
    tcase_add_test(tcase, reports_wait_while_the_store_takes_none);
    tcase_add_test(tcase, volumes_given_back_are_marked_for_the_controller);
    tcase_add_test(tcase, a_crowd_of_agents_takes_little_memory_and_registers_in_few_entries);
    suite_add_tcase(suite, tcase);
    return suite;
}
