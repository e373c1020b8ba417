// What tls.c and tls_config.c know of each other. Nobody else includes it.
#ifndef PROTO_NET_TLS_IMPL_H
#define PROTO_NET_TLS_IMPL_H

#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/threading.h>
#include <mbedtls/x509_crt.h>
#include <stdatomic.h>

#include "proto/base/map.h"
#include "proto/net/tls_sign.h"
#include "proto/net/tls.h"

struct tls_config {
    unsigned magic;
    atomic_uint refs;
    bool server;
    bool tickets;
    enum tls_verify verify;
    struct rng rng;
    struct tls_sign signing; // how the keys below do their work
    mbedtls_ssl_config ssl;
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
    mbedtls_x509_crt roots;
    mbedtls_ssl_ticket_context ticket;
    mbedtls_threading_mutex_t lock; // guards resume
    struct map resume;              // resume key and server name -> mbedtls_ssl_session
};

// Gives the session what is remembered under `key`, if it is still good.
void tls_config_recall(struct tls_config *config, const char *key, mbedtls_ssl_context *ssl);

// Remembers the session for the next time, in place of the oldest when there are TLS_RESUME_MAX.
void tls_config_remember(struct tls_config *config, const char *key,
                         const mbedtls_ssl_context *ssl);
void tls_config_forget(struct tls_config *config, const char *key);

// Fills err from an mbedTLS return value: "<what>: <mbedTLS's text>".
int tls_error(struct err *err, enum err_code code, int ret, const char *what);

#endif
