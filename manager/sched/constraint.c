#include "manager/sched/constraint.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// ---- traits ------------------------------------------------------------------------------------

#define COPY_LABELS(out, out_count, arena, n, entries)                                             \
    do {                                                                                           \
        struct trait *list_ = arena_alloc_array((arena), (n), sizeof(*list_));                     \
        CHECK(list_);                                                                              \
        for (size_t i_ = 0; i_ < (n); i_++)                                                        \
            list_[i_] =                                                                            \
                (struct trait){str_or((entries)[i_]->key, ""), str_or((entries)[i_]->value, "")};  \
        (out) = list_;                                                                             \
        (out_count) = (n);                                                                         \
    } while (0)

struct node_traits node_traits_of(const Swarm__Node *node, struct arena *arena)
{
    struct node_traits traits = {
        .id = str_or(node->id, ""),
        .hostname = "",
        .addr = node->status ? str_or(node->status->addr, "") : "",
        .role = node->role == SWARM__NODE_ROLE__MANAGER ? "manager" : "worker",
        .os = "",
        .arch = "",
    };
    const Swarm__NodeDescription *description = node->description;
    if (description) {
        traits.hostname = str_or(description->hostname, "");
        if (description->platform) {
            traits.os = str_or(description->platform->os, "");
            traits.arch = str_or(description->platform->architecture, "");
        }
        if (description->engine)
            COPY_LABELS(traits.engine_labels, traits.engine_labels_count, arena,
                        description->engine->n_labels, description->engine->labels);
    }
    if (node->spec && node->spec->annotations)
        COPY_LABELS(traits.labels, traits.labels_count, arena, node->spec->annotations->n_labels,
                    node->spec->annotations->labels);
    return traits;
}

const char *trait_get(const struct trait *traits, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(traits[i].key, key))
            return traits[i].value;
    return "";
}

// ---- parsing -----------------------------------------------------------------------------------

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool key_valid(struct str_part key)
{
    if (key.len < 2 || !(is_alnum(key.at[0]) || key.at[0] == '_') ||
        (key.at[0] >= '0' && key.at[0] <= '9'))
        return false;
    for (size_t i = 1; i < key.len; i++)
        if (!is_alnum(key.at[i]) && !memchr("-_.", key.at[i], 3))
            return false;
    return true;
}

static bool value_valid(struct str_part value)
{
    static const char others[] = " :-_.*()?+[]\\^$|/";
    if (value.len == 0)
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (!is_alnum(value.at[i]) && !memchr(others, value.at[i], sizeof(others) - 1))
            return false;
    return true;
}

static int constraint_parse(const char *text, struct arena *arena, struct constraint *out,
                            struct err *err)
{
    // "==" is looked for first, wherever it stands; only then "!=".
    const char *sign = strstr(text, "==");
    out->differs = !sign;
    if (!sign)
        sign = strstr(text, "!=");
    if (!sign)
        return err_set(err, ERR_UNKNOWN, "constraint expected one operator from ==, !=");
    struct str_part key = str_trim((struct str_part){text, (size_t)(sign - text)});
    struct str_part value = str_trim((struct str_part){sign + 2, strlen(sign + 2)});
    if (!key_valid(key))
        return err_set(err, ERR_UNKNOWN, "key '%.*s' is invalid", (int)key.len, key.at);
    if (!value_valid(value))
        return err_set(err, ERR_UNKNOWN, "value '%.*s' is invalid", (int)value.len, value.at);
    out->key = arena_strndup(arena, key.at, key.len);
    out->value = arena_strndup(arena, value.at, value.len);
    return 0;
}

int constraints_parse(const char *const *texts, size_t count, struct arena *arena,
                      struct constraints *out, struct err *err)
{
    *out = (struct constraints){.count = 0};
    if (count > CONSTRAINTS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d constraints", CONSTRAINTS_MAX);
    out->list = arena_alloc_array(arena, count, sizeof(*out->list));
    for (; out->list && out->count < count; out->count++) {
        int rc =
            constraint_parse(str_or(texts[out->count], ""), arena, &out->list[out->count], err);
        if (rc)
            return rc;
    }
    if (arena_overflowed(arena))
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "constraints are too long");
    return 0;
}

// ---- matching ----------------------------------------------------------------------------------

static bool text_match(const struct constraint *constraint, const char *actual)
{
    return (strcasecmp(constraint->value, actual) == 0) != constraint->differs;
}

// The bytes of an address and how many; 0 when it is none.
static size_t address_parse(const char *text, unsigned char out[16])
{
    if (inet_pton(AF_INET, text, out) == 1)
        return 4;
    return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

static bool prefix_equal(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8))
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0;
}

// An address or a network; any other text is met by no node, whatever the operator.
static bool address_match(const struct constraint *constraint, const char *actual)
{
    unsigned char wanted[16];
    unsigned char mine[16];
    size_t mine_bytes = address_parse(actual, mine);
    const char *slash = strchr(constraint->value, '/');
    char text[64];
    uint64_t bits = 0;
    if (slash &&
        (!str_copy(text, sizeof(text), constraint->value) || !str_to_u64(slash + 1, 128, &bits)))
        return false;
    if (slash)
        text[slash - constraint->value] = '\0';
    size_t wanted_bytes = address_parse(slash ? text : constraint->value, wanted);
    if (wanted_bytes == 0 || bits > wanted_bytes * 8)
        return false;
    if (!slash)
        bits = wanted_bytes * 8;
    bool equal = mine_bytes == wanted_bytes && prefix_equal(mine, wanted, (unsigned)bits);
    return equal != constraint->differs;
}

static bool constraint_match(const struct constraint *constraint, const struct node_traits *node)
{
    static const char node_label[] = "node.labels.";
    static const char engine_label[] = "engine.labels.";
    const char *key = constraint->key;
    if (!strcasecmp(key, "node.id"))
        return text_match(constraint, node->id);
    if (!strcasecmp(key, "node.hostname"))
        return text_match(constraint, node->hostname);
    if (!strcasecmp(key, "node.ip"))
        return address_match(constraint, node->addr);
    if (!strcasecmp(key, "node.role"))
        return text_match(constraint, node->role);
    if (!strcasecmp(key, "node.platform.os"))
        return text_match(constraint, node->os);
    if (!strcasecmp(key, "node.platform.arch"))
        return text_match(constraint, node->arch);
    size_t length = sizeof(node_label) - 1;
    if (strlen(key) > length && !strncasecmp(key, node_label, length))
        return text_match(constraint, trait_get(node->labels, node->labels_count, key + length));
    length = sizeof(engine_label) - 1;
    if (strlen(key) > length && !strncasecmp(key, engine_label, length))
        return text_match(constraint,
                          trait_get(node->engine_labels, node->engine_labels_count, key + length));
    return false;
}

bool constraints_match(const struct constraints *constraints, const struct node_traits *node)
{
    for (size_t i = 0; i < constraints->count; i++)
        if (!constraint_match(&constraints->list[i], node))
            return false;
    return true;
}
