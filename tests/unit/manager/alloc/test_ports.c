// Published ports: given, chosen, kept, refused.
#include "manager/alloc/ports.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/str.h"

static struct ports ports;
static struct arena arena;
static int holders[3];

static void setup(void)
{
    ports_init(&ports);
    arena_init(&arena, 1 << 24);
}

static void teardown(void)
{
    ports_fini(&ports);
    arena_fini(&arena);
}

// "80:8080 81:0/udp 53:53/host": target, published and what is special.
static Swarm__EndpointSpec *spec_of(const char *text)
{
    Swarm__EndpointSpec *spec = ARENA_NEW(&arena, Swarm__EndpointSpec);
    swarm__endpoint_spec__init(spec);
    struct str_part part;
    spec->ports = arena_alloc_array(&arena, 16, sizeof(*spec->ports));
    while (str_split(&text, ' ', &part)) {
        Swarm__PortConfig *port = ARENA_NEW(&arena, Swarm__PortConfig);
        swarm__port_config__init(port);
        char kind[8] = "";
        ck_assert_int_ge(
            sscanf(part.at, "%u:%u/%7[a-z]", &port->target_port, &port->published_port, kind), 2);
        if (str_equal(kind, "udp"))
            port->protocol = SWARM__PORT_CONFIG__PROTOCOL__UDP;
        if (str_equal(kind, "host"))
            port->publish_mode = SWARM__PORT_CONFIG__PUBLISH_MODE__HOST;
        spec->ports[spec->n_ports++] = port;
    }
    return spec;
}

// The published numbers, in order.
static const char *allocate(int holder, const char *text, Swarm__Endpoint *endpoint)
{
    static char out[256];
    void *other;
    struct err err = ERR_INIT;
    Swarm__PortConfig **list;
    size_t count;
    int rc =
        ports_allocate(&ports, &holders[holder], *text ? spec_of(text) : NULL,
                       endpoint->n_ports ? endpoint : NULL, &arena, &list, &count, &other, &err);
    if (rc) {
        str_format(out, sizeof(out), "%s%s", err.message, other ? " (taken)" : "");
        return out;
    }
    endpoint->ports = list;
    endpoint->n_ports = count;
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(out);
        str_format(out + len, sizeof(out) - len, "%s%u", i ? " " : "", list[i]->published_port);
    }
    return out;
}

START_TEST(given_ports_are_taken_and_others_chosen_in_order)
{
    Swarm__Endpoint a = SWARM__ENDPOINT__INIT;
    Swarm__Endpoint b = SWARM__ENDPOINT__INIT;
    ck_assert_str_eq(allocate(0, "80:0 81:8080 82:0 83:0/udp", &a), "30000 8080 30001 30000");
    ck_assert_str_eq(allocate(1, "80:0 53:53/host 53:0/host", &b), "30002 53 0");
    ck_assert_uint_eq(ports_count(&ports), 5);
    ck_assert_str_eq(allocate(1, "1:8080", &b), "port '8080' is already in use (taken)");
    ck_assert_str_eq(allocate(1, "1:8080/udp", &b), "8080");
    ck_assert_uint_eq(ports_count(&ports), 5); // 30002 went back
    ports_release(&ports, &holders[0]);
    ports_release(&ports, &holders[1]);
    ck_assert_uint_eq(ports_count(&ports), 0);
}
END_TEST

START_TEST(chosen_ports_stay_while_their_port_stays)
{
    Swarm__Endpoint a = SWARM__ENDPOINT__INIT;
    ck_assert_str_eq(allocate(0, "80:0 81:0", &a), "30000 30001");
    // As many as before: those given come first, as SwarmKit writes them.
    ck_assert_str_eq(allocate(0, "81:0 90:9090", &a), "9090 30001");
    ck_assert_str_eq(allocate(0, "81:0 90:9090 80:0", &a), "30001 9090 30002");
    ck_assert_str_eq(allocate(0, "", &a), "");
    ck_assert_uint_eq(ports_count(&ports), 0);
}
END_TEST

START_TEST(refusal_changes_nothing)
{
    Swarm__Endpoint a = SWARM__ENDPOINT__INIT;
    Swarm__Endpoint b = SWARM__ENDPOINT__INIT;
    ck_assert_str_eq(allocate(0, "80:30001", &a), "30001");
    ck_assert_str_eq(allocate(1, "80:7000", &b), "7000");
    ck_assert_str_eq(allocate(1, "80:7001 81:30001", &b), "port '30001' is already in use (taken)");
    ck_assert_str_eq(allocate(2, "80:7001", &(Swarm__Endpoint)SWARM__ENDPOINT__INIT), "7001");
    ck_assert_str_eq(allocate(1, "80:7000 81:0", &b), "7000 30000");
    ck_assert_str_eq(allocate(1, "80:70000", &b), "published port 70000 is out of range");
}
END_TEST

START_TEST(chosen_ports_run_out)
{
    Swarm__Endpoint a = SWARM__ENDPOINT__INIT;
    for (uint32_t i = PORTS_MIN; i <= PORTS_MAX; i++) {
        Swarm__Endpoint stored = SWARM__ENDPOINT__INIT;
        Swarm__PortConfig port = SWARM__PORT_CONFIG__INIT;
        Swarm__PortConfig *list[] = {&port};
        port.published_port = i;
        stored.ports = list;
        stored.n_ports = 1;
        ck_assert(ports_claim(&ports, &holders[0], &stored));
        ck_assert(!ports_claim(&ports, &holders[1], &stored));
    }
    ck_assert_str_eq(allocate(1, "80:0", &a), "no port is left between 30000 and 32767");
    ck_assert_str_eq(allocate(1, "80:0/udp", &a), "30000");
}
END_TEST

Suite *suite_ports(void);
Suite *suite_ports(void)
{
    Suite *suite = suite_create("ports");
    TCase *tcase = tcase_create("ports");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, given_ports_are_taken_and_others_chosen_in_order);
    tcase_add_test(tcase, chosen_ports_stay_while_their_port_stays);
    tcase_add_test(tcase, refusal_changes_nothing);
    tcase_add_test(tcase, chosen_ports_run_out);
    suite_add_tcase(suite, tcase);
    return suite;
}
