// The networks of this node as the API shows them, those that are none among them.
#include <string.h>

#include "agent/net/locals_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static void write_fixed(const char *name, struct json_out *out)
{
    // Two networks that are none: their ids are made of their names.
    char id[LOCAL_ID_BYTES], text[WALL_TEXT_BYTES];
    local_fixed_id(name, id);
    json_out_object(out, NULL);
    json_out_str(out, "Name", name);
    json_out_str(out, "Id", id);
    json_out_str(out, "Created", wall_format((struct wall){0}, text));
    json_out_str(out, "Scope", "local");
    json_out_str(out, "Driver", str_equal(name, "none") ? "null" : name);
    json_out_bool(out, "EnableIPv6", false);
    json_out_object(out, "IPAM");
    json_out_str(out, "Driver", "default");
    json_out_null(out, "Options");
    json_out_array(out, "Config");
    json_out_end(out);
    json_out_end(out);
    json_out_bool(out, "Internal", false);
    json_out_bool(out, "Attachable", false);
    json_out_bool(out, "Ingress", false);
    json_out_object(out, "ConfigFrom");
    json_out_str(out, "Network", "");
    json_out_end(out);
    json_out_bool(out, "ConfigOnly", false);
    static const char *const empty[] = {"Containers", "Options", "Labels"};
    for (size_t i = 0; i < COUNT_OF(empty); i++) {
        json_out_object(out, empty[i]);
        json_out_end(out);
    }
    json_out_end(out);
}

void locals_write(const struct locals *locals, struct json_out *out)
{
    for (size_t i = 0; i < locals->count; i++)
        local_write(locals->list[i], false, out);
    write_fixed("host", out);
    write_fixed("none", out);
}

bool locals_write_one(const struct locals *locals, const char *name, struct json_out *out)
{
    static const char *const fixed[] = {"host", "none"};
    const struct local *local = locals_lookup(locals, name);
    if (local) {
        local_write(local, true, out);
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(fixed); i++) {
        char id[LOCAL_ID_BYTES];
        local_fixed_id(fixed[i], id);
        if (!str_equal(name, fixed[i]) && !(strlen(name) >= 3 && str_starts(id, name)))
            continue;
        write_fixed(fixed[i], out);
        return true;
    }
    return false;
}
