// skep cp: files into containers and out of them. The daemon speaks tar, and so does the program of
// that name, which is on every machine.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/skep/child_io.h"
#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "proto/base/codec.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

// Of Go's file modes.
#define GO_MODE_FOLDER  (1u << 31)
#define GO_MODE_SYMLINK (1u << 27)

#define LINKS_MAX 16

// A side of the copy: CONTAINER:PATH, or a path of this machine.
struct side {
    const char *container; // NULL: here
    const char *path;
    bool exists, folder;
    bool contents; // "folder/.": what is in it
    bool slash;    // "folder/": it has to be one
};

static struct side side_of(struct cli *cli, const char *text)
{
    struct side side = {.path = text};
    const char *colon = strchr(text, ':');
    // "./a:b" and "/a:b" are files here.
    if (colon && *text != '.' && *text != '/') {
        side.container = textf(cli, "%.*s", (int)(colon - text), text);
        side.path = str_or(colon + 1, "/");
    }
    size_t length = strlen(side.path);
    side.contents = str_equal(side.path, ".") || str_ends(side.path, "/.");
    side.slash = length > 1 && side.path[length - 1] == '/';
    return side;
}

// The last part of a path, and what is before it.
static const char *base_of(struct cli *cli, const char *path, const char **parent)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    size_t begin = length;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    const char *base = textf(cli, "%.*s", (int)(length - begin), path + begin);
    if (parent)
        *parent = begin == 0 ? "." : textf(cli, "%.*s", (int)(begin > 1 ? begin - 1 : 1), path);
    return base;
}

static const char *archive_target(struct cli *cli, const struct side *side, const char *path)
{
    return textf(cli, "/containers/%s/archive?path=%s", escape(cli, side->container),
                 escape(cli, path));
}

// ---- looking ------------------------------------------------------------------------------------

static void look_here(struct side *side)
{
    struct stat stat_of;
    side->exists = stat(side->path, &stat_of) == 0;
    side->folder = side->exists && S_ISDIR(stat_of.st_mode);
}

// What the container has at the path; `follow`: links lead on, as they do for a destination.
static int look_inside(struct cli *cli, struct side *side, bool follow)
{
    for (int hops = 0; hops < LINKS_MAX; hops++) {
        struct stream_request request = {
            .method = "HEAD", .target = archive_target(cli, side, side->path), .upload_fd = -1};
        struct stream *stream = stream_start(cli, &request);
        int rc = stream_wait(stream);
        const char *header = rc < 0 ? NULL : stream_header(stream, "X-Docker-Container-Path-Stat");
        struct buf plain;
        buf_init(&plain, 65536);
        json_t *said = NULL;
        if (header && base64_decode(BASE64_STD, header, strlen(header), &plain))
            said = keep(cli, json_parse((const char *)plain.data, plain.len, NULL));
        buf_fini(&plain);
        stream_free(stream);
        if (!said) {
            // HEAD has no words; GET has them, but only for what is not there.
            side->exists = side->folder = false;
            return cli->status == 404 ? 0 : rc < 0 ? rc : -(int)ERR_UNKNOWN;
        }
        const char *link = text_at(said, "linkTarget");
        side->exists = true;
        side->folder = (number_at(said, "mode") & GO_MODE_FOLDER) != 0;
        if (!follow || !*link || !(number_at(said, "mode") & GO_MODE_SYMLINK))
            return 0;
        side->path = link;
    }
    return err_set(&cli->error, ERR_INVALID_ARGUMENT, "too many links lead on from %s", side->path);
}

// ---- the archive --------------------------------------------------------------------------------

// A name as a pattern of tar's --transform, and as what replaces one.
static const char *quoted(struct cli *cli, const char *name, const char *special)
{
    struct buf out;
    buf_init(&out, 65536);
    for (; *name; name++) {
        if (strchr(special, *name))
            buf_put_u8(&out, '\\');
        buf_put_u8(&out, (uint8_t)*name);
    }
    const char *text = textf(cli, "%s", str_or(buf_cstr(&out), ""));
    buf_fini(&out);
    return text;
}

static const char *renaming(struct cli *cli, const char *from, const char *to)
{
    return textf(cli, "--transform=flags=rhS;s,^%s\\(/\\|$\\),%s\\1,",
                 quoted(cli, from, ".[]*^$\\,"), quoted(cli, to, "&\\,"));
}

static int tar_failed(struct cli *cli, int status)
{
    return status == 0 ? 0
                       : err_set(&cli->error, ERR_UNKNOWN, "tar ended with the status %d", status);
}

static bool feed_tar(void *owner, const uint8_t *bytes, size_t size)
{
    return child_feed(owner, bytes, size);
}

// ---- out of a container -------------------------------------------------------------------------

static int unpack(struct cli *cli, const struct side *from, const char *const argv[])
{
    struct child tar;
    if (child_start(cli, argv, true, false, &tar) < 0)
        return -(int)cli->error.code;
    struct stream_request request = {.method = "GET",
                                     .target = archive_target(cli, from, from->path),
                                     .upload_fd = -1,
                                     .on_data = feed_tar,
                                     .owner = &tar};
    int rc = stream_run(cli, &request);
    int status = child_wait(&tar);
    return rc < 0 ? rc : tar_failed(cli, status);
}

// Unpacked aside and put in its place when all of it is there.
static int unpack_as(struct cli *cli, const struct side *from, const char *name,
                     const struct side *to)
{
    const char *parent, *base = base_of(cli, to->path, &parent);
    char *aside = (char *)(uintptr_t)textf(cli, "%s/.skep-cp-XXXXXX", parent);
    struct err ignored = ERR_INIT;
    if (!mkdtemp(aside))
        return err_set_errno(&cli->error, errno, "%s", parent);
    const char *argv[] = {"tar", "-x", "-f", "-", "-C", aside, "-p", "--no-same-owner", NULL};
    int rc = unpack(cli, from, argv);
    const char *made = textf(cli, "%s/%s", aside, name);
    if (rc == 0 && rename(made, textf(cli, "%s/%s", parent, base)) < 0)
        rc = err_set_errno(&cli->error, errno, "%s", to->path);
    (void)dir_remove(aside, &ignored);
    return rc;
}

static bool to_output(void *owner, const uint8_t *bytes, size_t size)
{
    say_bytes(owner, bytes, size);
    return true;
}

static int copy_out(struct cli *cli, struct side *from, struct side *to)
{
    bool follow = args_on(&cli->args, "follow-link");
    if (look_inside(cli, from, follow) < 0)
        return -(int)cli->error.code;
    if (!from->exists && !api_get(cli, "/containers/%s/json", escape(cli, from->container)))
        return -(int)cli->error.code; // nor is the container
    if (!from->exists)
        return err_set(&cli->error, ERR_NOT_FOUND, "Could not find the file %s in container %s",
                       from->path, from->container);
    if (str_equal(to->path, "-")) {
        struct stream_request request = {.method = "GET",
                                         .target = archive_target(cli, from, from->path),
                                         .upload_fd = -1,
                                         .on_data = to_output,
                                         .owner = cli};
        return stream_run(cli, &request);
    }
    const char *name = base_of(cli, from->path, NULL);
    look_here(to);
    if (to->slash && !to->exists && !from->folder)
        return err_set(&cli->error, ERR_NOT_FOUND, "destination directory %s must exist", to->path);
    if (to->exists && !to->folder && from->folder)
        return err_set(&cli->error, ERR_INVALID_ARGUMENT, "cannot copy directory");
    const char *owner = args_on(&cli->args, "archive") ? "--same-owner" : "--no-same-owner";
    if (to->folder) {
        const char *argv[] = {"tar", "-x", "-f", "-", "-C", to->path, "-p", owner, NULL};
        return unpack(cli, from, argv);
    }
    if (from->contents) {
        // "/a/." comes as "./...", or as "a/...": into a folder that is new, without its name.
        if (mkdir(to->path, 0755) < 0)
            return err_set_errno(&cli->error, errno, "%s", to->path);
        const char *argv[] = {"tar", "-x", "-f", "-", "-C", to->path, "-p", owner, NULL};
        return unpack(cli, from, argv);
    }
    return unpack_as(cli, from, name, to);
}

// ---- into a container ---------------------------------------------------------------------------

static int copy_in(struct cli *cli, struct side *from, struct side *to)
{
    struct child tar = {.pid = -1, .in = -1, .out = -1};
    bool input = str_equal(from->path, "-");
    if (look_inside(cli, to, true) < 0)
        return -(int)cli->error.code;
    const char *into = to->path, *name = base_of(cli, to->path, &into);
    if (to->folder)
        into = to->path;
    struct stream_request request = {.method = "PUT", .upload_type = "application/x-tar"};
    if (input) {
        if (to->exists && !to->folder)
            return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                           "destination \"%s:%s\" must be a "
                           "directory",
                           to->container, to->path);
        request.upload_fd = 0;
        into = to->path;
    } else {
        const char *path = from->path;
        char *real = args_on(&cli->args, "follow-link") ? realpath(path, NULL) : NULL;
        path = real ? textf(cli, "%s", real) : path;
        free(real);
        look_here(from);
        if (!from->exists && access(path, F_OK) < 0)
            return err_set(&cli->error, ERR_NOT_FOUND, "lstat %s: no such file or directory", path);
        if (from->folder && to->exists && !to->folder)
            return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                           "cannot overwrite non-directory \"%s\" with directory \"%s\"", to->path,
                           path);
        if (!from->folder && !to->exists && to->slash)
            return err_set(&cli->error, ERR_NOT_FOUND, "no such directory");
        const char *folder, *base = base_of(cli, path, &folder);
        const char *argv[10] = {"tar", "-c", "-f", "-", "-C"};
        size_t count = 5;
        if (from->contents && to->folder) {
            argv[count++] = path;
            argv[count++] = ".";
        } else if (from->contents) {
            argv[count++] = path;
            argv[count++] = textf(cli, "--transform=flags=rhS;s,^\\.\\(/\\|$\\),%s\\1,",
                                  quoted(cli, name, "&\\,"));
            argv[count++] = ".";
        } else {
            argv[count++] = folder;
            if (!to->folder)
                argv[count++] = renaming(cli, base, name);
            argv[count++] = "--";
            argv[count++] = base;
        }
        argv[count] = NULL;
        if (child_start(cli, argv, false, true, &tar) < 0)
            return -(int)cli->error.code;
        request.upload_fd = tar.out;
    }
    request.target = textf(cli, "%s&noOverwriteDirNonDir=true%s", archive_target(cli, to, into),
                           args_on(&cli->args, "archive") ? "&copyUIDGID=1" : "");
    int rc = stream_run(cli, &request);
    int status = tar.pid < 0 ? 0 : child_wait(&tar);
    return rc < 0 ? rc : tar_failed(cli, status);
}

static int run_cp(struct cli *cli)
{
    struct side from = side_of(cli, cli->args.argv[0]), to = side_of(cli, cli->args.argv[1]);
    if (from.container && to.container)
        return complain(cli, "copying between containers is not supported");
    if (!from.container && !to.container)
        return complain(cli, "one side has to be a container: CONTAINER:PATH");
    int rc = from.container ? copy_out(cli, &from, &to) : copy_in(cli, &from, &to);
    if (rc < 0)
        return failed(cli);
    if (!args_on(&cli->args, "quiet") && !str_equal(cli->args.argv[1], "-"))
        warn(cli, "Successfully copied %s to %s\n", cli->args.argv[0], cli->args.argv[1]);
    return 0;
}

static const struct flag cp_flags[] = {
    {"archive", 'a', FLAG_BOOL, NULL, "Keep who owns the files"},
    {"follow-link", 'L', FLAG_BOOL, NULL, "Copy what a link leads to"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Say nothing when it went well"},
    {0},
};

const struct command copy_commands[] = {
    {"container cp", "[OPTIONS] CONTAINER:SRC DEST|- | SRC|- CONTAINER:DEST",
     "Copy files into a container or out of it", cp_flags, run_cp, 2, 2, 0, "container"},
    {0},
};
