// Archive headers survive the way out and in, and broken ones are refused.
#include <check.h>
#include <string.h>

#include "agent/crate/tar.h"
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

Suite *suite_tar(void);
Suite *suite_tar(void)
{
    Suite *suite = suite_create("tar");
    TCase *tcase = tcase_create("tar");
    tcase_add_test(tcase, entries_come_back);
    tcase_add_test(tcase, a_changed_header_is_broken);
    suite_add_tcase(suite, tcase);
    return suite;
}
