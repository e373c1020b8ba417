#include "agent/lb/ruleset.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"

#define TABLE "ip skep_lb"

// Marks our rules. It changes whenever the frame does, so that a newer daemon replaces the table an
// older one left.
#define RULE_COMMENT "skep-3"
#define COMMENT      " comment \"" RULE_COMMENT "\"\n"

#define CHOOSE "meta priority set ip daddr map @vips meta priority vmap @picks"

// The slots' key says "numgen" to give its second half the type a drawn number has. The number of
// slots passes from the one map to the other by the packet's priority, which nothing has looked at
// yet and which only the first packet of a connection loses.
//
// Refusing needs a filter hook, after translation: what still bears an idle address there was not
// translated. Connections that are open never do, so a service that loses its last backend keeps
// them. Only new connections look anything up.
static const char frame_text[] =
    "table " TABLE " {\n"
    "map vips { type ipv4_addr : classid; }\n"
    "map picks { type classid : verdict; }\n"
    "map slots { typeof ip daddr . numgen random mod 65536 : ip daddr; }\n"
    "set idle { type ipv4_addr; }\n"
    "chain out { type nat hook output priority -100; policy accept;\n" CHOOSE COMMENT "}\n"
    "chain pre { type nat hook prerouting priority -100; policy accept;\n" CHOOSE COMMENT "}\n"
    "chain refuse {\n"
    "meta l4proto tcp reject with tcp reset" COMMENT "reject" COMMENT "}\n"
    "chain idle_out { type filter hook output priority 0; policy accept;\n"
    "ct state new ip daddr @idle jump refuse" COMMENT "}\n"
    "chain idle_forward { type filter hook forward priority 0; policy accept;\n"
    "ct state new ip daddr @idle jump refuse" COMMENT "}\n"
    "}\n";

// How the frame's chains are listed.
static const struct frame_chain {
    const char *name;
    const char *type; // NULL: not on a hook
    const char *hook;
    int priority;
    unsigned rules_count;
} frame_chains[] = {{"out", "nat", "output", -100, 1},
                    {"pre", "nat", "prerouting", -100, 1},
                    {"refuse", NULL, NULL, 0, 2},
                    {"idle_out", "filter", "output", 0, 1},
                    {"idle_forward", "filter", "forward", 0, 1}};

#define PICK_RULES_COUNT 4

// One connection in so many is drawn, not counted.
#define PICK_DRAWN_OF 8

void ruleset_init(struct ruleset *ruleset)
{
    memset(ruleset, 0, sizeof *ruleset);
}

void ruleset_fini(struct ruleset *ruleset)
{
    free(ruleset->vips);
    free(ruleset->slots);
    ruleset_init(ruleset);
}

static void vips_add(struct ruleset *ruleset, uint32_t vip, uint32_t slots_count)
{
    if (ruleset->vips_count == ruleset->vips_cap) {
        ruleset->vips_cap = ruleset->vips_cap ? 2 * ruleset->vips_cap : 64;
        ruleset->vips = (struct ruleset_vip *)mem_realloc(
            ruleset->vips, ruleset->vips_cap * sizeof(struct ruleset_vip));
    }
    ruleset->vips[ruleset->vips_count++] = (struct ruleset_vip){vip, slots_count};
}

static void slots_add(struct ruleset *ruleset, uint32_t vip, uint32_t number, uint32_t backend)
{
    if (ruleset->slots_count == ruleset->slots_cap) {
        ruleset->slots_cap = ruleset->slots_cap ? 2 * ruleset->slots_cap : 64;
        ruleset->slots = (struct ruleset_slot *)mem_realloc(
            ruleset->slots, ruleset->slots_cap * sizeof(struct ruleset_slot));
    }
    ruleset->slots[ruleset->slots_count++] = (struct ruleset_slot){vip, number, backend};
}

// ---- compiling ----------------------------------------------------------------------------------

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// Where a backend stands among others.
static uint64_t rank_of(uint64_t order, uint32_t address)
{
    struct rand rand;
    if (order == RULESET_BY_ADDRESS)
        return address;
    rand_init(&rand, order ^ address);
    return rand_u64(&rand);
}

struct ranked {
    uint64_t rank;
    struct backend backend;
};

static int rank_order(const void *a, const void *b)
{
    const struct ranked *left = (const struct ranked *)a, *right = (const struct ranked *)b;
    if (left->rank != right->rank)
        return left->rank < right->rank ? -1 : 1;
    return left->backend.address < right->backend.address ? -1 : 1;
}

static void service_compile(struct ruleset *out, const struct service *service, uint64_t order)
{
    struct ranked ranked[SERVICES_BACKENDS_COUNT_MAX];
    uint32_t divisor = 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < service->backends_count; i++) {
        divisor = common_divisor(divisor, service->backends[i].weight);
        sum += service->backends[i].weight;
        ranked[i] =
            (struct ranked){rank_of(order, service->backends[i].address), service->backends[i]};
    }
    if (order != RULESET_BY_ADDRESS && service->backends_count > 1)
        qsort(ranked, service->backends_count, sizeof ranked[0], rank_order);
    uint32_t number = 0;
    for (size_t i = 0; i < service->backends_count; i++) {
        uint64_t weight = ranked[i].backend.weight;
        if (weight == 0)
            continue;
        uint64_t slots = weight / divisor;
        if (sum / divisor > RULESET_SLOTS_SHARED)
            slots = (weight * RULESET_SLOTS_SHARED + sum / 2) / sum;
        if (slots == 0)
            slots = 1;
        while (slots--)
            slots_add(out, service->vip, number++, ranked[i].backend.address);
    }
    CHECK(number <= RULESET_SLOTS_MAX);
    vips_add(out, service->vip, number);
    if (number > 0)
        out->pick[number] = true;
}

void ruleset_compile(struct ruleset *out, const struct services *services, uint64_t order)
{
    CHECK(out->vips_count == 0);
    const struct service **sorted = services_sorted(services);
    for (size_t i = 0; i < services_count(services); i++)
        service_compile(out, sorted[i], order);
    free((void *)sorted);
    out->present = true;
    out->sound = true;
}

// ---- the transaction ----------------------------------------------------------------------------

static void put_address(struct buf *out, uint32_t address)
{
    buf_printf(out, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
               address & 255);
}

static int slot_compare(const struct ruleset_slot *a, const struct ruleset_slot *b)
{
    if (a->vip != b->vip)
        return a->vip < b->vip ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

// Who is shown the changes of one verb and collection.
struct walk {
    ruleset_visit *visit;
    void *ctx;
    struct ruleset_change change;
};

// The slots of `from` that are not the same in `to`. With `from` what there is and `to` what is
// wanted that is what to delete, the other way round what to add.
static void walk_slots(struct walk *walk, bool add, const struct ruleset *from,
                       const struct ruleset *to)
{
    size_t at = 0;
    for (size_t i = 0; i < from->slots_count; i++) {
        const struct ruleset_slot *slot = &from->slots[i];
        while (at < to->slots_count && slot_compare(&to->slots[at], slot) < 0)
            at++;
        if (at < to->slots_count && slot_compare(&to->slots[at], slot) == 0 &&
            to->slots[at].backend == slot->backend)
            continue;
        walk->change =
            (struct ruleset_change){add, RULESET_SLOTS, slot->vip, slot->number, slot->backend};
        walk->visit(walk->ctx, &walk->change);
    }
}

// The same for virtual addresses; idle ones and the others lie in collections of their own.
static void walk_vips(struct walk *walk, bool add, enum ruleset_collection in,
                      const struct ruleset *from, const struct ruleset *to)
{
    size_t at = 0;
    for (size_t i = 0; i < from->vips_count; i++) {
        const struct ruleset_vip *vip = &from->vips[i];
        if ((vip->slots_count == 0) != (in == RULESET_IDLE))
            continue;
        while (at < to->vips_count && to->vips[at].vip < vip->vip)
            at++;
        if (at < to->vips_count && to->vips[at].vip == vip->vip &&
            to->vips[at].slots_count == vip->slots_count)
            continue;
        walk->change = (struct ruleset_change){add, in, vip->vip, vip->slots_count, 0};
        walk->visit(walk->ctx, &walk->change);
    }
}

void ruleset_changes(const struct ruleset *actual, const struct ruleset *wanted,
                     ruleset_visit *visit, void *ctx)
{
    struct walk walk = {.visit = visit, .ctx = ctx};
    walk_slots(&walk, false, actual, wanted);
    walk_slots(&walk, true, wanted, actual);
    walk_vips(&walk, false, RULESET_VIPS, actual, wanted);
    walk_vips(&walk, false, RULESET_IDLE, actual, wanted);
    walk_vips(&walk, true, RULESET_VIPS, wanted, actual);
    walk_vips(&walk, true, RULESET_IDLE, wanted, actual);
}

const char *ruleset_collection_name(enum ruleset_collection collection)
{
    static const char *const names[] = {
        [RULESET_VIPS] = "vips", [RULESET_SLOTS] = "slots", [RULESET_IDLE] = "idle"};
    return names[collection];
}

// A packet may look up its service just before a transaction and its slot just after: then the
// number drawn may be gone. It takes slot 0 instead, which every service that is not idle has.
static void put_picks(struct buf *out, const struct ruleset *actual, const struct ruleset *wanted)
{
    for (unsigned n = 1; n <= RULESET_SLOTS_MAX; n++) {
        if (!wanted->pick[n] || actual->pick[n])
            continue;
        buf_printf(
            out,
            "table " TABLE " {\nchain pick_%u {\nmeta priority set none" COMMENT
            "numgen random mod %u 0 dnat to ip daddr . numgen random mod %u map @slots" COMMENT
            "dnat to ip daddr . numgen inc mod %u map @slots" COMMENT
            "dnat to ip daddr . numgen random mod 1 map @slots" COMMENT "}\n}\n"
            "add element " TABLE " picks { 0:%x : goto pick_%u }\n",
            n, PICK_DRAWN_OF, n, n, n, n);
    }
}

bool ruleset_frame(const struct ruleset *actual, const struct ruleset *wanted, struct buf *out)
{
    static const struct ruleset nothing;
    CHECK(wanted->sound);
    size_t before = out->len;
    if (!actual->sound) {
        ruleset_teardown(out);
        buf_put_str(out, frame_text);
        actual = &nothing;
    }
    put_picks(out, actual, wanted);
    CHECK(buf_ok(out));
    return out->len > before;
}

// A command with a list of elements, as long as the verb and the collection are the same.
struct command {
    struct buf *out;
    bool begun;
    bool add;
    enum ruleset_collection in;
};

static void put_change(void *ctx, const struct ruleset_change *change)
{
    struct command *command = ctx;
    struct buf *out = command->out;
    bool goes_on = command->begun && command->add == change->add && command->in == change->in;
    if (goes_on)
        buf_put_str(out, ", ");
    else
        buf_printf(out, "%s%s element " TABLE " %s { ", command->begun ? " }\n" : "",
                   change->add ? "add" : "delete", ruleset_collection_name(change->in));
    *command = (struct command){out, true, change->add, change->in};
    put_address(out, change->vip);
    if (change->in == RULESET_SLOTS)
        buf_printf(out, " . %u", change->number);
    if (!change->add)
        return;
    if (change->in == RULESET_SLOTS) {
        buf_put_str(out, " : ");
        put_address(out, change->backend);
    } else if (change->in == RULESET_VIPS) {
        buf_printf(out, " : 0:%x", change->number);
    }
}

bool ruleset_diff(const struct ruleset *actual, const struct ruleset *wanted, struct buf *out)
{
    static const struct ruleset nothing;
    struct command command = {.out = out};
    size_t before = out->len;
    ruleset_frame(actual, wanted, out);
    ruleset_changes(actual->sound ? actual : &nothing, wanted, put_change, &command);
    if (command.begun)
        buf_put_str(out, " }\n");
    CHECK(buf_ok(out));
    return out->len > before;
}

void ruleset_applied(struct ruleset *actual, struct ruleset *wanted)
{
    bool kept = actual->sound;
    for (unsigned n = 1; n <= RULESET_SLOTS_MAX; n++)
        wanted->pick[n] = wanted->pick[n] || (kept && actual->pick[n]);
    ruleset_fini(actual);
    *actual = *wanted;
    ruleset_init(wanted);
}

void ruleset_teardown(struct buf *out)
{
    // Adding first makes the deletion right in either case.
    buf_put_str(out, "add table " TABLE "\ndelete table " TABLE "\n");
}

// ---- reading a listing --------------------------------------------------------------------------

// What is known of the table while its listing is read.
struct listing {
    struct ruleset *out;
    bool odd; // something is not as we write it
    bool vips, picks, slots, idle;
    bool chains[COUNT_OF(frame_chains)];
    unsigned rules[COUNT_OF(frame_chains)];
    unsigned pick_rules[RULESET_SLOTS_MAX + 1];
    bool pick_led[RULESET_SLOTS_MAX + 1]; // its number leads to the chain
};

static const char *text_of(const json_t *object, const char *key)
{
    return str_or(json_string_value(json_object_get(object, key)), "");
}

// "a.b.c.d", or 0, which is no address of ours.
static uint32_t address_of(const json_t *value)
{
    const char *rest = json_string_value(value);
    uint32_t address = 0;
    unsigned parts = 0;
    struct str_part part;
    while (rest && str_split(&rest, '.', &part)) {
        char digits[4];
        uint64_t number;
        if (part.len >= sizeof digits || ++parts > 4)
            return 0;
        memcpy(digits, part.at, part.len);
        digits[part.len] = '\0';
        if (!str_to_u64(digits, 255, &number))
            return 0;
        address = address << 8 | (uint32_t)number;
    }
    return parts == 4 ? address : 0;
}

// N of "pick_N", or 0.
static unsigned pick_of(const char *chain)
{
    uint64_t n;
    if (!str_starts(chain, "pick_") || !str_to_u64(chain + strlen("pick_"), RULESET_SLOTS_MAX, &n))
        return 0;
    return (unsigned)n;
}

// N of "0:N", written in base 16, or 0.
static unsigned number_of(const json_t *value)
{
    const char *text = str_or(json_string_value(value), "");
    unsigned n = 0;
    if (!str_starts(text, "0:"))
        return 0;
    for (text += 2; *text && n <= RULESET_SLOTS_MAX; text++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = strchr(digits, *text);
        if (!digit)
            return 0;
        n = 16 * n + (unsigned)(digit - digits);
    }
    return n <= RULESET_SLOTS_MAX ? n : 0;
}

static void read_pick(struct listing *listing, const json_t *element)
{
    unsigned n = number_of(json_array_get(element, 0));
    const json_t *jump = json_object_get(json_array_get(element, 1), "goto");
    if (n && n == pick_of(text_of(jump, "target")))
        listing->pick_led[n] = true;
    else
        listing->odd = true;
}

static void read_vip(struct listing *listing, const json_t *element)
{
    uint32_t vip = address_of(json_array_get(element, 0));
    unsigned n = number_of(json_array_get(element, 1));
    if (vip && n)
        vips_add(listing->out, vip, n);
    else
        listing->odd = true;
}

static void read_slot(struct listing *listing, const json_t *element)
{
    const json_t *key = json_object_get(json_array_get(element, 0), "concat");
    uint32_t vip = address_of(json_array_get(key, 0));
    const json_t *number = json_array_get(key, 1);
    json_int_t slot = json_integer_value(number);
    uint32_t backend = address_of(json_array_get(element, 1));
    if (vip && json_is_integer(number) && slot >= 0 && slot < RULESET_SLOTS_MAX && backend)
        slots_add(listing->out, vip, (uint32_t)slot, backend);
    else
        listing->odd = true;
}

static void read_idle(struct listing *listing, const json_t *element)
{
    uint32_t vip = address_of(element);
    if (vip)
        vips_add(listing->out, vip, 0);
    else
        listing->odd = true;
}

static void read_collection(struct listing *listing, const json_t *object)
{
    const struct {
        const char *name;
        bool *seen;
        void (*read)(struct listing *, const json_t *);
    } rows[] = {{"vips", &listing->vips, read_vip},
                {"picks", &listing->picks, read_pick},
                {"slots", &listing->slots, read_slot},
                {"idle", &listing->idle, read_idle}};
    const char *name = text_of(object, "name");
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        if (!str_equal(name, rows[row].name))
            continue;
        *rows[row].seen = true;
        const json_t *elements = json_object_get(object, "elem");
        for (size_t i = 0; i < json_array_size(elements); i++)
            rows[row].read(listing, json_array_get(elements, i));
        return;
    }
    listing->odd = true;
}

static void read_chain(struct listing *listing, const json_t *object)
{
    const char *name = text_of(object, "name");
    unsigned n = pick_of(name);
    if (n) {
        listing->out->pick[n] = true;
        return;
    }
    for (size_t i = 0; i < COUNT_OF(frame_chains); i++) {
        const struct frame_chain *chain = &frame_chains[i];
        if (!str_equal(name, chain->name))
            continue;
        listing->chains[i] = true;
        if (!str_equal(text_of(object, "type"), chain->type) ||
            !str_equal(text_of(object, "hook"), chain->hook) ||
            json_integer_value(json_object_get(object, "prio")) != chain->priority ||
            (chain->hook && !str_equal(text_of(object, "policy"), "accept")))
            listing->odd = true;
        return;
    }
    listing->odd = true;
}

static void read_rule(struct listing *listing, const json_t *object)
{
    const char *name = text_of(object, "chain");
    if (!str_equal(text_of(object, "comment"), RULE_COMMENT)) {
        listing->odd = true;
        return;
    }
    listing->pick_rules[pick_of(name)]++; // row 0 counts the frame's, and is not looked at
    for (size_t i = 0; i < COUNT_OF(frame_chains); i++)
        if (str_equal(name, frame_chains[i].name))
            listing->rules[i]++;
}

static bool listing_is_sound(const struct listing *listing)
{
    if (listing->odd || !listing->vips || !listing->picks || !listing->slots || !listing->idle)
        return false;
    for (size_t i = 0; i < COUNT_OF(frame_chains); i++)
        if (!listing->chains[i] || listing->rules[i] != frame_chains[i].rules_count)
            return false;
    for (unsigned n = 1; n <= RULESET_SLOTS_MAX; n++)
        if (listing->out->pick[n] &&
            (listing->pick_rules[n] != PICK_RULES_COUNT || !listing->pick_led[n]))
            return false;
    return true;
}

static int vip_order(const void *a, const void *b)
{
    uint32_t left = ((const struct ruleset_vip *)a)->vip;
    uint32_t right = ((const struct ruleset_vip *)b)->vip;
    return left < right ? -1 : left > right;
}

static int slot_order(const void *a, const void *b)
{
    return slot_compare((const struct ruleset_slot *)a, (const struct ruleset_slot *)b);
}

// Puts what was read in order. An address both idle and not is odd: someone else was here.
static void listing_sort(struct listing *listing)
{
    struct ruleset *out = listing->out;
    if (out->slots_count > 1)
        qsort(out->slots, out->slots_count, sizeof out->slots[0], slot_order);
    if (out->vips_count > 1)
        qsort(out->vips, out->vips_count, sizeof out->vips[0], vip_order);
    for (size_t i = 1; i < out->vips_count; i++)
        if (out->vips[i].vip == out->vips[i - 1].vip)
            listing->odd = true;
}

int ruleset_parse(struct ruleset *out, const void *json, size_t size, struct err *err)
{
    CHECK(!out->present);
    json_t *root = json_parse(json, size, err);
    if (!root)
        return err_wrap(err, "read the balancer's table");
    const json_t *objects = json_object_get(root, "nftables");
    if (!json_is_array(objects)) {
        json_decref(root);
        return err_set(err, ERR_INVALID_ARGUMENT, "the balancer's table: not a listing");
    }
    struct listing listing = {.out = out};
    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *item = json_array_get(objects, i);
        const json_t *object;
        if ((object = json_object_get(item, "table"))) {
            out->present = true;
            if (json_object_get(object, "flags")) // dormant: nothing in it works
                listing.odd = true;
        } else if ((object = json_object_get(item, "map")) ||
                   (object = json_object_get(item, "set"))) {
            read_collection(&listing, object);
        } else if ((object = json_object_get(item, "chain"))) {
            read_chain(&listing, object);
        } else if ((object = json_object_get(item, "rule"))) {
            read_rule(&listing, object);
        } else if (!json_object_get(item, "metainfo")) {
            listing.odd = true;
        }
    }
    json_decref(root);
    listing_sort(&listing);
    out->sound = out->present && listing_is_sound(&listing);
    return 0;
}

bool ruleset_is_listed(const void *json, size_t size)
{
    json_t *root = json_parse(json, size, NULL);
    const json_t *objects = json_object_get(root, "nftables");
    bool found = false;
    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *table = json_object_get(json_array_get(objects, i), "table");
        if (str_equal(text_of(table, "name"), "skep_lb") &&
            str_equal(text_of(table, "family"), "ip"))
            found = true;
    }
    json_decref(root);
    return found;
}
