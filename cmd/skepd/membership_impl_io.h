// What membership_io.c (being a member), entering_io.c and leaving_io.c know of each other. Nobody
// else includes it.
#ifndef CMD_SKEPD_MEMBERSHIP_IMPL_IO_H
#define CMD_SKEPD_MEMBERSHIP_IMPL_IO_H

#include "cmd/skepd/answers_io.h"
#include "cmd/skepd/joining_io.h"
#include "cmd/skepd/membership_io.h"
#include "cmd/skepd/place.h"
#include "proto/base/list.h"

#define MEMBERSHIP_MAGIC 0x6d656d62u

// A manager's leave without force: it is refused, once it is known in which words.
struct warning {
    struct list link;
    backend_done *done; // NULL: nobody listens any more
    void *owner;
};

struct membership {
    unsigned magic;
    struct loop *loop;
    const struct config *config;
    struct station *station;
    const struct membership_ops *ops;
    struct addr local_addr;

    bool member;   // of a swarm; else what follows is empty, but for the error
    bool entering; // since `init` or `join`, until there is a place
    bool leaving;
    struct err leaving_answer; // what is said once it is out
    char node_id[IDENTITY_TEXT_BYTES];
    struct place place;
    struct joining *joining; // until there is a certificate
    enum identity_role role; // of the certificate
    bool connected;          // the agent has a session
    bool connected_once;     // since this start
    bool locked;             // until the key that opens the key file is given
    bool has_lock_key;       // for the agent's start
    uint8_t lock_key[LOCK_KEY_BYTES];
    char error[ERR_MESSAGE_BYTES]; // why the node or its manager process cannot go on

    bool starting;     // a manager at the start that does not take part yet
    bool manager_runs; // the process is wanted
    bool manager_up;   // and takes part
    bool manager_ends; // it was asked to
    bool removed;      // from Raft; the certificate still says manager
    bool asked;        // for another certificate, since
    struct charge charge;
    struct rpc_client *client;
    struct loop_timer demotion;
    struct loop_timer retry;                    // to start the manager process
    struct backend_remote remotes[REMOTES_MAX]; // filled for who asks

    // Who waits for the node to find its place, or to be out of it; at most one.
    backend_done *done;
    void *owner;
    struct loop_timer patience;
    struct loop_timer start_limit; // of `starting`
    struct answers answers;
    struct list warnings; // struct warning

    // Who wants to leave while the manager process ends: it is looked at when that is over.
    backend_done *leaver; // NULL: nobody
    void *leaver_owner;
    bool leaver_forces;

    struct loop_post closing;
    unsigned ends_awaited; // while closing
    void (*closed)(void *owner);
    void *closed_owner;
};

// ---- membership_io.c ----------------------------------------------------------------------------

struct membership *membership_of(void *ctx);

// Answers in a later turn; `err` NULL for success. The last is for who waits, if anybody does.
void membership_answer_to(struct membership *membership, backend_done *done, void *owner,
                          const struct err *err);
void membership_refuse(struct membership *membership, backend_done *done, void *owner,
                       enum err_code code, const char *why);
void membership_answer(struct membership *membership, const struct err *err);

// Is from now on what the certificate says.
void membership_become(struct membership *membership, const struct credentials *credentials);

// Who waited for the manager to start goes on.
void membership_end_start(struct membership *membership);

// It cannot go on for now; what was never complete is left again.
void membership_fail(struct membership *membership, const struct err *why);

void membership_start_manager(struct membership *membership);
void membership_end_manager(struct membership *membership, void (*ended)(void *owner));
int membership_start_agent(struct membership *membership, struct err *err);

// NULL: none. It is for the next start of the agent.
void membership_take_lock_key(struct membership *membership, const uint8_t *lock_key);

// Out of memory too, once all its parts have ended: the last of membership_close.
void membership_close_parts(struct membership *membership);

// ---- leaving_io.c -------------------------------------------------------------------------------

// Out of the swarm, whatever the way in or out was; then whoever waits is told `why` (NULL: done).
void membership_exit(struct membership *membership, const struct err *why);

// The manager process is gone: somebody may have waited for that to leave.
void membership_let_leave(struct membership *membership);

#endif
