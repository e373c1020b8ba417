#include "agent/engine/log_entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define HEAD_BYTES 8 // of a frame: stream, three zeros, length

// "2026-11-20T12:19:17.933223869Z ": always nine digits, so that lines align.
static void put_time(struct buf *out, struct wall at)
{
    char text[WALL_TEXT_BYTES], fraction[16];
    int64_t ns = ((at.ns % NS_PER_S) + NS_PER_S) % NS_PER_S;
    wall_format((struct wall){at.ns - ns}, text);
    text[strlen(text) - 1] = '\0'; // the Z
    snprintf(fraction, sizeof fraction, ".%09dZ ", (int)ns);
    buf_put_str(out, text);
    buf_put_str(out, fraction);
}

// As Go's url.QueryEscape.
static void put_escaped(struct buf *out, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (const unsigned char *at = (const unsigned char *)str_or(text, ""); *at; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                     (*at >= '0' && *at <= '9') || strchr("-_.~", *at) != NULL;
        if (plain || *at == ' ') {
            buf_put_u8(out, *at == ' ' ? '+' : *at);
        } else {
            buf_put_u8(out, '%');
            buf_put_u8(out, (uint8_t)digits[*at >> 4]);
            buf_put_u8(out, (uint8_t)digits[*at & 15]);
        }
    }
}

static int by_key(const void *a, const void *b)
{
    return str_compare(((const struct log_detail *)a)->key, ((const struct log_detail *)b)->key);
}

static void put_details(struct buf *out, const struct log_entry *entry)
{
    size_t count = entry->details_count < LOG_DETAILS_MAX ? entry->details_count : LOG_DETAILS_MAX;
    if (count)
        qsort(entry->details, count, sizeof *entry->details, by_key);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        put_escaped(out, entry->details[i].key);
        buf_put_u8(out, '=');
        put_escaped(out, entry->details[i].value);
    }
    buf_put_u8(out, ' ');
}

void log_entry_put(struct buf *out, const struct log_entry *entry, const struct log_style *style)
{
    const size_t start = out->len;
    const bool system = entry->stream == LOG_SYSTEM_ERROR; // of ours, not of the container
    if (!style->raw)
        buf_put(out, (uint8_t[HEAD_BYTES]){(uint8_t)entry->stream}, HEAD_BYTES);
    if (style->timestamps && !system)
        put_time(out, entry->at);
    if (style->details && !system)
        put_details(out, entry);
    buf_put(out, entry->text, entry->bytes);
    if (entry->newline)
        buf_put_u8(out, '\n');
    if (!style->raw && buf_ok(out)) {
        uint32_t size = (uint32_t)(out->len - start - HEAD_BYTES);
        for (int i = 0; i < 4; i++)
            out->data[start + 4 + (size_t)i] = (uint8_t)(size >> (24 - 8 * i));
    }
}
