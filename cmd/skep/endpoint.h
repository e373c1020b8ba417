// Where the daemon is: --host, DOCKER_HOST, contexts, and the TLS that goes with them.
#ifndef CMD_SKEP_ENDPOINT_H
#define CMD_SKEP_ENDPOINT_H

#include "cmd/skep/cli_io.h"
#include "proto/net/addr.h"

struct endpoint {
    const char *host;    // as it was written, for messages
    const char *context; // "default", or the context's name
    struct addr addr;
    bool tls;
    bool verify;    // the server's certificate must be signed by `ca`
    const char *ca; // PEM texts; NULL: none
    const char *cert;
    const char *key;
    const char *server_name; // NULL: no name to compare with the certificate
};

// Works it out from the options, the environment and the configuration. 0, or a negative code with
// cli->error.
int endpoint_find(struct cli *cli, struct endpoint *out);

// One object for each context there is: Name, Description, Host, Current.
json_t *endpoint_contexts(struct cli *cli);

#endif
