#include "agent/worker.h"

#include <stdlib.h>
#include <string.h>

#include "agent/status_message.h"
#include "agent/task_files.h"
#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "proto/wire/defaults.h"
#include "proto/wire/wire.h"

// Bytes of a status message that is made to be saved.
#define STATUS_BYTES 65536

struct worker_task {
    struct list link; // in worker.eager while something is to be done
    struct worker *worker;
    char *id;
    Swarm__Task *assigned; // a copy; its status is not kept up to date
    struct task machine;
    struct executor_task *hands; // NULL until the first operation, and when rejected
    struct mono wake;
    bool waits;  // restored, for the first assignments
    bool listed; // by the complete message being applied
    bool unsaved;
};

struct worker {
    struct worker_config config;
    struct map tasks;   // id -> struct worker_task
    struct map secrets; // id -> Swarm__Secret
    struct map configs; // id -> Swarm__Config
    struct map unsaved; // id -> NULL: tasks that are gone and not yet forgotten on disk
    struct list eager;
    bool synced; // the first assignments came
};

// ---- life --------------------------------------------------------------------------------------

struct worker *worker_new(const struct worker_config *config)
{
    struct worker *worker = MEM_NEW(struct worker);
    worker->config = *config;
    map_init(&worker->tasks);
    map_init(&worker->secrets);
    map_init(&worker->configs);
    map_init(&worker->unsaved);
    list_init(&worker->eager);
    return worker;
}

static bool is_attachment(const struct worker_task *task)
{
    return task->worker->config.attacher &&
           task->assigned->spec->runtime_case == SWARM__TASK_SPEC__RUNTIME_ATTACHMENT;
}

static struct executor *executor_of(const struct worker_task *task)
{
    return is_attachment(task) ? task->worker->config.attacher : task->worker->config.executor;
}

static const struct executor_class *class_of(const struct worker_task *task)
{
    return executor_of(task)->class;
}

static void task_let_go(struct worker_task *task)
{
    const struct worker_config *config = &task->worker->config;
    if (!task->hands)
        return;
    if (config->closing)
        config->closing(config->owner, task->id);
    class_of(task)->close(task->hands);
    task->hands = NULL;
}

static void task_free(struct worker_task *task)
{
    task_let_go(task);
    list_remove(&task->link);
    wire_free(task->assigned);
    free(task->id);
    free(task);
}

// Payloads of secrets do not stay behind in freed memory. NULL is fine.
static void object_free(void *object)
{
    ProtobufCMessage *message = object;
    if (message && message->descriptor == &swarm__secret__descriptor) {
        Swarm__Secret *secret = object;
        if (secret->spec && secret->spec->data.len)
            explicit_bzero(secret->spec->data.data, secret->spec->data.len);
    }
    wire_free(object);
}

static void free_objects(struct map *map)
{
    MAP_EACH (entry, map)
        object_free(entry->value);
    map_fini(map);
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    MAP_EACH (entry, &worker->tasks)
        task_free(entry->value);
    map_fini(&worker->tasks);
    free_objects(&worker->secrets);
    free_objects(&worker->configs);
    map_fini(&worker->unsaved);
    free(worker);
}

static void stir(struct worker_task *task)
{
    if (list_empty(&task->link))
        list_push_back(&task->worker->eager, &task->link);
    task->worker->config.wake(task->worker->config.owner);
}

// ---- what the executor tells -------------------------------------------------------------------

static struct mono now_of(const struct worker_task *task)
{
    return task->worker->config.now(task->worker->config.owner);
}

static const Swarm__HealthConfig *health_of(const struct worker_task *task)
{
    const struct executor_class *class = class_of(task);
    return class->health ? class->health(task->hands) : NULL;
}

static void settle_health(struct worker_task *task)
{
    task_set_health(&task->machine, health_of(task));
}

static void on_found(void *owner, enum executor_found found,
                     const struct executor_container *container, const struct executor_exit *exit)
{
    struct worker_task *task = owner;
    settle_health(task);
    task_found(&task->machine, found, container, exit, now_of(task));
    stir(task);
}

static void on_prepared(void *owner, const struct err *err)
{
    struct worker_task *task = owner;
    if (!err)
        settle_health(task);
    task_prepared(&task->machine, err);
    stir(task);
}

static void on_started(void *owner, const struct executor_container *container,
                       const Swarm__PortConfig *const *ports, size_t ports_count,
                       const struct err *err)
{
    struct worker_task *task = owner;
    if (!err)
        task_set_ports(&task->machine, ports, ports_count);
    task_started(&task->machine, container, err, now_of(task));
    stir(task);
}

static void on_exited(void *owner, const struct executor_exit *exit)
{
    struct worker_task *task = owner;
    task_exited(&task->machine, exit);
    stir(task);
}

static void on_stopped(void *owner, const struct err *err)
{
    struct worker_task *task = owner;
    task_stopped(&task->machine, err, now_of(task));
    stir(task);
}

static void on_removed(void *owner, const struct err *err)
{
    struct worker_task *task = owner;
    task_removed(&task->machine, err, now_of(task));
    stir(task);
}

static void on_checked(void *owner, int code, const char *output, const struct err *err)
{
    struct worker_task *task = owner;
    (void)output;
    task_checked(&task->machine, !err && code == 0, now_of(task));
    stir(task);
}

static const struct executor_events events = {
    .found = on_found,
    .prepared = on_prepared,
    .started = on_started,
    .exited = on_exited,
    .stopped = on_stopped,
    .removed = on_removed,
    .checked = on_checked,
};

// ---- taking a task in hand ---------------------------------------------------------------------

static const Swarm__ContainerSpec *container_of_task(const Swarm__Task *task)
{
    return task->spec->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER ? task->spec->container
                                                                           : NULL;
}

// A port of the host that was chosen for the task once stays its own.
static void keep_ports(const struct worker_task *task, Swarm__Task *order)
{
    const struct task_status *status = &task->machine.status;
    size_t next = 0;
    for (size_t i = 0; order->endpoint && i < order->endpoint->n_ports; i++) {
        Swarm__PortConfig *port = order->endpoint->ports[i];
        if (port->publish_mode != SWARM__PORT_CONFIG__PUBLISH_MODE__HOST)
            continue;
        const struct task_port *had = next < status->ports_count ? &status->ports[next++] : NULL;
        if (had && !port->published_port && had->protocol == port->protocol &&
            had->target == port->target_port)
            port->published_port = had->published;
    }
}

// Opens the executor's side. `with_files`: for making the container, not only for finding it.
static int take_in_hand(struct worker_task *task, bool with_files, struct err *err)
{
    struct worker *worker = task->worker;
    struct arena arena;
    arena_init(&arena, WORKER_TASK_BYTES);
    struct template_context context = {.task = task->assigned, .node = &worker->config.node};
    Swarm__Task *expanded = template_expand_task(&context, &arena, err);
    struct executor_order order = {.task = expanded};
    const struct task_files from = {&worker->secrets, &worker->configs, &worker->config.node};
    int result = expanded ? 0 : -ERR_INVALID_ARGUMENT;
    if (!result)
        keep_ports(task, expanded);
    if (!result && with_files)
        result = task_files_gather(&from, order.task, &order, &arena, err);
    if (!result) {
        task_let_go(task);
        task->hands = class_of(task)->open(executor_of(task), &order, &events, task, err);
        result = task->hands ? 0 : -ERR_INVALID_ARGUMENT;
    }
    arena_fini(&arena);
    return result;
}

// ---- going on ----------------------------------------------------------------------------------

// A task that cannot be taken in hand answers its operation with the error.
static void refuse_op(struct worker_task *task, enum task_op op, const struct err *err)
{
    switch (op) {
    case TASK_OP_FIND:
        // Nothing of it can be here; what is wrong with it is said when it is made.
        task_found(&task->machine, EXECUTOR_ABSENT, NULL, NULL, now_of(task));
        break;
    case TASK_OP_PREPARE:
        task_prepared(&task->machine, err);
        break;
    case TASK_OP_START:
        task_started(&task->machine, NULL, err, now_of(task));
        break;
    case TASK_OP_STOP:
        task_stopped(&task->machine, NULL, now_of(task));
        break;
    case TASK_OP_REMOVE:
        task_removed(&task->machine, NULL, now_of(task));
        break;
    case TASK_OP_NONE:
        return;
    }
    stir(task);
}

static void begin_op(struct worker_task *task, enum task_op op)
{
    const struct executor_class *class = class_of(task);
    struct err err = ERR_INIT;
    // A prepare begins anew with the files; everything else makes do with what there is.
    bool open = op == TASK_OP_PREPARE || !task->hands;
    if (op != TASK_OP_NONE && open && take_in_hand(task, op == TASK_OP_PREPARE, &err)) {
        refuse_op(task, op, &err);
        return;
    }
    switch (op) {
    case TASK_OP_NONE:
        return;
    case TASK_OP_FIND:
        class->find(task->hands);
        return;
    case TASK_OP_PREPARE:
        class->prepare(task->hands);
        return;
    case TASK_OP_START:
        class->start(task->hands);
        return;
    case TASK_OP_STOP:
        class->stop(task->hands, task->machine.stop_grace_ns);
        return;
    case TASK_OP_REMOVE:
        class->remove(task->hands);
        return;
    }
    UNREACHABLE("task operation");
}

static void check_health(struct worker_task *task)
{
    const Swarm__HealthConfig *health = health_of(task);
    CHECK(health);
    class_of(task)->check(task->hands, (const char *const *)health->test, health->n_test,
                          task->machine.health.timeout_ns);
}

static void go_on(struct worker_task *task)
{
    struct worker *worker = task->worker;
    struct task_asks asks =
        task_step(&task->machine, now_of(task), worker->config.wall(worker->config.owner));
    task->wake = asks.wake;
    if (asks.report) {
        reporter_set(worker->config.reporter, task->id, &task->machine.status);
        task->unsaved = true;
        worker->config.wake(worker->config.owner);
    }
    if (asks.gone) {
        reporter_forget(worker->config.reporter, task->id);
        map_put_str(&worker->unsaved, task->id, NULL);
        map_remove_str(&worker->tasks, task->id);
        task_free(task);
        worker->config.wake(worker->config.owner);
        return;
    }
    if (asks.abort && task->hands)
        class_of(task)->abort(task->hands);
    if (asks.check)
        check_health(task);
    begin_op(task, asks.op);
}

struct mono worker_run(struct worker *worker)
{
    struct mono now = worker->config.now(worker->config.owner);
    MAP_EACH (entry, &worker->tasks) {
        struct worker_task *task = entry->value;
        if (!task->waits && !mono_before(now, task->wake) && list_empty(&task->link))
            list_push_back(&worker->eager, &task->link);
    }
    // What is stirred on the way is done in the next run, so that one run ends.
    struct list round;
    list_init(&round);
    for (struct list *link; (link = list_pop_front(&worker->eager));)
        list_push_back(&round, link);
    for (struct list *link; (link = list_pop_front(&round));)
        go_on(LIST_ENTRY(link, struct worker_task, link));
    struct mono next = list_empty(&worker->eager) ? MONO_NEVER : now;
    MAP_EACH (entry, &worker->tasks) {
        const struct worker_task *task = entry->value;
        if (!task->waits && mono_before(task->wake, next))
            next = task->wake;
    }
    return next;
}

// ---- assignments -------------------------------------------------------------------------------

static struct worker_task *task_add(struct worker *worker, const Swarm__Task *message,
                                    const struct task_status *known)
{
    struct worker_task *task = MEM_NEW(struct worker_task);
    list_init(&task->link);
    task->worker = worker;
    task->id = str_dup(message->id);
    task->assigned = wire_copy(message, NULL);
    task->wake = MONO_NEVER;
    task->unsaved = true;
    const Swarm__ContainerSpec *spec = container_of_task(task->assigned);
    struct task_config config = {
        .desired = message->desired_state,
        .stop_grace_ns = spec ? defaults_stop_grace_ns(spec) : DEFAULT_STOP_GRACE_NS,
        .known = known,
    };
    task_init(&task->machine, &config);
    map_put_str(&worker->tasks, task->id, task);
    return task;
}

void worker_restore(struct worker *worker, const Swarm__Task *task, const Swarm__TaskStatus *status)
{
    CHECK(!worker->synced);
    if (str_empty(task->id) || map_has_str(&worker->tasks, task->id))
        return;
    struct task_status known = status_message_read(status);
    struct worker_task *added = task_add(worker, task, &known);
    added->unsaved = false;
    added->waits = known.state < SWARM__TASK_STATE__STARTING;
    if (!added->waits)
        stir(added);
}

static void assign_task(struct worker *worker, const Swarm__Task *message)
{
    struct worker_task *task = map_get_str(&worker->tasks, message->id);
    if (!task) {
        bool is_known = message->status && message->status->state > SWARM__TASK_STATE__ASSIGNED;
        struct task_status known =
            is_known ? status_message_read(message->status) : (struct task_status){0};
        task = task_add(worker, message, is_known ? &known : NULL);
    } else if (message->desired_state > task->machine.desired) {
        // Nothing else of an assigned task changes (section 12).
        task_want(&task->machine, message->desired_state);
        task->assigned->desired_state = message->desired_state;
        task->unsaved = true;
    }
    task->listed = true;
    stir(task);
}

static void forget_task(struct worker_task *task)
{
    task_forget(&task->machine);
    task->waits = false;
    stir(task);
}

// Puts a copy of the message under its id, or with `remove` takes it out.
static void set_object(struct map *map, const char *id, const void *message, bool remove)
{
    object_free(remove ? map_remove_str(map, id) : map_put_str(map, id, wire_copy(message, NULL)));
}

static int refuse(struct err *err, const char *what)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "assignment left out: %s", what);
}

static int assign_object(struct map *map, const char *id, const void *message, bool remove,
                         struct err *err)
{
    if (str_empty(id))
        return refuse(err, "no id");
    if (!remove && !map_has_str(map, id) && map_count(map) >= WORKER_OBJECTS_MAX)
        return refuse(err, "too many secrets or configs");
    set_object(map, id, message, remove);
    return 0;
}

static int assign_one_task(struct worker *worker, const Swarm__Task *message, bool remove,
                           struct err *err)
{
    if (str_empty(message->id) || strlen(message->id) > WORKER_ID_CHARS_MAX)
        return refuse(err, "no usable id");
    struct worker_task *task = map_get_str(&worker->tasks, message->id);
    if (remove) {
        if (task)
            forget_task(task);
        return 0;
    }
    if (!task && map_count(&worker->tasks) >= WORKER_TASKS_MAX)
        return refuse(err, "too many tasks");
    assign_task(worker, message);
    return 0;
}

// Applies the changes of one kind; secrets and configs come before the tasks that need them,
// whatever the order in the message.
static int apply(struct worker *worker, const Swarm__AssignmentsMessage *message,
                 Swarm__Assignment__ItemCase kind, struct err *err)
{
    int result = 0;
    for (size_t i = 0; i < message->n_changes; i++) {
        const Swarm__AssignmentChange *change = message->changes[i];
        const Swarm__Assignment *item = change->assignment;
        if (!item || item->item_case != kind)
            continue;
        bool remove = change->action == SWARM__ASSIGNMENT_CHANGE__ASSIGNMENT_ACTION__REMOVE;
        struct err why = ERR_INIT;
        switch (kind) {
        case SWARM__ASSIGNMENT__ITEM_SECRET:
            assign_object(&worker->secrets, item->secret->id, item->secret, remove, &why);
            break;
        case SWARM__ASSIGNMENT__ITEM_CONFIG:
            assign_object(&worker->configs, item->config->id, item->config, remove, &why);
            break;
        default:
            assign_one_task(worker, item->task, remove, &why);
        }
        if (why.code != ERR_OK && !result)
            result = err_copy(err, &why);
    }
    return result;
}

int worker_assign(struct worker *worker, const Swarm__AssignmentsMessage *message, struct err *err)
{
    static const Swarm__Assignment__ItemCase order[] = {SWARM__ASSIGNMENT__ITEM_SECRET,
                                                        SWARM__ASSIGNMENT__ITEM_CONFIG,
                                                        SWARM__ASSIGNMENT__ITEM_TASK};
    bool complete = message->type == SWARM__ASSIGNMENTS_MESSAGE__TYPE__COMPLETE;
    if (complete) {
        free_objects(&worker->secrets);
        free_objects(&worker->configs);
        map_init(&worker->secrets);
        map_init(&worker->configs);
        MAP_EACH (entry, &worker->tasks)
            ((struct worker_task *)entry->value)->listed = false;
    }
    int result = 0;
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        struct err why = ERR_INIT;
        if (apply(worker, message, order[i], &why) && !result)
            result = err_copy(err, &why);
    }
    worker->synced = worker->synced || complete;
    MAP_EACH (entry, &worker->tasks) {
        struct worker_task *task = entry->value;
        if (complete && !task->listed)
            forget_task(task);
        else if (worker->synced && task->waits) {
            task->waits = false;
            stir(task);
        }
    }
    return result;
}

void worker_discard(struct worker *worker)
{
    worker->synced = true;
    MAP_EACH (entry, &worker->tasks) {
        struct worker_task *task = entry->value;
        task->machine.stop_grace_ns = 0;
        forget_task(task);
    }
}

// ---- remembering -------------------------------------------------------------------------------

void worker_save(struct worker *worker,
                 void (*put)(void *owner, const char *task_id, const Swarm__Task *task,
                             const Swarm__TaskStatus *status),
                 void *owner)
{
    MAP_EACH (entry, &worker->unsaved)
        put(owner, entry->key, NULL, NULL);
    map_clear(&worker->unsaved);
    MAP_EACH (entry, &worker->tasks) {
        struct worker_task *task = entry->value;
        if (!task->unsaved)
            continue;
        struct arena arena;
        arena_init(&arena, STATUS_BYTES);
        const Swarm__TaskStatus *status = status_message_write(&task->machine.status, &arena);
        CHECK(status); // its texts are bounded far below STATUS_BYTES
        put(owner, task->id, task->assigned, status);
        task->unsaved = false;
        arena_fini(&arena);
    }
}

size_t worker_count(const struct worker *worker)
{
    return map_count(&worker->tasks);
}

struct executor_task *worker_find(const struct worker *worker, const char *task_id)
{
    const struct worker_task *task = map_get_str(&worker->tasks, task_id);
    return task && !is_attachment(task) ? task->hands : NULL;
}

bool worker_next(const struct worker *worker, size_t *position, struct worker_view *out)
{
    const struct map_entry *entry = map_next(&worker->tasks, position);
    if (!entry)
        return false;
    const struct worker_task *task = entry->value;
    *out = (struct worker_view){task->assigned, is_attachment(task) ? NULL : task->hands,
                                task->machine.status.state};
    return true;
}

const Swarm__Task *worker_task(const struct worker *worker, const char *task_id)
{
    const struct worker_task *task = map_get_str(&worker->tasks, task_id);
    return task ? task->assigned : NULL;
}
