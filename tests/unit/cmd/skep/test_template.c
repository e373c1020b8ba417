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
    {"{{title \"my-net a_b it's 1x\"}}", "My-Net A_b It'S 1x"},
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
    {"{{define \"t\"}}<{{.}}{{$}}>{{end}}{{template \"t\" .N}}{{template \"t\"}}",
     "<33><<no value><no value>>"},
    {"{{template \"t\" .List}}{{define \"t\"}}{{range .}}{{.}};{{end}}{{end}}", "a;b;c;"},
    {"{{block \"b\" .Name}}[{{.}}]{{end}}{{template \"b\" 1}}", "[web][1]"},
    {"{{$x := 1}}{{define \"t\"}}{{$x := 2}}{{$x}}{{end}}{{template \"t\"}}{{$x}}", "21"},
    {"{{with .None}}1{{else with .Name}}{{.}}{{else}}3{{end}}", "web"},
    {"{{if .Off}}1{{else if .Off}}2{{else if .On}}3{{else}}4{{end}}", "3"},
    {"{{range $i, $e := .Deep.List}}{{$i}}{{$e.X}} {{end}}{{range $e := .List}}{{$e}}{{end}}",
     "01 12 abc"},
    {"{{and .Off .Nope}}{{or .On .Nope}}{{if and .None .None.X}}{{end}}", "falsetrue"},
    {"{{true | and .Name}}{{.Off | or .N}}{{and 1}}", "true31"},
    {"{{html .Html \"'\"}} {{js \"a'<\\n\"}} {{urlquery \"a b/c~\"}}",
     "&lt;&amp;&gt;&#39; a\\'\\u003C\\u000A a+b%2Fc~"},
    {"{{printf \"%s|%d|%t|%f\" .N .Name .Name .N}}",
     "%!s(int=3)|%!d(string=web)|%!t(string=web)|%!f(int=3)"},
    {"{{printf \"%.2s|%5s|%-5q|%x|%X\" .Name \"é\" \"a\" .Name .Name}}",
     "we|    é|\"a\"  |776562|776562"},
    {"{{printf \"%+d|%x|%#x|%o|%b|%c|%U|%*d\" 5 255 255 8 5 65 65 4 7}}",
     "+5|ff|0xff|10|101|A|U+0041|   7"},
    {"{{printf \"%e|%g|%6.2f|%v\" .F .F .F .F}}", "1.500000e+00|1.5|  1.50|1.5"},
    {"{{printf \"%q %s %v %d\" .List .List .Map .None}}",
     "[\"a\" \"b\" \"c\"] [a b c] map[a:1 b:2] %!d(<nil>)"},
    {"{{printf \"%d\"}}{{printf \"a\" 1 \"b\"}}{{printf \"%\"}}{{printf \"%z\" 1}}",
     "%!d(MISSING)a%!(EXTRA int=1, string=b)%!(NOVERB)%!z(int=1)"},
    {"{{index .Deep \"List\" 0 \"X\"}}{{slice .Name 1 2}}{{.Map.zz}}", "1e<no value>"},
    {"a\n  {{- /* gone */ -}}  \nb{{23 -}} c {{- \"x\"}}", "ab23cx"},
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
    {"{{.None.X}}", ":1:7: executing \"\" at <.None.X>: nil pointer evaluating interface {}.X"},
    {"{{index .List 9}}",
     ":1:2: executing \"\" at <index .List 9>: error calling index: index out of "},
    {"a\n{{ .Name.And.So.On.And.On }}", ":2:8: executing \"\" at <.Name.And.So.On.And.On>: can't"},
    {"{{define \"t\"}}{{.X}}{{end}}{{template \"t\" 1}}", "executing \"t\" at <.X>: can't"},
    {"{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}", "maximum template depth"},
    {"{{template \"none\"}}",
     ":1:11: executing \"\" at <template \"none\">: template \"none\" not"},
    {"a\n{{nope}}", "template: :2: function \"nope\" not defined"},
    {"{{define \"t\"}}{{end}}{{define \"t\"}}{{end}}", "two definitions"},
    {"{{if 1}}{{define \"t\"}}{{end}}{{end}}", "inside of a block"},
    {"{{define t}}{{end}}", "name in quotes"},
    {"{{define \"t\"}}", "missing {{end}}"},
    {"{{$x := 1}}{{define \"t\"}}{{$x}}{{end}}{{template \"t\"}}", "undefined variable: $x"},
    {"{{range .List}}{{else if .On}}{{end}}", "after {{else}}"},
    {"{{printf \"%2000d\" 1}}", "cannot be followed"},
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

static const char service_text[] =
    "{\"@type\":\"swarm.Service\",\"ID\":\"i\",\"Version\":{\"Index\":12},"
    "\"CreatedAt\":\"2026-11-30T05:09:21.5Z\","
    "\"Spec\":{\"Name\":\"web\",\"Labels\":{\"a\":\"b\"},\"TaskTemplate\":{\"ContainerSpec\":{"
    "\"Image\":\"i\",\"StopGracePeriod\":90000000000,\"Mounts\":[{\"Type\":\"bind\","
    "\"Source\":\"/x\"}"
    "]}},\"UpdateConfig\":{\"Parallelism\":1,\"Delay\":1000000000}}}";

static const struct {
    const char *text, *wanted;
} typed[] = {
    {"{{.Spec.Name}} {{.Spec.TaskTemplate.ContainerSpec.Hostname}}|", "web |"},
    {"{{.Spec.TaskTemplate.ForceUpdate}} {{.Spec.TaskTemplate.ContainerSpec.TTY}}", "0 false"},
    {"{{.Spec.TaskTemplate.ContainerSpec.Env}} {{.Spec.TaskTemplate.ContainerSpec.Sysctls}}",
     "[] map[]"},
    {"{{.UpdateStatus}}{{if .UpdateStatus}}y{{else}}n{{end}}", "<nil>n"},
    {"{{.CreatedAt}} {{json .CreatedAt}}",
     "2026-11-30 05:09:21.5 +0000 UTC \"2026-11-30T05:09:21.5Z\""},
    {"{{.UpdatedAt}}", "0001-01-01 00:00:00 +0000 UTC"},
    {"{{.Spec.UpdateConfig.Delay}} {{.Spec.UpdateConfig.Monitor}}", "1s 0s"},
    {"{{.Spec.TaskTemplate.ContainerSpec.StopGracePeriod}}", "1m30s"},
    {"{{with .Spec.UpdateConfig}}{{.Delay}} {{printf \"%s %d\" .Delay .Delay}}{{end}}",
     "1s 1s 1000000000"},
    {"{{gt .Spec.UpdateConfig.Delay 5}}{{json .Spec.UpdateConfig}}",
     "true{\"Parallelism\":1,\"Delay\":1000000000}"},
    {"{{range .Spec.TaskTemplate.ContainerSpec.Mounts}}{{.Source}}{{.ReadOnly}}{{end}}", "/xfalse"},
    {"{{.Spec.Labels.a}}{{.Spec.Labels.none}}{{.Spec.Labels.none.deeper}}",
     "b<no value><no value>"},
    {"{{.Nope}}", "template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type "
                  "swarm.Service"},
    {"{{.Spec.Nope}}",
     "template: :1:7: executing \"\" at <.Spec.Nope>: can't evaluate field Nope in "
     "type swarm.ServiceSpec"},
    {"{{.Spec.TaskTemplate.ContainerSpec.Nope}}",
     "template: :1:7: executing \"\" at <.Spec.TaskTemplate.ContainerSpec.Nope>: "
     "can't evaluate field Nope in "
     "type "
     "*swarm.ContainerSpec"},
    {"{{.Version}} {{.Version.Index}}", "12 12"},
    {"{{.Spec.Name.X}}",
     "template: :1:7: executing \"\" at <.Spec.Name.X>: can't evaluate field X in "
     "type string"},
    {"{{.UpdateStatus.State}}", "template: :1:15: executing \"\" at <.UpdateStatus.State>: nil "
                                "pointer evaluating *swarm.UpdateStatus.State"},
    {"{{(index .Spec.TaskTemplate.ContainerSpec.Mounts 0).X}}",
     "template: :1:51: executing \"\" at <(index "
     ".Spec.TaskTemplate.ContainerSpec.Mounts 0).X>: can't evaluate field X in type "
     "mount.Mount"},
};

START_TEST(structs_have_the_fields_of_their_go_type)
{
    char out[2048];
    make(typed[_i].text, service_text, out, sizeof out);
    ck_assert_str_eq(out, typed[_i].wanted);
}
END_TEST

// What docker also has as plain JSON: a container.
static const char container_text[] =
    "{\"@type\":\"?container.InspectResponse\",\"State\":{\"Status\":\"running\",\"Running\":true,"
    "\"Pid\":7,\"StartedAt\":\"now\"},"
    "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/a\",\"RW\":true}],"
    "\"NetworkSettings\":{\"Ports\":{\"80/tcp\":[{\"HostIp\":\"::\",\"HostPort\":\"8080\"}]"
    "},\"Odd\":{\"b\":1,\"a\":2}},\"ExecIDs\":null,"
    "\"Config\":{\"ExposedPorts\":{\"80/tcp\":{}},\"Entrypoint\":null}}";

static const struct {
    const char *text, *wanted;
} containers[] = {
    {"{{.State}}", "{running true false false false false 7 0  now  <nil>}"},
    {"{{.State.Health}}", "<nil>"},
    {"{{.Mounts}}", "[{bind  /a    true }]"},
    {"{{range .Mounts}}{{.}}{{.Name}}{{end}}", "{bind  /a    true }"},
    {"{{.NetworkSettings.Ports}}", "map[80/tcp:[{:: 8080}]]"},
    {"{{(index .NetworkSettings.Ports \"80/tcp\" 0).HostPort}}", "8080"},
    {"{{.NetworkSettings.Odd}}", "map[a:2 b:1]"},
    {"{{.ExecIDs}}{{.Config.Entrypoint}}{{.Config.ExposedPorts}}", "[][]map[80/tcp:{}]"},
    {"{{.Config.StopTimeout}}{{.Config.StopSignal}}", "<nil>"},
    {"{{json .State.Health}}{{json .Mounts}}",
     "null[{\"Type\":\"bind\",\"Source\":\"/a\",\"RW\":true}]"},
    {"{{.State.Nope}}", "template: :1:8: executing \"\" at <.State.Nope>: map has no entry for key "
                        "\"Nope\""},
    {"{{.NetworkSettings.Nope}}", "template: :1:18: executing \"\" at <.NetworkSettings.Nope>: map "
                                  "has no entry for key \"Nope\""},
};

START_TEST(structs_that_are_json_too_print_as_structs)
{
    char out[2048];
    make(containers[_i].text, container_text, out, sizeof out);
    ck_assert_str_eq(out, containers[_i].wanted);
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
    tcase_add_loop_test(tc, structs_have_the_fields_of_their_go_type, 0,
                        sizeof typed / sizeof typed[0]);
    tcase_add_loop_test(tc, structs_that_are_json_too_print_as_structs, 0,
                        sizeof containers / sizeof containers[0]);
    tcase_add_test(tc, rows_have_labels_and_name_their_fields);
    tcase_add_test(tc, endless_work_is_ended);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    return suite;
}
