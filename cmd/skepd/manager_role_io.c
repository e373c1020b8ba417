// The manager process. It holds the cluster's socket; what serves it stands in manager/.
#include "cmd/skepd/roles_io.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/skepd/calls_io.h"
#include "cmd/skepd/messages.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define MANAGER_ROLE_MAGIC 0x4d4e4752u

struct manager_process {
    unsigned magic;
    struct role_frame *frame;
    int cluster_fd; // bound, not listening; -1 until it came
};

static int start(struct role_frame *frame, const void *config, size_t config_bytes, void **state,
                 struct err *err)
{
    (void)config;
    if (config_bytes != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "unexpected configuration");
    struct manager_process *manager = MEM_NEW(struct manager_process);
    MAGIC_SET(manager, MANAGER_ROLE_MAGIC);
    manager->frame = frame;
    manager->cluster_fd = -1;
    *state = manager;
    return 0;
}

static bool is_named(const struct channel_message *message, const char *name)
{
    return message->payload_bytes == strlen(name) &&
           memcmp(message->payload, name, message->payload_bytes) == 0;
}

static void on_message(void *state, const struct channel_message *message)
{
    struct manager_process *manager = state;
    MAGIC_CHECK(manager, MANAGER_ROLE_MAGIC);
    if (message->type == MESSAGE_SOCKET && is_named(message, ROLES_CLUSTER_SOCKET) &&
        manager->cluster_fd < 0) {
        manager->cluster_fd = message->fds[0];
        message->fds[0] = -1;
        return;
    }
    log_warn("message nobody asked for", "type=%u", message->type);
}

static void stop(void *state)
{
    struct manager_process *manager = state;
    MAGIC_CHECK(manager, MANAGER_ROLE_MAGIC);
    struct role_frame *frame = manager->frame;
    if (manager->cluster_fd >= 0)
        close(manager->cluster_fd);
    MAGIC_CLEAR(manager);
    free(manager);
    role_stopped(frame);
}

// libuv keeps one descriptor in reserve, for the moment when there are no others.
static const struct confine_path paths[] = {{.path = "/dev/null"}};

static const struct channel_rule rules[] = {MESSAGE_ROWS_FROM_NODE};

const struct role manager_role = {
    .name = "manager",
    .title = "skepd: manager",
    .rules = {rules, COUNT_OF(rules)},
    .calls = &calls_manager,
    .paths = paths,
    .paths_count = COUNT_OF(paths),
    .start = start,
    .message = on_message,
    .stop = stop,
};
