// The local networks of a host, for locals.sh:
//
//   interop_locals DIR NETNS_DIR      reads a command a line, answers each with a line:
//        create JSON                            its id
//        remove NETWORK                         "done"
//        show NETWORK                           its JSON
//        list                                   their names
//        attach CONTAINER NETWORK [PROTOCOL,PUBLISHED,TARGET]    the path of its namespace
//        detach CONTAINER [NETWORK]             "done"
//                                  or "failed: why". CONTAINER is 64 hexadecimal digits.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/locals_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static struct loop loop;
static struct locals *locals;
static struct ports *ports;
static uv_poll_t input;

static void say(int rc, const struct err *err, const char *text)
{
    if (rc)
        printf("failed: %s\n", err->message);
    else
        printf("%s\n", text);
}

static void list_names(void)
{
    struct buf text;
    struct json_out out;
    buf_init(&text, 1u << 20);
    json_out_init(&out, &text);
    json_out_array(&out, NULL);
    locals_write(locals, &out);
    json_out_end(&out);
    json_t *all = json_parse(text.data, text.len, NULL);
    for (size_t i = 0; i < json_array_size(all); i++)
        printf("%s%s", i ? " " : "",
               json_string_value(json_object_get(json_array_get(all, i), "Name")));
    printf("\n");
    json_decref(all);
    buf_fini(&text);
}

static void show(const char *name)
{
    struct buf text;
    struct json_out out;
    buf_init(&text, 1u << 20);
    json_out_init(&out, &text);
    if (locals_write_one(locals, name, &out))
        printf("%s\n", buf_cstr(&text));
    else
        printf("failed: no such network\n");
    buf_fini(&text);
}

static void attach(char *rest)
{
    struct err err = ERR_INIT;
    struct ports_row row = {0};
    char container[80], network[80], path[LAYOUT_PLACE_BYTES];
    unsigned protocol, published, target;
    int found =
        sscanf(rest, "%79s %79s %u,%u,%u", container, network, &protocol, &published, &target);
    struct locals_wish wish = {.container = container, .name = "one", .network = network};
    if (found == 5) {
        row = (struct ports_row){.protocol = (uint8_t)protocol,
                                 .published = (uint16_t)published,
                                 .target = (uint16_t)target};
        wish.ports = &row;
        wish.ports_count = 1;
    }
    say(locals_attach(locals, &wish, path, &err), &err, path);
}

static void obey(char *line)
{
    struct err err = ERR_INIT;
    char id[LOCAL_ID_BYTES], *rest = strchr(line, ' ');
    if (rest)
        *rest++ = '\0';
    else
        rest = line + strlen(line);
    if (str_equal(line, "create")) {
        json_t *body = json_parse(rest, strlen(rest), &err);
        say(body ? locals_create(locals, body, id, &err) : -1, &err, id);
        json_decref(body);
    } else if (str_equal(line, "remove")) {
        say(locals_remove(locals, rest, &err), &err, "done");
    } else if (str_equal(line, "show")) {
        show(rest);
    } else if (str_equal(line, "list")) {
        list_names();
    } else if (str_equal(line, "attach")) {
        attach(rest);
    } else if (str_equal(line, "detach")) {
        char *network = strchr(rest, ' ');
        if (network)
            *network++ = '\0';
        locals_detach(locals, rest, network);
        printf("done\n");
    } else {
        printf("failed: what?\n");
    }
}

static void on_ports_closed(void *owner)
{
    (void)owner;
    loop_stop(&loop);
}

static void on_closed(void *owner)
{
    (void)owner;
    ports_close(ports, on_ports_closed, NULL);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    static char text[8192];
    static size_t used;
    (void)status;
    (void)events;
    ssize_t got = read(0, text + used, sizeof text - 1 - used);
    if (got <= 0) {
        uv_close((uv_handle_t *)poll, NULL);
        locals_close(locals, on_closed, NULL);
        return;
    }
    used += (size_t)got;
    text[used] = '\0';
    char *at = text, *end;
    while ((end = strchr(at, '\n'))) {
        *end = '\0';
        obey(at);
        at = end + 1;
    }
    used -= (size_t)(at - text);
    memmove(text, at, used);
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    if (argc != 3)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    loop_init(&loop);
    ports = ports_open(&loop, &err);
    if (!ports) {
        printf("failed: %s\n", err.message);
        return 1;
    }
    const struct locals_config config = {
        .loop = &loop, .dir = argv[1], .netns_dir = argv[2], .ports = ports};
    if (locals_open(&config, &locals, &err)) {
        printf("failed: %s\n", err.message);
        return 1;
    }
    uv_poll_init(&loop.uv, &input, 0);
    uv_poll_start(&input, UV_READABLE, on_input);
    loop_run(&loop);
    loop_fini(&loop);
    return 0;
}
