// Follows one manager's store through the Watch API and says who has which address: every holder
// there is (nodes, services, unfinished tasks), commit by commit, and each address that two have.
//
//   interop_record ADDR FOLDER
//
// FOLDER holds a manager's certificate, laid out as dockerd's certificates folder. One line per
// change of what somebody holds: TIME VERSION KIND ID STATE NET/ADDRESS..., and
// TIME VERSION doubled NET/ADDRESS KIND ID and KIND ID where a commit made it so. NET is the
// beginning of the network's id. Ends when told to.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/check.h"
#include "proto/base/loop_io.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"
#include "proto/wire/watch.pb-c.h"
#include "proto/wire/wire.h"
#include "tests/support/manager_client.h"

#define HOLDINGS_MAX 64
#define TEXT_BYTES   128

static struct loop loop;
static struct map holders; // "KIND ID" -> struct holder, owned

struct holder {
    char name[TEXT_BYTES];
    char has[HOLDINGS_MAX][TEXT_BYTES];
    uint64_t since[HOLDINGS_MAX]; // the commit that gave it
    size_t count;
};

static void die(const struct err *err)
{
    fprintf(stderr, "%s: %s\n", err_code_name(err->code), err->message);
    exit(1);
}

static void stamp(uint64_t version)
{
    struct timespec now;
    struct tm parts;
    char text[16];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(text, sizeof text, "%T", &parts);
    printf("%s.%03ld %" PRIu64 " ", text, now.tv_nsec / 1000000, version);
}

static void add(struct holder *holder, const char *net, const char *address)
{
    if (str_empty(address))
        return;
    CHECK(holder->count < HOLDINGS_MAX);
    str_format(holder->has[holder->count++], TEXT_BYTES, "%.6s/%s", net, address);
}

static void add_attachments(struct holder *holder, Swarm__NetworkAttachment **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < list[i]->n_addresses; k++)
            add(holder, list[i]->network ? list[i]->network->id : "?", list[i]->addresses[k]);
}

static uint64_t since(const struct holder *holder, const char *address)
{
    for (size_t i = 0; holder && i < holder->count; i++)
        if (!strcmp(holder->has[i], address))
            return holder->since[i];
    return UINT64_MAX;
}

static void take(const Swarm__WatchMessage__Event *event, uint64_t version)
{
    struct holder *now = MEM_NEW(struct holder);
    const Swarm__Object *object = event->object;
    int state = 0;
    if (object->object_case == SWARM__OBJECT__OBJECT_NODE) {
        str_format(now->name, TEXT_BYTES, "node %s", object->node->id);
        add_attachments(now, object->node->attachments, object->node->n_attachments);
    } else if (object->object_case == SWARM__OBJECT__OBJECT_SERVICE) {
        const Swarm__Endpoint *endpoint = object->service->endpoint;
        str_format(now->name, TEXT_BYTES, "service %s", object->service->id);
        for (size_t i = 0; endpoint && i < endpoint->n_virtual_ips; i++)
            add(now, endpoint->virtual_ips[i]->network_id, endpoint->virtual_ips[i]->addr);
    } else if (object->object_case == SWARM__OBJECT__OBJECT_TASK) {
        state = object->task->status ? (int)object->task->status->state : 0;
        str_format(now->name, TEXT_BYTES, "task %s", object->task->id);
        if (state <= SWARM__TASK_STATE__RUNNING)
            add_attachments(now, object->task->networks, object->task->n_networks);
    }
    if (event->action == SWARM__WATCH_ACTION_KIND__WATCH_ACTION_REMOVE)
        now->count = 0;
    struct holder *before = map_get_str(&holders, now->name);
    for (size_t i = 0; i < now->count; i++) {
        uint64_t known = since(before, now->has[i]);
        now->since[i] = known == UINT64_MAX ? version : known;
    }
    bool same = before ? before->count == now->count &&
                             !memcmp(before->has, now->has, sizeof now->has[0] * now->count)
                       : now->count == 0;
    if (!same) {
        stamp(version);
        printf("%s %d", now->name, state);
        for (size_t i = 0; i < now->count; i++)
            printf(" %s", now->has[i]);
        printf("\n");
    }
    if (now->count)
        map_put_str(&holders, now->name, now);
    else
        map_remove_str(&holders, now->name);
    free(before);
    if (!now->count)
        free(now);
}

// What that commit made two have.
static void find_doubled(uint64_t version)
{
    struct map held;
    map_init(&held);
    MAP_EACH (entry, &holders) {
        struct holder *holder = entry->value;
        for (size_t i = 0; i < holder->count; i++) {
            const struct holder *other = map_put_str(&held, holder->has[i], holder);
            if (!other || (holder->since[i] != version && since(other, holder->has[i]) != version))
                continue;
            stamp(version);
            printf("doubled %s %s and %s\n", holder->has[i], other->name, holder->name);
        }
    }
    map_fini(&held);
}

static void on_message(struct rpc_request *request, void *ctx, const ProtobufCMessage *message)
{
    (void)request;
    (void)ctx;
    const Swarm__WatchMessage *commit = (const Swarm__WatchMessage *)message;
    static uint64_t before;
    uint64_t version = commit->version ? commit->version->index : 0;
    // A large commit comes in several messages; only at its end is it what it should be.
    if (version != before)
        find_doubled(before);
    before = version;
    for (size_t i = 0; i < commit->n_events; i++)
        if (commit->events[i]->object)
            take(commit->events[i], version);
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    (void)request;
    (void)ctx;
    (void)trailers;
    die(&status->err);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "see the top of %s\n", __FILE__);
        return 2;
    }
    struct err err = ERR_INIT;
    loop_init(&loop);
    map_init(&holders);
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct rpc_client *manager = manager_client_new(&loop, argv[1], argv[2], &err);
    if (!manager)
        die(&err);
    static const char *const kinds[] = {"node", "service", "task"};
    Swarm__WatchRequest__WatchEntry entries[COUNT_OF(kinds)], *list[COUNT_OF(kinds)];
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        swarm__watch_request__watch_entry__init(&entries[i]);
        entries[i].kind = kinds[i];
        // All there are; the type is a bit mask.
        entries[i].action = (Swarm__WatchActionKind)7;
        list[i] = &entries[i];
    }
    Swarm__WatchRequest request = SWARM__WATCH_REQUEST__INIT;
    request.entries = list;
    request.n_entries = COUNT_OF(kinds);
    struct rpc_request_spec spec = {.path = "/docker.swarmkit.v1.Watch/Watch",
                                    .kind = RPC_SERVER_STREAM,
                                    .response = &swarm__watch_message__descriptor,
                                    .wait_for_ready = true,
                                    .on_message = on_message,
                                    .on_done = on_done};
    rpc_client_call(manager, &spec, &request.base);
    loop_run(&loop);
    return 0;
}
