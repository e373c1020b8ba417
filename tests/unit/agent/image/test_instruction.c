// Lines of a Dockerfile change a configuration as docker's own do.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/image/instruction.h"
#include "proto/base/check.h"

static const struct {
    const char *before, *text, *after; // NULL: refused
} rows[] = {
    {"{}", "CMD [\"a\", \"b\"]", "{\"Cmd\":[\"a\",\"b\"]}"},
    {"{}", "cmd a  b", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"a  b\"]}"},
    {"{}", "CMD [\"a\", 1]", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"[\\\"a\\\", 1]\"]}"},
    {"{\"Cmd\":[\"x\"]}", "ENTRYPOINT [\"e\"]", "{\"Entrypoint\":[\"e\"]}"},
    {"{}", "CMD [\"x\"]\nENTRYPOINT [\"e\"]", "{\"Cmd\":[\"x\"],\"Entrypoint\":[\"e\"]}"},
    {"{}", "ENV A=1 B=\"two words\" C='$A' D=x\\ y",
     "{\"Env\":[\"A=1\",\"B=two words\",\"C=$A\",\"D=x y\"]}"},
    {"{\"Env\":[\"A=1\",\"P=/bin\"]}", "ENV P=$P:/x A=${A}2 E=${NO:-d}${A:+s}",
     "{\"Env\":[\"A=12\",\"P=/bin:/x\",\"E=ds\"]}"},
    {"{}", "ENV NAME some  text = so", "{\"Env\":[\"NAME=some  text = so\"]}"},
    {"{}", "# a remark\n\n  LABEL a=b \"c d\"=e\n", "{\"Labels\":{\"a\":\"b\",\"c d\":\"e\"}}"},
    {"{}", "EXPOSE 80 53/UDP 8000-8001",
     "{\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{},\"8000/tcp\":{},\"8001/tcp\":{}}}"},
    {"{}", "VOLUME [\"/a\", \"/b c\"]", "{\"Volumes\":{\"/a\":{},\"/b c\":{}}}"},
    {"{}", "VOLUME /a /b", "{\"Volumes\":{\"/a\":{},\"/b\":{}}}"},
    {"{}", "USER 1:2", "{\"User\":\"1:2\"}"},
    {"{\"Env\":[\"D=/d\"]}", "WORKDIR $D\nWORKDIR e",
     "{\"Env\":[\"D=/d\"],\"WorkingDir\":\"/d/e\"}"},
    {"{\"WorkingDir\":\"/\"}", "WORKDIR e", "{\"WorkingDir\":\"/e\"}"},
    {"{}", "STOPSIGNAL SIGINT", "{\"StopSignal\":\"SIGINT\"}"},
    {"{}", "ONBUILD RUN x", "{\"OnBuild\":[\"RUN x\"]}"},
    {"{}", "HEALTHCHECK NONE", "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}"},
    {"{}", "HEALTHCHECK --interval=2s --retries=3 CMD true x",
     "{\"Healthcheck\":{\"Interval\":2000000000,\"Retries\":3,"
     "\"Test\":[\"CMD-SHELL\",\"true x\"]}}"},
    {"{}", "HEALTHCHECK CMD [\"t\"]", "{\"Healthcheck\":{\"Test\":[\"CMD\",\"t\"]}}"},
    {"{}", "RUN true", NULL},
    {"{}", "ENV", NULL},
    {"{}", "ENV A", NULL},
    {"{}", "ENV A=1 B", NULL},
    {"{}", "ENV A=\"x", NULL},
    {"{}", "ENV A=${B", NULL},
    {"{}", "ENV A=${B?x}", NULL},
    {"{}", "EXPOSE 0", NULL},
    {"{}", "EXPOSE 80/tip", NULL},
    {"{}", "EXPOSE 9-8", NULL},
    {"{}", "USER", NULL},
    {"{}", "ONBUILD FROM x", NULL},
    {"{}", "HEALTHCHECK", NULL},
    {"{}", "HEALTHCHECK --never=1 CMD x", NULL},
    {"{}", "HEALTHCHECK --interval=soon CMD x", NULL},
};

START_TEST(lines_change_the_configuration)
{
    json_t *config = json_parse(rows[_i].before, strlen(rows[_i].before), NULL);
    struct err err = ERR_INIT;
    bool cmd_set = false;
    int rc = instruction_apply(config, rows[_i].text, &cmd_set, &err);
    if (!rows[_i].after) {
        ck_assert_int_eq(rc, -ERR_INVALID_ARGUMENT);
    } else {
        ck_assert_msg(rc == 0, "%s: %s", rows[_i].text, err.message);
        json_t *after = json_parse(rows[_i].after, strlen(rows[_i].after), NULL);
        char *got = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
        ck_assert_msg(json_equal(config, after), "%s: %s", rows[_i].text, got);
        free(got);
        json_decref(after);
    }
    json_decref(config);
}
END_TEST

START_TEST(what_is_too_long_is_refused)
{
    json_t *config = json_object();
    char *text = malloc(INSTRUCTION_BYTES_MAX + 16);
    bool cmd_set = false;
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', INSTRUCTION_BYTES_MAX + 10);
    memcpy(text, "USER ", 5);
    text[INSTRUCTION_BYTES_MAX + 10] = '\0';
    ck_assert_int_eq(instruction_apply(config, text, &cmd_set, NULL), -ERR_INVALID_ARGUMENT);
    free(text);
    json_decref(config);
}
END_TEST

Suite *suite_instruction(void);
Suite *suite_instruction(void)
{
    Suite *suite = suite_create("instruction");
    TCase *tcase = tcase_create("instruction");
    tcase_add_loop_test(tcase, lines_change_the_configuration, 0, COUNT_OF(rows));
    tcase_add_test(tcase, what_is_too_long_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
