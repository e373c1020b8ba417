#include "cmd/skep/restart.h"

#include <stddef.h>

#include "cmd/skep/common.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define RETRIES_MAX 1000000

int restart_parse(const char *text, struct restart *restart, struct arena *arena, struct err *err)
{
    static const char *const names[] = {"no", "always", "unless-stopped", "on-failure"};
    const char *count;
    *restart = (struct restart){.name = split_once(text, ':', &count, arena)};
    size_t i = 0;
    while (i < COUNT_OF(names) && !str_equal(names[i], restart->name))
        i++;
    if (i == COUNT_OF(names) || (count && (!str_equal(restart->name, "on-failure") ||
                                           !str_to_i64(count, 0, RETRIES_MAX, &restart->retries))))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid restart policy: %s", text);
    return 0;
}
