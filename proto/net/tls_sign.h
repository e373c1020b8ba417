// The signatures of TLS handshakes on P-256, without the work mbedTLS 2.28 would do again each
// time.
//
// A key parsed by mbedTLS is an ECKEY, and for each signature made or checked with one mbedTLS
// copies its group, which leaves out the table of multiples of the generator: half a millisecond to
// make it again. Here all keys of a config share one group whose table is there, and which nobody
// writes to afterwards, so any thread may use it. Moreover a root's signature that was found good
// is remembered by digest: a node that comes back with the same certificate costs no second check
// of the same bytes under the same key. (Dates, names and usages are looked at every time.)
#ifndef PROTO_NET_TLS_SIGN_H
#define PROTO_NET_TLS_SIGN_H

#include <mbedtls/pk_internal.h>
#include <mbedtls/threading.h>
#include <mbedtls/x509_crt.h>
#include <stdbool.h>
#include <stdint.h>

// Good signatures remembered; a newer one takes the place of an older one. A power of two.
#define TLS_SIGN_REMEMBERED_MAX 512

#define TLS_SIGN_DIGEST_BYTES 32

struct tls_sign {
    mbedtls_ecp_group p256;      // with its table; only read once tls_sign_init is done
    mbedtls_pk_info_t key_info;  // an ECKEY that signs and verifies with `p256`
    mbedtls_pk_info_t root_info; // the same, remembering
    mbedtls_threading_mutex_t lock;
    uint8_t (*remembered)[TLS_SIGN_DIGEST_BYTES]; // NULL until there is one
    unsigned checked;                             // of roots' signatures: really checked,
    unsigned recognised;                          // and known from before
};

void tls_sign_init(struct tls_sign *signing);
void tls_sign_fini(struct tls_sign *signing); // after the keys it was given

// From here on the key does its signatures as said above. It must be freed before `signing`, and
// needs tls_sign_enter. Keys other than P-256 stay as they are.
void tls_sign_take_key(const struct tls_sign *signing, mbedtls_pk_context *key);
void tls_sign_take_roots(const struct tls_sign *signing, mbedtls_x509_crt *roots); // the whole list

// Between these two calls the keys taken may be used on this thread.
void tls_sign_enter(struct tls_sign *signing);
void tls_sign_leave(void);

#endif
