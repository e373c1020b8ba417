#include "proto/net/acceptor_io.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define ACCEPTOR_MAGIC 0x61636370u
#define ACCEPTS        16 // connections taken per wake-up
// How long after descriptors ran out it is looked again.
#define REST_MS 100

struct acceptor {
    unsigned magic;
    uv_poll_t poll;
    int fd;
    struct loop_timer rest;
    void (*take)(void *owner, int fd);
    void *owner;
};

static void on_listening(uv_poll_t *poll, int status, int events)
{
    struct acceptor *acceptor = CONTAINER_OF(poll, struct acceptor, poll);
    MAGIC_CHECK(acceptor, ACCEPTOR_MAGIC);
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(acceptor->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
            uv_poll_stop(&acceptor->poll);
            loop_timer_start(&acceptor->rest, REST_MS);
        }
        if (fd < 0)
            return;
        acceptor->take(acceptor->owner, fd);
    }
}

static void listen_again(struct acceptor *acceptor)
{
    int rc = uv_poll_start(&acceptor->poll, UV_READABLE, on_listening);
    CHECK(rc == 0);
}

static void on_rest(struct loop_timer *timer)
{
    listen_again(CONTAINER_OF(timer, struct acceptor, rest));
}

struct acceptor *acceptor_open(struct loop *loop, int fd, void (*take)(void *owner, int fd),
                               void *owner, struct err *err)
{
    int listening = 0;
    socklen_t size = sizeof listening;
    struct acceptor *acceptor = MEM_NEW(struct acceptor);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) || !listening ||
        uv_poll_init(&loop->uv, &acceptor->poll, fd) < 0) {
        err_set(err, ERR_INVALID_ARGUMENT, "descriptor %d does not listen", fd);
        close(fd);
        free(acceptor);
        return NULL;
    }
    MAGIC_SET(acceptor, ACCEPTOR_MAGIC);
    acceptor->fd = fd;
    acceptor->take = take;
    acceptor->owner = owner;
    loop_timer_init(&acceptor->rest, loop, on_rest);
    listen_again(acceptor);
    return acceptor;
}

static void on_closed(uv_handle_t *handle)
{
    struct acceptor *acceptor = CONTAINER_OF((uv_poll_t *)handle, struct acceptor, poll);
    MAGIC_CHECK(acceptor, ACCEPTOR_MAGIC);
    MAGIC_CLEAR(acceptor);
    free(acceptor);
}

void acceptor_close(struct acceptor *acceptor)
{
    if (!acceptor)
        return;
    MAGIC_CHECK(acceptor, ACCEPTOR_MAGIC);
    loop_timer_stop(&acceptor->rest);
    uv_close((uv_handle_t *)&acceptor->poll, on_closed);
    close(acceptor->fd);
}
