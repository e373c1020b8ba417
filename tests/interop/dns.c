// Stands in for the node process: starts the real resolver process (itself with --role, as skepd
// does), and does what it reads from standard input, one command a line, each answered with "ok ...
// " or the error:
//
//   network ID NAME [internal]
//   record NETWORK ENDPOINT [name=N] [service=S] [alias=A] [vip=IP] [ip=IP] [draining]
//   unrecord NETWORK ENDPOINT
//   many NETWORK COUNT                  so many records e0, e1, ... with one address each
//   sandbox ID NETWORK,... [search=D] [server=IP:PORT] [inside=IP:PORT] [ndots]
//   sockets ID NETNS [inside]           opens them there and leads port 53 to them
//   unsandbox ID
//   settled                             answers once the resolver process was told everything
//   pid                                 of the resolver process
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/dns/feed_io.h"
#include "agent/lb/nft_io.h"
#include "cmd/skepd/roles_io.h"
#include "cmd/skepd/supervise_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/net/addr.h"

#define WORDS_MAX 32
#define USER_ID   61181

static struct loop loop;
static struct dns_feed *feed;
static struct supervised *resolver;
static uv_pipe_t input;
static char line[4096];
static size_t line_bytes;

static void greet(void *owner, struct channel *channel)
{
    (void)owner;
    struct buf start;
    buf_init(&start, MESSAGE_START_BYTES_MIN);
    message_start_pack(
        &start, &(struct message_start){.uid = USER_ID, .gid = USER_ID, .log_level = LOG_WARN});
    channel_send(channel, MESSAGE_START, start.data, start.len, NULL, 0, NULL);
    buf_fini(&start);
    dns_feed_attach(feed, channel);
}

static void lost(void *owner)
{
    (void)owner;
    dns_feed_detach(feed);
}

static void ready(void *owner, const struct message_ready *message)
{
    (void)owner;
    (void)message;
}

static void stopped(void *owner)
{
    (void)owner;
    loop_stop(&loop);
}

// ---- commands -----------------------------------------------------------------------------------

static const char *value_of(const char *word, const char *key)
{
    size_t size = strlen(key);
    return strncmp(word, key, size) == 0 && word[size] == '=' ? word + size + 1 : NULL;
}

static void get_ip(const char *text, struct names_ip *out)
{
    struct addr addr;
    if (addr_parse(text, 1, &addr, NULL))
        return;
    out->size = addr.kind == ADDR_IP6 ? 16 : 4;
    memcpy(out->bytes, addr.ip, out->size);
}

static int do_record(char **words, size_t count, struct err *err)
{
    const char *aliases[WORDS_MAX], *value;
    struct names_record record = {.endpoint = words[2], .aliases = aliases};
    for (size_t i = 3; i < count; i++) {
        if ((value = value_of(words[i], "name")))
            record.name = value;
        else if ((value = value_of(words[i], "service")))
            record.service = value;
        else if ((value = value_of(words[i], "alias")))
            aliases[record.aliases_count++] = value;
        else if ((value = value_of(words[i], "vip")))
            get_ip(value, &record.vips[record.vips[0].size ? 1 : 0]);
        else if ((value = value_of(words[i], "ip")))
            get_ip(value, &record.ips[record.ips[0].size ? 1 : 0]);
        else if (strcmp(words[i], "draining") == 0)
            record.draining = true;
        else
            return err_set(err, ERR_INVALID_ARGUMENT, "what is %s", words[i]);
    }
    return dns_feed_record_put(feed, words[1], &record, err);
}

static int do_many(char **words, struct err *err)
{
    char id[32];
    int result = 0;
    unsigned many = (unsigned)strtoul(words[2], NULL, 10);
    for (unsigned i = 0; i < many && !result; i++) {
        snprintf(id, sizeof id, "e%u", i);
        struct names_record record = {
            .endpoint = id,
            .name = id,
            .ips = {{4, {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}}},
        };
        result = dns_feed_record_put(feed, words[1], &record, err);
    }
    return result;
}

static void add_server(struct feed_sandbox *sandbox, const char *text, bool inside)
{
    struct addr addr;
    if (addr_parse(text, 53, &addr, NULL) || sandbox->servers_count == RESOLVER_UPSTREAMS_MAX)
        return;
    struct feed_server *server = &sandbox->servers[sandbox->servers_count++];
    server->ip.size = addr.kind == ADDR_IP6 ? 16 : 4;
    memcpy(server->ip.bytes, addr.ip, server->ip.size);
    server->port = addr.port;
    server->inside = inside;
}

static int do_sandbox(char **words, size_t count, struct err *err)
{
    const char *networks[WORDS_MAX], *search[WORDS_MAX], *value;
    struct feed_sandbox sandbox = {.id = words[1], .networks = networks, .search = search};
    for (char *name = strtok(words[2], ","); name; name = strtok(NULL, ","))
        networks[sandbox.networks_count++] = name;
    for (size_t i = 3; i < count; i++) {
        if ((value = value_of(words[i], "search")))
            search[sandbox.search_count++] = value;
        else if ((value = value_of(words[i], "server")))
            add_server(&sandbox, value, false);
        else if ((value = value_of(words[i], "inside")))
            add_server(&sandbox, value, true);
        else if (strcmp(words[i], "ndots") == 0)
            sandbox.ndots_set = true;
        else
            return err_set(err, ERR_INVALID_ARGUMENT, "what is %s", words[i]);
    }
    return dns_feed_sandbox_put(feed, &sandbox, err);
}

static int redirect(int netns, const struct dns_sockets *sockets, struct err *err)
{
    struct buf text;
    struct nft *nft = nft_open(netns, err);
    if (!nft)
        return -(int)err->code;
    buf_init(&text, 4096);
    dns_redirect_text(&text, sockets);
    int result = nft_apply(nft, buf_cstr(&text), err);
    buf_fini(&text);
    nft_close(nft);
    return result;
}

static int do_sockets(char **words, size_t count, struct err *err)
{
    struct dns_sockets sockets;
    int netns = open(words[2], O_RDONLY | O_CLOEXEC);
    if (netns < 0)
        return err_set_errno(err, errno, "open %s", words[2]);
    int result = dns_sockets_open(netns, count > 3, &sockets, err);
    if (!result) {
        result = redirect(netns, &sockets, err);
        if (!result)
            result = dns_feed_sandbox_sockets(feed, words[1], &sockets, err);
        dns_sockets_close(&sockets);
    }
    close(netns);
    return result;
}

static bool settled(void *ctx)
{
    (void)ctx;
    return dns_feed_settled(feed);
}

static int run(char **words, size_t count, struct err *err)
{
    const char *verb = words[0];
    if (strcmp(verb, "network") == 0 && count > 2)
        return dns_feed_network_put(feed, words[1], words[2], count > 3, err);
    if (strcmp(verb, "record") == 0 && count > 2)
        return do_record(words, count, err);
    if (strcmp(verb, "unrecord") == 0 && count > 2)
        return dns_feed_record_remove(feed, words[1], words[2])
                   ? 0
                   : err_set(err, ERR_NOT_FOUND, "no record");
    if (strcmp(verb, "many") == 0 && count > 2)
        return do_many(words, err);
    if (strcmp(verb, "sandbox") == 0 && count > 2)
        return do_sandbox(words, count, err);
    if (strcmp(verb, "sockets") == 0 && count > 2)
        return do_sockets(words, count, err);
    if (strcmp(verb, "unsandbox") == 0 && count > 1)
        return dns_feed_sandbox_remove(feed, words[1]) ? 0
                                                       : err_set(err, ERR_NOT_FOUND, "no sandbox");
    return err_set(err, ERR_INVALID_ARGUMENT, "no command %s", verb);
}

static struct loop_timer wait_timer;

static void look(struct loop_timer *timer)
{
    if (!settled(NULL)) {
        loop_timer_start(timer, 2);
        return;
    }
    puts("ok");
    fflush(stdout);
}

static void do_line(char *text)
{
    char *words[WORDS_MAX], *rest = text, *word;
    size_t count = 0;
    struct err err = ERR_INIT;
    while (count < WORDS_MAX && (word = strtok_r(rest, " ", &rest)))
        words[count++] = word;
    if (count == 0)
        return;
    if (strcmp(words[0], "settled") == 0) {
        look(&wait_timer);
        return;
    }
    if (strcmp(words[0], "pid") == 0)
        printf("ok %d\n", (int)supervised_pid(resolver));
    else if (run(words, count, &err))
        printf("%s\n", err.message);
    else
        puts("ok");
    fflush(stdout);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    (void)handle;
    (void)size;
    *out = uv_buf_init(line + line_bytes, (unsigned)(sizeof line - 1 - line_bytes));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    (void)buf;
    if (got < 0) {
        uv_close((uv_handle_t *)stream, NULL);
        supervised_stop(resolver);
        return;
    }
    line_bytes += (size_t)got;
    char *end;
    while ((end = memchr(line, '\n', line_bytes))) {
        *end = '\0';
        do_line(line);
        size_t used = (size_t)(end - line) + 1;
        memmove(line, line + used, line_bytes - used);
        line_bytes -= used;
    }
    CHECK(line_bytes < sizeof line - 1);
}

int main(int argc, char **argv)
{
    static const struct channel_rule rules[] = {MESSAGE_ROWS_TO_NODE};
    static const struct supervised_spec spec = {
        .role = "resolver",
        .cwd = "/",
        .rules = {rules, COUNT_OF(rules)},
        .greet = greet,
        .ready = ready,
        .lost = lost,
        .stopped = stopped,
    };
    struct err err = ERR_INIT;
    if (argc == 3 && strcmp(argv[1], "--role") == 0)
        return role_run(role_by_name(argv[2]));
    log_setup(2, LOG_INFO, LOG_TEXT, NULL);
    loop_init(&loop);
    if (dns_feed_open(&loop, &feed, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    loop_timer_init(&wait_timer, &loop, look);
    resolver = supervised_start(&loop, &spec, NULL);
    uv_pipe_init(&loop.uv, &input, 0);
    uv_pipe_open(&input, 0);
    uv_read_start((uv_stream_t *)&input, on_alloc, on_read);
    loop_run(&loop);
    loop_timer_stop(&wait_timer);
    dns_feed_close(feed);
    loop_fini(&loop);
    return 0;
}
