#include "agent/engine/stamp.h"

#include <string.h>

#include "proto/base/str.h"

#define SECONDS_MAX (INT64_MAX / NS_PER_S - 1)

int stamp_parse(const char *text, struct wall *out, struct err *err)
{
    *out = (struct wall){0};
    if (str_empty(text))
        return 0;
    char head[32];
    int64_t seconds = 0;
    uint64_t ns = 0;
    const char *dot = strchr(text, '.');
    size_t length = dot ? (size_t)(dot - text) : strlen(text);
    bool fits = length < sizeof head;
    if (fits) {
        memcpy(head, text, length);
        head[length] = '\0';
        fits = str_to_i64(head, -SECONDS_MAX, SECONDS_MAX, &seconds);
    }
    if (fits && dot && dot[1]) {
        size_t digits = strlen(dot + 1);
        fits = digits <= 9 && str_to_u64(dot + 1, UINT64_MAX, &ns);
        for (; digits < 9; digits++)
            ns *= 10;
    }
    if (!fits)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "strconv.ParseInt: parsing \"%.100s\": invalid syntax", text);
    out->ns = seconds * NS_PER_S + (int64_t)ns;
    return 0;
}

int stamp_filter_parse(const char *text, struct wall now, struct wall *out, struct err *err)
{
    int64_t back;
    if (str_empty(text))
        return err_set(err, ERR_INVALID_ARGUMENT, "an empty moment in a filter");
    if (stamp_parse(text, out, NULL) == 0 || wall_parse(text, out, NULL) == 0)
        return 0;
    if (duration_parse(text, &back, NULL))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "failed to parse value as time or duration: \"%.100s\"", text);
    *out = wall_add(now, -back);
    return 0;
}
