// What all nouns of a cluster share: finding one by id, name or id prefix, showing it, listing.
#ifndef AGENT_ENGINE_NOUN_H
#define AGENT_ENGINE_NOUN_H

#include "agent/engine/fields.h"
#include "agent/engine/filter.h"
#include "agent/engine/request.h"

// One row per noun. The responses of `get` and `list` have the object, or all of them, in their
// first field.
struct noun {
    const char *word;     // "service"
    const char *get;      // CONTROL("GetService")
    const char *id_field; // "service_id", also of remove and update
    const char *list;
    const char *remove;
    const struct fields *fields;
    const struct filter_row *filters;
    size_t filters_count;
    const char *(*tag)(const void *object); // see shelf.h; may be NULL
};

extern const struct noun noun_node, noun_service, noun_task, noun_network, noun_secret, noun_config;

// The object goes to `then`, which may keep nothing of it beyond its return. Tried in order: exact
// id, exact name, id prefix. Answers 404 or 400 itself when there is none or more than one.
typedef void noun_then(struct request *request, const void *object);
void noun_find(struct request *request, const struct noun *noun, const char *name, noun_then *then);

// GET /nouns/{id}, and GET /nouns with the noun's filters.
void noun_inspect(struct request *request, const struct noun *noun);
void noun_list(struct request *request, const struct noun *noun);

// As noun_list, but the objects go to `then`, which finds the filters in *out and answers with
// list_send (list.h).
void noun_list_then(struct request *request, const struct noun *noun, struct filters *out,
                    void (*then)(struct request *request, struct shelf *shelf));

// DELETE /nouns/{id}: finds, removes, answers `status`. `force`: sets the request's field of that
// name.
void noun_remove(struct request *request, const struct noun *noun, int status, bool force);

// The id of an object, and the objects of a list response.
const char *noun_id(const void *object);
void *const *noun_objects(const void *response, size_t *count);

// Sets a string field by name.
void message_set_text(void *message, const char *field, const char *text);

#endif
