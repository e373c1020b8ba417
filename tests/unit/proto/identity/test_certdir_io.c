// Certificate and key change as one: whatever moment a crash picks, a usable pair is left.
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/identity/certdir_io.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/x509.h"
#include "tests/support/support.h"
#include "tests/unit/proto/identity/vectors.h"

static char *made; // what goes at the end; `dir` may be a folder in it
static char *dir;

static void set_up(void)
{
    made = str_dup(support_tmpdir());
    dir = str_dup(made);
}

static void tear_down(void)
{
    support_tmpdir_remove(made);
    free(made);
    free(dir);
}

static void put(const char *name, const char *text)
{
    char *path = str_printf("%s/%s", dir, name);
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
    free(path);
}

static bool has(const char *name)
{
    char *path = str_printf("%s/%s", dir, name);
    bool there = file_exists(path);
    free(path);
    return there;
}

// The node id of what is loaded, "" when nothing can be.
static const char *loaded_id(struct err *err)
{
    static struct identity identity;
    struct credentials credentials;
    struct keyfile file;
    if (certdir_load(dir, NULL, &credentials, &file, err))
        return "";
    identity = credentials.identity;
    credentials_fini(&credentials);
    keyfile_fini(&file);
    return identity.node_id;
}

static const char *id_of(const char *who)
{
    struct identity identity;
    char *name = str_printf("%s/swarm-node.crt", who);
    ck_assert_int_eq(x509_identity(vector(name), &identity, NULL), 0);
    free(name);
    return vector_keep(str_dup(identity.node_id));
}

START_TEST(a_stock_folder_loads)
{
    put(CERTDIR_ROOTS, vector("manager/swarm-root-ca.crt"));
    put(CERTDIR_CHAIN, vector("manager/swarm-node.crt"));
    put(CERTDIR_KEY, vector("manager/swarm-node.key"));
    ck_assert_str_eq(loaded_id(NULL), id_of("manager"));
}
END_TEST

START_TEST(a_locked_folder_needs_the_lock_key)
{
    struct credentials credentials;
    struct keyfile file;
    struct err err = ERR_INIT;
    uint8_t lock_key[LOCK_KEY_BYTES];
    put(CERTDIR_ROOTS, vector("locked/swarm-root-ca.crt"));
    put(CERTDIR_CHAIN, vector("locked/swarm-node.crt"));
    put(CERTDIR_KEY, vector("locked/swarm-node.key"));
    ck_assert_int_eq(certdir_load(dir, NULL, &credentials, &file, &err), -ERR_FAILED_PRECONDITION);
    ck_assert_int_eq(lock_key_parse(vector("locked/unlock.key"), lock_key, NULL), 0);
    ck_assert_int_eq(certdir_load(dir, lock_key, &credentials, &file, NULL), 0);
    // What the TLS layer gets is in clear.
    ck_assert_ptr_nonnull(strstr(credentials.key_pem, "-----BEGIN PRIVATE KEY-----"));
    credentials_fini(&credentials);
    keyfile_fini(&file);
}
END_TEST

START_TEST(what_is_saved_loads_with_the_right_modes)
{
    struct keyfile file;
    const char *key = vector("worker/swarm-node.key");
    char *sub = str_printf("%s/certificates", dir);
    ck_assert_int_eq(keyfile_open(&file, key, strlen(key), NULL, NULL), 0);
    ck_assert_int_eq(certdir_save_roots(sub, vector("worker/swarm-root-ca.crt"), NULL), 0);
    ck_assert_int_eq(
        certdir_save_node(sub, vector("worker/swarm-node.crt"), &file, NULL, &rng_kernel, NULL), 0);
    keyfile_fini(&file);
    static const struct {
        const char *name;
        unsigned mode;
    } rows[] = {{"", 0700}, {CERTDIR_ROOTS, 0644}, {CERTDIR_CHAIN, 0644}, {CERTDIR_KEY, 0600}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct stat st;
        char *path = str_printf("%s/%s", sub, rows[i].name);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, rows[i].mode);
        free(path);
    }
    free(dir);
    dir = sub;
    ck_assert_str_eq(loaded_id(NULL), id_of("worker"));
    ck_assert(!has("." CERTDIR_CHAIN));
}
END_TEST

START_TEST(interrupted_before_the_key_the_old_pair_stays)
{
    put(CERTDIR_ROOTS, vector("manager/swarm-root-ca.crt"));
    put(CERTDIR_CHAIN, vector("manager/swarm-node.crt"));
    put(CERTDIR_KEY, vector("manager/swarm-node.key"));
    put("." CERTDIR_CHAIN, vector("worker/swarm-node.crt"));
    put("." CERTDIR_KEY, vector("worker/swarm-node.key"));
    ck_assert_str_eq(loaded_id(NULL), id_of("manager"));
    ck_assert(!has("." CERTDIR_CHAIN));
    ck_assert(!has("." CERTDIR_KEY));
}
END_TEST

START_TEST(interrupted_after_the_key_the_new_pair_is_completed)
{
    put(CERTDIR_ROOTS, vector("manager/swarm-root-ca.crt"));
    put(CERTDIR_CHAIN, vector("manager/swarm-node.crt"));
    put(CERTDIR_KEY, vector("worker/swarm-node.key"));
    put("." CERTDIR_CHAIN, vector("worker/swarm-node.crt"));
    ck_assert_str_eq(loaded_id(NULL), id_of("worker"));
    ck_assert(!has("." CERTDIR_CHAIN));
    ck_assert_str_eq(loaded_id(NULL), id_of("worker"));
}
END_TEST

START_TEST(what_is_missing_or_at_odds_is_said)
{
    struct err err = ERR_INIT;
    ck_assert_str_eq(loaded_id(&err), "");
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    put(CERTDIR_ROOTS, vector("manager/swarm-root-ca.crt"));
    put(CERTDIR_CHAIN, vector("manager/swarm-node.crt"));
    ck_assert_str_eq(loaded_id(&err), "");
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    put(CERTDIR_KEY, vector("worker/swarm-node.key"));
    ck_assert_str_eq(loaded_id(&err), "");
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "certificate does not belong to the key");
}
END_TEST

Suite *suite_certdir_io(void);
Suite *suite_certdir_io(void)
{
    Suite *suite = suite_create("certdir_io");
    TCase *tcase = tcase_create("certdir_io");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_stock_folder_loads);
    tcase_add_test(tcase, a_locked_folder_needs_the_lock_key);
    tcase_add_test(tcase, what_is_saved_loads_with_the_right_modes);
    tcase_add_test(tcase, interrupted_before_the_key_the_old_pair_stays);
    tcase_add_test(tcase, interrupted_after_the_key_the_new_pair_is_completed);
    tcase_add_test(tcase, what_is_missing_or_at_odds_is_said);
    suite_add_tcase(suite, tcase);
    return suite;
}
