#include "agent/dns/names.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"

// Most claims that one name of a record leads to: each service name counts twice (itself and with
// "tasks." before it), each time with every address.
#define CLAIMS_PER_NAME (2 * NAMES_IPS_MAX)

// The addresses of one size that a name has. Their order means nothing, so shuffles work in place.
struct family {
    struct names_ip *ips;
    uint32_t *claims; // how many records say so, per address
    size_t count;
    size_t cap;
};

// What one name means on one network. Lives as long as a record claims it.
struct set {
    struct family families[2]; // IPv4, IPv6
    size_t claims;             // all, those without address too
    size_t key_bytes;
    uint8_t key[DNS_NAME_BYTES]; // lower case, without the root label
};

// One record's word that a name exists, with an address or (size 0) without.
struct claim {
    struct set *set;
    struct names_ip ip;
};

struct endpoint;

// A place in the list of those who have an address.
struct holder {
    struct list link;
    struct endpoint *endpoint;
};

struct endpoint {
    struct claim *claims;
    size_t claims_count;
    struct dns_name name; // as spelled; only the root when it has none
    struct names_ip ips[NAMES_IPS_MAX];
    struct holder holders[NAMES_IPS_MAX];
};

struct network {
    struct dns_name name;   // as spelled; only the root when DNS cannot say it
    struct dns_name suffix; // the same in lower case
    bool internal;
    struct map sets;      // name in lower case without root -> struct set
    struct map endpoints; // endpoint ID -> struct endpoint
    struct map holders;   // address -> struct list of struct holder, first come first
};

struct names_sandbox {
    size_t networks_count;
    struct network *networks[NAMES_SANDBOX_NETWORKS_MAX];
};

struct names {
    struct map networks;  // ID -> struct network
    struct map sandboxes; // ID -> struct names_sandbox
    struct rand rand;
};

// ---- sets of addresses ------------------------------------------------------------------------

static struct family *family_of(struct set *set, uint8_t ip_size)
{
    CHECK(ip_size == 4 || ip_size == 16);
    return &set->families[ip_size == 16];
}

static bool ip_equal(const struct names_ip *a, const struct names_ip *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static size_t family_find(const struct family *family, const struct names_ip *ip)
{
    size_t at = 0;
    while (at < family->count && !ip_equal(&family->ips[at], ip))
        at++;
    return at;
}

static void family_claim(struct family *family, const struct names_ip *ip)
{
    size_t at = family_find(family, ip);
    if (at == family->count) {
        if (family->count == family->cap) {
            family->cap = family->cap ? family->cap * 2 : 2;
            family->ips = mem_realloc(family->ips, family->cap * sizeof *family->ips);
            family->claims = mem_realloc(family->claims, family->cap * sizeof *family->claims);
        }
        family->ips[at] = *ip;
        family->claims[at] = 0;
        family->count++;
    }
    family->claims[at]++;
}

static void family_release(struct family *family, const struct names_ip *ip)
{
    size_t at = family_find(family, ip);
    CHECK(at < family->count);
    CHECK(family->claims[at] > 0);
    if (--family->claims[at] > 0)
        return;
    family->count--;
    family->ips[at] = family->ips[family->count];
    family->claims[at] = family->claims[family->count];
}

// The first `want` places get a fair draw from all (Fisher and Yates, stopped early).
static void family_shuffle(struct family *family, size_t want, struct rand *rand)
{
    for (size_t i = 0; i < want && i + 1 < family->count; i++) {
        size_t with = i + (size_t)rand_below(rand, family->count - i);
        struct names_ip ip = family->ips[i];
        uint32_t claims = family->claims[i];
        family->ips[i] = family->ips[with];
        family->claims[i] = family->claims[with];
        family->ips[with] = ip;
        family->claims[with] = claims;
    }
}

static void set_release(struct network *network, const struct claim *claim)
{
    struct set *set = claim->set;
    CHECK(set->claims > 0);
    if (claim->ip.size)
        family_release(family_of(set, claim->ip.size), &claim->ip);
    if (--set->claims > 0)
        return;
    CHECK(map_remove(&network->sets, set->key, set->key_bytes) == set);
    for (size_t i = 0; i < COUNT_OF(set->families); i++) {
        CHECK(set->families[i].count == 0);
        free(set->families[i].ips);
        free(set->families[i].claims);
    }
    free(set);
}

// ---- records ----------------------------------------------------------------------------------

static void claim_one(struct network *network, struct endpoint *endpoint,
                      const struct dns_name *name, const struct names_ip *ip)
{
    CHECK(name->size > 1);
    size_t key_bytes = name->size - 1u;
    struct set *set = map_get(&network->sets, name->wire, key_bytes);
    if (!set) {
        set = MEM_NEW(struct set);
        set->key_bytes = key_bytes;
        memcpy(set->key, name->wire, key_bytes);
        map_put(&network->sets, set->key, key_bytes, set);
    }
    set->claims++;
    struct claim *claim = &endpoint->claims[endpoint->claims_count++];
    claim->set = set;
    claim->ip = ip ? *ip : (struct names_ip){0};
    if (claim->ip.size)
        family_claim(family_of(set, claim->ip.size), &claim->ip);
}

// Claims the name, after `prefix` if there is one, for those of the addresses that are set; for
// none if there are none.
static void claim_name(struct network *network, struct endpoint *endpoint, const char *prefix,
                       const char *text, const struct names_ip ips[NAMES_IPS_MAX])
{
    struct dns_name name, front;
    if (str_empty(text) || dns_name_parse(text, &name, NULL) || name.size == 1)
        return;
    if (prefix && (dns_name_parse(prefix, &front, NULL) || !dns_name_join(&front, &name, &name)))
        return;
    dns_name_fold(&name);
    bool any = false;
    for (size_t i = 0; ips && i < NAMES_IPS_MAX; i++) {
        if (ips[i].size == 0)
            continue;
        claim_one(network, endpoint, &name, &ips[i]);
        any = true;
    }
    if (!any)
        claim_one(network, endpoint, &name, NULL);
}

static bool has_vip(const struct names_record *record)
{
    for (size_t i = 0; i < NAMES_IPS_MAX; i++)
        if (record->vips[i].size)
            return true;
    return false;
}

static void claim_service(struct network *network, struct endpoint *endpoint,
                          const struct names_record *record, const char *service)
{
    const struct names_ip *own = record->draining ? NULL : record->ips;
    claim_name(network, endpoint, NULL, service, has_vip(record) ? record->vips : own);
    claim_name(network, endpoint, "tasks", service, own);
}

static void claim_all(struct network *network, struct endpoint *endpoint,
                      const struct names_record *record)
{
    const struct names_ip *own = record->draining ? NULL : record->ips;
    claim_name(network, endpoint, NULL, record->name, own);
    for (size_t i = 0; i < record->aliases_count; i++)
        claim_name(network, endpoint, NULL, record->aliases[i], own);
    if (str_empty(record->service))
        return;
    claim_service(network, endpoint, record, record->service);
    for (size_t i = 0; i < record->service_aliases_count; i++)
        claim_service(network, endpoint, record, record->service_aliases[i]);
}

static void hold_addresses(struct network *network, struct endpoint *endpoint)
{
    for (size_t i = 0; i < NAMES_IPS_MAX; i++) {
        const struct names_ip *ip = &endpoint->ips[i];
        if (ip->size == 0)
            continue;
        struct list *holders = map_get(&network->holders, ip->bytes, ip->size);
        if (!holders) {
            holders = MEM_NEW(struct list);
            list_init(holders);
            map_put(&network->holders, ip->bytes, ip->size, holders);
        }
        endpoint->holders[i].endpoint = endpoint;
        list_push_back(holders, &endpoint->holders[i].link);
    }
}

static void release_addresses(struct network *network, struct endpoint *endpoint)
{
    for (size_t i = 0; i < NAMES_IPS_MAX; i++) {
        const struct names_ip *ip = &endpoint->ips[i];
        if (ip->size == 0)
            continue;
        list_remove(&endpoint->holders[i].link);
        struct list *holders = map_get(&network->holders, ip->bytes, ip->size);
        CHECK(holders);
        if (list_empty(holders))
            free(map_remove(&network->holders, ip->bytes, ip->size));
    }
}

static void endpoint_free(struct network *network, struct endpoint *endpoint)
{
    release_addresses(network, endpoint);
    for (size_t i = 0; i < endpoint->claims_count; i++)
        set_release(network, &endpoint->claims[i]);
    free(endpoint->claims);
    free(endpoint);
}

static struct endpoint *endpoint_new(struct network *network, const struct names_record *record)
{
    struct endpoint *endpoint = MEM_NEW(struct endpoint);
    size_t names_max = 1 + record->aliases_count + 1 + record->service_aliases_count;
    size_t claims_max = names_max * CLAIMS_PER_NAME;
    endpoint->claims = mem_alloc_array(claims_max, sizeof *endpoint->claims);
    claim_all(network, endpoint, record);
    CHECK(endpoint->claims_count <= claims_max);
    endpoint->claims =
        mem_realloc(endpoint->claims, (endpoint->claims_count + 1) * sizeof *endpoint->claims);
    if (dns_name_parse(str_or(record->name, ""), &endpoint->name, NULL))
        dns_name_parse("", &endpoint->name, NULL);
    // Only an endpoint in service with a name of its own answers for its address.
    if (!record->draining && endpoint->name.size > 1)
        memcpy(endpoint->ips, record->ips, sizeof endpoint->ips);
    hold_addresses(network, endpoint);
    return endpoint;
}

static int check_ips(const struct names_ip ips[NAMES_IPS_MAX], struct err *err)
{
    for (size_t i = 0; i < NAMES_IPS_MAX; i++)
        if (ips[i].size != 0 && ips[i].size != 4 && ips[i].size != 16)
            return err_set(err, ERR_INVALID_ARGUMENT, "an address of %u bytes", ips[i].size);
    return 0;
}

int names_record_put(struct names *names, const char *network_id, const struct names_record *record,
                     struct err *err)
{
    struct network *network = map_get_str(&names->networks, network_id);
    if (!network)
        return err_set(err, ERR_NOT_FOUND, "network %s not found", network_id);
    if (str_empty(record->endpoint))
        return err_set(err, ERR_INVALID_ARGUMENT, "a record without endpoint ID");
    if (record->aliases_count > NAMES_ALIASES_MAX ||
        record->service_aliases_count > NAMES_ALIASES_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "endpoint %s has more than %u aliases",
                       record->endpoint, NAMES_ALIASES_MAX);
    int rc = check_ips(record->ips, err);
    if (rc == 0)
        rc = check_ips(record->vips, err);
    if (rc)
        return rc;
    if (!map_has_str(&network->endpoints, record->endpoint) &&
        map_count(&network->endpoints) >= NAMES_RECORDS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "network %s has more than %u endpoints",
                       network_id, NAMES_RECORDS_MAX);
    // The new one first: what both claim is never taken away in between.
    struct endpoint *endpoint = endpoint_new(network, record);
    struct endpoint *old = map_put_str(&network->endpoints, record->endpoint, endpoint);
    if (old)
        endpoint_free(network, old);
    return 0;
}

bool names_record_remove(struct names *names, const char *network_id, const char *endpoint_id)
{
    struct network *network = map_get_str(&names->networks, network_id);
    struct endpoint *endpoint = network ? map_remove_str(&network->endpoints, endpoint_id) : NULL;
    if (!endpoint)
        return false;
    endpoint_free(network, endpoint);
    return true;
}

size_t names_record_count(const struct names *names, const char *network_id)
{
    const struct network *network = map_get_str(&names->networks, network_id);
    return network ? map_count(&network->endpoints) : 0;
}

// ---- networks and sandboxes -------------------------------------------------------------------

struct names *names_new(uint64_t seed)
{
    struct names *names = MEM_NEW(struct names);
    map_init(&names->networks);
    map_init(&names->sandboxes);
    rand_init(&names->rand, seed);
    return names;
}

static void network_free(struct network *network)
{
    MAP_EACH (entry, &network->endpoints)
        endpoint_free(network, entry->value);
    CHECK(map_count(&network->sets) == 0);
    CHECK(map_count(&network->holders) == 0);
    map_fini(&network->endpoints);
    map_fini(&network->sets);
    map_fini(&network->holders);
    free(network);
}

void names_free(struct names *names)
{
    if (!names)
        return;
    MAP_EACH (entry, &names->sandboxes)
        free(entry->value);
    MAP_EACH (entry, &names->networks)
        network_free(entry->value);
    map_fini(&names->sandboxes);
    map_fini(&names->networks);
    free(names);
}

int names_network_put(struct names *names, const char *id, const char *name, bool internal,
                      struct err *err)
{
    struct network *network = map_get_str(&names->networks, id);
    if (!network) {
        if (map_count(&names->networks) >= NAMES_NETWORKS_MAX)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %u networks",
                           NAMES_NETWORKS_MAX);
        network = MEM_NEW(struct network);
        map_init(&network->sets);
        map_init(&network->endpoints);
        map_init(&network->holders);
        map_put_str(&names->networks, id, network);
    }
    if (dns_name_parse(name, &network->name, NULL))
        dns_name_parse("", &network->name, NULL);
    network->suffix = network->name;
    dns_name_fold(&network->suffix);
    network->internal = internal;
    return 0;
}

bool names_network_remove(struct names *names, const char *id)
{
    struct network *network = map_remove_str(&names->networks, id);
    if (!network)
        return false;
    MAP_EACH (entry, &names->sandboxes) {
        struct names_sandbox *sandbox = entry->value;
        size_t kept = 0;
        for (size_t i = 0; i < sandbox->networks_count; i++)
            if (sandbox->networks[i] != network)
                sandbox->networks[kept++] = sandbox->networks[i];
        sandbox->networks_count = kept;
    }
    network_free(network);
    return true;
}

int names_sandbox_put(struct names *names, const char *id, const char *const *networks,
                      size_t networks_count, struct err *err)
{
    if (networks_count > NAMES_SANDBOX_NETWORKS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "sandbox %s has more than %u networks", id,
                       NAMES_SANDBOX_NETWORKS_MAX);
    struct names_sandbox wanted = {.networks_count = networks_count};
    for (size_t i = 0; i < networks_count; i++) {
        wanted.networks[i] = map_get_str(&names->networks, networks[i]);
        if (!wanted.networks[i])
            return err_set(err, ERR_NOT_FOUND, "network %s not found", networks[i]);
    }
    struct names_sandbox *sandbox = map_get_str(&names->sandboxes, id);
    if (!sandbox) {
        if (map_count(&names->sandboxes) >= NAMES_SANDBOXES_MAX)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %u sandboxes",
                           NAMES_SANDBOXES_MAX);
        sandbox = MEM_NEW(struct names_sandbox);
        map_put_str(&names->sandboxes, id, sandbox);
    }
    *sandbox = wanted;
    return 0;
}

bool names_sandbox_remove(struct names *names, const char *id)
{
    struct names_sandbox *sandbox = map_remove_str(&names->sandboxes, id);
    free(sandbox);
    return sandbox != NULL;
}

const struct names_sandbox *names_sandbox_get(const struct names *names, const char *id)
{
    return map_get_str(&names->sandboxes, id);
}

bool names_sandbox_external(const struct names_sandbox *sandbox)
{
    for (size_t i = 0; i < sandbox->networks_count; i++)
        if (!sandbox->networks[i]->internal)
            return true;
    return false;
}

// ---- looking up -------------------------------------------------------------------------------

// The set that answers when the first `key_bytes` of the folded name are the name and what follows
// (if anything) is the network's. *known is set when the name exists on some network.
static struct set *find_set(const struct names_sandbox *sandbox, const struct dns_name *name,
                            size_t key_bytes, bool *known)
{
    size_t rest = name->size - key_bytes; // with the root label
    for (size_t i = 0; i < sandbox->networks_count; i++) {
        const struct network *network = sandbox->networks[i];
        if (rest > 1 && (network->suffix.size != rest ||
                         memcmp(network->suffix.wire, name->wire + key_bytes, rest) != 0))
            continue;
        struct set *set = map_get(&network->sets, name->wire, key_bytes);
        if (!set)
            continue;
        *known = true;
        if (set->families[0].count || set->families[1].count)
            return set;
    }
    return NULL;
}

bool names_lookup(struct names *names, const struct names_sandbox *sandbox,
                  const struct dns_name *asked, uint8_t ip_size, size_t max,
                  struct names_answer *out)
{
    *out = (struct names_answer){0};
    struct dns_name name = *asked;
    dns_name_fold(&name);
    uint8_t starts[DNS_NAME_BYTES / 2 + 1]; // where each label begins, the root's too
    size_t labels = 0;
    for (size_t at = 0; name.wire[at]; at += 1u + name.wire[at])
        starts[labels++] = (uint8_t)at;
    starts[labels] = (uint8_t)(name.size - 1);
    bool known = false;
    struct set *set = NULL;
    for (size_t i = labels; i > 0 && !set; i--)
        set = find_set(sandbox, &name, starts[i], &known);
    if (set) {
        struct family *family = family_of(set, ip_size);
        out->count = family->count < max ? family->count : max;
        family_shuffle(family, out->count, &names->rand);
        out->ips = family->ips;
    }
    return known;
}

bool names_reverse(const struct names_sandbox *sandbox, const struct names_ip *ip,
                   struct dns_name *out)
{
    for (size_t i = 0; i < sandbox->networks_count; i++) {
        const struct network *network = sandbox->networks[i];
        const struct list *holders = map_get(&network->holders, ip->bytes, ip->size);
        if (!holders)
            continue;
        CHECK(!list_empty(holders));
        const struct holder *first = LIST_ENTRY(holders->next, struct holder, link);
        if (dns_name_join(&first->endpoint->name, &network->name, out))
            return true;
    }
    return false;
}
