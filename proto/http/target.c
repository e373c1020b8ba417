#include "proto/http/target.h"

#include <string.h>

#include "proto/base/str.h"

#define SCHEME     "https://"
#define HTTPS_PORT 443

static int check_text(const char *url, struct err *err)
{
    if (strlen(url) >= TARGET_TEXT_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "URL is longer than %d characters",
                       TARGET_TEXT_BYTES - 1);
    for (const char *at = url; *at; at++)
        if (*at <= ' ' || *at == 0x7f || strchr("\"<>\\^`{|}", *at))
            return err_set(err, ERR_INVALID_ARGUMENT, "URL holds a forbidden character");
    if (!str_starts(url, SCHEME))
        return err_set(err, ERR_INVALID_ARGUMENT, "URL must begin with %s", SCHEME);
    return 0;
}

int target_parse(const char *url, struct target *out, struct err *err)
{
    *out = (struct target){.path = "/"};
    int result = check_text(url, err);
    if (result)
        return result;
    const char *host = url + strlen(SCHEME);
    size_t length = strcspn(host, "/?#");
    if (length == 0 || length >= sizeof out->host || host[0] == ':')
        return err_set(err, ERR_INVALID_ARGUMENT, "URL names no host");
    memcpy(out->host, host, length);
    if (strchr(out->host, '@'))
        return err_set(err, ERR_INVALID_ARGUMENT, "URL names a user");
    result = addr_parse(out->host, HTTPS_PORT, &out->addr, err);
    if (result)
        return result;
    if (out->addr.kind == ADDR_UNIX || out->addr.port == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "URL names no port that can be called");
    // Up to the fragment, which no server is sent.
    const char *path = host + length;
    size_t used = strcspn(path, "#");
    size_t slash = *path == '/' ? 0 : 1;
    memcpy(out->path + slash, path, used); // fits: shorter than the URL
    out->path[slash + used] = '\0';
    return 0;
}
