// Figures in the text that Prometheus reads (exposition format 0.0.4).
//
// Whoever has figures appends families to a buf: a head that names and explains the family, then
// its samples. Names and help texts are constants of the program; values of labels may be anything.
#ifndef PROTO_BASE_METRICS_H
#define PROTO_BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

// The Content-Type of such a text.
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum metric_kind {
    METRIC_GAUGE,
    METRIC_COUNTER,
    METRIC_HISTOGRAM,
};

struct metric_label {
    const char *name;
    const char *value; // NULL is ""
};

// Begins a family; its samples follow. A family has one head in the whole text.
void metrics_family(struct buf *out, const char *name, enum metric_kind kind, const char *help);

// One sample. Whole numbers below 2^53 come out exactly.
void metrics_sample(struct buf *out, const char *name, const struct metric_label *labels,
                    size_t labels_count, double value);

// A family of one sample without labels.
void metrics_gauge(struct buf *out, const char *name, const char *help, double value);
void metrics_counter(struct buf *out, const char *name, const char *help, double value);

// How long something took, counted in buckets: Prometheus' usual bounds, 5 ms to 10 s.
#define HISTOGRAM_BOUNDS 11

struct histogram {
    uint64_t buckets[HISTOGRAM_BOUNDS]; // not cumulative; longer ones are in `count` alone
    uint64_t count;
    double sum_s;
};

// A duration below zero (a clock was set back) counts as zero.
void histogram_add(struct histogram *histogram, int64_t duration_ns);

// A family of one histogram without labels.
void metrics_histogram(struct buf *out, const char *name, const char *help,
                       const struct histogram *histogram);

#endif
