#include "cmd/skep/cli_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define OUT_BYTES_KEPT (64 * 1024)
#define LINE_BYTES_MAX 4096

static void look_at_terminal(struct terminal *terminal)
{
    struct winsize size = {0};
    terminal->in = isatty(0) == 1;
    terminal->out = isatty(1) == 1;
    terminal->err = isatty(2) == 1;
    const char *columns = cli_env("COLUMNS");
    uint64_t number = 0;
    if (terminal->out && ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col) {
        terminal->columns = size.ws_col;
        terminal->rows = size.ws_row;
    } else if (terminal->out) {
        terminal->columns = columns && str_to_u64(columns, 10000, &number) ? number : 80;
        terminal->rows = 24;
    }
    const char *kind = cli_env("TERM");
    terminal->colour = terminal->out && !cli_env("NO_COLOR") && kind && strcmp(kind, "dumb") != 0;
}

void cli_init(struct cli *cli)
{
    *cli = (struct cli){0};
    arena_init(&cli->arena, CLI_ARENA_BYTES_MAX);
    buf_init(&cli->out, CLI_ARENA_BYTES_MAX);
    cli->kept = json_array();
    cli->config = keep(cli, json_object());
    look_at_terminal(&cli->terminal);
}

void cli_fini(struct cli *cli)
{
    say_flush(cli);
    client_close(cli);
    if (cli->loop) {
        loop_fini(cli->loop);
        free(cli->loop);
    }
    json_decref(cli->kept);
    buf_fini(&cli->out);
    arena_fini(&cli->arena);
}

struct loop *cli_loop(struct cli *cli)
{
    if (!cli->loop) {
        cli->loop = MEM_NEW(struct loop);
        loop_init(cli->loop);
    }
    return cli->loop;
}

json_t *keep(struct cli *cli, json_t *value)
{
    if (value)
        json_array_append_new(cli->kept, value);
    return value;
}

const char *textf(struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int length = vasprintf(&text, format, args);
    va_end(args);
    CHECK(length >= 0);
    const char *copy = arena_strdup(&cli->arena, text);
    free(text);
    CHECK(copy);
    return copy;
}

// ---- output -------------------------------------------------------------------------------------

void say_flush(struct cli *cli)
{
    // A reader that went away (head, less) ends us quietly, as SIGPIPE would have.
    int result = file_write_all(1, cli->out.data, cli->out.len);
    if (result)
        _exit(result == -EPIPE ? 141 : 1);
    buf_clear(&cli->out);
}

void say_bytes(struct cli *cli, const void *bytes, size_t size)
{
    buf_put(&cli->out, bytes, size);
    if (cli->terminal.out || cli->out.len > OUT_BYTES_KEPT)
        say_flush(cli);
}

void say(struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(&cli->out, format, args);
    va_end(args);
    say_bytes(cli, "", 0);
}

void warn_bytes(struct cli *cli, const void *bytes, size_t size)
{
    say_flush(cli);
    if (file_write_all(2, bytes, size))
        _exit(1);
}

__attribute__((format(printf, 3, 0))) static void vwarn(struct cli *cli, const char *end,
                                                        const char *format, va_list args)
{
    char *text = NULL;
    int length = vasprintf(&text, format, args);
    CHECK(length >= 0);
    warn_bytes(cli, text, (size_t)length);
    warn_bytes(cli, end, strlen(end));
    free(text);
}

void warn(struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vwarn(cli, "", format, args);
    va_end(args);
}

int complain(struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vwarn(cli, "\n", format, args);
    va_end(args);
    return 1;
}

int failed(struct cli *cli)
{
    if (!cli->bad_flag)
        return complain(cli, "%s", cli->error.message);
    warn(cli, "%s\nSee 'skep %s --help'.\n", cli->error.message, cli->command->path);
    return EXIT_USAGE;
}

int bad_flag(struct cli *cli, const char *flag, const char *value)
{
    const struct flag *row = cli->args.flags;
    while (row->name && strcmp(row->name, flag) != 0)
        row++;
    cli->bad_flag = true;
    return row->name && row->letter
               ? err_wrap(&cli->error, "invalid argument \"%s\" for \"-%c, --%s\" flag", value,
                          row->letter, flag)
               : err_wrap(&cli->error, "invalid argument \"%s\" for \"--%s\" flag", value, flag);
}

const char *cli_colour(const struct cli *cli, const char *name)
{
    static const struct {
        const char *name, *escape;
    } colours[] = {{"red", "\033[31m"}, {"green", "\033[32m"}, {"yellow", "\033[33m"},
                   {"dim", "\033[2m"},  {"bold", "\033[1m"},   {"off", "\033[0m"}};
    for (size_t i = 0; cli->terminal.colour && i < COUNT_OF(colours); i++)
        if (strcmp(colours[i].name, name) == 0)
            return colours[i].escape;
    return "";
}

// ---- the world ----------------------------------------------------------------------------------

const char *cli_env(const char *name)
{
    const char *value = getenv(name);
    return str_empty(value) ? NULL : value;
}

const char *cli_home(struct cli *cli)
{
    const char *home = cli_env("HOME");
    if (home)
        return home;
    const struct passwd *user = getpwuid(getuid());
    return user ? textf(cli, "%s", user->pw_dir) : "/";
}

struct wall cli_now(void)
{
    return wall_now();
}

struct mono cli_mono(void)
{
    return mono_now();
}

static bool never(void *context)
{
    (void)context;
    return false;
}

void cli_sleep(struct cli *cli, int64_t ms)
{
    say_flush(cli);
    loop_run_until(cli_loop(cli), never, NULL, ms);
}

static int read_input(struct buf *out, struct err *err)
{
    for (;;) {
        uint8_t bytes[65536];
        ssize_t got = read(0, bytes, sizeof bytes);
        if (got == 0)
            return 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set_errno(err, errno, "standard input");
        buf_put(out, bytes, (size_t)got);
        if (!buf_ok(out))
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "standard input: more than %zu bytes",
                           out->limit);
    }
}

const char *cli_read(struct cli *cli, const char *path, size_t *size)
{
    struct buf text;
    buf_init(&text, CLI_FILE_BYTES_MAX);
    int result = strcmp(path, "-") == 0 ? read_input(&text, &cli->error)
                                        : file_read(path, &text, &cli->error);
    char *copy = NULL;
    if (result == 0) {
        copy = arena_alloc(&cli->arena, text.len + 1);
        CHECK(copy);
        if (text.len)
            memcpy(copy, text.data, text.len);
        if (size)
            *size = text.len;
    }
    buf_wipe(&text); // it may be a secret
    return copy;
}

int cli_write(struct cli *cli, const char *path, const void *bytes, size_t size, unsigned mode)
{
    return file_write_atomic(path, bytes, size, mode, &cli->error);
}

json_t *cli_names(struct cli *cli, const char *folder)
{
    json_t *names = keep(cli, json_array());
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            json_array_append_new(names, json_string(entry->d_name));
    if (dir)
        closedir(dir);
    return names;
}

static const char *read_line(struct cli *cli)
{
    char *line = arena_alloc(&cli->arena, LINE_BYTES_MAX);
    CHECK(line);
    size_t length = 0;
    char c;
    ssize_t got;
    while ((got = read(0, &c, 1)) == 1 && c != '\n')
        if (length + 1 < LINE_BYTES_MAX)
            line[length++] = c;
    return got <= 0 && length == 0 ? NULL : line;
}

bool cli_confirm(struct cli *cli, const char *question)
{
    say(cli, "%s [y/N] ", question);
    say_flush(cli);
    const char *line = read_line(cli);
    return line && (str_equal_case(line, "y") || str_equal_case(line, "yes"));
}

const char *cli_secret(struct cli *cli, const char *prompt)
{
    struct termios before, quiet;
    bool terminal = tcgetattr(0, &before) == 0;
    if (terminal) {
        say(cli, "%s", prompt);
        say_flush(cli);
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(0, TCSAFLUSH, &quiet);
    }
    const char *line = read_line(cli);
    if (terminal) {
        tcsetattr(0, TCSAFLUSH, &before);
        say(cli, "\n");
    }
    return line;
}
