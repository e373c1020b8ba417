// What the files of `skep service` share.
#ifndef CMD_SKEP_SERVICE_H
#define CMD_SKEP_SERVICE_H

#include "cmd/skep/cli_io.h"

// Rows of a list of services, and how such lists are shown.
json_t *service_rows(struct cli *cli, json_t *services);
extern const struct listing service_listing;

json_t *service_fetch(struct cli *cli, const char *name);

// "replicated", "global job" ... and "2/3 (max 1 per node)", as lists show them.
const char *service_mode(json_t *service);
const char *service_replicas(struct cli *cli, json_t *service);
const char *service_ports(struct cli *cli, json_t *ports);

// Sends the specification (a kept object) with the query part; prints warnings. NULL with error.
json_t *service_write(struct cli *cli, json_t *service, const char *query, const char *auth);

// Prints a service for people.
void service_say(struct cli *cli, json_t *service);

// The handlers and options that live in files of their own.
extern const struct flag service_create_flags[], service_update_flags[], service_logs_flags[];
int service_run_create(struct cli *cli);
int service_run_update(struct cli *cli);
int service_run_logs(struct cli *cli);

#endif
