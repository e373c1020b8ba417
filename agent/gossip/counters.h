// What the gossip of this node has counted, for metrics and tests.
#ifndef AGENT_GOSSIP_COUNTERS_H
#define AGENT_GOSSIP_COUNTERS_H

#include <stdint.h>

// Name, and what is counted. Totals since the start.
#define GOSSIP_COUNTERS(X)                                                                         \
    X(packets_in, "datagrams received")                                                            \
    X(packets_out, "datagrams sent")                                                               \
    X(bytes_in, "bytes of datagrams received")                                                     \
    X(bytes_out, "bytes of datagrams sent")                                                        \
    X(streams_in, "connections accepted")                                                          \
    X(streams_out, "connections made")                                                             \
    X(stream_bytes_in, "bytes of streams received")                                                \
    X(stream_bytes_out, "bytes of streams sent")                                                   \
    X(drop_unsealed, "datagrams that no key opens")                                                \
    X(drop_broken, "datagrams or messages that cannot be read")                                    \
    X(drop_keyless, "datagrams and connections before the first keys")                             \
    X(drop_misdirected, "pings for another node")                                                  \
    X(drop_conflict, "nodes that claim a name in use elsewhere")                                   \
    X(drop_version, "nodes whose protocol this one does not speak")                                \
    X(drop_full, "nodes, attachments or rows past a limit")                                        \
    X(drop_stream_refused, "connections past the limit of those served at once")                   \
    X(drop_stream_failed, "connections that broke, timed out or held no message")                  \
    X(drop_send_failed, "datagrams the kernel did not take")                                       \
    X(probes, "probe rounds begun")                                                                \
    X(probes_failed, "probe rounds without an answer")                                             \
    X(probes_by_stream, "probe rounds answered by TCP alone")                                      \
    X(suspicions, "nodes suspected")                                                               \
    X(deaths, "nodes found dead")                                                                  \
    X(refutations, "times this node refuted its own death")                                        \
    X(push_pulls, "full states exchanged")                                                         \
    X(push_pulls_failed, "exchanges that failed")                                                  \
    X(table_events_in, "table events received")                                                    \
    X(table_events_taken, "table events that changed a row")                                       \
    X(bulk_syncs, "bulk syncs begun")                                                              \
    X(bulk_syncs_failed, "bulk syncs not answered")                                                \
    X(rows_reaped, "tombstones forgotten")                                                         \
    X(broadcasts_dropped, "queued broadcasts dropped for room")

// State as of now.
#define GOSSIP_GAUGES(X)                                                                           \
    X(members, "nodes known")                                                                      \
    X(members_alive, "of these alive, this one included")                                          \
    X(members_suspect, "of these suspected")                                                       \
    X(nodes_failed, "nodes found dead and not yet forgotten")                                      \
    X(networks, "networks joined")                                                                 \
    X(attachments, "pairs of node and network known")                                              \
    X(rows, "rows held, tombstones included")                                                      \
    X(rows_bytes, "bytes of their values")                                                         \
    X(broadcasts_queued, "broadcasts waiting")                                                     \
    X(health, "0: well, to 7: this node is slow to see answers")

struct gossip_counters {
#define X(name, what) uint64_t name;
    GOSSIP_COUNTERS(X)
    GOSSIP_GAUGES(X)
#undef X
};

#endif
