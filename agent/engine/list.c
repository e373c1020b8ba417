#include "agent/engine/list.h"

#include <string.h>

#include "agent/engine/shelves.h"
#include "proto/base/check.h"
#include "proto/wire/raw.h"
#include "proto/wire/wire.h"

// Lists up to this size are answered at once, longer ones in pieces of about that size.
#define PIECE_BYTES ((size_t)64 * 1024)

// Where every List request has its filters.
#define FILTERS 1

#define REQUEST_BYTES_MAX ((size_t)8 << 20)

struct list {
    const struct noun *noun;
    bool whole;          // without filters
    const void *message; // the question
    size_t message_bytes;
    list_then *then;
    struct shelf *held;  // while the manager is asked: what its answer may refer to
    struct shelf *shelf; // the answer
    const struct list_look *look;
    void *owner;
    size_t next;
    bool any; // an object has been written
    bool sent;
};

static void on_over(struct request *request, void *owner, bool gone)
{
    (void)request;
    (void)gone;
    struct list *list = owner;
    shelf_unref(list->held);
    shelf_unref(list->shelf);
}

// ---- asking ------------------------------------------------------------------------------------

static void answered(struct request *request, const void *bytes, size_t size)
{
    struct list *list = request_followed(request);
    struct shelves *shelves = request_shelves(request);
    const struct shelf_kind kind = {.fields = list->noun->fields, .tag = list->noun->tag};
    struct err err = ERR_INIT;
    request_end_turn(request);
    if (shelf_read(&kind, list->held, shelves_find(shelves, list->noun), list->whole, bytes, size,
                   &list->shelf, &err) != 0) {
        request_fail_call(request, &err);
        return;
    }
    request_shelve(request, list->noun, list->shelf);
    shelf_unref(list->held);
    list->held = NULL;
    list->then(request, list->shelf);
}

static void send_more(struct request *request, void *owner);

static const struct request_events events = {.drain = send_more, .over = on_over};

static void ask(struct request *request)
{
    struct list *list = request_followed(request);
    struct shelf *held = shelves_find(request_shelves(request), list->noun);
    struct buf bytes;
    if (held)
        list->held = shelf_ref(held);
    buf_init(&bytes, 2 * REQUEST_BYTES_MAX);
    buf_put(&bytes, list->message, list->message_bytes);
    listing_ask(&bytes, held ? shelf_mark(held) : (struct listing_mark){0});
    request_call_bytes(request, list->noun->list, bytes.data, bytes.len, answered);
    buf_fini(&bytes);
}

void list_ask(struct request *request, const struct noun *noun, const void *message,
              list_then *then)
{
    struct arena *arena = request_arena(request);
    struct list *list = ARENA_NEW(arena, struct list);
    struct buf bytes;
    struct err err = ERR_INIT;
    if (!list) {
        request_fail(request, 500, "the request is too large");
        return;
    }
    *list = (struct list){.noun = noun, .then = then};
    request_follow(request, &events, list);
    buf_init(&bytes, REQUEST_BYTES_MAX);
    if (wire_pack(message, &bytes, &err) == 0) {
        list->message = arena_memdup(arena, bytes.data, bytes.len);
        list->message_bytes = bytes.len;
        struct cursor filters = raw_inside(bytes.data, bytes.len, FILTERS);
        list->whole = cursor_left(&filters) == 0;
    }
    buf_fini(&bytes);
    if (err.code != ERR_OK)
        request_fail_err(request, &err);
    else if (!list->message)
        request_fail(request, 500, "the request is too large");
    else if (list->whole)
        request_take_turn(request, ask);
    else
        ask(request);
}

// ---- answering ---------------------------------------------------------------------------------

static void put_more(struct list *list, size_t index, struct buf *out)
{
    struct json_out json;
    size_t start = out->len;
    json_out_init(&json, out);
    json_out_object(&json, NULL);
    list->look->more(list->owner, index, &json);
    json_out_end(&json);
    CHECK(json_out_done(&json));
    // {"More":1} becomes ,"More":1 and {} nothing.
    if (out->len == start + 2) {
        out->len = start;
    } else {
        out->data[start] = ',';
        out->len--;
    }
}

// The next object that is wanted; false past the last.
static bool put_next(struct list *list, struct buf *out)
{
    while (list->next < shelf_count(list->shelf)) {
        size_t index = list->next++, size;
        const struct shelf_item *item = shelf_at(list->shelf, index);
        if (list->look && list->look->wanted && !list->look->wanted(list->owner, item))
            continue;
        const char *json = shelf_item_json(item, &size);
        CHECK(size > 2); // every object shows its id
        buf_put_u8(out, list->any ? ',' : '[');
        list->any = true;
        buf_put(out, json, size - 1);
        if (list->look && list->look->more)
            put_more(list, index, out);
        buf_put_u8(out, '}');
        return true;
    }
    return false;
}

// True when that was the end.
static bool put_piece(struct list *list, struct buf *out)
{
    while (out->len < PIECE_BYTES)
        if (!put_next(list, out)) {
            buf_put_str(out, list->any ? "]\n" : "[]\n");
            return true;
        }
    return false;
}

static void send_more(struct request *request, void *owner)
{
    struct list *list = owner;
    struct buf piece;
    if (!request_answering(request) || list->sent)
        return;
    buf_init(&piece, SIZE_MAX / 2);
    while (!list->sent && request_room(request) > 0) {
        buf_clear(&piece);
        list->sent = put_piece(list, &piece);
        request_stream_write(request, piece.data, piece.len);
    }
    buf_fini(&piece);
    if (list->sent)
        request_stream_end(request);
}

void list_send(struct request *request, const struct list_look *look, void *owner)
{
    struct list *list = request_followed(request);
    struct buf piece;
    list->look = look;
    list->owner = owner;
    buf_init(&piece, SIZE_MAX / 2);
    list->sent = put_piece(list, &piece);
    if (list->sent) {
        request_reply(request, 200, "application/json", piece.data, piece.len);
    } else {
        request_stream(request, 200, "application/json");
        request_stream_write(request, piece.data, piece.len);
        send_more(request, list);
    }
    buf_fini(&piece);
}
