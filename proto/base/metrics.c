#include "proto/base/metrics.h"

#include <math.h>

#include "proto/base/check.h"
#include "proto/base/clock.h"

static const double bounds_s[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
static_assert(COUNT_OF(bounds_s) == HISTOGRAM_BOUNDS, "one bucket a bound");

// From here on a double cannot hold every whole number.
#define EXACT_MAX 9007199254740992.0

void metrics_family(struct buf *out, const char *name, enum metric_kind kind, const char *help)
{
    static const char *const kinds[] = {
        [METRIC_GAUGE] = "gauge", [METRIC_COUNTER] = "counter", [METRIC_HISTOGRAM] = "histogram"};
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kinds[kind]);
}

// The format's escapes for label values: backslash, quote, line feed.
static void put_label_value(struct buf *out, const char *value)
{
    for (const char *at = value ? value : ""; *at; at++) {
        if (*at == '\n') {
            buf_put_str(out, "\\n");
            continue;
        }
        if (*at == '\\' || *at == '"')
            buf_put_u8(out, '\\');
        buf_put_u8(out, (uint8_t)*at);
    }
}

static void put_number(struct buf *out, double value)
{
    if (fabs(value) < EXACT_MAX && floor(value) == value)
        buf_printf(out, "%.0f", value);
    else
        buf_printf(out, "%.9g", value);
}

void metrics_sample(struct buf *out, const char *name, const struct metric_label *labels,
                    size_t labels_count, double value)
{
    buf_put_str(out, name);
    for (size_t i = 0; i < labels_count; i++) {
        buf_put_str(out, i == 0 ? "{" : ",");
        buf_put_str(out, labels[i].name);
        buf_put_str(out, "=\"");
        put_label_value(out, labels[i].value);
        buf_put_u8(out, '"');
    }
    buf_put_str(out, labels_count ? "} " : " ");
    put_number(out, value);
    buf_put_u8(out, '\n');
}

void metrics_gauge(struct buf *out, const char *name, const char *help, double value)
{
    metrics_family(out, name, METRIC_GAUGE, help);
    metrics_sample(out, name, NULL, 0, value);
}

void metrics_counter(struct buf *out, const char *name, const char *help, double value)
{
    metrics_family(out, name, METRIC_COUNTER, help);
    metrics_sample(out, name, NULL, 0, value);
}

void histogram_add(struct histogram *histogram, int64_t duration_ns)
{
    double duration_s = duration_ns > 0 ? (double)duration_ns / (double)NS_PER_S : 0;
    size_t i = 0;
    while (i < HISTOGRAM_BOUNDS && duration_s > bounds_s[i])
        i++;
    if (i < HISTOGRAM_BOUNDS)
        histogram->buckets[i]++;
    histogram->count++;
    histogram->sum_s += duration_s;
}

void metrics_histogram(struct buf *out, const char *name, const char *help,
                       const struct histogram *histogram)
{
    uint64_t below = 0;
    metrics_family(out, name, METRIC_HISTOGRAM, help);
    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        below += histogram->buckets[i];
        buf_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name, bounds_s[i],
                   (unsigned long long)below);
    }
    unsigned long long count = histogram->count;
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n", name, count);
    buf_printf(out, "%s_sum %.9g\n%s_count %llu\n", name, histogram->sum_s, name, count);
}
