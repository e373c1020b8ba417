// How a node gets out of its swarm, and what it says to who wants it to.
#include <stdlib.h>

#include "cmd/skepd/membership_impl_io.h"
#include "cmd/skepd/parting_io.h"
#include "cmd/skepd/swarmdir_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"

static void on_left(struct membership *membership)
{
    struct err err = membership->leaving_answer;
    if (swarmdir_forget(membership->config->data_root, err.code == ERR_OK ? &err : NULL))
        log_error("what was kept of the swarm stays", "err=\"%s\"", err.message);
    charge_fini(&membership->charge);
    membership->member = membership->leaving = membership->entering = false;
    membership->removed = membership->connected = membership->locked = false;
    membership_take_lock_key(membership, NULL);
    membership->place = place_default();
    membership->node_id[0] = membership->error[0] = '\0';
    membership_answer(membership, err.code == ERR_OK ? NULL : &err);
    if (membership->closed)
        membership_close_parts(membership);
}

static void leave_next(void *owner)
{
    struct membership *membership = membership_of(owner);
    if (membership->joining) {
        struct joining *joining = membership->joining;
        membership->joining = NULL;
        joining_close(joining, leave_next, membership);
    } else if (membership->manager_runs && !membership->manager_ends) {
        // First: it may be out of the consensus already.
        membership_end_manager(membership, leave_next);
    } else if (station_agent(membership->station)) {
        station_agent_close(membership->station, true, leave_next, membership);
    } else {
        membership->manager_runs = membership->manager_ends = false;
        on_left(membership);
    }
}

void membership_exit(struct membership *membership, const struct err *why)
{
    CHECK(!membership->leaving);
    membership->leaving = true;
    membership_end_start(membership);
    err_clear(&membership->leaving_answer);
    if (why)
        membership->leaving_answer = *why;
    loop_timer_stop(&membership->demotion);
    loop_timer_stop(&membership->retry);
    loop_timer_stop(&membership->patience);
    bool manages = membership->member && membership->role == IDENTITY_MANAGER &&
                   membership->manager_up && !membership->removed && !membership->locked;
    parting_go(membership->loop, manages ? membership->client : NULL, membership->node_id,
               leave_next, membership);
}

static void on_warned(void *owner, const struct err *why)
{
    struct warning *warning = owner;
    list_remove(&warning->link);
    if (warning->done)
        warning->done(warning->owner, why, "");
    free(warning);
}

void membership_leave(struct membership *membership, bool force, backend_done *done, void *owner)
{
    membership_of(membership);
    if (membership->leaving || membership->closed || membership->leaver) {
        membership_refuse(membership, done, owner, ERR_UNAVAILABLE,
                          "the node is changing its place already");
        return;
    }
    if (membership->manager_ends) { // as after a demotion: in a moment it can
        membership->leaver = done;
        membership->leaver_owner = owner;
        membership->leaver_forces = force;
        return;
    }
    if (!force && membership->locked) {
        membership_refuse(
            membership, done, owner, ERR_UNAVAILABLE,
            "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore "
            "this message.");
        return;
    }
    if (!force && membership->member && membership->role == IDENTITY_MANAGER &&
        !membership->removed) {
        struct warning *warning = MEM_NEW(struct warning);
        *warning = (struct warning){.done = done, .owner = owner};
        list_push_back(&membership->warnings, &warning->link);
        parting_warn(membership->loop, membership->manager_up ? membership->client : NULL,
                     on_warned, warning);
        return;
    }
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "the node leaves the swarm");
    membership_answer(membership, &err); // who still waited to get in
    membership->done = done;
    membership->owner = owner;
    membership_exit(membership, NULL);
}

void membership_let_leave(struct membership *membership)
{
    backend_done *done = membership->leaver;
    membership->leaver = NULL;
    if (done)
        membership_leave(membership, membership->leaver_forces, done, membership->leaver_owner);
}

void membership_forget(struct membership *membership, void *owner)
{
    membership_of(membership);
    if (membership->done && membership->owner == owner)
        membership->done = NULL;
    if (membership->leaver && membership->leaver_owner == owner)
        membership->leaver = NULL;
    answers_forget(&membership->answers, owner);
    LIST_EACH (link, &membership->warnings) {
        struct warning *warning = LIST_ENTRY(link, struct warning, link);
        if (warning->owner == owner)
            warning->done = NULL;
    }
}
