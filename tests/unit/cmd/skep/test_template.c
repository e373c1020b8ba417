// Templates against what Go prints for them, and the errors users see.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/template.h"
#include "proto/base/json.h"

static const char data_text[] =
    "{\"Name\":\"web\",\"N\":3,\"F\":1.5,\"Big\":1500000,\"On\":true,\"Off\":false,\"None\":null,"
    "\"List\":[\"a\",\"b\",\"c\"],\"Map\":{\"b\":\"2\",\"a\":\"1\"},\"Deep\":{\"List\":[{\"X\":1},"
    "{\"X\":2}]},\"Empty\":[],\"Html\":\"<&>\"}";

static const char row_text[] =
    "{\"@labels\":{\"k\":\"v\"},\"Name\":\"n\",\"ID\":\"i\",\"Labels\":\"k=v\"}";

// The output in `out`, or the error.
static int make(const char *text, const char *data, char *out, size_t size)
{
    struct arena arena;
    struct err err = ERR_INIT;
    struct buf buf;
    arena_init(&arena, 1 << 20);
    buf_init(&buf, 1 << 16);
    json_t *value = json_parse(data, strlen(data), NULL);
    struct template *template = template_parse(text, &arena, &err);
    int result = template ? template_run(template, value, &buf, &err) : -(int)err.code;
    snprintf(out, size, "%s", result < 0 ? err.message : buf_cstr(&buf));
    template_free(template);
    json_decref(value);
    buf_fini(&buf);
    arena_fini(&arena);
    return result;
}

static const struct {
    const char *text, *wanted;
} good[] = {
    {"", ""},
    {"plain {text}", "plain {text}"},
    {"{{.Name}} {{.N}} {{.F}} {{.Big}} {{.On}}", "web 3 1.5 1500000 true"},
    {"{{ .Name }}{{- \" \" -}} x", "web x"},
    {"a {{- .Name -}} b", "awebb"},
    {"{{/* nothing */}}x", "x"},
    {"{{json .List}}", "[\"a\",\"b\",\"c\"]"},
    {"{{json .Html}}", "\"<&>\""},
    {"{{.List}} {{.Map}}", "[a b c] map[a:1 b:2]"},
    {"{{range .List}}{{.}},{{end}}", "a,b,c,"},
    {"{{range $i, $v := .List}}{{$i}}={{$v}};{{end}}", "0=a;1=b;2=c;"},
    {"{{range $k, $v := .Map}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"},
    {"{{range .Empty}}x{{else}}none{{end}}", "none"},
    {"{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"},
    {"{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac"},
    {"{{if .On}}y{{else}}n{{end}}{{if .Off}}y{{else}}n{{end}}{{if .None}}y{{end}}", "yn"},
    {"{{if .Off}}1{{else if eq .N 3}}2{{else}}3{{end}}", "2"},
    {"{{with .Deep}}{{range .List}}{{.X}}{{end}}{{end}}", "12"},
    {"{{(index .Deep.List 1).X}}", "2"},
    {"{{index .Map \"a\"}}{{index .Map \"zz\"}}{{index .List 0}}", "1a"},
    {"{{$x := .Name}}{{$x}}{{$x = \"y\"}}{{$x}}{{$.N}}", "weby3"},
    {"{{.Name | upper | printf \"%s-%d\" | len}}", "16"},
    {"{{upper .Name}}{{lower \"AbC\"}}{{title \"one two\"}}", "WEBabcOne Two"},
    {"{{join .List \"-\"}} {{split \"a,b\" \",\"}}", "a-b-c [a b]"},
    {"{{truncate .Name 2}}{{pad \"x\" 1 2}}|", "we x  |"},
    {"{{println .Name 1}}{{print 1 2 \"a\" 3}}", "web 1\n1 2a3"},
    {"{{printf \"%-5s|%5d|%05d|%.1f|%q|%v|%x\" \"a\" 3 42 .F \"q\" .On 255}}",
     "a    |    3|00042|1.5|\"q\"|true|ff"},
    {"{{ne 1 2}}{{lt 1 2}}{{le 2 2}}{{gt 1 2}}{{ge 1 2}}{{eq 1 2 1}}",
     "truetruetruefalsefalsetrue"},
    {"{{and .On .Name}}{{or .Off .Name}}{{not .Off}}", "webwebtrue"},
    {"{{slice .Name 1}}{{slice .List 0 1}}", "eb[a]"},
    {"{{.Map.zz}}", "<no value>"},
    {"{{len .List}}{{`raw\\n`}}{{'a'}}", "3raw\\n97"},
};

START_TEST(good_templates_print_what_go_prints)
{
    char out[2048];
    ck_assert_msg(make(good[_i].text, data_text, out, sizeof out) == 0, "%s: %s", good[_i].text,
                  out);
    ck_assert_str_eq(out, good[_i].wanted);
}
END_TEST

static const struct {
    const char *text, *part;
} bad[] = {
    {"{{", "missing value"},
    {"{{.Name", "unclosed action"},
    {"{{.Nope}}", "no entry for key \"Nope\""},
    {"{{nope .Name}}", "function \"nope\" not defined"},
    {"{{if .On}}x", "{{end}} is missing"},
    {"{{end}}", "unexpected {{end}}"},
    {"{{else}}", "unexpected {{else}}"},
    {"{{.Name.X}}", "can't evaluate field X"},
    {"{{.None.X}}", "nothing that could have"},
    {"{{index .List 9}}", "out of range"},
    {"{{range .Name}}{{end}}", "range can't iterate"},
    {"{{$y}}", "undefined variable"},
    {"{{\"open}}", "closing quote"},
    {"{{break}}", "outside"},
    {"{{.Name .N}}", "no function"},
    {"{{lt 1 \"a\"}}", "incompatible"},
    {"{{((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))}}", "too deep"},
};

START_TEST(bad_templates_say_what_is_wrong)
{
    char out[2048];
    ck_assert_int_lt(make(bad[_i].text, data_text, out, sizeof out), 0);
    ck_assert_msg(strstr(out, bad[_i].part) != NULL, "%s: %s", bad[_i].text, out);
}
END_TEST

START_TEST(rows_have_labels_and_name_their_fields)
{
    char out[2048];
    ck_assert_int_eq(
        make("{{.Label \"k\"}}|{{.Label \"none\"}}|{{json .}}", row_text, out, sizeof out), 0);
    ck_assert_str_eq(out, "v||{\"ID\":\"i\",\"Labels\":\"k=v\",\"Name\":\"n\"}");
    ck_assert_int_lt(make("{{.Nmae}}", row_text, out, sizeof out), 0);
    ck_assert_ptr_nonnull(strstr(out, "there are: Name ID Labels"));
}
END_TEST

START_TEST(endless_work_is_ended)
{
    char out[2048];
    ck_assert_int_lt(make("{{range 100000}}{{range 100000}}{{end}}{{end}}", "{}", out, sizeof out),
                     0);
    ck_assert_ptr_nonnull(strstr(out, "does not come to an end"));
}
END_TEST

Suite *suite_template(void);
Suite *suite_template(void)
{
    Suite *suite = suite_create("template");
    TCase *tc = tcase_create("template");
    tcase_add_loop_test(tc, good_templates_print_what_go_prints, 0, sizeof good / sizeof good[0]);
    tcase_add_loop_test(tc, bad_templates_say_what_is_wrong, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(tc, rows_have_labels_and_name_their_fields);
    tcase_add_test(tc, endless_work_is_ended);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    return suite;
}
