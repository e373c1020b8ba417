#include "cmd/skepd/pidfile_io.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file_io.h"
#include "proto/base/str.h"

#define PIDFILE_BYTES_MAX 32

// The process id in the file, or 0.
static uint64_t named(const char *path)
{
    struct buf text;
    uint64_t pid = 0;
    buf_init(&text, PIDFILE_BYTES_MAX);
    if (file_read(path, &text, NULL) == 0) {
        char digits[PIDFILE_BYTES_MAX + 1] = "";
        struct str_part part = str_trim((struct str_part){(const char *)text.data, text.len});
        str_format(digits, sizeof digits, "%.*s", (int)part.len, part.at);
        if (!str_to_u64(digits, INT_MAX, &pid))
            pid = 0;
    }
    buf_fini(&text);
    return pid;
}

// Whether that process is a skepd: process ids are used again, and a stale file must not stop us.
static bool is_skepd(uint64_t pid)
{
    char path[64];
    struct buf name;
    buf_init(&name, PIDFILE_BYTES_MAX);
    str_format(path, sizeof path, "/proc/%llu/comm", (unsigned long long)pid);
    bool found = file_read(path, &name, NULL) == 0 && str_equal(buf_cstr(&name), "skepd\n");
    buf_fini(&name);
    return found;
}

int pidfile_take(const char *path, struct err *err)
{
    uint64_t other = named(path);
    if (other && other != (uint64_t)getpid() && is_skepd(other))
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "%s says that skepd runs already as process %llu", path,
                       (unsigned long long)other);
    char folder[PATH_MAX], text[PIDFILE_BYTES_MAX];
    if (!str_copy(folder, sizeof folder, path))
        return err_set(err, ERR_INVALID_ARGUMENT, "the path of the pid file is too long");
    int result = dir_make(dirname(folder), 0755, err);
    if (result)
        return result;
    str_format(text, sizeof text, "%d\n", (int)getpid());
    return file_write_atomic(path, text, strlen(text), 0644, err);
}

void pidfile_drop(const char *path)
{
    if (named(path) == (uint64_t)getpid())
        file_remove(path, NULL);
}
