#include "agent/net/netns_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

#define OWN_PATH          "/proc/thread-self/ns/net"
#define SYSCTL_PATH_BYTES 256
#define SYSCTL_BYTES      64

int netns_folder(const char *dir, struct err *err)
{
    int rc = dir_make(dir, 0711, err);
    if (rc)
        return rc;
    // A mount that some other mount namespace has copied keeps the namespace alive there.
    if (mount("", dir, NULL, MS_PRIVATE, NULL) == 0)
        return 0;
    if (errno != EINVAL)
        return err_set_errno(err, errno, "make %s private", dir);
    if (mount(dir, dir, NULL, MS_BIND, NULL) < 0 || mount("", dir, NULL, MS_PRIVATE, NULL) < 0)
        return err_set_errno(err, errno, "mount %s", dir);
    return 0;
}

static bool is_netns(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

int netns_open(const char *path, int *fd, struct err *err)
{
    int opened = open(path, O_RDONLY | O_CLOEXEC);
    if (opened < 0)
        return err_set_errno(err, errno, "open network namespace %s", path);
    if (!is_netns(opened)) {
        close(opened);
        return err_set(err, ERR_NOT_FOUND, "%s is no network namespace", path);
    }
    *fd = opened;
    return 0;
}

static int own_open(struct err *err)
{
    int fd = open(OWN_PATH, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? err_set_errno(err, errno, "open own network namespace") : fd;
}

static void go_home(int home)
{
    int rc = setns(home, CLONE_NEWNET);
    CHECK(rc == 0);
    close(home);
}

int netns_in(int netns_fd, int (*work)(void *ctx, struct err *err), void *ctx, struct err *err)
{
    if (netns_fd == NETNS_OWN)
        return work(ctx, err);
    int home = own_open(err);
    if (home < 0)
        return home;
    if (setns(netns_fd, CLONE_NEWNET) < 0) {
        int errnum = errno;
        close(home);
        return err_set_errno(err, errnum, "enter network namespace");
    }
    int rc = work(ctx, err);
    go_home(home);
    return rc;
}

static int pin(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0)
        return err_set_errno(err, errno, "create %s", path);
    close(fd);
    int home = own_open(err);
    if (home < 0) {
        unlink(path);
        return home;
    }
    int rc = 0;
    if (unshare(CLONE_NEWNET) < 0) {
        rc = err_set_errno(err, errno, "make a network namespace");
    } else if (mount(OWN_PATH, path, NULL, MS_BIND, NULL) < 0) {
        rc = err_set_errno(err, errno, "pin network namespace at %s", path);
    }
    go_home(home);
    if (rc)
        unlink(path);
    return rc;
}

int netns_make(const char *path, bool *made, struct err *err)
{
    int fd = -1;
    struct err why = ERR_INIT;
    *made = false;
    if (netns_open(path, &fd, &why) == 0) {
        close(fd);
        return 0;
    }
    if (why.code != ERR_NOT_FOUND)
        return err_copy(err, &why);
    int rc = netns_remove(path, err);
    if (!rc)
        rc = pin(path, err);
    *made = rc == 0;
    return rc;
}

static bool is_same(const char *from, const char *path)
{
    struct stat a, b;
    return stat(from, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

int netns_share(const char *from, const char *path, bool *made, struct err *err)
{
    int fd = -1;
    *made = false;
    int rc = netns_open(from, &fd, err);
    if (rc)
        return rc;
    close(fd);
    if (is_same(from, path))
        return 0;
    rc = netns_remove(path, err);
    if (rc)
        return rc;
    fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0)
        return err_set_errno(err, errno, "create %s", path);
    close(fd);
    if (mount(from, path, NULL, MS_BIND, NULL) < 0) {
        rc = err_set_errno(err, errno, "pin network namespace at %s", path);
        unlink(path);
        return rc;
    }
    *made = true;
    return 0;
}

int netns_remove(const char *path, struct err *err)
{
    // Pinned more than once is possible after a crash between the two mounts of a folder.
    while (umount2(path, MNT_DETACH) == 0) {
    }
    if (errno != EINVAL && errno != ENOENT)
        return err_set_errno(err, errno, "release network namespace %s", path);
    return file_remove(path, err);
}

int netns_list(const char *dir, void (*visit)(void *ctx, const char *name), void *ctx,
               struct err *err)
{
    DIR *folder = opendir(dir);
    if (!folder)
        return err_set_errno(err, errno, "open %s", dir);
    const struct dirent *entry;
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            visit(ctx, entry->d_name);
    closedir(folder);
    return 0;
}

// ---- settings ----------------------------------------------------------------------------------

struct setting {
    const char *name;
    const char *value;
    bool raise;
};

static int setting_write(void *ctx, struct err *err)
{
    const struct setting *setting = ctx;
    char path[SYSCTL_PATH_BYTES], now[SYSCTL_BYTES] = "";
    if (!str_format(path, sizeof path, "/proc/sys/%s", setting->name))
        return err_set(err, ERR_INVALID_ARGUMENT, "the name of a setting is too long");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open %s", path);
    ssize_t got = read(fd, now, sizeof now - 1);
    now[got > 0 ? strcspn(now, "\n") : 0] = '\0';
    int rc = 0;
    bool there = setting->raise ? strtoul(now, NULL, 10) >= strtoul(setting->value, NULL, 10)
                                : strcmp(now, setting->value) == 0;
    if (!there && pwrite(fd, setting->value, strlen(setting->value), 0) < 0)
        rc = err_set_errno(err, errno, "write %s to %s", setting->value, path);
    close(fd);
    return rc;
}

// It can be written alone.
static int routes_forget(void *ctx, struct err *err)
{
    (void)ctx;
    static const char path[] = "/proc/sys/net/ipv4/route/flush";
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open %s", path);
    int rc = write(fd, "1", 1) < 0 ? err_set_errno(err, errno, "write to %s", path) : 0;
    close(fd);
    return rc;
}

int netns_routes_forget(int netns_fd, struct err *err)
{
    return netns_in(netns_fd, routes_forget, NULL, err);
}

// /proc/sys/net shows the namespace of the thread that looks.
int netns_sysctl(int netns_fd, const char *name, const char *value, struct err *err)
{
    struct setting setting = {.name = name, .value = value};
    return netns_in(netns_fd, setting_write, &setting, err);
}

int netns_sysctl_raise(int netns_fd, const char *name, unsigned long value, struct err *err)
{
    char text[SYSCTL_BYTES];
    str_format(text, sizeof text, "%lu", value);
    struct setting setting = {.name = name, .value = text, .raise = true};
    return netns_in(netns_fd, setting_write, &setting, err);
}
