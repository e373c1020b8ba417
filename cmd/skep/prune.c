#include "cmd/skep/prune.h"

#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/common.h"
#include "cmd/skep/text.h"

const struct flag prune_flags[] = {
    {"filter", 0, FLAG_FILTERS, "filter", "Only those that fit, such as label=x"},
    {"force", 'f', FLAG_BOOL, NULL, "Do not ask"},
    {0},
};
const struct flag prune_all_flags[] = {
    {"all", 'a', FLAG_BOOL, NULL, "All that nobody uses"},
    {"filter", 0, FLAG_FILTERS, "filter", "Only those that fit, such as label=x"},
    {"force", 'f', FLAG_BOOL, NULL, "Do not ask"},
    {0},
};

bool prune_say(struct cli *cli, json_t *gone, const char *list, const char *title)
{
    size_t i;
    json_t *item;
    if (!json_array_size(at(gone, list)))
        return false;
    say(cli, "%s\n", title);
    json_array_foreach(at(gone, list), i, item)
    {
        const char *text = json_string_value(item);
        if (text)
            say(cli, "%s\n", text);
        else if (*text_at(item, "Untagged"))
            say(cli, "untagged: %s\n", text_at(item, "Untagged"));
        else
            say(cli, "deleted: %s\n", text_at(item, "Deleted"));
    }
    return true;
}

int prune_run(struct cli *cli, const struct prune *what, const char *filters)
{
    if (!filters)
        return failed(cli);
    if (what->question && !args_on(&cli->args, "force") &&
        !cli_confirm(cli, textf(cli,
                                "WARNING! This will remove %s.\nAre you sure you want to "
                                "continue?",
                                what->question)))
        return 0;
    json_t *gone = api(
        cli, "POST",
        textf(cli, "%s%s%s", what->target, strchr(what->target, '?') ? "" : "?", filters), NULL);
    if (!gone)
        return failed(cli);
    bool any = prune_say(cli, gone, what->list, what->title);
    if (what->frees)
        say(cli, "%sTotal reclaimed space: %s\n", any ? "\n" : "",
            text_size((double)number_at(gone, "SpaceReclaimed"), &cli->arena));
    return 0;
}
