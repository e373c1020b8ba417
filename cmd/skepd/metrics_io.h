// The metrics endpoint: GET /metrics at --metrics-addr, in Prometheus' text. One place for all of
// this daemon: what the node process counts (figures_io.h), then what the other processes say of
// themselves. One that does not answer in time is left out.
#ifndef CMD_SKEPD_METRICS_IO_H
#define CMD_SKEPD_METRICS_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

// How long the other processes' parts are waited for.
#define METRICS_PATIENCE_MS 2000
// Scrapes that may wait for them at one time; one more is answered 503.
#define METRICS_WAITING_MAX 64
#define METRICS_BYTES_MAX   ((size_t)1024 * 1024)

struct metrics;

enum metrics_process { METRICS_MANAGER, METRICS_RESOLVER, METRICS_RELAY, METRICS_PROCESSES };

struct metrics_sources {
    // Appends what the node process counts.
    void (*node)(void *ctx, struct buf *out);
    // Asks a process, whose answer comes by metrics_told. False: there is none.
    bool (*ask)(void *ctx, enum metrics_process process);
    void *ctx;
};

// Serves at `addr` (host:port). `sources` outlives it. INVALID_ARGUMENT for what is no address,
// else as listener_open.
int metrics_open(struct loop *loop, const char *addr, const struct metrics_sources *sources,
                 struct metrics **out, struct err *err);

// A process's text. Ignored when nobody waits for it.
void metrics_told(struct metrics *metrics, enum metrics_process process, const void *text,
                  size_t size);

// Ends and frees; `closed` runs then, later.
void metrics_close(struct metrics *metrics, void (*closed)(void *owner), void *owner);

#endif
