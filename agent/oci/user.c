#include "agent/oci/user.h"

#include <limits.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define SPEC_BYTES 256
// passwd has seven fields, group four.
#define FIELDS_MAX 7

struct entry {
    struct str_part fields[FIELDS_MAX];
    size_t count;
};

// Steps to the next line of a colon-separated file. Lines with too few fields are passed over, as
// the C library does.
static bool next_entry(const char **rest, size_t fields_least, struct entry *entry)
{
    struct str_part line;
    while (str_split(rest, '\n', &line)) {
        entry->count = 0;
        const char *at = line.at;
        const char *end = line.at + line.len;
        while (at && entry->count < FIELDS_MAX) {
            const char *colon = memchr(at, ':', (size_t)(end - at));
            const char *stop = colon ? colon : end;
            entry->fields[entry->count++] = (struct str_part){at, (size_t)(stop - at)};
            at = colon ? colon + 1 : NULL;
        }
        if (entry->count >= fields_least)
            return true;
    }
    return false;
}

static bool part_number(struct str_part part, uint32_t *out)
{
    char text[16];
    uint64_t number;
    if (!part.len || part.len >= sizeof text)
        return false;
    memcpy(text, part.at, part.len);
    text[part.len] = '\0';
    if (!str_to_u64(text, UINT32_MAX, &number))
        return false;
    *out = (uint32_t)number;
    return true;
}

static bool all_digits(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text);
}

// Ids as the kernel takes them for a container: 0 to INT_MAX, as docker bounds them.
static int to_id(const char *text, const char *what, uint32_t *out, struct err *err)
{
    uint64_t number;
    if (!str_to_u64(text, INT_MAX, &number))
        return err_set(err, ERR_OUT_OF_RANGE, "%s %s: uids and gids must be in range 0-%d", what,
                       text, INT_MAX);
    *out = (uint32_t)number;
    return 0;
}

static void add_group(struct user *user, uint32_t gid)
{
    for (size_t i = 0; i < user->groups_count; i++)
        if (user->groups[i] == gid)
            return;
    if (user->groups_count < USER_GROUPS_MAX)
        user->groups[user->groups_count++] = gid;
}

static int find_group(const char *name, const char *group, uint32_t *out, struct err *err)
{
    struct entry entry;
    for (const char *rest = group; next_entry(&rest, 3, &entry);)
        if (str_part_is(entry.fields[0], name) && part_number(entry.fields[2], out))
            return 0;
    if (all_digits(name))
        return to_id(name, "group", out, err);
    return err_set(err, ERR_NOT_FOUND, "unable to find group %s: no matching entries in group file",
                   name);
}

static void take_passwd(struct user *user, const struct entry *entry)
{
    uint32_t number;
    if (part_number(entry->fields[3], &number))
        user->gid = number;
    struct str_part home = entry->count > 5 ? entry->fields[5] : (struct str_part){"", 0};
    if (home.len && home.len < sizeof user->home) {
        memcpy(user->home, home.at, home.len);
        user->home[home.len] = '\0';
    }
}

// Finds the user by name, then by number. The name as passwd has it comes out in `login`.
static int find_user(const char *name, const char *passwd, struct user *user,
                     char login[SPEC_BYTES], struct err *err)
{
    struct entry entry;
    bool numeric = all_digits(name);
    uint32_t wanted = 0;
    int rc = numeric ? to_id(name, "user", &wanted, err) : 0;
    if (rc)
        return rc;
    for (const char *rest = passwd; next_entry(&rest, 4, &entry);) {
        uint32_t uid;
        if (!part_number(entry.fields[2], &uid) || entry.fields[0].len >= SPEC_BYTES)
            continue;
        if (numeric ? uid != wanted : !str_part_is(entry.fields[0], name))
            continue;
        user->uid = uid;
        take_passwd(user, &entry);
        memcpy(login, entry.fields[0].at, entry.fields[0].len);
        login[entry.fields[0].len] = '\0';
        return 0;
    }
    if (!numeric)
        return err_set(err, ERR_NOT_FOUND,
                       "unable to find user %s: no matching entries in passwd file", name);
    user->uid = wanted;
    login[0] = '\0';
    return 0;
}

static void add_member_groups(struct user *user, const char *login, const char *group)
{
    struct entry entry;
    for (const char *rest = group; next_entry(&rest, 4, &entry);) {
        uint32_t gid;
        if (!part_number(entry.fields[2], &gid))
            continue;
        const char *at = entry.fields[3].at;
        const char *end = at + entry.fields[3].len;
        while (at < end) {
            const char *comma = memchr(at, ',', (size_t)(end - at));
            struct str_part member = {at, (size_t)((comma ? comma : end) - at)};
            if (str_part_is(str_trim(member), login))
                add_group(user, gid);
            at = comma ? comma + 1 : end;
        }
    }
}

int user_resolve(const char *spec, const char *const *extra_groups, size_t extra_count,
                 const char *passwd, const char *group, struct user *out, struct err *err)
{
    CHECK(passwd && group);
    memset(out, 0, sizeof *out);
    str_copy(out->home, sizeof out->home, "/");
    char name[SPEC_BYTES];
    if (!str_copy(name, sizeof name, str_or(spec, "")))
        return err_set(err, ERR_INVALID_ARGUMENT, "user is longer than %d characters", SPEC_BYTES);
    char *colon = strchr(name, ':');
    const char *group_name = "";
    if (colon) {
        *colon = '\0';
        group_name = colon + 1;
    }
    char login[SPEC_BYTES];
    int rc = find_user(str_or(name, "0"), passwd, out, login, err);
    if (rc)
        return rc;
    if (*group_name)
        rc = find_group(group_name, group, &out->gid, err);
    // The primary group is a supplementary one too, as in a login session: else a file that denies
    // the group its access could be reached by dropping it (CVE-2022-36109).
    if (!rc)
        add_group(out, out->gid);
    if (!rc && !*group_name && *login)
        add_member_groups(out, login, group);
    for (size_t i = 0; i < extra_count && !rc; i++) {
        uint32_t gid = 0;
        rc = find_group(extra_groups[i], group, &gid, err);
        if (!rc)
            add_group(out, gid);
    }
    return rc;
}
