// How calls of the Control API are answered: from stored bytes, or once a transaction is committed.
// Internal to the room.
#ifndef MANAGER_CONTROL_ANSWER_RPC_H
#define MANAGER_CONTROL_ANSWER_RPC_H

#include "manager/control/control.h"
#include "manager/store/txn.h"

#define CONTROL_ERR_ARGUMENT "invalid argument"

// ---- reading ------------------------------------------------------------------------------------

// Every Get response has the object as field 1, every List response as repeated field 1, so both
// are the stored bytes with a head before them.

// A call that answers with one object. `shown` (may be NULL) makes another message of the object to
// show in its place, in the call's arena.
typedef const ProtobufCMessage *(*show_fn)(struct rpc_call *call, const struct object *object);
void answer_get(struct rpc_call *call, enum object_type type, const char *id, show_fn shown);

// Collects a list: begin, add what fits the filters, end. To callers that ask for it the answer is
// the difference to what they hold (wire/listing.h).
struct answer_list {
    struct rpc_call *call;
    struct view view;
    struct buf bytes;
    bool asked;    // for the difference
    uint64_t held; // the edit that the caller has in full; 0: none
};
void answer_list_begin(struct answer_list *list, struct rpc_call *call);

// For a list without filters: true when it answered that nothing of that type has changed since
// what the caller holds. The list is over then.
bool answer_list_same(struct answer_list *list, enum object_type type);

void answer_list_add(struct answer_list *list, const struct object *object);
void answer_list_add_message(struct answer_list *list, const ProtobufCMessage *message);
void answer_list_end(struct answer_list *list);

// ---- writing ------------------------------------------------------------------------------------

// A transaction whose fate answers a call. NULL: it was answered with an error already.
struct txn *answer_begin(struct rpc_call *call);

// Ends the call with an error and forgets the transaction (NULL: there is none).
void answer_fail(struct rpc_call *call, struct txn *txn, enum err_code code, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));
void answer_err(struct rpc_call *call, struct txn *txn, const struct err *err);

// Commits. The call is answered once it is committed: with the object of that type and id as field
// 1 of the response (`shown` as above), or with an empty response when `id` is NULL.
void answer_commit(struct rpc_call *call, struct txn *txn, enum object_type type, const char *id,
                   show_fn shown);

// ---- small rules --------------------------------------------------------------------------------

// True when `text` is one of the list, or the list is empty.
bool in_texts(const char *text, char *const *list, size_t count);
bool in_prefixes(const char *text, char *const *list, size_t count);

// Labels as key and wanted value; an empty value wants the key alone. `labels` are map entries,
// which all have the same form.
bool in_labels(const Swarm__Annotations *annotations, const void *const *wanted, size_t count);

// Filters that most lists have alike.
struct common_filters {
    char *const *names;
    size_t names_count;
    char *const *name_prefixes;
    size_t name_prefixes_count;
    char *const *id_prefixes;
    size_t id_prefixes_count;
    const void *const *labels;
    size_t labels_count;
};
// The narrowest index for them: one name or one beginning of an id need no walk over all objects.
// Not for nodes, whose filters mean the hostname.
struct by common_by(const struct common_filters *filters);
bool common_match(const struct common_filters *filters, const char *id,
                  const Swarm__Annotations *annotations);

#define COMMON_FILTERS(f)                                                                          \
    (f) ? (struct common_filters){(char *const *)(f)->names,         (f)->n_names,                 \
                                  (char *const *)(f)->name_prefixes, (f)->n_name_prefixes,         \
                                  (char *const *)(f)->id_prefixes,   (f)->n_id_prefixes,           \
                                  (const void *const *)(f)->labels,  (f)->n_labels}                \
        : (struct common_filters)                                                                  \
    {                                                                                              \
        0                                                                                          \
    }

// A new object id.
const char *new_id(const struct control_desk *desk, struct arena *arena);

#endif
