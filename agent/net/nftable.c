#include "agent/net/nftable.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define FINGERPRINT_BYTES 24 // "skep-" and 16 hexadecimal digits
#define RULE_BYTES        1024

// What an element's value is where there is none: sets have keys alone.
static char no_value[] = "";

struct collection {
    char name[NFTABLE_NAME_BYTES];
    char kind[8];
    char *spec;          // NULL in what was parsed
    bool dynamic;        // the packets own the elements
    struct map elements; // key -> value (heap, or no_value)
};

struct chain {
    char name[NFTABLE_NAME_BYTES];
    char *hook;       // "" in what was parsed from a base chain; NULL: none
    struct buf rules; // a line each; empty in what was parsed
    size_t rules_count;
    char fingerprint[FINGERPRINT_BYTES]; // of what was parsed
};

struct nftable {
    char family[16];
    char name[NFTABLE_NAME_BYTES];
    struct collection *collections;
    size_t collections_count;
    struct chain *chains;
    size_t chains_count;
    bool parsed;
    bool odd; // parsed, and holds what we never write
};

struct nftable *nftable_new(const char *family, const char *name)
{
    struct nftable *table = MEM_NEW(struct nftable);
    bool fits = str_copy(table->family, sizeof table->family, family);
    CHECK(fits);
    fits = str_copy(table->name, sizeof table->name, name);
    CHECK(fits);
    return table;
}

void nftable_free(struct nftable *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->collections_count; i++) {
        MAP_EACH (entry, &table->collections[i].elements)
            if (entry->value != no_value)
                free(entry->value);
        map_fini(&table->collections[i].elements);
        free(table->collections[i].spec);
    }
    for (size_t i = 0; i < table->chains_count; i++) {
        free(table->chains[i].hook);
        buf_fini(&table->chains[i].rules);
    }
    free(table->collections);
    free(table->chains);
    free(table);
}

const char *nftable_family(const struct nftable *table)
{
    return table->family;
}

const char *nftable_name(const struct nftable *table)
{
    return table->name;
}

static struct collection *collection_find(const struct nftable *table, const char *name)
{
    for (size_t i = 0; i < table->collections_count; i++)
        if (str_equal(table->collections[i].name, name))
            return &table->collections[i];
    return NULL;
}

static struct chain *chain_find(const struct nftable *table, const char *name)
{
    for (size_t i = 0; i < table->chains_count; i++)
        if (str_equal(table->chains[i].name, name))
            return &table->chains[i];
    return NULL;
}

// NULL when the name is longer than any of ours.
static struct collection *collection_add(struct nftable *table, const char *kind, const char *name)
{
    if (strlen(name) >= NFTABLE_NAME_BYTES)
        return NULL;
    table->collections = (struct collection *)mem_realloc(
        table->collections, (table->collections_count + 1) * sizeof(struct collection));
    struct collection *collection = &table->collections[table->collections_count++];
    memset(collection, 0, sizeof *collection);
    (void)str_copy(collection->name, sizeof collection->name, name);
    (void)str_copy(collection->kind, sizeof collection->kind, kind);
    map_init(&collection->elements);
    return collection;
}

static struct chain *chain_add(struct nftable *table, const char *name, const char *hook)
{
    if (strlen(name) >= NFTABLE_NAME_BYTES)
        return NULL;
    table->chains = (struct chain *)mem_realloc(table->chains,
                                                (table->chains_count + 1) * sizeof(struct chain));
    struct chain *chain = &table->chains[table->chains_count++];
    memset(chain, 0, sizeof *chain);
    (void)str_copy(chain->name, sizeof chain->name, name);
    chain->hook = str_dup(hook);
    buf_init(&chain->rules, NFTABLE_TEXT_BYTES_MAX);
    return chain;
}

void nftable_collection(struct nftable *table, const char *kind, const char *name, const char *spec)
{
    CHECK(!collection_find(table, name));
    struct collection *collection = collection_add(table, kind, name);
    CHECK(collection);
    collection->spec = str_dup(spec);
    collection->dynamic = strstr(spec, "dynamic") != NULL;
}

void nftable_chain(struct nftable *table, const char *name, const char *hook)
{
    CHECK(!chain_find(table, name));
    struct chain *chain = chain_add(table, name, hook);
    CHECK(chain);
}

void nftable_rule(struct nftable *table, const char *format, ...)
{
    CHECK(table->chains_count > 0);
    struct chain *chain = &table->chains[table->chains_count - 1];
    char rule[RULE_BYTES];
    va_list args;
    va_start(args, format);
    struct buf text;
    buf_init(&text, sizeof rule);
    buf_vprintf(&text, format, args);
    va_end(args);
    CHECK(buf_ok(&text) && !strchr(buf_cstr(&text), '\n'));
    buf_put_str(&chain->rules, buf_cstr(&text));
    buf_put_str(&chain->rules, "\n");
    buf_fini(&text);
    chain->rules_count++;
}

static void element_put(struct collection *collection, const char *key, const char *value)
{
    char *old = map_put_str(&collection->elements, key, value ? str_dup(value) : no_value);
    if (old != no_value)
        free(old);
}

void nftable_element(struct nftable *table, const char *collection, const char *key,
                     const char *value)
{
    struct collection *it = collection_find(table, collection);
    CHECK(it && !it->dynamic);
    CHECK(strlen(key) < NFTABLE_KEY_BYTES && (!value || strlen(value) < NFTABLE_KEY_BYTES));
    element_put(it, key, value);
}

const char *nftable_find(const struct nftable *table, const char *collection, const char *key)
{
    const struct collection *it = collection_find(table, collection);
    return it ? (const char *)map_get_str(&it->elements, key) : NULL;
}

size_t nftable_elements_count(const struct nftable *table, const char *collection)
{
    const struct collection *it = collection_find(table, collection);
    return it ? map_count(&it->elements) : 0;
}

// ---- fingerprints -------------------------------------------------------------------------------

static uint64_t hash_text(uint64_t hash, const char *text)
{
    // FNV-1a, the NUL included so that neighbouring texts do not run together.
    do {
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    } while (*text++);
    return hash;
}

static void fingerprint(const struct nftable *table, struct chain *chain,
                        char out[FINGERPRINT_BYTES])
{
    if (table->parsed) {
        memcpy(out, chain->fingerprint, FINGERPRINT_BYTES);
        return;
    }
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < table->collections_count; i++) {
        hash = hash_text(hash, table->collections[i].kind);
        hash = hash_text(hash, table->collections[i].name);
        hash = hash_text(hash, table->collections[i].spec);
    }
    hash = hash_text(hash, chain->name);
    hash = hash_text(hash, str_or(chain->hook, "-"));
    hash = hash_text(hash, str_or(buf_cstr(&chain->rules), ""));
    (void)str_format(out, FINGERPRINT_BYTES, "skep-%016llx", (unsigned long long)hash);
}

static bool chain_same(const struct nftable *actual, struct chain *there,
                       const struct nftable *wanted, struct chain *chain)
{
    char a[FINGERPRINT_BYTES], b[FINGERPRINT_BYTES];
    if (there->rules_count != chain->rules_count || !there->hook != !chain->hook)
        return false;
    if (chain->rules_count == 0)
        return true;
    fingerprint(actual, there, a);
    fingerprint(wanted, chain, b);
    return str_equal(a, b);
}

// Whether a few elements, and chains without a hook, make `wanted` of `actual`.
static bool frame_fits(const struct nftable *actual, const struct nftable *wanted)
{
    if (!actual || actual->odd || actual->collections_count != wanted->collections_count)
        return false;
    for (size_t i = 0; i < wanted->collections_count; i++)
        if (!collection_find(actual, wanted->collections[i].name))
            return false;
    for (size_t i = 0; i < wanted->chains_count; i++) {
        struct chain *there = chain_find(actual, wanted->chains[i].name);
        if (there ? !chain_same(actual, there, wanted, &wanted->chains[i])
                  : wanted->chains[i].hook != NULL)
            return false;
    }
    for (size_t i = 0; i < actual->chains_count; i++)
        if (actual->chains[i].hook && !chain_find(wanted, actual->chains[i].name))
            return false;
    return true;
}

// ---- the transaction ----------------------------------------------------------------------------

static void put_chain(const struct nftable *table, struct chain *chain, struct buf *out)
{
    char mark[FINGERPRINT_BYTES];
    fingerprint(table, chain, mark);
    buf_printf(out, "chain %s {\n", chain->name);
    if (chain->hook)
        buf_printf(out, "%s; policy accept;\n", chain->hook);
    const char *rest = buf_cstr(&chain->rules);
    struct str_part line;
    while (rest && str_split(&rest, '\n', &line))
        if (line.len > 0)
            buf_printf(out, "%.*s comment \"%s\"\n", (int)line.len, line.at, mark);
    buf_put_str(out, "}\n");
}

static void put_chain_emptied(const struct nftable *table, const struct chain *chain,
                              struct buf *out)
{
    buf_printf(out, "add chain %s %s %s\nflush chain %s %s %s\n", table->family, table->name,
               chain->name, table->family, table->name, chain->name);
}

// The collections (all or none) and the chains that `actual` has not.
static void put_frame(const struct nftable *actual, const struct nftable *wanted, struct buf *out)
{
    struct buf inside;
    buf_init(&inside, out->limit);
    for (size_t i = 0; !actual && i < wanted->collections_count; i++) {
        const struct collection *collection = &wanted->collections[i];
        buf_printf(&inside, "%s %s { %s }\n", collection->kind, collection->name, collection->spec);
    }
    for (size_t i = 0; i < wanted->chains_count; i++) {
        struct chain *chain = &wanted->chains[i];
        if (actual && chain_find(actual, chain->name))
            continue;
        // One that an earlier wish had may still be there, where `actual` is what was wished last:
        // its rules would stand twice.
        if (actual)
            put_chain_emptied(wanted, chain, out);
        put_chain(wanted, chain, &inside);
    }
    if (inside.len > 0 || !actual)
        buf_printf(out, "table %s %s {\n%s}\n", wanted->family, wanted->name,
                   str_or(buf_cstr(&inside), ""));
    CHECK(buf_ok(&inside));
    buf_fini(&inside);
}

// The elements of `from` that are not the same in `to`; `from` is what there is when they are to be
// deleted, and what is wanted when they are to be added.
static void put_elements(const struct nftable *from, const struct nftable *to, const char *verb,
                         struct buf *out)
{
    for (size_t i = 0; i < from->collections_count; i++) {
        const struct collection *collection = &from->collections[i];
        const struct collection *other = to ? collection_find(to, collection->name) : NULL;
        bool begun = false;
        if (collection->dynamic || (other && other->dynamic))
            continue;
        MAP_EACH (entry, &collection->elements) {
            const char *there =
                other ? (const char *)map_get(&other->elements, entry->key, entry->key_size) : NULL;
            if (there && strcmp(there, entry->value) == 0)
                continue;
            if (!begun)
                buf_printf(out, "%s element %s %s %s { ", verb, from->family, from->name,
                           collection->name);
            buf_printf(out, "%s%s", begun ? ", " : "", (const char *)entry->key);
            if (*verb == 'a' && entry->value != no_value)
                buf_printf(out, " : %s", (const char *)entry->value);
            begun = true;
        }
        if (begun)
            buf_put_str(out, " }\n");
    }
}

bool nftable_diff(const struct nftable *actual, const struct nftable *wanted, struct buf *out)
{
    CHECK(!wanted->parsed);
    size_t before = out->len;
    if (!frame_fits(actual, wanted)) {
        nftable_teardown(wanted->family, wanted->name, out);
        actual = NULL;
    }
    put_frame(actual, wanted, out);
    if (actual)
        put_elements(actual, wanted, "delete", out);
    put_elements(wanted, actual, "add", out);
    CHECK(buf_ok(out));
    return out->len > before;
}

void nftable_keep(struct nftable *wanted, const struct nftable *actual)
{
    CHECK(!wanted->parsed);
    if (!frame_fits(actual, wanted))
        return;
    for (size_t i = 0; i < wanted->collections_count; i++) {
        struct collection *collection = &wanted->collections[i];
        const struct collection *there = collection_find(actual, collection->name);
        if (collection->dynamic || there->dynamic)
            continue;
        MAP_EACH (entry, &there->elements)
            if (!map_has(&collection->elements, entry->key, entry->key_size))
                element_put(collection, (const char *)entry->key,
                            entry->value == no_value ? NULL : (const char *)entry->value);
    }
}

void nftable_teardown(const char *family, const char *name, struct buf *out)
{
    // Adding first makes the deletion right in either case.
    buf_printf(out, "add table %s %s\ndelete table %s %s\n", family, name, family, name);
}

// ---- reading a listing --------------------------------------------------------------------------

static const char *text_of(const json_t *object, const char *key)
{
    return str_or(json_string_value(json_object_get(object, key)), "");
}

static bool put_value(const json_t *value, unsigned depth, struct buf *out)
{
    const json_t *inner;
    if (json_is_string(value)) {
        buf_put_str(out, json_string_value(value));
        return true;
    }
    if (json_is_integer(value)) {
        buf_printf(out, "%lld", (long long)json_integer_value(value));
        return true;
    }
    if (depth > 3)
        return false;
    if ((inner = json_object_get(value, "concat"))) {
        for (size_t i = 0; i < json_array_size(inner); i++) {
            buf_put_str(out, i ? " . " : "");
            if (!put_value(json_array_get(inner, i), depth + 1, out))
                return false;
        }
        return true;
    }
    if ((inner = json_object_get(value, "prefix"))) {
        buf_printf(out, "%s/%lld", text_of(inner, "addr"),
                   (long long)json_integer_value(json_object_get(inner, "len")));
        return true;
    }
    if ((inner = json_object_get(value, "goto"))) {
        buf_printf(out, "goto %s", text_of(inner, "target"));
        return true;
    }
    if ((inner = json_object_get(value, "elem")))
        return put_value(json_object_get(inner, "val"), depth + 1, out);
    return false;
}

static bool read_element(struct collection *collection, const json_t *element)
{
    bool pair = json_is_array(element);
    struct buf key, value;
    buf_init(&key, NFTABLE_KEY_BYTES);
    buf_init(&value, NFTABLE_KEY_BYTES);
    bool known = put_value(pair ? json_array_get(element, 0) : element, 0, &key) &&
                 (!pair || put_value(json_array_get(element, 1), 0, &value));
    known = known && buf_cstr(&key) && buf_cstr(&value);
    if (known)
        element_put(collection, buf_cstr(&key), pair ? buf_cstr(&value) : NULL);
    buf_fini(&key);
    buf_fini(&value);
    return known;
}

static bool is_dynamic(const json_t *object)
{
    // nft shows a set that packets fill without "dynamic" but with its timeout.
    return json_object_get(object, "timeout") != NULL;
}

static void read_collection(struct nftable *table, const char *kind, const json_t *object)
{
    struct collection *collection = collection_add(table, kind, text_of(object, "name"));
    if (!collection) {
        table->odd = true;
        return;
    }
    collection->dynamic = is_dynamic(object);
    const json_t *elements = json_object_get(object, "elem");
    for (size_t i = 0; !collection->dynamic && i < json_array_size(elements); i++)
        if (!read_element(collection, json_array_get(elements, i)))
            table->odd = true;
}

static void read_chain(struct nftable *table, const json_t *object)
{
    bool hooked = json_object_get(object, "hook") != NULL;
    struct chain *chain = chain_add(table, text_of(object, "name"), hooked ? "" : NULL);
    if (!chain || (hooked && !str_equal(text_of(object, "policy"), "accept")))
        table->odd = true;
}

static void read_rule(struct nftable *table, const json_t *object)
{
    struct chain *chain = chain_find(table, text_of(object, "chain"));
    const char *mark = text_of(object, "comment");
    if (!chain || strlen(mark) >= FINGERPRINT_BYTES ||
        (chain->rules_count > 0 && !str_equal(mark, chain->fingerprint))) {
        table->odd = true;
        return;
    }
    (void)str_copy(chain->fingerprint, FINGERPRINT_BYTES, mark);
    chain->rules_count++;
}

static void read_object(struct nftable *table, const json_t *item)
{
    static const char *const kinds[] = {"set", "map", "counter"};
    const json_t *object;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if ((object = json_object_get(item, kinds[i]))) {
            read_collection(table, kinds[i], object);
            return;
        }
    }
    if ((object = json_object_get(item, "chain")))
        read_chain(table, object);
    else if ((object = json_object_get(item, "rule")))
        read_rule(table, object);
    else if ((object = json_object_get(item, "table")))
        table->odd |= json_object_get(object, "flags") != NULL; // dormant: nothing in it works
    else
        table->odd |= json_object_get(item, "metainfo") == NULL;
}

struct nftable *nftable_parse(const char *family, const char *name, const void *json, size_t size,
                              struct err *err)
{
    json_t *root = json_parse(json, size, err);
    const json_t *objects = json_object_get(root, "nftables");
    if (!json_is_array(objects)) {
        json_decref(root);
        err_set(err, ERR_INVALID_ARGUMENT, "nftables: %s is no listing", name);
        return NULL;
    }
    struct nftable *table = nftable_new(family, name);
    table->parsed = true;
    for (size_t i = 0; i < json_array_size(objects); i++)
        read_object(table, json_array_get(objects, i));
    json_decref(root);
    return table;
}
