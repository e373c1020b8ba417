// An Engine API server of a node that is in no swarm, for http.sh: `interop_http SOCKET`. It ends
// when its standard input does.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/engine_io.h"
#include "proto/base/str.h"

static void swarm(void *ctx, struct backend_swarm *out)
{
    (void)ctx;
    out->standing = STANDING_INACTIVE;
}

static void version(void *ctx, struct backend_version *out)
{
    (void)ctx;
    *out = (struct backend_version){.version = "0.1.0", .arch = "amd64", .kernel = "6.1"};
}

static void info(void *ctx, struct json_out *out)
{
    (void)ctx;
    json_out_str(out, "Name", "lab");
    json_out_str(out, "ServerVersion", "0.1.0");
    json_out_int(out, "NCPU", 2);
}

static void networks(void *ctx, struct json_out *out)
{
    (void)ctx;
    // Long enough to be sent in many pieces.
    for (int i = 0; i < 2000; i++) {
        json_out_object(out, NULL);
        char *name = str_printf("net%04d", i);
        json_out_str(out, "Name", name);
        json_out_str(out, "Id", name);
        json_out_str(out, "Driver", "bridge");
        json_out_str(out, "Scope", "local");
        json_out_end(out);
        free(name);
    }
}

static const struct backend backend = {
    .swarm = swarm, .version = version, .info = info, .networks = networks};

static void on_accept(struct listener *listener, struct conn *conn, void *engine)
{
    (void)listener;
    engine_take(engine, conn);
}

static struct loop loop;

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    static char bytes[64];
    (void)handle;
    (void)size;
    *out = uv_buf_init(bytes, sizeof bytes);
}

static void on_input(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    (void)stream;
    (void)buf;
    if (count < 0)
        loop_stop(&loop);
}

int main(int argc, char **argv)
{
    struct addr addr;
    struct err err = ERR_INIT;
    if (argc != 2 || addr_parse(argv[1], 0, &addr, &err) != 0) {
        fprintf(stderr, "usage: interop_http SOCKET\n");
        return 2;
    }
    loop_init(&loop);
    struct engine *engine = engine_new(&loop, &(struct engine_options){.backend = &backend});
    struct listener *listener = listener_open(
        &loop,
        &(struct listener_options){.addr = addr, .fd = -1, .on_accept = on_accept, .owner = engine},
        &err);
    if (!listener) {
        fprintf(stderr, "interop_http: %s\n", err.message);
        return 1;
    }
    uv_pipe_t input;
    uv_pipe_init(&loop.uv, &input, 0);
    uv_pipe_open(&input, 0);
    uv_read_start((uv_stream_t *)&input, on_alloc, on_input);
    puts("ready");
    fflush(stdout);
    loop_run(&loop);
    uv_close((uv_handle_t *)&input, NULL);
    listener_close(listener, NULL);
    engine_stop(engine, 0, NULL, NULL);
    loop_fini(&loop);
    return 0;
}
