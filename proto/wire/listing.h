// Lists by difference: what Skep's own processes add to the List calls of Control.
//
// A node that shows the same list again and again need not be sent what it has. Its request says
// which moment of which store it holds in full (its mark). The manager answers with its own mark
// and, of the objects that the node has already, with no more than their ids; or, when nothing of
// the whole list has changed, only that. All of it stands in fields that SwarmKit does not know:
// stock managers skip them and answer in full, which is a list without a mark, and so do ours
// for whoever does not ask.
#ifndef PROTO_WIRE_LISTING_H
#define PROTO_WIRE_LISTING_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

// A moment of a store. Marks of different stores (another leader, a manager that started again) do
// not compare.
struct listing_mark {
    uint64_t store; // drawn at random when the manager starts
    uint64_t edit;  // grows with every change; 0: nothing is held
};

// ---- the request -------------------------------------------------------------------------------

// Adds to an encoded List request that the answer may be a difference.
void listing_ask(struct buf *request, struct listing_mark held);

// False when the request does not ask for that.
bool listing_asked(const ProtobufCMessage *request, struct listing_mark *held);

// ---- the answer --------------------------------------------------------------------------------

// First of all. `same`: the list is what it was at the mark held, and nothing follows.
void listing_put_mark(struct buf *answer, struct listing_mark now, bool same);

// An object, with the edit that made it what it is; and one that the asker holds.
void listing_put_object(struct buf *answer, uint64_t birth, const void *bytes, size_t size);
void listing_put_held(struct buf *answer, const char *id);

// Reads an answer: the mark (edit 0: there is none, it is a plain list), then item by item.
struct listing_reader {
    struct cursor cursor;
    struct listing_mark mark;
    bool same;
};
void listing_read(struct listing_reader *reader, const void *bytes, size_t size);

struct listing_item {
    const void *bytes; // of the object, or of the id of one that is held
    size_t size;
    uint64_t birth; // 0: not told
    bool held;
};

// False at the end, and where the bytes are no list (then the cursor is bad).
bool listing_next(struct listing_reader *reader, struct listing_item *item);

#endif
