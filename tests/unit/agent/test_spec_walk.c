// Every field of ContainerSpec has a row here that says where it ends: in the runtime's
// configuration, in a refusal that names it, or at somebody else's, who is named. One without a row
// fails.
#include <check.h>
#include <string.h>

#include "agent/container_spec.h"
#include "agent/oci/bundle.h"
#include "agent/oci/caps.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

static struct arena arena;
static Swarm__ContainerSpec *spec;

static const char *words[] = {"walked"};

static void *fresh(const wire_type *type)
{
    return wire_new(type, &arena);
}

static void *list_of(void *thing)
{
    void **list = arena_alloc_array(&arena, 1, sizeof *list);
    list[0] = thing;
    return list;
}

#define SET_WORDS(field)                                                                           \
    static void set_##field(void)                                                                  \
    {                                                                                              \
        spec->n_##field = COUNT_OF(words);                                                         \
        spec->field = (void *)words;                                                               \
    }
SET_WORDS(command)
SET_WORDS(args)

static void set_env(void)
{
    static const char *env[] = {"A=walked"};
    spec->n_env = 1;
    spec->env = (void *)env;
}

static void set_labels(void)
{
    Swarm__ContainerSpec__LabelsEntry *entry =
        fresh(&swarm__container_spec__labels_entry__descriptor);
    entry->key = "walked";
    entry->value = "1";
    spec->n_labels = 1;
    spec->labels = list_of(entry);
}

static void set_sysctls(void)
{
    Swarm__ContainerSpec__SysctlsEntry *entry =
        fresh(&swarm__container_spec__sysctls_entry__descriptor);
    entry->key = "net.ipv4.ip_forward";
    entry->value = "1";
    spec->n_sysctls = 1;
    spec->sysctls = list_of(entry);
}

static void set_hostname(void)
{
    spec->hostname = "walked";
}

static void set_dir(void)
{
    spec->dir = "/walked";
}

static void set_privileges(void)
{
    spec->privileges = fresh(&swarm__privileges__descriptor);
    spec->privileges->no_new_privileges = true;
}

static void set_init(void)
{
    spec->init = fresh(&google__bool_value__descriptor);
    spec->init->value = true;
}

static void set_tty(void)
{
    spec->tty = true;
}

static void set_read_only(void)
{
    spec->read_only = true;
}

static void set_stop_signal(void)
{
    spec->stop_signal = "SIGWALKED";
}

static void set_mounts(void)
{
    Swarm__Mount *mount = fresh(&swarm__mount__descriptor);
    mount->type = SWARM__MOUNT__TYPE__TMPFS;
    mount->target = "/walked";
    spec->n_mounts = 1;
    spec->mounts = list_of(mount);
}

static void set_isolation(void)
{
    spec->isolation = SWARM__CONTAINER_SPEC__ISOLATION__ISOLATION_HYPERV;
}

static void set_pidslimit(void)
{
    spec->pidslimit = 77;
}

static void set_capability_add(void)
{
    static const char *caps[] = {"CAP_NET_ADMIN"};
    spec->n_capability_add = 1;
    spec->capability_add = (void *)caps;
}

static void set_capability_drop(void)
{
    static const char *caps[] = {"ALL"};
    spec->n_capability_drop = 1;
    spec->capability_drop = (void *)caps;
}

static void set_ulimits(void)
{
    Swarm__ContainerSpec__Ulimit *limit = fresh(&swarm__container_spec__ulimit__descriptor);
    limit->name = "nofile";
    limit->soft = 77;
    limit->hard = 88;
    spec->n_ulimits = 1;
    spec->ulimits = list_of(limit);
}

static void set_oom_score_adj(void)
{
    spec->oom_score_adj = 77;
}

enum end {
    RUNTIME, // `text` is in config.json, and is not without the field
    ANSWER,  // it is refused with `text`
    OTHER,   // `text` says whose business it is; tests of that have more
};

static const struct walk {
    const char *name;
    enum end end;
    const char *text;
    void (*set)(void);
} walk[] = {
    {"image", OTHER, "container_prepare: images_pull", NULL},
    {"labels", RUNTIME, "walked", set_labels},
    {"command", RUNTIME, "\"walked\"", set_command},
    {"args", RUNTIME, "\"walked\"", set_args},
    {"hostname", RUNTIME, "\"hostname\":\"walked\"", set_hostname},
    {"env", RUNTIME, "A=walked", set_env},
    {"dir", RUNTIME, "\"cwd\":\"/walked\"", set_dir},
    {"user", OTHER, "container_settle_user, with the root's own passwd", NULL},
    {"groups", OTHER, "container_settle_user", NULL},
    {"privileges", RUNTIME, "\"noNewPrivileges\":true", set_privileges},
    {"init", RUNTIME, "/init/program", set_init},
    {"tty", RUNTIME, "\"terminal\":true", set_tty},
    {"open_stdin", OTHER, "runtime_create: conmon --stdin", NULL},
    {"read_only", RUNTIME, "\"readonly\":true", set_read_only},
    {"stop_signal", ANSWER, "invalid stop signal: SIGWALKED", set_stop_signal},
    {"mounts", RUNTIME, "\"/walked\"", set_mounts},
    {"stop_grace_period", OTHER, "the task machine's stop", NULL},
    {"pull_options", OTHER, "container_prepare: registry_auth_parse", NULL},
    {"secrets", OTHER, "the worker's order: container_files_make", NULL},
    {"configs", OTHER, "the worker's order: container_files_make", NULL},
    {"hosts", OTHER, "etc_hosts", NULL},
    {"dns_config", OTHER, "etc_resolv_over", NULL},
    {"healthcheck", OTHER, "container_health_make, the task machine", NULL},
    {"isolation", ANSWER, "isolation modes", set_isolation},
    {"pidsLimit", RUNTIME, "\"limit\":77", set_pidslimit},
    {"sysctls", RUNTIME, "net.ipv4.ip_forward", set_sysctls},
    {"capability_add", RUNTIME, "CAP_NET_ADMIN", set_capability_add},
    {"capability_drop", RUNTIME, "\"bounding\":[]", set_capability_drop},
    {"ulimits", RUNTIME, "\"soft\":77", set_ulimits},
    {"oom_score_adj", RUNTIME, "\"oomScoreAdj\":77", set_oom_score_adj},
};

static void write_one(void (*set)(void), struct buf *out)
{
    static const char seccomp[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}";
    static const char *cmd[] = {"true"};
    static const struct image_config image = {.cmd = cmd, .cmd_count = 1};
    static const struct container_node node = {.hostname = "h", .resolv_conf = ""};
    const struct oci_host machine = {
        .cgroup_path = "/skep/c0ffee",
        .has_cgroup_ns = true,
        .nofile_hard_max = 1000,
        .init_path = "/init/program",
        .seccomp_json = seccomp,
        .seccomp_json_bytes = sizeof seccomp - 1,
        .kernel_release = "6.1.0",
        .files_dir = "/f",
        .etc_dir = "/e",
        .caps = CAPS_ALL,
    };
    struct err err = ERR_INIT;
    struct container_spec made;
    arena_init(&arena, 8u << 20);
    Swarm__Task *task = fresh(&swarm__task__descriptor);
    spec = fresh(&swarm__container_spec__descriptor);
    task->id = "t1";
    task->node_id = "n1";
    task->service_id = "s1";
    task->service_annotations->name = "web";
    task->spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    task->spec->container = spec;
    spec->image = "box:1";
    if (set)
        set();
    const struct executor_order order = {.task = task};
    int rc = container_spec_make(&order, &image, &node, &arena, &made, &err);
    if (!rc) {
        made.container.rootfs = "/root";
        rc = bundle_check(&made.container, &err);
    }
    if (!rc)
        rc = bundle_write(&made.container, &machine, out, &err);
    if (rc) {
        buf_clear(out);
        buf_put_str(out, err.message);
    }
    arena_fini(&arena);
}

static void walk_one(const struct walk *row)
{
    struct buf with, without;
    if (row->end == OTHER)
        return;
    buf_init(&with, OCI_CONFIG_BYTES);
    buf_init(&without, OCI_CONFIG_BYTES);
    write_one(row->set, &with);
    write_one(NULL, &without);
    const char *got = buf_cstr(&with);
    ck_assert_msg((got[0] == '{') == (row->end == RUNTIME), "%s: %.1000s", row->name, got);
    ck_assert_msg(strstr(got, row->text) != NULL, "%s: %.1000s", row->name, got);
    ck_assert_msg(!strstr(buf_cstr(&without), row->text), "%s changes nothing", row->name);
    buf_fini(&with);
    buf_fini(&without);
}

START_TEST(every_field_of_a_container_spec_ends_somewhere)
{
    const ProtobufCMessageDescriptor *type = &swarm__container_spec__descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        size_t at = 0;
        while (at < COUNT_OF(walk) && !str_equal(walk[at].name, type->fields[i].name))
            at++;
        ck_assert_msg(at < COUNT_OF(walk), "%s has no row: where does it end?",
                      type->fields[i].name);
        walk_one(&walk[at]);
    }
}
END_TEST

Suite *suite_spec_walk(void);
Suite *suite_spec_walk(void)
{
    Suite *suite = suite_create("spec_walk");
    TCase *tcase = tcase_create("spec_walk");
    tcase_add_test(tcase, every_field_of_a_container_spec_ends_somewhere);
    suite_add_tcase(suite, tcase);
    return suite;
}
