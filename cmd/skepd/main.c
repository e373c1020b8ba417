// skepd: one program, three kinds of process. Started by an operator it is the node process, which
// starts the others from the same file with --role.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/skepd/heap_io.h"
#include "cmd/skepd/node_io.h"
#include "cmd/skepd/notify_io.h"
#include "cmd/skepd/roles_io.h"
#include "proto/base/confine_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#ifndef SKEP_VERSION
#error "the build names the version"
#endif

// What a wrong command line or file gets: dockerd's exit status for it.
static int refuse(const struct err *err)
{
    fprintf(stderr, "skepd: %s\nSee 'skepd --help'.\n", err->message);
    return EXIT_FAILURE;
}

static int run_node(struct config *config, size_t count, const char *const *args)
{
    struct err err = ERR_INIT;
    struct buf warnings;
    buf_init(&warnings, CONFIG_WARNINGS_BYTES);
    int result = node_configure(config, count, args, &warnings, &err);
    int status = EXIT_SUCCESS;
    if (result) {
        status = refuse(&err);
    } else if (config->show_help) {
        char *text = config_help();
        fputs(text, stdout);
        free(text);
    } else if (config->show_version) {
        printf("skepd version %s\n", SKEP_VERSION);
    } else if (config->validate) {
        fputs(buf_cstr(&warnings), stderr);
        puts("configuration OK");
    } else if (geteuid() != 0) {
        // Not less rights but none of what it is for: namespaces, mounts, other users.
        fputs("skepd: needs to be started as root\n", stderr);
        status = EXIT_FAILURE;
    } else {
        // Whoever started us may have left descriptors open; none of them is ours.
        confine_close_from(NOTIFY_FIRST_FD + notify_listen_fds());
        heap_settle();
        log_setup(2, LOG_INFO, str_equal(config->log_format, "json") ? LOG_JSON : LOG_TEXT, NULL);
        status = node_run(config, count, args, &warnings);
    }
    buf_fini(&warnings);
    return status;
}

// Shows the title in place of the command line, whose texts lie one behind the other.
static void set_title(int argc, char **argv, const char *title)
{
    char *end = argv[argc - 1] + strlen(argv[argc - 1]);
    size_t room = (size_t)(end - argv[0]);
    memset(argv[0], 0, room);
    str_copy(argv[0], room, title);
}

int main(int argc, char **argv)
{
    // What has to be private is made so by who makes it; nothing is writable for others.
    umask(022);
    uint64_t seed[2];
    entropy_bytes(seed, sizeof seed);
    map_set_process_seed(seed);
    if (argc == 3 && strcmp(argv[1], "--role") == 0) {
        const struct role *role = role_by_name(argv[2]);
        if (!role) {
            fprintf(stderr, "skepd: no role %s\n", argv[2]);
            return EXIT_FAILURE;
        }
        set_title(argc, argv, role->title);
        return role_run(role);
    }
    struct config config;
    config_init(&config);
    int status = run_node(&config, argc > 0 ? (size_t)argc - 1 : 0,
                          (const char *const *)(argv + (argc > 0)));
    config_fini(&config);
    return status;
}
