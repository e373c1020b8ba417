#include "agent/net/mesh_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/net/hold_io.h"
#include "agent/net/mesh_routes_io.h"
#include "agent/net/netlink_io.h"
#include "agent/net/tables_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define MESH_MAGIC 0x3e5400

// One namespace under our care.
struct place {
    struct mesh *mesh;
    struct tables *tables;
    char *netns;
    char *ingress_if;
    uint32_t address;
    bool seen;
    bool sound; // settled since the last wish
};

struct mesh {
    unsigned magic;
    struct mesh_config config;
    struct mesh_nodes *nodes;
    bool hides; // this kernel cannot bring answers back
    struct place *host, *sandbox;
    struct map tasks; // id -> struct place *
    size_t open;      // places that are not closed yet
    struct map holds; // "6 . 8080" -> descriptor + 1
    uint32_t *backends;
    size_t backends_count;
    struct mesh_record record; // what the tasks are being made ready for
    bool has_record;
    uint8_t published[MESH_RECORD_BYTES];
    bool is_published;
    // Cutting flows.
    uint32_t *gone; // addresses waiting
    size_t gone_count;
    struct loop_work cut;
    bool cutting;
    int cut_fd;
    uint32_t *cut_addresses;
    size_t cut_count, cut_flows;
    struct err cut_err;
    struct mesh_counts counts;
    struct err err;
    struct loop_later later;
    bool closing;
    void (*closed)(void *owner);
    void *closed_owner;
};

// ---- places -------------------------------------------------------------------------------------

static int prepare_host(void *settings, struct err *err)
{
    return mesh_host_prepare(settings, err);
}

static int prepare_sandbox(void *settings, struct err *err)
{
    (void)settings;
    return mesh_sandbox_prepare(err);
}

static int prepare_task(void *settings, struct err *err)
{
    return mesh_task_prepare(settings, err);
}

static void on_settled(void *owner, const struct err *err)
{
    struct place *place = owner;
    struct mesh *mesh = place->mesh;
    place->sound = !err && !tables_busy(place->tables);
    if (err)
        (void)err_copy(&mesh->err, err);
    loop_later_ask(&mesh->later);
}

static void on_repaired(void *owner, const char *table)
{
    struct place *place = owner;
    place->mesh->counts.repairs++;
    log_warn("packet filter changed by others, repaired", "table=%s", table);
}

static struct place *place_open(struct mesh *mesh, const char *netns, const char *ingress_if,
                                uint32_t address, int (*prepare)(void *, struct err *),
                                struct err *err)
{
    int fd = NFT_NETNS_OWN;
    if (netns && (fd = open(netns, O_RDONLY | O_CLOEXEC)) < 0) {
        err_set_errno(err, errno, "open %s", netns);
        return NULL;
    }
    struct place *place = MEM_NEW(struct place);
    place->mesh = mesh;
    place->netns = str_dup(netns);
    place->ingress_if = str_dup(ingress_if);
    place->address = address;
    struct tables_config config = {.loop = mesh->config.loop,
                                   .netns_fd = fd,
                                   .watch = !netns,
                                   .prepare = prepare,
                                   .settings = str_dup(ingress_if),
                                   .settled = on_settled,
                                   .repaired = on_repaired,
                                   .owner = place};
    place->tables = tables_open(&config, err);
    if (fd >= 0)
        close(fd);
    if (!place->tables) {
        free(config.settings);
        free(place->netns);
        free(place->ingress_if);
        MEM_FREE(place);
        return NULL;
    }
    mesh->open++;
    return place;
}

static void finish(struct mesh *mesh);

static void on_place_closed(void *owner)
{
    struct place *place = owner;
    struct mesh *mesh = place->mesh;
    free(place->netns);
    free(place->ingress_if);
    free(place);
    CHECK(mesh->open > 0);
    mesh->open--;
    finish(mesh);
}

static void place_close(struct place **place)
{
    if (*place)
        tables_close((*place)->tables, on_place_closed, *place);
    *place = NULL;
}

static bool place_is(const struct place *place, const char *netns, const char *ingress_if,
                     uint32_t address)
{
    return place && str_equal(place->netns, netns) && str_equal(place->ingress_if, ingress_if) &&
           place->address == address;
}

static void place_want(struct place *place, struct nftable *table, bool partial)
{
    place->sound = false;
    if (partial)
        tables_want_more(place->tables, table);
    else
        tables_want(place->tables, table);
}

// ---- who keeps ----------------------------------------------------------------------------------

static uint32_t node_of(const struct map *by_name, const char *name)
{
    return (uint32_t)(uintptr_t)map_get_str(by_name, name);
}

// Reads the rows into `by_name` (gossip name -> ingress address) and the set of nodes.
static void take_rows(struct mesh *mesh, const struct mesh_state *state, struct map *by_name)
{
    struct mono due;
    mesh_nodes_own(mesh->nodes, state->sandbox_netns ? state->sandbox.address : 0);
    mesh_nodes_begin(mesh->nodes);
    for (size_t i = 0; i < state->rows_count; i++) {
        const struct mesh_row *row = &state->rows[i];
        struct mesh_record record;
        if (mesh_record_parse(row->value, row->value_size, &record, NULL) != 0)
            continue;
        mesh_nodes_row(mesh->nodes, &record);
        map_put_str(by_name, row->node, (void *)(uintptr_t)record.address);
    }
    struct mono now = loop_now(mesh->config.loop);
    (void)mesh_nodes_end(mesh->nodes, now);
    (void)mesh_nodes_expire(mesh->nodes, now, &due);
}

// The services with `keeps` worked out; to be freed, as one block.
static struct mesh_service *derive_services(const struct mesh *mesh, const struct mesh_state *state,
                                            const struct map *by_name)
{
    size_t backends = 0;
    for (size_t i = 0; i < state->services_count; i++)
        backends += state->services[i].backends_count;
    size_t head = state->services_count * sizeof(struct mesh_service);
    struct mesh_service *services = mem_alloc(head + backends * sizeof(struct mesh_backend));
    struct mesh_backend *at = (struct mesh_backend *)(void *)((char *)services + head);
    for (size_t i = 0; i < state->services_count; i++) {
        const struct mesh_state_service *from = &state->services[i];
        services[i] =
            (struct mesh_service){from->ports, from->ports_count, at, from->backends_count};
        for (size_t k = 0; k < from->backends_count; k++) {
            const struct mesh_state_backend *backend = &from->backends[k];
            bool keeps = str_empty(backend->node)
                             ? !mesh->hides
                             : mesh_nodes_keeps(mesh->nodes, node_of(by_name, backend->node));
            *at++ = (struct mesh_backend){backend->address, backend->draining, keeps};
        }
    }
    return services;
}

// ---- ports of the host --------------------------------------------------------------------------

static void want_relays(struct mesh *mesh, const struct mesh_service *services, size_t count)
{
    size_t most = 0, wanted_count = 0;
    for (size_t i = 0; i < count; i++)
        most += services[i].ports_count;
    struct relay_port *wanted = mem_alloc_array(most, sizeof *wanted);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < services[i].ports_count; k++)
            wanted[wanted_count++] = (struct relay_port){.protocol = services[i].ports[k].protocol,
                                                         .port = services[i].ports[k].published};
    relays_want(mesh->config.relays, RELAYS_MESH, wanted, NULL, wanted_count);
    free(wanted);
}

static void hold_ports(struct mesh *mesh, const struct mesh_service *services, size_t count)
{
    struct map before = mesh->holds;
    map_init(&mesh->holds);
    mesh->counts.ports_held = 0;
    mesh->counts.ports_lost = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < services[i].ports_count; k++) {
            uint16_t port = services[i].ports[k].published;
            uint8_t protocol = services[i].ports[k].protocol;
            struct err err = ERR_INIT;
            char key[16];
            (void)str_format(key, sizeof key, "%u . %u", protocol, port);
            if (map_has_str(&mesh->holds, key))
                continue;
            bool known = map_has_str(&before, key);
            intptr_t fd = (intptr_t)map_remove_str(&before, key) - 1;
            if (fd < 0)
                fd = hold_open(protocol, 0, &port, &err);
            // Published all the same, as stock does: from outside the mesh goes first.
            if (fd < 0 && !known)
                log_warn("published port not held", "port=%u error=\"%s\"", port, err.message);
            *(fd < 0 ? &mesh->counts.ports_lost : &mesh->counts.ports_held) += 1;
            map_put_str(&mesh->holds, key, (void *)(fd < 0 ? 0 : fd + 1));
        }
    }
    MAP_EACH (entry, &before)
        if (entry->value)
            close((int)((intptr_t)entry->value - 1));
    map_fini(&before);
}

// ---- connections to tasks that are gone ---------------------------------------------------------

static void cut_run(struct loop_work *work)
{
    struct mesh *mesh = CONTAINER_OF(work, struct mesh, cut);
    struct netlink *netlink = NULL;
    err_clear(&mesh->cut_err);
    mesh->cut_flows = 0;
    if (netlink_open(mesh->cut_fd, &netlink, &mesh->cut_err) == 0)
        (void)netlink_flows_cut(netlink, mesh->cut_addresses, mesh->cut_count, &mesh->cut_flows,
                                &mesh->cut_err);
    netlink_close(netlink);
}

static void cut_done(struct loop_work *work)
{
    struct mesh *mesh = CONTAINER_OF(work, struct mesh, cut);
    MAGIC_CHECK(mesh, MESH_MAGIC);
    mesh->cutting = false;
    mesh->counts.flows_cut += mesh->cut_flows;
    if (mesh->cut_err.code != ERR_OK)
        log_warn("cannot cut connections", "error=\"%s\"", mesh->cut_err.message);
    close(mesh->cut_fd);
    MEM_FREE(mesh->cut_addresses);
    loop_later_ask(&mesh->later);
    finish(mesh);
}

static void note_gone(struct mesh *mesh, const struct mesh_service *services, size_t count)
{
    size_t now_count;
    uint32_t *now = mesh_addresses(services, count, &now_count);
    // Those that wait and came back meanwhile are not gone.
    uint32_t *all = mem_alloc_array(mesh->gone_count + mesh->backends_count, sizeof *all);
    size_t all_count = mesh_gone(mesh->gone, mesh->gone_count, now, now_count, all);
    all_count += mesh_gone(mesh->backends, mesh->backends_count, now, now_count, all + all_count);
    free(mesh->gone);
    mesh->gone = all;
    mesh->gone_count = mesh_sort(all, all_count);
    free(mesh->backends);
    mesh->backends = now;
    mesh->backends_count = now_count;
}

static void cut_start(struct mesh *mesh)
{
    if (mesh->cutting || mesh->gone_count == 0 || !mesh->sandbox || !mesh->sandbox->sound)
        return;
    mesh->cut_fd = open(mesh->sandbox->netns, O_RDONLY | O_CLOEXEC);
    if (mesh->cut_fd < 0) {
        mesh->gone_count = 0; // with the sandbox went its connections
        return;
    }
    mesh->cut_addresses = mesh->gone;
    mesh->cut_count = mesh->gone_count;
    mesh->gone = NULL;
    mesh->gone_count = 0;
    mesh->cutting = true;
    loop_work_start(mesh->config.loop, &mesh->cut, cut_run, cut_done);
}

// ---- bringing it there --------------------------------------------------------------------------

static void set_host(struct mesh *mesh, const struct mesh_state *state,
                     const struct mesh_service *services)
{
    struct mesh_host host = state->host;
    const char *gateway_if = host.gateway_if;
    bool wanted = state->sandbox_netns && gateway_if;
    struct err err = ERR_INIT;
    if (mesh->host && (!wanted || !place_is(mesh->host, NULL, gateway_if, 0))) {
        if (!wanted) {
            // The rules go first; the place is closed with the mesh.
            mesh->host->sound = false;
            tables_drop(mesh->host->tables, "ip", MESH_HOST_TABLE);
            return;
        }
        place_close(&mesh->host);
    }
    if (!wanted)
        return;
    if (!mesh->host)
        mesh->host = place_open(mesh, NULL, gateway_if, 0, prepare_host, &err);
    host.partial = state->partial;
    if (mesh->host)
        place_want(mesh->host, mesh_host_table(&host, services, state->services_count),
                   state->partial);
    else
        (void)err_copy(&mesh->err, &err);
}

static void set_sandbox(struct mesh *mesh, const struct mesh_state *state,
                        const struct mesh_service *services)
{
    const struct mesh_sandbox *sandbox = &state->sandbox;
    struct err err = ERR_INIT;
    if (mesh->sandbox &&
        (!state->sandbox_netns ||
         !place_is(mesh->sandbox, state->sandbox_netns, sandbox->ingress_if, sandbox->address)))
        place_close(&mesh->sandbox);
    if (!state->sandbox_netns)
        return;
    if (!mesh->sandbox)
        mesh->sandbox = place_open(mesh, state->sandbox_netns, sandbox->ingress_if,
                                   sandbox->address, prepare_sandbox, &err);
    if (mesh->sandbox)
        place_want(mesh->sandbox, mesh_sandbox_table(sandbox, services, state->services_count),
                   state->partial);
    else
        (void)err_copy(&mesh->err, &err);
}

static void set_task(struct mesh *mesh, const struct mesh_task_place *it, const uint32_t *nodes,
                     size_t count, bool partial)
{
    struct err err = ERR_INIT;
    struct place *place = map_get_str(&mesh->tasks, it->id);
    if (place && !place_is(place, it->netns, it->task.ingress_if, it->task.address)) {
        (void)map_remove_str(&mesh->tasks, it->id);
        place_close(&place);
    }
    if (!place) {
        place =
            place_open(mesh, it->netns, it->task.ingress_if, it->task.address, prepare_task, &err);
        if (!place) {
            (void)err_copy(&mesh->err, &err);
            return;
        }
        map_put_str(&mesh->tasks, it->id, place);
    }
    place->seen = true;
    if (!mesh->hides)
        place_want(place, mesh_egress_table(&it->task, nodes, count), partial);
    place_want(place, mesh_task_table(&it->task, nodes, count), partial);
}

static void set_tasks(struct mesh *mesh, const struct mesh_state *state)
{
    size_t count;
    const uint32_t *nodes = mesh_nodes_addresses(mesh->nodes, &count);
    MAP_EACH (entry, &mesh->tasks)
        ((struct place *)entry->value)->seen = false;
    for (size_t i = 0; i < state->tasks_count; i++)
        set_task(mesh, &state->tasks[i], nodes, count, state->partial);
    MAP_EACH (entry, &mesh->tasks) {
        struct place *place = entry->value;
        if (place->seen)
            continue;
        (void)map_remove(&mesh->tasks, entry->key, entry->key_size);
        place_close(&place);
    }
}

static void publish(struct mesh *mesh)
{
    uint8_t record[MESH_RECORD_BYTES];
    if (!mesh->config.publish)
        return;
    if (!mesh->has_record) {
        if (mesh->is_published)
            mesh->config.publish(mesh->config.owner, NULL, 0);
        mesh->is_published = false;
        return;
    }
    mesh_record_pack(&mesh->record, record);
    if (mesh->is_published && memcmp(record, mesh->published, sizeof record) == 0)
        return;
    memcpy(mesh->published, record, sizeof record);
    mesh->is_published = true;
    mesh->config.publish(mesh->config.owner, record, sizeof record);
}

// All places are as wished: the tasks are ready for what the record says.
static bool all_sound(const struct mesh *mesh)
{
    MAP_EACH (entry, &mesh->tasks)
        if (!((const struct place *)entry->value)->sound)
            return false;
    return (!mesh->host || mesh->host->sound) && (!mesh->sandbox || mesh->sandbox->sound);
}

static bool tasks_sound(const struct mesh *mesh)
{
    MAP_EACH (entry, &mesh->tasks)
        if (!((const struct place *)entry->value)->sound)
            return false;
    return true;
}

static void on_later(struct loop_later *later)
{
    struct mesh *mesh = CONTAINER_OF(later, struct mesh, later);
    MAGIC_CHECK(mesh, MESH_MAGIC);
    if (mesh->closing)
        return;
    cut_start(mesh);
    if (tasks_sound(mesh))
        publish(mesh);
    bool failed = mesh->err.code != ERR_OK;
    struct err err = mesh->err;
    err_clear(&mesh->err);
    if (mesh->config.settled && (failed || (all_sound(mesh) && !mesh->cutting)))
        mesh->config.settled(mesh->config.owner, failed ? &err : NULL);
}

int mesh_set(struct mesh *mesh, const struct mesh_state *state, struct err *err)
{
    MAGIC_CHECK(mesh, MESH_MAGIC);
    CHECK(!mesh->closing);
    struct map by_name;
    map_init(&by_name);
    take_rows(mesh, state, &by_name);
    struct mesh_service *services = derive_services(mesh, state, &by_name);
    map_fini(&by_name);
    int rc = mesh_services_check(services, state->services_count, err);
    if (rc == 0) {
        size_t published = state->sandbox_netns ? state->services_count : 0;
        note_gone(mesh, services, state->services_count);
        set_host(mesh, state, services);
        set_sandbox(mesh, state, services);
        set_tasks(mesh, state);
        hold_ports(mesh, services, published);
        want_relays(mesh, services, published);
        mesh->has_record = mesh_nodes_record(mesh->nodes, &mesh->record) && !mesh->hides;
        loop_later_ask(&mesh->later);
    }
    free(services);
    return rc;
}

// ---- life ---------------------------------------------------------------------------------------

// Hooks on what leaves an interface came with Linux 5.16.
static bool kernel_hides(void)
{
    struct utsname name;
    unsigned major = 0, minor = 0;
    if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
        return true;
    return major < 5 || (major == 5 && minor < 16);
}

struct mesh *mesh_open(const struct mesh_config *config)
{
    struct mesh *mesh = MEM_NEW(struct mesh);
    mesh->hides = kernel_hides();
    MAGIC_SET(mesh, MESH_MAGIC);
    mesh->config = *config;
    mesh->nodes = mesh_nodes_new(config->life);
    map_init(&mesh->tasks);
    map_init(&mesh->holds);
    loop_later_init(&mesh->later, config->loop, on_later);
    return mesh;
}

bool mesh_busy(const struct mesh *mesh)
{
    return mesh->cutting || mesh->gone_count > 0 || !all_sound(mesh);
}

struct mesh_counts mesh_counts(const struct mesh *mesh)
{
    return mesh->counts;
}

static void finish(struct mesh *mesh)
{
    if (!mesh->closing || mesh->open > 0 || mesh->cutting)
        return;
    void (*closed)(void *owner) = mesh->closed;
    void *owner = mesh->closed_owner;
    mesh_nodes_free(mesh->nodes);
    map_fini(&mesh->tasks);
    map_fini(&mesh->holds);
    free(mesh->backends);
    free(mesh->gone);
    loop_later_cancel(&mesh->later);
    MAGIC_CLEAR(mesh);
    free(mesh);
    if (closed)
        closed(owner);
}

static void close_later(struct loop_later *later)
{
    finish(CONTAINER_OF(later, struct mesh, later));
}

void mesh_close(struct mesh *mesh, void (*closed)(void *owner), void *owner)
{
    MAGIC_CHECK(mesh, MESH_MAGIC);
    CHECK(!mesh->closing);
    mesh->closed = closed;
    mesh->closed_owner = owner;
    MAP_EACH (entry, &mesh->tasks) {
        struct place *place = entry->value;
        place_close(&place);
    }
    place_close(&mesh->host);
    place_close(&mesh->sandbox);
    MAP_EACH (entry, &mesh->holds)
        if (entry->value)
            close((int)((intptr_t)entry->value - 1));
    mesh->closing = true;
    if (mesh->open > 0 || mesh->cutting)
        return;
    loop_later_init(&mesh->later, mesh->config.loop, close_later);
    loop_later_ask(&mesh->later);
}
