// Tasks as real containers: the executor over a busybox image, crun and conmon. Each test starts in
// an empty folder and must leave nothing behind but the image and what it asked to keep.
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/container_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"
#include "tests/support/busybox_root.h"
#include "tests/support/support.h"

#define WAIT_MS 60000

static struct fixture {
    char dir[256];
    char paths[4][300]; // image store, volumes, run-time state, logs
    struct loop loop;
    struct images *images;
    struct volumes *volumes;
    struct containers *containers;
    struct arena arena;
    Swarm__Task *order;
    Swarm__ContainerSpec *spec;
    struct executor_task *task;
    // What was told, and how often.
    int answers;
    struct err err;
    int exits;
    struct executor_exit exit;
    enum executor_found found;
    struct executor_container container;
    int check_code;
    char text[8192]; // output of a check, or log lines as "<stream><bytes>"
    int logs_done;
} fx;

enum { IMAGES, VOLUMES, STATE, LOGS };

static void answered(const struct err *err)
{
    fx.answers++;
    if (err)
        err_copy(&fx.err, err);
}

static void on_found(void *owner, enum executor_found found,
                     const struct executor_container *container, const struct executor_exit *exit)
{
    (void)owner;
    fx.found = found;
    if (container)
        fx.container = *container;
    if (exit)
        fx.exit = *exit;
    answered(NULL);
}

static void on_answer(void *owner, const struct err *err)
{
    (void)owner;
    answered(err);
}

static void on_started(void *owner, const struct executor_container *container,
                       const Swarm__PortConfig *const *ports, size_t ports_count,
                       const struct err *err)
{
    (void)owner;
    (void)ports;
    ck_assert_uint_eq(ports_count, 0);
    ck_assert_int_eq(fx.exits, 0);
    if (container)
        fx.container = *container;
    answered(err);
}

static void on_exited(void *owner, const struct executor_exit *exit)
{
    (void)owner;
    fx.exits++;
    fx.exit = *exit;
}

static void on_checked(void *owner, int code, const char *output, const struct err *err)
{
    (void)owner;
    fx.check_code = code;
    str_copy(fx.text, sizeof fx.text, output);
    answered(err);
}

static const struct executor_events events = {
    .found = on_found,
    .prepared = on_answer,
    .started = on_started,
    .exited = on_exited,
    .stopped = on_answer,
    .removed = on_answer,
    .checked = on_checked,
};

// ---- waiting -----------------------------------------------------------------------------------

static bool is_answered(void *ctx)
{
    (void)ctx;
    return fx.answers > 0;
}
static bool has_exited(void *ctx)
{
    (void)ctx;
    return fx.exits > 0;
}
static bool logs_are_done(void *ctx)
{
    (void)ctx;
    return fx.logs_done > 0;
}
static bool is_idle(void *ctx)
{
    (void)ctx;
    return !containers_busy(fx.containers);
}

static int await(void)
{
    ck_assert_int_eq(fx.answers, 0); // nothing is told inside the call
    ck_assert(loop_run_until(&fx.loop, is_answered, NULL, WAIT_MS));
    ck_assert_int_eq(fx.answers, 1);
    return -(int)fx.err.code;
}

// Forgets what was told, for the next call.
static const struct executor_class *ask(void)
{
    fx.answers = 0;
    memset(&fx.err, 0, sizeof fx.err);
    return containers_executor(fx.containers)->class;
}

static void must(void)
{
    int rc = await();
    ck_assert_msg(rc == 0, "%s", fx.err.message);
}

// ---- the surroundings --------------------------------------------------------------------------

static void open_containers(void)
{
    struct err err = ERR_INIT;
    struct containers_config config = {
        .loop = &fx.loop,
        .images = fx.images,
        .volumes = fx.volumes,
        .runtime = {.program = getenv("SKEP_TEST_RUNTIME"),
                    .state_dir = fx.paths[STATE],
                    .cgroup_parent = getenv("SKEP_TEST_CGROUP")},
        .log_dir = fx.paths[LOGS],
        .rotate_ms = 50,
    };
    int rc = containers_open(&config, &fx.containers, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
}

static void on_image(void *owner, const struct image *image, const struct err *err)
{
    (void)owner;
    (void)image;
    answered(err);
}

static void import_busybox(void)
{
    json_t *object = json_pack("{s:[s],s:[s]}", "Cmd", "sh", "Env", "FROM=image");
    struct import_config config = {.config = object};
    char root[300];
    char tar[320];
    char command[1000];
    str_format(root, sizeof root, "%s/root", fx.dir);
    str_format(tar, sizeof tar, "%s/root.tar", fx.dir);
    busybox_root_make(root);
    str_format(command, sizeof command,
               "mkdir %s/seed && echo seed >%s/seed/file && tar -C %s -cf %s .", root, root, root,
               tar);
    ck_assert_int_eq(system(command), 0);
    fx.answers = 0;
    images_import(fx.images, tar, &config, "test/busybox:1", on_image, NULL);
    json_decref(object);
    must();
}

static void setup(void)
{
    static const char *const names[] = {"images", "volumes", "state", "logs"};
    struct err err = ERR_INIT;
    memset(&fx, 0, sizeof fx);
    str_copy(fx.dir, sizeof fx.dir, support_tmpdir());
    for (size_t i = 0; i < COUNT_OF(names); i++)
        str_format(fx.paths[i], sizeof fx.paths[i], "%s/%s", fx.dir, names[i]);
    loop_init(&fx.loop);
    // A program that is not there proves that no registry is asked.
    struct images_config images = {
        .loop = &fx.loop, .root = fx.paths[IMAGES], .skopeo = "/nonexistent/skopeo"};
    ck_assert_msg(images_open(&images, &fx.images, &err) == 0, "%s", err.message);
    ck_assert_msg(volumes_open(fx.paths[VOLUMES], &fx.volumes, &err) == 0, "%s", err.message);
    open_containers();
    import_busybox();
    arena_init(&fx.arena, 4 << 20);
    fx.order = wire_new(&swarm__task__descriptor, &fx.arena);
    fx.spec = wire_new(&swarm__container_spec__descriptor, &fx.arena);
    fx.order->id = "task1";
    fx.order->slot = 1;
    fx.order->service_annotations->name = "web";
    fx.order->spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    fx.order->spec->container = fx.spec;
    fx.spec->image = "test/busybox:1";
}

static void close_task(void)
{
    ask()->close(fx.task);
    fx.task = NULL;
    ck_assert(loop_run_until(&fx.loop, is_idle, NULL, WAIT_MS));
}

static size_t count_entries(const char *folder)
{
    size_t count = 0;
    struct dirent *entry;
    DIR *dir = opendir(folder);
    while (dir && (entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

// Neither layers, logs, state folders nor mounts are left.
static void no_trace(void)
{
    char path[400];
    str_format(path, sizeof path, "%s/layers", fx.paths[IMAGES]);
    ck_assert_uint_eq(count_entries(path), 0);
    str_format(path, sizeof path, "%s/containers", fx.paths[STATE]);
    ck_assert_uint_eq(count_entries(path), 0);
    ck_assert_uint_eq(count_entries(fx.paths[LOGS]), 0);
    struct buf text;
    buf_init(&text, 1u << 22);
    ck_assert_int_eq(file_read("/proc/self/mountinfo", &text, NULL), 0);
    ck_assert_ptr_null(strstr(buf_cstr(&text), fx.dir));
    buf_fini(&text);
}

static void teardown(void)
{
    if (fx.task)
        close_task();
    containers_close(fx.containers);
    no_trace();
    volumes_close(fx.volumes);
    images_close(fx.images);
    loop_fini(&fx.loop);
    arena_fini(&fx.arena);
    support_tmpdir_remove(fx.dir);
}

// ---- steps -------------------------------------------------------------------------------------

static void open_task(void)
{
    struct err err = ERR_INIT;
    struct executor_order order = {.task = fx.order};
    fx.task = ask()->open(containers_executor(fx.containers), &order, &events, NULL, &err);
    ck_assert_msg(fx.task != NULL, "%s", err.message);
}

static void set_script(const char *script)
{
    const char **args = arena_alloc_array(&fx.arena, 3, sizeof *args);
    args[0] = "sh";
    args[1] = "-c";
    args[2] = script;
    fx.spec->args = args;
    fx.spec->n_args = 3;
}

static void prepare(void)
{
    ask()->prepare(fx.task);
    must();
}

static void start_script(const char *script)
{
    set_script(script);
    open_task();
    prepare();
    fx.exits = 0;
    ask()->start(fx.task);
    must();
    ck_assert_int_ge(fx.container.pid, 0); // 0: it has ended already
}

static void remove_task(void)
{
    ask()->remove(fx.task);
    must();
}

static void await_exit(int code)
{
    ck_assert(loop_run_until(&fx.loop, has_exited, NULL, WAIT_MS));
    ck_assert_int_eq(fx.exits, 1);
    ck_assert_int_eq(fx.exit.code, code);
}

static void on_line(void *owner, const struct executor_log *log)
{
    (void)owner;
    size_t used = strlen(fx.text);
    ck_assert_uint_lt(used + log->size + 2, sizeof fx.text);
    fx.text[used] = (char)('0' + log->stream);
    memcpy(fx.text + used + 1, log->bytes, log->size);
    fx.text[used + 1 + log->size] = '\0';
}

static void on_logs_done(void *owner, const struct err *err)
{
    (void)owner;
    ck_assert_ptr_null(err);
    fx.logs_done++;
}

static struct executor_log_stream *open_logs(bool follow)
{
    struct err err = ERR_INIT;
    struct executor_log_options options = {.follow = follow, .tail = -1};
    fx.text[0] = '\0';
    fx.logs_done = 0;
    struct executor_log_stream *stream =
        ask()->logs(fx.task, &options, on_line, on_logs_done, NULL, &err);
    ck_assert_msg(stream != NULL, "%s", err.message);
    return stream;
}

static const char *logs(bool follow)
{
    struct executor_log_stream *stream = open_logs(follow);
    ck_assert(loop_run_until(&fx.loop, logs_are_done, NULL, WAIT_MS));
    ask()->logs_close(stream);
    return fx.text;
}

// ---- tests -------------------------------------------------------------------------------------

// A local image starts without a registry; exit code and output come back, and nothing is left.
START_TEST(a_task_runs_to_its_exit_code)
{
    start_script("echo out $FROM $HOSTNAME; echo err >&2; exit 7");
    await_exit(7);
    char id[13];
    char wanted[100];
    str_copy(id, sizeof id, fx.container.id);
    str_format(wanted, sizeof wanted, "1out image %s\n", id);
    ck_assert_ptr_nonnull(strstr(logs(false), wanted));
    ck_assert_ptr_nonnull(strstr(fx.text, "2err\n"));
    ask()->stop(fx.task, 0); // fine for one that ended
    must();
    remove_task();
    ask()->find(fx.task);
    must();
    ck_assert_int_eq(fx.found, EXECUTOR_ABSENT);
}
END_TEST

START_TEST(an_absent_image_is_a_fatal_pull)
{
    fx.spec->image = "test/none:1";
    set_script("true");
    open_task();
    ask()->prepare(fx.task);
    ck_assert_int_lt(await(), 0);
    ck_assert_str_ne(fx.err.message, "");
}
END_TEST

START_TEST(a_prepare_that_fails_leaves_nothing)
{
    fx.spec->user = "nobody-knows";
    set_script("true");
    open_task();
    ask()->prepare(fx.task);
    ck_assert_int_lt(await(), 0);
    ck_assert_ptr_nonnull(strstr(fx.err.message, "unable to find user nobody-knows"));
    no_trace();
}
END_TEST

START_TEST(an_abort_answers_cancelled_or_success)
{
    set_script("true");
    open_task();
    ask()->prepare(fx.task);
    ask()->abort(fx.task);
    ck_assert_int_eq(await(), -ERR_CANCELLED);
    no_trace();
    prepare();
    prepare(); // again: nothing changes
    remove_task();
}
END_TEST

START_TEST(a_program_that_is_not_there_fails_the_start)
{
    static const char *command[] = {"/no/such/program"};
    fx.spec->command = command;
    fx.spec->n_command = 1;
    open_task();
    ask()->prepare(fx.task);
    if (await() == 0) {
        ask()->start(fx.task);
        ck_assert_int_lt(await(), 0);
    }
    ck_assert_str_ne(fx.err.message, "");
    ck_assert_int_eq(fx.exits, 0);
    remove_task();
}
END_TEST

START_TEST(stop_sends_the_signal_and_kills_after_the_grace_period)
{
    fx.spec->stop_signal = "SIGUSR1";
    start_script("trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done");
    struct executor_log_stream *stream = open_logs(true);
    while (!strstr(fx.text, "ready") && loop_run_until(&fx.loop, is_answered, NULL, 20) == false)
        ;
    ask()->stop(fx.task, 10 * NS_PER_S);
    must();
    ck_assert_int_eq(fx.exits, 1);
    ck_assert_int_eq(fx.exit.code, 5);
    ck_assert(loop_run_until(&fx.loop, logs_are_done, NULL, WAIT_MS)); // followers end with it
    ask()->logs_close(stream);
    remove_task();
    close_task();
    start_script("trap '' USR1; while :; do sleep 0.05; done");
    ask()->stop(fx.task, 300 * NS_PER_MS);
    must();
    ck_assert_int_eq(fx.exit.code, 128 + 9);
    remove_task();
}
END_TEST

// A node that ends does not wait out a task's grace period; its next life goes on with it.
START_TEST(who_closes_a_task_does_not_wait_for_its_stop)
{
    fx.spec->stop_signal = "SIGUSR1";
    start_script("trap 'echo heard' USR1; echo ready; while :; do sleep 0.05; done");
    struct executor_log_stream *stream = open_logs(true);
    while (!strstr(fx.text, "ready") && loop_run_until(&fx.loop, is_answered, NULL, 20) == false)
        ;
    ask()->stop(fx.task, 1000 * NS_PER_S);
    while (!strstr(fx.text, "heard") && loop_run_until(&fx.loop, is_answered, NULL, 20) == false)
        ;
    ask()->logs_close(stream);
    ask()->close(fx.task);
    fx.task = NULL;
    ck_assert(!containers_busy(fx.containers));
    containers_close(fx.containers);
    open_containers();
    open_task();
    ask()->find(fx.task);
    must();
    ck_assert_int_eq(fx.found, EXECUTOR_RUNNING);
    ask()->stop(fx.task, 300 * NS_PER_MS);
    must();
    ck_assert_int_eq(fx.exit.code, 128 + 9);
    remove_task();
}
END_TEST

static void check(const char *kind, const char *script, int64_t timeout_ns)
{
    const char *test[] = {kind, script};
    ask()->check(fx.task, test, 2, timeout_ns);
}

START_TEST(health_checks_run_inside)
{
    start_script("exec sleep 100");
    check("CMD-SHELL", "echo well; exit 3", 10 * NS_PER_S);
    must();
    ck_assert_int_eq(fx.check_code, 3);
    ck_assert_str_eq(fx.text, "well\n");
    check("CMD", "true", 10 * NS_PER_S);
    must();
    ck_assert_int_eq(fx.check_code, 0);
    check("CMD-SHELL", "sleep 100", 200 * NS_PER_MS);
    ck_assert_int_eq(await(), -ERR_DEADLINE_EXCEEDED);
    check("NONSENSE", "x", NS_PER_S);
    ck_assert_int_eq(await(), -ERR_INVALID_ARGUMENT);
    remove_task(); // it runs
}
END_TEST

START_TEST(a_running_task_is_found_after_a_restart)
{
    start_script("until [ -e /tmp/end ]; do sleep 0.05; done; exit 4");
    ck_assert_int_gt(fx.container.pid, 0);
    close_task();
    containers_close(fx.containers);
    open_containers();
    open_task();
    fx.exits = 0;
    ask()->find(fx.task);
    must();
    ck_assert_int_eq(fx.found, EXECUTOR_RUNNING);
    ck_assert_int_gt(fx.container.pid, 0);
    check("CMD-SHELL", "touch /tmp/end", 10 * NS_PER_S);
    await_exit(4);
    close_task();
    containers_close(fx.containers);
    open_containers();
    open_task();
    ask()->find(fx.task);
    must();
    ck_assert_int_eq(fx.found, EXECUTOR_EXITED);
    ck_assert_int_eq(fx.exit.code, 4);
    remove_task();
}
END_TEST

static const char *group_path(const char *id)
{
    static char path[400];
    bool v2 = file_exists("/sys/fs/cgroup/cgroup.procs");
    str_format(path, sizeof path, "/sys/fs/cgroup/%s%s/%s", v2 ? "" : "memory",
               getenv("SKEP_TEST_CGROUP"), id);
    return path;
}

static bool group_exists(const char *id)
{
    return file_exists(group_path(id));
}

static pid_t start_process_in(const char *id)
{
    char text[16], file[420];
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid)
        for (;;)
            pause();
    str_format(file, sizeof file, "%s/cgroup.procs", group_path(id));
    str_format(text, sizeof text, "%d", (int)pid);
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return pid;
}

// An OOM kill is known after our restart too. What is empty and named like a container that nobody
// knows goes with that; what has processes stays, for whose they are nobody can tell.
START_TEST(what_ended_keeps_no_cgroup_and_strays_are_swept)
{
    static const char empty[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static const char lives[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    Swarm__ResourceRequirements *resources =
        wire_new(&swarm__resource_requirements__descriptor, &fx.arena);
    resources->limits = wire_new(&swarm__resources__descriptor, &fx.arena);
    resources->limits->memory_bytes = 16 << 20;
    fx.order->spec->resources = resources;
    start_script("x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}");
    await_exit(137);
    ck_assert(fx.exit.oom_killed);
    ck_assert(!group_exists(fx.container.id));
    ck_assert_int_eq(mkdir(group_path(empty), 0755), 0);
    ck_assert_int_eq(mkdir(group_path(lives), 0755), 0);
    ck_assert_int_eq(mkdir(group_path("other"), 0755), 0); // no name of ours
    pid_t pid = start_process_in(lives);
    close_task();
    containers_close(fx.containers);
    open_containers();
    ck_assert(!group_exists(empty));
    ck_assert(group_exists(lives));
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(rmdir(group_path(lives)), 0);
    ck_assert_int_eq(rmdir(group_path("other")), 0);
    open_task();
    ask()->find(fx.task);
    must();
    ck_assert_int_eq(fx.found, EXECUTOR_EXITED);
    ck_assert_int_eq(fx.exit.code, 137);
    ck_assert(fx.exit.oom_killed);
    remove_task();
}
END_TEST

START_TEST(volumes_are_filled_kept_and_given_back)
{
    Swarm__Mount *named = wire_new(&swarm__mount__descriptor, &fx.arena);
    Swarm__Mount *anonymous = wire_new(&swarm__mount__descriptor, &fx.arena);
    Swarm__Mount *mounts[] = {named, anonymous};
    named->type = anonymous->type = SWARM__MOUNT__TYPE__VOLUME;
    named->source = "data";
    named->target = "/seed";
    anonymous->target = "/scratch";
    fx.spec->mounts = mounts;
    fx.spec->n_mounts = 2;
    start_script("cat /seed/file; echo more >>/seed/file; touch /scratch/x");
    await_exit(0);
    ck_assert_str_eq(logs(true), "1seed\n");
    remove_task();
    close_task();
    const struct volume *volume;
    ck_assert_int_eq(volumes_find(fx.volumes, "data", &volume, NULL), 0);
    ck_assert_uint_eq(volumes_users(fx.volumes, "data"), 0);
    size_t position = 0;
    ck_assert_ptr_nonnull(volumes_next(fx.volumes, &position));
    ck_assert_ptr_null(volumes_next(fx.volumes, &position));
    start_script("cat /seed/file");
    await_exit(0);
    ck_assert_str_eq(logs(true), "1seed\n1more\n");
    remove_task();
}
END_TEST

START_TEST(a_task_without_networks_has_its_loopback_only)
{
    start_script("busybox ip -o link | busybox grep -c LOOPBACK,UP; busybox ip -o link | wc -l");
    await_exit(0);
    // Some kernels give each namespace idle tunnel devices; the loopback has to be up.
    ck_assert_msg(str_starts(logs(false), "11\n"), "%s", fx.text);
    remove_task();
}
END_TEST

static bool is_rotated(void *ctx)
{
    (void)ctx;
    return count_entries(fx.paths[LOGS]) >= 2;
}

START_TEST(logs_are_rotated)
{
    Swarm__Driver *driver = wire_new(&swarm__driver__descriptor, &fx.arena);
    Swarm__Driver__OptionsEntry size = SWARM__DRIVER__OPTIONS_ENTRY__INIT;
    Swarm__Driver__OptionsEntry *options[] = {&size};
    size.key = "max-size";
    size.value = "1k";
    driver->options = options;
    driver->n_options = 1;
    fx.order->log_driver = driver;
    start_script("i=0; while :; do echo a line that has some length $((i+=1)); sleep 0.02; done");
    ck_assert(loop_run_until(&fx.loop, is_rotated, NULL, WAIT_MS));
    ck_assert_uint_eq(count_entries(fx.paths[LOGS]), 2);
    ck_assert_ptr_nonnull(strstr(logs(false), "some length "));
    remove_task(); // it runs
}
END_TEST

static Suite *suite_container(void)
{
    Suite *suite = suite_create("container");
    TCase *tcase = tcase_create("life");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 180);
    tcase_add_test(tcase, a_task_runs_to_its_exit_code);
    tcase_add_test(tcase, an_absent_image_is_a_fatal_pull);
    tcase_add_test(tcase, a_prepare_that_fails_leaves_nothing);
    tcase_add_test(tcase, an_abort_answers_cancelled_or_success);
    tcase_add_test(tcase, a_program_that_is_not_there_fails_the_start);
    tcase_add_test(tcase, stop_sends_the_signal_and_kills_after_the_grace_period);
    tcase_add_test(tcase, who_closes_a_task_does_not_wait_for_its_stop);
    tcase_add_test(tcase, health_checks_run_inside);
    tcase_add_test(tcase, a_running_task_is_found_after_a_restart);
    tcase_add_test(tcase, what_ended_keeps_no_cgroup_and_strays_are_swept);
    tcase_add_test(tcase, volumes_are_filled_kept_and_given_back);
    tcase_add_test(tcase, a_task_without_networks_has_its_loopback_only);
    tcase_add_test(tcase, logs_are_rotated);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(suite_container());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
