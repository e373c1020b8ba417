// Images with the real skopeo, umoci and docker-registry.
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/image/images_io.h"
#include "agent/image/rootfs_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/process_io.h"
#include "proto/base/str.h"
#include "tests/support/support.h"

#define WAIT_MS 90000

static struct fixture {
    char dir[256];
    char store[300];
    char tar[300];
    struct loop loop;
    struct images *images;
} fx;

struct answer {
    int count;
    char id[72];
    struct err err;
    char said[2000]; // progress
};

static void on_image(void *owner, const struct image *image, const struct err *err)
{
    struct answer *answer = owner;
    answer->count++;
    if (image)
        str_copy(answer->id, sizeof answer->id, image->id);
    if (err)
        err_copy(&answer->err, err);
}

static void on_done(void *owner, const struct err *err)
{
    on_image(owner, NULL, err);
}

static void on_pushed(void *owner, const char *digest, uint64_t size, const struct err *err)
{
    ck_assert(err || (str_starts(digest, "sha256:") && size > 0));
    on_image(owner, NULL, err);
}

static bool has_answer(void *owner)
{
    return ((struct answer *)owner)->count > 0;
}

static int await(struct answer *answer)
{
    ck_assert(loop_run_until(&fx.loop, has_answer, answer, WAIT_MS));
    ck_assert_int_eq(answer->count, 1);
    return -(int)answer->err.code;
}

static void must(int rc, const struct answer *answer)
{
    ck_assert_msg(rc == 0, "%s", answer->err.message);
}

static void shell(const char *format, const char *a, const char *b)
{
    char command[2000];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(command, sizeof command, format, a, b);
#pragma GCC diagnostic pop
    ck_assert_msg(system(command) == 0, "%s", command);
}

static void open_images(void)
{
    struct err err = ERR_INIT;
    struct images_config config = {.loop = &fx.loop, .root = fx.store, .pull_timeout_ms = 60000};
    ck_assert_msg(images_open(&config, &fx.images, &err) == 0, "%s", err.message);
}

static void setup(void)
{
    memset(&fx, 0, sizeof fx);
    str_copy(fx.dir, sizeof fx.dir, support_tmpdir());
    str_format(fx.store, sizeof fx.store, "%s/store", fx.dir);
    str_format(fx.tar, sizeof fx.tar, "%s/root.tar", fx.dir);
    shell("cd %s && mkdir -p root/bin root/etc root/evil && cp /bin/busybox root/bin/sh &&"
          " ln -s /etc/passwd root/evil/link && echo hello >root/etc/hello &&"
          " chmod 750 root/etc/hello && chown 12:34 root/etc/hello && tar -C root -cf %s .",
          fx.dir, fx.tar);
    loop_init(&fx.loop);
    open_images();
}

static int count_entries(const char *name)
{
    char path[400];
    str_format(path, sizeof path, "%s/%s", fx.store, name);
    DIR *dir = opendir(path);
    int count = 0;
    struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

static bool is_idle(void *owner)
{
    (void)owner;
    return !images_busy(fx.images);
}

static void teardown(void)
{
    // A fetch that was cancelled answers before it is over.
    ck_assert(loop_run_until(&fx.loop, is_idle, NULL, WAIT_MS));
    ck_assert_int_eq(count_entries("tmp"), 0);
    images_close(fx.images);
    loop_fini(&fx.loop);
    support_tmpdir_remove(fx.dir);
}

static void import(const char *name, char id[72])
{
    json_t *object = json_pack("{s:[s],s:[s]}", "Cmd", "/bin/sh", "Env", "A=1");
    struct import_config config = {.config = object};
    struct answer answer = {0};
    images_import(fx.images, fx.tar, &config, name, on_image, &answer);
    json_decref(object);
    ck_assert_int_eq(answer.count, 0);
    must(await(&answer), &answer);
    str_copy(id, 72, answer.id);
}

START_TEST(an_imported_tar_becomes_a_root_file_system)
{
    char id[72];
    import("test/box:1", id);
    const struct image *image;
    ck_assert_int_eq(library_find(images_library(fx.images), "test/box:1", &image, NULL), 0);
    ck_assert_str_eq(image->id, id);
    ck_assert_str_eq(image->config.cmd[0], "/bin/sh");
    ck_assert_uint_eq(image->config.diff_ids_count, 1);
    struct answer first = {0}, second = {0};
    images_unpack(fx.images, id, on_done, &first);
    images_unpack(fx.images, id, on_done, &second);
    must(await(&first), &first);
    must(await(&second), &second);

    struct err err = ERR_INIT;
    char root[ROOTFS_PATH_BYTES], path[ROOTFS_PATH_BYTES + 20];
    ck_assert_msg(rootfs_create(fx.store, "c1", id, &err) == 0, "%s", err.message);
    ck_assert_int_eq(rootfs_create(fx.store, "c1", id, &err), -ERR_ALREADY_EXISTS);
    ck_assert_msg(rootfs_mount(fx.store, "c1", root, &err) == 0, "%s", err.message);
    ck_assert_int_eq(rootfs_mount(fx.store, "c1", root, &err), 0);
    struct stat st;
    str_format(path, sizeof path, "%s/etc/hello", root);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0750);
    ck_assert_int_eq(st.st_uid, 12);
    ck_assert_int_eq(st.st_gid, 34);
    unlink(path);
    str_format(path, sizeof path, "%s/new", root);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    char user[100];
    ck_assert_uint_eq(rootfs_users(fx.store, id, user, sizeof user), 1);
    ck_assert_str_eq(user, "c1");
    ck_assert_int_eq(images_remove(fx.images, id, true, NULL, NULL, &err),
                     -ERR_FAILED_PRECONDITION);
    ck_assert_int_eq(rootfs_remove(fx.store, "c1", &err), 0);
    ck_assert_int_eq(images_remove(fx.images, "test/box:1", false, NULL, NULL, &err), 0);
    ck_assert_int_eq(count_entries("blobs/sha256"), 0);
    ck_assert_int_eq(count_entries("trees"), 0);
    ck_assert_int_eq(count_entries("layers"), 0);
}
END_TEST

static void on_change(void *owner, char kind, const char *path)
{
    char *text = owner;
    size_t used = strlen(text);
    str_format(text + used, 400 - used, "%c %s\n", kind, path);
}

START_TEST(a_container_layer_tells_its_changes)
{
    char id[72], root[ROOTFS_PATH_BYTES];
    import("test/box", id);
    struct answer answer = {0};
    images_unpack(fx.images, id, on_done, &answer);
    must(await(&answer), &answer);
    struct err err = ERR_INIT;
    ck_assert_int_eq(rootfs_create(fx.store, "c2", id, &err), 0);
    ck_assert_int_eq(rootfs_mount(fx.store, "c2", root, &err), 0);
    shell("cd %s && rm etc/hello && echo 1 >evil/made%s", root, "");
    char changes[400] = "";
    ck_assert_int_eq(rootfs_diff(fx.store, "c2", on_change, changes, &err), 0);
    ck_assert_ptr_nonnull(strstr(changes, "D /etc/hello\n"));
    ck_assert_ptr_nonnull(strstr(changes, "A /evil/made\n"));
    ck_assert_ptr_nonnull(strstr(changes, "C /evil\n"));
    ck_assert_uint_gt(rootfs_upper_bytes(fx.store, "c2"), 0);
    ck_assert_int_eq(rootfs_remove(fx.store, "c2", &err), 0);
}
END_TEST

START_TEST(the_library_outlives_us_and_knows_all_names)
{
    char id[72], again[72];
    import("one:1", id);
    struct err err = ERR_INIT;
    ck_assert_int_eq(images_tag(fx.images, "one:1", "localhost:5000/two", &err), 0);
    images_close(fx.images);
    open_images();
    const struct image *image;
    const struct library *library = images_library(fx.images);
    static const char *const names[] = {"one:1", "docker.io/library/one:1",
                                        "localhost:5000/two:latest"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        ck_assert_int_eq(library_find(library, names[i], &image, &err), 0);
        ck_assert_str_eq(image->id, id);
    }
    ck_assert_int_eq(library_find(library, id, &image, &err), 0);
    char prefix[13];
    str_format(prefix, sizeof prefix, "%.12s", id + 7);
    ck_assert_int_eq(library_find(library, prefix, &image, &err), 0);
    ck_assert_int_eq(library_find(library, "one:2", &image, &err), -ERR_NOT_FOUND);
    // A tag moves to the image that got it last.
    shell("cd %s && echo other >root/etc/other && tar -C root -cf %s .", fx.dir, fx.tar);
    import("one:1", again);
    ck_assert_str_ne(id, again);
    ck_assert_int_eq(library_find(library, "one:1", &image, &err), 0);
    ck_assert_str_eq(image->id, again);
    ck_assert_int_eq(images_remove(fx.images, id, false, NULL, NULL, &err), 0);
    ck_assert_int_eq(library_find(library, "localhost:5000/two", &image, &err), -ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_hostile_tar_stays_inside_its_tree)
{
    char id[72], command[1200];
    // A link out of the tree with a file to be written through it, and a name that climbs.
    str_format(command, sizeof command,
               "cd %s && mkdir -p target one two/evil && ln -s ../../../../..%s/target one/evil &&"
               " echo 1 >two/evil/pwned && echo 1 >climber && tar -C one -cf %s evil &&"
               " tar -C two -rf %s evil/pwned &&"
               " tar -rPf %s --transform 's,^,../../../,' climber && rm climber",
               fx.dir, fx.dir, fx.tar, fx.tar, fx.tar);
    shell("%s%s", command, "");
    import("test/evil", id);
    struct answer answer = {0};
    images_unpack(fx.images, id, on_done, &answer);
    await(&answer); // refused or tamed: both will do
    shell(
        "cd %s && test -z \"$(find . -name pwned -not -path './store/trees/*' -not -path './two/*')"
        "$(find . -name climber -not -path './store/trees/*')$(ls target)\"%s",
        fx.dir, "");
    ck_assert_int_eq(images_remove(fx.images, id, true, NULL, NULL, NULL), 0);
    ck_assert_int_eq(count_entries("trees"), 0);
}
END_TEST

START_TEST(a_broken_tar_leaves_nothing)
{
    struct answer answer = {0};
    shell("printf '\\037\\213broken' >%s%s", fx.tar, "");
    images_import(fx.images, fx.tar, NULL, "bad", on_image, &answer);
    ck_assert_int_eq(await(&answer), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(count_entries("blobs/sha256"), 0);
    ck_assert_uint_eq(library_count(images_library(fx.images)), 0);
}
END_TEST

// ---- registry and archives ---------------------------------------------------------------------

#define REGISTRY "127.0.0.1:5055"

static pid_t registry;

// A registry on loopback; with `locked` it wants user "keeper" and password "correct horse".
static void start_registry(bool locked)
{
    static const char users[] =
        "keeper:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n";
    char config[400], data[2000], passwords[400];
    struct err err = ERR_INIT;
    str_format(passwords, sizeof passwords, "%s/passwords", fx.dir);
    ck_assert_int_eq(file_write_atomic(passwords, users, sizeof users - 1, 0600, &err), 0);
    str_format(config, sizeof config, "%s/registry.yml", fx.dir);
    int size = snprintf(data, sizeof data,
                        "version: 0.1\nlog: {level: error}\nstorage: {filesystem: "
                        "{rootdirectory: %s/registry}}\nhttp: {addr: " REGISTRY "}\n"
                        "%s%s%s\n",
                        fx.dir, locked ? "auth: {htpasswd: {realm: x, path: " : "",
                        locked ? passwords : "", locked ? "}}" : "");
    ck_assert_int_eq(file_write_atomic(config, data, (size_t)size, 0600, &err), 0);
    registry = fork();
    if (!registry) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execl("/usr/bin/docker-registry", "docker-registry", "serve", config, NULL);
        _exit(127);
    }
    for (int i = 0; i < 1200; i++) {
        if (system("bash -c 'exec 3<>/dev/tcp/127.0.0.1/5055' 2>/dev/null") == 0)
            return;
        usleep(50000);
    }
    ck_abort_msg("the registry does not come up");
}

static void stop_registry(void)
{
    kill(registry, SIGKILL);
    waitpid(registry, NULL, 0);
}

static int pull(const char *reference, bool always, struct answer *answer)
{
    memset(answer, 0, sizeof *answer);
    struct pull_request request = {.reference = reference, .always = always};
    images_pull(fx.images, &request, on_image, answer, NULL);
    ck_assert_int_eq(answer->count, 0);
    return await(answer);
}

static void on_progress(void *owner, const struct pull_progress *progress)
{
    struct answer *answer = owner;
    size_t used = strlen(answer->said);
    str_format(answer->said + used, sizeof answer->said - used, "%s|", progress->status);
}

START_TEST(an_image_travels_to_a_registry_and_back)
{
    if (access("/usr/bin/docker-registry", X_OK) != 0)
        return;
    char id[72];
    import(REGISTRY "/test/box:1", id);
    struct answer answer = {0};
    start_registry(false);
    images_push(fx.images, REGISTRY "/test/box:1", NULL, on_pushed, &answer);
    must(await(&answer), &answer);
    struct err err = ERR_INIT;
    ck_assert_int_eq(images_remove(fx.images, id, true, NULL, NULL, &err), 0);
    ck_assert_int_eq(count_entries("blobs/sha256"), 0);

    // Two at once are one fetch, and both are answered.
    struct answer first = {0}, second = {0};
    struct pull_request request = {.reference = REGISTRY "/test/box:1"};
    images_pull(fx.images, &request, on_image, &first, NULL);
    images_pull(fx.images, &request, on_image, &second, NULL);
    must(await(&first), &first);
    must(await(&second), &second);
    // The very same image: neither manifest nor configuration was rewritten on the way.
    ck_assert_str_eq(first.id, id);
    const struct image *image = library_by_id(images_library(fx.images), id);
    ck_assert_uint_eq(image->digests_count, 1);
    char digest[400];
    str_copy(digest, sizeof digest, image->digests[0]);
    ck_assert_int_eq(count_entries("blobs/sha256"), 3);

    // By digest; and a tag that cannot be asked for again still starts from what is here.
    must(pull(digest, false, &answer), &answer);
    must(pull(digest, true, &answer), &answer);
    ck_assert_int_eq(pull(REGISTRY "/test/none:1", false, &answer), -ERR_NOT_FOUND);
    stop_registry();
    must(pull(REGISTRY "/test/box:1", false, &answer), &answer);
    ck_assert_int_eq(pull(REGISTRY "/test/box:1", true, &answer), -ERR_UNAVAILABLE);
    ck_assert_int_eq(pull(REGISTRY "/test/other:1", false, &answer), -ERR_UNAVAILABLE);
    ck_assert_int_eq(pull("BAD", false, &answer), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(count_entries("blobs/sha256"), 3);

    memset(&answer, 0, sizeof answer);
    images_unpack(fx.images, id, on_done, &answer);
    must(await(&answer), &answer);
}
END_TEST

START_TEST(a_pull_tells_its_progress_and_can_be_cancelled)
{
    if (access("/usr/bin/docker-registry", X_OK) != 0)
        return;
    char id[72];
    import(REGISTRY "/test/box:2", id);
    struct answer answer = {0}, other = {0};
    start_registry(false);
    images_push(fx.images, REGISTRY "/test/box:2", NULL, on_pushed, &answer);
    must(await(&answer), &answer);
    ck_assert_int_eq(images_remove(fx.images, id, true, NULL, NULL, NULL), 0);
    struct images_pull *pull;
    struct pull_request request = {.reference = REGISTRY "/test/box:2"};
    memset(&answer, 0, sizeof answer);
    images_pull(fx.images, &request, on_image, &answer, &pull);
    images_pull_cancel(pull);
    ck_assert_int_eq(await(&answer), -ERR_CANCELLED);
    request.progress = on_progress;
    images_pull(fx.images, &request, on_image, &other, NULL);
    must(await(&other), &other);
    ck_assert_ptr_nonnull(strstr(other.said, "Pulling from test/box|"));
    ck_assert_ptr_nonnull(strstr(other.said, "Pulling fs layer|"));
    ck_assert_ptr_nonnull(strstr(other.said, "Pull complete|Digest: sha256:"));
    ck_assert_ptr_nonnull(strstr(other.said, "Status: Downloaded newer image for " REGISTRY));
    stop_registry();
}
END_TEST

START_TEST(a_locked_registry_opens_with_credentials_only)
{
    if (access("/usr/bin/docker-registry", X_OK) != 0)
        return;
    char id[72];
    import(REGISTRY "/test/box:4", id);
    start_registry(true);
    struct registry_auth wrong = {.username = "keeper", .password = "guess"};
    struct registry_auth right = {.username = "keeper", .password = "correct horse"};
    struct answer answer = {0};
    images_push(fx.images, REGISTRY "/test/box:4", &wrong, on_pushed, &answer);
    ck_assert_int_eq(await(&answer), -ERR_UNAUTHENTICATED);
    memset(&answer, 0, sizeof answer);
    images_push(fx.images, REGISTRY "/test/box:4", &right, on_pushed, &answer);
    must(await(&answer), &answer);
    ck_assert_int_eq(images_remove(fx.images, id, true, NULL, NULL, NULL), 0);
    ck_assert_int_eq(pull(REGISTRY "/test/box:4", false, &answer), -ERR_UNAUTHENTICATED);
    ck_assert_ptr_null(strstr(answer.err.message, "horse"));
    wrong.server = right.server = "http://" REGISTRY "/v2/";
    memset(&answer, 0, sizeof answer);
    images_login(fx.images, &wrong, on_done, &answer);
    ck_assert_int_eq(await(&answer), -ERR_UNAUTHENTICATED);
    ck_assert_ptr_null(strstr(answer.err.message, "guess"));
    memset(&answer, 0, sizeof answer);
    images_login(fx.images, &right, on_done, &answer);
    must(await(&answer), &answer);
    struct pull_request request = {.reference = REGISTRY "/test/box:4", .auth = &right};
    memset(&answer, 0, sizeof answer);
    images_pull(fx.images, &request, on_image, &answer, NULL);
    must(await(&answer), &answer);
    stop_registry();
    // Neither password nor its base64 is anywhere on the disk.
    shell("! grep -rqE 'correct horse|Y29ycmVjdCBob3JzZ|a2VlcGVyOm' %s%s", fx.store, "");
}
END_TEST

START_TEST(an_image_is_saved_and_loaded_again)
{
    char id[72], archive[300];
    import("test/box:3", id);
    str_format(archive, sizeof archive, "%s/saved.tar", fx.dir);
    struct answer answer = {0};
    images_save(fx.images, &(const char *){"test/box:3"}, 1, archive, on_done, &answer);
    must(await(&answer), &answer);
    struct err err = ERR_INIT;
    ck_assert_int_eq(images_remove(fx.images, "test/box:3", false, NULL, NULL, &err), 0);
    struct answer done = {0};
    images_load(fx.images, archive, NULL, on_done, &done);
    must(await(&done), &done);
    const struct image *image;
    ck_assert_int_eq(library_find(images_library(fx.images), "test/box:3", &image, &err), 0);
    ck_assert_str_eq(image->id, id);
    memset(&answer, 0, sizeof answer);
    images_unpack(fx.images, id, on_done, &answer);
    must(await(&answer), &answer);
    memset(&done, 0, sizeof done);
    images_load(fx.images, fx.tar, NULL, on_done, &done);
    ck_assert_int_ne(await(&done), 0);
}
END_TEST

static Suite *suite_image(void)
{
    Suite *suite = suite_create("image");
    TCase *tcase = tcase_create("local");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 180);
    tcase_add_test(tcase, an_imported_tar_becomes_a_root_file_system);
    tcase_add_test(tcase, a_container_layer_tells_its_changes);
    tcase_add_test(tcase, the_library_outlives_us_and_knows_all_names);
    tcase_add_test(tcase, a_hostile_tar_stays_inside_its_tree);
    tcase_add_test(tcase, a_broken_tar_leaves_nothing);
    tcase_add_test(tcase, an_image_travels_to_a_registry_and_back);
    tcase_add_test(tcase, a_pull_tells_its_progress_and_can_be_cancelled);
    tcase_add_test(tcase, a_locked_registry_opens_with_credentials_only);
    tcase_add_test(tcase, an_image_is_saved_and_loaded_again);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(suite_image());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
