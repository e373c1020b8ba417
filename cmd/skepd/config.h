// What the operator asked of skepd: dockerd's flags and daemon.json keys wherever they mean the
// same.
//
// Each option is one row of the table in options.c: used here, without meaning here (a warning), or
// refused (an error with the reason). Nothing is silently ignored, and an unknown name is an error.
// As with dockerd, an option given both as a flag and in the file is an error.
#ifndef CMD_SKEPD_CONFIG_H
#define CMD_SKEPD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define CONFIG_LIST_MAX       256           // values of one option
#define CONFIG_VALUE_BYTES    4096          // of one value
#define CONFIG_FILE_BYTES_MAX (1024 * 1024) // of daemon.json
#define CONFIG_WARNINGS_BYTES (16 * 1024)

struct config_list {
    char **items; // each NUL-terminated
    size_t count;
};

// Texts are never NULL ("" is "not given" where no default is named).
struct config {
    // Where things lie. All absolute.
    char *config_file; // /etc/skep/daemon.json
    char *data_root;   // /var/lib/skep
    char *exec_root;   // /run/skep
    char *pidfile;     // /run/skep/skepd.pid

    // Who may talk to the API: unix:///path, tcp://address:port, fd:// (from the service manager).
    struct config_list hosts; // unix:///run/skep/skep.sock
    char *group;              // of unix sockets; "docker" when there is such a group
    bool tls;
    bool tls_verify;
    bool tls_refused; // --tls=false was said: plain TCP is what is meant
    char *tls_ca, *tls_cert, *tls_key;

    bool debug;
    char *log_level;  // info
    char *log_format; // text, json

    // The node in its cluster.
    struct config_list labels;            // key=value
    struct config_list generic_resources; // kind=name or kind=count
    struct config_list address_pools;     // base=10.0.0.0/8,size=24
    char *advertise_addr;                 // address or interface for swarm init and join
    char *metrics_addr;                   // host:port; "" serves no metrics

    bool userland_proxy; // published ports answer on IPv6, too; true

    char *bip;   // the default bridge's address, with its subnet's prefix; "": any
    int64_t mtu; // of the default bridge; 0: 1500

    // Images.
    struct config_list insecure_registries;
    struct config_list registry_mirrors;
    int64_t downloads_max; // at one time; 3

    // What containers get when nothing else is said.
    bool init;                    // a small init process in each container
    char *init_path;              // tini, docker-init, catatonit; "" looks for them
    char *runtime;                // crun or runc; "" takes what is there
    struct config_list runtimes;  // name=path, more runtimes
    struct config_list exec_opts; // native.cgroupdriver=cgroupfs
    char *cgroup_parent;
    char *seccomp_profile; // a file; "" is the built-in one
    int64_t stop_seconds;  // given to containers when the daemon stops them; 15
    struct config_list dns, dns_opts, dns_search;
    char *shm_size;              // "64m"
    struct config_list ulimits;  // name=soft[:hard]
    char *log_driver;            // "": json-file
    struct config_list log_opts; // key=value
    bool no_new_privileges;
    char *cgroupns;    // private, host
    char *ipc;         // private, shareable
    bool live_restore; // containers run on when the daemon stops; true, unlike dockerd's

    // What to do instead of serving.
    bool show_help, show_version, validate;
};

// The defaults.
void config_init(struct config *config);
void config_fini(struct config *config);

// Reads the command line (without the program's name), and nothing else. INVALID_ARGUMENT with text
// for the operator. What was accepted without effect is added to `warnings`, one per line.
int config_parse_args(struct config *config, size_t count, const char *const *args,
                      struct buf *warnings, struct err *err);

// Reads the text of daemon.json on top. `args` are the command line again: what it gives must not
// be in the file as well. INVALID_ARGUMENT as above.
int config_parse_file(struct config *config, const void *text, size_t size, size_t count,
                      const char *const *args, struct buf *warnings, struct err *err);

// Checks values on their own and together, and fills the defaults that depend on others.
int config_settle(struct config *config, struct err *err);

// Takes over from `fresh` what can change while running; names in `warnings` what differs but needs
// a restart. True when something changed.
bool config_reload(struct config *config, struct config *fresh, struct buf *warnings);

// The text of --help. The caller frees it.
char *config_help(void);

#endif
