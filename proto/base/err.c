#include "proto/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/check.h"

// Marks a message that was cut at its end.
static void mark_cut(char *message, int wanted)
{
    static const char dots[] = "...";
    if (wanted >= ERR_MESSAGE_BYTES)
        memcpy(message + ERR_MESSAGE_BYTES - sizeof dots, dots, sizeof dots);
}

int err_setv(struct err *err, enum err_code code, const char *format, va_list args)
{
    CHECK(code != ERR_OK);
    if (err) {
        // The arguments may point into err->message itself, so build aside first.
        char message[ERR_MESSAGE_BYTES];
        int wanted = vsnprintf(message, sizeof message, format, args);
        mark_cut(message, wanted);
        err->code = code;
        memcpy(err->message, message, sizeof message);
    }
    return -(int)code;
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int result = err_setv(err, code, format, args);
    va_end(args);
    return result;
}

int err_set_errno(struct err *err, int errnum, const char *format, ...)
{
    if (errnum < 0)
        errnum = -errnum;
    va_list args;
    va_start(args, format);
    int result = err_setv(err, err_code_of_errno(errnum), format, args);
    va_end(args);
    if (err) {
        char text[128];
        size_t used = strlen(err->message);
        int wanted = snprintf(err->message + used, sizeof err->message - used, ": %s",
                              strerror_r(errnum, text, sizeof text));
        mark_cut(err->message, (int)used + wanted);
    }
    return result;
}

int err_wrap(struct err *err, const char *format, ...)
{
    if (!err)
        return -(int)ERR_UNKNOWN;
    CHECK(err->code != ERR_OK);
    char inner[ERR_MESSAGE_BYTES];
    memcpy(inner, err->message, sizeof inner);
    va_list args;
    va_start(args, format);
    int result = err_setv(err, err->code, format, args);
    va_end(args);
    size_t used = strlen(err->message);
    int wanted = snprintf(err->message + used, sizeof err->message - used, ": %s", inner);
    mark_cut(err->message, (int)used + wanted);
    return result;
}

int err_copy(struct err *err, const struct err *from)
{
    CHECK(from->code != ERR_OK);
    if (err)
        *err = *from;
    return -(int)from->code;
}

void err_clear(struct err *err)
{
    if (!err)
        return;
    err->code = ERR_OK;
    err->message[0] = '\0';
}

const char *err_code_name(enum err_code code)
{
    switch (code) {
    case ERR_OK:
        return "OK";
#define X(name, number)                                                                            \
    case ERR_##name:                                                                               \
        return #name;
        ERR_CODES(X)
#undef X
    }
    return "UNKNOWN";
}

enum err_code err_code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
    case ESRCH:
    case ENODEV:
        return ERR_NOT_FOUND;
    case EEXIST:
    case EADDRINUSE:
        return ERR_ALREADY_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_PERMISSION_DENIED;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return ERR_RESOURCE_EXHAUSTED;
    case EINVAL:
    case ENAMETOOLONG:
    case E2BIG:
        return ERR_INVALID_ARGUMENT;
    case ETIMEDOUT:
        return ERR_DEADLINE_EXCEEDED;
    case ECANCELED:
        return ERR_CANCELLED;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
        return ERR_UNAVAILABLE;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
        return ERR_UNIMPLEMENTED;
    case EIO:
        return ERR_DATA_LOSS;
    case ENOTEMPTY:
    case EBUSY:
    case ENOTDIR:
    case EISDIR:
        return ERR_FAILED_PRECONDITION;
    case ERANGE:
    case EOVERFLOW:
        return ERR_OUT_OF_RANGE;
    default:
        return ERR_UNKNOWN;
    }
}
