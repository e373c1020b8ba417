// The pieces that ports.sh puts into network namespaces. Each keeps what it set until its standard
// input ends:
//
//   interop_ports ports BRIDGE PROTOCOL,HOST,PUBLISHED,END,ADDRESS,TARGET...
//                       says "port N" for each, or "failed: why" and ends
//   interop_ports guard [member=ADDRESS] [sealed=VNI]...     says "done" once it stands
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/guard.h"
#include "agent/net/ports_io.h"
#include "agent/net/tables_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define ROWS_MAX 16

static struct loop loop;
static uv_poll_t input;
static struct ports *ports;
static struct tables *tables;

static uint32_t address_of(const char *text)
{
    struct in_addr address;
    if (inet_pton(AF_INET, text, &address) != 1) {
        fprintf(stderr, "no address: %s\n", text);
        exit(2);
    }
    return ntohl(address.s_addr);
}

static void on_closed(void *owner)
{
    (void)owner;
    loop_stop(&loop);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    char bytes[16];
    (void)status;
    (void)events;
    if (read(0, bytes, sizeof bytes) > 0)
        return;
    uv_close((uv_handle_t *)poll, NULL);
    if (ports)
        ports_close(ports, on_closed, NULL);
    if (tables)
        tables_close(tables, on_closed, NULL);
}

static int keep(void)
{
    uv_poll_init(&loop.uv, &input, 0);
    uv_poll_start(&input, UV_READABLE, on_input);
    loop_run(&loop);
    loop_fini(&loop);
    return 0;
}

static int run_ports(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct ports_row rows[ROWS_MAX] = {{0}};
    ports = ports_open(&loop, &err);
    if (!ports || argc > ROWS_MAX)
        return 2;
    ports_bridge(ports, argv[0]);
    for (int i = 1; i < argc; i++) {
        char host[32], address[32];
        unsigned protocol, published, end, target;
        if (sscanf(argv[i], "%u,%31[^,],%u,%u,%31[^,],%u", &protocol, host, &published, &end,
                   address, &target) != 6)
            return 2;
        rows[i - 1] = (struct ports_row){.protocol = (uint8_t)protocol,
                                         .host = address_of(host),
                                         .published = (uint16_t)published,
                                         .published_end = (uint16_t)end,
                                         .address = address_of(address),
                                         .target = (uint16_t)target};
    }
    if (ports_set(ports, "one", rows, (size_t)argc - 1, &err) < 0) {
        printf("failed: %s\n", err.message);
        return 1;
    }
    for (int i = 1; i < argc; i++)
        printf("port %u\n", rows[i - 1].published);
    return keep();
}

static void on_settled(void *owner, const struct err *err)
{
    (void)owner;
    printf("%s\n", err ? err->message : "done");
}

static int run_guard(int argc, char **argv)
{
    struct err err = ERR_INIT;
    uint32_t members[ROWS_MAX], sealed[ROWS_MAX];
    struct guard guard = {.members = members, .sealed = sealed};
    for (int i = 0; i < argc && i < ROWS_MAX; i++) {
        if (str_starts(argv[i], "member="))
            members[guard.members_count++] = address_of(argv[i] + strlen("member="));
        else
            sealed[guard.sealed_count++] = (uint32_t)atoi(argv[i] + strlen("sealed="));
    }
    struct tables_config config = {
        .loop = &loop, .netns_fd = NFT_NETNS_OWN, .watch = true, .settled = on_settled};
    tables = tables_open(&config, &err);
    if (!tables)
        return 2;
    tables_want(tables, guard_table(&guard));
    return keep();
}

int main(int argc, char **argv)
{
    const char *verb = argc > 2 ? argv[1] : "";
    setvbuf(stdout, NULL, _IOLBF, 0);
    loop_init(&loop);
    if (str_equal(verb, "ports"))
        return run_ports(argc - 2, argv + 2);
    if (str_equal(verb, "guard"))
        return run_guard(argc - 2, argv + 2);
    fprintf(stderr, "usage: interop_ports ports|guard ...\n");
    return 2;
}
