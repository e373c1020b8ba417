#include "tests/unit/proto/identity/vectors.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "proto/base/buf.h"
#include "proto/base/file_io.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"

char *vector_keep(char *text)
{
    static char *kept[256]; // so that a leak checker sees who holds them
    static size_t kept_count;
    ck_assert_uint_lt(kept_count, sizeof kept / sizeof *kept);
    return kept[kept_count++] = text;
}

const char *vector(const char *name)
{
    struct buf text;
    struct err err = ERR_INIT;
    buf_init(&text, 1 << 20);
    char *path = str_printf("%s/vectors/%s", TEST_FOLDER, name);
    ck_assert_msg(file_read(path, &text, &err) == 0, "%s", err.message);
    free(path);
    const char *whole = buf_cstr(&text);
    size_t length = strlen(whole);
    if (length && strchr(whole, '\n') == whole + length - 1)
        length--; // a file of one line
    char *copy = str_ndup(whole, length);
    buf_fini(&text);
    return vector_keep(copy);
}

struct wall vector_now(void)
{
    struct wall now;
    ck_assert_int_eq(wall_parse(vector("when.txt"), &now, NULL), 0);
    return now;
}

static void fill(void *context, void *out, size_t size)
{
    rand_bytes(context, out, size);
}

const struct rng *vector_rng(void)
{
    static struct rand rand;
    static const struct rng rng = {.fill = fill, .context = &rand};
    rand_init(&rand, 1);
    return &rng;
}

const char *vector_run(const char *command)
{
    static char said[8192];
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    size_t size = fread(said, 1, sizeof said - 1, pipe);
    said[size] = '\0';
    int status = pclose(pipe);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s\n%s", command, said);
    return said;
}
