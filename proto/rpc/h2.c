#include "proto/rpc/h2.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/rpc/h2_loan.h"

#define H2_MAGIC 0x68326832u

// Streams a client opens before the server's SETTINGS tell how many it may (RFC 9113 section
// 6.5.2 recommends at least 100 of every server).
#define H2_STREAMS_BEFORE_SETTINGS 100

// CONTINUATION frames per header block (CVE-2024-27316); a block of H2_HEADER_BYTES_MAX needs one.
#define H2_CONTINUATIONS_MAX 4

// Of the table that a server's answers are compressed with: what gRPC says in each of them has
// room, and an idle connection keeps a kilobyte less than with the usual 4,096.
#define H2_SERVER_TABLE_BYTES 256

// Entries of one SETTINGS frame; there are nine kinds.
#define H2_SETTINGS_MAX 32

struct h2 {
    unsigned magic;
    nghttp2_session *session;
    struct h2_loan loan;
    const struct h2_events *events;
    void *ctx;
    enum h2_side side;
    bool settings_seen;
    bool goaway_seen;
    bool terminated;
    bool block_oversized;
    size_t block_bytes; // of the header block that is coming in
    size_t streams;
    // Streams that may still end unserved; one more for each that is served.
    uint64_t reset_credit;
    // Token bucket for frames that only cost.
    int64_t control_credit;
    struct mono control_filled;
    struct mono now;
    const char *hostile; // why the peer was sent away
};

// ---- bounds ------------------------------------------------------------------------------------

void h2_terminate(struct h2 *h2, uint32_t error, const char *why)
{
    if (h2->terminated)
        return;
    h2->terminated = true;
    h2->hostile = why;
    int result = nghttp2_session_terminate_session(h2->session, error);
    CHECK(result == 0);
}

static void count_control(struct h2 *h2)
{
    int64_t passed_ms = mono_since(h2->now, h2->control_filled) / NS_PER_MS;
    if (passed_ms > 0) {
        // More than two seconds fill the bucket anyway; the cap keeps the product small.
        if (passed_ms > 10000)
            passed_ms = 10000;
        h2->control_credit += passed_ms * H2_CONTROL_PER_SECOND / 1000;
        if (h2->control_credit > H2_CONTROL_BURST)
            h2->control_credit = H2_CONTROL_BURST;
        h2->control_filled = h2->now;
    }
    if (--h2->control_credit < 0)
        h2_terminate(h2, H2_ENHANCE_YOUR_CALM, "too many control frames");
}

static void count_unserved(struct h2 *h2)
{
    if (h2->reset_credit > 0)
        h2->reset_credit--;
    else
        h2_terminate(h2, H2_ENHANCE_YOUR_CALM, "too many streams reset");
}

// ---- what nghttp2 tells ------------------------------------------------------------------------

static struct h2 *h2_of(void *user_data)
{
    struct h2 *h2 = user_data;
    MAGIC_CHECK(h2, H2_MAGIC);
    return h2;
}

static void *user_of(struct h2 *h2, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(h2->session, stream);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user_data)
{
    (void)session;
    struct h2 *h2 = h2_of(user_data);
    switch (hd->type) {
    case NGHTTP2_DATA:
        if (hd->length == 0 && !(hd->flags & NGHTTP2_FLAG_END_STREAM))
            count_control(h2);
        break;
    case NGHTTP2_HEADERS:
    case NGHTTP2_RST_STREAM:    // counted as unserved streams
    case NGHTTP2_GOAWAY:        // the second one changes nothing
    case NGHTTP2_WINDOW_UPDATE: // comes with every few kilobytes we send
    case NGHTTP2_CONTINUATION:  // limited per block
        break;
    default: // PRIORITY, SETTINGS, PING, extensions
        count_control(h2);
    }
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    (void)session;
    struct h2 *h2 = h2_of(user_data);
    h2->block_bytes = 0;
    h2->block_oversized = false;
    if (h2->side == H2_SERVER && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        h2->streams++;
        h2->events->on_stream(h2->ctx, frame->hd.stream_id);
    }
    return 0;
}

static bool is_trailers(const nghttp2_frame *frame)
{
    return frame->headers.cat == NGHTTP2_HCAT_HEADERS;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user_data)
{
    (void)session;
    (void)flags;
    struct h2 *h2 = h2_of(user_data);
    h2->block_bytes += name_size + value_size + 32;
    if (h2->block_bytes > H2_HEADER_BOMB_BYTES) {
        // Each further field may cost kilobytes of checking for one byte: decode no more of it.
        h2_terminate(h2, H2_ENHANCE_YOUR_CALM, "a header block out of all proportion");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (h2->block_bytes > H2_HEADER_BYTES_MAX) {
        h2->block_oversized = true;
        return 0;
    }
    struct h2_field field = {
        .name = (const char *)name,
        .value = (const char *)value,
        .name_size = name_size,
        .value_size = value_size,
    };
    h2->events->on_field(h2->ctx, frame->hd.stream_id, user_of(h2, frame->hd.stream_id), &field,
                         is_trailers(frame));
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream,
                         const uint8_t *bytes, size_t size, void *user_data)
{
    (void)session;
    (void)flags;
    struct h2 *h2 = h2_of(user_data);
    void *user = user_of(h2, stream);
    if (user && !h2->terminated)
        h2->events->on_data(h2->ctx, stream, user, bytes, size);
    else
        h2_consume(h2, stream, size);
    return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2 *h2 = h2_of(user_data);
    int32_t stream = frame->hd.stream_id;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (h2->block_oversized) {
            // Twice, for the refusal that answers it counts as served.
            count_unserved(h2);
            count_unserved(h2);
        }
        h2->events->on_headers(h2->ctx, stream, user_of(h2, stream), is_trailers(frame),
                               h2->block_oversized);
        break;
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK) && !h2->settings_seen) {
            h2->settings_seen = true;
            h2->events->on_settings(h2->ctx);
        }
        return 0;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            h2->events->on_pong(h2->ctx);
        return 0;
    case NGHTTP2_GOAWAY:
        h2->goaway_seen = true;
        h2->events->on_goaway(h2->ctx, frame->goaway.last_stream_id, frame->goaway.error_code);
        return 0;
    case NGHTTP2_DATA:
        break;
    default:
        return 0;
    }
    // The callback above may have ended the stream.
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && nghttp2_session_find_stream(session, stream))
        h2->events->on_end(h2->ctx, stream, user_of(h2, stream));
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error,
                           void *user_data)
{
    struct h2 *h2 = h2_of(user_data);
    void *user = nghttp2_session_get_stream_user_data(session, stream);
    CHECK(h2->streams > 0);
    h2->streams--;
    if (h2->side == H2_SERVER) {
        // Served is what we answered to the end: only a stream closed by its peer, or for an error
        // of the peer's, is not half closed on our side.
        if (nghttp2_session_get_stream_local_close(session, stream) == 1)
            h2->reset_credit++;
        else
            count_unserved(h2);
    }
    h2->events->on_closed(h2->ctx, stream, user, error);
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2 *h2 = h2_of(user_data);
    // A stock peer answers each burst of ours with a PING, to learn the path's capacity: a thousand
    // small replies a second bring a thousand of them.
    if (frame->hd.type == NGHTTP2_DATA && h2->control_credit < H2_CONTROL_BURST)
        h2->control_credit++;
    // An early answer: the client may stop sending its request (RFC 9113 section 8.1).
    if (h2->side == H2_SERVER && frame->hd.type == NGHTTP2_HEADERS &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
        h2_reset(h2, frame->hd.stream_id, H2_NO_ERROR);
    return 0;
}

static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int lib_error,
                             void *user_data)
{
    (void)lib_error;
    struct h2 *h2 = h2_of(user_data);
    // A request that could not leave, for the connection is ending. When its stream was opened
    // already, closing it tells.
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST &&
        !nghttp2_session_find_stream(session, frame->hd.stream_id)) {
        CHECK(h2->streams > 0);
        h2->streams--;
        h2->events->on_closed(h2->ctx, frame->hd.stream_id, NULL, H2_REFUSED_STREAM);
    }
    return 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t stream, uint8_t *out, size_t max,
                       uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    (void)session;
    (void)source;
    struct h2 *h2 = h2_of(user_data);
    void *user = user_of(h2, stream);
    if (!user)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    bool end = false;
    bool trailers = false;
    size_t got = h2->events->on_pull(h2->ctx, stream, user, out, max, &end, &trailers);
    CHECK(got <= max);
    if (end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (trailers)
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        return (ssize_t)got;
    }
    return got > 0 ? (ssize_t)got : NGHTTP2_ERR_DEFERRED;
}

// ---- life --------------------------------------------------------------------------------------

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    int result = nghttp2_session_callbacks_new(&callbacks);
    CHECK(result == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    return callbacks;
}

static nghttp2_option *make_options(enum h2_side side)
{
    nghttp2_option *options;
    int result = nghttp2_option_new(&options);
    CHECK(result == 0);
    nghttp2_option_set_no_auto_window_update(options, 1);
    nghttp2_option_set_no_closed_streams(options, 1);
    nghttp2_option_set_peer_max_concurrent_streams(options, H2_STREAMS_BEFORE_SETTINGS);
    nghttp2_option_set_max_outbound_ack(options, H2_OUTBOUND_ACKS_MAX);
    nghttp2_option_set_max_settings(options, H2_SETTINGS_MAX);
    nghttp2_option_set_max_continuations(options, H2_CONTINUATIONS_MAX);
    if (side == H2_SERVER)
        nghttp2_option_set_max_deflate_dynamic_table_size(options, H2_SERVER_TABLE_BYTES);
    // Ours counts what was served against it; the library's would come first.
    nghttp2_option_set_stream_reset_rate_limit(options, UINT32_MAX, UINT32_MAX);
    return options;
}

static void make_session(struct h2 *h2)
{
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *options = make_options(h2->side);
    nghttp2_mem memory = h2_loan_memory(&h2->loan);
    int result = h2->side == H2_SERVER
                     ? nghttp2_session_server_new3(&h2->session, callbacks, h2, options, &memory)
                     : nghttp2_session_client_new2(&h2->session, callbacks, h2, options);
    CHECK(result == 0);
    nghttp2_option_del(options);
    nghttp2_session_callbacks_del(callbacks);
}

struct h2 *h2_new(const struct h2_config *config, const struct h2_events *events, void *ctx)
{
    struct h2 *h2 = MEM_NEW(struct h2);
    MAGIC_SET(h2, H2_MAGIC);
    h2->events = events;
    h2->ctx = ctx;
    h2->side = config->side;
    h2->reset_credit = config->resets_max ? config->resets_max : H2_RESETS_MAX;
    h2->control_credit = H2_CONTROL_BURST;
    make_session(h2);
    uint32_t stream_window = config->stream_window ? config->stream_window : H2_STREAM_WINDOW_BYTES;
    uint32_t connection_window =
        config->connection_window ? config->connection_window : H2_CONNECTION_WINDOW_BYTES;
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADER_BYTES_MAX},
        // Nobody here weighs streams; without the tree of priorities a stream costs less.
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    size_t count = COUNT_OF(entries);
    if (config->side == H2_SERVER)
        entries[count - 1] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, config->streams_max};
    int result = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries, count);
    CHECK(result == 0);
    result = nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                   (int32_t)connection_window);
    CHECK(result == 0);
    return h2;
}

void h2_free(struct h2 *h2)
{
    MAGIC_CHECK(h2, H2_MAGIC);
    nghttp2_session_del(h2->session);
    MAGIC_CLEAR(h2);
    free(h2);
}

int h2_receive(struct h2 *h2, const uint8_t *bytes, size_t size, struct mono now, struct err *err)
{
    MAGIC_CHECK(h2, H2_MAGIC);
    h2->now = now;
    ssize_t used = nghttp2_session_mem_recv(h2->session, bytes, size);
    if (used < 0) {
        uint32_t error = used == NGHTTP2_ERR_FLOODED ? H2_ENHANCE_YOUR_CALM : H2_PROTOCOL_ERROR;
        if (!h2->hostile)
            h2_terminate(h2, error, nghttp2_strerror((int)used));
    }
    if (h2->hostile)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "http2: %s", h2->hostile);
    return 0;
}

bool h2_output(struct h2 *h2, struct buf *out, size_t enough)
{
    MAGIC_CHECK(h2, H2_MAGIC);
    CHECK(h2_loan_is_here(&h2->loan));
    while (out->len < enough) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(h2->session, &bytes);
        if (size <= 0)
            return false; // an error here means that the session is over: h2_finished
        buf_put(out, bytes, (size_t)size);
        CHECK(buf_ok(out));
    }
    return true;
}

bool h2_wants_output(const struct h2 *h2)
{
    return nghttp2_session_want_write(h2->session) != 0;
}

bool h2_finished(const struct h2 *h2)
{
    return !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
}

// ---- streams -----------------------------------------------------------------------------------

// Most fields of one block that this side sends: gRPC's own and the metadata.
#define FIELDS_MAX 192

static void to_nv(nghttp2_nv *nv, const struct h2_field *fields, size_t count)
{
    CHECK(count <= FIELDS_MAX);
    for (size_t i = 0; i < count; i++)
        nv[i] = (nghttp2_nv){
            .name = (uint8_t *)fields[i].name,
            .value = (uint8_t *)fields[i].value,
            .namelen = fields[i].name_size,
            .valuelen = fields[i].value_size,
        };
}

bool h2_draining(const struct h2 *h2)
{
    return h2->goaway_seen || h2->terminated;
}

bool h2_can_open(const struct h2 *h2)
{
    return !h2->goaway_seen && !h2->terminated &&
           nghttp2_session_check_request_allowed(h2->session) &&
           h2->streams < nghttp2_session_get_remote_settings(
                             h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

int32_t h2_open(struct h2 *h2, const struct h2_field *fields, size_t count, bool end, void *user,
                struct err *err)
{
    CHECK(h2->side == H2_CLIENT);
    CHECK(user);
    if (!h2_can_open(h2))
        return err_set(err, ERR_UNAVAILABLE, "http2: no stream can be opened");
    nghttp2_nv nv[FIELDS_MAX];
    to_nv(nv, fields, count);
    nghttp2_data_provider provider = {.read_callback = on_read};
    int32_t stream =
        nghttp2_submit_request(h2->session, NULL, nv, count, end ? NULL : &provider, user);
    if (stream < 0)
        return err_set(err, ERR_UNAVAILABLE, "http2: %s", nghttp2_strerror(stream));
    h2->streams++;
    return stream;
}

void h2_stream_attach(struct h2 *h2, int32_t stream, void *user)
{
    nghttp2_session_set_stream_user_data(h2->session, stream, user);
}

void h2_respond(struct h2 *h2, int32_t stream, const struct h2_field *fields, size_t count,
                bool end)
{
    nghttp2_nv nv[FIELDS_MAX];
    to_nv(nv, fields, count);
    nghttp2_data_provider provider = {.read_callback = on_read};
    int result = nghttp2_submit_response(h2->session, stream, nv, count, end ? NULL : &provider);
    CHECK(result != NGHTTP2_ERR_NOMEM);
}

void h2_trailers(struct h2 *h2, int32_t stream, const struct h2_field *fields, size_t count)
{
    nghttp2_nv nv[FIELDS_MAX];
    to_nv(nv, fields, count);
    int result = nghttp2_submit_trailer(h2->session, stream, nv, count);
    CHECK(result != NGHTTP2_ERR_NOMEM);
}

void h2_resume(struct h2 *h2, int32_t stream)
{
    // Not deferred, or gone: nothing to resume.
    int result = nghttp2_session_resume_data(h2->session, stream);
    CHECK(result != NGHTTP2_ERR_NOMEM);
}

void h2_reset(struct h2 *h2, int32_t stream, uint32_t error)
{
    int result = nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream, error);
    CHECK(result != NGHTTP2_ERR_NOMEM);
}

void h2_consume(struct h2 *h2, int32_t stream, size_t size)
{
    int result = nghttp2_session_consume(h2->session, stream, size);
    CHECK(result != NGHTTP2_ERR_NOMEM);
}

size_t h2_streams(const struct h2 *h2)
{
    return h2->streams;
}

// ---- the connection ----------------------------------------------------------------------------

void h2_ping(struct h2 *h2)
{
    static const uint8_t payload[8] = {'s', 'k', 'e', 'p', 'p', 'i', 'n', 'g'};
    int result = nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, payload);
    CHECK(result != NGHTTP2_ERR_NOMEM);
}

void h2_goaway(struct h2 *h2, bool final)
{
    if (h2->terminated)
        return;
    int result;
    if (!final && h2->side == H2_SERVER)
        result = nghttp2_submit_shutdown_notice(h2->session);
    else
        result = nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                                       nghttp2_session_get_last_proc_stream_id(h2->session),
                                       NGHTTP2_NO_ERROR, NULL, 0);
    CHECK(result != NGHTTP2_ERR_NOMEM);
}
