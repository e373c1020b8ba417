#include "proto/rpc/status.h"

#include <stdarg.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

struct rpc_status rpc_status_of_err(const struct err *err)
{
    return (struct rpc_status){.err = *err};
}

struct rpc_status rpc_status_make(enum err_code code, const char *format, ...)
{
    struct rpc_status status = RPC_STATUS_OK;
    if (code == ERR_OK)
        return status;
    va_list args;
    va_start(args, format);
    err_setv(&status.err, code, format, args);
    va_end(args);
    return status;
}

int rpc_status_to_err(const struct rpc_status *status, struct err *err)
{
    if (status->err.code == ERR_OK)
        return 0;
    return err_copy(err, &status->err);
}

enum err_code rpc_status_parse_code(const char *text, size_t length)
{
    unsigned number = 0;
    if (length == 0 || length > 2)
        return ERR_UNKNOWN;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return ERR_UNKNOWN;
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    return number <= ERR_UNAUTHENTICATED ? (enum err_code)number : ERR_UNKNOWN;
}

enum err_code rpc_status_of_http(unsigned http_status)
{
    switch (http_status) {
    case 400:
        return ERR_INTERNAL;
    case 401:
        return ERR_UNAUTHENTICATED;
    case 403:
        return ERR_PERMISSION_DENIED;
    case 404:
        return ERR_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return ERR_UNAVAILABLE;
    default:
        return ERR_UNKNOWN;
    }
}

enum err_code rpc_status_of_reset(uint32_t h2_error)
{
    switch (h2_error) {
    case 0x7: // REFUSED_STREAM: not processed at all
        return ERR_UNAVAILABLE;
    case 0x8: // CANCEL
        return ERR_CANCELLED;
    case 0xb: // ENHANCE_YOUR_CALM
        return ERR_RESOURCE_EXHAUSTED;
    case 0xc: // INADEQUATE_SECURITY
        return ERR_PERMISSION_DENIED;
    default:
        return ERR_INTERNAL;
    }
}

// Go's name of the code: "NotFound" for NOT_FOUND. Only CANCELLED is spelled otherwise.
static const char *go_name(enum err_code code, char out[32])
{
    const char *name = err_code_name(code);
    size_t used = 0;
    bool upper = true;
    if (code == ERR_CANCELLED)
        return "Canceled";
    for (; *name && used < 31; name++) {
        if (*name != '_')
            out[used++] = upper ? *name : (char)(*name | 0x20);
        upper = *name == '_';
    }
    out[used] = '\0';
    return out;
}

void rpc_status_text(const struct err *err, char *out, size_t size)
{
    char name[32];
    str_format(out, size, "rpc error: code = %s desc = %s", go_name(err->code, name), err->message);
}

void rpc_status_word(struct err *err)
{
    char text[RPC_STATUS_TEXT_BYTES];
    rpc_status_text(err, text, sizeof text);
    err_set(err, err->code, "%s", text);
}
