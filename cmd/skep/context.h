// Contexts as they are kept: folders of the docker command's configuration.
#ifndef CMD_SKEP_CONTEXT_H
#define CMD_SKEP_CONTEXT_H

#include "cmd/skep/cli_io.h"

#define CONTEXT_PEMS 3

extern const char *const context_pems[CONTEXT_PEMS]; // "ca", "cert", "key"

// All of a context: its description (Name, Metadata, Endpoints), and its PEM texts.
struct context {
    json_t *meta;                  // kept by the run
    const char *pem[CONTEXT_PEMS]; // NULL: none
};

const char *context_meta_folder(struct cli *cli, const char *name);
const char *context_tls_folder(struct cli *cli, const char *name);

// That there is such a context, and that a new one may have the name. 0, or a negative code with
// cli->error.
int context_expect(struct cli *cli, const char *name);
int context_expect_free(struct cli *cli, const char *name);

// 0, or a negative code with cli->error. "default" is what --host and the environment say.
int context_load(struct cli *cli, const char *name, struct context *out);

// Writes it under that name, in place of what was there. 0, or a negative code with cli->error.
int context_store(struct cli *cli, const char *name, const struct context *context);

#endif
