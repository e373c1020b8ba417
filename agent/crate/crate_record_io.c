// What is written down of a crate, so that it is there again after a restart.
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define RECORD_BYTES_MAX (8u << 20)

static void record_path(const struct crates *crates, const char *id, char out[CRATE_PATH_BYTES])
{
    CHECK(str_format(out, CRATE_PATH_BYTES, "%s/%s.json", crates->dir, id));
}

// Those that it had when it was written last, while it was not taken over again yet.
static void write_chosen(const struct crate *crate, struct json_out *out)
{
    size_t count;
    const struct ports_row *rows = crate_ports(crate, &count);
    if (!count && crate->chosen) {
        json_out_value(out, "Ports", crate->chosen);
        return;
    }
    json_out_array(out, "Ports");
    for (size_t i = 0; i < count; i++)
        json_out_uint(out, NULL, rows[i].published);
    json_out_end(out);
}

int crate_save(const struct crate *crate, struct err *err)
{
    if (crate->task)
        return 0;
    struct buf text;
    struct json_out out;
    char path[CRATE_PATH_BYTES];
    record_path(crate->crates, crate->id, path);
    buf_init(&text, RECORD_BYTES_MAX);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    json_out_str(&out, "Id", crate->id);
    json_out_str(&out, "Name", crate->name);
    json_out_str(&out, "Image", crate->image_id);
    json_out_int(&out, "Created", crate->created.ns);
    json_out_int(&out, "Started", crate->started.ns);
    json_out_int(&out, "Finished", crate->finished.ns);
    json_out_bool(&out, "Running", crate_running(crate) || crate->state == CRATE_RESTARTING);
    json_out_int(&out, "ExitCode", crate->exit_code);
    json_out_bool(&out, "OOMKilled", crate->oom_killed);
    json_out_str(&out, "Error", crate->error);
    json_out_uint(&out, "RestartCount", crate->restart_count);
    json_out_bool(&out, "StoppedByUser", crate->stopped_by_user);
    json_out_value(&out, "Config", crate->config);
    json_out_value(&out, "HostConfig", crate->host);
    json_out_value(&out, "Points", crate->points);
    json_out_value(&out, "Endpoints", crate->endpoints);
    write_chosen(crate, &out);
    crate_health_write(crate, &out);
    json_out_end(&out);
    int rc = json_out_done(&out) ? file_write_atomic(path, text.data, text.len, 0600, err)
                                 : err_set(err, ERR_RESOURCE_EXHAUSTED,
                                           "the container's configuration is too large");
    buf_fini(&text);
    return rc;
}

int crate_record_remove(const struct crate *crate, struct err *err)
{
    char path[CRATE_PATH_BYTES];
    record_path(crate->crates, crate->id, path);
    return file_remove(path, err);
}

static struct wall wall_of(const json_t *record, const char *key)
{
    return (struct wall){config_int(record, key)};
}

// True when a record made a crate of it.
static bool record_take(struct crates *crates, const json_t *record, struct err *err)
{
    const char *id = config_str(record, "Id");
    const json_t *config = config_of(record, "Config"), *host = config_of(record, "HostConfig");
    const json_t *points = config_of(record, "Points");
    if (strlen(id) != CONTAINER_ID_BYTES - 1 || !config || !host || !points ||
        str_empty(config_str(record, "Name")) || map_has_str(&crates->by_id, id)) {
        err_set(err, ERR_DATA_LOSS, "the record is not whole");
        return false;
    }
    struct crate *crate = crate_new(crates, id);
    str_copy(crate->name, sizeof crate->name, config_str(record, "Name"));
    str_copy(crate->image_id, sizeof crate->image_id, config_str(record, "Image"));
    str_copy(crate->error, sizeof crate->error, config_str(record, "Error"));
    crate->created = wall_of(record, "Created");
    crate->started = wall_of(record, "Started");
    crate->finished = wall_of(record, "Finished");
    crate->exit_code = (int)config_int(record, "ExitCode");
    crate->oom_killed = config_bool(record, "OOMKilled");
    crate->restart_count = (unsigned)config_int(record, "RestartCount");
    crate->stopped_by_user = config_bool(record, "StoppedByUser");
    crate->config = json_deep_copy(config);
    crate->host = json_deep_copy(host);
    crate->points = json_deep_copy(points);
    const json_t *endpoints = config_of(record, "Endpoints");
    crate->endpoints = endpoints ? json_deep_copy(endpoints) : json_object();
    const json_t *chosen = config_of(record, "Ports");
    crate->chosen =
        json_is_array(chosen) && json_array_size(chosen) ? json_deep_copy(chosen) : NULL;
    crate_health_take(crate, record);
    // What really is, crate_adopt looks up; this says what should be.
    crate->state = config_bool(record, "Running") ? CRATE_RESTARTING
                   : crate->started.ns            ? CRATE_EXITED
                                                  : CRATE_CREATED;
    map_put_str(&crates->by_name, crate->name, crate);
    return true;
}

static int compare_created(const void *a, const void *b)
{
    const struct crate *left = *(struct crate *const *)a, *right = *(struct crate *const *)b;
    return left->created.ns < right->created.ns ? -1 : left->created.ns > right->created.ns;
}

// Folders give their entries in no order; lists want the time of making.
static void sort_by_age(struct crates *crates)
{
    size_t count = 0, at = 0;
    LIST_EACH (it, &crates->all)
        count++;
    struct crate **sorted = mem_alloc_array(count + 1, sizeof *sorted);
    LIST_EACH (it, &crates->all)
        sorted[at++] = LIST_ENTRY(it, struct crate, link);
    qsort(sorted, count, sizeof *sorted, compare_created);
    for (size_t i = 0; i < count; i++) {
        list_remove(&sorted[i]->link);
        list_push_back(&crates->all, &sorted[i]->link);
    }
    free(sorted);
}

int crates_records_read(struct crates *crates, struct err *err)
{
    DIR *folder = opendir(crates->dir);
    if (!folder)
        return err_set_errno(err, ENOENT, "open %s", crates->dir);
    struct dirent *entry;
    while ((entry = readdir(folder))) {
        char path[CRATE_PATH_BYTES];
        struct err bad = ERR_INIT;
        struct buf text;
        if (entry->d_name[0] == '.' || !str_ends(entry->d_name, ".json") ||
            !str_format(path, sizeof path, "%s/%s", crates->dir, entry->d_name))
            continue;
        buf_init(&text, RECORD_BYTES_MAX);
        json_t *record =
            file_read(path, &text, &bad) ? NULL : json_parse(text.data, text.len, &bad);
        if (!record || !record_take(crates, record, &bad))
            log_error("record of a container cannot be read", "path=%s err=\"%s\"", path,
                      bad.message);
        json_decref(record);
        buf_fini(&text);
    }
    closedir(folder);
    sort_by_age(crates);
    return 0;
}
