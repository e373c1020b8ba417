// Builders of store objects for tests: what a test does not care about is filled in.
#ifndef TESTS_SUPPORT_FAKE_OBJECTS_H
#define TESTS_SUPPORT_FAKE_OBJECTS_H

#include "manager/store/object.h"
#include "proto/wire/objects.pb-c.h"

// All in `arena`; texts are copied. Every level that stock peers never leave out is present.
Swarm__Node *fake_node(struct arena *arena, const char *id);       // READY, ACTIVE, worker
Swarm__Service *fake_service(struct arena *arena, const char *id); // replicated, one container
Swarm__Task *fake_task(struct arena *arena, const char *id, const char *service_id, uint64_t slot);
Swarm__Network *fake_network(struct arena *arena, const char *id); // named as its id
Swarm__Secret *fake_secret(struct arena *arena, const char *id);
Swarm__Cluster *fake_cluster(struct arena *arena, const char *id); // named "default"
Swarm__Extension *fake_extension(struct arena *arena, const char *id);
Swarm__Resource *fake_resource(struct arena *arena, const char *id, const char *kind);

Swarm__Annotations *fake_annotations(struct arena *arena, const char *name);
Swarm__TaskSpec *fake_task_spec(struct arena *arena); // a container of "image:1"

// Adds to a list of messages or texts: *list grows by one.
void fake_add(struct arena *arena, void ***list, size_t *count, void *item);
#define FAKE_ADD(arena, message, field, item)                                                      \
    fake_add((arena), (void ***)&(message)->field, &(message)->n_##field, (void *)(item))

// A copy of the message of that type.
void *fake_copy(struct arena *arena, const void *message);

#endif
