// Many at once.
#include "tests/interop/oci/boxes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

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
    runtime_start(boxes.runtime, owner, many_started, &many.started);
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
        struct oci_container spec = BOX_SHELL(many.ids[i], "exec sleep 100");
        runtime_create(boxes.runtime, &spec, "", many_created, many.ids[i]);
    }
    ck_assert(loop_run_until(&boxes.loop, all_started, &many.started, 3 * WAIT_MS));
    int64_t start_ms = mono_since(mono_now(), begin) / NS_PER_MS;
    unsigned long pss_kb = 0;
    for (size_t i = 0; i < MANY; i++) {
        struct runtime_status status;
        ck_assert_int_eq(runtime_inspect(boxes.runtime, many.ids[i], &status, NULL), 0);
        ck_assert_int_eq(status.state, RUNTIME_RUNNING);
        pss_kb += pss_of(status.monitor_pid);
    }
    begin = mono_now();
    for (size_t i = 0; i < MANY; i++)
        runtime_delete(boxes.runtime, many.ids[i], true, box_on_done, &many.answers[i]);
    for (size_t i = 0; i < MANY; i++)
        box_must(loop_run_until(&boxes.loop, box_has_answer, &many.answers[i], 3 * WAIT_MS)
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

void oci_crowd_tests(TCase *tcase)
{
    tcase_add_test(tcase, fifty_start_at_once_and_go_without_a_trace);
}
