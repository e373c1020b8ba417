#include "agent/oci/logline.h"

#include <string.h>

// Longest time stamp conmon writes: nanoseconds and a numeric offset.
#define STAMP_MAX 39

static bool take_word(const char **at, const char *end, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(end - *at) < length || memcmp(*at, word, length) != 0)
        return false;
    *at += length;
    return true;
}

bool logline_parse(const char *line, size_t size, struct log_line *out)
{
    const char *end = line + size;
    const char *blank = memchr(line, ' ', size);
    if (!blank || blank - line > STAMP_MAX)
        return false;
    char stamp[STAMP_MAX + 1];
    memcpy(stamp, line, (size_t)(blank - line));
    stamp[blank - line] = '\0';
    if (wall_parse(stamp, &out->at, NULL) != 0)
        return false;
    const char *at = blank + 1;
    if (take_word(&at, end, "stdout "))
        out->stream = LOG_STREAM_STDOUT;
    else if (take_word(&at, end, "stderr "))
        out->stream = LOG_STREAM_STDERR;
    else
        return false;
    if (at == end || (*at != 'F' && *at != 'P'))
        return false;
    out->partial = *at++ == 'P';
    // An empty line may end right after its tag.
    if (at < end && *at++ != ' ')
        return false;
    out->data = at;
    out->size = (size_t)(end - at);
    return true;
}
