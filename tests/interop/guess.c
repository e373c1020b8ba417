// Tries join tokens at a manager, without a certificate, from many addresses at once: for join.sh.
//
//   interop_guess TOKEN COUNT ADDR...
//
// Each ADDR is one of the manager's, with connections of its own: how the host's routes choose the
// source for it is the caller's. Each connection ends after CONNECTION_CALLS attempts, so that
// handshakes go on all the while. Prints "guessing" once every address had its first answers, and
// goes on until COUNT attempts were answered and its input ended; then prints "N wrong, N held off,
// N broken", the last being calls whose connection ended under them, which count for nothing. Any
// other answer ends it at once with status 1.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/loop_io.h"
#include "proto/base/str.h"
#include "proto/identity/csr.h"
#include "proto/identity/rng_io.h"
#include "proto/net/addr.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/ca.pb-c.h"
#include "proto/wire/names.h"

#define CONNECTION_CALLS 100
#define CALLS_AT_ONCE    8
#define CALL_MS          60000
#define RUN_MS           120000

static struct loop loop;
static struct tls_config *tls;
static Swarm__IssueNodeCertificateRequest attempt;

struct guesser {
    struct addr addr;
    struct rpc_client *client;
    unsigned calls;  // begun on this connection
    unsigned flight; // of these, without an answer
    size_t answered;
};

static struct guesser *guessers;
static size_t guessers_count;
static size_t count, wrong, held_off, broken, closing;
static bool told, over;

static _Noreturn void die(const struct err *err)
{
    fprintf(stderr, "%s: %s\n", err_code_name(err->code), err->message);
    exit(1);
}

static void open_client(struct guesser *guesser)
{
    guesser->calls = 0;
    guesser->client = rpc_client_new(&(struct rpc_client_config){.loop = &loop,
                                                                 .addr = guesser->addr,
                                                                 .tls = tls,
                                                                 .server_name = SERVER_NAME_CA,
                                                                 .backoff_ms_max = 100});
}

static void on_closed(void *ctx)
{
    (void)ctx;
    closing--;
}

static void close_client(struct guesser *guesser)
{
    closing++;
    rpc_client_close(guesser->client, on_closed, NULL);
}

static bool input_ended(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    return poll(&input, 1, 0) == 1 && read(STDIN_FILENO, &byte, 1) <= 0;
}

// Said once, when all of them are at it.
static void tell(void)
{
    for (size_t i = 0; !told && i < guessers_count; i++)
        if (guessers[i].answered < CALLS_AT_ONCE)
            return;
    if (!told)
        printf("guessing\n");
    told = true;
}

static void on_answer(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                      const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    struct guesser *guesser = ctx;
    guesser->flight--;
    if (over)
        return;
    if (status->err.code == ERR_UNAVAILABLE) {
        broken++;
        return;
    }
    if (status->err.code == ERR_INVALID_ARGUMENT)
        wrong++;
    else if (status->err.code == ERR_RESOURCE_EXHAUSTED)
        held_off++;
    else
        die(&status->err);
    guesser->answered++;
    tell();
}

static void guess_on(struct guesser *guesser)
{
    struct rpc_request_spec spec = {.path = "/docker.swarmkit.v1.NodeCA/IssueNodeCertificate",
                                    .kind = RPC_UNARY,
                                    .response = &swarm__issue_node_certificate_response__descriptor,
                                    .timeout_ms = CALL_MS,
                                    .wait_for_ready = true,
                                    .on_done = on_answer,
                                    .ctx = guesser};
    if (guesser->calls == CONNECTION_CALLS && guesser->flight == 0) {
        close_client(guesser);
        open_client(guesser);
    }
    for (; guesser->calls < CONNECTION_CALLS && guesser->flight < CALLS_AT_ONCE; guesser->calls++) {
        guesser->flight++;
        rpc_client_call(guesser->client, &spec, &attempt.base);
    }
}

static bool is_over(void *ctx)
{
    (void)ctx;
    if (wrong + held_off >= count && input_ended())
        return true;
    for (size_t i = 0; i < guessers_count; i++)
        guess_on(&guessers[i]);
    return false;
}

static bool are_closed(void *ctx)
{
    (void)ctx;
    return closing == 0;
}

static void make_attempt(const char *token)
{
    static struct buf csr;
    struct key key;
    key_make(&key, &rng_kernel);
    buf_init(&csr, CSR_BYTES_MAX);
    csr_make(&key, &rng_kernel, &csr);
    key_fini(&key);
    swarm__issue_node_certificate_request__init(&attempt);
    attempt.csr.data = csr.data;
    attempt.csr.len = csr.len;
    attempt.token = (char *)token;
}

int main(int argc, char **argv)
{
    uint64_t wanted;
    if (argc < 4 || !str_to_u64(argv[2], 1000000, &wanted)) {
        fprintf(stderr, "see the top of %s\n", __FILE__);
        return 2;
    }
    struct err err = ERR_INIT;
    setvbuf(stdout, NULL, _IOLBF, 0);
    loop_init(&loop);
    make_attempt(argv[1]);
    tls = tls_config_new(
        &(struct tls_options){.verify = TLS_VERIFY_NONE, .alpn = TLS_ALPN_H2, .rng = &rng_kernel},
        &err);
    if (!tls)
        die(&err);
    count = wanted;
    guessers_count = (size_t)argc - 3;
    guessers = mem_alloc_array(guessers_count, sizeof *guessers);
    for (size_t i = 0; i < guessers_count; i++) {
        guessers[i] = (struct guesser){0};
        if (addr_parse(argv[3 + i], 0, &guessers[i].addr, &err))
            die(&err);
        open_client(&guessers[i]);
    }
    over = loop_run_until(&loop, is_over, NULL, RUN_MS);
    bool enough = over;
    over = true; // what ends from here on, this program ended
    for (size_t i = 0; i < guessers_count; i++)
        close_client(&guessers[i]);
    loop_run_until(&loop, are_closed, NULL, CALL_MS);
    printf("%zu wrong, %zu held off, %zu broken\n", wrong, held_off, broken);
    return enough ? 0 : 1;
}
