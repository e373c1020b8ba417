// skep context: the daemons that this command, and docker, know by name.
#include "cmd/skep/context.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/credentials.h"
#include "cmd/skep/endpoint.h"
#include "cmd/skep/format.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

// ---- create, update -----------------------------------------------------------------------------

static int read_pem(struct cli *cli, const char *path, const char **out)
{
    // An empty path takes the file out.
    *out = *path ? cli_read(cli, path, NULL) : NULL;
    return *out || !*path ? 0 : -(int)cli->error.code;
}

// One of host=, ca=, cert=, key=, skip-tls-verify=, from=; `from` was taken before.
static int put_field(struct cli *cli, const struct field *field, struct context *context)
{
    json_t *docker = object_at(context->meta, "Endpoints.docker");
    if (str_equal(field->key, "host")) {
        set_text(docker, "Host", field->value);
        return 0;
    }
    if (str_equal(field->key, "skip-tls-verify")) {
        set_true(docker, "SkipTLSVerify", str_equal(field->value, "true"));
        return 0;
    }
    for (size_t k = 0; k < CONTEXT_PEMS; k++)
        if (str_equal(field->key, context_pems[k]))
            return read_pem(cli, field->value, &context->pem[k]);
    if (str_equal(field->key, "from"))
        return 0;
    return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                   "unrecognized config key: %s (from, host, ca, cert, key, skip-tls-verify)",
                   field->key);
}

// What --docker says into the context: host=...,ca=...,cert=...,key=...,skip-tls-verify=true, or
// from=CONTEXT to begin with another one's.
static int take_endpoint(struct cli *cli, struct context *context)
{
    struct field fields[FIELDS_MAX];
    const char *text = args_text(&cli->args, "docker");
    int count = text ? fields_parse(text, &cli->arena, fields, &cli->error) : 0;
    if (count < 0)
        return err_wrap(&cli->error, "--docker");
    for (int i = 0; i < count; i++) {
        struct context from;
        if (!str_equal(fields[i].key, "from"))
            continue;
        if (context_load(cli, fields[i].value, &from) < 0)
            return -(int)cli->error.code;
        set_at(context->meta, "Endpoints", json_deep_copy(at(from.meta, "Endpoints")));
        memcpy(context->pem, from.pem, sizeof from.pem);
    }
    for (int i = 0; i < count; i++)
        if (put_field(cli, &fields[i], context) < 0)
            return -(int)cli->error.code;
    if (!*text_at(context->meta, "Endpoints.docker.Host"))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "a host is wanted, such as --docker host=tcp://10.0.0.1:2376");
    if (!context->pem[1] != !context->pem[2])
        return err_set(&cli->error, ERR_INVALID_ARGUMENT, "cert and key are needed together");
    return 0;
}

static int run_create(struct cli *cli)
{
    const char *name = cli->args.argv[0], *from = args_text(&cli->args, "from");
    struct context context = {NULL};
    if (context_expect_free(cli, name) < 0)
        return failed(cli);
    if (from && context_load(cli, from, &context) < 0)
        return failed(cli);
    if (!from)
        context.meta = keep(cli, json_pack("{ss s{} s{s{sb}}}", "Name", name, "Metadata",
                                           "Endpoints", "docker", "SkipTLSVerify", false));
    if (args_set(&cli->args, "description"))
        set_text(context.meta, "Metadata.Description", args_text(&cli->args, "description"));
    if (take_endpoint(cli, &context) < 0 || context_store(cli, name, &context) < 0)
        return failed(cli);
    say(cli, "%s\n", name);
    warn(cli, "Successfully created context \"%s\"\n", name);
    return 0;
}

static int run_update(struct cli *cli)
{
    const char *name = cli->args.argv[0];
    struct context context;
    if (str_equal(name, "default"))
        return complain(cli, "the context \"default\" is what --host and DOCKER_HOST say: it "
                             "cannot be updated");
    if (context_load(cli, name, &context) < 0)
        return failed(cli);
    if (args_set(&cli->args, "description"))
        set_text(context.meta, "Metadata.Description", args_text(&cli->args, "description"));
    if (take_endpoint(cli, &context) < 0 || context_store(cli, name, &context) < 0)
        return failed(cli);
    say(cli, "%s\n", name);
    warn(cli, "Successfully updated context \"%s\"\n", name);
    return 0;
}

// ---- use, rm, show, inspect, ls -----------------------------------------------------------------

static int run_use(struct cli *cli)
{
    const char *name = cli->args.argv[0];
    if (context_expect(cli, name) < 0)
        return failed(cli);
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
    if (context_expect(cli, name) < 0)
        return failed(cli);
    if (current && !args_on(&cli->args, "force"))
        return complain(cli, "context \"%s\" is in use, set -f flag to force remove", name);
    if (dir_remove(context_tls_folder(cli, name), &cli->error) < 0 ||
        dir_remove(context_meta_folder(cli, name), &cli->error) < 0)
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
    struct context context;
    if (context_load(cli, name, &context) < 0)
        return NULL;
    json_t *files = object_at(context.meta, "TLSMaterial");
    for (size_t k = 0; k < CONTEXT_PEMS; k++)
        if (context.pem[k])
            json_array_append_new(array_at(files, "docker"),
                                  json_string(textf(cli, "%s.pem", context_pems[k])));
    bool kept = !str_equal(name, "default");
    set_text(context.meta, "Storage.MetadataPath",
             kept ? context_meta_folder(cli, name) : "<IN MEMORY>");
    set_text(context.meta, "Storage.TLSPath", kept ? context_tls_folder(cli, name) : "<IN MEMORY>");
    return context.meta;
}

static int run_inspect(struct cli *cli)
{
    json_t *values = keep(cli, json_array()), *texts = keep(cli, json_array());
    for (int i = 0; i < cli->args.argc || i == 0; i++) {
        const char *name = cli->args.argc ? cli->args.argv[i] : current(cli);
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

#define DOCKER_FLAG                                                                                \
    {                                                                                              \
        "docker", 0, FLAG_TEXT, "fields",                                                          \
            "host=ADDRESS,ca=FILE,cert=FILE,key=FILE,skip-tls-verify=BOOL, from=CONTEXT"           \
    }
static const struct flag create_flags[] = {
    {"description", 0, FLAG_TEXT, "text", "What it is, for people"},
    DOCKER_FLAG,
    {"from", 0, FLAG_TEXT, "context", "Begin with what another context says"},
    {0},
};
static const struct flag update_flags[] = {
    {"description", 0, FLAG_TEXT, "text", "What it is, for people"},
    DOCKER_FLAG,
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
    {"context update", "[OPTIONS] CONTEXT", "Change a context", update_flags, run_update, 1, 1, 0,
     "context"},
    {"context use", "CONTEXT", "Talk to this daemon from now on", NULL, run_use, 1, 1, 0,
     "context"},
    {0},
};
