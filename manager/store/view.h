// Views: the whole cluster state at one moment, unchanging, with lookups by id and by index.
//
// A view comes from store_pin (committed state, any thread) or from a transaction (its own
// writes included). Objects found live as long as the view.
#ifndef MANAGER_STORE_VIEW_H
#define MANAGER_STORE_VIEW_H

#include "manager/store/object.h"

struct root;

struct view {
    const struct root *root;
};

// What an object can be found by, and for which types.
enum index {
    INDEX_ID,            // all types; an empty prefix is "all"
    INDEX_NAME,          // all but tasks; without case. Unique but for nodes
    INDEX_SERVICE,       // tasks: service id, then slot
    INDEX_NODE,          // tasks: node id
    INDEX_DESIRED_STATE, // tasks
    INDEX_STATE,         // tasks: observed state
    INDEX_NETWORK,       // tasks and services that refer to the network id
    INDEX_SECRET,        // tasks and services that refer to the secret id
    INDEX_CONFIG,        // tasks and services that refer to the config id
    INDEX_VOLUME,        // tasks that have the volume id attached
    INDEX_GROUP,         // volumes: spec.group
    INDEX_ROLE,          // nodes: observed role
    INDEX_MEMBERSHIP,    // nodes
    INDEX_KIND,          // resources
    INDEX_CUSTOM,        // all: annotations.indices, key and value
};
// Indexed texts are compared up to INDEX_TEXT_BYTES; ids are at most OBJECT_ID_BYTES long. Of one
// object's keys the first INDEX_KEYS_MAX count: what has more references is not found by the rest.
#define INDEX_TEXT_BYTES 4000
#define INDEX_KEYS_MAX   4096

// One question. Strings are borrowed until the walk ends.
struct by {
    enum index index;
    bool prefix; // `key` (for INDEX_CUSTOM: `value`) is only the beginning
    bool number_set;
    const char *key;
    const char *value; // INDEX_CUSTOM
    uint64_t number;   // INDEX_SERVICE: slot; states, role, membership
};

#define BY_ALL ((struct by){.index = INDEX_ID, .prefix = true, .key = ""})
static inline struct by by_id_prefix(const char *prefix)
{
    return (struct by){.index = INDEX_ID, .prefix = true, .key = prefix};
}
static inline struct by by_name(const char *name)
{
    return (struct by){.index = INDEX_NAME, .key = name};
}
static inline struct by by_name_prefix(const char *prefix)
{
    return (struct by){.index = INDEX_NAME, .prefix = true, .key = prefix};
}
static inline struct by by_key(enum index index, const char *key)
{
    return (struct by){.index = index, .key = key};
}
static inline struct by by_service(const char *service_id)
{
    return by_key(INDEX_SERVICE, service_id);
}
static inline struct by by_slot(const char *service_id, uint64_t slot)
{
    return (struct by){
        .index = INDEX_SERVICE, .key = service_id, .number = slot, .number_set = true};
}
static inline struct by by_node(const char *node_id)
{
    return by_key(INDEX_NODE, node_id);
}
static inline struct by by_number(enum index index, uint64_t number)
{
    return (struct by){.index = index, .number = number, .number_set = true};
}
static inline struct by by_custom(const char *key, const char *value)
{
    return (struct by){.index = INDEX_CUSTOM, .key = key, .value = value};
}
static inline struct by by_custom_prefix(const char *key, const char *value_prefix)
{
    return (struct by){.index = INDEX_CUSTOM, .prefix = true, .key = key, .value = value_prefix};
}

// NULL when there is none.
const struct object *view_get(struct view view, enum object_type type, const char *id);

// The object with that name (any case), or NULL; the first by id where names repeat.
const struct object *view_get_by_name(struct view view, enum object_type type, const char *name);

// How many objects of the type there are; their packed bytes together.
size_t view_count(struct view view, enum object_type type);
size_t view_bytes(struct view view, enum object_type type);

// The number of the edit that made this state: it grows from each published state to the next, and
// starts anew with the process. An object that a view shows and whose birth is no younger than the
// edit of an earlier view was in that one too, just as it is.
uint64_t view_edit(struct view view);

// True when nothing of that type has changed since the view of that edit.
bool view_same_since(struct view view, enum object_type type, uint64_t edit);

// True when the object answers the question; the view's index gives the same objects.
bool object_matches(const struct object *object, const struct by *by);

// True when the object can be found by that index at all: a task with INDEX_NETWORK has networks.
bool object_has_index(const struct object *object, enum index index);

// Depth at which the index trees stop growing: far more entries than memory holds.
#define VIEW_DEPTH_MAX 16

// A question as the index trees compare it. Internal to the store.
struct probe {
    uint8_t tag;
    bool fold;            // `first` is compared without case
    bool first_open;      // `first` is only the beginning of the key's text
    bool second_open;     // the same for `second`
    const char *first;    // NULL: none
    const char *second;   // NULL: none
    uint8_t number[8];    // big-endian
    uint8_t number_bytes; // 0: none
    uint64_t head;        // what every answer begins with, as far as eight bytes hold it,
    uint64_t mask;        // and which bytes these are
    bool whole;           // they are all there is: what begins so is an answer
};

// A walk over the answers, in order of the index's key and then of id. Needs no end call. A
// question that the type has no index for has no answers. Writing through the transaction whose
// view is walked spoils the walk: collect first, then write.
struct view_iter {
    struct probe probe;
    uint64_t edit; // of the root when the walk began
    const struct root *root;
    int depth; // entries of `path` in use; 0 at the end
    struct {
        const void *node;
        unsigned at;
    } path[VIEW_DEPTH_MAX];
};

void view_find(struct view_iter *iter, struct view view, enum object_type type, struct by by);
const struct object *view_next(struct view_iter *iter); // NULL at the end

static inline struct view_iter view_found(struct view view, enum object_type type, struct by by)
{
    struct view_iter iter;
    view_find(&iter, view, type, by);
    return iter;
}

// The first object of the type whose id is greater than `after` ("" for the first): to go on after
// a pause without keeping the view. NULL at the end.
const struct object *view_after(struct view view, enum object_type type, const char *after);

// Walks the answers with `found` as loop variable; break and continue work.
#define VIEW_EACH(found, view, type, by)                                                           \
    for (struct view_iter found##_iter = view_found((view), (type), (by)),                         \
                          *found##_once = &found##_iter;                                           \
         found##_once; found##_once = NULL)                                                        \
        for (const struct object *found; (found = view_next(&found##_iter));)

#endif
