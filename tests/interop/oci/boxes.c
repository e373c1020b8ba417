#include "tests/interop/oci/boxes.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/oci/logs_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "tests/support/busybox_root.h"
#include "tests/support/support.h"

struct boxes boxes;

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
    boxes.exits++;
    boxes.exit = *exit;
    str_copy(boxes.exit_id, sizeof boxes.exit_id, id);
}

void boxes_open(void)
{
    struct err err = ERR_INIT;
    struct runtime_config config = {
        .loop = &boxes.loop,
        .program = getenv("SKEP_TEST_RUNTIME"),
        .state_dir = boxes.state,
        .cgroup_parent = getenv("SKEP_TEST_CGROUP"),
        .exited = on_exited,
    };
    int rc = runtime_open(&config, &boxes.runtime, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
}

void boxes_setup(void)
{
    memset(&boxes, 0, sizeof boxes);
    str_copy(boxes.dir, sizeof boxes.dir, support_tmpdir());
    str_format(boxes.root, sizeof boxes.root, "%s/root", boxes.dir);
    str_format(boxes.state, sizeof boxes.state, "%s/state", boxes.dir);
    str_format(boxes.log, sizeof boxes.log, "%s/log", boxes.dir);
    busybox_root_make(boxes.root);
    // libuv keeps two descriptors of its own from its first loop on.
    loop_init(&boxes.loop);
    loop_fini(&boxes.loop);
    boxes.fds_before = count_fds();
    loop_init(&boxes.loop);
    boxes_open();
}

void box_on_done(void *owner, const struct err *err)
{
    struct answer *answer = owner;
    answer->count++;
    if (err)
        err_copy(&answer->err, err);
}

bool box_has_answer(void *owner)
{
    return ((struct answer *)owner)->count > 0;
}

static bool has_exited(void *owner)
{
    return boxes.exits >= *(int *)owner;
}

int box_await(struct answer *answer)
{
    ck_assert_int_eq(answer->count, 0);
    ck_assert(loop_run_until(&boxes.loop, box_has_answer, answer, WAIT_MS));
    ck_assert_int_eq(answer->count, 1);
    return -(int)answer->err.code;
}

void box_await_exits(int count)
{
    ck_assert(loop_run_until(&boxes.loop, has_exited, &count, WAIT_MS));
    ck_assert_int_eq(boxes.exits, count);
}

int box_create(const struct oci_container *spec, struct answer *answer)
{
    memset(answer, 0, sizeof *answer);
    runtime_create(boxes.runtime, spec, boxes.log, box_on_done, answer);
    return box_await(answer);
}

int box_start(const char *id, struct answer *answer)
{
    memset(answer, 0, sizeof *answer);
    runtime_start(boxes.runtime, id, box_on_done, answer);
    return box_await(answer);
}

void box_must(int rc, const struct answer *answer)
{
    ck_assert_msg(rc == 0, "%s", answer->err.message);
}

void box_delete(const char *id)
{
    struct answer answer = {0};
    runtime_delete(boxes.runtime, id, true, box_on_done, &answer);
    box_must(box_await(&answer), &answer);
}

struct oci_container box_spec(const char *id, const char *const *args, size_t count)
{
    return (struct oci_container){.id = id, .rootfs = boxes.root, .args = {args, count}};
}

void box_begin(const struct oci_container *spec)
{
    struct answer answer;
    box_must(box_create(spec, &answer), &answer);
    box_must(box_start(spec->id, &answer), &answer);
}

// Everything the container wrote on the stream, in one text.
const char *box_output(int stream)
{
    static char text[65536];
    struct buf log;
    buf_init(&log, 1u << 20);
    size_t used = 0;
    text[0] = '\0';
    if (file_read(boxes.log, &log, NULL) == 0) {
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
    return strstr(box_output(1), "ready\n") != NULL;
}

// Waits for the container's script to say "ready".
void box_await_ready(void)
{
    for (int i = 0; i < WAIT_MS / 20 && !is_ready(); i++)
        usleep(20000);
    ck_assert(is_ready());
}

// Runs the container to its end and takes it away; its standard output comes back.
const char *box_run(const struct oci_container *spec)
{
    int exits = boxes.exits;
    unlink(boxes.log);
    box_begin(spec);
    box_await_exits(exits + 1);
    ck_assert_str_eq(boxes.exit_id, spec->id);
    // It is kept until it is deleted, its secrets are not.
    char secret[400];
    str_format(secret, sizeof secret, "%s/files/0", runtime_dir(boxes.runtime, spec->id));
    ck_assert(!file_exists(secret));
    box_delete(spec->id);
    return box_output(1);
}

static void no_trace(void)
{
    char path[400];
    str_format(path, sizeof path, "%s/containers", boxes.state);
    ck_assert_int_eq(rmdir(path), 0);
    str_format(path, sizeof path, "%s/runtime", boxes.state);
    rmdir(path);
    ck_assert(!file_exists(path));
    struct buf text;
    buf_init(&text, 1u << 22);
    ck_assert_int_eq(file_read("/proc/self/mountinfo", &text, NULL), 0);
    ck_assert_ptr_null(strstr(buf_cstr(&text), boxes.dir));
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

void boxes_teardown(void)
{
    runtime_close(boxes.runtime);
    loop_fini(&boxes.loop);
    ck_assert_int_eq(count_fds(), boxes.fds_before);
    no_trace();
    support_tmpdir_remove(boxes.dir);
}
