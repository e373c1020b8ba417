#include "proto/base/hostname.h"

#include <ctype.h>

bool hostname_label_ok(struct str_part part)
{
    if (!part.len || part.at[0] == '-' || part.at[part.len - 1] == '-')
        return false;
    for (size_t i = 0; i < part.len; i++)
        if (!isalnum((unsigned char)part.at[i]) && part.at[i] != '-')
            return false;
    return true;
}
