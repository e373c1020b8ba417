#include "agent/net/guard.h"

#include "proto/base/check.h"
#include "proto/base/str.h"

#define VNI_MAX 0xffffff

struct nftable *guard_table(const struct guard *guard)
{
    static const char *const counters[] = {"foreign", "clear", "forged", "passing"};
    unsigned port = guard->port ? guard->port : GUARD_PORT;
    char key[NFTABLE_KEY_BYTES];
    struct nftable *table = nftable_new("ip", GUARD_TABLE);
    for (size_t i = 0; i < COUNT_OF(counters); i++)
        nftable_collection(table, "counter", counters[i], "");
    nftable_collection(table, "set", "members", "type ipv4_addr;");
    nftable_collection(table, "set", "nobody", "type uid;");
    // 96 bits behind the start of the UDP header lies the VNI.
    nftable_collection(table, "set", "sealed", "typeof @th,96,24;");

    // Before the host's connection tracking is asked. What is not for this host goes on its way.
    nftable_chain(table, "pre", "type filter hook prerouting priority -310");
    nftable_rule(table, "udp dport %u ip saddr @members notrack accept", port);
    nftable_rule(table, "udp dport %u fib daddr type != unicast counter name foreign drop", port);
    // Only a whole datagram has its VNI for sure: fragments are put together by then.
    nftable_chain(table, "in", "type filter hook input priority -310");
    nftable_rule(
        table, "udp dport %u @th,96,24 @sealed meta secpath missing counter name clear drop", port);
    // Only a packet that has a socket of this namespace has its user. One that is written down is
    // looked up, a number too, by all that nsswitch.conf names (LDAP, say): so it is none of none.
    nftable_chain(table, "to_member", NULL);
    nftable_rule(table, "meta skuid != @nobody counter name forged drop");
    nftable_rule(table, "notrack");
    nftable_chain(table, "out", "type filter hook output priority -310");
    nftable_rule(table, "udp dport %u ip daddr @members goto to_member", port);
    nftable_chain(table, "forward", "type filter hook forward priority -310");
    nftable_rule(table, "udp dport %u ip daddr @members counter name passing drop", port);
    nftable_chain(table, "seal", "type route hook output priority -150");
    nftable_rule(table, "udp dport %u @th,96,24 @sealed meta mark set 0x%x", port, GUARD_MARK);

    for (size_t i = 0; i < guard->members_count; i++) {
        uint32_t address = guard->members[i];
        (void)str_format(key, sizeof key, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
                         address >> 8 & 255, address & 255);
        nftable_element(table, "members", key, NULL);
    }
    for (size_t i = 0; i < guard->sealed_count; i++) {
        CHECK(guard->sealed[i] <= VNI_MAX);
        (void)str_format(key, sizeof key, "%u", guard->sealed[i]);
        nftable_element(table, "sealed", key, NULL);
    }
    return table;
}
