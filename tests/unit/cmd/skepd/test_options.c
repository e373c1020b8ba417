#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skepd/config.h"
#include "cmd/skepd/options.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

Suite *suite_options(void);

static struct config config;
static struct buf warnings;
static struct err err;

static void setup(void)
{
    config_init(&config);
    buf_init(&warnings, CONFIG_WARNINGS_BYTES);
    err_clear(&err);
}

static void teardown(void)
{
    config_fini(&config);
    buf_fini(&warnings);
}

// A value for each kind of option, as a flag has it and as the file has it.
static const struct {
    const char *flag, *file;
} values[] = {
    [OPTION_BOOL] = {"true", "true"},
    [OPTION_NUMBER] = {"77", "77"},
    [OPTION_TEXT] = {"/walked", "\"/walked\""},
    [OPTION_LIST] = {"walked=1", "[\"walked=1\"]"},
    [OPTION_MAP] = {"walked=1", "{\"walked\": \"1\"}"},
    [OPTION_POOLS] = {"base=10.0.0.0/8,size=24", "[{\"base\": \"10.0.0.0/8\", \"size\": 24}]"},
    [OPTION_ULIMITS] = {"nofile=1:2", "{\"nofile\": {\"Soft\": 1, \"Hard\": 2}}"},
    [OPTION_RUNTIMES] = {"walked=/w", "{\"walked\": {\"path\": \"/w\"}}"},
};

// What is true unless it is said otherwise has to be said otherwise to be seen.
static bool is_default_on(const struct option *option)
{
    const bool *at = (const bool *)((const char *)&config + option->offset);
    return option->use == OPTION_USED && option->kind == OPTION_BOOL && *at;
}

static int give_flag(struct config *to, const struct option *option, const char *value)
{
    char text[128];
    str_format(text, sizeof text, "--%s=%s", option->flag, value);
    const char *args[] = {text};
    return config_parse_args(to, 1, args, &warnings, &err);
}

static int give_key(struct config *to, const struct option *option, const char *value)
{
    char text[256];
    str_format(text, sizeof text, "{\"%s\": %s}", option->key, value);
    return config_parse_file(to, text, strlen(text), 0, NULL, &warnings, &err);
}

// Goal: each option means the same as a flag and as a key of the file, changes something, and says
// what a reload does with it.
START_TEST(flag_and_key_are_one)
{
    for (size_t i = 0; i < options_count; i++) {
        const struct option *option = &options[i];
        if (option->use != OPTION_USED || !option->flag || !option->key)
            continue;
        struct config by_flag, by_key;
        config_init(&by_flag);
        config_init(&by_key);
        bool off = is_default_on(option);
        const char *flag = off ? "false" : values[option->kind].flag;
        const char *file = off ? "false" : values[option->kind].file;
        ck_assert_msg(!give_flag(&by_flag, option, flag), "%s: %s", option->flag, err.message);
        ck_assert_msg(!give_key(&by_key, option, file), "%s: %s", option->key, err.message);
        ck_assert_uint_eq(warnings.len, 0);
        ck_assert_msg(!config_reload(&by_flag, &by_key, &warnings) && !warnings.len,
                      "%s differs as a flag and as a key", option->flag);
        bool changed = config_reload(&config, &by_key, &warnings);
        ck_assert_msg(changed == option->reloads, "%s", option->flag);
        // A second name of the same option says nothing; its first one does.
        ck_assert_msg(changed || warnings.len, "%s changes nothing", option->flag);
        config_fini(&by_flag);
        config_fini(&by_key);
        teardown();
        setup();
    }
}
END_TEST

// Goal: what has no meaning here says so by its name, in both forms, and changes nothing.
START_TEST(meaningless_options_say_so)
{
    for (size_t i = 0; i < options_count; i++) {
        const struct option *option = &options[i];
        if (option->use != OPTION_MEANINGLESS)
            continue;
        char line[128];
        str_format(line, sizeof line, "%s has no effect: ", option_name(option));
        for (int key = 0; key < 2; key++) {
            if (key ? !option->key : !option->flag)
                continue;
            int rc = key ? give_key(&config, option, values[option->kind].file)
                         : give_flag(&config, option, values[option->kind].flag);
            ck_assert_msg(!rc, "%s: %s", option_name(option), err.message);
            ck_assert_msg(str_starts(buf_cstr(&warnings), line), "%s: %s", option_name(option),
                          buf_cstr(&warnings));
            buf_clear(&warnings);
        }
        struct config untouched;
        config_init(&untouched);
        ck_assert(!config_reload(&untouched, &config, &warnings) && !warnings.len);
        config_fini(&untouched);
    }
}
END_TEST

// Goal: what cannot be is refused by its name and with the reason, in both forms.
START_TEST(refused_options_name_themselves)
{
    for (size_t i = 0; i < options_count; i++) {
        const struct option *option = &options[i];
        if (option->use != OPTION_REFUSED)
            continue;
        char wanted[256];
        bool off = str_equal(option->harmless, "true");
        str_format(wanted, sizeof wanted, "%s is not supported: %s", option_name(option),
                   option->why);
        for (int key = 0; key < 2; key++) {
            if (key ? !option->key : !option->flag)
                continue;
            int rc = key ? give_key(&config, option, off ? "false" : values[option->kind].file)
                         : give_flag(&config, option, off ? "false" : values[option->kind].flag);
            ck_assert_int_eq(rc, -ERR_INVALID_ARGUMENT);
            ck_assert_str_eq(err.message, wanted);
        }
    }
}
END_TEST

Suite *suite_options(void)
{
    Suite *suite = suite_create("options");
    TCase *tcase = tcase_create("options");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, flag_and_key_are_one);
    tcase_add_test(tcase, meaningless_options_say_so);
    tcase_add_test(tcase, refused_options_name_themselves);
    suite_add_tcase(suite, tcase);
    return suite;
}
