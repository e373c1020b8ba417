// What went through the networks: the kernel's counters of tunnels, of containers' interfaces and
// of published ports, read in a worker job and shown to whoever asks for figures. Each look at the
// figures begins a new reading, so that they are as old as the look before, and cost nothing while
// nobody looks.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/hits.h"
#include "agent/net/nets_priv_io.h"
#include "agent/net/netns_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/metrics.h"
#include "proto/base/str.h"

#define PLACES_MAX     512 // namespaces read, the networks' before the containers'
#define PORTS_MAX      4096
#define FILE_BYTES_MAX (1u << 20)
#define LIST_BYTES_MAX (16u << 20)
#define LABEL_BYTES    64
#define SHORT_ID_BYTES 13
#define DEVICES        "/proc/thread-self/net/dev"
#define PROTOCOLS      "/proc/thread-self/net/snmp"

enum way { RX_BYTES, RX_PACKETS, RX_DROPS, TX_BYTES, TX_PACKETS, TX_DROPS, WAYS };
enum flow { OPENED, ACCEPTED, RESETS_SEEN, RESETS_SENT, RETRANSMITTED, FLOWS };

struct tally_link {
    char name[LAYOUT_NAME_BYTES]; // in the namespace; "" for all tunnels there together
    char network[LABEL_BYTES];
    uint64_t ways[WAYS];
};

struct tally_place {
    char path[NETS_PATH_BYTES];
    char container[SHORT_ID_BYTES]; // "" a network's
    char service[LABEL_BYTES];
    struct tally_link *links;
    size_t links_count;
    uint64_t flows[FLOWS];
    bool read;
};

enum traffic { CONNECTIONS, CAME_BYTES, CAME_PACKETS, WENT_BYTES, WENT_PACKETS, RESETS, TRAFFIC };

struct tally_port {
    unsigned protocol, port;
    uint64_t traffic[TRAFFIC];
};

struct tally {
    struct tally_place *places;
    size_t count;
    struct tally_port *ports;
    size_t ports_count;
    uint64_t foreign, clear, forged, passing; // of the guard
};

struct nets_tally {
    struct nets *nets;
    struct loop_work work;
    bool running;
    struct tally now;  // shown
    struct tally next; // the job's while it runs
};

static void tally_free(struct tally *tally)
{
    for (size_t i = 0; i < tally->count; i++)
        free(tally->places[i].links);
    free(tally->places);
    free(tally->ports);
    *tally = (struct tally){0};
}

// ---- in the worker ------------------------------------------------------------------------------

static void read_devices(struct tally_place *place, const char *text)
{
    struct str_part line;
    while (text && str_split(&text, '\n', &line)) {
        char name[LAYOUT_NAME_BYTES + 1], row[512];
        uint64_t n[WAYS];
        if (!str_format(row, sizeof row, "%.*s", (int)line.len, line.at) ||
            sscanf(row,
                   " %16[^:]: %" SCNu64 " %" SCNu64 " %*u %" SCNu64 " %*u %*u %*u %*u %" SCNu64
                   " %" SCNu64 " %*u %" SCNu64,
                   name, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5]) != 1 + WAYS)
            continue;
        for (size_t i = 0; i < place->links_count; i++) {
            struct tally_link *link = &place->links[i];
            if (!str_equal(link->name, name) &&
                !(!link->name[0] && str_starts(name, OVERLAY_VXLAN)))
                continue;
            for (size_t k = 0; k < WAYS; k++)
                link->ways[k] += n[k];
        }
    }
}

// The second line that begins so holds the numbers, the first their names.
static void read_protocols(struct tally_place *place, const char *text)
{
    static const unsigned columns[FLOWS] = {5, 6, 8, 14, 12};
    const char *tcp = strstr(text, "\nTcp: ");
    tcp = tcp ? strstr(tcp + 1, "\nTcp: ") : NULL;
    if (!tcp)
        return;
    tcp += strlen("\nTcp: ");
    for (unsigned column = 1; *tcp && *tcp != '\n'; column++) {
        char *end;
        uint64_t value = strtoull(tcp, &end, 10);
        for (size_t i = 0; i < FLOWS; i++)
            if (columns[i] == column)
                place->flows[i] = value;
        end += strcspn(end, " \n");
        tcp = *end == ' ' ? end + 1 : end;
    }
}

static int read_here(void *ctx, struct err *err)
{
    struct tally_place *place = ctx;
    struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    int rc = file_read(DEVICES, &text, err);
    if (!rc)
        read_devices(place, buf_cstr(&text));
    buf_clear(&text);
    if (!rc && place->container[0])
        rc = file_read(PROTOCOLS, &text, err);
    if (!rc && place->container[0])
        read_protocols(place, buf_cstr(&text));
    buf_fini(&text);
    return rc;
}

// What a set's counters are.
static const struct {
    const char *set;
    enum traffic packets, bytes; // the same: bytes do not matter
} port_sets[] = {{HITS_OPENED, CONNECTIONS, CONNECTIONS},
                 {HITS_CAME, CAME_PACKETS, CAME_BYTES},
                 {HITS_WENT, WENT_PACKETS, WENT_BYTES},
                 {HITS_RESETS, RESETS, RESETS}};

// The row of a port; `rows` leads to it, by its number + 1. NULL: no room.
static struct tally_port *port_of(struct tally *tally, struct map *rows, const json_t *key)
{
    uint32_t name[] = {(uint32_t)json_integer_value(json_array_get(key, 0)),
                       (uint32_t)json_integer_value(json_array_get(key, 1))};
    size_t row = (size_t)(uintptr_t)map_get(rows, name, sizeof name);
    if (row == 0 && tally->ports_count == PORTS_MAX)
        return NULL;
    if (row == 0) {
        row = ++tally->ports_count;
        tally->ports[row - 1] = (struct tally_port){.protocol = name[0], .port = name[1]};
        map_put(rows, name, sizeof name, (void *)(uintptr_t)row);
    }
    return &tally->ports[row - 1];
}

static void add_port(struct tally *tally, struct map *rows, size_t set, const json_t *element)
{
    const json_t *elem = json_object_get(element, "elem");
    const json_t *key = json_object_get(json_object_get(elem, "val"), "concat");
    const json_t *counter = json_object_get(elem, "counter");
    struct tally_port *port =
        json_array_size(key) == 2 && counter ? port_of(tally, rows, key) : NULL;
    if (!port)
        return;
    // One of the host's own and one of the mesh may have the same number.
    port->traffic[port_sets[set].packets] +=
        (uint64_t)json_integer_value(json_object_get(counter, "packets"));
    if (port_sets[set].bytes != port_sets[set].packets)
        port->traffic[port_sets[set].bytes] +=
            (uint64_t)json_integer_value(json_object_get(counter, "bytes"));
}

static void add_ports(struct tally *tally, struct map *rows, const json_t *collection)
{
    const char *name = json_string_value(json_object_get(collection, "name"));
    const json_t *elements = json_object_get(collection, "elem");
    for (size_t set = 0; set < COUNT_OF(port_sets); set++)
        for (size_t i = 0; str_equal(name, port_sets[set].set) && i < json_array_size(elements);
             i++)
            add_port(tally, rows, set, json_array_get(elements, i));
}

static void read_table(struct tally *tally, struct map *rows, struct nft *nft, const char *name)
{
    struct buf text;
    buf_init(&text, LIST_BYTES_MAX);
    json_t *root = nft_list(nft, "ip", name, &text, NULL) == 0 && text.len
                       ? json_parse(text.data, text.len, NULL)
                       : NULL;
    const json_t *objects = json_object_get(root, "nftables");
    const struct {
        const char *name;
        uint64_t *value;
    } counters[] = {{"foreign", &tally->foreign},
                    {"clear", &tally->clear},
                    {"forged", &tally->forged},
                    {"passing", &tally->passing}};
    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *counter = json_object_get(json_array_get(objects, i), "counter");
        add_ports(tally, rows, json_object_get(json_array_get(objects, i), "set"));
        for (size_t k = 0; counter && k < COUNT_OF(counters); k++)
            if (str_equal(json_string_value(json_object_get(counter, "name")), counters[k].name))
                *counters[k].value +=
                    (uint64_t)json_integer_value(json_object_get(counter, "packets"));
    }
    json_decref(root);
    buf_fini(&text);
}

static void work(struct loop_work *work)
{
    static const char *const tables[] = {PORTS_TABLE, MESH_HOST_TABLE, GUARD_TABLE};
    struct tally *tally = &CONTAINER_OF(work, struct nets_tally, work)->next;
    for (size_t i = 0; i < tally->count; i++) {
        struct tally_place *place = &tally->places[i];
        int fd = -1;
        if (netns_open(place->path, &fd, NULL))
            continue; // it went meanwhile
        place->read = netns_in(fd, read_here, place, NULL) == 0;
        close(fd);
    }
    struct map rows;
    map_init(&rows);
    struct nft *nft = nft_open(NFT_NETNS_OWN, NULL);
    for (size_t i = 0; nft && i < COUNT_OF(tables); i++)
        read_table(tally, &rows, nft, tables[i]);
    nft_close(nft);
    map_fini(&rows);
}

// ---- what to read -------------------------------------------------------------------------------

static struct tally_place *add_place(struct tally *tally, const char *path, size_t links)
{
    struct tally_place *place = &tally->places[tally->count++];
    (void)str_copy(place->path, sizeof place->path, path);
    place->links = mem_alloc_array(links + 1, sizeof *place->links);
    return place;
}

static void add_link(struct tally_place *place, const char *name, const char *network)
{
    struct tally_link *link = &place->links[place->links_count++];
    (void)str_copy(link->name, sizeof link->name, name);
    (void)str_format(link->network, sizeof link->network, "%.*s", LABEL_BYTES - 1, network);
}

static void gather(const struct nets *nets, struct tally *tally)
{
    tally->places = mem_alloc_array(PLACES_MAX, sizeof *tally->places);
    tally->ports = mem_alloc_array(PORTS_MAX, sizeof *tally->ports);
    MAP_EACH (entry, &nets->nets) {
        const struct net *net = entry->value;
        if (net->made && tally->count < PLACES_MAX)
            add_link(add_place(tally, net->path, 1), "", net->overlay.name);
    }
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        if (box->state != BOX_MADE || tally->count == PLACES_MAX)
            continue;
        struct tally_place *place = add_place(tally, box->path, box->ends_count);
        (void)str_format(place->container, sizeof place->container, "%.12s", box->id);
        (void)str_format(place->service, sizeof place->service, "%.*s", LABEL_BYTES - 1,
                         str_or(box->order->service_name, ""));
        for (size_t i = 0; i < box->ends_count; i++)
            add_link(place, box->ends[i].eth,
                     box->ends[i].overlay ? box->ends[i].overlay->name : GATEWAY_BRIDGE);
    }
}

static void worked(struct loop_work *work)
{
    struct nets_tally *tally = CONTAINER_OF(work, struct nets_tally, work);
    tally->running = false;
    tally->nets->works--;
    tally_free(&tally->now);
    tally->now = tally->next;
    tally->next = (struct tally){0};
}

static void read_again(struct nets_tally *tally)
{
    if (tally->running || tally->nets->closed)
        return;
    tally->running = true;
    tally->nets->works++;
    gather(tally->nets, &tally->next);
    loop_work_start(tally->nets->loop, &tally->work, work, worked);
}

// ---- what is shown ------------------------------------------------------------------------------

static void put_links(const struct tally *tally, bool containers, enum way way, const char *name,
                      const char *help, struct buf *out)
{
    metrics_family(out, name, METRIC_COUNTER, help);
    for (size_t i = 0; i < tally->count; i++) {
        const struct tally_place *place = &tally->places[i];
        for (size_t k = 0; k < place->links_count; k++) {
            const struct metric_label labels[] = {{"network", place->links[k].network},
                                                  {"service", place->service},
                                                  {"container", place->container}};
            if (place->read && (place->container[0] != '\0') == containers)
                metrics_sample(out, name, labels, containers ? COUNT_OF(labels) : 1,
                               (double)place->links[k].ways[way]);
        }
    }
}

static void put_flows(const struct tally *tally, enum flow flow, const char *name, const char *help,
                      struct buf *out)
{
    metrics_family(out, name, METRIC_COUNTER, help);
    for (size_t i = 0; i < tally->count; i++) {
        const struct tally_place *place = &tally->places[i];
        const struct metric_label labels[] = {{"service", place->service},
                                              {"container", place->container}};
        if (place->read && place->container[0])
            metrics_sample(out, name, labels, COUNT_OF(labels), (double)place->flows[flow]);
    }
}

static void put_ports(const struct tally *tally, struct buf *out)
{
    static const struct {
        const char *name, *help;
    } families[TRAFFIC] = {
        [CONNECTIONS] = {"skep_port_connections_total",
                         "New connections to a published port of this node."},
        [CAME_BYTES] = {"skep_port_received_bytes_total", "Bytes that clients sent to the port."},
        [CAME_PACKETS] = {"skep_port_received_packets_total", "Packets that clients sent to it."},
        [WENT_BYTES] = {"skep_port_sent_bytes_total", "Bytes that clients got from the port."},
        [WENT_PACKETS] = {"skep_port_sent_packets_total", "Packets that clients got from it."},
        [RESETS] = {"skep_port_resets_total", "TCP resets of either side."},
    };
    for (size_t way = 0; way < TRAFFIC; way++) {
        metrics_family(out, families[way].name, METRIC_COUNTER, families[way].help);
        for (size_t i = 0; i < tally->ports_count; i++) {
            const struct tally_port *port = &tally->ports[i];
            char number[8];
            (void)str_format(number, sizeof number, "%u", port->port);
            const struct metric_label labels[] = {{"protocol", port->protocol == 6    ? "tcp"
                                                               : port->protocol == 17 ? "udp"
                                                                                      : "sctp"},
                                                  {"port", number}};
            metrics_sample(out, families[way].name, labels, COUNT_OF(labels),
                           (double)port->traffic[way]);
        }
    }
}

static void put_tally(const struct tally *tally, struct buf *out)
{
    static const char *const network_names[WAYS] = {
        "skep_network_received_bytes_total", "skep_network_received_packets_total",
        "skep_network_received_drops_total", "skep_network_sent_bytes_total",
        "skep_network_sent_packets_total",   "skep_network_sent_drops_total"};
    static const char *const container_names[WAYS] = {
        "skep_endpoint_received_bytes_total", "skep_endpoint_received_packets_total",
        "skep_endpoint_received_drops_total", "skep_endpoint_sent_bytes_total",
        "skep_endpoint_sent_packets_total",   "skep_endpoint_sent_drops_total"};
    static const char *const flow_names[FLOWS] = {
        "skep_endpoint_connections_opened_total", "skep_endpoint_connections_accepted_total",
        "skep_endpoint_connections_reset_total", "skep_endpoint_resets_sent_total",
        "skep_endpoint_segments_retransmitted_total"};
    for (size_t i = 0; i < WAYS; i++)
        put_links(tally, false, (enum way)i, network_names[i],
                  "Through the network's tunnels of this node.", out);
    for (size_t i = 0; i < WAYS; i++)
        put_links(tally, true, (enum way)i, container_names[i],
                  "Through a container's interface on the network.", out);
    for (size_t i = 0; i < FLOWS; i++)
        put_flows(tally, (enum flow)i, flow_names[i], "TCP inside of the container.", out);
    put_ports(tally, out);
    const struct {
        const char *why;
        uint64_t count;
    } drops[] = {{"foreign", tally->foreign},
                 {"clear", tally->clear},
                 {"forged", tally->forged},
                 {"passing", tally->passing}};
    metrics_family(out, "skep_guard_drops_total", METRIC_COUNTER,
                   "Packets of the data path port that were dropped: of strangers, in clear text "
                   "on an encrypted network, of local programs, on their way through.");
    for (size_t i = 0; i < COUNT_OF(drops); i++) {
        const struct metric_label label = {"why", drops[i].why};
        metrics_sample(out, "skep_guard_drops_total", &label, 1, (double)drops[i].count);
    }
}

static void put_gossip(struct gossip *gossip, struct buf *out)
{
    const struct gossip_counters *counters = gossip_counters(gossip);
#define X(name, what)                                                                              \
    metrics_counter(out, "skep_gossip_" #name "_total", "Gossip: " what ".",                       \
                    (double)counters->name);
    GOSSIP_COUNTERS(X)
#undef X
#define X(name, what)                                                                              \
    metrics_gauge(out, "skep_gossip_" #name, "Gossip: " what ".", (double)counters->name);
    GOSSIP_GAUGES(X)
#undef X
}

void nets_figures(struct nets *nets, struct buf *out)
{
    MAGIC_CHECK(nets, NETS_MAGIC);
    struct nets_counts counts = nets_counts(nets);
    metrics_gauge(out, "skep_networks", "Overlay networks on this node.", (double)counts.networks);
    metrics_gauge(out, "skep_sandboxes", "Containers on them.", (double)counts.sandboxes);
    metrics_gauge(out, "skep_network_peers", "Endpoints of other nodes that are led to.",
                  (double)counts.peers);
    metrics_gauge(out, "skep_network_records", "Names and addresses known.",
                  (double)counts.records);
    metrics_counter(out, "skep_network_steps_total", "Changes made to the kernel.",
                    (double)counts.steps);
    metrics_counter(out, "skep_network_repairs_total",
                    "Of these, of what nobody here had asked for: drift.", (double)counts.repairs);
    metrics_counter(out, "skep_network_failures_total", "Places that could not be brought about.",
                    (double)counts.failures);
    metrics_counter(out, "skep_network_connections_cut_total",
                    "Connections to endpoints that were gone.", (double)counts.flows_cut);
    if (nets->gossip)
        put_gossip(nets->gossip, out);
    put_tally(&nets->tally->now, out);
    read_again(nets->tally);
}

void nets_tally_open(struct nets *nets)
{
    nets->tally = MEM_NEW(struct nets_tally);
    nets->tally->nets = nets;
}

void nets_tally_close(struct nets *nets)
{
    struct nets_tally *tally = nets->tally;
    if (!tally)
        return;
    CHECK(!tally->running);
    nets->tally = NULL;
    tally_free(&tally->now);
    free(tally);
}
