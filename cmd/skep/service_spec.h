// From the options of `service create` and `service update` to a service's specification.
#ifndef CMD_SKEP_SERVICE_SPEC_H
#define CMD_SKEP_SERVICE_SPEC_H

#include "cmd/skep/cli_io.h"

// The options both commands have.
#define SERVICE_SPEC_FLAGS                                                                         \
    {"credential-spec", 0, FLAG_TEXT, "spec", "Credentials of a Windows service account"},         \
        {"detach", 'd', FLAG_BOOL, NULL, "Do not wait until the tasks run"},                       \
        {"endpoint-mode", 0, FLAG_TEXT, "mode", "vip (one address) or dnsrr (one per task)"},      \
        {"entrypoint", 0, FLAG_TEXT, "command", "Run this in place of the image's entrypoint"},    \
        {"health-cmd", 0, FLAG_TEXT, "command", "Tells whether a container is healthy"},           \
        {"health-interval", 0, FLAG_DURATION, "duration", "Time between two checks"},              \
        {"health-retries", 0, FLAG_INT, "int", "Failures in a row that make it unhealthy"},        \
        {"health-start-interval", 0, FLAG_DURATION, "duration",                                    \
         "Time between two checks while a container starts"},                                      \
        {"health-start-period", 0, FLAG_DURATION, "duration",                                      \
         "Time in which failures do not count"},                                                   \
        {"health-timeout", 0, FLAG_DURATION, "duration", "Longest time of one check"},             \
        {"hostname", 0, FLAG_TEXT, "name", "Host name of the containers"},                         \
        {"init", 0, FLAG_BOOL, NULL, "Run an init process in the containers"},                     \
        {"isolation", 0, FLAG_TEXT, "mode", "Isolation of Windows containers"},                    \
        {"limit-cpu", 0, FLAG_CPUS, "decimal", "Most processors a task may use"},                  \
        {"limit-memory", 0, FLAG_BYTES, "bytes", "Most memory a task may use"},                    \
        {"limit-pids", 0, FLAG_INT, "int", "Most processes a task may have (0: no limit)"},        \
        {"log-driver", 0, FLAG_TEXT, "driver", "Where the containers' output goes"},               \
        {"log-opt", 0, FLAG_LIST, "key=value", "Options of the log driver"},                       \
        {"max-concurrent", 0, FLAG_UINT, "uint", "Tasks of a job that run at the same time"},      \
        {"no-healthcheck", 0, FLAG_BOOL, NULL, "Do not check as the image says"},                  \
        {"no-resolve-image", 0, FLAG_BOOL, NULL, "Do not ask the registry for the digest"},        \
        {"oom-score-adj", 0, FLAG_INT, "int", "Which tasks the kernel ends first"},                \
        {"quiet", 'q', FLAG_BOOL, NULL, "Show no progress"},                                       \
        {"read-only", 0, FLAG_BOOL, NULL, "The containers' root file system is not writable"},     \
        {"replicas", 0, FLAG_UINT, "uint", "Number of tasks"},                                     \
        {"replicas-max-per-node", 0, FLAG_UINT, "uint", "Most tasks on one node (0: no limit)"},   \
        {"reserve-cpu", 0, FLAG_CPUS, "decimal", "Processors a node must have left"},              \
        {"reserve-memory", 0, FLAG_BYTES, "bytes", "Memory a node must have left"},                \
        {"restart-condition", 0, FLAG_TEXT, "when", "none, on-failure or any"},                    \
        {"restart-delay", 0, FLAG_DURATION, "duration", "Time before a task is started again"},    \
        {"restart-max-attempts", 0, FLAG_UINT, "uint", "How often at most"},                       \
        {"restart-window", 0, FLAG_DURATION, "duration", "In which time attempts are counted"},    \
        {"rollback-delay", 0, FLAG_DURATION, "duration", "Time between tasks rolled back"},        \
        {"rollback-failure-action", 0, FLAG_TEXT, "action", "pause or continue"},                  \
        {"rollback-max-failure-ratio", 0, FLAG_FLOAT, "float", "Failures a rollback stands"},      \
        {"rollback-monitor", 0, FLAG_DURATION, "duration", "How long tasks are watched"},          \
        {"rollback-order", 0, FLAG_TEXT, "order", "start-first or stop-first"},                    \
        {"rollback-parallelism", 0, FLAG_UINT, "uint", "Tasks rolled back at once (0: all)"},      \
        {"stop-grace-period", 0, FLAG_DURATION, "duration", "Time a container has to end"},        \
        {"stop-signal", 0, FLAG_TEXT, "signal", "What asks a container to end"},                   \
        {"tty", 't', FLAG_BOOL, NULL, "Give the containers a terminal"},                           \
        {"update-delay", 0, FLAG_DURATION, "duration", "Time between tasks updated"},              \
        {"update-failure-action", 0, FLAG_TEXT, "action", "pause, continue or rollback"},          \
        {"update-max-failure-ratio", 0, FLAG_FLOAT, "float", "Failures an update stands"},         \
        {"update-monitor", 0, FLAG_DURATION, "duration", "How long tasks are watched"},            \
        {"update-order", 0, FLAG_TEXT, "order", "start-first or stop-first"},                      \
        {"update-parallelism", 0, FLAG_UINT, "uint", "Tasks updated at once (0: all)"},            \
        {"user", 'u', FLAG_TEXT, "user", "User, and group, of the containers' process"},           \
        {"with-registry-auth", 0, FLAG_BOOL, NULL, "Give the nodes our registry's password"},      \
    {                                                                                              \
        "workdir", 'w', FLAG_TEXT, "folder", "Folder the containers' process starts in"            \
    }

// Puts the options above that were given into the specification. 0, or a negative code with
// cli->error.
int service_spec_options(struct cli *cli, json_t *spec);

// Replaces names by ids: networks by "Target", secrets and configurations of "Secrets" and
// "Configs" below a container specification.
int service_resolve_network(struct cli *cli, json_t *network);
int service_resolve_files(struct cli *cli, json_t *references, const char *kind);

// Asks the daemon for the image's digest and platforms, with the credentials that are sent with the
// service (NULL: without any), and puts them into the specification. Returns what to warn of once
// the service is made: that they could not be had, as that changes what nodes run; or "".
const char *service_resolve_image(struct cli *cli, json_t *spec, const char *auth);

#endif
