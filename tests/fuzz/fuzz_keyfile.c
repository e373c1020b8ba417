// Key files and sealed records. The first input byte chooses whether a lock key is at hand.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/identity/keyfile.h"
#include "proto/identity/pbe.h"
#include "proto/identity/record.h"
#include "proto/identity/rng_io.h"

static const uint8_t lock_key[LOCK_KEY_BYTES] = "0123456789abcdef0123456789abcde";

static void open_file(const uint8_t *data, size_t size, const uint8_t *key)
{
    struct keyfile file;
    keyfile_is_locked(data, size);
    if (keyfile_open(&file, data, size, key, NULL))
        return;
    // What was opened can be written, and reads the same.
    struct buf out;
    struct keyfile back;
    buf_init(&out, 1 << 20);
    keyfile_write(&file, NULL, &rng_kernel, &out);
    if (!buf_ok(&out) || keyfile_open(&back, out.data, out.len, NULL, NULL) ||
        back.kek_version != file.kek_version || back.others_count != file.others_count ||
        !key_same_public(&back.key.pk, &file.key.pk))
        abort();
    keyfile_fini(&back);
    keyfile_fini(&file);
    buf_wipe(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    const uint8_t *key = data[0] & 1 ? lock_key : NULL;
    data++;
    size--;
    struct buf out;
    open_file(data, size, key);
    buf_init(&out, 1 << 16);
    record_open(key, data, size, &out, NULL);
    buf_clear(&out);
    pbe_open(data, size, lock_key, sizeof lock_key, &out, NULL);
    buf_wipe(&out);
    return 0;
}
