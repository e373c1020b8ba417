#include "agent/oci/log_packer_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/oci/log_files_io.h"
#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define WAITING_MAX 1024

struct waiting {
    struct list link;
    char *path;
    unsigned files_max;
};

struct log_packer {
    struct loop *loop;
    struct list waiting;
    size_t waiting_count;
    bool busy;
    // The one file: touched by the worker while busy.
    char *path;
    char copy[LOG_PATH_BYTES];
    struct log_file file;
    int out;
    struct loop_work work;
    struct err err;
};

struct log_packer *log_packer_new(struct loop *loop)
{
    struct log_packer *packer = MEM_NEW(struct log_packer);
    packer->loop = loop;
    list_init(&packer->waiting);
    return packer;
}

bool log_packer_busy(const struct log_packer *packer)
{
    return packer->busy;
}

void log_packer_free(struct log_packer *packer)
{
    CHECK(!packer->busy);
    log_packer_drop(packer);
    free(packer);
}

static void forget(struct log_packer *packer, struct waiting *waiting)
{
    list_remove(&waiting->link);
    packer->waiting_count--;
    free(waiting->path);
    free(waiting);
}

void log_packer_drop(struct log_packer *packer)
{
    while (packer->waiting_count)
        forget(packer, LIST_ENTRY(packer->waiting.next, struct waiting, link));
}

static void pack_next(struct log_packer *packer);

static void pack_work(struct loop_work *work)
{
    struct log_packer *packer = CONTAINER_OF(work, struct log_packer, work);
    log_file_pack(&packer->file, packer->out, &packer->err);
}

static void pack_worked(struct loop_work *work)
{
    struct log_packer *packer = CONTAINER_OF(work, struct log_packer, work);
    if (packer->err.code) {
        log_warn("a log file stays unpacked", "path=%s err=\"%s\"", packer->path,
                 packer->err.message);
        unlink(packer->copy);
    } else {
        log_file_replace(packer->path, &packer->file, packer->copy);
    }
    close(packer->file.fd);
    close(packer->out);
    free(packer->path);
    packer->busy = false;
    pack_next(packer);
}

// The oldest file that can be packed. conmon lets go of a renamed file by making the new one, so
// when that is there nobody writes to older ones.
static bool find(const char *path, unsigned files_max, struct log_file *out)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return false;
    for (unsigned age = files_max; age-- > 1;) {
        if (!log_file_open(path, age, out))
            continue;
        if (!out->packed && out->number)
            return true;
        close(out->fd);
    }
    return false;
}

static void pack(struct log_packer *packer, const char *path, unsigned files_max)
{
    if (!find(path, files_max, &packer->file))
        return;
    packer->out = -1;
    if (str_format(packer->copy, sizeof packer->copy, "%s" LOG_COPY_SUFFIX, path))
        packer->out =
            open(packer->copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (packer->out < 0) {
        log_warn("a log file stays unpacked", "path=%s errno=%d", path, errno);
        close(packer->file.fd);
        return;
    }
    packer->busy = true;
    packer->path = str_dup(path);
    err_clear(&packer->err);
    loop_work_start(packer->loop, &packer->work, pack_work, pack_worked);
}

static void pack_next(struct log_packer *packer)
{
    while (packer->waiting_count && !packer->busy) {
        struct waiting *waiting = LIST_ENTRY(packer->waiting.next, struct waiting, link);
        pack(packer, waiting->path, waiting->files_max);
        forget(packer, waiting);
    }
}

void log_packer_look(struct log_packer *packer, const char *path, unsigned files_max)
{
    LIST_EACH (link, &packer->waiting)
        if (str_equal(LIST_ENTRY(link, struct waiting, link)->path, path))
            return;
    if (packer->waiting_count == WAITING_MAX)
        return;
    struct waiting *waiting = MEM_NEW(struct waiting);
    waiting->path = str_dup(path);
    waiting->files_max = files_max;
    list_push_back(&packer->waiting, &waiting->link);
    packer->waiting_count++;
    pack_next(packer);
}
