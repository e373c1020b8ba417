#include "agent/net/relay_io.h"

#include <stdlib.h>
#include <unistd.h>

#include "agent/net/relay_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/metrics.h"
#include "proto/base/str.h"

#define RELAY_MAGIC 0x52454c59u

struct relay_served {
    struct relay_tcp *tcp; // one of the two
    struct relay_udp *udp;
};

struct sockaddr_in relay_inner(const struct relay_port *port)
{
    bool direct = port->inner != 0;
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(direct ? port->inner_port : port->port),
                                .sin_addr.s_addr = htonl(direct ? port->inner : INADDR_LOOPBACK)};
}

static void on_silence(struct loop_timer *timer)
{
    relay_udp_expire(CONTAINER_OF(timer, struct relay, silence));
}

struct relay *relay_open(struct loop *loop)
{
    struct relay *relay = MEM_NEW(struct relay);
    MAGIC_SET(relay, RELAY_MAGIC);
    relay->loop = loop;
    map_init(&relay->ports);
    list_init(&relay->flows);
    loop_timer_init(&relay->silence, loop, on_silence);
    return relay;
}

static void served_free(struct relay_served *served)
{
    relay_tcp_close(served->tcp);
    relay_udp_close(served->udp);
    free(served);
}

void relay_close(struct relay *relay)
{
    if (!relay)
        return;
    MAGIC_CHECK(relay, RELAY_MAGIC);
    MAP_EACH (entry, &relay->ports)
        served_free(entry->value);
    map_fini(&relay->ports);
    loop_timer_stop(&relay->silence);
    MAGIC_CLEAR(relay);
    free(relay);
}

static int serve(struct relay *relay, struct relay_port port, const char *key,
                 const struct channel_message *message, struct err *err)
{
    if (map_has_str(&relay->ports, key))
        return err_set(err, ERR_ALREADY_EXISTS, "port %u is relayed already", port.port);
    struct relay_served *served = MEM_NEW(struct relay_served);
    int fd = message->fds[0];
    message->fds[0] = -1;
    if (port.protocol == RELAY_TCP)
        served->tcp = relay_tcp_open(relay, &port, fd, err);
    else
        served->udp = relay_udp_open(relay, &port, fd, err);
    if (!served->tcp && !served->udp) {
        free(served);
        return -(int)err->code;
    }
    map_put_str(&relay->ports, key, served);
    return 0;
}

int relay_take(struct relay *relay, const struct channel_message *message, struct err *err)
{
    MAGIC_CHECK(relay, RELAY_MAGIC);
    struct relay_port port;
    char key[RELAY_KEY_BYTES];
    int rc = relay_parse(message->payload, message->payload_bytes, &port, err);
    if (rc)
        return rc;
    relay_key(&port, key);
    if (message->type == RELAY_OPEN)
        return serve(relay, port, key, message, err);
    struct relay_served *served = map_remove_str(&relay->ports, key);
    if (!served)
        return err_set(err, ERR_NOT_FOUND, "port %u is not relayed", port.port);
    served_free(served);
    return 0;
}

struct relay_counts relay_counts(const struct relay *relay)
{
    MAGIC_CHECK(relay, RELAY_MAGIC);
    struct relay_counts counts = relay->counts;
    counts.ports_now = map_count(&relay->ports);
    return counts;
}

void relay_figures(const struct relay *relay, struct buf *out)
{
    const struct relay_counts counts = relay_counts(relay);
    const struct {
        const char *name, *help;
        uint64_t value;
        bool now;
    } rows[] = {
        {"skep_relay_ports", "Published ports that are relayed from IPv6.", counts.ports_now, true},
        {"skep_relay_connections", "Connections over them now.", counts.conns_now, true},
        {"skep_relay_connections_total", "Connections that came.", counts.conns, false},
        {"skep_relay_refused_total", "Of these, closed: too many at a time.", counts.conns_refused,
         false},
        {"skep_relay_failed_total", "Of these, reset: no task took them.", counts.conns_failed,
         false},
        {"skep_relay_flows", "Clients by UDP that are remembered.", counts.flows_now, true},
        {"skep_relay_flows_total", "Clients by UDP that came.", counts.flows, false},
        {"skep_relay_flows_forgotten_total", "Of these, forgotten for others: too many at a time.",
         counts.flows_forgotten, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        (rows[i].now ? metrics_gauge : metrics_counter)(out, rows[i].name, rows[i].help,
                                                        (double)rows[i].value);
}
