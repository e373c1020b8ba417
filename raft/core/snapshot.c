// Bringing up a member that is too far behind for the log.
#include <inttypes.h>
#include <stdlib.h>

#include "raft/core/confchange.h"
#include "raft/core/core.h"

// ---- receiving ----------------------------------------------------------------------------------

static void answer_commit(struct raft *raft, const struct raft_message *message)
{
    struct raft_message answer = raft_message_init(raft, RAFT_MSG_APP_RESP, message->from);
    answer.index = raft->log.commit;
    raft_send_durable(raft, &answer);
}

static void install(struct raft *raft, const struct raft_snapshot *snapshot)
{
    // What waits to be acknowledged spoke of the log that goes; the snapshot's answer covers it.
    raft_forget_held_answers(raft);
    log_restore(&raft->log, snapshot->index, snapshot->term);
    if (raft->write_last > snapshot->index)
        raft->write_last = snapshot->index;
    raft->snapshot_pending = *snapshot;
    raft->has_snapshot_pending = true;
    raft->conf_wait = 0;
    raft->apply_load = 0;
    batch_fini(&raft->loaded);
    raft_set_conf(raft, &snapshot->conf);
}

int snapshot_receive(struct raft *raft, const struct raft_message *message, struct err *err)
{
    CHECK(raft->role == RAFT_FOLLOWER);
    struct raft_snapshot snapshot = *message->snapshot;
    int result = confchange_settle(&snapshot.conf, err);
    if (result < 0)
        return result;
    if (snapshot.term == 0 || snapshot.term > message->term)
        return err_set(err, ERR_INVALID_ARGUMENT, "snapshot of term %" PRIu64, snapshot.term);
    if (raft->has_snapshot_pending || raft->write_has_snapshot)
        return err_set(err, ERR_ABORTED, "another snapshot is being installed");
    if (snapshot.index <= raft->log.commit && !PLANTED(SNAPSHOT_OLD)) {
        answer_commit(raft, message);
        return err_set(err, ERR_ABORTED,
                       "snapshot at %" PRIu64 " is older than the commit %" PRIu64, snapshot.index,
                       raft->log.commit);
    }
    // A member is not brought back to before it was one. A joiner has no configuration that names
    // it yet: a stock leader (Docker 20.10 was watched) sends it the snapshot that it has at hand,
    // made before the joiner was added, and the entry that adds it follows.
    if (raft_conf_has(&raft->conf, raft->config.id) &&
        !raft_conf_has(&snapshot.conf, raft->config.id)) {
        answer_commit(raft, message);
        return err_set(err, ERR_ABORTED,
                       "snapshot at %" PRIu64 " is of a group without this member", snapshot.index);
    }
    if (log_matches(&raft->log, snapshot.index, snapshot.term) && !PLANTED(SNAPSHOT_OLD)) {
        // The log has it all; only the commit index is news.
        raft->log.commit = snapshot.index;
        answer_commit(raft, message);
        return err_set(err, ERR_ABORTED, "the log already reaches %" PRIu64, snapshot.index);
    }
    install(raft, &snapshot);
    struct raft_message answer = raft_message_init(raft, RAFT_MSG_APP_RESP, message->from);
    answer.index = snapshot.index;
    raft_send_durable(raft, &answer);
    return 0;
}

// ---- sending ------------------------------------------------------------------------------------

int snapshot_made(struct raft *raft, uint64_t id, bool ok, uint64_t index, uint64_t handle,
                  struct err *err)
{
    struct progress *peer = raft_peer(raft, id);
    if (raft->role != RAFT_LEADER || !peer || !peer->snapshot_asked)
        return err_set(err, ERR_ABORTED, "member %" PRIx64 " needs no snapshot any more", id);
    peer->snapshot_wanted = false;
    peer->snapshot_asked = false;
    if (!ok) {
        progress_become_probe(peer);
        peer->paused = true; // until a heartbeat is answered: no hurry to fail again
        return 0;
    }
    CHECK(index <= raft->log.applied);
    CHECK(index >= raft->log.start_index);
    CHECK(index > 0);
    struct raft_snapshot *snapshot = calloc(1, sizeof *snapshot);
    CHECK(snapshot);
    // As stock does, the newest configuration and not that of `index`: replaying the changes
    // between over it is harmless, since ids never come back.
    *snapshot = (struct raft_snapshot){
        .index = index,
        .term = log_term(&raft->log, index),
        .conf = raft->conf,
        .handle = handle,
    };
    struct raft_message *message = raft_send(raft, RAFT_MSG_SNAP, id);
    message->snapshot = snapshot;
    peer->snapshot_index = index;
    return 0;
}

void snapshot_sent(struct raft *raft, uint64_t id, bool ok)
{
    struct progress *peer = raft_peer(raft, id);
    if (raft->role != RAFT_LEADER || !peer || peer->state != RAFT_SNAPSHOT)
        return;
    if (!ok)
        peer->snapshot_index = 0;
    progress_become_probe(peer);
    // Arrived: its MsgAppResp will tell where to go on. Failed: one heartbeat's pause.
    peer->paused = true;
}
