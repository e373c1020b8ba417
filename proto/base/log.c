#include "proto/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/log_io.h"
#include "proto/base/str.h"

static struct {
    enum log_format format;
    const char *process;
} setup;
static atomic_int lowest_level = LOG_INFO;

void log_setup(int fd, enum log_level lowest, enum log_format format, const char *process)
{
    setup.format = format;
    setup.process = process;
    log_io_set(fd);
    log_set_level(lowest);
}

void log_set_level(enum log_level lowest)
{
    atomic_store_explicit(&lowest_level, (int)lowest, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&lowest_level, memory_order_relaxed);
}

bool log_level_parse(const char *text, enum log_level *out)
{
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {
        {"debug", LOG_DEBUG},  {"info", LOG_INFO},   {"warn", LOG_WARN},
        {"warning", LOG_WARN}, {"error", LOG_ERROR}, {"fatal", LOG_ERROR},
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (str_equal_case(text, names[i].name)) {
            *out = names[i].level;
            return true;
        }
    }
    return false;
}

// Control characters would let a peer forge lines or move a terminal's cursor.
static void blank_controls(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = ' ';
}

static void put_json_text(struct buf *out, const char *text, size_t length)
{
    buf_put_u8(out, '"');
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\')
            buf_put_u8(out, '\\');
        buf_put_u8(out, (uint8_t)text[i]);
    }
    buf_put_u8(out, '"');
}

// After a closing quote the line ends or the next pair begins; other quotes belong to the value.
static bool pair_may_follow(const char *at)
{
    if (*at == ' ') {
        size_t key = strcspn(at + 1, "= \"");
        return key > 0 && at[1 + key] == '=';
    }
    return *at == '\0';
}

// Turns `key=value key="quoted value"` into JSON members.
static void put_json_pairs(struct buf *out, const char *pairs)
{
    while (*pairs) {
        while (*pairs == ' ')
            pairs++;
        size_t key = strcspn(pairs, "= ");
        if (key == 0 || pairs[key] != '=')
            break;
        const char *value = pairs + key + 1;
        size_t length;
        const char *next;
        if (*value == '"') {
            value++;
            const char *end = value;
            while (*end && !(*end == '"' && pair_may_follow(end + 1)))
                end++;
            length = (size_t)(end - value);
            next = *end ? end + 1 : end;
        } else {
            length = strcspn(value, " ");
            next = value + length;
        }
        buf_put_u8(out, ',');
        put_json_text(out, pairs, key);
        buf_put_u8(out, ':');
        put_json_text(out, value, length);
        pairs = next;
    }
}

static void put_text_line(struct buf *out, const char *time, enum log_level level,
                          const char *phrase, const char *pairs)
{
    static const char *const names[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
    buf_printf(out, "%s %s ", time, names[level]);
    if (setup.process)
        buf_printf(out, "%s: ", setup.process);
    buf_put_str(out, phrase);
    if (*pairs)
        buf_printf(out, " %s", pairs);
}

static void put_json_line(struct buf *out, const char *time, enum log_level level,
                          const char *phrase, const char *pairs)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    buf_printf(out, "{\"time\":\"%s\",\"level\":\"%s\",", time, names[level]);
    if (setup.process)
        buf_printf(out, "\"process\":\"%s\",", setup.process);
    buf_put_str(out, "\"msg\":");
    put_json_text(out, phrase, strlen(phrase));
    put_json_pairs(out, pairs);
    buf_put_u8(out, '}');
}

void log_write(enum log_level level, const char *phrase, const char *pairs, ...)
{
    if (!log_enabled(level))
        return;
    char values[LOG_LINE_BYTES / 2];
    va_list args;
    va_start(args, pairs);
    int length = vsnprintf(values, sizeof values, pairs, args);
    va_end(args);
    CHECK(length >= 0);
    if ((size_t)length >= sizeof values)
        memcpy(values + sizeof values - 4, "...", 4);
    blank_controls(values);

    char time[WALL_TEXT_BYTES];
    log_io_time(time);
    // Escaping at most doubles the values, so a line always fits.
    struct buf line;
    buf_init(&line, 2 * LOG_LINE_BYTES);
    if (setup.format == LOG_JSON)
        put_json_line(&line, time, level, phrase, values);
    else
        put_text_line(&line, time, level, phrase, values);
    buf_put_u8(&line, '\n');
    log_io_write(line.data, line.len);
    buf_fini(&line);
}
