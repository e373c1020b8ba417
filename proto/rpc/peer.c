#include "proto/rpc/peer.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define KEY_CERT     "forwarded_cert"
#define KEY_CN       "forwarded_cert_cn"
#define KEY_ORG      "forwarded_cert_org"
#define KEY_OU       "forwarded_cert_ou"
#define KEY_ADDR     "remote_addr"
#define KEY_REDIRECT "redirect"

// One row per role: its bit and the OU that gives it.
static const struct {
    unsigned bit;
    enum identity_role role;
} role_rows[] = {
    {ROLE_WORKER, IDENTITY_WORKER},
    {ROLE_MANAGER, IDENTITY_MANAGER},
};

static unsigned role_of_unit(const char *unit)
{
    for (size_t i = 0; i < COUNT_OF(role_rows); i++)
        if (strcmp(unit, identity_role_name(role_rows[i].role)) == 0)
            return role_rows[i].bit;
    return 0;
}

static unsigned roles_of_peer(const struct peer *peer)
{
    unsigned roles = 0;
    for (size_t i = 0; i < peer->identity.units_count; i++)
        roles |= role_of_unit(peer->identity.units[i]);
    return roles;
}

static unsigned roles_of_forwarded(const struct metadata *metadata)
{
    unsigned roles = 0;
    const struct metadata_entry *unit;
    for (size_t i = 0; (unit = metadata_at(metadata, KEY_OU, i)); i++)
        roles |= role_of_unit(unit->value);
    return roles;
}

// "[swarm-worker swarm-manager]", as Go prints a list.
static const char *roles_text(unsigned roles, char *out, size_t size)
{
    const char *blank = "";
    out[0] = 0;
    size_t used = 0;
    for (size_t i = 0; i < COUNT_OF(role_rows); i++) {
        if (!(roles & role_rows[i].bit))
            continue;
        bool fits = str_format(out + used, size - used, "%s%s", blank,
                               identity_role_name(role_rows[i].role));
        CHECK(fits);
        used += strlen(out + used);
        blank = " ";
    }
    return out;
}

// Go's text of a status error inside another one.
#define INNER "rpc error: code = PermissionDenied desc = "

// The connection's own certificate against roles, cluster and removed nodes, in this order.
static int authorize_direct(const struct peer *peer, unsigned roles, const char *what,
                            const struct authority *authority, struct err *err)
{
    char names[64];
    if (!peer->authenticated)
        return err_set(err, ERR_PERMISSION_DENIED,
                       "Permission denied: unauthorized %s role: " INNER
                       "no client certificates in request",
                       what);
    const struct identity *identity = &peer->identity;
    if (!(roles_of_peer(peer) & roles))
        return err_set(err, ERR_PERMISSION_DENIED,
                       "Permission denied: unauthorized %s role: " INNER
                       "Permission denied: remote certificate not part of OUs: [%s]",
                       what, roles_text(roles, names, sizeof names));
    if (authority->removed && authority->removed(authority->ctx, identity->node_id))
        return err_set(err, ERR_PERMISSION_DENIED,
                       "Permission denied: unauthorized %s role: " INNER
                       "Permission denied: node %s was removed from swarm",
                       what, identity->node_id);
    if (str_empty(authority->cluster_id) ||
        strcmp(identity->cluster_id, authority->cluster_id) != 0)
        return err_set(err, ERR_PERMISSION_DENIED,
                       "Permission denied: unauthorized %s role: " INNER
                       "Permission denied: remote certificate not part of organization: %s",
                       what, str_or(authority->cluster_id, ""));
    return 0;
}

// SwarmKit takes a request for forwarded when the key has exactly one value, "true". Any other use
// of the key is either an attack or a mistake, and never makes a caller of a forwarder.
static bool is_forwarded(const struct metadata *metadata)
{
    return metadata_values(metadata, KEY_CERT) > 0;
}

static int authorize_forwarded(const struct peer *peer, const struct metadata *metadata,
                               unsigned roles, const struct authority *authority,
                               struct caller *caller, struct err *err)
{
    int result = authorize_direct(peer, ROLE_MANAGER, "forwarder", authority, err);
    if (result < 0)
        return result;
    const char *cn = metadata_get(metadata, KEY_CN);
    const char *org = metadata_get(metadata, KEY_ORG);
    bool one = metadata_values(metadata, KEY_CERT) == 1 && metadata_values(metadata, KEY_CN) == 1 &&
               metadata_values(metadata, KEY_ORG) == 1;
    if (!one || strcmp(metadata_get(metadata, KEY_CERT), "true") != 0 || str_empty(cn) ||
        str_empty(org) || metadata_values(metadata, KEY_OU) == 0)
        return err_set(err, ERR_PERMISSION_DENIED,
                       "Permission denied: missing information in forwarded request");
    unsigned forwarded = roles_of_forwarded(metadata);
    char names[64];
    if (roles != ROLE_ANYONE && !(forwarded & roles))
        return err_set(err, ERR_PERMISSION_DENIED,
                       "Permission denied: unauthorized forwarded role, expecting: [%s]",
                       roles_text(roles, names, sizeof names));
    if (strcmp(org, authority->cluster_id) != 0)
        return err_set(err, ERR_PERMISSION_DENIED,
                       "Permission denied: organization mismatch, expecting: %s",
                       authority->cluster_id);
    caller->node_id = cn;
    caller->org = org;
    caller->roles = forwarded;
    caller->addr = str_or(metadata_get(metadata, KEY_ADDR), "");
    caller->forwarded_by = peer->identity.node_id;
    return 0;
}

// What is known of the connection's other end, without asking whether it may.
static void fill_direct(const struct peer *peer, struct caller *caller)
{
    caller->node_id = peer->identity.node_id;
    caller->org = peer->identity.cluster_id;
    caller->roles = roles_of_peer(peer);
}

int caller_resolve(const struct peer *peer, const struct metadata *metadata, unsigned roles,
                   const struct authority *authority, struct caller *caller, struct err *err)
{
    *caller = (struct caller){.node_id = "", .org = "", .addr = peer->addr, .local = peer->local};
    if (peer->local)
        return 0;
    if (roles == ROLE_ANYONE) {
        if (is_forwarded(metadata)) {
            struct caller forwarded = *caller;
            // A forwarder that is none, or a node without certificate: nobody in particular. But
            // the address counts when a manager says it.
            if (authorize_forwarded(peer, metadata, roles, authority, &forwarded, NULL) == 0)
                *caller = forwarded;
            else if (authorize_direct(peer, ROLE_MANAGER, "forwarder", authority, NULL) == 0)
                caller->addr = str_or(metadata_get(metadata, KEY_ADDR), "");
        } else if (peer->authenticated && authorize_direct(peer, ROLE_WORKER | ROLE_MANAGER, "peer",
                                                           authority, NULL) == 0) {
            fill_direct(peer, caller);
        }
        return 0;
    }
    if (is_forwarded(metadata))
        return authorize_forwarded(peer, metadata, roles, authority, caller, err);
    int result = authorize_direct(peer, roles, "peer", authority, err);
    if (result == 0)
        fill_direct(peer, caller);
    return result;
}

static bool never_passed_on(const char *key)
{
    static const char *const keys[] = {KEY_CERT, KEY_CN, KEY_ORG, KEY_OU, KEY_ADDR, KEY_REDIRECT};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return metadata_key_reserved(key, strlen(key));
}

int caller_forward(const struct peer *peer, const struct metadata *in, struct metadata *out,
                   struct err *err)
{
    // Stock managers since 23.0 lose `redirect` on the way, so forwarded_cert from a manager says
    // it too. A worker that sends either is not a hop: what it says is overwritten.
    bool manager = peer->authenticated && (roles_of_peer(peer) & ROLE_MANAGER);
    if (metadata_values(in, KEY_REDIRECT) > 0 || (manager && metadata_values(in, KEY_CERT) > 0))
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than one redirect to leader from: [%s]",
                       str_or(metadata_get(in, KEY_REDIRECT), peer->addr));
    bool ok = true;
    for (size_t i = 0; i < in->count; i++) {
        const struct metadata_entry *entry = &in->entries[i];
        if (!never_passed_on(entry->key))
            ok = ok && metadata_add_bytes(out, entry->key, entry->value, entry->size);
    }
    if (!peer->local) {
        const struct identity *identity = &peer->identity;
        bool known = peer->authenticated;
        ok = ok && metadata_add(out, KEY_CERT, "true");
        ok = ok && metadata_add(out, KEY_CN, known ? identity->node_id : "");
        ok = ok && metadata_add(out, KEY_ORG, known ? identity->cluster_id : "");
        for (size_t i = 0; known && i < identity->units_count; i++)
            ok = ok && metadata_add(out, KEY_OU, identity->units[i]);
        ok = ok && metadata_add(out, KEY_ADDR, peer->addr);
    }
    ok = ok && metadata_add(out, KEY_REDIRECT, peer->local ? "local" : peer->addr);
    if (!ok)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "too much metadata to forward");
    return 0;
}
