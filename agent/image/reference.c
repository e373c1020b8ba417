#include "agent/image/reference.h"

#include <ctype.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/hostname.h"
#include "proto/base/str.h"

#define DEFAULT_DOMAIN "docker.io"
#define OFFICIAL       "library/"
#define DIGEST_HEX     64
#define ID_CHARS_MIN   4

static bool is_hex(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!isdigit((unsigned char)text[i]) && !(text[i] >= 'a' && text[i] <= 'f'))
            return false;
    return true;
}

bool digest_valid(const char *text)
{
    return text && str_starts(text, "sha256:") && strlen(text) == 7 + DIGEST_HEX &&
           is_hex(text + 7, DIGEST_HEX);
}

bool image_id_like(const char *text)
{
    bool full = str_starts(text, "sha256:");
    const char *hex = full ? text + 7 : text;
    size_t size = strlen(hex);
    return size >= ID_CHARS_MIN && size <= DIGEST_HEX && is_hex(hex, size);
}

static bool lower_or_digit(char c)
{
    return isdigit((unsigned char)c) || (c >= 'a' && c <= 'z');
}

// One piece of a path: [a-z0-9]+ joined by '.', '_', '__' or any number of '-'.
static bool component_ok(struct str_part part)
{
    size_t i = 0;
    while (i < part.len) {
        if (!lower_or_digit(part.at[i]))
            return false;
        while (i < part.len && lower_or_digit(part.at[i]))
            i++;
        if (i == part.len)
            return true;
        if (part.at[i] == '-') {
            while (i < part.len && part.at[i] == '-')
                i++;
        } else if (part.at[i] == '.') {
            i++;
        } else if (part.at[i] == '_') {
            i += part.len - i > 1 && part.at[i + 1] == '_' ? 2 : 1;
        } else {
            return false;
        }
    }
    return false;
}

static bool path_ok(const char *path)
{
    struct str_part part;
    while (str_split(&path, '/', &part))
        if (!component_ok(part))
            return false;
    return true;
}

static bool domain_ok(const char *domain)
{
    char host[REFERENCE_NAME_MAX + 1];
    str_copy(host, sizeof host, domain);
    char *port;
    if (host[0] == '[') {
        char *close = strchr(host, ']');
        if (!close || strspn(host + 1, "0123456789abcdefABCDEF:") != (size_t)(close - host - 1))
            return false;
        if (close[1] && close[1] != ':')
            return false;
        port = close[1] ? close + 1 : NULL;
    } else {
        port = strchr(host, ':');
        if (port)
            *port = '\0';
        const char *rest = host;
        struct str_part part;
        while (str_split(&rest, '.', &part))
            if (!hostname_label_ok(part))
                return false;
    }
    uint64_t number;
    return !port || str_to_u64(port + 1, 65535, &number);
}

static bool tag_ok(const char *tag)
{
    if (!isalnum((unsigned char)*tag) && *tag != '_')
        return false;
    for (; *tag; tag++)
        if (!isalnum((unsigned char)*tag) && !strchr("_.-", *tag))
            return false;
    return true;
}

static int bad(struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "invalid reference format");
}

// Whether what stands before the first '/' is a registry and no part of the path.
static bool is_domain(const char *text, size_t size)
{
    bool upper = false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '.' || text[i] == ':')
            return true;
        upper |= isupper((unsigned char)text[i]) != 0;
    }
    return upper || (size == 9 && memcmp(text, "localhost", 9) == 0);
}

static int take_name(const char *name, struct reference *out, struct err *err)
{
    const char *slash = strchr(name, '/');
    if (slash && is_domain(name, (size_t)(slash - name))) {
        memcpy(out->domain, name, (size_t)(slash - name));
        name = slash + 1;
        if (str_equal(out->domain, "index.docker.io"))
            str_copy(out->domain, sizeof out->domain, DEFAULT_DOMAIN);
    } else {
        str_copy(out->domain, sizeof out->domain, DEFAULT_DOMAIN);
    }
    bool official = str_equal(out->domain, DEFAULT_DOMAIN) && !strchr(name, '/');
    if (!str_format(out->path, sizeof out->path, "%s%s", official ? OFFICIAL : "", name))
        return bad(err);
    for (const char *at = out->path; *at; at++)
        if (isupper((unsigned char)*at))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "invalid reference format: repository name must be lowercase");
    if (!path_ok(out->path) || !domain_ok(out->domain))
        return bad(err);
    if (strlen(out->domain) + 1 + strlen(out->path) > REFERENCE_NAME_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "repository name must not be more than %d characters", REFERENCE_NAME_MAX);
    return 0;
}

int reference_parse(const char *text, struct reference *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    char name[REFERENCE_TEXT_BYTES];
    if (str_empty(text) || !str_copy(name, sizeof name, text))
        return bad(err);
    if (strlen(name) == DIGEST_HEX && is_hex(name, DIGEST_HEX))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid repository name (%s), cannot specify 64-byte hexadecimal strings",
                       name);
    char *at = strchr(name, '@');
    if (at) {
        *at = '\0';
        if (!digest_valid(at + 1))
            return bad(err);
        str_copy(out->digest, sizeof out->digest, at + 1);
    }
    // A colon after the last slash starts the tag; an earlier one belongs to the registry's port.
    char *slash = strrchr(name, '/');
    char *colon = strrchr(slash ? slash : name, ':');
    if (colon) {
        *colon = '\0';
        if (!str_copy(out->tag, sizeof out->tag, colon + 1) || !tag_ok(out->tag))
            return bad(err);
    }
    return *name ? take_name(name, out, err) : bad(err);
}

void reference_default_tag(struct reference *reference)
{
    if (!*reference->tag && !*reference->digest)
        str_copy(reference->tag, sizeof reference->tag, "latest");
}

char *reference_name(const struct reference *reference, char out[REFERENCE_TEXT_BYTES])
{
    str_format(out, REFERENCE_TEXT_BYTES, "%s/%s", reference->domain, reference->path);
    return out;
}

char *reference_familiar_name(const struct reference *reference, char out[REFERENCE_TEXT_BYTES])
{
    const char *path = reference->path;
    if (!str_equal(reference->domain, DEFAULT_DOMAIN))
        return reference_name(reference, out);
    if (str_starts(path, OFFICIAL) && !strchr(path + strlen(OFFICIAL), '/'))
        path += strlen(OFFICIAL);
    str_copy(out, REFERENCE_TEXT_BYTES, path);
    return out;
}

static char *with_tail(const struct reference *reference, char *out)
{
    size_t used = strlen(out);
    if (*reference->tag)
        str_format(out + used, REFERENCE_TEXT_BYTES - used, ":%s", reference->tag);
    used = strlen(out);
    if (*reference->digest)
        str_format(out + used, REFERENCE_TEXT_BYTES - used, "@%s", reference->digest);
    return out;
}

char *reference_full(const struct reference *reference, char out[REFERENCE_TEXT_BYTES])
{
    return with_tail(reference, reference_name(reference, out));
}

char *reference_familiar(const struct reference *reference, char out[REFERENCE_TEXT_BYTES])
{
    return with_tail(reference, reference_familiar_name(reference, out));
}
