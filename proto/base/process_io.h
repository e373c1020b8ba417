// Helper programs: start one with nothing of ours but what is given to it, collect what it says
// within bounds, and learn how it ended.
//
// Descriptors above 2 are never inherited but for those named in the spec (security.md: a leaked
// descriptor is a way out of a container). Children start with default signals, an empty mask and a
// session of their own. They are waited for through a pidfd, so SIGCHLD stays nobody's business.
#ifndef PROTO_BASE_PROCESS_IO_H
#define PROTO_BASE_PROCESS_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/err.h"
#include "proto/base/loop_io.h"

// Where programs named without a slash are looked for, and the PATH they get.
#define PROCESS_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Most extra descriptors, and most input.
#define PROCESS_FDS_MAX     8
#define PROCESS_INPUT_BYTES (1u << 20)

struct process;

struct process_result {
    int exit_code; // 0..255; 128 + signal when a signal ended it
    int signal;    // 0 when it exited by itself
    bool timed_out;
    const char
        *out; // what it wrote on 1 and 2, cut at the limit, NUL-terminated, valid during done
    size_t out_bytes;
    const char *err;
    size_t err_bytes;
};

typedef void process_done(void *owner, const struct process_result *result);

struct process_spec {
    const char *const *argv; // NULL-terminated; argv[0] is a path or a name sought in PROCESS_PATH
    const char *const *env;  // NULL-terminated; NULL gives PATH and LANG=C.UTF-8 alone
    const char *cwd;         // NULL is "/"
    const int *fds;          // given to the child as 3, 4, ... in order; they stay the caller's too
    size_t fds_count;        // at most PROCESS_FDS_MAX
    const int *stdio;        // three descriptors for 0, 1, 2 (then nothing is collected), or NULL
    const void *input;       // written to its standard input, which then ends; copied; without it
    size_t input_bytes;      // /dev/null is the input
    size_t output_bytes_max; // most kept of each of 1 and 2; more is read and dropped
    int64_t timeout_ms;      // then it is killed with its process group; 0 is for ever
};

// Starts the program; `done` runs exactly once after it ended (whoever still holds its pipes),
// never before this returns. *out may be NULL; it is valid until done returns. On an error
// (NOT_FOUND: no such program) nothing was started and done never runs.
int process_start(struct loop *loop, const struct process_spec *spec, process_done *done,
                  void *owner, struct process **out, struct err *err);

pid_t process_pid(const struct process *process);

// Sends the signal to the process's group; harmless when it ended meanwhile.
void process_kill(struct process *process, int signal);

// Finds a program as process_start would. True and the path in out when it can be executed.
bool process_find(const char *name, char *out, size_t size);

// Fills `err` from a result that is not exit code 0: "<what>: <last line it wrote on 2>", or how it
// ended when it wrote nothing. INTERNAL, or DEADLINE_EXCEEDED after the timeout. Returns -code; 0
// and err untouched when the program succeeded.
int process_check(const struct process_result *result, const char *what, struct err *err);

#endif
