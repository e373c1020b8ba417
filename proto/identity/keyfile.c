#include "proto/identity/keyfile.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"
#include "proto/identity/pbe.h"
#include "proto/identity/record.h"

static_assert(LOCK_KEY_BYTES == RECORD_KEY_BYTES, "the lock key seals the data keys");

#define KEK_VERSION    "kek-version"
#define RAFT_KEY       "raft-dek"
#define RAFT_PENDING   "raft-dek-pending"
#define RAFT_ROTATION  "raft-dek-needs-rotation"
#define PROC_TYPE      "Proc-Type"
#define DEK_INFO       "DEK-Info"
#define TYPE_CLEAR     "PRIVATE KEY"
#define TYPE_ENCRYPTED "ENCRYPTED PRIVATE KEY"

#define DER_BYTES_MAX 16384

// The first private key block of the text.
static int find_block(const void *pem, size_t size, struct pem_block *block, struct err *err)
{
    if (size > PEM_TEXT_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "key file is larger than %u bytes",
                       PEM_TEXT_BYTES_MAX);
    struct cursor text = cursor_of(pem, size);
    for (;;) {
        int result = pem_next(&text, block, err);
        if (result == -ERR_NOT_FOUND)
            return err_set(err, ERR_INVALID_ARGUMENT, "no private key found");
        if (result || str_ends(block->type, TYPE_CLEAR))
            return result;
        pem_block_fini(block);
    }
}

static bool block_is_encrypted(const struct pem_block *block)
{
    return str_equal(block->type, TYPE_ENCRYPTED) || pem_header_get(block, DEK_INFO);
}

bool keyfile_is_locked(const void *pem, size_t size)
{
    struct pem_block block;
    if (find_block(pem, size, &block, NULL))
        return false;
    bool locked = block_is_encrypted(&block);
    pem_block_fini(&block);
    return locked;
}

static int open_key(struct keyfile *file, const struct pem_block *block, const uint8_t *lock_key,
                    struct err *err)
{
    const struct buf *der = &block->der;
    if (!block_is_encrypted(block))
        return key_parse_der(&file->key, der->data, der->len, err);
    if (!lock_key)
        return err_set(err, ERR_FAILED_PRECONDITION, "key file is locked");
    struct buf plain;
    buf_init(&plain, DER_BYTES_MAX);
    const char *dek_info = pem_header_get(block, DEK_INFO);
    int result = dek_info ? pbe_open_legacy(dek_info, der->data, der->len, lock_key, LOCK_KEY_BYTES,
                                            &plain, err)
                          : pbe_open(der->data, der->len, lock_key, LOCK_KEY_BYTES, &plain, err);
    if (!result && !buf_ok(&plain))
        result = err_set(err, ERR_INVALID_ARGUMENT, "private key is too large");
    // A wrong key that met a plausible padding by chance yields bytes that are no key.
    if (!result && key_parse_der(&file->key, plain.data, plain.len, err))
        result = err_set(err, ERR_UNAUTHENTICATED, "private key does not open with this lock key");
    buf_wipe(&plain);
    return result;
}

static int open_data_key(struct data_key *to, const char *name, const char *value,
                         const uint8_t *lock_key, struct err *err)
{
    struct buf record;
    struct buf plain;
    buf_init(&record, PEM_HEADER_BYTES);
    buf_init(&plain, KEYFILE_DATA_KEY_BYTES_MAX);
    int result = 0;
    if (!base64_decode(BASE64_STD, value, strlen(value), &record)) {
        result = err_set(err, ERR_INVALID_ARGUMENT, "header %s is not base64", name);
    } else if ((result = record_open(lock_key, record.data, record.len, &plain, err))) {
        err_wrap(err, "header %s", name);
    } else if (!plain.len) {
        result = err_set(err, ERR_INVALID_ARGUMENT, "header %s holds no key", name);
    } else {
        memcpy(to->bytes, plain.data, plain.len);
        to->bytes_count = plain.len;
    }
    buf_wipe(&plain);
    buf_wipe(&record);
    return result;
}

static int open_header(struct keyfile *file, const struct pem_header *header,
                       const uint8_t *lock_key, struct err *err)
{
    const char *key = header->key;
    const char *value = header->value;
    if (str_equal(key, PROC_TYPE) || str_equal(key, DEK_INFO))
        return 0; // part of the encryption, not of the file
    if (str_equal(key, KEK_VERSION))
        return str_to_u64(value, UINT64_MAX, &file->kek_version)
                   ? 0
                   : err_set(err, ERR_INVALID_ARGUMENT, "header %s is no number", key);
    if (str_equal(key, RAFT_KEY))
        return open_data_key(&file->raft, key, value, lock_key, err);
    if (str_equal(key, RAFT_PENDING))
        return open_data_key(&file->raft_pending, key, value, lock_key, err);
    if (str_equal(key, RAFT_ROTATION)) {
        file->raft_needs_rotation = str_equal(value, "true");
        return 0;
    }
    if (file->others_count == KEYFILE_OTHERS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "key file has too many headers");
    file->others[file->others_count++] =
        (struct pem_header){.key = str_dup(key), .value = str_dup(value)};
    return 0;
}

void keyfile_replace_data_key(struct keyfile *file, const struct rng *rng)
{
    if (!file->raft.bytes_count)
        return;
    file->raft_needs_rotation = file->raft_pending.bytes_count > 0;
    if (file->raft_needs_rotation)
        return;
    file->raft_pending.bytes_count = file->raft.bytes_count;
    rng_fill(rng, file->raft_pending.bytes, file->raft_pending.bytes_count);
}

bool keyfile_settle_data_key(struct keyfile *file, const struct rng *rng)
{
    if (!file->raft_pending.bytes_count)
        return false;
    file->raft = file->raft_pending;
    explicit_bzero(&file->raft_pending, sizeof file->raft_pending);
    if (file->raft_needs_rotation)
        keyfile_replace_data_key(file, rng);
    return true;
}

int keyfile_open(struct keyfile *file, const void *pem, size_t size, const uint8_t *lock_key,
                 struct err *err)
{
    *file = (struct keyfile){0};
    struct pem_block block;
    int result = find_block(pem, size, &block, err);
    if (result)
        return result;
    result = open_key(file, &block, lock_key, err);
    for (size_t i = 0; !result && i < block.headers_count; i++)
        result = open_header(file, &block.headers[i], lock_key, err);
    pem_block_fini(&block);
    if (result)
        keyfile_fini(file);
    return result;
}

// ---- writing -----------------------------------------------------------------------------------

static void put_data_key(struct pem_block *block, const char *name, const struct data_key *key,
                         const uint8_t *lock_key, const struct rng *rng)
{
    if (!key->bytes_count)
        return;
    struct buf record;
    struct buf text;
    buf_init(&record, PEM_HEADER_BYTES);
    buf_init(&text, PEM_HEADER_BYTES);
    record_seal(lock_key ? RECORD_SECRETBOX : RECORD_CLEAR, lock_key, key->bytes, key->bytes_count,
                rng, (struct wall){0}, &record);
    base64_encode(BASE64_STD, record.data, record.len, &text);
    const char *value = buf_cstr(&text);
    CHECK(value);
    CHECK(pem_header_set(block, name, value));
    buf_wipe(&text);
    buf_wipe(&record);
}

static void put_headers(const struct keyfile *file, const uint8_t *lock_key, const struct rng *rng,
                        struct pem_block *block)
{
    char version[24];
    CHECK(str_format(version, sizeof version, "%llu", (unsigned long long)file->kek_version));
    CHECK(pem_header_set(block, KEK_VERSION, version));
    put_data_key(block, RAFT_KEY, &file->raft, lock_key, rng);
    put_data_key(block, RAFT_PENDING, &file->raft_pending, lock_key, rng);
    if (file->raft_needs_rotation)
        CHECK(pem_header_set(block, RAFT_ROTATION, "true"));
    for (size_t i = 0; i < file->others_count; i++)
        CHECK(pem_header_set(block, file->others[i].key, file->others[i].value));
}

void keyfile_write(const struct keyfile *file, const uint8_t *lock_key, const struct rng *rng,
                   struct buf *out)
{
    struct pem_block block = {0};
    struct buf der;
    buf_init(&der, DER_BYTES_MAX);
    buf_init(&block.der, DER_BYTES_MAX);
    key_write_der(&file->key, &der);
    CHECK(str_copy(block.type, sizeof block.type, lock_key ? TYPE_ENCRYPTED : TYPE_CLEAR));
    if (lock_key)
        pbe_seal(der.data, der.len, lock_key, LOCK_KEY_BYTES, rng, &block.der);
    else
        buf_put(&block.der, der.data, der.len);
    CHECK(buf_ok(&block.der));
    put_headers(file, lock_key, rng, &block);
    pem_write(out, &block);
    pem_block_fini(&block);
    buf_wipe(&der);
}

void keyfile_fini(struct keyfile *file)
{
    key_fini(&file->key);
    for (size_t i = 0; i < file->others_count; i++) {
        free(file->others[i].key);
        free(file->others[i].value);
    }
    explicit_bzero(file, sizeof *file);
}
