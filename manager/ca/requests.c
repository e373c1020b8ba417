// Nodes ask for certificates: who may have one, what is written for it, and who waits for what.
#include <stdlib.h>
#include <string.h>

#include "manager/ca/inner.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/id.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"

// Go's names of gRPC codes, which are all the text that SwarmKit gives for these.
#define ERR_TEXT_INVALID  "InvalidArgument"
#define ERR_TEXT_NOTFOUND "NotFound"

void ca_answer(struct ca_request *request, const struct object *node, const struct err *err)
{
    list_remove(&request->link);
    request->commit = NULL;
    request->answered(request, node, err);
}

static void fail(struct ca_request *request, enum err_code code, const char *text)
{
    struct err err = ERR_INIT;
    err_set(&err, code, "%s", text);
    ca_answer(request, NULL, &err);
}

void ca_answer_waiting(struct ca *ca, const char *node_id, const struct object *node,
                       const struct err *err)
{
    struct list *requests = map_remove_str(&ca->waiting, node_id);
    if (!requests)
        return;
    while (!list_empty(requests)) {
        struct ca_request *request = LIST_ENTRY(requests->next, struct ca_request, link);
        if (node || err)
            ca_answer(request, node, err);
        else
            fail(request, ERR_NOT_FOUND, ERR_TEXT_NOTFOUND);
    }
    free(requests);
}

// ---- writes that somebody waits for -------------------------------------------------------------

static void commit_free(struct ca_commit *commit)
{
    free(commit->node_id);
    free(commit);
}

// A node that was counted when it joined, and then could not be written.
static void uncount(struct ca *ca, const char *node_id)
{
    struct view view = store_pin(ca->config.store);
    if (!view_get(view, OBJECT_NODE, node_id))
        absent_forget(&ca->absent, node_id);
    store_unpin(view);
}

static void committed(struct txn_done *done, const struct err *err)
{
    struct ca_commit *commit = CONTAINER_OF(done, struct ca_commit, done);
    struct ca_request *request = commit->request;
    if (err && commit->ca)
        uncount(commit->ca, commit->node_id);
    if (request && err) {
        ca_answer(request, NULL, err);
    } else if (request) {
        struct view view = store_pin(commit->ca->config.store);
        const struct object *node = view_get(view, OBJECT_NODE, commit->node_id);
        if (node)
            ca_answer(request, node, NULL);
        else
            fail(request, ERR_NOT_FOUND, ERR_TEXT_NOTFOUND);
        store_unpin(view);
    }
    commit_free(commit);
}

static void commit_for(struct ca *ca, struct txn *txn, const char *node_id,
                       struct ca_request *request)
{
    struct ca_commit *commit = MEM_NEW(struct ca_commit);
    struct err err = ERR_INIT;
    commit->done.run = committed;
    commit->ca = ca;
    commit->request = request;
    commit->node_id = str_dup(node_id);
    request->commit = commit;
    list_push_back(&ca->commits, &request->link);
    if (txn_commit(txn, &commit->done, &err)) {
        uncount(ca, node_id);
        commit_free(commit);
        ca_answer(request, NULL, &err);
    }
}

// ---- requests -----------------------------------------------------------------------------------

static void set_request(struct txn *txn, Swarm__Certificate *certificate,
                        const struct ca_issue *issue, Swarm__IssuanceStatus__State state,
                        Swarm__NodeRole role, const char *node_id)
{
    swarm__certificate__init(certificate);
    certificate->status = wire_new(&swarm__issuance_status__descriptor, txn_arena(txn));
    certificate->status->state = state;
    // The node compares: what comes back has to be what it sent, byte for byte.
    certificate->csr.data = (uint8_t *)issue->csr;
    certificate->csr.len = issue->csr_size;
    certificate->role = role;
    certificate->cn = node_id;
}

static void issue_renewal(struct ca *ca, struct txn *txn, const struct ca_issue *issue,
                          struct ca_request *request)
{
    struct err err = ERR_INIT;
    Swarm__Node *node = txn_edit(txn, OBJECT_NODE, issue->renewal_of);
    if (!node || !wire_settle(node, txn_arena(txn)))
        err_set(&err, ERR_NOT_FOUND, "node %s not found when attempting to renew certificate",
                issue->renewal_of);
    else {
        // The role that the cluster sees in the node now, whatever its certificate said.
        set_request(txn, node->certificate, issue, SWARM__ISSUANCE_STATUS__STATE__RENEW, node->role,
                    node->id);
        txn_update(txn, OBJECT_NODE, node, &err);
    }
    if (err.code != ERR_OK) {
        txn_abandon(txn);
        ca_answer(request, NULL, &err);
        return;
    }
    commit_for(ca, txn, issue->renewal_of, request);
}

static uint32_t vxlan_port(struct txn *txn)
{
    const struct object *object = view_get_by_name(txn_view(txn), OBJECT_CLUSTER, NAME_CLUSTER);
    const Swarm__Cluster *cluster = object ? object_unpack(object, txn_arena(txn)) : NULL;
    return cluster ? cluster->vxlanudpport : 0;
}

// Until the node has a session: from where it joined, so that the next leader can count it too.
static char *host_of(struct txn *txn, const char *addr)
{
    const char *colon = strrchr(addr, ':');
    char *host = arena_strdup(txn_arena(txn), addr);
    if (colon)
        host[colon - addr] = '\0';
    return host;
}

static void issue_join(struct ca *ca, struct txn *txn, const struct ca_issue *issue,
                       enum identity_role role, struct ca_request *request)
{
    struct err err = ERR_INIT;
    struct id id;
    Swarm__Node *node = wire_new(&swarm__node__descriptor, txn_arena(txn));
    Swarm__NodeRole wanted =
        role == IDENTITY_MANAGER ? SWARM__NODE_ROLE__MANAGER : SWARM__NODE_ROLE__WORKER;
    node->role = wanted;
    node->spec->desired_role = wanted;
    node->spec->membership = SWARM__NODE_SPEC__MEMBERSHIP__ACCEPTED;
    node->spec->availability = (Swarm__NodeSpec__Availability)issue->availability;
    node->vxlanudpport = vxlan_port(txn);
    node->status->addr = host_of(txn, issue->addr);
    int result = -ERR_UNKNOWN;
    for (int attempt = 0; result && attempt <= CA_ID_COLLISION_MAX; attempt++) {
        unsigned char random[ID_RANDOM_BYTES];
        rng_fill(ca->config.rng, random, sizeof random);
        id = id_from_random(random);
        node->id = id.text;
        set_request(txn, node->certificate, issue, SWARM__ISSUANCE_STATUS__STATE__PENDING, wanted,
                    node->id);
        err_clear(&err);
        result = txn_create(txn, OBJECT_NODE, node, &err);
        if (result && !str_equal(err.message, STORE_ERR_EXIST))
            break;
    }
    if (result) {
        txn_abandon(txn);
        ca_answer(request, NULL, &err);
        return;
    }
    absent_add(&ca->absent, id.text, issue->addr);
    log_info("node admitted", "node=%s role=%s addr=%s", id.text, identity_role_name(role),
             issue->addr);
    commit_for(ca, txn, id.text, request);
}

// Who may have a certificate. 0 with *role set for a join.
static int check_issue(struct ca *ca, const struct ca_issue *issue, enum identity_role *role,
                       struct err *err)
{
    struct mono now = loop_now(ca->config.loop);
    if (issue->csr_size == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, ERR_TEXT_INVALID);
    if (!ca->trust.cluster_id)
        return err_set(err, ERR_ABORTED, CA_ERR_STARTING);
    if (issue->renewal_of)
        return 0;
    if (!guesses_allow(&ca->guesses, issue->addr, now))
        return err_set(err, ERR_RESOURCE_EXHAUSTED,
                       "too many wrong join tokens from this address, try again later");
    if (trust_admits(&ca->trust, issue->token, role)) {
        if (absent_allows(&ca->absent, issue->addr))
            return 0;
        return err_set(err, ERR_RESOURCE_EXHAUSTED,
                       "%d nodes that joined from this address are down, remove some of them first",
                       ABSENT_MAX);
    }
    guesses_wrong(&ca->guesses, issue->addr, now);
    return err_set(err, ERR_INVALID_ARGUMENT, CA_ERR_TOKEN);
}

void ca_issue(struct ca *ca, const struct ca_issue *issue, struct ca_request *request)
{
    struct err err = ERR_INIT;
    enum identity_role role = IDENTITY_WORKER;
    struct txn *txn;
    MAGIC_CHECK(ca, CA_MAGIC);
    list_init(&request->link);
    request->commit = NULL;
    if (check_issue(ca, issue, &role, &err) || txn_begin(ca->config.store, wall_now(), &txn, &err))
        ca_answer(request, NULL, &err);
    else if (issue->renewal_of)
        issue_renewal(ca, txn, issue, request);
    else
        issue_join(ca, txn, issue, role, request);
}

void ca_status(struct ca *ca, const char *node_id, struct ca_request *request)
{
    MAGIC_CHECK(ca, CA_MAGIC);
    list_init(&request->link);
    request->commit = NULL;
    if (str_empty(node_id)) {
        fail(request, ERR_INVALID_ARGUMENT, ERR_TEXT_INVALID);
        return;
    }
    struct view view = store_pin(ca->config.store);
    const struct object *node = view_get(view, OBJECT_NODE, node_id);
    if (!node) {
        fail(request, ERR_NOT_FOUND, ERR_TEXT_NOTFOUND);
    } else if (signing_final(signing_state(node))) {
        ca_answer(request, node, NULL);
    } else {
        struct list *requests = map_get_str(&ca->waiting, node_id);
        if (!requests) {
            requests = MEM_NEW(struct list);
            list_init(requests);
            map_put_str(&ca->waiting, node_id, requests);
        }
        list_push_back(requests, &request->link);
    }
    store_unpin(view);
}

void ca_forget(struct ca_request *request)
{
    // The list of the node stays behind, empty, until its certificate is signed: there are no more
    // of those than nodes.
    list_remove(&request->link);
    if (request->commit)
        request->commit->request = NULL;
    request->commit = NULL;
}
