#include "cmd/skepd/station_io.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/utsname.h>

#include "agent/net/nets_io.h"
#include "agent/net/locals_io.h"
#include "cmd/skepd/station_impl_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

// Below the data root and the run-time root.
#define IMAGES_FOLDER      "images"
#define VOLUMES_FOLDER     "volumes"
#define LOGS_FOLDER        "logs"
#define RUNTIME_FOLDER     "runtime"
#define RECORDS_FOLDER     "containers"
#define TMP_FOLDER         "tmp"
#define NETWORKS_FOLDER    "networks"
#define LOCAL_NETNS_FOLDER "netns-local"
#define NETNS_FOLDER       "netns"

// How often an end looks whether what was under way is done.
#define STATION_LOOK_MS 20

// How long after its start it looks for what an earlier life left: what was restored has found its
// own by then.
#define STATION_SWEEP_MS 5000
#define SWARM_FOLDER     "swarm"

struct station *station_of(void *ctx)
{
    struct station *station = ctx;
    MAGIC_CHECK(station, STATION_MAGIC);
    return station;
}

// ---- no containers ------------------------------------------------------------------------------

static struct executor_task *refuse(struct executor *executor, const struct executor_order *order,
                                    const struct executor_events *events, void *owner,
                                    struct err *err)
{
    (void)order;
    (void)events;
    (void)owner;
    const struct refusal *refusal = CONTAINER_OF(executor, struct refusal, executor);
    err_set(err, ERR_FAILED_PRECONDITION, "%s", refusal->why);
    return NULL;
}

// Of a task that was never opened, nothing more can be asked.
static const struct executor_class refusing = {.open = refuse};

// ---- opening ------------------------------------------------------------------------------------

static void take_pairs(struct pairs *pairs, const struct config_list *texts)
{
    *pairs = (struct pairs){.list = mem_alloc_array(texts->count, sizeof *pairs->list),
                            .count = texts->count};
    for (size_t i = 0; i < texts->count; i++) {
        const char *equals = strchr(texts->items[i], '=');
        size_t length = equals ? (size_t)(equals - texts->items[i]) : strlen(texts->items[i]);
        pairs->list[i] = (struct description_pair){
            .key = str_ndup(texts->items[i], length),
            .value = str_dup(equals ? equals + 1 : ""),
        };
    }
}

static void free_pairs(struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        free((char *)(uintptr_t)pairs->list[i].key);
        free((char *)(uintptr_t)pairs->list[i].value);
    }
    free(pairs->list);
}

static struct mirrors mirrors_of(const struct config *config)
{
    return (struct mirrors){
        .urls = (const char *const *)config->registry_mirrors.items,
        .urls_count = config->registry_mirrors.count,
        .insecure = (const char *const *)config->insecure_registries.items,
        .insecure_count = config->insecure_registries.count,
    };
}

// --add-runtime's programs. Free with free_programs.
static struct program_name *programs_of(const struct config *config)
{
    const struct config_list *list = &config->runtimes;
    struct program_name *names = mem_alloc_array(list->count + 1, sizeof *names);
    for (size_t i = 0; i < list->count; i++) {
        const char *sign = strchr(list->items[i], '=');
        CHECK(sign); // config_settle looked
        names[i].name = str_ndup(list->items[i], (size_t)(sign - list->items[i]));
        names[i].path = sign + 1;
    }
    return names;
}

static void free_programs(struct program_name *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((char *)(uintptr_t)names[i].name);
    free(names);
}

static void reload_programs(struct station *station)
{
    struct err err = ERR_INIT;
    const struct config *config = station->config;
    struct program_name *names = programs_of(config);
    if (station->containers && runtime_reload(containers_runtime(station->containers),
                                              config->runtime, names, config->runtimes.count, &err))
        log_error("runtimes stay as they were", "err=\"%s\"", err.message);
    free_programs(names, config->runtimes.count);
}

void station_reload(struct station *station)
{
    struct err err = ERR_INIT;
    const struct mirrors mirrors = mirrors_of(station->config);
    station_of(station);
    struct pairs labels = station->labels, generic = station->generic;
    take_pairs(&station->labels, &station->config->labels);
    take_pairs(&station->generic, &station->config->generic_resources);
    if (station->images &&
        images_reload(station->images, &mirrors, (unsigned)station->config->downloads_max, &err))
        log_error("registries stay as they were", "err=\"%s\"", err.message);
    reload_programs(station);
    defaults_reload(station->config, &station->defaults);
    if (station->agent)
        agent_describe(station->agent, station->labels.list, station->labels.count,
                       station->generic.list, station->generic.count);
    free_pairs(&labels);
    free_pairs(&generic);
}

static int open_images(struct station *station, struct err *err)
{
    const struct config *config = station->config;
    char *root = str_printf("%s/%s", config->data_root, IMAGES_FOLDER);
    struct images_config images = {
        .loop = station->loop,
        .root = root,
        .mirrors = mirrors_of(config),
        .pulls_max = (unsigned)config->downloads_max,
    };
    int result = images_open(&images, &station->images, err);
    free(root);
    return result;
}

static int open_volumes(struct station *station, struct err *err)
{
    char *root = str_printf("%s/%s", station->config->data_root, VOLUMES_FOLDER);
    int result = volumes_open(root, &station->volumes, err);
    free(root);
    return result;
}

static const char *given(const char *text)
{
    return str_empty(text) ? NULL : text;
}

static int open_crates(struct station *station, const struct containers_config *containers,
                       struct err *err)
{
    char *records = str_printf("%s/%s", station->config->data_root, RECORDS_FOLDER);
    struct crates_config crates = {
        .loop = station->loop,
        .images = station->images,
        .volumes = station->volumes,
        .containers = station->containers,
        .locals = station->locals,
        .attachments = station->attachments,
        .dir = records,
        .log_dir = containers->log_dir,
        .hostname = containers->hostname,
        .sandbox_dir = "/run/netns",
        .init = containers->init,
    };
    int result = crates_open(&crates, &station->crates, err);
    free(records);
    return result;
}

static void open_ports(struct station *station)
{
    struct err err = ERR_INIT;
    station->ports = ports_open(station->loop, &err);
    if (!station->ports)
        log_warn("this machine cannot publish ports", "err=\"%s\"", err.message);
    if (station->config->userland_proxy)
        station->relays = relays_open(station->loop);
    if (station->ports)
        ports_relay(station->ports, station->relays);
}

static void open_locals(struct station *station)
{
    struct err err = ERR_INIT;
    char *dir = str_printf("%s/%s", station->config->data_root, NETWORKS_FOLDER);
    char *netns = str_printf("%s/%s", station->config->exec_root, LOCAL_NETNS_FOLDER);
    struct locals_config locals = {.loop = station->loop,
                                   .dir = dir,
                                   .netns_dir = netns,
                                   .feed = station->feed,
                                   .ports = station->ports,
                                   .defaults = &station->defaults.networks};
    if (station->ports && locals_open(&locals, &station->locals, &err))
        log_warn("this machine cannot have networks of its own", "err=\"%s\"", err.message);
    free(dir);
    free(netns);
}

static bool on_swarm_asked(void *owner, struct rpc_client **client)
{
    struct station *station = station_of(owner);
    *client = station->networked ? agent_client(station->agent) : NULL;
    return station->agent != NULL;
}

static void open_nets(struct station *station)
{
    struct err err = ERR_INIT;
    char *dir = str_printf("%s/%s", station->config->exec_root, NETNS_FOLDER);
    struct nets_config nets = {.loop = station->loop,
                               .dir = dir,
                               .feed = station->feed,
                               .ports = station->ports,
                               .relays = station->relays};
    if (nets_open(&nets, &station->nets, &err))
        log_warn("this machine cannot attach containers to networks", "err=\"%s\"", err.message);
    free(dir);
    struct attachments_config attachments = {
        .loop = station->loop, .nets = station->nets, .swarm = on_swarm_asked, .owner = station};
    if (station->nets)
        station->attachments = attachments_new(&attachments);
}

static void open_containers(struct station *station)
{
    const struct config *config = station->config;
    struct utsname machine;
    struct err err = ERR_INIT;
    char *state = str_printf("%s/%s", config->exec_root, RUNTIME_FOLDER);
    char *logs = str_printf("%s/%s", config->data_root, LOGS_FOLDER);
    struct program_name *names = programs_of(config);
    struct containers_config containers = {
        .loop = station->loop,
        .images = station->images,
        .volumes = station->volumes,
        .nets = station->nets,
        .runtime = {.program = config->runtime,
                    .more = names,
                    .more_count = config->runtimes.count,
                    .init_program = given(config->init_path),
                    .seccomp_file = given(config->seccomp_profile),
                    .state_dir = state,
                    .cgroup_parent = given(config->cgroup_parent)},
        .log_dir = logs,
        .hostname = uname(&machine) == 0 ? machine.nodename : NULL,
        .init = config->init,
        .defaults = &station->defaults.containers,
    };
    if (containers_open(&containers, &station->containers, &err)) {
        log_warn("this machine cannot run containers", "err=\"%s\"", err.message);
        str_format(station->refusal.why, sizeof station->refusal.why,
                   "this node cannot run containers: %s; mend that, and restart skepd",
                   err.message);
        station->containers = NULL;
    }
    if (station->containers && open_crates(station, &containers, &err)) {
        log_error("containers of this node cannot be served", "err=\"%s\"", err.message);
        str_format(station->refusal.why, sizeof station->refusal.why,
                   "this node cannot run containers: %s; mend that, and restart skepd",
                   err.message);
    }
    free_programs(names, config->runtimes.count);
    free(state);
    free(logs);
}

static void station_free(struct station *station)
{
    if (station->crates)
        crates_close(station->crates);
    if (station->containers)
        containers_close(station->containers);
    if (station->volumes)
        volumes_close(station->volumes);
    if (station->attachments)
        attachments_free(station->attachments);
    dns_feed_close(station->feed);
    relays_close(station->relays);
    if (station->images)
        images_close(station->images);
    free(station->tmp);
    free_pairs(&station->labels);
    free_pairs(&station->generic);
    defaults_fini(&station->defaults);
    MAGIC_CLEAR(station);
    free(station);
}

// ---- leavings ----------------------------------------------------------------------------------

static bool is_claimed(void *owner, const char *id)
{
    struct station *station = owner;
    const struct crate *crate = crates_find(station->crates, id, NULL);
    struct worker_view view;
    size_t position = 0;
    if (crate && str_equal(crate->id, id))
        return true;
    const struct worker *worker = station->agent ? agent_worker(station->agent) : NULL;
    while (worker && worker_next(worker, &position, &view)) {
        char own[CONTAINER_ID_BYTES];
        container_id_of_task(view.task->id, own);
        if (str_equal(own, id))
            return true;
    }
    return false;
}

static void sweep(struct loop_timer *timer)
{
    struct station *station = CONTAINER_OF(timer, struct station, sweep);
    char *swarm = str_printf("%s/%s", station->config->data_root, SWARM_FOLDER);
    // In a swarm whose state cannot be read yet (it is locked) its tasks are not known.
    if (file_exists(swarm) && !station->agent)
        loop_timer_start(timer, STATION_SWEEP_MS);
    else if (station->crates)
        containers_sweep(station->containers, is_claimed, station);
    free(swarm);
}

static void look(struct loop_timer *timer);

int station_open(struct loop *loop, const struct config *config, struct station **out,
                 struct err *err)
{
    struct station *station = MEM_NEW(struct station);
    MAGIC_SET(station, STATION_MAGIC);
    station->loop = loop;
    station->config = config;
    station->refusal.executor.class = &refusing;
    loop_timer_init(&station->look, loop, look);
    loop_timer_init(&station->sweep, loop, sweep);
    take_pairs(&station->labels, &config->labels);
    take_pairs(&station->generic, &config->generic_resources);
    station->tmp = str_printf("%s/%s", config->data_root, TMP_FOLDER);
    int result = defaults_make(config, &station->defaults, err);
    station->defaults.containers.cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    if (!result)
        result = dir_remove(station->tmp, err);
    if (!result)
        result = dir_make(station->tmp, 0700, err);
    if (!result)
        result = open_images(station, err);
    if (!result)
        result = open_volumes(station, err);
    if (!result)
        result = dns_feed_open(loop, &station->feed, err);
    if (result) {
        station_free(station);
        return result;
    }
    open_ports(station);
    open_nets(station);
    open_locals(station);
    open_containers(station);
    loop_timer_start(&station->sweep, STATION_SWEEP_MS);
    *out = station;
    return 0;
}

// ---- closing ------------------------------------------------------------------------------------

static void on_ports_closed(void *owner)
{
    struct station *station = station_of(owner);
    void (*closed)(void *owner) = station->closed;
    void *closed_owner = station->closed_owner;
    station->ports = NULL;
    station_free(station);
    closed(closed_owner);
}

static void nets_closed(void *owner)
{
    struct station *station = station_of(owner);
    station->nets = NULL;
    if (station->ports)
        ports_close(station->ports, on_ports_closed, station);
    else
        on_ports_closed(station);
}

static void locals_closed(void *owner)
{
    struct station *station = station_of(owner);
    station->locals = NULL;
    if (station->nets)
        nets_close(station->nets, nets_closed, station);
    else
        nets_closed(station);
}

static void look(struct loop_timer *timer)
{
    struct station *station = CONTAINER_OF(timer, struct station, look);
    if ((station->crates && crates_busy(station->crates)) ||
        (station->containers && containers_busy(station->containers)) ||
        images_busy(station->images)) {
        loop_timer_start(&station->look, STATION_LOOK_MS);
        return;
    }
    // What runs may ask its networks to the last; they end after it.
    if (station->crates)
        crates_close(station->crates);
    if (station->containers)
        containers_close(station->containers);
    station->crates = NULL;
    station->containers = NULL;
    if (station->locals)
        locals_close(station->locals, locals_closed, station);
    else
        locals_closed(station);
}

static void on_container_stopped(void *owner, const struct err *err)
{
    station_of(owner);
    if (err)
        log_warn("container not stopped", "err=\"%s\"", err->message);
}

// Each as it asks for itself, as dockerd does: by its own signal and within its own time. The
// runtime counts as busy until all have ended.
static void stop_containers(struct station *station)
{
    struct runtime *runtime = containers_runtime(station->containers);
    struct runtime_status status;
    size_t position = 0;
    while (runtime_next(runtime, &position, &status)) {
        if (status.state == RUNTIME_EXITED)
            continue;
        const struct crate *crate =
            station->crates ? crates_find(station->crates, status.id, NULL) : NULL;
        int64_t seconds = station->config->stop_seconds;
        if (crate)
            seconds = crate_stop_seconds_or(crate, seconds);
        runtime_stop(runtime, status.id, crate ? crate_stop_signal(crate) : SIGTERM,
                     crate_grace_ms(seconds), on_container_stopped, station);
    }
}

void station_close(struct station *station, void (*closed)(void *owner), void *owner)
{
    station_of(station);
    CHECK(!station->agent);
    CHECK(!station->closed);
    station->closed = closed;
    station->closed_owner = owner;
    loop_timer_stop(&station->sweep);
    images_cancel_all(station->images);
    if (station->crates)
        crates_quiesce(station->crates);
    if (station->containers)
        containers_quiesce(station->containers);
    if (station->containers && !station->config->live_restore)
        stop_containers(station);
    loop_timer_start(&station->look, 0);
}

struct dns_feed *station_feed(struct station *station)
{
    return station_of(station)->feed;
}

struct relays *station_relays(struct station *station)
{
    return station_of(station)->relays;
}

struct images *station_images(struct station *station)
{
    return station_of(station)->images;
}

struct volumes *station_volumes(struct station *station)
{
    return station_of(station)->volumes;
}

struct containers *station_containers(struct station *station)
{
    return station_of(station)->containers;
}

const char *station_tmp(const struct station *station)
{
    return station->tmp;
}

struct crates *station_crates(struct station *station)
{
    return station_of(station)->crates;
}

struct loop *station_loop(struct station *station)
{
    return station_of(station)->loop;
}

struct nets *station_nets(struct station *station)
{
    return station->nets;
}

struct locals *station_locals(struct station *station)
{
    return station_of(station)->locals;
}

const char *station_lacking(const struct station *station)
{
    return station->crates ? "" : station->refusal.why;
}
