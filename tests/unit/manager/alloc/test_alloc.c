// The allocator gives what is asked for, tells what it cannot, and never gives one thing twice.
#include "manager/alloc/alloc.h"

#include <check.h>
#include <string.h>

#include "manager/alloc/prefix.h"
#include "proto/base/map.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

static struct fake_log log_;
static struct arena arena;
static struct alloc *alloc;
static struct watch *watch;
static struct mono tick;

static void setup(void)
{
    struct err err = ERR_INIT;
    fake_log_init(&log_, 1);
    arena_init(&arena, SIZE_MAX);
    alloc = alloc_new();
    tick.ns = NS_PER_S;
    ck_assert_int_eq(
        watch_open(log_.store, &(struct watch_options){.queue_max = 1000000}, &watch, &err), 0);
}

static void teardown(void)
{
    watch_close(watch);
    alloc_free(alloc);
    fake_log_fini(&log_);
    arena_fini(&arena);
}

// A new leader: knows what is stored and nothing else.
static void load(void)
{
    struct watch_event event;
    while (watch_next(watch, &event))
        watch_event_fini(&event);
    struct view view = store_pin(log_.store);
    alloc_load(alloc, view, tick);
    store_unpin(view);
}

// Feeds what happened and lets the allocator work until it is done.
static void settle(void)
{
    for (int rounds = 0; rounds < 10; rounds++) {
        struct watch_event event;
        while (watch_next(watch, &event)) {
            alloc_event(alloc, &event, tick);
            watch_event_fini(&event);
        }
        if (mono_before(tick, alloc_due(alloc)))
            return;
        struct err err = ERR_INIT;
        ck_assert_msg(alloc_run(alloc, log_.store, (struct wall){.ns = tick.ns}, tick, &err) == 0,
                      "%s", err.message);
        fake_commit_all(&log_);
    }
    ck_abort_msg("the allocator does not come to rest");
}

static void create(enum object_type type, void *message)
{
    struct err err = ERR_INIT;
    struct txn *txn = fake_begin(&log_, 1);
    // A copy: what it shows of the transaction afterwards goes with that.
    ck_assert_msg(txn_create(txn, type, fake_copy(&arena, message), &err) == 0, "%s", err.message);
    fake_write(&log_, txn);
}

static void remove_object(enum object_type type, const char *id)
{
    struct err err = ERR_INIT;
    struct txn *txn = fake_begin(&log_, 1);
    ck_assert_int_eq(txn_delete(txn, type, id, &err), 0);
    fake_write(&log_, txn);
}

static void *get(enum object_type type, const char *id)
{
    struct view view = store_pin(log_.store);
    const struct object *object = view_get(view, type, id);
    void *message = object ? object_unpack(object, &arena) : NULL;
    store_unpin(view);
    return message;
}

#define UPDATE(type, Message, id, var, statement)                                                  \
    do {                                                                                           \
        struct err err_ = ERR_INIT;                                                                \
        struct txn *txn_ = fake_begin(&log_, 1);                                                   \
        Message *var = txn_edit(txn_, (type), (id));                                               \
        ck_assert_ptr_nonnull(var);                                                                \
        statement;                                                                                 \
        ck_assert_msg(txn_update(txn_, (type), var, &err_) == 0, "%s", err_.message);              \
        fake_write(&log_, txn_);                                                                   \
    } while (0)

static void task_state(const char *id, Swarm__TaskState state)
{
    UPDATE(OBJECT_TASK, Swarm__Task, id, task, task->status->state = state);
}

static Swarm__Network *ingress_network(void)
{
    Swarm__Network *network = fake_network(&arena, "ingress");
    network->spec->ingress = true;
    return network;
}

static Swarm__Network *network_with(const char *id, const char *subnet)
{
    Swarm__Network *network = fake_network(&arena, id);
    Swarm__IPAMOptions *ipam = ARENA_NEW(&arena, Swarm__IPAMOptions);
    Swarm__IPAMConfig *config = ARENA_NEW(&arena, Swarm__IPAMConfig);
    swarm__ipamoptions__init(ipam);
    swarm__ipamconfig__init(config);
    config->subnet = subnet;
    FAKE_ADD(&arena, ipam, configs, config);
    network->spec->ipam = ipam;
    return network;
}

static void attach(Swarm__TaskSpec *spec, const char *network, const char *address)
{
    Swarm__NetworkAttachmentConfig *config = ARENA_NEW(&arena, Swarm__NetworkAttachmentConfig);
    swarm__network_attachment_config__init(config);
    config->target = network;
    if (address)
        FAKE_ADD(&arena, config, addresses, address);
    FAKE_ADD(&arena, spec, networks, config);
}

static void publish(Swarm__Service *service, uint32_t target, uint32_t published)
{
    if (!service->spec->endpoint) {
        service->spec->endpoint = ARENA_NEW(&arena, Swarm__EndpointSpec);
        swarm__endpoint_spec__init(service->spec->endpoint);
    }
    Swarm__PortConfig *port = ARENA_NEW(&arena, Swarm__PortConfig);
    swarm__port_config__init(port);
    port->target_port = target;
    port->published_port = published;
    FAKE_ADD(&arena, service->spec->endpoint, ports, port);
}

static Swarm__Task *task_of(const char *id, const Swarm__Service *service)
{
    Swarm__Task *task = fake_task(&arena, id, service->id, 1);
    task->spec = service->spec->task;
    return task;
}

static const char *address_of(const char *task_id, size_t network)
{
    Swarm__Task *task = get(OBJECT_TASK, task_id);
    ck_assert_uint_gt(task->n_networks, network);
    ck_assert_uint_eq(task->networks[network]->n_addresses, 1);
    return task->networks[network]->addresses[0];
}

static const char *subnet_of(const char *network_id)
{
    Swarm__Network *network = get(OBJECT_NETWORK, network_id);
    return network->ipam ? network->ipam->configs[0]->subnet : "";
}

START_TEST(ingress_comes_from_the_far_end_and_users_from_the_near)
{
    create(OBJECT_NETWORK, fake_network(&arena, "mine"));
    create(OBJECT_NETWORK, ingress_network());
    settle();
    ck_assert_str_eq(subnet_of("ingress"), "10.255.255.0/24");
    ck_assert_str_eq(subnet_of("mine"), "10.0.0.0/24");
    Swarm__Network *network = get(OBJECT_NETWORK, "mine");
    ck_assert_str_eq(network->driver_state->name, "overlay");
    ck_assert_str_eq(network->driver_state->options[0]->key,
                     "com.docker.network.driver.overlay.vxlanid_list");
    ck_assert_str_eq(network->driver_state->options[0]->value, "4097");
    ck_assert_str_eq(network->ipam->driver->name, "default");
    ck_assert_str_eq(network->ipam->configs[0]->gateway, "10.0.0.1");
    ck_assert_int_eq(network->ipam->configs[0]->family, SWARM__IPAMCONFIG__ADDRESS_FAMILY__IPV4);
}
END_TEST

START_TEST(what_a_stock_leader_stored_is_honoured)
{
    // As swarmkit.md 10.5 shows it: ingress at the near end, node .2, service .4, task .6.
    Swarm__Network *network = network_with("ingress", "10.0.0.0/24");
    network->spec->ingress = true;
    network->ipam = network->spec->ipam;
    network->spec->ipam = NULL;
    network->ipam->configs[0]->gateway = "10.0.0.1";
    Swarm__Driver driver = SWARM__DRIVER__INIT;
    Swarm__Driver__OptionsEntry option = SWARM__DRIVER__OPTIONS_ENTRY__INIT;
    driver.name = "overlay";
    option.key = "com.docker.network.driver.overlay.vxlanid_list";
    option.value = "4096";
    FAKE_ADD(&arena, &driver, options, &option);
    network->driver_state = &driver;
    create(OBJECT_NETWORK, network);
    Swarm__NetworkAttachment attachment = SWARM__NETWORK_ATTACHMENT__INIT;
    attachment.network = network;
    FAKE_ADD(&arena, &attachment, addresses, "10.0.0.2/24");
    Swarm__Node *node = fake_node(&arena, "n1");
    FAKE_ADD(&arena, node, attachments, &attachment);
    create(OBJECT_NODE, node);
    Swarm__Service *service = fake_service(&arena, "web");
    publish(service, 80, 8080);
    Swarm__Endpoint endpoint = SWARM__ENDPOINT__INIT;
    Swarm__Endpoint__VirtualIP vip = SWARM__ENDPOINT__VIRTUAL_IP__INIT;
    vip.network_id = "ingress";
    vip.addr = "10.0.0.4/24";
    endpoint.spec = service->spec->endpoint;
    endpoint.n_ports = 1;
    endpoint.ports = service->spec->endpoint->ports;
    FAKE_ADD(&arena, &endpoint, virtual_ips, &vip);
    service->endpoint = &endpoint;
    create(OBJECT_SERVICE, service);
    Swarm__Task *task = task_of("t1", service);
    Swarm__NetworkAttachment at_task = SWARM__NETWORK_ATTACHMENT__INIT;
    at_task.network = network;
    FAKE_ADD(&arena, &at_task, addresses, "10.0.0.6/24");
    FAKE_ADD(&arena, task, networks, &at_task);
    task->status->state = SWARM__TASK_STATE__RUNNING;
    create(OBJECT_TASK, task);

    uint64_t entries = log_.count;
    load();
    settle();
    ck_assert_uint_eq(log_.count, entries); // nothing to write: all is as it should be

    create(OBJECT_TASK, task_of("t2", service));
    create(OBJECT_NETWORK, fake_network(&arena, "mine"));
    settle();
    ck_assert_str_eq(address_of("t2", 0), "10.0.0.7/24");
    ck_assert_str_eq(subnet_of("mine"), "10.0.1.0/24");
    Swarm__Network *mine = get(OBJECT_NETWORK, "mine");
    ck_assert_str_eq(mine->driver_state->options[0]->value, "4097");
}
END_TEST

static void check_attachment(const Swarm__NetworkAttachment *attachment)
{
    ck_assert_ptr_nonnull(attachment->network);
    ck_assert_ptr_nonnull(attachment->network->driver_state);
    ck_assert_ptr_nonnull(attachment->network->ipam);
    ck_assert_ptr_nonnull(attachment->network->ipam->driver);
    ck_assert_uint_eq(attachment->network->ipam->n_configs, 1);
    ck_assert_ptr_null(strchr(attachment->network->ipam->configs[0]->gateway, '/'));
    ck_assert_uint_eq(attachment->n_addresses, 1);
    ck_assert_ptr_nonnull(strchr(attachment->addresses[0], '/'));
}

// A stock agent takes these for given, and its daemon ends where one is missing; a stock leader
// claims the addresses again as they stand there.
START_TEST(what_stock_daemons_read_unasked_is_there)
{
    create(OBJECT_NETWORK, ingress_network());
    create(OBJECT_NETWORK, fake_network(&arena, "mine"));
    create(OBJECT_NODE, fake_node(&arena, "n1"));
    Swarm__Service *service = fake_service(&arena, "web");
    publish(service, 80, 8080);
    attach(service->spec->task, "mine", NULL);
    create(OBJECT_SERVICE, service);
    Swarm__Task *task = task_of("t1", service);
    task->node_id = "n1";
    create(OBJECT_TASK, task);
    settle();
    Swarm__Task *allocated = get(OBJECT_TASK, "t1");
    ck_assert_uint_eq(allocated->n_networks, 2);
    for (size_t i = 0; i < allocated->n_networks; i++)
        check_attachment(allocated->networks[i]);
    Swarm__Node *node = get(OBJECT_NODE, "n1");
    ck_assert_uint_eq(node->n_attachments, 2);
    for (size_t i = 0; i < node->n_attachments; i++)
        check_attachment(node->attachments[i]);
    Swarm__Service *reachable = get(OBJECT_SERVICE, "web");
    ck_assert_uint_eq(reachable->endpoint->n_virtual_ips, 2);
    for (size_t i = 0; i < reachable->endpoint->n_virtual_ips; i++)
        ck_assert_ptr_nonnull(strchr(reachable->endpoint->virtual_ips[i]->addr, '/'));
}
END_TEST

// A network as a leader stored it, with addresses .2 to .14.
static Swarm__Network *allocated_network(const char *id)
{
    create(OBJECT_NETWORK, network_with(id, "10.1.0.0/28"));
    load();
    settle();
    return get(OBJECT_NETWORK, id);
}

static void create_with_address(const char *id, const char *service, Swarm__Network *network,
                                const char *address, Swarm__TaskState state,
                                Swarm__TaskState desired)
{
    Swarm__NetworkAttachment *attachment = ARENA_NEW(&arena, Swarm__NetworkAttachment);
    Swarm__Task *task = fake_task(&arena, id, service, 1);
    swarm__network_attachment__init(attachment);
    attachment->network = network;
    FAKE_ADD(&arena, attachment, addresses, address);
    FAKE_ADD(&arena, task, networks, attachment);
    attach(task->spec, network->id, NULL);
    task->status->state = state;
    task->desired_state = desired;
    create(OBJECT_TASK, task);
}

// Fills the network, and says whether one of the new tasks got that address.
static bool is_handed_out(const char *network, const char *address)
{
    static int number;
    bool found = false;
    for (int i = 0; i < 14; i++) {
        const char *id = arena_printf(&arena, "filler%d", number++);
        Swarm__Task *task = fake_task(&arena, id, "", 0);
        attach(task->spec, network, NULL);
        create(OBJECT_TASK, task);
        settle();
        task = get(OBJECT_TASK, id);
        if (task->n_networks)
            found |= str_equal(address_of(id, 0), address);
        else
            remove_object(OBJECT_TASK, id);
    }
    return found;
}

START_TEST(address_that_stock_gave_twice_is_exchanged_where_no_agent_knows_it)
{
    Swarm__Network *network = allocated_network("n");
    Swarm__Service *service = fake_service(&arena, "web");
    Swarm__Endpoint endpoint = SWARM__ENDPOINT__INIT;
    Swarm__Endpoint__VirtualIP vip = SWARM__ENDPOINT__VIRTUAL_IP__INIT;
    attach(service->spec->task, "n", NULL);
    vip.network_id = "n";
    vip.addr = "10.1.0.2/28";
    FAKE_ADD(&arena, &endpoint, virtual_ips, &vip);
    service->endpoint = &endpoint;
    create(OBJECT_SERVICE, service);
    // Ids are in an order in which whoever comes first would win wrongly.
    create_with_address("a-of-service", "web", network, "10.1.0.2/28", SWARM__TASK_STATE__PENDING,
                        SWARM__TASK_STATE__RUNNING);
    create_with_address("b-pending", "web", network, "10.1.0.5/28", SWARM__TASK_STATE__PENDING,
                        SWARM__TASK_STATE__RUNNING);
    create_with_address("c-running", "web", network, "10.1.0.5/28", SWARM__TASK_STATE__RUNNING,
                        SWARM__TASK_STATE__RUNNING);
    create_with_address("d-doomed", "gone", network, "10.1.0.7/28", SWARM__TASK_STATE__PENDING,
                        SWARM__TASK_STATE__REMOVE);
    create_with_address("e-pending", "web", network, "10.1.0.7/28", SWARM__TASK_STATE__PENDING,
                        SWARM__TASK_STATE__RUNNING);
    load();
    settle();
    ck_assert_str_eq(((Swarm__Service *)get(OBJECT_SERVICE, "web"))->endpoint->virtual_ips[0]->addr,
                     "10.1.0.2/28");
    ck_assert_str_eq(address_of("c-running", 0), "10.1.0.5/28");
    ck_assert_str_eq(address_of("d-doomed", 0), "10.1.0.7/28");
    ck_assert_str_eq(address_of("e-pending", 0), "10.1.0.7/28");
    ck_assert_str_eq(address_of("a-of-service", 0), "10.1.0.8/28");
    ck_assert_str_eq(address_of("b-pending", 0), "10.1.0.9/28");
    Swarm__Task *task = get(OBJECT_TASK, "b-pending");
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__PENDING);
    // When the doomed one goes, its address is not free.
    remove_object(OBJECT_TASK, "d-doomed");
    settle();
    ck_assert(!is_handed_out("n", "10.1.0.7/28"));
}
END_TEST

START_TEST(address_of_a_full_network_stays_with_who_is_left_of_two)
{
    Swarm__Network *network = allocated_network("n");
    create_with_address("a-first", "", network, "10.1.0.5/28", SWARM__TASK_STATE__PENDING,
                        SWARM__TASK_STATE__RUNNING);
    create_with_address("b-second", "", network, "10.1.0.5/28", SWARM__TASK_STATE__PENDING,
                        SWARM__TASK_STATE__RUNNING);
    for (int i = 2; i < 15; i++)
        if (i != 5)
            create_with_address(arena_printf(&arena, "full%d", i), "", network,
                                arena_printf(&arena, "10.1.0.%d/28", i), SWARM__TASK_STATE__RUNNING,
                                SWARM__TASK_STATE__RUNNING);
    load();
    settle();
    ck_assert_str_eq(address_of("b-second", 0), "10.1.0.5/28"); // there is no other
    remove_object(OBJECT_TASK, "a-first");
    settle();
    ck_assert(!is_handed_out("n", "10.1.0.5/28"));
    task_state("full9", SWARM__TASK_STATE__SHUTDOWN);
    settle();
    ck_assert_str_eq(address_of("b-second", 0), "10.1.0.5/28"); // it is its own by now
}
END_TEST

START_TEST(address_that_two_running_tasks_have_is_free_after_both)
{
    Swarm__Network *network = allocated_network("n");
    for (int i = 0; i < 3; i++)
        create_with_address(arena_printf(&arena, "r%d", i), "", network, "10.1.0.5/28",
                            SWARM__TASK_STATE__RUNNING, SWARM__TASK_STATE__RUNNING);
    load();
    settle();
    for (int i = 0; i < 3; i++) {
        ck_assert(!is_handed_out("n", "10.1.0.5/28"));
        task_state(arena_printf(&arena, "r%d", i), SWARM__TASK_STATE__SHUTDOWN);
        settle();
    }
    ck_assert(is_handed_out("n", "10.1.0.5/28"));
}
END_TEST

START_TEST(addresses_are_serial_and_in_swarmkits_order)
{
    create(OBJECT_NETWORK, ingress_network());
    create(OBJECT_NODE, fake_node(&arena, "n1"));
    create(OBJECT_NODE, fake_node(&arena, "n2"));
    create(OBJECT_NETWORK, fake_network(&arena, "mine"));
    Swarm__Service *service = fake_service(&arena, "web");
    attach(service->spec->task, "mine", NULL);
    publish(service, 80, 8080);
    create(OBJECT_SERVICE, service);
    create(OBJECT_TASK, task_of("t1", service));
    settle();
    Swarm__Node *node = get(OBJECT_NODE, "n1");
    ck_assert_uint_eq(node->n_attachments, 1);
    ck_assert_str_eq(node->attachments[0]->addresses[0], "10.255.255.2/24");
    ck_assert_str_eq(node->attachments[0]->network->id, "ingress");
    ck_assert_ptr_nonnull(node->attachments[0]->network->driver_state);
    service = get(OBJECT_SERVICE, "web");
    ck_assert_uint_eq(service->endpoint->n_virtual_ips, 2);
    ck_assert_str_eq(service->endpoint->virtual_ips[0]->addr, "10.255.255.4/24");
    ck_assert_str_eq(service->endpoint->virtual_ips[1]->network_id, "mine");
    ck_assert_str_eq(service->endpoint->virtual_ips[1]->addr, "10.0.0.2/24");
    Swarm__Task *task = get(OBJECT_TASK, "t1");
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__PENDING);
    ck_assert_str_eq(task->status->message, "pending task scheduling");
    ck_assert_str_eq(task->networks[0]->network->id, "ingress");
    ck_assert_str_eq(address_of("t1", 0), "10.255.255.5/24");
    ck_assert_str_eq(address_of("t1", 1), "10.0.0.3/24");
    ck_assert_uint_eq(task->endpoint->n_virtual_ips, 2);
    ck_assert_uint_eq(task->endpoint->ports[0]->published_port, 8080);
    // Once it runs on a node, the node gets an address on its network.
    UPDATE(OBJECT_TASK, Swarm__Task, "t1", assigned, {
        assigned->node_id = "n2";
        assigned->status->state = SWARM__TASK_STATE__ASSIGNED;
    });
    settle();
    node = get(OBJECT_NODE, "n2");
    ck_assert_uint_eq(node->n_attachments, 2);
    ck_assert_str_eq(node->attachments[1]->addresses[0], "10.0.0.4/24");
    task_state("t1", SWARM__TASK_STATE__FAILED);
    settle();
    node = get(OBJECT_NODE, "n2");
    ck_assert_uint_eq(node->n_attachments, 1);
}
END_TEST

START_TEST(overlap_is_refused_naming_the_network)
{
    create(OBJECT_NETWORK, ingress_network());
    create(OBJECT_NETWORK, network_with("mine", "10.0.0.0/16"));
    settle();
    ck_assert_str_eq(subnet_of("mine"), "10.0.0.0/16");
    struct err err = ERR_INIT;
    struct view view = store_pin(log_.store);
    ck_assert_int_eq(alloc_check_network(view, network_with("x", "10.0.7.0/24")->spec, &err),
                     -ERR_FAILED_PRECONDITION);
    ck_assert_str_eq(err.message,
                     "subnet 10.0.7.0/24 overlaps with subnet 10.0.0.0/16 of network mine");
    // What every guide types is free.
    ck_assert_int_eq(alloc_check_network(view, network_with("x", "10.1.0.0/24")->spec, &err), 0);
    ck_assert_int_eq(alloc_check_network(view, network_with("x", "bad")->spec, &err),
                     -ERR_INVALID_ARGUMENT);
    store_unpin(view);
    // Created all the same, as by a stock leader: it waits, and takes the place when that is free.
    create(OBJECT_NETWORK, network_with("x", "10.0.7.0/24"));
    create(OBJECT_NETWORK, fake_network(&arena, "next")); // default pools go around it
    Swarm__Service *service = fake_service(&arena, "s");
    attach(service->spec->task, "x", NULL);
    create(OBJECT_SERVICE, service);
    create(OBJECT_TASK, task_of("t", service));
    settle();
    ck_assert_str_eq(subnet_of("next"), "10.1.0.0/24");
    Swarm__Task *task = get(OBJECT_TASK, "t");
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__NEW);
    ck_assert_str_eq(task->status->err,
                     "service is not allocated: network x is not allocated: subnet 10.0.7.0/24 "
                     "overlaps with subnet 10.0.0.0/16 of network mine");
    remove_object(OBJECT_NETWORK, "mine");
    settle();
    ck_assert_str_eq(subnet_of("x"), "10.0.7.0/24");
    task = get(OBJECT_TASK, "t");
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__PENDING);
    ck_assert_str_eq(task->status->err, "");
    struct alloc_stats stats;
    alloc_stats(alloc, &stats);
    ck_assert_uint_eq(stats.blocked, 0);
}
END_TEST

START_TEST(full_network_tells_the_task_and_serves_it_when_room_is_back)
{
    create(OBJECT_NETWORK, network_with("tiny", "192.168.0.0/29")); // 5 hosts beside the gateway
    Swarm__Service *service = fake_service(&arena, "s");
    attach(service->spec->task, "tiny", NULL);
    create(OBJECT_SERVICE, service);
    for (int i = 0; i < 5; i++)
        create(OBJECT_TASK, task_of(arena_printf(&arena, "t%d", i), service));
    settle();
    Swarm__Task *task = get(OBJECT_TASK, "t4");
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__NEW);
    ck_assert_str_eq(task->status->err, "no free address in network tiny");
    // The reason is written once.
    uint64_t entries = log_.count;
    tick.ns += ALLOC_RETRY_NS;
    settle();
    ck_assert_uint_eq(log_.count, entries);
    task_state("t1", SWARM__TASK_STATE__SHUTDOWN);
    settle();
    task = get(OBJECT_TASK, "t4");
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__PENDING);
    ck_assert_str_eq(address_of("t4", 0), "192.168.0.4/29");
}
END_TEST

// Ten thousand nodes may wait for an address of the routing mesh.
START_TEST(service_does_not_have_nodes_looked_at_that_wait_for_an_address)
{
    struct alloc_stats before, after;
    Swarm__Network *network = network_with("ingress", "10.0.0.0/29"); // 5 nodes
    network->spec->ingress = true;
    create(OBJECT_NETWORK, network);
    for (int i = 0; i < 50; i++)
        create(OBJECT_NODE, fake_node(&arena, arena_printf(&arena, "n%d", i)));
    settle();
    alloc_stats(alloc, &before);
    Swarm__Service *service = fake_service(&arena, "s");
    create(OBJECT_SERVICE, service);
    create(OBJECT_TASK, task_of("t", service));
    settle();
    alloc_stats(alloc, &after);
    ck_assert_uint_lt(after.looks - before.looks, 10);
    ck_assert_int_eq(((Swarm__Task *)get(OBJECT_TASK, "t"))->status->state,
                     SWARM__TASK_STATE__PENDING);
    ck_assert_uint_eq(after.blocked, 45);
}
END_TEST

// A task that ends as soon as it began takes the node's own address with it, again and again.
START_TEST(node_gets_its_resting_address_back)
{
    create(OBJECT_NODE, fake_node(&arena, "n1"));
    create(OBJECT_NETWORK, network_with("small", "192.168.0.0/28"));
    char *first = NULL;
    for (int i = 0; i < 40; i++) {
        char *id = arena_printf(&arena, "t%d", i);
        Swarm__Task *task = fake_task(&arena, id, "", 0);
        attach(task->spec, "small", NULL);
        task->node_id = "n1";
        create(OBJECT_TASK, task);
        settle();
        task = get(OBJECT_TASK, id);
        ck_assert_msg(task->status->state == SWARM__TASK_STATE__PENDING, "%s: %s", id,
                      task->status->err);
        Swarm__Node *node = get(OBJECT_NODE, "n1");
        const char *address = NULL;
        for (size_t k = 0; k < node->n_attachments; k++)
            if (strcmp(node->attachments[k]->network->spec->annotations->name, "small") == 0)
                address = node->attachments[k]->addresses[0];
        ck_assert_ptr_nonnull(address);
        if (!first)
            first = arena_strdup(&arena, address);
        ck_assert_str_eq(address, first);
        task_state(id, SWARM__TASK_STATE__REJECTED);
        settle();
    }
}
END_TEST

START_TEST(address_rests_while_its_holder_may_live)
{
    create(OBJECT_NODE, fake_node(&arena, "n1"));
    create(OBJECT_NETWORK, network_with("tiny", "192.168.0.0/30")); // gateway and one
    for (int i = 0; i < 3; i++) {
        Swarm__Task *task = fake_task(&arena, arena_printf(&arena, "t%d", i), "", 0);
        attach(task->spec, "tiny", "192.168.0.2");
        if (i == 0) {
            task->node_id = "n1";
            create(OBJECT_TASK, task);
            settle(); // the node finds no room for its own address: so be it
            task_state("t0", SWARM__TASK_STATE__RUNNING);
            settle();
            UPDATE(OBJECT_NODE, Swarm__Node, "n1", node,
                   node->status->state = SWARM__NODE_STATUS__STATE__DOWN);
            remove_object(OBJECT_TASK, "t0"); // by force: nobody told its agent
        } else {
            create(OBJECT_TASK, task);
        }
        settle();
        if (i == 0)
            continue;
        Swarm__Task *stored = get(OBJECT_TASK, task->id);
        ck_assert_int_eq(stored->status->state, SWARM__TASK_STATE__NEW);
        ck_assert_str_eq(stored->status->err, "address 192.168.0.2 of network tiny is in use");
    }
    tick.ns += ALLOC_LINGER_NS;
    settle();
    Swarm__Task *task = get(OBJECT_TASK, "t1");
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__NEW);
    UPDATE(OBJECT_NODE, Swarm__Node, "n1", node,
           node->status->state = SWARM__NODE_STATUS__STATE__READY);
    settle();
    tick.ns += ALLOC_LINGER_NS; // the node is back and has been told
    settle();
    task = get(OBJECT_TASK, "t1");
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__PENDING);
    // Orphaned with its node: a day.
    UPDATE(OBJECT_TASK, Swarm__Task, "t1", running, {
        running->node_id = "n1";
        running->status->state = SWARM__TASK_STATE__RUNNING;
    });
    settle();
    UPDATE(OBJECT_NODE, Swarm__Node, "n1", node,
           node->status->state = SWARM__NODE_STATUS__STATE__DOWN);
    task_state("t1", SWARM__TASK_STATE__ORPHANED);
    settle();
    tick.ns += ALLOC_LINGER_AWAY_NS - NS_PER_S;
    settle();
    task = get(OBJECT_TASK, "t2");
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__NEW);
    tick.ns += NS_PER_S;
    settle();
    task = get(OBJECT_TASK, "t2");
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__PENDING);
}
END_TEST

START_TEST(ports_conflict_names_the_service_and_dnsrr_has_no_vips)
{
    create(OBJECT_NETWORK, ingress_network());
    create(OBJECT_NETWORK, fake_network(&arena, "mine"));
    Swarm__Service *a = fake_service(&arena, "a");
    publish(a, 80, 8080);
    publish(a, 81, 0);
    create(OBJECT_SERVICE, a);
    Swarm__Service *b = fake_service(&arena, "b");
    publish(b, 80, 8080);
    create(OBJECT_SERVICE, b);
    create(OBJECT_TASK, task_of("t", b));
    Swarm__Service *c = fake_service(&arena, "c");
    attach(c->spec->task, "mine", NULL);
    c->spec->endpoint = ARENA_NEW(&arena, Swarm__EndpointSpec);
    swarm__endpoint_spec__init(c->spec->endpoint);
    c->spec->endpoint->mode = SWARM__ENDPOINT_SPEC__RESOLUTION_MODE__DNSRR;
    create(OBJECT_SERVICE, c);
    settle();
    a = get(OBJECT_SERVICE, "a");
    ck_assert_uint_eq(a->endpoint->ports[1]->published_port, 30000);
    b = get(OBJECT_SERVICE, "b");
    ck_assert_ptr_null(b->endpoint);
    Swarm__Task *task = get(OBJECT_TASK, "t");
    ck_assert_str_eq(task->status->err,
                     "service is not allocated: port '8080' is already in use by service 'a' (a) "
                     "as an ingress port");
    c = get(OBJECT_SERVICE, "c");
    ck_assert_ptr_null(c->endpoint);
    remove_object(OBJECT_SERVICE, "a");
    settle();
    b = get(OBJECT_SERVICE, "b");
    ck_assert_uint_eq(b->endpoint->ports[0]->published_port, 8080);
    // From VIP to DNSRR and back: addresses come and go.
    UPDATE(OBJECT_SERVICE, Swarm__Service, "c", service,
           service->spec->endpoint->mode = SWARM__ENDPOINT_SPEC__RESOLUTION_MODE__VIP);
    settle();
    c = get(OBJECT_SERVICE, "c");
    ck_assert_uint_eq(c->endpoint->n_virtual_ips, 1);
}
END_TEST

START_TEST(predefined_networks_have_no_addresses)
{
    Swarm__Network *network = fake_network(&arena, "host");
    Swarm__Driver driver = SWARM__DRIVER__INIT;
    driver.name = "host";
    network->spec->driver_config = &driver;
    create(OBJECT_NETWORK, network);
    Swarm__Service *service = fake_service(&arena, "s");
    attach(service->spec->task, "host", NULL);
    attach(service->spec->task, "no-such-network", NULL); // skipped, as SwarmKit does
    create(OBJECT_SERVICE, service);
    create(OBJECT_TASK, task_of("t", service));
    settle();
    network = get(OBJECT_NETWORK, "host");
    ck_assert_str_eq(network->driver_state->name, "host");
    ck_assert_ptr_nonnull(network->ipam->driver);
    ck_assert_uint_eq(network->ipam->n_configs, 0);
    Swarm__Task *task = get(OBJECT_TASK, "t");
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__PENDING);
    ck_assert_uint_eq(task->n_networks, 1);
    ck_assert_uint_eq(task->networks[0]->n_addresses, 0);
    struct alloc_stats stats;
    alloc_stats(alloc, &stats);
    ck_assert_uint_eq(stats.addresses, 0);
}
END_TEST

// ---- against a naive model ---------------------------------------------------------------------

static void note(struct map *seen, const char *network, const char *address)
{
    char key[256];
    str_format(key, sizeof(key), "%s %s", network, address);
    ck_assert_msg(!map_put_str(seen, key, seen), "%s twice", key);
}

// Everything that may be alive has its own addresses, ports and ids, inside the right subnets.
static void check_all(void)
{
    struct map seen;
    map_init(&seen);
    struct view view = store_pin(log_.store);
    VIEW_EACH (object, view, OBJECT_NETWORK, BY_ALL) {
        Swarm__Network *network = object_unpack(object, &arena);
        if (network->driver_state)
            note(&seen, "vni", network->driver_state->options[0]->value);
    }
    VIEW_EACH (object, view, OBJECT_SERVICE, BY_ALL) {
        Swarm__Service *service = object_unpack(object, &arena);
        for (size_t i = 0; service->endpoint && i < service->endpoint->n_virtual_ips; i++)
            note(&seen, service->endpoint->virtual_ips[i]->network_id,
                 service->endpoint->virtual_ips[i]->addr);
        for (size_t i = 0; service->endpoint && i < service->endpoint->n_ports; i++)
            note(&seen, "port",
                 arena_printf(&arena, "%u", service->endpoint->ports[i]->published_port));
    }
    VIEW_EACH (object, view, OBJECT_NODE, BY_ALL) {
        Swarm__Node *node = object_unpack(object, &arena);
        for (size_t i = 0; i < node->n_attachments; i++)
            note(&seen, node->attachments[i]->network->id, node->attachments[i]->addresses[0]);
    }
    VIEW_EACH (object, view, OBJECT_TASK, BY_ALL) {
        Swarm__Task *task = object_unpack(object, &arena);
        if (task->status->state > SWARM__TASK_STATE__RUNNING)
            continue;
        for (size_t i = 0; i < task->n_networks; i++) {
            struct prefix subnet;
            struct prefix address;
            note(&seen, task->networks[i]->network->id, task->networks[i]->addresses[0]);
            ck_assert(prefix_parse(task->networks[i]->network->ipam->configs[0]->subnet, &subnet));
            ck_assert(prefix_parse(task->networks[i]->addresses[0], &address));
            ck_assert(prefix_contains(&subnet, &address));
        }
    }
    store_unpin(view);
    map_fini(&seen);
}

#define ACTORS 24

static void random_step(struct rand *rand)
{
    const char *id = arena_printf(&arena, "%u", (unsigned)rand_below(rand, ACTORS));
    unsigned network = (unsigned)rand_below(rand, 4);
    const char *network_id = arena_printf(&arena, "net%u", network);
    struct view view = store_pin(log_.store);
    const struct object *task = view_get(view, OBJECT_TASK, id);
    const struct object *service = view_get(view, OBJECT_SERVICE, id);
    unsigned state = task ? object_task(task)->state : 0;
    bool has_network = view_get(view, OBJECT_NETWORK, network_id) != NULL;
    bool used = false;
    VIEW_EACH (object, view, OBJECT_TASK, by_key(INDEX_NETWORK, network_id))
        used = true;
    VIEW_EACH (object, view, OBJECT_SERVICE, by_key(INDEX_NETWORK, network_id))
        used = true;
    store_unpin(view);
    switch (rand_below(rand, 8)) {
    case 0:
        if (!has_network)
            create(OBJECT_NETWORK,
                   network_with(network_id, network < 2 ? "" : "10.0.0.0/28")); // two collide
        else if (!used)
            remove_object(OBJECT_NETWORK, network_id);
        break;
    case 1:
        if (service) {
            remove_object(OBJECT_SERVICE, id);
        } else {
            Swarm__Service *made = fake_service(&arena, id);
            attach(made->spec->task, network_id, NULL);
            if (rand_chance(rand, 1, 2))
                publish(made, 80, rand_chance(rand, 1, 2) ? 8080 + network : 0);
            create(OBJECT_SERVICE, made);
        }
        break;
    case 2:
    case 3:
        if (!task && service) {
            Swarm__Service *owner = get(OBJECT_SERVICE, id);
            create(OBJECT_TASK, task_of(id, owner));
        }
        break;
    case 4:
    case 5:
        if (task && state >= SWARM__TASK_STATE__PENDING && state <= SWARM__TASK_STATE__RUNNING)
            UPDATE(OBJECT_TASK, Swarm__Task, id, changed, {
                if (state == SWARM__TASK_STATE__PENDING)
                    changed->node_id = arena_printf(&arena, "n%u", (unsigned)rand_below(rand, 3));
                changed->status->state = state == SWARM__TASK_STATE__PENDING
                                             ? SWARM__TASK_STATE__RUNNING
                                             : SWARM__TASK_STATE__COMPLETE;
            });
        break;
    case 6:
        if (task && (state > SWARM__TASK_STATE__RUNNING || rand_chance(rand, 1, 4)))
            remove_object(OBJECT_TASK, id);
        break;
    default:
        tick.ns += NS_PER_MIN;
    }
}

START_TEST(any_sequence_doubles_nothing_and_leaks_nothing)
{
    struct rand rand;
    rand_init(&rand, (uint64_t)_i + 1);
    create(OBJECT_NETWORK, ingress_network());
    for (unsigned i = 0; i < 3; i++)
        create(OBJECT_NODE, fake_node(&arena, arena_printf(&arena, "n%u", i)));
    for (unsigned i = 0; i < 400; i++) {
        random_step(&rand);
        if (rand_chance(&rand, 1, 2))
            settle();
        if (i % 20 == 19) {
            settle();
            check_all();
        }
        if (rand_chance(&rand, 1, 100))
            load();
    }
    // Everything goes; after the rest nothing is held any more.
    const enum object_type types[] = {OBJECT_TASK, OBJECT_SERVICE, OBJECT_NETWORK, OBJECT_NODE};
    for (unsigned i = 0; i < 4; i++)
        for (;;) {
            struct view view = store_pin(log_.store);
            const struct object *object = view_after(view, types[i], "");
            const char *id = object ? arena_strdup(&arena, object_id(object)) : NULL;
            store_unpin(view);
            if (!id)
                break;
            remove_object(types[i], id);
        }
    settle();
    tick.ns += ALLOC_LINGER_AWAY_NS;
    settle();
    struct alloc_stats stats;
    alloc_stats(alloc, &stats);
    ck_assert_uint_eq(stats.addresses, 0);
    ck_assert_uint_eq(stats.resting, 0);
    ck_assert_uint_eq(stats.ports, 0);
    ck_assert_uint_eq(stats.vnis, 0);
    ck_assert_uint_eq(stats.blocked, 0);
}
END_TEST

Suite *suite_alloc(void);
Suite *suite_alloc(void)
{
    Suite *suite = suite_create("alloc");
    TCase *tcase = tcase_create("alloc");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, ingress_comes_from_the_far_end_and_users_from_the_near);
    tcase_add_test(tcase, what_a_stock_leader_stored_is_honoured);
    tcase_add_test(tcase, what_stock_daemons_read_unasked_is_there);
    tcase_add_test(tcase, addresses_are_serial_and_in_swarmkits_order);
    tcase_add_test(tcase, address_that_stock_gave_twice_is_exchanged_where_no_agent_knows_it);
    tcase_add_test(tcase, address_of_a_full_network_stays_with_who_is_left_of_two);
    tcase_add_test(tcase, address_that_two_running_tasks_have_is_free_after_both);
    tcase_add_test(tcase, overlap_is_refused_naming_the_network);
    tcase_add_test(tcase, full_network_tells_the_task_and_serves_it_when_room_is_back);
    tcase_add_test(tcase, address_rests_while_its_holder_may_live);
    tcase_add_test(tcase, service_does_not_have_nodes_looked_at_that_wait_for_an_address);
    tcase_add_test(tcase, node_gets_its_resting_address_back);
    tcase_add_test(tcase, ports_conflict_names_the_service_and_dnsrr_has_no_vips);
    tcase_add_test(tcase, predefined_networks_have_no_addresses);
    tcase_add_loop_test(tcase, any_sequence_doubles_nothing_and_leaks_nothing, 0, 16);
    suite_add_tcase(suite, tcase);
    return suite;
}
