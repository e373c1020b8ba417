#include "agent/lb/nft_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lb/closer_io.h"
#include "agent/lb/elements_io.h"
#include "agent/lb/nftlib_io.h"
#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

// How much of nft's complaint goes into an error: its first line says what, the rest quotes.
#define NFT_COMPLAINT_BYTES 400

struct nft {
    int netns_fd;
    struct nft_ctx *ctx; // of the last transaction, until nft_rest: it holds half a megabyte
    int elements_fd;     // a socket for elements, until nft_rest; -1: none
};

// Enters the namespace; *home_fd leads back.
static int netns_enter(int netns_fd, int *home_fd, struct err *err)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open own network namespace");
    if (setns(netns_fd, CLONE_NEWNET) < 0) {
        int errnum = errno;
        close(fd);
        return err_set_errno(err, errnum, "enter network namespace");
    }
    *home_fd = fd;
    return 0;
}

static void netns_leave(int home_fd)
{
    int rc = setns(home_fd, CLONE_NEWNET);
    CHECK(rc == 0);
    close(home_fd);
}

static int complain(struct nft_ctx *ctx, struct err *err)
{
    const char *text = nftlib()->nft_ctx_get_error_buffer(ctx);
    size_t length = text ? strcspn(text, "\n") : 0;
    if (length > NFT_COMPLAINT_BYTES)
        length = NFT_COMPLAINT_BYTES;
    if (length == 0)
        return err_set(err, ERR_ABORTED, "nftables refuses without a reason");
    return err_set(err, ERR_ABORTED, "nftables: %.*s", (int)length, text);
}

// A context whose socket belongs to the namespace the thread is in.
static struct nft_ctx *context_open(struct err *err)
{
    if (nftlib_load(err))
        return NULL;
    struct nft_ctx *ctx = nftlib()->nft_ctx_new(NFT_CTX_DEFAULT);
    if (!ctx || nftlib()->nft_ctx_buffer_error(ctx) != 0 ||
        nftlib()->nft_ctx_buffer_output(ctx) != 0) {
        err_set(err, ERR_RESOURCE_EXHAUSTED, "cannot set up nftables");
        if (ctx)
            nftlib()->nft_ctx_free(ctx);
        return NULL;
    }
    return ctx;
}

// A context in the namespace.
static struct nft_ctx *context_open_in(int netns_fd, struct err *err)
{
    int home_fd = -1;
    if (netns_enter(netns_fd, &home_fd, err) < 0)
        return NULL;
    struct nft_ctx *ctx = context_open(err);
    netns_leave(home_fd);
    return ctx;
}

// ---- a call ------------------------------------------------------------------------------------

// libnftables waits for its socket by select, whose sets end at descriptor 1024: beyond it, it
// would write past them. A node of many containers may have more open than that. Then each call is
// a thread of its own, which enters the namespace, lets go of all its descriptors (of copies: its
// table is its own) and is gone afterwards, with all that it entered.
#define DESCRIPTORS_SPARE 256 // that others may open between our look and the library's socket

// Whether the next descriptor is one that select knows.
static bool descriptors_are_low(void)
{
    int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0)
        close(fd);
    return fd >= 0 && fd < FD_SETSIZE - DESCRIPTORS_SPARE;
}

struct call {
    int netns_fd;
    unsigned flags;
    int (*run)(struct nft_ctx *ctx, void *args, struct err *err);
    void *args;
    struct err err;
};

static int call_prepare(const struct call *call, struct err *err)
{
    if (setns(call->netns_fd, CLONE_NEWNET) < 0)
        return err_set_errno(err, errno, "enter network namespace");
    if (close_range(3, ~0U, CLOSE_RANGE_UNSHARE) == 0)
        return 0;
    // Kernels before 5.9.
    if (unshare(CLONE_FILES) < 0)
        return err_set_errno(err, errno, "set up nftables");
    for (int fd = 3; fd < FD_SETSIZE; fd++)
        close(fd);
    return 0;
}

static void call_run(struct call *call, struct nft_ctx *ctx)
{
    if (!ctx)
        return;
    nftlib()->nft_ctx_output_set_flags(ctx, call->flags);
    call->run(ctx, call->args, &call->err);
}

static void *call_thread(void *arg)
{
    struct call *call = arg;
    if (call_prepare(call, &call->err))
        return NULL;
    struct nft_ctx *ctx = context_open(&call->err);
    call_run(call, ctx);
    if (ctx)
        nftlib()->nft_ctx_free(ctx); // the descriptor is this thread's alone
    return NULL;
}

static int call_make(const struct nft *nft, unsigned flags,
                     int (*run)(struct nft_ctx *ctx, void *args, struct err *err), void *args,
                     struct err *err)
{
    struct call call = {.netns_fd = nft->netns_fd, .flags = flags, .run = run, .args = args};
    pthread_t thread;
    err_clear(&call.err);
    if (descriptors_are_low()) {
        struct nft_ctx *ctx = context_open_in(nft->netns_fd, &call.err);
        call_run(&call, ctx);
        closer_take(ctx, -1);
    } else {
        int errnum = pthread_create(&thread, NULL, call_thread, &call);
        if (errnum)
            return err_set_errno(err, errnum, "start a thread for nftables");
        pthread_join(thread, NULL);
    }
    return call.err.code ? err_copy(err, &call.err) : 0;
}

static int do_nothing(struct nft_ctx *ctx, void *args, struct err *err)
{
    (void)ctx;
    (void)args;
    (void)err;
    return 0;
}

// ---- what is asked -----------------------------------------------------------------------------

// Shows that the namespace can be entered. The first transaction finds the context there.
static bool open_context(struct nft *nft, struct err *err)
{
    if (!descriptors_are_low())
        return call_make(nft, 0, do_nothing, NULL, err) == 0;
    nft->ctx = context_open_in(nft->netns_fd, err);
    return nft->ctx != NULL;
}

struct nft *nft_open(int netns_fd, struct err *err)
{
    int fd = netns_fd == NFT_NETNS_OWN ? open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
                                       : fcntl(netns_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        err_set_errno(err, errno, "open network namespace");
        return NULL;
    }
    struct nft *nft = MEM_NEW(struct nft);
    nft->netns_fd = fd;
    nft->elements_fd = -1;
    if (open_context(nft, err))
        return nft;
    nft_close(nft);
    return NULL;
}

void nft_close(struct nft *nft)
{
    if (!nft)
        return;
    nft_rest(nft);
    close(nft->netns_fd);
    free(nft);
}

void nft_rest(struct nft *nft)
{
    if (!nft)
        return;
    closer_take(nft->ctx, nft->elements_fd);
    nft->ctx = NULL;
    nft->elements_fd = -1;
}

static int apply_here(struct nft_ctx *ctx, void *args, struct err *err)
{
    return nftlib()->nft_run_cmd_from_buffer(ctx, args) == 0 ? 0 : complain(ctx, err);
}

int nft_apply(struct nft *nft, const char *commands, struct err *err)
{
    CHECK(nft);
    CHECK(commands);
    struct err why = ERR_INIT;
    if (!nft->ctx && !descriptors_are_low())
        return call_make(nft, 0, apply_here, (void *)(uintptr_t)commands, err);
    if (!nft->ctx)
        nft->ctx = context_open_in(nft->netns_fd, &why);
    if (!nft->ctx)
        return err_copy(err, &why);
    return apply_here(nft->ctx, (void *)(uintptr_t)commands, err);
}

// A socket for elements in the namespace, its answers there when a send returns.
static int elements_open(struct nft *nft, struct err *err)
{
    int home_fd = -1, errnum = 0;
    if (nft->elements_fd >= 0)
        return 0;
    int rc = netns_enter(nft->netns_fd, &home_fd, err);
    if (rc)
        return rc;
    nft->elements_fd =
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    errnum = errno;
    netns_leave(home_fd);
    return nft->elements_fd >= 0 ? 0 : err_set_errno(err, errnum, "open netlink");
}

// The kernel takes a transaction in one piece, however large, and answers before a send returns.
static int elements_send(int fd, const struct buf *batch, struct err *err)
{
    int size = (int)batch->len;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0 ||
        sendto(fd, batch->data, batch->len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
        return err_set_errno(err, errno, "nftables: send the balancer's changes");
    bool acked = false;
    int failure = 0;
    for (;;) {
        uint8_t answer[8192];
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            break;
        int rc = got < 0 ? -errno : elements_answer(answer, (size_t)got, &acked);
        failure = failure ? failure : rc;
    }
    if (!failure && !acked)
        failure = -EPROTO;
    return failure ? err_set(err, ERR_ABORTED, "nftables: %s", strerror(-failure)) : 0;
}

int nft_bring(struct nft *nft, struct ruleset *actual, struct ruleset *wanted, bool *changed,
              struct err *err)
{
    struct buf text, batch;
    bool afresh = actual->present && !actual->sound;
    buf_init(&text, RULESET_TEXT_BYTES_MAX);
    buf_init(&batch, ELEMENTS_BYTES_MAX);
    // What is replaced is replaced in one transaction, elements and all.
    bool framed =
        afresh ? ruleset_diff(actual, wanted, &text) : ruleset_frame(actual, wanted, &text);
    int rc = framed ? nft_apply(nft, buf_cstr(&text), err) : 0;
    bool some = !rc && !afresh && elements_pack(actual, wanted, &batch);
    if (some)
        rc = elements_open(nft, err);
    if (some && !rc)
        rc = elements_send(nft->elements_fd, &batch, err);
    *changed = framed || some;
    if (!rc)
        ruleset_applied(actual, wanted);
    buf_fini(&text);
    buf_fini(&batch);
    return rc;
}

static int read_here(struct nft_ctx *ctx, void *args, struct err *err)
{
    struct ruleset *out = args;
    if (nftlib()->nft_run_cmd_from_buffer(ctx, "list tables ip") != 0)
        return complain(ctx, err);
    const char *tables = nftlib()->nft_ctx_get_output_buffer(ctx);
    if (!tables || !ruleset_is_listed(tables, strlen(tables)))
        return 0;
    if (nftlib()->nft_run_cmd_from_buffer(ctx, "list table ip skep_lb") != 0)
        return complain(ctx, err);
    const char *listing = nftlib()->nft_ctx_get_output_buffer(ctx);
    return ruleset_parse(out, listing, listing ? strlen(listing) : 0, err);
}

int nft_read(struct nft *nft, struct ruleset *out, struct err *err)
{
    CHECK(nft);
    CHECK(!out->present);
    return call_make(nft, NFT_CTX_OUTPUT_JSON, read_here, out, err);
}

// Whether a listing of tables names this one.
static bool lists_table(const char *listing, const char *table)
{
    json_t *root = listing ? json_parse(listing, strlen(listing), NULL) : NULL;
    const json_t *objects = json_object_get(root, "nftables");
    bool found = false;
    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *object = json_object_get(json_array_get(objects, i), "table");
        found |= str_equal(json_string_value(json_object_get(object, "name")), table);
    }
    json_decref(root);
    return found;
}

struct listing {
    const char *family;
    const char *table;
    struct buf *out;
};

static int list_here(struct nft_ctx *ctx, void *args, struct err *err)
{
    const struct listing *wanted = args;
    const char *family = wanted->family, *table = wanted->table;
    struct buf *out = wanted->out;
    char command[160];
    if (!str_format(command, sizeof command, "list tables %s", family))
        return err_set(err, ERR_INVALID_ARGUMENT, "nftables: no such family");
    if (nftlib()->nft_run_cmd_from_buffer(ctx, command) != 0)
        return complain(ctx, err);
    if (!lists_table(nftlib()->nft_ctx_get_output_buffer(ctx), table))
        return 0;
    if (!str_format(command, sizeof command, "list table %s %s", family, table))
        return err_set(err, ERR_INVALID_ARGUMENT, "nftables: the table's name is too long");
    if (nftlib()->nft_run_cmd_from_buffer(ctx, command) != 0)
        return complain(ctx, err);
    const char *listing = nftlib()->nft_ctx_get_output_buffer(ctx);
    buf_put_str(out, str_or(listing, ""));
    if (!buf_ok(out))
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "nftables: table %s is too large", table);
    return 0;
}

int nft_list(struct nft *nft, const char *family, const char *table, struct buf *out,
             struct err *err)
{
    CHECK(nft);
    struct listing wanted = {family, table, out};
    return call_make(nft, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_ALL, list_here, &wanted,
                     err);
}

static int chains_here(struct nft_ctx *ctx, void *args, struct err *err)
{
    struct buf *out = args;
    if (nftlib()->nft_run_cmd_from_buffer(ctx, "list chains") != 0)
        return complain(ctx, err);
    buf_put_str(out, str_or(nftlib()->nft_ctx_get_output_buffer(ctx), ""));
    return buf_ok(out) ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "nftables: too many chains");
}

int nft_chains(struct nft *nft, struct buf *out, struct err *err)
{
    CHECK(nft);
    return call_make(nft, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_ALL, chains_here, out, err);
}
