// Views find by every index what a walk over everything finds.
#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

static struct fake_log log_;
static struct arena arena;

static void setup(void)
{
    fake_log_init(&log_, 1);
    arena_init(&arena, SIZE_MAX);
}

static void teardown(void)
{
    fake_log_fini(&log_);
    arena_fini(&arena);
}

static void put(enum object_type type, void *message)
{
    struct err err = ERR_INIT;
    struct txn *txn = fake_begin(&log_, 1);
    ck_assert_msg(txn_create(txn, type, message, &err) == 0, "%s", err.message);
    fake_write(&log_, txn);
}

// The ids found, joined by blanks.
static const char *found(enum object_type type, struct by by)
{
    static char text[512];
    text[0] = '\0';
    struct view view = store_pin(log_.store);
    VIEW_EACH (object, view, type, by) {
        size_t len = strlen(text);
        str_format(text + len, sizeof(text) - len, "%s%s", len ? " " : "", object_id(object));
        ck_assert(object_matches(object, &by));
    }
    store_unpin(view);
    return text;
}

START_TEST(tasks_are_found_by_service_slot_node_and_states)
{
    for (unsigned i = 0; i < 4; i++) {
        Swarm__Task *task = fake_task(&arena, arena_printf(&arena, "t%u", i), i < 3 ? "web" : "we",
                                      i == 2 ? 300 : i);
        task->node_id = i % 2 ? "n1" : "n2";
        task->desired_state = i == 0 ? SWARM__TASK_STATE__SHUTDOWN : SWARM__TASK_STATE__RUNNING;
        task->status->state = i == 1 ? SWARM__TASK_STATE__RUNNING : SWARM__TASK_STATE__NEW;
        put(OBJECT_TASK, task);
    }
    ck_assert_str_eq(found(OBJECT_TASK, by_service("web")), "t0 t1 t2");
    ck_assert_str_eq(found(OBJECT_TASK, by_service("we")), "t3");
    ck_assert_str_eq(found(OBJECT_TASK, by_slot("web", 300)), "t2");
    ck_assert_str_eq(found(OBJECT_TASK, by_slot("web", 0)), "t0");
    ck_assert_str_eq(found(OBJECT_TASK, by_slot("web", 7)), "");
    ck_assert_str_eq(found(OBJECT_TASK, by_node("n1")), "t1 t3");
    ck_assert_str_eq(found(OBJECT_TASK, by_node("n")), "");
    ck_assert_str_eq(found(OBJECT_TASK, by_number(INDEX_DESIRED_STATE, SWARM__TASK_STATE__RUNNING)),
                     "t1 t2 t3");
    ck_assert_str_eq(found(OBJECT_TASK, by_number(INDEX_STATE, SWARM__TASK_STATE__NEW)),
                     "t0 t2 t3");
    ck_assert_str_eq(found(OBJECT_TASK, by_name("t0")), ""); // no such index: no answers
    ck_assert_str_eq(found(OBJECT_SERVICE, by_node("n1")), "");
}
END_TEST

START_TEST(references_are_found_wherever_they_stand)
{
    Swarm__Service *service = fake_service(&arena, "s");
    Swarm__NetworkAttachmentConfig in_task = SWARM__NETWORK_ATTACHMENT_CONFIG__INIT;
    Swarm__NetworkAttachmentConfig legacy = SWARM__NETWORK_ATTACHMENT_CONFIG__INIT;
    in_task.target = "net1";
    legacy.target = "net2";
    FAKE_ADD(&arena, service->spec->task, networks, &in_task);
    FAKE_ADD(&arena, service->spec, networks, &legacy);
    Swarm__SecretReference secret = SWARM__SECRET_REFERENCE__INIT;
    secret.secret_id = "sec1";
    FAKE_ADD(&arena, service->spec->task->container, secrets, &secret);
    FAKE_ADD(&arena, service->spec->task->container, secrets, &secret); // twice is once
    Swarm__ConfigReference config = SWARM__CONFIG_REFERENCE__INIT;
    config.config_id = "cfg1";
    FAKE_ADD(&arena, service->spec->task->container, configs, &config);
    Swarm__ResourceReference reference = SWARM__RESOURCE_REFERENCE__INIT;
    reference.resource_id = "sec2";
    reference.resource_type = SWARM__RESOURCE_TYPE__SECRET;
    FAKE_ADD(&arena, service->spec->task, resource_references, &reference);
    put(OBJECT_SERVICE, service);

    Swarm__Task *task = fake_task(&arena, "t", "s", 1);
    Swarm__NetworkAttachment attachment = SWARM__NETWORK_ATTACHMENT__INIT;
    attachment.network = fake_network(&arena, "ingress");
    FAKE_ADD(&arena, task, networks, &attachment);
    Swarm__VolumeAttachment volume = SWARM__VOLUME_ATTACHMENT__INIT;
    volume.id = "vol1";
    FAKE_ADD(&arena, task, volumes, &volume);
    put(OBJECT_TASK, task);

    ck_assert_str_eq(found(OBJECT_SERVICE, by_key(INDEX_NETWORK, "net1")), "s");
    ck_assert_str_eq(found(OBJECT_SERVICE, by_key(INDEX_NETWORK, "net2")), "s");
    ck_assert_str_eq(found(OBJECT_SERVICE, by_key(INDEX_SECRET, "sec1")), "s");
    ck_assert_str_eq(found(OBJECT_SERVICE, by_key(INDEX_SECRET, "sec2")), "s");
    ck_assert_str_eq(found(OBJECT_SERVICE, by_key(INDEX_CONFIG, "cfg1")), "s");
    ck_assert_str_eq(found(OBJECT_SERVICE, by_key(INDEX_CONFIG, "sec2")), "");
    ck_assert_str_eq(found(OBJECT_TASK, by_key(INDEX_NETWORK, "ingress")), "t");
    ck_assert_str_eq(found(OBJECT_TASK, by_key(INDEX_VOLUME, "vol1")), "t");
}
END_TEST

START_TEST(names_ids_nodes_kinds_and_custom_entries_are_found)
{
    Swarm__Node *node = fake_node(&arena, "n1");
    node->role = SWARM__NODE_ROLE__MANAGER;
    put(OBJECT_NODE, node);
    node = fake_node(&arena, "n2");
    node->spec->membership = SWARM__NODE_SPEC__MEMBERSHIP__PENDING;
    put(OBJECT_NODE, node);
    ck_assert_str_eq(found(OBJECT_NODE, by_number(INDEX_ROLE, SWARM__NODE_ROLE__MANAGER)), "n1");
    ck_assert_str_eq(
        found(OBJECT_NODE, by_number(INDEX_MEMBERSHIP, SWARM__NODE_SPEC__MEMBERSHIP__PENDING)),
        "n2");

    put(OBJECT_EXTENSION, fake_extension(&arena, "kind"));
    put(OBJECT_RESOURCE, fake_resource(&arena, "r1", "kind"));
    ck_assert_str_eq(found(OBJECT_RESOURCE, by_key(INDEX_KIND, "kind")), "r1");

    Swarm__Service *service = fake_service(&arena, "abc1");
    service->spec->annotations->name = "Web-Front";
    Swarm__IndexEntry entry = SWARM__INDEX_ENTRY__INIT;
    entry.key = "tier";
    entry.val = "gold";
    FAKE_ADD(&arena, service->spec->annotations, indices, &entry);
    put(OBJECT_SERVICE, service);
    service = fake_service(&arena, "abd2");
    service->spec->annotations->name = "web-back";
    put(OBJECT_SERVICE, service);
    ck_assert_str_eq(found(OBJECT_SERVICE, by_name("WEB-front")), "abc1");
    ck_assert_str_eq(found(OBJECT_SERVICE, by_name("web")), "");
    ck_assert_str_eq(found(OBJECT_SERVICE, by_name_prefix("WEB-")), "abd2 abc1");
    ck_assert_str_eq(found(OBJECT_SERVICE, by_id_prefix("ab")), "abc1 abd2");
    ck_assert_str_eq(found(OBJECT_SERVICE, by_id_prefix("abd")), "abd2");
    ck_assert_str_eq(found(OBJECT_SERVICE, by_custom("tier", "gold")), "abc1");
    ck_assert_str_eq(found(OBJECT_SERVICE, by_custom("tier", "gol")), "");
    ck_assert_str_eq(found(OBJECT_SERVICE, by_custom_prefix("tier", "gol")), "abc1");
    struct view view = store_pin(log_.store);
    ck_assert_str_eq(object_name(view_get_by_name(view, OBJECT_SERVICE, "web-front")), "Web-Front");
    store_unpin(view);
}
END_TEST

// Entries are told apart by their first bytes first: ids that end before, at and behind those.
START_TEST(ids_that_begin_alike_are_found_each_and_in_order)
{
    static const char *const ids[] = {"a",       "ab",       "abcdef",    "abcdefg", "abcdefgh",
                                      "abcdefi", "abcdefij", "abcdefijk", "b",       "\xc3\xa4"};
    for (unsigned i = COUNT_OF(ids); i-- > 0;)
        put(OBJECT_TASK, fake_task(&arena, ids[i], i % 2 ? "service" : "service-of-long-name", i));
    struct view view = store_pin(log_.store);
    const char *after = "";
    for (unsigned i = 0; i < COUNT_OF(ids); i++) {
        const struct object *object = view_get(view, OBJECT_TASK, ids[i]);
        ck_assert_ptr_nonnull(object);
        ck_assert_str_eq(object_id(object), ids[i]);
        ck_assert_str_eq(object_id(view_after(view, OBJECT_TASK, after)), ids[i]);
        after = ids[i];
    }
    ck_assert_ptr_null(view_get(view, OBJECT_TASK, "abc"));
    ck_assert_ptr_null(view_get(view, OBJECT_TASK, "abcdefghi"));
    store_unpin(view);
    ck_assert_str_eq(found(OBJECT_TASK, by_id_prefix("abcdefi")), "abcdefi abcdefij abcdefijk");
    ck_assert_str_eq(found(OBJECT_TASK, by_id_prefix("abcdefij")), "abcdefij abcdefijk");
    ck_assert_str_eq(found(OBJECT_TASK, by_id_prefix("abcdefijk")), "abcdefijk");
    ck_assert_str_eq(found(OBJECT_TASK, by_slot("service", 3)), "abcdefg");
    ck_assert_str_eq(found(OBJECT_TASK, by_service("service")),
                     "ab abcdefg abcdefi abcdefijk \xc3\xa4");
}
END_TEST

// ---- against a naive model ---------------------------------------------------------------------

#define MODEL_TASKS 700

struct model_task {
    bool exists;
    unsigned service;
    unsigned slot;
    unsigned state;
};

static void model_message(struct arena *memory, const struct model_task *model, unsigned number,
                          Swarm__Task **out)
{
    *out = fake_task(memory, arena_printf(memory, "%u", number),
                     arena_printf(memory, "service%u", model->service), model->slot);
    (*out)->status->state = (Swarm__TaskState)model->state;
}

// Compares one service's tasks and one state's tasks, and the count, with the model.
static void model_compare(struct view view, const struct model_task *model, unsigned service,
                          unsigned state)
{
    char name[32];
    str_format(name, sizeof(name), "service%u", service);
    size_t by_service_count = 0;
    uint64_t slot = 0;
    VIEW_EACH (object, view, OBJECT_TASK, by_service(name)) {
        uint64_t number;
        ck_assert(str_to_u64(object_id(object), MODEL_TASKS - 1, &number));
        ck_assert(model[number].exists);
        ck_assert_uint_eq(model[number].service, service);
        ck_assert_uint_ge(object_task(object)->slot, slot);
        slot = object_task(object)->slot;
        by_service_count++;
    }
    size_t by_state_count = 0;
    VIEW_EACH (object, view, OBJECT_TASK, by_number(INDEX_STATE, state)) {
        ck_assert_uint_eq(object_task(object)->state, state);
        by_state_count++;
    }
    size_t all = 0;
    for (unsigned i = 0; i < MODEL_TASKS; i++) {
        all += model[i].exists;
        by_service_count -= model[i].exists && model[i].service == service;
        by_state_count -= model[i].exists && model[i].state == state;
    }
    ck_assert_uint_eq(by_service_count, 0);
    ck_assert_uint_eq(by_state_count, 0);
    ck_assert_uint_eq(view_count(view, OBJECT_TASK), all);
}

START_TEST(any_sequence_of_changes_keeps_all_indexes_true)
{
    struct model_task *model = arena_alloc_array(&arena, MODEL_TASKS, sizeof(*model));
    struct model_task *old = arena_alloc_array(&arena, MODEL_TASKS, sizeof(*model));
    struct view pinned = {.root = NULL};
    struct rand rand;
    rand_init(&rand, (uint64_t)_i);
    for (unsigned round = 0; round < 120; round++) {
        struct arena memory;
        arena_init(&memory, SIZE_MAX);
        struct model_task *before = arena_memdup(&memory, model, MODEL_TASKS * sizeof(*model));
        struct txn *txn = fake_begin(&log_, 1);
        unsigned steps = (unsigned)rand_below(&rand, 120);
        bool shrink = round % 40 > 25; // grow for a while, then shrink to nearly nothing
        for (unsigned i = 0; i < steps; i++) {
            struct err err = ERR_INIT;
            unsigned number = (unsigned)rand_below(&rand, MODEL_TASKS);
            struct model_task *task = &model[number];
            const char *id = arena_printf(&memory, "%u", number);
            if (task->exists && (shrink || rand_chance(&rand, 1, 4))) {
                ck_assert_int_eq(txn_delete(txn, OBJECT_TASK, id, &err), 0);
                task->exists = false;
                continue;
            }
            bool update = task->exists;
            *task = (struct model_task){
                .exists = true,
                .service = (unsigned)rand_below(&rand, 9),
                .slot = (unsigned)rand_below(&rand, 50),
                .state = 64 * (unsigned)rand_below(&rand, 8),
            };
            Swarm__Task *message;
            model_message(&memory, task, number, &message);
            if (update)
                message->meta = ((Swarm__Task *)txn_edit(txn, OBJECT_TASK, id))->meta;
            ck_assert_msg((update ? txn_update : txn_create)(txn, OBJECT_TASK, message, &err) == 0,
                          "%s", err.message);
        }
        unsigned service = (unsigned)rand_below(&rand, 9);
        unsigned state = 64 * (unsigned)rand_below(&rand, 8);
        model_compare(txn_view(txn), model, service, state);
        if (rand_chance(&rand, 1, 5)) { // the leader forgets it, or loses its office
            if (rand_chance(&rand, 1, 2)) {
                txn_abandon(txn);
            } else {
                struct err err = ERR_INIT;
                ck_assert_int_ge(txn_commit(txn, NULL, &err), 0);
                fake_lose(&log_);
            }
            memcpy(model, before, MODEL_TASKS * sizeof(*model));
        } else {
            fake_write(&log_, txn);
        }
        if (pinned.root) {
            model_compare(pinned, old, service, state);
            if (rand_chance(&rand, 1, 4)) {
                store_unpin(pinned);
                pinned.root = NULL;
            }
        } else if (rand_chance(&rand, 1, 2)) {
            pinned = store_pin(log_.store);
            memcpy(old, model, MODEL_TASKS * sizeof(*model));
        }
        arena_fini(&memory);
    }
    if (pinned.root)
        store_unpin(pinned);
}
END_TEST

START_TEST(walk_goes_on_after_a_pause)
{
    struct err err = ERR_INIT;
    struct txn *txn = fake_begin(&log_, 1);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(txn_create(txn, OBJECT_TASK,
                                    fake_task(&arena, arena_printf(&arena, "t%02u", i), "s", i),
                                    &err),
                         0);
    fake_write(&log_, txn);
    struct view view = store_pin(log_.store);
    unsigned seen = 0;
    const struct object *object;
    for (const char *after = ""; (object = view_after(view, OBJECT_TASK, after)); seen++) {
        ck_assert_str_eq(object_id(object), arena_printf(&arena, "t%02u", seen));
        after = object_id(object);
    }
    ck_assert_uint_eq(seen, 100);
    // The id need not exist.
    ck_assert_str_eq(object_id(view_after(view, OBJECT_TASK, "t50x")), "t51");
    ck_assert_ptr_null(view_after(view, OBJECT_TASK, "u"));
    ck_assert_ptr_null(view_after(view, OBJECT_NODE, ""));
    store_unpin(view);
}
END_TEST

Suite *suite_view(void);
Suite *suite_view(void)
{
    Suite *suite = suite_create("view");
    TCase *tcase = tcase_create("view");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, tasks_are_found_by_service_slot_node_and_states);
    tcase_add_test(tcase, references_are_found_wherever_they_stand);
    tcase_add_test(tcase, names_ids_nodes_kinds_and_custom_entries_are_found);
    tcase_add_test(tcase, ids_that_begin_alike_are_found_each_and_in_order);
    tcase_add_loop_test(tcase, any_sequence_of_changes_keeps_all_indexes_true, 0, 12);
    tcase_add_test(tcase, walk_goes_on_after_a_pause);
    suite_add_tcase(suite, tcase);
    return suite;
}
