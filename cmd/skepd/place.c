#include "cmd/skepd/place.h"

#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

struct place place_default(void)
{
    struct place place = {0};
    CHECK(str_copy(place.listen_addr, sizeof place.listen_addr, PLACE_LISTEN));
    return place;
}

int place_read(const void *text, size_t size, struct place *out, struct err *err)
{
    *out = place_default();
    json_t *root = json_parse(text, size, err);
    if (!root)
        return err_set(err, ERR_DATA_LOSS, "%s is damaged", PLACE_FILE);
    const json_t *manager = json_object_get(root, "manager");
    const char *listen = json_string_value(json_object_get(root, "listen_addr"));
    const char *advertise = json_string_value(json_object_get(root, "advertise_addr"));
    bool good = json_is_boolean(manager) && listen && advertise &&
                str_copy(out->listen_addr, sizeof out->listen_addr, listen) &&
                str_copy(out->advertise_addr, sizeof out->advertise_addr, advertise);
    out->manager = json_is_true(manager);
    json_decref(root);
    return good ? 0 : err_set(err, ERR_DATA_LOSS, "%s is damaged", PLACE_FILE);
}

void place_write(const struct place *place, struct buf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_object(&json, NULL);
    json_out_bool(&json, "manager", place->manager);
    json_out_str(&json, "listen_addr", place->listen_addr);
    json_out_str(&json, "advertise_addr", place->advertise_addr);
    json_out_end(&json);
    buf_put_str(out, "\n");
    CHECK(json_out_done(&json));
}
