// Events that overtake what makes them believable: of a node that is not known yet, or rows of one
// that is not known to be on the network. Stock nodes drop them, and get them by the next exchange;
// here they wait a little. Rows that wait in vain tell that this node missed something.
#include <stdlib.h>
#include <string.h>

#include "agent/gossip/netdb_impl.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// Until a row that waits is taken as a sign, and between questions that follow from it.
#define PATIENCE_NS NS_PER_S

static void early_free(struct netdb *db, struct netdb_early *early)
{
    list_remove(&early->link);
    db->early_count--;
    free(early->node);
    free(early->network);
    free(early->bytes);
    free(early);
}

void netdb_early_put(struct netdb *db, struct mono now, const char *node, const char *network_id,
                     struct span bytes, bool synced)
{
    if (bytes.size == 0 || bytes.size > PACKET_BUDGET_BYTES)
        return; // the next exchange brings it
    if (db->early_count == NETDB_EARLY_MAX)
        early_free(db, LIST_ENTRY(db->early.next, struct netdb_early, link));
    struct netdb_early *early = MEM_NEW(struct netdb_early);
    early->came = now;
    early->node = str_dup(node);
    early->network = str_dup(network_id);
    early->bytes = mem_dup(bytes.at, bytes.size);
    early->size = bytes.size;
    early->synced = synced;
    list_push_back(&db->early, &early->link);
    db->early_count++;
    db->gossips = true; // which lets go of it in the end
}

void netdb_early_take(struct netdb *db, struct mono now, const char *node, const char *network_id)
{
    // Put aside first: taking one can bring the node onto a network, which comes here again.
    struct list taken;
    list_init(&taken);
    LIST_EACH_SAFE (link, &db->early) {
        struct netdb_early *early = LIST_ENTRY(link, struct netdb_early, link);
        if (strcmp(early->node, node) != 0 || strcmp(early->network, network_id) != 0)
            continue;
        list_remove(&early->link);
        list_push_back(&taken, &early->link);
    }
    while (!list_empty(&taken)) {
        struct netdb_early *early = LIST_ENTRY(taken.next, struct netdb_early, link);
        netdb_take(db, now, (struct span){early->bytes, early->size}, early->synced);
        early_free(db, early);
    }
}

// Asks the owner of a row that waits for what networks it is on.
static void ask_owner(struct netdb *db, struct mono now)
{
    if (mono_since(now, db->asked) < PATIENCE_NS)
        return;
    LIST_EACH (link, &db->early) {
        struct netdb_early *early = LIST_ENTRY(link, struct netdb_early, link);
        if (mono_since(now, early->came) < PATIENCE_NS)
            return; // and so are those behind it
        struct netdb_node *node = map_get_str(&db->nodes, early->node);
        if (early->asked || !node || node->state != NETDB_ACTIVE || !*early->network)
            continue;
        db->asked = now;
        early->asked = true;
        db->config.out->join(db->config.out_owner, now, &node->site);
        return;
    }
}

void netdb_early_tick(struct netdb *db, struct mono now)
{
    LIST_EACH_SAFE (link, &db->early) {
        struct netdb_early *early = LIST_ENTRY(link, struct netdb_early, link);
        if (mono_since(now, early->came) < NETDB_EARLY_NS)
            break;
        early_free(db, early);
    }
    if (!db->leaving)
        ask_owner(db, now);
}

void netdb_early_fini(struct netdb *db)
{
    LIST_EACH_SAFE (link, &db->early)
        early_free(db, LIST_ENTRY(link, struct netdb_early, link));
}
