// Text that comes out of containers and images: passwd, group, log lines, names of images, seccomp
// profiles. The first byte chooses which.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/image/reference.h"
#include "agent/oci/logline.h"
#include "agent/oci/seccomp.h"
#include "agent/oci/user.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_reference(const char *text)
{
    struct reference reference, again;
    char full[REFERENCE_TEXT_BYTES], twice[REFERENCE_TEXT_BYTES];
    if (reference_parse(text, &reference, NULL) != 0)
        return;
    // What is taken, written in full, is taken again and is the same.
    CHECK(reference_parse(reference_full(&reference, full), &again, NULL) == 0);
    CHECK(strcmp(reference_full(&again, twice), full) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    char *text = str_ndup((const char *)data + 1, size - 1);
    struct user user;
    struct log_line line;
    struct buf out;
    struct json_out json;
    switch (data[0] % 4) {
    case 0:
        user_resolve("app", NULL, 0, text, text, &user, NULL);
        user_resolve("7:app", NULL, 0, text, text, &user, NULL);
        user_resolve(text, NULL, 0, "app:x:1:2::/:\n", "g:x:2:app\n", &user, NULL);
        break;
    case 1:
        if (logline_parse(text, strlen(text), &line))
            CHECK(line.data >= text && line.data + line.size == text + strlen(text));
        break;
    case 2:
        try_reference(text);
        break;
    default:
        buf_init(&out, 1 << 20);
        json_out_init(&json, &out);
        json_out_object(&json, NULL);
        seccomp_write(text, strlen(text), SECCOMP_NARROWED, 0, "6.1", &json, "seccomp", NULL);
        buf_fini(&out);
    }
    free(text);
    return 0;
}
