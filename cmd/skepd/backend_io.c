#include "cmd/skepd/backend_io.h"

#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/crate/config.h"
#include "agent/engine/bus.h"
#include "agent/net/locals_io.h"
#include "cmd/skepd/answers_io.h"
#include "agent/net/nets_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

#ifndef SKEP_VERSION
#error "the build names the version"
#endif

// ---- facts --------------------------------------------------------------------------------------

static struct utsname *machine(void)
{
    static struct utsname name;
    if (!name.sysname[0])
        uname(&name);
    return &name;
}

static void on_version(void *ctx, struct backend_version *out)
{
    (void)ctx;
    out->version = SKEP_VERSION;
    out->kernel = machine()->release;
    out->arch = str_equal(machine()->machine, "x86_64")    ? "amd64"
                : str_equal(machine()->machine, "aarch64") ? "arm64"
                                                           : machine()->machine;
}

static void on_info(void *ctx, struct json_out *out)
{
    const struct backend_parts *parts = ctx;
    struct sysinfo memory = {0};
    sysinfo(&memory);
    json_out_str(out, "Name", machine()->nodename);
    json_out_str(out, "ServerVersion", SKEP_VERSION);
    json_out_str(out, "OSType", "linux");
    json_out_str(out, "KernelVersion", machine()->release);
    json_out_str(out, "Architecture", machine()->machine);
    json_out_str(out, "DockerRootDir", parts->config->data_root);
    json_out_int(out, "NCPU", sysconf(_SC_NPROCESSORS_ONLN));
    json_out_int(out, "MemTotal", (int64_t)memory.totalram * memory.mem_unit);
    json_out_bool(out, "Debug", parts->config->debug);
    json_out_bool(out, "LiveRestoreEnabled", parts->config->live_restore);
    json_out_array(out, "Labels");
    for (size_t i = 0; i < parts->config->labels.count; i++)
        json_out_str(out, NULL, parts->config->labels.items[i]);
    json_out_end(out);
}

// Below this nobody can pull an image, and soon the cluster's state cannot be written.
#define DISK_LEFT_MIN (256u << 20)

static void on_warnings(void *ctx, struct buf *lines)
{
    const struct backend_parts *parts = ctx;
    const char *lacking = station_lacking(parts->station);
    const char *root = parts->config->data_root;
    struct statvfs disk;
    if (!str_empty(lacking))
        buf_printf(lines, "WARNING: %s\n", lacking);
    if (statvfs(root, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < DISK_LEFT_MIN)
        buf_printf(lines, "WARNING: the disk of this node is almost full: %llu MB are left at %s\n",
                   (unsigned long long)disk.f_bavail * disk.f_frsize >> 20, root);
}

// ---- containers, images, volumes ----------------------------------------------------------------

static void on_local(void *ctx, struct backend_local *out)
{
    const struct backend_parts *parts = ctx;
    out->crates = station_crates(parts->station);
    out->images = station_images(parts->station);
    out->volumes = station_volumes(parts->station);
    out->tmp_dir = station_tmp(parts->station);
    out->lacking = station_lacking(parts->station);
    out->log_driver = parts->config->log_driver;
    out->runtime = parts->config->runtime;
    out->init_program = parts->config->init_path;
    out->insecure_registries = (const char *const *)parts->config->insecure_registries.items;
    out->insecure_registries_count = parts->config->insecure_registries.count;
    out->registry_mirrors = (const char *const *)parts->config->registry_mirrors.items;
    out->registry_mirrors_count = parts->config->registry_mirrors.count;
}

// What happens to containers goes onto the bus with their labels, as dockerd has it.
static void on_crate_event(void *owner, const struct crate_event *event)
{
    struct bus_attribute attributes[BUS_ATTRIBUTES_MAX];
    size_t count = 0;
    const char *key;
    json_t *value;
    if (!event->volume) {
        attributes[count++] =
            (struct bus_attribute){"image", config_str(event->crate->config, "Image")};
        attributes[count++] = (struct bus_attribute){"name", event->crate->name};
    }
    for (size_t i = 0; event->extra && event->extra[i]; i += 2)
        attributes[count++] = (struct bus_attribute){event->extra[i], event->extra[i + 1]};
    json_t *labels = event->volume ? NULL : json_object_get(event->crate->config, "Labels");
    json_object_foreach(labels, key, value) if (count < COUNT_OF(attributes)) attributes[count++] =
        (struct bus_attribute){key, json_string_value(value)};
    struct bus_event out = {.type = event->volume ? "volume" : "container",
                            .action = event->action,
                            .actor_id = event->volume ? event->volume : event->crate->id,
                            .at = wall_now(),
                            .attributes = attributes,
                            .attributes_count = count};
    bus_publish(owner, &out);
}

static void on_net_event(void *owner, const struct net_event *event)
{
    const struct bus_attribute attributes[] = {
        {"name", event->name}, {"type", event->driver}, {"container", event->container}};
    const struct bus_event out = {.type = "network",
                                  .action = event->action,
                                  .actor_id = event->id,
                                  .at = wall_now(),
                                  .attributes = attributes,
                                  .attributes_count =
                                      COUNT_OF(attributes) - (event->container ? 0 : 1)};
    bus_publish(owner, &out);
}

void backend_listen(const struct backend_parts *parts, struct bus *bus)
{
    struct crates *crates = station_crates(parts->station);
    struct locals *locals = station_locals(parts->station);
    struct nets *nets = station_nets(parts->station);
    if (crates)
        crates_listen(crates, bus ? on_crate_event : NULL, bus);
    if (locals)
        locals_listen(locals, bus ? on_net_event : NULL, bus);
    if (nets)
        nets_listen(nets, bus ? on_net_event : NULL, bus);
}

// ---- the swarm ----------------------------------------------------------------------------------

static void on_swarm(void *ctx, struct backend_swarm *out)
{
    const struct backend_parts *parts = ctx;
    membership_describe(parts->membership, out);
}

static void on_init(void *ctx, const struct backend_init *init, backend_done *done, void *owner)
{
    const struct backend_parts *parts = ctx;
    membership_init(parts->membership, init, done, owner);
}

static void on_join(void *ctx, const struct backend_join *join, backend_done *done, void *owner)
{
    const struct backend_parts *parts = ctx;
    membership_join(parts->membership, join, done, owner);
}

static void on_unlock(void *ctx, const char *key, backend_done *done, void *owner)
{
    const struct backend_parts *parts = ctx;
    membership_unlock(parts->membership, key, done, owner);
}

static void on_leave(void *ctx, bool force, backend_done *done, void *owner)
{
    const struct backend_parts *parts = ctx;
    membership_leave(parts->membership, force, done, owner);
}

// ---- networks of this node ----------------------------------------------------------------------

static struct answers answers;

static void answer(const struct backend_parts *parts, backend_done *done, void *owner,
                   const struct err *err, const char *text)
{
    if (!answers.loop)
        answers_init(&answers, station_loop(parts->station));
    answers_send(&answers, done, owner, err, text);
}

static struct locals *locals_of(const struct backend_parts *parts)
{
    return station_locals(parts->station);
}

static struct nets *nets_of(const struct backend_parts *parts)
{
    return station_nets(parts->station);
}

// A network that the user gave the gateway's name hides it.
static bool gateway_shows(const struct backend_parts *parts)
{
    return nets_of(parts) && nets_has_gateway(nets_of(parts)) &&
           !(locals_of(parts) && locals_find(locals_of(parts), NETS_GATEWAY));
}

static void on_networks(void *ctx, struct json_out *out)
{
    if (locals_of(ctx))
        locals_write(locals_of(ctx), out);
    if (gateway_shows(ctx))
        nets_write_gateway(nets_of(ctx), false, out);
}

static bool on_network(void *ctx, const char *name, bool verbose, struct json_out *out)
{
    (void)verbose; // services are the swarm's
    if (locals_of(ctx) && locals_write_one(locals_of(ctx), name, out))
        return true;
    if (!gateway_shows(ctx) || !nets_is_gateway(nets_of(ctx), name))
        return false;
    nets_write_gateway(nets_of(ctx), true, out);
    return true;
}

struct taking {
    void (*visit)(void *owner, const void *network);
    void *owner;
};

static void on_taken(void *ctx, const Swarm__Network *network)
{
    const struct taking *taking = ctx;
    taking->visit(taking->owner, network);
}

static void on_networks_taken(void *ctx, void (*visit)(void *owner, const void *network),
                              void *owner)
{
    struct taking taking = {visit, owner};
    if (nets_of(ctx))
        nets_networks(nets_of(ctx), on_taken, &taking);
}

static bool on_network_use(void *ctx, const char *id, bool verbose, struct json_out *out)
{
    return nets_of(ctx) && nets_write_use(nets_of(ctx), id, verbose, out);
}

static void on_network_create(void *ctx, const json_t *body, backend_done *done, void *owner)
{
    const struct backend_parts *parts = ctx;
    struct err err = ERR_INIT;
    char id[LOCAL_ID_BYTES] = "";
    if (locals_of(parts))
        (void)locals_create(locals_of(parts), body, id, &err);
    else
        err_set(&err, ERR_UNIMPLEMENTED, "this node cannot have networks of its own");
    answer(parts, done, owner, &err, id);
}

static void on_network_remove(void *ctx, const char *name, backend_done *done, void *owner)
{
    const struct backend_parts *parts = ctx;
    struct err err = ERR_INIT;
    if (gateway_shows(parts) && nets_is_gateway(nets_of(parts), name))
        err_set(&err, ERR_PERMISSION_DENIED,
                "%s is what containers of the swarm reach the outside through, and cannot be "
                "removed",
                NETS_GATEWAY);
    else if (locals_of(parts))
        (void)locals_remove(locals_of(parts), name, &err);
    else
        err_set(&err, ERR_NOT_FOUND, "network %s not found", name);
    answer(parts, done, owner, &err, "");
}

// A survey that is asked for, and who is told of it.
struct survey {
    struct list link; // surveys
    backend_done *done;
    void *owner; // NULL: it went away
};

static struct list surveys = {&surveys, &surveys};

static void on_surveyed(void *owner, const char *rows, const struct err *err)
{
    struct survey *survey = owner;
    list_remove(&survey->link);
    if (survey->owner)
        survey->done(survey->owner, err, rows);
    free(survey);
}

static void on_checkup(void *ctx, backend_done *done, void *owner)
{
    const struct backend_parts *parts = ctx;
    struct nets *nets = station_nets(parts->station);
    if (!nets) {
        struct err err;
        err_set(&err, ERR_UNIMPLEMENTED, "this node cannot look at its networks");
        answer(parts, done, owner, &err, "");
        return;
    }
    struct survey *survey = MEM_NEW(struct survey);
    survey->done = done;
    survey->owner = owner;
    list_push_back(&surveys, &survey->link);
    nets_survey(nets, on_surveyed, survey);
}

static void on_forget(void *ctx, void *owner)
{
    const struct backend_parts *parts = ctx;
    if (answers.loop)
        answers_forget(&answers, owner);
    LIST_EACH (it, &surveys) {
        struct survey *survey = LIST_ENTRY(it, struct survey, link);
        if (survey->owner == owner)
            survey->owner = NULL;
    }
    membership_forget(parts->membership, owner);
}

// What is NULL answers 501 with a text that says so.
const struct backend node_backend = {
    .swarm = on_swarm,
    .version = on_version,
    .info = on_info,
    .warnings = on_warnings,
    .init = on_init,
    .join = on_join,
    .unlock = on_unlock,
    .leave = on_leave,
    .forget = on_forget,
    .local = on_local,
    .networks = on_networks,
    .network = on_network,
    .networks_taken = on_networks_taken,
    .network_use = on_network_use,
    .network_create = on_network_create,
    .network_remove = on_network_remove,
    .checkup = on_checkup,
};
