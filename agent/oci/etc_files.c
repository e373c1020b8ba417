#include "agent/oci/etc_files.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define WORD_MAX 255

static bool is_address(const char *text)
{
    unsigned char raw[16];
    char plain[WORD_MAX + 1];
    // A zone ("fe80::1%eth0") may follow an IPv6 address.
    const char *zone = strchr(text, '%');
    size_t length = zone ? (size_t)(zone - text) : strlen(text);
    if (length >= sizeof plain)
        return false;
    memcpy(plain, text, length);
    plain[length] = '\0';
    return inet_pton(AF_INET, plain, raw) == 1 || inet_pton(AF_INET6, plain, raw) == 1;
}

// Words go into a line of a file: nothing in them may end the word, the line or start a comment.
static int check_word(const char *word, const char *what, struct err *err)
{
    size_t length = word ? strlen(word) : 0;
    if (!length || length > WORD_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s must have 1 to %d characters", what,
                       WORD_MAX);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)word[i] <= ' ' || word[i] == '#' || word[i] == 127)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "%s \"%s\" holds a blank or a control "
                           "character",
                           what, word);
    return 0;
}

static int done(const struct buf *out, const char *what, struct err *err)
{
    if (!buf_ok(out))
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "%s would be larger than %zu bytes", what,
                       out->limit);
    return 0;
}

// "name:10.0.0.1", as docker's --add-host has it. The address may hold colons, a name may not.
static int put_docker_host(const char *entry, struct buf *out, struct err *err)
{
    const char *colon = strchr(entry, ':');
    char name[WORD_MAX + 1];
    if (!colon || (size_t)(colon - entry) >= sizeof name || !is_address(colon + 1))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid extra host \"%s\"", entry);
    memcpy(name, entry, (size_t)(colon - entry));
    name[colon - entry] = '\0';
    int rc = check_word(name, "extra host", err);
    if (!rc)
        buf_printf(out, "%s\t%s\n", colon + 1, name);
    return rc;
}

// "10.0.0.1 name other", as SwarmKit has it.
static int put_swarm_host(const char *entry, struct buf *out, struct err *err)
{
    const char *rest = entry;
    struct str_part part;
    bool first = true;
    unsigned names = 0;
    while (str_split(&rest, ' ', &part)) {
        if (!part.len)
            continue;
        char word[WORD_MAX + 1];
        if (part.len >= sizeof word)
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid extra host \"%s\"", entry);
        memcpy(word, part.at, part.len);
        word[part.len] = '\0';
        if (first ? !is_address(word) : check_word(word, "extra host", err) != 0)
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid extra host \"%s\"", entry);
        buf_printf(out, "%s%s", first ? "" : "\t", word);
        names += !first;
        first = false;
    }
    buf_put_u8(out, '\n');
    if (!names)
        return err_set(err, ERR_INVALID_ARGUMENT, "extra host \"%s\" has no name", entry);
    return 0;
}

static void put_own(const char *hostname, const char *domainname, const char *address,
                    struct buf *out)
{
    if (str_empty(domainname))
        buf_printf(out, "%s\t%s\n", address, hostname);
    else
        buf_printf(out, "%s\t%s.%s %s\n", address, hostname, domainname, hostname);
}

int etc_hosts(const char *hostname, const char *domainname, const char *const *addresses,
              size_t addresses_count, const struct oci_strings *extra, struct buf *out,
              struct err *err)
{
    CHECK(hostname);
    buf_put_str(out, "127.0.0.1\tlocalhost\n"
                     "::1\tlocalhost ip6-localhost ip6-loopback\n"
                     "fe00::0\tip6-localnet\n"
                     "ff00::0\tip6-mcastprefix\n"
                     "ff02::1\tip6-allnodes\n"
                     "ff02::2\tip6-allrouters\n");
    int rc = 0;
    for (size_t i = 0; extra && i < extra->count && !rc; i++) {
        const char *entry = extra->items[i];
        rc =
            strchr(entry, ' ') ? put_swarm_host(entry, out, err) : put_docker_host(entry, out, err);
    }
    for (size_t i = 0; i < addresses_count && !rc; i++) {
        if (!is_address(addresses[i]))
            return err_set(err, ERR_INVALID_ARGUMENT, "\"%s\" is no address", addresses[i]);
        put_own(hostname, domainname, addresses[i], out);
    }
    return rc ? rc : done(out, "hosts", err);
}

void etc_hosts_change(const char *text, const char *hostname, const char *domainname,
                      const char *address, bool there, struct buf *out)
{
    struct buf own;
    buf_init(&own, ETC_FILE_BYTES);
    put_own(hostname, domainname, address, &own);
    while (*text) {
        size_t size = strcspn(text, "\n");
        bool ended = text[size] == '\n';
        if (size + 1 != own.len || memcmp(text, own.data, size) != 0) {
            buf_put(out, text, size);
            buf_put_str(out, "\n");
        }
        text += size + ended;
    }
    if (there)
        buf_put(out, own.data, own.len);
    buf_fini(&own);
}

static int put_list(const char *keyword, const struct oci_strings *list, struct buf *out,
                    struct err *err)
{
    if (!list || !list->count)
        return 0;
    buf_put_str(out, keyword);
    for (size_t i = 0; i < list->count; i++) {
        int rc = check_word(list->items[i], keyword, err);
        if (rc)
            return rc;
        buf_printf(out, " %s", list->items[i]);
    }
    buf_put_u8(out, '\n');
    return 0;
}

int etc_resolv(const struct oci_strings *nameservers, const struct oci_strings *search,
               const struct oci_strings *options, struct buf *out, struct err *err)
{
    for (size_t i = 0; nameservers && i < nameservers->count; i++) {
        if (!is_address(nameservers->items[i]) || strpbrk(nameservers->items[i], " \t\r\n"))
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid nameserver \"%s\"",
                           nameservers->items[i]);
        buf_printf(out, "nameserver %s\n", nameservers->items[i]);
    }
    int rc = 0;
    // "--dns-search ." means: no search list at all.
    if (search && !(search->count == 1 && str_equal(search->items[0], ".")))
        rc = put_list("search", search, out, err);
    if (!rc)
        rc = put_list("options", options, out, err);
    return rc ? rc : done(out, "resolv.conf", err);
}

// Whether the line says something of that kind.
static bool says(struct str_part line, const char *keyword)
{
    size_t size = strlen(keyword);
    return line.len > size && memcmp(line.at, keyword, size) == 0 &&
           (line.at[size] == ' ' || line.at[size] == '\t');
}

int etc_resolv_over(const char *host_text, const struct oci_strings *nameservers,
                    const struct oci_strings *search, const struct oci_strings *options,
                    struct buf *out, struct err *err)
{
    struct str_part line;
    while (host_text && str_split(&host_text, '\n', &line)) {
        line = str_trim(line);
        if (!line.len || *line.at == '#' || *line.at == ';' ||
            (nameservers->count && says(line, "nameserver")) ||
            (search->count && (says(line, "search") || says(line, "domain"))) ||
            (options->count && says(line, "options")))
            continue;
        buf_put(out, line.at, line.len);
        buf_put_u8(out, '\n');
    }
    return etc_resolv(nameservers, search, options, out, err);
}

void etc_resolv_filter(const char *host_text, struct buf *out, size_t *dropped)
{
    size_t count = 0;
    struct str_part line;
    while (str_split(&host_text, '\n', &line)) {
        struct str_part text = str_trim(line);
        if (text.len > 11 && memcmp(text.at, "nameserver", 10) == 0 &&
            (text.at[10] == ' ' || text.at[10] == '\t')) {
            struct str_part address = str_trim((struct str_part){text.at + 10, text.len - 10});
            if ((address.len > 4 && memcmp(address.at, "127.", 4) == 0) ||
                str_part_is(address, "::1")) {
                count++;
                continue;
            }
        }
        if (!text.len || *text.at == '#' || *text.at == ';')
            continue;
        buf_put(out, text.at, text.len);
        buf_put_u8(out, '\n');
    }
    if (dropped)
        *dropped = count;
}
