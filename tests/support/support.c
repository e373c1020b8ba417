#include "tests/support/support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"

const char *support_tmpdir(void)
{
    static char path[4096];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/skep-test-XXXXXX", base ? base : "/tmp");
    CHECK(mkdtemp(path));
    return path;
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
