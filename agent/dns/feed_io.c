#include "agent/dns/feed_io.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define FEED_MAGIC 0x46454544u
// The channel says when it is full, not when it is empty again; it is asked so often.
#define ROOM_WAIT_MS 3

// Every thing that the resolver process has to know is an item. Items whose state there is not the
// wanted one wait in `dirty`, in the order in which they have to be sent: a network before what
// lies in it or names it. So a network that waits keeps its place, all else moves to the end.
enum kind { HOST, NETWORK, RECORD, SANDBOX };

struct item {
    struct list link; // in feed->dirty, or alone
    enum kind kind;
    bool known;       // the resolver process has it
    bool stale;       // it has to forget what it has of it, before anything else
    bool gone;        // not wanted any more: freed once the resolver process has forgotten it
    uint8_t *payload; // of the message that puts it
    size_t payload_bytes;
};

struct network {
    struct item item;
    char *id;
    struct map records; // endpoint ID -> struct record
    size_t live;        // those not gone
};

struct record {
    struct item item;
    struct network *network;
    char *endpoint;
};

// The host's pool of sockets is a sandbox without names.
struct sandbox {
    struct item item;
    char *id; // heap; "" for the host's
    struct dns_sockets sockets;
    bool answer_sent;
    size_t ask_sent;
};

struct dns_feed {
    unsigned magic;
    struct loop *loop;
    struct channel *channel; // NULL: no resolver process
    struct map networks;     // ID -> struct network
    struct map sandboxes;    // ID -> struct sandbox
    size_t networks_live, sandboxes_live;
    struct sandbox host;
    struct list dirty;
    struct loop_later flush;
    struct loop_timer room;
    struct buf scratch;
};

// ---- items --------------------------------------------------------------------------------------

static void item_init(struct item *item, enum kind kind)
{
    list_init(&item->link);
    item->kind = kind;
}

static void item_dirty(struct dns_feed *feed, struct item *item)
{
    if (item->kind != NETWORK)
        list_remove(&item->link);
    if (list_empty(&item->link))
        list_push_back(&feed->dirty, &item->link);
    if (feed->channel)
        loop_later_ask(&feed->flush);
}

// Takes the payload in feed->scratch over. False when it is what the item had.
static bool item_take(struct dns_feed *feed, struct item *item)
{
    struct buf *fresh = &feed->scratch;
    CHECK(buf_ok(fresh));
    if (item->payload && item->payload_bytes == fresh->len &&
        memcmp(item->payload, fresh->data, fresh->len) == 0)
        return false;
    free(item->payload);
    item->payload = mem_dup(fresh->data, fresh->len);
    item->payload_bytes = fresh->len;
    return true;
}

static void pack(struct dns_feed *feed, const struct feed_message *message)
{
    buf_clear(&feed->scratch);
    feed_pack(&feed->scratch, message);
}

static void record_free(struct record *record)
{
    list_remove(&record->item.link);
    free(record->item.payload);
    free(record->endpoint);
    free(record);
}

static void records_free(struct network *network)
{
    MAP_EACH (entry, &network->records)
        record_free(entry->value);
    map_clear(&network->records);
    network->live = 0;
}

static void network_free(struct network *network)
{
    records_free(network);
    map_fini(&network->records);
    list_remove(&network->item.link);
    free(network->item.payload);
    free(network->id);
    free(network);
}

static void sandbox_free(struct sandbox *sandbox)
{
    dns_sockets_close(&sandbox->sockets);
    list_remove(&sandbox->item.link);
    free(sandbox->item.payload);
    free(sandbox->id);
    free(sandbox);
}

static void item_forget(struct dns_feed *feed, struct item *item)
{
    if (item->kind == NETWORK) {
        struct network *network = CONTAINER_OF(item, struct network, item);
        map_remove_str(&feed->networks, network->id);
        network_free(network);
    } else if (item->kind == RECORD) {
        struct record *record = CONTAINER_OF(item, struct record, item);
        map_remove_str(&record->network->records, record->endpoint);
        record_free(record);
    } else {
        struct sandbox *sandbox = CONTAINER_OF(item, struct sandbox, item);
        CHECK(item->kind == SANDBOX);
        map_remove_str(&feed->sandboxes, sandbox->id);
        sandbox_free(sandbox);
    }
}

// ---- sending ------------------------------------------------------------------------------------

static bool send_message(struct dns_feed *feed, enum feed_type type, const uint8_t *payload,
                         size_t payload_bytes, const int *fds, size_t fds_count)
{
    struct err err = ERR_INIT;
    if (!channel_room(feed->channel, payload_bytes))
        return false;
    if (!channel_send(feed->channel, (uint16_t)type, payload, payload_bytes, fds, fds_count, &err))
        return true;
    // The end of the process is the supervisor's business; what is lacking may come back.
    if (err.code != ERR_UNAVAILABLE)
        log_warn("resolver process is not told", "err=\"%s\"", err.message);
    return false;
}

static bool send_forget(struct dns_feed *feed, const struct item *item)
{
    struct feed_message message = {0};
    if (item->kind == NETWORK) {
        message.type = FEED_NETWORK_REMOVE;
        message.network = CONTAINER_OF(item, struct network, item)->id;
    } else if (item->kind == RECORD) {
        const struct record *record = CONTAINER_OF(item, struct record, item);
        message.type = FEED_RECORD_REMOVE;
        message.network = record->network->id;
        message.record.endpoint = record->endpoint;
    } else {
        message.type = FEED_SANDBOX_REMOVE;
        message.sandbox.id = CONTAINER_OF(item, struct sandbox, item)->id;
    }
    pack(feed, &message);
    return send_message(feed, message.type, feed->scratch.data, feed->scratch.len, NULL, 0);
}

static bool send_sockets(struct dns_feed *feed, struct sandbox *sandbox)
{
    struct dns_sockets *sockets = &sandbox->sockets;
    struct feed_message message = {.type = FEED_SOCKETS, .sandbox.id = sandbox->id};
    if (!sandbox->answer_sent && sockets->answer_udp >= 0) {
        const int fds[] = {sockets->answer_udp, sockets->answer_tcp};
        message.sockets = FEED_SOCKETS_ANSWER;
        pack(feed, &message);
        if (!send_message(feed, FEED_SOCKETS, feed->scratch.data, feed->scratch.len, fds, 2))
            return false;
        sandbox->answer_sent = true;
    }
    while (sandbox->ask_sent < sockets->ask_count) {
        size_t count = sockets->ask_count - sandbox->ask_sent;
        if (count > CHANNEL_FDS_MAX)
            count = CHANNEL_FDS_MAX;
        message.sockets = FEED_SOCKETS_ASK;
        pack(feed, &message);
        if (!send_message(feed, FEED_SOCKETS, feed->scratch.data, feed->scratch.len,
                          sockets->ask + sandbox->ask_sent, count))
            return false;
        sandbox->ask_sent += count;
    }
    return true;
}

static void sockets_unsent(struct item *item)
{
    if (item->kind != SANDBOX && item->kind != HOST)
        return;
    struct sandbox *sandbox = CONTAINER_OF(item, struct sandbox, item);
    sandbox->answer_sent = false;
    sandbox->ask_sent = 0;
}

// True when the resolver process has been told all of it; the item may be freed then.
static bool send_item(struct dns_feed *feed, struct item *item)
{
    static const enum feed_type types[] = {
        [NETWORK] = FEED_NETWORK_PUT,
        [RECORD] = FEED_RECORD_PUT,
        [SANDBOX] = FEED_SANDBOX_PUT,
    };
    if (item->known && (item->gone || item->stale)) {
        if (!send_forget(feed, item))
            return false;
        item->known = false;
        sockets_unsent(item);
    }
    item->stale = false;
    if (item->gone) {
        item_forget(feed, item);
        return true;
    }
    if (item->kind != HOST &&
        !send_message(feed, types[item->kind], item->payload, item->payload_bytes, NULL, 0))
        return false;
    item->known = true;
    if (item->kind == HOST || item->kind == SANDBOX)
        if (!send_sockets(feed, CONTAINER_OF(item, struct sandbox, item)))
            return false;
    list_remove(&item->link);
    return true;
}

static void flush(struct dns_feed *feed)
{
    MAGIC_CHECK(feed, FEED_MAGIC);
    while (feed->channel && !list_empty(&feed->dirty))
        if (!send_item(feed, LIST_ENTRY(feed->dirty.next, struct item, link))) {
            loop_timer_start(&feed->room, ROOM_WAIT_MS);
            return;
        }
}

static void on_flush(struct loop_later *later)
{
    flush(CONTAINER_OF(later, struct dns_feed, flush));
}

static void on_room(struct loop_timer *timer)
{
    flush(CONTAINER_OF(timer, struct dns_feed, room));
}

bool dns_feed_settled(const struct dns_feed *feed)
{
    return feed->channel && list_empty(&feed->dirty) && channel_flushed(feed->channel);
}

// Everything is news to a new process; what is gone is none.
static void start_over(struct dns_feed *feed, struct item *item)
{
    item->known = item->stale = false;
    sockets_unsent(item);
    list_remove(&item->link);
    if (item->gone)
        item_forget(feed, item);
    else
        list_push_back(&feed->dirty, &item->link);
}

void dns_feed_attach(struct dns_feed *feed, struct channel *channel)
{
    MAGIC_CHECK(feed, FEED_MAGIC);
    feed->channel = channel;
    start_over(feed, &feed->host.item);
    MAP_EACH (entry, &feed->networks)
        start_over(feed, &((struct network *)entry->value)->item);
    MAP_EACH (entry, &feed->networks) {
        struct network *network = entry->value;
        MAP_EACH (inner, &network->records)
            start_over(feed, &((struct record *)inner->value)->item);
    }
    MAP_EACH (entry, &feed->sandboxes)
        start_over(feed, &((struct sandbox *)entry->value)->item);
    loop_later_ask(&feed->flush);
}

void dns_feed_detach(struct dns_feed *feed)
{
    MAGIC_CHECK(feed, FEED_MAGIC);
    feed->channel = NULL;
    loop_timer_stop(&feed->room);
    loop_later_cancel(&feed->flush);
}

// ---- networks -----------------------------------------------------------------------------------

static struct network *network_get(const struct dns_feed *feed, const char *id)
{
    struct network *network = map_get_str(&feed->networks, id);
    return network && !network->item.gone ? network : NULL;
}

int dns_feed_network_put(struct dns_feed *feed, const char *id, const char *name, bool internal,
                         struct err *err)
{
    MAGIC_CHECK(feed, FEED_MAGIC);
    int result = feed_check_id("network", id, err);
    if (result)
        return result;
    struct network *network = map_get_str(&feed->networks, id);
    if ((!network || network->item.gone) && feed->networks_live >= NAMES_NETWORKS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %u networks", NAMES_NETWORKS_MAX);
    if (!network) {
        network = MEM_NEW(struct network);
        item_init(&network->item, NETWORK);
        network->id = str_dup(id);
        map_init(&network->records);
        map_put_str(&feed->networks, id, network);
        network->item.gone = true;
    }
    struct item *item = &network->item;
    bool back = item->gone;
    if (back)
        feed->networks_live++;
    item->gone = false;
    pack(feed, &(struct feed_message){
                   .type = FEED_NETWORK_PUT, .network = id, .name = name, .internal = internal});
    if (item_take(feed, item) || back)
        item_dirty(feed, item);
    return 0;
}

// Takes the network out of the sandbox's list, as the resolver process does by itself.
static void sandbox_strip(struct dns_feed *feed, struct sandbox *sandbox, const char *network)
{
    struct feed_message message;
    struct arena arena;
    arena_init(&arena, FEED_ARENA_BYTES);
    int result = feed_parse(FEED_SANDBOX_PUT, sandbox->item.payload, sandbox->item.payload_bytes,
                            &arena, &message, NULL);
    CHECK(result == 0);
    struct feed_sandbox *settings = &message.sandbox;
    const char **kept = arena_alloc_array(&arena, settings->networks_count, sizeof *kept);
    CHECK(kept);
    size_t count = 0;
    for (size_t i = 0; i < settings->networks_count; i++)
        if (strcmp(settings->networks[i], network) != 0)
            kept[count++] = settings->networks[i];
    if (count < settings->networks_count) {
        settings->networks = kept;
        settings->networks_count = count;
        pack(feed, &message);
        item_take(feed, &sandbox->item);
    }
    arena_fini(&arena);
}

bool dns_feed_network_remove(struct dns_feed *feed, const char *id)
{
    MAGIC_CHECK(feed, FEED_MAGIC);
    struct network *network = network_get(feed, id);
    if (!network)
        return false;
    MAP_EACH (entry, &feed->sandboxes)
        if (!((struct sandbox *)entry->value)->item.gone)
            sandbox_strip(feed, entry->value, id);
    records_free(network);
    feed->networks_live--;
    network->item.gone = true;
    if (!network->item.known) {
        item_forget(feed, &network->item);
        return true;
    }
    network->item.stale = true; // should it come back, then without the records of now
    item_dirty(feed, &network->item);
    return true;
}

// ---- records ------------------------------------------------------------------------------------

int dns_feed_record_put(struct dns_feed *feed, const char *network_id,
                        const struct names_record *wanted, struct err *err)
{
    MAGIC_CHECK(feed, FEED_MAGIC);
    struct network *network = network_get(feed, network_id);
    if (!network)
        return err_set(err, ERR_NOT_FOUND, "network %s not found", network_id);
    int result = feed_check_record(wanted, err);
    if (result)
        return result;
    struct record *record = map_get_str(&network->records, wanted->endpoint);
    if ((!record || record->item.gone) && network->live >= NAMES_RECORDS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "network %s has more than %u endpoints",
                       network_id, NAMES_RECORDS_MAX);
    if (!record) {
        record = MEM_NEW(struct record);
        item_init(&record->item, RECORD);
        record->network = network;
        record->endpoint = str_dup(wanted->endpoint);
        map_put_str(&network->records, record->endpoint, record);
        record->item.gone = true;
    }
    bool back = record->item.gone;
    if (back)
        network->live++;
    record->item.gone = false;
    pack(feed,
         &(struct feed_message){.type = FEED_RECORD_PUT, .network = network_id, .record = *wanted});
    if (item_take(feed, &record->item) || back)
        item_dirty(feed, &record->item);
    return 0;
}

bool dns_feed_record_remove(struct dns_feed *feed, const char *network_id, const char *endpoint)
{
    MAGIC_CHECK(feed, FEED_MAGIC);
    struct network *network = network_get(feed, network_id);
    struct record *record = network ? map_get_str(&network->records, endpoint) : NULL;
    if (!record || record->item.gone)
        return false;
    network->live--;
    record->item.gone = true;
    if (record->item.known)
        item_dirty(feed, &record->item);
    else
        item_forget(feed, &record->item);
    return true;
}

const char *dns_feed_record_next(const struct dns_feed *feed, const char *network_id,
                                 size_t *position)
{
    const struct network *network = network_get(feed, network_id);
    const struct map_entry *entry;
    while (network && (entry = map_next(&network->records, position))) {
        const struct record *record = entry->value;
        if (!record->item.gone)
            return record->endpoint;
    }
    return NULL;
}

// ---- sandboxes ----------------------------------------------------------------------------------

int dns_feed_sandbox_put(struct dns_feed *feed, const struct feed_sandbox *wanted, struct err *err)
{
    MAGIC_CHECK(feed, FEED_MAGIC);
    int result = feed_check_sandbox(wanted, err);
    if (result)
        return result;
    for (size_t i = 0; i < wanted->networks_count; i++)
        if (!network_get(feed, wanted->networks[i]))
            return err_set(err, ERR_NOT_FOUND, "network %s not found", wanted->networks[i]);
    struct sandbox *sandbox = map_get_str(&feed->sandboxes, wanted->id);
    if ((!sandbox || sandbox->item.gone) && feed->sandboxes_live >= NAMES_SANDBOXES_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %u sandboxes", NAMES_SANDBOXES_MAX);
    if (!sandbox) {
        sandbox = MEM_NEW(struct sandbox);
        item_init(&sandbox->item, SANDBOX);
        sandbox->id = str_dup(wanted->id);
        sandbox->sockets = (struct dns_sockets){.answer_udp = -1, .answer_tcp = -1};
        map_put_str(&feed->sandboxes, sandbox->id, sandbox);
        sandbox->item.gone = true;
    }
    bool back = sandbox->item.gone;
    if (back)
        feed->sandboxes_live++;
    sandbox->item.gone = false;
    pack(feed, &(struct feed_message){.type = FEED_SANDBOX_PUT, .sandbox = *wanted});
    if (item_take(feed, &sandbox->item) || back)
        item_dirty(feed, &sandbox->item);
    return 0;
}

static struct sandbox *sandbox_get(const struct dns_feed *feed, const char *id)
{
    struct sandbox *sandbox = map_get_str(&feed->sandboxes, id);
    return sandbox && !sandbox->item.gone ? sandbox : NULL;
}

int dns_feed_sandbox_sockets(struct dns_feed *feed, const char *id, struct dns_sockets *sockets,
                             struct err *err)
{
    MAGIC_CHECK(feed, FEED_MAGIC);
    struct sandbox *sandbox = sandbox_get(feed, id);
    if (!sandbox)
        return err_set(err, ERR_NOT_FOUND, "sandbox %s not found", id);
    // What the resolver process has of the old ones goes with the sandbox.
    sandbox->item.stale |= sandbox->answer_sent || sandbox->ask_sent;
    dns_sockets_close(&sandbox->sockets);
    sandbox->sockets = *sockets;
    *sockets = (struct dns_sockets){.answer_udp = -1, .answer_tcp = -1};
    sockets_unsent(&sandbox->item);
    item_dirty(feed, &sandbox->item);
    return 0;
}

bool dns_feed_sandbox_remove(struct dns_feed *feed, const char *id)
{
    MAGIC_CHECK(feed, FEED_MAGIC);
    struct sandbox *sandbox = sandbox_get(feed, id);
    if (!sandbox)
        return false;
    feed->sandboxes_live--;
    dns_sockets_close(&sandbox->sockets);
    sandbox->item.gone = sandbox->item.stale = true;
    if (sandbox->item.known)
        item_dirty(feed, &sandbox->item);
    else
        item_forget(feed, &sandbox->item);
    return true;
}

// ---- life ---------------------------------------------------------------------------------------

int dns_feed_open(struct loop *loop, struct dns_feed **out, struct err *err)
{
    struct dns_sockets sockets;
    int result = dns_sockets_open_host(&sockets, err);
    if (result)
        return result;
    struct dns_feed *feed = MEM_NEW(struct dns_feed);
    MAGIC_SET(feed, FEED_MAGIC);
    feed->loop = loop;
    map_init(&feed->networks);
    map_init(&feed->sandboxes);
    list_init(&feed->dirty);
    item_init(&feed->host.item, HOST);
    feed->host.id = str_dup("");
    feed->host.sockets = sockets;
    loop_later_init(&feed->flush, loop, on_flush);
    loop_timer_init(&feed->room, loop, on_room);
    buf_init(&feed->scratch, FEED_MESSAGE_BYTES_MAX);
    *out = feed;
    return 0;
}

void dns_feed_close(struct dns_feed *feed)
{
    if (!feed)
        return;
    dns_feed_detach(feed);
    MAP_EACH (entry, &feed->sandboxes)
        sandbox_free(entry->value);
    MAP_EACH (entry, &feed->networks)
        network_free(entry->value);
    map_fini(&feed->sandboxes);
    map_fini(&feed->networks);
    dns_sockets_close(&feed->host.sockets);
    free(feed->host.id);
    list_remove(&feed->host.item.link);
    list_remove(&feed->dirty);
    buf_fini(&feed->scratch);
    MAGIC_CLEAR(feed);
    free(feed);
}
