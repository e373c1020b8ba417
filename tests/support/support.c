#include "tests/support/support.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/check.h"

// Folders of one run of a test program. As long as a process of that run lives, it has a lock on
// it.
#define RUN_PREFIX "skep-unit-"

static const char *run_base(void)
{
    const char *base = getenv("TMPDIR");
    return base ? base : "/tmp";
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void support_tmpdir_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

// A folder nobody has a lock on was left by a run that was killed.
static void remove_left(const char *base)
{
    DIR *dir = opendir(base);
    if (!dir)
        return;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (strncmp(entry->d_name, RUN_PREFIX, strlen(RUN_PREFIX)) != 0)
            continue;
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            continue;
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", base, entry->d_name);
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            support_tmpdir_remove(path);
        close(fd);
    }
    closedir(dir);
}

static char run_folder[4096];
static pid_t run_owner;

static void remove_run(void)
{
    // Tests are children that inherited this; the folder goes with the program itself.
    if (getpid() == run_owner)
        support_tmpdir_remove(run_folder);
}

void support_run_start(void)
{
    const char *base = run_base();
    remove_left(base);
    run_owner = getpid();
    for (;;) {
        snprintf(run_folder, sizeof run_folder, "%s/" RUN_PREFIX "XXXXXX", base);
        CHECK(mkdtemp(run_folder));
        // Tests that give up root must get through it.
        if (chmod(run_folder, 0711) != 0)
            continue; // taken, as below
        // The descriptor stays open, here and in the tests, for the lock's sake.
        int fd = open(run_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;
        // Another run may have taken it for a left one just before the lock was there.
        if (fd >= 0 && flock(fd, LOCK_EX) == 0 && stat(run_folder, &st) == 0)
            break;
        if (fd >= 0)
            close(fd);
    }
    setenv("TMPDIR", run_folder, 1);
    atexit(remove_run);
}

const char *support_tmpdir(void)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/skep-test-XXXXXX", run_base());
    CHECK(mkdtemp(path));
    return path;
}

// Below those that outgoing connections and port 0 take, and of a stretch of this process's own, so
// that no test beside this one takes it before its server does.
#define PORT_FIRST 10000
#define PORTS      22000
#define STRETCH    31

int support_port(void)
{
    static int made;
    for (int tries = 0; tries < PORTS; tries++) {
        int port = PORT_FIRST + (getpid() * STRETCH + made++) % PORTS;
        struct sockaddr_in addr = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(fd >= 0);
        bool free = bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0;
        close(fd);
        if (free)
            return port;
    }
    CHECK(false);
    return -1;
}
