// What a node remembers of its place in the cluster between two starts: the file node.json. Pure.
#ifndef CMD_SKEPD_PLACE_H
#define CMD_SKEPD_PLACE_H

#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define PLACE_FILE      "node.json"
#define PLACE_BYTES_MAX 4096
#define PLACE_LISTEN    "0.0.0.0:2377" // where managers serve the cluster unless told otherwise

struct place {
    char listen_addr[320];    // where its manager serves the cluster, while it is one
    char advertise_addr[320]; // host:port that others reach it at
    char data_path_addr[320]; // host for traffic between containers; "": that of advertise_addr
};

// A node that is in no cluster.
struct place place_default(void);

// DATA_LOSS for a file that place_write did not make: guessing could start a second cluster.
int place_read(const void *text, size_t size, struct place *out, struct err *err);

void place_write(const struct place *place, struct buf *out);

#endif
