#include <stdlib.h>

#include "manager/dispatch/assign.h"
#include "manager/dispatch/inner.h"
#include "proto/base/check.h"
#include "proto/wire/defaults.h"
#include "proto/wire/raw.h"

// ---- streams ------------------------------------------------------------------------------------

void streams_detach(struct dispatcher *dispatcher, struct dispatch_stream *stream)
{
    timers_cancel(&dispatcher->streams, &stream->timer);
    list_remove(&stream->link);
    assign_free(stream->assign);
    stream->assign = NULL;
    stream->agent = NULL;
    dispatcher->stats.streams--;
}

static void stream_end(struct dispatcher *dispatcher, struct dispatch_stream *stream,
                       const struct err *err)
{
    streams_detach(dispatcher, stream);
    stream->ops->end(stream, err);
}

void streams_end_list(struct dispatcher *dispatcher, struct list *streams, enum err_code code,
                      const char *text)
{
    struct err err = ERR_INIT;
    err_set(&err, code, "%s", text);
    while (!list_empty(streams))
        stream_end(dispatcher, stream_of(streams->next), &err);
}

void streams_end(struct dispatcher *dispatcher, struct agent *agent, enum err_code code,
                 const char *text)
{
    streams_end_list(dispatcher, &agent->sessions, code, text);
    streams_end_list(dispatcher, &agent->assignments, code, text);
}

void streams_attach(struct dispatcher *dispatcher, struct dispatch_stream *stream,
                    struct agent *agent, struct list *streams)
{
    size_t count = 0;
    LIST_EACH (link, streams)
        count++;
    if (count >= DISPATCH_STREAMS_MAX) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "too many streams of node %s", agent->id);
        stream_end(dispatcher, stream_of(streams->next), &err);
    }
    stream->agent = agent;
    stream->assign = NULL;
    stream->stuck = false;
    timer_init(&stream->timer);
    list_push_back(streams, &stream->link);
    dispatcher->stats.streams++;
}

// A stream that cannot take it is ended.
static void stream_send(struct dispatcher *dispatcher, struct dispatch_stream *stream,
                        const struct buf *message)
{
    struct err err = ERR_INIT;
    if (!buf_ok(message)) {
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "message for node %s is too large",
                stream->agent->id);
    } else if (stream->ops->send(stream, message->data, message->len, &err) == 0) {
        dispatcher->stats.sent++;
        dispatcher->stats.sent_bytes += message->len;
        return;
    }
    stream_end(dispatcher, stream, &err);
}

// ---- session messages ---------------------------------------------------------------------------

enum { SESSION_ID = 1, SESSION_NODE = 2 };

void streams_mark(struct dispatcher *dispatcher, struct agent *agent)
{
    if (list_empty(&agent->dirty) && !list_empty(&agent->sessions))
        list_push_back(&dispatcher->dirty, &agent->dirty);
}

void streams_mark_all(struct dispatcher *dispatcher)
{
    MAP_EACH (entry, &dispatcher->agents.table)
        streams_mark(dispatcher, entry->value);
}

// Sends the present state when it is news to the stream, and the stream may have it.
static void send_session(struct dispatcher *dispatcher, struct dispatch_stream *stream,
                         const struct object *node)
{
    const struct shared *shared = &dispatcher->shared;
    uint64_t version = object_version(node);
    struct buf message;
    size_t size;
    if (version < stream->ready_at || !shared_ready(shared) ||
        (version == stream->sent_node && shared->generation == stream->sent_shared))
        return;
    stream->stuck = !stream->ops->writable(stream);
    if (stream->stuck)
        return;
    stream->ready_at = 0;
    stream->sent_node = version;
    stream->sent_shared = shared->generation;
    buf_init(&message, ASSIGN_BYTES_MAX);
    raw_put_text(&message, SESSION_ID, stream->agent->session);
    const uint8_t *bytes = object_bytes(node, &size);
    raw_put_message(&message, SESSION_NODE, bytes, size);
    shared_put(shared, &message);
    stream_send(dispatcher, stream, &message);
    buf_fini(&message);
}

static void send_agent(struct dispatcher *dispatcher, struct view view, struct agent *agent)
{
    const struct object *node = view_get(view, OBJECT_NODE, agent->id);
    if (!node)
        return; // its removal is on the way to us
    LIST_EACH_SAFE (link, &agent->sessions)
        send_session(dispatcher, stream_of(link), node);
}

void streams_send_dirty(struct dispatcher *dispatcher)
{
    struct list *link;
    if (list_empty(&dispatcher->dirty))
        return;
    struct view view = store_pin(dispatcher->config.store);
    while ((link = list_pop_front(&dispatcher->dirty)))
        send_agent(dispatcher, view, LIST_ENTRY(link, struct agent, dirty));
    store_unpin(view);
}

// ---- assignments --------------------------------------------------------------------------------

void streams_send_assignments(struct dispatcher *dispatcher, struct dispatch_stream *stream,
                              struct moment now)
{
    struct buf message;
    stream->stuck = !stream->ops->writable(stream);
    if (stream->stuck)
        return; // changes go on collecting, one per object
    timers_cancel(&dispatcher->streams, &stream->timer);
    stream->sent = now.mono;
    buf_init(&message, ASSIGN_BYTES_MAX);
    if (stream->legacy)
        assign_pack_tasks(stream->assign, &message);
    else
        assign_pack(stream->assign, &message);
    stream_send(dispatcher, stream, &message);
    buf_fini(&message);
}

void streams_collect(struct dispatcher *dispatcher, struct dispatch_stream *stream,
                     struct moment now)
{
    size_t pending = assign_pending(stream->assign);
    if (pending == 0 || stream->stuck)
        return;
    struct mono due = mono_add(stream->sent, ASSIGNMENT_BATCH_NS);
    if (pending >= ASSIGNMENT_BATCH_MAX || mono_before(due, now.mono))
        due = now.mono;
    if (!timer_is_set(&stream->timer) || pending >= ASSIGNMENT_BATCH_MAX)
        timers_set(&dispatcher->streams, &stream->timer, due);
}
