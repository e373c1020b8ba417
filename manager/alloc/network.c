#include <stdlib.h>
#include <string.h>

#include "manager/alloc/state.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// Subnets a network may have; a spec comes from outside.
#define NET_SUBNETS_MAX 64

// Tells stock's IPAM to hand addresses out in order, which ours does anyhow.
#define IPAM_SERIAL_OPTION "com.docker.network.ipam.serial"

static const char *driver_name(const Swarm__NetworkSpec *spec)
{
    const Swarm__Driver *driver = spec ? spec->driver_config : NULL;
    return driver ? str_or(driver->name, "overlay") : "overlay";
}

bool alloc_driver_is_local(const char *driver)
{
    static const char *const local[] = {"bridge", "host", "ipvlan", "macvlan"};
    for (size_t i = 0; i < COUNT_OF(local); i++)
        if (str_equal(driver, local[i]))
            return true;
    return false;
}

bool alloc_is_ingress(const Swarm__NetworkSpec *spec)
{
    if (!spec)
        return false;
    if (spec->ingress)
        return true;
    const Swarm__Annotations *annotations = spec->annotations;
    if (!annotations || !str_equal(annotations->name, "ingress"))
        return false;
    for (size_t i = 0; i < annotations->n_labels; i++)
        if (str_equal(annotations->labels[i]->key, "com.docker.swarm.internal"))
            return true;
    return false;
}

static const char *network_name(const Swarm__Network *network)
{
    const Swarm__Annotations *annotations = network->spec ? network->spec->annotations : NULL;
    return annotations ? str_or(annotations->name, network->id) : network->id;
}

// ---- what is stored ----------------------------------------------------------------------------

static void subnet_fini(struct subnet *subnet)
{
    CHECK(map_count(&subnet->shared) == 0);
    ipam_fini(&subnet->ipam);
    map_fini(&subnet->shared);
}

static void subnets_free(struct alloc *alloc, struct net *net)
{
    CHECK(net->held == 0);
    for (size_t i = 0; i < net->subnets_count; i++)
        subnet_fini(&net->subnets[i]);
    MEM_FREE(net->subnets);
    net->subnets_count = 0;
    for (size_t i = 0; i < net->vnis_count; i++)
        vnis_release(&alloc->vnis, net->vnis[i]);
    MEM_FREE(net->vnis);
    net->vnis_count = 0;
}

void net_release(struct alloc *alloc, struct net *net)
{
    if (net->exists || net->held > 0)
        return;
    subnets_free(alloc, net);
    map_remove_str(&alloc->nets, net->id);
    swarm__network__free_unpacked(net->message, NULL);
    free(net->name);
    free(net);
    alloc->freed = true;
}

static void claim_text(struct ipam *ipam, const char *text)
{
    struct prefix address;
    uint64_t offset;
    if (!str_empty(text) && prefix_parse_address(text, &address))
        ipam_claim(ipam, &address, &offset);
}

// Adds a subnet with its gateway and reserved addresses held.
static struct subnet *subnet_add(struct net *net, const struct prefix *network,
                                 const struct prefix *range, const Swarm__IPAMConfig *config)
{
    CHECK(net->subnets_count < NET_SUBNETS_MAX);
    CHECK(net->held == 0); // holdings point into the array
    net->subnets = mem_realloc(net->subnets, (net->subnets_count + 1) * sizeof(*net->subnets));
    struct subnet *subnet = &net->subnets[net->subnets_count++];
    subnet->net = net;
    map_init(&subnet->shared);
    ipam_init(&subnet->ipam, network, range);
    if (config) {
        claim_text(&subnet->ipam, config->gateway);
        for (size_t i = 0; i < config->n_reserved; i++)
            claim_text(&subnet->ipam, config->reserved[i]->value);
    }
    return subnet;
}

static bool range_of(const Swarm__IPAMConfig *config, const struct prefix *network,
                     struct prefix *range)
{
    return !str_empty(config->range) && prefix_parse(config->range, range) &&
           prefix_contains(network, range) && range->bits >= network->bits;
}

static const char *driver_option(const Swarm__Driver *driver, const char *key)
{
    for (size_t i = 0; driver && i < driver->n_options; i++)
        if (str_equal(driver->options[i]->key, key))
            return driver->options[i]->value;
    return NULL;
}

static void vni_add(struct net *net, uint32_t id)
{
    net->vnis = mem_realloc(net->vnis, (net->vnis_count + 1) * sizeof(*net->vnis));
    net->vnis[net->vnis_count++] = id;
}

static void claim_vnis(struct alloc *alloc, struct net *net, const char *list)
{
    struct str_part part;
    while (str_split(&list, ',', &part)) {
        char text[16];
        uint64_t id;
        part = str_trim(part);
        if (part.len >= sizeof(text))
            continue;
        str_format(text, sizeof(text), "%.*s", (int)part.len, part.at);
        if (str_to_u64(text, VNI_MAX, &id) && !vnis_claim(&alloc->vnis, (uint32_t)id, net)) {
            vni_add(net, (uint32_t)id);
            if (id >= VNI_MIN && (alloc->vnis.cursor == VNI_MAX || id > alloc->vnis.cursor))
                alloc->vnis.cursor = (uint32_t)id;
        }
    }
}

// Claims the pools and ids of a stored, allocated network.
static void net_claim(struct alloc *alloc, struct net *net)
{
    const Swarm__IPAMOptions *ipam = net->message->ipam;
    for (size_t i = 0; ipam && i < ipam->n_configs && i < NET_SUBNETS_MAX; i++) {
        struct prefix network;
        struct prefix range;
        if (!prefix_parse(ipam->configs[i]->subnet, &network))
            continue;
        network = prefix_network(network);
        bool narrowed = range_of(ipam->configs[i], &network, &range);
        subnet_add(net, &network, narrowed ? &range : NULL, ipam->configs[i]);
    }
    claim_vnis(alloc, net, driver_option(net->message->driver_state, VNI_OPTION));
}

void net_set(struct alloc *alloc, const struct object *object)
{
    size_t size;
    const uint8_t *bytes = object_bytes(object, &size);
    Swarm__Network *message = swarm__network__unpack(NULL, size, bytes);
    CHECK(message);
    struct net *net = net_get(alloc, object_id(object));
    net->exists = true;
    free(net->name);
    net->name = str_dup(network_name(message));
    net->ingress = alloc_is_ingress(message->spec);
    if (net->ingress)
        alloc->ingress = net;
    if (!message->driver_state) {
        swarm__network__free_unpacked(message, NULL);
        queue_want(&alloc->net_queue, net->id);
        return;
    }
    swarm__network__free_unpacked(net->message, NULL);
    net->message = message;
    net->local = alloc_driver_is_local(message->driver_state->name);
    if (!net->allocated && !net->local)
        net_claim(alloc, net);
    net->allocated = true;
    queue_forget(&alloc->net_queue, net->id);
}

int net_unready(const struct alloc *alloc, const struct net *net, struct err *err)
{
    const char *reason = map_get_str(&alloc->net_queue.blocked, net->id);
    return err_set(err, ERR_UNAVAILABLE, "network %s is not allocated%s%s", net->name,
                   reason ? ": " : "", reason ? reason : "");
}

void net_unset(struct alloc *alloc, const char *id)
{
    struct net *net = map_get_str(&alloc->nets, id);
    if (!net)
        return;
    net->exists = false;
    if (alloc->ingress == net)
        alloc->ingress = NULL;
    queue_forget(&alloc->net_queue, id);
    MAP_EACH (entry, &alloc->nods)
        queue_want(&alloc->nod_queue, ((struct nod *)entry->value)->id);
    net_release(alloc, net);
}

// ---- allocating --------------------------------------------------------------------------------

// Reads one config of a spec. *network has bytes 0 when the subnet is left to us.
static int config_parse(const Swarm__IPAMConfig *config, struct prefix *network,
                        struct prefix *range, bool *narrowed, struct err *err)
{
    struct prefix gateway;
    *network = (struct prefix){.bytes = 0};
    *narrowed = false;
    if (str_empty(config->subnet))
        return 0;
    if (!prefix_parse(config->subnet, network))
        return err_set(err, ERR_INVALID_ARGUMENT, "ipam configuration: invalid subnet %s",
                       config->subnet);
    *network = prefix_network(*network);
    *narrowed = range_of(config, network, range);
    if (!*narrowed && !str_empty(config->range))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "ipam configuration: range %s is not in subnet %s", config->range,
                       config->subnet);
    if (!str_empty(config->gateway) &&
        (!prefix_parse_address(config->gateway, &gateway) || !prefix_contains(network, &gateway)))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "ipam configuration: gateway %s is not in subnet %s", config->gateway,
                       config->subnet);
    return 0;
}

// One pool of the network: its subnet, gateway and, for IPv4, VXLAN id.
static int net_add_pool(struct alloc *alloc, struct net *net, const Swarm__IPAMConfig *config,
                        Swarm__IPAMConfig *out, struct arena *arena, struct err *err)
{
    struct prefix network;
    struct prefix range;
    bool narrowed;
    int rc = config_parse(config, &network, &range, &narrowed, err);
    if (rc)
        return rc;
    if (network.bytes == 0 && !pools_choose(alloc, net->ingress, &network))
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "no subnet is left in the default pools");
    const struct subnet *met = pools_overlap(alloc, &network);
    if (met)
        return pools_overlap_error(&network, &met->ipam.subnet, met->net->name, err);
    struct subnet *subnet = subnet_add(net, &network, narrowed ? &range : NULL, config);
    char text[PREFIX_TEXT_BYTES];
    *out = *config;
    out->subnet = arena_strdup(arena, prefix_format(&network, text));
    out->family = network.bytes == 4 ? SWARM__IPAMCONFIG__ADDRESS_FAMILY__IPV4
                                     : SWARM__IPAMCONFIG__ADDRESS_FAMILY__IPV6;
    if (str_empty(config->gateway)) {
        uint64_t offset;
        if (!ipam_take(&subnet->ipam, &offset))
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "subnet %s has no room for a gateway",
                           out->subnet);
        struct prefix gateway = prefix_at(&network, offset);
        out->gateway = arena_strdup(arena, prefix_format_address(&gateway, text));
    }
    return 0;
}

static int net_add_vnis(struct alloc *alloc, struct net *net, const char *given, struct err *err)
{
    struct str_part part;
    while (str_split(&given, ',', &part)) {
        char text[16];
        uint64_t id;
        part = str_trim(part);
        if (part.len >= sizeof(text) ||
            !str_format(text, sizeof(text), "%.*s", (int)part.len, part.at) ||
            !str_to_u64(text, VNI_MAX, &id))
            return err_set(err, ERR_INVALID_ARGUMENT, "'%.*s' is no VXLAN id", (int)part.len,
                           part.at);
        const struct net *other = vnis_claim(&alloc->vnis, (uint32_t)id, net);
        if (other)
            return err_set(err, ERR_FAILED_PRECONDITION, "VXLAN id %u is used by network %s",
                           (unsigned)id, other->name);
        vni_add(net, (uint32_t)id);
    }
    size_t wanted = 0;
    for (size_t i = 0; i < net->subnets_count; i++)
        wanted += net->subnets[i].ipam.subnet.bytes == 4;
    while (net->vnis_count < wanted) {
        uint32_t id;
        if (!vnis_take(&alloc->vnis, net, &id))
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "no VXLAN id is left");
        vni_add(net, id);
    }
    return 0;
}

static Swarm__Driver *driver_new(const char *name, struct arena *arena)
{
    Swarm__Driver *driver = ARENA_NEW(arena, Swarm__Driver);
    CHECK(driver);
    swarm__driver__init(driver);
    driver->name = arena_strdup(arena, name);
    return driver;
}

// The spec's driver options, with the list of VXLAN ids.
static Swarm__Driver *driver_state(const struct net *net, const Swarm__Driver *config,
                                   struct arena *arena)
{
    Swarm__Driver *state = driver_new("overlay", arena);
    size_t given = config ? config->n_options : 0;
    state->options = arena_alloc_array(arena, given + 1, sizeof(*state->options));
    Swarm__Driver__OptionsEntry *ids = ARENA_NEW(arena, Swarm__Driver__OptionsEntry);
    CHECK(state->options && ids);
    for (size_t i = 0; i < given; i++)
        if (!str_equal(config->options[i]->key, VNI_OPTION))
            state->options[state->n_options++] = config->options[i];
    struct buf list;
    buf_init(&list, 4096);
    for (size_t i = 0; i < net->vnis_count; i++)
        buf_printf(&list, "%s%u", i ? "," : "", net->vnis[i]);
    swarm__driver__options_entry__init(ids);
    ids->key = VNI_OPTION;
    ids->value = arena_strdup(arena, buf_cstr(&list));
    buf_fini(&list);
    state->options[state->n_options++] = ids;
    return state;
}

// The IPAM driver as stock stores it: options of the user's come with one of its own.
static Swarm__Driver *ipam_driver(const Swarm__Driver *wanted, struct arena *arena)
{
    Swarm__Driver *driver = driver_new(wanted ? str_or(wanted->name, "default") : "default", arena);
    if (!wanted || wanted->n_options == 0)
        return driver;
    driver->options = arena_alloc_array(arena, wanted->n_options + 1, sizeof(*driver->options));
    Swarm__Driver__OptionsEntry *serial = ARENA_NEW(arena, Swarm__Driver__OptionsEntry);
    CHECK(driver->options && serial);
    for (size_t i = 0; i < wanted->n_options; i++)
        if (!str_equal(wanted->options[i]->key, IPAM_SERIAL_OPTION))
            driver->options[driver->n_options++] = wanted->options[i];
    swarm__driver__options_entry__init(serial);
    serial->key = IPAM_SERIAL_OPTION;
    serial->value = "true";
    driver->options[driver->n_options++] = serial;
    return driver;
}

static int net_fill(struct alloc *alloc, struct net *net, Swarm__Network *network,
                    struct arena *arena, struct err *err)
{
    static const Swarm__IPAMConfig unset = SWARM__IPAMCONFIG__INIT;
    const Swarm__NetworkSpec *spec = network->spec;
    const Swarm__IPAMOptions *wanted = spec ? spec->ipam : NULL;
    size_t count = wanted && wanted->n_configs ? wanted->n_configs : 1;
    if (count > NET_SUBNETS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "a network has at most %d subnets",
                       NET_SUBNETS_MAX);
    Swarm__IPAMOptions *ipam = ARENA_NEW(arena, Swarm__IPAMOptions);
    CHECK(ipam);
    swarm__ipamoptions__init(ipam);
    ipam->driver = ipam_driver(wanted ? wanted->driver : NULL, arena);
    ipam->n_configs = count;
    ipam->configs = arena_alloc_array(arena, count, sizeof(*ipam->configs));
    for (size_t i = 0; i < count; i++) {
        ipam->configs[i] = ARENA_NEW(arena, Swarm__IPAMConfig);
        CHECK(ipam->configs[i]);
        int rc = net_add_pool(alloc, net, wanted && wanted->n_configs ? wanted->configs[i] : &unset,
                              ipam->configs[i], arena, err);
        if (rc)
            return rc;
        // Stock managers fill in the spec's as well, and clients read it there.
        if (wanted && wanted->n_configs && !str_empty(wanted->configs[i]->subnet))
            wanted->configs[i]->gateway = ipam->configs[i]->gateway;
    }
    const Swarm__Driver *config = spec ? spec->driver_config : NULL;
    int rc = net_add_vnis(alloc, net, driver_option(config, VNI_OPTION), err);
    if (rc)
        return rc;
    network->ipam = ipam;
    network->driver_state = driver_state(net, config, arena);
    return 0;
}

static void net_fill_local(Swarm__Network *network, const char *driver, struct arena *arena)
{
    network->driver_state = driver_new(driver, arena);
    network->ipam = ARENA_NEW(arena, Swarm__IPAMOptions);
    CHECK(network->ipam);
    swarm__ipamoptions__init(network->ipam);
    // Present though empty: stock agents look inside without asking.
    network->ipam->driver = driver_new("", arena);
}

int net_allocate(struct writer *writer, const char *id, struct err *err)
{
    struct alloc *alloc = writer->alloc;
    Swarm__Network *network = txn_edit(writer->txn, OBJECT_NETWORK, id);
    struct net *net = net_find(alloc, id);
    if (!network || !net || network->driver_state || net->allocated)
        return 0;
    struct arena *arena = txn_arena(writer->txn);
    const char *driver = driver_name(network->spec);
    struct err why = ERR_INIT;
    int rc = 0;
    if (alloc_driver_is_local(driver))
        net_fill_local(network, driver, arena);
    else if (!str_equal(driver, "overlay"))
        rc = err_set(&why, ERR_UNIMPLEMENTED, "network driver %s is not supported", driver);
    else
        rc = net_fill(alloc, net, network, arena, &why);
    if (rc) {
        subnets_free(alloc, net);
        queue_block(&alloc->net_queue, id, why.message);
        return ALLOC_BLOCKED;
    }
    net->allocated = true;
    net->local = alloc_driver_is_local(driver);
    rc = txn_update(writer->txn, OBJECT_NETWORK, network, err);
    if (rc)
        return rc;
    size_t size;
    const uint8_t *bytes = object_bytes(view_get(txn_view(writer->txn), OBJECT_NETWORK, id), &size);
    swarm__network__free_unpacked(net->message, NULL);
    net->message = swarm__network__unpack(NULL, size, bytes);
    CHECK(net->message);
    alloc->freed = true; // services and tasks may wait for it
    queue_forget(&alloc->net_queue, id);
    if (net->ingress)
        MAP_EACH (entry, &alloc->nods)
            queue_want(&alloc->nod_queue, ((const struct nod *)entry->value)->id);
    return 0;
}

// ---- for the Control API -----------------------------------------------------------------------

// The subnets of a stored network: as allocated, else as its spec asks.
static int check_against(const struct object *object, const struct prefix *network, struct err *err)
{
    struct arena arena;
    arena_init(&arena, OBJECT_ARENA_BYTES);
    const Swarm__Network *other = object_unpack(object, &arena);
    CHECK(other);
    const Swarm__IPAMOptions *ipam = other->ipam;
    if (!ipam && other->spec && !alloc_driver_is_local(driver_name(other->spec)))
        ipam = other->spec->ipam;
    int rc = 0;
    for (size_t i = 0; ipam && i < ipam->n_configs && !rc; i++) {
        struct prefix met;
        if (prefix_parse(ipam->configs[i]->subnet, &met) && prefix_overlaps(&met, network)) {
            met = prefix_network(met);
            rc = pools_overlap_error(network, &met, network_name(other), err);
        }
    }
    arena_fini(&arena);
    return rc;
}

// True when the two lists "1,2" have an id in common, which *id then is.
static bool vnis_meet(const char *a, const char *b, uint64_t *id)
{
    struct str_part part, other;
    char text[16];
    while (str_split(&a, ',', &part)) {
        part = str_trim(part);
        str_format(text, sizeof text, "%.*s", (int)part.len, part.at);
        for (const char *rest = b; str_split(&rest, ',', &other);)
            if (str_part_is(str_trim(other), text) && str_to_u64(text, VNI_MAX, id))
                return true;
    }
    return false;
}

// The VXLAN ids a spec asks for must be ids, and nobody else's.
static int check_vnis(struct view view, const Swarm__NetworkSpec *spec, struct err *err)
{
    const char *wanted = driver_option(spec->driver_config, VNI_OPTION);
    struct str_part part;
    char text[16];
    uint64_t id;
    int rc = 0;
    for (const char *rest = wanted; rest && str_split(&rest, ',', &part);) {
        part = str_trim(part);
        if (part.len >= sizeof text ||
            !str_format(text, sizeof text, "%.*s", (int)part.len, part.at) ||
            !str_to_u64(text, VNI_MAX, &id))
            return err_set(err, ERR_INVALID_ARGUMENT, "'%.*s' is no VXLAN id",
                           (int)(part.len < 100 ? part.len : 100), part.at);
    }
    if (str_empty(wanted))
        return 0;
    VIEW_EACH (object, view, OBJECT_NETWORK, BY_ALL) {
        struct arena arena;
        arena_init(&arena, OBJECT_ARENA_BYTES);
        const Swarm__Network *other = object_unpack(object, &arena);
        const char *has = other ? driver_option(other->driver_state, VNI_OPTION) : NULL;
        if (has && vnis_meet(wanted, has, &id))
            rc = err_set(err, ERR_FAILED_PRECONDITION, "VXLAN id %u is used by network %s",
                         (unsigned)id, network_name(other));
        arena_fini(&arena);
        if (rc)
            break;
    }
    return rc;
}

int alloc_check_network(struct view view, const Swarm__NetworkSpec *spec, struct err *err)
{
    if (!spec || alloc_driver_is_local(driver_name(spec)))
        return 0;
    if (check_vnis(view, spec, err))
        return -(int)err->code;
    if (!spec->ipam)
        return 0;
    if (spec->ipam->n_configs > NET_SUBNETS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "a network has at most %d subnets",
                       NET_SUBNETS_MAX);
    struct prefix mine[NET_SUBNETS_MAX];
    for (size_t i = 0; i < spec->ipam->n_configs; i++) {
        struct prefix range;
        bool narrowed;
        int rc = config_parse(spec->ipam->configs[i], &mine[i], &range, &narrowed, err);
        if (rc)
            return rc;
        for (size_t k = 0; k < i && mine[i].bytes; k++)
            if (mine[k].bytes && prefix_overlaps(&mine[k], &mine[i]))
                return pools_overlap_error(
                    &mine[i], &mine[k],
                    spec->annotations ? str_or(spec->annotations->name, "") : "", err);
        VIEW_EACH (object, view, OBJECT_NETWORK, BY_ALL) {
            rc = mine[i].bytes ? check_against(object, &mine[i], err) : 0;
            if (rc)
                return rc;
        }
    }
    return 0;
}
