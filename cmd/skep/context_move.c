// skep context export and import: a context as a tar archive, as docker writes and reads it:
// meta.json, and tls/docker/ with its PEM files.
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/context.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"
#include "proto/base/tar.h"

// A description and three PEM texts; docker's own limit is the same.
#define ARCHIVE_BYTES_MAX ((size_t)10 << 20)
#define PEM_PATH          "tls/docker/"

// ---- export -------------------------------------------------------------------------------------

static void put_file(struct buf *out, const char *name, const char *text, uint32_t mode)
{
    static struct tar_entry entry; // two long names: too much for a stack
    entry = (struct tar_entry){.kind = text ? TAR_FILE : TAR_DIR, .mode = mode};
    bool fits = str_format(entry.name, sizeof entry.name, "%s", name);
    CHECK(fits);
    entry.size = text ? strlen(text) : 0;
    tar_put(out, &entry);
    if (text)
        buf_put_str(out, text);
    for (size_t left = tar_padding(entry.size); left > 0; left--)
        buf_put_u8(out, 0);
}

static int run_export(struct cli *cli)
{
    const char *name = cli->args.argv[0];
    const char *path =
        cli->args.argc > 1 ? cli->args.argv[1] : textf(cli, "%s.dockercontext", name);
    struct context context;
    struct buf out;
    bool stream = str_equal(path, "-");
    int rc = 0;
    if (context_load(cli, name, &context) < 0)
        return failed(cli);
    if (stream && cli->terminal.out)
        return complain(cli, "cowardly refusing to export to a terminal, specify a file path");
    if (!stream && file_exists(path))
        return complain(cli, "%s: the file exists already", path);
    buf_init(&out, ARCHIVE_BYTES_MAX);
    char *text = json_dumps(context.meta, JSON_COMPACT);
    put_file(&out, "meta.json", text, 0644);
    free(text);
    put_file(&out, "tls/", NULL, 0700);
    bool any = context.pem[0] || context.pem[1] || context.pem[2];
    if (any)
        put_file(&out, PEM_PATH, NULL, 0700);
    for (size_t k = 0; k < CONTEXT_PEMS; k++)
        if (context.pem[k])
            put_file(&out, textf(cli, PEM_PATH "%s.pem", context_pems[k]), context.pem[k], 0600);
    tar_put_end(&out);
    if (!buf_ok(&out))
        rc = err_set(&cli->error, ERR_RESOURCE_EXHAUSTED, "the context is too large");
    else if (stream)
        say_bytes(cli, out.data, out.len);
    else
        rc = cli_write(cli, path, out.data, out.len, 0600); // there may be a key in it
    buf_fini(&out);
    if (rc < 0)
        return failed(cli);
    if (!stream)
        warn(cli, "Written file \"%s\"\n", path);
    return 0;
}

// ---- import -------------------------------------------------------------------------------------

// One file of the archive into the context.
static int take_file(struct cli *cli, const char *path, const uint8_t *bytes, size_t size,
                     struct context *out)
{
    if (str_equal(path, "meta.json")) {
        out->meta = keep(cli, json_parse(bytes, size, &cli->error));
        return json_is_object(out->meta) ? 0 : err_wrap(&cli->error, "meta.json");
    }
    for (size_t k = 0; k < CONTEXT_PEMS; k++) {
        if (!str_equal(path, textf(cli, PEM_PATH "%s.pem", context_pems[k])))
            continue;
        if (memchr(bytes, 0, size))
            return err_set(&cli->error, ERR_INVALID_ARGUMENT, "%s is no text", path);
        out->pem[k] = textf(cli, "%.*s", (int)size, (const char *)bytes);
        return 0;
    }
    return err_set(&cli->error, ERR_INVALID_ARGUMENT, "%.200s does not belong into a context",
                   path);
}

static int read_archive(struct cli *cli, const uint8_t *bytes, size_t size, struct context *out)
{
    static struct tar_entry entry;
    static struct tar_reader reader;
    tar_reader_init(&reader);
    for (size_t place = 0; size - place >= TAR_BLOCK;) {
        uint64_t skip = 0;
        enum tar_step step = tar_read(&reader, bytes + place, &entry, &skip, &cli->error);
        place += TAR_BLOCK;
        if (step == TAR_END)
            break;
        if (step == TAR_BROKEN)
            return -(int)cli->error.code;
        if (step == TAR_ENTRY)
            skip = entry.kind == TAR_FILE ? entry.size : 0;
        if (skip > size - place)
            return err_set(&cli->error, ERR_INVALID_ARGUMENT, "the archive ends in a file");
        if (step == TAR_MORE && tar_record(&reader, bytes + place, skip, &cli->error) < 0)
            return -(int)cli->error.code;
        if (step == TAR_ENTRY && entry.kind != TAR_DIR &&
            (entry.kind != TAR_FILE || take_file(cli, entry.name, bytes + place, skip, out) < 0))
            return entry.kind == TAR_FILE ? -(int)cli->error.code
                                          : err_set(&cli->error, ERR_INVALID_ARGUMENT,
                                                    "%.200s is no file", entry.name);
        // docker leaves the last block unfilled, and the end out.
        size_t padding = tar_padding(skip);
        place += skip;
        place += padding < size - place ? padding : size - place;
    }
    if (!out->meta)
        return err_set(&cli->error, ERR_INVALID_ARGUMENT, "there is no meta.json in it");
    if (!*text_at(out->meta, "Endpoints.docker.Host"))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT, "its meta.json names no docker host");
    return 0;
}

static int run_import(struct cli *cli)
{
    const char *name = cli->args.argv[0], *path = cli->args.argv[1];
    struct context context = {NULL};
    size_t size = 0;
    if (context_expect_free(cli, name) < 0)
        return failed(cli);
    const char *bytes = cli_read(cli, path, &size);
    if (!bytes)
        return failed(cli);
    if (size > ARCHIVE_BYTES_MAX)
        return complain(cli, "%s: a context of more than %zu bytes is refused", path,
                        ARCHIVE_BYTES_MAX);
    if (size >= 2 && memcmp(bytes, "PK", 2) == 0)
        return complain(cli, "%s: zip archives are not supported: tar archives are", path);
    if (read_archive(cli, (const uint8_t *)bytes, size, &context) < 0) {
        err_wrap(&cli->error, "%s is no exported context", path);
        return failed(cli);
    }
    if (context_store(cli, name, &context) < 0)
        return failed(cli);
    say(cli, "%s\n", name);
    warn(cli, "Successfully imported context \"%s\"\n", name);
    return 0;
}

const struct command context_move_commands[] = {
    {"context export", "CONTEXT [FILE|-]", "Write a context into an archive", NULL, run_export, 1,
     2, 0, "context"},
    {"context import", "CONTEXT FILE|-", "Take a context from an archive", NULL, run_import, 2, 2,
     0, NULL},
    {0},
};
