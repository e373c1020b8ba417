// The tasks of runtime "attachment": each is one network of one container, and has no process.
#include <stdlib.h>
#include <string.h>

#include "agent/attachments_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

#define TASK_MAGIC 0x6174746bu
#define ADOPT_MS   100

enum op { OP_NONE, OP_FIND, OP_PREPARE, OP_START, OP_STOP, OP_REMOVE };

struct executor_task {
    unsigned magic;
    struct attachments *home;
    const struct executor_events *events;
    void *owner;
    struct arena arena;
    Swarm__Task *task;
    enum op op;
    bool running; // `exited` is to be told
    struct err err;
    struct loop_later answer;
};

static const char *container_of_task(const Swarm__Task *task)
{
    return task->spec->attachment ? str_or(task->spec->attachment->container_id, "") : "";
}

static bool is_parting(const struct attachments *home, const char *task_id)
{
    LIST_EACH (it, &home->partings)
        if (str_equal(LIST_ENTRY(it, struct parting, link)->task_id, task_id))
            return true;
    return false;
}

// The network that a task is for; NULL: none.
static const Swarm__Network *network_of_task(const Swarm__Task *task)
{
    return task->n_networks ? task->networks[0]->network : NULL;
}

static const char *name_of(const Swarm__Network *network)
{
    return network && network->spec && network->spec->annotations
               ? str_or(network->spec->annotations->name, "")
               : "";
}

// The attachment that is this task's. The task may come before the answer that names it; one that
// was given back is nobody's.
static struct attachment *attachment_of(const struct executor_task *task)
{
    const struct berth *berth = berth_find(task->home, container_of_task(task->task));
    const Swarm__Network *network = network_of_task(task->task);
    const char *id = task->task->id;
    if (!berth || is_parting(task->home, id))
        return NULL;
    LIST_EACH (it, &berth->all) {
        struct attachment *attachment = LIST_ENTRY(it, struct attachment, link);
        if (attachment->ended)
            continue;
        if (str_equal(attachment->task_id, id))
            return attachment;
        if (!attachment->task_id && attachment->request && network &&
            (attachment_is_on(attachment, network->id) ||
             attachment_is_on(attachment, name_of(network))))
            return attachment;
    }
    return NULL;
}

// Its network and address are known from here on.
static int assign(struct attachment *attachment, const Swarm__Task *task, struct err *err)
{
    const struct attachment_frame *frame = &attachment->berth->frame;
    struct order order;
    if (!attachment->task_id)
        attachment->task_id = str_dup(task->id);
    int rc = order_of_task(task, frame->container, str_or(frame->name, ""),
                           str_or(frame->resolv, ""), &attachment->arena, &order, err);
    if (rc)
        return rc;
    if (order.networks_count != 1)
        return err_set(err, ERR_INVALID_ARGUMENT, "an attachment without a network");
    attachment->network = order.networks[0];
    if (attachment->wish.mac)
        memcpy(attachment->network.mac, attachment->wish.mac, MAC_BYTES);
    memcpy(attachment->servers, order.servers, sizeof attachment->servers);
    attachment->servers_count = order.servers_count;
    sandbox_endpoint_id(frame->container, attachment->network.overlay.id, "", attachment->endpoint);
    attachment->assigned = true;
    return 0;
}

// A container that runs since before this life of ours: its networks come one by one, and its
// sandbox is taken over once all are likely to have come.
static bool adopt(struct executor_task *task)
{
    struct attachments *home = task->home;
    struct attachment_wish wish = {0};
    struct attachment_frame frame = {0};
    struct err err = ERR_INIT;
    const Swarm__Network *network = network_of_task(task->task);
    const char *id = container_of_task(task->task);
    struct berth *berth = berth_find(home, id);
    if (!network || (berth && !berth->adopt) || is_parting(home, task->task->id) ||
        !home->describe ||
        !home->describe(home->describe_owner, id, network->id, name_of(network), &wish, &frame))
        return false;
    if (!berth)
        berth = berth_new(home, &frame, true);
    struct attachment *attachment = attachment_open(berth, &wish);
    if (assign(attachment, task->task, &err)) {
        log_warn("a container's network was not taken over", "container=%s err=\"%s\"", id,
                 err.message);
        attachment_end(attachment, &err);
        return false;
    }
    berth_go(berth, ADOPT_MS);
    return true;
}

static void answer_find(struct executor_task *task)
{
    struct executor_container container = {0};
    const char *id = container_of_task(task->task);
    bool here = attachment_of(task) != NULL || adopt(task);
    if (!here)
        attachment_give_back(task->home, task->task->id);
    str_copy(container.id, sizeof container.id, id);
    task->running = here;
    task->events->found(task->owner, here ? EXECUTOR_RUNNING : EXECUTOR_ABSENT, &container, NULL);
}

static void answer_start(struct executor_task *task)
{
    struct executor_container container = {0};
    struct attachment *attachment = attachment_of(task);
    str_copy(container.id, sizeof container.id, container_of_task(task->task));
    if (!attachment)
        err_set(&task->err, ERR_NOT_FOUND, "no container waits for this attachment");
    else if (!attachment->assigned && assign(attachment, task->task, &task->err))
        attachment_end(attachment, &task->err);
    else
        berth_go(attachment->berth, 0);
    task->running = task->err.code == ERR_OK;
    task->events->started(task->owner, task->running ? &container : NULL, NULL, 0,
                          task->running ? NULL : &task->err);
}

static void answer_stop(struct executor_task *task)
{
    struct attachment *attachment = attachment_of(task);
    struct executor_exit exit = {0};
    bool was = task->running;
    if (attachment && str_equal(attachment->task_id, task->task->id))
        attachment_end(attachment, NULL);
    task->running = false;
    if (was)
        task->events->exited(task->owner, &exit);
    task->events->stopped(task->owner, NULL);
}

static void answer(struct loop_later *later)
{
    struct executor_task *task = CONTAINER_OF(later, struct executor_task, answer);
    enum op op = task->op;
    task->op = OP_NONE;
    err_clear(&task->err);
    switch (op) {
    case OP_FIND:
        answer_find(task);
        return;
    case OP_PREPARE:
        if (!attachment_of(task)) {
            err_set(&task->err, ERR_NOT_FOUND, "no container waits for this attachment");
            attachment_give_back(task->home, task->task->id);
        }
        task->events->prepared(task->owner, task->err.code ? &task->err : NULL);
        return;
    case OP_START:
        answer_start(task);
        return;
    case OP_STOP:
        answer_stop(task);
        return;
    case OP_REMOVE:
        task->events->removed(task->owner, NULL);
        return;
    case OP_NONE:
        break;
    }
    UNREACHABLE("an answer without an operation");
}

static void begin(struct executor_task *task, enum op op)
{
    MAGIC_CHECK(task, TASK_MAGIC);
    CHECK(task->op == OP_NONE);
    task->op = op;
    loop_later_ask(&task->answer);
}

static void task_find(struct executor_task *task)
{
    begin(task, OP_FIND);
}

static void task_prepare(struct executor_task *task)
{
    begin(task, OP_PREPARE);
}

static void task_abort(struct executor_task *task)
{
    (void)task; // it ends in the same turn
}

static void task_start(struct executor_task *task)
{
    begin(task, OP_START);
}

static void task_stop(struct executor_task *task, int64_t grace_ns)
{
    (void)grace_ns;
    begin(task, OP_STOP);
}

static void task_remove(struct executor_task *task)
{
    begin(task, OP_REMOVE);
}

static void task_close(struct executor_task *task)
{
    MAGIC_CHECK(task, TASK_MAGIC);
    loop_later_cancel(&task->answer);
    arena_fini(&task->arena);
    MAGIC_CLEAR(task);
    free(task);
}

static struct executor_task *task_open(struct executor *executor,
                                       const struct executor_order *order,
                                       const struct executor_events *events, void *owner,
                                       struct err *err)
{
    struct attachments *home = CONTAINER_OF(executor, struct attachments, executor);
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    if (str_empty(container_of_task(order->task))) {
        err_set(err, ERR_INVALID_ARGUMENT, "an attachment of no container");
        return NULL;
    }
    struct executor_task *task = MEM_NEW(struct executor_task);
    MAGIC_SET(task, TASK_MAGIC);
    task->home = home;
    task->events = events;
    task->owner = owner;
    arena_init(&task->arena, ATTACHMENTS_MEMORY_MAX);
    loop_later_init(&task->answer, home->config.loop, answer);
    task->task = wire_copy(order->task, &task->arena);
    if (!task->task) {
        err_set(err, ERR_RESOURCE_EXHAUSTED, "the task is too large");
        task_close(task);
        return NULL;
    }
    return task;
}

// Its tasks have no health checks and no logs.
const struct executor_class attachment_tasks = {
    .open = task_open,
    .find = task_find,
    .prepare = task_prepare,
    .abort = task_abort,
    .start = task_start,
    .stop = task_stop,
    .remove = task_remove,
    .close = task_close,
};
