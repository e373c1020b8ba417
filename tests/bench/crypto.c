// What a full handshake is made of, one by one and by processor time: the operations on curves, as
// our sessions do them with mbedTLS. rpc.sh sets them beside `openssl speed`.
//
//   bench_crypto SECONDS     prints "sign N verify N x25519 N", each per second of processor time
#include <mbedtls/ecdh.h>
#include <mbedtls/pk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/check.h"
#include "proto/identity/rng_io.h"
#include "proto/net/tls_sign.h"
#include "tests/support/pems.h"

struct work {
    struct tls_sign signing;
    mbedtls_pk_context key;
    unsigned char hash[32];
    unsigned char sig[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t sig_size;
    mbedtls_ecp_group x25519;
    mbedtls_mpi secret, shared;
    mbedtls_ecp_point public;
    struct rng rng;
};

static void do_sign(struct work *work)
{
    int ret = mbedtls_pk_sign(&work->key, MBEDTLS_MD_SHA256, work->hash, sizeof work->hash,
                              work->sig, &work->sig_size, rng_mbedtls, &work->rng);
    CHECK(ret == 0);
}

static void do_verify(struct work *work)
{
    int ret = mbedtls_pk_verify(&work->key, MBEDTLS_MD_SHA256, work->hash, sizeof work->hash,
                                work->sig, work->sig_size);
    CHECK(ret == 0);
}

// One multiplication; a handshake needs two, for its own key and for the secret.
static void do_x25519(struct work *work)
{
    int ret = mbedtls_ecdh_compute_shared(&work->x25519, &work->shared, &work->public,
                                          &work->secret, rng_mbedtls, &work->rng);
    CHECK(ret == 0);
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static double rate(void (*step)(struct work *work), struct work *work, double seconds)
{
    double start = now(), took;
    unsigned count = 0;
    do {
        step(work);
        count++;
        took = now() - start;
    } while (took < seconds);
    return count / took;
}

int main(int argc, char **argv)
{
    static struct work work;
    double seconds = argc == 2 ? strtod(argv[1], NULL) : 0;
    if (seconds <= 0) {
        fprintf(stderr, "usage: bench_crypto SECONDS\n");
        return 2;
    }
    work.rng = rng_kernel;
    tls_sign_init(&work.signing);
    mbedtls_pk_init(&work.key);
    int ret = mbedtls_pk_parse_key(&work.key, (const unsigned char *)pem_manager_key,
                                   strlen(pem_manager_key) + 1, NULL, 0);
    CHECK(ret == 0);
    tls_sign_take_key(&work.signing, &work.key);
    mbedtls_ecp_group_init(&work.x25519);
    mbedtls_mpi_init(&work.secret);
    mbedtls_mpi_init(&work.shared);
    mbedtls_ecp_point_init(&work.public);
    ret = mbedtls_ecp_group_load(&work.x25519, MBEDTLS_ECP_DP_CURVE25519);
    CHECK(ret == 0);
    ret = mbedtls_ecdh_gen_public(&work.x25519, &work.secret, &work.public, rng_mbedtls, &work.rng);
    CHECK(ret == 0);
    tls_sign_enter(&work.signing);
    double sign = rate(do_sign, &work, seconds);
    double verify = rate(do_verify, &work, seconds);
    double x25519 = rate(do_x25519, &work, seconds);
    tls_sign_leave();
    printf("sign %.0f verify %.0f x25519 %.0f\n", sign, verify, x25519);
    mbedtls_ecp_group_free(&work.x25519);
    mbedtls_mpi_free(&work.secret);
    mbedtls_mpi_free(&work.shared);
    mbedtls_ecp_point_free(&work.public);
    mbedtls_pk_free(&work.key);
    tls_sign_fini(&work.signing);
    return 0;
}
