// The manager process: runs the manager that the node process charged it with, on the sockets it
// was handed.
#include "cmd/skepd/roles_io.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/skepd/calls_io.h"
#include "cmd/skepd/charge.h"
#include "cmd/skepd/messages.h"
#include "manager/ca/external_io.h"
#include "proto/base/check.h"
#include "proto/base/entropy_io.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"

#define MANAGER_ROLE_MAGIC 0x4d4e4752u

// Loops that serve connections besides the control loop.
#define SERVING_LOOPS 2

struct manager_process {
    unsigned magic;
    struct role_frame *frame;
    struct charge charge;
    struct credentials credentials;
    int cluster_fd, local_fd; // bound, not listening; -1 until they came
    struct loop_thread serving[SERVING_LOOPS];
    struct loop *loops[SERVING_LOOPS];
    struct manager *manager; // NULL until both sockets are there
    struct map lookups;      // number -> struct external_lookup, asked of the node process
    uint64_t lookups_made;
    bool stopping;
};

static struct manager_process *process_of(void *state)
{
    struct manager_process *process = state;
    MAGIC_CHECK(process, MANAGER_ROLE_MAGIC);
    return process;
}

// ---- the end ------------------------------------------------------------------------------------

static void finish(struct manager_process *process)
{
    for (size_t i = 0; i < SERVING_LOOPS; i++)
        loop_thread_stop(&process->serving[i]);
    if (process->cluster_fd >= 0)
        close(process->cluster_fd);
    if (process->local_fd >= 0)
        close(process->local_fd);
    struct role_frame *frame = process->frame;
    charge_fini(&process->charge);
    credentials_fini(&process->credentials);
    map_fini(&process->lookups);
    MAGIC_CLEAR(process);
    free(process);
    role_stopped(frame);
}

static void on_manager_closed(void *ctx)
{
    struct manager_process *process = process_of(ctx);
    process->manager = NULL;
    finish(process);
}

static void stop(void *state)
{
    struct manager_process *process = process_of(state);
    if (process->stopping)
        return;
    process->stopping = true;
    if (process->manager)
        manager_stop(process->manager, on_manager_closed, process);
    else
        finish(process);
}

// What went wrong is the node process's to decide about: it hears of the end and starts us anew
// with a growing pause, or not at all.
static void give_up(struct manager_process *process, const char *what, const struct err *err)
{
    log_error(what, "err=\"%s\"", err->message);
    struct channel *channel = process->frame->channel;
    struct err ignored = ERR_INIT;
    struct buf text;
    buf_init(&text, ERR_MESSAGE_BYTES + 1);
    message_err_pack(&text, err);
    channel_send(channel, MESSAGE_MANAGER_FAILED, text.data, text.len, NULL, 0, &ignored);
    buf_fini(&text);
    stop(process);
}

// ---- the manager --------------------------------------------------------------------------------

static void on_ready(void *ctx, const struct err *err)
{
    struct manager_process *process = process_of(ctx);
    if (err) {
        give_up(process, "manager cannot take part", err);
        return;
    }
    log_info("manager takes part", "addr=%s", process->charge.advertise);
    struct err failure = ERR_INIT;
    if (channel_send(process->frame->channel, MESSAGE_MANAGER_UP, "", 0, NULL, 0, &failure))
        give_up(process, "node process does not listen", &failure);
}

static void on_locked(void *ctx, const uint8_t *lock_key, uint64_t version)
{
    struct manager_process *process = process_of(ctx);
    struct message_lock lock = {.version = version, .locked = lock_key != NULL};
    struct err err = ERR_INIT;
    struct buf text;
    if (lock_key)
        memcpy(lock.key, lock_key, LOCK_KEY_BYTES);
    buf_init(&text, MESSAGE_LOCK_BYTES_MIN + LOCK_KEY_BYTES);
    message_lock_pack(&text, &lock);
    if (channel_send(process->frame->channel, MESSAGE_MANAGER_LOCK, text.data, text.len, NULL, 0,
                     &err))
        log_error("node process did not hear of the lock", "err=\"%s\"", err.message);
    buf_wipe(&text);
    explicit_bzero(&lock, sizeof lock);
}

static void on_rotated(void *ctx)
{
    struct manager_process *process = process_of(ctx);
    struct err err = ERR_INIT;
    // Not heard, it is told again after the next start.
    if (channel_send(process->frame->channel, MESSAGE_MANAGER_ROTATED, "", 0, NULL, 0, &err))
        log_error("node process did not hear of the new data key", "err=\"%s\"", err.message);
}

static void look_up(void *ctx, const char *name, struct external_lookup *lookup)
{
    struct manager_process *process = process_of(ctx);
    struct message_lookup ask = {.id = ++process->lookups_made};
    struct err err = ERR_INIT;
    struct buf text;
    buf_init(&text, MESSAGE_LOOKUP_BYTES_MIN + ADDR_HOST_BYTES);
    CHECK(str_copy(ask.name, sizeof ask.name, name));
    map_put_u64(&process->lookups, ask.id, lookup);
    message_lookup_pack(&text, &ask);
    // Not heard, no answer comes, and who asked gives up in time.
    if (channel_send(process->frame->channel, MESSAGE_LOOKUP, text.data, text.len, NULL, 0, &err))
        log_error("node process was not asked for a name", "err=\"%s\"", err.message);
    buf_fini(&text);
}

static void forget_lookup(void *ctx, struct external_lookup *lookup)
{
    struct manager_process *process = process_of(ctx);
    MAP_EACH (entry, &process->lookups) {
        if (entry->value == lookup) {
            map_remove(&process->lookups, entry->key, entry->key_size);
            return;
        }
    }
}

static void take_found(struct manager_process *process, const struct channel_message *message)
{
    struct message_found found;
    struct err err = ERR_INIT;
    if (message_found_parse(message->payload, message->payload_bytes, &found, &err)) {
        log_warn("answer to a lookup cannot be read", "err=\"%s\"", err.message);
        return;
    }
    struct external_lookup *lookup = map_remove_u64(&process->lookups, found.id);
    if (lookup)
        lookup->found(lookup, found.addrs, found.count, found.count ? NULL : &found.why);
}

static void on_changed(void *ctx)
{
    (void)ctx;
}

static void on_stopped(void *ctx, const struct err *why)
{
    give_up(process_of(ctx), "manager has stopped", why);
}

static void start_manager(struct manager_process *process)
{
    struct charge *charge = &process->charge;
    struct manager_config config = {
        .loop = process->frame->loop,
        .serving = process->loops,
        .serving_count = SERVING_LOOPS,
        .dir = "raft", // below our working folder, the only one we may touch
        .key = charge->key,
        .previous_key = charge->has_previous_key ? &charge->previous_key : NULL,
        .rng = &rng_kernel,
        .credentials = &process->credentials,
        .advertise = charge->advertise,
        .listen_fd = process->cluster_fd,
        .local_fd = process->local_fd,
        .birth = charge->birth,
        .first_cluster = charge->first_cluster,
        .availability = charge->availability,
        .join_addrs = (const char *const *)charge->joins,
        .join_addrs_count = charge->joins_count,
        .ready = on_ready,
        .locked = on_locked,
        .rotated = on_rotated,
        .look_up = look_up,
        .forget_lookup = forget_lookup,
        .changed = on_changed,
        .stopped = on_stopped,
        .ctx = process,
    };
    struct err err = ERR_INIT;
    if (manager_start(&config, &process->manager, &err))
        give_up(process, "manager cannot start", &err);
}

static int start(struct role_frame *frame, const void *config, size_t config_bytes, void **state,
                 struct err *err)
{
    struct charge charge;
    int result = charge_parse(config, config_bytes, &charge, err);
    if (result)
        return result;
    struct manager_process *process = MEM_NEW(struct manager_process);
    MAGIC_SET(process, MANAGER_ROLE_MAGIC);
    process->frame = frame;
    process->charge = charge;
    process->cluster_fd = process->local_fd = -1;
    map_init(&process->lookups);
    result = credentials_init(&process->credentials, charge.chain_pem, charge.key_pem,
                              charge.roots_pem, err);
    if (result) {
        charge_fini(&process->charge);
        free(process);
        return result;
    }
    for (size_t i = 0; i < SERVING_LOOPS; i++) {
        loop_thread_start(&process->serving[i], "serving");
        process->loops[i] = &process->serving[i].loop;
    }
    *state = process;
    return 0;
}

// The charge names another data key, and the present one as the previous.
static int take_data_key(struct manager_process *process, const struct charge *fresh,
                         struct err *err)
{
    struct charge *charge = &process->charge;
    if (!fresh->has_previous_key || memcmp(&fresh->key, &charge->key, sizeof charge->key) == 0)
        return 0;
    if (memcmp(&fresh->previous_key, &charge->key, sizeof charge->key) != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "another data key is in use");
    int result = manager_rotate_key(process->manager, &fresh->key, err);
    if (!result)
        charge->key = fresh->key;
    return result;
}

// A renewed certificate, other roots, another data key.
static void take_credentials(struct manager_process *process, const struct channel_message *message)
{
    struct charge fresh = {0};
    struct credentials credentials = {0};
    struct err err = ERR_INIT;
    int result = charge_parse(message->payload, message->payload_bytes, &fresh, &err);
    if (!result) {
        result =
            credentials_init(&credentials, fresh.chain_pem, fresh.key_pem, fresh.roots_pem, &err);
    }
    if (!result && process->manager)
        result = manager_set_credentials(process->manager, &credentials, &err);
    if (!result && process->manager)
        result = take_data_key(process, &fresh, &err);
    charge_fini(&fresh);
    if (result) {
        log_error("new credentials cannot be used", "err=\"%s\"", err.message);
        credentials_fini(&credentials);
        return;
    }
    credentials_fini(&process->credentials);
    process->credentials = credentials;
}

static void tell_metrics(struct manager_process *process)
{
    struct buf text;
    struct err err = ERR_INIT;
    buf_init(&text, MESSAGE_METRICS_BYTES_MAX);
    if (process->manager)
        manager_metrics(process->manager, &text);
    if (!buf_ok(&text))
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "more than %d bytes", MESSAGE_METRICS_BYTES_MAX);
    else
        channel_send(process->frame->channel, MESSAGE_METRICS, text.data, text.len, NULL, 0, &err);
    if (err.code != ERR_OK)
        log_warn("figures could not be told", "err=\"%s\"", err.message);
    buf_fini(&text);
}

static bool is_named(const struct channel_message *message, const char *name)
{
    return message->payload_bytes == strlen(name) &&
           memcmp(message->payload, name, message->payload_bytes) == 0;
}

static void on_message(void *state, const struct channel_message *message)
{
    struct manager_process *process = process_of(state);
    int *place = NULL;
    if (message->type == MESSAGE_CHARGE) {
        take_credentials(process, message);
        return;
    }
    if (message->type == MESSAGE_FOUND) {
        take_found(process, message);
        return;
    }
    if (message->type == MESSAGE_METRICS_ASK) {
        tell_metrics(process);
        return;
    }
    if (message->type == MESSAGE_SOCKET && is_named(message, ROLES_CLUSTER_SOCKET))
        place = &process->cluster_fd;
    else if (message->type == MESSAGE_SOCKET && is_named(message, ROLES_LOCAL_SOCKET))
        place = &process->local_fd;
    if (!place || *place >= 0) {
        log_warn("message nobody asked for", "type=%u", message->type);
        return;
    }
    *place = message->fds[0];
    message->fds[0] = -1;
    if (process->cluster_fd >= 0 && process->local_fd >= 0 && !process->stopping)
        start_manager(process);
}

// libuv keeps one descriptor in reserve, for the moment when there are no others.
static const struct confine_path paths[] = {{.path = "/dev/null"}};

static const struct channel_rule rules[] = {MESSAGE_ROWS_FROM_NODE, MESSAGE_ROWS_TO_MANAGER};

const struct role manager_role = {
    .name = "manager",
    .title = "skepd: manager",
    .rules = {rules, COUNT_OF(rules)},
    .calls = &calls_manager,
    .paths = paths,
    .paths_count = COUNT_OF(paths),
    .start = start,
    .message = on_message,
    .stop = stop,
};
