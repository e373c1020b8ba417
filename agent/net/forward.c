#include "agent/net/forward.h"

#include <string.h>

#include "proto/base/json.h"
#include "proto/base/str.h"

#define TABLE        "filter"
#define BASE         "FORWARD"
#define USER_CHAIN   "DOCKER-USER"
#define OUR_PREFIX   "skep_"
#define TABLE_FAMILY "ip"

static const char *text_of(const json_t *object, const char *key)
{
    return str_or(json_string_value(json_object_get(object, key)), "");
}

static bool has_chain(const json_t *objects, const char *name)
{
    for (size_t i = 0; i < json_array_size(objects); i++)
        if (str_equal(text_of(json_object_get(json_array_get(objects, i), "chain"), "name"), name))
            return true;
    return false;
}

// The n-th rule of a chain; NULL past the last.
static const json_t *rule_at(const json_t *objects, const char *chain, size_t n)
{
    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *rule = json_object_get(json_array_get(objects, i), "rule");
        if (rule && str_equal(text_of(rule, "chain"), chain) && n-- == 0)
            return json_object_get(rule, "expr");
    }
    return NULL;
}

static bool is_jump(const json_t *expr, const char *target)
{
    for (size_t i = 0; i < json_array_size(expr); i++)
        if (str_equal(text_of(json_object_get(json_array_get(expr, i), "jump"), "target"), target))
            return true;
    return false;
}

// `iifname "x" accept`, with `key` "iifname" or "oifname".
static bool is_accept(const json_t *expr, const char *key, const char *bridge)
{
    bool matches = false, accepts = false;
    for (size_t i = 0; i < json_array_size(expr); i++) {
        const json_t *it = json_array_get(expr, i), *match = json_object_get(it, "match");
        const json_t *meta = json_object_get(json_object_get(match, "left"), "meta");
        accepts |= json_object_get(it, "accept") != NULL;
        matches |= meta && str_equal(text_of(meta, "key"), key) &&
                   str_equal(text_of(match, "right"), bridge);
    }
    return matches && accepts;
}

static bool is_right(const json_t *objects, bool user, const char *const *bridges, size_t count)
{
    size_t at = 0;
    if (user && !is_jump(rule_at(objects, FORWARD_CHAIN, at++), USER_CHAIN))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!is_accept(rule_at(objects, FORWARD_CHAIN, at++), "iifname", bridges[i]) ||
            !is_accept(rule_at(objects, FORWARD_CHAIN, at++), "oifname", bridges[i]))
            return false;
    return !rule_at(objects, FORWARD_CHAIN, at);
}

static bool is_led_to(const json_t *objects)
{
    const json_t *expr;
    for (size_t i = 0; (expr = rule_at(objects, BASE, i)); i++)
        if (is_jump(expr, FORWARD_CHAIN))
            return true;
    return false;
}

int forward_commands(const char *listing, size_t size, const char *const *bridges, size_t count,
                     struct buf *out, struct err *err)
{
    if (!size)
        return 0;
    json_t *root = json_parse(listing, size, err);
    if (!root)
        return -(int)err->code;
    const json_t *objects = json_object_get(root, "nftables");
    bool user = has_chain(objects, USER_CHAIN), led = is_led_to(objects);
    // With nothing to let pass the chain is emptied, and stays: others may lead to it.
    bool wanted = has_chain(objects, BASE) && (count || has_chain(objects, FORWARD_CHAIN));
    if (wanted && !(led && is_right(objects, user, bridges, count))) {
        buf_put_str(out, "add chain ip filter " FORWARD_CHAIN "\n"
                         "flush chain ip filter " FORWARD_CHAIN "\n");
        if (user)
            buf_put_str(out, "add rule ip filter " FORWARD_CHAIN " jump " USER_CHAIN "\n");
        for (size_t i = 0; i < count; i++)
            buf_printf(out,
                       "add rule ip filter " FORWARD_CHAIN " iifname \"%s\" accept\n"
                       "add rule ip filter " FORWARD_CHAIN " oifname \"%s\" accept\n",
                       bridges[i], bridges[i]);
        if (!led)
            buf_put_str(out, "insert rule ip filter " BASE " jump " FORWARD_CHAIN "\n");
    }
    json_decref(root);
    return 0;
}

size_t forward_blockers(const char *listing, size_t size,
                        char out[FORWARD_BLOCKERS_MAX][FORWARD_NAME_BYTES])
{
    json_t *root = json_parse(listing, size, NULL);
    const json_t *objects = json_object_get(root, "nftables");
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(objects) && count < FORWARD_BLOCKERS_MAX; i++) {
        const json_t *chain = json_object_get(json_array_get(objects, i), "chain");
        const char *family = text_of(chain, "family"), *table = text_of(chain, "table");
        bool ours = str_starts(table, OUR_PREFIX);
        bool known = str_equal(family, TABLE_FAMILY) && str_equal(table, TABLE);
        if (!chain || ours || known || !str_equal(text_of(chain, "hook"), "forward") ||
            !str_equal(text_of(chain, "policy"), "drop") ||
            (!str_equal(family, "ip") && !str_equal(family, "inet")))
            continue;
        (void)str_format(out[count++], FORWARD_NAME_BYTES, "%.8s %.40s/%.40s", family, table,
                         text_of(chain, "name"));
    }
    json_decref(root);
    return count;
}
