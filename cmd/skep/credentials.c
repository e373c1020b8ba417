#include "cmd/skep/credentials.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skep/child_io.h"
#include "cmd/skep/common.h"
#include "proto/base/codec.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define TOKEN_USER "<token>" // what a program says in place of a user's name

const char *credentials_registry(struct cli *cli, const char *image)
{
    const char *slash = strchr(image, '/');
    const char *registry = slash ? textf(cli, "%.*s", (int)(slash - image), image) : "";
    bool named = strpbrk(registry, ".:") || str_equal(registry, "localhost");
    if (!named || str_equal(registry, "docker.io") || str_equal(registry, "index.docker.io"))
        return CREDENTIALS_HUB;
    return registry;
}

// The program that keeps this registry's password; NULL: config.json does.
static const char *helper_of(struct cli *cli, const char *registry)
{
    const char *name =
        json_string_value(json_object_get(json_object_get(cli->config, "credHelpers"), registry));
    name = str_or(name, json_string_value(json_object_get(cli->config, "credsStore")));
    // A name is a part of a program's name, and never a path.
    return str_empty(name) || strchr(name, '/') ? NULL : textf(cli, "docker-credential-%s", name);
}

static int ask_helper(struct cli *cli, const char *helper, const char *registry,
                      struct registry_login *out)
{
    const char *said;
    const char *const argv[] = {helper, "get", NULL};
    if (child_ask(cli, argv, registry, &said) < 0) {
        // Not to have one is no failure; the words are the helpers' own.
        if (!strstr(cli->error.message, "credentials not found"))
            return -(int)cli->error.code;
        err_clear(&cli->error);
        return 0;
    }
    json_t *answer = keep(cli, json_parse(said, strlen(said), &cli->error));
    if (!answer)
        return err_wrap(&cli->error, "%s", helper);
    if (str_equal(text_at(answer, "Username"), TOKEN_USER)) {
        out->token = text_at(answer, "Secret");
    } else {
        out->user = text_at(answer, "Username");
        out->password = text_at(answer, "Secret");
    }
    return 0;
}

int credentials_find(struct cli *cli, const char *registry, struct registry_login *out)
{
    const char *helper = helper_of(cli, registry);
    *out = (struct registry_login){0};
    if (helper)
        return ask_helper(cli, helper, registry, out);
    json_t *entry = json_object_get(json_object_get(cli->config, "auths"), registry);
    const char *encoded = json_string_value(json_object_get(entry, "auth"));
    out->token = json_string_value(json_object_get(entry, "identitytoken"));
    if (str_empty(encoded))
        return 0;
    struct buf plain;
    buf_init(&plain, 8192);
    if (base64_decode(BASE64_STD, encoded, strlen(encoded), &plain)) {
        // What follows the colon stays where it is: in a copy that lasts.
        const char *pair = arena_strdup(&cli->arena, str_or(buf_cstr(&plain), ""));
        out->user = split_once(str_or(pair, ""), ':', &out->password, &cli->arena);
        out->password = str_or(out->password, "");
    }
    buf_wipe(&plain);
    return 0;
}

int credentials_save_config(struct cli *cli)
{
    char *text = json_dumps(cli->config, JSON_INDENT(4));
    int rc = dir_make(cli->config_folder, 0700, &cli->error);
    if (rc == 0)
        rc = cli_write(cli, textf(cli, "%s/config.json", cli->config_folder), text, strlen(text),
                       0600);
    explicit_bzero(text, strlen(text));
    free(text);
    return rc;
}

int credentials_store(struct cli *cli, const char *registry, const struct registry_login *what,
                      const char **where)
{
    const char *helper = helper_of(cli, registry), *said;
    if (helper) {
        const char *const argv[] = {helper, "store", NULL};
        json_t *body = keep(cli, json_pack("{ss ss ss}", "ServerURL", registry, "Username",
                                           what->user, "Secret", what->password));
        char *text = json_dumps(body, JSON_COMPACT);
        int rc = child_ask(cli, argv, text, &said);
        explicit_bzero(text, strlen(text));
        free(text);
        *where = helper;
        return rc;
    }
    struct buf encoded;
    const char *plain = textf(cli, "%s:%s", what->user, what->password);
    buf_init(&encoded, 16384);
    base64_encode(BASE64_STD, plain, strlen(plain), &encoded);
    json_t *auths = object_at(cli->config, "auths");
    json_object_set_new(auths, registry, json_pack("{ss}", "auth", buf_cstr(&encoded)));
    buf_wipe(&encoded);
    *where = textf(cli, "%s/config.json", cli->config_folder);
    return credentials_save_config(cli);
}

int credentials_erase(struct cli *cli, const char *registry)
{
    const char *helper = helper_of(cli, registry), *said;
    struct registry_login known;
    if (credentials_find(cli, registry, &known) < 0)
        return -(int)cli->error.code;
    json_t *auths = json_object_get(cli->config, "auths");
    bool had = known.user || known.token || json_object_get(auths, registry);
    if (helper && (known.user || known.token)) {
        const char *const argv[] = {helper, "erase", NULL};
        if (child_ask(cli, argv, registry, &said) < 0)
            return -(int)cli->error.code;
    }
    if (json_object_get(auths, registry)) {
        json_object_del(auths, registry);
        if (credentials_save_config(cli) < 0)
            return -(int)cli->error.code;
    }
    return had;
}

const char *credentials_header(struct cli *cli, const char *image)
{
    struct registry_login known;
    const char *registry = credentials_registry(cli, image);
    if (credentials_find(cli, registry, &known) < 0) {
        warn(cli, "skep: no password: %s\n", cli->error.message);
        err_clear(&cli->error);
        return "";
    }
    if (!known.user && !known.token)
        return "";
    struct buf out;
    json_t *auth =
        known.token ? json_pack("{ss ss}", "identitytoken", known.token, "serveraddress", registry)
                    : json_pack("{ss ss ss}", "username", known.user, "password", known.password,
                                "serveraddress", registry);
    char *text = json_dumps(auth, JSON_COMPACT);
    buf_init(&out, 16384);
    base64_encode(BASE64_URL, text, strlen(text), &out);
    const char *result = textf(cli, "%s", str_or(buf_cstr(&out), ""));
    explicit_bzero(text, strlen(text));
    free(text);
    json_decref(auth);
    buf_wipe(&out);
    return result;
}
