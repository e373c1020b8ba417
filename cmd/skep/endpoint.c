#include "cmd/skep/endpoint.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define SKEP_SOCKET   "/run/skep/skep.sock"
#define DOCKER_SOCKET "/var/run/docker.sock"

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

// A context's description, and its folder's name in *folder; NULL when there is none.
static json_t *context_named(struct cli *cli, const char *name, const char **folder)
{
    const char *root = textf(cli, "%s/contexts/meta", cli->config_folder);
    size_t i;
    json_t *entry;
    // Folders are named after the digest of the context's name; reading them all tells the same.
    json_array_foreach(cli_names(cli, root), i, entry)
    {
        size_t size = 0;
        const char *at = json_string_value(entry);
        const char *text = cli_read(cli, textf(cli, "%s/%s/meta.json", root, at), &size);
        json_t *meta = text ? keep(cli, json_parse(text, size, NULL)) : NULL;
        if (str_equal(text_of(meta, "Name"), name)) {
            *folder = at;
            return meta;
        }
    }
    return NULL;
}

static const char *pem_of(struct cli *cli, const char *path)
{
    return file_exists(path) ? cli_read(cli, path, NULL) : NULL;
}

static int from_context(struct cli *cli, const char *name, struct endpoint *out)
{
    const char *folder = NULL;
    json_t *meta = context_named(cli, name, &folder);
    if (!meta)
        return err_set(&cli->error, ERR_NOT_FOUND,
                       "there is no context \"%s\" in %s; `skep context ls` lists them", name,
                       cli->config_folder);
    json_t *docker = json_object_get(json_object_get(meta, "Endpoints"), "docker");
    out->host = text_of(docker, "Host");
    if (str_empty(out->host))
        return err_set(&cli->error, ERR_NOT_FOUND, "the context \"%s\" names no host", name);
    const char *tls = textf(cli, "%s/contexts/tls/%s/docker", cli->config_folder, folder);
    out->ca = pem_of(cli, textf(cli, "%s/ca.pem", tls));
    out->cert = pem_of(cli, textf(cli, "%s/cert.pem", tls));
    out->key = pem_of(cli, textf(cli, "%s/key.pem", tls));
    bool skips = json_is_true(json_object_get(docker, "SkipTLSVerify"));
    out->tls = out->ca || out->cert || skips;
    out->verify = out->tls && !skips;
    return 0;
}

static const char *tls_file(struct cli *cli, const char *flag, const char *name, bool *given)
{
    const char *path = args_text(&cli->globals, flag);
    const char *folder = cli_env("DOCKER_CERT_PATH");
    *given = path != NULL;
    return path ? path : textf(cli, "%s/%s", folder ? folder : cli->config_folder, name);
}

static int read_pem(struct cli *cli, const char *flag, const char *name, bool needed,
                    const char **out)
{
    bool given;
    const char *path = tls_file(cli, flag, name, &given);
    if (!file_exists(path) && !given && !needed)
        return 0;
    *out = cli_read(cli, path, NULL);
    return *out ? 0 : -(int)cli->error.code;
}

static int from_options(struct cli *cli, struct endpoint *out)
{
    out->verify = args_set(&cli->globals, "tlsverify") ? args_on(&cli->globals, "tlsverify")
                                                       : cli_env("DOCKER_TLS_VERIFY") != NULL;
    out->tls = out->verify || args_on(&cli->globals, "tls") ||
               args_set(&cli->globals, "tlscacert") || args_set(&cli->globals, "tlscert") ||
               args_set(&cli->globals, "tlskey");
    if (!out->tls)
        return 0;
    if (read_pem(cli, "tlscacert", "ca.pem", out->verify, &out->ca) < 0 ||
        read_pem(cli, "tlscert", "cert.pem", false, &out->cert) < 0 ||
        read_pem(cli, "tlskey", "key.pem", false, &out->key) < 0)
        return -(int)cli->error.code;
    if (!out->cert != !out->key)
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "--tlscert and --tlskey are needed together");
    return 0;
}

static int resolve(struct cli *cli, struct endpoint *out)
{
    static const char *const kinds[] = {"unix://", "tcp://", "http://", "https://"};
    bool known = !strstr(out->host, "://");
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        known = known || str_starts(out->host, kinds[i]);
    if (!known)
        return err_set(&cli->error, ERR_UNIMPLEMENTED,
                       "%s: this kind of host is not supported; unix:// and tcp:// are", out->host);
    const char *text = out->host;
    if (str_starts(text, "https://") || str_starts(text, "http://")) {
        out->tls = out->tls || text[4] == 's';
        text = strstr(text, "//") + 2;
    }
    if (addr_parse(text, out->tls ? 2376 : 2375, &out->addr, &cli->error) < 0)
        return err_wrap(&cli->error, "--host");
    if (out->addr.kind == ADDR_UNIX) {
        out->tls = false;
    } else {
        // An address is verified as well as a name, by the certificate's entries for addresses.
        out->server_name = textf(cli, "%s", out->addr.host);
    }
    return 0;
}

int endpoint_find(struct cli *cli, struct endpoint *out)
{
    *out = (struct endpoint){.context = "default"};
    const char *host = args_text(&cli->globals, "host"), *named = cli_env("DOCKER_CONTEXT");
    const char *context = args_text(&cli->globals, "context");
    if (host && context)
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "--host and --context exclude each other");
    if (!host && !context) {
        host = cli_env("DOCKER_HOST");
        context = host ? NULL : named ? named : text_of(cli->config, "currentContext");
    }
    if (!host && context && !str_equal(context, "default")) {
        out->context = context;
        if (from_context(cli, context, out) < 0)
            return -(int)cli->error.code;
    } else {
        out->host =
            host ? host
                 : textf(cli, "unix://%s",
                         file_exists(SKEP_SOCKET) || !file_exists(DOCKER_SOCKET) ? SKEP_SOCKET
                                                                                 : DOCKER_SOCKET);
        if (from_options(cli, out) < 0)
            return -(int)cli->error.code;
    }
    return resolve(cli, out);
}

json_t *endpoint_contexts(struct cli *cli)
{
    json_t *list = keep(cli, json_array());
    struct endpoint now;
    const char *current = endpoint_find(cli, &now) == 0 ? now.context : "";
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b}", "Name", "default", "Description",
                                          "What --host, DOCKER_HOST or this machine's socket say",
                                          "Host", str_equal(current, "default") ? now.host : "",
                                          "Current", str_equal(current, "default")));
    const char *root = textf(cli, "%s/contexts/meta", cli->config_folder);
    size_t i;
    json_t *entry;
    json_array_foreach(cli_names(cli, root), i, entry)
    {
        size_t size = 0;
        const char *text =
            cli_read(cli, textf(cli, "%s/%s/meta.json", root, json_string_value(entry)), &size);
        json_t *meta = text ? keep(cli, json_parse(text, size, NULL)) : NULL;
        const char *name = text_of(meta, "Name");
        json_t *docker = json_object_get(json_object_get(meta, "Endpoints"), "docker");
        if (name)
            json_array_append_new(
                list,
                json_pack("{s:s, s:s, s:s, s:b}", "Name", name, "Description",
                          str_or(text_of(json_object_get(meta, "Metadata"), "Description"), ""),
                          "Host", str_or(text_of(docker, "Host"), ""), "Current",
                          str_equal(current, name)));
    }
    return list;
}
