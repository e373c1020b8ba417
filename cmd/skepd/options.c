#include "cmd/skepd/options.h"

#include <string.h>

#include "cmd/skepd/config.h"
#include "proto/base/check.h"

#define AT(member) offsetof(struct config, member)

// USED(flag, letter, key, kind, member, reloads, help)
#define USED(f, l, k, t, m, r, h)                                                                  \
    {                                                                                              \
        .flag = f, .letter = l, .key = k, .kind = OPTION_##t, .use = OPTION_USED, .offset = AT(m), \
        .reloads = r, .why = h                                                                     \
    }
// NONE(flag, letter, key, kind, why it means nothing here)
#define NONE(f, l, k, t, w)                                                                        \
    {                                                                                              \
        .flag = f, .letter = l, .key = k, .kind = OPTION_##t, .use = OPTION_MEANINGLESS, .why = w  \
    }
// REFUSE(flag, letter, key, kind, harmless value, why not)
#define REFUSE(f, l, k, t, v, w)                                                                   \
    {                                                                                              \
        .flag = f, .letter = l, .key = k, .kind = OPTION_##t, .use = OPTION_REFUSED,               \
        .harmless = v, .why = w                                                                    \
    }

#define NO_CONTAINERD "containers are started by crun or runc under conmon"
#define NO_DRIVER     "image layers are always on overlayfs"
#define OWN_RULES     "Skep keeps its rules in a table of its own and always needs them"

// clang-format off
const struct option options[] = {
    USED("config-file", 0, NULL, TEXT, config_file, false, "daemon configuration file"),
    USED("data-root", 'g', "data-root", TEXT, data_root, false, "where everything lasting lies"),
    USED("graph", 0, "graph", TEXT, data_root, false, NULL),
    USED("exec-root", 0, "exec-root", TEXT, exec_root, false, "where run-time files lie"),
    USED("pidfile", 'p', "pidfile", TEXT, pidfile, false, "file for the daemon's process id"),

    USED("host", 'H', "hosts", LIST, hosts, false, "API socket: unix://, tcp:// or fd://"),
    USED("group", 'G', "group", TEXT, group, false, "group of the unix socket"),
    USED("tls", 0, "tls", BOOL, tls, false, "TLS on tcp:// sockets"),
    USED("tlsverify", 0, "tlsverify", BOOL, tls_verify, false, "TLS, and verify clients"),
    USED("tlscacert", 0, "tlscacert", TEXT, tls_ca, false, "trust what this CA signed"),
    USED("tlscert", 0, "tlscert", TEXT, tls_cert, false, "TLS certificate file"),
    USED("tlskey", 0, "tlskey", TEXT, tls_key, false, "TLS key file"),

    USED("debug", 'D', "debug", BOOL, debug, true, "log everything"),
    USED("log-level", 'l', "log-level", TEXT, log_level, true,
         "lowest level logged: debug, info, warn, error, fatal"),
    USED("log-format", 0, "log-format", TEXT, log_format, false, "log as text or json"),

    USED("label", 0, "labels", LIST, labels, true, "key=value labels of this node's engine"),
    USED("node-generic-resource", 0, "node-generic-resources", LIST, generic_resources, true,
         "advertise a resource: kind=name or kind=count"),
    USED("default-address-pool", 0, "default-address-pools", POOLS, address_pools, false,
         "pool for node-local networks: base=10.0.0.0/8,size=24"),
    USED("swarm-default-advertise-addr", 0, "swarm-default-advertise-addr", TEXT, advertise_addr,
         false, "address or interface to advertise in a swarm"),
    USED("metrics-addr", 0, "metrics-addr", TEXT, metrics_addr, false,
         "serve metrics at host:port"),

    USED("insecure-registry", 0, "insecure-registries", LIST, insecure_registries, true,
         "registry that may be used without verified TLS"),
    USED("registry-mirror", 0, "registry-mirrors", LIST, registry_mirrors, true,
         "registry asked for docker.io's images first: https://host:port"),
    USED("max-concurrent-downloads", 0, "max-concurrent-downloads", NUMBER, downloads_max, true,
         "images pulled at one time"),

    USED("init", 0, "init", BOOL, init, false, "run an init in containers"),
    USED("init-path", 0, "init-path", TEXT, init_path, false, "that init"),
    USED("default-runtime", 0, "default-runtime", TEXT, runtime, true, "crun, runc or another"),
    USED("add-runtime", 0, "runtimes", RUNTIMES, runtimes, true, "another runtime: name=path"),
    USED("exec-opt", 0, "exec-opts", LIST, exec_opts, false,
         "native.cgroupdriver=cgroupfs"),
    USED("cgroup-parent", 0, "cgroup-parent", TEXT, cgroup_parent, false,
         "parent cgroup of containers"),
    USED("seccomp-profile", 0, "seccomp-profile", TEXT, seccomp_profile, false,
         "seccomp profile for containers"),
    USED("shutdown-timeout", 0, "shutdown-timeout", NUMBER, stop_seconds, true,
         "seconds containers get to stop"),
    USED("live-restore", 0, "live-restore", BOOL, live_restore, true,
         "containers run on when the daemon stops"),

    USED("dns", 0, "dns", LIST, dns, false, "name server of containers"),
    USED("dns-opt", 0, "dns-opts", LIST, dns_opts, false, "option for the resolver of containers"),
    USED("dns-search", 0, "dns-search", LIST, dns_search, false, "search domain of containers"),
    USED("default-shm-size", 0, "default-shm-size", TEXT, shm_size, true,
         "size of containers' /dev/shm: 64m"),
    USED("default-ulimit", 0, "default-ulimits", ULIMITS, ulimits, false,
         "limit of containers: nofile=1024:2048"),
    USED("log-driver", 0, "log-driver", TEXT, log_driver, false,
         "where containers' output goes: json-file, local, none"),
    USED("log-opt", 0, "log-opts", MAP, log_opts, false, "option of that driver: max-size=10m"),
    USED("no-new-privileges", 0, "no-new-privileges", BOOL, no_new_privileges, false,
         "containers cannot gain privileges"),
    USED("default-cgroupns-mode", 0, "default-cgroupns-mode", TEXT, cgroupns, false,
         "cgroup namespace of containers: private, host"),
    USED("default-ipc-mode", 0, "default-ipc-mode", TEXT, ipc, false,
         "IPC namespace of containers: private, shareable"),
    USED("bip", 0, "bip", TEXT, bip, false, "address of the default bridge: 10.1.2.1/24"),
    USED("mtu", 0, "mtu", NUMBER, mtu, false, "largest packet on the default bridge"),
    USED("userland-proxy", 0, "userland-proxy", BOOL, userland_proxy, false,
         "published ports answer on IPv6 addresses, by a relay"),

    USED("help", 'h', NULL, BOOL, show_help, false, "this text"),
    USED("version", 'v', NULL, BOOL, show_version, false, "the version"),
    USED("validate", 0, NULL, BOOL, validate, false, "check the configuration and exit"),

    NONE("containerd", 0, "containerd", TEXT, NO_CONTAINERD),
    NONE("containerd-namespace", 0, "containerd-namespace", TEXT, NO_CONTAINERD),
    NONE("containerd-plugins-namespace", 0, "containerd-plugin-namespace", TEXT, NO_CONTAINERD),
    NONE("cri-containerd", 0, "cri-containerd", BOOL, NO_CONTAINERD),
    NONE("userland-proxy-path", 0, "userland-proxy-path", TEXT, "the relay is skepd's own"),
    NONE("storage-driver", 's', "storage-driver", TEXT, NO_DRIVER),
    NONE("storage-opt", 0, "storage-opts", LIST, NO_DRIVER),
    NONE("iptables", 0, "iptables", BOOL, OWN_RULES),
    NONE("ip6tables", 0, "ip6tables", BOOL, OWN_RULES),
    NONE("ip-forward", 0, "ip-forward", BOOL, "forwarding is switched on where networks need it"),
    NONE("ip-masq", 0, "ip-masq", BOOL, OWN_RULES),
    NONE("experimental", 0, "experimental", BOOL, "there are no experimental features"),
    NONE("raw-logs", 0, "raw-logs", BOOL, "logs have no colours"),
    NONE("max-download-attempts", 0, "max-download-attempts", NUMBER, "skopeo tries again itself"),
    NONE("max-concurrent-uploads", 0, "max-concurrent-uploads", NUMBER,
         "skopeo has limits of its own"),
    NONE("allow-nondistributable-artifacts", 0, "allow-nondistributable-artifacts", LIST,
         "layers are pushed as they are"),
    NONE("network-control-plane-mtu", 0, "network-control-plane-mtu", NUMBER,
         "gossip fits into the smallest packets"),
    NONE("oom-score-adjust", 0, "oom-score-adjust", NUMBER, "the service unit sets it"),
    NONE("cpu-rt-period", 0, "cpu-rt-period", NUMBER, "containers get no real-time budget"),
    NONE("cpu-rt-runtime", 0, "cpu-rt-runtime", NUMBER, "containers get no real-time budget"),
    NONE(NULL, 0, "deprecated-key-path", TEXT, "images are not signed by nodes"),
    NONE(NULL, 0, "features", MAP, "there are no optional features"),
    NONE(NULL, 0, "builder", MAP, "images are not built here"),

    REFUSE("rootless", 0, "rootless", BOOL, "false", "skepd needs root for namespaces and mounts"),
    REFUSE("userns-remap", 0, "userns-remap", TEXT, "", "user namespaces are not supported"),
    REFUSE("selinux-enabled", 0, "selinux-enabled", BOOL, "false", "SELinux is not supported"),
    REFUSE("authorization-plugin", 0, "authorization-plugins", LIST, "",
           "there are no plugins; limit who may open the socket"),
    REFUSE("icc", 0, "icc", BOOL, "true", "containers of one network can always talk"),
    REFUSE("ipv6", 0, "ipv6", BOOL, "false", "the default bridge has no IPv6"),
    REFUSE("bridge", 'b', "bridge", TEXT, "", "the bridge of containers is skepd's own"),
    REFUSE("fixed-cidr", 0, "fixed-cidr", TEXT, "", "use --default-address-pool"),
    REFUSE("fixed-cidr-v6", 0, "fixed-cidr-v6", TEXT, "", "the default bridge has no IPv6"),
    REFUSE("default-gateway", 0, "default-gateway", TEXT, "", "the gateway is the bridge"),
    REFUSE("default-gateway-v6", 0, "default-gateway-v6", TEXT, "", "the bridge has no IPv6"),
    REFUSE("ip", 0, "ip", TEXT, "0.0.0.0", "ports are published on all addresses"),
    REFUSE("host-gateway-ip", 0, "host-gateway-ip", TEXT, "", "host-gateway is the bridge"),
    REFUSE("api-cors-header", 0, "api-cors-header", TEXT, "", "no browser should drive the API"),
    REFUSE("cluster-store", 0, "cluster-store", TEXT, "", "swarm mode needs no external store"),
    REFUSE("cluster-advertise", 0, "cluster-advertise", TEXT, "",
           "swarm mode needs no external store"),
    REFUSE("cluster-store-opt", 0, "cluster-store-opts", MAP, "",
           "swarm mode needs no external store"),
};
// clang-format on

const size_t options_count = COUNT_OF(options);

const struct option *option_by_flag(const char *flag, size_t length)
{
    for (size_t i = 0; i < options_count; i++) {
        const char *name = options[i].flag;
        if (name && strlen(name) == length && memcmp(name, flag, length) == 0)
            return &options[i];
    }
    return NULL;
}

const struct option *option_by_letter(char letter)
{
    CHECK(letter != 0);
    for (size_t i = 0; i < options_count; i++)
        if (options[i].letter == letter)
            return &options[i];
    return NULL;
}

const struct option *option_by_key(const char *key)
{
    for (size_t i = 0; i < options_count; i++)
        if (options[i].key && strcmp(options[i].key, key) == 0)
            return &options[i];
    return NULL;
}

const char *option_name(const struct option *option)
{
    return option->flag ? option->flag : option->key;
}

const char *option_form(enum option_kind kind)
{
    switch (kind) {
    case OPTION_BOOL:
        return "true or false";
    case OPTION_NUMBER:
        return "a number";
    case OPTION_TEXT:
        return "a text";
    case OPTION_MAP:
        return "an object of texts: {\"key\": \"value\"}";
    case OPTION_POOLS:
        return "an array of {\"base\": \"10.0.0.0/8\", \"size\": 24}";
    case OPTION_ULIMITS:
        return "an object of {\"Name\": \"nofile\", \"Soft\": 1024, \"Hard\": 2048} by name";
    case OPTION_RUNTIMES:
        return "an object of {\"path\": \"/usr/bin/NAME\"} by name";
    default:
        return "an array of texts";
    }
}
