#include "agent/net/hits.h"

#include "proto/base/check.h"
#include "proto/base/str.h"

static const char *const sets[] = {HITS_OPENED, HITS_CAME, HITS_WENT, HITS_RESETS};

// Where packets bear the published port, and as what. In and out of the host, and on their way
// through, each passes one of the chains once.
static const struct {
    const char *name;
    const char *hook; // before the port is exchanged, or after that was undone
    const char *direction;
    const char *port;
    const char *set;
} ways[] = {
    {"came_in", "prerouting priority -150", "original", "dport", HITS_CAME},
    {"came_out", "output priority -150", "original", "dport", HITS_CAME},
    {"went_in", "input priority 150", "reply", "sport", HITS_WENT},
    {"went_out", "postrouting priority 150", "reply", "sport", HITS_WENT},
};

void hits_sets(struct nftable *table)
{
    for (size_t i = 0; i < COUNT_OF(sets); i++)
        nftable_collection(table, "set", sets[i], "type inet_proto . inet_service; counter;");
}

// Packets that were not led anywhere pass one look at their connection.
void hits_chains(struct nftable *table)
{
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        char text[NFTABLE_KEY_BYTES];
        CHECK(str_format(text, sizeof text, "%s_led", ways[i].name));
        nftable_chain(table, text, NULL);
        nftable_rule(table, "meta l4proto . th %s @%s", ways[i].port, ways[i].set);
        nftable_rule(table, "tcp flags & rst == rst meta l4proto . th %s @" HITS_RESETS,
                     ways[i].port);
        CHECK(str_format(text, sizeof text, "type filter hook %s", ways[i].hook));
        nftable_chain(table, ways[i].name, text);
        nftable_rule(table, "ct status dnat ct direction %s goto %s_led", ways[i].direction,
                     ways[i].name);
    }
}

void hits_first(struct nftable *table)
{
    nftable_rule(table, "fib daddr type local meta l4proto . th dport @" HITS_OPENED
                        " meta l4proto . th dport @" HITS_CAME);
}

void hits_element(struct nftable *table, const char *key)
{
    for (size_t i = 0; i < COUNT_OF(sets); i++)
        nftable_element(table, sets[i], key, NULL);
}
