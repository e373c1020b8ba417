// Bench: one scheduling run over many nodes and pending tasks, with figures of the store beside it.
//
//   bench_sched [nodes [services [tasks per service]]]
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "manager/sched/sched.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

static struct fake_log log_;

static double seconds_since(struct mono start)
{
    return (double)mono_since(mono_now(), start) / (double)NS_PER_S;
}

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

// The fake log keeps entries; a bench does not want to measure it.
static void forget_entries(void)
{
    fake_commit_all(&log_);
    for (size_t i = 0; i < log_.count; i++)
        free(log_.entries[i].bytes);
    log_.base += log_.count;
    log_.count = 0;
    log_.committed = 0;
}

static void turn(struct txn **txn)
{
    struct err err = ERR_INIT;
    if (!txn_full(*txn, 1))
        return;
    if (txn_commit(*txn, NULL, &err) < 0)
        abort();
    forget_entries();
    *txn = fake_begin(&log_, 1);
}

static void end(struct txn *txn)
{
    struct err err = ERR_INIT;
    if (txn_commit(txn, NULL, &err) < 0)
        abort();
    forget_entries();
}

static void fill_nodes(unsigned count)
{
    struct txn *txn = fake_begin(&log_, 1);
    for (unsigned i = 0; i < count; i++) {
        struct arena arena;
        arena_init(&arena, SIZE_MAX);
        Swarm__Node *node = fake_node(&arena, arena_printf(&arena, "node%021u", i));
        Swarm__Resources resources = SWARM__RESOURCES__INIT;
        resources.nano_cpus = 64 * NS_PER_S;
        resources.memory_bytes = INT64_C(256) << 30;
        node->description->resources = &resources;
        Swarm__Annotations__LabelsEntry zone = SWARM__ANNOTATIONS__LABELS_ENTRY__INIT;
        zone.key = "zone";
        zone.value = arena_printf(&arena, "z%u", i % 7);
        FAKE_ADD(&arena, node->spec->annotations, labels, &zone);
        struct err err = ERR_INIT;
        turn(&txn);
        if (txn_create(txn, OBJECT_NODE, node, &err))
            abort();
        arena_fini(&arena);
    }
    end(txn);
}

// Every third service reserves, every fifth has a constraint, every seventh spreads over zones.
static void fill_tasks(unsigned services, unsigned tasks)
{
    struct txn *txn = fake_begin(&log_, 1);
    for (unsigned s = 0; s < services; s++) {
        struct arena arena;
        arena_init(&arena, SIZE_MAX);
        struct err err = ERR_INIT;
        Swarm__Service *service = fake_service(&arena, arena_printf(&arena, "service%018u", s));
        Swarm__Version version = SWARM__VERSION__INIT;
        version.index = 5;
        service->spec_version = &version;
        Swarm__ResourceRequirements resources = SWARM__RESOURCE_REQUIREMENTS__INIT;
        Swarm__Resources reserved = SWARM__RESOURCES__INIT;
        reserved.nano_cpus = NS_PER_S / 10;
        reserved.memory_bytes = 64 << 20;
        resources.reservations = &reserved;
        Swarm__Placement placement = SWARM__PLACEMENT__INIT;
        Swarm__PlacementPreference preference = SWARM__PLACEMENT_PREFERENCE__INIT;
        Swarm__SpreadOver spread = SWARM__SPREAD_OVER__INIT;
        spread.spread_descriptor = "node.labels.zone";
        preference.preference_case = SWARM__PLACEMENT_PREFERENCE__PREFERENCE_SPREAD;
        preference.spread = &spread;
        Swarm__TaskSpec *spec = service->spec->task;
        spec->placement = &placement;
        if (s % 3 == 0)
            spec->resources = &resources;
        if (s % 5 == 0)
            FAKE_ADD(&arena, &placement, constraints, "node.labels.zone != z3");
        if (s % 7 == 0)
            FAKE_ADD(&arena, &placement, preferences, &preference);
        turn(&txn);
        if (txn_create(txn, OBJECT_SERVICE, service, &err))
            abort();
        for (unsigned t = 0; t < tasks; t++) {
            turn(&txn);
            Swarm__Task *task =
                fake_task(&arena, arena_printf(&arena, "t%014u%010u", s, t), service->id, t + 1);
            task->spec = spec;
            task->spec_version = &version;
            task->status->state = SWARM__TASK_STATE__PENDING;
            task->status->message = "pending task scheduling";
            if (txn_create(txn, OBJECT_TASK, task, &err))
                abort();
        }
        arena_fini(&arena);
    }
    end(txn);
}

static void remove_tasks(void)
{
    struct view view = store_pin(log_.store);
    struct txn *txn = fake_begin(&log_, 1);
    VIEW_EACH (object, view, OBJECT_TASK, BY_ALL) {
        struct err err = ERR_INIT;
        turn(&txn);
        if (txn_delete(txn, OBJECT_TASK, object_id(object), &err))
            abort();
    }
    end(txn);
    store_unpin(view);
}

int main(int argc, char **argv)
{
    uint64_t numbers[3] = {10000, 1000, 100};
    for (int i = 1; i < argc && i <= 3; i++)
        if (!str_to_u64(argv[i], 10000000, &numbers[i - 1]))
            return 2;
    fake_log_init(&log_, 1);
    fill_nodes((unsigned)numbers[0]);
    size_t heap = heap_bytes();
    size_t resident = resident_bytes();
    struct mono start = mono_now();
    fill_tasks((unsigned)numbers[1], (unsigned)numbers[2]);
    store_tidy(log_.store);
    double count = (double)(numbers[1] * numbers[2]);
    printf("store: %.0f tasks created in %.2f s, %.0f bytes of heap each\n", count,
           seconds_since(start), (double)(heap_bytes() - heap) / count);

    heap = heap_bytes();
    start = mono_now();
    struct sched *sched = sched_new();
    struct view view = store_pin(log_.store);
    sched_load(sched, view, wall_now());
    store_unpin(view);
    printf("sched: loaded in %.2f s, %.0f bytes of heap per task\n", seconds_since(start),
           (double)(heap_bytes() - heap) / count);

    size_t decided;
    start = mono_now();
    sched_run(sched, wall_now(), &decided);
    printf("sched: %zu decisions over %lu nodes in %.2f s\n", decided, (unsigned long)numbers[0],
           seconds_since(start));
    sched_free(sched);

    sched = sched_new();
    view = store_pin(log_.store);
    sched_load(sched, view, wall_now());
    store_unpin(view);
    start = mono_now();
    struct err err = ERR_INIT;
    if (sched_run_and_write(sched, log_.store, wall_now(), mono_now(), &err))
        abort();
    forget_entries();
    printf("sched: decided, written and applied in %.2f s\n", seconds_since(start));
    sched_free(sched);

    size_t full = resident_bytes();
    start = mono_now();
    remove_tasks();
    while (seconds_since(start) < 1.0) {
        // What the owner's timer does.
        struct timespec pause = {.tv_nsec = 50 * NS_PER_MS};
        nanosleep(&pause, NULL);
        store_tidy(log_.store);
    }
    double grown = (double)(full - resident);
    printf("store: all tasks removed, %.0f %% of %.0f MB given back\n",
           100.0 * (double)(full - resident_bytes()) / grown, grown / 1e6);
    fake_log_fini(&log_);
    return 0;
}
