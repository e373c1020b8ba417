// Limits, and what a container may do and see.
#include "tests/interop/oci/boxes.h"

#include <string.h>
#include <sys/stat.h>

#include "agent/oci/root_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

START_TEST(limits_are_seen_in_the_cgroup)
{
    struct oci_container spec = BOX_SHELL("limits", "sleep 100");
    spec.limits = (struct oci_limits){
        .nano_cpus = 500000000, .memory_bytes = 64 << 20, .pids_max = 42, .cpu_shares = 512};
    box_begin(&spec);
    struct cgroup_stats stats;
    struct err err = ERR_INIT;
    ck_assert_int_eq(runtime_stats(boxes.runtime, "limits", &stats, &err), 0);
    ck_assert_uint_eq(stats.memory_limit_bytes, 64 << 20);
    ck_assert_uint_eq(stats.pids_limit, 42);
    ck_assert_uint_ge(stats.pids, 1);
    ck_assert_uint_gt(stats.memory_bytes, 0);
    pid_t pids[8];
    ck_assert_int_ge(runtime_pids(boxes.runtime, "limits", pids, COUNT_OF(pids), &err), 1);
    struct answer answer = {0};
    struct oci_limits more = {.memory_bytes = 96 << 20, .pids_max = 50};
    runtime_update(boxes.runtime, "limits", &more, box_on_done, &answer);
    box_must(box_await(&answer), &answer);
    ck_assert_int_eq(runtime_stats(boxes.runtime, "limits", &stats, &err), 0);
    ck_assert_uint_eq(stats.memory_limit_bytes, 96 << 20);
    box_delete("limits");
}
END_TEST

START_TEST(an_oom_kill_is_reported)
{
    // tr keeps all it reads in one shell variable, far above the limit.
    struct oci_container spec =
        BOX_SHELL("oom", "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}");
    spec.limits.memory_bytes = 16 << 20;
    ck_assert_str_eq(box_run(&spec), "");
    ck_assert_int_eq(boxes.exit.code, 137);
    ck_assert(boxes.exit.oom_killed);
}
END_TEST

START_TEST(defaults_confine_and_seccomp_is_on)
{
    struct oci_container spec = BOX_SHELL(
        "confined", "grep -E 'CapEff|CapInh|Seccomp:|NoNewPrivs' /proc/self/status | tr -d '\\t';"
                    "ls /proc/self/fd | wc -l; unshare -m true 2>/dev/null || echo refused;"
                    "mount -t tmpfs x /tmp 2>/dev/null || echo refused;"
                    "unshare -U true 2>/dev/null && echo allowed || echo refused");
    spec.no_new_privileges = true;
    ck_assert_str_eq(box_run(&spec),
                     "CapInh:0000000000000000\nCapEff:00000000a80425fb\nNoNewPrivs:1\n"
                     "Seccomp:2\n4\nrefused\nrefused\nrefused\n");
    spec.id = "unconfined";
    spec.seccomp = OCI_SECCOMP_UNCONFINED;
    spec.no_new_privileges = false;
    spec.cap_drop = (struct oci_strings){(const char *const[]){"ALL"}, 1};
    // A user namespace needs no capability: only the profile forbids it.
    const char *said = box_run(&spec);
    ck_assert_ptr_nonnull(strstr(said, "CapEff:0000000000000000\nNoNewPrivs:0\nSeccomp:0\n"));
    ck_assert_ptr_nonnull(strstr(said, "allowed\n"));
}
END_TEST

START_TEST(the_environment_and_user_are_as_asked)
{
    struct user user;
    struct err err = ERR_INIT;
    ck_assert_int_eq(root_user(boxes.root, "app", NULL, 0, &user, &err), 0);
    struct oci_container spec =
        BOX_SHELL("user", "id; echo $A $HOME $HOSTNAME; hostname; "
                          "cat /etc/hostname /etc/resolv.conf; readlink /proc/self/cwd");
    spec.uid = user.uid;
    spec.gid = user.gid;
    spec.groups = user.groups;
    spec.groups_count = user.groups_count;
    spec.home = user.home;
    spec.env = (struct oci_strings){(const char *const[]){"A=0", "A=1"}, 2};
    spec.hostname = "box";
    spec.hosts_text = "127.0.0.1 localhost\n";
    spec.resolv_text = "nameserver 127.0.0.11\n";
    spec.cwd = "/tmp";
    ck_assert_str_eq(box_run(&spec),
                     "uid=1000(app) gid=1001(appgroup) groups=1001(appgroup),2000(extra)\n"
                     "1 /srv/app box\nbox\nbox\nnameserver 127.0.0.11\n/tmp\n");
}
END_TEST

START_TEST(mounts_files_and_readonly_roots_work)
{
    char source[400];
    str_format(source, sizeof source, "%s/data", boxes.dir);
    mkdir(source, 0755);
    struct oci_mount mounts[] = {
        {.kind = OCI_MOUNT_BIND, .source = source, .target = "/data/deep"},
        {.kind = OCI_MOUNT_TMPFS,
         .target = "/data",
         .tmpfs_size_bytes = 1 << 20,
         .tmpfs_mode = 0700},
        {.kind = OCI_MOUNT_BIND, .source = source, .target = "/ro", .readonly = true},
    };
    struct oci_file files[] = {
        {.target = "/run/secrets/key",
         .data = "secret",
         .size = 6,
         .mode = 0440,
         .uid = 1000,
         .gid = 7},
    };
    struct oci_container spec = BOX_SHELL(
        "mounts", "cat /run/secrets/key; echo; stat -c '%a %u %g' /run/secrets/key;"
                  "touch /data/deep/made && echo wrote; touch /ro/x 2>/dev/null || echo ro;"
                  "touch /bin/x 2>/dev/null || echo ro; stat -c %a /data;"
                  "echo x 2>/dev/null >/run/secrets/key || echo ro");
    spec.mounts = mounts;
    spec.mounts_count = COUNT_OF(mounts);
    spec.files = files;
    spec.files_count = COUNT_OF(files);
    // The targets must be there, because a read-only root cannot get them. (runc gives a tmpfs the
    // mode of the folder below it, whatever was asked for.)
    static const char *const targets[] = {"/data", "/ro", "/run", "/run/secrets"};
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        ck_assert_int_eq(root_mkdir(boxes.root, targets[i], i ? 0755 : 0700, 0, 0, NULL), 0);
    const char *said = box_run(&spec);
    ck_assert_str_eq(said, "secret\n440 1000 7\nwrote\nro\n700\nro\n");
    spec.id = "readonly";
    spec.readonly_rootfs = true;
    said = box_run(&spec);
    ck_assert_str_eq(said, "secret\n440 1000 7\nwrote\nro\nro\n700\nro\n");
    str_format(source, sizeof source, "%s/data/made", boxes.dir);
    ck_assert(file_exists(source));
}
END_TEST

void oci_confinement_tests(TCase *tcase)
{
    tcase_add_test(tcase, limits_are_seen_in_the_cgroup);
    tcase_add_test(tcase, an_oom_kill_is_reported);
    tcase_add_test(tcase, defaults_confine_and_seccomp_is_on);
    tcase_add_test(tcase, the_environment_and_user_are_as_asked);
    tcase_add_test(tcase, mounts_files_and_readonly_roots_work);
}
