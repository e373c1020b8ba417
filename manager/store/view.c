#include "manager/store/view.h"

#include "manager/store/roots.h"
#include "manager/store/tables.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// ---- questions ---------------------------------------------------------------------------------

static void probe_number(struct probe *probe, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        probe->number[i] = (uint8_t)(number >> (8 * (bytes - 1 - i)));
    probe->number_bytes = (uint8_t)bytes;
}

// Adds a byte that every answer has next; false when there is no room left.
static bool head_add(struct probe *probe, unsigned *count, uint8_t byte)
{
    if (*count == sizeof(probe->head))
        return false;
    unsigned shift = 8 * ((unsigned)sizeof(probe->head) - 1 - (*count)++);
    probe->head |= (uint64_t)byte << shift;
    probe->mask |= (uint64_t)UINT8_MAX << shift;
    return true;
}

static uint8_t folded(uint8_t c, bool fold)
{
    return fold && c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

static bool head_add_text(struct probe *probe, unsigned *count, const char *text, bool open)
{
    for (; *text; text++)
        if (!head_add(probe, count, folded((uint8_t)*text, probe->fold)))
            return false;
    return open || head_add(probe, count, 0);
}

static bool head_add_number(struct probe *probe, unsigned *count)
{
    for (unsigned i = 0; i < probe->number_bytes; i++)
        if (!head_add(probe, count, probe->number[i]))
            return false;
    return true;
}

static void probe_head(struct probe *probe)
{
    unsigned count = 0;
    probe->whole =
        head_add(probe, &count, probe->tag) &&
        (!probe->first || head_add_text(probe, &count, probe->first, probe->first_open)) &&
        (!probe->second || head_add_text(probe, &count, probe->second, probe->second_open)) &&
        head_add_number(probe, &count);
}

// Without the head.
static bool probe_fill(const struct by *by, struct probe *probe)
{
    *probe = (struct probe){.tag = (uint8_t)by->index};
    switch (by->index) {
    case INDEX_DESIRED_STATE:
    case INDEX_STATE:
    case INDEX_ROLE:
    case INDEX_MEMBERSHIP:
        if (!by->number_set || by->number > UINT32_MAX)
            return false;
        probe_number(probe, by->number, KEY_NUMBER_BYTES);
        return true;
    case INDEX_CUSTOM:
        probe->first = str_or(by->key, "");
        probe->second = str_or(by->value, "");
        probe->second_open = by->prefix;
        return true;
    case INDEX_SERVICE:
        probe->first = str_or(by->key, "");
        probe->first_open = by->prefix;
        if (by->number_set && !by->prefix)
            probe_number(probe, by->number, KEY_SLOT_BYTES);
        return true;
    case INDEX_ID:
    case INDEX_NAME:
    case INDEX_NODE:
    case INDEX_NETWORK:
    case INDEX_SECRET:
    case INDEX_CONFIG:
    case INDEX_VOLUME:
    case INDEX_GROUP:
    case INDEX_KIND:
        probe->fold = by->index == INDEX_NAME;
        probe->first = str_or(by->key, "");
        probe->first_open = by->prefix;
        return true;
    }
    return false;
}

bool probe_of(const struct by *by, struct probe *probe)
{
    if (!probe_fill(by, probe))
        return false;
    probe_head(probe);
    return true;
}

// Compares one text of a key, stepping past it.
static int text_compare(const uint8_t **at, const uint8_t *end, const char *text, bool fold,
                        bool open)
{
    size_t left = INDEX_TEXT_BYTES; // keys hold no more of a text
    for (; *text && left > 0; text++, left--, (*at)++) {
        uint8_t c = folded((uint8_t)*text, fold);
        if (*at == end)
            return -1;
        if (**at != c)
            return **at < c ? -1 : 1;
    }
    if (open)
        return 0;
    if (*at == end)
        return -1;
    if (**at != 0)
        return 1;
    (*at)++;
    return 0;
}

int probe_compare(const struct probe *probe, const uint8_t *key)
{
    const uint8_t *at = key_bytes(key);
    const uint8_t *end = at + key_size(key);
    if (*at != probe->tag)
        return *at < probe->tag ? -1 : 1;
    at++;
    if (probe->first) {
        int order = text_compare(&at, end, probe->first, probe->fold, probe->first_open);
        if (order || probe->first_open)
            return order;
    }
    if (probe->second) {
        int order = text_compare(&at, end, probe->second, probe->fold, probe->second_open);
        if (order || probe->second_open)
            return order;
    }
    if (probe->number_bytes) {
        CHECK((size_t)(end - at) == probe->number_bytes);
        return memcmp(at, probe->number, probe->number_bytes);
    }
    return 0;
}

bool object_matches(const struct object *object, const struct by *by)
{
    struct probe probe;
    if (!probe_of(by, &probe))
        return false;
    const uint8_t *key = object->keys;
    for (unsigned i = 0; i < object->keys_count; i++, key = key_next(key))
        if (probe_compare(&probe, key) == 0)
            return true;
    return false;
}

bool object_has_index(const struct object *object, enum index index)
{
    const uint8_t *key = object->keys;
    for (unsigned i = 0; i < object->keys_count; i++, key = key_next(key))
        if (key_bytes(key)[0] == index)
            return true;
    return false;
}

// ---- answers -----------------------------------------------------------------------------------

void view_find(struct view_iter *iter, struct view view, enum object_type type, struct by by)
{
    CHECK(type < OBJECT_TYPES);
    iter->root = view.root;
    iter->edit = view.root->edit.number;
    iter->depth = 0;
    if (probe_of(&by, &iter->probe))
        tree_seek(iter, view.root->trees[type]);
}

const struct object *view_next(struct view_iter *iter)
{
    const struct tree_entry *entry = tree_at(iter);
    if (!entry || tree_order(&iter->probe, entry) != 0) {
        iter->depth = 0;
        return NULL;
    }
    const struct object *object = entry->object;
    tree_step(iter);
    return object;
}

static const struct object *find_first(struct view view, enum object_type type, struct by by)
{
    struct view_iter iter;
    view_find(&iter, view, type, by);
    return view_next(&iter);
}

const struct object *view_get(struct view view, enum object_type type, const char *id)
{
    return find_first(view, type, by_key(INDEX_ID, id));
}

const struct object *view_get_by_name(struct view view, enum object_type type, const char *name)
{
    return find_first(view, type, by_name(name));
}

const struct object *view_after(struct view view, enum object_type type, const char *after)
{
    struct view_iter iter;
    view_find(&iter, view, type, by_key(INDEX_ID, after));
    const struct tree_entry *entry = tree_at(&iter);
    if (entry && tree_order(&iter.probe, entry) == 0) {
        tree_step(&iter);
        entry = tree_at(&iter);
    }
    return entry && key_bytes(entry->key)[0] == INDEX_ID ? entry->object : NULL;
}

size_t view_count(struct view view, enum object_type type)
{
    CHECK(type < OBJECT_TYPES);
    return view.root->counts[type];
}

size_t view_bytes(struct view view, enum object_type type)
{
    CHECK(type < OBJECT_TYPES);
    return view.root->bytes[type];
}

uint64_t view_edit(struct view view)
{
    return view.root->edit.number;
}

bool view_same_since(struct view view, enum object_type type, uint64_t edit)
{
    CHECK(type < OBJECT_TYPES);
    // Every edit of a tree copies its topmost node.
    const struct tree_node *top = view.root->trees[type];
    return top && top->birth <= edit;
}
