// What a node may ask of its gossip at most.
#ifndef AGENT_GOSSIP_LIMITS_H
#define AGENT_GOSSIP_LIMITS_H

#define GOSSIP_ID_BYTES      128  // longest network id, table name or key taken
#define GOSSIP_NETWORKS_MAX  4096 // joined at a time
#define GOSSIP_BOOTSTRAP_MAX 64   // addresses kept

// Largest value of an own row. Those beyond about 1 KiB do not fit a packet and travel by bulk sync
// only, which is slower.
#define GOSSIP_VALUE_BYTES (16 << 10)

#endif
