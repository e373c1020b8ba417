#include "agent/oci/exec_words.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

void exec_words_init(struct exec_words *words)
{
    buf_init(&words->held, EXEC_WORDS_BYTES);
    words->passed = false;
}

void exec_words_fini(struct exec_words *words)
{
    buf_fini(&words->held);
}

// How long the terminal sequence at `at` is that begins or ends a colour: ESC [ digits and ; m.
static size_t colour_bytes(const char *at, size_t size)
{
    size_t used = 2;
    if (size < 3 || at[0] != '\x1b' || at[1] != '[')
        return 0;
    while (used < size && ((at[used] >= '0' && at[used] <= '9') || at[used] == ';'))
        used++;
    return used < size && at[used] == 'm' ? used + 1 : 0;
}

// The line in it without its colours and its end.
static void line_of(const struct buf *held, const char **line, size_t *size)
{
    const char *at = (const char *)held->data;
    size_t left = held->len, skip = left ? colour_bytes(at, left) : 0;
    at += skip;
    left -= skip;
    while (left && (at[left - 1] == '\n' || at[left - 1] == '\r'))
        left--;
    if (left >= 4 && memcmp(at + left - 4, "\x1b[0m", 4) == 0)
        left -= 4;
    *line = at;
    *size = left;
}

// Whether the runtimes' errors begin like this, as far as it goes.
static bool is_beginning(const char *line, size_t size)
{
    static const char *const words[] = {
        "executable file `", "open executable", "chdir `", "exec failed: ", "exec: ", "exec `",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);
        if (memcmp(line, words[i], size < length ? size : length) == 0)
            return true;
    }
    return false;
}

bool exec_words_take(struct exec_words *words, const void *bytes, size_t size)
{
    const char *line;
    size_t length;
    if (words->passed)
        return false;
    const char *end = words->held.len ? memchr(words->held.data, '\n', words->held.len) : NULL;
    size_t before = words->held.len;
    if (size == 0)
        return true;
    if (end || size > EXEC_WORDS_BYTES - before) {
        words->passed = true;
        return false;
    }
    buf_put(&words->held, bytes, size);
    line_of(&words->held, &line, &length);
    end = length ? memchr(line, '\n', length) : NULL;
    if (length && !end && is_beginning(line, length))
        return true;
    words->held.len = before;
    words->passed = true;
    return false;
}

void exec_words_pass(struct exec_words *words)
{
    words->passed = true;
    buf_clear(&words->held);
}

bool exec_words_say(const struct exec_words *words, const char *message)
{
    const char *line;
    size_t length;
    if (words->held.len == 0)
        return false;
    line_of(&words->held, &line, &length);
    return length == strlen(message) && memcmp(line, message, length) == 0;
}
