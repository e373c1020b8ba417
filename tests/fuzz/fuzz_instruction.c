// Lines of a Dockerfile, as clients send them with a commit or an import.
#include <stdint.h>
#include <stdlib.h>

#include "agent/image/instruction.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = str_ndup((const char *)data, size);
    json_t *config = json_pack("{s:[s,s]}", "Env", "HOME=/h", "A=$A");
    bool cmd_set = false;
    CHECK(config);
    if (instruction_apply(config, text, &cmd_set, NULL) == 0) {
        char *written = json_dumps(config, 0);
        CHECK(written); // whatever was taken can be written
        free(written);
    }
    json_decref(config);
    free(text);
    return 0;
}
