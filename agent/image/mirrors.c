#include "agent/image/mirrors.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define ADDRESS_BYTES_MAX 16

// ---- mirrors -----------------------------------------------------------------------------------

// What stands behind the scheme, without slashes at its end. False: no http or https.
static bool location_of(const char *url, struct str_part *out, bool *plain)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        if (!str_starts(url, schemes[i]))
            continue;
        *plain = i == 0;
        out->at = url + strlen(schemes[i]);
        out->len = strlen(out->at);
        while (out->len && out->at[out->len - 1] == '/')
            out->len--;
        return true;
    }
    return false;
}

static int check_url(const char *url, struct err *err)
{
    struct str_part location;
    bool plain;
    if (strlen(url) > MIRRORS_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid mirror: longer than %d characters",
                       MIRRORS_BYTES_MAX);
    if (strchr(url, '@')) // its text may hold a password: it is not shown
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid mirror: username/password not allowed in URI");
    if (!location_of(url, &location, &plain))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid mirror: unsupported scheme in \"%s\"",
                       url);
    if (strpbrk(url, "?#"))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid mirror: query or fragment at end of the URI \"%s\"", url);
    bool good = location.len && location.at[0] != '/';
    for (size_t i = 0; i < location.len; i++)
        good = good && (isalnum((unsigned char)location.at[i]) ||
                        (location.at[i] && strchr(".:/-_[]", location.at[i])));
    if (!good)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid mirror: \"%s\" is not a valid URI", url);
    return 0;
}

int mirrors_check(const struct mirrors *mirrors, struct err *err)
{
    int rc = 0;
    if (mirrors->urls_count > MIRRORS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d registry mirrors", MIRRORS_MAX);
    for (size_t i = 0; i < mirrors->urls_count && !rc; i++)
        rc = check_url(mirrors->urls[i], err);
    return rc;
}

static void put_part(struct buf *out, struct str_part part)
{
    buf_put(out, part.at, part.len);
}

void mirrors_conf(const struct mirrors *mirrors, struct buf *out)
{
    buf_printf(out, "[[registry]]\nprefix = \"%s\"\nlocation = \"%s\"\ninsecure = %s\n",
               MIRRORS_DOMAIN, MIRRORS_DOMAIN,
               mirrors_insecure(mirrors, MIRRORS_DOMAIN) ? "true" : "false");
    for (size_t i = 0; i < mirrors->urls_count; i++) {
        struct str_part location;
        bool plain;
        char domain[MIRRORS_BYTES_MAX + 1];
        CHECK(location_of(mirrors->urls[i], &location, &plain));
        str_format(domain, sizeof domain, "%.*s", (int)location.len, location.at);
        domain[strcspn(domain, "/")] = '\0';
        buf_put_str(out, "[[registry.mirror]]\nlocation = \"");
        put_part(out, location);
        buf_printf(out, "\"\ninsecure = %s\n",
                   plain || mirrors_insecure(mirrors, domain) ? "true" : "false");
    }
}

// ---- without verified TLS ----------------------------------------------------------------------

// The bytes of an address; 0: it is none.
static size_t address_of(const char *text, uint8_t out[ADDRESS_BYTES_MAX])
{
    return inet_pton(AF_INET, text, out) == 1 ? 4 : inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

// "10.1.2.3:5000" or "[::1]:5000" in "10.0.0.0/8".
static bool in_network(const char *domain, const char *network)
{
    char host[64], base[64];
    uint8_t address[ADDRESS_BYTES_MAX], first[ADDRESS_BYTES_MAX];
    uint64_t bits;
    const char *slash = strchr(network, '/');
    bool bracket = *domain == '[';
    size_t length = strcspn(domain + bracket, bracket ? "]" : ":");
    if (!slash || !str_to_u64(slash + 1, 128, &bits) ||
        !str_format(base, sizeof base, "%.*s", (int)(slash - network), network) ||
        !str_format(host, sizeof host, "%.*s", (int)length, domain + bracket))
        return false;
    size_t size = address_of(host, address);
    if (!size || address_of(base, first) != size || bits > 8 * size)
        return false;
    for (size_t bit = 0; bit < bits; bit++)
        if ((address[bit / 8] ^ first[bit / 8]) & (0x80u >> (bit % 8)))
            return false;
    return true;
}

bool mirrors_insecure(const struct mirrors *mirrors, const char *domain)
{
    // As docker has it: this machine's own registries need no certificates.
    if (str_equal(domain, "localhost") || str_starts(domain, "localhost:") ||
        str_starts(domain, "127.") || str_starts(domain, "[::1]"))
        return true;
    for (size_t i = 0; i < mirrors->insecure_count; i++)
        if (str_equal(mirrors->insecure[i], domain) || in_network(domain, mirrors->insecure[i]))
            return true;
    return false;
}
