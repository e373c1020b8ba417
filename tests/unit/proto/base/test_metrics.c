// Prometheus' text: heads, numbers, escapes, histograms.
#include <check.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/metrics.h"

static struct buf out;

static void begin(void)
{
    buf_init(&out, 1 << 20);
}

static void end(void)
{
    buf_fini(&out);
}

START_TEST(numbers_are_exact_or_short)
{
    metrics_gauge(&out, "a", "Help.", 9007199254740991.0);
    metrics_counter(&out, "b", "Help.", 0.125);
    metrics_gauge(&out, "c", "Help.", -3);
    ck_assert_str_eq(buf_cstr(&out), "# HELP a Help.\n# TYPE a gauge\na 9007199254740991\n"
                                     "# HELP b Help.\n# TYPE b counter\nb 0.125\n"
                                     "# HELP c Help.\n# TYPE c gauge\nc -3\n");
}
END_TEST

// A node's name or label can be anything; it must not be able to add samples of its own.
START_TEST(labels_cannot_break_out)
{
    const struct metric_label labels[] = {{"x", "a\"} 1\nevil 2\\"}, {"y", NULL}};
    metrics_sample(&out, "a", labels, 2, 1);
    ck_assert_str_eq(buf_cstr(&out), "a{x=\"a\\\"} 1\\nevil 2\\\\\",y=\"\"} 1\n");
}
END_TEST

START_TEST(histograms_are_cumulative)
{
    struct histogram histogram = {0};
    histogram_add(&histogram, -NS_PER_S);     // a clock went back
    histogram_add(&histogram, 5 * NS_PER_MS); // a bound belongs to its bucket
    histogram_add(&histogram, 300 * NS_PER_MS);
    histogram_add(&histogram, 60 * NS_PER_S);
    metrics_histogram(&out, "h", "Help.", &histogram);
    const char *text = buf_cstr(&out);
    ck_assert_ptr_nonnull(strstr(text, "# TYPE h histogram\nh_bucket{le=\"0.005\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(text, "h_bucket{le=\"0.25\"} 2\nh_bucket{le=\"0.5\"} 3\n"));
    ck_assert_ptr_nonnull(strstr(text, "h_bucket{le=\"10\"} 3\nh_bucket{le=\"+Inf\"} 4\n"));
    ck_assert_ptr_nonnull(strstr(text, "h_sum 60.305\nh_count 4\n"));
}
END_TEST

Suite *suite_metrics(void);
Suite *suite_metrics(void)
{
    Suite *suite = suite_create("metrics");
    TCase *text = tcase_create("text");
    tcase_add_checked_fixture(text, begin, end);
    tcase_add_test(text, numbers_are_exact_or_short);
    tcase_add_test(text, labels_cannot_break_out);
    tcase_add_test(text, histograms_are_cumulative);
    suite_add_tcase(suite, text);
    return suite;
}
