// skep context: the daemons that this command, and docker, know by name. A context is a folder of
// the docker command's configuration, named after the digest of its name.
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/credentials.h"
#include "cmd/skep/endpoint.h"
#include "cmd/skep/format.h"
#include "proto/base/codec.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-"

static const char *const pems[] = {"ca", "cert", "key"};

static const char *folder_of(struct cli *cli, const char *name)
{
    unsigned char digest[32];
    char hex[2 * sizeof digest + 1];
    mbedtls_sha256_ret((const unsigned char *)name, strlen(name), digest, 0);
    return textf(cli, "%s", hex_encode(digest, sizeof digest, hex));
}

static const char *meta_of(struct cli *cli, const char *name)
{
    return textf(cli, "%s/contexts/meta/%s", cli->config_folder, folder_of(cli, name));
}

static const char *tls_of(struct cli *cli, const char *name)
{
    return textf(cli, "%s/contexts/tls/%s", cli->config_folder, folder_of(cli, name));
}

static bool is_known(struct cli *cli, const char *name)
{
    return str_equal(name, "default") ||
           file_exists(textf(cli, "%s/meta.json", meta_of(cli, name)));
}

static int unknown(struct cli *cli, const char *name)
{
    return complain(cli, "context \"%s\": context not found: there is none in %s", name,
                    cli->config_folder);
}

// ---- create -------------------------------------------------------------------------------------

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

static int write_pem(struct cli *cli, const char *name, const char *kind, const char *from)
{
    size_t size = 0;
    const char *folder = textf(cli, "%s/docker", tls_of(cli, name));
    const char *text = cli_read(cli, from, &size);
    if (!text || make_folders(cli, folder) < 0)
        return -(int)cli->error.code;
    return cli_write(cli, textf(cli, "%s/%s.pem", folder, kind), text, size, 0600);
}

// --docker host=...,ca=...,cert=...,key=...,skip-tls-verify=true
static int read_endpoint(struct cli *cli, json_t *meta, const char *paths[COUNT_OF(pems)])
{
    struct field fields[FIELDS_MAX];
    const char *text = args_text(&cli->args, "docker");
    json_t *docker = object_at(meta, "Endpoints.docker");
    int count = text ? fields_parse(text, &cli->arena, fields, &cli->error) : 0;
    if (count < 0)
        return err_wrap(&cli->error, "--docker");
    set_true(docker, "SkipTLSVerify", false);
    for (int i = 0; i < count; i++) {
        bool known = true;
        if (str_equal(fields[i].key, "host"))
            set_text(docker, "Host", fields[i].value);
        else if (str_equal(fields[i].key, "skip-tls-verify"))
            json_object_set_new(docker, "SkipTLSVerify",
                                json_boolean(str_equal(fields[i].value, "true")));
        else
            known = false;
        for (size_t k = 0; k < COUNT_OF(pems); k++)
            if (str_equal(fields[i].key, pems[k])) {
                paths[k] = fields[i].value;
                known = true;
            }
        if (!known)
            return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                           "unrecognized config key: %s (host, ca, cert, key, skip-tls-verify)",
                           fields[i].key);
    }
    if (!*text_at(docker, "Host"))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "a host is wanted, such as --docker host=tcp://10.0.0.1:2376");
    return 0;
}

static int run_create(struct cli *cli)
{
    const char *name = cli->args.argv[0], *paths[COUNT_OF(pems)] = {NULL};
    json_t *meta = keep(cli, json_pack("{ss s{}}", "Name", name, "Metadata"));
    if (str_equal(name, "default"))
        return complain(cli, "\"default\" is a reserved context name");
    if (strspn(name, NAME_CHARS) != strlen(name) || strlen(name) < 2 || !strchr(NAME_CHARS, *name))
        return complain(cli, "context name \"%s\" is invalid: letters, digits and _.+- make names",
                        name);
    if (is_known(cli, name))
        return complain(cli, "context \"%s\" already exists", name);
    if (args_set(&cli->args, "description"))
        set_text(meta, "Metadata.Description", args_text(&cli->args, "description"));
    if (read_endpoint(cli, meta, paths) < 0)
        return failed(cli);
    for (size_t k = 0; k < COUNT_OF(pems); k++)
        if (paths[k] && write_pem(cli, name, pems[k], paths[k]) < 0)
            return failed(cli);
    char *text = json_dumps(meta, JSON_COMPACT);
    int rc = make_folders(cli, meta_of(cli, name));
    if (rc == 0)
        rc = cli_write(cli, textf(cli, "%s/meta.json", meta_of(cli, name)), text, strlen(text),
                       0644);
    free(text);
    if (rc < 0)
        return failed(cli);
    say(cli, "%s\n", name);
    warn(cli, "Successfully created context \"%s\"\n", name);
    return 0;
}

// ---- use, rm, show, inspect, ls -----------------------------------------------------------------

static int run_use(struct cli *cli)
{
    const char *name = cli->args.argv[0];
    if (!is_known(cli, name))
        return unknown(cli, name);
    if (str_equal(name, "default"))
        json_object_del(cli->config, "currentContext");
    else
        set_text(cli->config, "currentContext", name);
    if (credentials_save_config(cli) < 0)
        return failed(cli);
    say(cli, "%s\n", name);
    if (cli_env("DOCKER_HOST"))
        warn(cli,
             "Warning: DOCKER_HOST environment variable overrides the active context. To use "
             "\"%s\", either set the global --context flag, or unset DOCKER_HOST.\n",
             name);
    return 0;
}

static int remove_one(struct cli *cli, const char *name)
{
    bool current = str_equal(text_at(cli->config, "currentContext"), name);
    if (str_equal(name, "default"))
        return complain(cli, "context \"default\" cannot be removed");
    if (!is_known(cli, name))
        return unknown(cli, name);
    if (current && !args_on(&cli->args, "force"))
        return complain(cli, "context \"%s\" is in use, set -f flag to force remove", name);
    if (dir_remove(tls_of(cli, name), &cli->error) < 0 ||
        dir_remove(meta_of(cli, name), &cli->error) < 0)
        return failed(cli);
    if (current) {
        json_object_del(cli->config, "currentContext");
        if (credentials_save_config(cli) < 0)
            return failed(cli);
    }
    say(cli, "%s\n", name);
    return 0;
}

static int run_rm(struct cli *cli)
{
    return each_argument(cli, remove_one);
}

static const char *current(struct cli *cli)
{
    struct endpoint now;
    const char *name = endpoint_find(cli, &now) == 0 ? now.context : NULL;
    return str_or(name, "default");
}

static int run_show(struct cli *cli)
{
    say(cli, "%s\n", current(cli));
    return 0;
}

static json_t *described(struct cli *cli, const char *name)
{
    size_t size = 0, i;
    json_t *meta, *context, *files = json_object();
    if (str_equal(name, "default")) {
        const char *host = "";
        json_array_foreach(endpoint_contexts(cli), i,
                           context) if (str_equal(text_at(context, "Name"), "default")) host =
            text_at(context, "Host");
        meta = json_pack("{ss s{} s{s{ss sb}}}", "Name", name, "Metadata", "Endpoints", "docker",
                         "Host", host, "SkipTLSVerify", false);
    } else {
        const char *text = cli_read(cli, textf(cli, "%s/meta.json", meta_of(cli, name)), &size);
        meta = text ? json_parse(text, size, &cli->error) : NULL;
    }
    const char *folder = textf(cli, "%s/docker", tls_of(cli, name));
    json_array_foreach(cli_names(cli, folder), i, context)
        json_array_append(array_at(files, "docker"), context);
    if (meta) {
        json_object_set(meta, "TLSMaterial", files);
        json_object_set_new(
            meta, "Storage",
            json_pack("{ss ss}", "MetadataPath", meta_of(cli, name), "TLSPath", tls_of(cli, name)));
    }
    json_decref(files);
    return keep(cli, meta);
}

static int run_inspect(struct cli *cli)
{
    json_t *values = keep(cli, json_array()), *texts = keep(cli, json_array());
    for (int i = 0; i < cli->args.argc || i == 0; i++) {
        const char *name = cli->args.argc ? cli->args.argv[i] : current(cli);
        if (!is_known(cli, name))
            return unknown(cli, name);
        json_t *one = described(cli, name);
        if (!one)
            return failed(cli);
        char *text = json_dumps(one, JSON_COMPACT);
        json_array_append(values, one);
        json_array_append_new(texts, json_string(text));
        free(text);
    }
    return show_objects(cli, values, texts);
}

static int run_ls(struct cli *cli)
{
    static const struct column columns[] = {{"Name", "NAME"},
                                            {"Current", "CURRENT"},
                                            {"Description", "DESCRIPTION"},
                                            {"DockerEndpoint", "ENDPOINT"},
                                            {0}};
    static const struct listing listing = {
        columns,
        "table {{.Name}}{{if eq .Current \"true\"}} *{{end}}\t{{.Description}}\t"
        "{{.DockerEndpoint}}",
        "{{.Name}}", NULL};
    json_t *rows = keep(cli, json_array()), *context;
    size_t i;
    json_array_foreach(endpoint_contexts(cli), i, context)
    {
        json_t *row = row_new(cli, NULL);
        row_set(row, "Name", text_at(context, "Name"));
        row_set(row, "Current", true_at(context, "Current") ? "true" : "false");
        row_set(row, "Description", text_at(context, "Description"));
        row_set(row, "DockerEndpoint", text_at(context, "Host"));
        json_array_append(rows, row);
    }
    return show_list(cli, &listing, rows);
}

// ---- the table ----------------------------------------------------------------------------------

static const struct flag create_flags[] = {
    {"description", 0, FLAG_TEXT, "text", "What it is, for people"},
    {"docker", 0, FLAG_TEXT, "fields", "host=ADDRESS,ca=FILE,cert=FILE,key=FILE,skip-tls-verify="},
    {0},
};
static const struct flag list_flags[] = {
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Print names alone"},
    {0},
};
static const struct flag rm_flags[] = {
    {"force", 'f', FLAG_BOOL, NULL, "Also the one in use"},
    {0},
};
static const struct flag inspect_flags[] = {
    {"format", 'f', FLAG_TEXT, "template", "Print by a Go template, or json"},
    {0},
};

const struct command context_commands[] = {
    {"context create", "[OPTIONS] CONTEXT", "Give a daemon a name", create_flags, run_create, 1, 1,
     0, NULL},
    {"context inspect", "[OPTIONS] [CONTEXT...]", "Show what is known of contexts", inspect_flags,
     run_inspect, 0, COMMAND_MANY, 0, "context"},
    {"context ls", "[OPTIONS]", "List the daemons known by name", list_flags, run_ls, 0, 0, 0,
     NULL},
    {"context rm", "[OPTIONS] CONTEXT [CONTEXT...]", "Forget contexts", rm_flags, run_rm, 1,
     COMMAND_MANY, 0, "context"},
    {"context show", "", "Print the name of the context in use", NULL, run_show, 0, 0, 0, NULL},
    {"context use", "CONTEXT", "Talk to this daemon from now on", NULL, run_use, 1, 1, 0,
     "context"},
    {0},
};
