// Between raft/core's structs and raftpb: field by field, numbers are the same. Pure.
//
// Stock peers write every scalar, zeros too (swarmkit 1.2), and read an absent one as zero; so do
// we.
#ifndef RAFT_NET_CONVERT_H
#define RAFT_NET_CONVERT_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/wire/raft.pb-c.h"
#include "raft/core/types.h"

// Most entries taken from one message: what 65,535 bytes can hold if every entry is empty, with
// room for peers that are set up larger.
#define CONVERT_ENTRIES_MAX 65536

// Most bytes of one configuration entry's context (a RaftMember).
#define CONVERT_CONTEXT_BYTES_MAX 4096

// The message as raftpb, in `arena`, borrowing bodies and context from `message`. A MsgSnap gets
// `data` (borrowed, may be empty) as its snapshot's data. NULL only when the arena is full.
Raftpb__Message *convert_message_out(const struct raft_message *message, const void *data,
                                     size_t data_size, struct arena *arena);

// A received message as core's struct: arrays in `arena`, entry bodies as blobs that the caller
// gives back with convert_message_drop (the arena does not know them). A MsgSnap's handle is 0.
// INVALID_ARGUMENT: a type that does not cross the wire, no sender, too many entries or members, a
// MsgSnap without a snapshot, a context or an entry that is too long.
int convert_message_in(const Raftpb__Message *message, struct arena *arena,
                       struct raft_message *out, struct err *err);
void convert_message_drop(struct raft_message *message);

// A configuration entry's data. `context` (may be NULL) gets the RaftMember of Add and Update in
// `arena`, NULL when there is none. INVALID_ARGUMENT when the bytes do not parse.
int convert_change_in(enum raft_entry_type type, const void *data, size_t size, struct arena *arena,
                      struct raft_conf_change *out, Swarm__RaftMember **context, struct err *err);

// The data of a v1 configuration entry, appended to `out`. `member` is NULL for removals.
void convert_change_out(enum raft_change_type type, uint64_t raft_id,
                        const Swarm__RaftMember *member, struct buf *out);

// Configurations. In: INVALID_ARGUMENT with more than RAFT_MEMBERS_MAX members.
int convert_conf_in(const Raftpb__ConfState *state, struct raft_conf *out, struct err *err);
Raftpb__ConfState *convert_conf_out(const struct raft_conf *conf, struct arena *arena);

#endif
