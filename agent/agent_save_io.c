// What an agent keeps on disk: its tasks, the managers it knows, its credentials.
#include <stdlib.h>
#include <string.h>

#include "agent/agent_priv_io.h"
#include "agent/managers.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/identity/certdir_io.h"
#include "proto/identity/rng_io.h"

// What one job writes; everything in it is the job's own.
struct save {
    struct loop_work work;
    struct agent *agent;
    struct task_batch *batch;
    struct buf managers; // empty: unchanged
    bool has_credentials;
    struct credentials credentials;
    struct keyfile keyfile; // the headers, borrowed
    bool has_lock_key;
    uint8_t lock_key[LOCK_KEY_BYTES];
    struct err err;
};

static int save_credentials(struct save *save, struct err *err)
{
    const struct agent *agent = save->agent;
    struct keyfile file = save->keyfile;
    const char *key_pem = save->credentials.key_pem;
    int result = key_parse_pem(&file.key, key_pem, strlen(key_pem), err);
    if (result)
        return result;
    result = certdir_save_roots(agent->certificates, save->credentials.roots_pem, err);
    if (!result)
        result = certdir_save_node(agent->certificates, save->credentials.chain_pem, &file,
                                   save->has_lock_key ? save->lock_key : NULL, &rng_kernel, err);
    key_fini(&file.key);
    return result;
}

// In a worker thread: touches nothing of the agent but what never changes while it runs.
static void save_work(struct loop_work *work)
{
    struct save *save = CONTAINER_OF(work, struct save, work);
    int result = task_db_write(save->agent->db, save->batch, &save->err);
    if (!result && save->managers.len) {
        char *path = agent_path(save->agent->dir, MANAGERS_FILE);
        result = file_write_atomic(path, save->managers.data, save->managers.len, 0600, &save->err);
        free(path);
    }
    if (!result && save->has_credentials)
        save_credentials(save, &save->err);
}

static void save_done(struct loop_work *work)
{
    struct save *save = CONTAINER_OF(work, struct save, work);
    struct agent *agent = save->agent;
    MAGIC_CHECK(agent, AGENT_MAGIC);
    agent->saving = false;
    if (save->err.code != ERR_OK) {
        log_error("agent state not saved", "dir=%s err=\"%s\"", agent->dir, save->err.message);
    } else if (save->has_credentials) {
        agent->has_lock_key = save->has_lock_key;
        memcpy(agent->lock_key, save->lock_key, LOCK_KEY_BYTES);
        if (!agent->closing)
            agent_adopt(agent, &save->credentials);
    }
    task_batch_free(save->batch);
    buf_fini(&save->managers);
    credentials_fini(&save->credentials);
    explicit_bzero(save->lock_key, sizeof save->lock_key);
    free(save);
    if (agent->save_again)
        agent_save_soon(agent);
    agent_maybe_closed(agent);
}

static void put_task(void *owner, const char *task_id, const Swarm__Task *task,
                     const Swarm__TaskStatus *status)
{
    task_batch_put(owner, task_id, task, status);
}

// The list of managers, left empty when it is what the file holds already.
static void take_managers(struct agent *agent, struct buf *out)
{
    managers_write(&agent->remotes, out);
    struct buf *saved = &agent->managers_saved;
    if (out->len == saved->len && memcmp(out->data, saved->data, out->len) == 0) {
        buf_fini(out);
        return;
    }
    buf_clear(saved);
    buf_put(saved, out->data, out->len);
}

void agent_save_soon(struct agent *agent)
{
    if (agent->saving) {
        agent->save_again = true;
        return;
    }
    agent->save_again = false;
    struct save *save = MEM_NEW(struct save);
    save->agent = agent;
    save->batch = task_batch_new();
    buf_init(&save->managers, MANAGERS_BYTES_MAX);
    worker_save(agent->worker, put_task, save->batch);
    if (agent->managers_changed)
        take_managers(agent, &save->managers);
    agent->managers_changed = false;
    if (agent->has_fresh) {
        save->has_credentials = true;
        save->keyfile = agent->keyfile;
        save->credentials = agent->fresh; // moved
        save->has_lock_key = agent->fresh_has_lock_key;
        memcpy(save->lock_key, agent->fresh_lock_key, LOCK_KEY_BYTES);
        agent->fresh = (struct credentials){0};
        agent->has_fresh = false;
    }
    if (!task_batch_count(save->batch) && !save->managers.len && !save->has_credentials) {
        task_batch_free(save->batch);
        free(save);
        return;
    }
    agent->saving = true;
    loop_work_start(agent->config.loop, &save->work, save_work, save_done);
}
