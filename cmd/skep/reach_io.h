// Whether addresses take a connection.
#ifndef CMD_SKEP_REACH_IO_H
#define CMD_SKEP_REACH_IO_H

#include "cmd/skep/cli_io.h"
#include "proto/net/addr.h"

struct conn;

struct reach {
    struct addr addr;
    bool fits;    // the address could be understood
    bool reached; // it took a connection
    bool done;
    struct err why; // why not
    struct conn *conn;
};

void reach_prepare(struct reach *reach, const char *address);

// Tries all at the same time, each for at most so long.
void reach_all(struct cli *cli, struct reach *tries, size_t count, int64_t timeout_ms);

#endif
