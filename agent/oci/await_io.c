#include "agent/oci/await_io.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

struct waiting {
    const char *what;
    struct awaited *out;
    struct err *err;
    bool done;
    int rc;
};

static void program_ended(void *owner, const struct process_result *result)
{
    struct waiting *waiting = owner;
    struct awaited *out = waiting->out;
    waiting->done = true;
    waiting->rc = process_check(result, waiting->what, waiting->err);
    out->exit_code = result->exit_code;
    out->complained = result->err_bytes > 0;
    str_copy(out->out, sizeof out->out, result->out);
}

static bool has_ended(void *owner)
{
    return ((const struct waiting *)owner)->done;
}

int await_program(const struct process_spec *spec, const char *what, struct awaited *out,
                  struct err *err)
{
    CHECK(spec->timeout_ms > 0);
    struct waiting waiting = {.what = what, .out = out, .err = err};
    struct process_spec bounded = *spec;
    bounded.output_bytes_max = AWAIT_TEXT_BYTES - 1;
    memset(out, 0, sizeof *out);
    struct loop loop;
    loop_init(&loop);
    int rc = process_start(&loop, &bounded, program_ended, &waiting, NULL, err);
    if (!rc) {
        loop_run_until(&loop, has_ended, &waiting, 2 * spec->timeout_ms);
        CHECK(waiting.done);
        rc = waiting.rc;
    }
    loop_fini(&loop);
    return rc;
}
