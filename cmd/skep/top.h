// skep top: the swarm as it changes, on the whole screen.
#ifndef CMD_SKEP_TOP_H
#define CMD_SKEP_TOP_H

#include "cmd/skep/cli_io.h"

// Draws until Ctrl-C; once, without a terminal. Exit status.
int top_run(struct cli *cli);

#endif
