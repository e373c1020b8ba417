// What Skep does not do, said clearly where Docker's clients ask for it: plugins, BuildKit
// sessions and image builds.
#include <string.h>

#include "agent/engine/engine.h"
#include "agent/engine/filter.h"
#include "agent/engine/request.h"
#include "agent/engine/rows.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// ---- plugins ------------------------------------------------------------------------------------

static const struct filter_row plugin_filters[] = {
    {"capability", FILTER_KNOWN, NULL, NULL},
    {"enabled", FILTER_KNOWN, NULL, NULL},
};

// There are none: an empty list, as clients expect it, and not an error.
static void list_plugins(struct request *request)
{
    struct filters filters;
    struct err err = ERR_INIT;
    if (filters_parse(request_query(request, "filters"), plugin_filters, COUNT_OF(plugin_filters),
                      request_arena(request), &filters, &err)) {
        request_fail_filters(request, &err);
        return;
    }
    struct json_out *out = request_write(request);
    json_out_array(out, NULL);
    json_out_end(out);
    request_send(request, 200);
}

static void no_such_plugin(struct request *request)
{
    const char *rest = request_param(request, "rest");
    const char *slash = strrchr(rest, '/');
    size_t length = slash && slash > rest ? (size_t)(slash - rest) : strlen(rest);
    request_fail(request, 404, "plugin \"%.*s\" not found", length < 200 ? (int)length : 200, rest);
}

static void no_plugins(struct request *request)
{
    request_fail(request, 501, "plugins are not supported");
}

// ---- building -----------------------------------------------------------------------------------

static void session(struct request *request)
{
    if (str_empty(request_header(request, "Upgrade")))
        request_fail(request, 400, "no upgrade proto in request");
    else
        request_fail(request, 501,
                     "sessions of BuildKit are not supported: build images elsewhere");
}

static void build(struct request *request)
{
    request_fail(request, 501,
                 "building images is not supported: build them elsewhere and load "
                 "or pull them");
}

// `docker system prune` asks for this after all else.
static void prune_builds(struct request *request)
{
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    json_out_null(out, "CachesDeleted");
    json_out_uint(out, "SpaceReclaimed", 0);
    json_out_end(out);
    tell_pruned(request, "builder", 0);
    request_send(request, 200);
}

static const struct endpoint rows[] = {
    {"GET", "/plugins", list_plugins},
    {"GET", "/plugins/privileges", no_plugins},
    {"GET", "/plugins/{rest...}", no_such_plugin},
    {"DELETE", "/plugins/{rest...}", no_such_plugin},
    {"POST", "/plugins/pull", no_plugins},
    {"POST", "/plugins/create", no_plugins},
    {"POST", "/plugins/{rest...}", no_such_plugin},
    {"POST", "/session", session},
    {"POST", "/grpc", session},
    {"POST", "/build", build},
    {"POST", "/build/cancel", build},
    {"POST", "/build/prune", prune_builds},
};
ENDPOINTS(absent_endpoints, rows);
