// Compose files laid on top of each other.
#include "cmd/skep/compose.h"

#include <string.h>

#include "proto/base/check.h"

// Lists that grow when files are laid on top of each other.
static bool grows(const char *key)
{
    static const char *const lists[] = {
        "ports",   "volumes",  "secrets",     "configs",     "dns",   "dns_search", "env_file",
        "cap_add", "cap_drop", "constraints", "extra_hosts", "tmpfs", "group_add"};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (strcmp(lists[i], key) == 0)
            return true;
    return false;
}

// Items with the same target (or text) are the same thing.
static void merge_list(json_t *base, const json_t *over)
{
    size_t i, j;
    json_t *item, *there;
    json_array_foreach(over, i, item)
    {
        bool replaced = false;
        json_array_foreach(base, j, there)
        {
            const json_t *a = json_object_get(item, "target"),
                         *b = json_object_get(there, "target");
            if (json_equal(item, there) || (json_is_string(a) && json_equal(a, b))) {
                json_array_set(base, j, item);
                replaced = true;
                break;
            }
        }
        if (!replaced)
            json_array_append(base, item);
    }
}

void compose_merge(json_t *base, const json_t *over)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)over, key, value)
    {
        json_t *there = json_object_get(base, key);
        if (json_is_object(there) && json_is_object(value))
            compose_merge(there, value);
        else if (json_is_array(there) && json_is_array(value) && grows(key))
            merge_list(there, value);
        else
            json_object_set(base, key, value);
    }
}
