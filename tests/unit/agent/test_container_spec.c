// What a service asks for is what its container gets; what this node cannot do is refused by name.
#include <check.h>
#include <string.h>

#include "agent/container_spec.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

static struct arena arena;
static Swarm__Task *task;
static Swarm__ContainerSpec *spec;
static struct executor_order order;
static struct image_config image;
static struct container_node node;
static struct container_spec made;
static struct err err;

static void *fresh(const wire_type *type)
{
    return wire_new(type, &arena);
}

static void set_up(void)
{
    arena_init(&arena, 4 << 20);
    task = fresh(&swarm__task__descriptor);
    spec = fresh(&swarm__container_spec__descriptor);
    task->id = "t1";
    task->node_id = "n1";
    task->service_id = "s1";
    task->slot = 2;
    task->service_annotations->name = "web";
    task->spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    task->spec->container = spec;
    spec->image = "box:1";
    order = (struct executor_order){.task = task};
    image = (struct image_config){0};
    node = (struct container_node){.hostname = "host1", .resolv_conf = "nameserver 10.9.8.7\n"};
    memset(&err, 0, sizeof err);
}

static void tear_down(void)
{
    arena_fini(&arena);
}

static int make(void)
{
    memset(&err, 0, sizeof err);
    return container_spec_make(&order, &image, &node, &arena, &made, &err);
}

static void must(void)
{
    int rc = make();
    ck_assert_msg(rc == 0, "%s", err.message);
}

static void refused(enum err_code code, const char *word)
{
    ck_assert_int_eq(make(), -(int)code);
    ck_assert_msg(strstr(err.message, word) != NULL, "%s", err.message);
}

static const char *joined(struct oci_strings list)
{
    static char text[1000];
    text[0] = '\0';
    for (size_t i = 0; i < list.count; i++) {
        strcat(text, i ? " " : "");
        strcat(text, list.items[i]);
    }
    return text;
}

static const char *note(const char *key)
{
    for (size_t i = 0; i < made.container.annotations_count; i++)
        if (str_equal(made.container.annotations[i].key, key))
            return made.container.annotations[i].value;
    return NULL;
}

#define SET_LIST(field, ...)                                                                       \
    do {                                                                                           \
        static const char *items[] = {__VA_ARGS__};                                                \
        spec->field = items;                                                                       \
        spec->n_##field = COUNT_OF(items);                                                         \
    } while (0)

START_TEST(command_and_arguments_replace_those_of_the_image)
{
    image.entrypoint = (const char *[]){"/entry"};
    image.entrypoint_count = 1;
    image.cmd = (const char *[]){"serve", "-v"};
    image.cmd_count = 2;
    must();
    ck_assert_str_eq(joined(made.container.args), "/entry serve -v");
    SET_LIST(args, "other");
    must();
    ck_assert_str_eq(joined(made.container.args), "/entry other");
    SET_LIST(command, "sh");
    must();
    ck_assert_str_eq(joined(made.container.args), "sh other");
    spec->n_args = 0;
    must();
    ck_assert_str_eq(joined(made.container.args), "sh");
}
END_TEST

START_TEST(variables_go_over_those_of_the_image)
{
    image.env = (const char *[]){"A=1", "B=2", "C=3"};
    image.env_count = 3;
    SET_LIST(env, "B=new", "C", "D=4");
    Swarm__GenericResource gpus[3] = {SWARM__GENERIC_RESOURCE__INIT, SWARM__GENERIC_RESOURCE__INIT,
                                      SWARM__GENERIC_RESOURCE__INIT};
    Swarm__NamedGenericResource named[2] = {SWARM__NAMED_GENERIC_RESOURCE__INIT,
                                            SWARM__NAMED_GENERIC_RESOURCE__INIT};
    Swarm__DiscreteGenericResource ssd = SWARM__DISCRETE_GENERIC_RESOURCE__INIT;
    ssd.kind = "ssd";
    ssd.value = 3;
    Swarm__GenericResource *all[3] = {&gpus[0], &gpus[1], &gpus[2]};
    for (size_t i = 0; i < 2; i++) {
        named[i].kind = "gpu";
        named[i].value = i ? "u2" : "u1";
        gpus[i].resource_case = SWARM__GENERIC_RESOURCE__RESOURCE_NAMED_RESOURCE_SPEC;
        gpus[i].named_resource_spec = &named[i];
    }
    gpus[2].resource_case = SWARM__GENERIC_RESOURCE__RESOURCE_DISCRETE_RESOURCE_SPEC;
    gpus[2].discrete_resource_spec = &ssd;
    task->assigned_generic_resources = all;
    task->n_assigned_generic_resources = 3;
    must();
    ck_assert_str_eq(joined(made.container.env),
                     "A=1 B=new D=4 DOCKER_RESOURCE_GPU=u1,u2 DOCKER_RESOURCE_SSD=3");
}
END_TEST

START_TEST(names_and_labels_are_those_of_the_swarm)
{
    static Swarm__ContainerSpec__LabelsEntry mine = SWARM__CONTAINER_SPEC__LABELS_ENTRY__INIT;
    static Swarm__ContainerSpec__LabelsEntry forged = SWARM__CONTAINER_SPEC__LABELS_ENTRY__INIT;
    static Swarm__ContainerSpec__LabelsEntry *labels[] = {&mine, &forged};
    mine.key = "run.oci.seccomp";
    mine.value = "x";
    forged.key = NAME_LABEL_TASK_ID;
    forged.value = "forged";
    spec->labels = labels;
    spec->n_labels = 2;
    must();
    ck_assert_str_eq(made.name, "web.2.t1");
    ck_assert_str_eq(note(CONTAINER_NOTE_NAME), "web.2.t1");
    ck_assert_str_eq(note("skep.label.com.docker.swarm.task.id"), "t1");
    ck_assert_str_eq(note("skep.label.com.docker.swarm.task"), "");
    ck_assert_str_eq(note("skep.label.com.docker.swarm.service.name"), "web");
    ck_assert_str_eq(note("skep.label.com.docker.swarm.node.id"), "n1");
    ck_assert_str_eq(note("skep.label.run.oci.seccomp"), "x");
    ck_assert_uint_eq(made.container.annotations_count, 2 + 7);
    char id[CONTAINER_ID_BYTES];
    container_id_of_task("t1", id);
    ck_assert_str_eq(made.container.id, id);
    ck_assert_uint_eq(strlen(id), 64);
    ck_assert_int_eq(strncmp(made.container.hostname, id, 12), 0);
}
END_TEST

START_TEST(process_options_are_taken_over)
{
    image.user = "app";
    image.working_dir = "/srv";
    image.stop_signal = "SIGINT";
    must();
    ck_assert_str_eq(made.user, "app");
    ck_assert_str_eq(made.container.cwd, "/srv");
    ck_assert_int_eq(made.stop_signal, 2);
    spec->user = "1:2";
    spec->dir = "/x";
    spec->stop_signal = "QUIT";
    spec->tty = spec->open_stdin = spec->read_only = true;
    spec->hostname = "box";
    spec->oom_score_adj = -5;
    spec->pidslimit = 77;
    node.init = true;
    SET_LIST(groups, "extra");
    SET_LIST(capability_add, "NET_ADMIN");
    SET_LIST(capability_drop, "ALL");
    must();
    ck_assert_str_eq(made.user, "1:2");
    ck_assert_str_eq(made.container.cwd, "/x");
    ck_assert_int_eq(made.stop_signal, 3);
    ck_assert(made.container.tty);
    ck_assert(made.container.open_stdin);
    ck_assert(made.container.readonly_rootfs);
    ck_assert(made.container.init);
    ck_assert_str_eq(made.container.hostname, "box");
    ck_assert(made.container.oom_score_adj_set);
    ck_assert_int_eq(made.container.oom_score_adj, -5);
    ck_assert_int_eq(made.container.limits.pids_max, 77);
    ck_assert_str_eq(joined(made.groups), "extra");
    ck_assert_str_eq(joined(made.container.cap_add), "NET_ADMIN");
    ck_assert_str_eq(joined(made.container.cap_drop), "ALL");
    spec->stop_signal = "SIGNOPE";
    refused(ERR_INVALID_ARGUMENT, "stop signal: SIGNOPE");
}
END_TEST

START_TEST(limits_are_taken_over)
{
    Swarm__ResourceRequirements *resources = fresh(&swarm__resource_requirements__descriptor);
    resources->limits = fresh(&swarm__resources__descriptor);
    resources->reservations = fresh(&swarm__resources__descriptor);
    resources->limits->nano_cpus = 500000000;
    resources->limits->memory_bytes = 64 << 20;
    resources->reservations->memory_bytes = 32 << 20;
    resources->swap_bytes = fresh(&google__int64_value__descriptor);
    resources->swap_bytes->value = 16 << 20;
    task->spec->resources = resources;
    must();
    ck_assert_int_eq(made.container.limits.nano_cpus, 500000000);
    ck_assert_int_eq(made.container.limits.memory_bytes, 64 << 20);
    ck_assert_int_eq(made.container.limits.memory_reservation_bytes, 32 << 20);
    ck_assert_int_eq(made.container.limits.memory_swap_bytes, 80 << 20);
    resources->swap_bytes->value = -1;
    must();
    ck_assert_int_eq(made.container.limits.memory_swap_bytes, -1);
    resources->memory_swappiness = fresh(&google__int64_value__descriptor);
    refused(ERR_UNIMPLEMENTED, "swappiness");
    resources->memory_swappiness->value = 101;
    refused(ERR_INVALID_ARGUMENT, "swappiness");
}
END_TEST

static Swarm__Mount *set_mount(Swarm__Mount__Type type, const char *source, const char *target)
{
    static Swarm__Mount *mounts[1];
    mounts[0] = fresh(&swarm__mount__descriptor);
    mounts[0]->type = type;
    mounts[0]->source = source;
    mounts[0]->target = target;
    spec->mounts = mounts;
    spec->n_mounts = 1;
    return mounts[0];
}

START_TEST(mounts_become_binds_volumes_and_tmpfs)
{
    Swarm__Mount *mount = set_mount(SWARM__MOUNT__TYPE__BIND, "/data", "/in");
    mount->readonly = true;
    mount->bind_options = fresh(&swarm__mount__bind_options__descriptor);
    mount->bind_options->propagation = SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__RSLAVE;
    mount->bind_options->createmountpoint = true;
    image.volumes = (const char *[]){"/in", "/var/db"};
    image.volumes_count = 2;
    must();
    ck_assert_uint_eq(made.container.mounts_count, 2);
    ck_assert_str_eq(made.mounts[0].source, "/data");
    ck_assert(made.mounts[0].readonly);
    ck_assert_int_eq(made.mounts[0].propagation, OCI_PROPAGATION_RSLAVE);
    ck_assert_uint_eq(made.make_sources_count, 1);
    ck_assert_uint_eq(made.volumes_count, 1);
    ck_assert_uint_eq(made.volumes[0].mount, 1);
    ck_assert_ptr_null(made.volumes[0].name);
    ck_assert_str_eq(made.mounts[1].target, "/var/db");
    mount = set_mount(SWARM__MOUNT__TYPE__VOLUME, "db", "/db");
    mount->volume_options = fresh(&swarm__mount__volume_options__descriptor);
    mount->volume_options->nocopy = true;
    image.volumes_count = 0;
    must();
    ck_assert_str_eq(made.volumes[0].name, "db");
    ck_assert(made.volumes[0].nocopy);
    mount = set_mount(SWARM__MOUNT__TYPE__TMPFS, "", "/t");
    mount->tmpfs_options = fresh(&swarm__mount__tmpfs_options__descriptor);
    mount->tmpfs_options->size_bytes = 4096;
    mount->tmpfs_options->mode = 0700;
    must();
    ck_assert_int_eq(made.mounts[0].kind, OCI_MOUNT_TMPFS);
    ck_assert_uint_eq(made.mounts[0].tmpfs_size_bytes, 4096);
    ck_assert_uint_eq(made.mounts[0].tmpfs_mode, 0700);
}
END_TEST

START_TEST(mounts_that_cannot_be_are_refused_by_name)
{
    set_mount(SWARM__MOUNT__TYPE__BIND, "data", "/in");
    refused(ERR_INVALID_ARGUMENT, "absolute path");
    set_mount(SWARM__MOUNT__TYPE__CLUSTER, "group:x", "/in");
    refused(ERR_UNIMPLEMENTED, "cluster volumes");
    set_mount(SWARM__MOUNT__TYPE__NPIPE, "x", "/in");
    refused(ERR_UNIMPLEMENTED, "type of mount");
    Swarm__Mount *mount = set_mount(SWARM__MOUNT__TYPE__VOLUME, "v", "/in");
    mount->volume_options = fresh(&swarm__mount__volume_options__descriptor);
    mount->volume_options->subpath = "a";
    refused(ERR_UNIMPLEMENTED, "Subpath");
    mount->volume_options->subpath = "";
    mount->volume_options->driver_config = fresh(&swarm__driver__descriptor);
    mount->volume_options->driver_config->name = "nfs";
    refused(ERR_UNIMPLEMENTED, "\"nfs\"");
    mount = set_mount(SWARM__MOUNT__TYPE__BIND, "/a", "/in");
    mount->bind_options = fresh(&swarm__mount__bind_options__descriptor);
    mount->bind_options->readonlyforcerecursive = true;
    refused(ERR_UNIMPLEMENTED, "ReadOnlyForceRecursive");
}
END_TEST

START_TEST(secrets_and_configs_become_files)
{
    Swarm__SecretReference *secret = fresh(&swarm__secret_reference__descriptor);
    secret->secret_name = "key";
    secret->target_case = SWARM__SECRET_REFERENCE__TARGET_FILE;
    secret->file = fresh(&swarm__file_target__descriptor);
    secret->file->name = "key.pem";
    secret->file->uid = "33";
    secret->file->mode = 0440;
    Swarm__ConfigReference *config = fresh(&swarm__config_reference__descriptor);
    config->config_name = "conf";
    config->target_case = SWARM__CONFIG_REFERENCE__TARGET_FILE;
    config->file = fresh(&swarm__file_target__descriptor);
    config->file->name = "/etc/conf";
    struct executor_file files[] = {{.secret = secret, .data = "abc", .size = 3},
                                    {.config = config, .data = "", .size = 0}};
    order.files = files;
    order.files_count = 2;
    must();
    ck_assert_uint_eq(made.container.files_count, 2);
    ck_assert_str_eq(made.container.files[0].target, "/run/secrets/key.pem");
    ck_assert_uint_eq(made.container.files[0].uid, 33);
    ck_assert_uint_eq(made.container.files[0].mode, 0440);
    ck_assert_uint_eq(made.container.files[0].size, 3);
    ck_assert_str_eq(made.container.files[1].target, "/etc/conf");
    secret->file->gid = "staff";
    refused(ERR_INVALID_ARGUMENT, "key: owner and group must be numbers");
}
END_TEST

static Swarm__Network *set_network(const char *driver)
{
    static Swarm__NetworkAttachment *attachments[1];
    attachments[0] = fresh(&swarm__network_attachment__descriptor);
    attachments[0]->network = fresh(&swarm__network__descriptor);
    attachments[0]->network->spec->annotations->name = "mynet";
    attachments[0]->network->driver_state = fresh(&swarm__driver__descriptor);
    attachments[0]->network->driver_state->name = driver;
    task->networks = attachments;
    task->n_networks = 1;
    return attachments[0]->network;
}

START_TEST(networks_are_none_the_hosts_or_refused)
{
    must();
    ck_assert_int_eq(made.container.net.mode, OCI_NS_PRIVATE);
    set_network("host");
    must();
    ck_assert_int_eq(made.container.net.mode, OCI_NS_HOST);
    ck_assert_str_eq(made.container.hostname, "host1");
    set_network("overlay");
    refused(ERR_UNIMPLEMENTED, "network mynet: overlay networks");
    task->n_networks = 0;
    Swarm__PortConfig *port = fresh(&swarm__port_config__descriptor);
    port->publish_mode = SWARM__PORT_CONFIG__PUBLISH_MODE__HOST;
    task->endpoint = fresh(&swarm__endpoint__descriptor);
    task->endpoint->ports = &port;
    task->endpoint->n_ports = 1;
    refused(ERR_UNIMPLEMENTED, "publishing ports");
    node.overlays = true;
    must();
    ck_assert_int_eq(made.container.net.mode, OCI_NS_PATH);
    node.overlays = false;
}
END_TEST

START_TEST(hosts_and_dns_are_written)
{
    SET_LIST(hosts, "10.0.0.1 db");
    must();
    ck_assert_ptr_nonnull(strstr(made.container.hosts_text, "10.0.0.1\tdb"));
    ck_assert_str_eq(made.container.resolv_text, "nameserver 10.9.8.7\n");
    static const char *servers[] = {"1.2.3.4"};
    spec->dns_config = fresh(&swarm__container_spec__dnsconfig__descriptor);
    spec->dns_config->nameservers = servers;
    spec->dns_config->n_nameservers = 1;
    must();
    ck_assert_str_eq(made.container.resolv_text, "nameserver 1.2.3.4\n");
    servers[0] = "not an address";
    refused(ERR_INVALID_ARGUMENT, "nameserver");
}
END_TEST

// Goal: what the node's operator says counts where the service says nothing, and there alone.
START_TEST(defaults_fill_what_is_open)
{
    static const struct oci_ulimit limits[] = {{"nofile", 64, 128}, {"core", 0, 0}};
    static const struct oci_pair options[] = {{"max-size", "1m"}, {"max-file", "5"}};
    static const struct container_defaults defaults = {.shm_bytes = 1 << 20,
                                                       .ulimits = limits,
                                                       .ulimits_count = 2,
                                                       .log_driver = "local",
                                                       .log_options = options,
                                                       .log_options_count = 2,
                                                       .no_new_privileges = true,
                                                       .cgroup_ns_host = true};
    node.defaults = &defaults;
    must();
    ck_assert_uint_eq(made.container.shm_bytes, 1 << 20);
    ck_assert_uint_eq(made.container.ulimits_count, 2);
    ck_assert(made.container.no_new_privileges && made.container.cgroup_ns_host);
    ck_assert_uint_eq(made.log.bytes_max, 1 << 20);
    ck_assert_uint_eq(made.log.files_max, 5);
    Swarm__ContainerSpec__Ulimit *own = fresh(&swarm__container_spec__ulimit__descriptor);
    own->name = "nofile";
    own->soft = own->hard = 7;
    spec->ulimits = &own;
    spec->n_ulimits = 1;
    Swarm__Driver *driver = fresh(&swarm__driver__descriptor);
    driver->name = "json-file";
    task->log_driver = driver;
    must();
    ck_assert_uint_eq(made.container.ulimits_count, 2);
    ck_assert_int_eq(made.container.ulimits[0].hard, 7);
    ck_assert_str_eq(made.container.ulimits[1].name, "core");
    // Another driver than the default one has none of its options.
    ck_assert_uint_eq(made.log.files_max, 2);
    node.defaults = NULL;
}
END_TEST

START_TEST(log_options_are_read_or_refused)
{
    Swarm__Driver *driver = fresh(&swarm__driver__descriptor);
    Swarm__Driver__OptionsEntry size = SWARM__DRIVER__OPTIONS_ENTRY__INIT;
    Swarm__Driver__OptionsEntry files = SWARM__DRIVER__OPTIONS_ENTRY__INIT;
    Swarm__Driver__OptionsEntry *options[] = {&size, &files};
    size.key = "max-size";
    size.value = "10m";
    files.key = "max-file";
    files.value = "3";
    driver->name = "json-file";
    driver->options = options;
    driver->n_options = 2;
    task->log_driver = driver;
    must();
    ck_assert_uint_eq(made.log.bytes_max, 10 << 20);
    ck_assert_uint_eq(made.log.files_max, 3);
    files.value = "0";
    refused(ERR_INVALID_ARGUMENT, "max-file");
    files.key = "tag";
    files.value = "{{.Name}}";
    must();
    ck_assert_str_eq(made.log.marks.tag, "{{.Name}}");
    files.value = "{{.Nome}}";
    refused(ERR_INVALID_ARGUMENT, "log-tag");
    files.value = "yes";
    files.key = "compress";
    refused(ERR_INVALID_ARGUMENT, "strconv.ParseBool");
    files.value = "true";
    must();
    ck_assert(made.log.compress);
    size.value = "-1";
    refused(ERR_INVALID_ARGUMENT, "compress cannot be true");
    size.value = "10m";
    files.key = "max-buffer-size";
    refused(ERR_INVALID_ARGUMENT, "only supported with 'mode=non-blocking'");
    size.key = "mode";
    size.value = "non-blocking";
    refused(ERR_INVALID_ARGUMENT, "invalid size: 'true'");
    files.value = "4m";
    must();
    size.value = "sometimes";
    refused(ERR_INVALID_ARGUMENT, "logging mode not supported: sometimes");
    size.value = "non-blocking";
    files.key = "tagg";
    refused(ERR_INVALID_ARGUMENT, "'tagg'");
    driver->name = "syslog";
    refused(ERR_INVALID_ARGUMENT, "'syslog'");
    driver->name = "none";
    driver->n_options = 0;
    must();
    ck_assert(made.log.none);
}
END_TEST

START_TEST(privileges_are_taken_over_or_refused)
{
    Swarm__Privileges *privileges = fresh(&swarm__privileges__descriptor);
    spec->privileges = privileges;
    privileges->no_new_privileges = true;
    privileges->seccomp = fresh(&swarm__privileges__seccomp_opts__descriptor);
    privileges->seccomp->mode = SWARM__PRIVILEGES__SECCOMP_OPTS__SECCOMP_MODE__UNCONFINED;
    privileges->selinux_context = fresh(&swarm__privileges__selinux_context__descriptor);
    privileges->selinux_context->user = "u";
    privileges->selinux_context->role = "r";
    privileges->selinux_context->type = "t";
    privileges->selinux_context->level = "s0";
    must();
    ck_assert(made.container.no_new_privileges);
    ck_assert_int_eq(made.container.seccomp, OCI_SECCOMP_UNCONFINED);
    ck_assert_str_eq(made.container.selinux_label, "u:r:t:s0");
    ck_assert_ptr_null(made.container.apparmor_profile); // the node's own
    privileges->apparmor = fresh(&swarm__privileges__app_armor_opts__descriptor);
    must();
    ck_assert_ptr_null(made.container.apparmor_profile);
    privileges->apparmor->mode = SWARM__PRIVILEGES__APP_ARMOR_OPTS__APP_ARMOR_MODE__DISABLED;
    must();
    ck_assert_str_eq(made.container.apparmor_profile, "unconfined");
    privileges->selinux_context->role = "";
    refused(ERR_UNIMPLEMENTED, "SELinux");
    privileges->credential_spec = fresh(&swarm__privileges__credential_spec__descriptor);
    privileges->credential_spec->source_case = SWARM__PRIVILEGES__CREDENTIAL_SPEC__SOURCE_FILE;
    privileges->credential_spec->file = "x";
    refused(ERR_UNIMPLEMENTED, "credential specs");
    spec->isolation = SWARM__CONTAINER_SPEC__ISOLATION__ISOLATION_HYPERV;
    refused(ERR_UNIMPLEMENTED, "isolation");
}
END_TEST

START_TEST(other_runtimes_and_small_arenas_are_refused)
{
    struct arena small;
    arena_init(&small, 512);
    ck_assert_int_eq(container_spec_make(&order, &image, &node, &small, &made, &err),
                     -ERR_RESOURCE_EXHAUSTED);
    arena_fini(&small);
    spec->image = "";
    refused(ERR_INVALID_ARGUMENT, "image");
    task->spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_ATTACHMENT;
    refused(ERR_UNIMPLEMENTED, "containers only");
}
END_TEST

Suite *suite_container_spec(void);
Suite *suite_container_spec(void)
{
    Suite *suite = suite_create("container_spec");
    TCase *tcase = tcase_create("spec");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, command_and_arguments_replace_those_of_the_image);
    tcase_add_test(tcase, variables_go_over_those_of_the_image);
    tcase_add_test(tcase, names_and_labels_are_those_of_the_swarm);
    tcase_add_test(tcase, process_options_are_taken_over);
    tcase_add_test(tcase, limits_are_taken_over);
    tcase_add_test(tcase, mounts_become_binds_volumes_and_tmpfs);
    tcase_add_test(tcase, mounts_that_cannot_be_are_refused_by_name);
    tcase_add_test(tcase, secrets_and_configs_become_files);
    tcase_add_test(tcase, networks_are_none_the_hosts_or_refused);
    tcase_add_test(tcase, hosts_and_dns_are_written);
    tcase_add_test(tcase, defaults_fill_what_is_open);
    tcase_add_test(tcase, log_options_are_read_or_refused);
    tcase_add_test(tcase, privileges_are_taken_over_or_refused);
    tcase_add_test(tcase, other_runtimes_and_small_arenas_are_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
