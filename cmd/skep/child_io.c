#include "cmd/skep/child_io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/file_io.h"
#include "proto/base/str.h"

extern char **environ;

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int child_start(struct cli *cli, const char *const argv[], bool feeds, bool reads,
                struct child *out)
{
    int in[2] = {-1, -1}, from[2] = {-1, -1}, failed = 0;
    posix_spawn_file_actions_t actions;
    *out = (struct child){.pid = -1, .in = -1, .out = -1};
    say_flush(cli);
    posix_spawn_file_actions_init(&actions);
    if ((feeds && pipe2(in, O_CLOEXEC) < 0) || (reads && pipe2(from, O_CLOEXEC) < 0))
        failed = errno;
    if (!failed && feeds)
        posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    if (!failed && reads)
        posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    // posix_spawnp takes strings that are not constant, and changes none.
    if (!failed)
        failed = posix_spawnp(&out->pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv,
                              environ);
    posix_spawn_file_actions_destroy(&actions);
    close_fd(&in[0]);
    close_fd(&from[1]);
    if (failed) {
        close_fd(&in[1]);
        close_fd(&from[0]);
        out->pid = -1;
        return err_set_errno(&cli->error, failed, "%s", argv[0]);
    }
    out->in = in[1];
    out->out = from[0];
    // Its end is told by the write that fails.
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

bool child_feed(struct child *child, const void *bytes, size_t size)
{
    return file_write_all(child->in, bytes, size) == 0;
}

int child_wait(struct child *child)
{
    int status = 0;
    close_fd(&child->in);
    close_fd(&child->out);
    while (waitpid(child->pid, &status, 0) < 0)
        if (errno != EINTR)
            return 128;
    child->pid = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int child_ask(struct cli *cli, const char *const argv[], const char *input, const char **output)
{
    struct child child;
    char bytes[4096];
    struct buf said;
    ssize_t count;
    if (child_start(cli, argv, true, true, &child) < 0)
        return -(int)cli->error.code;
    buf_init(&said, CHILD_OUTPUT_BYTES_MAX);
    // What is asked is short and fits into the pipe.
    (void)child_feed(&child, input, strlen(input));
    close_fd(&child.in);
    while ((count = read(child.out, bytes, sizeof bytes)) > 0 || (count < 0 && errno == EINTR))
        if (count > 0)
            buf_put(&said, bytes, (size_t)count);
    int status = child_wait(&child);
    *output = textf(cli, "%s", str_or(buf_cstr(&said), ""));
    buf_wipe(&said);
    if (status != 0)
        return err_set(&cli->error, ERR_UNKNOWN, "%s: %.200s", argv[0],
                       **output ? *output : "failed, and does not say why");
    return 0;
}
