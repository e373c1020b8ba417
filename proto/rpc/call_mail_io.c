#include "proto/rpc/call_mail_io.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/rpc/call_impl_io.h"

// Messages waiting at a home, by bytes; above it the client is slowed down.
#define MAIL_BYTES (256u * 1024)

// What is on its way between the loops. Guarded by `lock`.
struct call_mail {
    uv_mutex_t lock;
    struct rpc_call *call;
    struct loop_post to_home;
    struct loop_post to_conn;
    bool home_busy; // to_home is posted or running
    bool conn_posted;

    // To the home.
    bool start;
    bool end;
    bool writable;
    bool cancel;
    struct list messages; // incoming.link
    size_t messages_bytes;
    bool throttled; // the stream is paused because of messages_bytes

    // To the connection.
    struct list frames; // frame.link
    size_t frames_bytes;
    size_t queued; // in the stream, as of its loop's last word
    bool waits_room;
    bool paused;
    bool drop_request;
    bool finished;
    struct rpc_status *status; // with details of its own; NULL until finished, for it is large
};

struct frame {
    struct list link;
    uint8_t *bytes;
    size_t size;
};

static void at_home(struct loop_post *post);
static void at_conn(struct loop_post *post);

// ---- life ---------------------------------------------------------------------------------------

struct call_mail *call_mail_new(struct rpc_call *call)
{
    struct call_mail *mail = MEM_NEW(struct call_mail);
    int result = uv_mutex_init(&mail->lock);
    CHECK(result == 0);
    mail->call = call;
    list_init(&mail->messages);
    list_init(&mail->frames);
    return mail;
}

void call_mail_free(struct call_mail *mail)
{
    for (struct list *link; (link = list_pop_front(&mail->messages));)
        incoming_free(LIST_ENTRY(link, struct incoming, link));
    CHECK(list_empty(&mail->frames));
    if (mail->status)
        free((void *)mail->status->details);
    free(mail->status);
    uv_mutex_destroy(&mail->lock);
    free(mail);
}

// ---- from the connection's loop -----------------------------------------------------------------

// With the lock held, as post_conn.
static void post_home(struct call_mail *mail)
{
    if (mail->home_busy)
        return;
    mail->home_busy = true;
    loop_post(mail->call->route->service->home, &mail->to_home, at_home);
}

static void post_conn(struct call_mail *mail)
{
    if (mail->conn_posted)
        return;
    mail->conn_posted = true;
    loop_post(mail->call->on->loop, &mail->to_conn, at_conn);
}

void call_mail_start(struct call_mail *mail)
{
    uv_mutex_lock(&mail->lock);
    mail->start = true;
    post_home(mail);
    uv_mutex_unlock(&mail->lock);
}

bool call_mail_message(struct call_mail *mail, struct incoming *incoming)
{
    uv_mutex_lock(&mail->lock);
    list_push_back(&mail->messages, &incoming->link);
    mail->messages_bytes += incoming->size;
    mail->throttled = mail->throttled || mail->messages_bytes > MAIL_BYTES;
    bool throttled = mail->throttled;
    post_home(mail);
    uv_mutex_unlock(&mail->lock);
    return !throttled;
}

void call_mail_end(struct call_mail *mail)
{
    uv_mutex_lock(&mail->lock);
    mail->end = true;
    post_home(mail);
    uv_mutex_unlock(&mail->lock);
}

void call_mail_writable(struct call_mail *mail, size_t queued)
{
    uv_mutex_lock(&mail->lock);
    mail->queued = queued;
    mail->waits_room = false;
    mail->writable = true;
    post_home(mail);
    uv_mutex_unlock(&mail->lock);
}

void call_mail_cancel(struct call_mail *mail)
{
    uv_mutex_lock(&mail->lock);
    mail->cancel = true;
    post_home(mail);
    uv_mutex_unlock(&mail->lock);
}

// ---- from the home ------------------------------------------------------------------------------

bool call_mail_frame(struct call_mail *mail, uint8_t *bytes, size_t size)
{
    uv_mutex_lock(&mail->lock);
    bool full = mail->frames_bytes > 0 && mail->frames_bytes + size > RPC_CALL_QUEUE_BYTES_MAX;
    if (!full) {
        struct frame *frame = MEM_NEW(struct frame);
        frame->bytes = bytes;
        frame->size = size;
        list_push_back(&mail->frames, &frame->link);
        mail->frames_bytes += size;
        post_conn(mail);
    }
    uv_mutex_unlock(&mail->lock);
    return !full;
}

bool call_mail_has_room(struct call_mail *mail)
{
    uv_mutex_lock(&mail->lock);
    bool writable = mail->frames_bytes + mail->queued < STREAM_QUEUE_BYTES;
    if (!writable)
        mail->waits_room = true;
    uv_mutex_unlock(&mail->lock);
    return writable;
}

void call_mail_pause(struct call_mail *mail, bool paused)
{
    uv_mutex_lock(&mail->lock);
    mail->paused = paused;
    post_conn(mail);
    if (!paused)
        post_home(mail);
    uv_mutex_unlock(&mail->lock);
}

void call_mail_drop_request(struct call_mail *mail)
{
    uv_mutex_lock(&mail->lock);
    mail->drop_request = true;
    post_conn(mail);
    uv_mutex_unlock(&mail->lock);
}

void call_mail_finish(struct call_mail *mail, const struct rpc_status *status)
{
    uv_mutex_lock(&mail->lock);
    CHECK(!mail->status);
    mail->status = mem_dup(status, sizeof *status);
    if (status->details)
        mail->status->details = mem_dup(status->details, status->details_size);
    mail->finished = true;
    post_conn(mail);
    uv_mutex_unlock(&mail->lock);
}

// ---- on the connection's loop -------------------------------------------------------------------

static void send_frames(struct rpc_call *call, struct list *frames)
{
    for (struct list *link; (link = list_pop_front(frames));) {
        struct frame *frame = LIST_ENTRY(link, struct frame, link);
        call_copy_headers(call);
        struct err err = ERR_INIT;
        if (stream_send(&call->stream, frame->bytes, frame->size, &err) < 0) {
            // The connection as a whole is full: what was sent before this is all there will be.
            struct rpc_status status = rpc_status_of_err(&err);
            stream_finish(&call->stream, &status);
            call_mail_cancel(call->mail);
        }
        free(frame);
    }
}

static void at_conn(struct loop_post *post)
{
    struct call_mail *mail = CONTAINER_OF(post, struct call_mail, to_conn);
    struct rpc_call *call = mail->call;
    MAGIC_CHECK(call, CALL_MAGIC);
    struct list frames;
    list_init(&frames);
    call_touch(call);
    uv_mutex_lock(&mail->lock);
    mail->conn_posted = false;
    while (!list_empty(&mail->frames))
        list_push_back(&frames, list_pop_front(&mail->frames));
    mail->frames_bytes = 0;
    bool finished = mail->finished;
    bool drop_request = mail->drop_request;
    mail->drop_request = false;
    bool paused = mail->paused || mail->throttled;
    uv_mutex_unlock(&mail->lock);
    send_frames(call, &frames);
    if (drop_request)
        stream_forget_request(&call->stream);
    if (paused)
        stream_pause(&call->stream);
    else
        stream_resume(&call->stream);
    uv_mutex_lock(&mail->lock);
    mail->queued = stream_queued(&call->stream);
    if (mail->waits_room && stream_writable(&call->stream)) {
        mail->waits_room = false;
        mail->writable = true;
        post_home(mail);
    }
    // A home that is busy with the call posts once more when it is not, or has posted just now.
    bool over = finished && !mail->home_busy && !mail->conn_posted;
    uv_mutex_unlock(&mail->lock);
    if (over) {
        struct rpc_status status = *mail->status;
        call_finish_here(call, &status);
    }
}

// ---- at home ------------------------------------------------------------------------------------

// The next message for a home that wants one, or NULL.
static struct incoming *next_message(struct call_mail *mail)
{
    struct incoming *incoming = NULL;
    uv_mutex_lock(&mail->lock);
    if (!mail->paused && !list_empty(&mail->messages)) {
        incoming = LIST_ENTRY(list_pop_front(&mail->messages), struct incoming, link);
        mail->messages_bytes -= incoming->size;
        if (mail->throttled && mail->messages_bytes <= MAIL_BYTES / 2) {
            mail->throttled = false;
            post_conn(mail);
        }
    }
    uv_mutex_unlock(&mail->lock);
    return incoming;
}

static void at_home(struct loop_post *post)
{
    struct call_mail *mail = CONTAINER_OF(post, struct call_mail, to_home);
    struct rpc_call *call = mail->call;
    MAGIC_CHECK(call, CALL_MAGIC);
    uv_mutex_lock(&mail->lock);
    bool start = mail->start;
    bool writable = mail->writable;
    mail->start = false;
    mail->writable = false;
    uv_mutex_unlock(&mail->lock);
    if (start)
        call_deliver_start(call);
    for (struct incoming *incoming; (incoming = next_message(mail));)
        call_deliver_message(call, incoming);
    if (writable)
        call_deliver_writable(call);
    uv_mutex_lock(&mail->lock);
    bool end = mail->end && list_empty(&mail->messages) && !mail->paused;
    bool cancel = mail->cancel;
    if (end)
        mail->end = false;
    mail->cancel = false;
    uv_mutex_unlock(&mail->lock);
    if (end)
        call_deliver_end(call);
    if (cancel)
        call_deliver_cancel(call);
    uv_mutex_lock(&mail->lock);
    mail->home_busy = false;
    if (mail->finished)
        post_conn(mail);
    else if (mail->writable || mail->cancel ||
             (!mail->paused && (mail->end || !list_empty(&mail->messages))))
        post_home(mail);
    uv_mutex_unlock(&mail->lock);
}
