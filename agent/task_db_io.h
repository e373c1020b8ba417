// The tasks a node has, on disk (LMDB), so that a restarted agent finds its running containers
// again: per task the assignment and the last status.
//
// A batch is made on the loop, from messages, and written wherever blocking is fine: in a worker
// job, one at a time.
#ifndef AGENT_TASK_DB_IO_H
#define AGENT_TASK_DB_IO_H

#include <stddef.h>

#include "proto/base/err.h"
#include "proto/wire/objects.pb-c.h"
#include "proto/wire/types.pb-c.h"

#define TASK_DB_ID_CHARS_MAX 128
#define TASK_DB_TASK_BYTES   (4u << 20)   // of one encoded task, as large as one message may be
#define TASK_DB_BYTES        (1ull << 30) // of address space; the file grows as needed

struct task_db;
struct task_batch;

// Opens or makes the database in the folder (0700, made if need be). One process at a time.
int task_db_open(const char *dir, struct task_db **out, struct err *err);
void task_db_close(struct task_db *db); // NULL is fine

// Gives every task to `found`, in the order of their ids. One that cannot be read is logged and
// left out: its container, if there is one, is nobody's then.
int task_db_load(struct task_db *db,
                 void (*found)(void *owner, const Swarm__Task *task,
                               const Swarm__TaskStatus *status),
                 void *owner, struct err *err);

struct task_batch *task_batch_new(void);
void task_batch_free(struct task_batch *batch); // wipes it; NULL is fine
size_t task_batch_count(const struct task_batch *batch);

// Adds a change: both messages, or NULL both for a task that is gone. The status inside `task` is
// not kept. What is too large is left out and logged.
void task_batch_put(struct task_batch *batch, const char *task_id, const Swarm__Task *task,
                    const Swarm__TaskStatus *status);

// Writes all of it in one transaction and syncs: all or nothing. RESOURCE_EXHAUSTED when the disk
// or the database is full. From any one thread.
int task_db_write(struct task_db *db, const struct task_batch *batch, struct err *err);

#endif
