#include "agent/enroll.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"
#include "proto/identity/csr.h"
#include "proto/identity/pem.h"
#include "proto/identity/renewal.h"
#include "proto/identity/rootca.h"
#include "proto/identity/token.h"
#include "proto/identity/x509.h"

#define FIPS_CLUSTER "FIPS."

struct enroll {
    bool joining;
    enum enroll_call step;
    unsigned tries; // failures of the present step and what follows it
    unsigned polls;
    int64_t wait_ns;
    bool fresh;
    bool asked_roots_again; // a renewal fetched the roots because its issuer was unknown
    const struct rng *rng;
    struct rand rand;
    struct err err;
    bool err_is_calls;

    char *token_text;
    struct token token;
    Swarm__NodeSpec__Availability availability;
    struct credentials current; // of a renewal
    enum identity_role expected;

    char *roots_pem; // trusted from here on; NULL before a join has them
    struct key key;
    char *key_pem;
    char *csr_pem;
    char *node_id;
    struct credentials result;
    bool locked;
    uint8_t lock_key[LOCK_KEY_BYTES];
    uint64_t lock_version;
};

static char *text_of(struct buf *buf)
{
    const char *text = buf_cstr(buf);
    CHECK(text);
    char *copy = str_dup(text);
    buf_wipe(buf);
    return copy;
}

static void forget_key(struct enroll *enroll)
{
    key_fini(&enroll->key);
    if (enroll->key_pem)
        explicit_bzero(enroll->key_pem, strlen(enroll->key_pem));
    MEM_FREE(enroll->key_pem);
    MEM_FREE(enroll->csr_pem);
}

// A new key and request for each attempt: the request's bytes tell its answer from an older one's.
static void make_request(struct enroll *enroll)
{
    struct buf text;
    forget_key(enroll);
    key_make(&enroll->key, enroll->rng);
    buf_init(&text, PEM_TEXT_BYTES_MAX);
    csr_make(&enroll->key, enroll->rng, &text);
    enroll->csr_pem = text_of(&text);
    buf_init(&text, PEM_TEXT_BYTES_MAX);
    key_write_pem(&enroll->key, &text);
    enroll->key_pem = text_of(&text);
}

static struct enroll *enroll_new(const struct rng *rng, uint64_t seed)
{
    struct enroll *enroll = MEM_NEW(struct enroll);
    enroll->rng = rng;
    enroll->fresh = true;
    rand_init(&enroll->rand, seed);
    return enroll;
}

struct enroll *enroll_join(const char *token, Swarm__NodeSpec__Availability availability,
                           const struct rng *rng, uint64_t seed, struct err *err)
{
    struct token parsed;
    if (token_parse(token, &parsed, err))
        return NULL;
    if (parsed.fips) {
        err_set(err, ERR_FAILED_PRECONDITION,
                "this cluster insists on FIPS mode, which this node does not have");
        return NULL;
    }
    struct enroll *enroll = enroll_new(rng, seed);
    enroll->joining = true;
    enroll->token = parsed;
    enroll->token_text = str_dup(token);
    enroll->availability = availability;
    enroll->step = ENROLL_ROOT;
    make_request(enroll);
    return enroll;
}

struct enroll *enroll_renew(const struct credentials *credentials, enum identity_role expected,
                            const struct rng *rng, uint64_t seed)
{
    CHECK(credentials->chain_pem);
    struct enroll *enroll = enroll_new(rng, seed);
    credentials_copy(&enroll->current, credentials);
    enroll->expected = expected;
    enroll->roots_pem = str_dup(credentials->roots_pem);
    enroll->step = ENROLL_ISSUE;
    make_request(enroll);
    return enroll;
}

void enroll_free(struct enroll *enroll)
{
    if (!enroll)
        return;
    forget_key(enroll);
    credentials_fini(&enroll->current);
    credentials_fini(&enroll->result);
    if (enroll->token_text)
        explicit_bzero(enroll->token_text, strlen(enroll->token_text));
    free(enroll->token_text);
    free(enroll->roots_pem);
    free(enroll->node_id);
    explicit_bzero(enroll, sizeof *enroll);
    free(enroll);
}

struct enroll_ask enroll_next(struct enroll *enroll)
{
    struct enroll_ask ask = {
        .call = enroll->step, .wait_ns = enroll->wait_ns, .fresh = enroll->fresh};
    switch (enroll->step) {
    case ENROLL_ROOT:
        return ask;
    case ENROLL_ISSUE:
    case ENROLL_STATUS:
        ask.server_name = enroll->joining ? SERVER_NAME_CA : SERVER_NAME_MANAGER;
        ask.roots_pem = enroll->roots_pem;
        ask.chain_pem = enroll->current.chain_pem;
        ask.key_pem = enroll->current.key_pem;
        return ask;
    case ENROLL_UNLOCK_KEY:
        ask.server_name = SERVER_NAME_CA;
        ask.roots_pem = enroll->roots_pem;
        ask.chain_pem = enroll->result.chain_pem;
        ask.key_pem = enroll->result.key_pem;
        return ask;
    case ENROLL_DONE:
    case ENROLL_FAILED:
        return ask;
    }
    UNREACHABLE("enroll step");
}

static void go(struct enroll *enroll, enum enroll_call step, int64_t wait_ns, bool fresh)
{
    enroll->step = step;
    enroll->wait_ns = wait_ns;
    enroll->fresh = fresh;
}

static void give_up(struct enroll *enroll, const struct err *err)
{
    enroll->err = *err;
    go(enroll, ENROLL_FAILED, 0, false);
}

// The attempt failed: another one from `step`, while there are tries left.
static void try_again(struct enroll *enroll, enum enroll_call step, const struct err *err)
{
    enroll->tries++;
    if (!enroll->joining || enroll->tries >= ENROLL_TRIES) {
        give_up(enroll, err);
        return;
    }
    if (step == ENROLL_ISSUE)
        make_request(enroll);
    go(enroll, step, ENROLL_PAUSE_NS, true);
}

static void fail(struct enroll *enroll, enum err_code code, const char *why)
{
    struct err err;
    err_set(&err, code, "%s", why);
    give_up(enroll, &err);
}

// No other manager of the same cluster would say otherwise.
static bool is_final(enum err_code code)
{
    return code == ERR_INVALID_ARGUMENT || code == ERR_PERMISSION_DENIED ||
           code == ERR_UNIMPLEMENTED || code == ERR_CANCELLED;
}

static void poll_again(struct enroll *enroll, bool at_once, bool fresh, const struct err *err)
{
    enroll->polls++;
    if (enroll->polls >= ENROLL_POLLS_MAX)
        try_again(enroll, ENROLL_ISSUE, err);
    else
        go(enroll, ENROLL_STATUS, at_once ? 0 : renewal_poll_ns(enroll->polls, &enroll->rand),
           fresh);
}

static void call_failed(struct enroll *enroll, const struct err *err)
{
    switch (enroll->step) {
    case ENROLL_ROOT:
        try_again(enroll, ENROLL_ROOT, err);
        return;
    case ENROLL_ISSUE:
        if (is_final(err->code))
            give_up(enroll, err);
        else
            try_again(enroll, ENROLL_ISSUE, err);
        return;
    case ENROLL_STATUS:
        // The call blocks until there is an answer: its deadline only means to ask again.
        if (err->code == ERR_DEADLINE_EXCEEDED)
            poll_again(enroll, true, false, err);
        else if (err->code == ERR_NOT_FOUND || is_final(err->code))
            try_again(enroll, ENROLL_ISSUE, err);
        else
            poll_again(enroll, false, true, err);
        return;
    case ENROLL_UNLOCK_KEY:
        // Managers too old for locks.
        if (err->code == ERR_UNIMPLEMENTED)
            go(enroll, ENROLL_DONE, 0, false);
        else
            try_again(enroll, ENROLL_UNLOCK_KEY, err);
        return;
    case ENROLL_DONE:
    case ENROLL_FAILED:
        break;
    }
    UNREACHABLE("a call failed that was not asked for");
}

void enroll_failed(struct enroll *enroll, const struct err *err)
{
    call_failed(enroll, err);
    enroll->err_is_calls = enroll->step == ENROLL_FAILED;
}

void enroll_got_root(struct enroll *enroll, const void *pem, size_t size, struct wall now)
{
    CHECK(enroll->step == ENROLL_ROOT);
    struct err err = ERR_INIT;
    if (!size || size > PEM_TEXT_BYTES_MAX || memchr(pem, '\0', size)) {
        fail(enroll, ERR_INVALID_ARGUMENT, "the manager's root certificate is no PEM text");
        return;
    }
    if (enroll->joining && !token_matches_root(&enroll->token, pem, size)) {
        char digest[2 * TOKEN_DIGEST_BYTES + 1];
        hex_encode(enroll->token.root_digest, TOKEN_DIGEST_BYTES, digest);
        err_set(&err, ERR_UNAUTHENTICATED, "remote CA does not match fingerprint. Expected: %s",
                digest);
        give_up(enroll, &err);
        return;
    }
    char *roots = str_ndup(pem, size);
    int result = rootca_check(roots, now, &err);
    if (!result && !enroll->joining) {
        // A renewal met an unknown issuer: the new root counts only if it vouches for what this
        // node has already (section 3.3).
        struct x509_check check = {.chain_pem = enroll->current.chain_pem,
                                   .roots_pem = roots,
                                   .now = now,
                                   .usage = X509_CLIENT};
        result = x509_check_chain(&check, &err);
    }
    if (result) {
        free(roots);
        err_wrap(&err, "the cluster's root certificate");
        give_up(enroll, &err);
        return;
    }
    free(enroll->roots_pem);
    enroll->roots_pem = roots;
    enroll->tries = 0;
    if (!enroll->joining)
        make_request(enroll);
    go(enroll, ENROLL_ISSUE, 0, true);
}

void enroll_got_issued(struct enroll *enroll, const char *node_id)
{
    CHECK(enroll->step == ENROLL_ISSUE);
    if (str_empty(node_id) || strlen(node_id) >= IDENTITY_TEXT_BYTES) {
        fail(enroll, ERR_INTERNAL, "the manager gave no usable node id");
        return;
    }
    free(enroll->node_id);
    enroll->node_id = str_dup(node_id);
    enroll->polls = 0;
    go(enroll, ENROLL_STATUS, 0, false);
}

// The rules of section 2.3, and that it says what was asked for.
static int accept_bundle(struct enroll *enroll, const char *bundle, struct wall now,
                         struct err *err)
{
    struct buf normal;
    buf_init(&normal, PEM_TEXT_BYTES_MAX);
    int result = x509_normalise(bundle, &normal, err);
    const char *chain = result ? NULL : buf_cstr(&normal);
    if (!result) {
        struct x509_check check = {.chain_pem = chain,
                                   .roots_pem = enroll->roots_pem,
                                   .key = &enroll->key,
                                   .now = now,
                                   .usage = X509_SERVER};
        result = x509_check_chain(&check, err);
    }
    if (!result) {
        credentials_fini(&enroll->result);
        result = credentials_init(&enroll->result, chain, enroll->key_pem, enroll->roots_pem, err);
    }
    buf_fini(&normal);
    if (result)
        return result;
    enum identity_role role;
    const struct identity *identity = &enroll->result.identity;
    if (!identity_own_role(identity, &role))
        return err_set(err, ERR_INVALID_ARGUMENT, "the certificate names no known role");
    if (str_starts(identity->cluster_id, FIPS_CLUSTER))
        return err_set(err, ERR_INVALID_ARGUMENT, "the cluster insists on FIPS mode");
    if (!str_equal(identity->node_id, enroll->node_id))
        return err_set(err, ERR_INVALID_ARGUMENT, "the certificate is another node's");
    if (!enroll->joining && role != enroll->expected)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "the certificate does not have the role %s yet",
                       identity_role_name(enroll->expected));
    return 0;
}

static void got_bundle(struct enroll *enroll, const ProtobufCBinaryData *bundle, struct wall now)
{
    struct err err = ERR_INIT;
    if (bundle->len > PEM_TEXT_BYTES_MAX) {
        fail(enroll, ERR_INVALID_ARGUMENT, "the issued certificate is too large");
        return;
    }
    char *text = str_ndup((const char *)bundle->data, bundle->len);
    int result = accept_bundle(enroll, text, now, &err);
    free(text);
    enum identity_role role;
    if (!result) {
        bool manager =
            identity_own_role(&enroll->result.identity, &role) && role == IDENTITY_MANAGER;
        go(enroll, manager ? ENROLL_UNLOCK_KEY : ENROLL_DONE, 0, true);
        return;
    }
    // Only workers ask for the roots again, and only once.
    bool was_worker = !enroll->joining && identity_own_role(&enroll->current.identity, &role) &&
                      role == IDENTITY_WORKER;
    if (result == -ERR_UNAUTHENTICATED && was_worker && !enroll->asked_roots_again) {
        enroll->asked_roots_again = true;
        go(enroll, ENROLL_ROOT, 0, true);
    } else {
        err_wrap(&err, "the issued certificate");
        try_again(enroll, ENROLL_ISSUE, &err);
    }
}

static bool same_request(const struct enroll *enroll, const Swarm__Certificate *certificate)
{
    size_t size = strlen(enroll->csr_pem);
    return certificate && certificate->csr.len == size &&
           memcmp(certificate->csr.data, enroll->csr_pem, size) == 0;
}

void enroll_got_status(struct enroll *enroll, Swarm__IssuanceStatus__State state, const char *why,
                       const Swarm__Certificate *certificate, struct wall now)
{
    CHECK(enroll->step == ENROLL_STATUS);
    struct err err;
    switch (state) {
    case SWARM__ISSUANCE_STATUS__STATE__ISSUED:
    case SWARM__ISSUANCE_STATUS__STATE__ROTATE:
        // Byte for byte our request, else the answer belongs to an earlier one.
        if (same_request(enroll, certificate)) {
            got_bundle(enroll, &certificate->certificate, now);
            return;
        }
        break;
    case SWARM__ISSUANCE_STATUS__STATE__FAILED:
        err_set(&err, ERR_FAILED_PRECONDITION, "the cluster could not issue the certificate: %s",
                str_or(why, "no reason given"));
        try_again(enroll, ENROLL_ISSUE, &err);
        return;
    default:
        break;
    }
    err_set(&err, ERR_DEADLINE_EXCEEDED, "the cluster has not issued the certificate yet");
    poll_again(enroll, false, false, &err);
}

void enroll_got_unlock_key(struct enroll *enroll, const void *key, size_t size, uint64_t version)
{
    CHECK(enroll->step == ENROLL_UNLOCK_KEY);
    if (size && size != LOCK_KEY_BYTES) {
        fail(enroll, ERR_INTERNAL, "the cluster's unlock key has a wrong length");
        return;
    }
    enroll->locked = size > 0;
    enroll->lock_version = version;
    if (size)
        memcpy(enroll->lock_key, key, size);
    go(enroll, ENROLL_DONE, 0, false);
}

// ---- reading it out ----------------------------------------------------------------------------

const char *enroll_csr(const struct enroll *enroll, size_t *size)
{
    *size = strlen(enroll->csr_pem);
    return enroll->csr_pem;
}

const char *enroll_token(const struct enroll *enroll)
{
    return str_or(enroll->token_text, "");
}

const char *enroll_node_id(const struct enroll *enroll)
{
    return str_or(enroll->node_id, "");
}

Swarm__NodeSpec__Availability enroll_availability(const struct enroll *enroll)
{
    return enroll->availability;
}

const struct credentials *enroll_credentials(const struct enroll *enroll)
{
    CHECK(enroll->step == ENROLL_DONE);
    return &enroll->result;
}

const struct key *enroll_key(const struct enroll *enroll)
{
    CHECK(enroll->step == ENROLL_DONE);
    return &enroll->key;
}

const uint8_t *enroll_lock_key(const struct enroll *enroll, uint64_t *version)
{
    *version = enroll->lock_version;
    return enroll->locked ? enroll->lock_key : NULL;
}

bool enroll_error_is_calls(const struct enroll *enroll)
{
    return enroll->err_is_calls;
}

const struct err *enroll_error(const struct enroll *enroll)
{
    CHECK(enroll->step == ENROLL_FAILED);
    return &enroll->err;
}
