#include "raft/core/raft.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "raft/core/confchange.h"
#include "raft/core/core.h"

#define RAFT_MAGIC 0x72616674

#ifdef SKEP_PLANTED_BUGS
enum raft_planted raft_planted;
#endif

struct raft_config raft_config_default(uint64_t id, uint64_t seed)
{
    return (struct raft_config){
        .id = id,
        .seed = seed,
        .patient = {RAFT_PATIENT_HEARTBEAT_MS, RAFT_PATIENT_ELECTION_MS},
        .quick = {RAFT_QUICK_HEARTBEAT_MS, RAFT_QUICK_ELECTION_MS},
        .inflight_max = RAFT_INFLIGHT_MAX,
        .append_bytes_max = RAFT_APPEND_BYTES_MAX,
        .uncommitted_bytes_max = RAFT_UNCOMMITTED_BYTES_MAX,
        .apply_bytes_max = RAFT_APPLY_BYTES_MAX,
        .write_bytes_max = RAFT_WRITE_BYTES_MAX,
        .cache_bytes_max = RAFT_CACHE_BYTES_MAX,
        .reads_max = RAFT_READS_MAX,
        .commit_delay_ms = RAFT_COMMIT_DELAY_MS,
    };
}

void *raft_grow(void *items, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return items;
    *cap = *cap ? 2 * *cap : 16;
    items = realloc(items, *cap * size);
    CHECK(items);
    return items;
}

// ---- members ------------------------------------------------------------------------------------

struct progress *raft_peer(const struct raft *raft, uint64_t id)
{
    for (size_t i = 0; i < raft->peers_count; i++)
        if (raft->peers[i].id == id)
            return &raft->peers[i];
    return NULL;
}

static bool keeps_peer(const struct raft *raft, const struct raft_conf *conf, uint64_t id)
{
    return raft_conf_has(conf, id) || (PLANTED(REMOVED_COUNTS) && raft->role == RAFT_LEADER);
}

static void add_peer(struct raft *raft, uint64_t id)
{
    if (id == raft->config.id || raft_peer(raft, id))
        return;
    struct progress *peers = realloc(raft->peers, (raft->peers_count + 1) * sizeof *peers);
    CHECK(peers);
    raft->peers = peers;
    size_t at = raft->peers_count++;
    for (; at > 0 && peers[at - 1].id > id; at--)
        peers[at] = peers[at - 1];
    progress_init(&peers[at], id, false, raft->config.inflight_max);
    progress_reset(&peers[at], raft->log.last + 1, raft->now);
}

void raft_set_conf(struct raft *raft, const struct raft_conf *conf)
{
    size_t kept = 0;
    for (size_t i = 0; i < raft->peers_count; i++) {
        if (keeps_peer(raft, conf, raft->peers[i].id))
            raft->peers[kept++] = raft->peers[i];
        else
            progress_fini(&raft->peers[i]);
    }
    raft->peers_count = kept;
    raft->conf = *conf;
    for (uint32_t i = 0; i < conf->voters_count; i++)
        add_peer(raft, conf->voters[i]);
    for (uint32_t i = 0; i < conf->outgoing_count; i++)
        add_peer(raft, conf->outgoing[i]);
    for (uint32_t i = 0; i < conf->learners_count; i++)
        add_peer(raft, conf->learners[i]);
    for (size_t i = 0; i < raft->peers_count; i++)
        raft->peers[i].learner = raft_conf_is_learner(conf, raft->peers[i].id);
    raft->conf_changed = true;
}

// ---- life ---------------------------------------------------------------------------------------

static void check_config(const struct raft_config *config)
{
    CHECK(config->id != 0);
    CHECK(config->patient.heartbeat_ms > 0);
    CHECK(config->quick.heartbeat_ms > 0);
    CHECK(config->patient.election_ms >= 2 * config->patient.heartbeat_ms);
    CHECK(config->quick.election_ms >= 2 * config->quick.heartbeat_ms);
    CHECK(config->quick.election_ms <= config->patient.election_ms);
    CHECK(config->inflight_max > 0);
}

int raft_new(const struct raft_config *config, const struct raft_boot *boot, struct mono now,
             struct raft **out, struct err *err)
{
    check_config(config);
    struct raft *raft = calloc(1, sizeof *raft);
    CHECK(raft);
    struct raft_conf conf = boot->conf;
    int result = log_init(&raft->log, boot, err);
    if (result == 0)
        result = confchange_settle(&conf, err);
    if (result < 0) {
        log_fini(&raft->log);
        free(raft);
        return err_set(err, ERR_DATA_LOSS, "stored raft state is damaged: %s",
                       err ? err->message : "");
    }
    MAGIC_SET(raft, RAFT_MAGIC);
    raft->config = *config;
    rand_init(&raft->rand, config->seed);
    raft->now = now;
    raft->wake_at = MONO_NEVER;
    raft->hard = boot->hard;
    raft->hard_emitted = boot->hard;
    raft->term_told = boot->hard.term;
    raft->write_next = 1;
    raft->load_number = 1;
    raft_set_conf(raft, &conf);
    raft->conf_changed = false;
    for (size_t i = 0; i < boot->ours_count; i++)
        pace_note_ours(raft, boot->ours[i]);
    raft->ours_changed = false;
    election_become_follower(raft, boot->hard.term, 0);
    // Nobody else can lead: waiting would be for nothing.
    if (conf.voters_count == 1 && conf.outgoing_count == 0 && conf.voters[0] == config->id)
        raft->election_at = now;
    *out = raft;
    return 0;
}

void raft_free(struct raft *raft)
{
    if (!raft)
        return;
    MAGIC_CHECK(raft, RAFT_MAGIC);
    MAGIC_CLEAR(raft);
    flush_fini(raft);
    for (size_t i = 0; i < raft->peers_count; i++)
        progress_fini(&raft->peers[i]);
    free(raft->peers);
    free(raft->reads);
    log_fini(&raft->log);
    free(raft);
}

// ---- messages -----------------------------------------------------------------------------------

static int check_entries(const struct raft_message *message, struct err *err)
{
    uint64_t term = message->log_term;
    for (size_t i = 0; i < message->entries_count; i++) {
        const struct raft_entry *entry = &message->entries[i];
        if (entry->index != message->index + 1 + i || entry->term < term || entry->term == 0 ||
            entry->term > message->term)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "MsgApp after %" PRIu64 " carries entry %" PRIu64 " of term %" PRIu64,
                           message->index, entry->index, entry->term);
        term = entry->term;
    }
    return 0;
}

static int check_message(const struct raft *raft, const struct raft_message *message,
                         struct err *err)
{
    if (message->from == 0 || message->from == raft->config.id)
        return err_set(err, ERR_INVALID_ARGUMENT, "message from member %" PRIx64, message->from);
    if (message->term > RAFT_NUMBER_MAX || message->index > RAFT_NUMBER_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s with term %" PRIu64 " and index %" PRIu64,
                       raft_message_name(message->type), message->term, message->index);
    switch (message->type) {
    case RAFT_MSG_PROP:
        return 0;
    case RAFT_MSG_SNAP:
        if (!message->snapshot || message->snapshot->index == 0 ||
            message->snapshot->index > RAFT_NUMBER_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT, "MsgSnap without snapshot");
        break;
    case RAFT_MSG_APP:
        if (check_entries(message, err) < 0)
            return -(int)ERR_INVALID_ARGUMENT;
        break;
    case RAFT_MSG_APP_RESP:
    case RAFT_MSG_VOTE:
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_PRE_VOTE_RESP:
        break;
    default:
        return err_set(err, ERR_INVALID_ARGUMENT, "unknown message type %d", (int)message->type);
    }
    if (message->term == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s without term",
                       raft_message_name(message->type));
    return 0;
}

static bool is_from_leader(const struct raft_message *message)
{
    return message->type == RAFT_MSG_APP || message->type == RAFT_MSG_HEARTBEAT ||
           message->type == RAFT_MSG_SNAP;
}

static bool is_transfer(const struct raft_message *message)
{
    size_t len = sizeof RAFT_CAMPAIGN_TRANSFER - 1;
    return message->context_len == len &&
           memcmp(message->context, RAFT_CAMPAIGN_TRANSFER, len) == 0;
}

// A message of a later term. False when it is to be ignored.
static bool later_term(struct raft *raft, const struct raft_message *message)
{
    bool vote = message->type == RAFT_MSG_VOTE || message->type == RAFT_MSG_PRE_VOTE;
    // Section 4.2.3: a server that hears from a leader neither moves on nor votes.
    if (vote && !is_transfer(message) && election_in_lease(raft))
        return false;
    // A pre-vote asks about a future term, and its grant repeats that term: nobody is there yet.
    if (message->type == RAFT_MSG_PRE_VOTE ||
        (message->type == RAFT_MSG_PRE_VOTE_RESP && !message->reject))
        return true;
    election_become_follower(raft, message->term, is_from_leader(message) ? message->from : 0);
    return true;
}

// A message of an earlier term: never obeyed, sometimes answered.
static void earlier_term(struct raft *raft, const struct raft_message *message)
{
    if (message->type == RAFT_MSG_HEARTBEAT || message->type == RAFT_MSG_APP) {
        // With the lease rule a member whose term ran ahead would be ignored for ever. This answer
        // makes the old leader step down.
        raft_send(raft, RAFT_MSG_APP_RESP, message->from);
    } else if (message->type == RAFT_MSG_PRE_VOTE) {
        // Tell the term, or a candidate that is behind could ask for ever.
        raft_send(raft, RAFT_MSG_PRE_VOTE_RESP, message->from)->reject = true;
    }
}

static int from_leader(struct raft *raft, const struct raft_message *message, struct err *err)
{
    if (raft->role == RAFT_LEADER || (raft->leader != 0 && raft->leader != message->from))
        return err_set(err, ERR_DATA_LOSS,
                       "two leaders in term %" PRIu64 ": %" PRIx64 " and %" PRIx64, raft->hard.term,
                       raft->leader, message->from);
    if (raft->role != RAFT_FOLLOWER)
        election_become_follower(raft, message->term, message->from);
    raft->leader = message->from;
    switch (message->type) {
    case RAFT_MSG_APP:
        election_leader_heard(raft);
        return follow_append(raft, message, err);
    case RAFT_MSG_HEARTBEAT:
        pace_read_mark(raft, message);
        election_leader_heard(raft);
        return follow_heartbeat(raft, message, err);
    default:
        election_leader_heard(raft);
        return snapshot_receive(raft, message, err);
    }
}

static void to_leader(struct raft *raft, const struct raft_message *message)
{
    struct progress *peer = raft_peer(raft, message->from);
    if (raft->role != RAFT_LEADER || !peer)
        return;
    peer->heard = raft->now;
    peer->graced = false;
    if (message->type == RAFT_MSG_APP_RESP)
        replicate_append_answer(raft, peer, message);
    else
        replicate_heartbeat_answer(raft, peer, message);
}

static int handle_message(struct raft *raft, const struct raft_message *message, struct err *err)
{
    int result = check_message(raft, message, err);
    if (result < 0)
        return result;
    bool ignored = message->to != raft->config.id;
    if (message->type == RAFT_MSG_PROP) {
        if (!ignored)
            leader_forwarded(raft, message);
        return 0;
    }
    if (!ignored && message->term < raft->hard.term) {
        if (!PLANTED(KEEP_TERM))
            earlier_term(raft, message);
        ignored = true;
    }
    if (!ignored && message->term > raft->hard.term)
        ignored = !later_term(raft, message);
    if (ignored) {
        if (message->type != RAFT_MSG_SNAP)
            return 0;
        return err_set(err, ERR_ABORTED, "snapshot from a former leader");
    }
    switch (message->type) {
    case RAFT_MSG_VOTE:
    case RAFT_MSG_PRE_VOTE:
        election_vote_request(raft, message);
        return 0;
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_PRE_VOTE_RESP:
        election_vote_answer(raft, message);
        return 0;
    case RAFT_MSG_TIMEOUT_NOW:
        if (raft->role == RAFT_FOLLOWER)
            election_campaign(raft, true);
        return 0;
    case RAFT_MSG_APP_RESP:
    case RAFT_MSG_HEARTBEAT_RESP:
        to_leader(raft, message);
        return 0;
    default:
        return from_leader(raft, message, err);
    }
}

// ---- the other events ---------------------------------------------------------------------------

static int conf_applied(struct raft *raft, uint64_t index, const struct raft_conf_change *change,
                        struct err *err)
{
    if (index != raft->conf_wait) {
        // A snapshot has overtaken the entry.
        CHECK(index <= raft->log.applied);
        return 0;
    }
    raft->conf_wait = 0;
    if (!change)
        return 0;
    struct raft_conf conf;
    int result = confchange_apply(&raft->conf, change, &conf, err);
    if (result < 0)
        return result;
    raft_set_conf(raft, &conf);
    if (raft->role == RAFT_LEADER)
        leader_conf_applied(raft);
    return 0;
}

static void tick(struct raft *raft)
{
    if (raft->role == RAFT_LEADER)
        leader_tick(raft);
    else
        election_tick(raft);
}

static int unreachable(struct raft *raft, uint64_t id)
{
    struct progress *peer = raft_peer(raft, id);
    if (raft->role == RAFT_LEADER && peer)
        replicate_unreachable(raft, peer);
    return 0;
}

int raft_step(struct raft *raft, const struct raft_event *event, struct mono now, struct err *err)
{
    MAGIC_CHECK(raft, RAFT_MAGIC);
    if (mono_before(raft->now, now))
        raft->now = now;
    switch (event->type) {
    case RAFT_EVENT_TICK:
        tick(raft);
        return 0;
    case RAFT_EVENT_MESSAGE:
        return handle_message(raft, event->u.message, err);
    case RAFT_EVENT_PROPOSE:
        return leader_propose(raft, event->u.propose.data, event->u.propose.count, err);
    case RAFT_EVENT_PROPOSE_CONF:
        return leader_propose_conf(raft, event->u.propose_conf.v2, event->u.propose_conf.data, err);
    case RAFT_EVENT_PERSISTED:
        flush_persisted(raft, event->u.write);
        return 0;
    case RAFT_EVENT_APPLIED:
        flush_applied(raft, event->u.index);
        return 0;
    case RAFT_EVENT_CONF_APPLIED:
        return conf_applied(raft, event->u.conf_applied.index, event->u.conf_applied.change, err);
    case RAFT_EVENT_LOADED:
        return flush_loaded(raft, event->u.loaded.load, event->u.loaded.entries,
                            event->u.loaded.count, err);
    case RAFT_EVENT_COMPACTED:
        log_compact(&raft->log, event->u.index);
        return 0;
    case RAFT_EVENT_READ:
        return read_begin(raft, event->u.read, err);
    case RAFT_EVENT_TRANSFER:
        return leader_transfer(raft, event->u.id, err);
    case RAFT_EVENT_UNREACHABLE:
        return unreachable(raft, event->u.id);
    case RAFT_EVENT_SNAPSHOT_MADE:
        return snapshot_made(raft, event->u.snapshot_made.id, event->u.snapshot_made.ok,
                             event->u.snapshot_made.index, event->u.snapshot_made.handle, err);
    case RAFT_EVENT_SNAPSHOT_SENT:
        snapshot_sent(raft, event->u.snapshot_sent.id, event->u.snapshot_sent.ok);
        return 0;
    case RAFT_EVENT_PEER_IS_OURS:
        pace_note_ours(raft, event->u.id);
        return 0;
    case RAFT_EVENT_CAMPAIGN:
        if (raft->role != RAFT_LEADER)
            election_campaign(raft, false);
        return 0;
    }
    UNREACHABLE("event type");
}

// ---- looking in ---------------------------------------------------------------------------------

uint64_t raft_id(const struct raft *raft)
{
    return raft->config.id;
}

uint64_t raft_term(const struct raft *raft)
{
    return raft->hard.term;
}

uint64_t raft_leader(const struct raft *raft)
{
    return raft->leader;
}

enum raft_role raft_role(const struct raft *raft)
{
    return raft->role;
}

const char *raft_role_name(enum raft_role role)
{
    static const char *const names[] = {"follower", "pre-candidate", "candidate", "leader"};
    CHECK(role < COUNT_OF(names));
    return names[role];
}

uint64_t raft_commit(const struct raft *raft)
{
    return raft->log.commit;
}

uint64_t raft_applied(const struct raft *raft)
{
    return raft->log.applied;
}

uint64_t raft_first_index(const struct raft *raft)
{
    return raft->log.start_index + 1;
}

uint64_t raft_last_index(const struct raft *raft)
{
    return raft->log.last;
}

const struct raft_conf *raft_conf(const struct raft *raft)
{
    return &raft->conf;
}

uint64_t raft_term_at(const struct raft *raft, uint64_t index)
{
    return log_term(&raft->log, index);
}

bool raft_leader_settled(const struct raft *raft)
{
    return leader_settled(raft);
}

static bool is_active(const struct raft *raft, const struct progress *peer)
{
    struct raft_pace pace = pace_towards(raft, peer->id);
    return raft->role == RAFT_LEADER &&
           mono_since(raft->now, peer->heard) < pace.election_ms * NS_PER_MS;
}

size_t raft_peers(const struct raft *raft, struct raft_peer_status *out, size_t max)
{
    for (size_t i = 0; i < raft->peers_count && i < max; i++) {
        const struct progress *peer = &raft->peers[i];
        out[i] = (struct raft_peer_status){
            .id = peer->id,
            .match = peer->match,
            .next = peer->next,
            .progress = peer->state,
            .active = is_active(raft, peer),
            .paused = progress_is_paused(peer),
            .learner = peer->learner,
            .ours = pace_is_ours(raft, peer->id),
        };
    }
    return raft->peers_count;
}
