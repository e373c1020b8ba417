// Passwords of registries, where the docker command keeps them: in config.json, or with a program
// that config.json names for all ("credsStore") or for one registry ("credHelpers").
#ifndef CMD_SKEP_CREDENTIALS_H
#define CMD_SKEP_CREDENTIALS_H

#include "cmd/skep/cli_io.h"

#define CREDENTIALS_HUB "https://index.docker.io/v1/"

struct registry_login {
    const char *user, *password; // NULL: nothing is known
    const char *token;           // an identity token in the password's place; NULL: none
};

// The registry that an image's name means, under which its password is kept.
const char *credentials_registry(struct cli *cli, const char *image);

// 0 also when nothing is known. A negative code with cli->error when a program fails.
int credentials_find(struct cli *cli, const char *registry, struct registry_login *out);

// Keeps them, with the program if there is one. *where (for people) says where.
int credentials_store(struct cli *cli, const char *registry, const struct registry_login *what,
                      const char **where);

// Forgets them: 1 when there were some, 0 when not, or a negative code with cli->error.
int credentials_erase(struct cli *cli, const char *registry);

// What X-Registry-Auth wants; "" when nothing is known of the registry.
const char *credentials_header(struct cli *cli, const char *image);

// Writes config.json as cli->config is now.
int credentials_save_config(struct cli *cli);

#endif
