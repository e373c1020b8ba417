// Options of a container's log: the first line is an expression, the rest the tag's template.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log_marks.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct oci_pair labels[] = {{"com.example.a-b", "1"}, {"x]^-", ""}, {"aaaa", "2"}};
    static const char *const env[] = {"PATH=/bin", "0123=4", "bare"};
    const struct log_marks_container container = {
        .id = "0123456789abcdef",
        .name = "web.1",
        .image = "busybox:1",
        .image_id = "sha256:0123456789",
        .command = "sh -c true",
        .labels = labels,
        .labels_count = COUNT_OF(labels),
        .env = {env, COUNT_OF(env)},
    };
    char *text = str_ndup((const char *)data, size);
    char *tag = strchr(text, '\n');
    if (tag)
        *tag++ = '\0';
    const struct log_marks_options options = {.labels_regex = text, .env_regex = text, .tag = tag};
    struct arena arena;
    struct oci_pair *marks;
    size_t count;
    arena_init(&arena, 1 << 16);
    if (log_marks_make(&options, &container, &arena, &marks, &count, NULL) == 0) {
        CHECK(count <= LOG_MARKS_MAX);
        CHECK(log_marks_check(&options, NULL) == 0);
    }
    arena_fini(&arena);
    free(text);
    return 0;
}
