// Key files: what stock nodes wrote opens, and what we write OpenSSL reads.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/identity/keyfile.h"
#include "proto/identity/rng_io.h"
#include "tests/support/support.h"
#include "tests/unit/proto/identity/vectors.h"

static int open_text(struct keyfile *file, const char *text, const uint8_t *lock_key,
                     struct err *err)
{
    return keyfile_open(file, text, strlen(text), lock_key, err);
}

static void stock_lock_key(uint8_t key[LOCK_KEY_BYTES])
{
    ck_assert_int_eq(lock_key_parse(vector("locked/unlock.key"), key, NULL), 0);
}

START_TEST(an_unlocked_stock_file_opens)
{
    struct keyfile file;
    const char *text = vector("manager/swarm-node.key");
    ck_assert(!keyfile_is_locked(text, strlen(text)));
    ck_assert_int_eq(open_text(&file, text, NULL, NULL), 0);
    ck_assert_uint_eq(file.kek_version, 0);
    ck_assert_uint_eq(file.raft.bytes_count, 32);
    ck_assert_uint_eq(file.raft_pending.bytes_count, 0);
    ck_assert(!file.raft_needs_rotation);
    // Unlocked and with the same headers it is written back byte for byte.
    struct buf out;
    buf_init(&out, 1 << 16);
    keyfile_write(&file, NULL, &rng_kernel, &out);
    ck_assert_str_eq(buf_cstr(&out), text);
    buf_fini(&out);
    keyfile_fini(&file);
}
END_TEST

START_TEST(a_locked_stock_file_opens_with_its_key_only)
{
    struct keyfile file;
    uint8_t key[LOCK_KEY_BYTES];
    struct err err = ERR_INIT;
    const char *text = vector("locked/swarm-node.key");
    stock_lock_key(key);
    ck_assert(keyfile_is_locked(text, strlen(text)));
    ck_assert_int_eq(open_text(&file, text, NULL, &err), -ERR_FAILED_PRECONDITION);
    ck_assert_str_eq(err.message, "key file is locked");
    ck_assert_msg(open_text(&file, text, key, &err) == 0, "%s", err.message);
    ck_assert_uint_gt(file.kek_version, 0);
    ck_assert_uint_eq(file.raft.bytes_count, 32);
    keyfile_fini(&file);
    key[0] ^= 1;
    ck_assert_int_eq(open_text(&file, text, key, &err), -ERR_UNAUTHENTICATED);
    ck_assert_uint_eq(file.raft.bytes_count, 0);
}
END_TEST

START_TEST(locking_and_unlocking_keeps_everything)
{
    struct keyfile file = {.kek_version = 77, .raft_needs_rotation = true};
    uint8_t lock_key[LOCK_KEY_BYTES];
    lock_key_make(&rng_kernel, lock_key);
    key_make(&file.key, &rng_kernel);
    memset(file.raft.bytes, 7, 32);
    file.raft.bytes_count = 32;
    memset(file.raft_pending.bytes, 9, 32);
    file.raft_pending.bytes_count = 32;
    file.others[file.others_count++] =
        (struct pem_header){.key = str_dup("later"), .value = str_dup("kept")};
    struct buf out;
    buf_init(&out, 1 << 16);
    keyfile_write(&file, lock_key, &rng_kernel, &out);
    ck_assert(keyfile_is_locked(out.data, out.len));
    struct keyfile back;
    struct err err = ERR_INIT;
    ck_assert_msg(keyfile_open(&back, out.data, out.len, lock_key, &err) == 0, "%s", err.message);
    ck_assert(key_same_public(&file.key.pk, &back.key.pk));
    ck_assert_uint_eq(back.kek_version, 77);
    ck_assert(back.raft_needs_rotation);
    ck_assert_mem_eq(back.raft.bytes, file.raft.bytes, 32);
    ck_assert_mem_eq(back.raft_pending.bytes, file.raft_pending.bytes, 32);
    ck_assert_uint_eq(back.others_count, 1);
    ck_assert_str_eq(back.others[0].value, "kept");
    keyfile_fini(&back);
    keyfile_fini(&file);
    buf_fini(&out);
}
END_TEST

START_TEST(a_data_key_is_replaced_in_two_steps_and_asked_again_twice)
{
    struct keyfile file = {0};
    keyfile_replace_data_key(&file, &rng_kernel);
    ck_assert_uint_eq(file.raft_pending.bytes_count, 0); // a worker's: there is nothing to replace
    ck_assert(!keyfile_settle_data_key(&file, &rng_kernel));
    file.raft.bytes_count = 32;
    struct data_key first = file.raft;
    keyfile_replace_data_key(&file, &rng_kernel);
    ck_assert_uint_eq(file.raft_pending.bytes_count, 32);
    ck_assert_mem_eq(file.raft.bytes, first.bytes,
                     32); // in use until what there is was sealed anew
    struct data_key next = file.raft_pending;
    keyfile_replace_data_key(&file, &rng_kernel); // locked once more meanwhile
    ck_assert_mem_eq(file.raft_pending.bytes, next.bytes, 32);
    ck_assert(file.raft_needs_rotation);
    ck_assert(keyfile_settle_data_key(&file, &rng_kernel));
    ck_assert_mem_eq(file.raft.bytes, next.bytes, 32);
    ck_assert_uint_eq(file.raft_pending.bytes_count, 32); // the second rotation
    ck_assert(!file.raft_needs_rotation);
    ck_assert(keyfile_settle_data_key(&file, &rng_kernel));
    ck_assert_uint_eq(file.raft_pending.bytes_count, 0);
}
END_TEST

START_TEST(openssl_reads_a_locked_file_without_its_headers)
{
    struct keyfile file = {0};
    static const uint8_t lock_key[LOCK_KEY_BYTES] = "0123456789abcdef0123456789abcde";
    uint8_t readable[LOCK_KEY_BYTES]; // the same with a last character that a command line can hold
    memcpy(readable, lock_key, sizeof readable);
    readable[LOCK_KEY_BYTES - 1] = 'f';
    struct buf out;
    buf_init(&out, 1 << 16);
    key_make(&file.key, &rng_kernel);
    keyfile_write(&file, readable, &rng_kernel, &out);
    const char *dir = support_tmpdir();
    char *path = str_printf("%s/key", dir);
    ck_assert_int_eq(file_write_atomic(path, out.data, out.len, 0600, NULL), 0);
    char *command = str_printf("sed '/^kek-version/d; /^$/d' %s | "
                               "openssl pkey -passin pass:0123456789abcdef0123456789abcdef",
                               path);
    const char *clear = vector_run(command);
    struct key key;
    ck_assert_int_eq(key_parse_pem(&key, clear, strlen(clear), NULL), 0);
    ck_assert(key_same_public(&key.pk, &file.key.pk));
    key_fini(&key);
    keyfile_fini(&file);
    buf_fini(&out);
    free(command);
    free(path);
    support_tmpdir_remove(dir);
}
END_TEST

static const char *const older_forms[] = {
    "openssl ecparam -name prime256v1 -genkey -noout",
    "openssl ecparam -name prime256v1 -genkey", // with EC PARAMETERS before it
    "openssl ecparam -name secp384r1 -genkey -noout",
    "openssl genrsa 2048 2>/dev/null",
    "openssl genrsa -traditional 2048 2>/dev/null",
    "openssl ecparam -name prime256v1 -genkey -noout | openssl ec -aes256 -passout $P 2>/dev/null",
    "openssl ecparam -name prime256v1 -genkey -noout | openssl ec -aes128 -passout $P 2>/dev/null",
    "openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -v2prf hmacWithSHA1 "
    "-passout $P",
    "openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -v2 aes128 -passout $P",
};

START_TEST(other_forms_that_openssl_writes_open)
{
    static const uint8_t lock_key[LOCK_KEY_BYTES + 1] = "0123456789abcdef0123456789abcdef";
    struct keyfile file;
    struct err err = ERR_INIT;
    char *command = str_printf("P=pass:%s; %s", (const char *)lock_key, older_forms[_i]);
    const char *text = vector_run(command);
    ck_assert_msg(open_text(&file, text, lock_key, &err) == 0, "%s: %s\n%s", older_forms[_i],
                  err.message, text);
    keyfile_fini(&file);
    free(command);
}
END_TEST

static const char *const refused_forms[] = {
    "openssl genrsa 1024 2>/dev/null",
    "openssl ecparam -name secp256k1 -genkey -noout",
    "openssl genpkey -algorithm ed25519",
    "openssl genpkey -algorithm x25519",
    "echo",
    "echo '-----BEGIN PRIVATE KEY-----'; echo; echo '-----END PRIVATE KEY-----'",
};

START_TEST(keys_of_other_kinds_are_refused)
{
    struct keyfile file;
    ck_assert_int_eq(open_text(&file, vector_run(refused_forms[_i]), NULL, NULL),
                     -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(broken_headers_are_refused)
{
    static const char *const headers[] = {
        "kek-version: x", "kek-version: -1", "raft-dek: ?",
        "raft-dek: ",     "raft-dek: AAAA",  "raft-dek: EgA=" /* an empty key */,
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        struct keyfile file;
        char *text = str_dup(vector("worker/swarm-node.key"));
        char *rest = strstr(text, "\n\n");
        const char *begin = "-----BEGIN PRIVATE KEY-----\n";
        char *whole = str_printf("%s%s%s", begin, headers[i], rest);
        ck_assert_msg(open_text(&file, whole, NULL, NULL) == -ERR_INVALID_ARGUMENT, "%s",
                      headers[i]);
        free(whole);
        free(text);
    }
}
END_TEST

START_TEST(more_foreign_headers_than_we_keep_are_refused)
{
    struct keyfile file;
    struct buf text;
    struct err err = ERR_INIT;
    buf_init(&text, 1 << 16);
    buf_put_str(&text, "-----BEGIN PRIVATE KEY-----\n");
    for (int i = 0; i < KEYFILE_OTHERS_MAX + 1; i++)
        buf_printf(&text, "h%d: v\n", i);
    buf_put_str(&text, strstr(vector("worker/swarm-node.key"), "\n\n") + 1);
    ck_assert_int_eq(keyfile_open(&file, text.data, text.len, NULL, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "key file has too many headers");
    buf_fini(&text);
}
END_TEST

#define ROWS(array) ((int)(sizeof(array) / sizeof *(array)))

Suite *suite_keyfile(void);
Suite *suite_keyfile(void)
{
    Suite *suite = suite_create("keyfile");
    TCase *tcase = tcase_create("keyfile");
    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, an_unlocked_stock_file_opens);
    tcase_add_test(tcase, a_locked_stock_file_opens_with_its_key_only);
    tcase_add_test(tcase, locking_and_unlocking_keeps_everything);
    tcase_add_test(tcase, a_data_key_is_replaced_in_two_steps_and_asked_again_twice);
    tcase_add_test(tcase, openssl_reads_a_locked_file_without_its_headers);
    tcase_add_loop_test(tcase, other_forms_that_openssl_writes_open, 0, ROWS(older_forms));
    tcase_add_loop_test(tcase, keys_of_other_kinds_are_refused, 0, ROWS(refused_forms));
    tcase_add_test(tcase, broken_headers_are_refused);
    tcase_add_test(tcase, more_foreign_headers_than_we_keep_are_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
