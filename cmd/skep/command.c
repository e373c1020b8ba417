#include "cmd/skep/command.h"

#include <string.h>

#include "cmd/skep/absent.h"
#include "cmd/skep/text.h"
#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define HELP_INDENT 6
#define PATH_WORDS  2

const struct flag global_flags[] = {
    {"config", 0, FLAG_TEXT, "folder", "Where the configuration of the docker command is"},
    {"context", 'c', FLAG_TEXT, "name", "The context whose daemon to talk to"},
    {"debug", 'D', FLAG_BOOL, NULL, "Say more about what goes wrong"},
    {"host", 'H', FLAG_TEXT, "address", "The daemon's socket: unix:///path, tcp://host:port"},
    {"log-level", 'l', FLAG_TEXT, "level", "Accepted for the sake of scripts"},
    {"tls", 0, FLAG_BOOL, NULL, "Use TLS without looking at the server's certificate"},
    {"tlscacert", 0, FLAG_TEXT, "file", "Trust certificates signed by this one"},
    {"tlscert", 0, FLAG_TEXT, "file", "Our own certificate"},
    {"tlskey", 0, FLAG_TEXT, "file", "Its private key"},
    {"tlsverify", 0, FLAG_BOOL, NULL, "Use TLS and verify the server"},
    {"version", 'v', FLAG_BOOL, NULL, "Print the version"},
    {0},
};

const struct command_group command_groups[] = {
    {"builder", "Caches of builds"},
    {"config", "Configurations given to services"},
    {"container", "Containers of one host"},
    {"context", "Daemons this command knows by name"},
    {"image", "Images of one host"},
    {"network", "Networks"},
    {"node", "Nodes of the swarm"},
    {"secret", "Secrets given to services"},
    {"service", "Services of the swarm"},
    {"stack", "Groups of services described by a compose file"},
    {"swarm", "The swarm itself"},
    {"system", "The daemon"},
    {"volume", "Volumes of one host"},
    {0},
};

const struct command_alias command_aliases[] = {
    {"config list", "config ls"},
    {"context list", "context ls"},
    {"context remove", "context rm"},
    {"config remove", "config rm"},
    {"container list", "container ls"},
    {"container ps", "container ls"},
    {"container remove", "container rm"},
    {"image list", "image ls"},
    {"image remove", "image rm"},
    {"network list", "network ls"},
    {"network remove", "network rm"},
    {"node list", "node ls"},
    {"node remove", "node rm"},
    {"secret list", "secret ls"},
    {"secret remove", "secret rm"},
    {"service list", "service ls"},
    {"service remove", "service rm"},
    {"stack down", "stack rm"},
    {"stack list", "stack ls"},
    {"stack remove", "stack rm"},
    {"stack up", "stack deploy"},
    {"volume list", "volume ls"},
    {"volume remove", "volume rm"},
    // The docker command's short forms.
    {"attach", "container attach"},
    {"commit", "container commit"},
    {"cp", "container cp"},
    {"create", "container create"},
    {"diff", "container diff"},
    {"events", "system events"},
    {"exec", "container exec"},
    {"export", "container export"},
    {"history", "image history"},
    {"images", "image ls"},
    {"import", "image import"},
    {"info", "system info"},
    {"kill", "container kill"},
    {"load", "image load"},
    {"logs", "container logs"},
    {"pause", "container pause"},
    {"port", "container port"},
    {"ps", "container ls"},
    {"pull", "image pull"},
    {"push", "image push"},
    {"rename", "container rename"},
    {"restart", "container restart"},
    {"rm", "container rm"},
    {"rmi", "image rm"},
    {"run", "container run"},
    {"save", "image save"},
    {"start", "container start"},
    {"stats", "container stats"},
    {"stop", "container stop"},
    {"tag", "image tag"},
    {"unpause", "container unpause"},
    {"update", "container update"},
    {"wait", "container wait"},
    {0},
};

static const struct command *const all_commands[] = {
    overview_commands,  swarm_commands,   node_commands,   service_commands,
    stack_commands,     network_commands, secret_commands, run_commands,
    container_commands, image_commands,   volume_commands, system_commands,
    generate_commands,  context_commands, copy_commands,   login_commands,
    stats_commands,     update_commands,  commit_commands, context_move_commands,
    df_commands,
};

const struct command *command_next(size_t *at)
{
    // *at counts rows over all arrays.
    size_t left = (*at)++;
    for (size_t i = 0; i < COUNT_OF(all_commands); i++) {
        const struct command *row = all_commands[i];
        for (; row->path; row++)
            if (left-- == 0)
                return row;
    }
    return NULL;
}

const struct command *command_find(const char *path)
{
    for (const struct command_alias *alias = command_aliases; alias->path; alias++) {
        if (strcmp(alias->path, path) == 0) {
            path = alias->of;
            break;
        }
    }
    const struct command *command;
    for (size_t at = 0; (command = command_next(&at));)
        if (strcmp(command->path, path) == 0)
            return command;
    return NULL;
}

const struct command_group *command_group_find(const char *path)
{
    for (const struct command_group *group = command_groups; group->path; group++)
        if (strcmp(group->path, path) == 0)
            return group;
    return NULL;
}

static void consider(const char *candidate, const char *path, const char **best, unsigned *distance)
{
    unsigned found = text_distance(candidate, path);
    if (found < *distance) {
        *distance = found;
        *best = candidate;
    }
}

const char *command_nearest(const char *path)
{
    const char *best = NULL;
    unsigned distance = strlen(path) > 4 ? 4 : 2;
    const struct command *command;
    for (size_t at = 0; (command = command_next(&at));)
        if (!(command->options & COMMAND_HIDDEN))
            consider(command->path, path, &best, &distance);
    for (const struct command_alias *alias = command_aliases; alias->path; alias++)
        consider(alias->path, path, &best, &distance);
    for (const struct command_group *group = command_groups; group->path; group++)
        consider(group->path, path, &best, &distance);
    return best;
}

// ---- help ---------------------------------------------------------------------------------------

// Words from column `indent` on, wrapped before `width`; the first line is begun already.
static void put_wrapped(const char *text, size_t indent, size_t width, struct buf *out)
{
    size_t column = indent;
    struct str_part word;
    bool first = true;
    for (const char *rest = text; str_split(&rest, ' ', &word); first = false) {
        if (!first && column + 1 + word.len > width) {
            buf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            buf_put_u8(out, ' ');
            column++;
        }
        buf_put(out, word.at, word.len);
        column += word.len;
    }
    buf_put_u8(out, '\n');
}

void help_flags(const struct flag *flags, size_t width, struct arena *arena, struct buf *out)
{
    size_t widest = 0;
    for (const struct flag *flag = flags; flag->name; flag++) {
        size_t used = strlen(flag->name) + (flag->value ? strlen(flag->value) + 1 : 0);
        widest = used > widest ? used : widest;
    }
    size_t indent = HELP_INDENT + 2 + widest + 3;
    for (const struct flag *flag = flags; flag->name; flag++) {
        const char *name = arena_printf(arena, "%s%s%s", flag->name, flag->value ? " " : "",
                                        flag->value ? flag->value : "");
        if (flag->letter)
            buf_printf(out, "  -%c, --%-*s   ", flag->letter, (int)widest, name);
        else
            buf_printf(out, "      --%-*s   ", (int)widest, name);
        put_wrapped(flag->help, indent, width > indent + 20 ? width : indent + 60, out);
    }
}

void help_command(struct cli *cli, const struct command *command, struct buf *out)
{
    size_t width = cli->terminal.columns ? cli->terminal.columns : 100;
    buf_printf(out, "\nUsage:  skep %s%s%s\n\n", command->path, *command->usage ? " " : "",
               command->usage);
    put_wrapped(command->summary, 0, width, out);
    bool titled = false;
    for (const struct command_alias *alias = command_aliases; alias->path; alias++) {
        if (strcmp(alias->of, command->path) != 0)
            continue;
        buf_printf(out, "%sskep %s", titled ? ", " : "\nAliases:\n  ", alias->path);
        titled = true;
    }
    if (titled)
        buf_put_u8(out, '\n');
    if (command->flags && command->flags->name) {
        buf_put_str(out, "\nOptions:\n");
        help_flags(command->flags, width, &cli->arena, out);
    }
}

// The last word of a path below the group; NULL for what is not directly below it.
static const char *name_below(const char *path, const char *group)
{
    if (!*group)
        return strchr(path, ' ') ? NULL : path;
    size_t length = strlen(group);
    return strncmp(path, group, length) == 0 && path[length] == ' ' ? path + length + 1 : NULL;
}

void help_group(struct cli *cli, const char *group, struct buf *out)
{
    size_t width = cli->terminal.columns ? cli->terminal.columns : 100;
    const struct command_group *known = command_group_find(group);
    buf_printf(out, "\nUsage:  skep %s%sCOMMAND\n\n%s\n", group, *group ? " " : "[OPTIONS] ",
               known ? known->summary
                     : "Drives a Skep or Docker swarm: the cluster, its services, its containers");
    if (!*group) {
        buf_put_str(out, "\nGroups:\n");
        for (const struct command_group *row = command_groups; row->path; row++)
            buf_printf(out, "  %-12s %s\n", row->path, row->summary);
    }
    buf_put_str(out, "\nCommands:\n");
    const struct command *command;
    for (size_t at = 0; (command = command_next(&at));) {
        const char *name = name_below(command->path, group);
        if (!name || (command->options & COMMAND_HIDDEN))
            continue;
        buf_printf(out, "  %-12s ", name);
        put_wrapped(command->summary, 15, width, out);
    }
    for (const struct command_alias *alias = command_aliases; !*group && alias->path; alias++) {
        command = strchr(alias->path, ' ') ? NULL : command_find(alias->of);
        if (!command)
            continue;
        buf_printf(out, "  %-12s ", alias->path);
        put_wrapped(command->summary, 15, width, out);
    }
    if (!*group) {
        buf_put_str(out, "\nOptions:\n");
        help_flags(global_flags, width, &cli->arena, out);
    }
    buf_printf(out, "\n`skep %s%sCOMMAND --help` says more about a command.\n", group,
               *group ? " " : "");
}

// ---- dispatch -----------------------------------------------------------------------------------

static int show_help(struct cli *cli, const struct command *command, const char *group)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    if (command)
        help_command(cli, command, &text);
    else
        help_group(cli, group, &text);
    say_bytes(cli, text.data, text.len);
    buf_fini(&text);
    return 0;
}

static int unknown_command(struct cli *cli, const char *path)
{
    const char *near = command_nearest(path), *absent = absent_command(path);
    if (absent)
        return complain(cli, "skep %s: %s", path, absent);
    warn(cli, "skep: '%s' is not a skep command.\n", path);
    if (near)
        warn(cli, "Did you mean `skep %s`?\n", near);
    const char *blank = strchr(path, ' ');
    return complain(cli, "See 'skep %s%s--help'.",
                    blank ? textf(cli, "%.*s", (int)(blank - path), path) : "", blank ? " " : "");
}

static int wrong_count(struct cli *cli, const struct command *command)
{
    const char *plural = command->least == 1 ? "" : "s";
    if (command->most == 0)
        warn(cli, "\"skep %s\" accepts no arguments.\n", command->path);
    else if (command->least == command->most)
        warn(cli, "\"skep %s\" requires exactly %d argument%s.\n", command->path, command->least,
             plural);
    else if (cli->args.argc < command->least)
        warn(cli, "\"skep %s\" requires at least %d argument%s.\n", command->path, command->least,
             plural);
    else
        warn(cli, "\"skep %s\" requires at most %d argument%s.\n", command->path, command->most,
             command->most == 1 ? "" : "s");
    return complain(cli, "See 'skep %s --help'.\n\nUsage:  skep %s %s\n\n%s", command->path,
                    command->path, command->usage, command->summary);
}

static void read_config(struct cli *cli)
{
    const char *folder = args_text(&cli->globals, "config");
    if (!folder)
        folder = cli_env("DOCKER_CONFIG");
    cli->config_folder = folder ? folder : textf(cli, "%s/.docker", cli_home(cli));
    size_t size = 0;
    const char *path = textf(cli, "%s/config.json", cli->config_folder);
    const char *text = cli_read(cli, path, &size);
    json_t *config = text ? keep(cli, json_parse(text, size, &cli->error)) : NULL;
    if (text && !json_is_object(config))
        warn(cli, "WARNING: %s is left out: it is no JSON object\n", path);
    else if (config)
        cli->config = config;
}

static int run_command(struct cli *cli, const struct command *command, int argc, char *const argv[])
{
    static const struct flag no_flags[] = {{0}};
    cli->command = command;
    if (args_parse(&cli->args, command->flags ? command->flags : no_flags,
                   (command->options & COMMAND_STOPS) != 0, argc, argv, &cli->arena,
                   &cli->error) < 0) {
        const char *absent = absent_option(command->path, str_or(cli->args.unknown, ""));
        if (absent)
            err_set(&cli->error, ERR_UNIMPLEMENTED, "--%s: %s", cli->args.unknown, absent);
        warn(cli, "%s\nSee 'skep %s --help'.\n", cli->error.message, command->path);
        return EXIT_USAGE;
    }
    if (cli->args.help)
        return show_help(cli, command, NULL);
    if (cli->args.argc < command->least || cli->args.argc > command->most)
        return wrong_count(cli, command);
    return command->run(cli);
}

// "skep help service create" and "skep service --help".
static int help_for(struct cli *cli, const char *path)
{
    const struct command *command = command_find(path);
    if (command || !*path || command_group_find(path))
        return show_help(cli, command, path);
    return unknown_command(cli, path);
}

int command_main(struct cli *cli, int argc, char *const argv[])
{
    if (args_parse(&cli->globals, global_flags, true, argc, argv, &cli->arena, &cli->error) < 0) {
        warn(cli, "%s\nSee 'skep --help'.\n", cli->error.message);
        return EXIT_USAGE;
    }
    read_config(cli);
    char *const *words = (char *const *)cli->globals.argv;
    int count = cli->globals.argc;
    if (args_on(&cli->globals, "version")) {
        say(cli, "skep version %s\n", SKEP_VERSION);
        return 0;
    }
    if (count && strcmp(words[0], "help") == 0)
        return help_for(cli, count > 2   ? textf(cli, "%s %s", words[1], words[2])
                             : count > 1 ? words[1]
                                         : "");
    if (count == 0 || cli->globals.help)
        return show_help(cli, NULL, "");
    const struct command_group *group = command_group_find(words[0]);
    if (group && count > 1 && words[1][0] == '-' && !str_equal(words[1], "--help") &&
        !str_equal(words[1], "-h")) {
        warn(cli,
             "unknown flag: %s: options stand behind the command, as in `skep %s COMMAND %s`\n"
             "See 'skep %s --help'.\n",
             words[1], words[0], words[1], words[0]);
        return EXIT_USAGE;
    }
    if (group && (count == 1 || words[1][0] == '-'))
        return show_help(cli, NULL, words[0]);
    const char *path = group ? textf(cli, "%s %s", words[0], words[1]) : words[0];
    const struct command *command = command_find(path);
    int used = group ? PATH_WORDS : 1;
    if (!command)
        return unknown_command(cli, path);
    return run_command(cli, command, count - used, words + used);
}
