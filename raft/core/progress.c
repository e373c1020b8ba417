#include "raft/core/progress.h"

#include <stdlib.h>

#include "proto/base/check.h"

void progress_init(struct progress *progress, uint64_t id, bool learner, uint32_t inflight_max)
{
    *progress = (struct progress){.id = id, .learner = learner, .window_cap = inflight_max};
}

void progress_fini(struct progress *progress)
{
    free(progress->window);
    progress->window = NULL;
}

static void window_clear(struct progress *progress)
{
    progress->window_head = 0;
    progress->window_count = 0;
}

static void leave_state(struct progress *progress)
{
    progress->paused = false;
    progress->poke = false;
    progress->snapshot_wanted = false;
    progress->snapshot_asked = false;
    progress->snapshot_index = 0;
    progress->load_stale = progress->load != 0;
    window_clear(progress);
}

void progress_reset(struct progress *progress, uint64_t next, struct mono now)
{
    leave_state(progress);
    progress->state = RAFT_PROBE;
    progress->match = 0;
    progress->next = next;
    progress->commit_sent = 0;
    progress->tell_at = MONO_NEVER;
    progress->read_acked = 0;
    progress->farewell_round = 0;
    progress->heard = now;
    progress->heartbeat_at = now;
    progress->graced = false;
    progress->quick = false;
}

void progress_become_probe(struct progress *progress)
{
    // After a snapshot that arrived, the peer has at least what was in it.
    uint64_t after_snapshot = progress->snapshot_index + 1;
    leave_state(progress);
    bool from_snapshot = progress->state == RAFT_SNAPSHOT && after_snapshot > progress->match + 1;
    progress->next = from_snapshot ? after_snapshot : progress->match + 1;
    progress->state = RAFT_PROBE;
}

void progress_become_replicate(struct progress *progress)
{
    leave_state(progress);
    progress->next = progress->match + 1;
    progress->state = RAFT_REPLICATE;
}

void progress_become_snapshot(struct progress *progress)
{
    leave_state(progress);
    progress->snapshot_wanted = true;
    progress->state = RAFT_SNAPSHOT;
}

static void window_release(struct progress *progress, uint64_t index)
{
    while (progress->window_count > 0 && progress->window[progress->window_head] <= index) {
        progress->window_head = (progress->window_head + 1) % progress->window_cap;
        progress->window_count--;
    }
}

bool progress_acknowledge(struct progress *progress, uint64_t index)
{
    window_release(progress, index);
    if (progress->next < index + 1)
        progress->next = index + 1;
    if (index <= progress->match)
        return false;
    progress->match = index;
    progress->paused = false;
    return true;
}

bool progress_refuse(struct progress *progress, uint64_t rejected, uint64_t hint)
{
    if (progress->state == RAFT_REPLICATE) {
        // Messages overtake each other: what is known to match cannot be refused any more.
        if (rejected <= progress->match)
            return false;
        progress_become_probe(progress);
        return true;
    }
    // A probe carries exactly next - 1; anything else answers an older one.
    if (progress->state != RAFT_PROBE || progress->next - 1 != rejected)
        return false;
    uint64_t next = rejected < hint + 1 ? rejected : hint + 1;
    progress->next = next > progress->match ? next : progress->match + 1;
    progress->paused = false;
    return true;
}

bool progress_is_paused(const struct progress *progress)
{
    switch (progress->state) {
    case RAFT_PROBE:
        return progress->paused;
    case RAFT_REPLICATE:
        return progress->window_count == progress->window_cap;
    case RAFT_SNAPSHOT:
        return true;
    }
    UNREACHABLE("progress state");
}

void progress_window_add(struct progress *progress, uint64_t last)
{
    CHECK(progress->window_count < progress->window_cap);
    if (!progress->window) {
        progress->window = malloc(progress->window_cap * sizeof *progress->window);
        CHECK(progress->window);
    }
    uint32_t at = (progress->window_head + progress->window_count) % progress->window_cap;
    progress->window[at] = last;
    progress->window_count++;
}
