// A berth: one container's sandbox on networks of the swarm, made of those of its attachments that
// have their address, and made again as these change.
#include <stdlib.h>
#include <string.h>

#include "agent/attachments_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define SHORT_ID_CHARS 12
#define RETRY_MS       1000

struct berth *berth_find(const struct attachments *home, const char *container)
{
    LIST_EACH (it, &home->berths) {
        struct berth *berth = LIST_ENTRY(it, struct berth, link);
        if (str_equal(berth->frame.container, container))
            return berth;
    }
    return NULL;
}

static const char *const *copy_texts(const char *const *texts, size_t count, struct arena *arena)
{
    const char **copy = arena_alloc_array(arena, count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = arena_strdup(arena, texts[i]);
    return copy;
}

static void copy_frame(struct attachment_frame *to, const struct attachment_frame *from,
                       struct arena *arena)
{
    *to = *from;
    to->container = arena_strdup(arena, from->container);
    to->name = arena_strdup(arena, str_or(from->name, ""));
    to->hostname = from->hostname ? arena_strdup(arena, from->hostname) : NULL;
    to->servers = copy_texts(from->servers, from->servers_count, arena);
    to->search = copy_texts(from->search, from->search_count, arena);
    to->resolv = arena_strdup(arena, str_or(from->resolv, ""));
    to->share = from->share ? arena_strdup(arena, from->share) : NULL;
    to->taken = copy_texts(from->taken, from->taken_count, arena);
    to->also = copy_texts(from->also, from->also_count, arena);
    to->ports = from->ports_count
                    ? arena_memdup(arena, from->ports, from->ports_count * sizeof *from->ports)
                    : NULL;
}

bool berth_frame(struct berth *berth, const struct attachment_frame *frame)
{
    struct arena arena;
    struct attachment_frame copy;
    arena_init(&arena, ATTACHMENTS_MEMORY_MAX);
    copy_frame(&copy, frame, &arena);
    if (arena_overflowed(&arena)) {
        arena_fini(&arena);
        return false;
    }
    arena_fini(&berth->arena);
    berth->arena = arena;
    berth->frame = copy;
    return true;
}

static void on_go(struct loop_timer *timer);

struct berth *berth_new(struct attachments *home, const struct attachment_frame *frame, bool adopt)
{
    struct berth *berth = MEM_NEW(struct berth);
    berth->home = home;
    arena_init(&berth->arena, ATTACHMENTS_MEMORY_MAX);
    if (!berth_frame(berth, frame)) {
        // It shows when something is attached.
        copy_frame(&berth->frame, &(struct attachment_frame){.container = frame->container},
                   &berth->arena);
        arena_alloc(&berth->arena, ATTACHMENTS_MEMORY_MAX + 1);
    }
    list_init(&berth->all);
    list_init(&berth->waits);
    loop_timer_init(&berth->go, home->config.loop, on_go);
    berth->adopt = adopt;
    berth->fresh = !adopt;
    list_push_back(&home->berths, &berth->link);
    return berth;
}

void berth_free(struct berth *berth)
{
    LIST_EACH_SAFE (it, &berth->all)
        attachment_close(LIST_ENTRY(it, struct attachment, link));
    LIST_EACH_SAFE (it, &berth->waits) {
        struct berth_wait *wait = LIST_ENTRY(it, struct berth_wait, link);
        list_remove(&wait->link);
        free(wait);
    }
    list_remove(&berth->link);
    loop_timer_stop(&berth->go);
    arena_fini(&berth->arena);
    free(berth);
}

void berth_go(struct berth *berth, int64_t delay_ms)
{
    berth->dirty = true;
    if (!berth->making)
        loop_timer_start(&berth->go, delay_ms);
}

void berth_wait(struct berth *berth, void (*done)(void *owner), void *owner)
{
    struct berth_wait *wait = MEM_NEW(struct berth_wait);
    wait->done = done;
    wait->owner = owner;
    list_push_back(&berth->waits, &wait->link);
}

// ---- the order ----------------------------------------------------------------------------------

// The names that a container answers to on one network.
static const char *const *names_of(const struct attachment *attachment, struct arena *arena,
                                   size_t *count)
{
    const struct attachment_frame *frame = &attachment->berth->frame;
    const struct attachment_wish *wish = &attachment->wish;
    const char **names = arena_alloc_array(arena, wish->aliases_count + 2, sizeof *names);
    *count = 0;
    if (!names)
        return NULL;
    names[(*count)++] = arena_strndup(arena, frame->container, SHORT_ID_CHARS);
    if (!str_empty(frame->hostname) && !str_equal(frame->hostname, names[0]))
        names[(*count)++] = frame->hostname;
    for (size_t i = 0; i < wish->aliases_count && *count < RECORDS_NAMES_MAX; i++)
        names[(*count)++] = wish->aliases[i];
    return names;
}

static void servers_of(const struct berth *berth, struct order *order)
{
    const struct attachment_frame *frame = &berth->frame;
    for (size_t i = 0; i < frame->servers_count; i++)
        if (order->servers_count < RESOLVER_UPSTREAMS_MAX &&
            order_server(frame->servers[i], true, &order->servers[order->servers_count]))
            order->servers_count++;
}

// Those whose address is known. Nothing is borrowed but what outlives the call that takes it.
static bool order_of(const struct berth *berth, struct arena *arena, struct order *order)
{
    const struct attachment_frame *frame = &berth->frame;
    struct order_network *networks = arena_alloc_array(arena, ORDER_NETWORKS_MAX, sizeof *networks);
    *order = (struct order){.id = frame->container,
                            .name = frame->name,
                            .networks = networks,
                            .host_ports = frame->ports,
                            .host_ports_count = frame->ports_count,
                            .search = frame->search,
                            .search_count = frame->search_count,
                            .ndots_set = frame->ndots,
                            .share = frame->share,
                            .taken = frame->taken,
                            .taken_count = frame->taken_count,
                            .also = frame->also,
                            .also_count = frame->also_count,
                            .led = frame->led,
                            .swarm = true};
    servers_of(berth, order);
    LIST_EACH (it, &berth->all) {
        struct attachment *attachment = LIST_ENTRY(it, struct attachment, link);
        if (attachment->ended || !attachment->assigned || !networks ||
            order->networks_count == ORDER_NETWORKS_MAX)
            continue;
        struct order_network *network = &networks[order->networks_count++];
        *network = attachment->network;
        network->names = names_of(attachment, arena, &network->names_count);
        attachment->placed = true;
        if (frame->servers_count)
            continue;
        memcpy(order->servers, attachment->servers, sizeof order->servers);
        order->servers_count = attachment->servers_count;
    }
    return order->networks_count > 0;
}

// ---- bringing it about --------------------------------------------------------------------------

static void settle(struct berth *berth);

static void made(void *owner, const char *path, const struct err *err)
{
    (void)path;
    struct berth *berth = owner;
    berth->making = false;
    berth->present |= !err;
    berth->adopt = false;
    bool told = false;
    // At once, before its process runs: its health does not count here.
    if (!err)
        nets_sandbox_serve(berth->home->config.nets, berth->frame.container, NETS_SERVE_READY);
    LIST_EACH_SAFE (it, &berth->all) {
        struct attachment *attachment = LIST_ENTRY(it, struct attachment, link);
        bool waited = attachment->placed && !attachment->up && !attachment->ended;
        attachment->placed = false;
        if (!waited)
            continue;
        told = true;
        if (err) {
            attachment_end(attachment, err);
            continue;
        }
        attachment->up = true;
        attachment_tell(attachment);
    }
    if (err && !told) {
        log_warn("a container's networks are not as they should be", "container=%s err=\"%s\"",
                 berth->frame.container, err->message);
        if (!nets_sandbox_path(berth->home->config.nets, berth->frame.container))
            berth->present = false;
        berth->dirty = true;
    }
    if (berth->dirty)
        loop_timer_start(&berth->go, err && !told ? RETRY_MS : 0);
    else
        settle(berth);
}

static void removed(void *owner, const struct err *err)
{
    struct berth *berth = owner;
    (void)err; // what cannot be taken away cannot be made either, which tells why
    berth->making = false;
    if (berth->dirty)
        loop_timer_start(&berth->go, 0);
    else
        settle(berth);
}

static void on_go(struct loop_timer *timer)
{
    struct berth *berth = CONTAINER_OF(timer, struct berth, go);
    struct nets *nets = berth->home->config.nets;
    struct arena arena;
    struct order order;
    struct err err = ERR_INIT;
    if (berth->making)
        return;
    berth->dirty = false;
    arena_init(&arena, ATTACHMENTS_MEMORY_MAX);
    if (berth->fresh || !order_of(berth, &arena, &order)) {
        arena_fini(&arena);
        berth->dirty = berth->fresh;
        berth->fresh = false;
        berth->making = true;
        berth->present = false;
        nets_sandbox_remove(nets, berth->frame.container, removed, berth);
        return;
    }
    berth->making = true;
    int rc = arena_overflowed(&arena)
                 ? err_set(&err, ERR_RESOURCE_EXHAUSTED, "the container's networks are too large")
                 : nets_sandbox_make(nets, &order, berth->adopt, made, berth, &err);
    arena_fini(&arena);
    if (rc)
        made(berth, NULL, &err);
}

// All that was asked for is there: who waits is told, and an empty berth goes.
static void settle(struct berth *berth)
{
    struct attachments *home = berth->home;
    const char *container = berth->frame.container;
    while (!list_empty(&berth->waits)) {
        struct berth_wait *wait = LIST_ENTRY(berth->waits.next, struct berth_wait, link);
        void (*done)(void *) = wait->done;
        void *owner = wait->owner;
        list_remove(&wait->link);
        free(wait);
        done(owner);
    }
    berth = berth_find(home, container);
    if (berth && list_empty(&berth->all) && !berth->dirty && !berth->making && !berth->present)
        berth_free(berth);
}
