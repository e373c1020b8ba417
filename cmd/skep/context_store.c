#include "cmd/skep/context.h"

#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/common.h"
#include "cmd/skep/endpoint.h"
#include "proto/base/codec.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

// A context is a folder of the docker command's configuration, named after the digest of its name.
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-"

const char *const context_pems[CONTEXT_PEMS] = {"ca", "cert", "key"};

static const char *folder_of(struct cli *cli, const char *name)
{
    unsigned char digest[32];
    char hex[2 * sizeof digest + 1];
    mbedtls_sha256_ret((const unsigned char *)name, strlen(name), digest, 0);
    return textf(cli, "%s", hex_encode(digest, sizeof digest, hex));
}

const char *context_meta_folder(struct cli *cli, const char *name)
{
    return textf(cli, "%s/contexts/meta/%s", cli->config_folder, folder_of(cli, name));
}

const char *context_tls_folder(struct cli *cli, const char *name)
{
    return textf(cli, "%s/contexts/tls/%s", cli->config_folder, folder_of(cli, name));
}

static bool is_known(struct cli *cli, const char *name)
{
    return str_equal(name, "default") ||
           file_exists(textf(cli, "%s/meta.json", context_meta_folder(cli, name)));
}

int context_expect(struct cli *cli, const char *name)
{
    if (is_known(cli, name))
        return 0;
    return err_set(&cli->error, ERR_NOT_FOUND,
                   "context \"%s\": context not found: there is none in %s", name,
                   cli->config_folder);
}

int context_expect_free(struct cli *cli, const char *name)
{
    if (str_equal(name, "default"))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT, "\"default\" is a reserved context name");
    if (strspn(name, NAME_CHARS) != strlen(name) || strlen(name) < 2)
        return err_set(
            &cli->error, ERR_INVALID_ARGUMENT,
            "context name \"%s\" is invalid: it is two or more of letters, digits and _.+-", name);
    if (is_known(cli, name))
        return err_set(&cli->error, ERR_ALREADY_EXISTS, "context \"%s\" already exists", name);
    return 0;
}

// ---- reading ------------------------------------------------------------------------------------

// What there is without any context: --host, the environment, this machine's socket.
static int load_default(struct cli *cli, struct context *out)
{
    struct endpoint endpoint;
    json_t *config = cli->config;
    cli->config = keep(cli, json_object());
    int rc = endpoint_find(cli, &endpoint);
    cli->config = config;
    if (rc < 0)
        return rc;
    out->meta = keep(cli, json_pack("{ss s{} s{s{ss sb}}}", "Name", "default", "Metadata",
                                    "Endpoints", "docker", "Host", endpoint.host, "SkipTLSVerify",
                                    endpoint.tls && !endpoint.verify));
    const char *const pem[CONTEXT_PEMS] = {endpoint.ca, endpoint.cert, endpoint.key};
    memcpy(out->pem, pem, sizeof pem);
    return 0;
}

int context_load(struct cli *cli, const char *name, struct context *out)
{
    *out = (struct context){NULL};
    if (context_expect(cli, name) < 0)
        return -(int)cli->error.code;
    if (str_equal(name, "default"))
        return load_default(cli, out);
    size_t size = 0;
    const char *text =
        cli_read(cli, textf(cli, "%s/meta.json", context_meta_folder(cli, name)), &size);
    out->meta = text ? keep(cli, json_parse(text, size, &cli->error)) : NULL;
    if (!out->meta)
        return err_wrap(&cli->error, "context \"%s\"", name);
    for (size_t k = 0; k < CONTEXT_PEMS; k++) {
        const char *path =
            textf(cli, "%s/docker/%s.pem", context_tls_folder(cli, name), context_pems[k]);
        if (file_exists(path) && !(out->pem[k] = cli_read(cli, path, NULL)))
            return -(int)cli->error.code;
    }
    return 0;
}

// ---- writing ------------------------------------------------------------------------------------

// Makes a folder and those above it, below the configuration's.
static int make_folders(struct cli *cli, const char *path)
{
    size_t begin = strlen(cli->config_folder);
    for (const char *at = path + begin; at; at = strchr(at + 1, '/')) {
        const char *part = textf(cli, "%.*s", (int)(at - path), path);
        if (dir_make(part, 0700, &cli->error) < 0)
            return -(int)cli->error.code;
    }
    return dir_make(path, 0700, &cli->error);
}

int context_store(struct cli *cli, const char *name, const struct context *context)
{
    const char *tls = textf(cli, "%s/docker", context_tls_folder(cli, name));
    set_text(context->meta, "Name", name);
    if (dir_remove(context_tls_folder(cli, name), &cli->error) < 0)
        return -(int)cli->error.code;
    for (size_t k = 0; k < CONTEXT_PEMS; k++) {
        const char *text = context->pem[k];
        if (text && (make_folders(cli, tls) < 0 ||
                     cli_write(cli, textf(cli, "%s/%s.pem", tls, context_pems[k]), text,
                               strlen(text), 0600) < 0))
            return -(int)cli->error.code;
    }
    char *text = json_dumps(context->meta, JSON_COMPACT);
    const char *folder = context_meta_folder(cli, name);
    int rc = make_folders(cli, folder);
    if (rc == 0)
        rc = cli_write(cli, textf(cli, "%s/meta.json", folder), text, strlen(text), 0644);
    free(text);
    return rc;
}
