// Snapshots: any bytes, in pieces that the bytes choose, restore or are refused; what was restored
// is written and read again the same.
#include <stdlib.h>

#include "manager/store/snapshot.h"
#include "proto/base/str.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static int restore(struct store *store, const unsigned char *data, size_t size, size_t piece)
{
    struct err err = ERR_INIT;
    struct restore *restore = restore_begin(store);
    for (size_t at = 0; at < size; at += piece) {
        size_t now = size - at < piece ? size - at : piece;
        if (restore_feed(restore, data + at, now, &err)) {
            restore_cancel(restore);
            return -1;
        }
    }
    return restore_finish(restore, store_applied(store) + 1, &err);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (size == 0)
        return 0;
    struct store *store = store_new();
    if (restore(store, data + 1, size - 1, (size_t)data[0] + 1) == 0) {
        struct view view = store_pin(store);
        size_t bytes = snapshot_size(view);
        unsigned char *copy = mem_alloc(bytes);
        struct snapshot_writer writer;
        snapshot_writer_init(&writer, view);
        size_t written = 0;
        for (size_t now; (now = snapshot_write(&writer, copy + written, bytes - written)) > 0;)
            written += now;
        if (written != bytes)
            abort();
        size_t tasks = view_count(view, OBJECT_TASK);
        store_unpin(view);
        if (restore(store, copy, bytes, 1000))
            abort();
        view = store_pin(store);
        if (view_count(view, OBJECT_TASK) != tasks)
            abort();
        store_unpin(view);
        free(copy);
    }
    store_free(store);
    return 0;
}
