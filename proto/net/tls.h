// TLS 1.2 as bytes in, bytes out: the caller moves ciphertext between a session and a socket (or a
// test), and plaintext between the session and its user. Nothing here touches a descriptor.
//
// Between calls a session holds no record buffers of its own: those are lent by the thread for the
// length of a call, so an idle session costs a few kilobytes. A config may be used from several
// threads at once; a session is made, used and freed on one thread.
#ifndef PROTO_NET_TLS_H
#define PROTO_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/identity/credentials.h"
#include "proto/identity/rng.h"

// Most ciphertext a session keeps that was not worked on yet: one socket read and one record.
#define TLS_INPUT_BYTES_MAX (256 * 1024)

// Most ciphertext a session keeps for its caller to send.
#define TLS_OUTPUT_BYTES_MAX (8 * 1024 * 1024)

// Most plaintext in one record (RFC 5246 section 6.2.1).
#define TLS_RECORD_BYTES 16384

// Most bytes of handshake messages a peer may send us, certificates included.
#define TLS_HANDSHAKE_BYTES_MAX (64 * 1024)

// Client sessions remembered for resumption per config, and how long a server's tickets are good.
#define TLS_RESUME_MAX       64
#define TLS_TICKET_LIFE_SECS 3600

struct tls_config;
struct tls_session;

enum tls_verify {
    TLS_VERIFY_NONE,     // client: any server certificate (only to fetch a root CA whose digest the
                         // caller checks); server: no certificate is asked for
    TLS_VERIFY_IF_GIVEN, // server only: a client may come without one; a bad one ends the handshake
    TLS_VERIFY_REQUIRED, // the peer's chain must end in `roots_pem` and be valid now
};

enum tls_alpn {
    TLS_ALPN_NONE, // neither offered nor looked at (HTTP/1.1)
    TLS_ALPN_H2,   // client: offers h2; server: selects h2 when offered. No ALPN at all is accepted
};

struct tls_options {
    bool server;
    enum tls_verify verify;
    enum tls_alpn alpn;
    const char *chain_pem; // own certificate and its intermediates; NULL: none (clients only)
    const char *key_pem;   // its private key; NULL exactly when chain_pem is
    const char *roots_pem; // one or several roots; NULL only with TLS_VERIFY_NONE
    const struct rng *rng; // required (&rng_kernel); its context outlives the config
    bool tickets;          // session resumption by ticket (RFC 5077), client and server
};

// Makes a config; the texts are copied (parsed) and not needed afterwards. INVALID_ARGUMENT when a
// PEM cannot be read or key and certificate are no pair. To renew a certificate make a new config
// and give it to listener_set_tls / the next conn_connect: sessions under way keep the old one.
struct tls_config *tls_config_new(const struct tls_options *options, struct err *err);

// The same with a node's certificate, key and roots put into the (otherwise filled) options.
struct tls_config *tls_config_of(const struct credentials *credentials,
                                 const struct tls_options *options, struct err *err);

// Counted, because handshakes on several loops hold the config while a renewal swaps it. Any
// thread.
struct tls_config *tls_config_ref(struct tls_config *config);
void tls_config_unref(struct tls_config *config); // NULL is fine

// A session in its handshake; it takes its own reference on the config. `server_name` (clients):
// sent as SNI and must be among the dNSName entries of the server's certificate; one that is an
// address (IPv4 or IPv6) is not sent and must be among the iPAddress entries (the verification
// fails otherwise, unless TLS_VERIFY_NONE); NULL checks the chain only. `resume_key` (clients):
// names the peer for resumption, such as "10.0.0.1:2377"; NULL never resumes. Servers pass NULL for
// both.
struct tls_session *tls_session_new(struct tls_config *config, const char *server_name,
                                    const char *resume_key);
void tls_session_free(struct tls_session *session); // wipes keys; NULL is fine

enum tls_state {
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_ENDED,  // the peer said close_notify: no more plaintext comes; writing is still possible
    TLS_FAILED, // a fatal error; an alert may wait in the output
};
enum tls_state tls_session_state(const struct tls_session *session);

// Takes ciphertext from the peer and drives the handshake. A client's first call, with size 0, puts
// its hello into the output. Afterwards the caller sends tls_session_output and, once the state is
// TLS_OPEN, reads. Errors (TLS_FAILED from then on): UNAUTHENTICATED for a certificate that does
// not verify, UNAVAILABLE for what broke on the way, RESOURCE_EXHAUSTED past the limits above.
int tls_session_feed(struct tls_session *session, const void *bytes, size_t size, struct err *err);

// The next record's plaintext into out, which holds `size` bytes (at least TLS_RECORD_BYTES): count
// in *got, 0 when there is none yet or no more: see the state. Call until 0. Only in TLS_OPEN and
// TLS_ENDED.
int tls_session_read(struct tls_session *session, void *out, size_t size, size_t *got,
                     struct err *err);

// Seals plaintext into the output, all of it. Only in TLS_OPEN and TLS_ENDED.
int tls_session_write(struct tls_session *session, const void *bytes, size_t size, struct err *err);

// Puts close_notify into the output; no tls_session_write afterwards. Harmless when repeated.
void tls_session_end(struct tls_session *session);

// Ciphertext to be sent; the caller consumes what it took (or steals it). Never NULL.
struct buf *tls_session_output(struct tls_session *session);

// True when the handshake agreed on h2 by ALPN; false also when the peer sent no ALPN.
bool tls_session_is_h2(const struct tls_session *session);
bool tls_session_was_resumed(const struct tls_session *session);

// The peer's own certificate as DER, NULL when it gave none; valid as long as the session. It is
// verified against the roots, unless the config says TLS_VERIFY_NONE: then *verified is false.
const uint8_t *tls_session_peer(const struct tls_session *session, size_t *size, bool *verified);

// All certificates the peer sent, leaf first: the DER of number `index`, or NULL past the last one.
// A client that fetches a root CA unverified looks here.
const uint8_t *tls_session_peer_chain(const struct tls_session *session, size_t index,
                                      size_t *size);

#endif
