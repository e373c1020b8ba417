// Bench: what services and pending tasks cost the store, in memory and time, on their whole way
// through transactions, allocator and scheduler.
//
//   bench_store [services [pending tasks]]
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "manager/alloc/alloc.h"
#include "manager/sched/sched.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

static struct fake_log log_;
static struct alloc *alloc;
static struct sched *sched;
static struct watch *watch;

static size_t heap_bytes(void)
{
    return mallinfo2().uordblks;
}

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages[2] = {0, 0};
    if (!file || fscanf(file, "%lu %lu", &pages[0], &pages[1]) != 2)
        abort();
    fclose(file);
    return pages[1] * 4096;
}

static double cpu_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

// Commits what is in flight and forgets the log: it is not what is measured.
static void commit(void)
{
    fake_commit_all(&log_);
    for (size_t i = 0; i < log_.count; i++)
        free(log_.entries[i].bytes);
    log_.base += log_.count;
    log_.count = 0;
    log_.committed = 0;
}

// What the leader does after each commit.
static void work(void)
{
    struct err err = ERR_INIT;
    for (unsigned round = 0; round < 4; round++) {
        struct watch_event event;
        while (watch_next(watch, &event)) {
            alloc_event(alloc, &event, mono_now());
            sched_event(sched, &event, wall_now(), mono_now());
            watch_event_fini(&event);
        }
        if (alloc_run(alloc, log_.store, wall_now(), mono_now(), &err) ||
            sched_run_and_write(sched, log_.store, wall_now(), mono_now(), &err))
            abort();
        commit();
    }
}

static void end(struct txn *txn)
{
    struct err err = ERR_INIT;
    if (txn_commit(txn, NULL, &err) < 0)
        abort();
    commit();
}

static struct txn *turn(struct txn *txn)
{
    if (!txn_full(txn, 1))
        return txn;
    end(txn);
    work();
    return fake_begin(&log_, 1);
}

// A service as `docker service create` with a port and a network makes it.
static Swarm__Service *service_new(struct arena *arena, unsigned number, bool network)
{
    Swarm__Service *service = fake_service(arena, arena_printf(arena, "service%018u", number));
    Swarm__TaskSpec *spec = service->spec->task;
    spec->container->image = "docker.io/library/nginx:1.25@sha256:"
                             "0d17b565c37bcbd895e9d92315a05c1c3c9a29f762b011a10c54a66cd53c9b31";
    FAKE_ADD(arena, spec->container, args, "nginx");
    FAKE_ADD(arena, spec->container, env, "MODE=production");
    service->spec_version = ARENA_NEW(arena, Swarm__Version);
    swarm__version__init(service->spec_version);
    if (network) {
        Swarm__NetworkAttachmentConfig *config = ARENA_NEW(arena, Swarm__NetworkAttachmentConfig);
        swarm__network_attachment_config__init(config);
        config->target = "overlay";
        FAKE_ADD(arena, spec, networks, config);
    }
    return service;
}

static void create_services(unsigned count)
{
    struct txn *txn = fake_begin(&log_, 1);
    for (unsigned i = 0; i < count; i++) {
        struct arena arena;
        struct err err = ERR_INIT;
        arena_init(&arena, SIZE_MAX);
        txn = turn(txn);
        if (txn_create(txn, OBJECT_SERVICE, service_new(&arena, i, true), &err))
            abort();
        arena_fini(&arena);
    }
    end(txn);
    work();
}

// Tasks of one service that no node can take, as when nothing is ACTIVE.
static void create_pending(unsigned count)
{
    struct arena arena;
    struct err err = ERR_INIT;
    arena_init(&arena, SIZE_MAX);
    Swarm__Service *service = service_new(&arena, 999999, false);
    struct txn *txn = fake_begin(&log_, 1);
    if (txn_create(txn, OBJECT_SERVICE, service, &err))
        abort();
    for (unsigned i = 0; i < count; i++) {
        struct arena one;
        arena_init(&one, SIZE_MAX);
        txn = turn(txn);
        Swarm__Task *task = fake_task(&one, arena_printf(&one, "task%021u", i), service->id, i + 1);
        task->spec = service->spec->task;
        task->spec_version = service->spec_version;
        task->service_annotations = service->spec->annotations;
        task->status->message = "created";
        if (txn_create(txn, OBJECT_TASK, task, &err))
            abort();
        arena_fini(&one);
    }
    end(txn);
    work();
    arena_fini(&arena);
}

static void remove_pending(void)
{
    struct err err = ERR_INIT;
    struct view view = store_pin(log_.store);
    struct txn *txn = fake_begin(&log_, 1);
    VIEW_EACH (object, view, OBJECT_TASK, BY_ALL) {
        txn = turn(txn);
        if (txn_delete(txn, OBJECT_TASK, object_id(object), &err))
            abort();
    }
    end(txn);
    work();
    store_unpin(view);
}

static void settle(void)
{
    for (unsigned i = 0; i < 20; i++) {
        struct timespec pause = {.tv_nsec = 20 * NS_PER_MS};
        nanosleep(&pause, NULL);
        store_tidy(log_.store);
    }
    malloc_trim(0);
}

static void setup(void)
{
    struct arena arena;
    struct err err = ERR_INIT;
    arena_init(&arena, SIZE_MAX);
    fake_log_init(&log_, 1);
    alloc = alloc_new();
    sched = sched_new();
    if (watch_open(log_.store, &(struct watch_options){.queue_max = 0}, &watch, &err))
        abort();
    struct txn *txn = fake_begin(&log_, 1);
    Swarm__Network *network = fake_network(&arena, "overlay");
    Swarm__IPAMOptions ipam = SWARM__IPAMOPTIONS__INIT;
    Swarm__IPAMConfig config = SWARM__IPAMCONFIG__INIT;
    config.subnet = "10.64.0.0/12";
    FAKE_ADD(&arena, &ipam, configs, &config);
    network->spec->ipam = &ipam;
    if (txn_create(txn, OBJECT_NETWORK, network, &err))
        abort();
    Swarm__Node *node = fake_node(&arena, "node");
    node->spec->availability = SWARM__NODE_SPEC__AVAILABILITY__DRAIN;
    if (txn_create(txn, OBJECT_NODE, node, &err))
        abort();
    end(txn);
    work();
    arena_fini(&arena);
}

int main(int argc, char **argv)
{
    uint64_t numbers[2] = {1000, 10000};
    for (int i = 1; i < argc && i <= 2; i++)
        if (!str_to_u64(argv[i], 10000000, &numbers[i - 1]))
            return 2;
    setup();
    settle();
    size_t heap = heap_bytes();
    double cpu = cpu_seconds();
    create_services((unsigned)numbers[0]);
    settle();
    printf("services: %lu, %.2f MB of heap per 1,000, %.4f ms of CPU each\n",
           (unsigned long)numbers[0], (double)(heap_bytes() - heap) / (double)numbers[0] / 1e3,
           1e3 * (cpu_seconds() - cpu) / (double)numbers[0]);

    heap = heap_bytes();
    size_t resident = resident_bytes();
    cpu = cpu_seconds();
    create_pending((unsigned)numbers[1]);
    cpu = cpu_seconds() - cpu;
    settle();
    size_t full = resident_bytes();
    double share = 10000.0 / (double)numbers[1];
    printf(
        "pending tasks: %lu, per 10,000 %.2f MB of heap, %.2f MB resident; %.4f ms of CPU each\n",
        (unsigned long)numbers[1], (double)(heap_bytes() - heap) * share / 1e6,
        (double)(full - resident) * share / 1e6, 1e3 * cpu / (double)numbers[1]);
    remove_pending();
    settle();
    printf("removed again: %.0f %% given back\n",
           100.0 * ((double)full - (double)resident_bytes()) / ((double)full - (double)resident));
    watch_close(watch);
    alloc_free(alloc);
    sched_free(sched);
    fake_log_fini(&log_);
    return 0;
}
