// The confined processes, manager, resolver and relay, as the node keeps them: who they run as,
// what they are told and what they say.
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/skepd/addresses_io.h"
#include "cmd/skepd/node_impl_io.h"
#include "cmd/skepd/notify_io.h"
#include "cmd/skepd/roles_io.h"
#include "proto/base/accounts_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

// Users of the confined processes. Where the package did not make them, numbers from the range that
// no distribution gives to people or services (systemd keeps it for users without a name).
#define MANAGER_USER     "skep"
#define MANAGER_USER_ID  61180
#define RESOLVER_USER    "skep-dns"
#define RESOLVER_USER_ID 61181
#define RELAY_USER       "skep-relay"
#define RELAY_USER_ID    61182
#define NO_FOLDER        "/"

void helpers_announce(struct node *node)
{
    bool manager_ready = (!node->manager.supervised || node->manager.ready_once) &&
                         node->membership && !membership_starting(node->membership);
    if (node->announced || !manager_ready || !node->resolver.ready_once)
        return;
    node->announced = true;
    log_info("skepd is ready", "pid=%d manager=%s", (int)getpid(),
             node->manager.supervised ? "yes" : "no");
    notify_send("READY=1\nSTATUS=Serving");
}

// What only the manager gets: its charge, and the sockets it serves.
static void pack_charge(const struct helper *helper, struct buf *out)
{
    if (helper == &helper->node->manager)
        charge_pack(helper->node->charge, out);
}

static int hand_over(struct channel *channel, const char *name, const struct bound_socket *bound,
                     struct err *err)
{
    return channel_send(channel, MESSAGE_SOCKET, name, strlen(name), &bound->fd, 1, err);
}

static void greet(void *owner, struct channel *channel)
{
    struct helper *helper = owner;
    struct node *node = helper->node;
    struct err err = ERR_INIT;
    struct buf start, config;
    buf_init(&start, MESSAGE_START_BYTES_MIN + MESSAGE_CONFIG_BYTES_MAX);
    buf_init(&config, MESSAGE_CONFIG_BYTES_MAX);
    pack_charge(helper, &config);
    message_start_pack(&start, &(struct message_start){
                                   .uid = helper->uid,
                                   .gid = helper->gid,
                                   .log_level = node_log_level(node->config),
                                   .log_format = node_log_format(node->config),
                                   .config = config.data,
                                   .config_bytes = config.len,
                               });
    int result = channel_send(channel, MESSAGE_START, start.data, start.len, NULL, 0, &err);
    if (!result && helper == &node->manager)
        result = hand_over(channel, ROLES_CLUSTER_SOCKET, &node->cluster, &err);
    if (!result && helper == &node->manager)
        result = hand_over(channel, ROLES_LOCAL_SOCKET, &node->local, &err);
    buf_wipe(&start); // keys are in it
    buf_wipe(&config);
    // It will not get ready then, and be killed and started again for that.
    if (result)
        log_error("process cannot be told what to do", "role=%s err=\"%s\"", helper->spec.role,
                  err.message);
    else if (helper == &node->resolver && node->station)
        dns_feed_attach(station_feed(node->station), channel);
    else if (helper == &node->relay && node->station && station_relays(node->station))
        relays_attach(station_relays(node->station), channel);
}

static void on_lost(void *owner)
{
    const struct helper *helper = owner;
    if (helper == &helper->node->resolver && helper->node->station)
        dns_feed_detach(station_feed(helper->node->station));
    else if (helper == &helper->node->relay && helper->node->station &&
             station_relays(helper->node->station))
        relays_detach(station_relays(helper->node->station));
}

static void on_ready(void *owner, const struct message_ready *ready)
{
    struct helper *helper = owner;
    const struct confine_report report = {ready->seccomp, ready->landlock};
    const char *lacking = confine_lacking(&report);
    if (*lacking && !helper->ready_once)
        log_warn("the kernel lacks a confinement", "role=%s lacking=\"%s\"", helper->spec.role,
                 lacking);
    helper->ready_once = true;
    helpers_announce(helper->node);
}

// One that has ended since does not hear it, and its successor does not know the number.
void helpers_found(void *ctx, const struct message_found *found)
{
    struct node *node = ctx;
    struct channel *channel =
        node->manager.supervised ? supervised_channel(node->manager.supervised) : NULL;
    struct err err = ERR_INIT;
    struct buf text;
    if (!channel)
        return;
    buf_init(&text, MESSAGE_FOUND_BYTES_MIN + ERR_MESSAGE_BYTES);
    message_found_pack(&text, found);
    if (channel_send(channel, MESSAGE_FOUND, text.data, text.len, NULL, 0, &err))
        log_warn("manager did not get an address", "err=\"%s\"", err.message);
    buf_fini(&text);
}

static enum metrics_process process_of(const struct helper *helper)
{
    return helper == &helper->node->manager    ? METRICS_MANAGER
           : helper == &helper->node->resolver ? METRICS_RESOLVER
                                               : METRICS_RELAY;
}

static void on_message(void *owner, const struct channel_message *message)
{
    const struct helper *helper = owner;
    struct node *node = helper->node;
    struct err why = ERR_INIT, err = ERR_INIT;
    if (helper == &node->manager && message->type == MESSAGE_MANAGER_UP) {
        membership_manager_up(node->membership);
    } else if (helper == &node->manager && message->type == MESSAGE_MANAGER_FAILED) {
        if (message_err_parse(message->payload, message->payload_bytes, &why, &err))
            why = err;
        membership_manager_failed(node->membership, &why);
    } else if (helper == &node->manager && message->type == MESSAGE_MANAGER_LOCK) {
        struct message_lock lock;
        if (message_lock_parse(message->payload, message->payload_bytes, &lock, &err) == 0)
            membership_manager_lock(node->membership, lock.locked ? lock.key : NULL, lock.version);
        explicit_bzero(&lock, sizeof lock);
    } else if (helper == &node->manager && message->type == MESSAGE_MANAGER_ROTATED) {
        membership_manager_rotated(node->membership);
    } else if (helper == &node->manager && message->type == MESSAGE_LOOKUP) {
        struct message_lookup lookup;
        if (message_lookup_parse(message->payload, message->payload_bytes, &lookup, &err))
            log_warn("manager asks for no host name", "err=\"%s\"", err.message);
        else
            lookups_ask(&node->lookups, &lookup);
    } else if (message->type == MESSAGE_METRICS) {
        if (node->metrics)
            metrics_told(node->metrics, process_of(helper), message->payload,
                         message->payload_bytes);
    } else {
        log_warn("message nobody asked for", "role=%s type=%u", helper->spec.role, message->type);
    }
}

static void unbind(struct bound_socket *bound)
{
    if (bound->fd >= 0)
        socket_unbind(bound);
    bound->fd = -1;
}

static void on_stopped(void *owner)
{
    struct helper *helper = owner;
    struct node *node = helper->node;
    helper->supervised = NULL;
    helper->ready_once = false;
    if (helper == &node->manager) {
        unbind(&node->cluster);
        unbind(&node->local);
    }
    if (helper == &node->manager && node->manager_stopped) {
        void (*stopped)(void *owner) = node->manager_stopped;
        node->manager_stopped = NULL;
        stopped(node->manager_stopped_owner);
    }
    if (node->stopping)
        node_stop_next(node);
}

static void helper_init(struct helper *helper, struct node *node, const char *role,
                        const char *user, uid_t fallback, const char *cwd)
{
    static const struct channel_rule rules[] = {MESSAGE_ROWS_TO_NODE};
    *helper = (struct helper){
        .node = node,
        .user = user,
        .uid = fallback,
        .gid = fallback,
        .spec = {.role = role,
                 .cwd = cwd,
                 .rules = {rules, COUNT_OF(rules)},
                 .greet = greet,
                 .ready = on_ready,
                 .message = on_message,
                 .lost = on_lost,
                 .stopped = on_stopped},
    };
    struct err err = ERR_INIT;
    uid_t uid;
    gid_t gid;
    if (accounts_user(user, &uid, &gid, &err) == 0 && uid != 0 && gid != 0) {
        helper->uid = uid;
        helper->gid = gid;
    } else {
        log_info("process user is not known, a number is used", "role=%s user=%s uid=%u", role,
                 user, (unsigned)fallback);
    }
}

void helpers_init(struct node *node)
{
    helper_init(&node->manager, node, manager_role.name, MANAGER_USER, MANAGER_USER_ID,
                node->manager_folder);
    helper_init(&node->resolver, node, resolver_role.name, RESOLVER_USER, RESOLVER_USER_ID,
                NO_FOLDER);
    helper_init(&node->relay, node, relay_role.name, RELAY_USER, RELAY_USER_ID, NO_FOLDER);
}

// ---- the manager process ------------------------------------------------------------------------

// The manager's local socket is this process's alone.
static int bind_local(struct node *node, struct err *err)
{
    int result = socket_bind(&node->local_addr, NULL, &node->local, err);
    if (!result && chmod(node->local_addr.host, 0600))
        result = err_set_errno(err, errno, "make %s private", node->local_addr.host);
    return result;
}

int helpers_start_manager(void *ctx, const char *listen_addr, const struct charge *charge,
                          struct err *err)
{
    struct node *node = ctx;
    struct addr addr;
    node->charge = charge;
    int result =
        node_private_folder(node->manager_folder, node->manager.uid, node->manager.gid, err);
    if (!result)
        result = addr_parse(listen_addr, ADDRESSES_SWARM_PORT, &addr, err);
    if (!result)
        result = socket_bind(&addr, NULL, &node->cluster, err);
    if (!result)
        result = bind_local(node, err);
    if (result) {
        unbind(&node->cluster);
        unbind(&node->local);
        return err_wrap(err, "manager");
    }
    node->manager.supervised = supervised_start(&node->loop, &node->manager.spec, &node->manager);
    return 0;
}

void helpers_stop_manager(void *ctx, void (*stopped)(void *owner), void *owner)
{
    struct node *node = ctx;
    node->manager_stopped = stopped;
    node->manager_stopped_owner = owner;
    CHECK(node->manager.supervised);
    supervised_stop(node->manager.supervised);
}

void helpers_renew_manager(void *ctx)
{
    struct node *node = ctx;
    struct channel *channel =
        node->manager.supervised ? supervised_channel(node->manager.supervised) : NULL;
    struct err err = ERR_INIT;
    struct buf config;
    if (!channel)
        return; // it gets the whole charge when it is there
    buf_init(&config, MESSAGE_CONFIG_BYTES_MAX);
    charge_pack(node->charge, &config);
    if (channel_send(channel, MESSAGE_CHARGE, config.data, config.len, NULL, 0, &err))
        log_error("manager did not get its new credentials", "err=\"%s\"", err.message);
    buf_wipe(&config);
}

// ---- the relay process --------------------------------------------------------------------------

static void on_relay_wanted(void *owner)
{
    struct node *node = owner;
    if (!node->stopping && !node->relay.supervised)
        node->relay.supervised = supervised_start(&node->loop, &node->relay.spec, &node->relay);
}

void helpers_await_relay(struct node *node)
{
    if (station_relays(node->station))
        relays_on_wanted(station_relays(node->station), on_relay_wanted, node);
}

void helper_tell_log_level(struct helper *helper, enum log_level level)
{
    uint8_t payload = (uint8_t)level;
    struct channel *channel = helper->supervised ? supervised_channel(helper->supervised) : NULL;
    struct err err = ERR_INIT;
    if (channel && channel_send(channel, MESSAGE_LOG, &payload, 1, NULL, 0, &err))
        log_warn("process did not get the new log level", "role=%s err=\"%s\"", helper->spec.role,
                 err.message);
}
