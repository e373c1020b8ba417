// Lists of cluster objects as JSON, kept for the next time they are asked for.
//
// The JSON of an object is a function of its stored bytes, so what was put into JSON once need not
// be again until the object changes: the manager answers with the difference to what a shelf holds
// (proto/wire/listing.h), so a list is as fresh as without. A shelf is one list at one moment of
// the manager's store. Its items are counted and shared by all shelves and answers that show them:
// many clients that read slowly hold one copy.
#ifndef AGENT_ENGINE_SHELF_H
#define AGENT_ENGINE_SHELF_H

#include "agent/engine/fields.h"
#include "proto/wire/listing.h"

struct shelf;
struct shelf_item;

// What the items of a shelf are made of: the fields, and (may be NULL) a constant text that the
// endpoint wants to know of an object later, when only its JSON is left.
struct shelf_kind {
    const struct fields *fields;
    const char *(*tag)(const void *object);
};

// Reads the answer of a List call. `held`: the shelf whose mark the request carried (NULL: none);
// `newest`: another one with items that may be shared (NULL: none). `whole`: the list had no
// filters, so that the shelf may be held in a request to come. Counted once, for the caller.
// INTERNAL for what is no such list.
int shelf_read(const struct shelf_kind *kind, struct shelf *held, const struct shelf *newest,
               bool whole, const void *bytes, size_t size, struct shelf **out, struct err *err);

struct shelf *shelf_ref(struct shelf *shelf);
void shelf_unref(struct shelf *shelf); // NULL is fine

// Edit 0: it cannot be held (a list with filters, or of a manager that tells no marks).
struct listing_mark shelf_mark(const struct shelf *shelf);

size_t shelf_count(const struct shelf *shelf);
size_t shelf_bytes(const struct shelf *shelf); // of all JSON together

const struct shelf_item *shelf_at(const struct shelf *shelf, size_t index);

// The object's id, its tag (NULL: none), and its JSON, an object without blanks.
const char *shelf_item_id(const struct shelf_item *item);
const char *shelf_item_tag(const struct shelf_item *item);
const char *shelf_item_json(const struct shelf_item *item, size_t *size);

#endif
