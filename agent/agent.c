#include "agent/agent.h"

#include <stdlib.h>
#include <string.h>

#include "agent/agent_priv_io.h"
#include "agent/managers.h"
#include "agent/status_message.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/identity/certdir_io.h"
#include "proto/identity/rng_io.h"
#include "proto/wire/defaults.h"
#include "proto/wire/wire.h"

#define DESCRIPTION_BYTES (1u << 20)
#define REPORT_BYTES      65536

static void give_up(struct loop_timer *timer);
static void ended(struct loop_later *later);

char *agent_path(const char *dir, const char *name)
{
    return str_printf("%s/%s", dir, name);
}

// ---- tasks and reports -------------------------------------------------------------------------

static void report_next(struct agent *agent)
{
    const char *task_id;
    struct arena arena;
    if (!agent->session || !agent_session_id(agent->session))
        return;
    const struct task_status *status = reporter_next(&agent->reporter, &task_id);
    if (!status)
        return;
    arena_init(&arena, REPORT_BYTES);
    Swarm__TaskStatus *message = status_message_write(status, &arena);
    CHECK(message); // bounded texts
    if (!agent_session_report(agent->session, task_id, message))
        reporter_answered(&agent->reporter, false);
    arena_fini(&arena);
}

static void end(struct agent *agent);

static void run_worker(struct loop_timer *timer)
{
    struct agent *agent = CONTAINER_OF(timer, struct agent, run);
    struct mono next = worker_run(agent->worker);
    if (agent->discarding && worker_count(agent->worker) == 0) {
        end(agent);
        return;
    }
    if (next.ns != MONO_NEVER.ns)
        loop_timer_start_at(&agent->run, next);
    agent_save_soon(agent);
    report_next(agent);
}

static void worker_wakes(void *owner)
{
    struct agent *agent = owner;
    if (!agent->closing)
        loop_timer_start(&agent->run, 0);
}

static struct mono agent_mono(void *owner)
{
    (void)owner;
    return mono_now();
}

static struct wall agent_wall(void *owner)
{
    (void)owner;
    return wall_now();
}

static void retry_report(struct loop_timer *timer)
{
    report_next(CONTAINER_OF(timer, struct agent, retry_report));
}

// ---- session -----------------------------------------------------------------------------------

// Looks at the node anew; true when it is not what was told last.
static bool describe_anew(struct agent *agent)
{
    struct description_facts facts = {.engine_version = agent->config.engine_version,
                                      .labels = agent->config.labels,
                                      .labels_count = agent->config.labels_count,
                                      .generic = agent->config.generic,
                                      .generic_count = agent->config.generic_count};
    struct err err = ERR_INIT;
    struct arena arena;
    struct buf encoded;
    arena_init(&arena, DESCRIPTION_BYTES);
    buf_init(&encoded, DESCRIPTION_BYTES);
    Swarm__NodeDescription *description = NULL;
    if (description_look(&facts, &err) == 0)
        description = description_make(&facts, &agent->credentials, &arena, &err);
    if (!description || wire_pack(description, &encoded, &err)) {
        log_warn("node description not made", "err=\"%s\"", err.message);
        arena_fini(&arena);
        buf_fini(&encoded);
        return false;
    }
    bool changed = encoded.len != agent->description.len ||
                   memcmp(encoded.data, agent->description.data, encoded.len) != 0;
    arena_fini(&agent->description_arena);
    buf_fini(&agent->description);
    agent->description_arena = arena;
    agent->description = encoded;
    agent->described = description;
    return changed;
}

static const Swarm__NodeDescription *describe(void *owner)
{
    static const Swarm__NodeDescription nothing = SWARM__NODE_DESCRIPTION__INIT;
    struct agent *agent = owner;
    describe_anew(agent);
    return agent->described ? agent->described : &nothing;
}

static void look(struct loop_timer *timer)
{
    struct agent *agent = CONTAINER_OF(timer, struct agent, look);
    loop_timer_start(&agent->look, DESCRIPTION_CHECK_NS / NS_PER_MS);
    if (agent_session_id(agent->session) && describe_anew(agent))
        agent_session_renew(agent->session, NULL);
}

static void task_closing(void *owner, const char *task_id)
{
    struct agent *agent = owner;
    if (agent->publisher)
        publisher_forget(agent->publisher, task_id);
}

static void session_up(void *owner)
{
    struct agent *agent = owner;
    log_info("session registered", "node=%s", agent->credentials.identity.node_id);
    reporter_restart(&agent->reporter);
    worker_wakes(agent);
    if (agent->config.events.connected)
        agent->config.events.connected(agent->config.owner, NULL);
}

static void session_down(void *owner, const struct err *err)
{
    struct agent *agent = owner;
    publisher_stop(agent->publisher);
    log_warn("session lost", "node=%s err=\"%s\"", agent->credentials.identity.node_id,
             err->message);
    if (agent->config.events.connected)
        agent->config.events.connected(agent->config.owner, err);
}

static void consider_node(struct agent *agent, const Swarm__Node *node)
{
    enum identity_role now;
    agent->wanted_role =
        node->spec->desired_role == SWARM__NODE_ROLE__MANAGER ? IDENTITY_MANAGER : IDENTITY_WORKER;
    bool other_role =
        identity_own_role(&agent->credentials.identity, &now) && now != agent->wanted_role;
    bool rotate = node->certificate && node->certificate->status &&
                  node->certificate->status->state == SWARM__ISSUANCE_STATUS__STATE__ROTATE;
    // A renewal that failed has its own pace.
    if ((other_role || rotate) && !agent->renewal.failures)
        agent_renew(agent);
}

static void session_message_came(void *owner, const Swarm__SessionMessage *message)
{
    struct agent *agent = owner;
    agent->managers_changed = true;
    if (message->node)
        consider_node(agent, message->node);
    agent_consider_roots(agent, &message->rootca);
    agent_save_soon(agent);
    if (agent->config.events.session)
        agent->config.events.session(agent->config.owner, message);
}

static void assignments_came(void *owner, const Swarm__AssignmentsMessage *message)
{
    struct agent *agent = owner;
    struct err err = ERR_INIT;
    if (worker_assign(agent->worker, message, &err))
        log_warn("assignments applied in part", "node=%s err=\"%s\"",
                 agent->credentials.identity.node_id, err.message);
    worker_wakes(agent);
}

static void subscription_came(void *owner, const Swarm__SubscriptionMessage *message)
{
    struct agent *agent = owner;
    if (agent->session)
        publisher_take(agent->publisher, agent_session_client(agent->session), message);
    if (agent->config.events.subscription)
        agent->config.events.subscription(agent->config.owner, message);
}

static void reported(void *owner, const struct err *err)
{
    struct agent *agent = owner;
    reporter_answered(&agent->reporter, !err);
    if (err)
        loop_timer_start(&agent->retry_report, REPORTER_PAUSE_NS / NS_PER_MS);
    else
        report_next(agent);
}

static void start_session(struct agent *agent)
{
    struct agent_session_config config = {
        .loop = agent->config.loop,
        .remotes = &agent->remotes,
        .tls = agent->tls,
        .describe = describe,
        .events = {.up = session_up,
                   .down = session_down,
                   .message = session_message_came,
                   .assignments = assignments_came,
                   .subscription = subscription_came,
                   .reported = reported},
        .owner = agent,
    };
    agent->session = agent_session_new(&config);
}

// ---- life --------------------------------------------------------------------------------------

int agent_keep(const char *dir, const struct enroll *enroll, const char *manager_addr,
               struct err *err)
{
    const struct credentials *credentials = enroll_credentials(enroll);
    struct keyfile file = {0};
    struct remotes remotes;
    struct buf managers;
    char *certificates = agent_path(dir, "certificates");
    char *state = agent_path(dir, MANAGERS_FILE);
    const char *key_pem = credentials->key_pem;
    const uint8_t *lock_key = enroll_lock_key(enroll, &file.kek_version);
    remotes_init(&remotes);
    buf_init(&managers, MANAGERS_BYTES_MAX);
    remotes_observe(&remotes, "", manager_addr, REMOTES_OBSERVED_GOOD);
    managers_write(&remotes, &managers);
    int result = key_parse_pem(&file.key, key_pem, strlen(key_pem), err);
    if (!result)
        result = certdir_save_roots(certificates, credentials->roots_pem, err);
    if (!result)
        result = certdir_save_node(certificates, credentials->chain_pem, &file, lock_key,
                                   &rng_kernel, err);
    if (!result)
        result = file_write_atomic(state, managers.data, managers.len, 0600, err);
    keyfile_fini(&file);
    remotes_fini(&remotes);
    buf_fini(&managers);
    free(certificates);
    free(state);
    return result;
}

static void restore(void *owner, const Swarm__Task *task, const Swarm__TaskStatus *status)
{
    struct agent *agent = owner;
    worker_restore(agent->worker, task, status);
}

static int read_managers(struct agent *agent, struct err *err)
{
    struct buf text;
    char *path = agent_path(agent->dir, MANAGERS_FILE);
    buf_init(&text, MANAGERS_BYTES_MAX);
    int result = file_read(path, &text, err);
    if (!result)
        result = managers_read(text.data, text.len, &agent->remotes, err);
    if (!result && !agent->remotes.count)
        result = err_set(err, ERR_FAILED_PRECONDITION, "%s names no manager", path);
    buf_fini(&text);
    free(path);
    return result;
}

static int read_folder(struct agent *agent, struct err *err)
{
    const uint8_t *lock_key = agent->has_lock_key ? agent->lock_key : NULL;
    char *tasks = agent_path(agent->dir, "worker");
    int result =
        certdir_load(agent->certificates, lock_key, &agent->credentials, &agent->keyfile, err);
    if (!result) {
        // Only its headers are needed from here on; the key is in the credentials.
        key_fini(&agent->keyfile.key);
        result = read_managers(agent, err);
    }
    if (!result && agent->config.own_manager &&
        !remotes_set_own(&agent->remotes, agent->credentials.identity.node_id,
                         agent->config.own_manager))
        result =
            err_set(err, ERR_INVALID_ARGUMENT, "the address of this node's manager is too long");
    if (!result)
        result = task_db_open(tasks, &agent->db, err);
    if (!result) {
        agent->tls = agent_make_tls(&agent->credentials, err);
        result = agent->tls ? 0 : -ERR_INVALID_ARGUMENT;
    }
    free(tasks);
    return result;
}

static void agent_free(struct agent *agent)
{
    publisher_free(agent->publisher);
    agent->publisher = NULL;
    worker_free(agent->worker);
    reporter_fini(&agent->reporter);
    task_db_close(agent->db);
    tls_config_unref(agent->tls);
    credentials_fini(&agent->credentials);
    credentials_fini(&agent->fresh);
    keyfile_fini(&agent->keyfile);
    remotes_fini(&agent->remotes);
    arena_fini(&agent->description_arena);
    buf_fini(&agent->description);
    buf_fini(&agent->managers_saved);
    free(agent->dir);
    free(agent->certificates);
    explicit_bzero(agent, sizeof *agent);
    free(agent);
}

int agent_open(const struct agent_config *config, struct agent **out, struct err *err)
{
    struct agent *agent = MEM_NEW(struct agent);
    MAGIC_SET(agent, AGENT_MAGIC);
    agent->config = *config;
    agent->dir = str_dup(config->dir);
    agent->certificates = agent_path(config->dir, "certificates");
    entropy_seed(&agent->rand);
    remotes_init(&agent->remotes);
    reporter_init(&agent->reporter);
    arena_init(&agent->description_arena, DESCRIPTION_BYTES);
    buf_init(&agent->description, DESCRIPTION_BYTES);
    buf_init(&agent->managers_saved, MANAGERS_BYTES_MAX);
    agent->has_lock_key = config->lock_key != NULL;
    if (config->lock_key)
        memcpy(agent->lock_key, config->lock_key, LOCK_KEY_BYTES);
    int result = read_folder(agent, err);
    if (result) {
        agent_free(agent);
        return result;
    }
    loop_timer_init(&agent->renewal_due, config->loop, agent_renewal_due);
    loop_timer_init(&agent->look, config->loop, look);
    loop_timer_init(&agent->run, config->loop, run_worker);
    loop_timer_init(&agent->retry_report, config->loop, retry_report);
    loop_timer_init(&agent->give_up, config->loop, give_up);
    loop_later_init(&agent->ended, config->loop, ended);
    identity_own_role(&agent->credentials.identity, &agent->wanted_role);
    describe_anew(agent);
    struct worker_config worker = {
        .executor = config->executor,
        .attacher = config->attacher,
        .reporter = &agent->reporter,
        .node = {.id = agent->credentials.identity.node_id, .os = "linux"},
        .now = agent_mono,
        .wall = agent_wall,
        .wake = worker_wakes,
        .closing = task_closing,
        .owner = agent,
    };
    if (agent->described) {
        str_copy(agent->hostname, sizeof agent->hostname, agent->described->hostname);
        str_copy(agent->architecture, sizeof agent->architecture,
                 agent->described->platform->architecture);
    }
    worker.node.hostname = agent->hostname;
    worker.node.architecture = agent->architecture;
    agent->worker = worker_new(&worker);
    agent->publisher = publisher_new(config->loop, agent->worker, config->executor,
                                     agent->credentials.identity.node_id);
    result = task_db_load(agent->db, restore, agent, err);
    if (result) {
        agent_free(agent);
        return result;
    }
    agent_plan_renewal(agent);
    loop_timer_start(&agent->look, DESCRIPTION_CHECK_NS / NS_PER_MS);
    start_session(agent);
    *out = agent;
    return 0;
}

void agent_maybe_closed(struct agent *agent)
{
    if (!agent->closing || agent->ends_awaited || agent->saving)
        return;
    void (*closed)(void *ctx) = agent->closed;
    void *ctx = agent->closed_ctx;
    MAGIC_CLEAR(agent);
    agent_free(agent);
    if (closed)
        closed(ctx);
}

void agent_part_closed(void *ctx)
{
    struct agent *agent = ctx;
    agent->ends_awaited--;
    agent_maybe_closed(agent);
}

// The session takes no more part in anything.
static void end_session(struct agent *agent)
{
    loop_timer_stop(&agent->renewal_due);
    loop_timer_stop(&agent->look);
    loop_timer_stop(&agent->retry_report);
    if (!agent->session)
        return;
    publisher_stop(agent->publisher);
    agent->ends_awaited++;
    agent_session_close(agent->session, agent_part_closed, agent);
    agent->session = NULL;
}

static void end(struct agent *agent)
{
    agent->closing = true;
    loop_timer_stop(&agent->run);
    loop_timer_stop(&agent->give_up);
    agent->ends_awaited++; // of this function, so that nothing ends inside it
    end_session(agent);
    if (agent->enroller) {
        agent->ends_awaited++;
        enroller_close(agent->enroller, agent_part_closed, agent);
        agent->enroller = NULL;
    }
    agent_save_soon(agent);
    loop_later_ask(&agent->ended);
}

static void ended(struct loop_later *later)
{
    agent_part_closed(CONTAINER_OF(later, struct agent, ended));
}

void agent_close(struct agent *agent, void (*closed)(void *ctx), void *ctx)
{
    MAGIC_CHECK(agent, AGENT_MAGIC);
    CHECK(!agent->closing);
    CHECK(!agent->discarding);
    agent->closed = closed;
    agent->closed_ctx = ctx;
    end(agent);
}

static void give_up(struct loop_timer *timer)
{
    struct agent *agent = CONTAINER_OF(timer, struct agent, give_up);
    log_warn("tasks were not taken away in time", "node=%s tasks=%zu",
             agent->credentials.identity.node_id, worker_count(agent->worker));
    end(agent);
}

void agent_discard(struct agent *agent, void (*closed)(void *ctx), void *ctx)
{
    MAGIC_CHECK(agent, AGENT_MAGIC);
    CHECK(!agent->closing);
    CHECK(!agent->discarding);
    agent->discarding = true;
    agent->closed = closed;
    agent->closed_ctx = ctx;
    // No new tasks come, and the managers give these to other nodes.
    end_session(agent);
    worker_discard(agent->worker);
    loop_timer_start(&agent->give_up, AGENT_DISCARD_MS);
    worker_wakes(agent);
}

void agent_describe(struct agent *agent, const struct description_pair *labels, size_t labels_count,
                    const struct description_pair *generic, size_t generic_count)
{
    MAGIC_CHECK(agent, AGENT_MAGIC);
    agent->config.labels = labels;
    agent->config.labels_count = labels_count;
    agent->config.generic = generic;
    agent->config.generic_count = generic_count;
    if (agent->session)
        loop_timer_start(&agent->look, 0);
}

void agent_follow_own(struct agent *agent, const char *addr)
{
    MAGIC_CHECK(agent, AGENT_MAGIC);
    struct remote own = {.weight = REMOTES_OBSERVED_GOOD};
    bool fits = str_copy(own.node_id, sizeof own.node_id, agent->credentials.identity.node_id) &&
                str_copy(own.addr, sizeof own.addr, addr);
    if (!fits)
        return;
    remotes_update(&agent->remotes, &own, 1);
    if (agent->session)
        agent_session_renew(agent->session, NULL);
}

struct rpc_client *agent_client(struct agent *agent)
{
    return agent->session ? agent_session_client(agent->session) : NULL;
}

struct worker *agent_worker(struct agent *agent)
{
    return agent->worker;
}

const struct credentials *agent_credentials(const struct agent *agent)
{
    return &agent->credentials;
}

const struct remotes *agent_remotes(const struct agent *agent)
{
    return &agent->remotes;
}
