#include "agent/image/blobs_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "agent/image/reference.h"
#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/base/tar.h"

#define CHUNK_BYTES (256u << 10)
// 16 + the window size tells zlib to expect gzip.
#define GZIP_WINDOW (16 + MAX_WBITS)

int blobs_path(const char *root, const char *digest, char out[BLOB_PATH_BYTES], struct err *err)
{
    CHECK(digest_valid(digest));
    if (!str_format(out, BLOB_PATH_BYTES, "%s/blobs/sha256/%s", root, digest + 7))
        return err_set(err, ERR_INVALID_ARGUMENT, "path of image store is too long");
    return 0;
}

bool blobs_have(const char *root, const char *digest, uint64_t size)
{
    char path[BLOB_PATH_BYTES];
    struct stat st;
    return blobs_path(root, digest, path, NULL) == 0 && lstat(path, &st) == 0 &&
           S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

static void digest_text(mbedtls_sha256_context *sha, char digest[72])
{
    unsigned char raw[32];
    CHECK(mbedtls_sha256_finish_ret(sha, raw) == 0);
    memcpy(digest, "sha256:", 7);
    hex_encode(raw, sizeof raw, digest + 7);
}

static void sha_start(mbedtls_sha256_context *sha)
{
    mbedtls_sha256_init(sha);
    CHECK(mbedtls_sha256_starts_ret(sha, 0) == 0);
}

static void sha_add(mbedtls_sha256_context *sha, const void *bytes, size_t size)
{
    CHECK(mbedtls_sha256_update_ret(sha, bytes, size) == 0);
}

int blobs_read(const char *root, const char *digest, struct buf *out, struct err *err)
{
    char path[BLOB_PATH_BYTES];
    int rc = blobs_path(root, digest, path, err);
    size_t before = out->len;
    if (!rc)
        rc = file_read(path, out, err);
    if (rc)
        return rc;
    char found[72];
    blobs_digest(out->data + before, out->len - before, found);
    if (!str_equal(found, digest))
        return err_set(err, ERR_DATA_LOSS, "blob %s is damaged", digest);
    return 0;
}

void blobs_digest(const void *bytes, size_t size, char digest[72])
{
    mbedtls_sha256_context sha;
    sha_start(&sha);
    if (size)
        sha_add(&sha, bytes, size);
    digest_text(&sha, digest);
    mbedtls_sha256_free(&sha);
}

int blobs_put(const char *root, const void *bytes, size_t size, char digest[72], struct err *err)
{
    blobs_digest(bytes, size, digest);
    char path[BLOB_PATH_BYTES];
    int rc = blobs_path(root, digest, path, err);
    return rc ? rc : file_write_atomic(path, bytes, size, 0600, err);
}

int blobs_digest_file(const char *file, char digest[72], uint64_t *size, struct err *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open %s", file);
    char *chunk = mem_alloc(CHUNK_BYTES);
    mbedtls_sha256_context sha;
    sha_start(&sha);
    *size = 0;
    int rc = 0;
    for (;;) {
        ssize_t got = read(fd, chunk, CHUNK_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = err_set_errno(err, errno, "read %s", file);
        if (got <= 0)
            break;
        sha_add(&sha, chunk, (size_t)got);
        *size += (uint64_t)got;
    }
    digest_text(&sha, digest);
    mbedtls_sha256_free(&sha);
    free(chunk);
    close(fd);
    return rc;
}

// A layer on its way through: hashed, and looked at as an archive.
struct passage {
    bool hashes;
    mbedtls_sha256_context sha;
    struct tar_scan scan;
};

static int pass(struct passage *passage, const void *bytes, size_t size, struct err *err)
{
    if (passage->hashes)
        sha_add(&passage->sha, bytes, size);
    return tar_scan_feed(&passage->scan, bytes, size, err);
}

// What `in` is inflated to goes through; several members in a row are one stream.
static int pass_gzip(struct passage *passage, z_stream *zip, int *state, unsigned char *in,
                     size_t size, struct err *err)
{
    unsigned char *out = mem_alloc(CHUNK_BYTES);
    int rc = 0;
    zip->next_in = in;
    zip->avail_in = (unsigned)size;
    while (zip->avail_in && !rc) {
        if (*state == Z_STREAM_END)
            inflateReset(zip);
        zip->next_out = out;
        zip->avail_out = CHUNK_BYTES;
        *state = inflate(zip, Z_NO_FLUSH);
        if (*state != Z_OK && *state != Z_STREAM_END && *state != Z_BUF_ERROR)
            rc = err_set(err, ERR_INVALID_ARGUMENT, "the archive's gzip data is damaged");
        else
            rc = pass(passage, out, CHUNK_BYTES - zip->avail_out, err);
    }
    free(out);
    return rc;
}

static bool is_other_packing(const unsigned char magic[6])
{
    static const unsigned char zstd[] = {0x28, 0xb5, 0x2f, 0xfd}, xz[] = {0xfd, '7', 'z', 'X'};
    return memcmp(magic, zstd, sizeof zstd) == 0 || memcmp(magic, xz, sizeof xz) == 0 ||
           memcmp(magic, "BZh", 3) == 0;
}

// Lets a whole file through; the passage is begun and ended by the caller.
static int pass_file(struct passage *passage, const char *file, struct err *err)
{
    unsigned char magic[6] = {0};
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open %s", file);
    if (pread(fd, magic, sizeof magic, 0) >= 4 && is_other_packing(magic)) {
        close(fd);
        return err_set(err, ERR_UNIMPLEMENTED, "only plain and gzip archives can be imported");
    }
    bool gzip = magic[0] == 0x1f && magic[1] == 0x8b;
    unsigned char *in = mem_alloc(CHUNK_BYTES);
    z_stream zip = {0};
    int state = Z_OK, rc = 0;
    CHECK(inflateInit2(&zip, GZIP_WINDOW) == Z_OK);
    for (ssize_t got; !rc && (got = read(fd, in, CHUNK_BYTES));)
        if (got < 0 && errno != EINTR)
            rc = err_set_errno(err, errno, "read %s", file);
        else if (got > 0)
            rc = gzip ? pass_gzip(passage, &zip, &state, in, (size_t)got, err)
                      : pass(passage, in, (size_t)got, err);
    if (!rc && gzip && state != Z_STREAM_END)
        rc = err_set(err, ERR_INVALID_ARGUMENT, "the archive's gzip data ends early");
    if (!rc)
        rc = tar_scan_end(&passage->scan, err);
    inflateEnd(&zip);
    free(in);
    close(fd);
    return rc;
}

int blobs_diff_id(const char *file, char digest[72], uint64_t *content, struct err *err)
{
    struct passage *passage = MEM_NEW(struct passage);
    passage->hashes = true;
    sha_start(&passage->sha);
    tar_scan_init(&passage->scan);
    int rc = pass_file(passage, file, err);
    digest_text(&passage->sha, digest);
    *content = passage->scan.content;
    mbedtls_sha256_free(&passage->sha);
    tar_scan_fini(&passage->scan);
    free(passage);
    return rc;
}

uint64_t blobs_content(const char *root, const char *digest)
{
    char path[BLOB_PATH_BYTES];
    struct passage *passage = MEM_NEW(struct passage);
    tar_scan_init(&passage->scan);
    int rc = blobs_path(root, digest, path, NULL);
    if (!rc)
        rc = pass_file(passage, path, NULL);
    uint64_t content = rc ? BLOB_CONTENT_UNKNOWN : passage->scan.content;
    tar_scan_fini(&passage->scan);
    free(passage);
    return content;
}

static int sync_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open %s", path);
    int rc = fsync(fd) < 0 ? err_set_errno(err, errno, "sync %s", path) : 0;
    close(fd);
    return rc;
}

int blobs_adopt(const char *root, const char *file, const char *digest, uint64_t size,
                struct err *err)
{
    char path[BLOB_PATH_BYTES], folder[BLOB_PATH_BYTES], found[72];
    uint64_t found_size;
    int rc = blobs_path(root, digest, path, err);
    if (!rc)
        rc = blobs_digest_file(file, found, &found_size, err);
    if (!rc && (!str_equal(found, digest) || found_size != size))
        rc = err_set(err, ERR_DATA_LOSS, "blob %s arrived damaged", digest);
    bool in_place = str_equal(file, path);
    if (!rc)
        rc = sync_file(file, err);
    if (!rc && !in_place && rename(file, path) < 0)
        rc = err_set_errno(err, errno, "move blob %s into the store", digest);
    if (!rc && str_format(folder, sizeof folder, "%s/blobs/sha256", root))
        rc = dir_sync(folder, err);
    if (rc)
        unlink(file);
    return rc;
}

int blobs_sweep(const char *root, const struct map *keep, uint64_t *freed, struct err *err)
{
    char folder[BLOB_PATH_BYTES];
    if (!str_format(folder, sizeof folder, "%s/blobs/sha256", root))
        return err_set(err, ERR_INVALID_ARGUMENT, "path of image store is too long");
    DIR *dir = opendir(folder);
    if (!dir)
        return err_set_errno(err, errno, "open %s", folder);
    struct dirent *entry;
    uint64_t bytes = 0;
    while ((entry = readdir(dir))) {
        char digest[300];
        struct stat st;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        str_format(digest, sizeof digest, "sha256:%s", entry->d_name);
        if (map_has_str(keep, digest) ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) == 0)
            bytes += (uint64_t)st.st_size;
    }
    closedir(dir);
    if (freed)
        *freed = bytes;
    return 0;
}
