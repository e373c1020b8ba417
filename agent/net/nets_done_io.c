// What came of a job: each place's result goes into the networks and sandboxes it was for, and what
// could not be done is tried again.
#include "agent/net/nets_priv_io.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

static void retry_later(struct nets *nets)
{
    if (!loop_timer_running(&nets->retry))
        loop_timer_start(&nets->retry, NETS_RETRY_MS);
}

static const struct err *net_error(const struct nets_job *job, const struct box *box)
{
    for (size_t i = 0; i < job->count; i++) {
        const struct job_place *place = &job->places[i];
        bool on = place->kind == JOB_HOST && ipnet_is_set(&box->gateway);
        for (size_t k = 0; k < box->order->networks_count && place->kind == JOB_NET; k++)
            on |= strcmp(box->order->networks[k].overlay.id, place->key) == 0;
        if (on && place->err.code)
            return &place->err;
    }
    return NULL;
}

static void done_box_removed(struct box *box, const struct job_place *place)
{
    struct nets *nets = box->nets;
    nets_done *tell = box->tell_done;
    void *owner = box->done_owner;
    const struct err *failed = place->err.code ? &place->err : NULL;
    if (failed)
        log_warn("cannot remove sandbox", "container=%s err=\"%s\"", box->id, failed->message);
    if (failed && !tell && !box->tell_made) { // nobody waits: try again
        box->again = true;
        retry_later(nets);
        return;
    }
    struct err err = box->err;
    nets_made *made = box->tell_made;
    void *made_owner = box->tell_owner;
    bool ingress = strcmp(box->id, NETS_INGRESS_BOX) == 0;
    nets_box_free(box);
    if (ingress)
        nets_ingress_gone(nets);
    if (made)
        made(made_owner, NULL, &err);
    if (tell)
        tell(owner, failed);
}

// What an adopted sandbox balanced tells which services there were: those without a task now go on
// refusing connections.
static void take_over(struct nets *nets, struct box *box)
{
    const struct ruleset *rules = &box->rules;
    uint32_t *vips = mem_alloc_array(rules->vips_count + 1, sizeof *vips);
    box->read = true;
    for (size_t i = 0; i < box->order->networks_count; i++) {
        struct net *net = nets_net(nets, box->order->networks[i].overlay.id);
        size_t count = 0;
        for (size_t k = 0; k < rules->vips_count && !net->overlay.ingress; k++) {
            struct ipnet vip = ipnet_of_u32(rules->vips[k].vip, 32);
            if (overlay_subnet_of(&net->overlay, &vip))
                vips[count++] = rules->vips[k].vip;
        }
        lost_had(net->lost, vips, count);
        net->stale = true;
    }
    free(vips);
    box->dirty = box->asked = true; // until now it was only read
}

static void done_box(struct nets *nets, struct nets_job *job, struct job_place *place)
{
    struct box *box = nets_box(nets, place->key);
    CHECK(box);
    if (place->remove) {
        done_box_removed(box, place);
        return;
    }
    box->nft = place->nft;
    box->rules = place->rules;
    box->rules_known = place->rules_known;
    place->nft = NULL;
    ruleset_init(&place->rules);
    if (box->adopted && !box->read && box->rules_known)
        take_over(nets, box);
    if (place->sockets.answer_udp >= 0 && nets->feed) {
        struct err err = ERR_INIT;
        nets_feed_box(nets, box);
        box->names = dns_feed_sandbox_sockets(nets->feed, box->id, &place->sockets, &err) == 0;
        if (!box->names)
            log_warn("names are not answered", "container=%s err=\"%s\"", box->id, err.message);
    }
    if (box->state == BOX_REMOVING)
        return; // it was told to go meanwhile, and is dirty
    const struct err *why = net_error(job, box);
    // A sandbox whose network is only half there is not made.
    if (!place->err.code && !(why && (box->state == BOX_MAKING || box->tell_made))) {
        if (box->state == BOX_MAKING) {
            box->state = BOX_MADE;
            nets_tell_box(box, "connect");
            for (size_t i = 0; i < box->order->networks_count; i++)
                nets_net(nets, box->order->networks[i].overlay.id)->stale = true;
        }
        if (ipnet_is_set(&box->gateway) && nets->ports)
            ports_bridge(nets->ports, GATEWAY_BRIDGE);
        nets_box_tell(box, NULL);
        return;
    }
    if (box->state == BOX_MAKING) {
        nets_box_end(box, why ? why : &place->err);
        return;
    }
    log_warn("sandbox is not as it should be", "container=%s err=\"%s\"", box->id,
             place->err.code ? place->err.message : why->message);
    nets_box_tell(box, why ? why : &place->err);
    box->again = true;
    retry_later(nets);
}

static void done_net(struct nets *nets, struct job_place *place)
{
    struct net *net = nets_net(nets, place->key);
    CHECK(net);
    if (place->err.code) {
        log_warn("network is not as it should be", "network=%s err=\"%s\"", net->overlay.name,
                 place->err.message);
        net->again = true;
        retry_later(nets);
    } else if (place->remove && !net->boxes) {
        net->made = false;
        if (!ipnet_is_set(&net->lb))
            nets_net_free(nets, net);
        else
            net->stale = true;
    } else {
        net->made = !place->remove;
        net->dirty |= place->remove;
        net->again |= place->again;
        if (place->again)
            retry_later(nets);
    }
}

static void done_place(struct nets *nets, struct nets_job *job, struct job_place *place)
{
    nets->counts.steps += place->steps;
    nets->counts.flows_cut += place->flows_cut;
    nets->counts.failures += place->err.code != ERR_OK;
    if (place->drift && !place->remove && place->kind != JOB_STRAY) {
        nets->counts.repairs += place->steps;
        if (place->steps)
            nets_checkup_drift(nets, place);
        if (place->steps)
            log_warn("repaired what somebody had changed", "steps=%zu place=%s", place->steps,
                     place->path[0] ? place->path : "host");
    }
    switch (place->kind) {
    case JOB_HOST:
        if (place->err.code) {
            log_warn("gateway bridge is not as it should be", "err=\"%s\"", place->err.message);
            nets->host_again = true;
            retry_later(nets);
        } else if (nets->ports && !nets->gateway_needed) {
            ports_bridge_gone(nets->ports, GATEWAY_BRIDGE);
        }
        break;
    case JOB_NET:
        done_net(nets, place);
        break;
    case JOB_BOX:
        done_box(nets, job, place);
        break;
    case JOB_STRAY: {
        struct stray *stray = map_get_str(&nets->strays, place->key);
        if (place->err.code)
            log_warn("cannot remove what an earlier life left", "err=\"%s\"", place->err.message);
        if (!stray)
            break;
        gateway_give(&nets->gateway, &stray->gateway);
        bool was_last = stray->sandbox;
        nets_stray_forget(nets, place->key);
        if (was_last) {
            nets->host_dirty = true;
            nets_ports_known(nets);
            MAP_EACH (entry, &nets->nets)
                ((struct net *)entry->value)->dirty = true;
        }
        break;
    }
    }
}

void nets_job_done(struct nets *nets, struct nets_job *job)
{
    MAGIC_CHECK(nets, NETS_MAGIC);
    nets->job = NULL;
    nets->counts.jobs++;
    // Sandboxes look at what came of their networks, so they come first.
    for (size_t i = 0; i < job->count; i++)
        if (job->places[i].kind == JOB_BOX)
            done_place(nets, job, &job->places[i]);
    for (size_t i = 0; i < job->count; i++)
        if (job->places[i].kind != JOB_BOX)
            done_place(nets, job, &job->places[i]);
    nets_job_free(job);
    if (nets->closed)
        nets_finish(nets);
    else
        nets_kick(nets);
}
