#include "manager/control/watch_rpc.h"

#include <stdlib.h>

#include "manager/control/answer_rpc.h"
#include "manager/store/watch.h"
#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/str.h"
#include "proto/wire/raw.h"
#include "proto/wire/watch.pb-c.h"
#include "proto/wire/wire.h"

// Events of one message; a larger commit comes in several of the same version.
#define EVENTS_MAX 512

#define ERR_STOPPING "the manager is stopping"

struct watchers {
    struct store *store;
    struct list list; // of struct watcher
    size_t count;
    struct loop_later later; // some watcher has events
    bool stopped;
};

struct watcher {
    struct list link;
    struct watchers *owner;
    struct rpc_call *call;
    struct watch *watch;
    bool with_old;
    bool due;
};

// ---- the end ------------------------------------------------------------------------------------

static struct rpc_call *watcher_free(struct watcher *watcher)
{
    struct rpc_call *call = watcher->call;
    rpc_call_set_user(call, NULL);
    watch_close(watcher->watch);
    list_remove(&watcher->link);
    watcher->owner->count--;
    free(watcher);
    return call;
}

// ---- what is sent -------------------------------------------------------------------------------

// Without what must not leave the manager.
static void redact(enum object_type type, void *message)
{
    if (type == OBJECT_SECRET) {
        ((Swarm__Secret *)message)->spec->data = (ProtobufCBinaryData){0};
    } else if (type == OBJECT_CLUSTER) {
        Swarm__Cluster *cluster = message;
        cluster->root_ca->ca_key = (ProtobufCBinaryData){0};
        if (cluster->root_ca->root_rotation)
            cluster->root_ca->root_rotation->ca_key = (ProtobufCBinaryData){0};
        if (cluster->spec->ca_config)
            cluster->spec->ca_config->signing_ca_key = (ProtobufCBinaryData){0};
        cluster->n_network_bootstrap_keys = 0;
        cluster->n_unlock_keys = 0;
    }
}

// The fields of message Object, in the order of enum object_type.
static const Swarm__Object__ObjectCase cases[OBJECT_TYPES] = {
    [OBJECT_NODE] = SWARM__OBJECT__OBJECT_NODE,
    [OBJECT_SERVICE] = SWARM__OBJECT__OBJECT_SERVICE,
    [OBJECT_TASK] = SWARM__OBJECT__OBJECT_TASK,
    [OBJECT_NETWORK] = SWARM__OBJECT__OBJECT_NETWORK,
    [OBJECT_CLUSTER] = SWARM__OBJECT__OBJECT_CLUSTER,
    [OBJECT_SECRET] = SWARM__OBJECT__OBJECT_SECRET,
    [OBJECT_CONFIG] = SWARM__OBJECT__OBJECT_CONFIG,
    [OBJECT_EXTENSION] = SWARM__OBJECT__OBJECT_EXTENSION,
    [OBJECT_RESOURCE] = SWARM__OBJECT__OBJECT_RESOURCE,
    [OBJECT_VOLUME] = SWARM__OBJECT__OBJECT_VOLUME,
};

// Fields of messages WatchMessage, WatchMessage.Event and Version.
enum {
    MESSAGE_EVENTS = 1,
    MESSAGE_VERSION = 2,
    EVENT_ACTION = 1,
    EVENT_OBJECT = 2,
    EVENT_OLD_OBJECT = 3,
    VERSION_INDEX = 1
};

// Appends an object's message as the field of Object that its type has, in a field of the event.
static void put_bytes(struct buf *out, uint32_t number, enum object_type type, const void *bytes,
                      size_t size)
{
    raw_put_head(out, number, raw_head_size(cases[type], size) + size);
    raw_put_message(out, cases[type], bytes, size);
}

// Most objects go out as the bytes they are stored in.
static void put_object(struct buf *out, uint32_t number, const struct object *object)
{
    if (!object)
        return;
    enum object_type type = object_type(object);
    size_t size = 0;
    const void *bytes = object_bytes(object, &size);
    if (type != OBJECT_SECRET && type != OBJECT_CLUSTER) {
        put_bytes(out, number, type, bytes, size);
        return;
    }
    struct arena arena;
    arena_init(&arena, 2 * OBJECT_ARENA_BYTES);
    void *message = object_unpack(object, &arena);
    CHECK(message);
    redact(type, message);
    bytes = wire_pack_arena(message, &arena, &size);
    CHECK(bytes || size == 0);
    put_bytes(out, number, type, bytes, size);
    arena_fini(&arena);
}

static void put_event(struct buf *out, struct buf *scratch, const struct watcher *watcher,
                      const struct watch_event *event)
{
    buf_clear(scratch);
    raw_put_uint(scratch, EVENT_ACTION, (uint64_t)event->action);
    put_object(scratch, EVENT_OBJECT, event->now);
    if (watcher->with_old)
        put_object(scratch, EVENT_OLD_OBJECT, event->was);
    raw_put_message(out, MESSAGE_EVENTS, scratch->data, scratch->len);
}

// One message of what waits: up to the end of a commit. False when nothing waits.
static bool send_commit(struct watcher *watcher, bool *lost, struct err *err)
{
    struct buf message, scratch;
    struct watch_event event;
    uint64_t version = 0;
    size_t count = 0;
    buf_init(&message, SIZE_MAX / 2); // bounded by the commit and EVENTS_MAX
    buf_init(&scratch, SIZE_MAX / 2);
    while (count < EVENTS_MAX && watch_next(watcher->watch, &event)) {
        bool end = event.action == WATCH_COMMIT;
        *lost = event.action == WATCH_LOST;
        version = event.version;
        if (!end && !*lost) {
            put_event(&message, &scratch, watcher, &event);
            count++;
        }
        watch_event_fini(&event);
        if (end || *lost)
            break;
    }
    if (count > 0) {
        buf_clear(&scratch);
        raw_put_uint(&scratch, VERSION_INDEX, version);
        raw_put_message(&message, MESSAGE_VERSION, scratch.data, scratch.len);
        rpc_call_send_bytes(watcher->call, message.data, message.len, err);
    }
    buf_fini(&message);
    buf_fini(&scratch);
    return count > 0;
}

// Sends as long as the client takes it; the rest waits in the watch's queue, which is bounded.
static void pump(struct watcher *watcher)
{
    struct err err = ERR_INIT;
    bool lost = false;
    while (err.code == ERR_OK && !lost && rpc_call_writable(watcher->call) &&
           watch_count(watcher->watch) > 0)
        send_commit(watcher, &lost, &err);
    if (lost)
        err_set(&err, ERR_ABORTED, "the watcher was too slow and missed events");
    if (err.code != ERR_OK)
        rpc_call_fail(watcher_free(watcher), &err);
}

static void on_later(struct loop_later *later)
{
    struct watchers *watchers = CONTAINER_OF(later, struct watchers, later);
    LIST_EACH_SAFE (link, &watchers->list) {
        struct watcher *watcher = LIST_ENTRY(link, struct watcher, link);
        bool due = watcher->due;
        watcher->due = false;
        if (due)
            pump(watcher);
    }
}

// In the middle of a commit: the events are looked at when it is over.
static void on_wake(struct watch *watch, void *ctx)
{
    (void)watch;
    struct watcher *watcher = ctx;
    watcher->due = true;
    loop_later_ask(&watcher->owner->later);
}

// ---- what is asked ------------------------------------------------------------------------------

static const struct {
    Swarm__SelectBy__ByCase by;
    enum index index;
    bool prefix;
} text_conditions[] = {
    {SWARM__SELECT_BY__BY_ID, INDEX_ID, false},
    {SWARM__SELECT_BY__BY_ID_PREFIX, INDEX_ID, true},
    {SWARM__SELECT_BY__BY_NAME, INDEX_NAME, false},
    {SWARM__SELECT_BY__BY_NAME_PREFIX, INDEX_NAME, true},
    {SWARM__SELECT_BY__BY_SERVICE_ID, INDEX_SERVICE, false},
    {SWARM__SELECT_BY__BY_NODE_ID, INDEX_NODE, false},
    {SWARM__SELECT_BY__BY_REFERENCED_NETWORK_ID, INDEX_NETWORK, false},
    {SWARM__SELECT_BY__BY_REFERENCED_SECRET_ID, INDEX_SECRET, false},
    {SWARM__SELECT_BY__BY_REFERENCED_CONFIG_ID, INDEX_CONFIG, false},
    {SWARM__SELECT_BY__BY_KIND, INDEX_KIND, false},
};

static int read_condition(const Swarm__SelectBy *by, struct by *out, struct err *err)
{
    switch (by->by_case) {
    case SWARM__SELECT_BY__BY_SLOT:
        *out = by_slot(by->slot->service_id, by->slot->slot);
        return 0;
    case SWARM__SELECT_BY__BY_CUSTOM:
        *out = by_custom(by->custom->index, by->custom->value);
        return 0;
    case SWARM__SELECT_BY__BY_CUSTOM_PREFIX:
        *out = by_custom_prefix(by->custom_prefix->index, by->custom_prefix->value);
        return 0;
    case SWARM__SELECT_BY__BY_DESIRED_STATE:
        *out = by_number(INDEX_DESIRED_STATE, (uint64_t)by->desired_state);
        return 0;
    case SWARM__SELECT_BY__BY_ROLE:
        *out = by_number(INDEX_ROLE, (uint64_t)by->role);
        return 0;
    case SWARM__SELECT_BY__BY_MEMBERSHIP:
        *out = by_number(INDEX_MEMBERSHIP, (uint64_t)by->membership);
        return 0;
    default:
        break;
    }
    for (size_t i = 0; i < COUNT_OF(text_conditions); i++) {
        if (text_conditions[i].by != by->by_case)
            continue;
        *out = by_key(text_conditions[i].index, by->id); // all texts share the union's place
        out->prefix = text_conditions[i].prefix;
        return 0;
    }
    return err_set(err, ERR_INVALID_ARGUMENT, "unrecognized watch filter");
}

static int read_entry(const Swarm__WatchRequest__WatchEntry *entry, struct watch_rule *rule,
                      struct arena *arena, struct err *err)
{
    rule->actions = (unsigned)entry->action & WATCH_ANY;
    if (rule->actions == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "no watch action was named");
    if (!object_type_of_name(entry->kind, &rule->type)) {
        rule->type = OBJECT_RESOURCE; // of the kind that an extension has named
        rule->kind = entry->kind;
    }
    if (str_empty(entry->kind))
        return err_set(err, ERR_INVALID_ARGUMENT, "no kind of object was named");
    struct by *conditions = arena_alloc_array(arena, entry->n_filters, sizeof *conditions);
    if (!conditions)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the request is too large");
    rule->conditions = conditions;
    rule->conditions_count = entry->n_filters;
    for (size_t i = 0; i < entry->n_filters; i++)
        if (read_condition(entry->filters[i], &conditions[i], err))
            return -(int)err->code;
    return 0;
}

static int open_watch(struct watcher *watcher, const Swarm__WatchRequest *request,
                      struct arena *arena, struct err *err)
{
    struct watch_rule rules[WATCH_RULES_MAX] = {0};
    if (request->n_entries == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "at least one watch entry is needed");
    if (request->n_entries > WATCH_RULES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d watch entries", WATCH_RULES_MAX);
    for (size_t i = 0; i < request->n_entries; i++)
        if (read_entry(request->entries[i], &rules[i], arena, err))
            return -(int)err->code;
    struct watch_options options = {.rules = rules,
                                    .rules_count = request->n_entries,
                                    .commits = true,
                                    .wake = on_wake,
                                    .ctx = watcher};
    return request->resume_from ? watch_resume(watcher->owner->store, &options,
                                               request->resume_from->index, &watcher->watch, err)
                                : watch_open(watcher->owner->store, &options, &watcher->watch, err);
}

static void handle_watch(struct rpc_call *call)
{
    struct watchers *watchers = rpc_call_ctx(call);
    const Swarm__WatchRequest *request = (const Swarm__WatchRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    if (watchers->stopped) {
        rpc_call_failf(call, ERR_UNAVAILABLE, ERR_STOPPING);
        return;
    }
    if (watchers->count >= WATCHERS_MAX) {
        rpc_call_failf(call, ERR_RESOURCE_EXHAUSTED, "more than %d watchers", WATCHERS_MAX);
        return;
    }
    struct watcher *watcher = MEM_NEW(struct watcher);
    watcher->owner = watchers;
    watcher->call = call;
    watcher->with_old = request->include_old_object;
    if (open_watch(watcher, request, rpc_call_arena(call), &err)) {
        free(watcher);
        rpc_call_fail(call, &err);
        return;
    }
    watchers->count++;
    list_push_back(&watchers->list, &watcher->link);
    rpc_call_set_user(call, watcher);
    // The first, empty one says that the stream is live, and from which version.
    Swarm__WatchMessage live = SWARM__WATCH_MESSAGE__INIT;
    Swarm__Version version = SWARM__VERSION__INIT;
    version.index = store_applied(watchers->store);
    live.version = &version;
    rpc_call_send(call, &live.base, &err);
    pump(watcher);
}

static void on_writable(struct rpc_call *call)
{
    struct watcher *watcher = rpc_call_user(call);
    if (watcher)
        pump(watcher);
}

static void on_cancel(struct rpc_call *call)
{
    struct watcher *watcher = rpc_call_user(call);
    if (watcher)
        rpc_call_failf(watcher_free(watcher), ERR_CANCELLED, "context canceled");
}

static const struct rpc_method methods[] = {
    {.path = "/docker.swarmkit.v1.Watch/Watch",
     .kind = RPC_SERVER_STREAM,
     .roles = ROLE_MANAGER,
     .request = &swarm__watch_request__descriptor,
     .handle = handle_watch,
     .on_writable = on_writable,
     .on_cancel = on_cancel},
};

// ---- all of them --------------------------------------------------------------------------------

struct watchers *watchers_new(struct loop *loop, struct store *store)
{
    struct watchers *watchers = MEM_NEW(struct watchers);
    watchers->store = store;
    list_init(&watchers->list);
    loop_later_init(&watchers->later, loop, on_later);
    return watchers;
}

void watchers_stop(struct watchers *watchers)
{
    watchers->stopped = true;
    LIST_EACH_SAFE (link, &watchers->list) {
        struct watcher *watcher = LIST_ENTRY(link, struct watcher, link);
        rpc_call_failf(watcher_free(watcher), ERR_UNAVAILABLE, ERR_STOPPING);
    }
    loop_later_cancel(&watchers->later);
}

void watchers_free(struct watchers *watchers)
{
    watchers_stop(watchers);
    free(watchers);
}

struct rpc_service watch_service(struct watchers *watchers, struct loop *home)
{
    return (struct rpc_service){
        .methods = methods, .methods_count = COUNT_OF(methods), .ctx = watchers, .home = home};
}
