#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skepd/config.h"
#include "cmd/skepd/defaults.h"
#include "cmd/skepd/options.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

Suite *suite_config(void);

static struct config config;
static struct buf warnings;
static struct err err;

static void setup(void)
{
    config_init(&config);
    buf_init(&warnings, CONFIG_WARNINGS_BYTES);
    err_clear(&err);
}

static void teardown(void)
{
    config_fini(&config);
    buf_fini(&warnings);
}

#define ARGS(...)                                                                                  \
    sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[])                       \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static int parse(size_t count, const char *const *args)
{
    int result = config_parse_args(&config, count, args, &warnings, &err);
    return result ? result : config_settle(&config, &err);
}

static int parse_file(const char *text, size_t count, const char *const *args)
{
    int result = config_parse_args(&config, count, args, &warnings, &err);
    if (!result)
        result = config_parse_file(&config, text, strlen(text), count, args, &warnings, &err);
    return result ? result : config_settle(&config, &err);
}

// Goal: without anything said, the places of architecture.md.
START_TEST(config_has_defaults)
{
    ck_assert_int_eq(parse(0, NULL), 0);
    ck_assert_str_eq(config.data_root, "/var/lib/skep");
    ck_assert_str_eq(config.exec_root, "/run/skep");
    ck_assert_str_eq(config.pidfile, "/run/skep/skepd.pid");
    ck_assert_str_eq(config.config_file, "/etc/skep/daemon.json");
    ck_assert_uint_eq(config.hosts.count, 1);
    ck_assert_str_eq(config.hosts.items[0], "unix:///run/skep/skep.sock");
    ck_assert_str_eq(config.group, "");
}
END_TEST

// Goal: every way to write a flag that dockerd takes.
START_TEST(config_reads_flags)
{
    ck_assert_int_eq(parse(ARGS("--data-root", "/d", "--exec-root=/e", "-D", "-H", "unix:///a",
                                "-Hunix:///b", "-H=unix:///c", "--label", "a=b", "--init",
                                "--live-restore=false", "-Dp", "/p", "--shutdown-timeout", "7")),
                     0);
    ck_assert_str_eq(config.data_root, "/d");
    ck_assert_str_eq(config.exec_root, "/e");
    ck_assert_str_eq(config.pidfile, "/p");
    ck_assert(config.debug);
    ck_assert(config.init);
    ck_assert(!config.live_restore);
    ck_assert_uint_eq(config.hosts.count, 3);
    ck_assert_str_eq(config.hosts.items[1], "unix:///b");
    ck_assert_str_eq(config.hosts.items[2], "unix:///c");
    ck_assert_str_eq(config.labels.items[0], "a=b");
    ck_assert_int_eq(config.stop_seconds, 7);
    ck_assert_uint_eq(warnings.len, 0);
}
END_TEST

// Goal: what the operator says of containers and networks is read into what their rooms take.
START_TEST(config_reads_defaults)
{
    struct defaults defaults;
    ck_assert_msg(parse(ARGS("--dns=10.0.0.1", "--dns=fd00::1", "--dns-search=a.example",
                             "--dns-opt=rotate", "--default-ulimit=nofile=10:20",
                             "--default-ulimit=core=-1", "--default-shm-size=32m",
                             "--log-driver=local", "--log-opt=max-size=1m", "--no-new-privileges",
                             "--default-cgroupns-mode=host", "--default-ipc-mode=shareable",
                             "--default-address-pool=base=10.9.0.0/16,size=24", "--bip=10.8.0.1/20",
                             "--mtu=1400")) == 0,
                  "%s", err.message);
    ck_assert_uint_eq(warnings.len, 0);
    ck_assert_int_eq(defaults_make(&config, &defaults, &err), 0);
    const struct container_defaults *containers = &defaults.containers;
    ck_assert_uint_eq(containers->dns.count, 2);
    ck_assert_str_eq(containers->dns_options.items[0], "rotate");
    ck_assert_uint_eq(containers->ulimits_count, 2);
    ck_assert_str_eq(containers->ulimits[0].name, "nofile");
    ck_assert_int_eq(containers->ulimits[0].soft, 10);
    ck_assert_int_eq(containers->ulimits[0].hard, 20);
    ck_assert_int_eq(containers->ulimits[1].hard, -1);
    ck_assert_uint_eq(containers->shm_bytes, 32u << 20);
    ck_assert_str_eq(containers->log_driver, "local");
    ck_assert_str_eq(containers->log_options[0].value, "1m");
    ck_assert(containers->no_new_privileges && containers->cgroup_ns_host &&
              containers->ipc_shareable);
    ck_assert_uint_eq(defaults.networks.sources_count, 1);
    ck_assert_uint_eq(defaults.networks.sources[0].prefix, 24);
    ck_assert_uint_eq(defaults.networks.bridge.prefix, 20);
    ck_assert_uint_eq(defaults.networks.mtu, 1400);
    defaults_fini(&defaults);
}
END_TEST

// Goal: what has no meaning here is accepted and said; test harnesses for dockerd can start skepd.
START_TEST(config_warns_of_what_has_no_effect)
{
    ck_assert_int_eq(parse(ARGS("--userland-proxy-path=/bin/false", "--storage-driver", "overlay2",
                                "--iptables=false", "--containerd=/run/c.sock")),
                     0);
    const char *text = buf_cstr(&warnings);
    ck_assert_ptr_nonnull(strstr(text, "userland-proxy-path has no effect"));
    ck_assert_ptr_nonnull(strstr(text, "storage-driver has no effect"));
    ck_assert_ptr_nonnull(strstr(text, "iptables has no effect"));
    ck_assert_ptr_nonnull(strstr(text, "containerd has no effect"));
}
END_TEST

static const struct {
    const char *args[4];
    const char *says;
} wrong[] = {
    {{"--no-such-flag"}, "unknown flag: --no-such-flag"},
    {{"-X"}, "unknown shorthand flag: 'X'"},
    {{"--data-root"}, "flag needs an argument: --data-root"},
    {{"-H"}, "flag needs an argument: -H"},
    {{"daemon"}, "skepd accepts no arguments"},
    {{"--debug=maybe"}, "must be true or false"},
    {{"--shutdown-timeout=soon"}, "must be a number"},
    {{"--shutdown-timeout=-1"}, "must be a number"},
    {{"--log-level=loud"}, "invalid logging level: loud"},
    {{"--log-format=xml"}, "invalid log format: xml"},
    {{"--data-root=here"}, "data-root must be an absolute path"},
    {{"--pidfile=here"}, "pidfile must be an absolute path"},
    {{"--host=here"}, "invalid bind address (here)"},
    {{"--host=tcp://0.0.0.0:2375"}, "without --tlsverify"},
    {{"--tlsverify"}, "tls needs tlscert and tlskey"},
    {{"--tlsverify", "--tlscert=/c", "--tlskey=/k"}, "tlsverify needs tlscacert"},
    {{"--label=novalue"}, "bad label"},
    {{"--node-generic-resource=gpu="}, "bad node-generic-resource"},
    {{"--exec-opt=native.umask=1"}, "only native.cgroupdriver"},
    {{"--max-concurrent-downloads=0"}, "at least 1"},
    {{"--userns-remap=default"}, "userns-remap is not supported: user namespaces"},
    {{"--icc=false"}, "icc is not supported"},
    {{"--selinux-enabled"}, "selinux-enabled is not supported"},
    {{"--authorization-plugin=x"}, "authorization-plugin is not supported"},
    {{"--dns=nowhere"}, "invalid nameserver \"nowhere\""},
    {{"--dns-search=a b"}, "a b"},
    {{"--default-ulimit=nofile"}, "for default-ulimit: must be name=soft[:hard]"},
    {{"--default-ulimit=nofile=9:1"}, "less than or equal to hard limit: nofile"},
    {{"--default-ulimit=files=1"}, "invalid ulimit type: files"},
    {{"--default-shm-size=much"}, "for default-shm-size"},
    {{"--log-driver=journald"}, "no log driver named 'journald' is registered"},
    {{"--log-opt=max-size"}, "for log-opt: must be key=value"},
    {{"--log-opt=max-sise=1m"}, "unknown log opt 'max-sise' for json-file log driver"},
    {{"--log-opt=max-size=big"}, "max-size: invalid size: 'big'"},
    {{"--log-driver=local", "--log-opt=tag=x"}, "unknown log opt 'tag' for log driver local"},
    {{"--default-cgroupns-mode=mine"}, "for default-cgroupns-mode"},
    {{"--default-ipc-mode=host"}, "for default-ipc-mode"},
    {{"--default-address-pool=base=10.0.0.0/16,size=8"}, "for default-address-pool"},
    {{"--default-address-pool=size=24"}, "for default-address-pool"},
    {{"--bip=10.1.2.1"}, "for bip"},
    {{"--bip=fd00::1/64"}, "for bip"},
    {{"--mtu=10"}, "for mtu: must be 68 to 65535"},
    {{"--add-runtime=x"}, "bad add-runtime"},
    {{"--add-runtime=x=/x", "--add-runtime=x=/y"}, "runtime 'x' was already defined"},
    {{"--add-runtime=a/b=/x"}, "invalid runtime name: a/b"},
    {{"--default-runtime=other"}, "specified default runtime 'other' does not exist"},
};

// Goal: each mistake gets a message that names it.
START_TEST(config_refuses_mistakes)
{
    size_t count = 0;
    while (count < 4 && wrong[_i].args[count])
        count++;
    ck_assert_int_eq(parse(count, wrong[_i].args), -ERR_INVALID_ARGUMENT);
    ck_assert_msg(strstr(err.message, wrong[_i].says) != NULL, "wanted '%s', got '%s'",
                  wrong[_i].says, err.message);
}
END_TEST

// Goal: dockerd's defaults of refused options are fine.
START_TEST(config_accepts_harmless_values)
{
    ck_assert_int_eq(parse(ARGS("--userns-remap=", "--icc", "--rootless=false")), 0);
    ck_assert_uint_eq(warnings.len, 0);
}
END_TEST

// Goal: every form of value daemon.json may hold.
START_TEST(config_reads_the_file)
{
    const char *text =
        "{\"data-root\": \"/d\", \"hosts\": [\"unix:///a\", \"fd://\"], \"debug\": true,"
        " \"labels\": [\"a=b\"], \"log-opts\": {\"max-size\": \"10m\", \"max-file\": 3},"
        " \"default-address-pools\": [{\"base\": \"10.9.0.0/16\", \"size\": 24}],"
        " \"default-ulimits\": {\"nofile\": {\"Name\": \"nofile\", \"Soft\": 1, \"Hard\": 2}},"
        " \"runtimes\": {\"mine\": {\"path\": \"/bin/mine\"}}, \"shutdown-timeout\": 3,"
        " \"storage-driver\": \"overlay2\", \"features\": {\"buildkit\": true}}";
    ck_assert_msg(parse_file(text, 0, NULL) == 0, "%s", err.message);
    ck_assert_str_eq(config.data_root, "/d");
    ck_assert_uint_eq(config.hosts.count, 2);
    ck_assert(config.debug);
    ck_assert_str_eq(config.address_pools.items[0], "base=10.9.0.0/16,size=24");
    ck_assert_str_eq(config.runtimes.items[0], "mine=/bin/mine");
    ck_assert_int_eq(config.stop_seconds, 3);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&warnings), "storage-driver has no effect"));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&warnings), "features has no effect"));
    ck_assert_str_eq(config.log_opts.items[0], "max-size=10m");
    ck_assert_str_eq(config.ulimits.items[0], "nofile=1:2");
}
END_TEST

static const struct {
    const char *text, *says;
} wrong_files[] = {
    {"{", "invalid JSON at line 1"},
    {"[]", "must be an object"},
    {"{\"debug\": 1,}", "invalid JSON at line 1"},
    {"{\"no-such-key\": 1}", "don't match any configuration option: no-such-key"},
    {"{\"host\": [\"unix:///a\"]}", "don't match any configuration option: host"},
    {"{\"hosts\": \"unix:///a\"}", "\"hosts\" must be an array of texts"},
    {"{\"hosts\": [1]}", "\"hosts\" must be an array of texts"},
    {"{\"data-root\": [\"/d\"]}", "\"data-root\" must be a text"},
    {"{\"debug\": \"perhaps\"}", "must be true or false"},
    {"{\"default-address-pools\": [{\"base\": \"10.0.0.0/8\"}]}", "must be an array of {\"base\""},
    {"{\"runtimes\": {\"x\": {\"path\": \"/x\", \"runtimeArgs\": [\"-y\"]}}}",
     "runtimeArgs of runtime x is not supported"},
    {"{\"userns-remap\": \"default\"}", "userns-remap is not supported"},
    {"{\"labels\": [\"c=d\"]}", "both as a flag and in the configuration file: labels"},
    {"{\"graph\": \"/d\"}", "both as a flag and in the configuration file: graph"},
};

// Goal: a file with a mistake stops the start with a message that names it, and so does an option
// that is given twice (the flags here are --label and --data-root).
START_TEST(config_refuses_wrong_files)
{
    size_t flags = _i >= 12 ? 2 : 0;
    const char *args[] = {"--label=a=b", "--data-root=/d"};
    ck_assert_int_eq(parse_file(wrong_files[_i].text, flags, args), -ERR_INVALID_ARGUMENT);
    ck_assert_msg(strstr(err.message, wrong_files[_i].says) != NULL, "wanted '%s', got '%s'",
                  wrong_files[_i].says, err.message);
}
END_TEST

// Goal: a file with nothing in it is as good as none.
START_TEST(config_accepts_an_empty_file)
{
    ck_assert_int_eq(parse_file(" \n", 0, NULL), 0);
    ck_assert_str_eq(config.data_root, "/var/lib/skep");
}
END_TEST

// Goal: no option takes more values than the limit.
START_TEST(config_bounds_lists)
{
    static const char *args[CONFIG_LIST_MAX + 1];
    for (size_t i = 0; i < COUNT_OF(args); i++)
        args[i] = "--label=a=b";
    ck_assert_int_eq(parse(CONFIG_LIST_MAX, args), 0);
    config_fini(&config);
    config_init(&config);
    ck_assert_int_eq(parse(CONFIG_LIST_MAX + 1, args), -ERR_INVALID_ARGUMENT);
}
END_TEST

// Goal: a reload takes over what may change and names what may not.
START_TEST(config_reloads)
{
    struct config fresh;
    config_init(&fresh);
    ck_assert_int_eq(parse(ARGS("--label=a=b")), 0);
    ck_assert_int_eq(
        config_parse_args(&fresh, ARGS("--label=c=d", "-D", "--data-root=/new"), &warnings, &err),
        0);
    ck_assert_int_eq(config_settle(&fresh, &err), 0);
    ck_assert(config_reload(&config, &fresh, &warnings));
    ck_assert(config.debug);
    ck_assert_str_eq(config.labels.items[0], "c=d");
    ck_assert_str_eq(config.data_root, "/var/lib/skep");
    ck_assert_str_eq(buf_cstr(&warnings), "data-root changes only with a restart\n");
    ck_assert(!config_reload(&config, &config, &warnings));
    config_fini(&fresh);
}
END_TEST

// Goal: the table has no name twice, and says why for each row.
START_TEST(options_are_sound)
{
    for (size_t i = 0; i < options_count; i++) {
        const struct option *option = &options[i];
        ck_assert(option->flag || option->key);
        if (option->flag)
            ck_assert_ptr_eq(option_by_flag(option->flag, strlen(option->flag)), option);
        if (option->key)
            ck_assert_ptr_eq(option_by_key(option->key), option);
        if (option->letter)
            ck_assert_ptr_eq(option_by_letter(option->letter), option);
        ck_assert(option->use == OPTION_USED || option->why);
        ck_assert_int_eq(option->use == OPTION_REFUSED, option->harmless != NULL);
    }
}
END_TEST

// dockerd 20.10's flags; those that take no value have "=".
static const char *const dockerd_flags =
    "add-runtime allow-nondistributable-artifacts api-cors-header authorization-plugin bip bridge "
    "cgroup-parent config-file containerd containerd-namespace containerd-plugins-namespace "
    "cpu-rt-period cpu-rt-runtime cri-containerd= data-root debug= default-address-pool "
    "default-cgroupns-mode default-gateway default-gateway-v6 default-ipc-mode default-runtime "
    "default-shm-size default-ulimit dns dns-opt dns-search exec-opt exec-root experimental= "
    "fixed-cidr fixed-cidr-v6 group help= host host-gateway-ip icc= init= init-path "
    "insecure-registry ip ip-forward= ip-masq= ip6tables= iptables= ipv6= label live-restore= "
    "log-driver log-level log-opt max-concurrent-downloads max-concurrent-uploads "
    "max-download-attempts metrics-addr mtu network-control-plane-mtu no-new-privileges= "
    "node-generic-resource oom-score-adjust pidfile raw-logs= registry-mirror rootless= "
    "seccomp-profile selinux-enabled= shutdown-timeout storage-driver storage-opt "
    "swarm-default-advertise-addr tls= tlscacert tlscert tlskey tlsverify= userland-proxy= "
    "userland-proxy-path userns-remap version=";

// Goal: each of dockerd's flags is known here, takes a value where it does there, and has a key in
// the file unless it is for the command line alone.
START_TEST(options_have_all_of_dockerd)
{
    static const char *const only_flags[] = {"config-file", "help", "version"};
    const char *text = dockerd_flags;
    struct str_part name;
    while (str_split(&text, ' ', &name)) {
        bool truth = name.at[name.len - 1] == '=';
        name.len -= truth;
        const struct option *option = option_by_flag(name.at, name.len);
        ck_assert_msg(option != NULL, "%.*s is not known", (int)name.len, name.at);
        ck_assert_msg(truth == (option->kind == OPTION_BOOL), "%s", option->flag);
        bool alone = false;
        for (size_t i = 0; i < COUNT_OF(only_flags); i++)
            alone |= str_part_is(name, only_flags[i]);
        ck_assert_msg(alone == (option->key == NULL), "%s", option->flag);
    }
}
END_TEST

// Goal: help names what has an effect and nothing else.
START_TEST(config_helps)
{
    char *text = config_help();
    ck_assert_ptr_nonnull(strstr(text, "--data-root"));
    ck_assert_ptr_nonnull(strstr(text, "-H, --host"));
    ck_assert_ptr_null(strstr(text, "--storage-driver"));
    free(text);
}
END_TEST

Suite *suite_config(void)
{
    Suite *suite = suite_create("config");
    TCase *tcase = tcase_create("config");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, config_has_defaults);
    tcase_add_test(tcase, config_reads_flags);
    tcase_add_test(tcase, config_reads_defaults);
    tcase_add_test(tcase, config_warns_of_what_has_no_effect);
    tcase_add_loop_test(tcase, config_refuses_mistakes, 0, (int)COUNT_OF(wrong));
    tcase_add_test(tcase, config_accepts_harmless_values);
    tcase_add_test(tcase, config_reads_the_file);
    tcase_add_loop_test(tcase, config_refuses_wrong_files, 0, (int)COUNT_OF(wrong_files));
    tcase_add_test(tcase, config_accepts_an_empty_file);
    tcase_add_test(tcase, config_bounds_lists);
    tcase_add_test(tcase, config_reloads);
    tcase_add_test(tcase, options_are_sound);
    tcase_add_test(tcase, options_have_all_of_dockerd);
    tcase_add_test(tcase, config_helps);
    suite_add_tcase(suite, tcase);
    return suite;
}
