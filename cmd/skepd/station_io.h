// What a node works with whether it is in a swarm or not: its images, volumes, containers, and what
// the resolver process is told; and, while it is in one, the agent that runs the swarm's tasks.
//
// On a machine that cannot run containers (no runtime, no monitor) everything else still works: the
// node can be a manager, and a task that comes here all the same is rejected with the reason.
#ifndef CMD_SKEPD_STATION_IO_H
#define CMD_SKEPD_STATION_IO_H

#include <stdbool.h>

#include "agent/agent.h"
#include "agent/container_io.h"
#include "agent/crate/crates_io.h"
#include "agent/dns/feed_io.h"
#include "agent/net/relays_io.h"
#include "agent/image/images_io.h"
#include "agent/oci/volumes_io.h"
#include "cmd/skepd/config.h"
#include "cmd/skepd/defaults.h"
#include "cmd/skepd/place.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

struct station;

// Opens everything below the configured folders, and takes over the containers that an earlier life
// left running. `config`, whose rules hold, outlives it. Blocks shortly: at start-up.
int station_open(struct loop *loop, const struct config *config, struct station **out,
                 struct err *err);

// Takes over what of the configuration can change while running: labels and generic resources.
void station_reload(struct station *station);

// Lets what is under way end and frees; `closed` runs once, later. The agent is ended before.
// Containers run on, or are stopped where the configuration wants that.
void station_close(struct station *station, void (*closed)(void *owner), void *owner);

struct images *station_images(struct station *station);
struct volumes *station_volumes(struct station *station);
// NULL on a machine that cannot run containers; then station_lacking says why, else it is "".
struct containers *station_containers(struct station *station);
const char *station_lacking(const struct station *station);
// A folder for archives on their way; emptied at the start.
const char *station_tmp(const struct station *station);
// The containers that users make, beside the swarm's; NULL as above.
struct crates *station_crates(struct station *station);
struct loop *station_loop(struct station *station);
struct locals *station_locals(struct station *station); // NULL: no networks of its own
struct nets *station_nets(struct station *station);     // NULL: none of the swarm's either
// What the resolver process is told; it is attached to each life of that process.
struct dns_feed *station_feed(struct station *station);
// What the relay process is told, as above; NULL: published ports answer on IPv4 alone.
struct relays *station_relays(struct station *station);

// ---- in a swarm ---------------------------------------------------------------------------------

struct station_swarm {
    const char *dir;           // the agent's folder (agent.h)
    const uint8_t *lock_key;   // of its key file; NULL: none
    const struct place *place; // this node's addresses; borrowed until the agent is closed
    struct agent_events events;
    void *owner;
};

// Starts the agent: the errors of agent_open. At most one runs.
int station_agent_open(struct station *station, const struct station_swarm *swarm, struct err *err);

// Ends the agent; `closed` runs once, later. Its containers run on, or, with `discard`, are killed
// and taken away first, as on leaving a swarm.
void station_agent_close(struct station *station, bool discard, void (*closed)(void *owner),
                         void *owner);

// NULL while there is none.
struct agent *station_agent(const struct station *station);

#endif
