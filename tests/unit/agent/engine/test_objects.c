// Bodies as clients send and see them, through the messages of the wire and back. The shapes are
// those of recordings of a stock engine.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine/objects.h"
#include "proto/wire/objects.pb-c.h"
#include "proto/wire/wire.h"

static struct arena arena;

static json_t *parse(const char *text)
{
    struct err err = ERR_INIT;
    json_t *json = json_parse(text, strlen(text), &err);
    ck_assert_msg(json != NULL, "%s in %s", err.message, text);
    return json;
}

// Reads the body, sends it over the wire, and writes what arrives.
static char *round_trip(const struct fields *fields, const char *body, struct err *err)
{
    json_t *json = parse(body);
    void *message = wire_new(fields->type, &arena);
    int rc = fields_read(fields, json, message, &arena, err);
    json_decref(json);
    if (rc)
        return NULL;
    struct buf packed, text;
    struct json_out out;
    struct wire_limits limits = WIRE_LIMITS_RPC;
    buf_init(&packed, 1 << 20);
    buf_init(&text, 1 << 20);
    ck_assert_int_eq(wire_pack(message, &packed, err), 0);
    void *arrived = wire_unpack(fields->type, packed.data, packed.len, &limits, &arena, err);
    ck_assert_ptr_nonnull(arrived);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    fields_write(fields, arrived, &out);
    json_out_end(&out);
    ck_assert(json_out_done(&out));
    char *copy = arena_strdup(&arena, buf_cstr(&text));
    buf_fini(&packed);
    buf_fini(&text);
    return copy;
}

#define SPEC_START "{\"Name\":\"web\",\"Labels\":{},\"TaskTemplate\":{\"ContainerSpec\":"
#define SPEC_END                                                                                   \
    ",\"ForceUpdate\":0,\"Runtime\":\"container\"},\"Mode\":{\"Replicated\":{\"Replicas\":1}}}"

static const struct {
    const struct fields *fields;
    const char *sent;
    const char *seen; // NULL: as sent
} bodies[] = {
    {&node_spec_fields,
     "{\"Labels\":{\"zone\":\"a\"},\"Role\":\"manager\",\"Availability\":\"drain\"}", NULL},
    {&node_spec_fields, "{\"role\":\"worker\",\"AVAILABILITY\":\"\",\"Labels\":null,\"Bogus\":[1]}",
     "{\"Labels\":{},\"Role\":\"worker\",\"Availability\":\"active\"}"},
    // As the command line sends a service: empty parts stay, defaults of Go's pointers come.
    {&service_spec_fields,
     "{\"Name\":\"web\",\"Labels\":{},\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":\"bb:1\","
     "\"Args\":[\"sleep\",\"9\"],\"Init\":false,\"DNSConfig\":{}},\"Resources\":{\"Limits\":{},"
     "\"Reservations\":{}},\"Placement\":{},\"ForceUpdate\":0},\"Mode\":{\"Replicated\":{}},"
     "\"EndpointSpec\":{\"Mode\":\"vip\"}}",
     "{\"Name\":\"web\",\"Labels\":{},\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":\"bb:1\","
     "\"Args\":[\"sleep\",\"9\"],\"Init\":false,\"DNSConfig\":{},\"Isolation\":\"default\"},"
     "\"Resources\":{\"Limits\":{},\"Reservations\":{}},\"Placement\":{},\"ForceUpdate\":0,"
     "\"Runtime\":\"container\"},\"Mode\":{\"Replicated\":{\"Replicas\":1}},"
     "\"EndpointSpec\":{\"Mode\":\"vip\"}}"},
    {&service_spec_fields,
     SPEC_START
     "{\"Image\":\"bb:1\",\"Labels\":{\"a\":\"1\",\"b\":\"2\"},\"Hostname\":\"h-{{.Task.Slot}}\","
     "\"Env\":[\"A=1\",\"B=two words\"],\"Groups\":[\"nogroup\"],\"Init\":true,\"TTY\":true,"
     "\"ReadOnly\":true,\"StopSignal\":\"SIGTERM\",\"StopGracePeriod\":4000000000,"
     "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/tmp\",\"Target\":\"/t\",\"ReadOnly\":true},"
     "{\"Type\":\"volume\",\"Source\":\"v\",\"Target\":\"/d\",\"VolumeOptions\":{\"Labels\":{\"x\":"
     "\"y\"},\"DriverConfig\":{\"Name\":\"local\"}}},{\"Type\":\"tmpfs\",\"Target\":\"/s\","
     "\"TmpfsOptions\":{\"SizeBytes\":1048576,\"Mode\":1016}}],\"Healthcheck\":{\"Test\":[\"CMD\","
     "\"true\"],\"Interval\":5000000000,\"Retries\":2},\"Hosts\":[\"10.1.1.1 x\"],"
     "\"Secrets\":[{\"File\":{\"Name\":\"s\",\"UID\":\"1\",\"GID\":\"2\",\"Mode\":256},"
     "\"SecretID\":\"id1\",\"SecretName\":\"n1\"}],\"Configs\":[{\"Runtime\":{},"
     "\"ConfigID\":\"id2\","
     "\"ConfigName\":\"n2\"}],\"Isolation\":\"default\",\"Sysctls\":{\"k\":\"v\"},"
     "\"CapabilityAdd\":[\"CAP_NET_ADMIN\"],\"Ulimits\":[{\"Name\":\"nofile\",\"Hard\":1024,"
     "\"Soft\":512}]},\"Resources\":{\"Limits\":{\"NanoCPUs\":500000000,\"MemoryBytes\":67108864,"
     "\"Pids\":100},\"Reservations\":{\"GenericResources\":[{\"DiscreteResourceSpec\":{\"Kind\":"
     "\"gpu\",\"Value\":2}}]}},\"RestartPolicy\":{\"Condition\":\"on-failure\","
     "\"Delay\":3000000000,"
     "\"MaxAttempts\":4},\"Placement\":{\"Constraints\":[\"node.role==manager\"],\"Preferences\":[{"
     "\"Spread\":{\"SpreadDescriptor\":\"node.labels.zone\"}}],\"MaxReplicas\":3},"
     "\"Networks\":[{\"Target\":\"net\",\"Aliases\":[\"al\"]}],"
     "\"LogDriver\":{\"Name\":\"json-file\","
     "\"Options\":{\"max-size\":\"1m\"}}" SPEC_END,
     NULL},
    {&service_spec_fields,
     "{\"Name\":\"j\",\"Labels\":{},\"TaskTemplate\":{\"ForceUpdate\":3,\"Runtime\":\"container\"},"
     "\"Mode\":{\"ReplicatedJob\":{\"MaxConcurrent\":2}},\"UpdateConfig\":{\"Parallelism\":0,"
     "\"FailureAction\":\"rollback\",\"MaxFailureRatio\":0.2,\"Order\":\"start-first\"},"
     "\"EndpointSpec\":{\"Mode\":\"dnsrr\",\"Ports\":[{\"Protocol\":\"udp\",\"TargetPort\":53,"
     "\"PublishedPort\":5353,\"PublishMode\":\"host\"}]}}",
     "{\"Name\":\"j\",\"Labels\":{},\"TaskTemplate\":{\"ForceUpdate\":3,\"Runtime\":\"container\"},"
     "\"Mode\":{\"ReplicatedJob\":{\"MaxConcurrent\":2,\"TotalCompletions\":2}},\"UpdateConfig\":{"
     "\"Parallelism\":0,\"FailureAction\":\"rollback\",\"MaxFailureRatio\":0.2,\"Order\":"
     "\"start-first\"},\"EndpointSpec\":{\"Mode\":\"dnsrr\",\"Ports\":[{\"Protocol\":\"udp\","
     "\"TargetPort\":53,\"PublishedPort\":5353,\"PublishMode\":\"host\"}]}}"},
    // All members of a oneof come, and one of them says something.
    {&service_spec_fields,
     SPEC_START
     "{\"Image\":\"bb:1\",\"Privileges\":{\"CredentialSpec\":{\"Config\":\"\",\"File\":\"f.json\","
     "\"Registry\":\"\"},\"SELinuxContext\":null},"
     "\"Isolation\":\"default\"},\"Resources\":{}" SPEC_END,
     NULL},
    {&service_spec_fields,
     "{\"Name\":\"g\",\"Labels\":{},\"TaskTemplate\":{\"ForceUpdate\":0,\"Runtime\":\"container\"},"
     "\"Mode\":{\"Global\":{}}}",
     NULL},
    {&cluster_spec_fields,
     "{\"Name\":\"default\",\"Labels\":{},\"Orchestration\":{\"TaskHistoryRetentionLimit\":5},"
     "\"Raft\":{\"SnapshotInterval\":10000,\"KeepOldSnapshots\":0,"
     "\"LogEntriesForSlowFollowers\":500,"
     "\"ElectionTick\":10,\"HeartbeatTick\":1},\"Dispatcher\":{\"HeartbeatPeriod\":5000000000},"
     "\"CAConfig\":{\"NodeCertExpiry\":7776000000000000},\"TaskDefaults\":{},"
     "\"EncryptionConfig\":{\"AutoLockManagers\":false}}",
     NULL},
    // Keys and payloads go in and never come out.
    {&secret_spec_fields, "{\"Name\":\"s\",\"Labels\":{\"a\":\"b\"},\"Data\":\"c2VjcmV0\"}",
     "{\"Name\":\"s\",\"Labels\":{\"a\":\"b\"}}"},
    {&config_spec_fields, "{\"Name\":\"c\",\"Labels\":{},\"Data\":\"bGlzdGVuPTgwCg==\"}", NULL},
};

START_TEST(bodies_survive_the_wire)
{
    struct err err = ERR_INIT;
    arena_init(&arena, 1 << 20);
    char *seen = round_trip(bodies[_i].fields, bodies[_i].sent, &err);
    ck_assert_msg(seen != NULL, "%s", err.message);
    json_t *wanted = parse(bodies[_i].seen ? bodies[_i].seen : bodies[_i].sent);
    json_t *got = parse(seen);
    ck_assert_msg(json_equal(wanted, got), "%s", seen);
    json_decref(wanted);
    json_decref(got);
    arena_fini(&arena);
}
END_TEST

#define TASK(container) "{\"Name\":\"x\",\"TaskTemplate\":{\"ContainerSpec\":" container "}}"

static const struct {
    const struct fields *fields;
    const char *sent;
    const char *complaint;
} wrong[] = {
    {&service_spec_fields, "{\"Name\":5}",
     "json: cannot unmarshal number into Go struct field ServiceSpec.Name of type string"},
    {&service_spec_fields, "[]",
     "json: cannot unmarshal array into Go value of type swarm.ServiceSpec"},
    {&service_spec_fields, TASK("{\"Mounts\":[{\"Type\":\"bogus\"}]}"),
     "invalid MountType: \"bogus\""},
    {&service_spec_fields, TASK("{\"Privileges\":{\"CredentialSpec\":{}}}"),
     "invalid CredentialSpec: must either provide \"file\", \"registry\", or \"config\" for "
     "credential spec"},
    {&service_spec_fields,
     TASK("{\"Privileges\":{\"CredentialSpec\":{\"File\":\"a\",\"Registry\":\"b\"}}}"),
     "invalid CredentialSpec: cannot specify both \"file\" and \"registry\" credential specs"},
    {&service_spec_fields, "{\"TaskTemplate\":{\"RestartPolicy\":{\"Condition\":\"bogus\"}}}",
     "invalid RestartCondition: \"bogus\""},
    {&service_spec_fields, "{\"UpdateConfig\":{\"FailureAction\":\"bogus\"}}",
     "unrecognized update failure action bogus"},
    {&service_spec_fields, "{\"UpdateConfig\":{\"Order\":\"bogus\"}}",
     "unrecognized update order bogus"},
    {&service_spec_fields, "{\"EndpointSpec\":{\"Mode\":\"bogus\"}}",
     "invalid resolution mode: \"bogus\""},
    {&service_spec_fields, "{\"Mode\":{\"Global\":{},\"Replicated\":{}}}",
     "must specify only one service mode"},
    {&node_spec_fields, "{\"Role\":\"bogus\"}", "invalid Role: \"bogus\""},
    {&node_spec_fields, "{\"Availability\":\"%s%n\"}", "invalid Availability: \"%s%n\""},
    {&secret_spec_fields, "{\"Data\":\"abc!\"}", "illegal base64 data at input byte 3"},
};

START_TEST(wrong_bodies_are_refused_in_stock_words)
{
    struct err err = ERR_INIT;
    arena_init(&arena, 1 << 20);
    ck_assert_ptr_null(round_trip(wrong[_i].fields, wrong[_i].sent, &err));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, wrong[_i].complaint);
    arena_fini(&arena);
}
END_TEST

START_TEST(every_value_that_does_not_fit_its_type_is_refused)
{
    static const char *const values[] = {"5",    "-1",  "1.5",       "\"x\"",
                                         "true", "[1]", "{\"a\":1}", "99999999999"};
    static const struct fields *const tables[] = {&service_spec_fields, &node_spec_fields,
                                                  &cluster_spec_fields, &config_spec_fields};
    // Whatever stands in whatever key: an error or a message that packs, never a crash.
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (size_t r = 0; r < tables[t]->count; r++) {
            for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
                const char *key = tables[t]->rows[r].json;
                char body[200];
                struct err err = ERR_INIT;
                if (!key)
                    continue;
                snprintf(body, sizeof body, "{\"%s\":%s}", key, values[v]);
                arena_init(&arena, 1 << 20);
                if (!round_trip(tables[t], body, &err))
                    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
                arena_fini(&arena);
            }
        }
    }
}
END_TEST

START_TEST(a_full_arena_is_an_error)
{
    struct err err = ERR_INIT;
    json_t *json = parse(bodies[3].sent);
    for (size_t limit = 600; limit < 4000; limit += 100) {
        arena_init(&arena, limit);
        void *message = wire_new(bodies[3].fields->type, &arena);
        if (message && fields_read(bodies[3].fields, json, message, &arena, &err) != 0)
            ck_assert_int_eq(err.code, ERR_RESOURCE_EXHAUSTED);
        arena_fini(&arena);
    }
    json_decref(json);
}
END_TEST

// What a task shows before it runs, as recorded.
START_TEST(task_is_written_as_stock_writes_it)
{
    arena_init(&arena, 1 << 20);
    Swarm__Task *task = wire_new(&swarm__task__descriptor, &arena);
    task->id = "t1";
    task->service_id = "s1";
    task->slot = 2;
    task->desired_state = SWARM__TASK_STATE__RUNNING;
    task->status->state = SWARM__TASK_STATE__PENDING;
    task->status->message = "pending task scheduling";
    struct buf text;
    struct json_out out;
    buf_init(&text, 1 << 16);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    fields_write(&task_fields, task, &out);
    json_out_end(&out);
    json_t *got = parse(buf_cstr(&text));
    ck_assert_str_eq(json_string_value(json_object_get(got, "ID")), "t1");
    ck_assert_ptr_null(json_object_get(got, "NodeID"));
    ck_assert_int_eq(json_integer_value(json_object_get(got, "Slot")), 2);
    json_t *status = json_object_get(got, "Status");
    ck_assert_str_eq(json_string_value(json_object_get(status, "State")), "pending");
    ck_assert_str_eq(json_string_value(json_object_get(status, "Timestamp")),
                     "0001-01-01T00:00:00Z");
    ck_assert(json_is_object(json_object_get(status, "PortStatus")));
    ck_assert_str_eq(json_string_value(json_object_get(got, "DesiredState")), "running");
    json_decref(got);
    buf_fini(&text);
    arena_fini(&arena);
}
END_TEST

Suite *suite_objects(void);
Suite *suite_objects(void)
{
    Suite *suite = suite_create("objects");
    TCase *tcase = tcase_create("tables");
    tcase_add_loop_test(tcase, bodies_survive_the_wire, 0, sizeof bodies / sizeof bodies[0]);
    tcase_add_loop_test(tcase, wrong_bodies_are_refused_in_stock_words, 0,
                        sizeof wrong / sizeof wrong[0]);
    tcase_add_test(tcase, every_value_that_does_not_fit_its_type_is_refused);
    tcase_add_test(tcase, a_full_arena_is_an_error);
    tcase_add_test(tcase, task_is_written_as_stock_writes_it);
    suite_add_tcase(suite, tcase);
    return suite;
}
