// /skep/checkup, which is not Docker's: what the nodes find when they look at the ways between
// them.
#include "agent/engine/engine.h"

static void checked(struct request *request, const char *text)
{
    request_plain(request, 200, "application/json", text);
}

static void checkup(struct request *request)
{
    void *ctx, *owner;
    const struct backend *backend = request_backend(request, &ctx);
    if (!backend->checkup) {
        request_fail(request, 501, "this node cannot look at its networks");
        return;
    }
    backend_done *done = request_backend_done(request, checked, &owner);
    backend->checkup(ctx, done, owner);
}

static const struct endpoint rows[] = {
    {"GET", "/skep/checkup", checkup},
};

ENDPOINTS(checkup_endpoints, rows);
