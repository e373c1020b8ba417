// Every member of Config and HostConfig has a row here that says where it ends: in the runtime's
// configuration, in a refusal that names it, or at somebody else's, who is named. One without a row
// fails.
#include <check.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/config_image.h"
#include "agent/crate/config_settle.h"
#include "agent/crate/points.h"
#include "agent/crate/spec.h"
#include "agent/oci/bundle.h"
#include "agent/oci/caps.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

enum end {
    RUNTIME, // `text` is in config.json, and is not without the member
    ANSWER,  // it is refused with `text`
    FIELD,   // of the spec besides the runtime's configuration: looked at by `text`
    OTHER,   // of no business of the container's: `text` says whose
};

struct walk {
    const char *name, *value; // JSON
    enum end end;
    const char *text;
};

#define ID "c0ffee0123456789c0ffee0123456789c0ffee0123456789c0ffee0123456789"

static const struct walk config_walk[] = {
    {"Hostname", "\"box\"", RUNTIME, "\"hostname\":\"box\""},
    {"Domainname", "\"walked\"", RUNTIME, "walked"},
    {"User", "\"7:8\"", FIELD, "container_settle_user"},
    {"AttachStdin", "true", OTHER, "the client, which attaches by itself"},
    {"AttachStdout", "true", OTHER, "the client"},
    {"AttachStderr", "true", OTHER, "the client"},
    {"ExposedPorts", "{\"80/tcp\":{}}", OTHER, "crate_net_io: PublishAllPorts; inspect"},
    {"Tty", "true", RUNTIME, "\"terminal\":true"},
    {"OpenStdin", "true", FIELD, "runtime_create: conmon --stdin"},
    {"StdinOnce", "true", FIELD, "runtime_create: conmon --leave-stdin-open"},
    {"Env", "[\"A=walked\"]", RUNTIME, "A=walked"},
    {"Cmd", "[\"walked\"]", RUNTIME, "\"walked\""},
    {"Healthcheck", "{\"Test\":[\"CMD\",\"x\"]}", OTHER, "crate_health_io"},
    {"ArgsEscaped", "true", OTHER, "Windows; kept for inspect"},
    {"Image", "\"bb\"", OTHER, "crate_create_io: choose_image"},
    {"Volumes", "{\"/walked\":{}}", RUNTIME, "\"/walked\""},
    {"WorkingDir", "\"/walked\"", RUNTIME, "\"cwd\":\"/walked\""},
    {"Entrypoint", "[\"walked\"]", RUNTIME, "\"walked\""},
    {"NetworkDisabled", "true", OTHER, "host_config_settle: NetworkMode none"},
    {"MacAddress", "\"02:00:00:00:00:01\"", OTHER, "crate_net_io"},
    {"OnBuild", "[\"RUN x\"]", OTHER, "builders; docker commit"},
    {"Labels", "{\"walked\":\"1\"}", RUNTIME, "walked"},
    {"StopSignal", "\"SIGUSR1\"", FIELD, "crate_stop"},
    {"StopTimeout", "7", OTHER, "crate_stop_seconds"},
    {"Shell", "[\"/bin/walked\"]", OTHER, "crate_health_io: CMD-SHELL"},
};

static const struct walk host_walk[] = {
    {"Binds", "[\"/src:/walked\"]", RUNTIME, "\"/walked\""},
    {"ContainerIDFile", "\"/x\"", OTHER, "the client, which writes it"},
    {"LogConfig", "{\"Type\":\"json-file\",\"Config\":{\"max-size\":\"1m\"}}", FIELD,
     "logs_rotate"},
    {"NetworkMode", "\"host\"", OTHER, "crate_net_io; make_names"},
    {"PortBindings", "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", OTHER, "crate_net_io"},
    {"RestartPolicy", "{\"Name\":\"always\"}", OTHER, "crate_restart_later"},
    {"AutoRemove", "true", OTHER, "crate_life_io: OP_REMOVE after OP_CLEAN"},
    {"VolumeDriver", "\"walked\"", ANSWER, "plugin \"walked\" not found"},
    {"VolumesFrom", "[\"x\"]", OTHER, "crate_create_io: take_volumes_from"},
    {"Mounts", "[{\"Type\":\"tmpfs\",\"Target\":\"/walked\"}]", RUNTIME, "\"/walked\""},
    {"CapAdd", "[\"NET_ADMIN\"]", RUNTIME, "CAP_NET_ADMIN"},
    {"CapDrop", "[\"ALL\"]", RUNTIME, "\"bounding\":[]"},
    {"CgroupnsMode", "\"host\"", FIELD, "bundle: no cgroup namespace"},
    {"Dns", "[\"10.1.2.3\"]", FIELD, "etc_resolv_over"},
    {"DnsOptions", "[\"rotate\"]", FIELD, "etc_resolv_over"},
    {"DnsSearch", "[\"walked\"]", FIELD, "etc_resolv_over"},
    {"ExtraHosts", "[\"walked:10.1.2.3\"]", FIELD, "etc_hosts"},
    {"GroupAdd", "[\"7\"]", FIELD, "container_settle_user"},
    {"IpcMode", "\"bogus\"", ANSWER, "invalid IPC mode: bogus"},
    {"Cgroup", "\"container:x\"", ANSWER, "the option Cgroup is not supported"},
    {"Links", "[\"a:b\"]", ANSWER, "the option Links is not supported"},
    {"OomScoreAdj", "77", RUNTIME, "\"oomScoreAdj\":77"},
    {"PidMode", "\"bogus\"", ANSWER, "invalid PID mode: bogus"},
    {"Privileged", "true", RUNTIME, "CAP_SYS_MODULE"},
    {"PublishAllPorts", "true", OTHER, "crate_net_io"},
    {"ReadonlyRootfs", "true", RUNTIME, "\"readonly\":true"},
    {"SecurityOpt", "[\"no-new-privileges\"]", RUNTIME, "\"noNewPrivileges\":true"},
    {"StorageOpt", "{\"size\":\"1G\"}", ANSWER, "the option StorageOpt is not supported"},
    {"Tmpfs", "{\"/walked\":\"\"}", RUNTIME, "\"/walked\""},
    {"UTSMode", "\"bogus\"", ANSWER, "invalid UTS mode: bogus"},
    {"UsernsMode", "\"private\"", ANSWER, "invalid userns mode: private"},
    {"ShmSize", "1048576", RUNTIME, "size=1048576"},
    {"Sysctls", "{\"net.ipv4.ip_forward\":\"1\"}", RUNTIME, "net.ipv4.ip_forward"},
    {"Runtime", "\"walked\"", FIELD, "runtime_create: the program; choose_runtime"},
    {"ConsoleSize", "[24,80]", OTHER, "the client, which resizes by itself"},
    {"Isolation", "\"hyperv\"", ANSWER, "invalid isolation 'hyperv' on linux"},
    {"Annotations", "{\"walked\":\"1\"}", RUNTIME, "\"walked\":\"1\""},
    {"CpuShares", "512", RUNTIME, "\"shares\":512"},
    {"Memory", "67108864", RUNTIME, "\"limit\":67108864"},
    {"NanoCpus", "500000000", RUNTIME, "\"quota\":50000"},
    {"CgroupParent", "\"/walked\"", ANSWER, "the option CgroupParent is not supported"},
    {"BlkioWeight", "300", RUNTIME, "\"weight\":300"},
    {"BlkioWeightDevice", "[{\"Path\":\"/x\",\"Weight\":1}]", ANSWER, "BlkioWeightDevice"},
    {"BlkioDeviceReadBps", "[{\"Path\":\"/x\",\"Rate\":1}]", ANSWER, "BlkioDeviceReadBps"},
    {"BlkioDeviceWriteBps", "[{\"Path\":\"/x\",\"Rate\":1}]", ANSWER, "BlkioDeviceWriteBps"},
    {"BlkioDeviceReadIOps", "[{\"Path\":\"/x\",\"Rate\":1}]", ANSWER, "BlkioDeviceReadIOps"},
    {"BlkioDeviceWriteIOps", "[{\"Path\":\"/x\",\"Rate\":1}]", ANSWER, "BlkioDeviceWriteIOps"},
    {"CpuPeriod", "70000", RUNTIME, "\"period\":70000"},
    {"CpuQuota", "30000", RUNTIME, "\"quota\":30000"},
    {"CpuRealtimePeriod", "1", ANSWER, "CpuRealtimePeriod"},
    {"CpuRealtimeRuntime", "1", ANSWER, "CpuRealtimeRuntime"},
    {"CpusetCpus", "\"0\"", RUNTIME, "\"cpus\":\"0\""},
    {"CpusetMems", "\"0\"", RUNTIME, "\"mems\":\"0\""},
    {"Devices", "[{\"PathOnHost\":\"/dev/x\",\"PathInContainer\":\"/dev/walked\"}]", RUNTIME,
     "/dev/walked"},
    {"DeviceCgroupRules", "[\"c 7:77 rwm\"]", RUNTIME, "\"minor\":77"},
    {"DeviceRequests", "[{\"Driver\":\"x\"}]", ANSWER, "DeviceRequests"},
    {"KernelMemory", "1", ANSWER, "the option KernelMemory is not supported"},
    {"MemoryReservation", "67108864", RUNTIME, "\"reservation\":67108864"},
    {"MemorySwap", "-1", FIELD, "crate_limits, where the kernel accounts for swap"},
    {"MemorySwappiness", "7", FIELD, "crate_limits, on cgroup v1"},
    {"OomKillDisable", "true", FIELD, "crate_limits, on cgroup v1"},
    {"PidsLimit", "77", RUNTIME, "\"limit\":77"},
    {"Ulimits", "[{\"Name\":\"nofile\",\"Soft\":77,\"Hard\":88}]", RUNTIME, "\"soft\":77"},
    {"CpuCount", "1", ANSWER, "CpuCount"},
    {"CpuPercent", "1", ANSWER, "CpuPercent"},
    {"IOMaximumIOps", "1", ANSWER, "IOMaximumIOps"},
    {"IOMaximumBandwidth", "1", ANSWER, "IOMaximumBandwidth"},
    {"Init", "true", RUNTIME, "/init/program"},
    {"MaskedPaths", "[\"/walked\"]", RUNTIME, "\"/walked\""},
    {"ReadonlyPaths", "[\"/walked\"]", RUNTIME, "\"/walked\""},
};

// config.json of a container with this member, or the words of its refusal.
static void write_one(const char *config_text, const char *host_text, struct buf *out)
{
    static const struct oci_device_node nodes[4] = {{.type = 'c', .mode = 0666}};
    static const char seccomp[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}";
    static const struct image_config image;
    struct err err = ERR_INIT;
    struct arena arena;
    struct container_spec spec;
    arena_init(&arena, 16u << 20);
    json_t *raw = json_parse(config_text, strlen(config_text), NULL);
    json_t *raw_host = json_parse(host_text, strlen(host_text), NULL);
    ck_assert_msg(raw && raw_host, "%s %s", config_text, host_text);
    json_t *config = config_read(raw, &err), *host = host_config_read(raw_host, &err);
    json_t *points = NULL;
    int rc = config && host ? host_config_settle(config, host, &container_defaults_none, &err) : -1;
    if (!rc) {
        config_merge_image(config, &image);
        if (!json_array_size(config_of(config, "Cmd")))
            json_object_set_new(config, "Cmd", json_pack("[s]", "true"));
        points = points_make(config, host, &err);
        rc = points ? 0 : -1;
    }
    struct crate_plan plan = {.id = ID,
                              .name = "n",
                              .config = config,
                              .host = host,
                              .points = points,
                              .defaults = &container_defaults_none};
    const struct oci_host machine = {
        .cgroup_path = "/skep/c0ffee",
        .has_cgroup_ns = true,
        .nofile_hard_max = 1000,
        .init_path = "/init/program",
        .seccomp_json = seccomp,
        .seccomp_json_bytes = sizeof seccomp - 1,
        .kernel_release = "6.1.0",
        .files_dir = "/f",
        .etc_dir = "/e",
        .caps = CAPS_ALL,
        .device_nodes = nodes,
    };
    if (!rc)
        rc = crate_spec_make(&plan, &arena, &spec, &err);
    if (!rc) {
        spec.container.rootfs = "/root";
        for (size_t i = 0; i < spec.container.mounts_count; i++)
            if (str_empty(spec.mounts[i].source))
                spec.mounts[i].source = "/volume";
        rc = bundle_check(&spec.container, &err);
    }
    if (!rc)
        rc = bundle_write(&spec.container, &machine, out, &err);
    if (rc) {
        buf_clear(out);
        buf_put_str(out, err.message);
    }
    json_decref(points);
    json_decref(config);
    json_decref(host);
    json_decref(raw);
    json_decref(raw_host);
    arena_fini(&arena);
}

static void walk_one(const struct walk *row, bool host)
{
    char text[400];
    struct buf with, without;
    buf_init(&with, OCI_CONFIG_BYTES);
    buf_init(&without, OCI_CONFIG_BYTES);
    str_format(text, sizeof text, "{\"%s\":%s}", row->name, row->value);
    write_one(host ? "{}" : text, host ? text : "{}", &with);
    write_one("{}", "{}", &without);
    const char *got = buf_cstr(&with);
    bool made = got[0] == '{';
    ck_assert(buf_cstr(&without)[0] == '{');
    if (row->end == ANSWER)
        ck_assert_msg(!made && strstr(got, row->text), "%s: %.1000s", row->name, got);
    else
        ck_assert_msg(made, "%s: %.1000s", row->name, got);
    if (row->end == RUNTIME) {
        ck_assert_msg(strstr(got, row->text) != NULL, "%s: %.1000s", row->name, got);
        ck_assert_msg(!strstr(buf_cstr(&without), row->text), "%s changes nothing", row->name);
    }
    buf_fini(&with);
    buf_fini(&without);
}

static void walk(const struct walk *rows, size_t count, bool host)
{
    const char *name;
    for (size_t i = 0; (name = config_name(host, i)); i++) {
        size_t at = 0;
        while (at < count && !str_equal(rows[at].name, name))
            at++;
        ck_assert_msg(at < count, "%s has no row: where does it end?", name);
        walk_one(&rows[at], host);
    }
}

START_TEST(every_member_of_config_ends_somewhere)
{
    walk(config_walk, COUNT_OF(config_walk), false);
}
END_TEST

START_TEST(every_member_of_host_config_ends_somewhere)
{
    walk(host_walk, COUNT_OF(host_walk), true);
}
END_TEST

Suite *suite_walk(void);
Suite *suite_walk(void)
{
    Suite *suite = suite_create("walk");
    TCase *tcase = tcase_create("walk");
    tcase_add_test(tcase, every_member_of_config_ends_somewhere);
    tcase_add_test(tcase, every_member_of_host_config_ends_somewhere);
    suite_add_tcase(suite, tcase);
    return suite;
}
