#include "agent/oci/seccomp_bpf_io.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define ARGS_MAX 6

static int to_action(const char *name, unsigned errno_ret, uint32_t *out, struct err *err)
{
    const struct {
        const char *name;
        uint32_t action;
    } rows[] = {
        {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
        {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(errno_ret)},
        {"SCMP_ACT_KILL", SCMP_ACT_KILL},
        {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
        {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
        {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
        {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(errno_ret)},
        {"SCMP_ACT_LOG", SCMP_ACT_LOG},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (str_equal(rows[i].name, name)) {
            *out = rows[i].action;
            return 0;
        }
    return err_set(err, ERR_UNIMPLEMENTED, "seccomp action %s", str_or(name, ""));
}

static int to_operator(const char *name, enum scmp_compare *out, struct err *err)
{
    static const struct {
        const char *name;
        enum scmp_compare op;
    } rows[] = {
        {"SCMP_CMP_NE", SCMP_CMP_NE},
        {"SCMP_CMP_LT", SCMP_CMP_LT},
        {"SCMP_CMP_LE", SCMP_CMP_LE},
        {"SCMP_CMP_EQ", SCMP_CMP_EQ},
        {"SCMP_CMP_GE", SCMP_CMP_GE},
        {"SCMP_CMP_GT", SCMP_CMP_GT},
        {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (str_equal(rows[i].name, name)) {
            *out = rows[i].op;
            return 0;
        }
    return err_set(err, ERR_UNIMPLEMENTED, "seccomp operator %s", str_or(name, ""));
}

// errno 1 (EPERM) is what runtimes answer when a profile does not say.
static unsigned errno_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (unsigned)json_integer_value(value) & 0xffff : EPERM;
}

static int take_args(const json_t *list, struct scmp_arg_cmp *out, struct err *err)
{
    if (json_array_size(list) > ARGS_MAX)
        return err_set(err, ERR_UNIMPLEMENTED, "seccomp rule with more than %d arguments",
                       ARGS_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *arg = json_array_get(list, i);
        int rc = to_operator(json_string_value(json_object_get(arg, "op")), &out[i].op, err);
        if (rc)
            return rc;
        out[i].arg = (unsigned)json_integer_value(json_object_get(arg, "index"));
        out[i].datum_a = (scmp_datum_t)json_integer_value(json_object_get(arg, "value"));
        out[i].datum_b = (scmp_datum_t)json_integer_value(json_object_get(arg, "valueTwo"));
    }
    return 0;
}

static int add_rule(scmp_filter_ctx filter, const json_t *rule, uint32_t fallback, struct err *err)
{
    struct scmp_arg_cmp args[ARGS_MAX];
    const json_t *list = json_object_get(rule, "args");
    uint32_t action;
    int rc = to_action(json_string_value(json_object_get(rule, "action")),
                       errno_of(rule, "errnoRet"), &action, err);
    if (!rc)
        rc = take_args(list, args, err);
    // A rule that says what is so anyway is one that libseccomp refuses.
    if (rc || action == fallback)
        return rc;
    const json_t *names = json_object_get(rule, "names");
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        int number = seccomp_syscall_resolve_name(str_or(name, ""));
        if (number == __NR_SCMP_ERROR)
            continue;
        int failed =
            seccomp_rule_add_array(filter, action, number, (unsigned)json_array_size(list), args);
        if (failed && failed != -EEXIST)
            return err_set_errno(err, failed, "seccomp rule for %s", name);
    }
    return 0;
}

static int add_architectures(scmp_filter_ctx filter, const json_t *list, struct err *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        // "SCMP_ARCH_X86_64" is "x86_64" to the library.
        const char *name = json_string_value(json_array_get(list, i));
        char lower[32] = "";
        if (!name || !str_starts(name, "SCMP_ARCH_") || !str_copy(lower, sizeof lower, name + 10))
            return err_set(err, ERR_UNIMPLEMENTED, "seccomp architecture %s", str_or(name, ""));
        for (char *at = lower; *at; at++)
            if (*at >= 'A' && *at <= 'Z')
                *at = (char)(*at - 'A' + 'a');
        uint32_t token = seccomp_arch_resolve_name(lower);
        if (!token)
            return err_set(err, ERR_UNIMPLEMENTED, "seccomp architecture %s", name);
        int failed = seccomp_arch_add(filter, token);
        if (failed && failed != -EEXIST)
            return err_set_errno(err, failed, "seccomp architecture %s", name);
    }
    return 0;
}

static int export_program(scmp_filter_ctx filter, struct buf *out, struct err *err)
{
    int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "make memory file");
    int failed = seccomp_export_bpf(filter, fd);
    int rc = failed ? err_set_errno(err, failed, "compile seccomp profile") : 0;
    char chunk[4096];
    ssize_t got;
    off_t at = 0;
    while (!rc && (got = pread(fd, chunk, sizeof chunk, at)) > 0) {
        buf_put(out, chunk, (size_t)got);
        at += got;
    }
    close(fd);
    if (!rc && (!buf_ok(out) || !at))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "compiled seccomp profile is too large");
    return rc;
}

int seccomp_compile(const json_t *seccomp, struct buf *out, struct err *err)
{
    uint32_t fallback;
    // Flags change how the program is loaded, which an annotation cannot say.
    if (json_array_size(json_object_get(seccomp, "flags")))
        return err_set(err, ERR_UNIMPLEMENTED, "seccomp flags");
    int rc = to_action(json_string_value(json_object_get(seccomp, "defaultAction")),
                       errno_of(seccomp, "defaultErrnoRet"), &fallback, err);
    if (rc)
        return rc;
    scmp_filter_ctx filter = seccomp_init(fallback);
    CHECK(filter);
    rc = add_architectures(filter, json_object_get(seccomp, "architectures"), err);
    const json_t *rules = json_object_get(seccomp, "syscalls");
    for (size_t i = 0; i < json_array_size(rules) && !rc; i++)
        rc = add_rule(filter, json_array_get(rules, i), fallback, err);
    if (!rc)
        rc = export_program(filter, out, err);
    seccomp_release(filter);
    return rc;
}
