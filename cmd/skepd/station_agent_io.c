// The station's agent, while this node is in a swarm: its opening and closing, and the networks
// that go with it.
#include "agent/gossip/codec.h"
#include "agent/net/nets_io.h"
#include "cmd/skepd/addresses_io.h"
#include "cmd/skepd/station_impl_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"

#ifndef SKEP_VERSION
#error "the build names the version"
#endif

static void on_session(void *owner, const Swarm__SessionMessage *message)
{
    struct station *station = station_of(owner);
    if (station->networked)
        nets_session(station->nets, message);
    if (station->swarm.events.session)
        station->swarm.events.session(station->swarm.owner, message);
}

static void on_subscription(void *owner, const Swarm__SubscriptionMessage *message)
{
    struct station *station = station_of(owner);
    if (station->swarm.events.subscription)
        station->swarm.events.subscription(station->swarm.owner, message);
}

static void on_connected(void *owner, const struct err *err)
{
    struct station *station = station_of(owner);
    if (station->swarm.events.connected)
        station->swarm.events.connected(station->swarm.owner, err);
}

static void on_credentials(void *owner, const struct credentials *credentials)
{
    struct station *station = station_of(owner);
    if (station->swarm.events.credentials)
        station->swarm.events.credentials(station->swarm.owner, credentials);
}

// The place's texts have been looked at where they were given. Without gossip the node still runs
// tasks that are on no overlay.
static void begin_networks(struct station *station)
{
    const struct place *place = station->swarm.place;
    struct err err = ERR_INIT;
    struct addr listen = {0}, advertise = {0}, data = {.kind = ADDR_NAME};
    int result = addr_parse(place->listen_addr, GOSSIP_PORT, &listen, &err);
    if (!result)
        result = addr_parse(place->advertise_addr, GOSSIP_PORT, &advertise, &err);
    if (!result && place->data_path_addr[0])
        result = addr_parse(place->data_path_addr, OVERLAY_PORT, &data, &err);
    struct nets_swarm swarm = {
        .node_id = agent_credentials(station->agent)->identity.node_id,
        .bind = listen,
        .advertise = advertise,
        .data_path = data,
    };
    swarm.bind.port = swarm.advertise.port = GOSSIP_PORT;
    if (!result)
        result = nets_swarm_begin(station->nets, &swarm, &err);
    station->networked = result == 0;
    if (result)
        log_error("tasks of this node cannot be on overlay networks", "err=\"%s\"", err.message);
}

int station_agent_open(struct station *station, const struct station_swarm *swarm, struct err *err)
{
    station_of(station);
    CHECK(!station->agent);
    station->swarm = *swarm;
    char own_manager[ADDR_TEXT_BYTES];
    bool inside = addresses_own_manager(swarm->place, own_manager);
    struct agent_config config = {
        .loop = station->loop,
        .dir = swarm->dir,
        .executor = station->containers ? containers_executor(station->containers)
                                        : &station->refusal.executor,
        .attacher = station->attachments ? attachments_executor(station->attachments) : NULL,
        .engine_version = SKEP_VERSION,
        .labels = station->labels.list,
        .labels_count = station->labels.count,
        .generic = station->generic.list,
        .generic_count = station->generic.count,
        .own_manager = inside ? own_manager : NULL,
        .lock_key = swarm->lock_key,
        .events = {.session = on_session,
                   .subscription = on_subscription,
                   .connected = on_connected,
                   .credentials = on_credentials},
        .owner = station,
    };
    int result = agent_open(&config, &station->agent, err);
    if (!result && station->nets)
        begin_networks(station);
    return result;
}

static void on_networks_ended(void *ctx);

static void on_agent_closed(void *ctx)
{
    struct station *station = station_of(ctx);
    station->agent = NULL;
    if (station->networked)
        nets_swarm_end(station->nets, station->discard, on_networks_ended, station);
    else
        on_networks_ended(station);
}

static void on_networks_ended(void *ctx)
{
    struct station *station = station_of(ctx);
    void (*closed)(void *owner) = station->agent_closed;
    station->networked = false;
    station->agent_closed = NULL;
    closed(station->agent_owner);
}

void station_agent_close(struct station *station, bool discard, void (*closed)(void *owner),
                         void *owner)
{
    station_of(station);
    CHECK(station->agent);
    CHECK(!station->agent_closed);
    station->agent_closed = closed;
    station->agent_owner = owner;
    station->discard = discard;
    if (discard)
        agent_discard(station->agent, on_agent_closed, station);
    else
        agent_close(station->agent, on_agent_closed, station);
}

struct agent *station_agent(const struct station *station)
{
    return station->agent;
}
