#include "agent/oci/seccomp.h"

#include <stdlib.h>
#include <string.h>

#include "agent/oci/caps.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// This machine, as profiles name it (Go's word) and as libseccomp does.
#if defined(__x86_64__)
#define NATIVE_ARCH    "amd64"
#define NATIVE_SECCOMP "SCMP_ARCH_X86_64"
#elif defined(__aarch64__)
#define NATIVE_ARCH    "arm64"
#define NATIVE_SECCOMP "SCMP_ARCH_AARCH64"
#elif defined(__arm__)
#define NATIVE_ARCH    "arm"
#define NATIVE_SECCOMP "SCMP_ARCH_ARM"
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_ARCH    "ppc64le"
#define NATIVE_SECCOMP "SCMP_ARCH_PPC64LE"
#elif defined(__s390x__)
#define NATIVE_ARCH    "s390x"
#define NATIVE_SECCOMP "SCMP_ARCH_S390X"
#elif defined(__riscv)
#define NATIVE_ARCH    "riscv64"
#define NATIVE_SECCOMP "SCMP_ARCH_RISCV64"
#else
#error "add this architecture's names in seccomp profiles"
#endif

struct profile {
    json_t *root;
    enum seccomp_kind kind;
    uint64_t caps;
    unsigned kernel_major;
    unsigned kernel_minor;
};

// Numbers of capabilities that open system calls.
#define PTRACE (UINT64_C(1) << 19)
#define ADMIN  (UINT64_C(1) << 21)
#define BOOT   (UINT64_C(1) << 22)
#define NICE   (UINT64_C(1) << 23)
#define SYSLOG (UINT64_C(1) << 34)
#define NOBODY UINT64_C(0)

// What Docker's default profile allows only with one of these capabilities, or never.
static const struct {
    const char *name;
    uint64_t caps;
} gates[] = {
    {"clone", ADMIN},           {"clone3", ADMIN},
    {"unshare", ADMIN},         {"setns", ADMIN},
    {"mount", ADMIN},           {"umount", ADMIN},
    {"umount2", ADMIN},         {"mount_setattr", ADMIN},
    {"move_mount", ADMIN},      {"open_tree", ADMIN},
    {"fsopen", ADMIN},          {"fsmount", ADMIN},
    {"fsconfig", ADMIN},        {"fspick", ADMIN},
    {"quotactl_fd", ADMIN},     {"reboot", BOOT},
    {"get_mempolicy", NICE},    {"mbind", NICE},
    {"set_mempolicy", NICE},    {"set_mempolicy_home_node", NICE},
    {"syslog", ADMIN | SYSLOG}, {"pidfd_getfd", PTRACE},
    {"pivot_root", NOBODY},     {"keyctl", NOBODY},
    {"add_key", NOBODY},        {"request_key", NOBODY},
};

// Flags of clone that make namespaces; it stays allowed for threads and processes without them.
#define CLONE_NAMESPACES 0x7e020000
#if defined(__s390x__)
#define CLONE_FLAGS_ARG 1 // the order of arguments differs there
#else
#define CLONE_FLAGS_ARG 0
#endif

static bool gate_closed(const struct profile *profile, const char *name)
{
    for (size_t i = 0; profile->kind == SECCOMP_NARROWED && i < COUNT_OF(gates); i++)
        if (str_equal(gates[i].name, name))
            return !(gates[i].caps & profile->caps);
    return false;
}

static void parse_kernel(const char *release, unsigned *major, unsigned *minor)
{
    char *end;
    *major = (unsigned)strtoul(release, &end, 10);
    *minor = *end == '.' ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
}

static bool list_has(const json_t *list, const char *word)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_equal(json_string_value(json_array_get(list, i)), word))
            return true;
    return false;
}

static bool has_cap(const struct profile *profile, const json_t *name)
{
    const char *text = json_string_value(name);
    int number = text ? caps_number(text) : -1;
    return number >= 0 && (profile->caps >> number & 1);
}

static bool kernel_at_least(const struct profile *profile, const char *wanted)
{
    unsigned major, minor;
    parse_kernel(wanted, &major, &minor);
    return profile->kernel_major > major ||
           (profile->kernel_major == major && profile->kernel_minor >= minor);
}

// Whether the rule is for this container: all that it includes is there, nothing that it excludes.
static bool rule_applies(const struct profile *profile, const json_t *rule)
{
    const json_t *includes = json_object_get(rule, "includes");
    const json_t *excludes = json_object_get(rule, "excludes");
    const json_t *list = json_object_get(includes, "arches");
    if (json_array_size(list) && !list_has(list, NATIVE_ARCH))
        return false;
    if (list_has(json_object_get(excludes, "arches"), NATIVE_ARCH))
        return false;
    list = json_object_get(includes, "caps");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!has_cap(profile, json_array_get(list, i)))
            return false;
    list = json_object_get(excludes, "caps");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (has_cap(profile, json_array_get(list, i)))
            return false;
    const char *kernel = json_string_value(json_object_get(includes, "minKernel"));
    if (!str_empty(kernel) && !kernel_at_least(profile, kernel))
        return false;
    kernel = json_string_value(json_object_get(excludes, "minKernel"));
    return str_empty(kernel) || !kernel_at_least(profile, kernel);
}

static int check_action(const json_t *action, const char *where, struct err *err)
{
    static const char *const actions[] = {
        "SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
        "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE",        "SCMP_ACT_ALLOW",       "SCMP_ACT_LOG",
    };
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        if (str_equal(json_string_value(action), actions[i]))
            return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "seccomp profile: %s: unknown action \"%s\"", where,
                   str_or(json_string_value(action), ""));
}

static int check_args(const json_t *args, struct err *err)
{
    static const char *const ops[] = {
        "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",        "SCMP_CMP_EQ",
        "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
    };
    for (size_t i = 0; i < json_array_size(args); i++) {
        const json_t *arg = json_array_get(args, i);
        json_int_t index = json_integer_value(json_object_get(arg, "index"));
        if (index < 0 || index > 5)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "seccomp profile: argument index %lld is not 0 to 5", (long long)index);
        const char *op = json_string_value(json_object_get(arg, "op"));
        size_t at = 0;
        while (at < COUNT_OF(ops) && !str_equal(op, ops[at]))
            at++;
        if (at == COUNT_OF(ops))
            return err_set(err, ERR_INVALID_ARGUMENT, "seccomp profile: unknown operator \"%s\"",
                           str_or(op, ""));
    }
    return 0;
}

static int check_rule(const json_t *rule, struct err *err)
{
    const json_t *names = json_object_get(rule, "names");
    const char *name = json_string_value(json_object_get(rule, "name"));
    if (!json_array_size(names) && str_empty(name))
        return err_set(err, ERR_INVALID_ARGUMENT, "seccomp profile: a rule names no system call");
    if (json_array_size(names) && !str_empty(name))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "seccomp profile: a rule has both name and names");
    if (json_array_size(names) > SECCOMP_NAMES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "seccomp profile: more than %d names in a rule",
                       SECCOMP_NAMES_MAX);
    for (size_t i = 0; i < json_array_size(names); i++)
        if (!json_is_string(json_array_get(names, i)))
            return err_set(err, ERR_INVALID_ARGUMENT, "seccomp profile: a name is no text");
    int rc = check_action(json_object_get(rule, "action"), str_or(name, "rule"), err);
    return rc ? rc : check_args(json_object_get(rule, "args"), err);
}

static int check_profile(const json_t *root, struct err *err)
{
    if (!json_is_object(root))
        return err_set(err, ERR_INVALID_ARGUMENT, "seccomp profile: not a JSON object");
    if (json_object_get(root, "listenerPath"))
        return err_set(err, ERR_UNIMPLEMENTED, "seccomp profile: listenerPath is not supported");
    int rc = check_action(json_object_get(root, "defaultAction"), "defaultAction", err);
    const json_t *rules = json_object_get(root, "syscalls");
    if (!rc && json_array_size(rules) > SECCOMP_RULES_MAX)
        rc = err_set(err, ERR_INVALID_ARGUMENT, "seccomp profile: more than %d rules",
                     SECCOMP_RULES_MAX);
    for (size_t i = 0; i < json_array_size(rules) && !rc; i++)
        rc = check_rule(json_array_get(rules, i), err);
    return rc;
}

static void write_architectures(const json_t *root, struct json_out *out)
{
    json_out_array(out, "architectures");
    const json_t *plain = json_object_get(root, "architectures");
    const json_t *map = json_object_get(root, "archMap");
    for (size_t i = 0; i < json_array_size(plain); i++)
        json_out_value(out, NULL, json_array_get(plain, i));
    bool native = false;
    for (size_t i = 0; i < json_array_size(map) && !native; i++) {
        const json_t *entry = json_array_get(map, i);
        if (!str_equal(json_string_value(json_object_get(entry, "architecture")), NATIVE_SECCOMP))
            continue;
        native = true;
        json_out_str(out, NULL, NATIVE_SECCOMP);
        const json_t *subs = json_object_get(entry, "subArchitectures");
        for (size_t k = 0; k < json_array_size(subs); k++)
            json_out_value(out, NULL, json_array_get(subs, k));
    }
    if (!native && !json_array_size(plain))
        json_out_str(out, NULL, NATIVE_SECCOMP);
    json_out_end(out);
}

static void write_errno(const json_t *from, const char *key, struct json_out *out)
{
    const json_t *value = json_object_get(from, key);
    if (json_is_integer(value))
        json_out_value(out, key, value);
}

// Names that the profile's rule is for, without those whose gate is closed.
static size_t count_names(const struct profile *profile, const json_t *rule)
{
    const json_t *names = json_object_get(rule, "names");
    const char *name = json_string_value(json_object_get(rule, "name"));
    size_t count = !str_empty(name) && !gate_closed(profile, name);
    for (size_t i = 0; i < json_array_size(names); i++)
        count += !gate_closed(profile, json_string_value(json_array_get(names, i)));
    return count;
}

static void write_rule(const struct profile *profile, const json_t *rule, struct json_out *out)
{
    if (!count_names(profile, rule))
        return;
    json_out_object(out, NULL);
    json_out_array(out, "names");
    const json_t *names = json_object_get(rule, "names");
    for (size_t i = 0; i < json_array_size(names); i++)
        if (!gate_closed(profile, json_string_value(json_array_get(names, i))))
            json_out_value(out, NULL, json_array_get(names, i));
    const char *name = json_string_value(json_object_get(rule, "name"));
    if (!str_empty(name) && !gate_closed(profile, name))
        json_out_str(out, NULL, name);
    json_out_end(out);
    json_out_value(out, "action", json_object_get(rule, "action"));
    write_errno(rule, "errnoRet", out);
    const json_t *args = json_object_get(rule, "args");
    if (json_array_size(args)) {
        json_out_array(out, "args");
        for (size_t i = 0; i < json_array_size(args); i++) {
            const json_t *arg = json_array_get(args, i);
            json_out_object(out, NULL);
            json_out_int(out, "index", json_integer_value(json_object_get(arg, "index")));
            json_out_int(out, "value", json_integer_value(json_object_get(arg, "value")));
            json_out_int(out, "valueTwo", json_integer_value(json_object_get(arg, "valueTwo")));
            json_out_value(out, "op", json_object_get(arg, "op"));
            json_out_end(out);
        }
        json_out_end(out);
    }
    json_out_end(out);
}

static void write_refusal(struct json_out *out, const char *name, unsigned errno_ret)
{
    json_out_object(out, NULL);
    json_out_array(out, "names");
    json_out_str(out, NULL, name);
    json_out_end(out);
    json_out_str(out, "action", "SCMP_ACT_ERRNO");
    json_out_uint(out, "errnoRet", errno_ret);
    json_out_end(out);
}

// What closed gates say. clone3 hides its flags from filters, so it does not exist (ENOSYS): C
// libraries then use clone.
static void write_gates(const struct profile *profile, struct json_out *out)
{
    for (size_t i = 0; i < COUNT_OF(gates); i++) {
        if (!gate_closed(profile, gates[i].name))
            continue;
        if (!str_equal(gates[i].name, "clone")) {
            write_refusal(out, gates[i].name, str_equal(gates[i].name, "clone3") ? 38 : 1);
            continue;
        }
        json_out_object(out, NULL);
        json_out_array(out, "names");
        json_out_str(out, NULL, "clone");
        json_out_end(out);
        json_out_str(out, "action", "SCMP_ACT_ALLOW");
        json_out_array(out, "args");
        json_out_object(out, NULL);
        json_out_uint(out, "index", CLONE_FLAGS_ARG);
        json_out_uint(out, "value", CLONE_NAMESPACES);
        json_out_uint(out, "valueTwo", 0);
        json_out_str(out, "op", "SCMP_CMP_MASKED_EQ");
        json_out_end(out);
        json_out_end(out);
        json_out_end(out);
    }
}

int seccomp_write(const void *bytes, size_t size, enum seccomp_kind kind, uint64_t caps,
                  const char *kernel_release, struct json_out *out, const char *key,
                  struct err *err)
{
    if (size > SECCOMP_PROFILE_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "seccomp profile: larger than %u bytes",
                       SECCOMP_PROFILE_BYTES);
    struct profile profile = {.kind = kind, .caps = caps};
    parse_kernel(kernel_release, &profile.kernel_major, &profile.kernel_minor);
    profile.root = json_parse(bytes, size, err);
    if (!profile.root)
        return err_wrap(err, "seccomp profile");
    int rc = check_profile(profile.root, err);
    if (!rc) {
        json_out_object(out, key);
        json_out_value(out, "defaultAction", json_object_get(profile.root, "defaultAction"));
        write_errno(profile.root, "defaultErrnoRet", out);
        write_architectures(profile.root, out);
        const json_t *flags = json_object_get(profile.root, "flags");
        if (json_array_size(flags))
            json_out_value(out, "flags", flags);
        json_out_array(out, "syscalls");
        const json_t *rules = json_object_get(profile.root, "syscalls");
        for (size_t i = 0; i < json_array_size(rules); i++)
            if (rule_applies(&profile, json_array_get(rules, i)))
                write_rule(&profile, json_array_get(rules, i), out);
        write_gates(&profile, out);
        json_out_end(out);
        json_out_end(out);
    }
    json_decref(profile.root);
    return rc;
}
