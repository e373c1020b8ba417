// The certificate, roots and keys of an agent: in use, renewed, locked.
#include <stdlib.h>
#include <string.h>

#include "agent/agent_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/rootca.h"
#include "proto/identity/x509.h"

struct tls_config *agent_make_tls(const struct credentials *credentials, struct err *err)
{
    struct tls_options options = {
        .verify = TLS_VERIFY_REQUIRED, .alpn = TLS_ALPN_H2, .rng = &rng_kernel, .tickets = true};
    return tls_config_of(credentials, &options, err);
}

void agent_plan_renewal(struct agent *agent)
{
    int64_t delay = renewal_next_ns(&agent->renewal, agent->credentials.not_before,
                                    agent->credentials.not_after, wall_now(), &agent->rand);
    loop_timer_start(&agent->renewal_due, delay / NS_PER_MS);
}

static bool same_credentials(const struct credentials *a, const struct credentials *b)
{
    return str_equal(a->chain_pem, b->chain_pem) && str_equal(a->roots_pem, b->roots_pem);
}

static int use(struct agent *agent, const struct credentials *credentials, struct err *err)
{
    struct tls_config *tls = agent_make_tls(credentials, err);
    if (!tls)
        return -(int)err->code;
    credentials_fini(&agent->credentials);
    credentials_copy(&agent->credentials, credentials);
    tls_config_unref(agent->tls);
    agent->tls = tls;
    log_info("certificate in use", "node=%s role=%s", agent->credentials.identity.node_id,
             agent->credentials.identity.units[0]);
    if (agent->session)
        agent_session_renew(agent->session, tls);
    agent_plan_renewal(agent);
    return 0;
}

void agent_adopt(struct agent *agent, const struct credentials *credentials)
{
    struct err err = ERR_INIT;
    if (!same_credentials(&agent->credentials, credentials) && use(agent, credentials, &err)) {
        log_error("new certificate cannot be used", "node=%s err=\"%s\"",
                  agent->credentials.identity.node_id, err.message);
        return;
    }
    if (agent->config.events.credentials)
        agent->config.events.credentials(agent->config.owner, &agent->credentials);
}

static void renewed(void *owner, struct enroll *enroll)
{
    struct agent *agent = owner;
    MAGIC_CHECK(agent, AGENT_MAGIC);
    if (enroll_next(enroll).call == ENROLL_FAILED) {
        agent->renewal.failures++;
        const struct err *err = enroll_error(enroll);
        log_warn("certificate renewal failed", "node=%s tries=%u err=\"%s\"",
                 agent->credentials.identity.node_id, agent->renewal.failures, err->message);
        int64_t pause = renewal_backoff_ns(agent->renewal.failures, &agent->rand);
        loop_timer_start(&agent->renewal_due, pause / NS_PER_MS);
    } else {
        uint64_t version;
        const uint8_t *lock_key = enroll_lock_key(enroll, &version);
        agent->renewal = (struct renewal){0};
        if (agent->has_fresh)
            credentials_fini(&agent->fresh);
        credentials_copy(&agent->fresh, enroll_credentials(enroll));
        agent->has_fresh = true;
        agent->fresh_has_lock_key = lock_key != NULL;
        if (lock_key) {
            memcpy(agent->fresh_lock_key, lock_key, LOCK_KEY_BYTES);
            agent->keyfile.kek_version = version;
        }
        agent_save_soon(agent);
    }
    struct enroller *enroller = agent->enroller;
    agent->enroller = NULL;
    agent->ends_awaited++;
    enroller_close(enroller, agent_part_closed, agent);
}

void agent_renewal_due(struct loop_timer *timer)
{
    struct agent *agent = CONTAINER_OF(timer, struct agent, renewal_due);
    if (agent->enroller || agent->closing)
        return;
    agent->renewal.wanted = true;
    struct enroller_config config = {
        .loop = agent->config.loop,
        .remotes = &agent->remotes,
        .enroll = enroll_renew(&agent->credentials, agent->wanted_role, &rng_kernel,
                               rand_u64(&agent->rand)),
        .done = renewed,
        .owner = agent,
    };
    agent->enroller = enroller_start(&config);
}

void agent_renew(struct agent *agent)
{
    MAGIC_CHECK(agent, AGENT_MAGIC);
    if (agent->enroller || agent->closing)
        return;
    agent->renewal.wanted = true;
    loop_timer_start(&agent->renewal_due, RENEWAL_TRIGGER_DELAY_MS);
}

void agent_consider_roots(struct agent *agent, const ProtobufCBinaryData *roots)
{
    if (!roots->len || roots->len > PEM_TEXT_BYTES_MAX || agent->has_fresh)
        return;
    char *text = str_ndup((const char *)roots->data, roots->len);
    struct err err = ERR_INIT;
    struct x509_check check = {.chain_pem = agent->credentials.chain_pem,
                               .roots_pem = text,
                               .now = wall_now(),
                               .usage = X509_CLIENT};
    if (!str_equal(text, agent->credentials.roots_pem)) {
        int result = rootca_check(text, check.now, &err);
        if (!result)
            result = x509_check_chain(&check, &err);
        if (!result)
            result = credentials_init(&agent->fresh, agent->credentials.chain_pem,
                                      agent->credentials.key_pem, text, &err);
        if (result) {
            log_warn("new root certificate not taken", "err=\"%s\"", err.message);
        } else {
            agent->has_fresh = true;
            agent->fresh_has_lock_key = agent->has_lock_key;
            memcpy(agent->fresh_lock_key, agent->lock_key, LOCK_KEY_BYTES);
            agent_save_soon(agent);
        }
    }
    free(text);
}

// ---- what the key file carries, and its lock ---------------------------------------------------

// The present credentials are to be written again, with other headers or another lock.
static void refresh(struct agent *agent)
{
    if (agent->has_fresh)
        return;
    credentials_copy(&agent->fresh, &agent->credentials);
    agent->has_fresh = true;
    agent->fresh_has_lock_key = agent->has_lock_key;
    memcpy(agent->fresh_lock_key, agent->lock_key, LOCK_KEY_BYTES);
}

const struct data_key *agent_data_key(const struct agent *agent)
{
    return &agent->keyfile.raft;
}

void agent_set_data_key(struct agent *agent, const struct data_key *key)
{
    MAGIC_CHECK(agent, AGENT_MAGIC);
    agent->keyfile.raft = key ? *key : (struct data_key){0};
    agent->keyfile.raft_pending = (struct data_key){0};
    agent->keyfile.raft_needs_rotation = false;
    refresh(agent);
    agent_save_soon(agent);
}

const struct data_key *agent_next_data_key(const struct agent *agent)
{
    return &agent->keyfile.raft_pending;
}

void agent_settle_data_key(struct agent *agent)
{
    MAGIC_CHECK(agent, AGENT_MAGIC);
    if (!keyfile_settle_data_key(&agent->keyfile, &rng_kernel))
        return;
    refresh(agent);
    agent_save_soon(agent);
    // The node's own key stood in clear as well.
    agent_renew(agent);
}

void agent_set_lock_key(struct agent *agent, const uint8_t *lock_key, uint64_t version)
{
    MAGIC_CHECK(agent, AGENT_MAGIC);
    bool has = agent->has_fresh ? agent->fresh_has_lock_key : agent->has_lock_key;
    const uint8_t *present = agent->has_fresh ? agent->fresh_lock_key : agent->lock_key;
    bool same = has ? lock_key && memcmp(present, lock_key, LOCK_KEY_BYTES) == 0 : !lock_key;
    if (same || version < agent->keyfile.kek_version)
        return;
    agent->keyfile.kek_version = version;
    refresh(agent);
    agent->fresh_has_lock_key = lock_key != NULL;
    if (lock_key)
        memcpy(agent->fresh_lock_key, lock_key, LOCK_KEY_BYTES);
    log_info("key file is locked anew", "node=%s locked=%s", agent->credentials.identity.node_id,
             lock_key ? "yes" : "no");
    if (!has)
        keyfile_replace_data_key(&agent->keyfile, &rng_kernel);
    agent_save_soon(agent);
}
