// What loads a group of bench_raft's members, or of etcd's: writes over mutual TLS.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/raw.h"
#include "tests/bench/raft/raft_bench.h"

#define CONNECTIONS_MAX 16
#define SAMPLES_MAX     20000000u
#define PUT_MS          60000
#define PROBE_MS        300
#define PROBE_PAUSE_MS  5
#define PROBE_GAP_MS    100

static struct rpc_client *client_of(struct loop *loop, const char *text, struct tls_config *tls)
{
    struct rpc_client_config config = {
        .loop = loop, .tls = tls, .server_name = "swarm-manager", .backoff_ms_max = 20};
    struct err err = ERR_INIT;
    if (addr_parse(text, 0, &config.addr, &err))
        bench_die(&err);
    return rpc_client_new(&config);
}

static void make_put(struct rand *rand, struct buf *out)
{
    char key[32];
    uint8_t value[BENCH_VALUE_BYTES];
    snprintf(key, sizeof key, "bench/%06" PRIu64, rand_below(rand, BENCH_KEYS));
    rand_bytes(rand, value, sizeof value);
    buf_clear(out);
    raw_put_bytes(out, 1, key, strlen(key));
    raw_put_bytes(out, 2, value, sizeof value);
}

// ---- load ---------------------------------------------------------------------------------------

struct load {
    struct loop loop;
    struct rand rand;
    struct mono stop;
    long left; // writes that may still begin; negative: any number
    int running;
    uint32_t *micros;
    size_t count;
    struct buf message;
};

struct proposer {
    struct load *load;
    struct rpc_client *client;
    struct mono began;
};

static void propose(struct proposer *proposer);

static void on_put(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                   const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    struct proposer *proposer = ctx;
    struct load *load = proposer->load;
    struct mono now = mono_now();
    if (status->err.code != ERR_OK)
        bench_die(&status->err);
    CHECK(load->count < SAMPLES_MAX);
    load->micros[load->count++] = (uint32_t)(mono_since(now, proposer->began) / NS_PER_US);
    if (mono_before(now, load->stop) && load->left != 0)
        propose(proposer);
    else if (--load->running == 0)
        loop_stop(&load->loop);
}

static void propose(struct proposer *proposer)
{
    struct load *load = proposer->load;
    if (load->left > 0)
        load->left--;
    make_put(&load->rand, &load->message);
    struct rpc_request_spec spec = {.path = BENCH_PUT,
                                    .kind = RPC_UNARY,
                                    .timeout_ms = PUT_MS,
                                    .wait_for_ready = true,
                                    .on_done = on_put,
                                    .ctx = proposer};
    proposer->began = mono_now();
    rpc_client_call_bytes(proposer->client, &spec, load->message.data, load->message.len);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

struct all {
    struct rpc_client **clients;
    int count;
};

static bool connected(void *ctx)
{
    const struct all *all = ctx;
    for (int i = 0; i < all->count; i++)
        if (!rpc_client_connected(all->clients[i]))
            return false;
    return true;
}

int bench_load(const char *addr, const char *certs, int proposers, double seconds, long count)
{
    static struct load load;
    struct rpc_client *clients[CONNECTIONS_MAX];
    struct all all = {clients, proposers < CONNECTIONS_MAX ? proposers : CONNECTIONS_MAX};
    struct tls_config *tls = bench_client_tls(certs);
    loop_init(&load.loop);
    rand_init(&load.rand, (uint64_t)mono_now().ns);
    buf_init(&load.message, 1 << 16);
    load.micros = mem_alloc_array(SAMPLES_MAX, sizeof *load.micros);
    for (int i = 0; i < all.count; i++) {
        clients[i] = client_of(&load.loop, addr, tls);
        rpc_client_connect(clients[i]);
    }
    if (!loop_run_until(&load.loop, connected, &all, 20000)) {
        fprintf(stderr, "nobody answers at %s\n", addr);
        return 1;
    }
    struct proposer *list = mem_alloc_array((size_t)proposers, sizeof *list);
    struct mono start = mono_now();
    load.stop = mono_add(start, (int64_t)(seconds * 1e9));
    load.left = count ? count : -1;
    load.running = proposers;
    for (int i = 0; i < proposers; i++) {
        list[i] = (struct proposer){.load = &load, .client = clients[i % all.count]};
        propose(&list[i]);
    }
    loop_run(&load.loop);
    double took = (double)mono_since(mono_now(), start) / 1e9;
    qsort(load.micros, load.count, sizeof *load.micros, compare);
    printf("writes %zu seconds %.3f p50_us %u p99_us %u p999_us %u\n", load.count, took,
           load.micros[load.count / 2], load.micros[load.count * 99 / 100],
           load.micros[load.count * 999 / 1000]);
    return 0;
}

// ---- probe --------------------------------------------------------------------------------------

// One write at a time at every member: a member that follows refuses at once (ours) or passes it on
// (etcd), so that a group that takes writes is seen to do so, whoever leads.
struct probe {
    struct loop loop;
    struct rand rand;
    struct buf message;
    struct mono last; // a write was acknowledged
    long writes;
    bool watching; // for a gap of at least PROBE_GAP_MS
    uv_poll_t input;
};

struct target {
    struct probe *probe;
    struct rpc_client *client;
    struct loop_timer again;
};

static void on_probed(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                      const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    struct target *target = ctx;
    struct probe *probe = target->probe;
    if (status->err.code == ERR_OK) {
        struct mono now = mono_now();
        int64_t gap_ms = mono_since(now, probe->last) / NS_PER_MS;
        probe->last = now;
        if (++probe->writes == 1) {
            printf("writing\n");
            fflush(stdout);
        } else if (probe->watching && gap_ms >= PROBE_GAP_MS) {
            printf("gap_ms %" PRId64 " writes %ld\n", gap_ms, probe->writes);
            fflush(stdout);
            _Exit(0);
        }
    }
    loop_timer_start(&target->again, PROBE_PAUSE_MS);
}

static void ask(struct loop_timer *timer)
{
    struct target *target = CONTAINER_OF(timer, struct target, again);
    struct probe *probe = target->probe;
    make_put(&probe->rand, &probe->message);
    struct rpc_request_spec spec = {.path = BENCH_PUT,
                                    .kind = RPC_UNARY,
                                    .timeout_ms = PROBE_MS,
                                    .on_done = on_probed,
                                    .ctx = target};
    rpc_client_call_bytes(target->client, &spec, probe->message.data, probe->message.len);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    char byte;
    (void)status;
    (void)events;
    struct probe *probe = CONTAINER_OF(poll, struct probe, input);
    if (read(0, &byte, 1) == 1)
        probe->watching = true;
    else
        loop_stop(&probe->loop);
}

int bench_probe(char *const *addrs, int addrs_count, const char *certs)
{
    static struct probe probe;
    struct tls_config *tls = bench_client_tls(certs);
    loop_init(&probe.loop);
    rand_init(&probe.rand, (uint64_t)mono_now().ns);
    buf_init(&probe.message, 1 << 16);
    struct target *targets = mem_alloc_array((size_t)addrs_count, sizeof *targets);
    for (int i = 0; i < addrs_count; i++) {
        targets[i].probe = &probe;
        targets[i].client = client_of(&probe.loop, addrs[i], tls);
        loop_timer_init(&targets[i].again, &probe.loop, ask);
        ask(&targets[i].again);
    }
    uv_poll_init(&probe.loop.uv, &probe.input, 0);
    uv_poll_start(&probe.input, UV_READABLE, on_input);
    loop_run(&probe.loop);
    fprintf(stderr, "no gap was seen\n");
    return 1;
}
