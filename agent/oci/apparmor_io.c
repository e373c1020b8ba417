#include "agent/oci/apparmor_io.h"

#include <string.h>

#include "agent/oci/await_io.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define ENABLED_FILE   "/sys/module/apparmor/parameters/enabled"
#define PROFILES_FILE  "/sys/kernel/security/apparmor/profiles"
#define OWN_FILE       "/proc/self/attr/current"
#define PARSER         "apparmor_parser"
#define PARSER_MS      60000
#define PROFILES_BYTES (4u << 20)
#define PROFILE_BYTES  16384
#define SMALL_BYTES    4096

bool apparmor_enabled(void)
{
    struct buf text;
    buf_init(&text, SMALL_BYTES);
    bool enabled = file_read(ENABLED_FILE, &text, NULL) == 0 && text.len && text.data[0] == 'Y';
    buf_fini(&text);
    return enabled;
}

static bool is_loaded(const char *name)
{
    struct buf list;
    buf_init(&list, PROFILES_BYTES);
    bool loaded = file_read(PROFILES_FILE, &list, NULL) == 0 && buf_cstr(&list) &&
                  apparmor_lists(buf_cstr(&list), name);
    buf_fini(&list);
    return loaded;
}

// The profile we run under, without its mode; "" when it is none.
static void own_profile(char out[APPARMOR_NAME_CHARS_MAX + 1])
{
    struct buf text;
    buf_init(&text, SMALL_BYTES);
    *out = '\0';
    const char *said = file_read(OWN_FILE, &text, NULL) == 0 ? buf_cstr(&text) : NULL;
    const char *mode = said ? strstr(said, " (") : NULL;
    if (mode && mode - said <= APPARMOR_NAME_CHARS_MAX)
        str_format(out, APPARMOR_NAME_CHARS_MAX + 1, "%.*s", (int)(mode - said), said);
    if (apparmor_check_name(out, NULL) != 0)
        *out = '\0';
    buf_fini(&text);
}

static int load_default(struct err *err)
{
    // --skip-cache: a folder of compiled profiles that others keep is none of our business.
    static const char *const argv[] = {PARSER, "--add", "--skip-cache", NULL};
    char own[APPARMOR_NAME_CHARS_MAX + 1];
    struct buf profile;
    struct awaited said;
    own_profile(own);
    buf_init(&profile, PROFILE_BYTES);
    apparmor_write(own, &profile);
    struct process_spec spec = {
        .argv = argv, .input = profile.data, .input_bytes = profile.len, .timeout_ms = PARSER_MS};
    int rc = await_program(&spec, PARSER, &said, err);
    buf_fini(&profile);
    if (rc == -ERR_NOT_FOUND)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "AppArmor profile " APPARMOR_DEFAULT " cannot be loaded: " PARSER
                       " is not installed (package apparmor)");
    if (rc)
        return err_wrap(err, "AppArmor profile " APPARMOR_DEFAULT " cannot be loaded");
    log_info("AppArmor profile loaded", "profile=" APPARMOR_DEFAULT);
    return 0;
}

int apparmor_ensure(const char *name, struct err *err)
{
    if (!apparmor_enabled())
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "AppArmor profile %.100s asked for, but this node's kernel has no AppArmor",
                       name);
    if (is_loaded(name))
        return 0;
    if (str_equal(name, APPARMOR_DEFAULT))
        return load_default(err);
    return err_set(err, ERR_FAILED_PRECONDITION,
                   "AppArmor profile %.100s is not loaded on this node", name);
}
