// Join tokens and lock keys, which people paste.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/identity/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = str_ndup((const char *)data, size);
    struct token token;
    uint8_t key[LOCK_KEY_BYTES];
    if (token_parse(text, &token, NULL) == 0) {
        if (token.version < 1 || token.version > 2 || strlen(token.secret) != TOKEN_SECRET_CHARS)
            abort();
        token_matches_root(&token, "x", 1);
    }
    if (lock_key_parse(text, key, NULL) == 0) {
        char again[LOCK_KEY_TEXT_BYTES];
        lock_key_format(key, again);
        if (strcmp(again, text) != 0)
            abort(); // one key has one text
    }
    free(text);
    return 0;
}
