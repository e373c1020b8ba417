// Our agent with an executor that only pretends, for agent_stock.sh: tasks come up at once and run
// until they are stopped. What is proven is everything around containers.
//
//   join DIR ADDR TOKEN     joins; prints the node id
//   run DIR                 runs until SIGTERM
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/enroll_rpc.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/list.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"

static struct loop loop;
static struct err failure;
static bool finished;

static int report(const struct err *err)
{
    printf("%s: %s\n", err_code_name(err->code), err->message);
    return 1;
}

static bool is_finished(void *ctx)
{
    (void)ctx;
    return finished;
}

static void finish(void *ctx)
{
    (void)ctx;
    finished = true;
}

static void wait_finished(void)
{
    finished = false;
    CHECK(loop_run_until(&loop, is_finished, NULL, 20000));
}

// ---- the executor that pretends ----------------------------------------------------------------

enum pretence { FIND, PREPARE, START, STOP, REMOVE };

struct executor_task {
    struct loop_timer timer;
    enum pretence asked;
    const struct executor_events *events;
    void *owner;
    char id[64];
};

// Answers from the loop, as events must.
static void answer(struct loop_timer *timer)
{
    struct executor_task *task = CONTAINER_OF(timer, struct executor_task, timer);
    const struct executor_events *events = task->events;
    struct executor_container box = {.pid = 4242};
    struct executor_exit exit = {.code = 143};
    str_copy(box.id, sizeof box.id, task->id);
    switch (task->asked) {
    case FIND:
        events->found(task->owner, EXECUTOR_ABSENT, NULL, NULL);
        break;
    case PREPARE:
        events->prepared(task->owner, NULL);
        break;
    case START:
        printf("started %s\n", task->id);
        fflush(stdout);
        events->started(task->owner, &box, NULL, 0, NULL);
        break;
    case STOP:
        events->exited(task->owner, &exit);
        events->stopped(task->owner, NULL);
        break;
    case REMOVE:
        events->removed(task->owner, NULL);
        break;
    }
}

static struct executor_task *pretend_open(struct executor *executor,
                                          const struct executor_order *order,
                                          const struct executor_events *events, void *owner,
                                          struct err *err)
{
    (void)executor;
    (void)err;
    struct executor_task *task = MEM_NEW(struct executor_task);
    task->events = events;
    task->owner = owner;
    str_copy(task->id, sizeof task->id, order->task->id);
    loop_timer_init(&task->timer, &loop, answer);
    return task;
}

static void ask(struct executor_task *task, enum pretence what)
{
    task->asked = what;
    loop_timer_start(&task->timer, 1);
}

static void pretend_find(struct executor_task *task)
{
    ask(task, FIND);
}
static void pretend_prepare(struct executor_task *task)
{
    ask(task, PREPARE);
}
static void pretend_abort(struct executor_task *task)
{
    (void)task; // it is nearly done
}
static void pretend_start(struct executor_task *task)
{
    ask(task, START);
}
static void pretend_stop(struct executor_task *task, int64_t grace_ns)
{
    (void)grace_ns;
    ask(task, STOP);
}
static void pretend_remove(struct executor_task *task)
{
    ask(task, REMOVE);
}
static void pretend_close(struct executor_task *task)
{
    loop_timer_stop(&task->timer);
    free(task);
}

static const struct executor_class pretend = {
    .open = pretend_open,
    .find = pretend_find,
    .prepare = pretend_prepare,
    .abort = pretend_abort,
    .start = pretend_start,
    .stop = pretend_stop,
    .remove = pretend_remove,
    .close = pretend_close,
};

// ---- the two commands --------------------------------------------------------------------------

static void joined(void *owner, struct enroll *enroll)
{
    const char **arguments = owner;
    finished = true;
    if (enroll_next(enroll).call == ENROLL_FAILED)
        failure = *enroll_error(enroll);
    else if (agent_keep(arguments[2], enroll, arguments[3], &failure) == 0)
        printf("%s\n", enroll_credentials(enroll)->identity.node_id);
}

static int do_join(char **arguments)
{
    struct remotes remotes;
    remotes_init(&remotes);
    remotes_observe(&remotes, "", arguments[3], REMOTES_OBSERVED_GOOD);
    struct enroll *enroll = enroll_join(arguments[4], SWARM__NODE_SPEC__AVAILABILITY__ACTIVE,
                                        &rng_kernel, (uint64_t)mono_now().ns, &failure);
    if (!enroll)
        return report(&failure);
    struct enroller_config config = {
        .loop = &loop, .remotes = &remotes, .enroll = enroll, .done = joined, .owner = arguments};
    struct enroller *enroller = enroller_start(&config);
    if (!loop_run_until(&loop, is_finished, NULL, 60000))
        err_set(&failure, ERR_DEADLINE_EXCEEDED, "not joined in time");
    enroller_close(enroller, finish, NULL);
    wait_finished();
    remotes_fini(&remotes);
    return failure.code == ERR_OK ? 0 : report(&failure);
}

static void on_signal(uv_signal_t *handle, int signal)
{
    (void)signal;
    finished = true;
    uv_close((uv_handle_t *)handle, NULL);
}

static int do_run(const char *dir)
{
    struct executor executor = {.class = &pretend};
    struct agent_config config = {
        .loop = &loop, .dir = dir, .executor = &executor, .engine_version = "20.10.24"};
    struct agent *agent;
    if (agent_open(&config, &agent, &failure))
        return report(&failure);
    uv_signal_t terminate;
    uv_signal_init(&loop.uv, &terminate);
    uv_signal_start(&terminate, on_signal, SIGTERM);
    // Bounded, so that nothing outlives a broken test.
    loop_run_until(&loop, is_finished, NULL, 600000);
    agent_close(agent, finish, NULL);
    wait_finished();
    return 0;
}

int main(int argc, char **argv)
{
    int result = 2;
    loop_init(&loop);
    if (argc == 5 && str_equal(argv[1], "join"))
        result = do_join(argv);
    else if (argc == 3 && str_equal(argv[1], "run"))
        result = do_run(argv[2]);
    loop_fini(&loop);
    return result;
}
