#include "cmd/skep/flag_values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/hostname.h"
#include "proto/base/str.h"

#define DOMAIN_BYTES_MAX 254

static const char *refuse(struct err *err, const char *before, const char *text, const char *after)
{
    err_set(err, ERR_INVALID_ARGUMENT, "%s%s%s", before, text, after);
    return NULL;
}

static const char *trimmed(const char *text, struct arena *arena)
{
    struct str_part part = str_trim((struct str_part){text, strlen(text)});
    return arena_strndup(arena, part.at, part.len);
}

bool flag_is_ip(const char *text, struct arena *arena)
{
    unsigned char ip[16];
    const char *plain = trimmed(text, arena);
    return inet_pton(AF_INET, plain, ip) == 1 || inet_pton(AF_INET6, plain, ip) == 1;
}

const char *flag_extra_host(const char *text, struct arena *arena, struct err *err)
{
    // Addresses of IPv6 have colons too: an equals sign counts more, else the first colon.
    const char *separator = strchr(text, '=');
    if (!separator)
        separator = strchr(text, ':');
    if (!separator || separator == text || memchr(text, ':', (size_t)(separator - text)))
        return refuse(err, "bad format for add-host: \"", text, "\"");
    const char *name = arena_strndup(arena, text, (size_t)(separator - text));
    const char *ip = separator + 1;
    size_t length = strlen(ip);
    if (length > 2 && ip[0] == '[' && ip[length - 1] == ']')
        ip = arena_strndup(arena, ip + 1, length - 2);
    if (!str_equal(ip, "host-gateway") && !flag_is_ip(ip, arena))
        return refuse(err, "invalid IP address in add-host: \"", ip, "\"");
    return arena_printf(arena, "%s:%s", name, ip);
}

const char *flag_domain(const char *text, struct arena *arena, struct err *err)
{
    const char *plain = trimmed(text, arena);
    if (str_equal(plain, "."))
        return plain;
    size_t length = strlen(plain);
    if (length && plain[length - 1] == '.')
        plain = arena_strndup(arena, plain, --length);
    bool letters = false, fits = length > 0 && length <= DOMAIN_BYTES_MAX;
    struct str_part part;
    for (const char *rest = plain; fits && str_split(&rest, '.', &part);)
        fits = hostname_label_ok(part);
    for (size_t i = 0; i < length; i++)
        letters = letters || isalpha((unsigned char)plain[i]);
    return fits && letters ? plain : refuse(err, "", text, " is not a valid domain");
}

const char *flag_cidr(const char *text, struct arena *arena, struct err *err)
{
    unsigned char ip[16];
    const char *plain = trimmed(text, arena), *slash = strchr(plain, '/');
    int64_t bits;
    if (slash) {
        const char *address = arena_strndup(arena, plain, (size_t)(slash - plain));
        bool four = inet_pton(AF_INET, address, ip) == 1;
        if ((four || inet_pton(AF_INET6, address, ip) == 1) &&
            str_to_i64(slash + 1, 0, four ? 32 : 128, &bits))
            return plain;
    }
    return refuse(err, "invalid string being converted to CIDR: ", text, "");
}

const char *flag_sysctl(const char *text, struct arena *arena, struct err *err)
{
    static const char *const names[] = {
        "kernel.msgmax=", "kernel.msgmnb=", "kernel.msgmni=", "kernel.sem=",
        "kernel.shmall=", "kernel.shmmax=", "kernel.shmmni=", "kernel.shm_rmid_forced="};
    bool fits = strchr(text, '=') && (str_starts(text, "net.") || str_starts(text, "fs.mqueue."));
    for (size_t i = 0; i < COUNT_OF(names); i++)
        fits = fits || str_starts(text, names[i]);
    return fits ? arena_strdup(arena, text) : refuse(err, "sysctl '", text, "' is not allowed");
}

// Digits or a star, and what follows them; NULL for neither.
static const char *past_number(const char *at)
{
    size_t digits = strspn(at, "0123456789");
    return digits ? at + digits : *at == '*' ? at + 1 : NULL;
}

const char *flag_device_rule(const char *text, struct arena *arena, struct err *err)
{
    const char *at = *text && strchr("abc", *text) && text[1] == ' ' ? past_number(text + 2) : NULL;
    at = at && *at == ':' ? past_number(at + 1) : NULL;
    if (at && *at == ' ') {
        size_t modes = strlen(at + 1);
        if (modes >= 1 && modes <= 3 && strspn(at + 1, "rwm") == modes)
            return arena_strdup(arena, text);
    }
    return refuse(err, "invalid device cgroup format '", text, "'");
}
