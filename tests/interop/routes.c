// Prints the Engine API's endpoints, "METHOD PATTERN", one a line: for scripts that try them all.
#include <stdio.h>

#include "agent/engine/engine.h"

int main(void)
{
    for (size_t i = 0; i < engine_endpoints_count; i++)
        for (size_t k = 0; k < engine_endpoints[i]->count; k++)
            printf("%s %s\n", engine_endpoints[i]->rows[k].method,
                   engine_endpoints[i]->rows[k].pattern);
    return 0;
}
