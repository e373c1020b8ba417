// Our agent with an executor that only pretends (tests/support/pretence.h), for agent_stock.sh.
// What is proven is everything around containers.
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
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "tests/support/pretence.h"

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
    struct executor executor = pretence_executor(&loop);
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
