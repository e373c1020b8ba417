#include "cmd/skepd/swarmdir_io.h"

#include <stdlib.h>
#include <string.h>

#include "agent/managers.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/identity/certdir_io.h"
#include "proto/identity/rng_io.h"
#include "raft/disk/logdb_io.h"

#define SWARM_FOLDER        "swarm"
#define CERTIFICATES_FOLDER "swarm/certificates"
#define RAFT_FOLDER         "manager/raft"

#define KEY_FILE_BYTES_MAX 65536

static char *path_of(const char *data_root, const char *name)
{
    return str_printf("%s/%s", data_root, name);
}

char *swarmdir_agent(const char *data_root)
{
    return path_of(data_root, SWARM_FOLDER);
}

int swarmdir_load_place(const char *data_root, struct place *out, struct err *err)
{
    struct buf text;
    buf_init(&text, PLACE_BYTES_MAX);
    char *path = path_of(data_root, PLACE_FILE);
    int result = file_read(path, &text, err);
    if (!result)
        result = place_read(text.data, text.len, out, err);
    free(path);
    buf_fini(&text);
    return result;
}

int swarmdir_save_place(const char *data_root, const struct place *place, struct err *err)
{
    struct buf text;
    buf_init(&text, PLACE_BYTES_MAX);
    place_write(place, &text);
    char *path = path_of(data_root, PLACE_FILE);
    int result = file_write_atomic(path, text.data, text.len, 0600, err);
    free(path);
    buf_fini(&text);
    return result;
}

int swarmdir_save_credentials(const char *data_root, const struct credentials *credentials,
                              const struct keyfile *headers, const uint8_t *lock_key,
                              struct err *err)
{
    struct keyfile file = *headers;
    int result = key_parse_pem(&file.key, credentials->key_pem, strlen(credentials->key_pem), err);
    if (result)
        return result;
    char *dir = path_of(data_root, CERTIFICATES_FOLDER);
    result = certdir_save_roots(dir, credentials->roots_pem, err);
    if (!result)
        result = certdir_save_node(dir, credentials->chain_pem, &file, lock_key, &rng_kernel, err);
    free(dir);
    key_fini(&file.key);
    explicit_bzero(&file, sizeof file);
    return result;
}

bool swarmdir_is_locked(const char *data_root)
{
    struct buf text;
    buf_init(&text, KEY_FILE_BYTES_MAX);
    char *path = str_printf("%s/%s/%s", data_root, CERTIFICATES_FOLDER, CERTDIR_KEY);
    bool locked = file_read(path, &text, NULL) == 0 && keyfile_is_locked(text.data, text.len);
    free(path);
    buf_wipe(&text);
    return locked;
}

int swarmdir_load_credentials(const char *data_root, const uint8_t *lock_key,
                              struct credentials *credentials, struct keyfile *file,
                              struct err *err)
{
    char *dir = path_of(data_root, CERTIFICATES_FOLDER);
    int result = certdir_load(dir, lock_key, credentials, file, err);
    free(dir);
    return result;
}

int swarmdir_save_managers(const char *data_root, const struct remotes *remotes, struct err *err)
{
    struct buf text;
    buf_init(&text, MANAGERS_BYTES_MAX);
    managers_write(remotes, &text);
    char *path = str_printf("%s/%s/%s", data_root, SWARM_FOLDER, MANAGERS_FILE);
    int result = file_write_atomic(path, text.data, text.len, 0600, err);
    free(path);
    buf_fini(&text);
    return result;
}

int swarmdir_forget_raft(const char *data_root, struct err *err)
{
    char *path = path_of(data_root, RAFT_FOLDER);
    int result = logdb_remove(path, err);
    free(path);
    return result;
}

int swarmdir_forget(const char *data_root, struct err *err)
{
    // The place first: a node that was interrupted here is in no swarm any more.
    char *place = path_of(data_root, PLACE_FILE);
    char *swarm = path_of(data_root, SWARM_FOLDER);
    int result = file_remove(place, err);
    if (!result)
        result = swarmdir_forget_raft(data_root, err);
    if (!result)
        result = dir_remove(swarm, err);
    free(place);
    free(swarm);
    return result;
}
