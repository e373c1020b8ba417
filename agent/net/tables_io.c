#include "agent/net/tables_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lb/generation_io.h"
#include "agent/net/inside_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define TABLES_MAGIC 0x7ab1e5

struct slot {
    char family[16];
    char name[NFTABLE_NAME_BYTES];
    struct nftable *next; // a wish the job does not have yet
    bool more;            // the wish takes nothing away
    bool drop;            // the wish is that there be no such table
    // The job's while it runs.
    struct nftable *going;
    bool keeping;
    bool dropping;
    struct nftable *applied; // what the kernel took; NULL when that is not known
    bool repaired;
};

struct tables {
    unsigned magic;
    struct tables_config config;
    int netns_fd; // -1: own
    struct slot slots[TABLES_COUNT_MAX];
    size_t slots_count;
    struct loop_work work;
    struct loop_later later;
    struct loop_timer timer; // the next audit, or retry
    bool running, asked, audit_due;
    bool noticed; // a change while the job ran: ours, or not ours alone
    bool closing;
    void (*closed)(void *owner);
    void *closed_owner;
    struct tables_counts counts;
    int watch_fd;
    uv_poll_t poll;
    bool polling;
    struct mono looked_at;
    // The job's while it runs.
    struct nft *nft;
    size_t job_slots; // slots that were there when it started
    bool audit;
    bool prepared;
    size_t changed;
    bool touched; // something was sent to the kernel
    bool trusted;
    struct generation_trust trust;
    struct err err;
};

// ---- in the worker ------------------------------------------------------------------------------

// What the kernel holds, or NULL: no such table, or none that can be read (then *err is filled).
static struct nftable *read_back(struct tables *tables, const struct slot *slot, struct err *err)
{
    struct buf listing;
    struct nftable *actual = NULL;
    buf_init(&listing, NFTABLE_TEXT_BYTES_MAX);
    if (nft_list(tables->nft, slot->family, slot->name, &listing, err) == 0 && listing.len > 0)
        actual = nftable_parse(slot->family, slot->name, listing.data, listing.len, err);
    buf_fini(&listing);
    return actual;
}

// One transaction from `actual` to `wanted`. True in *changed when there was something to do.
static int lead(struct tables *tables, const struct nftable *actual, const struct nftable *wanted,
                bool *changed, struct err *err)
{
    struct buf commands;
    int rc = 0;
    buf_init(&commands, NFTABLE_TEXT_BYTES_MAX);
    *changed = nftable_diff(actual, wanted, &commands);
    if (*changed)
        rc = nft_apply(tables->nft, buf_cstr(&commands), err);
    buf_fini(&commands);
    return rc;
}

static int slot_drop(struct tables *tables, struct slot *slot)
{
    struct buf commands;
    buf_init(&commands, NFTABLE_TEXT_BYTES_MAX);
    tables->touched = true;
    nftable_teardown(slot->family, slot->name, &commands);
    int rc = nft_apply(tables->nft, buf_cstr(&commands), &tables->err);
    buf_fini(&commands);
    if (rc == 0) {
        nftable_free(slot->applied);
        slot->applied = NULL;
        slot->dropping = false;
    }
    return rc;
}

static int slot_bring(struct tables *tables, struct slot *slot)
{
    struct err err = ERR_INIT;
    bool changed = false;
    const struct nftable *wanted = slot->going ? slot->going : slot->applied;
    bool keeps = slot->going && slot->keeping;
    // From what the kernel took last; and from what it really holds when that is not known, is not
    // true, or is to be looked at.
    bool look = tables->audit || !slot->applied;
    if (keeps && slot->applied)
        nftable_keep(slot->going, slot->applied);
    int rc = look ? -1 : lead(tables, slot->applied, wanted, &changed, &err);
    if (rc < 0) {
        bool known = slot->applied != NULL && look;
        struct nftable *actual = read_back(tables, slot, &err);
        err_clear(&err);
        if (keeps && actual)
            nftable_keep(slot->going, actual);
        // Whether others changed it is only told where our own wish did not change as well.
        rc = lead(tables, actual, wanted, &changed, &err);
        slot->repaired = rc == 0 && known && changed && !slot->going;
        nftable_free(actual);
    }
    if (rc < 0)
        return err_copy(&tables->err, &err);
    tables->changed += slot->going && changed;
    tables->touched |= changed;
    if (slot->going) {
        nftable_free(slot->applied);
        slot->applied = slot->going;
        slot->going = NULL;
    }
    return 0;
}

static int prepare(void *ctx, struct err *err)
{
    struct tables *tables = ctx;
    return tables->config.prepare(tables->config.settings, err);
}

// Tables that go need no settings, and what these are about may be gone already.
static bool keeps_any(const struct tables *tables)
{
    for (size_t i = 0; i < tables->job_slots; i++)
        if (!tables->slots[i].dropping && (tables->slots[i].going || tables->slots[i].applied))
            return true;
    return false;
}

// Whether the job has nothing to do but to look, at what the generation tells of. Of chains on a
// device it does not: they go with it.
static bool only_looks(const struct tables *tables)
{
    for (size_t i = 0; i < tables->job_slots; i++) {
        const struct slot *slot = &tables->slots[i];
        if (slot->dropping || slot->going || str_equal(slot->family, "netdev"))
            return false;
    }
    return tables->audit;
}

static void bring(struct tables *tables)
{
    for (size_t i = 0; i < tables->job_slots; i++) {
        struct slot *slot = &tables->slots[i];
        if (slot->dropping)
            (void)slot_drop(tables, slot);
        else if (slot->going || (tables->audit && slot->applied))
            (void)slot_bring(tables, slot);
    }
}

static void run(struct loop_work *work)
{
    struct tables *tables = CONTAINER_OF(work, struct tables, work);
    MAGIC_CHECK(tables, TABLES_MAGIC);
    tables->changed = 0;
    tables->touched = tables->trusted = false;
    err_clear(&tables->err);
    if (!keeps_any(tables))
        tables->prepared = false;
    else if (tables->config.prepare && (!tables->prepared || tables->audit)) {
        if (inside_netns(tables->netns_fd, prepare, tables, &tables->err) < 0)
            return;
        tables->prepared = true;
    }
    // Before the look: what is changed meanwhile is looked at again.
    bool looks = only_looks(tables);
    uint32_t generation = looks ? generation_of(tables->netns_fd) : 0;
    tables->trusted = generation_trusted(&tables->trust, generation);
    if (tables->trusted)
        return;
    if (!tables->nft)
        tables->nft = nft_open(tables->netns_fd, &tables->err);
    if (tables->nft) {
        bring(tables);
        nft_rest(tables->nft);
    }
    // (A wish for what is there already leaves it as it is.)
    if (tables->touched || tables->err.code != ERR_OK)
        generation_looked(&tables->trust, 0);
    else if (looks)
        generation_looked(&tables->trust, generation);
}

// ---- on the loop --------------------------------------------------------------------------------

static void start(struct tables *tables);

static bool wishes(const struct tables *tables)
{
    for (size_t i = 0; i < tables->slots_count; i++)
        if (tables->slots[i].next || tables->slots[i].drop)
            return true;
    return tables->asked;
}

static void on_timer(struct loop_timer *timer)
{
    struct tables *tables = CONTAINER_OF(timer, struct tables, timer);
    tables->audit_due = true;
    loop_later_ask(&tables->later);
}

static void free_now(struct tables *tables)
{
    void (*closed)(void *owner) = tables->closed;
    void *owner = tables->closed_owner;
    for (size_t i = 0; i < tables->slots_count; i++) {
        nftable_free(tables->slots[i].next);
        nftable_free(tables->slots[i].going);
        nftable_free(tables->slots[i].applied);
    }
    nft_close(tables->nft);
    if (tables->netns_fd >= 0)
        close(tables->netns_fd);
    free(tables->config.settings);
    MAGIC_CLEAR(tables);
    free(tables);
    if (closed)
        closed(owner);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct tables *tables = handle->data;
    close(tables->watch_fd);
    free_now(tables);
}

static void finish(struct tables *tables)
{
    loop_timer_stop(&tables->timer);
    loop_later_cancel(&tables->later);
    if (tables->polling)
        uv_close((uv_handle_t *)&tables->poll, on_poll_closed);
    else
        free_now(tables);
}

// Has all looked at after that time at most: what was to be looked at sooner still is, whatever is
// wished meanwhile.
static bool look_within(struct tables *tables, int64_t ms)
{
    struct mono now = loop_now(tables->config.loop);
    if (loop_timer_running(&tables->timer) &&
        mono_since(tables->timer.timer.due, now) <= ms * NS_PER_MS)
        return false;
    loop_timer_start(&tables->timer, ms);
    return true;
}

static void done(struct loop_work *work)
{
    struct tables *tables = CONTAINER_OF(work, struct tables, work);
    MAGIC_CHECK(tables, TABLES_MAGIC);
    tables->running = false;
    tables->counts.changes += tables->changed;
    bool failed = tables->err.code != ERR_OK;
    tables->counts.failures += failed;
    tables->counts.trusted += tables->trusted;
    if (tables->closing) {
        finish(tables);
        return;
    }
    for (size_t i = 0; i < tables->slots_count; i++) {
        struct slot *slot = &tables->slots[i];
        if (slot->repaired) {
            tables->counts.repairs++;
            if (tables->config.repaired)
                tables->config.repaired(tables->config.owner, slot->name);
        }
        slot->repaired = false;
        // A wish that was not met comes again, unless a newer one stands.
        if (slot->going && !slot->next && !slot->drop) {
            slot->next = slot->going;
            slot->more = slot->keeping;
        } else {
            nftable_free(slot->going);
        }
        slot->going = NULL;
        if (slot->dropping && !slot->next)
            slot->drop = true;
        slot->dropping = false;
    }
    look_within(tables, failed            ? TABLES_RETRY_MS
                        : tables->noticed ? TABLES_SPACING_MS
                                          : TABLES_AUDIT_MS);
    tables->noticed = false;
    if (!failed && (wishes(tables) || tables->audit_due))
        start(tables);
    else if (tables->config.settled)
        tables->config.settled(tables->config.owner, failed ? &tables->err : NULL);
}

static void start(struct tables *tables)
{
    CHECK(!tables->running);
    tables->running = true;
    tables->asked = false;
    tables->audit = tables->audit_due;
    tables->audit_due = false;
    tables->job_slots = tables->slots_count;
    for (size_t i = 0; i < tables->slots_count; i++) {
        struct slot *slot = &tables->slots[i];
        CHECK(!slot->going);
        slot->going = slot->next;
        slot->next = NULL;
        slot->keeping = slot->more;
        slot->dropping = slot->drop;
        slot->drop = false;
    }
    loop_work_start(tables->config.loop, &tables->work, run, done);
}

static void on_later(struct loop_later *later)
{
    struct tables *tables = CONTAINER_OF(later, struct tables, later);
    if (!tables->running && (wishes(tables) || tables->audit_due))
        start(tables);
}

// Somebody changed some table. Looks at ours soon, but not over and over.
static void on_change(uv_poll_t *poll, int status, int events)
{
    struct tables *tables = poll->data;
    char bytes[16384];
    ssize_t got;
    (void)events;
    // What the messages say does not matter; also an overrun only says that there were some.
    do {
        got = recv(tables->watch_fd, bytes, sizeof bytes, MSG_DONTWAIT);
    } while (got > 0 || (got < 0 && errno == EINTR));
    tables->noticed |= tables->running;
    if (status < 0 || tables->closing || tables->running || tables->audit_due)
        return;
    int64_t since_ms = mono_since(loop_now(tables->config.loop), tables->looked_at) / NS_PER_MS;
    int64_t wait_ms = since_ms >= TABLES_SPACING_MS ? TABLES_NOTICED_MS : TABLES_SPACING_MS;
    if (look_within(tables, wait_ms))
        tables->looked_at = mono_add(loop_now(tables->config.loop), wait_ms * NS_PER_MS);
}

static int watch_open(struct tables *tables, struct err *err)
{
    struct sockaddr_nl any = {.nl_family = AF_NETLINK};
    int group = NFNLGRP_NFTABLES;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    if (fd < 0)
        return err_set_errno(err, errno, "open a netlink socket");
    if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0 ||
        setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
        int errnum = errno;
        close(fd);
        return err_set_errno(err, errnum, "watch the packet filter");
    }
    tables->watch_fd = fd;
    int rc = uv_poll_init(&tables->config.loop->uv, &tables->poll, fd);
    CHECK(rc == 0);
    tables->poll.data = tables;
    tables->polling = true;
    rc = uv_poll_start(&tables->poll, UV_READABLE, on_change);
    CHECK(rc == 0);
    return 0;
}

struct tables *tables_open(const struct tables_config *config, struct err *err)
{
    CHECK(config->loop);
    CHECK(!config->watch || config->netns_fd == NFT_NETNS_OWN);
    int fd = -1;
    if (config->netns_fd != NFT_NETNS_OWN) {
        fd = fcntl(config->netns_fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0) {
            err_set_errno(err, errno, "keep a network namespace");
            return NULL;
        }
    }
    struct tables *tables = MEM_NEW(struct tables);
    tables->config = *config;
    tables->netns_fd = fd;
    if (config->watch && watch_open(tables, err) < 0) {
        free(tables);
        return NULL;
    }
    MAGIC_SET(tables, TABLES_MAGIC);
    loop_later_init(&tables->later, config->loop, on_later);
    loop_timer_init(&tables->timer, config->loop, on_timer);
    loop_timer_start(&tables->timer, TABLES_AUDIT_MS);
    return tables;
}

static struct slot *slot_of(struct tables *tables, const char *family, const char *name)
{
    for (size_t i = 0; i < tables->slots_count; i++)
        if (str_equal(tables->slots[i].family, family) && str_equal(tables->slots[i].name, name))
            return &tables->slots[i];
    CHECK(tables->slots_count < TABLES_COUNT_MAX);
    struct slot *slot = &tables->slots[tables->slots_count++];
    (void)str_copy(slot->family, sizeof slot->family, family);
    (void)str_copy(slot->name, sizeof slot->name, name);
    return slot;
}

static void want(struct tables *tables, struct nftable *table, bool more)
{
    MAGIC_CHECK(tables, TABLES_MAGIC);
    CHECK(!tables->closing);
    struct slot *slot = slot_of(tables, nftable_family(table), nftable_name(table));
    nftable_free(slot->next);
    slot->next = table;
    slot->more = more;
    slot->drop = false;
    loop_later_ask(&tables->later);
}

void tables_want(struct tables *tables, struct nftable *table)
{
    want(tables, table, false);
}

void tables_want_more(struct tables *tables, struct nftable *table)
{
    want(tables, table, true);
}

void tables_drop(struct tables *tables, const char *family, const char *name)
{
    MAGIC_CHECK(tables, TABLES_MAGIC);
    CHECK(!tables->closing);
    struct slot *slot = slot_of(tables, family, name);
    nftable_free(slot->next);
    slot->next = NULL;
    slot->drop = true;
    loop_later_ask(&tables->later);
}

void tables_ask(struct tables *tables)
{
    tables->asked = true;
    loop_later_ask(&tables->later);
}

bool tables_busy(const struct tables *tables)
{
    return tables->running || wishes(tables);
}

struct tables_counts tables_counts(const struct tables *tables)
{
    return tables->counts;
}

static void close_later(struct loop_later *later)
{
    finish(CONTAINER_OF(later, struct tables, later));
}

void tables_close(struct tables *tables, void (*closed)(void *owner), void *owner)
{
    MAGIC_CHECK(tables, TABLES_MAGIC);
    CHECK(!tables->closing);
    tables->closing = true;
    tables->closed = closed;
    tables->closed_owner = owner;
    loop_timer_stop(&tables->timer);
    loop_later_cancel(&tables->later);
    if (tables->running)
        return;
    loop_later_init(&tables->later, tables->config.loop, close_later);
    loop_later_ask(&tables->later);
}
