// Certificate requests, which anybody may send to a manager.
#include <mbedtls/pk.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/identity/csr.h"
#include "proto/identity/pem.h"

static void open_one(const void *pem, size_t size)
{
    struct buf public_key;
    buf_init(&public_key, 1 << 16);
    if (csr_open(pem, size, &public_key, NULL) == 0) {
        mbedtls_pk_context pk;
        mbedtls_pk_init(&pk);
        if (mbedtls_pk_parse_public_key(&pk, public_key.data, public_key.len) != 0)
            abort(); // the signer relies on it
        mbedtls_pk_free(&pk);
    }
    buf_fini(&public_key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    open_one(data, size);
    // The same bytes as the body, so that the fuzzer need not find base64 first.
    if (size < PEM_DER_BYTES_MAX) {
        struct buf pem;
        buf_init(&pem, 1 << 20);
        pem_write_der(&pem, "CERTIFICATE REQUEST", data, size);
        open_one(pem.data, pem.len);
        buf_fini(&pem);
    }
    return 0;
}
