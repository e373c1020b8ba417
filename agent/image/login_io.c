// Whether a registry takes credentials, asked by skopeo: `docker login`.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/image/fetch_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define OUTPUT_BYTES (64u << 10)
#define LOGIN_MS_MAX (60 * 1000)
#define DOCKER_HUB   "docker.io"
#define MEMORY_DIR   "/dev/shm" // what skopeo writes down for itself stays off the disk

struct login {
    struct images *images;
    char dir[IMAGES_PATH_BYTES]; // "" before it is made
    struct err err;
    struct loop_later later;
    images_simple_done *done;
    void *owner;
};

static void login_end(struct login *login)
{
    struct err err = login->err, why = ERR_INIT;
    images_simple_done *done = login->done;
    void *owner = login->owner;
    if (*login->dir && dir_remove(login->dir, &why))
        log_warn("a login leaves a folder", "err=\"%s\"", why.message);
    login->images->ops--;
    free(login);
    done(owner, err.code ? &err : NULL);
}

static void login_answer(struct loop_later *later)
{
    login_end(CONTAINER_OF(later, struct login, later));
}

static void login_ended(void *owner, const struct process_result *result)
{
    struct login *login = owner;
    fetch_check(result, "login", &login->err);
    login_end(login);
}

// "https://index.docker.io/v1/", "host:5000", "" for docker's own.
static int read_server(const char *text, char domain[256], struct err *err)
{
    const char *at = text;
    if (str_starts(at, "https://"))
        at += strlen("https://");
    else if (str_starts(at, "http://"))
        at += strlen("http://");
    size_t length = strcspn(at, "/");
    bool good = length < 256 && at[0] != '-';
    for (size_t i = 0; i < length && good; i++)
        good =
            strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]", at[i]);
    if (!good)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid registry address \"%.200s\"", text);
    str_format(domain, 256, "%.*s", (int)length, at);
    if (!length || str_equal(domain, "index.docker.io") ||
        str_equal(domain, "registry-1.docker.io"))
        str_copy(domain, 256, DOCKER_HUB);
    return 0;
}

static int login_start(struct login *login, const struct registry_auth *auth, struct err *err)
{
    const struct images *images = login->images;
    char domain[256], file[IMAGES_PATH_BYTES + 16];
    int rc = read_server(str_or(auth->server, ""), domain, err);
    if (!rc && (!str_empty(auth->identity_token) || !str_empty(auth->registry_token)))
        rc = err_set(err, ERR_UNIMPLEMENTED, "logging in with a token is not supported");
    if (!rc && (str_empty(auth->username) || str_empty(auth->password)))
        rc = err_set(err, ERR_INVALID_ARGUMENT, "a user name and a password are to be given");
    if (!rc && auth->username[0] == '-')
        rc = err_set(err, ERR_INVALID_ARGUMENT, "invalid user name");
    if (rc)
        return rc;
    bool memory = str_copy(login->dir, sizeof login->dir, MEMORY_DIR "/skep-login.XXXXXX") &&
                  mkdtemp(login->dir);
    if (!memory) {
        images_stage(login->images, login->dir);
        rc = dir_make(login->dir, 0700, err);
    }
    str_format(file, sizeof file, "%s/auth.json", login->dir);
    const char *argv[16] = {images->skopeo, "login",        "--authfile",      file,
                            "--username",   auth->username, "--password-stdin"};
    size_t count = 7;
    argv[count++] = fetch_insecure(images, domain) ? "--tls-verify=false" : "--tls-verify=true";
    if (images->certs_dir) {
        argv[count++] = "--cert-dir";
        argv[count++] = images->certs_dir;
    }
    argv[count++] = domain;
    struct process_spec spec = {
        .argv = argv,
        .input = auth->password,
        .input_bytes = strlen(auth->password),
        .output_bytes_max = OUTPUT_BYTES,
        .timeout_ms = LOGIN_MS_MAX,
    };
    return rc ? rc : process_start(images->loop, &spec, login_ended, login, NULL, err);
}

void images_login(struct images *images, const struct registry_auth *auth, images_simple_done *done,
                  void *owner)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    struct login *login = MEM_NEW(struct login);
    images->ops++;
    login->images = images;
    login->done = done;
    login->owner = owner;
    loop_later_init(&login->later, images->loop, login_answer);
    if (login_start(login, auth, &login->err))
        loop_later_ask(&login->later);
}
