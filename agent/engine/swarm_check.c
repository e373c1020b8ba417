#include "agent/engine/swarm_check.h"

#include <arpa/inet.h>
#include <string.h>

#include "agent/engine/objects.h"
#include "proto/base/str.h"
#include "proto/wire/defaults.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

#define SUBNET_SIZE_MAX 29

static int check_pool(const char *pool, uint32_t subnet_size, struct err *err)
{
    char head[64];
    struct in_addr ip;
    uint64_t bits;
    const char *slash = strchr(pool, '/');
    if (!slash || (size_t)(slash - pool) >= sizeof head ||
        !str_format(head, sizeof head, "%.*s", (int)(slash - pool), pool) ||
        inet_pton(AF_INET, head, &ip) != 1 || !str_to_u64(slash + 1, 32, &bits))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid CIDR address: %.100s", pool);
    if (bits > subnet_size)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid CIDR: \"%.100s\". Subnet size is too small for pool: %u", pool,
                       subnet_size);
    return 0;
}

int swarm_check_pools(const struct backend_init *init, struct err *err)
{
    uint32_t port = init->data_path_port;
    uint32_t size = init->subnet_size ? init->subnet_size : DEFAULT_SUBNET_SIZE;
    if (port && (port < VXLAN_PORT_MIN || port > VXLAN_PORT_MAX))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Datapath port number is not in valid range (%d-%d) : %u", VXLAN_PORT_MIN,
                       VXLAN_PORT_MAX, port);
    if (size > SUBNET_SIZE_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "subnet size is out of range: %u", size);
    for (size_t i = 0; i < init->address_pools_count; i++)
        if (check_pool(init->address_pools[i], size, err))
            return -(int)err->code;
    return 0;
}

Swarm__ClusterSpec *swarm_spec_read(const json_t *json, const Swarm__ClusterSpec *base,
                                    struct arena *arena, struct err *err)
{
    Swarm__ClusterSpec *spec = wire_copy(base, arena);
    if (!spec) {
        err_set(err, ERR_RESOURCE_EXHAUSTED, "the request is too large");
        return NULL;
    }
    if (fields_read(&cluster_spec_fields, json, spec, arena, err))
        return NULL;
    if (spec->raft->election_tick == 0)
        spec->raft->election_tick = base->raft->election_tick;
    if (spec->raft->heartbeat_tick == 0)
        spec->raft->heartbeat_tick = base->raft->heartbeat_tick;
    if (spec->raft->snapshot_interval == 0)
        spec->raft->snapshot_interval = base->raft->snapshot_interval;
    if (duration_to_ns(spec->dispatcher->heartbeat_period, 0) == 0)
        spec->dispatcher->heartbeat_period = base->dispatcher->heartbeat_period;
    if (duration_to_ns(spec->ca_config->node_cert_expiry, 0) == 0)
        spec->ca_config->node_cert_expiry = base->ca_config->node_cert_expiry;
    return spec;
}
