// Transactions lead from any ruleset to any other. A model of the kernel's table plays them, as
// strict as the kernel: nothing is added twice, nothing deleted that is not there.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lb/ruleset.h"
#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"

struct model {
    struct map elements; // "slots 10.0.1.2 . 0" -> "10.0.1.5", heap
};

static void model_init(struct model *model)
{
    map_init(&model->elements);
}

static void model_fini(struct model *model)
{
    MAP_EACH (entry, &model->elements)
        free(entry->value);
    map_fini(&model->elements);
}

static void model_element(struct model *model, bool add, const char *collection, char *element)
{
    char *value = strstr(element, " : ");
    if (value) {
        *value = '\0';
        value += 3;
    }
    char *key = str_printf("%s %s", collection, element);
    if (add) {
        ck_assert_msg(!map_has_str(&model->elements, key), "added twice: %s", key);
        map_put_str(&model->elements, key, str_dup(str_or(value, "-")));
    } else {
        ck_assert_msg(map_has_str(&model->elements, key), "not there: %s", key);
        free(map_remove_str(&model->elements, key));
    }
    free(key);
}

static void model_line(struct model *model, char *line)
{
    char verb[8], collection[16], chain[32];
    int at = 0;
    if (sscanf(line, "%7s element ip skep_lb %15s { %n", verb, collection, &at) == 2 && at) {
        char *element = line + at;
        *strstr(element, " }") = '\0';
        while (element) {
            char *next = strstr(element, ", ");
            if (next) {
                *next = '\0';
                next += 2;
            }
            model_element(model, str_equal(verb, "add"), collection, element);
            element = next;
        }
    } else if (sscanf(line, "chain pick_%31s {", chain) == 1) {
        char *key = str_printf("chain %s", chain);
        free(map_put_str(&model->elements, key, str_dup("-")));
        free(key);
    } else if (str_starts(line, "delete table")) {
        model_fini(model);
        model_init(model);
    }
}

static void model_play(struct model *model, struct buf *commands)
{
    char *text = str_dup(buf_cstr(commands));
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        model_line(model, line);
    free(text);
}

static bool is_frame(const char *key)
{
    return str_starts(key, "chain ") || str_starts(key, "picks ");
}

// All of `part` is in `whole`, and the other way round but for chains and what leads to them, which
// may stay.
static void model_check_equal(const struct model *whole, const struct model *part)
{
    size_t chains = 0;
    MAP_EACH (entry, &whole->elements)
        if (is_frame((const char *)entry->key) &&
            !map_has_str(&part->elements, (const char *)entry->key))
            chains++;
    ck_assert_uint_eq(map_count(&whole->elements), map_count(&part->elements) + chains);
    MAP_EACH (entry, &part->elements) {
        const char *value = (const char *)map_get_str(&whole->elements, (const char *)entry->key);
        ck_assert_msg(value != NULL, "missing: %s", (const char *)entry->key);
        ck_assert_str_eq(value, (const char *)entry->value);
    }
}

static void set(struct services *services, uint32_t vip, const struct backend *backends,
                size_t count)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(services_set(services, vip, backends, count, &err), 0);
}

// Brings `actual` (and the model, unless NULL) to the services. Returns the commands' text.
static char *bring(struct ruleset *actual, const struct services *services, struct model *model)
{
    struct ruleset wanted;
    struct buf buf;
    ruleset_init(&wanted);
    buf_init(&buf, RULESET_TEXT_BYTES_MAX);
    ruleset_compile(&wanted, services, RULESET_BY_ADDRESS);
    bool some = ruleset_diff(actual, &wanted, &buf);
    ck_assert(some == (buf.len > 0));
    if (model)
        model_play(model, &buf);
    ruleset_applied(actual, &wanted);
    char *text = str_dup(buf_cstr(&buf));
    buf_fini(&buf);
    return text;
}

static void change_at_random(struct services *services, struct rand *rand)
{
    uint32_t vip = 0x0a000100u + (uint32_t)rand_below(rand, 12);
    struct backend backends[8];
    size_t count = rand_below(rand, COUNT_OF(backends) + 1);
    for (size_t i = 0; i < count; i++)
        backends[i] = (struct backend){0x0a000200u + (uint32_t)(3 * i + rand_below(rand, 3)),
                                       (uint32_t)rand_below(rand, 4)};
    if (rand_chance(rand, 1, 5))
        services_remove(services, vip);
    else
        set(services, vip, backends, count);
}

START_TEST(deltas_lead_where_a_full_load_leads)
{
    struct rand rand;
    rand_init(&rand, (uint64_t)_i);
    struct services services;
    struct ruleset actual;
    struct model model;
    services_init(&services);
    ruleset_init(&actual);
    model_init(&model);
    for (int step = 0; step < 200; step++) {
        for (uint64_t changes = rand_below(&rand, 4); changes > 0; changes--)
            change_at_random(&services, &rand);
        free(bring(&actual, &services, &model));
        struct ruleset fresh;
        struct model loaded;
        ruleset_init(&fresh);
        model_init(&loaded);
        free(bring(&fresh, &services, &loaded));
        model_check_equal(&model, &loaded);
        ruleset_fini(&fresh);
        model_fini(&loaded);
    }
    model_fini(&model);
    ruleset_fini(&actual);
    services_fini(&services);
}
END_TEST

START_TEST(nothing_to_do_gives_no_commands)
{
    struct services services;
    struct ruleset actual;
    services_init(&services);
    ruleset_init(&actual);
    char *first = bring(&actual, &services, NULL); // the frame, even without a service
    ck_assert_ptr_nonnull(strstr(first, "map slots"));
    char *second = bring(&actual, &services, NULL);
    ck_assert_str_eq(second, "");
    free(first);
    free(second);
    ruleset_fini(&actual);
    services_fini(&services);
}
END_TEST

START_TEST(draining_touches_only_its_service)
{
    struct err err = ERR_INIT;
    struct services services;
    struct ruleset actual;
    services_init(&services);
    ruleset_init(&actual);
    struct backend backends[] = {{0x0a000201, 1}, {0x0a000202, 1}};
    for (uint32_t vip = 0x0a000101; vip < 0x0a000120; vip++)
        set(&services, vip, backends, 2);
    free(bring(&actual, &services, NULL));
    ck_assert_int_eq(services_set_weight(&services, 0x0a000103, 0x0a000202, 0, &err), 0);
    char *drain = bring(&actual, &services, NULL);
    ck_assert_str_eq(drain,
                     "table ip skep_lb {\nchain pick_1 {\n"
                     "meta priority set none comment \"skep-3\"\n"
                     "numgen random mod 8 0 dnat to ip daddr . numgen random mod 1 map @slots"
                     " comment \"skep-3\"\n"
                     "dnat to ip daddr . numgen inc mod 1 map @slots comment \"skep-3\"\n"
                     "dnat to ip daddr . numgen random mod 1 map @slots comment \"skep-3\"\n"
                     "}\n}\n"
                     "add element ip skep_lb picks { 0:1 : goto pick_1 }\n"
                     "delete element ip skep_lb slots { 10.0.1.3 . 1 }\n"
                     "delete element ip skep_lb vips { 10.0.1.3 }\n"
                     "add element ip skep_lb vips { 10.0.1.3 : 0:1 }\n");
    ck_assert_int_eq(services_set_weight(&services, 0x0a000103, 0x0a000201, 0, &err), 0);
    char *idle = bring(&actual, &services, NULL);
    ck_assert_str_eq(idle, "delete element ip skep_lb slots { 10.0.1.3 . 0 }\n"
                           "delete element ip skep_lb vips { 10.0.1.3 }\n"
                           "add element ip skep_lb idle { 10.0.1.3 }\n");
    free(drain);
    free(idle);
    ruleset_fini(&actual);
    services_fini(&services);
}
END_TEST

static size_t slots_of(const struct ruleset *ruleset, uint32_t backend)
{
    size_t count = 0;
    for (size_t i = 0; i < ruleset->slots_count; i++)
        count += ruleset->slots[i].backend == backend;
    return count;
}

START_TEST(weights_become_shares)
{
    struct services services;
    struct ruleset ruleset;
    services_init(&services);
    ruleset_init(&ruleset);
    struct backend exact[] = {{1, 50}, {2, 30}, {3, 20}, {4, 0}};
    set(&services, 100, exact, 4);
    ruleset_compile(&ruleset, &services, RULESET_BY_ADDRESS);
    ck_assert_uint_eq(ruleset.vips[0].slots_count, 10);
    ck_assert_uint_eq(slots_of(&ruleset, 1), 5);
    ck_assert_uint_eq(slots_of(&ruleset, 2), 3);
    ck_assert_uint_eq(slots_of(&ruleset, 3), 2);
    ck_assert_uint_eq(slots_of(&ruleset, 4), 0);
    ruleset_fini(&ruleset);
    struct backend rounded[] = {{1, 40001}, {2, 20000}, {3, 1}};
    set(&services, 100, rounded, 3);
    ruleset_compile(&ruleset, &services, RULESET_BY_ADDRESS);
    ck_assert_uint_eq(slots_of(&ruleset, 1), 683);
    ck_assert_uint_eq(slots_of(&ruleset, 2), 341);
    ck_assert_uint_eq(slots_of(&ruleset, 3), 1);
    ruleset_fini(&ruleset);
    services_fini(&services);
}
END_TEST

// Of many sandboxes each begins with a backend of its own, and the same one always.
START_TEST(each_order_numbers_the_backends_its_own_way)
{
    enum { BACKENDS = 10, SANDBOXES = 1000 };
    struct services services;
    struct ruleset ruleset, again;
    size_t first[BACKENDS] = {0};
    struct backend backends[BACKENDS];
    services_init(&services);
    for (uint32_t i = 0; i < BACKENDS; i++)
        backends[i] = (struct backend){0x0a000201 + i, 1};
    set(&services, 0x0a000101, backends, BACKENDS);
    for (uint64_t order = 1; order <= SANDBOXES; order++) {
        ruleset_init(&ruleset);
        ruleset_init(&again);
        ruleset_compile(&ruleset, &services, order);
        ruleset_compile(&again, &services, order);
        ck_assert_uint_eq(ruleset.slots_count, BACKENDS);
        for (size_t i = 0; i < BACKENDS; i++) {
            ck_assert_uint_eq(slots_of(&ruleset, backends[i].address), 1);
            ck_assert_uint_eq(ruleset.slots[i].number, i);
            ck_assert_uint_eq(ruleset.slots[i].backend, again.slots[i].backend);
        }
        first[ruleset.slots[0].backend - backends[0].address]++;
        ruleset_fini(&ruleset);
        ruleset_fini(&again);
    }
    for (size_t i = 0; i < BACKENDS; i++) {
        ck_assert_uint_gt(first[i], SANDBOXES / BACKENDS / 2);
        ck_assert_uint_lt(first[i], SANDBOXES / BACKENDS * 3 / 2);
    }
    services_fini(&services);
}
END_TEST

START_TEST(the_most_backends_with_the_worst_weights_fit)
{
    static struct backend many[SERVICES_BACKENDS_COUNT_MAX];
    struct services services;
    struct ruleset ruleset;
    services_init(&services);
    ruleset_init(&ruleset);
    for (uint32_t i = 0; i < COUNT_OF(many); i++)
        many[i] = (struct backend){i + 1, i == 0 ? SERVICES_WEIGHT_MAX : 1};
    set(&services, 5000, many, COUNT_OF(many));
    ruleset_compile(&ruleset, &services, RULESET_BY_ADDRESS);
    ck_assert_uint_le(ruleset.vips[0].slots_count, RULESET_SLOTS_MAX);
    for (uint32_t i = 0; i < COUNT_OF(many); i++)
        ck_assert_uint_ge(slots_of(&ruleset, i + 1), 1);
    ruleset_fini(&ruleset);
    services_fini(&services);
}
END_TEST

START_TEST(a_listing_that_is_not_ours_is_unsound)
{
    const char *texts[] = {
        "{\"nftables\":[]}",
        "{\"nftables\":[{\"metainfo\":{}},{\"table\":{\"name\":\"skep_lb\"}}]}",
        "{\"nftables\":[{\"table\":{}},{\"map\":{\"name\":\"vips\",\"elem\":[\"10.0.0.1\"]}}]}",
        "{\"nftables\":[{\"map\":{\"name\":\"slots\",\"elem\":[[{\"concat\":[\"10.0.0.256\",0]},"
        "\"10.0.0.1\"],[{\"concat\":[\"10.0.0.1\",-1]},\"10.0.0.1\"],7]}}]}",
        "{\"nftables\":[{\"map\":{\"name\":\"vips\",\"elem\":[[\"10.0.0.1\",\"0:\"],[\"10.0.0.2\","
        "\"0:fffffffff\"],[\"10.0.0.3\",\"1:2\"],[\"10.0.0.4\",3],[\"10.0.0.5\",\"0:1x\"]]}}]}",
        "{\"nftables\":[{\"map\":{\"name\":\"picks\",\"elem\":[[\"0:2\",{\"goto\":{\"target\":"
        "\"pick_3\"}}]]}}]}",
        "{\"nftables\":[{\"chain\":{\"name\":\"pick_99999999\"}},{\"rule\":{}},5,null,[]]}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct err err = ERR_INIT;
        struct ruleset ruleset;
        ruleset_init(&ruleset);
        ck_assert_int_eq(ruleset_parse(&ruleset, texts[i], strlen(texts[i]), &err), 0);
        ck_assert(!ruleset.sound);
        ruleset_fini(&ruleset);
    }
}
END_TEST

START_TEST(what_is_no_listing_is_an_error)
{
    const char *texts[] = {"", "[]", "{}", "{\"nftables\":", "{\"nftables\":{}}"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct err err = ERR_INIT;
        struct ruleset ruleset;
        ruleset_init(&ruleset);
        ck_assert_int_eq(ruleset_parse(&ruleset, texts[i], strlen(texts[i]), &err),
                         -ERR_INVALID_ARGUMENT);
        ck_assert(!ruleset_is_listed(texts[i], strlen(texts[i])));
        ruleset_fini(&ruleset);
    }
}
END_TEST

Suite *suite_ruleset(void);
Suite *suite_ruleset(void)
{
    Suite *suite = suite_create("ruleset");
    TCase *tcase = tcase_create("ruleset");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, deltas_lead_where_a_full_load_leads, 0, 8);
    tcase_add_test(tcase, nothing_to_do_gives_no_commands);
    tcase_add_test(tcase, draining_touches_only_its_service);
    tcase_add_test(tcase, weights_become_shares);
    tcase_add_test(tcase, each_order_numbers_the_backends_its_own_way);
    tcase_add_test(tcase, the_most_backends_with_the_worst_weights_fit);
    tcase_add_test(tcase, a_listing_that_is_not_ours_is_unsound);
    tcase_add_test(tcase, what_is_no_listing_is_an_error);
    suite_add_tcase(suite, tcase);
    return suite;
}
