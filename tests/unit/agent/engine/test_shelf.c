// Lists that are held: whatever happens in a store between one list and the next, what is shown is
// byte for byte what putting every object into JSON anew gives.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/objects.h"
#include "agent/engine/shelf.h"
#include "agent/engine/shelves.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"
#include "proto/wire/objects.pb-c.h"
#include "proto/wire/raw.h"
#include "proto/wire/wire.h"
#include "tests/support/fill.h"

#define OBJECTS_MAX 64
#define ROUNDS      60

// A store as the manager has it: objects in the order of their ids, each with the edit that made
// it.
struct model {
    const wire_type *type;
    struct rand rand;
    uint64_t store, edit;
    size_t count;
    struct {
        char id[8];
        uint64_t birth;
        uint8_t *bytes;
        size_t size;
    } objects[OBJECTS_MAX];
};

static void model_fill(struct model *model, size_t at)
{
    struct arena arena;
    arena_init(&arena, (size_t)64 << 20);
    ProtobufCMessage *message = fill_message(model->type, &model->rand, &arena, 6);
    *(char **)((char *)message +
               protobuf_c_message_descriptor_get_field_by_name(model->type, "id")->offset) =
        model->objects[at].id;
    struct buf bytes;
    buf_init(&bytes, 1 << 24);
    ck_assert(wire_settle(message, &arena));
    ck_assert_int_eq(wire_pack(message, &bytes, NULL), 0);
    free(model->objects[at].bytes);
    model->objects[at].bytes = buf_steal(&bytes, &model->objects[at].size);
    model->objects[at].birth = model->edit;
    arena_fini(&arena);
}

static void model_remove(struct model *model, size_t at)
{
    free(model->objects[at].bytes);
    model->count--;
    memmove(&model->objects[at], &model->objects[at + 1],
            (model->count - at) * sizeof model->objects[0]);
}

static void model_insert(struct model *model)
{
    char id[8];
    size_t at = 0;
    str_format(id, sizeof id, "%05u", (unsigned)rand_below(&model->rand, 100000));
    while (at < model->count && strcmp(model->objects[at].id, id) < 0)
        at++;
    if (model->count == OBJECTS_MAX || (at < model->count && !strcmp(model->objects[at].id, id)))
        return;
    memmove(&model->objects[at + 1], &model->objects[at],
            (model->count - at) * sizeof model->objects[0]);
    model->count++;
    memset(&model->objects[at], 0, sizeof model->objects[at]);
    str_copy(model->objects[at].id, sizeof model->objects[at].id, id);
    model_fill(model, at);
}

static void model_change(struct model *model)
{
    model->edit++;
    for (size_t changes = rand_below(&model->rand, 4); changes > 0; changes--) {
        size_t at = model->count ? rand_below(&model->rand, model->count) : 0;
        if (model->count == 0 || rand_chance(&model->rand, 1, 2))
            model_insert(model);
        else if (rand_chance(&model->rand, 1, 2))
            model_fill(model, at);
        else
            model_remove(model, at);
    }
}

// `every`: only every so many of the objects, as filters would.
static void model_answer(const struct model *model, struct listing_mark held, size_t every,
                         struct buf *answer)
{
    uint64_t have = held.store == model->store ? held.edit : 0;
    listing_put_mark(answer, (struct listing_mark){model->store, model->edit}, false);
    for (size_t i = 0; i < model->count; i += every) {
        if (model->objects[i].birth <= have)
            listing_put_held(answer, model->objects[i].id);
        else
            listing_put_object(answer, model->objects[i].birth, model->objects[i].bytes,
                               model->objects[i].size);
    }
}

// The same without anything held: every object decoded, and written.
static void plain_json(const struct model *model, const struct fields *fields, size_t every,
                       struct buf *text)
{
    struct wire_limits limits = WIRE_LIMITS_PEER;
    for (size_t i = 0; i < model->count; i += every) {
        struct arena arena;
        struct json_out out;
        arena_init(&arena, (size_t)64 << 20);
        void *message = wire_unpack(model->type, model->objects[i].bytes, model->objects[i].size,
                                    &limits, &arena, NULL);
        ck_assert_ptr_nonnull(message);
        json_out_init(&out, text);
        json_out_object(&out, NULL);
        fields_write(fields, message, &out);
        json_out_end(&out);
        ck_assert(json_out_done(&out));
        buf_put_u8(text, '\n');
        arena_fini(&arena);
    }
}

static void shelf_json(const struct shelf *shelf, struct buf *text)
{
    size_t total = 0;
    for (size_t i = 0; i < shelf_count(shelf); i++) {
        size_t size;
        const char *json = shelf_item_json(shelf_at(shelf, i), &size);
        buf_put(text, json, size);
        buf_put_u8(text, '\n');
        total += size;
    }
    ck_assert_uint_eq(total, shelf_bytes(shelf));
}

static const struct fields *const all_fields[] = {&service_fields, &task_fields,   &node_fields,
                                                  &secret_fields,  &config_fields, &cluster_fields};

START_TEST(what_is_held_shows_as_what_is_made_anew)
{
    const struct fields *fields = all_fields[_i];
    const struct shelf_kind kind = {.fields = fields};
    struct model model = {.type = fields->type, .store = 11};
    struct shelf *held = NULL;
    rand_init(&model.rand, 4242 + (uint64_t)_i);
    for (int round = 0; round < ROUNDS; round++) {
        struct buf answer, wanted, got;
        struct err err = ERR_INIT;
        buf_init(&answer, SIZE_MAX / 2);
        buf_init(&wanted, SIZE_MAX / 2);
        buf_init(&got, SIZE_MAX / 2);
        if (rand_chance(&model.rand, 3, 4))
            model_change(&model);
        if (rand_chance(&model.rand, 1, 40)) { // another leader
            model.store++;
            model.edit = 1;
            for (size_t i = 0; i < model.count; i++)
                model.objects[i].birth = 1;
        }
        size_t every = rand_chance(&model.rand, 1, 3) ? 2 : 1;
        struct listing_mark mark = held ? shelf_mark(held) : (struct listing_mark){0};
        struct shelf *shelf = NULL;
        model_answer(&model, mark, every, &answer);
        ck_assert_msg(shelf_read(&kind, held, rand_chance(&model.rand, 1, 2) ? held : NULL,
                                 every == 1, answer.data, answer.len, &shelf, &err) == 0,
                      "%s", err.message);
        plain_json(&model, fields, every, &wanted);
        shelf_json(shelf, &got);
        ck_assert_str_eq(buf_cstr(&got), buf_cstr(&wanted));
        ck_assert_uint_eq(shelf_mark(shelf).edit, every == 1 ? model.edit : 0);
        if (every == 1) {
            shelf_unref(held);
            held = shelf;
        } else {
            shelf_unref(shelf);
        }
        buf_fini(&answer);
        buf_fini(&wanted);
        buf_fini(&got);
    }
    shelf_unref(held);
    while (model.count > 0)
        model_remove(&model, 0);
}
END_TEST

static struct shelf *list_of(const struct shelf_kind *kind, struct model *model, struct shelf *held)
{
    struct buf answer;
    struct shelf *shelf = NULL;
    buf_init(&answer, SIZE_MAX / 2);
    model_answer(model, held ? shelf_mark(held) : (struct listing_mark){0}, 1, &answer);
    ck_assert_int_eq(shelf_read(kind, held, NULL, true, answer.data, answer.len, &shelf, NULL), 0);
    buf_fini(&answer);
    return shelf;
}

START_TEST(references_to_what_is_not_held_are_errors)
{
    const struct shelf_kind kind = {.fields = &config_fields};
    struct model model = {.type = config_fields.type, .store = 3, .edit = 1};
    struct err err = ERR_INIT;
    struct shelf *none = NULL;
    rand_init(&model.rand, 1);
    model_insert(&model);
    struct shelf *held = list_of(&kind, &model, NULL);
    ck_assert_uint_eq(shelf_count(held), 1);
    struct buf answer;
    buf_init(&answer, 1 << 16);
    listing_put_mark(&answer, (struct listing_mark){3, 2}, false);
    listing_put_held(&answer, "nobody");
    ck_assert_int_lt(shelf_read(&kind, held, NULL, true, answer.data, answer.len, &none, &err), 0);
    ck_assert_int_eq(err.code, ERR_INTERNAL);
    // Held, but of another store.
    buf_clear(&answer);
    listing_put_mark(&answer, (struct listing_mark){4, 2}, false);
    listing_put_held(&answer, model.objects[0].id);
    ck_assert_int_lt(shelf_read(&kind, held, NULL, true, answer.data, answer.len, &none, &err), 0);
    buf_clear(&answer);
    listing_put_mark(&answer, (struct listing_mark){4, 2}, true);
    ck_assert_int_lt(shelf_read(&kind, held, NULL, true, answer.data, answer.len, &none, &err), 0);
    // No list at all.
    buf_clear(&answer);
    buf_put_str(&answer, "\x0a\x7fx");
    ck_assert_int_lt(shelf_read(&kind, NULL, NULL, true, answer.data, answer.len, &none, &err), 0);
    buf_clear(&answer);
    raw_put_message(&answer, 1, "\xff", 1);
    ck_assert_int_lt(shelf_read(&kind, NULL, NULL, true, answer.data, answer.len, &none, &err), 0);
    ck_assert_ptr_null(none);
    buf_fini(&answer);
    shelf_unref(held);
    model_remove(&model, 0);
}
END_TEST

START_TEST(an_unchanged_list_is_the_one_held)
{
    const struct shelf_kind kind = {.fields = &config_fields};
    struct model model = {.type = config_fields.type, .store = 3, .edit = 1};
    rand_init(&model.rand, 1);
    model_insert(&model);
    struct shelf *held = list_of(&kind, &model, NULL), *same = NULL;
    struct buf answer;
    buf_init(&answer, 1 << 16);
    listing_put_mark(&answer, (struct listing_mark){3, 8}, true);
    ck_assert_int_eq(shelf_read(&kind, held, NULL, true, answer.data, answer.len, &same, NULL), 0);
    ck_assert_ptr_eq(same, held);
    shelf_unref(same);
    shelf_unref(held);
    buf_fini(&answer);
    model_remove(&model, 0);
}
END_TEST

START_TEST(answers_that_cross_share_their_items)
{
    const struct shelf_kind kind = {.fields = &config_fields};
    struct model model = {.type = config_fields.type, .store = 3, .edit = 1};
    struct shelf *second = NULL;
    rand_init(&model.rand, 1);
    model_insert(&model);
    struct shelf *first = list_of(&kind, &model, NULL);
    struct buf answer;
    buf_init(&answer, 1 << 16);
    model_answer(&model, (struct listing_mark){0}, 1, &answer);
    ck_assert_int_eq(shelf_read(&kind, NULL, first, true, answer.data, answer.len, &second, NULL),
                     0);
    ck_assert_ptr_eq(shelf_at(first, 0), shelf_at(second, 0));
    shelf_unref(first);
    ck_assert_str_eq(shelf_item_id(shelf_at(second, 0)), model.objects[0].id);
    shelf_unref(second);
    buf_fini(&answer);
    model_remove(&model, 0);
}
END_TEST

START_TEST(shelves_hold_the_newest_for_a_while)
{
    const struct shelf_kind kind = {.fields = &config_fields};
    struct model model = {.type = config_fields.type, .store = 3, .edit = 1};
    const struct noun *noun = (const void *)&model; // only told apart
    struct mono now = {.ns = NS_PER_S};
    rand_init(&model.rand, 1);
    model_insert(&model);
    struct shelves *shelves = shelves_new();
    ck_assert_ptr_null(shelves_find(shelves, noun));
    ck_assert(!shelves_age(shelves, now));
    struct shelf *old = list_of(&kind, &model, NULL);
    model.edit = 2;
    struct shelf *new = list_of(&kind, &model, NULL);
    shelves_put(shelves, noun, new, now);
    shelves_put(shelves, noun, old, now);
    ck_assert_ptr_eq(shelves_find(shelves, noun), new);
    model.store = 2; // another leader, with less behind it
    struct shelf *other = list_of(&kind, &model, NULL);
    shelves_put(shelves, noun, other, now);
    ck_assert_ptr_eq(shelves_find(shelves, noun), other);
    shelf_unref(old);
    shelf_unref(new);
    shelf_unref(other);
    now.ns += SHELVES_HELD_MS * NS_PER_MS - 1;
    ck_assert(shelves_age(shelves, now));
    now.ns++;
    ck_assert(!shelves_age(shelves, now));
    ck_assert_ptr_null(shelves_find(shelves, noun));
    shelves_free(shelves);
    model_remove(&model, 0);
}
END_TEST

Suite *suite_shelf(void);
Suite *suite_shelf(void)
{
    Suite *suite = suite_create("shelf");
    TCase *tcase = tcase_create("shelf");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, what_is_held_shows_as_what_is_made_anew, 0, 6);
    tcase_add_test(tcase, references_to_what_is_not_held_are_errors);
    tcase_add_test(tcase, an_unchanged_list_is_the_one_held);
    tcase_add_test(tcase, answers_that_cross_share_their_items);
    tcase_add_test(tcase, shelves_hold_the_newest_for_a_while);
    suite_add_tcase(suite, tcase);
    return suite;
}
