#include "tests/unit/agent/net/spaces.h"

#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent/net/netns_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "tests/support/support.h"

static const char *folder;
static char dir[256];
static int fds[64];
static int fds_count;

bool spaces_begin(void)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) {
        ck_assert_int_eq(errno, EPERM);
        printf("skipped: no right to make namespaces\n");
        return false;
    }
    ck_assert_int_eq(mount("", "/", NULL, MS_PRIVATE | MS_REC, NULL), 0);
    struct err err = ERR_INIT;
    folder = support_tmpdir();
    str_format(dir, sizeof dir, "%s/netns", folder);
    ck_assert_msg(netns_folder(dir, &err) == 0, "%s", err.message);
    return true;
}

static void unpin(void *ctx, const char *name)
{
    (void)ctx;
    netns_remove(spaces_path(name), NULL);
}

void spaces_end(void)
{
    while (fds_count > 0)
        close(fds[--fds_count]);
    netns_list(dir, unpin, NULL, NULL);
    umount2(dir, MNT_DETACH);
    support_tmpdir_remove(folder);
}

const char *spaces_dir(void)
{
    return dir;
}

const char *spaces_path(const char *name)
{
    static char paths[4][512];
    static unsigned at;
    char *path = paths[at++ % 4];
    str_format(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

int spaces_make(const char *name)
{
    struct err err = ERR_INIT;
    bool made;
    ck_assert_msg(netns_make(spaces_path(name), &made, &err) == 0, "%s", err.message);
    ck_assert_msg(netns_open(spaces_path(name), &fds[fds_count], &err) == 0, "%s", err.message);
    ck_assert_int_lt(fds_count, 63);
    return fds[fds_count++];
}

struct netlink *spaces_netlink(int netns_fd)
{
    struct err err = ERR_INIT;
    struct netlink *netlink = NULL;
    ck_assert_msg(netlink_open(netns_fd, &netlink, &err) == 0, "%s", err.message);
    return netlink;
}
