#include "cmd/skepd/joining_io.h"

#include <stdlib.h>
#include <string.h>

#include "agent/enroll_rpc.h"
#include "cmd/skepd/addresses_io.h"
#include "cmd/skepd/swarmdir_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/net/addr.h"
#include "proto/rpc/status.h"
#include "raft/disk/seal.h"

#define JOINING_MAGIC 0x6a6f696eu

struct joining {
    unsigned magic;
    struct joining_config config;
    struct place place;
    struct remotes remotes;
    struct enroller *enroller;
    bool locked;
    uint8_t lock_key[LOCK_KEY_BYTES];
    void (*closed)(void *owner);
    void *closed_owner;
};

static struct joining *joining_of(void *ctx)
{
    struct joining *joining = ctx;
    MAGIC_CHECK(joining, JOINING_MAGIC);
    return joining;
}

// A manager's key file carries from the start what its Raft state will be sealed with.
static int keep(struct joining *joining, const struct enroll *enroll, struct err *err)
{
    const char *data_root = joining->config.data_root;
    const struct credentials *credentials = enroll_credentials(enroll);
    struct keyfile headers = {0};
    enum identity_role role;
    const uint8_t *lock_key = enroll_lock_key(enroll, &headers.kek_version);
    if (identity_own_role(&credentials->identity, &role) && role == IDENTITY_MANAGER) {
        headers.raft.bytes_count = SEAL_KEY_BYTES;
        entropy_bytes(headers.raft.bytes, SEAL_KEY_BYTES);
    }
    joining->locked = lock_key != NULL;
    if (lock_key)
        memcpy(joining->lock_key, lock_key, LOCK_KEY_BYTES);
    int result = swarmdir_save_credentials(data_root, credentials, &headers, lock_key, err);
    if (!result)
        result = swarmdir_save_managers(data_root, &joining->remotes, err);
    if (!result)
        result = swarmdir_save_place(data_root, &joining->place, err);
    if (result)
        swarmdir_forget(data_root, NULL);
    explicit_bzero(&headers, sizeof headers);
    return result;
}

static void on_enrolled(void *owner, struct enroll *enroll)
{
    struct joining *joining = joining_of(owner);
    struct err err = ERR_INIT;
    int result = 0;
    if (enroll_next(enroll).call == ENROLL_FAILED) {
        result = err_copy(&err, enroll_error(enroll));
        if (enroll_error_is_calls(enroll))
            rpc_status_word(&err);
        else
            err.code = ERR_UNKNOWN;
    } else {
        result = keep(joining, enroll, &err);
    }
    joining->config.done(joining->config.owner, result ? &err : NULL);
}

static int take_remotes(struct joining *joining, struct err *err)
{
    const struct joining_config *config = &joining->config;
    for (size_t i = 0; i < config->remotes_count; i++) {
        struct addr addr;
        char text[ADDR_TEXT_BYTES];
        int result = addr_parse(config->remotes[i], ADDRESSES_SWARM_PORT, &addr, err);
        if (!result && addr.kind == ADDR_UNIX)
            result =
                err_set(err, ERR_INVALID_ARGUMENT, "%s is no network address", config->remotes[i]);
        if (result)
            return result;
        remotes_observe(&joining->remotes, "", addr_format(&addr, text), REMOTES_OBSERVED_GOOD);
    }
    if (joining->remotes.count == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "at least 1 RemoteAddr is required to join");
    return 0;
}

static void joining_free(struct joining *joining)
{
    remotes_fini(&joining->remotes);
    explicit_bzero(joining->lock_key, sizeof joining->lock_key);
    MAGIC_CLEAR(joining);
    free(joining);
}

int joining_start(const struct joining_config *config, struct joining **out, struct err *err)
{
    struct err why;
    struct joining *joining = MEM_NEW(struct joining);
    MAGIC_SET(joining, JOINING_MAGIC);
    joining->config = *config;
    joining->place = *config->place;
    remotes_init(&joining->remotes);
    int result = take_remotes(joining, err);
    struct enroll *enroll = NULL;
    if (!result) {
        enroll = enroll_join(config->token, config->availability, &rng_kernel,
                             (uint64_t)mono_now().ns, &why);
        if (!enroll)
            result = err_set(err, ERR_UNKNOWN, "%s", why.message);
    }
    if (result) {
        joining_free(joining);
        return result;
    }
    joining->enroller = enroller_start(&(struct enroller_config){.loop = config->loop,
                                                                 .remotes = &joining->remotes,
                                                                 .enroll = enroll,
                                                                 .done = on_enrolled,
                                                                 .owner = joining});
    *out = joining;
    return 0;
}

const uint8_t *joining_lock_key(const struct joining *joining)
{
    return joining->locked ? joining->lock_key : NULL;
}

static void on_closed(void *ctx)
{
    struct joining *joining = joining_of(ctx);
    void (*closed)(void *owner) = joining->closed;
    void *owner = joining->closed_owner;
    joining_free(joining);
    if (closed)
        closed(owner);
}

void joining_close(struct joining *joining, void (*closed)(void *owner), void *owner)
{
    joining_of(joining);
    CHECK(joining->enroller);
    joining->closed = closed;
    joining->closed_owner = owner;
    enroller_close(joining->enroller, on_closed, joining);
    joining->enroller = NULL;
}
