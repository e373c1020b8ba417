#include "cmd/skepd/node_io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/skepd/figures_io.h"
#include "cmd/skepd/node_impl_io.h"
#include "cmd/skepd/notify_io.h"
#include "cmd/skepd/pidfile_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define MANAGER_FOLDER "manager"
#define LOCAL_SOCKET   "manager.sock"
// Each sandbox costs some descriptors, here and in the resolver process.
#define FILES_MAX 65536

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
        result = config_parse_file(config, text.data, text.len, count, args, warnings, err)
                     ? err_wrap(err, "%s", config->config_file)
                     : 0;
    else if (result == -ERR_NOT_FOUND && !chosen)
        result = 0;
    buf_fini(&text);
    return result ? result : config_settle(config, err);
}

enum log_level node_log_level(const struct config *config)
{
    enum log_level level = LOG_INFO;
    log_level_parse(config->log_level, &level);
    return config->debug ? LOG_DEBUG : level;
}

enum log_format node_log_format(const struct config *config)
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

// ---- the end ------------------------------------------------------------------------------------

static void on_api_closed(void *ctx)
{
    struct node *node = ctx;
    node->api = NULL;
    node->ending = false;
    node_stop_next(node);
}

static void on_metrics_closed(void *ctx)
{
    struct node *node = ctx;
    node->metrics = NULL;
    node->ending = false;
    node_stop_next(node);
}

static void on_membership_closed(void *ctx)
{
    struct node *node = ctx;
    node->membership = NULL;
    node->ending = false;
    node_stop_next(node);
}

static void on_station_closed(void *ctx)
{
    struct node *node = ctx;
    node->station = NULL;
    node->ending = false;
    node_stop_next(node);
}

void node_stop_next(struct node *node)
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
    else if (node->relay.supervised)
        supervised_stop(node->relay.supervised);
    else
        loop_stop(&node->loop);
}

// ---- the folders --------------------------------------------------------------------------------

int node_private_folder(const char *path, uid_t uid, gid_t gid, struct err *err)
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

// Two daemons on one data folder would destroy it, and two on one folder of run-time files would
// take each other's containers and rules for leftovers.
static int lock_folder(const char *path, int *fd, struct err *err)
{
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return err_set_errno(err, errno, "open %s", path);
    if (flock(*fd, LOCK_EX | LOCK_NB))
        return err_set(err, ERR_FAILED_PRECONDITION, "another skepd uses %s", path);
    return 0;
}

// The run-time files may lie in the data folder itself, which is locked then.
static int lock_exec_root(struct node *node, struct err *err)
{
    struct stat data, exec;
    if (fstat(node->lock_fd, &data) || stat(node->config->exec_root, &exec))
        return err_set_errno(err, errno, "look at %s", node->config->exec_root);
    if (data.st_dev == exec.st_dev && data.st_ino == exec.st_ino)
        return 0;
    return lock_folder(node->config->exec_root, &node->exec_lock_fd, err);
}

// What somebody named has to be there: without it containers would not be confined as was asked.
static int check_seccomp_profile(const struct config *config, struct err *err)
{
    if (str_empty(config->seccomp_profile) || access(config->seccomp_profile, R_OK) == 0)
        return 0;
    return err_set_errno(err, errno, "seccomp-profile %s", config->seccomp_profile);
}

static void set_client(void *ctx, struct rpc_client *client)
{
    struct node *node = ctx;
    if (node->api)
        api_set_manager(node->api, client);
}

static void on_started(void *ctx)
{
    struct node *node = ctx;
    if (node->api)
        api_manager_started(node->api);
    helpers_announce(node);
}

// ---- metrics ------------------------------------------------------------------------------------

static void put_figures(void *ctx, struct buf *out)
{
    const struct node *node = ctx;
    const struct helper *manager = &node->manager, *resolver = &node->resolver,
                        *relay = &node->relay;
    struct figures_parts parts = {
        .config = node->config,
        .membership = node->membership,
        .station = node->station,
        .manager = manager->supervised ? supervised_pid(manager->supervised) : 0,
        .resolver = resolver->supervised ? supervised_pid(resolver->supervised) : 0,
        .relay = relay->supervised ? supervised_pid(relay->supervised) : 0,
    };
    figures_put(&parts, out);
}

static bool ask_process(void *ctx, enum metrics_process process)
{
    const struct node *node = ctx;
    const struct helper *helper = process == METRICS_MANAGER    ? &node->manager
                                  : process == METRICS_RESOLVER ? &node->resolver
                                                                : &node->relay;
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
    int result = node_private_folder(config->data_root, 0, 0, err);
    if (!result)
        result = lock_folder(config->data_root, &node->lock_fd, err);
    if (!result)
        result = dir_make(config->exec_root, 0755, err);
    if (!result)
        result = lock_exec_root(node, err);
    if (!result)
        result = check_seccomp_profile(config, err);
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
    helpers_init(node);
    char local[PATH_MAX];
    str_format(local, sizeof local, "unix://%s/%s", node->config->exec_root, LOCAL_SOCKET);
    int result = addr_parse(local, 0, &node->local_addr, err);
    if (result)
        return err_wrap(err, "exec-root");
    result = station_open(&node->loop, node->config, &node->station, err);
    if (result)
        return result;
    node->membership_ops = (struct membership_ops){.manager_start = helpers_start_manager,
                                                   .manager_stop = helpers_stop_manager,
                                                   .manager_renew = helpers_renew_manager,
                                                   .manager_client = set_client,
                                                   .started = on_started,
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
    helpers_await_relay(node);
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
    node_stop_next(node);
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
        log_set_level(node_log_level(node->config));
        helper_tell_log_level(&node->manager, node_log_level(node->config));
        helper_tell_log_level(&node->resolver, node_log_level(node->config));
        helper_tell_log_level(&node->relay, node_log_level(node->config));
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
    if (node->exec_lock_fd >= 0)
        close(node->exec_lock_fd);
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
    node->lock_fd = node->exec_lock_fd = -1;
    node->cluster.fd = node->local.fd = -1;
    log_set_level(node_log_level(config));
    log_warnings(warnings);
    raise_files_limit();
    loop_init(&node->loop);
    lookups_init(&node->lookups, &node->loop, helpers_found, node);
    heap_start(&node->heap, &node->loop);
    watch_signals(node);
    int result = prepare(node, &err);
    if (!result)
        result = start(node, &err);
    if (result) {
        log_error("skepd cannot start", "err=\"%s\"", err.message);
        node->stopping = true;
        node_stop_next(node);
    }
    loop_run(&node->loop);
    clean_up(node);
    if (!result)
        log_info("skepd has stopped", "pid=%d", (int)getpid());
    free(node);
    return result ? EXIT_FAILURE : EXIT_SUCCESS;
}
