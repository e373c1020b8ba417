#include "proto/identity/certdir_io.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/identity/pem.h"

#define CHAIN_TRANSIENT "." CERTDIR_CHAIN
#define KEY_TRANSIENT                                                                              \
    "." CERTDIR_KEY // left by stock nodes; we have our own way of replacing one file

#define MODE_FOLDER 0700
#define MODE_PUBLIC 0644
#define MODE_SECRET 0600

struct path {
    char text[PATH_MAX];
};

static int path_of(struct path *path, const char *dir, const char *name, struct err *err)
{
    return str_format(path->text, sizeof path->text, "%s/%s", dir, name)
               ? 0
               : err_set(err, ERR_INVALID_ARGUMENT, "path %s is too long", dir);
}

static int save(const char *dir, const char *name, const void *bytes, size_t size, mode_t mode,
                struct err *err)
{
    struct path path;
    int result = path_of(&path, dir, name, err);
    if (!result)
        result = dir_make(dir, MODE_FOLDER, err);
    return result ? result : file_write_atomic(path.text, bytes, size, mode, err);
}

static int load(const char *dir, const char *name, struct buf *out, struct err *err)
{
    struct path path;
    buf_init(out, PEM_TEXT_BYTES_MAX);
    int result = path_of(&path, dir, name, err);
    if (!result)
        result = file_read(path.text, out, err);
    // The text is used with a NUL behind it.
    if (!result && !buf_cstr(out))
        result = err_set(err, ERR_RESOURCE_EXHAUSTED, "%s is too large", path.text);
    return result;
}

static int drop(const char *dir, const char *name, struct err *err)
{
    struct path path;
    int result = path_of(&path, dir, name, err);
    return result ? result : file_remove(path.text, err);
}

// Makes the dot name the certificate.
static int settle(const char *dir, struct err *err)
{
    struct path from;
    struct path to;
    if (path_of(&from, dir, CHAIN_TRANSIENT, err) || path_of(&to, dir, CERTDIR_CHAIN, err))
        return -ERR_INVALID_ARGUMENT;
    if (rename(from.text, to.text) != 0)
        return err_set_errno(err, errno, "rename %s", from.text);
    return dir_sync(dir, err);
}

int certdir_save_roots(const char *dir, const char *roots_pem, struct err *err)
{
    return save(dir, CERTDIR_ROOTS, roots_pem, strlen(roots_pem), MODE_PUBLIC, err);
}

int certdir_load_roots(const char *dir, char **roots_pem, struct err *err)
{
    struct buf text;
    int result = load(dir, CERTDIR_ROOTS, &text, err);
    if (!result)
        *roots_pem = str_dup(buf_cstr(&text));
    buf_fini(&text);
    return result;
}

int certdir_save_key(const char *dir, const struct keyfile *file, const uint8_t *lock_key,
                     const struct rng *rng, struct err *err)
{
    struct buf text;
    buf_init(&text, PEM_TEXT_BYTES_MAX);
    keyfile_write(file, lock_key, rng, &text);
    CHECK(buf_ok(&text));
    int result = save(dir, CERTDIR_KEY, text.data, text.len, MODE_SECRET, err);
    buf_wipe(&text);
    return result;
}

int certdir_save_node(const char *dir, const char *chain_pem, const struct keyfile *file,
                      const uint8_t *lock_key, const struct rng *rng, struct err *err)
{
    int result = save(dir, CHAIN_TRANSIENT, chain_pem, strlen(chain_pem), MODE_PUBLIC, err);
    if (!result)
        result = certdir_save_key(dir, file, lock_key, rng, err);
    return result ? result : settle(dir, err);
}

// The certificate file `name` together with the key that was read, if they belong together.
static int pair_up(const char *dir, const char *name, const char *key_pem, const char *roots_pem,
                   struct credentials *credentials, struct err *err)
{
    struct buf chain;
    int result = load(dir, name, &chain, err);
    if (!result)
        result = credentials_init(credentials, buf_cstr(&chain), key_pem, roots_pem, err);
    buf_fini(&chain);
    return result;
}

static int load_pair(const char *dir, const struct keyfile *file, const char *roots_pem,
                     struct credentials *credentials, struct err *err)
{
    struct buf key_pem;
    buf_init(&key_pem, PEM_TEXT_BYTES_MAX);
    key_write_pem(&file->key, &key_pem);
    const char *key = buf_cstr(&key_pem);
    CHECK(key);
    struct err why = ERR_INIT;
    int result = pair_up(dir, CERTDIR_CHAIN, key, roots_pem, credentials, &why);
    if (!result) {
        // Interrupted before the key: the new certificate has no key, and never will.
        result = drop(dir, CHAIN_TRANSIENT, err);
        if (!result)
            result = drop(dir, KEY_TRANSIENT, err);
    } else if (pair_up(dir, CHAIN_TRANSIENT, key, roots_pem, credentials, NULL) == 0) {
        result = settle(dir, err); // interrupted between key and certificate
    } else {
        result = err_copy(err, &why);
    }
    if (result)
        credentials_fini(credentials);
    buf_wipe(&key_pem);
    return result;
}

int certdir_load(const char *dir, const uint8_t *lock_key, struct credentials *credentials,
                 struct keyfile *file, struct err *err)
{
    *credentials = (struct credentials){0};
    *file = (struct keyfile){0};
    char *roots_pem = NULL;
    struct buf text;
    int result = certdir_load_roots(dir, &roots_pem, err);
    if (result)
        return result;
    result = load(dir, CERTDIR_KEY, &text, err);
    if (!result && (result = keyfile_open(file, text.data, text.len, lock_key, err)))
        err_wrap(err, "%s/%s", dir, CERTDIR_KEY);
    if (!result) {
        result = load_pair(dir, file, roots_pem, credentials, err);
        if (result)
            keyfile_fini(file);
    }
    buf_wipe(&text);
    free(roots_pem);
    return result;
}
