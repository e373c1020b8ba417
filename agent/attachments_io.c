#include "agent/attachments_io.h"

#include <stdlib.h>
#include <string.h>

#include "agent/net/order.h"
#include "agent/net/sandbox.h"
#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/methods.h"
#include "proto/wire/resource.pb-c.h"
#include "proto/wire/wire.h"

#define ATTACHMENTS_MAGIC 0x61747473u
#define TASK_MAGIC        0x6174746bu
#define CALL_MS           10000
#define RETRY_MS          250
#define PART_MS           20
#define MEMORY_MAX        (1u << 20) // of one attachment, or its task
#define CONTAINER_BYTES   65
#define ATTACH            "/docker.swarmkit.v1.ResourceAllocator/AttachNetwork"
#define DETACH            "/docker.swarmkit.v1.ResourceAllocator/DetachNetwork"

struct attachments {
    struct executor executor; // first: tasks come with it
    unsigned magic;
    struct attachments_config config;
    bool (*describe)(void *owner, const char *container, struct attachment_wish *out);
    void *describe_owner;
    struct list all;      // attachment.link
    struct list partings; // parting.link: tasks to be given back
    struct loop_timer part;
};

// One container's.
struct attachment {
    struct list link;
    struct attachments *home; // NULL: let go of, and freed once nets has answered
    struct arena arena;
    struct attachment_wish wish; // copied
    char *task_id;               // NULL: not known yet
    struct rpc_request *request; // asking
    struct loop_timer retry, limit;
    struct loop_later later; // tells what ended the waiting
    struct err err;
    attachments_made *made; // NULL: told
    void *owner;
    bool making; // nets has still to answer
    bool ended;  // err is to be told; it takes no part any more
    bool up;
    struct overlay overlay;
    struct ipnet ip;
    uint8_t mac[MAC_BYTES];
    char endpoint[SANDBOX_ENDPOINT_BYTES];
};

struct parting {
    struct list link;
    struct attachments *home;
    struct rpc_request *request;
    char task_id[];
};

enum op { OP_NONE, OP_FIND, OP_PREPARE, OP_START, OP_STOP, OP_REMOVE };

struct executor_task {
    unsigned magic;
    struct attachments *home;
    const struct executor_events *events;
    void *owner;
    struct arena arena;
    Swarm__Task *task;
    enum op op;
    bool running; // `exited` is to be told
    struct err err;
    struct loop_later answer;
};

static struct attachment *find(const struct attachments *home, const char *container)
{
    LIST_EACH (it, &home->all) {
        struct attachment *attachment = LIST_ENTRY(it, struct attachment, link);
        if (str_equal(attachment->wish.container, container) && !attachment->ended)
            return attachment;
    }
    return NULL;
}

// ---- giving back --------------------------------------------------------------------------------

static void parting_free(struct parting *parting)
{
    list_remove(&parting->link);
    free(parting);
}

static void parted(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                   const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    struct parting *parting = ctx;
    enum err_code code = status->err.code;
    parting->request = NULL;
    if (code == ERR_OK || code == ERR_NOT_FOUND || code == ERR_PERMISSION_DENIED ||
        code == ERR_INVALID_ARGUMENT)
        parting_free(parting);
    else
        loop_timer_start(&parting->home->part, RETRY_MS);
}

static void part(struct loop_timer *timer)
{
    struct attachments *home = CONTAINER_OF(timer, struct attachments, part);
    struct rpc_client *client = NULL;
    bool swarm = home->config.swarm(home->config.owner, &client);
    LIST_EACH_SAFE (it, &home->partings) {
        struct parting *parting = LIST_ENTRY(it, struct parting, link);
        if (parting->request)
            continue;
        if (!swarm) {
            parting_free(parting); // what a swarm wants that we left does not matter
            continue;
        }
        if (!client) {
            loop_timer_start(&home->part, RETRY_MS);
            return;
        }
        const struct method *method = method_find(DETACH);
        Swarm__DetachNetworkRequest message = SWARM__DETACH_NETWORK_REQUEST__INIT;
        message.attachment_id = parting->task_id;
        struct rpc_request_spec spec = {.path = method->path,
                                        .kind = RPC_UNARY,
                                        .response = method->response,
                                        .timeout_ms = CALL_MS,
                                        .on_done = parted,
                                        .ctx = parting};
        parting->request = rpc_client_call(client, &spec, &message.base);
    }
}

static void give_back(struct attachments *home, const char *task_id)
{
    size_t size = strlen(task_id) + 1;
    struct parting *parting = mem_alloc(sizeof *parting + size);
    *parting = (struct parting){.home = home};
    memcpy(parting->task_id, task_id, size);
    list_push_back(&home->partings, &parting->link);
    loop_timer_start(&home->part, 0);
}

// ---- life of an attachment ----------------------------------------------------------------------

static void attachment_free(struct attachment *attachment)
{
    list_remove(&attachment->link);
    loop_timer_stop(&attachment->retry);
    loop_timer_stop(&attachment->limit);
    loop_later_cancel(&attachment->later);
    if (attachment->request)
        rpc_request_drop(attachment->request);
    arena_fini(&attachment->arena);
    free(attachment->task_id);
    free(attachment);
}

static void tell(struct attachment *attachment)
{
    attachments_made *made = attachment->made;
    attachment->made = NULL;
    loop_timer_stop(&attachment->limit);
    if (made)
        made(attachment->owner, attachment->err.code ? &attachment->err : NULL);
}

static void tell_later(struct loop_later *later)
{
    struct attachment *attachment = CONTAINER_OF(later, struct attachment, later);
    tell(attachment);
    if (attachment->ended && !attachment->making)
        attachment_free(attachment);
}

// It takes no part any more: who waits is told why, in a later turn.
static void attachment_end(struct attachment *attachment, const struct err *why)
{
    if (attachment->ended)
        return;
    attachment->ended = true;
    attachment->up = false;
    if (why)
        attachment->err = *why;
    else
        err_set(&attachment->err, ERR_CANCELLED, "the attachment was given up");
    loop_timer_stop(&attachment->retry);
    loop_timer_stop(&attachment->limit);
    if (attachment->request)
        rpc_request_drop(attachment->request);
    attachment->request = NULL;
    nets_sandbox_remove(attachment->home->config.nets, attachment->wish.container, NULL, NULL);
    if (attachment->task_id)
        give_back(attachment->home, attachment->task_id);
    loop_later_ask(&attachment->later);
}

static void on_limit(struct loop_timer *timer)
{
    struct attachment *attachment = CONTAINER_OF(timer, struct attachment, limit);
    struct err err = ERR_INIT;
    err_set(&err, ERR_DEADLINE_EXCEEDED,
            "attaching to network %s failed, make sure your network options are correct and check "
            "manager logs: context deadline exceeded",
            attachment->wish.network);
    attachment_end(attachment, &err);
}

static const char *const *copy_texts(const char *const *texts, size_t count, struct arena *arena)
{
    const char **copy = arena_alloc_array(arena, count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = arena_strdup(arena, texts[i]);
    return copy;
}

static void copy_wish(struct attachment *attachment, const struct attachment_wish *from)
{
    struct arena *arena = &attachment->arena;
    struct attachment_wish *to = &attachment->wish;
    *to = *from;
    to->container = arena_strdup(arena, from->container);
    to->name = arena_strdup(arena, from->name);
    to->hostname = from->hostname ? arena_strdup(arena, from->hostname) : NULL;
    to->network = arena_strdup(arena, from->network);
    to->address = from->address ? arena_strdup(arena, from->address) : NULL;
    to->mac = from->mac ? arena_memdup(arena, from->mac, MAC_BYTES) : NULL;
    to->aliases = copy_texts(from->aliases, from->aliases_count, arena);
    to->servers = copy_texts(from->servers, from->servers_count, arena);
    to->search = copy_texts(from->search, from->search_count, arena);
    to->resolv = arena_strdup(arena, str_or(from->resolv, ""));
}

static void on_retry(struct loop_timer *timer);

static struct attachment *attachment_new(struct attachments *home,
                                         const struct attachment_wish *wish)
{
    struct attachment *attachment = MEM_NEW(struct attachment);
    attachment->home = home;
    arena_init(&attachment->arena, MEMORY_MAX);
    copy_wish(attachment, wish);
    loop_timer_init(&attachment->retry, home->config.loop, on_retry);
    loop_timer_init(&attachment->limit, home->config.loop, on_limit);
    loop_later_init(&attachment->later, home->config.loop, tell_later);
    list_push_back(&home->all, &attachment->link);
    return attachment;
}

// ---- asking -------------------------------------------------------------------------------------

static void asked(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                  const struct metadata *trailers)
{
    struct attachment *attachment = ctx;
    struct err err = ERR_INIT;
    (void)trailers;
    attachment->request = NULL;
    if (status->err.code == ERR_UNAVAILABLE) {
        loop_timer_start(&attachment->retry, RETRY_MS);
    } else if (status->err.code != ERR_OK) {
        err_set(&err, status->err.code, "Could not attach to network %s: %s",
                attachment->wish.network, status->err.message);
        attachment_end(attachment, &err);
    } else if (!attachment->task_id) {
        const Swarm__AttachNetworkResponse *response =
            (const Swarm__AttachNetworkResponse *)rpc_request_message(request);
        attachment->task_id = str_dup(response->attachment_id);
    }
}

static void ask(struct attachment *attachment)
{
    struct attachments *home = attachment->home;
    struct rpc_client *client = NULL;
    struct err err = ERR_INIT;
    if (!home->config.swarm(home->config.owner, &client)) {
        err_set(&err, ERR_NOT_FOUND, "network %s not found", attachment->wish.network);
        attachment_end(attachment, &err);
        return;
    }
    // An address that is wanted may be one that is on its way back.
    bool waits = attachment->wish.address && !list_empty(&home->partings);
    if (!client || waits) {
        loop_timer_start(&attachment->retry, waits ? PART_MS : RETRY_MS);
        return;
    }
    const struct method *method = method_find(ATTACH);
    Swarm__AttachNetworkRequest message = SWARM__ATTACH_NETWORK_REQUEST__INIT;
    Swarm__NetworkAttachmentConfig config = SWARM__NETWORK_ATTACHMENT_CONFIG__INIT;
    const char *addresses[] = {attachment->wish.address};
    config.target = attachment->wish.network;
    config.addresses = (void *)addresses;
    config.n_addresses = attachment->wish.address ? 1 : 0;
    message.config = &config;
    message.container_id = attachment->wish.container;
    struct rpc_request_spec spec = {.path = method->path,
                                    .kind = RPC_UNARY,
                                    .response = method->response,
                                    .timeout_ms = CALL_MS,
                                    .on_done = asked,
                                    .ctx = attachment};
    attachment->request = rpc_client_call(client, &spec, &message.base);
}

static void on_retry(struct loop_timer *timer)
{
    ask(CONTAINER_OF(timer, struct attachment, retry));
}

static void cleared(void *owner, const struct err *err)
{
    struct attachment *attachment = owner;
    (void)err; // what cannot be taken away cannot be made either, which tells why
    attachment->making = false;
    if (attachment->ended)
        loop_later_ask(&attachment->later);
    else
        ask(attachment);
}

void attachments_attach(struct attachments *home, const struct attachment_wish *wish,
                        attachments_made *made, void *owner)
{
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    struct attachment *before = find(home, wish->container);
    struct err err = ERR_INIT;
    if (before)
        attachment_end(before, NULL);
    struct attachment *attachment = attachment_new(home, wish);
    attachment->made = made;
    attachment->owner = owner;
    if (arena_overflowed(&attachment->arena)) {
        attachment->wish = (struct attachment_wish){.container = "", .network = "", .name = ""};
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "the container's network settings are too large");
        attachment_end(attachment, &err);
        return;
    }
    loop_timer_start(&attachment->limit, ATTACHMENTS_WAIT_MS);
    // What the container had before is taken away first.
    attachment->making = true;
    nets_sandbox_remove(home->config.nets, attachment->wish.container, cleared, attachment);
}

void attachments_detach(struct attachments *home, const char *container)
{
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    struct attachment *attachment = find(home, container);
    if (attachment)
        attachment_end(attachment, NULL);
    else
        nets_sandbox_remove(home->config.nets, container, NULL, NULL);
}

// ---- the sandbox --------------------------------------------------------------------------------

static void sandbox_made(void *owner, const char *path, const struct err *err)
{
    (void)path;
    struct attachment *attachment = owner;
    attachment->making = false;
    if (attachment->ended) {
        loop_later_ask(&attachment->later);
        return;
    }
    if (err) {
        attachment_end(attachment, err);
        return;
    }
    // At once, before its process runs: its health does not count here.
    nets_sandbox_serve(attachment->home->config.nets, attachment->wish.container, NETS_SERVE_READY);
    attachment->up = true;
    tell(attachment);
}

static int make_order(struct attachment *attachment, const Swarm__Task *task, struct order *order,
                      struct err *err)
{
    const struct attachment_wish *wish = &attachment->wish;
    struct arena *arena = &attachment->arena;
    int rc = order_of_task(task, wish->container, wish->name, wish->resolv, arena, order, err);
    if (rc)
        return rc;
    if (order->networks_count != 1)
        return err_set(err, ERR_INVALID_ARGUMENT, "an attachment without a network");
    struct order_network *network = arena_memdup(arena, order->networks, sizeof *network);
    size_t most = order->names_count + wish->aliases_count + 1;
    const char **names = arena_alloc_array(arena, most, sizeof *names);
    if (!network || !names)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the attachment is too large");
    if (most > RECORDS_NAMES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "network %s: too many aliases",
                       network->overlay.name);
    for (size_t i = 0; i < order->names_count; i++)
        names[i] = order->names[i];
    order->names = names;
    if (!str_empty(wish->hostname) && !str_equal(wish->hostname, names[0]))
        names[order->names_count++] = wish->hostname;
    // A network's aliases are its service's; these are the container's own.
    for (size_t i = 0; i < wish->aliases_count; i++)
        names[order->names_count++] = wish->aliases[i];
    if (wish->mac)
        memcpy(network->mac, wish->mac, MAC_BYTES);
    order->networks = network;
    if (wish->servers_count) {
        order->servers_count = 0;
        for (size_t i = 0; i < wish->servers_count; i++)
            if (order->servers_count < RESOLVER_UPSTREAMS_MAX &&
                order_server(wish->servers[i], true, &order->servers[order->servers_count]))
                order->servers_count++;
    }
    order->search = wish->search;
    order->search_count = wish->search_count;
    order->ndots_set = wish->ndots;
    attachment->overlay = network->overlay;
    attachment->ip = network->ip;
    memcpy(attachment->mac, network->mac, MAC_BYTES);
    sandbox_endpoint_id(wish->container, network->overlay.id, "", attachment->endpoint);
    return 0;
}

static int sandbox_begin(struct attachment *attachment, const Swarm__Task *task, bool adopt,
                         struct err *err)
{
    struct order order;
    if (!attachment->task_id)
        attachment->task_id = str_dup(task->id);
    int rc = make_order(attachment, task, &order, err);
    if (!rc)
        rc = nets_sandbox_make(attachment->home->config.nets, &order, adopt, sandbox_made,
                               attachment, err);
    attachment->making = rc == 0;
    return rc;
}

// ---- the executor -------------------------------------------------------------------------------

static const char *container_of_task(const Swarm__Task *task)
{
    return task->spec->attachment ? str_or(task->spec->attachment->container_id, "") : "";
}

static bool is_parting(const struct attachments *home, const char *task_id)
{
    LIST_EACH (it, &home->partings)
        if (str_equal(LIST_ENTRY(it, struct parting, link)->task_id, task_id))
            return true;
    return false;
}

// The attachment that is this task's. The task may come before the answer that names it; one that
// was given back is nobody's.
static struct attachment *attachment_of(const struct executor_task *task)
{
    struct attachment *attachment = find(task->home, container_of_task(task->task));
    const char *id = task->task->id;
    if (!attachment || is_parting(task->home, id))
        return NULL;
    if (!attachment->task_id && attachment->request)
        return attachment;
    return str_equal(attachment->task_id, id) ? attachment : NULL;
}

static void answer_find(struct executor_task *task)
{
    struct attachments *home = task->home;
    struct executor_container container = {0};
    struct attachment_wish wish = {0};
    struct err err = ERR_INIT;
    const char *id = container_of_task(task->task);
    bool here = attachment_of(task) != NULL;
    if (!here && !find(home, id) && !is_parting(home, task->task->id) && home->describe &&
        home->describe(home->describe_owner, id, &wish)) {
        struct attachment *attachment = attachment_new(home, &wish);
        here = sandbox_begin(attachment, task->task, true, &err) == 0;
        if (!here) {
            log_warn("a container's network was not taken over", "container=%s err=\"%s\"", id,
                     err.message);
            attachment_end(attachment, &err);
        }
    } else if (!here) {
        give_back(home, task->task->id);
    }
    str_copy(container.id, sizeof container.id, id);
    task->running = here;
    task->events->found(task->owner, here ? EXECUTOR_RUNNING : EXECUTOR_ABSENT, &container, NULL);
}

static void answer_start(struct executor_task *task)
{
    struct executor_container container = {0};
    struct attachment *attachment = attachment_of(task);
    str_copy(container.id, sizeof container.id, container_of_task(task->task));
    if (!attachment)
        err_set(&task->err, ERR_NOT_FOUND, "no container waits for this attachment");
    else if (!attachment->making && !attachment->up &&
             sandbox_begin(attachment, task->task, false, &task->err))
        attachment_end(attachment, &task->err);
    task->running = task->err.code == ERR_OK;
    task->events->started(task->owner, task->running ? &container : NULL, NULL, 0,
                          task->running ? NULL : &task->err);
}

static void answer_stop(struct executor_task *task)
{
    struct attachment *attachment = attachment_of(task);
    struct executor_exit exit = {0};
    bool was = task->running;
    if (attachment && str_equal(attachment->task_id, task->task->id))
        attachment_end(attachment, NULL);
    task->running = false;
    if (was)
        task->events->exited(task->owner, &exit);
    task->events->stopped(task->owner, NULL);
}

static void answer(struct loop_later *later)
{
    struct executor_task *task = CONTAINER_OF(later, struct executor_task, answer);
    enum op op = task->op;
    task->op = OP_NONE;
    err_clear(&task->err);
    switch (op) {
    case OP_FIND:
        answer_find(task);
        return;
    case OP_PREPARE:
        if (!attachment_of(task)) {
            err_set(&task->err, ERR_NOT_FOUND, "no container waits for this attachment");
            give_back(task->home, task->task->id);
        }
        task->events->prepared(task->owner, task->err.code ? &task->err : NULL);
        return;
    case OP_START:
        answer_start(task);
        return;
    case OP_STOP:
        answer_stop(task);
        return;
    case OP_REMOVE:
        task->events->removed(task->owner, NULL);
        return;
    case OP_NONE:
        break;
    }
    UNREACHABLE("an answer without an operation");
}

static void begin(struct executor_task *task, enum op op)
{
    MAGIC_CHECK(task, TASK_MAGIC);
    CHECK(task->op == OP_NONE);
    task->op = op;
    loop_later_ask(&task->answer);
}

static void task_find(struct executor_task *task)
{
    begin(task, OP_FIND);
}

static void task_prepare(struct executor_task *task)
{
    begin(task, OP_PREPARE);
}

static void task_abort(struct executor_task *task)
{
    (void)task; // it ends in the same turn
}

static void task_start(struct executor_task *task)
{
    begin(task, OP_START);
}

static void task_stop(struct executor_task *task, int64_t grace_ns)
{
    (void)grace_ns;
    begin(task, OP_STOP);
}

static void task_remove(struct executor_task *task)
{
    begin(task, OP_REMOVE);
}

static void task_close(struct executor_task *task)
{
    MAGIC_CHECK(task, TASK_MAGIC);
    loop_later_cancel(&task->answer);
    arena_fini(&task->arena);
    MAGIC_CLEAR(task);
    free(task);
}

static struct executor_task *task_open(struct executor *executor,
                                       const struct executor_order *order,
                                       const struct executor_events *events, void *owner,
                                       struct err *err)
{
    struct attachments *home = CONTAINER_OF(executor, struct attachments, executor);
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    if (str_empty(container_of_task(order->task))) {
        err_set(err, ERR_INVALID_ARGUMENT, "an attachment of no container");
        return NULL;
    }
    struct executor_task *task = MEM_NEW(struct executor_task);
    MAGIC_SET(task, TASK_MAGIC);
    task->home = home;
    task->events = events;
    task->owner = owner;
    arena_init(&task->arena, MEMORY_MAX);
    loop_later_init(&task->answer, home->config.loop, answer);
    task->task = wire_copy(order->task, &task->arena);
    if (!task->task) {
        err_set(err, ERR_RESOURCE_EXHAUSTED, "the task is too large");
        task_close(task);
        return NULL;
    }
    return task;
}

// Its tasks have no health checks and no logs.
static const struct executor_class attachments_class = {
    .open = task_open,
    .find = task_find,
    .prepare = task_prepare,
    .abort = task_abort,
    .start = task_start,
    .stop = task_stop,
    .remove = task_remove,
    .close = task_close,
};

struct executor *attachments_executor(struct attachments *home)
{
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    return &home->executor;
}

// ---- all of them --------------------------------------------------------------------------------

struct attachments *attachments_new(const struct attachments_config *config)
{
    struct attachments *home = MEM_NEW(struct attachments);
    MAGIC_SET(home, ATTACHMENTS_MAGIC);
    home->executor.class = &attachments_class;
    home->config = *config;
    list_init(&home->all);
    list_init(&home->partings);
    loop_timer_init(&home->part, config->loop, part);
    return home;
}

void attachments_free(struct attachments *home)
{
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    loop_timer_stop(&home->part);
    LIST_EACH_SAFE (it, &home->all)
        attachment_free(LIST_ENTRY(it, struct attachment, link));
    LIST_EACH_SAFE (it, &home->partings) {
        struct parting *parting = LIST_ENTRY(it, struct parting, link);
        if (parting->request)
            rpc_request_drop(parting->request);
        parting_free(parting);
    }
    MAGIC_CLEAR(home);
    free(home);
}

void attachments_listen(struct attachments *home,
                        bool (*describe)(void *owner, const char *container,
                                         struct attachment_wish *out),
                        void *owner)
{
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    home->describe = describe;
    home->describe_owner = owner;
}

bool attachments_find(const struct attachments *home, const char *container,
                      struct attachment_view *out)
{
    const struct attachment *attachment = find(home, container);
    if (!attachment || !attachment->up)
        return false;
    const struct overlay_subnet *subnet = overlay_subnet_of(&attachment->overlay, &attachment->ip);
    *out = (struct attachment_view){
        .network = attachment->wish.network,
        .network_id = attachment->overlay.id,
        .network_name = attachment->overlay.name,
        .netns = nets_sandbox_path(home->config.nets, container),
        .ip = attachment->ip,
        .mac = attachment->mac,
        .endpoint_id = attachment->endpoint,
    };
    if (subnet)
        out->gateway = subnet->gateway;
    return true;
}

bool attachments_swarm(const struct attachments *home)
{
    struct rpc_client *client;
    return home->config.swarm(home->config.owner, &client);
}

void attachments_quiesce(struct attachments *home)
{
    LIST_EACH_SAFE (it, &home->all) {
        struct attachment *attachment = LIST_ENTRY(it, struct attachment, link);
        if (attachment->made)
            attachment_end(attachment, NULL);
    }
}
