#include "agent/oci/signals.h"

#include <stddef.h>
#include <stdint.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// Real-time signals have fixed numbers for a container, whatever its C library keeps for itself.
#define RT_FIRST 34
#define RT_LAST  64

// Linux's numbers, the same on every architecture Skep runs on.
static const struct {
    const char *name;
    int number;
} signals[] = {
    {"HUP", 1},    {"INT", 2},     {"QUIT", 3},    {"ILL", 4},          {"TRAP", 5},
    {"ABRT", 6},   {"IOT", 6},     {"BUS", 7},     {"FPE", 8},          {"KILL", 9},
    {"USR1", 10},  {"SEGV", 11},   {"USR2", 12},   {"PIPE", 13},        {"ALRM", 14},
    {"TERM", 15},  {"STKFLT", 16}, {"CHLD", 17},   {"CLD", 17},         {"CONT", 18},
    {"STOP", 19},  {"TSTP", 20},   {"TTIN", 21},   {"TTOU", 22},        {"URG", 23},
    {"XCPU", 24},  {"XFSZ", 25},   {"VTALRM", 26}, {"PROF", 27},        {"IO", 29},
    {"POLL", 29},  {"PWR", 30},    {"SYS", 31},    {"RTMIN", RT_FIRST}, {"RTMAX", RT_LAST},
    {"WINCH", 28},
};

static bool starts_case(const char *text, const char *prefix)
{
    for (; *prefix; text++, prefix++)
        if ((*text & ~0x20) != *prefix)
            return false;
    return true;
}

int signal_of_name(const char *name)
{
    if (str_empty(name))
        return 0;
    uint64_t number;
    if (str_to_u64(name, RT_LAST, &number))
        return (int)number;
    if (starts_case(name, "SIG"))
        name += 3;
    for (size_t i = 0; i < COUNT_OF(signals); i++)
        if (str_equal_case(name, signals[i].name))
            return signals[i].number;
    if (starts_case(name, "RTMIN") && name[5] == '+' &&
        str_to_u64(name + 6, RT_LAST - RT_FIRST, &number))
        return RT_FIRST + (int)number;
    if (starts_case(name, "RTMAX") && name[5] == '-' &&
        str_to_u64(name + 6, RT_LAST - RT_FIRST, &number))
        return RT_LAST - (int)number;
    return 0;
}
