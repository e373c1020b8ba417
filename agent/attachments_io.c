#include "agent/attachments_io.h"

#include <stdlib.h>
#include <string.h>

#include "agent/attachments_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/methods.h"
#include "proto/wire/resource.pb-c.h"

#define CALL_MS  10000
#define RETRY_MS 250
#define PART_MS  20
#define ATTACH   "/docker.swarmkit.v1.ResourceAllocator/AttachNetwork"
#define DETACH   "/docker.swarmkit.v1.ResourceAllocator/DetachNetwork"

bool attachment_is_on(const struct attachment *attachment, const char *network)
{
    const struct overlay *overlay = &attachment->network.overlay;
    return str_equal(attachment->wish.network, network) ||
           (attachment->assigned &&
            (str_equal(overlay->id, network) || str_equal(overlay->name, network)));
}

struct attachment *attachment_find(const struct attachments *home, const char *container,
                                   const char *network)
{
    const struct berth *berth = berth_find(home, container);
    if (!berth)
        return NULL;
    LIST_EACH (it, &berth->all) {
        struct attachment *attachment = LIST_ENTRY(it, struct attachment, link);
        if (!attachment->ended && attachment_is_on(attachment, network))
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

void attachment_give_back(struct attachments *home, const char *task_id)
{
    size_t size = strlen(task_id) + 1;
    struct parting *parting = mem_alloc(sizeof *parting + size);
    *parting = (struct parting){.home = home};
    memcpy(parting->task_id, task_id, size);
    list_push_back(&home->partings, &parting->link);
    loop_timer_start(&home->part, 0);
}

// ---- life of an attachment ----------------------------------------------------------------------

void attachment_close(struct attachment *attachment)
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

void attachment_tell(struct attachment *attachment)
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
    attachment_tell(attachment);
    if (attachment->ended)
        attachment_close(attachment);
}

void attachment_end(struct attachment *attachment, const struct err *why)
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
    berth_go(attachment->berth, 0);
    if (attachment->task_id)
        attachment_give_back(attachment->home, attachment->task_id);
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

static void copy_wish(struct attachment *attachment, const struct attachment_wish *from)
{
    struct arena *arena = &attachment->arena;
    struct attachment_wish *to = &attachment->wish;
    const char **aliases = arena_alloc_array(arena, from->aliases_count + 1, sizeof *aliases);
    *to = *from;
    to->container = arena_strdup(arena, from->container);
    to->network = arena_strdup(arena, from->network);
    to->address = from->address ? arena_strdup(arena, from->address) : NULL;
    to->mac = from->mac ? arena_memdup(arena, from->mac, MAC_BYTES) : NULL;
    for (size_t i = 0; aliases && i < from->aliases_count; i++)
        aliases[i] = arena_strdup(arena, from->aliases[i]);
    to->aliases = aliases;
}

static void on_retry(struct loop_timer *timer);

struct attachment *attachment_open(struct berth *berth, const struct attachment_wish *wish)
{
    struct attachment *attachment = MEM_NEW(struct attachment);
    attachment->home = berth->home;
    attachment->berth = berth;
    arena_init(&attachment->arena, ATTACHMENTS_MEMORY_MAX);
    copy_wish(attachment, wish);
    loop_timer_init(&attachment->retry, berth->home->config.loop, on_retry);
    loop_timer_init(&attachment->limit, berth->home->config.loop, on_limit);
    loop_later_init(&attachment->later, berth->home->config.loop, tell_later);
    list_push_back(&berth->all, &attachment->link);
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
        // As dockerd has it: whatever the manager said, this is a failed start.
        err_set(&err, ERR_UNKNOWN, "Could not attach to network %s: %s", attachment->wish.network,
                status->err.message);
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

void attachments_frame(struct attachments *home, const struct attachment_frame *frame)
{
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    struct berth *berth = berth_find(home, frame->container);
    if (!berth)
        berth = berth_new(home, frame, false);
    else if (berth_frame(berth, frame) && berth->present)
        berth_go(berth, 0);
}

void attachments_attach(struct attachments *home, const struct attachment_wish *wish,
                        attachments_made *made, void *owner)
{
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    struct attachment *before = attachment_find(home, wish->container, wish->network);
    struct berth *berth = berth_find(home, wish->container);
    struct err err = ERR_INIT;
    CHECK(berth); // its frame came before
    if (before)
        attachment_end(before, NULL);
    struct attachment *attachment = attachment_open(berth, wish);
    attachment->made = made;
    attachment->owner = owner;
    if (arena_overflowed(&attachment->arena) || arena_overflowed(&berth->arena)) {
        attachment->wish = (struct attachment_wish){.container = "", .network = ""};
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "the container's network settings are too large");
        attachment_end(attachment, &err);
        return;
    }
    loop_timer_start(&attachment->limit, ATTACHMENTS_WAIT_MS);
    // In a later turn: what fails at once must not be told inside of this call.
    loop_timer_start(&attachment->retry, 0);
}

void attachments_detach(struct attachments *home, const char *container, const char *network,
                        void (*done)(void *owner), void *owner)
{
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    struct berth *berth = berth_find(home, container);
    if (!berth && !done) {
        nets_sandbox_remove(home->config.nets, container, NULL, NULL);
        return;
    }
    if (!berth)
        berth = berth_new(home, &(struct attachment_frame){.container = container}, false);
    LIST_EACH_SAFE (it, &berth->all) {
        struct attachment *attachment = LIST_ENTRY(it, struct attachment, link);
        if (!network || attachment_is_on(attachment, network))
            attachment_end(attachment, NULL);
    }
    if (done)
        berth_wait(berth, done, owner);
    berth_go(berth, 0);
}

// ---- all of them --------------------------------------------------------------------------------

struct attachments *attachments_new(const struct attachments_config *config)
{
    struct attachments *home = MEM_NEW(struct attachments);
    MAGIC_SET(home, ATTACHMENTS_MAGIC);
    home->executor.class = &attachment_tasks;
    home->config = *config;
    list_init(&home->berths);
    list_init(&home->partings);
    loop_timer_init(&home->part, config->loop, part);
    return home;
}

void attachments_free(struct attachments *home)
{
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    loop_timer_stop(&home->part);
    LIST_EACH_SAFE (it, &home->berths)
        berth_free(LIST_ENTRY(it, struct berth, link));
    LIST_EACH_SAFE (it, &home->partings) {
        struct parting *parting = LIST_ENTRY(it, struct parting, link);
        if (parting->request)
            rpc_request_drop(parting->request);
        parting_free(parting);
    }
    MAGIC_CLEAR(home);
    free(home);
}

struct executor *attachments_executor(struct attachments *home)
{
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    return &home->executor;
}

void attachments_listen(struct attachments *home, attachments_describe *describe, void *owner)
{
    MAGIC_CHECK(home, ATTACHMENTS_MAGIC);
    home->describe = describe;
    home->describe_owner = owner;
}

bool attachments_find(const struct attachments *home, const char *container, const char *network,
                      struct attachment_view *out)
{
    const struct attachment *attachment = attachment_find(home, container, network);
    if (!attachment || !attachment->up)
        return false;
    const struct overlay *overlay = &attachment->network.overlay;
    const struct overlay_subnet *subnet = overlay_subnet_of(overlay, &attachment->network.ip);
    *out = (struct attachment_view){
        .network = attachment->wish.network,
        .network_id = overlay->id,
        .network_name = overlay->name,
        .ip = attachment->network.ip,
        .mac = attachment->network.mac,
        .endpoint_id = attachment->endpoint,
    };
    if (subnet)
        out->gateway = subnet->gateway;
    return true;
}

bool attachments_any(const struct attachments *home, const char *container)
{
    const struct berth *berth = berth_find(home, container);
    if (!berth)
        return false;
    LIST_EACH (it, &berth->all)
        if (!LIST_ENTRY(it, struct attachment, link)->ended)
            return true;
    return false;
}

size_t attachments_eths(const struct attachments *home, const char *container, const char **out,
                        size_t most)
{
    return nets_sandbox_eths(home->config.nets, container, out, most);
}

const struct ports_row *attachments_ports(const struct attachments *home, const char *container,
                                          size_t *count)
{
    return nets_sandbox_ports(home->config.nets, container, count);
}

bool attachments_swarm(const struct attachments *home)
{
    struct rpc_client *client;
    return home->config.swarm(home->config.owner, &client);
}

void attachments_quiesce(struct attachments *home)
{
    LIST_EACH (it, &home->berths) {
        struct berth *berth = LIST_ENTRY(it, struct berth, link);
        LIST_EACH_SAFE (at, &berth->all) {
            struct attachment *attachment = LIST_ENTRY(at, struct attachment, link);
            if (attachment->made)
                attachment_end(attachment, NULL);
        }
    }
}
