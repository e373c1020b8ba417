// Numbers out of their range and forms that cannot be read are refused in dockerd's words.
#include <check.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/host_check.h"
#include "proto/base/check.h"

#define CPUS 4

// The words of the refusal, "" when there is none. The text is a Config with its HostConfig.
static const char *refusal(const char *text)
{
    static struct err err;
    err_clear(&err);
    json_t *body = json_parse(text, strlen(text), NULL);
    ck_assert_ptr_nonnull(body);
    json_t *config = config_read(body, &err);
    json_t *host = host_config_read(config_member(body, "HostConfig"), &err);
    ck_assert(config && host);
    host_check(config, host, CPUS, &err);
    json_decref(host);
    json_decref(config);
    json_decref(body);
    return err.message;
}

#define HOST(rest)        "{\"HostConfig\":{" rest "}}"
#define MOUNT(type, rest) "\"Mounts\":[{\"Type\":\"" type "\",\"Target\":\"/a\"," rest "}]"

static const struct {
    const char *text, *complaint;
} rows[] = {
    {HOST("\"CpusetCpus\":\"0-3\",\"CpusetMems\":\"0\",\"NanoCpus\":4000000000"), ""},
    {HOST("\"CpusetCpus\":\"0,4\""),
     "Requested CPUs are not available - requested 0,4, available: 0-3"},
    {HOST("\"CpusetCpus\":\"2-1\""), "Invalid value 2-1 for cpuset cpus: invalid format: 2-1"},
    {HOST("\"CpusetCpus\":\"1,,2\""), "Invalid value 1,,2 for cpuset cpus: invalid format: 1,,2"},
    {HOST("\"CpusetMems\":\"x\""), "Invalid value x for cpuset mems: invalid format: x"},
    {HOST("\"NanoCpus\":4000000001"),
     "Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"},
    {HOST("\"NanoCpus\":-1"),
     "Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"},
    {HOST("\"CpuQuota\":999"), "CPU cfs quota can not be less than 1ms (i.e. 1000)"},
    {HOST("\"CpuPeriod\":999"), "CPU cfs period can not be less than 1ms (i.e. 1000) or larger "
                                "than 1s (i.e. 1000000)"},
    {HOST("\"OomScoreAdj\":1001"), "Invalid value 1001, range for oom score adj is [-1000, 1000]"},
    {HOST("\"NetworkMode\":\"container:\""),
     "Invalid network mode: invalid container format container:<name|id>"},
    {HOST("\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"8000-8010\"},{\"HostPort\":\"\"}]}"), ""},
    {HOST("\"PortBindings\":{\"x\":[]}"), "invalid port specification: \"x\""},
    {HOST("\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"65536\"}]}"),
     "invalid port specification: \"65536\""},
    {HOST("\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"9-8\"}]}"),
     "invalid port specification: \"9-8\""},
    {HOST(MOUNT("volume", "\"VolumeOptions\":{\"NoCopy\":true}")), ""},
    {HOST(MOUNT("volume", "\"BindOptions\":{\"NonRecursive\":true}")),
     "invalid mount config for type \"volume\": field BindOptions must not be specified"},
    {HOST("\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/a\",\"Source\":\"x\"}]"),
     "invalid mount config for type \"tmpfs\": field Source must not be specified"},
    {"{\"Healthcheck\":{\"Test\":[\"NONE\"],\"Interval\":1000000}}", ""},
    {"{\"Healthcheck\":{\"Interval\":999999}}", "Interval in Healthcheck cannot be less than 1ms"},
    {"{\"Healthcheck\":{\"Retries\":-1}}", "Retries in Healthcheck cannot be negative"},
};

START_TEST(what_is_out_of_range_is_refused)
{
    ck_assert_str_eq(refusal(rows[_i].text), rows[_i].complaint);
}
END_TEST

START_TEST(nobody_counted_the_processors)
{
    struct err err = ERR_INIT;
    json_t *body = json_pack("{s:s, s:I}", "CpusetCpus", "70", "NanoCpus", (json_int_t)9000000000);
    json_t *host = host_config_read(body, &err);
    ck_assert_int_eq(host_check_cpu(host, 0, &err), 0);
    json_decref(host);
    json_decref(body);
}
END_TEST

Suite *suite_host_check(void);
Suite *suite_host_check(void)
{
    Suite *suite = suite_create("host_check");
    TCase *tcase = tcase_create("host_check");
    tcase_add_loop_test(tcase, what_is_out_of_range_is_refused, 0, COUNT_OF(rows));
    tcase_add_test(tcase, nobody_counted_the_processors);
    suite_add_tcase(suite, tcase);
    return suite;
}
