#include "agent/engine/noun.h"

#include <string.h>

#include "agent/engine/list.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

// A search under way.
struct finding {
    const struct noun *noun;
    const char *name;
    noun_then *then;
    void *kept; // what the handler kept before
    int status; // noun_remove's
    bool force;
};

static const ProtobufCFieldDescriptor *field_of(const void *message, const char *name)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(
        ((const ProtobufCMessage *)message)->descriptor, name);
    CHECK(field);
    return field;
}

void message_set_text(void *message, const char *name, const char *text)
{
    *(const char **)((char *)message + field_of(message, name)->offset) = text;
}

const char *noun_id(const void *object)
{
    return *(char *const *)((const char *)object + field_of(object, "id")->offset);
}

void *const *noun_objects(const void *response, size_t *count)
{
    const ProtobufCFieldDescriptor *field =
        &((const ProtobufCMessage *)response)->descriptor->fields[0];
    CHECK(field->label == PROTOBUF_C_LABEL_REPEATED);
    *count = *(const size_t *)((const char *)response + field->quantifier_offset);
    return *(void *const *const *)((const char *)response + field->offset);
}

// ---- finding -----------------------------------------------------------------------------------

static void found(struct request *request, const void *object)
{
    struct finding *finding = request_kept(request);
    request_keep(request, finding->kept);
    finding->then(request, object);
}

// The only object of a list goes on; true when the search is over.
static bool only_one(struct request *request, const void *response)
{
    struct finding *finding = request_kept(request);
    size_t count;
    void *const *objects = noun_objects(response, &count);
    if (count > 1)
        request_fail(request, 400, "%s %s is ambiguous (%zu matches found)", finding->noun->word,
                     finding->name, count);
    else if (count == 1)
        found(request, objects[0]);
    return count > 0;
}

static void by_prefix(struct request *request, const void *response)
{
    struct finding *finding = request_kept(request);
    if (!only_one(request, response))
        request_fail(request, 404, "%s %s not found", finding->noun->word, finding->name);
}

static void list_by(struct request *request, const char *field, request_then *then)
{
    struct finding *finding = request_kept(request);
    void *message = request_message(request, finding->noun->list);
    const ProtobufCFieldDescriptor *filters = field_of(message, "filters");
    ProtobufCMessage *inside = wire_new(filters->descriptor, request_arena(request));
    if (!inside || !message_add_text(inside, field, finding->name, request_arena(request))) {
        request_fail(request, 500, "the request is too large");
        return;
    }
    *(void **)((char *)message + filters->offset) = inside;
    request_call(request, finding->noun->list, message, then, NULL);
}

static void by_name(struct request *request, const void *response)
{
    if (!only_one(request, response))
        list_by(request, "id_prefixes", by_prefix);
}

static void by_id(struct request *request, const void *response)
{
    const ProtobufCFieldDescriptor *field =
        &((const ProtobufCMessage *)response)->descriptor->fields[0];
    const void *object = *(void *const *)((const char *)response + field->offset);
    if (object)
        found(request, object);
    else
        list_by(request, "names", by_name);
}

static void not_by_id(struct request *request, const struct err *err)
{
    if (err->code == ERR_NOT_FOUND)
        list_by(request, "names", by_name);
    else
        request_fail_call(request, err);
}

void noun_find(struct request *request, const struct noun *noun, const char *name, noun_then *then)
{
    struct finding *finding = ARENA_NEW(request_arena(request), struct finding);
    void *message = request_message(request, noun->get);
    if (!finding) {
        request_fail(request, 500, "the request is too large");
        return;
    }
    *finding =
        (struct finding){.noun = noun, .name = name, .then = then, .kept = request_kept(request)};
    request_keep(request, finding);
    message_set_text(message, noun->id_field, name);
    request_call(request, noun->get, message, by_id, not_by_id);
}

// ---- showing -----------------------------------------------------------------------------------

static void show(struct request *request, const void *object)
{
    const struct noun *noun = request_kept(request);
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    fields_write(noun->fields, object, out);
    json_out_end(out);
    request_send(request, 200);
}

void noun_inspect(struct request *request, const struct noun *noun)
{
    if (!request_needs_manager(request))
        return;
    request_keep(request, (void *)noun);
    noun_find(request, noun, request_param(request, "id"), show);
}

void noun_list_then(struct request *request, const struct noun *noun, struct filters *filters,
                    list_then *then)
{
    struct err err = ERR_INIT;
    struct arena *arena = request_arena(request);
    // As dockerd: what cannot be read is said by every node, what nobody knows by managers.
    bool wrong = filters_parse(request_query(request, "filters"), noun->filters,
                               noun->filters_count, arena, filters, &err) != 0;
    bool readable = !wrong || str_starts(err.message, "invalid filter");
    if (readable && !request_needs_manager(request))
        return;
    if (wrong) {
        // Of all lists, dockerd's of services always answered 400 to what it could not read.
        if (noun == &noun_service)
            request_fail_err(request, &err);
        else
            request_fail_filters(request, &err);
        return;
    }
    void *message = request_message(request, noun->list);
    const ProtobufCFieldDescriptor *field = field_of(message, "filters");
    ProtobufCMessage *inside = wire_new(field->descriptor, arena);
    if (!inside) {
        request_fail(request, 500, "the request is too large");
        return;
    }
    if (filters_apply(filters, noun->filters, noun->filters_count, inside, arena, &err) != 0) {
        request_fail(request, err.code == ERR_INTERNAL ? 500 : 400, "%s", err.message);
        return;
    }
    *(void **)((char *)message + field->offset) = inside;
    list_ask(request, noun, message, then);
}

static void show_all(struct request *request, struct shelf *shelf)
{
    (void)shelf;
    list_send(request, NULL, NULL);
}

void noun_list(struct request *request, const struct noun *noun)
{
    struct filters filters;
    noun_list_then(request, noun, &filters, show_all);
}

// ---- removing ----------------------------------------------------------------------------------

static void removed(struct request *request, const void *response)
{
    (void)response;
    const struct finding *finding = request_kept(request);
    request_empty(request, finding->status);
}

static void remove_found(struct request *request, const void *object)
{
    const struct finding *finding = request_kept(request);
    void *message = request_message(request, finding->noun->remove);
    message_set_text(message, finding->noun->id_field,
                     str_or(arena_strdup(request_arena(request), noun_id(object)), ""));
    if (finding->force)
        *(protobuf_c_boolean *)((char *)message + field_of(message, "force")->offset) = 1;
    request_call(request, finding->noun->remove, message, removed, NULL);
}

void noun_remove(struct request *request, const struct noun *noun, int status, bool force)
{
    if (!request_needs_manager(request))
        return;
    struct finding *finding = ARENA_NEW(request_arena(request), struct finding);
    if (!finding) {
        request_fail(request, 500, "the request is too large");
        return;
    }
    *finding = (struct finding){.noun = noun, .status = status, .force = force};
    request_keep(request, finding);
    noun_find(request, noun, request_param(request, "id"), remove_found);
}
