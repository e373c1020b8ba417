// What the files of agent.h share.
#ifndef AGENT_AGENT_PRIV_IO_H
#define AGENT_AGENT_PRIV_IO_H

#include "agent/agent.h"
#include "agent/description_io.h"
#include "agent/enroll_rpc.h"
#include "agent/publisher_rpc.h"
#include "agent/reporter.h"
#include "agent/session_rpc.h"
#include "agent/task_db_io.h"
#include "proto/identity/renewal.h"
#include "proto/net/tls.h"

#define AGENT_MAGIC 0x61676e74u

struct agent {
    unsigned magic;
    struct agent_config config;
    char *dir;
    char *certificates;
    struct rand rand;
    struct remotes remotes;
    struct credentials credentials;
    struct keyfile keyfile; // its headers; the key is in credentials
    bool has_lock_key;
    uint8_t lock_key[LOCK_KEY_BYTES];
    struct tls_config *tls;
    struct worker *worker;
    struct publisher *publisher;
    struct reporter reporter;
    struct task_db *db;
    struct agent_session *session;
    struct enroller *enroller; // a renewal under way
    enum identity_role wanted_role;
    struct renewal renewal;

    char hostname[DESCRIPTION_TEXT_BYTES]; // as templates see it: of this start
    char architecture[DESCRIPTION_TEXT_BYTES];
    struct arena description_arena;
    struct buf description; // encoded, as told in the present session
    Swarm__NodeDescription *described;

    struct loop_timer renewal_due;
    struct loop_timer look; // at the description
    struct loop_timer run;  // the worker
    struct loop_timer retry_report;
    bool saving;
    bool save_again;
    bool managers_changed;
    struct buf managers_saved;
    struct credentials fresh; // to be saved, then used
    bool has_fresh;
    bool fresh_has_lock_key;
    uint8_t fresh_lock_key[LOCK_KEY_BYTES];

    bool discarding; // tasks are being taken away, then it closes
    struct loop_timer give_up;
    struct loop_later ended;
    bool closing;
    unsigned ends_awaited;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

// "dir/name"; the caller frees it.
char *agent_path(const char *dir, const char *name);

// A part that was being closed (`ctx` is the agent) has ended; and: frees an agent that closes,
// once nothing of it is under way.
void agent_part_closed(void *ctx);
void agent_maybe_closed(struct agent *agent);

// ---- agent_credentials_io.c

// NULL with an error for credentials that do not fit together.
struct tls_config *agent_make_tls(const struct credentials *credentials, struct err *err);

// The saved credentials are the ones to use from now on.
void agent_adopt(struct agent *agent, const struct credentials *credentials);

// A root that the session brought counts only if it vouches for the certificate this node has.
void agent_consider_roots(struct agent *agent, const ProtobufCBinaryData *roots);

// Sets the moment of the next renewal; and: it has come (agent->renewal_due).
void agent_plan_renewal(struct agent *agent);
void agent_renewal_due(struct loop_timer *timer);

// ---- agent_save_io.c

// Writes what changed (tasks, managers, agent->fresh) in a worker job, one at a time.
void agent_save_soon(struct agent *agent);

#endif
