#include "tests/support/busybox_root.h"

#include <check.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

void busybox_root_make(const char *root)
{
    static const char *const applets[] = {"sh",    "cat",   "sleep", "echo",     "id",    "stat",
                                          "touch", "mkdir", "mount", "ls",       "chown", "grep",
                                          "head",  "true",  "kill",  "hostname", "stty",  "unshare",
                                          "dd",    "wc",    "tr",    "readlink", "seq"};
    char path[400];
    static const char *const folders[] = {"", "/bin", "/etc", "/tmp", "/proc", "/sys", "/dev"};
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        str_format(path, sizeof path, "%s%s", root, folders[i]);
        ck_assert_int_eq(mkdir(path, 0755), 0);
    }
    str_format(path, sizeof path, "%s/tmp", root);
    chmod(path, 01777);
    struct buf busybox;
    struct err err = ERR_INIT;
    buf_init(&busybox, 16u << 20);
    ck_assert_int_eq(file_read("/bin/busybox", &busybox, &err), 0);
    str_format(path, sizeof path, "%s/bin/busybox", root);
    ck_assert_int_eq(file_write_atomic(path, busybox.data, busybox.len, 0755, &err), 0);
    buf_fini(&busybox);
    for (size_t i = 0; i < COUNT_OF(applets); i++) {
        str_format(path, sizeof path, "%s/bin/%s", root, applets[i]);
        ck_assert_int_eq(symlink("busybox", path), 0);
    }
    static const char passwd[] =
        "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/srv/app:/bin/sh\n";
    static const char group[] = "root:x:0:\nappgroup:x:1001:\nextra:x:2000:app\n";
    str_format(path, sizeof path, "%s/etc/passwd", root);
    ck_assert_int_eq(file_write_atomic(path, passwd, sizeof passwd - 1, 0644, &err), 0);
    str_format(path, sizeof path, "%s/etc/group", root);
    ck_assert_int_eq(file_write_atomic(path, group, sizeof group - 1, 0644, &err), 0);
}
