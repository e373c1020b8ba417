// Certificates from outside: chains in PEM, single ones in DER.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/identity/rootca.h"
#include "proto/identity/x509.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct identity identity;
    x509_identity_der(data, size, &identity, NULL);

    char *pem = str_ndup((const char *)data, size);
    struct wall from;
    struct wall to;
    struct wall now = {INT64_C(1795176100) * NS_PER_S};
    if (x509_identity(pem, &identity, NULL) == 0) {
        enum identity_role role;
        identity_own_role(&identity, &role);
        identity_complete(&identity);
    }
    x509_validity(pem, &from, &to, NULL);
    x509_has_dns_name(pem, SERVER_NAME_MANAGER);
    rootca_check(pem, now, NULL);
    struct x509_check check = {.chain_pem = pem, .roots_pem = pem, .now = now};
    x509_check_chain(&check, NULL);
    struct x509_issuer issuer;
    x509_issuer(pem, pem, &issuer, NULL);
    x509_issuer_fini(&issuer);
    struct buf out;
    buf_init(&out, 1 << 20);
    if (x509_normalise(pem, &out, NULL) == 0) {
        // What is normal stays as it is.
        struct buf again;
        buf_init(&again, 1 << 20);
        if (x509_normalise(buf_cstr(&out), &again, NULL) != 0 || again.len != out.len ||
            memcmp(again.data, out.data, out.len) != 0)
            abort();
        buf_fini(&again);
    }
    buf_fini(&out);
    free(pem);
    return 0;
}
