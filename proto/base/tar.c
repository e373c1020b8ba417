#include "proto/base/tar.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// Fields of a header block.
enum {
    AT_NAME = 0,
    NAME_BYTES = 100,
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_MTIME = 136,
    AT_CHECKSUM = 148,
    AT_KIND = 156,
    AT_LINK = 157,
    AT_MAGIC = 257,
    AT_MAJOR = 329,
    AT_MINOR = 337,
    AT_PREFIX = 345,
    PREFIX_BYTES = 155,
};

static const char kinds[] = {
    [TAR_FILE] = '0',         [TAR_HARD_LINK] = '1', [TAR_SYMLINK] = '2', [TAR_CHAR] = '3',
    [TAR_BLOCK_DEVICE] = '4', [TAR_DIR] = '5',       [TAR_FIFO] = '6',
};

// ---- writing -----------------------------------------------------------------------------------

// Octal with a NUL, or GNU's binary form for what does not fit.
static void put_number(uint8_t *at, size_t size, uint64_t value)
{
    uint64_t most = UINT64_C(1) << (3 * (size - 1));
    at[size - 1] = 0;
    if (value < most) {
        for (size_t i = size - 1; i-- > 0; value >>= 3)
            at[i] = (uint8_t)('0' + (value & 7));
        return;
    }
    for (size_t i = size; i-- > 1; value >>= 8)
        at[i] = (uint8_t)value;
    at[0] = 0x80;
}

static void put_block(struct buf *out, const struct tar_entry *entry, char kind, const char *name,
                      const char *link, uint64_t size)
{
    uint8_t block[TAR_BLOCK] = {0};
    unsigned sum = 0;
    memcpy(block + AT_NAME, name, strnlen(name, NAME_BYTES));
    put_number(block + AT_MODE, 8, entry->mode);
    put_number(block + AT_UID, 8, entry->uid);
    put_number(block + AT_GID, 8, entry->gid);
    put_number(block + AT_SIZE, 12, size);
    put_number(block + AT_MTIME, 12, entry->mtime_s < 0 ? 0 : (uint64_t)entry->mtime_s);
    memset(block + AT_CHECKSUM, ' ', 8);
    block[AT_KIND] = (uint8_t)kind;
    memcpy(block + AT_LINK, link, strnlen(link, NAME_BYTES));
    memcpy(block + AT_MAGIC, "ustar\00000", 8);
    put_number(block + AT_MAJOR, 8, entry->major);
    put_number(block + AT_MINOR, 8, entry->minor);
    for (size_t i = 0; i < sizeof block; i++)
        sum += block[i];
    put_number(block + AT_CHECKSUM, 7, sum);
    block[AT_CHECKSUM + 7] = ' ';
    buf_put(out, block, sizeof block);
}

// "<length> key=value\n", where the length counts itself.
static void put_record(struct buf *out, const char *group, const char *key, const void *value,
                       size_t size)
{
    size_t rest = strlen(group) + strlen(key) + size + 3, length = rest + 1;
    char number[24];
    for (;;) {
        str_format(number, sizeof number, "%zu", length);
        if (rest + strlen(number) == length)
            break;
        length = rest + strlen(number);
    }
    buf_printf(out, "%zu %s%s=", length, group, key);
    buf_put(out, value, size);
    buf_put_u8(out, '\n');
}

size_t tar_padding(uint64_t size)
{
    return (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

static void put_zeros(struct buf *out, size_t count)
{
    static const uint8_t zeros[TAR_BLOCK];
    for (size_t piece; count > 0; count -= piece) {
        piece = count < sizeof zeros ? count : sizeof zeros;
        buf_put(out, zeros, piece);
    }
}

void tar_put(struct buf *out, const struct tar_entry *entry)
{
    bool long_name = strlen(entry->name) > NAME_BYTES, long_link = strlen(entry->link) > NAME_BYTES;
    if (long_name || long_link || entry->attributes_count) {
        struct buf records;
        buf_init(&records, TAR_PAX_BYTES);
        if (long_name)
            put_record(&records, "", "path", entry->name, strlen(entry->name));
        if (long_link)
            put_record(&records, "", "linkpath", entry->link, strlen(entry->link));
        for (size_t i = 0; i < entry->attributes_count; i++)
            put_record(&records, "SCHILY.xattr.", entry->attributes[i].name,
                       entry->attributes[i].value, entry->attributes[i].size);
        put_block(out, entry, 'x', "PaxHeaders/entry", "", records.len);
        buf_put(out, records.data, records.len);
        put_zeros(out, tar_padding(records.len));
        buf_fini(&records);
    }
    put_block(out, entry, kinds[entry->kind], entry->name, entry->link,
              entry->kind == TAR_FILE ? entry->size : 0);
}

void tar_put_end(struct buf *out)
{
    put_zeros(out, TAR_BLOCK);
    put_zeros(out, TAR_BLOCK);
}

// ---- reading -----------------------------------------------------------------------------------

static bool get_number(const uint8_t *at, size_t size, uint64_t *out)
{
    *out = 0;
    if (at[0] & 0x80) {
        for (size_t i = 0; i < size; i++) {
            if (*out >> 55)
                return false;
            *out = (*out << 8) | (i == 0 ? at[i] & 0x7f : at[i]);
        }
        return true;
    }
    size_t i = 0;
    while (i < size && at[i] == ' ')
        i++;
    for (; i < size && at[i] >= '0' && at[i] <= '7'; i++) {
        if (*out >> 60)
            return false;
        *out = (*out << 3) | (uint64_t)(at[i] - '0');
    }
    return i == size || at[i] == 0 || at[i] == ' ';
}

static bool checksum_good(const uint8_t *block)
{
    uint64_t wanted;
    unsigned sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= AT_CHECKSUM && i < AT_CHECKSUM + 8 ? ' ' : block[i];
    return get_number(block + AT_CHECKSUM, 8, &wanted) && wanted == sum;
}

void tar_reader_init(struct tar_reader *reader)
{
    *reader = (struct tar_reader){0};
}

// The name of a header block, its prefix in front.
static void get_name(const uint8_t *block, char out[TAR_NAME_MAX])
{
    bool ustar = memcmp(block + AT_MAGIC, "ustar", 6) == 0;
    const char *prefix = (const char *)block + AT_PREFIX, *name = (const char *)block;
    if (ustar && *prefix)
        str_format(out, TAR_NAME_MAX, "%.*s/%.*s", PREFIX_BYTES, prefix, NAME_BYTES, name);
    else
        str_format(out, TAR_NAME_MAX, "%.*s", NAME_BYTES, name);
}

static bool get_kind(char kind, enum tar_kind *out)
{
    for (size_t i = 0; i < sizeof kinds; i++)
        if (kinds[i] == kind) {
            *out = (enum tar_kind)i;
            return true;
        }
    *out = TAR_FILE;
    return kind == '\0' || kind == '7';
}

enum tar_step tar_read(struct tar_reader *reader, const uint8_t block[TAR_BLOCK],
                       struct tar_entry *out, uint64_t *skip, struct err *err)
{
    static const uint8_t empty[TAR_BLOCK];
    uint64_t mode, uid, gid, mtime, major = 0, minor = 0;
    char kind = (char)block[AT_KIND];
    *skip = 0;
    if (memcmp(block, empty, TAR_BLOCK) == 0)
        return TAR_END;
    if (!checksum_good(block) || !get_number(block + AT_SIZE, 12, skip) || *skip > INT64_MAX / 2) {
        err_set(err, ERR_INVALID_ARGUMENT, "archive/tar: invalid tar header");
        return TAR_BROKEN;
    }
    reader->record = 0;
    if (kind == 'x' || kind == 'L' || kind == 'K') {
        if (*skip > TAR_PAX_BYTES) {
            err_set(err, ERR_INVALID_ARGUMENT, "archive/tar: a header record is too long");
            return TAR_BROKEN;
        }
        reader->record = kind;
        return TAR_MORE;
    }
    *out = (struct tar_entry){0};
    if (!get_kind(kind, &out->kind))
        return TAR_PASS;
    if (!get_number(block + AT_MODE, 8, &mode) || !get_number(block + AT_UID, 8, &uid) ||
        !get_number(block + AT_GID, 8, &gid) || !get_number(block + AT_MTIME, 12, &mtime) ||
        uid > UINT32_MAX || gid > UINT32_MAX || mtime > INT64_MAX) {
        err_set(err, ERR_INVALID_ARGUMENT, "archive/tar: invalid tar header");
        return TAR_BROKEN;
    }
    get_number(block + AT_MAJOR, 8, &major);
    get_number(block + AT_MINOR, 8, &minor);
    if (*reader->name)
        str_copy(out->name, sizeof out->name, reader->name);
    else
        get_name(block, out->name);
    if (*reader->link)
        str_copy(out->link, sizeof out->link, reader->link);
    else
        str_format(out->link, sizeof out->link, "%.*s", NAME_BYTES, (const char *)block + AT_LINK);
    out->mode = (uint32_t)mode & 07777;
    out->uid = (uint32_t)uid;
    out->gid = (uint32_t)gid;
    out->mtime_s = (int64_t)mtime;
    out->major = (uint32_t)major;
    out->minor = (uint32_t)minor;
    out->size = out->kind == TAR_FILE ? (reader->size_set ? reader->size : *skip) : 0;
    // Old archives mark folders by their name alone.
    if (out->kind == TAR_FILE && str_ends(out->name, "/"))
        out->kind = TAR_DIR;
    *skip = out->size;
    tar_reader_init(reader);
    return TAR_ENTRY;
}

static int record_value(struct tar_reader *reader, const char *key, const char *value,
                        struct err *err)
{
    if (strlen(value) >= TAR_NAME_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "archive/tar: a name is too long");
    if (str_equal(key, "path"))
        str_copy(reader->name, sizeof reader->name, value);
    else if (str_equal(key, "linkpath"))
        str_copy(reader->link, sizeof reader->link, value);
    else if (str_equal(key, "size"))
        reader->size_set = str_to_u64(value, INT64_MAX / 2, &reader->size);
    return 0;
}

static int pax_records(struct tar_reader *reader, const char *at, size_t left, struct err *err)
{
    char key[64], value[TAR_NAME_MAX + 1];
    while (left > 0) {
        size_t length = 0, used = 0;
        while (used < left && at[used] >= '0' && at[used] <= '9' && length < TAR_PAX_BYTES)
            length = length * 10 + (size_t)(at[used++] - '0');
        const char *equal = used < left ? memchr(at + used, '=', left - used) : NULL;
        if (used == 0 || length <= used + 1 || length > left || !equal || equal >= at + length ||
            at[length - 1] != '\n')
            return err_set(err, ERR_INVALID_ARGUMENT, "archive/tar: invalid tar header");
        str_format(key, sizeof key, "%.*s", (int)(equal - at - (ptrdiff_t)used - 1), at + used + 1);
        size_t size = (size_t)(at + length - 1 - (equal + 1));
        str_format(value, sizeof value, "%.*s", (int)(size < TAR_NAME_MAX ? size : TAR_NAME_MAX),
                   equal + 1);
        int rc = record_value(reader, key, value, err);
        if (rc)
            return rc;
        at += length;
        left -= length;
    }
    return 0;
}

int tar_record(struct tar_reader *reader, const void *bytes, size_t size, struct err *err)
{
    char text[TAR_NAME_MAX + 1];
    CHECK(reader->record);
    if (reader->record == 'x')
        return pax_records(reader, bytes, size, err);
    str_format(text, sizeof text, "%.*s", (int)(size < TAR_NAME_MAX ? size : TAR_NAME_MAX),
               (const char *)bytes);
    return record_value(reader, reader->record == 'L' ? "path" : "linkpath", text, err);
}

// ---- looking through ---------------------------------------------------------------------------

void tar_scan_init(struct tar_scan *scan)
{
    *scan = (struct tar_scan){0};
    tar_reader_init(&scan->reader);
    buf_init(&scan->record, TAR_PAX_BYTES + TAR_BLOCK);
}

void tar_scan_fini(struct tar_scan *scan)
{
    buf_fini(&scan->record);
}

static int scan_block(struct tar_scan *scan, struct err *err)
{
    struct tar_entry *entry = MEM_NEW(struct tar_entry);
    uint64_t skip;
    int rc = 0;
    switch (tar_read(&scan->reader, scan->block, entry, &skip, err)) {
    case TAR_ENTRY:
        // The sum stays far from its end: no size is more than half of what it holds.
        if (scan->content < UINT64_MAX / 2)
            scan->content += entry->kind == TAR_SYMLINK ? strlen(entry->link) : entry->size;
        __attribute__((fallthrough));
    case TAR_PASS:
        scan->entries++;
        scan->skip = skip + tar_padding(skip);
        break;
    case TAR_MORE:
        scan->record_bytes = (size_t)skip;
        scan->record_left = (size_t)skip + tar_padding(skip);
        break;
    case TAR_END:
        scan->ended = true;
        break;
    case TAR_BROKEN:
        rc = -ERR_INVALID_ARGUMENT;
        break;
    }
    free(entry);
    return rc;
}

int tar_scan_feed(struct tar_scan *scan, const void *bytes, size_t size, struct err *err)
{
    const uint8_t *at = bytes;
    int rc = 0;
    while (size > 0 && !scan->ended && !rc) {
        size_t take = size;
        if (scan->skip) {
            take = scan->skip < size ? (size_t)scan->skip : size;
            scan->skip -= take;
        } else if (scan->record_left) {
            take = scan->record_left < size ? scan->record_left : size;
            buf_put(&scan->record, at, take);
            scan->record_left -= take;
            if (!scan->record_left) {
                rc = tar_record(&scan->reader, scan->record.data, scan->record_bytes, err);
                buf_clear(&scan->record);
            }
        } else {
            take = TAR_BLOCK - scan->have < size ? TAR_BLOCK - scan->have : size;
            memcpy(scan->block + scan->have, at, take);
            scan->have += take;
            if (scan->have == TAR_BLOCK) {
                scan->have = 0;
                rc = scan_block(scan, err);
            }
        }
        at += take;
        size -= take;
    }
    return rc;
}

int tar_scan_end(const struct tar_scan *scan, struct err *err)
{
    if (scan->ended || (scan->entries && !scan->skip && !scan->record_left && !scan->have))
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "archive/tar: unexpected EOF");
}
