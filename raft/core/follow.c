// What a follower does with its leader's MsgApp and MsgHeartbeat.
#include <inttypes.h>

#include "raft/core/core.h"

static void acknowledge(struct raft *raft, const struct raft_message *message, uint64_t index)
{
    struct raft_message answer = raft_message_init(raft, RAFT_MSG_APP_RESP, message->from);
    answer.index = index;
    if (PLANTED(ACK_BEFORE_SYNC))
        *raft_send(raft, RAFT_MSG_APP_RESP, message->from) = answer;
    else
        raft_send_durable(raft, &answer);
}

static void refuse(struct raft *raft, const struct raft_message *message)
{
    struct raft_message *answer = raft_send(raft, RAFT_MSG_APP_RESP, message->from);
    answer->reject = true;
    answer->index = message->index;
    answer->reject_hint =
        log_probe_hint(&raft->log, message->index, message->log_term, &answer->log_term);
}

// Appends what we do not have yet. Entries that conflict replace ours; entries that are the same
// stay untouched, also those after the message's end: a short message may simply be late (figure 2,
// AppendEntries 3 and 4).
static int take_entries(struct raft *raft, const struct raft_message *message, struct err *err)
{
    size_t at = 0;
    while (at < message->entries_count && message->entries[at].index <= raft->log.last &&
           log_matches(&raft->log, message->entries[at].index, message->entries[at].term))
        at++;
    uint64_t from = message->index + 1 + at;
    if (PLANTED(TRUNCATE_ACKNOWLEDGED) &&
        raft->log.last > message->index + message->entries_count) {
        from = message->index + message->entries_count + 1;
        if (from <= raft->log.commit)
            from = raft->log.commit + 1;
        if (from <= raft->log.last)
            log_truncate(&raft->log, from);
        return 0;
    }
    if (at == message->entries_count)
        return 0;
    if (from <= raft->log.commit)
        return err_set(err, ERR_DATA_LOSS,
                       "member %" PRIx64 " sent entry %" PRIu64 " of term %" PRIu64
                       ", which conflicts with a committed one",
                       message->from, from, message->entries[at].term);
    if (from <= raft->log.last) {
        log_truncate(&raft->log, from);
        if (raft->write_last >= from)
            raft->write_last = from - 1; // what the write in flight stores there is outdated
    }
    for (; at < message->entries_count; at++)
        log_append(&raft->log, &message->entries[at]);
    return 0;
}

int follow_append(struct raft *raft, const struct raft_message *message, struct err *err)
{
    if (message->index < raft->log.commit) {
        // Late or repeated: committed entries agree with every leader's.
        acknowledge(raft, message, raft->log.commit);
        return 0;
    }
    bool agrees = log_matches(&raft->log, message->index, message->log_term) ||
                  (PLANTED(SKIP_PREVIOUS_CHECK) && message->index <= raft->log.last);
    if (!agrees) {
        refuse(raft, message);
        return 0;
    }
    int result = take_entries(raft, message, err);
    if (result < 0)
        return result;
    uint64_t last = message->index + message->entries_count;
    // Our log may be longer, but beyond this message nobody promised that it agrees.
    uint64_t commit = message->commit < last ? message->commit : last;
    if (PLANTED(COMMIT_UNCHECKED))
        commit = message->commit < raft->log.last ? message->commit : raft->log.last;
    if (commit > raft->log.commit)
        raft->log.commit = commit;
    acknowledge(raft, message, last);
    return 0;
}

int follow_heartbeat(struct raft *raft, const struct raft_message *message, struct err *err)
{
    uint64_t commit = message->commit;
    if (PLANTED(HEARTBEAT_COMMIT) && commit > raft->log.last)
        commit = raft->log.last;
    // The leader counts on entries that we acknowledged. Not having them means that we lost data.
    if (commit > raft->log.last)
        return err_set(err, ERR_DATA_LOSS,
                       "leader %" PRIx64 " committed %" PRIu64
                       ", but the log here ends at %" PRIu64,
                       message->from, message->commit, raft->log.last);
    if (commit > raft->log.commit)
        raft->log.commit = commit;
    struct raft_message *answer = raft_send(raft, RAFT_MSG_HEARTBEAT_RESP, message->from);
    struct mark mark;
    if (mark_read(message, &mark)) {
        struct mark reply = {.kind = MARK_ANSWER, .round = mark.round};
        mark_write(&reply, answer);
    } else {
        answer->context_len = message->context_len;
        for (uint8_t i = 0; i < message->context_len; i++)
            answer->context[i] = message->context[i];
    }
    return 0;
}
