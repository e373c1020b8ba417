// skep image: the images of one host.
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/credentials.h"
#include "cmd/skep/container.h"
#include "cmd/skep/file_fd_io.h"
#include "cmd/skep/format.h"
#include "cmd/skep/parse.h"
#include "cmd/skep/prune.h"
#include "cmd/skep/service_spec.h"
#include "cmd/skep/text.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define LINE_BYTES_MAX (1u << 20)

// ---- streams of messages ------------------------------------------------------------------------

// Lines of JSON that tell how something goes.
struct messages {
    struct cli *cli;
    struct buf line;
    bool quiet, failed;
    const char *last; // what was said last, not to repeat it
};

static void say_message(struct messages *messages, const char *line, size_t size)
{
    struct cli *cli = messages->cli;
    json_t *message = keep(cli, json_parse(line, size, NULL));
    const char *error = text_at(message, "error"), *status = text_at(message, "status");
    const char *id = text_at(message, "id"), *text = text_at(message, "stream");
    if (*error) {
        err_set(&cli->error, ERR_UNKNOWN, "%s", error);
        messages->failed = true;
        return;
    }
    const char *said = *text     ? text
                       : *id     ? textf(cli, "%s: %s\n", id, status)
                       : *status ? textf(cli, "%s\n", status)
                                 : "";
    if (messages->quiet || str_equal(said, messages->last))
        return;
    messages->last = said;
    say(cli, "%s", said);
    say_flush(cli);
}

static bool take_messages(void *owner, const uint8_t *bytes, size_t size)
{
    struct messages *messages = owner;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != '\n' && bytes[i] != '\r') {
            buf_put_u8(&messages->line, bytes[i]);
            continue;
        }
        if (messages->line.len)
            say_message(messages, (char *)messages->line.data, messages->line.len);
        buf_clear(&messages->line);
    }
    return true;
}

static int follow(struct cli *cli, struct stream_request *request, bool quiet)
{
    struct messages messages = {.cli = cli, .quiet = quiet, .last = ""};
    buf_init(&messages.line, LINE_BYTES_MAX);
    request->method = "POST";
    request->on_data = take_messages;
    request->owner = &messages;
    int result = stream_run(cli, request);
    if (messages.line.len)
        say_message(&messages, (char *)messages.line.data, messages.line.len);
    buf_fini(&messages.line);
    return result < 0 || messages.failed ? 1 : 0;
}

// A name with --all-tags is that of a repository.
static bool is_repository(struct cli *cli, const char *image)
{
    const char *repository, *tag, *digest;
    parse_image_parts(image, &cli->arena, &repository, &tag, &digest);
    if (!*tag && !*digest)
        return true;
    err_set(&cli->error, ERR_INVALID_ARGUMENT, "tag can't be used with --all-tags/-a");
    return false;
}

static int fetch(struct cli *cli, const char *image, const char *platform, bool all, bool quiet)
{
    const char *name = parse_image(image, &cli->arena, &cli->error), *repository, *tag, *digest;
    if (!name || (all && !is_repository(cli, image)))
        return 1;
    parse_image_parts(name, &cli->arena, &repository, &tag, &digest);
    if (all)
        tag = "";
    struct stream_request request = {.target = textf(cli, "/images/create?fromImage=%s%s%s",
                                                     escape(cli, repository),
                                                     parameter(cli, "tag", *digest ? digest : tag),
                                                     parameter(cli, "platform", platform)),
                                     .registry_auth = credentials_header(cli, name),
                                     .upload_fd = -1};
    return follow(cli, &request, quiet);
}

int image_fetch(struct cli *cli, const char *image, const char *platform, bool quiet)
{
    return fetch(cli, image, platform, false, quiet);
}

static int run_pull(struct cli *cli)
{
    const char *image = cli->args.argv[0];
    bool quiet = args_on(&cli->args, "quiet");
    bool all = args_on(&cli->args, "all-tags");
    if (fetch(cli, image, args_text(&cli->args, "platform"), all, quiet) != 0)
        return failed(cli);
    say(cli, "%s\n", all ? image : parse_image(image, &cli->arena, NULL));
    return 0;
}

static int run_push(struct cli *cli)
{
    const char *name = parse_image(cli->args.argv[0], &cli->arena, &cli->error);
    const char *repository, *tag, *digest;
    bool all = args_on(&cli->args, "all-tags");
    if (!name || (all && !is_repository(cli, cli->args.argv[0])))
        return failed(cli);
    parse_image_parts(name, &cli->arena, &repository, &tag, &digest);
    if (!all && !args_on(&cli->args, "quiet") && is_repository(cli, cli->args.argv[0]))
        say(cli, "Using default tag: latest\n");
    struct stream_request request = {
        .target = textf(cli, "/images/%s/push?%s", repository,
                        all ? "" : textf(cli, "tag=%s", escape(cli, tag))),
        // A push without this header is refused, also where no password is needed.
        .registry_auth = str_or(credentials_header(cli, name), "e30="),
        .upload_fd = -1};
    return follow(cli, &request, args_on(&cli->args, "quiet")) ? failed(cli) : 0;
}

// Sends a file, or standard input, as a tar archive.
static int upload(struct cli *cli, const char *target, const char *path, bool quiet)
{
    int fd = file_fd_open(path, &cli->error);
    if (fd < 0)
        return failed(cli);
    struct stream_request request = {
        .target = target, .upload_fd = fd, .upload_type = "application/x-tar"};
    int status = follow(cli, &request, quiet);
    file_fd_close(fd);
    return status ? failed(cli) : 0;
}

static int run_load(struct cli *cli)
{
    const char *path = str_or(args_text(&cli->args, "input"), "-");
    if (str_equal(path, "-") && cli->terminal.in)
        return complain(cli, "requested load from stdin, but stdin is empty");
    bool quiet = args_on(&cli->args, "quiet");
    return upload(cli, textf(cli, "/images/load?quiet=%d", quiet), path, false);
}

static int run_import(struct cli *cli)
{
    struct args *args = &cli->args;
    const char *source = args->argv[0], *repository = "", *tag = "", *digest, *query = "";
    const char *const *changes;
    bool remote = strstr(source, "://") != NULL;
    if (args->argc > 1)
        parse_image_parts(args->argv[1], &cli->arena, &repository, &tag, &digest);
    size_t count = args_list(args, "change", &changes);
    for (size_t i = 0; i < count; i++)
        query = textf(cli, "%s%s", query, parameter(cli, "changes", changes[i]));
    const char *target =
        textf(cli, "/images/create?fromSrc=%s%s%s%s%s%s", escape(cli, remote ? source : "-"),
              parameter(cli, "repo", repository), parameter(cli, "tag", tag),
              parameter(cli, "message", args_text(args, "message")),
              parameter(cli, "platform", args_text(args, "platform")), query);
    if (!remote)
        return upload(cli, target, source, false);
    struct stream_request request = {.target = target, .upload_fd = -1};
    return follow(cli, &request, false) ? failed(cli) : 0;
}

// ---- saving -------------------------------------------------------------------------------------

static int download(struct cli *cli, const char *target)
{
    const char *path = args_text(&cli->args, "output");
    if (!path && cli->terminal.out)
        return complain(cli,
                        "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    return file_fd_download(cli, target, path) < 0 ? failed(cli) : 0;
}

static int run_save(struct cli *cli)
{
    const char *names = "";
    for (int i = 0; i < cli->args.argc; i++)
        names = textf(cli, "%s&names=%s", names, escape(cli, cli->args.argv[i]));
    return download(cli, textf(cli, "/images/get?%s", names + 1));
}

static int run_export(struct cli *cli)
{
    return download(cli, textf(cli, "/containers/%s/export", escape(cli, cli->args.argv[0])));
}

// ---- ls -----------------------------------------------------------------------------------------

static json_t *image_row(struct cli *cli, json_t *image, const char *name)
{
    bool full = args_on(&cli->args, "no-trunc");
    const char *repository = "<none>", *tag = "", *digest = "";
    if (name && !str_starts(name, "<none>"))
        parse_image_parts(name, &cli->arena, &repository, &tag, &digest);
    struct wall made = {.ns = number_at(image, "Created") * NS_PER_S};
    char moment[WALL_TEXT_BYTES];
    json_t *row = row_new(cli, at(image, "Labels"));
    row_set(row, "ID",
            full ? text_at(image, "Id") : text_short_id(text_at(image, "Id"), &cli->arena));
    row_set(row, "Repository", repository);
    row_set(row, "Tag", *tag ? tag : "<none>");
    row_set(row, "Digest", *digest ? digest : "<none>");
    row_set(row, "CreatedSince",
            textf(cli, "%s ago", text_span(wall_since(cli_now(), made), &cli->arena)));
    row_set(row, "CreatedAt", text_moment(wall_format(made, moment), &cli->arena));
    double size = (double)number_at(image, "Size");
    row_set(row, "Size", text_size_short(size, &cli->arena));
    row_set(row, "VirtualSize", text_size(size, &cli->arena));
    row_set(row, "SharedSize", "N/A");
    row_set(row, "UniqueSize", "N/A");
    row_set(row, "Containers", "N/A");
    return row;
}

static int run_images(struct cli *cli)
{
    static const struct column columns[] = {{"ID", "IMAGE ID"},
                                            {"Repository", "REPOSITORY"},
                                            {"Tag", "TAG"},
                                            {"Digest", "DIGEST"},
                                            {"CreatedSince", "CREATED"},
                                            {"CreatedAt", "CREATED AT"},
                                            {"Size", "SIZE"},
                                            {"VirtualSize", "SIZE"},
                                            {"SharedSize", "SHARED SIZE"},
                                            {"UniqueSize", "UNIQUE SIZE"},
                                            {"Containers", "CONTAINERS"},
                                            {0}};
    static const struct listing plain = {
        columns, "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
        "{{.ID}}", "imagesFormat"};
    static const struct listing digests = {
        columns,
        "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
        "{{.ID}}", "imagesFormat"};
    struct args *args = &cli->args;
    const char *filters =
        args->argc ? filters_with(cli, "reference", args->argv[0]) : filters_part(cli);
    json_t *images =
        filters ? api_get(cli, "/images/json?all=%d&digests=1%s", args_on(args, "all"), filters)
                : NULL;
    if (!images)
        return failed(cli);
    json_t *rows = keep(cli, json_array()), *image, *name;
    size_t i, j;
    json_array_foreach(images, i, image)
    {
        if (json_array_size(at(image, "RepoTags")) == 0)
            json_array_append(
                rows, image_row(cli, image,
                                json_string_value(json_array_get(at(image, "RepoDigests"), 0))));
        json_array_foreach(at(image, "RepoTags"), j, name)
            json_array_append(rows, image_row(cli, image, json_string_value(name)));
    }
    return show_list(cli, args_on(args, "digests") ? &digests : &plain, rows);
}

static int run_history(struct cli *cli)
{
    static const struct column columns[] = {{"ID", "IMAGE"},
                                            {"CreatedSince", "CREATED"},
                                            {"CreatedAt", "CREATED AT"},
                                            {"CreatedBy", "CREATED BY"},
                                            {"Size", "SIZE"},
                                            {"Comment", "COMMENT"},
                                            {0}};
    static const struct listing listing = {
        columns, "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
        "{{.ID}}", NULL};
    json_t *history = api_get(cli, "/images/%s/history", cli->args.argv[0]), *layer;
    struct args *args = &cli->args;
    bool full = args_on(args, "no-trunc");
    bool human = !args_set(args, "human") || args_on(args, "human");
    if (!history)
        return failed(cli);
    json_t *rows = keep(cli, json_array());
    size_t i;
    json_array_foreach(history, i, layer)
    {
        json_t *row = row_new(cli, NULL);
        const char *id = text_at(layer, "Id"), *by = text_at(layer, "CreatedBy");
        struct wall made = {.ns = number_at(layer, "Created") * NS_PER_S};
        char moment[WALL_TEXT_BYTES];
        row_set(row, "ID", full ? id : text_short_id(id, &cli->arena));
        wall_format(made, moment);
        row_set(row, "CreatedSince",
                human ? textf(cli, "%s ago", text_span(wall_since(cli_now(), made), &cli->arena))
                      : moment);
        row_set(row, "CreatedAt", moment);
        row_set(row, "CreatedBy", full ? by : text_cut(by, 45, &cli->arena));
        row_set(row, "Size",
                human ? text_size_short((double)number_at(layer, "Size"), &cli->arena)
                      : textf(cli, "%lld", (long long)number_at(layer, "Size")));
        row_set(row, "Comment", text_at(layer, "Comment"));
        json_array_append(rows, row);
    }
    return show_list(cli, &listing, rows);
}

static int run_inspect(struct cli *cli)
{
    return show_inspected(cli, "/images/", "/json", "?image.InspectResponse");
}

static int remove_one(struct cli *cli, const char *name)
{
    struct args *args = &cli->args;
    json_t *gone = api(cli, "DELETE",
                       textf(cli, "/images/%s?%s%s", name, args_on(args, "force") ? "force=1&" : "",
                             args_on(args, "no-prune") ? "noprune=1" : ""),
                       NULL);
    json_t *item;
    size_t i;
    if (!gone)
        return failed(cli);
    json_array_foreach(gone, i, item)
    {
        if (*text_at(item, "Untagged"))
            say(cli, "Untagged: %s\n", text_at(item, "Untagged"));
        else
            say(cli, "Deleted: %s\n", text_at(item, "Deleted"));
    }
    return 0;
}

static int run_rm(struct cli *cli)
{
    return each_argument(cli, remove_one);
}

static int run_tag(struct cli *cli)
{
    const char *name = parse_image(cli->args.argv[1], &cli->arena, &cli->error);
    const char *repository, *tag, *digest;
    if (!name)
        return complain(cli, "Error parsing reference: \"%s\" is not a valid repository/tag: %s",
                        cli->args.argv[1], cli->error.message);
    parse_image_parts(name, &cli->arena, &repository, &tag, &digest);
    const char *target = textf(cli, "/images/%s/tag?repo=%s&tag=%s", cli->args.argv[0],
                               escape(cli, repository), escape(cli, tag));
    return api(cli, "POST", target, NULL) ? 0 : failed(cli);
}

static int run_prune(struct cli *cli)
{
    bool all = args_on(&cli->args, "all");
    const struct prune images = {
        .target = "/images/prune",
        .list = "ImagesDeleted",
        .title = "Deleted Images:",
        .question = all ? "all images without at least one container associated to them"
                        : "all dangling images",
        .frees = true,
    };
    return prune_run(cli, &images, filters_with(cli, "dangling", all ? "false" : "true"));
}

// ---- search -------------------------------------------------------------------------------------

static int run_search(struct cli *cli)
{
    static const struct column columns[] = {
        {"Name", "NAME"},           {"Description", "DESCRIPTION"}, {"StarCount", "STARS"},
        {"IsOfficial", "OFFICIAL"}, {"IsAutomated", "AUTOMATED"},   {0}};
    static const struct listing listing = {
        columns, "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}", NULL, NULL};
    const char *term = cli->args.argv[0], *filters = filters_part(cli);
    int64_t limit = args_number(&cli->args, "limit", 0);
    bool full = args_on(&cli->args, "no-trunc");
    if (!filters)
        return failed(cli);
    const char *target = textf(cli, "/images/search?term=%s%s%s", escape(cli, term),
                               limit ? textf(cli, "&limit=%lld", (long long)limit) : "", filters);
    json_t *found = api_auth(cli, "GET", target, NULL, credentials_header(cli, term)), *image;
    if (!found)
        return failed(cli);
    json_t *rows = keep(cli, json_array());
    size_t i;
    json_array_foreach(found, i, image)
    {
        json_t *row = row_new(cli, NULL);
        const char *description = text_printable(text_at(image, "description"), &cli->arena);
        row_set(row, "Name", text_at(image, "name"));
        row_set(row, "Description", full ? description : text_cut(description, 45, &cli->arena));
        row_set(row, "StarCount", textf(cli, "%lld", (long long)number_at(image, "star_count")));
        row_set(row, "IsOfficial", true_at(image, "is_official") ? "[OK]" : "");
        row_set(row, "IsAutomated", true_at(image, "is_automated") ? "[OK]" : "");
        json_array_append(rows, row);
    }
    return show_list(cli, &listing, rows);
}

// ---- the table ----------------------------------------------------------------------------------

#define FORMAT_FLAG                                                                                \
    {                                                                                              \
        "format", 'f', FLAG_TEXT, "template", "Print by a Go template, or json"                    \
    }
#define TRUST_FLAG                                                                                 \
    {                                                                                              \
        "disable-content-trust", 0, FLAG_TRUE, NULL, "Accepted: signatures are never looked at"    \
    }
static const struct flag pull_flags[] = {
    {"all-tags", 'a', FLAG_BOOL, NULL, "All images of the repository"},
    TRUST_FLAG,
    {"platform", 0, FLAG_TEXT, "platform", "Platform of the image"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Show no progress"},
    {0},
};
static const struct flag push_flags[] = {
    {"all-tags", 'a', FLAG_BOOL, NULL, "All images of the repository"},
    TRUST_FLAG,
    {"quiet", 'q', FLAG_BOOL, NULL, "Show no progress"},
    {0},
};
static const struct flag load_flags[] = {
    {"input", 'i', FLAG_TEXT, "file", "The archive (default standard input)"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Show no progress"},
    {0},
};
static const struct flag import_flags[] = {
    {"change", 'c', FLAG_LIST, "instruction", "Dockerfile instruction: CMD, ENV ..."},
    {"message", 'm', FLAG_TEXT, "text", "Note for the history"},
    {"platform", 0, FLAG_TEXT, "platform", "Platform of the image"},
    {0},
};
static const struct flag save_flags[] = {
    {"output", 'o', FLAG_TEXT, "file", "Write there (default standard output)"},
    {0},
};
static const struct flag images_flags[] = {
    {"all", 'a', FLAG_BOOL, NULL, "Also those between"},
    {"digests", 0, FLAG_BOOL, NULL, "Show digests"},
    {"filter", 'f', FLAG_FILTERS, "filter", "Only images that fit, such as dangling=true"},
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"no-trunc", 0, FLAG_BOOL, NULL, "Do not shorten ids"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Print ids alone"},
    {0},
};
static const struct flag history_flags[] = {
    {"human", 'H', FLAG_BOOL, NULL, "Sizes and ages for people (default true)"},
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"no-trunc", 0, FLAG_BOOL, NULL, "Do not shorten anything"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Print ids alone"},
    {0},
};
static const struct flag search_flags[] = {
    {"filter", 'f', FLAG_FILTERS, "filter", "Only images that fit, such as is-official=true"},
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"limit", 0, FLAG_INT, "int", "The first ones only"},
    {"no-trunc", 0, FLAG_BOOL, NULL, "Do not shorten anything"},
    {0},
};
static const struct flag inspect_flags[] = {FORMAT_FLAG, {0}};
static const struct flag rm_flags[] = {
    {"force", 'f', FLAG_BOOL, NULL, "Whoever uses them"},
    {"no-prune", 0, FLAG_BOOL, NULL, "Keep parents without a name"},
    {0},
};
const struct command image_commands[] = {
    {"container export", "[OPTIONS] CONTAINER", "Write a container's files as a tar archive",
     save_flags, run_export, 1, 1, 0, "container"},
    {"image history", "[OPTIONS] IMAGE", "Show how an image was made", history_flags, run_history,
     1, 1, 0, "image"},
    {"image import", "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]", "Make an image of a tar archive",
     import_flags, run_import, 1, 2, 0, "file"},
    {"image inspect", "[OPTIONS] IMAGE [IMAGE...]", "Show all there is to know of images",
     inspect_flags, run_inspect, 1, COMMAND_MANY, 0, "image"},
    {"image load", "[OPTIONS]", "Take in the images of an archive", load_flags, run_load, 0, 0, 0,
     NULL},
    {"image ls", "[OPTIONS] [REPOSITORY[:TAG]]", "List the images", images_flags, run_images, 0, 1,
     0, "image"},
    {"image prune", "[OPTIONS]", "Remove images nobody uses", prune_all_flags, run_prune, 0, 0, 0,
     NULL},
    {"image pull", "[OPTIONS] NAME[:TAG|@DIGEST]", "Fetch an image from a registry", pull_flags,
     run_pull, 1, 1, 0, NULL},
    {"image push", "[OPTIONS] NAME[:TAG]", "Send an image to a registry", push_flags, run_push, 1,
     1, 0, "image"},
    {"image rm", "[OPTIONS] IMAGE [IMAGE...]", "Remove images", rm_flags, run_rm, 1, COMMAND_MANY,
     0, "image"},
    {"image save", "[OPTIONS] IMAGE [IMAGE...]", "Write images into an archive", save_flags,
     run_save, 1, COMMAND_MANY, 0, "image"},
    {"image tag", "IMAGE NAME[:TAG]", "Give an image another name", NULL, run_tag, 2, 2, 0,
     "image"},
    {"search", "[OPTIONS] TERM", "Look for images on Docker Hub", search_flags, run_search, 1, 1, 0,
     NULL},
    {0},
};
