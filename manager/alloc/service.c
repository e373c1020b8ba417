#include <stdlib.h>
#include <string.h>

#include "manager/alloc/state.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

bool endpoint_needs_ingress(const Swarm__EndpointSpec *spec)
{
    for (size_t i = 0; spec && i < spec->n_ports; i++)
        if (spec->ports[i]->publish_mode == SWARM__PORT_CONFIG__PUBLISH_MODE__INGRESS)
            return true;
    return false;
}

void svc_claim(struct alloc *alloc, const struct object *object)
{
    struct arena arena;
    arena_init(&arena, OBJECT_ARENA_BYTES);
    const Swarm__Service *service = object_unpack(object, &arena);
    CHECK(service);
    struct svc *svc = svc_get(alloc, object_id(object));
    const Swarm__Endpoint *endpoint = service->endpoint;
    if (endpoint)
        ports_claim(&alloc->ports, svc, endpoint);
    for (size_t i = 0; endpoint && i < endpoint->n_virtual_ips; i++) {
        struct net *net = net_find(alloc, str_or(endpoint->virtual_ips[i]->network_id, ""));
        struct holding holding;
        if (net && hold_claim(alloc, net, endpoint->virtual_ips[i]->addr, &holding))
            holdings_add(&svc->vips, holding);
    }
    arena_fini(&arena);
}

void svc_unset(struct alloc *alloc, const char *id)
{
    queue_forget(&alloc->svc_queue, id);
    struct svc *svc = map_get_str(&alloc->svcs, id);
    if (!svc)
        return;
    holdings_release(alloc, &svc->vips);
    ports_release(&alloc->ports, svc);
    alloc->freed = true;
    map_remove_str(&alloc->svcs, id);
    free(svc->err);
    free(svc);
}

// ---- what it wants -----------------------------------------------------------------------------

// Networks of one service: what a spec may list, and the routing mesh's.
struct wanted {
    struct net **nets;
    size_t count;
};

static int want_net(const struct alloc *alloc, struct wanted *wanted, struct net *net,
                    struct err *err)
{
    if (!net->allocated)
        return net_unready(alloc, net, err);
    for (size_t i = 0; i < wanted->count; i++)
        if (wanted->nets[i] == net)
            return 0;
    if (!net->local)
        wanted->nets[wanted->count++] = net;
    return 0;
}

// The networks that need a virtual address, in the order of the endpoint. Unknown ones are skipped,
// as SwarmKit does.
static int want_nets(const struct alloc *alloc, const Swarm__ServiceSpec *spec, struct arena *arena,
                     struct wanted *wanted, struct err *err)
{
    const Swarm__TaskSpec *task = spec->task;
    bool own = task && task->n_networks > 0;
    size_t count = own ? task->n_networks : spec->n_networks;
    Swarm__NetworkAttachmentConfig *const *list = own ? task->networks : spec->networks;
    wanted->count = 0;
    wanted->nets = arena_alloc_array(arena, count + 1, sizeof(*wanted->nets));
    CHECK(wanted->nets);
    if (endpoint_needs_ingress(spec->endpoint)) {
        if (!alloc->ingress)
            return err_set(err, ERR_UNAVAILABLE, "there is no ingress network");
        int rc = want_net(alloc, wanted, alloc->ingress, err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < count; i++) {
        struct net *net = net_find(alloc, str_or(list[i]->target, ""));
        int rc = net ? want_net(alloc, wanted, net, err) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

// ---- virtual addresses -------------------------------------------------------------------------

// The address the service has on the network, taken out of its list; false when it has none.
static bool vip_keep(struct holdings *vips, const struct net *net, struct holding *out)
{
    for (size_t i = 0; i < vips->count; i++)
        if (vips->list[i].subnet->net == net) {
            *out = vips->list[i];
            vips->list[i] = vips->list[--vips->count];
            return true;
        }
    return false;
}

// Makes the addresses of the service those on the wanted networks. On error nothing changed.
static int vips_allocate(struct alloc *alloc, struct svc *svc, const struct wanted *wanted,
                         struct arena *arena, Swarm__Endpoint *endpoint, struct err *err)
{
    struct holdings fresh = {.list = NULL}; // to be given back on error
    struct holdings result = {.list = NULL};
    struct holdings before = {.list = NULL};
    for (size_t i = 0; i < svc->vips.count; i++)
        holdings_add(&before, svc->vips.list[i]);
    endpoint->virtual_ips = arena_alloc_array(arena, wanted->count, sizeof(void *));
    CHECK(endpoint->virtual_ips);
    int rc = 0;
    for (size_t i = 0; i < wanted->count && !rc; i++) {
        struct holding holding;
        const char *text;
        if (vip_keep(&before, wanted->nets[i], &holding)) {
            text = holding_text(holding, arena);
        } else {
            rc = hold_take(alloc, wanted->nets[i], NULL, arena, &holding, &text, err);
            if (rc)
                break;
            holdings_add(&fresh, holding);
        }
        holdings_add(&result, holding);
        Swarm__Endpoint__VirtualIP *vip = ARENA_NEW(arena, Swarm__Endpoint__VirtualIP);
        CHECK(vip);
        swarm__endpoint__virtual_ip__init(vip);
        vip->network_id = wanted->nets[i]->id;
        vip->addr = text;
        endpoint->virtual_ips[endpoint->n_virtual_ips++] = vip;
    }
    if (rc) {
        bool freed = alloc->freed;
        holdings_release(alloc, &fresh);
        alloc->freed = freed; // no news for the others
        free(result.list);
        free(before.list);
        return rc;
    }
    free(fresh.list);
    free(svc->vips.list);
    svc->vips = result;
    holdings_release(alloc, &before); // on networks it left
    return 0;
}

// ---- the endpoint ------------------------------------------------------------------------------

static int ports_of(struct writer *writer, struct svc *svc, const Swarm__Service *service,
                    Swarm__Endpoint *endpoint, struct err *err)
{
    void *other;
    struct err why = ERR_INIT;
    int rc =
        ports_allocate(&writer->alloc->ports, svc, service->spec->endpoint, service->endpoint,
                       txn_arena(writer->txn), &endpoint->ports, &endpoint->n_ports, &other, &why);
    if (rc && other) {
        const char *id = ((const struct svc *)other)->id;
        const struct object *object = view_get(txn_view(writer->txn), OBJECT_SERVICE, id);
        return err_set(err, why.code, "%s by service '%s' (%s) as an ingress port", why.message,
                       object ? object_name(object) : "", id);
    }
    return rc ? err_copy(err, &why) : 0;
}

static bool same_message(const void *a, const void *b)
{
    if (!a || !b)
        return a == b;
    size_t size = protobuf_c_message_get_packed_size(a);
    if (size != protobuf_c_message_get_packed_size(b))
        return false;
    uint8_t *bytes = mem_alloc(2 * size);
    protobuf_c_message_pack(a, bytes);
    protobuf_c_message_pack(b, bytes + size);
    bool same = !memcmp(bytes, bytes + size, size);
    free(bytes);
    return same;
}

static int endpoint_of(struct writer *writer, struct svc *svc, const Swarm__Service *service,
                       Swarm__Endpoint **out, struct err *err)
{
    struct arena *arena = txn_arena(writer->txn);
    Swarm__Endpoint *endpoint = ARENA_NEW(arena, Swarm__Endpoint);
    CHECK(endpoint);
    swarm__endpoint__init(endpoint);
    endpoint->spec = service->spec->endpoint;
    struct wanted wanted;
    int rc = want_nets(writer->alloc, service->spec, arena, &wanted, err);
    if (!rc)
        rc = ports_of(writer, svc, service, endpoint, err);
    if (rc)
        return rc;
    bool dnsrr =
        endpoint->spec && endpoint->spec->mode == SWARM__ENDPOINT_SPEC__RESOLUTION_MODE__DNSRR;
    if (dnsrr)
        wanted.count = 0;
    rc = vips_allocate(writer->alloc, svc, &wanted, arena, endpoint, err);
    if (rc)
        return rc;
    // One that needs neither ports nor addresses, and never did, is not written for its mode alone
    // (as in SwarmKit).
    bool nothing = endpoint->n_virtual_ips == 0 &&
                   (service->endpoint ? !endpoint->spec : endpoint->n_ports == 0);
    *out = nothing ? NULL : endpoint;
    return 0;
}

int svc_allocate(struct writer *writer, const char *id, struct err *err)
{
    struct alloc *alloc = writer->alloc;
    Swarm__Service *service = txn_edit(writer->txn, OBJECT_SERVICE, id);
    if (!service || !service->spec)
        return 0;
    struct svc *svc = svc_get(alloc, id);
    Swarm__Endpoint *endpoint;
    struct err why = ERR_INIT;
    if (endpoint_of(writer, svc, service, &endpoint, &why)) {
        free(svc->err);
        svc->err = str_dup(why.message);
        svc->ready = false;
        queue_block(&alloc->svc_queue, id, why.message);
        return ALLOC_BLOCKED;
    }
    MEM_FREE(svc->err);
    if (!svc->ready)
        alloc->served = true;
    svc->ready = true;
    if (same_message(endpoint, service->endpoint))
        return 0;
    service->endpoint = endpoint;
    return txn_update(writer->txn, OBJECT_SERVICE, service, err);
}
