// Whatever a manager writes into one field of a task, the node answers with a container or with an
// error that says why; it never stops.
#include <check.h>
#include <string.h>

#include "agent/container_spec.h"
#include "agent/oci/bundle.h"
#include "agent/task/template.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

#define DEPTH_MAX 8

static struct arena arena; // of the task
static Swarm__Task *task;
static size_t tried, refused;

// What the worker and the executor make of the task as it is now.
static void try_task(const char *field)
{
    static const struct image_config image;
    static const struct container_node node = {.hostname = "h", .resolv_conf = ""};
    struct arena made;
    struct err err = ERR_INIT;
    struct container_spec spec;
    arena_init(&made, 16 << 20);
    tried++;
    // As it comes from the network: what no one can send is not met.
    size_t size = 0;
    const struct wire_limits limits = WIRE_LIMITS_RPC;
    uint8_t *bytes = wire_pack_arena(task, &made, &size);
    Swarm__Task *copy =
        bytes ? wire_unpack(&swarm__task__descriptor, bytes, size, &limits, &made, &err) : NULL;
    struct template_context context = {.task = copy};
    Swarm__Task *expanded = copy ? template_expand_task(&context, &made, &err) : NULL;
    struct executor_order order = {.task = expanded};
    int rc = !copy       ? 0
             : !expanded ? -(int)err.code
                         : container_spec_make(&order, &image, &node, &made, &spec, &err);
    if (copy && !rc) {
        spec.container.rootfs = "/root";
        for (size_t i = 0; i < spec.volumes_count; i++)
            spec.mounts[spec.volumes[i].mount].source = "/volume";
        rc = bundle_check(&spec.container, &err);
    }
    refused += rc != 0;
    ck_assert_msg(rc == 0 || (err.code && err.message[0]), "%s: refused without a word", field);
    arena_fini(&made);
}

static const char *odd_texts[] = {"",
                                  "\xff\xfe",
                                  "../../../etc",
                                  "a\nb",
                                  "{{.Task.Slot}}{{",
                                  "{{",
                                  "{{.Service.Labels}}",
                                  "/proc/self/root",
                                  NULL};

static void break_text(const char **place, const char *field)
{
    static char long_text[70000];
    const char *before = *place;
    memset(long_text, 'x', sizeof long_text - 1);
    for (size_t i = 0; odd_texts[i]; i++) {
        *place = odd_texts[i];
        try_task(field);
    }
    *place = long_text;
    try_task(field);
    *place = before;
}

static void break_number(void *place, size_t size, const char *field)
{
    static const int64_t values[] = {0, 1, -1, 999, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    uint8_t before[8];
    memcpy(before, place, size);
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        memcpy(place, &values[i], size); // the low bytes
        try_task(field);
    }
    memcpy(place, before, size);
}

static void break_bytes(ProtobufCBinaryData *place, const char *field)
{
    static uint8_t junk[] = "{\"defaultAction\": 7, junk";
    ProtobufCBinaryData before = *place;
    *place = (ProtobufCBinaryData){0};
    try_task(field);
    *place = (ProtobufCBinaryData){sizeof junk - 1, junk};
    try_task(field);
    *place = before;
}

static void break_fields(ProtobufCMessage *message, int depth);

static size_t size_of(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE:
    case PROTOBUF_C_TYPE_STRING:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    default:
        return 4;
    }
}

// A list of nothing, of one empty thing, and of a hundred.
static void break_list(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, int depth)
{
    size_t *count = (size_t *)((char *)message + field->quantifier_offset);
    void **list = (void **)((char *)message + field->offset);
    size_t count_before = *count;
    void *list_before = *list;
    void *things[100];
    if (field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING)
        return;
    for (size_t i = 0; i < COUNT_OF(things); i++)
        things[i] = field->type == PROTOBUF_C_TYPE_STRING ? (void *)(uintptr_t) ""
                                                          : wire_new(field->descriptor, &arena);
    *count = 0;
    try_task(field->name);
    *list = things;
    *count = COUNT_OF(things);
    try_task(field->name);
    *count = 1;
    try_task(field->name);
    if (field->type == PROTOBUF_C_TYPE_STRING)
        break_text((const char **)things, field->name);
    else
        break_fields(things[0], depth + 1);
    *list = list_before;
    *count = count_before;
}

static void break_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, int depth)
{
    void *place = (char *)message + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        break_list(message, field, depth);
        return;
    }
    uint32_t *choice = field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF
                           ? (uint32_t *)((char *)message + field->quantifier_offset)
                           : NULL;
    uint32_t choice_before = choice ? *choice : 0;
    uint8_t before[sizeof(ProtobufCBinaryData)];
    size_t size = size_of(field);
    memcpy(before, place, size);
    if (choice && *choice != field->id) {
        memset(place, 0, size);
        if (field->type == PROTOBUF_C_TYPE_STRING)
            *(const char **)place = "";
        *choice = field->id;
    }
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        break_text(place, field->name);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        break_bytes(place, field->name);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(void **)place = NULL;
        try_task(field->name);
        *(void **)place = wire_new(field->descriptor, &arena);
        try_task(field->name);
        break_fields(*(void **)place, depth + 1);
        memcpy(place, before, size);
        if (*(void **)place && (!choice || choice_before == field->id))
            break_fields(*(void **)place, depth + 1);
        break;
    default:
        break_number(place, size, field->name);
    }
    memcpy(place, before, size);
    if (choice)
        *choice = choice_before;
}

static void break_fields(ProtobufCMessage *message, int depth)
{
    if (depth > DEPTH_MAX)
        return;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++)
        break_field(message, &message->descriptor->fields[i], depth);
}

static void set_up(void)
{
    arena_init(&arena, 256 << 20);
    task = wire_new(&swarm__task__descriptor, &arena);
    task->id = "t1";
    task->service_annotations->name = "web";
    task->spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    task->spec->container = wire_new(&swarm__container_spec__descriptor, &arena);
    task->spec->container->image = "box:1";
    static const char *args[] = {"true"};
    task->spec->container->args = (void *)args;
    task->spec->container->n_args = 1;
}

static void tear_down(void)
{
    arena_fini(&arena);
}

START_TEST(no_field_of_a_container_stops_the_node)
{
    try_task("the whole one");
    ck_assert_uint_eq(refused, 0);
    break_fields(&task->spec->container->base, 0);
    ck_assert_uint_gt(refused, 100);
    ck_assert_uint_gt(tried, 3 * refused / 2);
}
END_TEST

START_TEST(no_field_of_a_task_stops_the_node)
{
    // Two levels down: networks, endpoints and specs have their own rules.
    break_fields(&task->base, DEPTH_MAX - 2);
    ck_assert_uint_gt(tried, 500);
}
END_TEST

Suite *suite_assignment_fields(void);
Suite *suite_assignment_fields(void)
{
    Suite *suite = suite_create("assignment_fields");
    TCase *tcase = tcase_create("assignment_fields");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, no_field_of_a_container_stops_the_node);
    tcase_add_test(tcase, no_field_of_a_task_stops_the_node);
    suite_add_tcase(suite, tcase);
    return suite;
}
