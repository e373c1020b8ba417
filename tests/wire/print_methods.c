// Prints SwarmKit's part of proto/wire's method table in the form of swarmkit-services.csv, for
// check_tables.py.
#include <stdio.h>

#include "proto/base/str.h"
#include "proto/wire/methods.h"

int main(void)
{
    static const char *const callers[] = {
        [METHOD_OPEN] = "insecure ok",
        [METHOD_NODES] = "swarm-worker swarm-manager",
        [METHOD_MANAGERS] = "swarm-manager",
    };
    static const char *const follower[] = {[METHOD_ANSWERED] = "no", [METHOD_FORWARDED] = "yes"};
    static const char *const local[] = {
        [METHOD_LOCAL_FORWARD] = "forward",
        [METHOD_LOCAL_LOCAL] = "local",
        [METHOD_LOCAL_ABSENT] = "absent",
    };
    for (size_t i = 0; i < method_table_count; i++) {
        const struct method *method = &method_table[i];
        if (!str_starts(method->service, "docker.swarmkit.v1."))
            continue;
        printf("%s,%s,%s,%s,%s,%s,%s,%s\n", method->path, method->request->name,
               method->response->name, method->kind == METHOD_CLIENT_STREAM ? "true" : "false",
               method->kind == METHOD_SERVER_STREAM ? "true" : "false", callers[method->callers],
               follower[method->follower], local[method->local]);
    }
    return 0;
}
