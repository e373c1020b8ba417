// Our gossip in a swarm, for gossip_stock.sh: an agent (its containers only pretended) that gets
// the keys and the managers from its session, and does what a pipe says.
//
//   gossip_stock AGENT-DIR DIR ADDRESS
//
// DIR/commands is a pipe: "join NETWORK", "leave NETWORK", "put NETWORK TABLE KEY HEX",
// "remove NETWORK TABLE KEY", "rotate" (to keys of which the stock nodes know the primary, and the
// newest nobody), "dump". After every change DIR/rows holds "NETWORK TABLE KEY OWNER HEX"
// of each row, DIR/members "NAME ADDRESS" of each node, DIR/counters "NAME VALUE" lines. SIGTERM
// leaves; SIGUSR1 ends without a word.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/gossip/gossip_io.h"
#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "tests/support/pretence.h"

#define COMMANDS_EACH_MS 50
#define NETWORKS_MAX     8
#define KEYS             4
#define KEY_BYTES        16

static struct loop loop;
static struct err failure;
static struct gossip *gossip;
static const char *folder;
static bool finished;
static enum gossip_end how = GOSSIP_END_LEAVE;
static char networks[NETWORKS_MAX][GOSSIP_ID_BYTES + 1];
static size_t networks_count;

static bool is_finished(void *ctx)
{
    (void)ctx;
    return finished;
}

static void finish(void *ctx)
{
    (void)ctx;
    finished = true;
}

// ---- what is there -----------------------------------------------------------------------------

static void save(const char *name, struct buf *text)
{
    char *path = str_printf("%s/%s", folder, name);
    if (file_write_atomic(path, text->data ? (const void *)text->data : "", text->len, 0600,
                          &failure))
        printf("cannot write %s: %s\n", path, failure.message);
    free(path);
    buf_fini(text);
}

static void put_row(void *ctx, const struct gossip_row *row)
{
    struct buf *out = ctx;
    char text[ADDR_TEXT_BYTES];
    char *hex = mem_alloc(2 * row->value_size + 1);
    hex_encode(row->value, row->value_size, hex);
    buf_printf(out, "%s %s %s %s %s\n", row->network_id, row->table, row->key,
               site_format(row->site, text), hex);
    free(hex);
}

static void put_member(void *ctx, const struct gossip_member *member)
{
    struct buf *out = ctx;
    char text[ADDR_TEXT_BYTES];
    buf_printf(out, "%s %s\n", member->node, site_format(member->site, text));
}

static void dump(void)
{
    struct buf rows, members, counters;
    buf_init(&rows, 16 << 20);
    buf_init(&members, 1 << 20);
    buf_init(&counters, 1 << 16);
    for (size_t i = 0; i < networks_count; i++)
        gossip_rows(gossip, networks[i], NULL, put_row, &rows);
    gossip_members(gossip, NULL, put_member, &members);
    const struct gossip_counters *values = gossip_counters(gossip);
#define X(name, what) buf_printf(&counters, #name " %llu\n", (unsigned long long)values->name);
    GOSSIP_COUNTERS(X)
    GOSSIP_GAUGES(X)
#undef X
    save("rows", &rows);
    save("members", &members);
    save("counters", &counters);
}

static void on_rows(void *owner, const char *network_id)
{
    (void)owner;
    (void)network_id;
    dump();
}

static void on_nodes(void *owner)
{
    (void)owner;
    dump();
}

// ---- the session -------------------------------------------------------------------------------

// The session's gossip keys, sorted by Lamport time, and one more.
static Swarm__EncryptionKey keys[KEYS];
static uint8_t key_bytes[KEYS][KEY_BYTES];
static size_t keys_count;

static void keep_keys(const Swarm__SessionMessage *message)
{
    keys_count = 0;
    for (size_t i = 0; i < message->n_network_bootstrap_keys; i++) {
        const Swarm__EncryptionKey *key = message->network_bootstrap_keys[i];
        if (!str_equal(key->subsystem, "networking:gossip") || key->key.len != KEY_BYTES ||
            keys_count == KEYS - 1)
            continue;
        size_t at = keys_count++;
        for (; at > 0 && keys[at - 1].lamport_time > key->lamport_time; at--) {
            keys[at] = keys[at - 1];
            memcpy(key_bytes[at], key_bytes[at - 1], KEY_BYTES);
        }
        swarm__encryption_key__init(&keys[at]);
        keys[at].subsystem = "networking:gossip";
        keys[at].lamport_time = key->lamport_time;
        memcpy(key_bytes[at], key->key.data, KEY_BYTES);
    }
}

static int rotate(void)
{
    Swarm__EncryptionKey *list[KEYS - 1];
    CHECK(keys_count == KEYS - 1);
    keys[KEYS - 1] = keys[KEYS - 2];
    keys[KEYS - 1].lamport_time++;
    memset(key_bytes[KEYS - 1], 0x5a, KEY_BYTES);
    for (size_t i = 0; i < KEYS; i++)
        keys[i].key = (ProtobufCBinaryData){KEY_BYTES, key_bytes[i]};
    for (size_t i = 1; i < KEYS; i++)
        list[i - 1] = &keys[i];
    return gossip_keys(gossip, list, COUNT_OF(list), &failure);
}

static void on_session(void *owner, const Swarm__SessionMessage *message)
{
    const char *addrs[GOSSIP_BOOTSTRAP_MAX];
    size_t count = 0;
    (void)owner;
    for (size_t i = 0; i < message->n_managers && count < COUNT_OF(addrs); i++)
        if (message->managers[i]->peer)
            addrs[count++] = message->managers[i]->peer->addr;
    gossip_bootstrap(gossip, addrs, count);
    if (message->n_network_bootstrap_keys > 0)
        keep_keys(message);
    if (message->n_network_bootstrap_keys > 0 &&
        gossip_keys(gossip, message->network_bootstrap_keys, message->n_network_bootstrap_keys,
                    &failure))
        printf("keys refused: %s\n", failure.message);
}

// ---- commands ----------------------------------------------------------------------------------

static int put(char **words)
{
    uint8_t value[1024];
    size_t size = strlen(words[4]) / 2;
    if (size > sizeof value || !hex_decode(words[4], strlen(words[4]), value, size))
        return err_set(&failure, ERR_INVALID_ARGUMENT, "not hexadecimal");
    return gossip_row_put(gossip, words[1], words[2], words[3], value, size, &failure);
}

static void obey(char *line)
{
    char *words[5] = {0}, *rest = NULL;
    size_t count = 0;
    for (char *word = strtok_r(line, " ", &rest); word && count < COUNT_OF(words);
         word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    int result = 0;
    if (count == 2 && str_equal(words[0], "join")) {
        result = gossip_network_join(gossip, words[1], &failure);
        if (networks_count < NETWORKS_MAX)
            str_copy(networks[networks_count++], sizeof networks[0], words[1]);
    } else if (count == 2 && str_equal(words[0], "leave")) {
        gossip_network_leave(gossip, words[1]);
    } else if (count == 5 && str_equal(words[0], "put")) {
        result = put(words);
    } else if (count == 4 && str_equal(words[0], "remove")) {
        gossip_row_remove(gossip, words[1], words[2], words[3]);
    } else if (count == 1 && str_equal(words[0], "rotate")) {
        result = rotate();
    } else if (count == 1 && str_equal(words[0], "dump")) {
        dump();
    } else {
        printf("what is %s?\n", words[0] ? words[0] : "that");
    }
    if (result)
        printf("refused: %s\n", failure.message);
    fflush(stdout);
}

static int commands = -1;
static struct buf input;
static struct loop_timer look;

static void on_look(struct loop_timer *timer)
{
    char bytes[4096];
    ssize_t got = read(commands, bytes, sizeof bytes);
    if (got > 0)
        buf_put(&input, bytes, (size_t)got);
    for (char *end; input.len > 0 && (end = memchr(input.data, '\n', input.len));) {
        size_t size = (size_t)(end - (char *)input.data);
        char *line = str_ndup((const char *)input.data, size);
        buf_consume(&input, size + 1);
        obey(line);
        free(line);
    }
    loop_timer_start(timer, COMMANDS_EACH_MS);
}

static void on_signal(uv_signal_t *handle, int signal)
{
    (void)handle;
    how = signal == SIGUSR1 ? GOSSIP_END_SILENT : GOSSIP_END_LEAVE;
    finished = true;
}

static void run(struct agent *agent)
{
    uv_signal_t signals[2];
    static const int numbers[] = {SIGTERM, SIGUSR1};
    char *path = str_printf("%s/commands", folder);
    commands = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    CHECK(commands >= 0);
    free(path);
    buf_init(&input, 1 << 20);
    loop_timer_init(&look, &loop, on_look);
    loop_timer_start(&look, 0);
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        uv_signal_init(&loop.uv, &signals[i]);
        uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
    // Bounded, so that nothing outlives a broken test.
    loop_run_until(&loop, is_finished, NULL, 600000);
    loop_timer_stop(&look);
    for (size_t i = 0; i < COUNT_OF(signals); i++)
        uv_close((uv_handle_t *)&signals[i], NULL);
    finished = false;
    gossip_close(gossip, how, finish, NULL);
    CHECK(loop_run_until(&loop, is_finished, NULL, 10000));
    finished = false;
    agent_close(agent, finish, NULL);
    CHECK(loop_run_until(&loop, is_finished, NULL, 20000));
    buf_fini(&input);
    close(commands);
}

static int start(const char *agent_dir, const char *address)
{
    struct addr addr;
    struct executor executor = pretence_executor(&loop);
    struct agent *agent;
    if (addr_parse(address, GOSSIP_PORT, &addr, &failure))
        return -1;
    struct gossip_config config = {.loop = &loop,
                                   .bind = addr,
                                   .advertise = addr,
                                   .events = {.rows_changed = on_rows, .nodes_changed = on_nodes}};
    if (gossip_open(&config, &gossip, &failure))
        return -1;
    struct agent_config agent_config = {.loop = &loop,
                                        .dir = agent_dir,
                                        .executor = &executor,
                                        .engine_version = "20.10.24",
                                        .events = {.session = on_session}};
    if (agent_open(&agent_config, &agent, &failure))
        return -1;
    printf("gossip name %s\n", gossip_name(gossip));
    fflush(stdout);
    run(agent);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    folder = argv[2];
    loop_init(&loop);
    if (start(argv[1], argv[3])) {
        printf("%s: %s\n", err_code_name(failure.code), failure.message);
        return 1;
    }
    loop_fini(&loop);
    return 0;
}
