// What is made from the command table: completion for three shells, and man pages.
#include <ctype.h>
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/endpoint.h"
#include "proto/base/str.h"

// ---- completion ---------------------------------------------------------------------------------

// The shells ask us: `skep __complete WORD...` prints what the last word may become.
static const char bash_script[] =
    "# Completion of skep for bash.\n"
    "_skep()\n"
    "{\n"
    "  mapfile -t COMPREPLY < <(\n"
    "    skep __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "}\n"
    "complete -o default -F _skep skep\n";

static const char zsh_script[] =
    "#compdef skep\n"
    "# Completion of skep for zsh.\n"
    "_skep()\n"
    "{\n"
    "  local -a words_found\n"
    "  words_found=(${(f)\"$(skep __complete -- \"${(@)words[2,$CURRENT]}\" 2>/dev/null)\"})\n"
    "  if (( $#words_found )); then compadd -a words_found; else _files; fi\n"
    "}\n"
    // From a folder of $fpath the file is the function's body, else it is sourced.
    "if [[ $funcstack[1] == _skep ]]; then _skep \"$@\"; else compdef _skep skep; fi\n";

static const char fish_script[] =
    "# Completion of skep for fish.\n"
    "function __skep_complete\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    set -l found (skep __complete -- $words[2..-1] 2>/dev/null)\n"
    "    if count $found >/dev/null\n"
    "        printf '%s\\n' $found\n"
    "    else\n"
    "        __fish_complete_path (commandline -ct)\n"
    "    end\n"
    "end\n"
    "complete -c skep -f -a '(__skep_complete)'\n";

static int run_completion(struct cli *cli)
{
    static const struct {
        const char *shell, *script;
    } scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        if (str_equal(scripts[i].shell, cli->args.argv[0])) {
            say(cli, "%s", scripts[i].script);
            return 0;
        }
    }
    return complain(cli, "there is completion for bash, zsh and fish");
}

static void offer(struct cli *cli, const char *word, const char *begun)
{
    if (str_starts(word, begun))
        say(cli, "%s\n", word);
}

static void offer_flags(struct cli *cli, const struct flag *flags, const char *begun)
{
    for (; flags && flags->name; flags++)
        offer(cli, textf(cli, "--%s", flags->name), begun);
    offer(cli, "--help", begun);
}

// Words that may stand at this place: what follows `group` in the paths of the commands.
static void offer_commands(struct cli *cli, const char *group, const char *begun)
{
    const struct command *command;
    size_t length = strlen(group);
    for (size_t at_row = 0; (command = command_next(&at_row));) {
        const char *path = command->path;
        if (command->options & COMMAND_HIDDEN)
            continue;
        if (!length && !strchr(path, ' '))
            offer(cli, path, begun);
        else if (length && strncmp(path, group, length) == 0 && path[length] == ' ')
            offer(cli, path + length + 1, begun);
    }
    for (const struct command_group *row = command_groups; !length && row->path; row++)
        offer(cli, row->path, begun);
    for (const struct command_alias *row = command_aliases; !length && row->path; row++)
        if (!strchr(row->path, ' ') && command_find(row->of))
            offer(cli, row->path, begun);
}

// Names the daemon knows. A daemon that does not answer offers nothing.
static void offer_names(struct cli *cli, const char *kind, const char *begun)
{
    static const struct {
        const char *kind, *target, *list, *name;
    } kinds[] = {{"service", "/services", NULL, "Spec.Name"},
                 {"node", "/nodes", NULL, "Description.Hostname"},
                 {"network", "/networks", NULL, "Name"},
                 {"secret", "/secrets", NULL, "Spec.Name"},
                 {"config", "/configs", NULL, "Spec.Name"},
                 {"volume", "/volumes", "Volumes", "Name"},
                 {"container", "/containers/json?all=1", NULL, "Names"},
                 {"image", "/images/json", NULL, "RepoTags"}};
    size_t at_context;
    json_t *context;
    if (str_equal(kind, "context"))
        json_array_foreach(endpoint_contexts(cli), at_context, context)
            offer(cli, text_at(context, "Name"), begun);
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        if (!str_equal(kinds[k].kind, kind))
            continue;
        json_t *list = api_get(cli, "%s", kinds[k].target), *item, *name;
        size_t i, j;
        if (list && kinds[k].list)
            list = at(list, kinds[k].list);
        json_array_foreach(list, i, item)
        {
            if (*text_at(item, kinds[k].name))
                offer(cli, text_at(item, kinds[k].name), begun);
            json_array_foreach(at(item, kinds[k].name), j, name)
            {
                const char *text = str_or(json_string_value(name), "");
                offer(cli, text + (*text == '/'), begun);
            }
        }
        return;
    }
    struct str_part word; // a list of words
    for (const char *rest = kind; str_split(&rest, ' ', &word);)
        if (strchr(kind, ' '))
            offer(cli, arena_strndup(&cli->arena, word.at, word.len), begun);
}

// What the value of an option may be: a kind of name, or a list of words. Of the others, a value is
// a file or cannot be guessed, and nothing is offered: the shell offers files then.
static const char *value_kind(const struct command *command, const char *option)
{
    static const struct {
        const char *option, *kind;
    } kinds[] = {
        {"availability", "active pause drain"},
        {"config-add", "config"},
        {"config-rm", "config"},
        {"context", "context"},
        {"endpoint-mode", "vip dnsrr"},
        {"from", "context"},
        {"mode", "replicated global replicated-job global-job"},
        {"network", "network"},
        {"network-add", "network"},
        {"network-rm", "network"},
        {"pull", "always missing never"},
        {"resolve-image", "always changed never"},
        {"restart", "no always on-failure unless-stopped"},
        {"restart-condition", "none on-failure any"},
        {"role", "worker manager"},
        {"rollback-failure-action", "pause continue"},
        {"rollback-order", "start-first stop-first"},
        {"secret", "secret"},
        {"secret-add", "secret"},
        {"secret-rm", "secret"},
        {"update-failure-action", "pause continue rollback"},
        {"update-order", "start-first stop-first"},
        {"volumes-from", "container"},
    };
    if (str_equal(option, "config") && command)
        return "config"; // before the command it is a folder
    if (str_equal(option, "driver") && command && str_equal(command->path, "network create"))
        return "overlay bridge macvlan ipvlan";
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (str_equal(option, kinds[i].option))
            return kinds[i].kind;
    return "";
}

// The option whose value the word after `before` is; NULL when that word is no value.
static const struct flag *flag_before(const struct flag *flags, const char *before)
{
    bool is_long = str_starts(before, "--");
    if (*before != '-' || strchr(before, '=') || (!is_long && strlen(before) != 2))
        return NULL;
    for (; flags && flags->name; flags++)
        if (is_long ? str_equal(flags->name, before + 2) : flags->letter == before[1])
            return flags->kind == FLAG_BOOL || flags->kind == FLAG_TRUE ? NULL : flags;
    return NULL;
}

static int run_complete(struct cli *cli)
{
    const char *const *words = cli->args.argv;
    int count = cli->args.argc, first = 0;
    const char *begun = count ? words[count - 1] : "";
    // Options of the whole program before the command, with their values.
    while (first < count - 1 && words[first][0] == '-')
        first += strchr(words[first], '=') || str_equal(words[first], "-D") ? 1 : 2;
    int left = count - first;
    const char *before = count > 1 ? words[count - 2] : "";
    const struct flag *flag = left <= 1 ? flag_before(global_flags, before) : NULL;
    if (flag) {
        offer_names(cli, value_kind(NULL, flag->name), begun);
        return 0;
    }
    if (left <= 1) {
        if (*begun == '-')
            offer_flags(cli, global_flags, begun);
        else
            offer_commands(cli, "", begun);
        return 0;
    }
    bool grouped = command_group_find(words[first]) != NULL;
    if (grouped && left == 2) {
        offer_commands(cli, words[first], begun);
        return 0;
    }
    const struct command *command =
        command_find(grouped ? textf(cli, "%s %s", words[first], words[first + 1]) : words[first]);
    if (!command)
        return 0;
    flag = flag_before(command->flags, before);
    if (flag)
        offer_names(cli, value_kind(command, flag->name), begun);
    else if (*begun == '-')
        offer_flags(cli, command->flags, begun);
    else if (command->completes && !str_equal(command->completes, "file"))
        offer_names(cli, command->completes, begun);
    return 0;
}

// ---- man pages ----------------------------------------------------------------------------------

// Text for troff: '-' is a minus, '\' and a leading '.' or '\'' mean nothing, and a line may end
// after a comma (fields of values are longer than a line).
static void put_roff(struct buf *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        buf_put_str(out, "\\&");
    for (; *text; text++) {
        if (*text == '-')
            buf_put_str(out, "\\-");
        else if (*text == '\\')
            buf_put_str(out, "\\e");
        else if (*text == ',')
            buf_put_str(out, ",\\:");
        else
            buf_put_u8(out, (uint8_t)*text);
    }
}

static void put_options(struct buf *out, const struct flag *flags)
{
    for (; flags && flags->name; flags++) {
        buf_put_str(out, ".TP\n");
        if (flags->letter)
            buf_printf(out, "\\fB\\-%c\\fR, ", flags->letter);
        buf_put_str(out, "\\fB\\-\\-");
        put_roff(out, flags->name);
        buf_put_str(out, "\\fR");
        if (flags->value)
            buf_printf(out, " \\fI%s\\fR", flags->value);
        buf_put_u8(out, '\n');
        put_roff(out, flags->help);
        buf_put_u8(out, '\n');
    }
}

static void put_command(struct buf *out, const struct command *command)
{
    buf_put_str(out, ".SS ");
    put_roff(out, command->path);
    buf_put_str(out, "\n\\fBskep ");
    put_roff(out, command->path);
    buf_put_str(out, "\\fR ");
    put_roff(out, command->usage);
    buf_put_str(out, "\n.PP\n");
    put_roff(out, command->summary);
    buf_put_str(out, ".\n");
    put_options(out, command->flags);
}

static bool in_group(const struct command *command, const char *group)
{
    size_t length = strlen(group);
    if (command->options & COMMAND_HIDDEN)
        return false;
    return length ? strncmp(command->path, group, length) == 0 && command->path[length] == ' '
                  : !strchr(command->path, ' ');
}

// `skep __man` is the page skep(1), `skep __man service` is skep-service(1).
static int run_man(struct cli *cli)
{
    const char *group = cli->args.argc ? cli->args.argv[0] : "";
    const struct command_group *known = command_group_find(group);
    struct buf out;
    buf_init(&out, 1 << 22);
    if (*group && !known)
        return complain(cli, "there is no group %s", group);
    char title[32];
    str_copy(title, sizeof title, group);
    for (char *at = title; *at; at++)
        *at = (char)toupper((unsigned char)*at);
    buf_printf(&out, ".TH SKEP%s%s 1 \"\" \"skep %s\" \"Skep\"\n.ad l\n.SH NAME\nskep",
               *group ? "\\-" : "", title, SKEP_VERSION);
    buf_printf(&out, "%s%s \\- ", *group ? "\\-" : "", group);
    put_roff(&out, known ? known->summary : "drive a Skep or Docker swarm");
    buf_printf(&out, "\n.SH SYNOPSIS\n\\fBskep\\fR [\\fIoptions\\fR] %s \\fIcommand\\fR ...\n",
               group);
    if (!*group) {
        buf_put_str(&out,
                    ".SH DESCRIPTION\nSpeaks the Engine API to\n.BR skepd (8)\nor to a Docker "
                    "engine: at \\-\\-host, DOCKER_HOST, the current context of the docker "
                    "command, /run/skep/skep.sock, or /var/run/docker.sock.\n.SH OPTIONS\n");
        put_options(&out, global_flags);
    }
    buf_put_str(&out, ".SH COMMANDS\n");
    const struct command *command;
    for (size_t at_row = 0; (command = command_next(&at_row));)
        if (in_group(command, group))
            put_command(&out, command);
    if (!*group) {
        buf_put_str(&out, ".SH SHORT FORMS\n");
        for (const struct command_alias *alias = command_aliases; alias->path; alias++)
            if (!strchr(alias->path, ' ') && command_find(alias->of))
                buf_printf(&out, ".TP\n\\fBskep %s\\fR\nis \\fBskep %s\\fR\n", alias->path,
                           alias->of);
        buf_put_str(&out,
                    ".SH EXIT STATUS\n0 when all went well, 1 when something failed, 125 for a "
                    "command line that cannot be understood; \\fBrun\\fR and \\fBexec\\fR end "
                    "with the container's own.\n.SH SEE ALSO\n");
        for (const struct command_group *row = command_groups; row->path; row++)
            buf_printf(&out, "%s.BR skep\\-%s (1)", row == command_groups ? "" : ",\n", row->path);
        buf_put_u8(&out, '\n');
    }
    say_bytes(cli, out.data, out.len);
    buf_fini(&out);
    return 0;
}

// The groups that have a page of their own, one a line.
static int run_groups(struct cli *cli)
{
    for (const struct command_group *row = command_groups; row->path; row++)
        say(cli, "%s\n", row->path);
    return 0;
}

static const struct flag completion_flags[] = {
    {"no-descriptions", 0, FLAG_BOOL, NULL, "Accepted: there are none"},
    {0},
};

const struct command generate_commands[] = {
    {"__groups", "", "Print the groups of commands", NULL, run_groups, 0, 0, COMMAND_HIDDEN, NULL},
    {"completion", "bash|zsh|fish", "Print what makes a shell complete our commands",
     completion_flags, run_completion, 1, 1, 0, "bash zsh fish"},
    {"__complete", "WORD...", "Print what the last word may become", NULL, run_complete, 0,
     COMMAND_MANY, COMMAND_STOPS | COMMAND_HIDDEN, NULL},
    {"__man", "[GROUP]", "Print a man page", NULL, run_man, 0, 1, COMMAND_HIDDEN, NULL},
    {0},
};
