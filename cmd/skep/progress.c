#include "cmd/skep/progress.h"

#include <string.h>

#include "cmd/skep/text.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define LINES_BYTES_MAX (256 * 1024)

void progress_init(struct progress *progress, struct cli *cli, bool quiet)
{
    *progress = (struct progress){.cli = cli, .quiet = quiet};
    buf_init(&progress->now, LINES_BYTES_MAX);
    buf_init(&progress->last, LINES_BYTES_MAX);
}

void progress_begin(struct progress *progress)
{
    buf_clear(&progress->now);
    progress->count = 0;
    progress->beyond = 0;
}

void progress_line(struct progress *progress, const char *format, ...)
{
    // On a terminal more lines than it has could not be drawn over.
    size_t rows = progress->cli->terminal.rows;
    size_t room = rows > 3 && rows - 2 < PROGRESS_LINES_MAX ? rows - 2 : PROGRESS_LINES_MAX;
    if (progress->count >= room) {
        progress->beyond++;
        return;
    }
    va_list args;
    va_start(args, format);
    buf_vprintf(&progress->now, format, args);
    va_end(args);
    buf_put_u8(&progress->now, '\n');
    progress->count++;
}

void progress_redraw(size_t drawn, const char *lines, size_t columns, struct arena *arena,
                     struct buf *out)
{
    if (drawn)
        buf_printf(out, "\033[%zuA", drawn);
    struct str_part line;
    for (const char *rest = lines; str_split(&rest, '\n', &line);) {
        if (!rest && line.len == 0)
            break;
        const char *text = arena_strndup(arena, line.at, line.len);
        buf_printf(out, "\r%s\033[K\n", columns ? text_cut(text, columns, arena) : text);
    }
    buf_put_str(out, "\033[J");
}

// Prints those lines that did not stand there the turn before.
static void say_news(struct progress *progress, const char *lines)
{
    struct cli *cli = progress->cli;
    const char *last = textf(cli, "\n%s", str_or(buf_cstr(&progress->last), ""));
    struct str_part line;
    for (const char *rest = lines; str_split(&rest, '\n', &line) && rest;) {
        const char *whole = arena_printf(&cli->arena, "\n%.*s\n", (int)line.len, line.at);
        if (!strstr(last, whole))
            say(cli, "%s", whole + 1);
    }
    say_flush(cli);
}

void progress_show(struct progress *progress)
{
    struct cli *cli = progress->cli;
    if (progress->quiet)
        return;
    if (progress->beyond)
        buf_printf(&progress->now, "and %zu more\n", progress->beyond);
    size_t count = progress->count + (progress->beyond > 0);
    const char *lines = str_or(buf_cstr(&progress->now), "");
    if (cli->terminal.out) {
        struct buf out;
        buf_init(&out, LINES_BYTES_MAX * 2);
        progress_redraw(progress->drawn, lines, cli->terminal.columns, &cli->arena, &out);
        say_bytes(cli, out.data, out.len);
        buf_fini(&out);
        progress->drawn = count;
    } else {
        say_news(progress, lines);
    }
    buf_clear(&progress->last);
    buf_put(&progress->last, progress->now.data, progress->now.len);
}

void progress_end(struct progress *progress)
{
    buf_fini(&progress->now);
    buf_fini(&progress->last);
}

const char *progress_bar(size_t done, size_t total, size_t width, struct arena *arena)
{
    CHECK(width >= 4);
    size_t inside = width - 2, filled = total ? done * inside / total : inside;
    if (filled > inside)
        filled = inside;
    char *bar = arena_alloc(arena, width + 1);
    CHECK(bar);
    memset(bar, ' ', width);
    bar[0] = '[';
    bar[width - 1] = ']';
    memset(bar + 1, '=', filled);
    if (filled > 0 && filled < inside)
        bar[filled] = '>';
    return bar;
}
