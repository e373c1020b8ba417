#include "agent/oci/volume_options.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define PROPAGATIONS (VOLUME_SHARED | VOLUME_PRIVATE | VOLUME_SLAVE | VOLUME_UNBINDABLE)

// ---- which there are ---------------------------------------------------------------------------

static bool has(const struct oci_pair *options, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(options[i].key, key))
            return true;
    return false;
}

const char *volume_option(const struct oci_pair *options, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(options[i].key, key))
            return str_or(options[i].value, "");
    return "";
}

bool volume_options_mount(const struct oci_pair *options, size_t count)
{
    return *volume_option(options, count, "type") || *volume_option(options, count, "device");
}

// "10M", "1.5 GiB": only whether it is one, and more than nothing.
static int check_size(const char *text, struct err *err)
{
    size_t digits = strspn(text, "0123456789.");
    const char *unit = text + digits;
    unit += *unit == ' ';
    unit += *unit && strchr("kKmMgGtTpP", *unit) ? 1 : 0;
    unit += *unit == 'i' || *unit == 'I';
    unit += *unit == 'b' || *unit == 'B';
    if (!digits || *text == '.' || text[digits - 1] == '.' || *unit)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid size: '%.100s'", text);
    if (strspn(text, "0.") == digits)
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "quota size requested but no quota support");
}

int volume_options_check(const struct oci_pair *options, size_t count, struct err *err)
{
    static const char *const known[] = {"type", "device", "o", "size"};
    static const char *const needs[][2] = {
        {"device", "type"}, {"type", "device"}, {"o", "device"}, {"o", "type"}};
    if (count > VOLUME_OPTIONS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d options", VOLUME_OPTIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < COUNT_OF(known) && !str_equal(known[at], options[i].key))
            at++;
        if (at == COUNT_OF(known))
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid option: \"%.100s\"", options[i].key);
        if (strlen(str_or(options[i].value, "")) > VOLUME_OPTION_CHARS_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT, "option \"%s\" is too long", options[i].key);
    }
    if (has(options, count, "size")) {
        int rc = check_size(volume_option(options, count, "size"), err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < COUNT_OF(needs); i++)
        if (has(options, count, needs[i][0]) && !has(options, count, needs[i][1]))
            return err_set(err, ERR_INVALID_ARGUMENT, "missing required option: \"%s\"",
                           needs[i][1]);
    return 0;
}

// ---- the words of a mount ----------------------------------------------------------------------

static const struct flag_word {
    const char *word;
    unsigned long flag;
    bool clears;
} flag_words[] = {
    {"defaults", 0, false},
    {"async", VOLUME_SYNCHRONOUS, true},
    {"atime", VOLUME_NOATIME, true},
    {"bind", VOLUME_BIND, false},
    {"dev", VOLUME_NODEV, true},
    {"diratime", VOLUME_NODIRATIME, true},
    {"dirsync", VOLUME_DIRSYNC, false},
    {"exec", VOLUME_NOEXEC, true},
    {"mand", VOLUME_MANDLOCK, false},
    {"noatime", VOLUME_NOATIME, false},
    {"nodev", VOLUME_NODEV, false},
    {"nodiratime", VOLUME_NODIRATIME, false},
    {"noexec", VOLUME_NOEXEC, false},
    {"nomand", VOLUME_MANDLOCK, true},
    {"norelatime", VOLUME_RELATIME, true},
    {"nostrictatime", VOLUME_STRICTATIME, true},
    {"nosuid", VOLUME_NOSUID, false},
    {"private", VOLUME_PRIVATE, false},
    {"rbind", VOLUME_BIND | VOLUME_REC, false},
    {"relatime", VOLUME_RELATIME, false},
    {"remount", VOLUME_REMOUNT, false},
    {"ro", VOLUME_RDONLY, false},
    {"rprivate", VOLUME_PRIVATE | VOLUME_REC, false},
    {"rshared", VOLUME_SHARED | VOLUME_REC, false},
    {"rslave", VOLUME_SLAVE | VOLUME_REC, false},
    {"runbindable", VOLUME_UNBINDABLE | VOLUME_REC, false},
    {"rw", VOLUME_RDONLY, true},
    {"shared", VOLUME_SHARED, false},
    {"slave", VOLUME_SLAVE, false},
    {"strictatime", VOLUME_STRICTATIME, false},
    {"suid", VOLUME_NOSUID, true},
    {"sync", VOLUME_SYNCHRONOUS, false},
    {"unbindable", VOLUME_UNBINDABLE, false},
};

static const struct flag_word *flag_of(struct str_part part)
{
    for (size_t i = 0; i < COUNT_OF(flag_words); i++)
        if (str_part_is(part, flag_words[i].word))
            return &flag_words[i];
    return NULL;
}

int volume_mount_words(const char *text, struct volume_mount_words *out, struct err *err)
{
    const char *rest = text;
    struct str_part part;
    size_t used = 0;
    *out = (struct volume_mount_words){0};
    while (*text && str_split(&rest, ',', &part)) {
        const struct flag_word *known = flag_of(part);
        if (known && known->clears)
            out->flags &= ~known->flag;
        else if (known)
            out->flags |= known->flag;
        if (known || !part.len)
            continue;
        if (!str_format(out->data + used, sizeof out->data - used, "%s%.*s", used ? "," : "",
                        (int)part.len, part.at))
            return err_set(err, ERR_INVALID_ARGUMENT, "the options of the mount are too long");
        used = strlen(out->data);
    }
    if (out->flags & PROPAGATIONS) {
        out->propagation = out->flags & (PROPAGATIONS | VOLUME_REC);
        out->flags &= ~(unsigned long)PROPAGATIONS;
    }
    return 0;
}

// Where the key's value begins; NULL.
static const char *value_at(const char *text, const char *key, size_t *length)
{
    const char *rest = text;
    struct str_part part;
    size_t size = strlen(key);
    while (*text && str_split(&rest, ',', &part))
        if (part.len > size && strncmp(part.at, key, size) == 0 && part.at[size] == '=') {
            *length = part.len - size - 1;
            return part.at + size + 1;
        }
    return NULL;
}

bool volume_mount_value(const char *text, const char *key, char *out, size_t size)
{
    size_t length = 0;
    const char *at = value_at(text, key, &length);
    return at && length && str_format(out, size, "%.*s", (int)length, at);
}

bool volume_mount_replace(const char *text, const char *key, const char *value, char *out,
                          size_t size)
{
    size_t length = 0;
    const char *at = value_at(text, key, &length);
    if (!at)
        return str_copy(out, size, text);
    return str_format(out, size, "%.*s%s%s", (int)(at - text), text, value, at + length);
}
