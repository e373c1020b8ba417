// Archive headers survive the way out and in, and broken ones are refused.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/tar.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// Reads the one entry that the buffer holds.
static enum tar_step read_back(const struct buf *buf, struct tar_entry *out)
{
    static struct tar_reader reader;
    uint64_t skip;
    size_t at = 0;
    enum tar_step step = TAR_MORE;
    tar_reader_init(&reader);
    while (step == TAR_MORE && at + TAR_BLOCK <= buf->len) {
        step = tar_read(&reader, buf->data + at, out, &skip, NULL);
        at += TAR_BLOCK;
        if (step == TAR_MORE) {
            ck_assert_uint_le(at + skip, buf->len);
            ck_assert_int_eq(tar_record(&reader, buf->data + at, (size_t)skip, NULL), 0);
            at += (size_t)skip + tar_padding(skip);
        }
    }
    return step;
}

START_TEST(entries_come_back)
{
    static struct tar_entry in, out;
    struct buf buf;
    buf_init(&buf, 1 << 20);
    in = (struct tar_entry){.kind = TAR_FILE,
                            .mode = 04755,
                            .uid = 1000,
                            .gid = 3000000,
                            .size = UINT64_C(10000000000),
                            .mtime_s = 1795175141};
    memset(in.name, 'n', 300);
    tar_put(&buf, &in);
    ck_assert_int_eq(read_back(&buf, &out), TAR_ENTRY);
    ck_assert_str_eq(out.name, in.name);
    ck_assert_uint_eq(out.size, in.size);
    ck_assert_uint_eq(out.mode, in.mode);
    ck_assert_uint_eq(out.gid, in.gid);
    ck_assert_int_eq(out.mtime_s, in.mtime_s);
    buf_clear(&buf);
    in = (struct tar_entry){.kind = TAR_SYMLINK, .name = "a/link"};
    memset(in.link, 'l', 99);
    tar_put(&buf, &in);
    ck_assert_int_eq(read_back(&buf, &out), TAR_ENTRY);
    ck_assert_int_eq(out.kind, TAR_SYMLINK);
    ck_assert_str_eq(out.link, in.link);
    buf_fini(&buf);
}
END_TEST

START_TEST(a_changed_header_is_broken)
{
    static struct tar_entry in = {.kind = TAR_DIR, .name = "dir/", .mode = 0755}, out;
    struct buf buf;
    buf_init(&buf, 1 << 20);
    tar_put(&buf, &in);
    buf.data[3] ^= 1;
    ck_assert_int_eq(read_back(&buf, &out), TAR_BROKEN);
    buf_clear(&buf);
    tar_put_end(&buf);
    ck_assert_int_eq(read_back(&buf, &out), TAR_END);
    buf_fini(&buf);
}
END_TEST

// An archive of one small file and a long name, fed in pieces.
START_TEST(whole_archives_are_told_from_cut_ones)
{
    struct buf buf;
    struct tar_entry *entry = MEM_NEW(struct tar_entry);
    buf_init(&buf, 1 << 20);
    entry->size = 700;
    memset(entry->name, 'n', 300);
    tar_put(&buf, entry);
    for (size_t i = 0; i < 700 + tar_padding(700); i++)
        buf_put(&buf, "x", 1);
    size_t entries_end = buf.len;
    tar_put_end(&buf);
    for (size_t cut = 0; cut <= buf.len; cut += 100) {
        struct tar_scan scan;
        struct err err = ERR_INIT;
        int rc = 0;
        tar_scan_init(&scan);
        for (size_t at = 0; at < cut && !rc; at += 77)
            rc = tar_scan_feed(&scan, buf.data + at, cut - at < 77 ? cut - at : 77, &err);
        ck_assert_int_eq(rc, 0);
        bool whole = cut == entries_end || cut >= entries_end + TAR_BLOCK;
        ck_assert_msg((tar_scan_end(&scan, &err) == 0) == whole, "%zu", cut);
        tar_scan_fini(&scan);
    }
    struct tar_scan scan;
    tar_scan_init(&scan);
    ck_assert_int_eq(tar_scan_feed(&scan, buf.data, buf.len, NULL), 0);
    ck_assert_uint_eq(scan.content, 700);
    tar_scan_fini(&scan);
    tar_scan_init(&scan);
    buf.data[3] ^= 1;
    ck_assert_int_eq(tar_scan_feed(&scan, buf.data, buf.len, NULL), -ERR_INVALID_ARGUMENT);
    tar_scan_fini(&scan);
    free(entry);
    buf_fini(&buf);
}
END_TEST

Suite *suite_tar(void);
Suite *suite_tar(void)
{
    Suite *suite = suite_create("tar");
    TCase *tcase = tcase_create("tar");
    tcase_add_test(tcase, entries_come_back);
    tcase_add_test(tcase, a_changed_header_is_broken);
    tcase_add_test(tcase, whole_archives_are_told_from_cut_ones);
    suite_add_tcase(suite, tcase);
    return suite;
}
