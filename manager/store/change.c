#include "manager/store/inner.h"
#include "manager/store/tables.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

void changes_add(struct changes *changes, enum watch_action action, const struct object *now,
                 const struct object *was)
{
    if (changes->count == changes->cap) {
        changes->cap = changes->cap ? 2 * changes->cap : 8;
        changes->list = mem_realloc(changes->list, changes->cap * sizeof(*changes->list));
    }
    changes->list[changes->count++] = (struct change){
        .action = action,
        .now = object_ref(now),
        .was = was ? object_ref(was) : NULL,
    };
}

void changes_fini(struct changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        object_unref(changes->list[i].now);
        object_unref(changes->list[i].was);
    }
    free(changes->list);
    *changes = (struct changes){.list = NULL};
}

int change_check_name(struct view view, enum object_type type, const char *id, const char *name,
                      struct err *err)
{
    if (!tables[type].unique_name)
        return 0;
    const struct object *holder = view_get_by_name(view, type, name);
    if (holder && !str_equal(object_id(holder), id))
        return err_set(err, ERR_UNKNOWN, STORE_ERR_NAME);
    enum object_type builtin;
    if (type == OBJECT_EXTENSION && object_type_of_name(name, &builtin))
        return err_set(err, ERR_UNKNOWN, STORE_ERR_NAME);
    return 0;
}

int change_create(struct root *root, struct changes *changes, struct object *object,
                  struct err *err)
{
    enum object_type type = object_type(object);
    struct view view = view_of(root);
    // SwarmKit looks at the name first: a second create of one object is a name conflict.
    int rc = 0;
    if (tables[type].unique_name && view_get_by_name(view, type, object_name(object)))
        rc = err_set(err, ERR_UNKNOWN, STORE_ERR_NAME);
    if (!rc)
        rc = change_check_name(view, type, object_id(object), object_name(object), err);
    if (!rc && view_get(view, type, object_id(object)))
        rc = err_set(err, ERR_UNKNOWN, STORE_ERR_EXIST);
    if (rc) {
        object_unref(object);
        return rc;
    }
    root_put(root, type, object, NULL);
    changes_add(changes, WATCH_CREATE, object, NULL);
    return 0;
}

int change_update(struct root *root, struct changes *changes, struct object *object,
                  struct err *err)
{
    enum object_type type = object_type(object);
    struct view view = view_of(root);
    int rc = change_check_name(view, type, object_id(object), object_name(object), err);
    const struct object *was = view_get(view, type, object_id(object));
    if (!rc && !was)
        rc = err_set(err, ERR_UNKNOWN, STORE_ERR_NOEXIST);
    if (rc) {
        object_unref(object);
        return rc;
    }
    changes_add(changes, WATCH_UPDATE, object, was);
    root_put(root, type, object, was);
    return 0;
}

int change_remove(struct root *root, struct changes *changes, enum object_type type, const char *id,
                  struct err *err)
{
    const struct object *was = view_get(view_of(root), type, id);
    if (!was)
        return err_set(err, ERR_UNKNOWN, STORE_ERR_NOEXIST);
    changes_add(changes, WATCH_REMOVE, was, NULL);
    root_remove(root, type, was);
    return 0;
}
