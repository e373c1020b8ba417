// Containers as plain data become config.json; what cannot be is refused in words for users.
#include <check.h>
#include <string.h>

#include "agent/oci/bundle.h"
#include "agent/oci/caps.h"
#include "agent/oci/signals.h"
#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

static const char *const args[] = {"/bin/app", "-x"};
static const char profile[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}";

static struct oci_container plain(void)
{
    return (struct oci_container){.id = "c0ffee", .rootfs = "/root", .args = {args, 2}};
}

static struct oci_host host(void)
{
    return (struct oci_host){
        .cgroup_path = "/skep/c0ffee",
        .has_cgroup_ns = true,
        .nofile_hard_max = 1000,
        .seccomp_json = profile,
        .seccomp_json_bytes = sizeof profile - 1,
        .kernel_release = "6.1.0",
        .files_dir = "/f",
        .etc_dir = "/e",
        .caps = CAPS_ALL & ~(UINT64_C(1) << 24),
    };
}

static json_t *written(const struct oci_container *container, const struct oci_host *on,
                       struct err *err)
{
    struct buf buf;
    buf_init(&buf, OCI_CONFIG_BYTES);
    json_t *json = NULL;
    if (bundle_check(container, err) == 0 && bundle_write(container, on, &buf, err) == 0)
        json = json_parse(buf.data, buf.len, err);
    buf_fini(&buf);
    return json;
}

static json_t *must(const struct oci_container *container)
{
    struct err err = ERR_INIT;
    struct oci_host on = host();
    json_t *json = written(container, &on, &err);
    ck_assert_msg(json != NULL, "%s", err.message);
    return json;
}

static const json_t *at(const json_t *json, const char *path)
{
    struct str_part part;
    while (str_split(&path, '/', &part)) {
        char key[64];
        str_format(key, sizeof key, "%.*s", (int)part.len, part.at);
        uint64_t index;
        json = json_is_array(json) && str_to_u64(key, 10000, &index)
                   ? json_array_get(json, (size_t)index)
                   : json_object_get(json, key);
    }
    return json;
}

static const char *text_at(const json_t *json, const char *path)
{
    return str_or(json_string_value(at(json, path)), "");
}

START_TEST(defaults_are_confined)
{
    struct oci_container c = plain();
    json_t *json = must(&c);
    ck_assert_str_eq(text_at(json, "process/args/0"), "/bin/app");
    ck_assert_str_eq(text_at(json, "process/cwd"), "/");
    ck_assert_str_eq(text_at(json, "hostname"), "c0ffee");
    ck_assert_uint_eq(json_array_size(at(json, "process/capabilities/bounding")), 14);
    ck_assert_ptr_null(at(json, "process/capabilities/inheritable"));
    ck_assert_ptr_null(at(json, "process/capabilities/ambient"));
    ck_assert_uint_eq(json_array_size(at(json, "linux/namespaces")), 6);
    ck_assert_ptr_nonnull(at(json, "linux/seccomp"));
    ck_assert_uint_gt(json_array_size(at(json, "linux/maskedPaths")), 5);
    ck_assert(json_is_false(at(json, "linux/resources/devices/0/allow")));
    ck_assert_str_eq(text_at(json, "linux/cgroupsPath"), "/skep/c0ffee");
    json_decref(json);
}
END_TEST

START_TEST(the_last_variable_of_a_name_wins)
{
    const char *env[] = {"A=1", "PATH=/mine", "A=2", "GONE=1", "GONE"};
    struct oci_container c = plain();
    c.env = (struct oci_strings){env, COUNT_OF(env)};
    json_t *json = must(&c);
    const json_t *list = at(json, "process/env");
    char all[400] = "";
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t used = strlen(all);
        str_format(all + used, sizeof all - used, "%s ",
                   json_string_value(json_array_get(list, i)));
    }
    ck_assert_str_eq(all, "HOSTNAME=c0ffee PATH=/mine A=2 HOME=/ ");
    json_decref(json);
}
END_TEST

START_TEST(limits_are_translated)
{
    struct oci_container c = plain();
    c.limits =
        (struct oci_limits){.nano_cpus = 1500000000, .memory_bytes = 64 << 20, .pids_max = 9};
    struct oci_host on = host();
    on.has_swap_accounting = true;
    struct err err = ERR_INIT;
    json_t *json = written(&c, &on, &err);
    ck_assert_int_eq(json_integer_value(at(json, "linux/resources/cpu/quota")), 150000);
    ck_assert_int_eq(json_integer_value(at(json, "linux/resources/cpu/period")), 100000);
    ck_assert_int_eq(json_integer_value(at(json, "linux/resources/memory/limit")), 64 << 20);
    ck_assert_int_eq(json_integer_value(at(json, "linux/resources/memory/swap")), 128 << 20);
    ck_assert_int_eq(json_integer_value(at(json, "linux/resources/pids/limit")), 9);
    json_decref(json);
}
END_TEST

START_TEST(mounts_are_sorted_by_depth_and_files_come_last)
{
    struct oci_mount mounts[] = {
        {.kind = OCI_MOUNT_BIND, .source = "/s", .target = "/a/b/c", .readonly = true},
        {.kind = OCI_MOUNT_TMPFS,
         .target = "/a",
         .tmpfs_size_bytes = 4096,
         .tmpfs_options = "exec,uid=3"},
    };
    struct oci_file files[] = {{.target = "/run/secrets/x", .data = "", .size = 0, .mode = 0400}};
    struct oci_container c = plain();
    c.mounts = mounts;
    c.mounts_count = 2;
    c.files = files;
    c.files_count = 1;
    json_t *json = must(&c);
    const json_t *list = at(json, "mounts");
    size_t count = json_array_size(list);
    ck_assert_str_eq(text_at(json_array_get(list, count - 3), "destination"), "/a");
    ck_assert_str_eq(text_at(json_array_get(list, count - 2), "destination"), "/a/b/c");
    ck_assert_str_eq(text_at(json_array_get(list, count - 1), "destination"), "/run/secrets/x");
    ck_assert_str_eq(text_at(json_array_get(list, count - 1), "source"), "/f/0");
    ck_assert_str_eq(text_at(json_array_get(list, count - 3), "options/6"), "exec");
    json_decref(json);
}
END_TEST

START_TEST(namespaces_may_be_the_host_s_or_given)
{
    struct oci_container c = plain();
    c.net = (struct oci_namespace){OCI_NS_PATH, "/run/netns/x"};
    c.pid.mode = OCI_NS_HOST;
    c.uts.mode = OCI_NS_HOST;
    json_t *json = must(&c);
    const json_t *list = at(json, "linux/namespaces");
    ck_assert_uint_eq(json_array_size(list), 4);
    ck_assert_ptr_null(at(json, "hostname"));
    bool found = false;
    for (size_t i = 0; i < json_array_size(list); i++)
        found |= str_equal(text_at(json_array_get(list, i), "path"), "/run/netns/x");
    ck_assert(found);
    ck_assert_str_eq(text_at(json, "linux/sysctl/net.ipv4.ip_unprivileged_port_start"), "0");
    json_decref(json);
    c.net.mode = OCI_NS_HOST;
    json = must(&c);
    ck_assert_uint_eq(json_object_size(at(json, "linux/sysctl")), 0);
    json_decref(json);
}
END_TEST

static void refused(const struct oci_container *c, enum err_code code, const char *words)
{
    struct err err = ERR_INIT;
    struct oci_host on = host();
    json_t *json = written(c, &on, &err);
    ck_assert_ptr_null(json);
    ck_assert_msg(err.code == code && strstr(err.message, words), "%d %s", err.code, err.message);
}

START_TEST(what_cannot_be_is_refused_in_words)
{
    struct oci_container c = plain();
    c.id = "../x";
    refused(&c, ERR_INVALID_ARGUMENT, "invalid container id");
    c = plain();
    c.args.count = 0;
    refused(&c, ERR_INVALID_ARGUMENT, "no command specified");
    c = plain();
    c.cwd = "relative";
    refused(&c, ERR_INVALID_ARGUMENT, "absolute path");
    c = plain();
    struct oci_mount up = {.source = "/s", .target = "/a/../../etc"};
    c.mounts = &up;
    c.mounts_count = 1;
    refused(&c, ERR_INVALID_ARGUMENT, "without \"..\"");
    up.target = "//";
    refused(&c, ERR_INVALID_ARGUMENT, "must not be \"/\"");
    struct oci_mount twice[] = {{.source = "/s", .target = "/a"}, {.source = "/s", .target = "/a"}};
    c.mounts = twice;
    c.mounts_count = 2;
    refused(&c, ERR_INVALID_ARGUMENT, "duplicate mount point: /a");
    c = plain();
    c.limits.memory_bytes = 1000;
    refused(&c, ERR_INVALID_ARGUMENT, "6MB");
    c = plain();
    c.cap_add = (struct oci_strings){(const char *const[]){"FLY"}, 1};
    refused(&c, ERR_INVALID_ARGUMENT, "unknown capability");
    c.cap_add = (struct oci_strings){(const char *const[]){"sys_resource"}, 1};
    refused(&c, ERR_FAILED_PRECONDITION, "CAP_SYS_RESOURCE");
    c = plain();
    c.init = true;
    refused(&c, ERR_FAILED_PRECONDITION, "init process");
    c = plain();
    c.apparmor_profile = "strict";
    refused(&c, ERR_FAILED_PRECONDITION, "AppArmor");
    c.apparmor_profile = "a\nb";
    refused(&c, ERR_INVALID_ARGUMENT, "AppArmor profile name");
    c = plain();
    c.oom_score_adj_set = true;
    c.oom_score_adj = -5;
    refused(&c, ERR_FAILED_PRECONDITION, "CAP_SYS_RESOURCE");
    c = plain();
    struct oci_ulimit limit = {"nofile", 5000, 5000};
    c.ulimits = &limit;
    c.ulimits_count = 1;
    refused(&c, ERR_FAILED_PRECONDITION, "nofile");
    limit = (struct oci_ulimit){"nonsense", 1, 1};
    refused(&c, ERR_INVALID_ARGUMENT, "invalid ulimit type");
    c = plain();
    struct oci_pair sysctl = {"kernel.hostname", "x"};
    c.sysctls = &sysctl;
    c.sysctls_count = 1;
    refused(&c, ERR_INVALID_ARGUMENT, "not in a separate kernel namespace");
    c = plain();
    struct oci_pair order = {"run.oci.seccomp_bpf_data", "AAAA"};
    c.annotations = &order;
    c.annotations_count = 1;
    refused(&c, ERR_INVALID_ARGUMENT, "not allowed");
    c = plain();
    c.device_rules = (struct oci_strings){(const char *const[]){"c 1:3 rwmx"}, 1};
    refused(&c, ERR_INVALID_ARGUMENT, "invalid device cgroup rule");
}
END_TEST

START_TEST(no_default_profile_is_no_way_around_seccomp)
{
    struct oci_container c = plain();
    struct oci_host on = host();
    struct err err = ERR_INIT;
    on.seccomp_json = NULL;
    ck_assert_ptr_null(written(&c, &on, &err));
    ck_assert_int_eq(err.code, ERR_FAILED_PRECONDITION);
}
END_TEST

START_TEST(exec_takes_over_the_container_s_process)
{
    struct oci_container c = plain();
    const char *env[] = {"A=1", "B=2"};
    c.env = (struct oci_strings){env, 2};
    c.uid = 5;
    struct oci_host on = host();
    struct buf config, process;
    struct err err = ERR_INIT;
    buf_init(&config, OCI_CONFIG_BYTES);
    buf_init(&process, OCI_CONFIG_BYTES);
    ck_assert_int_eq(bundle_write(&c, &on, &config, &err), 0);
    const char *run[] = {"id"};
    const char *more[] = {"B=3", "C=4"};
    struct oci_exec exec = {.args = {run, 1}, .env = {more, 2}, .tty = true};
    ck_assert_int_eq(bundle_write_exec(&exec, config.data, config.len, CAPS_ALL, &process, &err),
                     0);
    json_t *json = json_parse(process.data, process.len, &err);
    ck_assert_str_eq(text_at(json, "args/0"), "id");
    ck_assert_int_eq(json_integer_value(at(json, "user/uid")), 5);
    ck_assert(json_is_true(at(json, "terminal")));
    ck_assert_uint_eq(json_array_size(at(json, "capabilities/bounding")), 14);
    const char *text = buf_cstr(&process);
    ck_assert_ptr_nonnull(strstr(text, "\"A=1\""));
    ck_assert_ptr_nonnull(strstr(text, "\"B=3\""));
    ck_assert_ptr_null(strstr(text, "\"B=2\""));
    json_decref(json);
    buf_clear(&process);
    exec.args.count = 0;
    ck_assert_int_eq(bundle_write_exec(&exec, config.data, config.len, 0, &process, &err),
                     -ERR_INVALID_ARGUMENT);
    buf_fini(&config);
    buf_fini(&process);
}
END_TEST

START_TEST(capabilities_combine_as_docker_does)
{
    static const struct {
        const char *add;
        const char *drop;
        unsigned count;
    } rows[] = {
        {NULL, NULL, 14},       {"NET_ADMIN", NULL, 15}, {NULL, "cap_chown", 13}, {"ALL", NULL, 41},
        {"all", "NET_RAW", 40}, {NULL, "ALL", 0},        {"CHOWN", "ALL", 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct oci_strings add = {&rows[i].add, rows[i].add != NULL};
        struct oci_strings drop = {&rows[i].drop, rows[i].drop != NULL};
        uint64_t set;
        ck_assert_int_eq(caps_combine(&add, &drop, &set, NULL), 0);
        ck_assert_int_eq(__builtin_popcountll(set), rows[i].count);
    }
}
END_TEST

START_TEST(signals_have_names_and_numbers)
{
    ck_assert_int_eq(signal_of_name("SIGTERM"), 15);
    ck_assert_int_eq(signal_of_name("kill"), 9);
    ck_assert_int_eq(signal_of_name("SIGRTMIN+3"), 37);
    ck_assert_int_eq(signal_of_name("RTMAX-1"), 63);
    ck_assert_int_eq(signal_of_name("10"), 10);
    ck_assert_int_eq(signal_of_name("65"), 0);
    ck_assert_int_eq(signal_of_name("SIGNOPE"), 0);
    ck_assert_int_eq(signal_of_name(""), 0);
}
END_TEST

Suite *suite_bundle(void);
Suite *suite_bundle(void)
{
    Suite *suite = suite_create("bundle");
    TCase *tcase = tcase_create("bundle");
    tcase_add_test(tcase, defaults_are_confined);
    tcase_add_test(tcase, the_last_variable_of_a_name_wins);
    tcase_add_test(tcase, limits_are_translated);
    tcase_add_test(tcase, mounts_are_sorted_by_depth_and_files_come_last);
    tcase_add_test(tcase, namespaces_may_be_the_host_s_or_given);
    tcase_add_test(tcase, what_cannot_be_is_refused_in_words);
    tcase_add_test(tcase, no_default_profile_is_no_way_around_seccomp);
    tcase_add_test(tcase, exec_takes_over_the_container_s_process);
    tcase_add_test(tcase, capabilities_combine_as_docker_does);
    tcase_add_test(tcase, signals_have_names_and_numbers);
    suite_add_tcase(suite, tcase);
    return suite;
}
