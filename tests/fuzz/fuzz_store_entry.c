// Committed entries of other leaders: any bytes are applied or refused whole.
#include <stdlib.h>

#include "manager/store/store.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static size_t count_all(struct store *store)
{
    size_t count = 0;
    struct view view = store_pin(store);
    for (unsigned type = 0; type < OBJECT_TYPES; type++)
        count += view_count(view, (enum object_type)type);
    store_unpin(view);
    return count;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct store *store;
    if (!store)
        store = store_new();
    struct err err = ERR_INIT;
    uint64_t index = store_applied(store) + 1;
    size_t before = count_all(store);
    if (store_apply(store, data, size, index, &err) && count_all(store) != before)
        abort();
    if (store_applied(store) != index)
        abort();
    return 0;
}
