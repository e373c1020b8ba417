// skep doctor: what can be told from the API, from this host, and by the nodes, which look at the
// ways between them, about the health of a swarm. Only what was looked at gets a verdict.
#ifndef CMD_SKEP_DOCTOR_H
#define CMD_SKEP_DOCTOR_H

#include "cmd/skep/cli_io.h"

extern const struct flag doctor_flags[];
int doctor_run(struct cli *cli); // exit status 1 when something is bad

#endif
