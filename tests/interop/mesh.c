// The pieces that mesh.sh puts into network namespaces:
//
//   interop_mesh node              keeps the routing mesh of this node; reads what is, a line each,
//                                  from standard input, and does it at the line "go":
//        host BRIDGE ADDRESS
//        sandbox NETNS INGRESS_IF GATEWAY_IF ADDRESS
//        service PROTOCOL:PUBLISHED:TARGET,... ADDRESS[!][@NODE]...    ! drains
//        task NETNS INGRESS_IF ADDRESS PROTOCOL:PUBLISHED:TARGET,...
//        row NODE HEX
//        partial                    not all of this is said
//                                  says "done N" (how many times it has heard "go"; again when an
//                                  audit ends) or "failed: why", and "row HEX" when its own changes
//   interop_mesh serve PORT NAME   TCP and UDP: tells each caller "NAME address-of-the-caller"
//   interop_mesh ask PROTOCOL ADDRESS PORT [FROM-PORT]       prints the answer
//   interop_mesh hold ADDRESS PORT  one TCP connection; sends a line for each it reads, echoes
//   interop_mesh pull ADDRESS PORT BYTES     a TCP server on the other side sends so many
//   interop_mesh push PORT          that server
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/net/mesh_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define LINES_MAX    64
#define PORTS_MAX    8
#define BACKENDS_MAX 16
#define IO_TIMEOUT_S 30

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static uint32_t address_of(const char *text)
{
    struct in_addr address;
    if (inet_pton(AF_INET, text, &address) != 1)
        die(text);
    return ntohl(address.s_addr);
}

// ---- a node -------------------------------------------------------------------------------------

struct facts {
    struct mesh_state state;
    char lines[LINES_MAX][512];
    size_t lines_count;
    struct mesh_state_service services[LINES_MAX];
    struct mesh_task_place tasks[LINES_MAX];
    struct mesh_row rows[LINES_MAX];
    struct mesh_port ports[LINES_MAX][PORTS_MAX];
    struct mesh_state_backend backends[LINES_MAX][BACKENDS_MAX];
    uint8_t values[LINES_MAX][64];
};

static struct loop loop;
static struct mesh *mesh;
static struct facts facts;
static uv_poll_t input;

static size_t read_ports(char *text, struct mesh_port *ports)
{
    size_t count = 0;
    char *rest = NULL;
    for (char *it = strtok_r(text, ",", &rest); it; it = strtok_r(NULL, ",", &rest)) {
        unsigned protocol, published, target;
        if (sscanf(it, "%u:%u:%u", &protocol, &published, &target) != 3 || count == PORTS_MAX)
            die("ports");
        ports[count++] =
            (struct mesh_port){(uint8_t)protocol, (uint16_t)published, (uint16_t)target};
    }
    return count;
}

static void read_service(char *rest, size_t line)
{
    char *more = NULL;
    struct mesh_state_service *service = &facts.services[facts.state.services_count++];
    char *ports = strtok_r(rest, " ", &more);
    service->backends = facts.backends[line];
    service->backends_count = 0;
    for (char *it = strtok_r(NULL, " ", &more); it; it = strtok_r(NULL, " ", &more)) {
        struct mesh_state_backend *backend = &facts.backends[line][service->backends_count++];
        char *at = strchr(it, '@');
        if (at)
            *at++ = '\0';
        char *drains = strchr(it, '!');
        if (drains)
            *drains = '\0';
        *backend = (struct mesh_state_backend){address_of(it), drains != NULL, at};
    }
    service->ports = facts.ports[line];
    service->ports_count = read_ports(ports, facts.ports[line]);
}

static void read_task(char *rest, size_t line)
{
    char *more = NULL;
    struct mesh_task_place *task = &facts.tasks[facts.state.tasks_count++];
    task->id = task->netns = strtok_r(rest, " ", &more);
    task->task.ingress_if = strtok_r(NULL, " ", &more);
    task->task.address = address_of(strtok_r(NULL, " ", &more));
    task->task.ports = facts.ports[line];
    task->task.ports_count = read_ports(strtok_r(NULL, " ", &more), facts.ports[line]);
}

static void read_row(char *rest, size_t line)
{
    char *more = NULL;
    struct mesh_row *row = &facts.rows[facts.state.rows_count++];
    row->node = strtok_r(rest, " ", &more);
    const char *hex = strtok_r(NULL, " ", &more);
    row->value = facts.values[line];
    row->value_size = strlen(hex) / 2;
    for (size_t i = 0; i < row->value_size; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            die("row");
        facts.values[line][i] = (uint8_t)byte;
    }
}

static unsigned heard; // "go", so many times

static void go(void)
{
    struct err err = ERR_INIT;
    heard++;
    if (mesh_set(mesh, &facts.state, &err) < 0)
        printf("failed: %s\n", err.message);
    facts.lines_count = 0;
    memset(&facts.state, 0, sizeof facts.state);
}

static void read_line(const char *text)
{
    size_t line = facts.lines_count;
    struct mesh_state *state = &facts.state;
    if (str_equal(text, "go")) {
        go();
        return;
    }
    if (line == LINES_MAX || !str_copy(facts.lines[line], sizeof facts.lines[line], text))
        die("too many lines");
    facts.lines_count++;
    char *more = NULL, *verb = strtok_r(facts.lines[line], " ", &more);
    state->services = facts.services;
    state->tasks = facts.tasks;
    state->rows = facts.rows;
    if (str_equal(verb, "partial")) {
        state->partial = true;
    } else if (str_equal(verb, "host")) {
        state->host.gateway_if = strtok_r(NULL, " ", &more);
        state->host.sandbox_address = address_of(strtok_r(NULL, " ", &more));
    } else if (str_equal(verb, "sandbox")) {
        state->sandbox_netns = strtok_r(NULL, " ", &more);
        state->sandbox.ingress_if = strtok_r(NULL, " ", &more);
        state->sandbox.gateway_if = strtok_r(NULL, " ", &more);
        state->sandbox.address = address_of(strtok_r(NULL, " ", &more));
        state->sandbox.ingress_subnet = state->sandbox.address;
        state->sandbox.ingress_prefix = 24;
        state->sandbox.gateway_subnet = address_of("172.18.0.0");
        state->sandbox.gateway_prefix = 16;
    } else if (str_equal(verb, "service")) {
        read_service(more, line);
    } else if (str_equal(verb, "task")) {
        read_task(more, line);
    } else if (str_equal(verb, "row")) {
        read_row(more, line);
    } else {
        die(text);
    }
}

static void on_closed(void *owner)
{
    (void)owner;
    loop_stop(&loop);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    static char text[8192];
    static size_t used;
    (void)status;
    (void)events;
    ssize_t got = read(0, text + used, sizeof text - 1 - used);
    if (got <= 0) {
        uv_poll_stop(poll);
        uv_close((uv_handle_t *)poll, NULL);

        mesh_close(mesh, on_closed, NULL);
        return;
    }
    used += (size_t)got;
    text[used] = '\0';
    char *at = text, *end;
    while ((end = strchr(at, '\n'))) {
        *end = '\0';
        read_line(at);
        at = end + 1;
    }
    used -= (size_t)(at - text);
    memmove(text, at, used);
}

static void on_publish(void *owner, const uint8_t *record, size_t size)
{
    (void)owner;
    printf("row ");
    for (size_t i = 0; i < size; i++)
        printf("%02x", record[i]);
    printf("\n");
}

static void on_settled(void *owner, const struct err *err)
{
    (void)owner;
    if (err)
        printf("failed: %s\n", err->message);
    else
        printf("done %u\n", heard);
}

static int node(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    loop_init(&loop);
    struct mesh_config config = {
        .loop = &loop, .life = (uint32_t)getpid(), .publish = on_publish, .settled = on_settled};
    mesh = mesh_open(&config);
    uv_poll_init(&loop.uv, &input, 0);
    uv_poll_start(&input, UV_READABLE, on_input);
    loop_run(&loop);
    loop_fini(&loop);
    return 0;
}

// ---- traffic ------------------------------------------------------------------------------------

static int listening(int type, uint16_t port)
{
    int yes = 1, fd = socket(AF_INET, type, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0)
        die("bind");
    if (type == SOCK_STREAM && listen(fd, 64) < 0)
        die("listen");
    return fd;
}

static int say_who(const struct sockaddr_in *peer, const char *name, char out[80])
{
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &peer->sin_addr, text, sizeof text);
    return snprintf(out, 80, "%s %s\n", name, text);
}

// Each TCP connection is told who it is, and whatever it says comes back. Many at a time.
static int serve(uint16_t port, const char *name)
{
    // Who is heard by TCP is there by UDP, too.
    int datagrams = listening(SOCK_DGRAM, port);
    struct pollfd fds[64] = {{.fd = listening(SOCK_STREAM, port), .events = POLLIN},
                             {.fd = datagrams, .events = POLLIN}};
    nfds_t count = 2;
    char text[80], bytes[2048];
    struct sockaddr_in peer;
    while (poll(fds, count, -1) > 0) {
        socklen_t size = sizeof peer;
        for (nfds_t i = count - 1; i > 1; i--) {
            ssize_t got = fds[i].revents ? recv(fds[i].fd, bytes, sizeof bytes, 0) : 1;
            if (fds[i].revents && got > 0)
                got = send(fds[i].fd, bytes, (size_t)got, MSG_NOSIGNAL);
            if (got <= 0) {
                close(fds[i].fd);
                fds[i] = fds[--count];
            }
        }
        if (fds[1].revents &&
            recvfrom(fds[1].fd, bytes, sizeof bytes, 0, (struct sockaddr *)&peer, &size) >= 0) {
            int length = say_who(&peer, name, text);
            sendto(fds[1].fd, text, (size_t)length, 0, (struct sockaddr *)&peer, size);
        }
        size = sizeof peer;
        int fd = fds[0].revents && count < COUNT_OF(fds)
                     ? accept(fds[0].fd, (struct sockaddr *)&peer, &size)
                     : -1;
        if (fd < 0)
            continue;
        int length = say_who(&peer, name, text);
        if (send(fd, text, (size_t)length, MSG_NOSIGNAL) != length)
            perror("send");
        fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    return 1;
}

static int dial(int type, const char *address, uint16_t port, uint16_t from)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(address_of(address))};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(from)};
    struct timeval limit = {.tv_sec = IO_TIMEOUT_S};
    struct linger reset = {.l_onoff = 1};
    int yes = 1, fd = socket(AF_INET, type, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (from && bind(fd, (struct sockaddr *)&own, sizeof own) < 0)
        die("bind");
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("connect");
    return fd;
}

static int ask(const char *protocol, const char *address, uint16_t port, uint16_t from)
{
    bool udp = str_equal(protocol, "udp");
    int fd = dial(udp ? SOCK_DGRAM : SOCK_STREAM, address, port, from);
    char text[80];
    // A datagram may be lost while neighbours are sought.
    ssize_t got = -1;
    for (int try = 0; try < 3 && got < 0; try++) {
        if (udp && send(fd, "?", 1, 0) < 0)
            die("send");
        got = recv(fd, text, sizeof text, 0);
        if (got < 0 && errno != EAGAIN)
            die("recv");
    }
    if (got <= 0)
        die("no answer");
    printf("%.*s", (int)got, text);
    return 0;
}

static int hold(const char *address, uint16_t port)
{
    char line[128], back[128];
    int fd = dial(SOCK_STREAM, address, port, 0);
    ssize_t got = recv(fd, back, sizeof back, 0);
    if (got <= 0)
        die("greeting");
    printf("%.*s", (int)got, back);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        ssize_t size = (ssize_t)strlen(line);
        if (send(fd, line, (size_t)size, MSG_NOSIGNAL) != size ||
            recv(fd, back, (size_t)size, MSG_WAITALL) != size) {
            printf("broken: %s\n", strerror(errno));
            return 1;
        }
        printf("%.*s", (int)size, back);
        fflush(stdout);
    }
    return 0;
}

static _Noreturn void push(uint16_t port)
{
    static char bytes[65536];
    int fd = listening(SOCK_STREAM, port);
    for (;;) {
        int to = accept(fd, NULL, NULL);
        while (to >= 0 && send(to, bytes, sizeof bytes, MSG_NOSIGNAL) > 0)
            ;
        close(to);
    }
}

static int pull(const char *address, uint16_t port, size_t wanted)
{
    static char bytes[65536];
    int fd = dial(SOCK_STREAM, address, port, 0);
    size_t had = 0;
    while (had < wanted) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got <= 0)
            die("recv");
        had += (size_t)got;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    if (str_equal(verb, "node"))
        return node();
    if (str_equal(verb, "serve") && argc == 4)
        return serve((uint16_t)atoi(argv[2]), argv[3]);
    if (str_equal(verb, "ask") && argc >= 5)
        return ask(argv[2], argv[3], (uint16_t)atoi(argv[4]),
                   argc > 5 ? (uint16_t)atoi(argv[5]) : 0);
    if (str_equal(verb, "hold") && argc == 4)
        return hold(argv[2], (uint16_t)atoi(argv[3]));
    if (str_equal(verb, "push") && argc == 3)
        push((uint16_t)atoi(argv[2]));
    if (str_equal(verb, "pull") && argc == 5)
        return pull(argv[2], (uint16_t)atoi(argv[3]), (size_t)atol(argv[4]));
    fprintf(stderr, "usage: interop_mesh node|serve|ask|hold|push|pull ...\n");
    return 2;
}
