// A task's networks: its sandbox, and when it serves.
#include "agent/container_priv_io.h"
#include "agent/container_settle_io.h"
#include "agent/net/order.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

bool container_net_wanted(const struct executor_task *task)
{
    return task->containers->nets && order_wants_sandbox(task->order.task);
}

int container_net_make(struct executor_task *task, const char *resolv, bool adopt, nets_made *made,
                       struct err *err)
{
    struct order order;
    const Swarm__Task *assigned = task->order.task;
    int rc = order_of_task(assigned, task->id, task->spec.name, resolv, &task->made, &order, err);
    return rc ? rc : nets_sandbox_make(task->containers->nets, &order, adopt, made, task, err);
}

static bool is_checked(const struct executor_task *task)
{
    return task->spec.health != NULL;
}

// The task may be gone by then; what matters is in the log.
static void adopted(void *owner, const char *path, const struct err *err)
{
    (void)owner;
    (void)path;
    if (err && err->code != ERR_CANCELLED)
        log_warn("a running container's networks were not taken over", "err=\"%s\"", err->message);
}

void container_net_adopt(struct executor_task *task)
{
    struct err err = ERR_INIT;
    struct buf resolv;
    if (!container_net_wanted(task))
        return;
    containers_resolv(task->containers, &resolv);
    if (container_net_make(task, buf_cstr(&resolv), true, adopted, &err))
        log_warn("a running container's networks were not taken over", "container=%s err=\"%s\"",
                 task->id, err.message);
    buf_fini(&resolv);
    // A health check is taken as passed: what served before goes on serving, and one that is not
    // well fails its next checks and is stopped.
    if (task->running)
        nets_sandbox_serve(task->containers->nets, task->id, NETS_SERVE_READY);
}

bool container_net_starting(struct executor_task *task)
{
    if (!container_net_wanted(task) || is_checked(task) || task->order.task->n_networks == 0)
        return false;
    nets_sandbox_serve(task->containers->nets, task->id, NETS_SERVE_SELF);
    return true;
}

bool container_net_named(const struct executor_task *task)
{
    return nets_names_told(task->containers->nets);
}

void container_net_started(struct executor_task *task)
{
    if (container_net_wanted(task) && !is_checked(task))
        nets_sandbox_serve(task->containers->nets, task->id, NETS_SERVE_READY);
}

void container_net_healthy(struct executor_task *task)
{
    // A check that passes while the task is being stopped does not bring it back.
    if (container_net_wanted(task) && task->running && task->op != CONTAINER_STOP)
        nets_sandbox_serve(task->containers->nets, task->id, NETS_SERVE_READY);
}

bool container_net_drain(struct executor_task *task)
{
    if (!container_net_wanted(task) || !task->running ||
        !nets_sandbox_is_served(task->containers->nets, task->id))
        return false;
    nets_sandbox_serve(task->containers->nets, task->id, NETS_SERVE_DRAIN);
    // Without networks nobody balances to it.
    return !str_empty(task->order.task->service_id) && task->order.task->n_networks > 0;
}

void container_net_ended(struct executor_task *task)
{
    // Its record may stay for as long as its service; its addresses and ports are for those that
    // come in its place.
    if (!container_net_wanted(task))
        return;
    nets_sandbox_unpublish(task->containers->nets, task->id); // at once
    nets_sandbox_remove(task->containers->nets, task->id, NULL, NULL);
}

Swarm__PortConfig **container_net_ports(const struct executor_task *task, struct arena *arena,
                                        size_t *count)
{
    const Swarm__Endpoint *endpoint = task->order.task->endpoint;
    size_t rows_count = 0, row = 0;
    *count = 0;
    if (!container_net_wanted(task) || !endpoint)
        return NULL;
    const struct ports_row *rows =
        nets_sandbox_ports(task->containers->nets, task->id, &rows_count);
    Swarm__PortConfig **ports = arena_alloc_array(arena, rows_count + 1, sizeof *ports);
    for (size_t i = 0; ports && i < endpoint->n_ports && row < rows_count; i++) {
        if (endpoint->ports[i]->publish_mode != SWARM__PORT_CONFIG__PUBLISH_MODE__HOST)
            continue;
        ports[row] = arena_memdup(arena, endpoint->ports[i], sizeof *ports[row]);
        if (!ports[row])
            return NULL;
        ports[row]->published_port = rows[row].published;
        row++;
    }
    *count = ports ? row : 0;
    return ports;
}
