#include "agent/net/local_names_io.h"

#include <string.h>
#include <unistd.h>

#include "agent/dns/sockets_io.h"
#include "agent/lb/nft_io.h"
#include "agent/net/netns_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define ALIASES_MAX    32
#define NETWORKS_MAX   32
#define RULES_BYTES    (64u << 10)
#define DNS_PORT       53
#define NAMESERVER     "nameserver"
#define SHORT_ID_BYTES 13

bool local_names_are(const struct local *local)
{
    return !str_equal(local->name, LOCAL_DEFAULT);
}

static size_t texts_of(const json_t *list, const char **out, size_t most)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(list) && count < most; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!str_empty(text))
            out[count++] = text;
    }
    return count;
}

static void record(struct dns_feed *feed, const struct local *local,
                   const struct local_endpoint *endpoint)
{
    const char *aliases[ALIASES_MAX + 1];
    char short_id[SHORT_ID_BYTES];
    size_t count = texts_of(json_object_get(endpoint->names, "Aliases"), aliases, ALIASES_MAX);
    (void)str_format(short_id, sizeof short_id, "%.12s", endpoint->container);
    aliases[count++] = short_id;
    struct names_record row = {.endpoint = endpoint->id,
                               .name = endpoint->name,
                               .aliases = aliases,
                               .aliases_count = count};
    row.ips[0].size = endpoint->ip.size;
    memcpy(row.ips[0].bytes, endpoint->ip.bytes, endpoint->ip.size);
    row.ips[1].size = endpoint->ip6.size;
    memcpy(row.ips[1].bytes, endpoint->ip6.bytes, endpoint->ip6.size);
    // A name that is none is not found, that is all.
    (void)dns_feed_record_put(feed, local->id, &row, NULL);
}

void local_names_network(struct dns_feed *feed, const struct local *local)
{
    if (!local_names_are(local) ||
        dns_feed_network_put(feed, local->id, local->name, local->internal, NULL))
        return;
    for (size_t i = 0; i < local->endpoints_count; i++)
        record(feed, local, &local->endpoints[i]);
}

void local_names_network_gone(struct dns_feed *feed, const struct local *local)
{
    (void)dns_feed_network_remove(feed, local->id);
}

void local_names_endpoint_gone(struct dns_feed *feed, const struct local *local,
                               const struct local_endpoint *endpoint)
{
    (void)dns_feed_record_remove(feed, local->id, endpoint->id);
}

// ---- in the container ---------------------------------------------------------------------------

static void add_server(struct feed_sandbox *sandbox, const char *text, bool inside)
{
    struct ipnet ip;
    if (sandbox->servers_count == RESOLVER_UPSTREAMS_MAX || !ipnet_parse(text, &ip))
        return;
    struct feed_server *server = &sandbox->servers[sandbox->servers_count++];
    memset(server, 0, sizeof *server);
    server->ip.size = ip.size;
    memcpy(server->ip.bytes, ip.bytes, ip.size);
    server->port = DNS_PORT;
    server->inside = inside;
}

static void add_host_servers(struct feed_sandbox *sandbox, const char *text)
{
    struct str_part line;
    while (text && str_split(&text, '\n', &line)) {
        char address[64];
        line = str_trim(line);
        if (line.len <= strlen(NAMESERVER) || memcmp(line.at, NAMESERVER, strlen(NAMESERVER)) != 0)
            continue;
        struct str_part word = str_trim(
            (struct str_part){line.at + strlen(NAMESERVER), line.len - strlen(NAMESERVER)});
        if (str_format(address, sizeof address, "%.*s", (int)word.len, word.at))
            add_server(sandbox, address, false);
    }
}

static int open_sockets(struct dns_feed *feed, const char *container, const char *path, bool ask,
                        struct err *err)
{
    struct dns_sockets sockets;
    struct buf rules;
    int fd = -1;
    int rc = netns_open(path, &fd, err);
    if (rc)
        return rc;
    rc = dns_sockets_open(fd, ask, &sockets, err);
    if (rc) {
        close(fd);
        return rc;
    }
    buf_init(&rules, RULES_BYTES);
    dns_redirect_text(&rules, &sockets);
    struct nft *nft = nft_open(fd, err);
    rc = nft ? nft_apply(nft, buf_cstr(&rules), err) : -(int)err->code;
    if (rc == 0)
        rc = dns_feed_sandbox_sockets(feed, container, &sockets, err);
    if (rc)
        dns_sockets_close(&sockets);
    nft_close(nft);
    buf_fini(&rules);
    close(fd);
    return rc;
}

int local_names_serve(struct dns_feed *feed, const char *container, const char *path,
                      struct local *const *locals, size_t count, const char *host_resolv,
                      struct err *err)
{
    const char *networks[NETWORKS_MAX], *servers[RESOLVER_UPSTREAMS_MAX],
        *search[RESOLVER_SEARCH_MAX];
    struct feed_sandbox sandbox = {.id = container, .networks = networks, .search = search};
    const json_t *names = NULL;
    for (size_t i = 0; i < count && sandbox.networks_count < NETWORKS_MAX; i++) {
        const struct local_endpoint *endpoint = local_find(locals[i], container);
        if (!endpoint || !local_names_are(locals[i]))
            continue;
        networks[sandbox.networks_count++] = locals[i]->id;
        names = names ? names : endpoint->names;
    }
    if (sandbox.networks_count == 0) {
        (void)dns_feed_sandbox_remove(feed, container);
        return 0;
    }
    size_t own = texts_of(json_object_get(names, "Servers"), servers, COUNT_OF(servers));
    for (size_t i = 0; i < own; i++)
        add_server(&sandbox, servers[i], true);
    if (own == 0)
        add_host_servers(&sandbox, host_resolv);
    sandbox.search_count = texts_of(json_object_get(names, "Search"), search, COUNT_OF(search));
    sandbox.ndots_set = json_is_true(json_object_get(names, "Ndots"));
    int rc = dns_feed_sandbox_put(feed, &sandbox, err);
    return rc ? rc : open_sockets(feed, container, path, own > 0, err);
}
