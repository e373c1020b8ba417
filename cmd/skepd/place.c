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
    const struct {
        const char *name;
        char *text;
        size_t size;
    } rows[] = {
        {"listen_addr", out->listen_addr, sizeof out->listen_addr},
        {"advertise_addr", out->advertise_addr, sizeof out->advertise_addr},
        {"data_path_addr", out->data_path_addr, sizeof out->data_path_addr},
    };
    bool good = true;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *value = json_string_value(json_object_get(root, rows[i].name));
        good = good && value && str_copy(rows[i].text, rows[i].size, value);
    }
    json_decref(root);
    return good ? 0 : err_set(err, ERR_DATA_LOSS, "%s is damaged", PLACE_FILE);
}

void place_write(const struct place *place, struct buf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_object(&json, NULL);
    json_out_str(&json, "listen_addr", place->listen_addr);
    json_out_str(&json, "advertise_addr", place->advertise_addr);
    json_out_str(&json, "data_path_addr", place->data_path_addr);
    json_out_end(&json);
    buf_put_str(out, "\n");
    CHECK(json_out_done(&json));
}
