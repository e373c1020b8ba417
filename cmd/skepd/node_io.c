#include "cmd/skepd/node_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/skepd/addresses_io.h"
#include "cmd/skepd/api_io.h"
#include "cmd/skepd/backend_io.h"
#include "cmd/skepd/figures_io.h"
#include "cmd/skepd/heap_io.h"
#include "cmd/skepd/lookups_io.h"
#include "cmd/skepd/membership_io.h"
#include "cmd/skepd/metrics_io.h"
#include "cmd/skepd/notify_io.h"
#include "cmd/skepd/pidfile_io.h"
#include "cmd/skepd/roles_io.h"
#include "cmd/skepd/sockets_io.h"
#include "cmd/skepd/supervise_io.h"
#include "proto/base/accounts_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

// Users of the confined processes. Where the package did not make them, numbers from the range that
// no distribution gives to people or services (systemd keeps it for users without a name).
#define MANAGER_USER     "skep"
#define MANAGER_USER_ID  61180
#define RESOLVER_USER    "skep-dns"
#define RESOLVER_USER_ID 61181
#define MANAGER_FOLDER   "manager"
#define RESOLVER_FOLDER  "/"
#define LOCAL_SOCKET     "manager.sock"
// Each sandbox costs some descriptors, here and in the resolver process.
#define FILES_MAX         65536
#define SOCKET_NAME_BYTES MESSAGE_NAME_BYTES_MAX

// One of the two confined processes, as the node keeps it.
struct helper {
    struct node *node;
    const char *user;
    uid_t uid;
    gid_t gid;
    struct supervised_spec spec;
    struct supervised *supervised; // NULL: not wanted, or ended
    bool ready_once;
};

struct node {
    struct config *config;
    size_t args_count;
    const char *const *args;
    struct loop loop;
    struct heap heap;
    uv_signal_t signals[3];
    int lock_fd; // of the data folder
    struct sockets api_sockets;
    struct api *api;
    struct station *station;
    struct membership *membership;
    struct membership_ops membership_ops;
    struct backend_parts backend;
    struct metrics *metrics; // NULL: not asked for
    struct metrics_sources metrics_sources;
    struct addr local_addr;               // of the manager's local socket
    struct bound_socket cluster, local;   // fd -1 while this node is no manager
    const struct charge *charge;          // of the manager process
    void (*manager_stopped)(void *owner); // who waits for its end
    void *manager_stopped_owner;
    char manager_folder[PATH_MAX];
    struct helper manager;
    struct helper resolver;
    struct lookups lookups; // of the manager
    bool announced;         // told the service manager that we are ready
    bool stopping;
    bool ending; // a part is on its way out, and says when it is
};

// ---- configuration ------------------------------------------------------------------------------

int node_configure(struct config *config, size_t count, const char *const *args,
                   struct buf *warnings, struct err *err)
{
    int result = config_parse_args(config, count, args, warnings, err);
    if (result || config->show_help || config->show_version)
        return result;
    struct config defaults;
    config_init(&defaults);
    bool chosen = !str_equal(config->config_file, defaults.config_file);
    config_fini(&defaults);
    struct buf text;
    buf_init(&text, CONFIG_FILE_BYTES_MAX);
    result = file_read(config->config_file, &text, err);
    if (result == 0)
        result = config_parse_file(config, text.data, text.len, count, args, warnings, err);
    else if (result == -ERR_NOT_FOUND && !chosen)
        result = 0;
    buf_fini(&text);
    if (!result)
        result = config_settle(config, err);
    if (!result)
        config_note(config, warnings);
    return result;
}

static enum log_level level_of(const struct config *config)
{
    enum log_level level = LOG_INFO;
    log_level_parse(config->log_level, &level);
    return config->debug ? LOG_DEBUG : level;
}

static enum log_format format_of(const struct config *config)
{
    return str_equal(config->log_format, "json") ? LOG_JSON : LOG_TEXT;
}

// One line each, and the buf is empty afterwards.
static void log_warnings(struct buf *warnings)
{
    const char *rest = buf_cstr(warnings);
    struct str_part line;
    while (str_split(&rest, '\n', &line))
        if (line.len)
            log_warn("configuration", "note=\"%.*s\"", (int)line.len, line.at);
    buf_fini(warnings);
}

// ---- the confined processes ---------------------------------------------------------------------

static void announce(struct node *node)
{
    bool manager_ready = !node->manager.supervised || node->manager.ready_once;
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
                                   .log_level = level_of(node->config),
                                   .log_format = format_of(node->config),
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
}

static void on_lost(void *owner)
{
    const struct helper *helper = owner;
    if (helper == &helper->node->resolver && helper->node->station)
        dns_feed_detach(station_feed(helper->node->station));
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
    announce(helper->node);
}

// One that has ended since does not hear it, and its successor does not know the number.
static void on_found(void *ctx, const struct message_found *found)
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
            metrics_told(node->metrics,
                         helper == &node->manager ? METRICS_MANAGER : METRICS_RESOLVER,
                         message->payload, message->payload_bytes);
    } else {
        log_warn("message nobody asked for", "role=%s type=%u", helper->spec.role, message->type);
    }
}

// Ends what is left, one after the other, from the outside in.
static void stop_next(struct node *node);

static void on_api_closed(void *ctx)
{
    struct node *node = ctx;
    node->api = NULL;
    node->ending = false;
    stop_next(node);
}

static void on_metrics_closed(void *ctx)
{
    struct node *node = ctx;
    node->metrics = NULL;
    node->ending = false;
    stop_next(node);
}

static void on_membership_closed(void *ctx)
{
    struct node *node = ctx;
    node->membership = NULL;
    node->ending = false;
    stop_next(node);
}

static void on_station_closed(void *ctx)
{
    struct node *node = ctx;
    node->station = NULL;
    node->ending = false;
    stop_next(node);
}

static void stop_next(struct node *node)
{
    if (node->ending)
        return;
    node->ending = node->api || node->metrics || node->membership || node->station;
    if (node->api) {
        backend_listen(&node->backend, NULL);
        api_close(node->api, on_api_closed, node);
        return;
    }
    if (node->metrics)
        metrics_close(node->metrics, on_metrics_closed, node);
    else if (node->membership)
        membership_close(node->membership, on_membership_closed, node);
    else if (node->station)
        station_close(node->station, on_station_closed, node);
    else if (node->manager.supervised)
        supervised_stop(node->manager.supervised);
    else if (node->resolver.supervised)
        supervised_stop(node->resolver.supervised);
    else
        loop_stop(&node->loop);
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
        stop_next(node);
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

// ---- the folders --------------------------------------------------------------------------------

// A folder that is ours alone. One with a wider mode was readable by others (CVE-2021-41091): it is
// closed, and the operator hears of it.
static int private_folder(const char *path, uid_t uid, gid_t gid, struct err *err)
{
    int result = dir_make(path, 0700, err);
    if (result)
        return result;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || fchown(fd, uid, gid) || fchmod(fd, 0700))
        result = err_set_errno(err, errno, "make %s private", path);
    else if (st.st_mode & 077)
        log_warn("folder was open to others", "path=%s mode=%o", path,
                 (unsigned)(st.st_mode & 07777));
    if (fd >= 0)
        close(fd);
    return result;
}

// Two daemons on one data folder would destroy it.
static int lock_data_root(struct node *node, struct err *err)
{
    node->lock_fd = open(node->config->data_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (node->lock_fd < 0)
        return err_set_errno(err, errno, "open %s", node->config->data_root);
    if (flock(node->lock_fd, LOCK_EX | LOCK_NB))
        return err_set(err, ERR_FAILED_PRECONDITION, "another skepd uses %s",
                       node->config->data_root);
    return 0;
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

static int start_manager(void *ctx, const char *listen_addr, const struct charge *charge,
                         struct err *err)
{
    struct node *node = ctx;
    struct addr addr;
    node->charge = charge;
    int result = private_folder(node->manager_folder, node->manager.uid, node->manager.gid, err);
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

static void stop_manager(void *ctx, void (*stopped)(void *owner), void *owner)
{
    struct node *node = ctx;
    node->manager_stopped = stopped;
    node->manager_stopped_owner = owner;
    CHECK(node->manager.supervised);
    supervised_stop(node->manager.supervised);
}

static void renew_manager(void *ctx)
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

static void set_client(void *ctx, struct rpc_client *client)
{
    struct node *node = ctx;
    if (node->api)
        api_set_manager(node->api, client);
}

// ---- metrics ------------------------------------------------------------------------------------

static void put_figures(void *ctx, struct buf *out)
{
    const struct node *node = ctx;
    const struct helper *manager = &node->manager, *resolver = &node->resolver;
    struct figures_parts parts = {
        .config = node->config,
        .membership = node->membership,
        .station = node->station,
        .manager = manager->supervised ? supervised_pid(manager->supervised) : 0,
        .resolver = resolver->supervised ? supervised_pid(resolver->supervised) : 0,
    };
    figures_put(&parts, out);
}

static bool ask_process(void *ctx, enum metrics_process process)
{
    const struct node *node = ctx;
    const struct helper *helper = process == METRICS_MANAGER ? &node->manager : &node->resolver;
    struct channel *channel = helper->supervised ? supervised_channel(helper->supervised) : NULL;
    return channel && channel_send(channel, MESSAGE_METRICS_ASK, "", 0, NULL, 0, NULL) == 0;
}

static int serve_metrics(struct node *node, struct err *err)
{
    if (str_empty(node->config->metrics_addr))
        return 0;
    node->metrics_sources =
        (struct metrics_sources){.node = put_figures, .ask = ask_process, .ctx = node};
    return metrics_open(&node->loop, node->config->metrics_addr, &node->metrics_sources,
                        &node->metrics, err);
}

// ---- start --------------------------------------------------------------------------------------

static int prepare(struct node *node, struct err *err)
{
    struct config *config = node->config;
    int result = private_folder(config->data_root, 0, 0, err);
    if (!result)
        result = lock_data_root(node, err);
    if (!result)
        result = dir_make(config->exec_root, 0755, err);
    if (!result)
        result = pidfile_take(config->pidfile, err);
    if (!result && !str_format(node->manager_folder, sizeof node->manager_folder, "%s/%s",
                               config->data_root, MANAGER_FOLDER))
        result = err_set(err, ERR_INVALID_ARGUMENT, "data-root is too long");
    if (!result)
        result = sockets_bind_hosts(&node->api_sockets, config->hosts.items, config->hosts.count,
                                    config->group, err);
    notify_forget();
    return result;
}

static int start(struct node *node, struct err *err)
{
    helper_init(&node->manager, node, manager_role.name, MANAGER_USER, MANAGER_USER_ID,
                node->manager_folder);
    helper_init(&node->resolver, node, resolver_role.name, RESOLVER_USER, RESOLVER_USER_ID,
                RESOLVER_FOLDER);
    char local[PATH_MAX];
    str_format(local, sizeof local, "unix://%s/%s", node->config->exec_root, LOCAL_SOCKET);
    int result = addr_parse(local, 0, &node->local_addr, err);
    if (result)
        return err_wrap(err, "exec-root");
    result = station_open(&node->loop, node->config, &node->station, err);
    if (result)
        return result;
    node->membership_ops = (struct membership_ops){.manager_start = start_manager,
                                                   .manager_stop = stop_manager,
                                                   .manager_renew = renew_manager,
                                                   .manager_client = set_client,
                                                   .ctx = node};
    node->membership = membership_new(&node->loop, node->config, node->station, &node->local_addr,
                                      &node->membership_ops);
    node->backend = (struct backend_parts){
        .config = node->config, .membership = node->membership, .station = node->station};
    result = api_open(&node->loop, &node->api_sockets, node->config, &node_backend, &node->backend,
                      &node->api, err);
    if (!result)
        backend_listen(&node->backend, api_bus(node->api));
    if (!result)
        result = serve_metrics(node, err);
    if (!result)
        result = membership_resume(node->membership, err);
    if (result)
        return result;
    node->resolver.supervised =
        supervised_start(&node->loop, &node->resolver.spec, &node->resolver);
    return 0;
}

// ---- signals ------------------------------------------------------------------------------------

static void on_end_signal(uv_signal_t *handle, int number)
{
    struct node *node = handle->data;
    if (node->stopping)
        log_warn("asked again to stop: now at once", "signal=%d", number);
    else
        log_info("stopping", "signal=%d", number);
    node->stopping = true;
    notify_send("STOPPING=1");
    stop_next(node);
}

static void tell_log_level(struct helper *helper, enum log_level level)
{
    uint8_t payload = (uint8_t)level;
    struct channel *channel = helper->supervised ? supervised_channel(helper->supervised) : NULL;
    struct err err = ERR_INIT;
    if (channel && channel_send(channel, MESSAGE_LOG, &payload, 1, NULL, 0, &err))
        log_warn("process did not get the new log level", "role=%s err=\"%s\"", helper->spec.role,
                 err.message);
}

static void on_reload_signal(uv_signal_t *handle, int number)
{
    (void)number;
    struct node *node = handle->data;
    struct config fresh;
    struct buf warnings;
    struct err err = ERR_INIT;
    notify_send("RELOADING=1");
    config_init(&fresh);
    buf_init(&warnings, CONFIG_WARNINGS_BYTES);
    if (node_configure(&fresh, node->args_count, node->args, &warnings, &err)) {
        log_error("configuration is wrong and was not taken over", "err=\"%s\"", err.message);
    } else {
        buf_clear(&warnings); // said at the start; now only what needs a restart
        bool changed = config_reload(node->config, &fresh, &warnings);
        log_set_level(level_of(node->config));
        tell_log_level(&node->manager, level_of(node->config));
        tell_log_level(&node->resolver, level_of(node->config));
        if (node->station)
            station_reload(node->station);
        log_info("configuration was read again", "changed=%s", changed ? "yes" : "no");
    }
    log_warnings(&warnings);
    config_fini(&fresh);
    notify_send("READY=1");
}

static void watch_signals(struct node *node)
{
    const struct {
        int number;
        uv_signal_cb run;
    } rows[] = {{SIGTERM, on_end_signal}, {SIGINT, on_end_signal}, {SIGHUP, on_reload_signal}};
    static_assert(COUNT_OF(rows) == COUNT_OF(((struct node *)0)->signals), "one handle a row");
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int result = uv_signal_init(&node->loop.uv, &node->signals[i]);
        CHECK(result == 0);
        node->signals[i].data = node;
        result = uv_signal_start(&node->signals[i], rows[i].run, rows[i].number);
        CHECK(result == 0);
    }
}

// ---- all of it ----------------------------------------------------------------------------------

static void clean_up(struct node *node)
{
    for (size_t i = 0; i < COUNT_OF(node->signals); i++)
        uv_close((uv_handle_t *)&node->signals[i], NULL);
    heap_stop(&node->heap);
    lookups_fini(&node->lookups);
    loop_fini(&node->loop);
    sockets_unbind(&node->api_sockets);
    pidfile_drop(node->config->pidfile);
    if (node->lock_fd >= 0)
        close(node->lock_fd);
}

// What the kernel gives at first is meant for programs that use select().
static void raise_files_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= FILES_MAX)
        return;
    limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        log_warn("the limit of open files stays low", "files=%llu",
                 (unsigned long long)limit.rlim_cur);
}

int node_run(struct config *config, size_t count, const char *const *args, struct buf *warnings)
{
    struct err err = ERR_INIT;
    struct node *node = MEM_NEW(struct node);
    node->config = config;
    node->args_count = count;
    node->args = args;
    node->lock_fd = -1;
    node->cluster.fd = node->local.fd = -1;
    log_set_level(level_of(config));
    log_warnings(warnings);
    raise_files_limit();
    loop_init(&node->loop);
    lookups_init(&node->lookups, &node->loop, on_found, node);
    heap_start(&node->heap, &node->loop);
    watch_signals(node);
    int result = prepare(node, &err);
    if (!result)
        result = start(node, &err);
    if (result) {
        log_error("skepd cannot start", "err=\"%s\"", err.message);
        node->stopping = true;
        stop_next(node);
    }
    loop_run(&node->loop);
    clean_up(node);
    if (!result)
        log_info("skepd has stopped", "pid=%d", (int)getpid());
    free(node);
    return result ? EXIT_FAILURE : EXIT_SUCCESS;
}
