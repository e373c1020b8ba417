#include <mbedtls/error.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/tls_impl.h"

#define CONFIG_MAGIC 0x746c7363u

// Forward secrecy and authenticated encryption only. ECDSA is what swarm nodes have; RSA is for
// `docker -H tcp://... --tls`, whose certificates the user makes.
static const int suites[] = {
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    0,
};

// X25519 first: a quarter less work than P-256 here, and what Go and gRPC C++ offer first. For keys
// in certificates it is none of the choices.
static const mbedtls_ecp_group_id curves[] = {
    MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_SECP384R1,
    MBEDTLS_ECP_DP_SECP521R1,  MBEDTLS_ECP_DP_NONE,
};

static const int hashes[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384, MBEDTLS_MD_SHA512,
                             MBEDTLS_MD_NONE};

// mbedTLS's type is not const, though it only reads.
static const char *protocols_h2[] = {"h2", NULL};

int tls_error(struct err *err, enum err_code code, int ret, const char *what)
{
    char text[160] = "";
    mbedtls_strerror(ret, text, sizeof text);
    return err_set(err, code, "%s: %s", what, text);
}

// A ticket carries the peer's certificate, which is not verified again: one that expired in the
// meantime has to go through a full handshake.
static int parse_ticket(void *context, mbedtls_ssl_session *session, unsigned char *ticket,
                        size_t size)
{
    int ret = mbedtls_ssl_ticket_parse(context, session, ticket, size);
    if (ret == 0 && session->peer_cert &&
        mbedtls_x509_time_is_past(&session->peer_cert->valid_to)) {
        mbedtls_ssl_session_free(session);
        return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
    }
    return ret;
}

static int load_pems(struct tls_config *config, const struct tls_options *options, struct err *err)
{
    int ret;
    if (options->chain_pem) {
        ret = mbedtls_x509_crt_parse(&config->chain, (const unsigned char *)options->chain_pem,
                                     strlen(options->chain_pem) + 1);
        if (ret != 0)
            return tls_error(err, ERR_INVALID_ARGUMENT, ret, "own certificate");
        ret = mbedtls_pk_parse_key(&config->key, (const unsigned char *)options->key_pem,
                                   strlen(options->key_pem) + 1, NULL, 0);
        if (ret != 0)
            return tls_error(err, ERR_INVALID_ARGUMENT, ret, "own key");
        ret = mbedtls_pk_check_pair(&config->chain.pk, &config->key);
        if (ret != 0)
            return tls_error(err, ERR_INVALID_ARGUMENT, ret, "own key and certificate are no pair");
        ret = mbedtls_ssl_conf_own_cert(&config->ssl, &config->chain, &config->key);
        if (ret != 0)
            return tls_error(err, ERR_INTERNAL, ret, "own certificate");
        tls_sign_take_key(&config->signing, &config->key);
    }
    if (options->roots_pem) {
        ret = mbedtls_x509_crt_parse(&config->roots, (const unsigned char *)options->roots_pem,
                                     strlen(options->roots_pem) + 1);
        if (ret != 0)
            return tls_error(err, ERR_INVALID_ARGUMENT, ret, "root certificates");
        tls_sign_take_roots(&config->signing, &config->roots);
        mbedtls_ssl_conf_ca_chain(&config->ssl, &config->roots, NULL);
    }
    return 0;
}

static int auth_mode(enum tls_verify verify)
{
    switch (verify) {
    case TLS_VERIFY_NONE:
        return MBEDTLS_SSL_VERIFY_NONE;
    case TLS_VERIFY_IF_GIVEN:
        return MBEDTLS_SSL_VERIFY_OPTIONAL;
    case TLS_VERIFY_REQUIRED:
        return MBEDTLS_SSL_VERIFY_REQUIRED;
    }
    UNREACHABLE("enum tls_verify has three values");
}

static int set_tickets(struct tls_config *config, struct err *err)
{
    if (!config->server) {
        mbedtls_ssl_conf_session_tickets(&config->ssl, config->tickets
                                                           ? MBEDTLS_SSL_SESSION_TICKETS_ENABLED
                                                           : MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
        return 0;
    }
    if (!config->tickets)
        return 0;
    int ret = mbedtls_ssl_ticket_setup(&config->ticket, rng_mbedtls, &config->rng,
                                       MBEDTLS_CIPHER_AES_256_GCM, TLS_TICKET_LIFE_SECS);
    if (ret != 0)
        return tls_error(err, ERR_INTERNAL, ret, "ticket keys");
    mbedtls_ssl_conf_session_tickets_cb(&config->ssl, mbedtls_ssl_ticket_write, parse_ticket,
                                        &config->ticket);
    return 0;
}

static int set_up(struct tls_config *config, const struct tls_options *options, struct err *err)
{
    mbedtls_ssl_config *ssl = &config->ssl;
    int ret = mbedtls_ssl_config_defaults(
        ssl, config->server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
        MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    if (ret != 0)
        return tls_error(err, ERR_INTERNAL, ret, "TLS defaults");
    mbedtls_ssl_conf_min_version(ssl, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_ciphersuites(ssl, suites);
    mbedtls_ssl_conf_curves(ssl, curves);
    mbedtls_ssl_conf_sig_hashes(ssl, hashes);
    mbedtls_ssl_conf_renegotiation(ssl, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
    mbedtls_ssl_conf_rng(ssl, rng_mbedtls, &config->rng);
    mbedtls_ssl_conf_authmode(ssl, auth_mode(config->verify));
    if (options->alpn == TLS_ALPN_H2) {
        ret = mbedtls_ssl_conf_alpn_protocols(ssl, protocols_h2);
        CHECK(ret == 0);
    }
    ret = load_pems(config, options, err);
    return ret ? ret : set_tickets(config, err);
}

struct tls_config *tls_config_new(const struct tls_options *options, struct err *err)
{
    CHECK(options->rng);
    CHECK((options->chain_pem == NULL) == (options->key_pem == NULL));
    CHECK(options->chain_pem || !options->server);
    CHECK(options->roots_pem || options->verify == TLS_VERIFY_NONE);
    CHECK(options->server || options->verify != TLS_VERIFY_IF_GIVEN);
    struct tls_config *config = MEM_NEW(struct tls_config);
    MAGIC_SET(config, CONFIG_MAGIC);
    atomic_init(&config->refs, 1);
    config->server = options->server;
    config->tickets = options->tickets;
    config->verify = options->verify;
    config->rng = *options->rng;
    tls_sign_init(&config->signing);
    mbedtls_ssl_config_init(&config->ssl);
    mbedtls_x509_crt_init(&config->chain);
    mbedtls_x509_crt_init(&config->roots);
    mbedtls_pk_init(&config->key);
    mbedtls_ssl_ticket_init(&config->ticket);
    map_init(&config->resume);
    mbedtls_mutex_init(&config->lock);
    if (set_up(config, options, err) != 0) {
        tls_config_unref(config);
        return NULL;
    }
    return config;
}

struct tls_config *tls_config_of(const struct credentials *credentials,
                                 const struct tls_options *options, struct err *err)
{
    struct tls_options all = *options;
    all.chain_pem = credentials->chain_pem;
    all.key_pem = credentials->key_pem;
    all.roots_pem = credentials->roots_pem;
    return tls_config_new(&all, err);
}

struct tls_config *tls_config_ref(struct tls_config *config)
{
    MAGIC_CHECK(config, CONFIG_MAGIC);
    atomic_fetch_add(&config->refs, 1);
    return config;
}

static void lock(struct tls_config *config)
{
    int ret = mbedtls_mutex_lock(&config->lock);
    CHECK(ret == 0);
}

static void unlock(struct tls_config *config)
{
    int ret = mbedtls_mutex_unlock(&config->lock);
    CHECK(ret == 0);
}

static void free_remembered(mbedtls_ssl_session *session)
{
    if (!session)
        return;
    mbedtls_ssl_session_free(session);
    free(session);
}

void tls_config_unref(struct tls_config *config)
{
    if (!config)
        return;
    MAGIC_CHECK(config, CONFIG_MAGIC);
    if (atomic_fetch_sub(&config->refs, 1) != 1)
        return;
    MAP_EACH (entry, &config->resume)
        free_remembered(entry->value);
    map_fini(&config->resume);
    mbedtls_ssl_ticket_free(&config->ticket);
    mbedtls_ssl_config_free(&config->ssl);
    mbedtls_x509_crt_free(&config->chain);
    mbedtls_x509_crt_free(&config->roots);
    mbedtls_pk_free(&config->key);
    tls_sign_fini(&config->signing);
    mbedtls_mutex_free(&config->lock);
    MAGIC_CLEAR(config);
    free(config);
}

void tls_config_recall(struct tls_config *config, const char *key, mbedtls_ssl_context *ssl)
{
    lock(config);
    const mbedtls_ssl_session *session = map_get_str(&config->resume, key);
    // A session that cannot be offered again only costs the full handshake.
    if (session &&
        !(session->peer_cert && mbedtls_x509_time_is_past(&session->peer_cert->valid_to)))
        (void)mbedtls_ssl_set_session(ssl, session);
    unlock(config);
}

void tls_config_remember(struct tls_config *config, const char *key, const mbedtls_ssl_context *ssl)
{
    mbedtls_ssl_session *session = MEM_NEW(mbedtls_ssl_session);
    mbedtls_ssl_session_init(session);
    if (mbedtls_ssl_get_session(ssl, session) != 0) {
        free_remembered(session);
        return;
    }
    lock(config);
    free_remembered(map_remove_str(&config->resume, key));
    if (map_count(&config->resume) >= TLS_RESUME_MAX) {
        size_t position = 0;
        const struct map_entry *oldest = map_next(&config->resume, &position);
        free_remembered(map_remove(&config->resume, oldest->key, oldest->key_size));
    }
    map_put_str(&config->resume, key, session);
    unlock(config);
}

void tls_config_forget(struct tls_config *config, const char *key)
{
    lock(config);
    free_remembered(map_remove_str(&config->resume, key));
    unlock(config);
}
