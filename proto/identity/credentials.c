#include "proto/identity/credentials.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/chain.h"
#include "proto/identity/key.h"
#include "proto/identity/x509.h"

static const char *const role_names[] = {
    [IDENTITY_WORKER] = "swarm-worker",
    [IDENTITY_MANAGER] = "swarm-manager",
};

const char *identity_role_name(enum identity_role role)
{
    CHECK(role < COUNT_OF(role_names));
    return role_names[role];
}

bool identity_has_role(const struct identity *identity, enum identity_role role)
{
    for (size_t i = 0; i < identity->units_count; i++)
        if (str_equal(identity->units[i], identity_role_name(role)))
            return true;
    return false;
}

bool identity_own_role(const struct identity *identity, enum identity_role *role)
{
    for (size_t i = 0; identity->units_count && i < COUNT_OF(role_names); i++) {
        if (str_equal(identity->units[0], role_names[i])) {
            *role = (enum identity_role)i;
            return true;
        }
    }
    return false;
}

bool identity_complete(const struct identity *identity)
{
    return *identity->node_id && *identity->cluster_id && identity->units_count > 0 &&
           *identity->units[0];
}

static int check_pair(const struct credentials *credentials, struct err *err)
{
    struct key key;
    int result = key_parse_pem(&key, credentials->key_pem, strlen(credentials->key_pem), err);
    if (result)
        return result;
    mbedtls_x509_crt chain;
    result = chain_parse(&chain, credentials->chain_pem, X509_CHAIN_MAX, err);
    if (!result && !key_same_public(&chain.pk, &key.pk))
        result = err_set(err, ERR_INVALID_ARGUMENT, "certificate does not belong to the key");
    mbedtls_x509_crt_free(&chain);
    key_fini(&key);
    return result;
}

int credentials_init_roots(struct credentials *credentials, const char *roots_pem, struct err *err)
{
    *credentials = (struct credentials){0};
    mbedtls_x509_crt roots;
    int result = chain_parse(&roots, roots_pem, X509_ROOTS_MAX, err);
    mbedtls_x509_crt_free(&roots);
    if (result)
        err_wrap(err, "trusted roots");
    else
        credentials->roots_pem = str_dup(roots_pem);
    return result;
}

int credentials_init(struct credentials *credentials, const char *chain_pem, const char *key_pem,
                     const char *roots_pem, struct err *err)
{
    int result = credentials_init_roots(credentials, roots_pem, err);
    if (result)
        return result;
    credentials->chain_pem = str_dup(chain_pem);
    credentials->key_pem = str_dup(key_pem);
    result = check_pair(credentials, err);
    if (!result)
        result = x509_identity(chain_pem, &credentials->identity, err);
    if (!result && !identity_complete(&credentials->identity))
        result = err_set(err, ERR_INVALID_ARGUMENT,
                         "certificate lacks a node id, a role or a cluster id");
    if (!result)
        result = x509_validity(chain_pem, &credentials->not_before, &credentials->not_after, err);
    if (result)
        credentials_fini(credentials);
    return result;
}

void credentials_copy(struct credentials *to, const struct credentials *from)
{
    *to = *from;
    to->chain_pem = str_dup(from->chain_pem);
    to->key_pem = str_dup(from->key_pem);
    to->roots_pem = str_dup(from->roots_pem);
}

void credentials_fini(struct credentials *credentials)
{
    if (credentials->key_pem)
        explicit_bzero(credentials->key_pem, strlen(credentials->key_pem));
    free(credentials->chain_pem);
    free(credentials->key_pem);
    free(credentials->roots_pem);
    *credentials = (struct credentials){0};
}
