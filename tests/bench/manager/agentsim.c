// Model agents for a benchmark of managers, ours or stock: each joins with the token over TLS,
// keeps a session with heartbeats, and takes every task for running as soon as it is assigned.
//
//   bench_agentsim ADDR[,ADDR...] TOKEN COUNT [ALONE]
//
// The first ALONE of them (all, when it is left out) join as agents do: keys of their own, and
// three connections with full handshakes. It says "alone" when these have their sessions. The
// others follow as a crowd (desk.h), in which joining costs both sides a third; their sessions are
// like those of the first. It says "up" when all have their sessions, then answers lines on its
// standard input, each with one line:
//   stats     up N tasks N running N heartbeats N assignments N last_ms T cpu_s S
//             (tasks: assigned and wanted; running: of these, those whose report a manager took;
//             last_ms: wall time of the last assignment)
//   kill K    agent K is gone without a word: killed NODE_ID TASKS
// and ends when its input does.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/description.h"
#include "agent/enroll_rpc.h"
#include "agent/session_rpc.h"
#include "tests/bench/manager/desk.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/wire/times.h"

#define ALONE_MAX   16 // that join at a time
#define CROWD_MAX   96 // handshakes of more would take too long, one by one
#define ADDRS_MAX   128
#define UPDATES_MAX 128
#define REPORT_MS   60000

enum report { REPORT_DUE, REPORT_SENT, REPORT_TAKEN };

struct sim_task {
    char id[32];
    int wanted; // desired state, by number
    int told;   // state of the last report
    enum report report;
};

struct sim_agent {
    int number;
    bool joined, up, ever_up, reporting, dead;
    struct enroller *enroller;
    struct desk_visit visit;
    struct credentials credentials;
    struct tls_config *tls;
    struct remotes remotes;
    struct agent_session *session;
    struct map tasks;         // id -> struct sim_task, owned
    struct loop_later report; // something is due
    struct sim_task *sent[UPDATES_MAX];
    size_t sent_count;
};

static struct loop loop;
static struct sim_agent *agents;
static int agents_count, alone_count, joining, next_join, ups, ever_ups;
static const char *manager_addrs[ADDRS_MAX];
static int manager_addrs_count;
static const char *token;
static struct desk *desk; // when the crowd joins
static uint64_t assignments;
static struct wall last_assignment;
static struct arena arena; // of one description or report

static _Noreturn void die(const char *what, const struct err *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, err_code_name(err->code), err->message);
    exit(1);
}

// ---- tasks --------------------------------------------------------------------------------------

static void report_now(struct loop_later *later);

static int state_for(const struct sim_task *task)
{
    return task->wanted > SWARM__TASK_STATE__RUNNING ? SWARM__TASK_STATE__SHUTDOWN
                                                     : SWARM__TASK_STATE__RUNNING;
}

static void take_change(struct sim_agent *agent, const Swarm__AssignmentChange *change)
{
    const Swarm__Task *task = change->assignment ? change->assignment->task : NULL;
    if (!task)
        return;
    if (change->action == SWARM__ASSIGNMENT_CHANGE__ASSIGNMENT_ACTION__REMOVE) {
        struct sim_task *gone = map_remove_str(&agent->tasks, task->id);
        for (size_t i = 0; gone && i < agent->sent_count; i++)
            if (agent->sent[i] == gone)
                agent->sent[i] = NULL;
        free(gone);
        return;
    }
    struct sim_task *known = map_get_str(&agent->tasks, task->id);
    if (!known) {
        known = MEM_NEW(struct sim_task);
        str_copy(known->id, sizeof known->id, task->id);
        map_put_str(&agent->tasks, task->id, known);
        last_assignment = wall_now();
    }
    known->wanted = (int)task->desired_state;
    if (known->told != state_for(known)) {
        known->report = REPORT_DUE;
        loop_later_ask(&agent->report);
    }
}

static void on_assignments(void *owner, const Swarm__AssignmentsMessage *message)
{
    struct sim_agent *agent = owner;
    assignments++;
    for (size_t i = 0; i < message->n_changes; i++)
        take_change(agent, message->changes[i]);
}

static void on_reported(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                        const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    struct sim_agent *agent = ctx;
    agent->reporting = false;
    for (size_t i = 0; i < agent->sent_count; i++) {
        struct sim_task *task = agent->sent[i];
        if (task && task->report == REPORT_SENT)
            task->report = status->err.code == ERR_OK ? REPORT_TAKEN : REPORT_DUE;
    }
    agent->sent_count = 0;
    loop_later_ask(&agent->report);
}

// Tells of all that is due, as many as fit into one call.
static void report_now(struct loop_later *later)
{
    struct sim_agent *agent = CONTAINER_OF(later, struct sim_agent, report);
    struct rpc_client *client = agent->session ? agent_session_client(agent->session) : NULL;
    if (agent->reporting || !agent->up || !client)
        return;
    Swarm__UpdateTaskStatusRequest message = SWARM__UPDATE_TASK_STATUS_REQUEST__INIT;
    Swarm__UpdateTaskStatusRequest__TaskStatusUpdate rows[UPDATES_MAX], *list[UPDATES_MAX];
    Swarm__TaskStatus states[UPDATES_MAX];
    Google__Timestamp now = GOOGLE__TIMESTAMP__INIT;
    timestamp_set(&now, wall_now());
    MAP_EACH (entry, &agent->tasks) {
        struct sim_task *task = entry->value;
        if (task->report != REPORT_DUE || agent->sent_count == UPDATES_MAX)
            continue;
        size_t i = agent->sent_count++;
        agent->sent[i] = task;
        task->told = state_for(task);
        task->report = REPORT_SENT;
        states[i] = (Swarm__TaskStatus)SWARM__TASK_STATUS__INIT;
        states[i].timestamp = &now;
        states[i].state = (Swarm__TaskState)task->told;
        states[i].message = (char *)"as good as started";
        rows[i] = (Swarm__UpdateTaskStatusRequest__TaskStatusUpdate)
            SWARM__UPDATE_TASK_STATUS_REQUEST__TASK_STATUS_UPDATE__INIT;
        rows[i].task_id = task->id;
        rows[i].status = &states[i];
        list[i] = &rows[i];
    }
    if (agent->sent_count == 0)
        return;
    message.session_id = (char *)agent_session_id(agent->session);
    message.updates = list;
    message.n_updates = agent->sent_count;
    struct rpc_request_spec spec = {.path = "/docker.swarmkit.v1.Dispatcher/UpdateTaskStatus",
                                    .kind = RPC_UNARY,
                                    .timeout_ms = REPORT_MS,
                                    .on_done = on_reported,
                                    .ctx = agent};
    agent->reporting = true;
    rpc_client_call(client, &spec, &message.base);
}

// ---- sessions -----------------------------------------------------------------------------------

static const Swarm__NodeDescription *describe(void *owner)
{
    struct sim_agent *agent = owner;
    static const struct description_pair plugins[] = {
        {"Network", "overlay"}, {"Network", "host"}, {"Volume", "local"}};
    struct description_facts facts = {.architecture = "x86_64",
                                      .nano_cpus = 64 * INT64_C(1000000000),
                                      .memory_bytes = INT64_C(256) << 30,
                                      .engine_version = "20.10.24",
                                      .plugins = plugins,
                                      .plugins_count = COUNT_OF(plugins)};
    struct err err = ERR_INIT;
    snprintf(facts.hostname, sizeof facts.hostname, "sim-%d", agent->number);
    arena_reset(&arena);
    const Swarm__NodeDescription *description =
        description_make(&facts, &agent->credentials, &arena, &err);
    if (!description)
        die("description", &err);
    return description;
}

static void join_more(void);

static void say(const char *what)
{
    printf("%s\n", what);
    fflush(stdout);
}

static void on_up(void *owner)
{
    struct sim_agent *agent = owner;
    agent->up = true;
    ups++;
    if (!agent->ever_up) {
        agent->ever_up = true;
        ever_ups++;
        joining--;
        if (ever_ups == alone_count)
            say("alone");
        if (ever_ups == agents_count)
            say("up");
        join_more();
    }
    MAP_EACH (entry, &agent->tasks)
        ((struct sim_task *)entry->value)->report = REPORT_DUE;
    loop_later_ask(&agent->report);
}

static void on_down(void *owner, const struct err *err)
{
    struct sim_agent *agent = owner;
    (void)err;
    agent->up = false;
    ups--;
}

static void begin_session(struct sim_agent *agent)
{
    struct agent_session_config config = {
        .loop = &loop,
        .remotes = &agent->remotes,
        .tls = agent->tls,
        .describe = describe,
        .events = {.up = on_up, .down = on_down, .assignments = on_assignments},
        .owner = agent};
    agent->session = agent_session_new(&config);
}

// ---- joining ------------------------------------------------------------------------------------

static void take_credentials(struct sim_agent *agent)
{
    struct err err = ERR_INIT;
    struct tls_options options = {
        .verify = TLS_VERIFY_REQUIRED, .alpn = TLS_ALPN_H2, .rng = &rng_kernel};
    agent->tls = tls_config_of(&agent->credentials, &options, &err);
    if (!agent->tls)
        die("credentials", &err);
    agent->joined = true;
}

static void on_enroller_closed(void *ctx)
{
    begin_session(ctx);
}

static void on_joined(void *owner, struct enroll *enroll)
{
    struct sim_agent *agent = owner;
    if (enroll_next(enroll).call == ENROLL_FAILED)
        die("join", enroll_error(enroll));
    credentials_copy(&agent->credentials, enroll_credentials(enroll));
    take_credentials(agent);
    enroller_close(agent->enroller, on_enroller_closed, agent);
}

static void join_alone(struct sim_agent *agent)
{
    struct err err = ERR_INIT;
    struct enroll *enroll = enroll_join(token, SWARM__NODE_SPEC__AVAILABILITY__ACTIVE, &rng_kernel,
                                        (uint64_t)mono_now().ns + (uint64_t)next_join, &err);
    if (!enroll)
        die("token", &err);
    agent->enroller = enroller_start(&(struct enroller_config){.loop = &loop,
                                                               .remotes = &agent->remotes,
                                                               .enroll = enroll,
                                                               .done = on_joined,
                                                               .owner = agent});
}

static void on_served(struct desk_visit *visit, struct credentials *credentials)
{
    struct sim_agent *agent = CONTAINER_OF(visit, struct sim_agent, visit);
    agent->credentials = *credentials;
    take_credentials(agent);
    begin_session(agent);
}

static void join_crowd(struct sim_agent *agent)
{
    if (!desk) {
        struct desk_config config = {.loop = &loop,
                                     .addrs = manager_addrs,
                                     .addrs_count = (size_t)manager_addrs_count,
                                     .token = token,
                                     .roots_pem = agents[0].credentials.roots_pem};
        desk = desk_new(&config);
    }
    agent->visit.served = on_served;
    desk_visit(desk, &agent->visit);
}

// Another one for each that has its session; the crowd begins when all that join alone are up.
static void join_more(void)
{
    while (next_join < agents_count) {
        struct sim_agent *agent = &agents[next_join];
        bool alone = next_join < alone_count;
        if (joining >= (alone ? ALONE_MAX : CROWD_MAX) || (!alone && ever_ups < alone_count))
            return;
        agent->number = next_join++;
        joining++;
        map_init(&agent->tasks);
        remotes_init(&agent->remotes);
        remotes_observe(&agent->remotes, "", manager_addrs[agent->number % manager_addrs_count],
                        REMOTES_OBSERVED_GOOD);
        loop_later_init(&agent->report, &loop, report_now);
        if (alone)
            join_alone(agent);
        else
            join_crowd(agent);
    }
    if (desk && ever_ups == agents_count) {
        desk_close(desk);
        desk = NULL;
    }
}

// ---- commands -----------------------------------------------------------------------------------

static void print_stats(void)
{
    uint64_t tasks = 0, running = 0;
    for (int i = 0; i < agents_count; i++) {
        if (!agents[i].joined || agents[i].dead)
            continue;
        MAP_EACH (entry, &agents[i].tasks) {
            const struct sim_task *task = entry->value;
            bool wanted = task->wanted <= SWARM__TASK_STATE__RUNNING;
            tasks += wanted;
            running += wanted && task->report == REPORT_TAKEN;
        }
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("up %d tasks %" PRIu64 " running %" PRIu64 " assignments %" PRIu64 " last_ms %" PRId64
           " cpu_s %.2f\n",
           ups, tasks, running, assignments, last_assignment.ns / NS_PER_MS,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

static void kill_agent(int number)
{
    struct sim_agent *agent = number >= 0 && number < agents_count ? &agents[number] : NULL;
    if (!agent || agent->dead || !agent->session) {
        printf("no such agent\n");
        return;
    }
    printf("killed %s %zu\n", agent->credentials.identity.node_id, map_count(&agent->tasks));
    ups -= agent->up;
    agent->dead = true;
    agent->up = false;
    agent_session_close(agent->session, NULL, NULL);
    agent->session = NULL;
}

static char line[256];
static size_t line_size;

static void on_input(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
    ssize_t got = read(0, line + line_size, sizeof line - 1 - line_size);
    if (got <= 0)
        exit(0);
    line_size += (size_t)got;
    line[line_size] = '\0';
    char *end = strchr(line, '\n');
    if (!end)
        return;
    *end = '\0';
    if (str_equal(line, "stats"))
        print_stats();
    else if (str_starts(line, "kill "))
        kill_agent(atoi(line + 5));
    else
        printf("stats, or kill K\n");
    fflush(stdout);
    line_size = 0; // one command at a time
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "see the top of %s\n", __FILE__);
        return 2;
    }
    for (char *addr = strtok(argv[1], ","); addr; addr = strtok(NULL, ",")) {
        CHECK(manager_addrs_count < ADDRS_MAX);
        manager_addrs[manager_addrs_count++] = addr;
    }
    CHECK(manager_addrs_count > 0);
    token = argv[2];
    agents_count = atoi(argv[3]);
    alone_count = argc == 5 ? atoi(argv[4]) : agents_count;
    CHECK(alone_count > 0);
    CHECK(alone_count <= agents_count);
    agents = mem_alloc_array((size_t)agents_count, sizeof *agents);
    memset(agents, 0, (size_t)agents_count * sizeof *agents);
    loop_init(&loop);
    arena_init(&arena, 1 << 20);
    uv_poll_t input;
    uv_poll_init(&loop.uv, &input, 0);
    uv_poll_start(&input, UV_READABLE, on_input);
    join_more();
    loop_run(&loop);
    return 0;
}
