// skep login and logout: passwords of registries.
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/credentials.h"
#include "proto/base/str.h"

// What the user typed names a registry with or without its scheme; Docker's own has a name that no
// other has.
static const char *registry_of(struct cli *cli)
{
    const char *name = cli->args.argc ? cli->args.argv[0] : CREDENTIALS_HUB;
    if (str_equal(name, "docker.io") || str_equal(name, "index.docker.io"))
        return CREDENTIALS_HUB;
    if (str_equal(name, CREDENTIALS_HUB))
        return name;
    const char *rest = strstr(name, "://");
    name = rest ? rest + 3 : name;
    return textf(cli, "%.*s", (int)strcspn(name, "/"), name);
}

static int read_login(struct cli *cli, struct registry_login *out)
{
    struct args *args = &cli->args;
    size_t size = 0;
    out->user = args_text(args, "username");
    out->password = args_text(args, "password");
    if (args_on(args, "password-stdin")) {
        if (out->password)
            return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                           "--password and --password-stdin are mutually exclusive");
        if (!out->user)
            return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                           "Must provide --username with --password-stdin");
        const char *text = cli_read(cli, "-", &size);
        if (!text)
            return -(int)cli->error.code;
        out->password = textf(cli, "%.*s", (int)strcspn(text, "\r\n"), text);
    } else if (out->password) {
        warn(cli, "WARNING! Others of this machine see a password on a command line. Use "
                  "--password-stdin.\n");
    }
    bool asks = !out->user || !out->password;
    if (asks && !cli->terminal.in)
        return err_set(&cli->error, ERR_FAILED_PRECONDITION,
                       "Cannot perform an interactive login from a non TTY device");
    if (!out->user)
        out->user = cli_secret(cli, "Username (not shown): ");
    if (out->user && !out->password)
        out->password = cli_secret(cli, "Password: ");
    if (str_empty(out->user) || str_empty(out->password))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "a user's name and a password are wanted");
    return 0;
}

static int run_login(struct cli *cli)
{
    struct registry_login what = {0};
    const char *registry = registry_of(cli), *where = "";
    if (read_login(cli, &what) < 0)
        return failed(cli);
    json_t *body = keep(cli, json_pack("{ss ss ss}", "username", what.user, "password",
                                       what.password, "serveraddress", registry));
    json_t *answer = api(cli, "POST", "/auth", body);
    // skepd asks no registry whether a password is right (501); an engine that does has its say.
    bool unchecked = !answer && cli->status == 501;
    if (!answer && !unchecked)
        return failed(cli);
    if (*text_at(answer, "IdentityToken"))
        what.token = text_at(answer, "IdentityToken");
    if (credentials_store(cli, registry, &what, &where) < 0)
        return failed(cli);
    if (str_ends(where, ".json"))
        warn(cli,
             "WARNING! The password is stored in %s, where everybody who can read it can use "
             "it. A credential helper (\"credsStore\") keeps it better.\n",
             where);
    if (unchecked)
        say(cli, "Login stored; this daemon does not check it, the next pull does\n");
    else
        say(cli, "%s\n", str_or(text_at(answer, "Status"), "Login Succeeded"));
    return 0;
}

static int run_logout(struct cli *cli)
{
    const char *registry = registry_of(cli);
    int had = credentials_erase(cli, registry);
    if (had < 0)
        return failed(cli);
    say(cli, had ? "Removing login credentials for %s\n" : "Not logged in to %s\n", registry);
    return 0;
}

static const struct flag login_flags[] = {
    {"password", 'p', FLAG_TEXT, "password", "The password; others see it"},
    {"password-stdin", 0, FLAG_BOOL, NULL, "Read the password from standard input"},
    {"username", 'u', FLAG_TEXT, "name", "The user's name"},
    {0},
};

const struct command login_commands[] = {
    {"login", "[OPTIONS] [SERVER]", "Keep the password of a registry", login_flags, run_login, 0, 1,
     0, NULL},
    {"logout", "[SERVER]", "Forget the password of a registry", NULL, run_logout, 0, 1, 0, NULL},
    {0},
};
