// Users and groups of a container, from the text of its own /etc/passwd and /etc/group.
#ifndef AGENT_OCI_USER_H
#define AGENT_OCI_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

#define USER_FILE_BYTES (1u << 20) // most that is read of either file
#define USER_GROUPS_MAX 256
#define USER_HOME_BYTES 256

struct user {
    uint32_t uid;
    uint32_t gid;
    uint32_t groups[USER_GROUPS_MAX]; // supplementary, without doubles
    size_t groups_count;
    char home[USER_HOME_BYTES]; // "/" when passwd does not say
};

// Resolves "user", "user:group", "1000", "1000:1000", ":group" or "" (root), as docker does: names
// through the files, numbers as they are; the user's own groups are added when `user` alone is
// given; `extra_groups` are names or numbers. Either text may be empty. NOT_FOUND "unable to find
// user x: no matching entries in passwd file", OUT_OF_RANGE for numbers.
int user_resolve(const char *spec, const char *const *extra_groups, size_t extra_count,
                 const char *passwd, const char *group, struct user *out, struct err *err);

#endif
