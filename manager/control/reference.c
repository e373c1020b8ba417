#include "manager/control/reference.h"

#include <ctype.h>
#include <string.h>

#define DIGEST_HEX_MIN 32
#define ID_HEX         64 // a whole name of this many hex digits is an id and no name

static bool is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_hex(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isdigit((unsigned char)text[i]) && !(text[i] >= 'a' && text[i] <= 'f'))
            return false;
    return true;
}

// Lower case letters and digits, parted by one '.', one or two '_', or any number of '-'.
static bool is_component(const char *text, size_t length)
{
    size_t at = 0;
    while (at < length) {
        size_t word = at;
        while (at < length && is_lower(text[at]))
            at++;
        if (at == word)
            return false;
        if (at == length)
            return true;
        char separator = text[at];
        size_t run = at;
        while (at < length && text[at] == separator)
            at++;
        size_t most = separator == '.' ? 1 : separator == '_' ? 2 : separator == '-' ? length : 0;
        if (at - run > most || at == length)
            return false;
    }
    return false;
}

static bool is_port(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isdigit((unsigned char)text[i]))
            return false;
    return length > 0;
}

// A host name or address, with or without a port.
static bool is_domain(const char *text, size_t length)
{
    const char *colon = memchr(text, ':', length);
    size_t host = text[0] != '[' && colon ? (size_t)(colon - text) : length;
    if (text[0] == '[') { // an IPv6 address
        const char *close = memchr(text, ']', length);
        size_t inside = close ? (size_t)(close - text) - 1 : 0;
        size_t rest = close ? length - (size_t)(close - text) - 1 : 0;
        for (size_t i = 1; i <= inside; i++)
            if (!isxdigit((unsigned char)text[i]) && text[i] != ':')
                return false;
        return inside > 0 && (rest == 0 || (close[1] == ':' && is_port(close + 2, rest - 1)));
    }
    if (host == 0 || (host < length && !is_port(colon + 1, length - host - 1)))
        return false;
    for (size_t i = 0; i < host; i++) {
        bool edge = i == 0 || i + 1 == host || text[i - 1] == '.' || text[i + 1] == '.';
        if (!isalnum((unsigned char)text[i]) && (text[i] != '-' || edge) &&
            (text[i] != '.' || i == 0 || i + 1 == host || text[i - 1] == '.'))
            return false;
    }
    return true;
}

// The first part is a domain when it cannot be a path's.
static bool names_domain(const char *text, size_t length)
{
    if (memchr(text, '.', length) || memchr(text, ':', length) || text[0] == '[')
        return true;
    for (size_t i = 0; i < length; i++)
        if (isupper((unsigned char)text[i]))
            return true;
    return length == strlen("localhost") && memcmp(text, "localhost", length) == 0;
}

static bool is_name(const char *text, size_t length)
{
    const char *end = text + length, *at = text;
    const char *slash = memchr(text, '/', length);
    if (length == 0 || length > REFERENCE_NAME_BYTES || (length == ID_HEX && is_hex(text, length)))
        return false;
    if (slash && names_domain(text, (size_t)(slash - text))) {
        if (!is_domain(text, (size_t)(slash - text)))
            return false;
        at = slash + 1;
    }
    for (;;) {
        const char *next = memchr(at, '/', (size_t)(end - at));
        if (!is_component(at, (size_t)((next ? next : end) - at)))
            return false;
        if (!next)
            return true;
        at = next + 1;
    }
}

static bool is_tag(const char *text, size_t length)
{
    if (length == 0 || length > REFERENCE_TAG_BYTES || text[0] == '.' || text[0] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i]))
            return false;
    return true;
}

// "sha256:" and hex digits.
static bool is_digest(const char *text)
{
    const char *colon = strchr(text, ':');
    if (!colon || colon == text || !isalpha((unsigned char)text[0]))
        return false;
    for (const char *at = text; at < colon; at++)
        if (!isalnum((unsigned char)*at) && !strchr("+._-", *at))
            return false;
    size_t hex = strlen(colon + 1);
    return hex >= DIGEST_HEX_MIN && is_hex(colon + 1, hex);
}

bool reference_valid(const char *text)
{
    const char *at = strchr(text, '@');
    size_t length = at ? (size_t)(at - text) : strlen(text);
    if (at && !is_digest(at + 1))
        return false;
    // A colon behind the last slash begins the tag; one before it a port.
    size_t name = length;
    for (size_t i = length; i > 0 && text[i - 1] != '/'; i--)
        if (text[i - 1] == ':')
            name = i - 1;
    return (name == length || is_tag(text + name + 1, length - name - 1)) && is_name(text, name);
}
