#include "cmd/skep/reach_io.h"

#include "cmd/skep/client_io.h"
#include "proto/net/conn_io.h"

void reach_prepare(struct reach *reach, const char *address)
{
    *reach = (struct reach){0};
    reach->fits = addr_parse(address, 0, &reach->addr, &reach->why) == 0;
    reach->done = !reach->fits;
}

static void on_open(struct conn *conn, void *owner)
{
    struct reach *reach = owner;
    reach->reached = true;
    conn_close(conn, NULL);
}

static void on_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    (void)conn;
    (void)owner;
    (void)bytes;
    (void)size;
}

static void on_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    struct reach *reach = owner;
    if (!reach->reached)
        reach->why = *why;
    reach->done = true;
}

struct all {
    struct reach *tries;
    size_t count;
};

static bool all_done(void *context)
{
    const struct all *all = context;
    for (size_t i = 0; i < all->count; i++)
        if (!all->tries[i].done)
            return false;
    return true;
}

void reach_all(struct cli *cli, struct reach *tries, size_t count, int64_t timeout_ms)
{
    static const struct conn_handler handler = {
        .on_open = on_open, .on_data = on_data, .on_close = on_close};
    struct conn_options options = {.open_ms = timeout_ms};
    struct all all = {tries, count};
    for (size_t i = 0; i < count; i++)
        if (tries[i].fits)
            tries[i].conn =
                conn_connect(cli_loop(cli), &tries[i].addr, &options, &handler, &tries[i]);
    client_wait(cli, all_done, &all);
}
