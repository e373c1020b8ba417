// Compose files: YAML's types, variables, short forms, merging, what the API gets, and the mistakes
// that are named with their line.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/common.h"
#include "cmd/skep/compose.h"
#include "cmd/skep/interpolate.h"
#include "cmd/skep/yaml.h"

static struct arena arena;
static struct err err;
static json_t *variables, *warnings;

static void setup(void)
{
    arena_init(&arena, 16 << 20);
    err_clear(&err);
    variables = json_pack("{s:s, s:s, s:s}", "TAG", "1.2", "EMPTY", "", "N", "3");
    warnings = json_array();
}

static void teardown(void)
{
    json_decref(variables);
    json_decref(warnings);
    arena_fini(&arena);
}

static json_t *read_file(const char *text)
{
    return compose_read("c.yml", text, strlen(text), variables, warnings, &arena, &err);
}

static void is_json(json_t *value, const char *wanted)
{
    ck_assert_msg(value != NULL, "%s", err.message);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    ck_assert_str_eq(text, wanted);
    free(text);
}

START_TEST(yaml_types_are_those_of_docker)
{
    static const char text[] = "a: [1, 0x10, 0440, 1.5, yes, off, ~, 'no', \"1\", 1_000, y]\n"
                               "b: &x {k: v}\nc: {<<: *x, l: m}\nd: |\n  two\n  lines\n";
    json_t *lines, *value = yaml_read(text, strlen(text), &arena, &lines, &err);
    is_json(value, "{\"a\":[1,16,288,1.5,true,false,null,\"no\",\"1\",1000,\"y\"],\"b\":{\"k\":"
                   "\"v\"},\"c\":{\"l\":\"m\",\"k\":\"v\"},\"d\":\"two\\nlines\\n\"}");
    ck_assert_int_eq(yaml_line(lines, "c/l"), 3);
    ck_assert_int_eq(yaml_line(lines, "d/none/there"), 4);
    struct buf out;
    buf_init(&out, 4096);
    yaml_write(value, &out);
    json_t *again_lines, *again = yaml_read((char *)out.data, out.len, &arena, &again_lines, &err);
    ck_assert_msg(json_equal(value, again), "%s", buf_cstr(&out));
    buf_fini(&out);
    json_decref(value);
    json_decref(lines);
    json_decref(again);
    json_decref(again_lines);
}
END_TEST

START_TEST(yaml_refuses_what_is_broken_or_endless)
{
    static const char *const bad[][2] = {
        {"a: [1", "line"},
        {"a: 1\na: 2", "line 2: the key \"a\" is there twice"},
        {"a: !mine 1", "tags"},
        {"a: &x [*x]", "nests too deep"},
        {"? [a]\n: b", "a key that is no text"},
        {"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
         "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
         "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
         "too large"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        json_t *lines;
        ck_assert_ptr_null(yaml_read(bad[i][0], strlen(bad[i][0]), &arena, &lines, &err));
        ck_assert_msg(strstr(err.message, bad[i][1]) != NULL, "%s", err.message);
    }
}
END_TEST

START_TEST(variables_are_replaced)
{
    static const char *const rows[][2] = {
        {"web:$TAG", "web:1.2"},
        {"${TAG}x$$y", "1.2x$y"},
        {"${NONE:-d}${NONE-e}", "de"},
        {"${EMPTY:-d}${EMPTY-e}", "d"},
        {"${TAG:+set}${NONE:+set}", "set"},
        {"${NONE:-${TAG}}", "1.2"},
        {"$NONE", ""},
        {"${TAG:?needed}", "1.2"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_str_eq(interpolate(rows[i][0], variables, &arena, &err), rows[i][1]);
    static const char *const bad[] = {"${NONE:?say it}", "${TAG",   "$", "${}", "${1}",
                                      "${TAG:}",         "${TAG!x}"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(interpolate(bad[i], variables, &arena, &err) == NULL, "%s", bad[i]);
}
END_TEST

static const char *read_nothing(void *owner, const char *path, size_t *size, struct err *why)
{
    (void)owner;
    if (strcmp(path, "data.txt") != 0) {
        err_set(why, ERR_NOT_FOUND, "%s: no such file", path);
        return NULL;
    }
    if (size)
        *size = 4;
    return "data";
}

START_TEST(a_stack_becomes_services)
{
    json_t *project = read_file(
        "version: '3.8'\nservices:\n  web:\n    image: web:$TAG\n    command: run \"a b\"\n"
        "    environment: [A=1, B]\n    ports: ['80:8080']\n    volumes: ['d:/d:ro']\n"
        "    deploy: {replicas: $N, resources: {limits: {cpus: '0.5', memory: 64M}}}\n"
        "    secrets: [s]\n    pid: host\n    restart: on-failure:2\nvolumes: {d: {}}\n"
        "secrets: {s: {file: data.txt}}\n");
    ck_assert_msg(project != NULL, "%s", err.message);
    ck_assert_uint_eq(json_array_size(warnings), 1);
    ck_assert_str_eq(json_string_value(json_array_get(warnings, 0)),
                     "c.yml:11: ignored: services/web/pid");
    struct compose_files files = {read_nothing, NULL, "/here", NULL};
    json_t *objects = compose_convert(project, "st", &files, &arena, &err);
    ck_assert_msg(objects != NULL, "%s", err.message);
    json_t *service = json_array_get(at(objects, "Services"), 0);
    ck_assert_str_eq(text_at(service, "Name"), "st_web");
    ck_assert_int_eq(number_at(service, "Mode.Replicated.Replicas"), 3);
    json_t *container = at(service, "TaskTemplate.ContainerSpec");
    ck_assert_str_eq(text_at(container, "Image"), "web:1.2");
    is_json(at(container, "Args"), "[\"run\",\"a b\"]");
    is_json(at(container, "Env"), "[\"A=1\",\"B\"]"); // no value here, perhaps one in the image
    is_json(at(service, "TaskTemplate.RestartPolicy"),
            "{\"Condition\":\"on-failure\",\"MaxAttempts\":2}");
    is_json(at(container, "Mounts"),
            "[{\"Type\":\"volume\",\"Target\":\"/d\",\"ReadOnly\":true,\"Source\":\"st_d\","
            "\"VolumeOptions\":{\"Labels\":{\"com.docker.stack.namespace\":\"st\"}}}]");
    is_json(at(container, "Secrets"),
            "[{\"File\":{\"Name\":\"s\",\"UID\":\"0\",\"GID\":\"0\",\"Mode\":292},"
            "\"SecretName\":\"st_s\"}]");
    is_json(at(service, "EndpointSpec.Ports"),
            "[{\"Protocol\":\"tcp\",\"TargetPort\":8080,\"PublishedPort\":80,\"PublishMode\":"
            "\"ingress\"}]");
    is_json(at(service, "TaskTemplate.Resources.Limits"),
            "{\"NanoCPUs\":500000000,\"MemoryBytes\":67108864}");
    is_json(at(service, "TaskTemplate.Networks"),
            "[{\"Target\":\"st_default\",\"Aliases\":[\"web\"]}]");
    ck_assert_str_eq(text_at(json_array_get(at(objects, "Secrets"), 0), "Data"), "ZGF0YQ==");
    ck_assert_str_eq(text_at(json_array_get(at(objects, "Networks"), 0), "Name"), "st_default");
    json_decref(objects);
    json_decref(project);
}
END_TEST

START_TEST(a_second_file_is_laid_on_top)
{
    json_t *base = read_file("services: {web: {image: a, environment: {A: '1', B: '2'}, "
                             "ports: ['80:80'], command: [x, y]}}");
    json_t *over = read_file("services: {web: {environment: [B=3], ports: ['81:81'], "
                             "command: [z]}, db: {image: b}}");
    compose_merge(base, over);
    is_json(base, "{\"services\":{\"web\":{\"image\":\"a\",\"environment\":{\"A\":\"1\",\"B\":"
                  "\"3\"},\"ports\":[{\"mode\":\"ingress\",\"target\":80,\"protocol\":\"tcp\","
                  "\"published\":80},{\"mode\":\"ingress\",\"target\":81,\"protocol\":\"tcp\","
                  "\"published\":81}],\"command\":[\"z\"]},\"db\":{\"image\":\"b\"}}}");
    json_decref(base);
    json_decref(over);
}
END_TEST

static const struct {
    const char *text, *part;
} bad[] = {
    {"services:\n  web:\n    imag: x\n",
     "c.yml:3: services.web.imag: unsupported key; did you mean \"image\"?"},
    {"services:\n  web:\n    mem_limit: 1g\n", "c.yml:3: services.web.mem_limit: this is not"},
    {"services:\n  web:\n    deploy:\n      replicas: many\n", "c.yml:4: "},
    {"services:\n  web: {image: 'x:${'}\n", "a } is missing"},
    {"version: '2'\n", "unsupported Compose file version: 2"},
    {"- a\n", "a compose file is a map"},
    {"services: {web: {ports: ['x']}}\n", "Invalid containerPort"},
    {"services: {web: {volumes: ['d:/d:what']}}\n", "invalid volume option \"what\""},
    {"services: {web: {environment: 5}}\n", "a map, or a list of KEY=value"},
    {"services: {web: {command: \"a 'b\"}}\n", "closing quote"},
};

START_TEST(mistakes_are_named_with_their_line)
{
    ck_assert_ptr_null(read_file(bad[_i].text));
    ck_assert_msg(strstr(err.message, bad[_i].part) != NULL, "%s", err.message);
}
END_TEST

static const struct {
    const char *text, *part;
} unfit[] = {
    {"services: {web: {}}", "services.web: image: an image is needed"},
    {"services: {web: {image: a, secrets: [none]}}", "undefined secret \"none\""},
    {"services: {web: {image: a, networks: [none]}}", "undefined network \"none\""},
    {"services: {web: {image: a, volumes: ['none:/a']}}", "undefined volume \"none\""},
    {"services: {web: {image: a, deploy: {mode: what}}}", "unknown mode: what"},
    {"services: {web: {image: a, stop_grace_period: soon}}", "stop_grace_period"},
    {"services: {web: {image: a}}\nsecrets: {s: {file: gone}}", "secrets.s: gone: no such file"},
    {"services: {}", "services: there is none"},
};

START_TEST(what_cannot_be_deployed_is_refused)
{
    json_t *project = read_file(unfit[_i].text);
    ck_assert_msg(project != NULL, "%s", err.message);
    struct compose_files files = {read_nothing, NULL, "/here", NULL};
    ck_assert_ptr_null(compose_convert(project, "st", &files, &arena, &err));
    ck_assert_msg(strstr(err.message, unfit[_i].part) != NULL, "%s", err.message);
    json_decref(project);
}
END_TEST

Suite *suite_compose(void);
Suite *suite_compose(void)
{
    Suite *suite = suite_create("compose");
    TCase *tc = tcase_create("compose");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, yaml_types_are_those_of_docker);
    tcase_add_test(tc, yaml_refuses_what_is_broken_or_endless);
    tcase_add_test(tc, variables_are_replaced);
    tcase_add_test(tc, a_stack_becomes_services);
    tcase_add_test(tc, a_second_file_is_laid_on_top);
    tcase_add_loop_test(tc, mistakes_are_named_with_their_line, 0, COUNT_OF(bad));
    tcase_add_loop_test(tc, what_cannot_be_deployed_is_refused, 0, COUNT_OF(unfit));
    suite_add_tcase(suite, tc);
    return suite;
}
