#include "agent/net/checkup.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define TEXT_BYTES 400

const uint16_t checkup_sizes[CHECKUP_SIZES] = {0, 1500, 1450, 1400, 1280, 1000, 576};

struct writing {
    const struct checkup *checkup;
    const struct checkup_node *node; // NULL: this one
    struct json_out *out;
};

static void row(const struct writing *writing, const char *verdict, const char *check,
                const char *cure, const char *format, ...) __attribute__((format(printf, 5, 6)));

static void row(const struct writing *writing, const char *verdict, const char *check,
                const char *cure, const char *format, ...)
{
    char found[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(found, sizeof found, format, args);
    va_end(args);
    json_out_object(writing->out, NULL);
    json_out_str(writing->out, "Node", writing->checkup->self);
    json_out_str(writing->out, "Peer", writing->node ? writing->node->name : "");
    json_out_str(writing->out, "Verdict", verdict);
    json_out_str(writing->out, "Check", check);
    json_out_str(writing->out, "Found", found);
    json_out_str(writing->out, "Cure", str_equal(verdict, "ok") ? "" : cure);
    json_out_end(writing->out);
}

// ---- one node -----------------------------------------------------------------------------------

static bool is_there(const struct checkup_node *node)
{
    return node->gossip_tcp == HEARD_ANSWER || node->echo == HEARD_ANSWER ||
           node->tunnel == HEARD_ANSWER;
}

static void row_port(const struct writing *writing, enum heard heard, const char *check,
                     const char *cure, const char *nobody)
{
    if (heard == HEARD_NOT_ASKED)
        return;
    row(writing, heard == HEARD_ANSWER ? "ok" : "bad", check,
        heard == HEARD_REFUSAL ? nobody : cure, "%s",
        heard == HEARD_ANSWER    ? "answers"
        : heard == HEARD_REFUSAL ? "refused: nothing listens there"
                                 : "no answer");
}

static void rows_ports(const struct writing *writing)
{
    const struct checkup_node *node = writing->node;
    row_port(writing, node->gossip_tcp, "gossip, TCP 7946", "open 7946/tcp between the nodes",
             "start the engine there, or see what address it advertises");
    if (node->gossip_tcp == HEARD_ANSWER)
        row(writing, node->gossip_udp_silent ? "bad" : "ok", "gossip, UDP 7946",
            "open 7946/udp between the nodes, both ways", "%s",
            node->gossip_udp_silent ? "pings are answered over TCP alone" : "answers");
    if (node->manager)
        row_port(writing, node->manager_tcp, "manager, TCP 2377", "open 2377/tcp to the managers",
                 "see why the manager does not run there");
}

// The tunnel's datagrams, by what comes back through it.
static void rows_tunnel(const struct writing *writing)
{
    const struct checkup_node *node = writing->node;
    char check[TEXT_BYTES];
    if (node->tunnel != HEARD_NOT_ASKED) {
        (void)str_format(check, sizeof check, "overlay, UDP %u", writing->checkup->port);
        if (node->tunnel == HEARD_ANSWER)
            row(writing, "ok", check, "", "network %s: answers", node->plain);
        else
            row(writing, "bad", check,
                "open the port between the nodes' data path addresses, both ways, VXLAN included",
                "network %s: nothing comes through to %s", node->plain, node->address);
    }
    if (node->tunnel == HEARD_ANSWER && node->tunnel_tcp == HEARD_NOTHING)
        row(writing, "bad", "checksum offload",
            "the interface spoils checksums inside of tunnels: ethtool -K INTERFACE "
            "tx-checksum-ip-generic off, on both hosts",
            "network %s: pings pass, TCP does not", node->plain);
    else if (node->tunnel == HEARD_ANSWER && node->tunnel_tcp != HEARD_NOT_ASKED)
        row(writing, "ok", "checksum offload", "", "TCP passes the tunnel");
    if (node->sealed == HEARD_ANSWER)
        row(writing, "ok", "encrypted overlay, ESP", "", "network %s: answers", node->secret);
    else if (node->sealed != HEARD_NOT_ASKED)
        row(writing, "bad", "encrypted overlay, ESP",
            "let IP protocol 50 (ESP) pass between the nodes, both ways",
            "network %s: nothing comes through to %s", node->secret, node->address);
}

static void row_mtu(const struct writing *writing)
{
    const struct checkup_node *node = writing->node;
    const char *cure = "raise the MTU on the way, or make the network with "
                       "com.docker.network.driver.mtu set to what passes";
    if (!node->needed)
        return;
    if (node->passed >= node->needed)
        row(writing, "ok", "path MTU", "", "%u bytes pass, as network %s needs", node->needed,
            node->network);
    else if (node->passed)
        row(writing, "bad", "path MTU", cure, "network %s needs %u bytes, %u pass", node->network,
            node->needed, node->passed);
    else if (node->tunnel_full == HEARD_ANSWER)
        row(writing, "ok", "path MTU", "", "network %s: full packets pass the tunnel", node->plain);
    else if (node->tunnel == HEARD_ANSWER && node->tunnel_full == HEARD_NOTHING)
        row(writing, "bad", "path MTU", cure, "network %s: small packets pass, full ones do not",
            node->plain);
}

static void rows_node(const struct writing *writing)
{
    const struct checkup_node *node = writing->node;
    if (!is_there(node)) {
        row(writing, "bad", "host", "see whether it runs, and the way to it (address, route)",
            "%s: neither gossip nor pings are answered", node->address);
        return;
    }
    rows_ports(writing);
    rows_tunnel(writing);
    row_mtu(writing);
    if (node->clock == HEARD_ANSWER) {
        bool far = node->ahead_ms > CHECKUP_SKEW_MS || node->ahead_ms < -CHECKUP_SKEW_MS;
        row(writing, far ? "bad" : "ok", "clock",
            "have both hosts set their clocks (NTP): certificates depend on it", "%.3f s %s ours",
            (double)(node->ahead_ms < 0 ? -node->ahead_ms : node->ahead_ms) / 1000,
            node->ahead_ms < 0 ? "behind" : "ahead of");
    }
    if (node->source[0] && !str_equal(node->source, writing->checkup->source))
        row(writing, "bad", "tunnel's source address",
            "route to the node from the address it was told, or set --data-path-addr",
            "packets leave from %s, the others expect %s", node->source, writing->checkup->source);
    else if (node->source[0])
        row(writing, "ok", "tunnel's source address", "", "%s", node->source);
}

// ---- this node ----------------------------------------------------------------------------------

static void add(char text[TEXT_BYTES], size_t count, const char *what)
{
    size_t at = strlen(text);
    if (count)
        (void)str_format(text + at, TEXT_BYTES - at, "%s%zu %s", at ? ", " : "", count, what);
}

static void rows_state(const struct writing *writing)
{
    const struct checkup *checkup = writing->checkup;
    for (size_t i = 0; i < checkup->drifts_count; i++) {
        const struct checkup_drift *drift = &checkup->drifts[i];
        char what[TEXT_BYTES] = "";
        add(what, drift->links, "link settings");
        add(what, drift->addresses, "addresses");
        add(what, drift->routes, "routes");
        add(what, drift->neighbours, "neighbour rows");
        add(what, drift->forwarding, "forwarding (FDB) rows");
        add(what, drift->balancer, "balancer tables");
        add(what, drift->others, "other settings");
        row(writing, "bad", "network state", "find out who changes it (another network program?)",
            "%s was not what the managers say, and is repaired: %s", drift->place, what);
    }
    if (!checkup->drifts_count)
        row(writing, "ok", "network state", "",
            "%zu networks and %zu containers are what the managers say", checkup->networks,
            checkup->containers);
    if (checkup->repairs)
        row(writing, "note", "repairs since the start",
            "find out who changes it (another network program?)", "%zu", checkup->repairs);
    if (checkup->names_wrong)
        row(writing, "bad", "DNS at 127.0.0.11", "see the log of the resolver process",
            "%zu of %zu containers' names are not answered, %s for one", checkup->names_wrong,
            checkup->names_asked, checkup->name_wrong);
    else if (checkup->names_asked)
        row(writing, "ok", "DNS at 127.0.0.11", "", "%zu names are answered", checkup->names_asked);
    if (!str_empty(checkup->blocked_by))
        row(writing, "bad", "packet filter", "accept the interfaces skep* in these chains",
            "forwarded packets are dropped by %s", checkup->blocked_by);
    else
        row(writing, "ok", "packet filter", "", "nobody drops containers' packets by policy");
}

void checkup_write(const struct checkup *checkup, struct json_out *out)
{
    struct writing writing = {.checkup = checkup, .out = out};
    rows_state(&writing);
    for (size_t i = 0; i < checkup->nodes_count; i++) {
        writing.node = &checkup->nodes[i];
        rows_node(&writing);
    }
    writing.node = NULL;
    if (checkup->nodes_left_out)
        row(&writing, "note", "other nodes", "", "%zu were not looked at", checkup->nodes_left_out);
}
