// Networks that a crate is connected to and disconnected from while it is there.
#include <stdlib.h>

#include "agent/crate/crate_net_priv_io.h"
#include "agent/net/locals_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// A change of networks that is to be answered; the crate may be gone by then.
struct change {
    struct crates *crates;
    char id[CONTAINER_ID_BYTES];
    char *network;
    struct loop_later later;
    struct err err;
    crate_done *done;
    void *owner;
};

static struct crate *change_crate(const struct change *change)
{
    return map_get_str(&change->crates->by_id, change->id);
}

static void change_end(struct change *change)
{
    change->crates->pending--;
    change->done(change->owner, change->err.code ? &change->err : NULL);
    free(change->network);
    free(change);
}

static void change_run(struct loop_later *later)
{
    change_end(CONTAINER_OF(later, struct change, later));
}

static struct change *change_new(struct crate *crate, const char *network, crate_done *done,
                                 void *owner)
{
    struct change *change = MEM_NEW(struct change);
    change->crates = crate->crates;
    str_copy(change->id, sizeof change->id, crate->id);
    change->network = str_dup(network);
    change->done = done;
    change->owner = owner;
    loop_later_init(&change->later, crate->crates->loop, change_run);
    crate->crates->pending++;
    return change;
}

static int check_mode(const struct crate *crate, struct err *err)
{
    const char *mode = crate_network(crate);
    if (crate->task)
        return err_set(err, ERR_UNIMPLEMENTED, "container %s belongs to a task of the swarm",
                       crate->name);
    if (str_equal(mode, "host") || str_equal(mode, "none") || str_starts(mode, "container:"))
        return err_set(err, ERR_PERMISSION_DENIED,
                       "container %s has network mode %s and cannot be on other networks",
                       crate->name, mode);
    return 0;
}

static bool may_share(const struct crate *crate)
{
    return crate->crates->attachments && attachments_swarm(crate->crates->attachments);
}

// Local networks came or went: those of the swarm have to know.
static int share_again(const struct crate *crate, struct err *err)
{
    return crate_net_is_shared(crate) ? crate_net_share(crate, err) : 0;
}

// The lines of its hosts file for a network that it has just got, or is about to lose.
static void tell_hosts(const struct crate *crate, const char *network, bool there)
{
    const struct local_endpoint *endpoint;
    struct attachment_view view;
    if (!crate_running(crate))
        return;
    (void)crate_local(crate, network, &endpoint);
    if (endpoint) {
        crate_hosts_change(crate, &endpoint->ip, there);
        crate_hosts_change(crate, &endpoint->ip6, there);
    } else if (crate_attachment(crate, network, &view)) {
        crate_hosts_change(crate, &view.ip, there);
    }
}

// Whether names are answered inside, which the first network that has names brings, and the last
// takes along.
static void tell_resolv(const struct crate *crate)
{
    if (crate_running(crate))
        crate_resolv_change(crate, crate_net_is_shared(crate) ||
                                       locals_answers(crate->crates->locals, crate->id));
}

static void connected(void *owner, const struct err *err)
{
    struct change *change = owner;
    struct crate *crate = change_crate(change);
    if (err)
        change->err = *err;
    if (crate && !err)
        crate_save(crate, &change->err);
    if (crate && change->err.code) {
        json_object_del(crate->endpoints, change->network);
        if (!crate_net_is_shared(crate))
            locals_share(crate->crates->locals, crate->id, false, false);
    } else if (crate) {
        tell_hosts(crate, change->network, true);
        tell_resolv(crate);
    }
    change_end(change);
}

// True when the attachment's end will answer.
static bool connect_shared(struct crate *crate, struct change *change)
{
    struct crate_life *life = crate->life;
    struct attachment_wish wish;
    if (!crate_running(crate)) {
        crate_save(crate, &change->err);
        return false;
    }
    if (crate_net_share(crate, &change->err) ||
        crate_net_wish(crate, change->network, &life->made, &wish, &change->err))
        return false;
    attachments_attach(crate->crates->attachments, &wish, connected, change);
    return true;
}

static int connect_local(struct crate *crate, const char *network, struct err *err)
{
    char path[LAYOUT_PLACE_BYTES];
    int rc = crate_running(crate) ? crate_net_join_one(crate, network, NULL, 0, path, err) : 0;
    if (rc == 0)
        rc = share_again(crate, err);
    if (rc == 0)
        rc = crate_save(crate, err);
    if (rc == 0) {
        tell_hosts(crate, network, true);
        tell_resolv(crate);
    }
    return rc;
}

// Whether it is there, or will be with the next start.
static bool is_on(const struct crate *crate, const char *network)
{
    const struct local_endpoint *endpoint;
    struct attachment_view view;
    (void)crate_local(crate, network, &endpoint);
    if (endpoint || crate_attachment(crate, network, &view))
        return true;
    return json_object_get(crate->endpoints, network) &&
           !(str_equal(network, crate_network(crate)) && crate_running(crate));
}

void crate_connect(struct crate *crate, const char *network, const json_t *settings,
                   crate_done *done, void *owner)
{
    struct change *change = change_new(crate, network, done, owner);
    const char *networks[CRATE_NETWORKS_MAX];
    const struct local *local =
        crate->crates->locals ? locals_find(crate->crates->locals, network) : NULL;
    const char *name = local ? local->name : network;
    struct err why = ERR_INIT;
    if (check_mode(crate, &why) == 0 && !local && !may_share(crate))
        err_set(&why, ERR_NOT_FOUND, "network %s not found", network);
    if (!why.code && is_on(crate, name))
        err_set(&why, ERR_PERMISSION_DENIED, "endpoint with name %s already exists in network %s",
                crate->name, name);
    if (!why.code && crate_net_names(crate, networks) >= CRATE_NETWORKS_MAX)
        err_set(&why, ERR_RESOURCE_EXHAUSTED, "more than %d networks", CRATE_NETWORKS_MAX);
    if (!why.code) {
        json_object_set_new(crate->endpoints, name,
                            json_is_object(settings) ? json_deep_copy(settings) : json_object());
        if (!local && connect_shared(crate, change))
            return;
        if (local)
            (void)connect_local(crate, name, &why);
        else
            why = change->err;
        if (why.code)
            json_object_del(crate->endpoints, name);
    }
    change->err = why;
    loop_later_ask(&change->later);
}

static void disconnected(void *owner)
{
    struct change *change = owner;
    const struct crate *crate = change_crate(change);
    if (crate && crate_running(crate) && !crate_net_is_shared(crate))
        locals_share(crate->crates->locals, crate->id, false, false);
    if (crate)
        tell_resolv(crate);
    change_end(change);
}

// Its own name for a network, which may be asked for by another.
static const char *own_name(const struct crate *crate, const char *network)
{
    struct attachment_view view;
    const struct local *local =
        crate->crates->locals ? locals_find(crate->crates->locals, network) : NULL;
    if (local)
        return local->name;
    return crate_attachment(crate, network, &view) ? view.network : network;
}

void crate_disconnect(struct crate *crate, const char *network, crate_done *done, void *owner)
{
    struct change *change = change_new(crate, network, done, owner);
    struct attachment_view view;
    const char *name = own_name(crate, network);
    bool local = crate->crates->locals && crate_net_is_local(crate, name);
    if (check_mode(crate, &change->err) == 0 && !local && !may_share(crate))
        err_set(&change->err, ERR_NOT_FOUND, "network %s not found", network);
    else if (!change->err.code && !is_on(crate, name))
        err_set(&change->err, ERR_INTERNAL, "container %s is not connected to network %s",
                crate->id, name);
    if (change->err.code) {
        loop_later_ask(&change->later);
        return;
    }
    bool attached = !local && crate_attachment(crate, name, &view);
    tell_hosts(crate, name, false);
    if (attached)
        attachments_detach(crate->crates->attachments, crate->id, name, disconnected, change);
    if (local)
        locals_detach(crate->crates->locals, crate->id, name);
    if (!str_equal(name, crate_network(crate)))
        json_object_del(crate->endpoints, name);
    if (local) {
        share_again(crate, &change->err);
        tell_resolv(crate);
    }
    crate_save(crate, &change->err);
    if (!attached)
        loop_later_ask(&change->later);
}
