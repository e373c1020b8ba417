// skep secret and skep config: what services are given as files. The two differ in little more than
// their names.
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/format.h"
#include "cmd/skep/text.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"

static bool is_secret(const struct cli *cli)
{
    return str_starts(cli->command->path, "secret");
}

static const char *root(const struct cli *cli)
{
    return is_secret(cli) ? "/secrets" : "/configs";
}

static int run_create(struct cli *cli)
{
    struct args *args = &cli->args;
    json_t *body = keep(cli, json_object());
    const char *path = args->argc > 1 ? args->argv[1] : NULL;
    const char *driver = is_secret(cli) ? args_text(args, "driver") : NULL;
    if (!path && !driver)
        return complain(cli, "a file with the data is wanted, or - for standard input");
    set_text(body, "Name", args->argv[0]);
    set_at(body, "Labels", json_incref(pairs_object(cli, "label")));
    if (path) {
        size_t size = 0;
        const char *data = cli_read(cli, path, &size);
        if (!data)
            return complain(cli, "cannot read %s: %s", path, cli->error.message);
        struct buf text;
        buf_init(&text, 2 * CLI_FILE_BYTES_MAX);
        base64_encode(BASE64_STD, data, size, &text);
        set_text(body, "Data", str_or(buf_cstr(&text), ""));
        buf_wipe(&text);
        explicit_bzero((void *)data, size);
    }
    if (driver)
        set_text(body, "Driver.Name", driver);
    if (args_set(args, "template-driver"))
        set_text(body, "Templating.Name", args_text(args, "template-driver"));
    json_t *made = api(cli, "POST", textf(cli, "%s/create", root(cli)), body);
    if (!made)
        return failed(cli);
    say(cli, "%s\n", text_at(made, "ID"));
    return 0;
}

static const char *ago(struct cli *cli, const char *moment)
{
    const char *since = text_since(moment, cli_now(), &cli->arena);
    return *since ? textf(cli, "%s ago", since) : "";
}

static int run_ls(struct cli *cli)
{
    static const struct column columns[] = {{"ID", "ID"},
                                            {"Name", "NAME"},
                                            {"Driver", "DRIVER"},
                                            {"CreatedAt", "CREATED"},
                                            {"UpdatedAt", "UPDATED"},
                                            {"Labels", "LABELS"},
                                            {0}};
    static const struct listing secrets = {
        columns, "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}", "{{.ID}}",
        "secretFormat"};
    static const struct listing configs = {
        columns, "table {{.ID}}\t{{.Name}}\t{{.CreatedAt}}\t{{.UpdatedAt}}", "{{.ID}}",
        "configFormat"};
    const char *filters = filters_part(cli);
    json_t *list = filters ? api_get(cli, "%s?%s", root(cli), filters) : NULL;
    if (!list)
        return failed(cli);
    json_t *rows = keep(cli, json_array()), *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        json_t *row = row_new(cli, at(item, "Spec.Labels"));
        row_set(row, "ID", text_at(item, "ID"));
        row_set(row, "Name", text_at(item, "Spec.Name"));
        if (is_secret(cli))
            row_set(row, "Driver", text_at(item, "Spec.Driver.Name"));
        row_set(row, "CreatedAt", ago(cli, text_at(item, "CreatedAt")));
        row_set(row, "UpdatedAt", ago(cli, text_at(item, "UpdatedAt")));
        row_set(row, "Labels", labels_text(cli, at(item, "Spec.Labels")));
        rows_put(rows, row);
    }
    return show_list(cli, is_secret(cli) ? &secrets : &configs, rows);
}

static void say_one(struct cli *cli, json_t *item)
{
    const char *key;
    json_t *value;
    const char *made = text_moment_small(text_at(item, "CreatedAt"), &cli->arena);
    const char *changed = text_moment_small(text_at(item, "UpdatedAt"), &cli->arena);
    // The two kinds have gaps of their own in docker, which scripts cut at.
    say(cli,
        is_secret(cli) ? "ID:              %s\nName:              %s\n"
                       : "ID:\t\t\t%s\nName:\t\t\t%s\n",
        text_at(item, "ID"), text_at(item, "Spec.Name"));
    if (json_object_size(at(item, "Spec.Labels")))
        say(cli, "Labels:\n");
    json_object_foreach(at(item, "Spec.Labels"), key, value)
        say(cli, " - %s=%s\n", key, str_or(json_string_value(value), ""));
    if (is_secret(cli))
        say(cli, "Driver:            %s\nCreated at:        %s\nUpdated at:        %s\n",
            text_at(item, "Spec.Driver.Name"), made, changed);
    else
        say(cli, "Created at:            \t%s\nUpdated at:            \t%s\n", made, changed);
    const char *data = text_at(item, "Spec.Data");
    struct buf plain;
    buf_init(&plain, 1 << 20);
    if (!is_secret(cli) && base64_decode(BASE64_STD, data, strlen(data), &plain))
        say(cli, "Data:\n%s\n", str_or(buf_cstr(&plain), ""));
    buf_fini(&plain);
}

static int run_inspect(struct cli *cli)
{
    if (!wants_pretty(cli))
        return show_inspected(cli, textf(cli, "%s/", root(cli)), "", "?swarm.Secret");
    if (args_on(&cli->args, "pretty") && args_set(&cli->args, "format"))
        return complain(cli, "--format is incompatible with human friendly format");
    for (int i = 0; i < cli->args.argc; i++) {
        json_t *item = api_get(cli, "%s/%s", root(cli), escape(cli, cli->args.argv[i]));
        if (!item)
            return failed(cli);
        say_one(cli, item);
    }
    return 0;
}

static int remove_one(struct cli *cli, const char *name)
{
    return remove_named(cli, textf(cli, "%s/", root(cli)), name, false);
}

static int run_rm(struct cli *cli)
{
    return each_argument(cli, remove_one);
}

static const struct flag secret_flags[] = {
    {"driver", 'd', FLAG_TEXT, "driver", "Where the data comes from"},
    {"label", 'l', FLAG_LABELS, "key=value", "Label of the secret"},
    {"template-driver", 0, FLAG_TEXT, "driver", "The data is a template: golang"},
    {0},
};
static const struct flag config_flags[] = {
    {"label", 'l', FLAG_LABELS, "key=value", "Label of the configuration"},
    {"template-driver", 0, FLAG_TEXT, "driver", "The data is a template: golang"},
    {0},
};
static const struct flag ls_flags[] = {
    {"filter", 'f', FLAG_FILTERS, "filter", "Only those that fit, such as name=tls"},
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Print ids alone"},
    {0},
};
static const struct flag inspect_flags[] = {
    {"format", 'f', FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"pretty", 0, FLAG_BOOL, NULL, "Print what matters, for people"},
    {0},
};

const struct command secret_commands[] = {
    {"config create", "[OPTIONS] CONFIG file|-", "Store a configuration", config_flags, run_create,
     2, 2, 0, "file"},
    {"config inspect", "[OPTIONS] CONFIG [CONFIG...]", "Show configurations", inspect_flags,
     run_inspect, 1, COMMAND_MANY, 0, "config"},
    {"config ls", "[OPTIONS]", "List the configurations", ls_flags, run_ls, 0, 0, 0, NULL},
    {"config rm", "CONFIG [CONFIG...]", "Remove configurations", NULL, run_rm, 1, COMMAND_MANY, 0,
     "config"},
    {"secret create", "[OPTIONS] SECRET [file|-]", "Store a secret", secret_flags, run_create, 1, 2,
     0, "file"},
    {"secret inspect", "[OPTIONS] SECRET [SECRET...]",
     "Show what is known of secrets, not their data", inspect_flags, run_inspect, 1, COMMAND_MANY,
     0, "secret"},
    {"secret ls", "[OPTIONS]", "List the secrets", ls_flags, run_ls, 0, 0, 0, NULL},
    {"secret rm", "SECRET [SECRET...]", "Remove secrets", NULL, run_rm, 1, COMMAND_MANY, 0,
     "secret"},
    {0},
};
