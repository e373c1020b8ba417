#include "agent/status_message.h"

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

Swarm__TaskStatus *status_message_write(const struct task_status *status, struct arena *arena)
{
    Swarm__TaskStatus *message = wire_new(&swarm__task_status__descriptor, arena);
    if (!message)
        return NULL;
    message->timestamp = timestamp_new(status->at, arena);
    message->state = status->state;
    message->message = arena_strdup(arena, str_or(status->message, ""));
    message->err = arena_strdup(arena, status->err);
    if (status->ports_count) {
        message->port_status = wire_new(&swarm__port_status__descriptor, arena);
        if (!message->port_status)
            return NULL;
        message->port_status->ports = arena_alloc_array(arena, status->ports_count, sizeof(void *));
        for (size_t i = 0; message->port_status->ports && i < status->ports_count; i++) {
            Swarm__PortConfig *port = wire_new(&swarm__port_config__descriptor, arena);
            if (!port)
                return NULL;
            port->protocol = status->ports[i].protocol;
            port->target_port = status->ports[i].target;
            port->published_port = status->ports[i].published;
            port->publish_mode = SWARM__PORT_CONFIG__PUBLISH_MODE__HOST;
            message->port_status->ports[message->port_status->n_ports++] = port;
        }
    }
    if (status->has_container) {
        Swarm__ContainerStatus *container = wire_new(&swarm__container_status__descriptor, arena);
        if (container) {
            container->container_id = arena_strdup(arena, status->container.id);
            container->pid = status->container.pid;
            container->exit_code = status->exit_code;
            message->runtime_status_case = SWARM__TASK_STATUS__RUNTIME_STATUS_CONTAINER;
            message->container = container;
        }
    }
    return arena_overflowed(arena) ? NULL : message;
}

// The messages of the states, for statuses that come from elsewhere: the machine keeps no copies.
static const char *message_of(Swarm__TaskState state)
{
    static const struct {
        Swarm__TaskState state;
        const char *message;
    } rows[] = {
        {SWARM__TASK_STATE__ACCEPTED, "accepted"},  {SWARM__TASK_STATE__PREPARING, "preparing"},
        {SWARM__TASK_STATE__READY, "prepared"},     {SWARM__TASK_STATE__STARTING, "starting"},
        {SWARM__TASK_STATE__RUNNING, "started"},    {SWARM__TASK_STATE__COMPLETE, "finished"},
        {SWARM__TASK_STATE__SHUTDOWN, "shutdown"},  {SWARM__TASK_STATE__FAILED, "started"},
        {SWARM__TASK_STATE__REJECTED, "preparing"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].state == state)
            return rows[i].message;
    return "";
}

struct task_status status_message_read(const Swarm__TaskStatus *message)
{
    struct task_status status = {.state = message->state,
                                 .message = message_of(message->state),
                                 .at = timestamp_to_wall(message->timestamp)};
    str_copy(status.err, sizeof status.err, str_or(message->err, ""));
    if (message->runtime_status_case == SWARM__TASK_STATUS__RUNTIME_STATUS_CONTAINER) {
        status.has_container = true;
        str_copy(status.container.id, sizeof status.container.id,
                 str_or(message->container->container_id, ""));
        status.container.pid = message->container->pid;
        status.exit_code = message->container->exit_code;
    }
    const Swarm__PortStatus *ports = message->port_status;
    for (size_t i = 0; ports && i < ports->n_ports && i < TASK_PORTS_MAX; i++)
        status.ports[status.ports_count++] =
            (struct task_port){.protocol = ports->ports[i]->protocol,
                               .target = ports->ports[i]->target_port,
                               .published = ports->ports[i]->published_port};
    return status;
}
