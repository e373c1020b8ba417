#include "proto/wire/names.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// ASCII only, whatever the locale says.
static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Alphanumeric ends, and in between also the characters of `inner`.
static bool is_name(const char *name, const char *inner)
{
    size_t length = strlen(name);
    if (length == 0 || !is_alphanumeric(name[0]) || !is_alphanumeric(name[length - 1]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_alphanumeric(name[i]) && !strchr(inner, name[i]))
            return false;
    return true;
}

int name_check_dns(const char *name, struct err *err)
{
    if (str_empty(name))
        return err_set(err, ERR_INVALID_ARGUMENT, "meta: name must be provided");
    if (!is_name(name, "-_"))
        return err_set(err, ERR_INVALID_ARGUMENT, "name must be valid as a DNS name component");
    if (strlen(name) > NAME_DNS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "name must be 63 characters or fewer");
    return 0;
}

int name_check_secret(const char *name, struct err *err)
{
    if (str_empty(name))
        return err_set(err, ERR_INVALID_ARGUMENT, "name must be provided");
    if (strlen(name) > NAME_SECRET_MAX || !is_name(name, "-_."))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and "
                       "end character must be [a-zA-Z0-9]");
    return 0;
}

bool name_of_task(const Swarm__Task *task, char *out, size_t size)
{
    if (task->annotations && !str_empty(task->annotations->name))
        return str_copy(out, size, task->annotations->name);
    const char *service = task->service_annotations ? task->service_annotations->name : "";
    if (task->slot == 0)
        return str_format(out, size, "%s.%s.%s", service, task->node_id, task->id);
    return str_format(out, size, "%s.%" PRIu64 ".%s", service, task->slot, task->id);
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool copy_lower(char *out, size_t size, const char *text)
{
    bool whole = str_copy(out, size, text);
    for (char *at = out; *at; at++)
        *at = to_lower(*at);
    return whole;
}

bool name_of_runtime(const Swarm__TaskSpec *spec, char *out, size_t size)
{
    switch (spec->runtime_case) {
    case SWARM__TASK_SPEC__RUNTIME_CONTAINER:
        return str_copy(out, size, NAME_RUNTIME_CONTAINER);
    case SWARM__TASK_SPEC__RUNTIME_ATTACHMENT:
        return str_copy(out, size, NAME_RUNTIME_ATTACHMENT);
    case SWARM__TASK_SPEC__RUNTIME_GENERIC:
        return copy_lower(out, size, spec->generic ? spec->generic->kind : "");
    default:
        str_copy(out, size, "");
        return false;
    }
}

const char *name_of_value(const ProtobufCEnumDescriptor *type, int value, char *out, size_t size)
{
    CHECK(size > 0);
    const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(type, value);
    copy_lower(out, size, found ? found->name : "unknown");
    return out;
}

bool name_to_value(const ProtobufCEnumDescriptor *type, const char *name, int *value)
{
    for (unsigned i = 0; i < type->n_values; i++) {
        if (!str_equal_case(type->values[i].name, name))
            continue;
        *value = type->values[i].value;
        return true;
    }
    return false;
}
