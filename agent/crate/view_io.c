#include "agent/crate/view_io.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/crate/config.h"
#include "agent/oci/root_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

struct view {
    const char *root;
    const json_t *points;
    const struct volume_uses *uses;
    void (*run)(void *ctx);
    void *ctx;
    struct err err;
};

// What a container that was never started lacks.
static int make_target(const struct view *view, const char *source, const char *target,
                       struct err *err)
{
    struct stat st;
    if (stat(source, &st) < 0)
        return err_set_errno(err, errno, "mount %s", source);
    if (S_ISDIR(st.st_mode))
        return root_mkdir(view->root, target, 0755, 0, 0, err);
    int fd = root_open(view->root, target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644, err);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

static int mount_at(const struct view *view, const char *source, const char *target,
                    unsigned long flags, struct err *err)
{
    char path[64];
    int fd = root_open(view->root, target, O_PATH | O_CLOEXEC, 0, err);
    if (fd < 0)
        return fd;
    str_format(path, sizeof path, "/proc/self/fd/%d", fd);
    int rc = mount(source, path, NULL, flags, NULL) < 0
                 ? err_set_errno(err, errno, "mount %s", source)
                 : 0;
    close(fd);
    return rc;
}

static int mount_point(const struct view *view, const json_t *point, struct err *err)
{
    const char *type = config_str(point, "Type"), *source = config_str(point, "Source");
    const char *target = config_str(point, "Destination");
    struct err why = ERR_INIT;
    int rc = 0;
    if ((!str_equal(type, "volume") && !str_equal(type, "bind")) || str_empty(source))
        return 0;
    int fd = root_open(view->root, target, O_PATH | O_CLOEXEC, 0, &why);
    if (fd >= 0)
        close(fd);
    else if (why.code == ERR_NOT_FOUND)
        rc = make_target(view, source, target, err);
    if (!rc)
        rc = mount_at(view, source, target, MS_BIND | MS_REC, err);
    // The second time it is the mount that is found there.
    if (!rc && !config_bool(point, "RW"))
        rc = mount_at(view, source, target, MS_REMOUNT | MS_BIND | MS_RDONLY, err);
    return rc;
}

// What lies in another comes after it.
static int compare_depth(const void *a, const void *b)
{
    size_t left = strlen(config_str(*(json_t *const *)a, "Destination"));
    size_t right = strlen(config_str(*(json_t *const *)b, "Destination"));
    return left < right ? -1 : left > right;
}

static int mount_points(const struct view *view, struct err *err)
{
    json_t *sorted[POINTS_MAX];
    size_t count = json_array_size(view->points);
    int rc = 0;
    CHECK(count <= POINTS_MAX);
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_array_get(view->points, i);
    qsort(sorted, count, sizeof *sorted, compare_depth);
    for (size_t i = 0; i < count && !rc; i++)
        rc = mount_point(view, sorted[i], err);
    return rc;
}

static void *view_thread(void *ctx)
{
    struct view *view = ctx;
    if (unshare(CLONE_FS | CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        err_set_errno(&view->err, errno, "make a mount namespace");
    else if (volume_uses_show(view->uses, &view->err) == 0 && mount_points(view, &view->err) == 0)
        view->run(view->ctx);
    return NULL;
}

int view_run(const char *root, const json_t *points, const struct volume_uses *uses,
             void (*run)(void *ctx), void *ctx, struct err *err)
{
    struct view view = {
        .root = root, .points = points, .uses = uses, .run = run, .ctx = ctx, .err = ERR_INIT};
    pthread_t thread;
    int errnum = pthread_create(&thread, NULL, view_thread, &view);
    if (errnum)
        return err_set_errno(err, errnum, "start a thread to look into a container");
    pthread_join(thread, NULL);
    return view.err.code ? err_copy(err, &view.err) : 0;
}
