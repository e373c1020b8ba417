// What fetching, pushing and loading share: skopeo's words and credentials for registries.
#include "agent/image/fetch_io.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define AUTH_BYTES 65536

// skopeo writes: time="..." level=fatal msg="..." with \" inside.
static void message_of(const char *err_text, char *out, size_t size)
{
    const char *at = NULL;
    for (const char *next = err_text; (next = strstr(next, "msg=\"")); next += 5)
        at = next + 5;
    size_t used = 0;
    for (; at && *at && *at != '"' && used + 1 < size; at++) {
        if (*at == '\\' && at[1])
            at++;
        out[used++] = *at == '\n' ? ' ' : *at;
    }
    out[used] = '\0';
}

int fetch_check(const struct process_result *result, const char *what, struct err *err)
{
    static const struct {
        const char *words;
        enum err_code code;
    } rows[] = {
        {"authentication required", ERR_UNAUTHENTICATED},
        {"unauthorized", ERR_UNAUTHENTICATED},
        {"invalid username/password", ERR_UNAUTHENTICATED},
        {"denied", ERR_PERMISSION_DENIED},
        {"manifest unknown", ERR_NOT_FOUND},
        {"name unknown", ERR_NOT_FOUND},
        {"not found", ERR_NOT_FOUND},
        {"no space left", ERR_RESOURCE_EXHAUSTED},
        {"connection refused", ERR_UNAVAILABLE},
        {"no such host", ERR_UNAVAILABLE},
        {"unreachable", ERR_UNAVAILABLE},
        {"i/o timeout", ERR_UNAVAILABLE},
        {"connection reset", ERR_UNAVAILABLE},
        {"server misbehaving", ERR_UNAVAILABLE},
        {"unexpected EOF", ERR_UNAVAILABLE},
        {"pinging container registry", ERR_UNAVAILABLE},
        {"Digest did not match", ERR_DATA_LOSS},
        {"does not match", ERR_DATA_LOSS},
    };
    int rc = process_check(result, what, err);
    if (!rc || result->timed_out)
        return rc;
    char message[700];
    message_of(result->err, message, sizeof message);
    if (!*message)
        return rc;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strstr(message, rows[i].words))
            return err_set(err, rows[i].code, "%s: %s", what, message);
    return err_set(err, ERR_INTERNAL, "%s: %s", what, message);
}

// ---- credentials --------------------------------------------------------------------------------

int fetch_auth_fd(const char *domain, const struct registry_auth *auth, struct err *err)
{
    if (auth && !str_empty(auth->registry_token))
        return err_set(err, ERR_UNIMPLEMENTED,
                       "registry tokens are not supported: use a password or an identity token");
    struct buf text, pair, coded;
    buf_init(&text, AUTH_BYTES);
    buf_init(&pair, AUTH_BYTES / 4);
    buf_init(&coded, AUTH_BYTES / 2);
    struct json_out out;
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    json_out_object(&out, "auths");
    bool given = auth && (!str_empty(auth->username) || !str_empty(auth->identity_token));
    if (given) {
        buf_printf(&pair, "%s:%s", str_or(auth->username, "<token>"), str_or(auth->password, ""));
        base64_encode(BASE64_STD, pair.data, pair.len, &coded);
        json_out_object(&out, domain);
        json_out_strn(&out, "auth", (const char *)coded.data, coded.len);
        if (!str_empty(auth->identity_token))
            json_out_str(&out, "identitytoken", auth->identity_token);
        json_out_end(&out);
    }
    json_out_end(&out);
    json_out_end(&out);
    int fd = -1;
    int rc = 0;
    if (!json_out_done(&out) || !buf_ok(&pair) || !buf_ok(&coded))
        rc = err_set(err, ERR_INVALID_ARGUMENT, "registry credentials are too long");
    if (!rc && ((fd = memfd_create("auth", MFD_CLOEXEC)) < 0 ||
                write(fd, text.data, text.len) != (ssize_t)text.len))
        rc = err_set_errno(err, errno, "keep registry credentials");
    buf_wipe(&text);
    buf_wipe(&pair);
    buf_wipe(&coded);
    if (rc && fd >= 0)
        close(fd);
    return rc ? rc : fd;
}

bool fetch_insecure(const struct images *images, const char *domain)
{
    return mirrors_insecure(&images->mirrors, domain);
}
