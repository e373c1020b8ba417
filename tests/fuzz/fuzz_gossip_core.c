// Any sequence of messages, streams, answers and wishes against one gossip core: what another node
// of the cluster, broken or taken over, can say past the keys. Nothing it says may break an
// invariant, make a packet past the budget, or fill memory past the limits.
//
// Input: records of kind (1 byte), size (2 bytes, big endian) and so many bytes.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/gossip/gossiper.h"
#include "agent/gossip/stream.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORDS_MAX  400
#define TICKETS_KEPT 64

enum kind { PACKET, USER, STREAM, USER_STREAM, STATE, ANSWER, TIME, WISH, KINDS };

struct fuzz {
    struct gossiper *core;
    struct mono now;
    uint32_t tickets[TICKETS_KEPT]; // under way; the oldest are failed when there are more
    unsigned tickets_count;
    uint32_t overdue[TICKETS_KEPT * 16];
    unsigned overdue_count;
};

static void on_packet(void *owner, const struct site *to, const struct parcel *parcel, bool crc)
{
    (void)owner;
    (void)crc;
    CHECK(to->ip_size == 4 || to->ip_size == 16);
    CHECK(parcel->count > 0);
    CHECK(parcel->count == 1 ||
          parcel->bytes.len + PACKET_WRAP_BYTES + PACKET_COMPOUND_BYTES <= PACKET_BUDGET_BYTES);
}

static void on_stream(void *owner, const struct site *to, uint32_t ticket, const struct buf *plain,
                      bool answered)
{
    struct fuzz *fuzz = owner;
    (void)to;
    (void)answered;
    CHECK(plain->len > 0);
    CHECK(plain->len <= STREAM_FRAME_BYTES_MAX);
    if (fuzz->tickets_count < TICKETS_KEPT)
        fuzz->tickets[fuzz->tickets_count++] = ticket;
    else if (fuzz->overdue_count < COUNT_OF(fuzz->overdue))
        fuzz->overdue[fuzz->overdue_count++] = ticket;
}

static void on_rows(void *owner, const char *network_id)
{
    (void)owner;
    CHECK(network_id[0]);
}

static void on_node(void *owner, const char *node, const struct site *site,
                    enum netdb_node_state state)
{
    (void)owner;
    (void)site;
    (void)state;
    CHECK(node[0]);
}

static const struct gossiper_out out = {.net = {.packet = on_packet, .stream = on_stream},
                                        .rows_changed = on_rows,
                                        .node_changed = on_node};

static void stream(struct fuzz *fuzz, struct span plain)
{
    struct buf reply;
    struct err err = ERR_INIT;
    buf_init(&reply, STREAM_FRAME_BYTES_MAX);
    if (gossiper_request(fuzz->core, fuzz->now, plain, &reply, &err))
        CHECK(err.code != ERR_OK);
    buf_fini(&reply);
}

// Wraps the bytes as NetworkDB's part of a user stream or an exchange of states.
static void wrapped(struct fuzz *fuzz, struct span user, bool is_state)
{
    struct buf plain;
    struct push_pull states = {.join = true, .user = user};
    buf_init(&plain, 1 << 20);
    if (is_state)
        push_pull_write(&states, &plain);
    else
        stream_write_user(user, &plain);
    stream(fuzz, (struct span){plain.data, plain.len});
    buf_fini(&plain);
}

static void packet(struct fuzz *fuzz, struct span bytes)
{
    struct site from = {.ip = {10, 0, 0, 9}, .ip_size = 4, .port = 7946};
    struct cursor in = cursor_of(bytes.at, bytes.size);
    struct gossip_message message;
    if (gossip_decode(&in, &message, NULL) == 0)
        gossiper_packet(fuzz->core, fuzz->now, &from, &message);
}

static void answer(struct fuzz *fuzz, struct span plain)
{
    while (fuzz->overdue_count > 0)
        gossiper_failed(fuzz->core, fuzz->now, fuzz->overdue[--fuzz->overdue_count]);
    if (fuzz->tickets_count == 0)
        return;
    uint32_t ticket = fuzz->tickets[--fuzz->tickets_count];
    if (plain.size > 0)
        gossiper_answer(fuzz->core, fuzz->now, ticket, plain);
    else
        gossiper_failed(fuzz->core, fuzz->now, ticket);
}

static void pass(struct fuzz *fuzz, struct span bytes)
{
    // Up to a minute a record, each of the core's own wishes heard.
    struct mono until =
        mono_add(fuzz->now, (bytes.size ? bytes.at[0] : 1) * (int64_t)250 * NS_PER_MS);
    for (struct mono due; !mono_before(until, due = gossiper_next_due(fuzz->core, fuzz->now));) {
        if (mono_before(fuzz->now, due))
            fuzz->now = due;
        gossiper_tick(fuzz->core, fuzz->now);
        if (fuzz->overdue_count > COUNT_OF(fuzz->overdue) / 2)
            answer(fuzz, (struct span){NULL, 0});
    }
    fuzz->now = until;
}

static void wish(struct fuzz *fuzz, struct span bytes)
{
    static const char *const networks[] = {"net1", "net2", "a/b", ""};
    struct netdb *db = gossiper_netdb(fuzz->core);
    char key[32];
    if (bytes.size < 2)
        return;
    const char *network = networks[bytes.at[0] >> 4 & 3];
    str_format(key, sizeof key, "k%u", bytes.at[1]);
    struct span value = {bytes.at + 2, bytes.size - 2};
    switch (bytes.at[0] & 3) {
    case 0:
        netdb_network_join(db, fuzz->now, network, NULL);
        break;
    case 1:
        netdb_network_leave(db, fuzz->now, network);
        break;
    case 2:
        netdb_row_put(db, fuzz->now, network, "t", key, value, NULL);
        break;
    case 3:
        netdb_row_remove(db, fuzz->now, network, "t", key);
        break;
    }
}

static void record(struct fuzz *fuzz, enum kind kind, struct span bytes)
{
    struct gossip_message user = {.type = GOSSIP_USER, .user = bytes};
    struct site from = {.ip = {10, 0, 0, 9}, .ip_size = 4, .port = 7946};
    switch (kind) {
    case PACKET:
        packet(fuzz, bytes);
        break;
    case USER:
        gossiper_packet(fuzz->core, fuzz->now, &from, &user);
        break;
    case STREAM:
        stream(fuzz, bytes);
        break;
    case USER_STREAM:
        wrapped(fuzz, bytes, false);
        break;
    case STATE:
        wrapped(fuzz, bytes, true);
        break;
    case ANSWER:
        answer(fuzz, bytes);
        break;
    case TIME:
        pass(fuzz, bytes);
        break;
    case WISH:
        wish(fuzz, bytes);
        break;
    case KINDS:
        UNREACHABLE("no kind");
    }
}

static void look_at_row(void *ctx, const struct netdb_view *row)
{
    size_t *rows = ctx;
    CHECK(row->key[0]);
    ++*rows;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz fuzz = {.now = {NS_PER_H}};
    struct site manager = {.ip = {10, 0, 0, 2}, .ip_size = 4, .port = 7946};
    struct gossiper_config config = {.name = "me",
                                     .site = {.ip = {10, 0, 0, 1}, .ip_size = 4, .port = 7946},
                                     .seed = 1,
                                     .out = &out,
                                     .out_owner = &fuzz};
    fuzz.core = gossiper_new(&config, fuzz.now);
    netdb_bootstrap(gossiper_netdb(fuzz.core), fuzz.now, &manager, 1);
    int joined = netdb_network_join(gossiper_netdb(fuzz.core), fuzz.now, "net1", NULL);
    CHECK(joined == 0);
    struct cursor in = cursor_of(data, size);
    for (int records = 0; records < RECORDS_MAX && cursor_left(&in) > 0; records++) {
        enum kind kind = cursor_u8(&in) % KINDS;
        size_t wanted = cursor_u16be(&in);
        size_t there = cursor_left(&in);
        struct span bytes = {in.at, wanted < there ? wanted : there};
        cursor_bytes(&in, bytes.size);
        record(&fuzz, kind, bytes);
    }
    size_t rows = 0;
    netdb_rows(gossiper_netdb(fuzz.core), "net1", NULL, look_at_row, &rows);
    gossiper_gauge(fuzz.core);
    CHECK(gossiper_counters(fuzz.core)->rows >= rows);
    gossiper_free(fuzz.core);
    return 0;
}
