#include "manager/store/watch.h"

#include "manager/store/inner.h"
#include "manager/store/tables.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/objects.pb-c.h"

#define WATCH_MAGIC 0x77617463u

struct watch {
    unsigned magic;
    struct list link; // store.watches
    struct store *store;
    struct watch_rule *rules;
    size_t rules_count;
    struct watch_options options;
    struct watch_event *queue; // a ring of `cap`
    size_t cap;
    size_t first;
    size_t count;
    bool lost; // WATCH_LOST waits in the queue: nothing is added until it is taken
};

// ---- rules -------------------------------------------------------------------------------------

static bool rule_matches(const struct watch_rule *rule, enum watch_action action,
                         const struct object *object)
{
    if (rule->type != object_type(object) || !(rule->actions & action))
        return false;
    if (rule->kind) {
        struct by kind = by_key(INDEX_KIND, rule->kind);
        if (!object_matches(object, &kind))
            return false;
    }
    for (size_t i = 0; i < rule->conditions_count; i++)
        if (!object_matches(object, &rule->conditions[i]))
            return false;
    return true;
}

static bool watch_wants(const struct watch *watch, enum watch_action action,
                        const struct object *object)
{
    if (watch->rules_count == 0)
        return true;
    for (size_t i = 0; i < watch->rules_count; i++)
        if (rule_matches(&watch->rules[i], action, object))
            return true;
    return false;
}

static void rule_copy(struct watch_rule *to, const struct watch_rule *from)
{
    *to = *from;
    to->kind = str_dup(from->kind);
    struct by *conditions = mem_alloc_array(from->conditions_count, sizeof(*conditions));
    for (size_t i = 0; i < from->conditions_count; i++) {
        conditions[i] = from->conditions[i];
        conditions[i].key = str_dup(from->conditions[i].key);
        conditions[i].value = str_dup(from->conditions[i].value);
    }
    to->conditions = conditions;
}

static void rule_free(struct watch_rule *rule)
{
    for (size_t i = 0; i < rule->conditions_count; i++) {
        free((char *)rule->conditions[i].key);
        free((char *)rule->conditions[i].value);
    }
    free((struct by *)rule->conditions);
    free((char *)rule->kind);
}

// ---- queues ------------------------------------------------------------------------------------

static struct watch_event event_copy(const struct watch_event *event)
{
    struct watch_event copy = *event;
    if (copy.now)
        object_ref(copy.now);
    if (copy.was)
        object_ref(copy.was);
    return copy;
}

void watch_event_fini(struct watch_event *event)
{
    object_unref(event->now);
    object_unref(event->was);
    event->now = NULL;
    event->was = NULL;
}

static void queue_clear(struct watch *watch)
{
    for (; watch->count > 0; watch->count--) {
        watch_event_fini(&watch->queue[watch->first]);
        watch->first = (watch->first + 1) % watch->cap;
    }
}

static void queue_grow(struct watch *watch)
{
    size_t cap = watch->cap ? 2 * watch->cap : 8;
    struct watch_event *queue = mem_alloc_array(cap, sizeof(*queue));
    for (size_t i = 0; i < watch->count; i++)
        queue[i] = watch->queue[(watch->first + i) % watch->cap];
    free(watch->queue);
    watch->queue = queue;
    watch->cap = cap;
    watch->first = 0;
}

static void queue_add(struct watch *watch, const struct watch_event *event)
{
    if (watch->lost)
        return;
    struct watch_event lost = {.action = WATCH_LOST, .version = event->version};
    if (watch->count >= watch->options.queue_max) {
        queue_clear(watch);
        watch->lost = true;
        event = &lost;
    }
    if (watch->count == watch->cap)
        queue_grow(watch);
    watch->queue[(watch->first + watch->count) % watch->cap] = event_copy(event);
    watch->count++;
}

bool watch_next(struct watch *watch, struct watch_event *event)
{
    MAGIC_CHECK(watch, WATCH_MAGIC);
    if (watch->count == 0)
        return false;
    *event = watch->queue[watch->first];
    watch->first = (watch->first + 1) % watch->cap;
    watch->count--;
    if (event->action == WATCH_LOST)
        watch->lost = false;
    if (watch->count == 0) {
        // An idle watcher costs nothing.
        MEM_FREE(watch->queue);
        watch->cap = 0;
        watch->first = 0;
    }
    return true;
}

size_t watch_count(const struct watch *watch)
{
    MAGIC_CHECK(watch, WATCH_MAGIC);
    return watch->count;
}

// ---- history -----------------------------------------------------------------------------------

static void history_drop_first(struct history *history)
{
    struct watch_event *event = &history->events[history->first];
    history->floor = event->version;
    history->bytes -= object_footprint(event->now);
    watch_event_fini(event);
    history->first = (history->first + 1) % WATCH_HISTORY_EVENTS;
    history->count--;
}

static void history_add(struct history *history, const struct watch_event *event)
{
    size_t bytes = object_footprint(event->now);
    while (history->count == WATCH_HISTORY_EVENTS ||
           (history->count > 0 && history->bytes + bytes > WATCH_HISTORY_BYTES))
        history_drop_first(history);
    if (bytes > WATCH_HISTORY_BYTES) {
        history->floor = event->version;
        return;
    }
    struct watch_event kept = *event;
    kept.was = NULL;
    history->events[(history->first + history->count) % WATCH_HISTORY_EVENTS] = event_copy(&kept);
    history->count++;
    history->bytes += bytes;
}

void history_fini(struct history *history)
{
    while (history->count > 0)
        history_drop_first(history);
}

void watch_forget(struct store *store, uint64_t version)
{
    history_fini(&store->history);
    store->history.floor = version;
}

// ---- publishing --------------------------------------------------------------------------------

static void watch_feed(struct watch *watch, const struct changes *changes, uint64_t version)
{
    size_t before = watch->count;
    bool any = false;
    for (size_t i = 0; i < changes->count; i++) {
        const struct change *change = &changes->list[i];
        if (!watch_wants(watch, change->action, change->now))
            continue;
        struct watch_event event = {
            .action = change->action,
            .version = version,
            .now = change->now,
            .was = change->was,
        };
        queue_add(watch, &event);
        any = true;
    }
    if (any && watch->options.commits)
        queue_add(watch, &(struct watch_event){.action = WATCH_COMMIT, .version = version});
    if (before == 0 && watch->count > 0 && watch->options.wake)
        watch->options.wake(watch, watch->options.ctx);
}

void watch_publish(struct store *store, const struct changes *changes, uint64_t version)
{
    for (size_t i = 0; i < changes->count; i++) {
        struct watch_event event = {
            .action = changes->list[i].action,
            .version = version,
            .now = changes->list[i].now,
        };
        history_add(&store->history, &event);
    }
    LIST_EACH_SAFE (it, &store->watches)
        watch_feed(LIST_ENTRY(it, struct watch, link), changes, version);
}

// ---- opening and closing -----------------------------------------------------------------------

int watch_open(struct store *store, const struct watch_options *options, struct watch **out,
               struct err *err)
{
    MAGIC_CHECK(store, STORE_MAGIC);
    *out = NULL;
    if (options->rules_count > WATCH_RULES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "a watch has at most %d rules", WATCH_RULES_MAX);
    for (size_t i = 0; i < options->rules_count; i++)
        if (options->rules[i].conditions_count > WATCH_CONDITIONS_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT, "a watch rule has at most %d conditions",
                           WATCH_CONDITIONS_MAX);
    struct watch *watch = MEM_NEW(struct watch);
    MAGIC_SET(watch, WATCH_MAGIC);
    watch->store = store;
    watch->options = *options;
    if (watch->options.queue_max == 0)
        watch->options.queue_max = WATCH_QUEUE_DEFAULT;
    watch->rules = mem_alloc_array(options->rules_count, sizeof(*watch->rules));
    watch->rules_count = options->rules_count;
    for (size_t i = 0; i < options->rules_count; i++)
        rule_copy(&watch->rules[i], &options->rules[i]);
    list_push_back(&store->watches, &watch->link);
    *out = watch;
    return 0;
}

int watch_resume(struct store *store, const struct watch_options *options, uint64_t version,
                 struct watch **out, struct err *err)
{
    MAGIC_CHECK(store, STORE_MAGIC);
    *out = NULL;
    const struct history *history = &store->history;
    if (version < history->floor)
        return err_set(err, ERR_OUT_OF_RANGE, "changes after version %llu are no longer remembered",
                       (unsigned long long)version);
    if (version > store->applied)
        return err_set(err, ERR_OUT_OF_RANGE, "version %llu lies in the future",
                       (unsigned long long)version);
    int rc = watch_open(store, options, out, err);
    if (rc)
        return rc;
    struct watch *watch = *out;
    uint64_t commit = 0; // of the last event queued
    for (size_t i = 0; i < history->count; i++) {
        const struct watch_event *event =
            &history->events[(history->first + i) % WATCH_HISTORY_EVENTS];
        if (event->version <= version || !watch_wants(watch, event->action, event->now))
            continue;
        if (commit && commit != event->version && watch->options.commits)
            queue_add(watch, &(struct watch_event){.action = WATCH_COMMIT, .version = commit});
        commit = event->version;
        queue_add(watch, event);
    }
    if (commit && watch->options.commits)
        queue_add(watch, &(struct watch_event){.action = WATCH_COMMIT, .version = commit});
    return 0;
}

void watch_close(struct watch *watch)
{
    if (!watch)
        return;
    MAGIC_CHECK(watch, WATCH_MAGIC);
    list_remove(&watch->link);
    queue_clear(watch);
    free(watch->queue);
    for (size_t i = 0; i < watch->rules_count; i++)
        rule_free(&watch->rules[i]);
    free(watch->rules);
    MAGIC_CLEAR(watch);
    free(watch);
}
