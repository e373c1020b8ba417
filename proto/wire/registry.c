#include "proto/wire/registry.h"

#include "proto/base/str.h"

const wire_type *registry_find(const char *full_name)
{
    for (size_t i = 0; i < registry_count; i++)
        if (str_equal(registry_types[i]->name, full_name))
            return registry_types[i];
    return NULL;
}
