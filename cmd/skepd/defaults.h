// The options that say what containers and local networks get, read from the texts of the
// configuration into what the agent's rooms take. Pure.
#ifndef CMD_SKEPD_DEFAULTS_H
#define CMD_SKEPD_DEFAULTS_H

#include "agent/container_defaults.h"
#include "agent/net/local.h"
#include "cmd/skepd/config.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"

struct defaults {
    struct container_defaults containers;
    struct local_defaults networks;
    struct arena arena; // of both
};

// Borrows the configuration's texts. INVALID_ARGUMENT naming the option; nothing to free then.
int defaults_make(const struct config *config, struct defaults *out, struct err *err);

// Takes over what may change while running from a settled configuration.
void defaults_reload(const struct config *config, struct defaults *defaults);

void defaults_fini(struct defaults *defaults);

#endif
