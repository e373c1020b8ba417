#include "cmd/skep/converge.h"

#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/common.h"
#include "cmd/skep/interrupt_io.h"
#include "cmd/skep/text.h"
#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define POLL_MS            200
#define MONITOR_NS_DEFAULT (5 * NS_PER_S)
#define SLOTS_SHOWN_MAX    20 // as docker: more slots than that are only counted
#define BAR_COLUMNS        50
#define MESSAGE_COLUMNS    80

// A task's way through life, for its bar.
static const char *const states[] = {"new",   "pending",  "assigned", "accepted", "preparing",
                                     "ready", "starting", "running",  "complete"};
#define STATE_RUNNING 7

static size_t state_number(const char *state)
{
    for (size_t i = 0; i < COUNT_OF(states); i++)
        if (strcmp(states[i], state) == 0)
            return i;
    return COUNT_OF(states); // failed, rejected, shutdown, orphaned, remove
}

// Of two tasks of one slot the one that counts: the one that should run, then the newer one.
static bool counts_more(json_t *task, json_t *than)
{
    bool wanted = state_number(text_at(task, "DesiredState")) <= STATE_RUNNING + 1;
    bool other = state_number(text_at(than, "DesiredState")) <= STATE_RUNNING + 1;
    if (wanted != other)
        return wanted;
    return strcmp(text_at(task, "CreatedAt"), text_at(than, "CreatedAt")) > 0;
}

static void show_slot(struct progress *progress, const char *name, json_t *task,
                      struct arena *arena)
{
    const char *state = text_at(task, "Status.State"), *error = text_at(task, "Status.Err");
    size_t number = state_number(state);
    if (*error)
        progress_line(progress, "%s: %s", name, text_cut(error, MESSAGE_COLUMNS, arena));
    else if (!progress->cli->terminal.out)
        progress_line(progress, "%s:  ", name); // as docker: only errors are told there
    else if (!task || number >= COUNT_OF(states))
        progress_line(progress, "%s: %s", name, task ? state : "");
    else
        progress_line(progress, "%s: %-9s %s", name, state,
                      progress_bar(number, STATE_RUNNING, BAR_COLUMNS, arena));
}

// The tasks that count, by slot number or by node.
static void collect(json_t *service, json_t *tasks, bool by_node, bool job, struct map *slots,
                    struct arena *arena)
{
    size_t i;
    json_t *task;
    json_array_foreach(tasks, i, task)
    {
        if (job && number_at(task, "JobIteration.Index") !=
                       number_at(service, "JobStatus.JobIteration.Index"))
            continue;
        const char *key = by_node ? text_at(task, "NodeID")
                                  : arena_printf(arena, "%lld", (long long)number_at(task, "Slot"));
        json_t *there = map_get_str(slots, key);
        if (!there || counts_more(task, there))
            map_put_str(slots, key, task);
    }
}

static bool is_done(json_t *task, bool job)
{
    const char *state = text_at(task, "Status.State");
    return job ? str_equal(state, "complete")
               : str_equal(state, "running") && str_equal(text_at(task, "DesiredState"), "running");
}

static size_t wanted_nodes(json_t *nodes)
{
    size_t count = 0, i;
    json_t *node;
    json_array_foreach(nodes, i, node) count +=
        str_equal(text_at(node, "Status.State"), "ready") &&
        !str_equal(text_at(node, "Spec.Availability"), "drain");
    return count;
}

struct converge_view converge_look(json_t *service, json_t *tasks, json_t *nodes, bool rollback,
                                   struct arena *arena, struct progress *progress)
{
    struct converge_view view = {0};
    json_t *mode = at(service, "Spec.Mode");
    bool global = at(mode, "Global") || at(mode, "GlobalJob");
    view.job = at(mode, "ReplicatedJob") || at(mode, "GlobalJob");
    struct map slots;
    map_init(&slots);
    collect(service, tasks, global, view.job, &slots, arena);
    if (at(mode, "ReplicatedJob"))
        view.total = (size_t)(at(mode, "ReplicatedJob.TotalCompletions")
                                  ? number_at(mode, "ReplicatedJob.TotalCompletions")
                                  : number_at(mode, "ReplicatedJob.MaxConcurrent"));
    else if (!global)
        view.total = (size_t)number_at(mode, "Replicated.Replicas");
    else // constraints may leave nodes out, so what has a task counts, too
        view.total = map_count(&slots) ? map_count(&slots) : wanted_nodes(nodes);
    MAP_EACH (entry, &slots)
        view.running += is_done(entry->value, view.job);
    if (progress)
        progress_line(progress, "%s progress: %s%zu out of %zu tasks", view.job ? "job" : "overall",
                      rollback ? "rolling back update: " : "", view.running, view.total);
    for (size_t i = 1; progress && !global && view.total <= SLOTS_SHOWN_MAX && i <= view.total;
         i++) {
        const char *key = arena_printf(arena, "%zu", view.job ? i - 1 : i);
        show_slot(progress, arena_printf(arena, "%zu/%zu", i, view.total), map_get_str(&slots, key),
                  arena);
    }
    if (progress && global && map_count(&slots) <= SLOTS_SHOWN_MAX)
        MAP_EACH (entry, &slots)
            show_slot(progress, arena_strndup(arena, entry->key, TEXT_SHORT_ID), entry->value,
                      arena);
    view.complete = view.running >= view.total;
    map_fini(&slots);
    return view;
}

// ---- waiting ------------------------------------------------------------------------------------

struct waiting {
    struct cli *cli;
    const char *name;
    bool quiet;
    struct progress progress;
    bool rollback;       // an automatic or asked for rollback is under way
    bool told;           // and was announced
    bool undone;         // what was wanted is not what runs now
    const char *message; // what is said at the end; NULL: nothing
    bool complete;
    struct mono since; // complete
};

enum turn { TURN_GO_ON, TURN_DONE, TURN_FAILED };

// What the update's state means for us.
static enum turn judge_update(struct waiting *w, json_t *service)
{
    const char *state = text_at(service, "UpdateStatus.State");
    const char *message = text_at(service, "UpdateStatus.Message");
    if (str_equal(state, "paused") || str_equal(state, "rollback_paused")) {
        complain(w->cli, "service %s paused: %s", *state == 'p' ? "update" : "rollback", message);
        return TURN_FAILED;
    }
    bool asked = str_starts(message, "manually") || str_equal(message, "rollback completed");
    if (str_equal(state, "rollback_started") && !w->told) {
        w->rollback = true;
        w->told = true;
        w->undone = !asked;
        if (!w->quiet && !asked)
            warn(w->cli, "rollback: %s\n", message);
        w->progress.drawn = 0;
    }
    if (str_equal(state, "rollback_completed") && !w->complete) {
        w->rollback = true;
        w->message = message;
    }
    return TURN_GO_ON;
}

static bool is_updating(json_t *service)
{
    const char *state = text_at(service, "UpdateStatus.State");
    return str_equal(state, "updating") || str_equal(state, "rollback_started");
}

static enum turn one_turn(struct waiting *w)
{
    struct cli *cli = w->cli;
    json_t *service = api_get(cli, "/services/%s", escape(cli, w->name));
    const char *filters =
        service ? textf(cli, "{\"service\":{\"%s\":true},\"_up-to-date\":{\"true\":true}}",
                        text_at(service, "ID"))
                : NULL;
    json_t *tasks = service ? api_get(cli, "/tasks?filters=%s", escape(cli, filters)) : NULL;
    bool global = at(service, "Spec.Mode.Global") || at(service, "Spec.Mode.GlobalJob");
    json_t *nodes = tasks && global ? api_get(cli, "/nodes") : NULL;
    if (!tasks || (global && !nodes)) {
        failed(cli);
        return TURN_FAILED;
    }
    progress_begin(&w->progress);
    struct converge_view view =
        converge_look(service, tasks, nodes, w->rollback, &cli->arena, &w->progress);
    enum turn turn = judge_update(w, service);
    if (turn != TURN_GO_ON)
        return turn;
    int64_t left = 0;
    if (!view.complete || is_updating(service)) {
        w->complete = false;
    } else if (!w->complete) {
        w->complete = true;
        w->since = cli_mono();
    }
    if (w->complete && !view.job) {
        json_int_t monitor = number_at(service, "Spec.UpdateConfig.Monitor");
        left = (monitor > 0 ? monitor : MONITOR_NS_DEFAULT) - mono_since(cli_mono(), w->since);
        if (left > 0)
            progress_line(&w->progress,
                          "verify: Waiting %lld seconds to verify that tasks are stable...",
                          (long long)left / (long long)NS_PER_S + 1);
        else
            progress_line(&w->progress, "verify: Service %s converged", w->name);
    } else if (w->complete) {
        progress_line(&w->progress, "job complete");
    }
    progress_show(&w->progress);
    return w->complete && left <= 0 ? TURN_DONE : TURN_GO_ON;
}

int converge_wait(struct cli *cli, const char *service, bool quiet)
{
    struct waiting w = {.cli = cli, .name = service, .quiet = quiet};
    struct interrupt interrupt;
    progress_init(&w.progress, cli, quiet);
    interrupt_open(&interrupt, cli);
    enum turn turn;
    while ((turn = one_turn(&w)) == TURN_GO_ON && !interrupt_wait(&interrupt, POLL_MS))
        continue;
    interrupt_close(&interrupt);
    progress_end(&w.progress);
    if (turn == TURN_DONE && w.message && !quiet)
        say(cli, "rollback: %s\n", w.message);
    if (turn == TURN_GO_ON && !quiet)
        say(cli,
            "Operation continuing in background.\nUse `skep service ps %s` to check "
            "progress.\n",
            service);
    return turn == TURN_FAILED || w.undone;
}
