// Bench: what a leader thinks for every task, at growing size and without a network: orchestrator,
// allocator, scheduler and dispatcher over one store, with as many agents. Services come one by
// one; an agent reports its tasks as running in the turn after they were assigned.
//
//   bench_leader [agents [services [replicas]]]
//
// Time is the process's own CPU time, and jumps while there is nothing to do: busy neighbours do
// not change it. Messages and reports are counted, what they cost on the wire is not.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "manager/dispatch/dispatcher.h"
#include "manager/planners.h"
#include "proto/base/check.h"
#include "proto/base/id.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

#define TASKS_MAX 128 // assigned in one message, and of one report

// How often a service is made.
#define CREATE_NS (2 * NS_PER_MS)

struct agent_model {
    struct dispatch_stream session;
    struct dispatch_stream stream;
    char id[32];
    char session_id[ID_CHARS + 1];
    char tasks[TASKS_MAX][ID_CHARS + 1]; // to be reported
    size_t tasks_count;
};

static struct fake_log log_;
static struct planners *planners;
static struct dispatcher *dispatcher;
static struct agent_model *agents;
static size_t agents_count = 1000, services = 100, replicas = 100;
static int64_t skipped_ns; // idle time that was jumped over
static size_t assigned, running, messages, reports;
static struct arena arena; // of one message
static bool changed;       // the planners have something to look at

static int64_t cpu_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return at.tv_sec * NS_PER_S + at.tv_nsec;
}

static struct moment now(void)
{
    int64_t ns = cpu_ns() + skipped_ns;
    return (struct moment){.mono = {.ns = 1000 * NS_PER_S + ns},
                           .wall = {.ns = 1700000000 * NS_PER_S + ns}};
}

// ---- agents -------------------------------------------------------------------------------------

static bool on_writable(struct dispatch_stream *stream)
{
    (void)stream;
    return true;
}

static int on_session(struct dispatch_stream *stream, const void *bytes, size_t size,
                      struct err *err)
{
    struct agent_model *agent = CONTAINER_OF(stream, struct agent_model, session);
    arena_reset(&arena);
    const Swarm__SessionMessage *message = wire_unpack(&swarm__session_message__descriptor, bytes,
                                                       size, &WIRE_LIMITS_PEER, &arena, err);
    CHECK(message);
    str_copy(agent->session_id, sizeof agent->session_id, message->session_id);
    return 0;
}

static int on_assignments(struct dispatch_stream *stream, const void *bytes, size_t size,
                          struct err *err)
{
    struct agent_model *agent = CONTAINER_OF(stream, struct agent_model, stream);
    arena_reset(&arena);
    const Swarm__AssignmentsMessage *message = wire_unpack(
        &swarm__assignments_message__descriptor, bytes, size, &WIRE_LIMITS_PEER, &arena, err);
    CHECK(message);
    messages += message->n_changes > 0;
    for (size_t i = 0; i < message->n_changes; i++) {
        const Swarm__Task *task = message->changes[i]->assignment->task;
        if (!task || task->status->state != SWARM__TASK_STATE__ASSIGNED)
            continue;
        CHECK(agent->tasks_count < TASKS_MAX);
        str_copy(agent->tasks[agent->tasks_count++], ID_CHARS + 1, task->id);
        assigned++;
    }
    return 0;
}

static void on_end(struct dispatch_stream *stream, const struct err *err)
{
    (void)stream;
    (void)err;
}

static const struct dispatch_stream_ops session_ops = {
    .writable = on_writable, .send = on_session, .end = on_end};
static const struct dispatch_stream_ops assignment_ops = {
    .writable = on_writable, .send = on_assignments, .end = on_end};

static void report(struct agent_model *agent)
{
    Swarm__UpdateTaskStatusRequest request = SWARM__UPDATE_TASK_STATUS_REQUEST__INIT;
    Swarm__UpdateTaskStatusRequest__TaskStatusUpdate rows[TASKS_MAX], *list[TASKS_MAX];
    Swarm__TaskStatus status = SWARM__TASK_STATUS__INIT;
    struct err err = ERR_INIT;
    if (agent->tasks_count == 0)
        return;
    status.state = SWARM__TASK_STATE__RUNNING;
    status.message = (char *)"as good as started";
    for (size_t i = 0; i < agent->tasks_count; i++) {
        rows[i] = (Swarm__UpdateTaskStatusRequest__TaskStatusUpdate)
            SWARM__UPDATE_TASK_STATUS_REQUEST__TASK_STATUS_UPDATE__INIT;
        rows[i].task_id = agent->tasks[i];
        rows[i].status = &status;
        list[i] = &rows[i];
    }
    request.session_id = agent->session_id;
    request.updates = list;
    request.n_updates = agent->tasks_count;
    if (dispatcher_report(dispatcher, agent->id, &request, now(), &err))
        abort();
    reports++;
    running += agent->tasks_count;
    agent->tasks_count = 0;
}

// ---- the leader ---------------------------------------------------------------------------------

static void on_wake(void *ctx)
{
    (void)ctx;
    changed = true;
}

static void commit(void)
{
    fake_commit_all(&log_);
    fake_log_trim(&log_);
    store_tidy(log_.store);
}

// One turn of everything; when nothing was due, time jumps to what is due next or to `until`.
static void turn(struct mono until)
{
    static struct mono due; // of the planners
    struct moment at = now();
    if (changed || !mono_before(at.mono, due)) {
        changed = false;
        due = planners_turn(planners, at.mono, at.wall);
        commit();
    }
    dispatcher_step(dispatcher, now());
    commit();
    for (size_t i = 0; i < agents_count; i++)
        report(&agents[i]);
    struct mono next = dispatcher_due(dispatcher);
    next = mono_before(due, next) ? due : next;
    next = mono_before(until, next) ? until : next;
    int64_t idle_ns = mono_since(next, now().mono);
    if (!changed && idle_ns > 0)
        skipped_ns += idle_ns;
}

static void join(struct agent_model *agent, size_t number)
{
    struct err err = ERR_INIT;
    Swarm__SessionRequest request = SWARM__SESSION_REQUEST__INIT;
    snprintf(agent->id, sizeof agent->id, "node%021zu", number);
    struct txn *txn = fake_begin(&log_, 1);
    arena_reset(&arena);
    if (txn_create(txn, OBJECT_NODE, fake_node(&arena, agent->id), &err))
        abort();
    fake_write(&log_, txn);
    agent->session.ops = &session_ops;
    agent->stream.ops = &assignment_ops;
    if (dispatcher_session(dispatcher, agent->id, "10.0.0.1", &request, &agent->session, now(),
                           &err))
        abort();
}

static void join_all(void)
{
    struct err err = ERR_INIT;
    for (size_t i = 0; i < agents_count; i++) {
        join(&agents[i], i);
        if (i % 1000 == 999)
            fake_log_trim(&log_);
    }
    while (!*agents[agents_count - 1].session_id)
        turn(mono_add(now().mono, NS_PER_S));
    for (size_t i = 0; i < agents_count; i++)
        if (dispatcher_assignments(dispatcher, agents[i].id, agents[i].session_id, false,
                                   &agents[i].stream, now(), &err))
            abort();
    for (int i = 0; i < 100; i++)
        turn(mono_add(now().mono, 10 * NS_PER_MS));
}

static void make_service(size_t number)
{
    struct err err = ERR_INIT;
    char id[32];
    snprintf(id, sizeof id, "service%018zu", number);
    arena_reset(&arena);
    Swarm__Service *service = fake_service(&arena, id);
    service->spec->replicated->replicas = replicas;
    service->spec_version = wire_new(&swarm__version__descriptor, &arena);
    service->spec_version->index = 5;
    struct txn *txn = fake_begin(&log_, now().wall.ns / NS_PER_S);
    if (txn_create(txn, OBJECT_SERVICE, service, &err))
        abort();
    fake_write(&log_, txn);
}

static void begin(void)
{
    static const struct dispatch_manager managers[] = {{"m1", "10.0.0.1:2377"}};
    fake_log_init(&log_, 10);
    arena_init(&arena, SIZE_MAX);
    Swarm__Cluster *cluster = fake_cluster(&arena, "cluster1");
    cluster->root_ca = wire_new(&swarm__root_ca__descriptor, &arena);
    cluster->root_ca->ca_cert = (ProtobufCBinaryData){.data = (uint8_t *)"PEM", .len = 3};
    Swarm__EncryptionKey *key = wire_new(&swarm__encryption_key__descriptor, &arena);
    key->subsystem = "networking:gossip";
    FAKE_ADD(&arena, cluster, network_bootstrap_keys, key);
    cluster->spec->dispatcher = wire_new(&swarm__dispatcher_config__descriptor, &arena);
    cluster->spec->dispatcher->heartbeat_period = wire_new(&google__duration__descriptor, &arena);
    cluster->spec->dispatcher->heartbeat_period->seconds = 3600; // nobody beats
    struct err err = ERR_INIT;
    struct txn *txn = fake_begin(&log_, 1);
    if (txn_create(txn, OBJECT_CLUSTER, cluster, &err))
        abort();
    fake_write(&log_, txn);
    planners = planners_new(log_.store, 7, on_wake, NULL);
    struct dispatcher_config config = {
        .store = log_.store, .rng = &rng_kernel, .seed = 7, .node_id = "m1"};
    dispatcher = dispatcher_new(&config, now());
    dispatcher_set_managers(dispatcher, managers, COUNT_OF(managers));
    commit();
}

int main(int argc, char **argv)
{
    agents_count = argc > 1 ? strtoul(argv[1], NULL, 10) : agents_count;
    services = argc > 2 ? strtoul(argv[2], NULL, 10) : services;
    replicas = argc > 3 ? strtoul(argv[3], NULL, 10) : replicas;
    agents = mem_alloc_array(agents_count, sizeof *agents);
    memset(agents, 0, agents_count * sizeof *agents);
    begin();
    join_all();

    size_t tasks = services * replicas, made = 0;
    int64_t cpu = cpu_ns(), all_assigned_ns = 0;
    struct mono start = now().mono;
    while (running < tasks) {
        struct mono next = mono_add(start, (int64_t)made * CREATE_NS);
        if (made < services && !mono_before(now().mono, next))
            make_service(made++);
        turn(made < services ? next : MONO_NEVER);
        if (assigned == tasks && !all_assigned_ns)
            all_assigned_ns = mono_since(now().mono, start);
    }
    printf("agents %zu tasks %zu assigned_ms %lld running_ms %lld cpu_us_per_task %.1f "
           "messages_per_task %.2f reports_per_task %.2f\n",
           agents_count, tasks, (long long)(all_assigned_ns / NS_PER_MS),
           (long long)(mono_since(now().mono, start) / NS_PER_MS),
           (double)(cpu_ns() - cpu) / 1e3 / (double)tasks, (double)messages / (double)tasks,
           (double)reports / (double)tasks);
    // Ends with the process: what is measured is over.
    return 0;
}
