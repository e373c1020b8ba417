#include "agent/crate/sandbox_link_io.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/crate/crates_priv_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define SHORT_CHARS 12

// As `docker inspect` shows it: a path that others can open.
void crate_sandbox_key(const struct crate *crate, char out[CRATE_SANDBOX_BYTES])
{
    const char *dir = crate->crates->sandbox_dir;
    out[0] = '\0';
    if (dir && crate_running(crate) && crate->pid > 0)
        (void)str_format(out, CRATE_SANDBOX_BYTES, "%s/%.*s", dir, SHORT_CHARS, crate->id);
}

// Whether a link leads to a process's network namespace: then it is one of ours (or of somebody who
// works likewise, for whose process the same is true).
static bool is_link_of_ours(const char *path, const char *name)
{
    char target[64];
    size_t length = strlen(name);
    if ((length != SHORT_CHARS && length != CONTAINER_ID_BYTES - 1) ||
        strspn(name, "0123456789abcdef") != length)
        return false;
    ssize_t count = readlink(path, target, sizeof target - 1);
    if (count < 0)
        return false;
    target[count] = '\0';
    return str_starts(target, "/proc/") && str_ends(target, "/ns/net");
}

static void remove_link(const char *dir, const char *name)
{
    char path[CRATE_SANDBOX_BYTES];
    if (str_format(path, sizeof path, "%s/%s", dir, name) && is_link_of_ours(path, name))
        (void)unlink(path);
}

void sandbox_links_sweep(const char *dir)
{
    DIR *stream = opendir(dir);
    const struct dirent *entry;
    while (stream && (entry = readdir(stream)))
        remove_link(dir, entry->d_name);
    if (stream)
        closedir(stream);
}

void crate_link_sandbox(const struct crate *crate)
{
    const char *dir = crate->crates->sandbox_dir;
    char target[64], path[CRATE_SANDBOX_BYTES], name[2][CONTAINER_ID_BYTES];
    if (!dir)
        return;
    str_copy(name[0], sizeof name[0], crate->id);
    str_copy(name[1], sizeof name[1], crate->id);
    name[1][SHORT_CHARS] = '\0';
    (void)str_format(target, sizeof target, "/proc/%d/ns/net", (int)crate->pid);
    for (size_t i = 0; i < 2; i++) {
        remove_link(dir, name[i]);
        if (!crate_running(crate) || crate->pid <= 0)
            continue;
        (void)mkdir(dir, 0755);
        if (!str_format(path, sizeof path, "%s/%s", dir, name[i]) || symlink(target, path))
            log_debug("cannot link a network namespace", "container=%.12s path=%s error=%s",
                      crate->id, path, strerror(errno));
    }
}
