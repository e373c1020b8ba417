// One node's side of an encrypted overlay, for ipsec.sh in the guest:
//
//   interop_ipsec probe                         can this kernel do it
//   interop_ipsec node LOCAL PEER... sealed=VNI reads numbers N from standard input: the keys are
//                                               now N, N+1, N+2; says "done N" when they stand,
//                                               "done 0" when all stands but keys
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/guard.h"
#include "agent/net/ipsec_io.h"
#include "agent/net/tables_io.h"
#include "agent/net/xfrm_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define PEERS_MAX 8

static struct loop loop;
static uv_poll_t input;
static struct ipsec *ipsec;
static struct tables *tables;
static unsigned taken; // the first of the keys that were given last

static uint32_t address_of(const char *text)
{
    struct in_addr address;
    if (inet_pton(AF_INET, text, &address) != 1) {
        fprintf(stderr, "no address: %s\n", text);
        exit(2);
    }
    return ntohl(address.s_addr);
}

static void on_settled(void *owner, const struct err *err)
{
    (void)owner;
    if (err)
        printf("%s\n", err->message);
    else
        printf("done %u\n", taken);
}

static void on_tables_closed(void *owner)
{
    (void)owner;
    loop_stop(&loop);
}

static void on_ipsec_closed(void *owner)
{
    (void)owner;
    tables_close(tables, on_tables_closed, NULL);
}

static void take_keys(unsigned first)
{
    uint8_t bytes[IPSEC_KEYS][IPSEC_KEY_BYTES];
    Swarm__EncryptionKey keys[IPSEC_KEYS], *all[IPSEC_KEYS];
    struct err err = ERR_INIT;
    for (unsigned i = 0; i < IPSEC_KEYS; i++) {
        swarm__encryption_key__init(&keys[i]);
        memset(bytes[i], (int)(first + i), IPSEC_KEY_BYTES);
        keys[i].subsystem = (char *)"networking:ipsec";
        keys[i].key.data = bytes[i];
        keys[i].key.len = IPSEC_KEY_BYTES;
        keys[i].lamport_time = first + i;
        all[i] = &keys[i];
    }
    if (ipsec_take_keys(ipsec, all, IPSEC_KEYS, &err) < 0)
        printf("%s\n", err.message);
    taken = first;
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    char bytes[64];
    (void)status;
    (void)events;
    ssize_t got = read(0, bytes, sizeof bytes - 1);
    if (got > 0) {
        bytes[got] = '\0';
        take_keys((unsigned)atoi(bytes));
        return;
    }
    uv_close((uv_handle_t *)poll, NULL);
    ipsec_close(ipsec, false, on_ipsec_closed, NULL);
}

static int node(int argc, char **argv)
{
    struct err err = ERR_INIT;
    uint32_t members[PEERS_MAX + 1], sealed = 0;
    size_t count = 0;
    for (int i = 0; i < argc && count <= PEERS_MAX; i++) {
        if (str_starts(argv[i], "sealed="))
            sealed = (uint32_t)atoi(argv[i] + strlen("sealed="));
        else
            members[count++] = address_of(argv[i]);
    }
    loop_init(&loop);
    struct tables_config config = {.loop = &loop, .netns_fd = NFT_NETNS_OWN, .watch = true};
    tables = tables_open(&config, &err);
    if (!tables)
        return 2;
    const struct guard guard = {
        .members = members, .members_count = count, .sealed = &sealed, .sealed_count = 1};
    tables_want(tables, guard_table(&guard));
    ipsec = ipsec_open(&loop, on_settled, NULL, NULL);
    const struct ipsec_local local = {members[0], members[0], GUARD_PORT};
    ipsec_set(ipsec, &local, members + 1, count - 1);
    uv_poll_init(&loop.uv, &input, 0);
    uv_poll_start(&input, UV_READABLE, on_input);
    loop_run(&loop);
    loop_fini(&loop);
    return 0;
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && str_equal(argv[1], "probe")) {
        int rc = xfrm_probe(&err);
        printf("%s\n", rc < 0 ? err.message : "this kernel encrypts");
        return rc < 0;
    }
    if (argc > 3 && str_equal(argv[1], "node"))
        return node(argc - 2, argv + 2);
    fprintf(stderr, "usage: interop_ipsec probe|node ...\n");
    return 2;
}
