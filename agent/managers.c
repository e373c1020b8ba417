#include "agent/managers.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/str.h"

static int compare(const void *a, const void *b)
{
    const struct remote *const *one = a;
    const struct remote *const *other = b;
    int order = strcmp((*one)->node_id, (*other)->node_id);
    return order ? order : strcmp((*one)->addr, (*other)->addr);
}

void managers_write(const struct remotes *remotes, struct buf *out)
{
    const struct remote **sorted = mem_alloc_array(remotes->count, sizeof(*sorted));
    for (size_t i = 0; i < remotes->count; i++)
        sorted[i] = &remotes->list[i];
    if (remotes->count)
        qsort(sorted, remotes->count, sizeof(*sorted), compare);
    struct json_out json;
    json_out_init(&json, out);
    json_out_array(&json, NULL);
    for (size_t i = 0; i < remotes->count; i++) {
        json_out_object(&json, NULL);
        json_out_str(&json, "node_id", sorted[i]->node_id);
        json_out_str(&json, "addr", sorted[i]->addr);
        json_out_end(&json);
    }
    json_out_end(&json);
    free(sorted);
}

int managers_read(const void *text, size_t size, struct remotes *remotes, struct err *err)
{
    json_t *list = json_parse(text, size, err);
    if (!list)
        return err_set(err, ERR_INVALID_ARGUMENT, "the list of managers cannot be read");
    int result = 0;
    if (!json_is_array(list))
        result = err_set(err, ERR_INVALID_ARGUMENT, "the list of managers is no list");
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        const char *node_id = json_string_value(json_object_get(entry, "node_id"));
        const char *addr = json_string_value(json_object_get(entry, "addr"));
        if (!str_empty(addr))
            remotes_observe(remotes, str_or(node_id, ""), addr, REMOTES_OBSERVED_GOOD);
    }
    json_decref(list);
    return result;
}
