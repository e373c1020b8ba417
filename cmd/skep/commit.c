// skep commit: an image of what a container changed.
#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/parse.h"

static int run_commit(struct cli *cli)
{
    struct args *args = &cli->args;
    const char *repository = "", *tag = "", *digest = "", *query = "";
    const char *const *changes;
    if (args->argc > 1) {
        const char *name = parse_image(args->argv[1], &cli->arena, &cli->error);
        if (!name)
            return failed(cli);
        parse_image_parts(name, &cli->arena, &repository, &tag, &digest);
        if (*digest)
            return complain(cli, "refusing to create a tag with a digest reference");
    }
    size_t count = args_list(args, "change", &changes);
    for (size_t i = 0; i < count; i++)
        query = textf(cli, "%s%s", query, parameter(cli, "changes", changes[i]));
    bool runs_on = args_set(args, "pause") && !args_on(args, "pause");
    const char *target = textf(cli, "/commit?container=%s%s%s%s%s%s%s", escape(cli, args->argv[0]),
                               parameter(cli, "repo", repository), parameter(cli, "tag", tag),
                               parameter(cli, "comment", args_text(args, "message")),
                               parameter(cli, "author", args_text(args, "author")),
                               runs_on ? "&pause=0" : "", query);
    json_t *made = api(cli, "POST", target, keep(cli, json_object()));
    if (!made)
        return failed(cli);
    say(cli, "%s\n", text_at(made, "Id"));
    return 0;
}

static const struct flag commit_flags[] = {
    {"author", 'a', FLAG_TEXT, "text", "Who made it"},
    {"change", 'c', FLAG_LIST, "instruction", "Dockerfile instruction: CMD, ENV ..."},
    {"message", 'm', FLAG_TEXT, "text", "Note for the history"},
    {"pause", 'p', FLAG_BOOL, NULL, "Let the container stand still meanwhile (default true)"},
    {0},
};

const struct command commit_commands[] = {
    {"container commit", "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
     "Make an image of what a container changed", commit_flags, run_commit, 1, 2, 0, "container"},
    {0},
};
