#include "agent/image/platform.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "agent/image/manifest.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

struct known {
    const char *name;
    const char *architecture;
    const char *variant; // what the name says; "": the architecture's own
};

static const struct known known[] = {
    {"386", "386", ""},           {"i386", "386", ""},        {"amd64", "amd64", ""},
    {"x86_64", "amd64", ""},      {"x86-64", "amd64", ""},    {"arm", "arm", "v7"},
    {"armhf", "arm", "v7"},       {"armel", "arm", "v6"},     {"arm64", "arm64", ""},
    {"aarch64", "arm64", ""},     {"ppc64", "ppc64", ""},     {"ppc64le", "ppc64le", ""},
    {"mips", "mips", ""},         {"mipsle", "mipsle", ""},   {"mips64", "mips64", ""},
    {"mips64le", "mips64le", ""}, {"riscv64", "riscv64", ""}, {"s390x", "s390x", ""},
    {"loong64", "loong64", ""},   {"wasm", "wasm", ""},
};

static const char *const systems[] = {
    "linux",   "windows", "darwin",  "freebsd", "netbsd", "openbsd", "dragonfly",
    "solaris", "illumos", "android", "aix",     "plan9",  "js",      "wasip1",
};

static const struct known *known_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_equal(known[i].name, name))
            return &known[i];
    return NULL;
}

static bool is_system(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(systems); i++)
        if (str_equal(systems[i], name))
            return true;
    return false;
}

// By the names that all use: an architecture's usual variant is none.
static void settle(struct platform_parts *parts)
{
    const struct known *it = known_of(parts->architecture);
    char *variant = parts->variant;
    if (!it)
        return;
    str_copy(parts->architecture, sizeof parts->architecture, it->architecture);
    if (*variant >= '0' && *variant <= '9' && !variant[1]) {
        variant[1] = variant[0];
        variant[0] = 'v';
        variant[2] = '\0';
    }
    if (!*variant)
        str_copy(variant, sizeof parts->variant, it->variant);
    if ((str_equal(it->architecture, "amd64") && str_equal(variant, "v1")) ||
        (str_equal(it->architecture, "arm64") && str_equal(variant, "v8")))
        *variant = '\0';
}

static bool is_component(const struct str_part *part)
{
    for (size_t i = 0; i < part->len; i++) {
        unsigned char c = (unsigned char)part->at[i];
        if (!isalnum(c) && c != '_' && c != '-')
            return false;
    }
    return part->len > 0 && part->len < PLATFORM_PART_BYTES;
}

int platform_parse(const char *text, struct platform_parts *out, struct err *err)
{
    char *parts[] = {out->os, out->architecture, out->variant};
    const char *rest = text;
    struct str_part part;
    size_t count = 0;
    *out = (struct platform_parts){.os = "linux", .architecture = PLATFORM_NATIVE_ARCH};
    while (str_split(&rest, '/', &part)) {
        if (!is_component(&part))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "\"%.*s\" is an invalid component of \"%.60s\": platform specifier "
                           "component must match \"^[A-Za-z0-9_-]+$\": invalid argument",
                           (int)(part.len < 60 ? part.len : 60), part.at, text);
        if (count == COUNT_OF(parts))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "\"%.60s\": cannot parse platform specifier: invalid argument", text);
        for (size_t i = 0; i < part.len; i++)
            parts[count][i] = (char)tolower((unsigned char)part.at[i]);
        parts[count++][part.len] = '\0';
    }
    if (count == 1 && !is_system(out->os)) {
        if (!known_of(out->os))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "\"%.60s\": unknown operating system or architecture: invalid argument",
                           text);
        str_copy(out->architecture, sizeof out->architecture, out->os);
        str_copy(out->os, sizeof out->os, "linux");
    }
    settle(out);
    return 0;
}

static unsigned rank(const struct platform_parts *parts)
{
    static const struct {
        const char *architecture;
        unsigned usual;
    } usual[] = {{"amd64", 1}, {"arm64", 8}, {"arm", 7}};
    if (parts->variant[0] == 'v' && parts->variant[1])
        return (unsigned)strtoul(parts->variant + 1, NULL, 10);
    for (size_t i = 0; i < COUNT_OF(usual); i++)
        if (str_equal(usual[i].architecture, parts->architecture))
            return usual[i].usual;
    return 0;
}

bool platform_serves(const struct platform_parts *wanted, const char *os, const char *architecture,
                     const char *variant)
{
    struct platform_parts is = {0};
    str_copy(is.os, sizeof is.os, str_or(os, ""));
    str_copy(is.architecture, sizeof is.architecture, str_or(architecture, ""));
    str_copy(is.variant, sizeof is.variant, str_or(variant, ""));
    settle(&is);
    // A processor for arm64 runs what is made for the older ones, too.
    bool older = str_equal(wanted->architecture, "arm64") && str_equal(is.architecture, "arm");
    return str_equal(wanted->os, is.os) &&
           (older || str_equal(wanted->architecture, is.architecture)) && rank(&is) <= rank(wanted);
}
