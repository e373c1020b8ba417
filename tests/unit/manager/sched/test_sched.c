// The scheduler places, levels, spreads, avoids and explains.
#include "manager/sched/sched.h"

#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

static struct fake_log log_;
static struct arena arena;
static struct sched *sched;
static struct watch *watch;
static struct wall now;

static void setup(void)
{
    struct err err = ERR_INIT;
    fake_log_init(&log_, 1);
    arena_init(&arena, SIZE_MAX);
    sched = sched_new();
    now.ns = 1000 * NS_PER_S;
    ck_assert_int_eq(
        watch_open(log_.store, &(struct watch_options){.queue_max = 1000000}, &watch, &err), 0);
}

static void teardown(void)
{
    watch_close(watch);
    sched_free(sched);
    fake_log_fini(&log_);
    arena_fini(&arena);
}

static void feed(void)
{
    struct watch_event event;
    while (watch_next(watch, &event)) {
        sched_event(sched, &event, now, (struct mono){.ns = now.ns});
        watch_event_fini(&event);
    }
}

static void run(void)
{
    struct err err = ERR_INIT;
    feed();
    ck_assert_msg(sched_run_and_write(sched, log_.store, now, (struct mono){now.ns}, &err) == 0,
                  "%s", err.message);
    fake_commit_all(&log_);
    feed();
}

static void create(enum object_type type, void *message)
{
    struct err err = ERR_INIT;
    struct txn *txn = fake_begin(&log_, 1);
    ck_assert_msg(txn_create(txn, type, message, &err) == 0, "%s", err.message);
    fake_write(&log_, txn);
}

static void *get(enum object_type type, const char *id)
{
    struct view view = store_pin(log_.store);
    const struct object *object = view_get(view, type, id);
    void *message = object ? object_unpack(object, &arena) : NULL;
    store_unpin(view);
    ck_assert_ptr_nonnull(message);
    return message;
}

static void put(enum object_type type, void *message)
{
    struct err err = ERR_INIT;
    struct txn *txn = fake_begin(&log_, 1);
    ck_assert_msg(txn_update(txn, type, message, &err) == 0, "%s", err.message);
    fake_write(&log_, txn);
}

static Swarm__Service *service_of(const char *id)
{
    Swarm__Service *service = fake_service(&arena, id);
    service->spec_version = ARENA_NEW(&arena, Swarm__Version);
    swarm__version__init(service->spec_version);
    service->spec_version->index = 7;
    service->spec->task->placement = ARENA_NEW(&arena, Swarm__Placement);
    swarm__placement__init(service->spec->task->placement);
    return service;
}

static Swarm__Task *pending_task(const char *id, const Swarm__Service *service)
{
    Swarm__Task *task = fake_task(&arena, id, service->id, 1);
    task->spec = service->spec->task;
    task->spec_version = service->spec_version;
    task->status->state = SWARM__TASK_STATE__PENDING;
    return task;
}

static void create_tasks(const Swarm__Service *service, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        create(OBJECT_TASK, pending_task(arena_printf(&arena, "%s.%03u", service->id, i), service));
}

static void create_nodes(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        create(OBJECT_NODE, fake_node(&arena, arena_printf(&arena, "n%u", i)));
}

static void label(Swarm__Node *node, const char *key, const char *value)
{
    Swarm__Annotations__LabelsEntry *entry = ARENA_NEW(&arena, Swarm__Annotations__LabelsEntry);
    swarm__annotations__labels_entry__init(entry);
    entry->key = key;
    entry->value = value;
    FAKE_ADD(&arena, node->spec->annotations, labels, entry);
}

static void reserve(Swarm__Service *service, int64_t nano_cpus, int64_t memory_bytes,
                    const char *kind, int64_t count)
{
    Swarm__ResourceRequirements *resources = ARENA_NEW(&arena, Swarm__ResourceRequirements);
    Swarm__Resources *reserved = ARENA_NEW(&arena, Swarm__Resources);
    swarm__resource_requirements__init(resources);
    swarm__resources__init(reserved);
    reserved->nano_cpus = nano_cpus;
    reserved->memory_bytes = memory_bytes;
    if (kind) {
        Swarm__GenericResource *generic = ARENA_NEW(&arena, Swarm__GenericResource);
        Swarm__DiscreteGenericResource *counted = ARENA_NEW(&arena, Swarm__DiscreteGenericResource);
        swarm__generic_resource__init(generic);
        swarm__discrete_generic_resource__init(counted);
        counted->kind = kind;
        counted->value = count;
        generic->resource_case = SWARM__GENERIC_RESOURCE__RESOURCE_DISCRETE_RESOURCE_SPEC;
        generic->discrete_resource_spec = counted;
        FAKE_ADD(&arena, reserved, generic, generic);
    }
    resources->reservations = reserved;
    service->spec->task->resources = resources;
}

static void offer(Swarm__Node *node, int64_t nano_cpus, int64_t memory_bytes)
{
    node->description->resources = ARENA_NEW(&arena, Swarm__Resources);
    swarm__resources__init(node->description->resources);
    node->description->resources->nano_cpus = nano_cpus;
    node->description->resources->memory_bytes = memory_bytes;
}

static void offer_named(Swarm__Node *node, const char *kind, const char *value)
{
    Swarm__GenericResource *generic = ARENA_NEW(&arena, Swarm__GenericResource);
    Swarm__NamedGenericResource *named = ARENA_NEW(&arena, Swarm__NamedGenericResource);
    swarm__generic_resource__init(generic);
    swarm__named_generic_resource__init(named);
    named->kind = kind;
    named->value = value;
    generic->resource_case = SWARM__GENERIC_RESOURCE__RESOURCE_NAMED_RESOURCE_SPEC;
    generic->named_resource_spec = named;
    FAKE_ADD(&arena, node->description->resources, generic, generic);
}

// Assigned tasks of the service on the node.
static unsigned tasks_on(const char *service_id, const char *node_id)
{
    unsigned count = 0;
    struct view view = store_pin(log_.store);
    VIEW_EACH (object, view, OBJECT_TASK, by_node(node_id))
        count += !strcmp(object_task(object)->service_id, service_id) &&
                 object_task(object)->state == SWARM__TASK_STATE__ASSIGNED;
    store_unpin(view);
    return count;
}

static const char *err_of(const char *task_id)
{
    return ((Swarm__Task *)get(OBJECT_TASK, task_id))->status->err;
}

START_TEST(tasks_are_levelled_over_the_nodes)
{
    create_nodes(4);
    Swarm__Service *service = service_of("web");
    create(OBJECT_SERVICE, service);
    create_tasks(service, 10);
    run();
    unsigned all = 0;
    for (unsigned i = 0; i < 4; i++) {
        unsigned here = tasks_on("web", arena_printf(&arena, "n%u", i));
        ck_assert(here == 2 || here == 3);
        all += here;
    }
    ck_assert_uint_eq(all, 10);
    Swarm__Task *task = get(OBJECT_TASK, "web.000");
    ck_assert_str_eq(task->status->message, "scheduler assigned task to node");
    ck_assert_int_eq(task->status->timestamp->seconds, 1000);
    // Of nodes with as many of the service, the one with fewer tasks in all is taken.
    Swarm__Service *other = service_of("db");
    create(OBJECT_SERVICE, other);
    create_tasks(other, 2);
    run();
    for (unsigned i = 0; i < 4; i++) {
        const char *id = arena_printf(&arena, "n%u", i);
        ck_assert_uint_eq(tasks_on("web", id) + tasks_on("db", id), 3);
    }
}
END_TEST

START_TEST(spread_preferences_form_a_tree)
{
    // Zone a has three nodes in two racks, b one, and one node has no zone at all.
    const char *zones[] = {"a", "a", "a", "b", NULL};
    const char *racks[] = {"r1", "r1", "r2", "r1", NULL};
    for (unsigned i = 0; i < 5; i++) {
        Swarm__Node *node = fake_node(&arena, arena_printf(&arena, "n%u", i));
        if (zones[i]) {
            label(node, "zone", zones[i]);
            label(node, "rack", racks[i]);
        }
        create(OBJECT_NODE, node);
    }
    Swarm__Service *service = service_of("web");
    const char *spreads[] = {"node.labels.zone", "something.else", "node.labels.rack"};
    for (unsigned i = 0; i < 3; i++) {
        Swarm__PlacementPreference *preference = ARENA_NEW(&arena, Swarm__PlacementPreference);
        Swarm__SpreadOver *spread = ARENA_NEW(&arena, Swarm__SpreadOver);
        swarm__placement_preference__init(preference);
        swarm__spread_over__init(spread);
        spread->spread_descriptor = spreads[i];
        preference->preference_case = SWARM__PLACEMENT_PREFERENCE__PREFERENCE_SPREAD;
        preference->spread = spread;
        FAKE_ADD(&arena, service->spec->task->placement, preferences, preference);
    }
    create(OBJECT_SERVICE, service);
    create_tasks(service, 12);
    run();
    ck_assert_uint_eq(tasks_on("web", "n0"), 1);
    ck_assert_uint_eq(tasks_on("web", "n1"), 1);
    ck_assert_uint_eq(tasks_on("web", "n2"), 2);
    ck_assert_uint_eq(tasks_on("web", "n3"), 4);
    ck_assert_uint_eq(tasks_on("web", "n4"), 4);
}
END_TEST

START_TEST(full_branch_passes_its_share_on)
{
    for (unsigned i = 0; i < 2; i++) {
        Swarm__Node *node = fake_node(&arena, arena_printf(&arena, "n%u", i));
        label(node, "zone", i ? "b" : "a");
        offer(node, (i ? 9 : 2) * NS_PER_S, 0);
        create(OBJECT_NODE, node);
    }
    Swarm__Service *service = service_of("web");
    reserve(service, NS_PER_S, 0, NULL, 0);
    Swarm__PlacementPreference preference = SWARM__PLACEMENT_PREFERENCE__INIT;
    Swarm__SpreadOver spread = SWARM__SPREAD_OVER__INIT;
    spread.spread_descriptor = "node.labels.zone";
    preference.preference_case = SWARM__PLACEMENT_PREFERENCE__PREFERENCE_SPREAD;
    preference.spread = &spread;
    FAKE_ADD(&arena, service->spec->task->placement, preferences, &preference);
    create(OBJECT_SERVICE, service);
    create_tasks(service, 12);
    run();
    ck_assert_uint_eq(tasks_on("web", "n0"), 2);
    ck_assert_uint_eq(tasks_on("web", "n1"), 9);
    ck_assert_uint_eq(sched_pending(sched), 1);
    ck_assert_str_eq(err_of("web.011"), "no suitable node (insufficient resources on 2 nodes)");
}
END_TEST

START_TEST(each_filter_explains_itself_with_counts)
{
    const char *texts[] = {
        "no suitable node (2 nodes not available for new tasks; insufficient resources on 1 node)",
        "no suitable node (2 nodes not available for new tasks; missing plugin on 1 node)",
        "no suitable node (2 nodes not available for new tasks; scheduling constraints not "
        "satisfied on 1 node)",
        "no suitable node (2 nodes not available for new tasks; unsupported platform on 1 node)",
        "no suitable node (2 nodes not available for new tasks; host-mode port already in use on 1 "
        "node)",
        "no suitable node (2 nodes not available for new tasks; max replicas per node limit "
        "exceed)",
        "no suitable node (2 nodes not available for new tasks; cannot fulfill requested CSI "
        "volume mounts on 1 node)",
    };
    for (unsigned i = 0; i < 3; i++) {
        Swarm__Node *node = fake_node(&arena, arena_printf(&arena, "n%u", i));
        Swarm__EngineDescription *engine = ARENA_NEW(&arena, Swarm__EngineDescription);
        Swarm__PluginDescription *plugin = ARENA_NEW(&arena, Swarm__PluginDescription);
        swarm__engine_description__init(engine);
        swarm__plugin_description__init(plugin);
        plugin->type = "Volume";
        plugin->name = "local";
        FAKE_ADD(&arena, engine, plugins, plugin);
        node->description->engine = engine;
        if (i == 1)
            node->status->state = SWARM__NODE_STATUS__STATE__DOWN;
        if (i == 2)
            node->spec->availability = SWARM__NODE_SPEC__AVAILABILITY__PAUSE;
        create(OBJECT_NODE, node);
    }
    Swarm__Service *service = service_of("s");
    Swarm__TaskSpec *spec = service->spec->task;
    Swarm__Task *task = pending_task("t", service);
    unsigned extra = 0; // tasks that must fit before the one that does not
    switch (_i) {
    case 0:
        reserve(service, NS_PER_S, 0, NULL, 0);
        break;
    case 1: {
        Swarm__Mount *mount = ARENA_NEW(&arena, Swarm__Mount);
        swarm__mount__init(mount);
        mount->type = SWARM__MOUNT__TYPE__VOLUME;
        mount->volume_options = ARENA_NEW(&arena, Swarm__Mount__VolumeOptions);
        swarm__mount__volume_options__init(mount->volume_options);
        mount->volume_options->driver_config = ARENA_NEW(&arena, Swarm__Driver);
        swarm__driver__init(mount->volume_options->driver_config);
        mount->volume_options->driver_config->name = "nfs";
        FAKE_ADD(&arena, spec->container, mounts, mount);
        break;
    }
    case 2:
        FAKE_ADD(&arena, spec->placement, constraints, "node.labels.a == b");
        break;
    case 3: {
        Swarm__Platform *platform = ARENA_NEW(&arena, Swarm__Platform);
        swarm__platform__init(platform);
        platform->os = "plan9";
        FAKE_ADD(&arena, spec->placement, platforms, platform);
        break;
    }
    case 4: {
        Swarm__PortConfig *port = ARENA_NEW(&arena, Swarm__PortConfig);
        swarm__port_config__init(port);
        port->publish_mode = SWARM__PORT_CONFIG__PUBLISH_MODE__HOST;
        port->published_port = 53;
        task->endpoint = ARENA_NEW(&arena, Swarm__Endpoint);
        swarm__endpoint__init(task->endpoint);
        FAKE_ADD(&arena, task->endpoint, ports, port);
        extra = 1;
        break;
    }
    case 5:
        spec->placement->max_replicas = 1;
        extra = 1;
        break;
    default: {
        Swarm__Mount *mount = ARENA_NEW(&arena, Swarm__Mount);
        swarm__mount__init(mount);
        mount->type = SWARM__MOUNT__TYPE__CLUSTER;
        FAKE_ADD(&arena, spec->container, mounts, mount);
    }
    }
    create(OBJECT_SERVICE, service);
    for (unsigned i = 0; i < extra; i++) {
        task->id = "fits";
        create(OBJECT_TASK, task);
        run();
        ck_assert_int_eq(((Swarm__Task *)get(OBJECT_TASK, "fits"))->status->state,
                         SWARM__TASK_STATE__ASSIGNED);
        task->meta = NULL;
    }
    task->id = "t";
    create(OBJECT_TASK, task);
    run();
    ck_assert_str_eq(err_of("t"), texts[_i]);
    // The same reason is not written again.
    uint64_t entries = log_.count;
    run();
    ck_assert_uint_eq(log_.count, entries);
}
END_TEST

START_TEST(no_node_at_all_has_no_reasons)
{
    Swarm__Service *service = service_of("s");
    create(OBJECT_SERVICE, service);
    create_tasks(service, 1);
    run();
    ck_assert_str_eq(err_of("s.000"), "no suitable node");
    // A node that comes takes it.
    create_nodes(1);
    run();
    ck_assert_uint_eq(tasks_on("s", "n0"), 1);
    ck_assert_str_eq(err_of("s.000"), "");
    ck_assert_int_eq(sched_due(sched).ns, MONO_NEVER.ns);
}
END_TEST

START_TEST(generic_resources_are_claimed_by_name_and_come_back)
{
    Swarm__Node *node = fake_node(&arena, "n0");
    offer(node, 0, 0);
    offer_named(node, "gpu", "g1");
    offer_named(node, "gpu", "g2");
    offer_named(node, "gpu", "g3");
    create(OBJECT_NODE, node);
    Swarm__Service *service = service_of("s");
    reserve(service, 0, 0, "gpu", 2);
    create(OBJECT_SERVICE, service);
    create_tasks(service, 2);
    run();
    Swarm__Task *first = get(OBJECT_TASK, "s.000");
    ck_assert_uint_eq(first->n_assigned_generic_resources, 2);
    ck_assert_str_eq(first->assigned_generic_resources[0]->named_resource_spec->value, "g1");
    ck_assert_str_eq(first->assigned_generic_resources[1]->named_resource_spec->value, "g2");
    ck_assert_str_eq(err_of("s.001"), "no suitable node (insufficient resources on 1 node)");
    // A new leader counts what is stored.
    struct view view = store_pin(log_.store);
    sched_load(sched, view, now);
    store_unpin(view);
    run();
    ck_assert_uint_eq(sched_pending(sched), 1);
    first->status->state = SWARM__TASK_STATE__COMPLETE;
    put(OBJECT_TASK, first);
    run();
    Swarm__Task *second = get(OBJECT_TASK, "s.001");
    ck_assert_uint_eq(second->n_assigned_generic_resources, 2);
}
END_TEST

START_TEST(node_with_five_failures_is_avoided_for_five_minutes)
{
    create_nodes(2);
    Swarm__Service *service = service_of("s");
    create(OBJECT_SERVICE, service);
    // The other node is busier, so that n0 would be taken again and again.
    Swarm__Service *load = service_of("load");
    create(OBJECT_SERVICE, load);
    for (unsigned i = 0; i < 9; i++) {
        Swarm__Task *task = pending_task(arena_printf(&arena, "load.%u", i), load);
        task->node_id = "n1";
        task->status->state = SWARM__TASK_STATE__RUNNING;
        create(OBJECT_TASK, task);
    }
    for (unsigned i = 0; i < 7; i++) {
        if (i == 6)
            now.ns += SCHED_FAILURE_WINDOW_NS;
        const char *id = arena_printf(&arena, "t%u", i);
        create(OBJECT_TASK, pending_task(id, service));
        run();
        Swarm__Task *task = get(OBJECT_TASK, id);
        ck_assert_str_eq(task->node_id, i == 5 ? "n1" : "n0");
        task->status->state = i % 2 ? SWARM__TASK_STATE__FAILED : SWARM__TASK_STATE__REJECTED;
        put(OBJECT_TASK, task);
    }
}
END_TEST

START_TEST(preassigned_task_is_only_checked)
{
    Swarm__Node *node = fake_node(&arena, "n0");
    offer(node, 2 * NS_PER_S, 0);
    create(OBJECT_NODE, node);
    create_nodes(0);
    Swarm__Service *service = service_of("g");
    reserve(service, 2 * NS_PER_S, 0, NULL, 0);
    create(OBJECT_SERVICE, service);
    for (unsigned i = 0; i < 2; i++) {
        Swarm__Task *task = pending_task(i ? "t1" : "t0", service);
        task->node_id = "n0";
        create(OBJECT_TASK, task);
    }
    Swarm__Task *lost = pending_task("t2", service);
    lost->node_id = "gone";
    create(OBJECT_TASK, lost);
    run();
    Swarm__Task *first = get(OBJECT_TASK, "t0");
    ck_assert_int_eq(first->status->state, SWARM__TASK_STATE__ASSIGNED);
    ck_assert_str_eq(first->status->message,
                     "scheduler confirmed task can run on preassigned node");
    ck_assert_str_eq(err_of("t1"), "insufficient resources on 1 node"); // bare
    ck_assert_str_eq(err_of("t2"), "");
    first->status->state = SWARM__TASK_STATE__COMPLETE;
    put(OBJECT_TASK, first);
    run();
    ck_assert_int_eq(((Swarm__Task *)get(OBJECT_TASK, "t1"))->status->state,
                     SWARM__TASK_STATE__ASSIGNED);
}
END_TEST

START_TEST(task_of_an_older_spec_is_not_tried_again)
{
    Swarm__Service *service = service_of("s");
    create(OBJECT_SERVICE, service);
    create_tasks(service, 2);
    service = get(OBJECT_SERVICE, "s");
    service->spec_version->index = 8;
    put(OBJECT_SERVICE, service);
    Swarm__Task *unwanted = get(OBJECT_TASK, "s.001");
    unwanted->desired_state = SWARM__TASK_STATE__SHUTDOWN;
    put(OBJECT_TASK, unwanted);
    run();
    ck_assert_str_eq(err_of("s.000"), "");
    ck_assert_int_eq(((Swarm__Task *)get(OBJECT_TASK, "s.001"))->status->state,
                     SWARM__TASK_STATE__SHUTDOWN);
    ck_assert_uint_eq(sched_pending(sched), 0);
}
END_TEST

START_TEST(decision_that_came_too_late_is_not_written)
{
    create_nodes(1);
    Swarm__Service *service = service_of("s");
    create(OBJECT_SERVICE, service);
    create_tasks(service, 2);
    feed();
    // What the scheduler has not heard yet: one task is gone, and the node drains.
    struct err err = ERR_INIT;
    struct txn *txn = fake_begin(&log_, 1);
    ck_assert_int_eq(txn_delete(txn, OBJECT_TASK, "s.000", &err), 0);
    fake_write(&log_, txn);
    Swarm__Node *node = get(OBJECT_NODE, "n0");
    node->spec->availability = SWARM__NODE_SPEC__AVAILABILITY__DRAIN;
    put(OBJECT_NODE, node);
    now.ns += NS_PER_S;
    ck_assert_int_eq(sched_run_and_write(sched, log_.store, now, (struct mono){now.ns}, &err), 0);
    // The rest is decided again, but not at once: the news have to arrive first.
    ck_assert_int_eq(sched_due(sched).ns, now.ns + SCHED_DELAY_MS * NS_PER_MS);
    fake_commit_all(&log_);
    ck_assert_uint_eq(tasks_on("s", "n0"), 0);
    feed();
    run();
    ck_assert_str_eq(err_of("s.001"), "no suitable node (1 node not available for new tasks)");
}
END_TEST

START_TEST(run_is_due_soon_after_the_last_and_not_long_after_the_first_event)
{
    create_nodes(1);
    Swarm__Service *service = service_of("s");
    create(OBJECT_SERVICE, service);
    ck_assert_int_eq(sched_due(sched).ns, MONO_NEVER.ns);
    create_tasks(service, 1);
    feed();
    int64_t first = now.ns;
    ck_assert_int_eq(sched_due(sched).ns, first + SCHED_DELAY_MS * NS_PER_MS);
    for (unsigned i = 0; i < 40; i++) {
        now.ns += 40 * NS_PER_MS;
        create(OBJECT_TASK, pending_task(arena_printf(&arena, "x%u", i), service));
        feed();
    }
    ck_assert_int_eq(sched_due(sched).ns, first + SCHED_DELAY_MS_MAX * NS_PER_MS);
}
END_TEST

// ---- properties --------------------------------------------------------------------------------

#define MODEL_NODES    9
#define MODEL_SERVICES 5

// CPU used on each node by what the store says runs there, and each service's count.
struct usage {
    int64_t cpus[MODEL_NODES];
    unsigned here[MODEL_NODES][MODEL_SERVICES];
    size_t pending[MODEL_SERVICES];
};

static void measure(struct usage *usage, const int64_t *wanted)
{
    memset(usage, 0, sizeof(*usage));
    struct view view = store_pin(log_.store);
    VIEW_EACH (object, view, OBJECT_TASK, BY_ALL) {
        const struct task_facts *facts = object_task(object);
        unsigned service = (unsigned)(facts->service_id[1] - '0');
        if (facts->state > SWARM__TASK_STATE__RUNNING)
            continue;
        if (facts->state == SWARM__TASK_STATE__PENDING) {
            usage->pending[service]++;
            continue;
        }
        unsigned node = (unsigned)(facts->node_id[1] - '0');
        usage->cpus[node] += wanted[service];
        usage->here[node][service]++;
    }
    store_unpin(view);
}

START_TEST(limits_hold_and_nothing_waits_without_need)
{
    struct rand rand;
    rand_init(&rand, (uint64_t)_i);
    int64_t offered[MODEL_NODES];
    int64_t wanted[MODEL_SERVICES];
    uint64_t most[MODEL_SERVICES];
    Swarm__Service *services[MODEL_SERVICES];
    for (unsigned i = 0; i < MODEL_NODES; i++) {
        Swarm__Node *node = fake_node(&arena, arena_printf(&arena, "n%u", i));
        offered[i] = rand_between(&rand, 0, 12) * NS_PER_S;
        offer(node, offered[i], 0);
        label(node, "zone", rand_chance(&rand, 1, 2) ? "a" : "b");
        create(OBJECT_NODE, node);
    }
    for (unsigned i = 0; i < MODEL_SERVICES; i++) {
        services[i] = service_of(arena_printf(&arena, "s%u", i));
        wanted[i] = rand_between(&rand, 1, 3) * NS_PER_S;
        most[i] = rand_below(&rand, 4);
        reserve(services[i], wanted[i], 0, NULL, 0);
        services[i]->spec->task->placement->max_replicas = most[i];
        if (i == 0) {
            Swarm__PlacementPreference *preference = ARENA_NEW(&arena, Swarm__PlacementPreference);
            swarm__placement_preference__init(preference);
            preference->spread = ARENA_NEW(&arena, Swarm__SpreadOver);
            swarm__spread_over__init(preference->spread);
            preference->spread->spread_descriptor = "node.labels.zone";
            preference->preference_case = SWARM__PLACEMENT_PREFERENCE__PREFERENCE_SPREAD;
            FAKE_ADD(&arena, services[i]->spec->task->placement, preferences, preference);
        }
        create(OBJECT_SERVICE, services[i]);
    }
    unsigned made = 0;
    for (unsigned round = 0; round < 25; round++) {
        for (unsigned k = (unsigned)rand_below(&rand, 8); k > 0; k--)
            create(OBJECT_TASK, pending_task(arena_printf(&arena, "t%04u", made++),
                                             services[rand_below(&rand, MODEL_SERVICES)]));
        for (unsigned k = made ? (unsigned)rand_below(&rand, 6) : 0; k > 0; k--) {
            Swarm__Task *task =
                get(OBJECT_TASK, arena_printf(&arena, "t%04u", (unsigned)rand_below(&rand, made)));
            if (task->status->state != SWARM__TASK_STATE__ASSIGNED)
                continue;
            task->status->state = SWARM__TASK_STATE__COMPLETE;
            put(OBJECT_TASK, task);
        }
        if (rand_chance(&rand, 1, 10)) {
            struct watch_event event;
            while (watch_next(watch, &event))
                watch_event_fini(&event);
            struct view view = store_pin(log_.store);
            sched_load(sched, view, now);
            store_unpin(view);
        }
        run();
        struct usage usage;
        measure(&usage, wanted);
        for (unsigned n = 0; n < MODEL_NODES; n++) {
            ck_assert_int_le(usage.cpus[n], offered[n]);
            for (unsigned s = 0; s < MODEL_SERVICES; s++) {
                bool room = most[s] == 0 || usage.here[n][s] < most[s];
                ck_assert(most[s] == 0 || usage.here[n][s] <= most[s]);
                // A task waits only when no node could take it.
                ck_assert_msg(usage.pending[s] == 0 || !room ||
                                  usage.cpus[n] + wanted[s] > offered[n],
                              "round %u: a task of s%u waits while n%u has room", round, s, n);
            }
        }
    }
}
END_TEST

Suite *suite_sched(void);
Suite *suite_sched(void)
{
    Suite *suite = suite_create("sched");
    TCase *tcase = tcase_create("sched");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, tasks_are_levelled_over_the_nodes);
    tcase_add_test(tcase, spread_preferences_form_a_tree);
    tcase_add_test(tcase, full_branch_passes_its_share_on);
    tcase_add_loop_test(tcase, each_filter_explains_itself_with_counts, 0, 7);
    tcase_add_test(tcase, no_node_at_all_has_no_reasons);
    tcase_add_test(tcase, generic_resources_are_claimed_by_name_and_come_back);
    tcase_add_test(tcase, node_with_five_failures_is_avoided_for_five_minutes);
    tcase_add_test(tcase, preassigned_task_is_only_checked);
    tcase_add_test(tcase, task_of_an_older_spec_is_not_tried_again);
    tcase_add_test(tcase, decision_that_came_too_late_is_not_written);
    tcase_add_test(tcase, run_is_due_soon_after_the_last_and_not_long_after_the_first_event);
    tcase_add_loop_test(tcase, limits_hold_and_nothing_waits_without_need, 0, 16);
    suite_add_tcase(suite, tcase);
    return suite;
}
