#include "proto/net/tls.h"

#include <arpa/inet.h>
#include <mbedtls/oid.h>
#include <mbedtls/platform.h>
#include <mbedtls/ssl_internal.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/lent.h"
#include "proto/net/tls_impl.h"

#define SESSION_MAGIC 0x746c7373u

// mbedTLS gives every session two record buffers, 33 KB together, for as long as it lives: more
// than everything else about an idle connection. Our session hands mbedTLS whole records only and
// takes all it writes, so between two calls those buffers hold nothing but the two 8-byte record
// counters at their beginnings. The sessions of one thread therefore share one pair, and each keeps
// its counters (lent.h). It rests on two facts of mbedTLS 2.28: struct members are public, and
// outside of a call in_left, in_offt and out_left tell whether anything is left in the buffers
// (checked in `lend_end`).

#define COUNTER_BYTES       8
#define RECORD_HEADER_BYTES 5

// Longest record body TLS 1.2 allows (RFC 5246 section 6.2.3: 2^14 + 2048).
#define RECORD_BODY_MAX (TLS_RECORD_BYTES + 2048)

struct tls_session {
    unsigned magic;
    enum tls_state state;
    bool resumed;
    bool end_sent;
    mbedtls_ssl_context ssl;
    struct tls_config *config;
    unsigned char in_counter[COUNTER_BYTES];
    unsigned char out_counter[COUNTER_BYTES];
    struct buf input;       // ciphertext not worked on yet
    size_t input_at;        // of it, what mbedTLS took during this call
    size_t record_left;     // bytes of the present record still to be handed to mbedTLS
    size_t handshake_bytes; // taken from the peer before TLS_OPEN
    uint32_t verify_flags;  // what was wrong with the peer's chain
    uint8_t *peer;          // its certificates, each behind its length; NULL: none, or not open yet
    size_t peer_bytes;
    struct buf output;
    char *server_name; // NULL: not checked
    char *resume_key;  // NULL: never resumed
};

// ---- mbedTLS's view of the wire ----------------------------------------------------------------

// Bytes of the next whole record; 0 when it is not whole yet. What can be no TLS 1.2 record is
// handed over as far as it is there, for mbedTLS to refuse.
static size_t next_record(const struct tls_session *session)
{
    size_t have = session->input.len - session->input_at;
    if (have == 0)
        return 0;
    const uint8_t *at = session->input.data + session->input_at;
    bool known_type = at[0] >= 20 && at[0] <= 23;
    bool known_version = have < 2 || at[1] == 3;
    if (have < RECORD_HEADER_BYTES && known_type && known_version)
        return 0;
    if (!known_type || !known_version)
        return have;
    size_t body = (size_t)at[3] << 8 | at[4];
    if (body > RECORD_BODY_MAX)
        return RECORD_HEADER_BYTES;
    return have >= RECORD_HEADER_BYTES + body ? RECORD_HEADER_BYTES + body : 0;
}

static int wire_recv(void *context, unsigned char *out, size_t size)
{
    struct tls_session *session = context;
    MAGIC_CHECK(session, SESSION_MAGIC);
    if (session->record_left == 0)
        session->record_left = next_record(session);
    if (session->record_left == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    if (size > session->record_left)
        size = session->record_left;
    memcpy(out, session->input.data + session->input_at, size);
    session->input_at += size;
    session->record_left -= size;
    return (int)size;
}

static int wire_send(void *context, const unsigned char *bytes, size_t size)
{
    struct tls_session *session = context;
    MAGIC_CHECK(session, SESSION_MAGIC);
    buf_put(&session->output, bytes, size);
    return buf_ok(&session->output) ? (int)size : MBEDTLS_ERR_SSL_ALLOC_FAILED;
}

// ---- the lent buffers --------------------------------------------------------------------------

static void lend_start(struct tls_session *session)
{
    CHECK(session->ssl.in_buf == lent()->tls_in);
    memcpy(lent()->tls_in, session->in_counter, COUNTER_BYTES);
    memcpy(lent()->tls_out, session->out_counter, COUNTER_BYTES);
}

// False when something is left in the lent buffers, which would be lost.
static bool lend_end(struct tls_session *session)
{
    memcpy(session->in_counter, lent()->tls_in, COUNTER_BYTES);
    memcpy(session->out_counter, lent()->tls_out, COUNTER_BYTES);
    buf_consume(&session->input, session->input_at);
    session->input_at = 0;
    if (session->input.len == 0)
        buf_fini(&session->input);
    return session->record_left == 0 && session->ssl.in_left == 0 && !session->ssl.in_offt &&
           session->ssl.out_left == 0;
}

// ---- making and freeing ------------------------------------------------------------------------

// An address as the bytes of an iPAddress entry (RFC 5280, 4.2.1.6): their number, 0 for a name.
static size_t address_bytes(const char *text, uint8_t out[16])
{
    if (inet_pton(AF_INET, text, out) == 1)
        return 4;
    return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

// mbedTLS compares names only.
static bool has_address(const mbedtls_x509_crt *crt, const uint8_t *ip, size_t size)
{
    const int wanted = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7;
    const mbedtls_x509_sequence *at = &crt->subject_alt_names;
    for (; at && at->buf.p; at = at->next)
        if (at->buf.tag == wanted && at->buf.len == size && memcmp(at->buf.p, ip, size) == 0)
            return true;
    return false;
}

// Called for each certificate of the peer's chain, the leaf (depth 0) last.
static int on_certificate(void *context, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct tls_session *session = context;
    MAGIC_CHECK(session, SESSION_MAGIC);
    // mbedTLS falls back to the CN of a certificate without alternative names; Go does not, and the
    // CN of a node certificate is the node's id, which an attacker might choose.
    if (depth == 0 && session->server_name && !(crt->ext_types & MBEDTLS_X509_EXT_SUBJECT_ALT_NAME))
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    uint8_t ip[16];
    size_t size = session->server_name ? address_bytes(session->server_name, ip) : 0;
    if (depth == 0 && size > 0 && !has_address(crt, ip, size))
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    session->verify_flags |= *flags;
    // The handshake's own signature, which is checked next, is by this key.
    if (depth == 0)
        tls_sign_take_key(&session->config->signing, &crt->pk);
    // "Optional" would let a client in with a certificate that does not verify.
    if (depth == 0 && session->verify_flags && session->config->verify == TLS_VERIFY_IF_GIVEN)
        return MBEDTLS_ERR_X509_FATAL_ERROR;
    return 0;
}

struct tls_session *tls_session_new(struct tls_config *config, const char *server_name,
                                    const char *resume_key)
{
    CHECK(!config->server || (!server_name && !resume_key));
    struct tls_session *session = MEM_NEW(struct tls_session);
    MAGIC_SET(session, SESSION_MAGIC);
    session->config = tls_config_ref(config);
    session->state = TLS_HANDSHAKE;
    buf_init(&session->input, TLS_INPUT_BYTES_MAX);
    buf_init(&session->output, TLS_OUTPUT_BYTES_MAX);
    mbedtls_ssl_context *ssl = &session->ssl;
    mbedtls_ssl_init(ssl);
    int ret = mbedtls_ssl_setup(ssl, &config->ssl);
    CHECK(ret == 0); // fails only without memory
    free(ssl->in_buf);
    free(ssl->out_buf);
    ssl->in_buf = lent()->tls_in;
    ssl->out_buf = lent()->tls_out;
    mbedtls_ssl_reset_in_out_pointers(ssl);
    mbedtls_ssl_set_bio(ssl, session, wire_send, wire_recv, NULL);
    mbedtls_ssl_set_verify(ssl, on_certificate, session);
    if (server_name) {
        uint8_t ip[16];
        session->server_name = str_dup(server_name);
        ret = address_bytes(server_name, ip) ? 0 : mbedtls_ssl_set_hostname(ssl, server_name);
        CHECK(ret == 0); // at most 255 characters
    }
    if (resume_key && config->tickets) {
        session->resume_key = str_printf("%s %s", resume_key, server_name ? server_name : "");
        tls_config_recall(config, session->resume_key, ssl);
    }
    return session;
}

void tls_session_free(struct tls_session *session)
{
    if (!session)
        return;
    MAGIC_CHECK(session, SESSION_MAGIC);
    session->ssl.in_buf = NULL; // lent, not the session's
    session->ssl.out_buf = NULL;
    mbedtls_ssl_free(&session->ssl);
    buf_fini(&session->input);
    buf_fini(&session->output);
    free(session->peer);
    free(session->server_name);
    free(session->resume_key);
    tls_config_unref(session->config);
    MAGIC_CLEAR(session);
    free(session);
}

// ---- failing -----------------------------------------------------------------------------------

// The words are those of Go's crypto/x509, which operators of swarms know from the logs.
static int verify_error(const struct tls_session *session, struct err *err)
{
    uint32_t flags = session->verify_flags;
    if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
        return err_set(err, ERR_UNAUTHENTICATED, "x509: certificate signed by unknown authority");
    if (flags & (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE))
        return err_set(err, ERR_UNAUTHENTICATED,
                       "x509: certificate has expired or is not yet valid");
    if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
        return err_set(err, ERR_UNAUTHENTICATED, "x509: certificate is not valid for \"%s\"",
                       str_or(session->server_name, ""));
    char text[256] = "";
    mbedtls_x509_crt_verify_info(text, sizeof text, "", flags);
    text[strcspn(text, "\n")] = '\0';
    return err_set(err, ERR_UNAUTHENTICATED, "x509: %s", text);
}

static void drop_input(struct tls_session *session)
{
    buf_fini(&session->input);
    session->input_at = 0;
    session->record_left = 0;
}

static int fail(struct tls_session *session, int ret, struct err *err)
{
    bool in_handshake = session->state == TLS_HANDSHAKE;
    session->state = TLS_FAILED;
    drop_input(session);
    if (session->resume_key)
        tls_config_forget(session->config, session->resume_key);
    if (in_handshake && session->verify_flags && session->config->verify != TLS_VERIFY_NONE)
        return verify_error(session, err);
    if (ret == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE)
        return err_set(err, ERR_UNAUTHENTICATED, "the peer gave no certificate");
    if (ret == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        return err_set(err, ERR_UNAVAILABLE, "the peer ended TLS with alert %u",
                       (unsigned)session->ssl.in_msg[1]);
    return tls_error(err, ERR_UNAVAILABLE, ret, in_handshake ? "TLS handshake" : "TLS");
}

static int too_much(struct tls_session *session, struct err *err, const char *what, size_t limit)
{
    session->state = TLS_FAILED;
    drop_input(session);
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "%s pass %zu bytes", what, limit);
}

// ---- the handshake -----------------------------------------------------------------------------

// Of the peer's certificates only the bytes are of use from here on; what mbedTLS made of them
// takes four times as much.
static void keep_peer(struct tls_session *session)
{
    mbedtls_ssl_session *inner = session->ssl.session;
    for (const mbedtls_x509_crt *crt = inner->peer_cert; crt; crt = crt->next)
        session->peer_bytes += sizeof(uint32_t) + crt->raw.len;
    if (session->peer_bytes == 0)
        return;
    uint8_t *at = session->peer = mem_alloc(session->peer_bytes);
    for (const mbedtls_x509_crt *crt = inner->peer_cert; crt; crt = crt->next) {
        uint32_t size = (uint32_t)crt->raw.len;
        memcpy(at, &size, sizeof size);
        memcpy(at + sizeof size, crt->raw.p, size);
        at += sizeof size + size;
    }
    mbedtls_x509_crt_free(inner->peer_cert);
    mbedtls_free(inner->peer_cert);
    inner->peer_cert = NULL;
}

static int opened(struct tls_session *session, struct err *err)
{
    // The usage bits of an "optional" certificate do not end the handshake by themselves.
    uint32_t flags = mbedtls_ssl_get_verify_result(&session->ssl);
    bool given = mbedtls_ssl_get_peer_cert(&session->ssl) != NULL;
    if (session->config->verify != TLS_VERIFY_NONE && given && flags != 0) {
        session->verify_flags |= flags;
        (void)mbedtls_ssl_send_alert_message(&session->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                             MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
        return fail(session, MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE, err);
    }
    CHECK(session->config->verify != TLS_VERIFY_REQUIRED || given);
    session->state = TLS_OPEN;
    if (session->resume_key)
        tls_config_remember(session->config, session->resume_key, &session->ssl);
    keep_peer(session);
    return 0;
}

static int shake_hands(struct tls_session *session, struct err *err)
{
    mbedtls_ssl_context *ssl = &session->ssl;
    int ret = 0;
    while (ret == 0 && ssl->state != MBEDTLS_SSL_HANDSHAKE_OVER) {
        ret = mbedtls_ssl_handshake_step(ssl);
        // A client's is true from its hello on, until the server declines.
        if (ssl->handshake)
            session->resumed = ssl->handshake->resume;
    }
    if (ret == 0)
        return opened(session, err);
    if (ret == MBEDTLS_ERR_SSL_WANT_READ)
        return 0;
    // mbedTLS tells its peer about a bad certificate, but not that there is none. The alert is the
    // one of stock servers: their clients print "bad certificate".
    if (ret == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE)
        (void)mbedtls_ssl_send_alert_message(ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                             MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
    return fail(session, ret, err);
}

int tls_session_feed(struct tls_session *session, const void *bytes, size_t size, struct err *err)
{
    MAGIC_CHECK(session, SESSION_MAGIC);
    if (session->state == TLS_FAILED)
        return err_set(err, ERR_UNAVAILABLE, "the TLS session failed before");
    if (session->state == TLS_ENDED)
        return 0; // nothing may follow close_notify; it is ignored (RFC 5246 section 7.2.1)
    buf_put(&session->input, bytes, size);
    if (!buf_ok(&session->input))
        return too_much(session, err, "unread records", TLS_INPUT_BYTES_MAX);
    if (session->state == TLS_OPEN)
        return 0;
    size_t before = session->input.len;
    lend_start(session);
    tls_sign_enter(&session->config->signing);
    int rc = shake_hands(session, err);
    tls_sign_leave();
    bool clean = lend_end(session);
    if (rc != 0)
        return rc;
    session->handshake_bytes += before - session->input.len;
    if (session->state == TLS_HANDSHAKE &&
        session->handshake_bytes + session->input.len > TLS_HANDSHAKE_BYTES_MAX)
        return too_much(session, err, "handshake messages", TLS_HANDSHAKE_BYTES_MAX);
    return clean ? 0 : fail(session, MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE, err);
}

// ---- data --------------------------------------------------------------------------------------

int tls_session_read(struct tls_session *session, void *out, size_t size, size_t *got,
                     struct err *err)
{
    MAGIC_CHECK(session, SESSION_MAGIC);
    CHECK(size >= TLS_RECORD_BYTES);
    CHECK(session->state == TLS_OPEN || session->state == TLS_ENDED);
    *got = 0;
    if (session->state == TLS_ENDED || session->input.len == 0)
        return 0;
    lend_start(session);
    int ret = mbedtls_ssl_read(&session->ssl, out, size);
    bool clean = lend_end(session);
    if (ret > 0 && clean) {
        *got = (size_t)ret;
        return 0;
    }
    if (ret == MBEDTLS_ERR_SSL_WANT_READ && clean)
        return 0;
    if (ret == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        session->state = TLS_ENDED;
        drop_input(session);
        return 0;
    }
    return fail(session, ret < 0 ? ret : MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE, err);
}

int tls_session_write(struct tls_session *session, const void *bytes, size_t size, struct err *err)
{
    MAGIC_CHECK(session, SESSION_MAGIC);
    CHECK(session->state == TLS_OPEN || session->state == TLS_ENDED);
    CHECK(!session->end_sent);
    const unsigned char *at = bytes;
    lend_start(session);
    while (size > 0) {
        int ret = mbedtls_ssl_write(&session->ssl, at, size);
        if (ret <= 0) {
            lend_end(session);
            if (!buf_ok(&session->output))
                return too_much(session, err, "unsent records", TLS_OUTPUT_BYTES_MAX);
            return fail(session, ret, err);
        }
        at += ret;
        size -= (size_t)ret;
    }
    bool clean = lend_end(session);
    CHECK(clean); // wire_send takes everything
    return 0;
}

void tls_session_end(struct tls_session *session)
{
    MAGIC_CHECK(session, SESSION_MAGIC);
    if (session->end_sent || (session->state != TLS_OPEN && session->state != TLS_ENDED))
        return;
    session->end_sent = true;
    lend_start(session);
    // When the output is full there is nobody left to tell.
    (void)mbedtls_ssl_close_notify(&session->ssl);
    lend_end(session);
}

// ---- asking ------------------------------------------------------------------------------------

enum tls_state tls_session_state(const struct tls_session *session)
{
    MAGIC_CHECK(session, SESSION_MAGIC);
    return session->state;
}

struct buf *tls_session_output(struct tls_session *session)
{
    MAGIC_CHECK(session, SESSION_MAGIC);
    return &session->output;
}

bool tls_session_is_h2(const struct tls_session *session)
{
    return str_equal(mbedtls_ssl_get_alpn_protocol(&session->ssl), "h2");
}

bool tls_session_was_resumed(const struct tls_session *session)
{
    return session->resumed;
}

const uint8_t *tls_session_peer_chain(const struct tls_session *session, size_t index, size_t *size)
{
    MAGIC_CHECK(session, SESSION_MAGIC);
    *size = 0;
    if (session->state == TLS_HANDSHAKE || session->state == TLS_FAILED)
        return NULL;
    for (const uint8_t *at = session->peer; at && at < session->peer + session->peer_bytes;) {
        uint32_t length;
        memcpy(&length, at, sizeof length);
        at += sizeof length;
        if (index-- == 0) {
            *size = length;
            return at;
        }
        at += length;
    }
    return NULL;
}

const uint8_t *tls_session_peer(const struct tls_session *session, size_t *size, bool *verified)
{
    const uint8_t *der = tls_session_peer_chain(session, 0, size);
    *verified = der && session->config->verify != TLS_VERIFY_NONE;
    return der;
}
