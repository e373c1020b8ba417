#include "cmd/skepd/roles_io.h"

#include <string.h>

#include "proto/base/check.h"

const struct role *role_by_name(const char *name)
{
    static const struct role *const roles[] = {&manager_role, &resolver_role, &relay_role};
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if (strcmp(roles[i]->name, name) == 0)
            return roles[i];
    return NULL;
}
