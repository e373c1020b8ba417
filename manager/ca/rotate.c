#include "manager/ca/rotate.h"

#include <stdlib.h>
#include <string.h>

#include "manager/ca/bootstrap.h"
#include "manager/ca/signing.h"
#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/identity/x509.h"
#include "proto/wire/names.h"
#include "proto/wire/raw.h"
#include "proto/wire/wire.h"

static char *text_of(ProtobufCBinaryData data, struct arena *arena)
{
    return arena_strndup(arena, data.len > 0 ? (const char *)data.data : "", data.len);
}

// ---- the way ------------------------------------------------------------------------------------

// Field numbers of Node, NodeDescription and NodeTLSInfo.
enum { NODE_DESCRIPTION = 4, DESCRIPTION_TLS = 5, TLS_SUBJECT = 2, TLS_KEY = 3 };

static bool holds(struct cursor message, uint32_t number, const struct buf *wanted)
{
    struct raw field;
    return raw_find(message.at, cursor_left(&message), number, &field) &&
           field.size == wanted->len && memcmp(field.bytes, wanted->data, wanted->len) == 0;
}

static bool reports(const struct object *node, const struct x509_issuer *issuer)
{
    size_t size;
    const uint8_t *bytes = object_bytes(node, &size);
    struct cursor description = raw_inside(bytes, size, NODE_DESCRIPTION);
    struct cursor tls = raw_inside(description.at, cursor_left(&description), DESCRIPTION_TLS);
    return holds(tls, TLS_SUBJECT, &issuer->subject) && holds(tls, TLS_KEY, &issuer->public_key);
}

int rotate_plan(struct view view, const char *root_pem, struct rotate_plan *plan, struct err *err)
{
    struct x509_issuer issuer;
    *plan = (struct rotate_plan){.behind = 0};
    // A root is its own issuer.
    if (x509_issuer(root_pem, root_pem, &issuer, err))
        return -(int)err->code;
    VIEW_EACH (node, view, OBJECT_NODE, BY_ALL) {
        if (reports(node, &issuer))
            continue;
        int state = signing_state(node);
        bool moving = state == SWARM__ISSUANCE_STATUS__STATE__RENEW ||
                      state == SWARM__ISSUANCE_STATUS__STATE__PENDING ||
                      state == SWARM__ISSUANCE_STATUS__STATE__ROTATE;
        plan->behind++;
        if (!moving && plan->nodes_count < ROTATE_BATCH_MAX)
            plan->nodes[plan->nodes_count++] = node;
    }
    x509_issuer_fini(&issuer);
    return 0;
}

// ---- the end ------------------------------------------------------------------------------------

void rotate_finish(Swarm__Cluster *cluster, const struct rng *rng, struct arena *arena)
{
    const Swarm__RootRotation *rotation = cluster->root_ca->root_rotation;
    CHECK(rotation);
    const char *cert = text_of(rotation->ca_cert, arena);
    const char *key = rotation->ca_key.len > 0 ? text_of(rotation->ca_key, arena) : NULL;
    cluster->root_ca->root_rotation = NULL;
    bootstrap_set_root(cluster, cert, key, rng, arena);
}

static int ask(struct txn *txn, const struct object *object, struct err *err)
{
    Swarm__Node *node = txn_edit(txn, OBJECT_NODE, object_id(object));
    if (!node || !wire_settle(node, txn_arena(txn)))
        return 0;
    node->certificate->status->state = SWARM__ISSUANCE_STATUS__STATE__ROTATE;
    node->certificate->status->err = "";
    return txn_update(txn, OBJECT_NODE, node, err);
}

// What the round writes.
static int write_round(struct txn *txn, Swarm__Cluster *cluster, const struct rotate_plan *plan,
                       const struct rng *rng, struct err *err)
{
    int result = 0;
    if (plan->behind == 0) {
        log_info("root rotation is complete", "cluster=%s", cluster->id);
        rotate_finish(cluster, rng, txn_arena(txn));
        return txn_update(txn, OBJECT_CLUSTER, cluster, err);
    }
    for (size_t i = 0; i < plan->nodes_count && result == 0; i++)
        result = ask(txn, plan->nodes[i], err);
    return result;
}

int rotate_round(struct store *store, const struct rng *rng, struct wall now, struct err *err)
{
    struct txn *txn;
    struct rotate_plan plan;
    int result = txn_begin(store, now, &txn, err);
    if (result)
        return result;
    // Planned on what is committed: the objects live while the transaction writes theirs.
    struct view view = store_pin(store);
    const struct object *object = view_get_by_name(txn_view(txn), OBJECT_CLUSTER, NAME_CLUSTER);
    Swarm__Cluster *cluster = object ? txn_edit(txn, OBJECT_CLUSTER, object_id(object)) : NULL;
    if (cluster && cluster->root_ca && cluster->root_ca->root_rotation) {
        const char *root = text_of(cluster->root_ca->root_rotation->ca_cert, txn_arena(txn));
        result = rotate_plan(view, root, &plan, err);
        if (result == 0)
            result = write_round(txn, cluster, &plan, rng, err);
    }
    store_unpin(view);
    if (result) {
        txn_abandon(txn);
        return result;
    }
    result = txn_commit(txn, NULL, err);
    return result < 0 ? result : 0;
}
