#include "proto/base/accounts_io.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

// Of an entry with all its texts; a group's names its members.
#define ENTRY_BYTES_MAX 65536

struct account {
    int errnum; // 0, or why nobody could tell
    bool found;
    uid_t uid;
    gid_t gid;
};

typedef void look_up_fn(const char *name, struct account *account);

static void look_up_user(const char *name, struct account *account)
{
    char text[ENTRY_BYTES_MAX];
    struct passwd entry, *found = NULL;
    account->errnum = getpwnam_r(name, &entry, text, sizeof text, &found);
    account->found = found;
    if (found) {
        account->uid = found->pw_uid;
        account->gid = found->pw_gid;
    }
}

static void look_up_group(const char *name, struct account *account)
{
    char text[ENTRY_BYTES_MAX];
    struct group entry, *found = NULL;
    account->errnum = getgrnam_r(name, &entry, text, sizeof text, &found);
    account->found = found;
    if (found)
        account->gid = found->gr_gid;
}

// What the other process says; one that ended without a word could not tell.
static void listen_to(int fd, struct account *account)
{
    ssize_t size;
    do
        size = read(fd, account, sizeof *account);
    while (size < 0 && errno == EINTR);
    if (size != (ssize_t)sizeof *account)
        *account = (struct account){.errnum = size < 0 ? errno : EIO};
}

static int ask(look_up_fn *look_up, const char *name, struct account *account)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC))
        return errno;
    pid_t pid = fork();
    if (pid == 0) {
        struct account answer = {0};
        look_up(name, &answer);
        // Less than a pipe takes at once.
        _exit(write(pipe_fds[1], &answer, sizeof answer) == (ssize_t)sizeof answer ? 0 : 1);
    }
    int errnum = pid < 0 ? errno : 0;
    close(pipe_fds[1]);
    if (!errnum) {
        listen_to(pipe_fds[0], account);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        errnum = account->errnum;
    }
    close(pipe_fds[0]);
    return errnum;
}

int accounts_user(const char *name, uid_t *uid, gid_t *gid, struct err *err)
{
    struct account account;
    int errnum = ask(look_up_user, name, &account);
    if (errnum)
        return err_set_errno(err, errnum, "look up the user %s", name);
    if (!account.found)
        return err_set(err, ERR_NOT_FOUND, "there is no user %s", name);
    *uid = account.uid;
    *gid = account.gid;
    return 0;
}

int accounts_group(const char *name, gid_t *gid, struct err *err)
{
    struct account account;
    int errnum = ask(look_up_group, name, &account);
    if (errnum)
        return err_set_errno(err, errnum, "look up the group %s", name);
    if (!account.found)
        return err_set(err, ERR_NOT_FOUND, "there is no group %s", name);
    *gid = account.gid;
    return 0;
}
