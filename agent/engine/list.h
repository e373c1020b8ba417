// Lists of cluster objects as answers: asked of the manager by difference to what is held of
// them, and sent in pieces as the client takes them.
#ifndef AGENT_ENGINE_LIST_H
#define AGENT_ENGINE_LIST_H

#include "agent/engine/noun.h"
#include "agent/engine/shelf.h"

// Asks for the noun's list. `then` gets the objects, which
// live as long as the request. Errors are answered. The request is followed (request_follow) by
// this from here on.
typedef void list_then(struct request *request, struct shelf *shelf);
void list_ask(struct request *request, const struct noun *noun, const void *message,
              list_then *then);

// What of a list is shown. Both may be NULL, and get what was given to list_send.
struct list_look {
    bool (*wanted)(void *owner, const struct shelf_item *item);
    // Writes more members into the object number `index` of the shelf.
    void (*more)(void *owner, size_t index, struct json_out *out);
};

// Answers with the list; `owner` lives as long as the request.
void list_send(struct request *request, const struct list_look *look, void *owner);

#endif
