#include "agent/container_spec.h"

#include <ctype.h>
#include <string.h>

#include "agent/container_health.h"
#include "agent/container_mounts.h"
#include "agent/image/blobs_io.h"
#include "agent/net/order.h"
#include "agent/oci/apparmor.h"
#include "agent/oci/etc_files.h"
#include "agent/oci/signals.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define MEMORY_SWAP_UNLIMITED (-1)
#define SIGNAL_DEFAULT        "SIGTERM"
#define RESOLVER_ADDRESS      "127.0.0.11"
#define RESOURCE_TEXT_BYTES   (64u << 10)

// The state of one making.
struct making {
    const struct executor_order *order;
    const Swarm__Task *task;
    const Swarm__ContainerSpec *spec;
    const struct image_config *image; // never NULL: an empty one stands for "not known"
    const struct container_node *node;
    struct arena *arena;
    struct container_spec *out;
    struct err *err;
};

static int refuse(struct making *making, const char *what)
{
    return err_set(making->err, ERR_UNIMPLEMENTED, "%s not supported by this node", what);
}

// ---- process -----------------------------------------------------------------------------------

static const char **list_of(struct making *making, size_t count)
{
    return arena_alloc_array(making->arena, count, sizeof(char *));
}

// The entrypoint (command) and its arguments: giving the first takes back both of the image's.
static int make_args(struct making *making)
{
    const Swarm__ContainerSpec *spec = making->spec;
    const struct image_config *image = making->image;
    bool own = spec->n_command > 0;
    bool own_args = own || spec->n_args > 0;
    size_t first_count = own ? spec->n_command : image->entrypoint_count;
    size_t rest_count = own_args ? spec->n_args : image->cmd_count;
    if (first_count > OCI_ARGS_MAX || rest_count > OCI_ARGS_MAX)
        return err_set(making->err, ERR_INVALID_ARGUMENT, "more than %d arguments", OCI_ARGS_MAX);
    const char **args = list_of(making, first_count + rest_count + 1);
    if (!args)
        return 0; // told by the arena
    for (size_t i = 0; i < first_count; i++)
        args[i] = own ? spec->command[i] : image->entrypoint[i];
    for (size_t i = 0; i < rest_count; i++)
        args[first_count + i] = own_args ? spec->args[i] : image->cmd[i];
    making->out->container.args = (struct oci_strings){args, first_count + rest_count};
    return 0;
}

static bool same_key(const char *a, const char *b)
{
    size_t size = strcspn(a, "=");
    return strcspn(b, "=") == size && memcmp(a, b, size) == 0;
}

// DOCKER_RESOURCE_<KIND>=v1,v2 for the generic resources the task got.
static const char *resource_text(struct making *making, const char *kind)
{
    const Swarm__Task *task = making->task;
    struct buf text;
    buf_init(&text, RESOURCE_TEXT_BYTES);
    buf_put_str(&text, "DOCKER_RESOURCE_");
    for (const char *at = kind; *at; at++)
        buf_put_u8(&text, (uint8_t)toupper((unsigned char)*at));
    char separator = '=';
    for (size_t i = 0; i < task->n_assigned_generic_resources; i++) {
        const Swarm__GenericResource *resource = task->assigned_generic_resources[i];
        if (!str_equal(container_resource_kind(resource), kind))
            continue;
        buf_put_u8(&text, (uint8_t)separator);
        if (resource->resource_case == SWARM__GENERIC_RESOURCE__RESOURCE_NAMED_RESOURCE_SPEC)
            buf_put_str(&text, resource->named_resource_spec->value);
        else
            buf_printf(&text, "%lld", (long long)resource->discrete_resource_spec->value);
        separator = ',';
    }
    const char *kept = buf_cstr(&text) ? arena_strdup(making->arena, buf_cstr(&text)) : NULL;
    buf_fini(&text);
    return kept;
}

static bool is_first_of_kind(const Swarm__Task *task, size_t index)
{
    const char *kind = container_resource_kind(task->assigned_generic_resources[index]);
    for (size_t i = 0; i < index; i++)
        if (str_equal(container_resource_kind(task->assigned_generic_resources[i]), kind))
            return false;
    return kind != NULL;
}

// The image's variables, those of the spec over them; "NAME" without a value takes one away.
static int make_env(struct making *making)
{
    const Swarm__ContainerSpec *spec = making->spec;
    const struct image_config *image = making->image;
    size_t most = image->env_count + spec->n_env + making->task->n_assigned_generic_resources;
    if (most > OCI_ARGS_MAX)
        return err_set(making->err, ERR_INVALID_ARGUMENT, "more than %d variables", OCI_ARGS_MAX);
    const char **env = list_of(making, most + 1);
    size_t count = 0;
    for (size_t i = 0; env && i < image->env_count; i++) {
        bool over = false;
        for (size_t k = 0; k < spec->n_env && !over; k++)
            over = same_key(image->env[i], spec->env[k]);
        if (!over)
            env[count++] = image->env[i];
    }
    for (size_t i = 0; env && i < spec->n_env; i++)
        if (strchr(spec->env[i], '='))
            env[count++] = spec->env[i];
    for (size_t i = 0; env && i < making->task->n_assigned_generic_resources; i++)
        if (is_first_of_kind(making->task, i)) {
            const char *text = resource_text(
                making, container_resource_kind(making->task->assigned_generic_resources[i]));
            if (text)
                env[count++] = text;
        }
    making->out->container.env = (struct oci_strings){env, count};
    return 0;
}

static int make_process(struct making *making)
{
    const Swarm__ContainerSpec *spec = making->spec;
    struct oci_container *container = &making->out->container;
    if (spec->isolation != SWARM__CONTAINER_SPEC__ISOLATION__ISOLATION_DEFAULT)
        return refuse(making, "isolation modes (Windows only) are");
    container->cwd = str_or(spec->dir, str_or(making->image->working_dir, "/"));
    container->tty = spec->tty;
    container->open_stdin = spec->open_stdin;
    container->readonly_rootfs = spec->read_only;
    container->init = spec->init ? spec->init->value : making->node->init;
    making->out->user = str_or(spec->user, str_or(making->image->user, ""));
    making->out->groups = (struct oci_strings){spec->groups, spec->n_groups};
    const char *signal =
        str_or(spec->stop_signal, str_or(making->image->stop_signal, SIGNAL_DEFAULT));
    making->out->stop_signal = signal_of_name(signal);
    if (!making->out->stop_signal)
        return err_set(making->err, ERR_INVALID_ARGUMENT, "invalid stop signal: %.64s", signal);
    return 0;
}

// ---- rights ------------------------------------------------------------------------------------

static int make_selinux(struct making *making, const Swarm__Privileges__SELinuxContext *context)
{
    bool given = !str_empty(context->user) || !str_empty(context->role) ||
                 !str_empty(context->type) || !str_empty(context->level);
    if (context->disable || !given)
        return 0;
    // Half a label would have to be completed from the machine's policy.
    if (str_empty(context->user) || str_empty(context->role) || str_empty(context->type))
        return refuse(making, "a SELinux context without user, role and type is");
    making->out->container.selinux_label =
        arena_printf(making->arena, "%s:%s:%s%s%s", context->user, context->role, context->type,
                     str_empty(context->level) ? "" : ":", str_or(context->level, ""));
    return 0;
}

static int make_privileges(struct making *making)
{
    const Swarm__Privileges *privileges = making->spec->privileges;
    struct oci_container *container = &making->out->container;
    if (!privileges)
        return 0;
    if (privileges->credential_spec && privileges->credential_spec->source_case !=
                                           SWARM__PRIVILEGES__CREDENTIAL_SPEC__SOURCE__NOT_SET)
        return refuse(making, "credential specs (Windows only) are");
    container->no_new_privileges |= privileges->no_new_privileges;
    if (privileges->seccomp) {
        const Swarm__Privileges__SeccompOpts *seccomp = privileges->seccomp;
        switch (seccomp->mode) {
        case SWARM__PRIVILEGES__SECCOMP_OPTS__SECCOMP_MODE__DEFAULT:
            break;
        case SWARM__PRIVILEGES__SECCOMP_OPTS__SECCOMP_MODE__UNCONFINED:
            container->seccomp = OCI_SECCOMP_UNCONFINED;
            break;
        case SWARM__PRIVILEGES__SECCOMP_OPTS__SECCOMP_MODE__CUSTOM:
            container->seccomp = OCI_SECCOMP_CUSTOM;
            container->seccomp_profile = (const char *)seccomp->profile.data;
            container->seccomp_profile_bytes = seccomp->profile.len;
            break;
        default:
            return refuse(making, "this seccomp mode is");
        }
    }
    if (privileges->apparmor) {
        switch (privileges->apparmor->mode) {
        case SWARM__PRIVILEGES__APP_ARMOR_OPTS__APP_ARMOR_MODE__DEFAULT:
            break;
        case SWARM__PRIVILEGES__APP_ARMOR_OPTS__APP_ARMOR_MODE__DISABLED:
            container->apparmor_profile = APPARMOR_UNCONFINED;
            break;
        default:
            return refuse(making, "this AppArmor mode is");
        }
    }
    return privileges->selinux_context ? make_selinux(making, privileges->selinux_context) : 0;
}

static int make_rights(struct making *making)
{
    const Swarm__ContainerSpec *spec = making->spec;
    struct oci_container *container = &making->out->container;
    container->cap_add = (struct oci_strings){spec->capability_add, spec->n_capability_add};
    container->cap_drop = (struct oci_strings){spec->capability_drop, spec->n_capability_drop};
    struct oci_pair *sysctls =
        arena_alloc_array(making->arena, spec->n_sysctls + 1, sizeof *sysctls);
    for (size_t i = 0; sysctls && i < spec->n_sysctls; i++)
        sysctls[i] = (struct oci_pair){spec->sysctls[i]->key, spec->sysctls[i]->value};
    container->sysctls = sysctls;
    container->sysctls_count = spec->n_sysctls;
    struct oci_ulimit *ulimits =
        arena_alloc_array(making->arena, spec->n_ulimits + 1, sizeof *ulimits);
    for (size_t i = 0; ulimits && i < spec->n_ulimits; i++)
        ulimits[i] = (struct oci_ulimit){spec->ulimits[i]->name, spec->ulimits[i]->soft,
                                         spec->ulimits[i]->hard};
    container->ulimits = ulimits;
    container->ulimits_count = spec->n_ulimits;
    if (making->node->defaults) {
        container_defaults_ulimits(making->node->defaults, making->arena, container);
        container->shm_bytes = making->node->defaults->shm_bytes;
        container->no_new_privileges = making->node->defaults->no_new_privileges;
        container->cgroup_ns_host = making->node->defaults->cgroup_ns_host;
    }
    if (spec->oom_score_adj) {
        if (spec->oom_score_adj < -1000 || spec->oom_score_adj > 1000)
            return err_set(making->err, ERR_INVALID_ARGUMENT,
                           "invalid OOM score %lld: the range is -1000 to 1000",
                           (long long)spec->oom_score_adj);
        container->oom_score_adj_set = true;
        container->oom_score_adj = (int)spec->oom_score_adj;
    }
    return make_privileges(making);
}

// ---- limits ------------------------------------------------------------------------------------

static int make_limits(struct making *making)
{
    const Swarm__ResourceRequirements *resources = making->task->spec->resources;
    struct oci_limits *limits = &making->out->container.limits;
    limits->pids_max = making->spec->pidslimit;
    if (!resources)
        return 0;
    if (resources->limits) {
        limits->nano_cpus = resources->limits->nano_cpus;
        limits->memory_bytes = resources->limits->memory_bytes;
    }
    if (resources->reservations)
        limits->memory_reservation_bytes = resources->reservations->memory_bytes;
    if (resources->memory_swappiness) {
        int64_t swappiness = resources->memory_swappiness->value;
        // 0 cannot be told from "the kernel's default" further down.
        if (swappiness == 0)
            return refuse(making, "a memory swappiness of 0 is");
        if (swappiness < 0 || swappiness > 100)
            return err_set(making->err, ERR_INVALID_ARGUMENT,
                           "invalid value %lld for memory swappiness: the range is 0 to 100",
                           (long long)swappiness);
        limits->memory_swappiness = swappiness;
    }
    if (resources->swap_bytes) {
        int64_t swap = resources->swap_bytes->value;
        if (swap < -1)
            return err_set(making->err, ERR_INVALID_ARGUMENT, "invalid swap limit %lld",
                           (long long)swap);
        if (swap == -1)
            limits->memory_swap_bytes = MEMORY_SWAP_UNLIMITED;
        else if (__builtin_add_overflow(limits->memory_bytes, swap, &limits->memory_swap_bytes))
            return err_set(making->err, ERR_INVALID_ARGUMENT, "the swap limit is too large");
    }
    return 0;
}

// ---- network -----------------------------------------------------------------------------------

#define NETNS_LATER "/proc/self/ns/net" // where the path is not known yet

static const char *driver_of(const Swarm__Network *network)
{
    if (network->driver_state && !str_empty(network->driver_state->name))
        return network->driver_state->name;
    if (network->spec && network->spec->driver_config)
        return str_or(network->spec->driver_config->name, "overlay");
    return "overlay";
}

static int make_network(struct making *making)
{
    const Swarm__Task *task = making->task;
    bool host = false;
    bool overlays = making->node->overlays && order_wants_sandbox(task);
    for (size_t i = 0; i < task->n_networks && overlays; i++)
        if (!task->networks[i]->network || !overlay_is(task->networks[i]->network))
            return refuse(making, "overlay networks together with others are");
    for (size_t i = 0; i < task->n_networks && !overlays; i++) {
        const Swarm__Network *network = task->networks[i]->network;
        if (!network)
            return err_set(making->err, ERR_INVALID_ARGUMENT, "an attachment without a network");
        const char *name =
            network->spec && network->spec->annotations ? network->spec->annotations->name : "";
        if (!str_equal(driver_of(network), "host"))
            return err_set(making->err, ERR_UNIMPLEMENTED,
                           "network %s: %s networks are not supported by this node", name,
                           driver_of(network));
        host = true;
    }
    making->out->container.net.mode = host ? OCI_NS_HOST : overlays ? OCI_NS_PATH : OCI_NS_PRIVATE;
    if (overlays)
        making->out->container.net.path = str_or(making->node->netns, NETNS_LATER);
    for (size_t i = 0; task->endpoint && !host && !overlays && i < task->endpoint->n_ports; i++)
        if (task->endpoint->ports[i]->publish_mode == SWARM__PORT_CONFIG__PUBLISH_MODE__HOST)
            return refuse(making, "publishing ports in host mode without the host network is");
    return 0;
}

static int keep_text(struct making *making, struct buf *text, const char **out)
{
    const char *made = buf_cstr(text);
    if (!made)
        return err_set(making->err, ERR_INVALID_ARGUMENT, "too many hosts or DNS options");
    *out = arena_strdup(making->arena, made);
    return 0;
}

// What the spec leaves open of resolv.conf comes from the node.
static int make_resolv(struct making *making, struct buf *text)
{
    static const char *const resolver[] = {RESOLVER_ADDRESS};
    const Swarm__ContainerSpec__DNSConfig *dns = making->spec->dns_config;
    struct oci_strings servers = {0}, search = {0}, options = {0};
    const char *base = making->node->resolv_conf;
    bool overlays = making->out->container.net.mode == OCI_NS_PATH;
    bool host = making->out->container.net.mode == OCI_NS_HOST;
    struct buf filtered;
    if (dns) {
        servers = (struct oci_strings){dns->nameservers, dns->n_nameservers};
        search = (struct oci_strings){dns->search, dns->n_search};
        options = (struct oci_strings){dns->options, dns->n_options};
    }
    buf_init(&filtered, ETC_FILE_BYTES);
    // On overlays the node's own resolver answers, or asks the servers that the spec or the host
    // name.
    if (overlays) {
        servers = (struct oci_strings){resolver, COUNT_OF(resolver)};
    } else if (!host && base) {
        etc_resolv_filter(base, &filtered, NULL);
        base = buf_cstr(&filtered);
    }
    int rc = etc_resolv_over(base, &servers, &search, &options, text, making->err);
    buf_fini(&filtered);
    const char *made = buf_cstr(text);
    if (!rc && overlays && made && !strstr(made, "ndots:"))
        buf_put_str(text, "options ndots:0\n");
    return rc ? rc : keep_text(making, text, &making->out->container.resolv_text);
}

// One line per overlay, but not for the routing mesh's own.
static const char **overlay_addresses(struct making *making, size_t *count)
{
    const Swarm__Task *task = making->task;
    const char **out = list_of(making, task->n_networks + 1);
    *count = 0;
    for (size_t i = 0; out && i < task->n_networks; i++) {
        const Swarm__NetworkAttachment *attachment = task->networks[i];
        if (making->out->container.net.mode != OCI_NS_PATH || !attachment->n_addresses ||
            (attachment->network->spec && attachment->network->spec->ingress))
            continue;
        const char *cidr = attachment->addresses[0];
        const char *address = arena_strndup(making->arena, cidr, strcspn(cidr, "/"));
        if (address)
            out[(*count)++] = address;
    }
    return out;
}

static int make_names(struct making *making)
{
    const Swarm__ContainerSpec *spec = making->spec;
    struct oci_container *container = &making->out->container;
    const char *fallback =
        container->net.mode == OCI_NS_HOST ? str_or(making->node->hostname, NULL) : NULL;
    char *short_id = arena_strndup(making->arena, container->id, 12);
    container->hostname = str_or(spec->hostname, str_or(fallback, short_id));
    struct buf text;
    struct oci_strings hosts = {spec->hosts, spec->n_hosts};
    buf_init(&text, ETC_FILE_BYTES);
    size_t addresses_count;
    const char **addresses = overlay_addresses(making, &addresses_count);
    int rc = etc_hosts(container->hostname, NULL, addresses, addresses_count, &hosts, &text,
                       making->err);
    if (!rc)
        rc = keep_text(making, &text, &container->hosts_text);
    buf_clear(&text);
    if (!rc)
        rc = make_resolv(making, &text);
    buf_fini(&text);
    return rc;
}

// ---- labels and logs ---------------------------------------------------------------------------

static int make_notes(struct making *making)
{
    const Swarm__Task *task = making->task;
    const Swarm__ContainerSpec *spec = making->spec;
    const Swarm__Annotations *own = task->annotations;
    const struct oci_pair system[] = {
        {NAME_LABEL_TASK, ""},
        {NAME_LABEL_TASK_ID, task->id},
        {NAME_LABEL_TASK_NAME, making->out->name},
        {NAME_LABEL_NODE_ID, task->node_id},
        {NAME_LABEL_SERVICE_ID, task->service_id},
        {NAME_LABEL_SERVICE_NAME, task->service_annotations->name},
    };
    size_t own_count = own ? own->n_labels : 0;
    size_t most = 2 + COUNT_OF(system) + spec->n_labels + own_count;
    struct oci_pair *notes = arena_alloc_array(making->arena, most, sizeof *notes);
    if (!notes)
        return 0; // told by the arena
    size_t count = 0;
    notes[count++] = (struct oci_pair){CONTAINER_NOTE_NAME, making->out->name};
    notes[count++] = (struct oci_pair){CONTAINER_NOTE_IMAGE, spec->image};
    struct oci_pair *labels = notes + count;
    size_t labels_count = 0;
    // The swarm's own labels win over the user's, the task's over the spec's.
    for (size_t i = 0; i < spec->n_labels + own_count + COUNT_OF(system); i++) {
        struct oci_pair label =
            i < spec->n_labels ? (struct oci_pair){spec->labels[i]->key, spec->labels[i]->value}
            : i < spec->n_labels + own_count
                ? (struct oci_pair){own->labels[i - spec->n_labels]->key,
                                    own->labels[i - spec->n_labels]->value}
                : system[i - spec->n_labels - own_count];
        label.key = arena_printf(making->arena, "%s%s", CONTAINER_LABEL_PREFIX, label.key);
        size_t at = 0;
        while (at < labels_count && !str_equal(labels[at].key, label.key))
            at++;
        labels[at] = label;
        labels_count += at == labels_count;
    }
    making->out->container.annotations = notes;
    making->out->container.annotations_count = count + labels_count;
    return 0;
}

struct log_marks_container container_marked(const struct container_spec *spec, const char *image_id,
                                            struct arena *arena)
{
    const struct oci_container *container = &spec->container;
    const size_t prefix = sizeof CONTAINER_LABEL_PREFIX - 1;
    struct oci_pair *labels =
        arena_alloc_array(arena, container->annotations_count, sizeof *labels);
    struct buf command;
    size_t count = 0;
    buf_init(&command, LOG_MARKS_TAG_BYTES);
    for (size_t i = 0; labels && i < container->annotations_count; i++)
        if (str_starts(container->annotations[i].key, CONTAINER_LABEL_PREFIX))
            labels[count++] = (struct oci_pair){container->annotations[i].key + prefix,
                                                container->annotations[i].value};
    for (size_t i = 0; i < container->args.count; i++)
        buf_printf(&command, "%s%s", i ? " " : "", container->args.items[i]);
    struct log_marks_container marked = {
        .id = container->id,
        .name = spec->name,
        .image = spec->image,
        .image_id = image_id,
        .command = arena_strndup(arena, (const char *)command.data, command.len),
        .labels = labels,
        .labels_count = count,
        .env = container->env,
    };
    buf_fini(&command);
    return marked;
}

// One option, by its name and value, with the driver that it is for.
static int take_log_option(struct making *making, const char *driver, const char *key,
                           const char *value)
{
    int rc = container_log_option_check(driver, key, making->err);
    return rc ? rc : container_log_option(&making->out->log, key, value, making->err);
}

static bool says_option(const Swarm__Driver *driver, const char *key)
{
    for (size_t i = 0; driver && i < driver->n_options; i++)
        if (str_equal(driver->options[i]->key, key))
            return true;
    return false;
}

static int make_log(struct making *making)
{
    const struct container_defaults *defaults = making->node->defaults;
    const Swarm__Driver *driver =
        making->task->log_driver ? making->task->log_driver : making->task->spec->log_driver;
    struct container_log *log = &making->out->log;
    *log = (struct container_log){.bytes_max = CONTAINER_LOG_BYTES_MAX, .files_max = 2};
    if (!defaults)
        defaults = &container_defaults_none;
    bool with;
    const char *name = container_defaults_log(defaults, driver ? driver->name : NULL, &with);
    int rc = container_log_driver_check(name, making->err);
    container_log_begin(log, name);
    for (size_t i = 0; driver && i < driver->n_options && !rc && !log->none; i++)
        rc = take_log_option(making, name, driver->options[i]->key, driver->options[i]->value);
    for (size_t i = 0; with && i < defaults->log_options_count && !rc; i++)
        if (!says_option(driver, defaults->log_options[i].key))
            rc = take_log_option(making, name, defaults->log_options[i].key,
                                 defaults->log_options[i].value);
    return rc ? rc : container_log_check(log, name, making->err);
}

// ---- all of it ---------------------------------------------------------------------------------

static int make_health(struct making *making)
{
    return container_health_make(making->spec->healthcheck, &making->image->health, making->arena,
                                 &making->out->health, making->err);
}

static int make_mounts(struct making *making)
{
    int rc = container_mounts_make(making->task, making->spec, making->image, making->arena,
                                   making->out, making->err);
    return rc ? rc : container_files_make(making->order, making->arena, making->out, making->err);
}

void container_id_of_task(const char *task_id, char out[CONTAINER_ID_BYTES])
{
    char text[256];
    char digest[72];
    str_format(text, sizeof text, "task %s", task_id);
    blobs_digest(text, strlen(text), digest);
    str_copy(out, CONTAINER_ID_BYTES, digest + strlen("sha256:"));
}

int container_spec_make(const struct executor_order *order, const struct image_config *image,
                        const struct container_node *node, struct arena *arena,
                        struct container_spec *out, struct err *err)
{
    static const struct image_config empty;
    static int (*const steps[])(struct making *) = {
        make_process, make_args,  make_env,   make_health, make_rights, make_limits,
        make_network, make_names, make_notes, make_log,    make_mounts,
    };
    const Swarm__Task *task = order->task;
    if (task->spec->runtime_case != SWARM__TASK_SPEC__RUNTIME_CONTAINER)
        return err_set(err, ERR_UNIMPLEMENTED, "this node runs containers only");
    memset(out, 0, sizeof *out);
    struct making making = {
        .order = order,
        .task = task,
        .spec = task->spec->container,
        .image = image ? image : &empty,
        .node = node,
        .arena = arena,
        .out = out,
        .err = err,
    };
    char id[CONTAINER_ID_BYTES];
    container_id_of_task(task->id, id);
    out->container.id = arena_strdup(arena, id);
    if (!out->container.id)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the container's specification is too large");
    if (str_empty(making.spec->image))
        return err_set(err, ERR_INVALID_ARGUMENT, "the service names no image");
    out->image = making.spec->image;
    out->registry_auth = making.spec->pull_options ? making.spec->pull_options->registry_auth : "";
    if (!name_of_task(task, out->name, sizeof out->name))
        return err_set(err, ERR_INVALID_ARGUMENT, "the name of the container is too long");
    int rc = 0;
    for (size_t i = 0; i < COUNT_OF(steps) && !rc; i++)
        rc = steps[i](&making);
    if (!rc && arena_overflowed(arena))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "the container's specification is too large");
    return rc;
}
