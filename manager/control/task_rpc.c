#include <string.h>

#include "manager/control/answer_rpc.h"
#include "manager/control/nouns_rpc.h"
#include "manager/orch/task.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/names.h"

void handle_get_task(struct rpc_call *call)
{
    const Swarm__GetTaskRequest *request = (const Swarm__GetTaskRequest *)rpc_call_message(call);
    answer_get(call, OBJECT_TASK, request->task_id, NULL);
}

static bool is_current(struct view view, const Swarm__Task *task, struct arena *arena)
{
    const struct object *object =
        str_empty(task->service_id) ? NULL : view_get(view, OBJECT_SERVICE, task->service_id);
    const struct object *node =
        str_empty(task->node_id) ? NULL : view_get(view, OBJECT_NODE, task->node_id);
    Swarm__Service *service = object ? object_unpack(object, arena) : NULL;
    return !service ||
           !task_is_dirty(service, task, node ? object_unpack(node, arena) : NULL, arena);
}

static bool state_wanted(Swarm__TaskState state, const Swarm__ListTasksRequest__Filters *f)
{
    for (size_t i = 0; i < f->n_desired_states; i++)
        if (f->desired_states[i] == state)
            return true;
    return f->n_desired_states == 0;
}

// What the task's facts decide without decoding it.
static bool facts_wanted(const struct object *object, const Swarm__ListTasksRequest__Filters *f)
{
    const struct task_facts *facts = object_task(object);
    return in_texts(facts->service_id, (char *const *)f->service_ids, f->n_service_ids) &&
           in_texts(facts->node_id, (char *const *)f->node_ids, f->n_node_ids) &&
           in_prefixes(object_id(object), (char *const *)f->id_prefixes, f->n_id_prefixes) &&
           state_wanted((Swarm__TaskState)facts->desired_state, f);
}

static bool task_wanted(struct view view, const struct object *object,
                        const Swarm__ListTasksRequest__Filters *f)
{
    if (!facts_wanted(object, f))
        return false;
    if (f->n_names + f->n_name_prefixes + f->n_labels + f->n_runtimes == 0 && !f->up_to_date)
        return true;
    struct arena arena;
    arena_init(&arena, OBJECT_ARENA_BYTES);
    const Swarm__Task *task = object_unpack(object, &arena);
    CHECK(task);
    char name[NAME_TASK_BYTES], runtime[256] = "";
    name_of_task(task, name, sizeof name);
    name_of_runtime(task->spec, runtime, sizeof runtime);
    bool wanted =
        in_texts(name, (char *const *)f->names, f->n_names) &&
        in_prefixes(name, (char *const *)f->name_prefixes, f->n_name_prefixes) &&
        in_labels(task->service_annotations, (const void *const *)f->labels, f->n_labels) &&
        in_texts(runtime, (char *const *)f->runtimes, f->n_runtimes) &&
        (!f->up_to_date || is_current(view, task, &arena));
    arena_fini(&arena);
    return wanted;
}

static bool all_wanted(const Swarm__ListTasksRequest__Filters *f)
{
    return !f || (f->n_names + f->n_id_prefixes + f->n_labels + f->n_service_ids + f->n_node_ids +
                          f->n_desired_states + f->n_name_prefixes + f->n_runtimes ==
                      0 &&
                  !f->up_to_date);
}

void handle_list_tasks(struct rpc_call *call)
{
    const Swarm__ListTasksRequest *request =
        (const Swarm__ListTasksRequest *)rpc_call_message(call);
    const Swarm__ListTasksRequest__Filters *f = request->filters;
    struct answer_list list;
    answer_list_begin(&list, call);
    if (all_wanted(f) && answer_list_same(&list, OBJECT_TASK))
        return;
    // The narrowest index first: clients mostly ask for the tasks of one service or one node.
    struct by by = BY_ALL;
    if (f && f->n_service_ids == 1)
        by = by_service(f->service_ids[0]);
    else if (f && f->n_node_ids == 1)
        by = by_node(f->node_ids[0]);
    VIEW_EACH (object, list.view, OBJECT_TASK, by) {
        if (!f || task_wanted(list.view, object, f))
            answer_list_add(&list, object);
    }
    answer_list_end(&list);
}

void handle_remove_task(struct rpc_call *call)
{
    const Swarm__RemoveTaskRequest *request =
        (const Swarm__RemoveTaskRequest *)rpc_call_message(call);
    if (str_empty(request->task_id)) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    struct err err = ERR_INIT;
    if (txn_delete(txn, OBJECT_TASK, request->task_id, &err))
        answer_fail(call, txn, ERR_NOT_FOUND, "task %s not found", request->task_id);
    else
        answer_commit(call, txn, OBJECT_TASK, NULL, NULL);
}
