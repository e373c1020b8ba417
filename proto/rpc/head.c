#include "proto/rpc/head.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"
#include "proto/rpc/grpc.h"

// gRPC's own fields in one block, at most.
#define OWN_FIELDS_MAX 10

// Longest grpc-message kept or sent, encoded: each byte may take three.
#define MESSAGE_FIELD_BYTES_MAX (3 * ERR_MESSAGE_BYTES)

#define USER_AGENT "grpc-skep/0.1"

// ---- in ----------------------------------------------------------------------------------------

static char *keep(struct head *head, struct metadata *metadata, const void *bytes, size_t size)
{
    char *copy = arena_strndup(metadata->arena, bytes, size);
    if (!copy)
        head->overflow = true;
    return copy;
}

// Binary values come padded or not, and several of one key may be joined by commas.
static bool decode_binary(const char *text, size_t size, struct buf *out)
{
    bool padded = size > 0 && text[size - 1] == '=';
    return base64_decode(padded ? BASE64_STD : BASE64_STD_RAW, text, size, out);
}

static void take_binary(struct head *head, struct metadata *metadata, const char *key,
                        const struct h2_field *field)
{
    const char *at = field->value;
    const char *end = field->value + field->value_size;
    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct buf bytes;
        buf_init(&bytes, METADATA_BYTES_MAX);
        bool ok = decode_binary(at, (size_t)((comma ? comma : end) - at), &bytes);
        // What is no base64 is no value; the rest of the call is none the worse.
        if (ok && !metadata_add_bytes(metadata, key, bytes.data, bytes.len))
            head->overflow = true;
        buf_fini(&bytes);
        if (!comma)
            return;
        at = comma + 1;
    }
}

static void take_metadata(struct head *head, struct metadata *metadata,
                          const struct h2_field *field)
{
    if (metadata_key_reserved(field->name, field->name_size) ||
        !metadata_key_ok(field->name, field->name_size))
        return;
    char key[128];
    if (field->name_size >= sizeof key) {
        head->overflow = true;
        return;
    }
    memcpy(key, field->name, field->name_size);
    key[field->name_size] = 0;
    if (str_ends(key, "-bin"))
        take_binary(head, metadata, key, field);
    else if (!metadata_add_bytes(metadata, key, field->value, field->value_size))
        head->overflow = true;
}

static void take_path(struct head *head, struct metadata *metadata, const struct h2_field *field)
{
    head->path = keep(head, metadata, field->value, field->value_size);
}

static void take_method(struct head *head, struct metadata *metadata, const struct h2_field *field)
{
    (void)metadata;
    head->is_post = field->value_size == 4 && memcmp(field->value, "POST", 4) == 0;
}

static void take_timeout(struct head *head, struct metadata *metadata, const struct h2_field *field)
{
    (void)metadata;
    head->has_timeout = grpc_timeout_parse(field->value, field->value_size, &head->timeout_ns);
    head->bad_timeout = !head->has_timeout;
}

static void take_content_type(struct head *head, struct metadata *metadata,
                              const struct h2_field *field)
{
    (void)metadata;
    static const char wanted[] = "application/grpc";
    size_t size = sizeof wanted - 1;
    if (field->value_size < size || memcmp(field->value, wanted, size) != 0)
        return;
    char next = field->value_size > size ? field->value[size] : 0;
    head->is_grpc = next == 0 || next == '+' || next == ';';
}

static void take_encoding(struct head *head, struct metadata *metadata,
                          const struct h2_field *field)
{
    if (field->value_size != 8 || memcmp(field->value, "identity", 8) != 0)
        head->encoding = keep(head, metadata, field->value, field->value_size);
}

static void take_http_status(struct head *head, struct metadata *metadata,
                             const struct h2_field *field)
{
    (void)metadata;
    head->http_status = 0;
    for (size_t i = 0; i < field->value_size && i < 3; i++)
        head->http_status = head->http_status * 10 + (unsigned)(field->value[i] - '0') % 10;
}

static void take_status(struct head *head, struct metadata *metadata, const struct h2_field *field)
{
    (void)metadata;
    head->has_status = true;
    head->status = rpc_status_parse_code(field->value, field->value_size);
}

static void take_message(struct head *head, struct metadata *metadata, const struct h2_field *field)
{
    struct buf text;
    buf_init(&text, MESSAGE_FIELD_BYTES_MAX);
    grpc_percent_decode(field->value, field->value_size, &text);
    head->message = keep(head, metadata, text.data ? (const char *)text.data : "", text.len);
    buf_fini(&text);
}

static void take_details(struct head *head, struct metadata *metadata, const struct h2_field *field)
{
    struct buf bytes;
    buf_init(&bytes, RPC_STATUS_DETAILS_BYTES_MAX);
    if (decode_binary(field->value, field->value_size, &bytes) && bytes.len > 0) {
        head->details = arena_memdup(metadata->arena, bytes.data, bytes.len);
        head->details_size = head->details ? bytes.len : 0;
    }
    buf_fini(&bytes);
}

static const struct {
    const char *name;
    void (*take)(struct head *head, struct metadata *metadata, const struct h2_field *field);
} own_fields[] = {
    {":path", take_path},
    {":method", take_method},
    {":status", take_http_status},
    {"content-type", take_content_type},
    {"grpc-timeout", take_timeout},
    {"grpc-status", take_status},
    {"grpc-message", take_message},
    {"grpc-encoding", take_encoding},
    {"grpc-status-details-bin", take_details},
};

void head_field(struct head *head, struct metadata *metadata, const struct h2_field *field)
{
    for (size_t i = 0; i < COUNT_OF(own_fields); i++) {
        if (strlen(own_fields[i].name) == field->name_size &&
            memcmp(own_fields[i].name, field->name, field->name_size) == 0) {
            own_fields[i].take(head, metadata, field);
            return;
        }
    }
    take_metadata(head, metadata, field);
}

// ---- out ---------------------------------------------------------------------------------------

static void begin(struct head_fields *fields, const struct metadata *metadata, struct arena *arena)
{
    size_t room = OWN_FIELDS_MAX + (metadata ? metadata->count : 0);
    fields->list = arena_alloc_array(arena, room, sizeof *fields->list);
    CHECK(fields->list); // arenas of calls leave room for what we send ourselves
    fields->count = 0;
}

static void put(struct head_fields *fields, const char *name, const char *value, size_t value_size)
{
    fields->list[fields->count++] = (struct h2_field){
        .name = name, .value = value, .name_size = strlen(name), .value_size = value_size};
}

static void put_text(struct head_fields *fields, const char *name, const char *value)
{
    put(fields, name, value, strlen(value));
}

static void put_binary(struct head_fields *fields, const char *name, const void *bytes, size_t size,
                       struct arena *arena)
{
    struct buf text;
    buf_init(&text, 2 * METADATA_BYTES_MAX);
    base64_encode(BASE64_STD_RAW, bytes, size, &text);
    CHECK(buf_ok(&text));
    char *copy = arena_strndup(arena, text.data ? (const char *)text.data : "", text.len);
    CHECK(copy);
    put(fields, name, copy, text.len);
    buf_fini(&text);
}

static void put_metadata(struct head_fields *fields, const struct metadata *metadata,
                         struct arena *arena)
{
    for (size_t i = 0; metadata && i < metadata->count; i++) {
        const struct metadata_entry *entry = &metadata->entries[i];
        if (str_ends(entry->key, "-bin"))
            put_binary(fields, entry->key, entry->value, entry->size, arena);
        else
            put(fields, entry->key, entry->value, entry->size);
    }
}

void head_make_request(const struct head_request *request, const struct metadata *metadata,
                       struct arena *arena, struct head_fields *fields)
{
    begin(fields, metadata, arena);
    put_text(fields, ":method", "POST");
    put_text(fields, ":scheme", request->tls ? "https" : "http");
    put_text(fields, ":path", request->path);
    put_text(fields, ":authority", request->authority);
    put_text(fields, "content-type", "application/grpc");
    put_text(fields, "user-agent", USER_AGENT);
    put_text(fields, "te", "trailers");
    if (request->timeout_ns >= 0) {
        char text[GRPC_TIMEOUT_BYTES];
        grpc_timeout_format(request->timeout_ns, text);
        char *copy = arena_strdup(arena, text);
        CHECK(copy);
        put_text(fields, "grpc-timeout", copy);
    }
    put_metadata(fields, metadata, arena);
}

void head_make_response(const struct metadata *metadata, struct arena *arena,
                        struct head_fields *fields)
{
    begin(fields, metadata, arena);
    put_text(fields, ":status", "200");
    put_text(fields, "content-type", "application/grpc");
    put_metadata(fields, metadata, arena);
}

// The decimal text of a code, and of the HTTP statuses used here.
static const char *number_text(unsigned number, struct arena *arena)
{
    static const char *const codes[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                        "9", "10", "11", "12", "13", "14", "15", "16"};
    if (number < COUNT_OF(codes))
        return codes[number];
    char *text = arena_printf(arena, "%u", number);
    CHECK(text);
    return text;
}

static void put_message(struct head_fields *fields, const char *message, struct arena *arena)
{
    struct buf text;
    buf_init(&text, MESSAGE_FIELD_BYTES_MAX);
    grpc_percent_encode(message, strlen(message), &text);
    CHECK(buf_ok(&text));
    char *copy = arena_strndup(arena, (const char *)text.data, text.len);
    CHECK(copy);
    put(fields, "grpc-message", copy, text.len);
    buf_fini(&text);
}

void head_make_trailers(const struct rpc_status *status, const struct metadata *metadata, bool only,
                        unsigned http_status, struct arena *arena, struct head_fields *fields)
{
    begin(fields, metadata, arena);
    if (only) {
        put_text(fields, ":status", number_text(http_status, arena));
        put_text(fields, "content-type", "application/grpc");
    }
    put_text(fields, "grpc-status", number_text(status->err.code, arena));
    if (status->err.code != ERR_OK && status->err.message[0])
        put_message(fields, status->err.message, arena);
    if (status->details) {
        CHECK(status->details_size <= RPC_STATUS_DETAILS_BYTES_MAX);
        put_binary(fields, "grpc-status-details-bin", status->details, status->details_size, arena);
    }
    put_metadata(fields, metadata, arena);
}
