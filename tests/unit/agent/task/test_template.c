// Templates expand to what Go would make of them, within bounds, or say what is not supported.
#include <check.h>
#include <string.h>

#include "agent/task/template.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

static struct arena arena;
static Swarm__Task *task;
static const struct template_node node = {
    .id = "n1", .hostname = "host1", .os = "linux", .architecture = "x86_64"};
static struct template_context context;

static void set_up(void)
{
    arena_init(&arena, 1 << 20);
    task = wire_new(&swarm__task__descriptor, &arena);
    task->id = "t1";
    task->service_id = "s1";
    task->node_id = "n1";
    task->slot = 3;
    task->service_annotations->name = "web";
    Swarm__Annotations__LabelsEntry *label =
        wire_new(&swarm__annotations__labels_entry__descriptor, &arena);
    label->key = "tier";
    label->value = "front";
    task->service_annotations->labels = arena_alloc(&arena, sizeof(void *));
    task->service_annotations->labels[0] = label;
    task->service_annotations->n_labels = 1;
    context = (struct template_context){.task = task, .node = &node};
}

static void tear_down(void)
{
    arena_fini(&arena);
}

static const struct {
    const char *text;
    const char *wanted;
} good[] = {
    {"plain", "plain"},
    {"", ""},
    {"{{.Service.ID}}/{{ .Service.Name }}", "s1/web"},
    {"{{.Node.ID}} {{.Node.Hostname}} {{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}",
     "n1 host1 linux/x86_64"},
    {"{{.Task.ID}} {{.Task.Name}} {{.Task.Slot}}", "t1 web.3.t1 3"},
    {"{{index .Service.Labels \"tier\"}}{{index .Service.Labels `none`}}", "front"},
    {"{{.Service.Labels.tier}}", "front"},
    {"{{join \"-\" .Service.Name .Task.Slot \"x\"}}", "web-3-x"},
    {"{{\"a\\\"}}b\"}}", "a\"}}b"},
    {"a {{- .Task.Slot -}} b", "a3b"},
    {"{{/* nothing */}}x", "x"},
    {"{ {.Task.ID} }", "{ {.Task.ID} }"},
};

START_TEST(supported_templates_expand)
{
    struct buf out;
    struct err err = ERR_INIT;
    buf_init(&out, 4096);
    const char *text = good[_i].text;
    ck_assert_msg(template_expand(&context, text, strlen(text), false, &out, &err) == 0, "%s: %s",
                  text, err.message);
    ck_assert_str_eq(buf_cstr(&out), good[_i].wanted);
    buf_fini(&out);
}
END_TEST

static const char *const bad[] = {
    "{{",
    "{{.Task.ID",
    "{{}}",
    "{{.Nothing}}",
    "{{.Service.Labels}}",
    "{{if .Task.ID}}x{{end}}",
    "{{.Task.ID | printf \"%s\"}}",
    "{{\"open}}",
    "{{\"\\q\"}}",
    "{{index .Task.ID \"x\"}}",
    "{{join}}",
    "{{secret \"x\"}}", // only inside secrets and configs
    "{{join \"\" `1` `2` `3` `4` `5` `6` `7` `8` `9` `0` `1` `2` `3` `4` `5` `6`}}",
};

START_TEST(others_say_so)
{
    struct buf out;
    struct err err = ERR_INIT;
    buf_init(&out, 4096);
    ck_assert_int_eq(template_expand(&context, bad[_i], strlen(bad[_i]), false, &out, &err),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "template: "));
    buf_fini(&out);
}
END_TEST

START_TEST(global_tasks_have_their_node_for_a_slot)
{
    struct buf out;
    buf_init(&out, 64);
    task->slot = 0;
    ck_assert_int_eq(template_expand(&context, "{{.Task.Slot}}", 14, false, &out, NULL), 0);
    ck_assert_str_eq(buf_cstr(&out), "n1");
    buf_fini(&out);
}
END_TEST

START_TEST(an_expansion_is_bounded)
{
    struct buf out;
    struct err err = ERR_INIT;
    buf_init(&out, 5);
    ck_assert_int_eq(template_expand(&context, "{{.Task.Name}}", 14, false, &out, &err),
                     -ERR_RESOURCE_EXHAUSTED);
    buf_fini(&out);
}
END_TEST

START_TEST(payloads_see_secrets_configs_and_the_environment)
{
    Swarm__FileTarget target;
    Swarm__SecretReference secret;
    Swarm__ConfigReference config;
    swarm__file_target__init(&target);
    swarm__secret_reference__init(&secret);
    swarm__config_reference__init(&config);
    target.name = "key";
    secret.target_case = SWARM__SECRET_REFERENCE__TARGET_FILE;
    secret.file = &target;
    config.target_case = SWARM__CONFIG_REFERENCE__TARGET_FILE;
    config.file = &target;
    struct executor_file files[] = {{.secret = &secret, .data = "S", .size = 1},
                                    {.config = &config, .data = "C", .size = 1}};
    const char *env[] = {"A=1", "AB=2"};
    task->spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    task->spec->container = wire_new(&swarm__container_spec__descriptor, &arena);
    task->spec->container->env = env;
    task->spec->container->n_env = 2;
    context.files = files;
    context.files_count = 2;
    const char *text = "{{secret \"key\"}}{{config \"key\"}}{{env \"AB\"}}{{env \"X\"}}";
    struct buf out;
    buf_init(&out, 64);
    ck_assert_int_eq(template_expand(&context, text, strlen(text), true, &out, NULL), 0);
    ck_assert_str_eq(buf_cstr(&out), "SC2");
    ck_assert_int_eq(template_expand(&context, "{{secret \"no\"}}", 15, true, &out, NULL),
                     -ERR_INVALID_ARGUMENT);
    buf_fini(&out);
}
END_TEST

START_TEST(a_task_is_expanded_as_a_copy)
{
    const char *env[] = {"{{.Task.ID}}={{.Task.Slot}}", "PLAIN"};
    Swarm__Mount mount;
    Swarm__Mount *mounts[] = {&mount};
    struct err err = ERR_INIT;
    swarm__mount__init(&mount);
    mount.source = "data-{{.Task.Slot}}";
    mount.target = "/{{.Service.Name}}";
    task->spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    Swarm__ContainerSpec *spec = wire_new(&swarm__container_spec__descriptor, &arena);
    task->spec->container = spec;
    spec->env = env;
    spec->n_env = 2;
    spec->mounts = mounts;
    spec->n_mounts = 1;
    spec->hostname = "{{.Node.Hostname}}-{{.Task.Slot}}";
    Swarm__Task *expanded = template_expand_task(&context, &arena, &err);
    ck_assert_ptr_nonnull(expanded);
    const Swarm__ContainerSpec *container = expanded->spec->container;
    ck_assert_str_eq(container->hostname, "host1-3");
    ck_assert_str_eq(container->env[0], "{{.Task.ID}}=3"); // values only
    ck_assert_str_eq(container->env[1], "PLAIN");
    ck_assert_str_eq(container->mounts[0]->source, "data-3");
    ck_assert_str_eq(container->mounts[0]->target, "/web");
    ck_assert_str_eq(mount.source, "data-{{.Task.Slot}}");
    mount.target = "{{.X}}";
    ck_assert_ptr_null(template_expand_task(&context, &arena, &err));
    ck_assert_str_eq(err.message, "expanding mount target: template: no such field: .X");
}
END_TEST

Suite *suite_template(void);
Suite *suite_template(void)
{
    Suite *suite = suite_create("template");
    TCase *tcase = tcase_create("template");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, supported_templates_expand, 0, (int)(sizeof good / sizeof *good));
    tcase_add_loop_test(tcase, others_say_so, 0, (int)(sizeof bad / sizeof *bad));
    tcase_add_test(tcase, global_tasks_have_their_node_for_a_slot);
    tcase_add_test(tcase, an_expansion_is_bounded);
    tcase_add_test(tcase, payloads_see_secrets_configs_and_the_environment);
    tcase_add_test(tcase, a_task_is_expanded_as_a_copy);
    suite_add_tcase(suite, tcase);
    return suite;
}
