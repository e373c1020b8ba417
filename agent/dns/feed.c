#include "agent/dns/feed.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

static_assert(FEED_MESSAGE_BYTES_MAX <= CHANNEL_PAYLOAD_BYTES_MAX, "a message is one packet");
// Each alias has a length byte; the rest of a record is an ID or two, two names, four addresses.
static_assert(2u * NAMES_ALIASES_MAX * (FEED_TEXT_BYTES_MAX + 1) + 2048 <= FEED_MESSAGE_BYTES_MAX,
              "the largest record fits");
static_assert(NAMES_SANDBOX_NETWORKS_MAX * (FEED_ID_BYTES_MAX + 1) +
                      RESOLVER_SEARCH_MAX * (FEED_TEXT_BYTES_MAX + 1) + 2048 <=
                  FEED_MESSAGE_BYTES_MAX,
              "the largest sandbox fits");
static_assert(NAMES_ALIASES_MAX <= UINT8_MAX, "counts have one byte");
static_assert(NAMES_SANDBOX_NETWORKS_MAX <= UINT8_MAX, "counts have one byte");
static_assert(RESOLVER_SEARCH_MAX <= UINT8_MAX, "counts have one byte");

// ---- checks -------------------------------------------------------------------------------------

int feed_check_id(const char *what, const char *id, struct err *err)
{
    if (str_empty(id))
        return err_set(err, ERR_INVALID_ARGUMENT, "a %s without ID", what);
    if (strlen(id) > FEED_ID_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "a %s with an ID of more than %u bytes", what,
                       FEED_ID_BYTES_MAX);
    return 0;
}

static bool ip_fits(const struct names_ip *ip)
{
    return ip->size == 0 || ip->size == 4 || ip->size == 16;
}

int feed_check_record(const struct names_record *record, struct err *err)
{
    int result = feed_check_id("endpoint", record->endpoint, err);
    if (result)
        return result;
    if (record->aliases_count > NAMES_ALIASES_MAX ||
        record->service_aliases_count > NAMES_ALIASES_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "endpoint %s has more than %u aliases",
                       record->endpoint, NAMES_ALIASES_MAX);
    for (size_t i = 0; i < NAMES_IPS_MAX; i++)
        if (!ip_fits(&record->ips[i]) || !ip_fits(&record->vips[i]))
            return err_set(err, ERR_INVALID_ARGUMENT, "endpoint %s has an address of an odd size",
                           record->endpoint);
    return 0;
}

int feed_check_sandbox(const struct feed_sandbox *sandbox, struct err *err)
{
    int result = feed_check_id("sandbox", sandbox->id, err);
    if (result)
        return result;
    if (sandbox->networks_count > NAMES_SANDBOX_NETWORKS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "sandbox %s has more than %u networks",
                       sandbox->id, NAMES_SANDBOX_NETWORKS_MAX);
    if (sandbox->search_count > RESOLVER_SEARCH_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "sandbox %s has more than %u search domains",
                       sandbox->id, RESOLVER_SEARCH_MAX);
    if (sandbox->servers_count > RESOLVER_UPSTREAMS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "sandbox %s has more than %u name servers",
                       sandbox->id, RESOLVER_UPSTREAMS_MAX);
    for (size_t i = 0; i < sandbox->networks_count; i++) {
        result = feed_check_id("network", sandbox->networks[i], err);
        if (result)
            return result;
    }
    for (size_t i = 0; i < sandbox->servers_count; i++) {
        const struct feed_server *server = &sandbox->servers[i];
        if (server->ip.size == 0 || !ip_fits(&server->ip) || server->port == 0)
            return err_set(err, ERR_INVALID_ARGUMENT, "sandbox %s has a name server that is none",
                           sandbox->id);
    }
    return 0;
}

// ---- packing ------------------------------------------------------------------------------------

static size_t text_bytes(const char *text)
{
    size_t size = text ? strlen(text) : 0;
    return size > FEED_TEXT_BYTES_MAX ? 0 : size;
}

static void put_text(struct buf *out, const char *text)
{
    size_t size = text_bytes(text);
    buf_put_u8(out, (uint8_t)size);
    buf_put(out, text, size);
}

static void put_texts(struct buf *out, const char *const *texts, size_t count)
{
    buf_put_u8(out, (uint8_t)count);
    for (size_t i = 0; i < count; i++)
        put_text(out, texts[i]);
}

static void put_ip(struct buf *out, const struct names_ip *ip)
{
    CHECK(ip_fits(ip));
    buf_put_u8(out, ip->size);
    buf_put(out, ip->bytes, ip->size);
}

static void put_record(struct buf *out, const struct names_record *record)
{
    bool service = text_bytes(record->service) > 0;
    put_text(out, record->endpoint);
    buf_put_u8(out, record->draining);
    put_text(out, record->name);
    put_text(out, record->service);
    put_texts(out, record->aliases, record->aliases_count);
    put_texts(out, record->service_aliases, service ? record->service_aliases_count : 0);
    for (size_t i = 0; i < NAMES_IPS_MAX; i++) {
        put_ip(out, &record->ips[i]);
        put_ip(out, &record->vips[i]);
    }
}

static void put_sandbox(struct buf *out, const struct feed_sandbox *sandbox)
{
    put_text(out, sandbox->id);
    buf_put_u8(out, sandbox->ndots_set);
    put_texts(out, sandbox->networks, sandbox->networks_count);
    put_texts(out, sandbox->search, sandbox->search_count);
    buf_put_u8(out, (uint8_t)sandbox->servers_count);
    for (size_t i = 0; i < sandbox->servers_count; i++) {
        put_ip(out, &sandbox->servers[i].ip);
        buf_put_u16be(out, sandbox->servers[i].port);
        buf_put_u8(out, sandbox->servers[i].inside);
    }
}

void feed_pack(struct buf *out, const struct feed_message *message)
{
    switch (message->type) {
    case FEED_NETWORK_PUT:
        put_text(out, message->network);
        put_text(out, message->name);
        buf_put_u8(out, message->internal);
        return;
    case FEED_NETWORK_REMOVE:
        put_text(out, message->network);
        return;
    case FEED_RECORD_PUT:
        put_text(out, message->network);
        put_record(out, &message->record);
        return;
    case FEED_RECORD_REMOVE:
        put_text(out, message->network);
        put_text(out, message->record.endpoint);
        return;
    case FEED_SANDBOX_PUT:
        put_sandbox(out, &message->sandbox);
        return;
    case FEED_SANDBOX_REMOVE:
        put_text(out, message->sandbox.id);
        return;
    case FEED_SOCKETS:
        put_text(out, message->sandbox.id);
        buf_put_u8(out, (uint8_t)message->sockets);
        return;
    }
    UNREACHABLE("a feed message without type");
}

// ---- reading ------------------------------------------------------------------------------------

// A NUL inside would cut the text short, and then two names would be one.
static const char *get_text(struct cursor *at, struct arena *arena, size_t max)
{
    size_t size = cursor_u8(at);
    const uint8_t *bytes = cursor_bytes(at, size);
    if (!bytes || size > max || memchr(bytes, '\0', size)) {
        cursor_fail(at);
        return "";
    }
    const char *text = arena_strndup(arena, (const char *)bytes, size);
    CHECK(text); // FEED_ARENA_BYTES holds what the largest message can say
    return text;
}

static const char *get_id(struct cursor *at, struct arena *arena)
{
    const char *id = get_text(at, arena, FEED_ID_BYTES_MAX);
    if (!*id)
        cursor_fail(at);
    return id;
}

static const char *const *get_texts(struct cursor *at, struct arena *arena, size_t count_max,
                                    bool ids, size_t *count)
{
    *count = cursor_u8(at);
    if (*count > count_max) {
        *count = 0;
        cursor_fail(at);
    }
    const char **texts = arena_alloc_array(arena, *count, sizeof *texts);
    CHECK(texts);
    for (size_t i = 0; i < *count; i++)
        texts[i] = ids ? get_id(at, arena) : get_text(at, arena, FEED_TEXT_BYTES_MAX);
    return texts;
}

static bool get_bool(struct cursor *at)
{
    uint8_t value = cursor_u8(at);
    if (value > 1)
        cursor_fail(at);
    return value == 1;
}

static void get_ip(struct cursor *at, struct names_ip *out)
{
    out->size = cursor_u8(at);
    const uint8_t *bytes = ip_fits(out) ? cursor_bytes(at, out->size) : NULL;
    if (bytes)
        memcpy(out->bytes, bytes, out->size);
    else
        cursor_fail(at);
}

static void get_record(struct cursor *at, struct arena *arena, struct names_record *out)
{
    out->endpoint = get_id(at, arena);
    out->draining = get_bool(at);
    out->name = get_text(at, arena, FEED_TEXT_BYTES_MAX);
    out->service = get_text(at, arena, FEED_TEXT_BYTES_MAX);
    out->aliases = get_texts(at, arena, NAMES_ALIASES_MAX, false, &out->aliases_count);
    out->service_aliases =
        get_texts(at, arena, NAMES_ALIASES_MAX, false, &out->service_aliases_count);
    if (!*out->service && out->service_aliases_count)
        cursor_fail(at);
    for (size_t i = 0; i < NAMES_IPS_MAX; i++) {
        get_ip(at, &out->ips[i]);
        get_ip(at, &out->vips[i]);
    }
}

static void get_server(struct cursor *at, struct feed_server *out)
{
    get_ip(at, &out->ip);
    out->port = cursor_u16be(at);
    out->inside = get_bool(at);
    if (out->ip.size == 0 || out->port == 0)
        cursor_fail(at);
}

static void get_sandbox(struct cursor *at, struct arena *arena, struct feed_sandbox *out)
{
    out->id = get_id(at, arena);
    out->ndots_set = get_bool(at);
    out->networks = get_texts(at, arena, NAMES_SANDBOX_NETWORKS_MAX, true, &out->networks_count);
    out->search = get_texts(at, arena, RESOLVER_SEARCH_MAX, false, &out->search_count);
    size_t servers = cursor_u8(at);
    if (servers > RESOLVER_UPSTREAMS_MAX) {
        servers = 0;
        cursor_fail(at);
    }
    out->servers_count = servers;
    for (size_t i = 0; i < servers; i++)
        get_server(at, &out->servers[i]);
}

static void get_sockets(struct cursor *at, struct arena *arena, struct feed_message *out)
{
    out->sandbox.id = get_text(at, arena, FEED_ID_BYTES_MAX);
    uint8_t sockets = cursor_u8(at);
    // Nobody asks the host: its sockets only ask.
    if (sockets != FEED_SOCKETS_ASK && (sockets != FEED_SOCKETS_ANSWER || !*out->sandbox.id))
        cursor_fail(at);
    out->sockets = (enum feed_sockets)sockets;
}

int feed_parse(uint16_t type, const void *payload, size_t size, struct arena *arena,
               struct feed_message *out, struct err *err)
{
    *out = (struct feed_message){.type = (enum feed_type)type};
    if (size > FEED_MESSAGE_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "a feed message of %zu bytes", size);
    struct cursor at = cursor_of(payload, size);
    if (type >= FEED_NETWORK_PUT && type <= FEED_RECORD_REMOVE)
        out->network = get_id(&at, arena);
    switch (type) {
    case FEED_NETWORK_PUT:
        out->name = get_text(&at, arena, FEED_TEXT_BYTES_MAX);
        out->internal = get_bool(&at);
        break;
    case FEED_NETWORK_REMOVE:
        break;
    case FEED_RECORD_PUT:
        get_record(&at, arena, &out->record);
        break;
    case FEED_RECORD_REMOVE:
        out->record.endpoint = get_id(&at, arena);
        break;
    case FEED_SANDBOX_PUT:
        get_sandbox(&at, arena, &out->sandbox);
        break;
    case FEED_SANDBOX_REMOVE:
        out->sandbox.id = get_id(&at, arena);
        break;
    case FEED_SOCKETS:
        get_sockets(&at, arena, out);
        break;
    default:
        cursor_fail(&at);
    }
    if (!cursor_done(&at))
        return err_set(err, ERR_INVALID_ARGUMENT, "feed message %u is not well-formed", type);
    return 0;
}
