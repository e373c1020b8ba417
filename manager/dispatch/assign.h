// What one agent was told to run: the tasks of its node with the secrets, configs and volumes they
// use, and what has changed since it was last told (swarmkit.md section 9.4). Pure.
//
// A secret is in the set only while a task on this node that uses it may still run: it never
// travels to a node without one.
#ifndef MANAGER_DISPATCH_ASSIGN_H
#define MANAGER_DISPATCH_ASSIGN_H

#include "manager/store/view.h"
#include "proto/base/buf.h"

struct assign;

// Most bytes of one message.
#define ASSIGN_BYTES_MAX ((size_t)256 << 20)

struct assign *assign_new(const char *node_id);
void assign_free(struct assign *assign); // NULL is fine

// The whole set as of the view, all of it as changes to send. Before anything else.
void assign_load(struct assign *assign, struct view view);

// A task of this node was created or updated. `view` is where secrets and configs are looked up.
void assign_task(struct assign *assign, struct view view, const struct object *task);

// A task of this node was removed.
void assign_task_gone(struct assign *assign, const struct object *task);

// A volume was updated; whether it concerns this node is found out here.
void assign_volume(struct assign *assign, const struct object *volume);

// How many changes wait to be sent.
size_t assign_pending(const struct assign *assign);

// Appends the next AssignmentsMessage: COMPLETE the first time, then INCREMENTAL with what waits.
// Afterwards nothing waits.
void assign_pack(struct assign *assign, struct buf *out);

// Appends a TasksMessage with all tasks (section 9.5). Afterwards nothing waits.
void assign_pack_tasks(struct assign *assign, struct buf *out);

#endif
