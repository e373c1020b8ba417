// Containers with the real crun, runc and conmon: each test starts a runtime of its own in an empty
// folder and must leave nothing behind.
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/oci/log_files_io.h"
#include "agent/oci/logs_io.h"
#include "agent/oci/monitor_io.h"
#include "agent/oci/root_io.h"
#include "agent/oci/runtime_io.h"
#include "agent/oci/stdio_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "tests/support/busybox_root.h"
#include "tests/support/support.h"

#define WAIT_MS 60000

static struct fixture {
    char dir[256];
    char root[300];
    char state[300];
    char log[300];
    struct loop loop;
    struct runtime *runtime;
    int exits;
    struct runtime_exit exit;
    char exit_id[OCI_ID_CHARS_MAX + 1];
    int fds_before;
} fx;

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void on_exited(void *owner, const char *id, const struct runtime_exit *exit)
{
    (void)owner;
    fx.exits++;
    fx.exit = *exit;
    str_copy(fx.exit_id, sizeof fx.exit_id, id);
}

static void open_runtime(void)
{
    struct err err = ERR_INIT;
    struct runtime_config config = {
        .loop = &fx.loop,
        .program = getenv("SKEP_TEST_RUNTIME"),
        .state_dir = fx.state,
        .cgroup_parent = getenv("SKEP_TEST_CGROUP"),
        .exited = on_exited,
    };
    int rc = runtime_open(&config, &fx.runtime, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
}

static void setup(void)
{
    memset(&fx, 0, sizeof fx);
    str_copy(fx.dir, sizeof fx.dir, support_tmpdir());
    str_format(fx.root, sizeof fx.root, "%s/root", fx.dir);
    str_format(fx.state, sizeof fx.state, "%s/state", fx.dir);
    str_format(fx.log, sizeof fx.log, "%s/log", fx.dir);
    busybox_root_make(fx.root);
    // libuv keeps two descriptors of its own from its first loop on.
    loop_init(&fx.loop);
    loop_fini(&fx.loop);
    fx.fds_before = count_fds();
    loop_init(&fx.loop);
    open_runtime();
}

struct answer {
    int count;
    struct err err;
};

static void on_done(void *owner, const struct err *err)
{
    struct answer *answer = owner;
    answer->count++;
    if (err)
        err_copy(&answer->err, err);
}

static bool has_answer(void *owner)
{
    return ((struct answer *)owner)->count > 0;
}

static bool has_exited(void *owner)
{
    return fx.exits >= *(int *)owner;
}

static int await(struct answer *answer)
{
    ck_assert_int_eq(answer->count, 0);
    ck_assert(loop_run_until(&fx.loop, has_answer, answer, WAIT_MS));
    ck_assert_int_eq(answer->count, 1);
    return -(int)answer->err.code;
}

static void await_exits(int count)
{
    ck_assert(loop_run_until(&fx.loop, has_exited, &count, WAIT_MS));
    ck_assert_int_eq(fx.exits, count);
}

static int create(const struct oci_container *spec, struct answer *answer)
{
    memset(answer, 0, sizeof *answer);
    runtime_create(fx.runtime, spec, fx.log, on_done, answer);
    return await(answer);
}

static int start(const char *id, struct answer *answer)
{
    memset(answer, 0, sizeof *answer);
    runtime_start(fx.runtime, id, on_done, answer);
    return await(answer);
}

static void must(int rc, const struct answer *answer)
{
    ck_assert_msg(rc == 0, "%s", answer->err.message);
}

static void delete (const char *id)
{
    struct answer answer = {0};
    runtime_delete(fx.runtime, id, true, on_done, &answer);
    must(await(&answer), &answer);
}

static struct oci_container spec_of(const char *id, const char *const *args, size_t count)
{
    return (struct oci_container){.id = id, .rootfs = fx.root, .args = {args, count}};
}

#define SHELL(id, script) spec_of(id, (const char *const[]){"sh", "-c", script}, 3)

static void on_started_first(void *owner, const struct err *err)
{
    ck_assert_int_eq(fx.exits, 0);
    on_done(owner, err);
}

static void create_and_start(const struct oci_container *spec)
{
    struct answer answer;
    must(create(spec, &answer), &answer);
    must(start(spec->id, &answer), &answer);
}

// Everything the container wrote on the stream, in one text.
static const char *output(int stream)
{
    static char text[65536];
    struct buf log;
    buf_init(&log, 1u << 20);
    size_t used = 0;
    text[0] = '\0';
    if (file_read(fx.log, &log, NULL) == 0) {
        const char *rest = buf_cstr(&log);
        struct str_part part;
        struct log_line line;
        while (str_split(&rest, '\n', &part)) {
            if (!logline_parse(part.at, part.len, &line) || (int)line.stream != stream)
                continue;
            ck_assert(used + line.size + 2 < sizeof text);
            memcpy(text + used, line.data, line.size);
            used += line.size;
            if (!line.partial)
                text[used++] = '\n';
        }
    }
    text[used] = '\0';
    buf_fini(&log);
    return text;
}

static bool is_ready(void)
{
    return strstr(output(1), "ready\n") != NULL;
}

// Waits for the container's script to say "ready".
static void await_ready(void)
{
    for (int i = 0; i < WAIT_MS / 20 && !is_ready(); i++)
        usleep(20000);
    ck_assert(is_ready());
}

// Runs the container to its end and takes it away; its standard output comes back.
static const char *run(const struct oci_container *spec)
{
    int exits = fx.exits;
    unlink(fx.log);
    create_and_start(spec);
    await_exits(exits + 1);
    ck_assert_str_eq(fx.exit_id, spec->id);
    // It is kept until it is deleted, its secrets are not.
    char secret[400];
    str_format(secret, sizeof secret, "%s/files/0", runtime_dir(fx.runtime, spec->id));
    ck_assert(!file_exists(secret));
    delete (spec->id);
    return output(1);
}

static void no_trace(void)
{
    char path[400];
    str_format(path, sizeof path, "%s/containers", fx.state);
    ck_assert_int_eq(rmdir(path), 0);
    str_format(path, sizeof path, "%s/runtime", fx.state);
    rmdir(path);
    ck_assert(!file_exists(path));
    struct buf text;
    buf_init(&text, 1u << 22);
    ck_assert_int_eq(file_read("/proc/self/mountinfo", &text, NULL), 0);
    ck_assert_ptr_null(strstr(buf_cstr(&text), fx.dir));
    buf_fini(&text);
    DIR *controllers = opendir("/sys/fs/cgroup");
    struct dirent *entry;
    while ((entry = readdir(controllers))) {
        str_format(path, sizeof path, "/sys/fs/cgroup/%s%s", entry->d_name,
                   getenv("SKEP_TEST_CGROUP"));
        ck_assert_msg(!file_exists(path) || rmdir(path) == 0, "%s is not empty", path);
    }
    closedir(controllers);
}

static void teardown(void)
{
    runtime_close(fx.runtime);
    loop_fini(&fx.loop);
    ck_assert_int_eq(count_fds(), fx.fds_before);
    no_trace();
    support_tmpdir_remove(fx.dir);
}

// ---- life --------------------------------------------------------------------------------------

START_TEST(output_and_exit_code_are_kept)
{
    struct oci_container spec = SHELL("life", "echo out; echo err >&2; exit 7");
    ck_assert_str_eq(run(&spec), "out\n");
    ck_assert_str_eq(output(2), "err\n");
    ck_assert_int_eq(fx.exit.code, 7);
    ck_assert(!fx.exit.oom_killed);
    ck_assert_str_eq(fx.exit.message, "");
}
END_TEST

START_TEST(the_end_is_told_after_the_start)
{
    struct oci_container spec = SHELL("brief", "exit 0");
    struct answer answer;
    must(create(&spec, &answer), &answer);
    memset(&answer, 0, sizeof answer);
    runtime_start(fx.runtime, "brief", on_started_first, &answer);
    must(await(&answer), &answer);
    await_exits(1);
    delete ("brief");
}
END_TEST

START_TEST(a_missing_program_is_said_in_words)
{
    struct oci_container spec = spec_of("missing", (const char *const[]){"/no/such"}, 1);
    struct answer answer;
    int rc = create(&spec, &answer);
    if (!rc) { // runc finds out when it starts
        rc = start("missing", &answer);
        delete ("missing");
    }
    ck_assert_int_eq(rc, -ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(answer.err.message, "/no/such"));
    struct runtime_status status;
    ck_assert_int_eq(runtime_inspect(fx.runtime, "missing", &status, NULL), -ERR_NOT_FOUND);
}
END_TEST

START_TEST(stop_asks_first_and_kills_after_the_grace_period)
{
    struct oci_container polite =
        SHELL("polite", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done");
    create_and_start(&polite);
    struct runtime_status status;
    ck_assert_int_eq(runtime_inspect(fx.runtime, "polite", &status, NULL), 0);
    ck_assert_int_eq(status.state, RUNTIME_RUNNING);
    // The shell needs a moment to set its trap.
    struct answer answer = {0};
    await_ready();
    runtime_stop(fx.runtime, "polite", SIGTERM, 10000, on_done, &answer);
    must(await(&answer), &answer);
    ck_assert_int_eq(fx.exit.code, 3);
    delete ("polite");
    unlink(fx.log);

    struct oci_container deaf =
        SHELL("deaf", "trap '' TERM; echo ready; while :; do sleep 0.1; done");
    create_and_start(&deaf);
    await_ready();
    memset(&answer, 0, sizeof answer);
    runtime_stop(fx.runtime, "deaf", SIGTERM, 300, on_done, &answer);
    must(await(&answer), &answer);
    ck_assert_int_eq(fx.exit.code, 137);
    delete ("deaf");
}
END_TEST

// Waits for the end of a container's monitor, which nobody watches meanwhile.
static void await_monitor_end(const char *id)
{
    char dir[400];
    str_format(dir, sizeof dir, "%s/containers/%s", fx.state, id);
    for (int i = 0; i < WAIT_MS / 20 && monitor_find(dir, id); i++)
        usleep(20000);
    ck_assert_int_eq(monitor_find(dir, id), 0);
}

struct adopted {
    struct runtime_status *seen;
    size_t *count;
};

static void adopt_found(void *owner, const struct runtime_status *status)
{
    struct adopted *adopted = owner;
    adopted->seen[(*adopted->count)++] = *status;
}

START_TEST(a_container_survives_our_restart)
{
    struct oci_container spec = SHELL("survivor", "sleep 1; echo ready; sleep 100");
    create_and_start(&spec);
    struct oci_container brief = SHELL("brief", "exit 5");
    create_and_start(&brief);
    runtime_close(fx.runtime);
    loop_fini(&fx.loop);
    await_ready();
    await_monitor_end("brief");
    loop_init(&fx.loop);
    open_runtime();
    struct runtime_status seen[4];
    size_t count = 0;
    struct adopted adopted = {seen, &count};
    struct err err = ERR_INIT;
    ck_assert_int_eq(runtime_adopt(fx.runtime, adopt_found, &adopted, &err), 0);
    ck_assert_uint_eq(count, 2);
    for (size_t i = 0; i < count; i++) {
        if (str_equal(seen[i].id, "survivor")) {
            ck_assert_int_eq(seen[i].state, RUNTIME_RUNNING);
            ck_assert_int_gt(seen[i].pid, 0);
        } else {
            ck_assert_int_eq(seen[i].state, RUNTIME_EXITED);
            ck_assert_int_eq(seen[i].exit.code, 5);
        }
    }
    struct answer answer = {0};
    runtime_stop(fx.runtime, "survivor", SIGKILL, 0, on_done, &answer);
    must(await(&answer), &answer);
    ck_assert_int_eq(fx.exit.code, 137);
    delete ("survivor");
    delete ("brief");
}
END_TEST

START_TEST(a_killed_monitor_ends_its_container_with_a_reason)
{
    struct oci_container spec = SHELL("orphan", "sleep 100 & sleep 100");
    create_and_start(&spec);
    struct runtime_status status;
    ck_assert_int_eq(runtime_inspect(fx.runtime, "orphan", &status, NULL), 0);
    kill(status.monitor_pid, SIGKILL);
    await_exits(1);
    ck_assert_int_eq(fx.exit.code, -1);
    ck_assert_ptr_nonnull(strstr(fx.exit.message, "conmon"));
    delete ("orphan");
    for (int i = 0; i < WAIT_MS / 20 && kill(status.pid, 0) == 0; i++)
        usleep(20000);
    ck_assert(kill(status.pid, 0) < 0);
}
END_TEST

START_TEST(pause_stops_the_clock_of_a_container)
{
    struct oci_container spec = SHELL("paused", "while :; do sleep 0.05; done");
    create_and_start(&spec);
    struct answer answer = {0};
    runtime_pause(fx.runtime, "paused", on_done, &answer);
    must(await(&answer), &answer);
    struct runtime_status status;
    runtime_inspect(fx.runtime, "paused", &status, NULL);
    ck_assert_int_eq(status.state, RUNTIME_PAUSED);
    memset(&answer, 0, sizeof answer);
    runtime_stop(fx.runtime, "paused", SIGTERM, 100, on_done, &answer);
    must(await(&answer), &answer);
    delete ("paused");
}
END_TEST

// ---- limits and confinement --------------------------------------------------------------------

START_TEST(limits_are_seen_in_the_cgroup)
{
    struct oci_container spec = SHELL("limits", "sleep 100");
    spec.limits = (struct oci_limits){
        .nano_cpus = 500000000, .memory_bytes = 64 << 20, .pids_max = 42, .cpu_shares = 512};
    create_and_start(&spec);
    struct cgroup_stats stats;
    struct err err = ERR_INIT;
    ck_assert_int_eq(runtime_stats(fx.runtime, "limits", &stats, &err), 0);
    ck_assert_uint_eq(stats.memory_limit_bytes, 64 << 20);
    ck_assert_uint_eq(stats.pids_limit, 42);
    ck_assert_uint_ge(stats.pids, 1);
    ck_assert_uint_gt(stats.memory_bytes, 0);
    pid_t pids[8];
    ck_assert_int_ge(runtime_pids(fx.runtime, "limits", pids, COUNT_OF(pids), &err), 1);
    struct answer answer = {0};
    struct oci_limits more = {.memory_bytes = 96 << 20, .pids_max = 50};
    runtime_update(fx.runtime, "limits", &more, on_done, &answer);
    must(await(&answer), &answer);
    ck_assert_int_eq(runtime_stats(fx.runtime, "limits", &stats, &err), 0);
    ck_assert_uint_eq(stats.memory_limit_bytes, 96 << 20);
    delete ("limits");
}
END_TEST

START_TEST(an_oom_kill_is_reported)
{
    // tr keeps all it reads in one shell variable, far above the limit.
    struct oci_container spec =
        SHELL("oom", "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}");
    spec.limits.memory_bytes = 16 << 20;
    ck_assert_str_eq(run(&spec), "");
    ck_assert_int_eq(fx.exit.code, 137);
    ck_assert(fx.exit.oom_killed);
}
END_TEST

START_TEST(defaults_confine_and_seccomp_is_on)
{
    struct oci_container spec = SHELL(
        "confined", "grep -E 'CapEff|CapInh|Seccomp:|NoNewPrivs' /proc/self/status | tr -d '\\t';"
                    "ls /proc/self/fd | wc -l; unshare -m true 2>/dev/null || echo refused;"
                    "mount -t tmpfs x /tmp 2>/dev/null || echo refused;"
                    "unshare -U true 2>/dev/null && echo allowed || echo refused");
    spec.no_new_privileges = true;
    ck_assert_str_eq(run(&spec), "CapInh:0000000000000000\nCapEff:00000000a80425fb\nNoNewPrivs:1\n"
                                 "Seccomp:2\n4\nrefused\nrefused\nrefused\n");
    spec.id = "unconfined";
    spec.seccomp = OCI_SECCOMP_UNCONFINED;
    spec.no_new_privileges = false;
    spec.cap_drop = (struct oci_strings){(const char *const[]){"ALL"}, 1};
    // A user namespace needs no capability: only the profile forbids it.
    const char *said = run(&spec);
    ck_assert_ptr_nonnull(strstr(said, "CapEff:0000000000000000\nNoNewPrivs:0\nSeccomp:0\n"));
    ck_assert_ptr_nonnull(strstr(said, "allowed\n"));
}
END_TEST

START_TEST(the_environment_and_user_are_as_asked)
{
    struct user user;
    struct err err = ERR_INIT;
    ck_assert_int_eq(root_user(fx.root, "app", NULL, 0, &user, &err), 0);
    struct oci_container spec =
        SHELL("user", "id; echo $A $HOME $HOSTNAME; hostname; "
                      "cat /etc/hostname /etc/resolv.conf; readlink /proc/self/cwd");
    spec.uid = user.uid;
    spec.gid = user.gid;
    spec.groups = user.groups;
    spec.groups_count = user.groups_count;
    spec.home = user.home;
    spec.env = (struct oci_strings){(const char *const[]){"A=0", "A=1"}, 2};
    spec.hostname = "box";
    spec.hosts_text = "127.0.0.1 localhost\n";
    spec.resolv_text = "nameserver 127.0.0.11\n";
    spec.cwd = "/tmp";
    ck_assert_str_eq(run(&spec),
                     "uid=1000(app) gid=1001(appgroup) groups=1001(appgroup),2000(extra)\n"
                     "1 /srv/app box\nbox\nbox\nnameserver 127.0.0.11\n/tmp\n");
}
END_TEST

START_TEST(mounts_files_and_readonly_roots_work)
{
    char source[400];
    str_format(source, sizeof source, "%s/data", fx.dir);
    mkdir(source, 0755);
    struct oci_mount mounts[] = {
        {.kind = OCI_MOUNT_BIND, .source = source, .target = "/data/deep"},
        {.kind = OCI_MOUNT_TMPFS,
         .target = "/data",
         .tmpfs_size_bytes = 1 << 20,
         .tmpfs_mode = 0700},
        {.kind = OCI_MOUNT_BIND, .source = source, .target = "/ro", .readonly = true},
    };
    struct oci_file files[] = {
        {.target = "/run/secrets/key",
         .data = "secret",
         .size = 6,
         .mode = 0440,
         .uid = 1000,
         .gid = 7},
    };
    struct oci_container spec =
        SHELL("mounts", "cat /run/secrets/key; echo; stat -c '%a %u %g' /run/secrets/key;"
                        "touch /data/deep/made && echo wrote; touch /ro/x 2>/dev/null || echo ro;"
                        "touch /bin/x 2>/dev/null || echo ro; stat -c %a /data;"
                        "echo x 2>/dev/null >/run/secrets/key || echo ro");
    spec.mounts = mounts;
    spec.mounts_count = COUNT_OF(mounts);
    spec.files = files;
    spec.files_count = COUNT_OF(files);
    // The targets must be there, because a read-only root cannot get them. (runc gives a tmpfs the
    // mode of the folder below it, whatever was asked for.)
    static const char *const targets[] = {"/data", "/ro", "/run", "/run/secrets"};
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        ck_assert_int_eq(root_mkdir(fx.root, targets[i], i ? 0755 : 0700, 0, 0, NULL), 0);
    const char *said = run(&spec);
    ck_assert_str_eq(said, "secret\n440 1000 7\nwrote\nro\n700\nro\n");
    spec.id = "readonly";
    spec.readonly_rootfs = true;
    said = run(&spec);
    ck_assert_str_eq(said, "secret\n440 1000 7\nwrote\nro\nro\n700\nro\n");
    str_format(source, sizeof source, "%s/data/made", fx.dir);
    ck_assert(file_exists(source));
}
END_TEST

// ---- exec, attach, logs ------------------------------------------------------------------------

struct session {
    int ended;
    int code;
    struct err err;
    char out[8192];
    char errors[8192];
};

static void on_output(void *owner, int stream, const void *bytes, size_t size)
{
    struct session *session = owner;
    char *text = stream == 1 ? session->out : session->errors;
    size_t used = strlen(text);
    ck_assert_uint_lt(used + size, sizeof session->out);
    memcpy(text + used, bytes, size);
    text[used + size] = '\0';
}

static void on_exec_exited(void *owner, int code, const struct err *err)
{
    struct session *session = owner;
    session->ended++;
    session->code = code;
    if (err)
        err_copy(&session->err, err);
}

static void on_stdio_ended(void *owner)
{
    ((struct session *)owner)->ended++;
}

static bool session_ended(void *owner)
{
    return ((struct session *)owner)->ended > 0;
}

static bool session_spoke(void *owner)
{
    return strchr(((struct session *)owner)->out, '\n') != NULL;
}

static const struct runtime_exec_events exec_events = {on_output, on_exec_exited};

static struct runtime_exec *exec_start(const char *script, bool tty, bool input,
                                       struct session *session)
{
    memset(session, 0, sizeof *session);
    const char *args[] = {"sh", "-c", script};
    struct oci_exec spec = {.args = {args, 3}, .tty = tty};
    struct runtime_exec *exec;
    struct err err = ERR_INIT;
    int rc = runtime_exec(fx.runtime, "host", &spec, input, &exec_events, session, &exec, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
    return exec;
}

static void exec_await(struct session *session)
{
    ck_assert(loop_run_until(&fx.loop, session_ended, session, WAIT_MS));
    ck_assert_int_eq(session->ended, 1);
    ck_assert_msg(session->err.code == 0, "%s", session->err.message);
}

START_TEST(exec_runs_beside_with_its_own_streams)
{
    struct oci_container spec = SHELL("host", "sleep 100");
    spec.env = (struct oci_strings){(const char *const[]){"FROM=container"}, 1};
    create_and_start(&spec);
    struct session session;
    exec_start("echo $FROM; echo bad >&2; exit 9", false, false, &session);
    exec_await(&session);
    ck_assert_str_eq(session.out, "container\n");
    ck_assert_str_eq(session.errors, "bad\n");
    ck_assert_int_eq(session.code, 9);

    struct runtime_exec *exec = exec_start("tr a-z A-Z", false, true, &session);
    ck_assert_int_eq(runtime_exec_write(exec, "shout\n", 6, NULL), 0);
    runtime_exec_close_stdin(exec);
    exec_await(&session);
    ck_assert_str_eq(session.out, "SHOUT\n");

    exec = exec_start("read x; echo got $x", true, true, &session);
    runtime_exec_resize(exec, 33, 77);
    ck_assert_int_eq(runtime_exec_write(exec, "word\n", 5, NULL), 0);
    exec_await(&session);
    ck_assert_msg(strstr(session.out, "got word"), "%s", session.out);

    exec = exec_start("echo ready; sleep 100", false, false, &session);
    ck_assert(loop_run_until(&fx.loop, session_spoke, &session, WAIT_MS));
    runtime_exec_kill(exec, SIGKILL);
    exec_await(&session);
    ck_assert_int_eq(session.code, 137);

    const char *args[] = {"/no/such"};
    struct oci_exec missing = {.args = {args, 1}};
    struct err err = ERR_INIT;
    memset(&session, 0, sizeof session);
    ck_assert_int_eq(
        runtime_exec(fx.runtime, "host", &missing, false, &exec_events, &session, &exec, &err), 0);
    ck_assert(loop_run_until(&fx.loop, session_ended, &session, WAIT_MS));
    ck_assert_int_eq(session.err.code, ERR_NOT_FOUND);
    ck_assert_int_eq(session.code, -1);
    delete ("host");
    ck_assert_int_eq(
        runtime_exec(fx.runtime, "host", &missing, false, &exec_events, &session, &exec, &err),
        -ERR_NOT_FOUND);
}
END_TEST

static const struct stdio_events stdio_events = {on_output, on_stdio_ended};

START_TEST(attach_gives_and_takes_the_container_streams)
{
    struct oci_container spec = SHELL("talk", "read x; echo got $x; cat; echo end >&2");
    spec.open_stdin = true;
    spec.stdin_once = true;
    struct answer answer;
    must(create(&spec, &answer), &answer);
    struct session session = {0};
    struct stdio *stdio;
    struct err err = ERR_INIT;
    ck_assert_int_eq(stdio_attach(&fx.loop, runtime_dir(fx.runtime, "talk"), &stdio_events,
                                  &session, &stdio, &err),
                     0);
    must(start("talk", &answer), &answer);
    ck_assert_int_eq(stdio_write(stdio, "hello\nmore\n", 11, &err), 0);
    stdio_close_stdin(stdio);
    ck_assert(loop_run_until(&fx.loop, session_ended, &session, WAIT_MS));
    ck_assert_str_eq(session.out, "got hello\nmore\n");
    ck_assert_str_eq(session.errors, "end\n");
    stdio_close(stdio);
    await_exits(1);
    delete ("talk");
}
END_TEST

START_TEST(a_terminal_is_resized_and_read_through_attach)
{
    struct oci_container spec =
        SHELL("tty", "read x; until stty size | grep '44 99'; do sleep 0.1; done; echo $TERM");
    spec.tty = true;
    spec.open_stdin = true;
    struct answer answer;
    must(create(&spec, &answer), &answer);
    struct session session = {0};
    struct stdio *stdio;
    struct err err = ERR_INIT;
    ck_assert_int_eq(stdio_attach(&fx.loop, runtime_dir(fx.runtime, "tty"), &stdio_events, &session,
                                  &stdio, &err),
                     0);
    must(start("tty", &answer), &answer);
    ck_assert_int_eq(stdio_resize(stdio, 44, 99, &err), 0);
    ck_assert_int_eq(stdio_write(stdio, "go\n", 3, &err), 0);
    ck_assert(loop_run_until(&fx.loop, session_ended, &session, WAIT_MS));
    ck_assert_msg(strstr(session.out, "44 99\r\nxterm"), "%s", session.out);
    stdio_close(stdio);
    await_exits(1);
    delete ("tty");
}
END_TEST

static void on_line(void *owner, const struct log_line *line)
{
    struct session *session = owner;
    on_output(session, line->stream, line->data, line->size);
    on_output(session, line->stream, "\n", 1);
}

static void on_logs_ended(void *owner, const struct err *err)
{
    on_exec_exited(owner, 0, err);
}

static const struct logs_events log_events = {on_line, on_logs_ended};

static const char *read_logs(const struct logs_query *query)
{
    static struct session session;
    struct logs_reader *reader;
    memset(&session, 0, sizeof session);
    ck_assert_int_eq(logs_open(&fx.loop, fx.log, query, &log_events, &session, &reader, NULL), 0);
    ck_assert(loop_run_until(&fx.loop, session_ended, &session, WAIT_MS));
    logs_close(reader);
    return session.out;
}

static bool has_line_five(void *owner)
{
    return strstr(((struct session *)owner)->out, "line 5\n") != NULL;
}

START_TEST(logs_are_followed_through_rotation_and_cut_to_their_tail)
{
    struct oci_container spec = SHELL(
        "logs", "for i in 1 2 3 4 5; do echo line $i; echo no >&2; sleep 0.2; done; sleep 100");
    create_and_start(&spec);
    struct session session = {0};
    struct logs_reader *reader;
    struct logs_query follow = {.out = true, .tail = -1, .follow = true};
    ck_assert_int_eq(logs_open(&fx.loop, fx.log, &follow, &log_events, &session, &reader, NULL), 0);
    ck_assert(loop_run_until(&fx.loop, session_spoke, &session, WAIT_MS));
    struct err err = ERR_INIT;
    ck_assert(!logs_rotate(fx.log, 1 << 20, 3, &err));
    ck_assert(logs_rotate(fx.log, 1, 3, &err));
    ck_assert_int_eq(runtime_reopen_log(fx.runtime, "logs", &err), 0);
    ck_assert(loop_run_until(&fx.loop, has_line_five, &session, WAIT_MS));
    ck_assert_str_eq(session.out, "line 1\nline 2\nline 3\nline 4\nline 5\n");
    logs_finish(reader);
    ck_assert(loop_run_until(&fx.loop, session_ended, &session, WAIT_MS));
    logs_close(reader);
    delete ("logs");

    char older[320];
    str_format(older, sizeof older, "%s.1", fx.log);
    ck_assert(file_exists(older));
    ck_assert_str_eq(read_logs(&(struct logs_query){.out = true, .tail = 2}), "line 4\nline 5\n");
    ck_assert_str_eq(read_logs(&(struct logs_query){.out = true, .tail = 0}), "");
    ck_assert_str_eq(read_logs(&(struct logs_query){.out = true, .tail = 5}),
                     "line 1\nline 2\nline 3\nline 4\nline 5\n");
    ck_assert_str_eq(read_logs(&(struct logs_query){.err = true, .tail = -1}), "");
    struct logs_query future = {.tail = -1, .since = {wall_now().ns + NS_PER_H}};
    ck_assert_str_eq(read_logs(&future), "");
    struct logs_query past = {.tail = -1, .until = {wall_now().ns - NS_PER_H}};
    ck_assert_str_eq(read_logs(&past), "");
    logs_remove(fx.log);
    ck_assert(!file_exists(older));
}
END_TEST

// ---- many --------------------------------------------------------------------------------------

#define MANY 50

struct many {
    int started;
    char ids[MANY][16];
    struct answer answers[MANY];
};

static void many_started(void *owner, const struct err *err)
{
    ck_assert_msg(!err, "%s", err ? err->message : "");
    (*(int *)owner)++;
}

static bool all_started(void *owner)
{
    return *(int *)owner == MANY;
}

static struct many many;

static void many_created(void *owner, const struct err *err)
{
    ck_assert_msg(!err, "%s", err ? err->message : "");
    runtime_start(fx.runtime, owner, many_started, &many.started);
}

// Proportional memory of a process in KB.
static unsigned long pss_of(pid_t pid)
{
    char path[64];
    struct buf text;
    unsigned long kb = 0;
    str_format(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    buf_init(&text, 65536);
    if (file_read(path, &text, NULL) == 0) {
        const char *at = strstr(buf_cstr(&text), "\nPss:");
        kb = at ? strtoul(at + 5, NULL, 10) : 0;
    }
    buf_fini(&text);
    return kb;
}

START_TEST(fifty_start_at_once_and_go_without_a_trace)
{
    memset(&many, 0, sizeof many);
    struct mono begin = mono_now();
    for (size_t i = 0; i < MANY; i++) {
        str_format(many.ids[i], sizeof many.ids[i], "many-%zu", i);
        struct oci_container spec = SHELL(many.ids[i], "exec sleep 100");
        runtime_create(fx.runtime, &spec, "", many_created, many.ids[i]);
    }
    ck_assert(loop_run_until(&fx.loop, all_started, &many.started, 3 * WAIT_MS));
    int64_t start_ms = mono_since(mono_now(), begin) / NS_PER_MS;
    unsigned long pss_kb = 0;
    for (size_t i = 0; i < MANY; i++) {
        struct runtime_status status;
        ck_assert_int_eq(runtime_inspect(fx.runtime, many.ids[i], &status, NULL), 0);
        ck_assert_int_eq(status.state, RUNTIME_RUNNING);
        pss_kb += pss_of(status.monitor_pid);
    }
    begin = mono_now();
    for (size_t i = 0; i < MANY; i++)
        runtime_delete(fx.runtime, many.ids[i], true, on_done, &many.answers[i]);
    for (size_t i = 0; i < MANY; i++)
        must(loop_run_until(&fx.loop, has_answer, &many.answers[i], 3 * WAIT_MS)
                 ? -(int)many.answers[i].err.code
                 : -1,
             &many.answers[i]);
    int64_t stop_ms = mono_since(mono_now(), begin) / NS_PER_MS;
    printf("%d containers: started in %lld ms (%.0f/s), removed in %lld ms, PSS of each monitor "
           "%lu KB\n",
           MANY, (long long)start_ms, MANY * 1000.0 / (double)start_ms, (long long)stop_ms,
           pss_kb / MANY);
}
END_TEST

static Suite *suite_oci(void)
{
    Suite *suite = suite_create("oci");
    TCase *tcase = tcase_create("life");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 180);
    tcase_add_test(tcase, output_and_exit_code_are_kept);
    tcase_add_test(tcase, the_end_is_told_after_the_start);
    tcase_add_test(tcase, a_missing_program_is_said_in_words);
    tcase_add_test(tcase, stop_asks_first_and_kills_after_the_grace_period);
    tcase_add_test(tcase, a_container_survives_our_restart);
    tcase_add_test(tcase, a_killed_monitor_ends_its_container_with_a_reason);
    tcase_add_test(tcase, pause_stops_the_clock_of_a_container);
    tcase_add_test(tcase, limits_are_seen_in_the_cgroup);
    tcase_add_test(tcase, an_oom_kill_is_reported);
    tcase_add_test(tcase, defaults_confine_and_seccomp_is_on);
    tcase_add_test(tcase, the_environment_and_user_are_as_asked);
    tcase_add_test(tcase, mounts_files_and_readonly_roots_work);
    tcase_add_test(tcase, exec_runs_beside_with_its_own_streams);
    tcase_add_test(tcase, attach_gives_and_takes_the_container_streams);
    tcase_add_test(tcase, a_terminal_is_resized_and_read_through_attach);
    tcase_add_test(tcase, logs_are_followed_through_rotation_and_cut_to_their_tail);
    tcase_add_test(tcase, fifty_start_at_once_and_go_without_a_trace);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(suite_oci());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
