// Private keys encrypted by a password: PBES2 (RFC 8018) as stock nodes write it, and OpenSSL's
// older form (Proc-Type, DEK-Info) as their ancestors did. Used by keyfile.c alone. mbedTLS 2.28
// reads PBES2 with DES only.
#ifndef PROTO_IDENTITY_PBE_H
#define PROTO_IDENTITY_PBE_H

#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/identity/rng.h"

// What stock nodes use, and the most we let a file ask of us.
#define PBE_ITERATIONS     2048
#define PBE_ITERATIONS_MAX 1000000

// Appends the EncryptedPrivateKeyInfo around `plain` (a PKCS#8 key): PBKDF2-HMAC-SHA1 with
// PBE_ITERATIONS and an 8-byte salt, AES-256-CBC.
void pbe_seal(const void *plain, size_t plain_size, const void *password, size_t password_size,
              const struct rng *rng, struct buf *out);

// Appends what an EncryptedPrivateKeyInfo holds. Takes PBKDF2 with HMAC-SHA1, -SHA256, -SHA384 or
// -SHA512 and AES-128-, -192- or -256-CBC. INVALID_ARGUMENT for any other form; UNAUTHENTICATED
// when the padding shows that the password is wrong (a wrong password may also pass, one time in
// 256, and give bytes that are no key).
int pbe_open(const void *der, size_t der_size, const void *password, size_t password_size,
             struct buf *out, struct err *err);

// The same for the older form: `dek_info` is the value of the header, such as "AES-256-CBC,<hex
// IV>".
int pbe_open_legacy(const char *dek_info, const void *body, size_t body_size, const void *password,
                    size_t password_size, struct buf *out, struct err *err);

#endif
