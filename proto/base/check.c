#include "proto/base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *function, const char *what)
{
    // Straight to stderr: the logger itself may be what broke.
    fprintf(stderr, "%s:%d: %s: broken invariant: %s\n", file, line, function, what);
    abort();
}
