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
    if (strcmp(path, "env.txt") == 0)
        return "K=v";
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
    {"version: '3.14'\n", "unsupported Compose file version: 3.14"},
    {"version: '30'\n", "unsupported Compose file version: 30"},
    {"services: {web: {cpuset: '1'}}\n", "not supported in a swarm; set deploy.resources"},
    {"volumes: {v: {x-cluster-spec: {}}}\n", "volumes.v.x-cluster-spec: this is not supported"},
    {"services: {web: {ulimits: {core: many}}}\n", "services.web.ulimits.core: \"many\" is no"},
    {"services: {web: {ulimits: {core: {sofd: 1}}}}\n", "did you mean \"soft\"?"},
    {"services: {web: {ulimits: x}}\n", "a map is wanted here"},
    {"services: {web: {extra_hosts: [x]}}\n", "extra_hosts.0: bad format for add-host"},
    {"services: {web: {extra_hosts: x}}\n", "a map, or a list of name:address"},
    {"networks: {n: {external: perhaps}}\n", "\"perhaps\" is neither true nor false"},
    {"services: {web: {healthcheck: {test: {}}}}\n", "a single value is wanted here"},
    {"configs: {c: {driver: x}}\n", "configs.c.driver: unsupported key"},
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
    {"services: {web: {image: a, volumes: [{type: bind, target: /a}]}}", "needs a source"},
    {"services: {web: {image: a, volumes: [{type: tmpfs, target: /a, source: b}]}}",
     "has no source"},
    {"services: {web: {image: a, volumes: [{type: tmpfs, target: /a, bind: {propagation: a}}]}}",
     "bind options do not fit the type tmpfs"},
    {"services: {web: {image: a, volumes: [{type: cluster, target: /a}]}}",
     "unsupported type \"cluster\""},
    {"services: {web: {image: a}}\nvolumes: {v: {external: true, driver: a}}",
     "volumes.v: either external or driver, not both"},
    {"services: {web: {image: a}}\nsecrets: {s: {file: data.txt, driver: a}}", "not both"},
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

// Every key of the format's versions 3.0 to 3.13, each with a value, in the place where it belongs.
static const struct {
    const char *file; // with a hole, @
    const char *keys; // what goes into it, separated by ';'
} places[] = {
    {"services: {a: {image: b, @}}",
     "command: x;entrypoint: x;environment: {A: b};env_file: env.txt;labels: [a=b];"
     "deploy: {replicas: 2};"
     "ports: ['80:80'];networks: [n];volumes: ['v:/v'];secrets: [s];configs: [c];"
     "hostname: h;user: u;"
     "healthcheck: {test: x};logging: {driver: none};working_dir: /w;stop_signal: INT;tmpfs: /t;"
     "stop_grace_period: 1s;stdin_open: true;tty: true;read_only: true;init: true;"
     "isolation: default;"
     "extra_hosts: ['a:1.1.1.1'];dns: 1.1.1.1;dns_search: a;dns_opt: a;sysctls: {a: b};"
     "cap_add: [A];"
     "cap_drop: [A];ulimits: {core: 1};group_add: [g];oom_score_adj: 5;credential_spec: {file: f};"
     "restart: always;build: .;cgroup_parent: x;cgroupns_mode: host;container_name: x;"
     "devices: [x];"
     "domainname: x;expose: ['1'];external_links: [x];ipc: host;links: [x];mac_address: x;"
     "network_mode: host;pid: host;privileged: true;security_opt: [x];shm_size: 1m;"
     "userns_mode: host;"
     "platform: x;cpu_quota: 1;cpu_shares: 1;cpuset: x;extends: x;mem_limit: 1m;memswap_limit: 1m;"
     "volume_driver: x;volumes_from: [x];credential_spec: {config: c};"
     "credential_spec: {registry: r}"},
    {"services: {a: {image: b, deploy: {mode: global, @}}}",
     "endpoint_mode: dnsrr;labels: [a=b];update_config: {order: start-first};"
     "rollback_config: {delay: 1s};"
     "resources: {limits: {cpus: '1'}};restart_policy: {condition: none};"
     "placement: {constraints: [a==b]}"},
    {"services: {a: {image: b, deploy: {update_config: {parallelism: 7, @}}}}",
     "delay: 1s;failure_action: continue;monitor: 1s;max_failure_ratio: 0.5;order: start-first"},
    {"services: {a: {image: b, deploy: {rollback_config: {parallelism: 7, @}}}}",
     "delay: 1s;failure_action: continue;monitor: 1s;max_failure_ratio: 0.5;order: start-first"},
    {"services: {a: {image: b, deploy: {resources: {@}}}}",
     "limits: {cpus: 0.5};limits: {memory: 1m};limits: {pids: 5};reservations: {cpus: 0.5};"
     "reservations: {memory: 1m};"
     "reservations: {generic_resources: [{discrete_resource_spec: {kind: a, value: 1}}]}"},
    {"services: {a: {image: b, deploy: {restart_policy: {@}}}}",
     "condition: none;delay: 1s;max_attempts: 5;window: 1s"},
    {"services: {a: {image: b, deploy: {placement: {@}}}}",
     "constraints: [a==b];preferences: [{spread: a}];max_replicas_per_node: 1"},
    {"services: {a: {image: b, healthcheck: {@}}}",
     "test: [NONE];interval: 1s;timeout: 1s;retries: 1;start_period: 1s;start_interval: 1s;"
     "disable: true"},
    {"services: {a: {image: b, logging: {@}}}", "driver: none;options: {a: b}"},
    {"services: {a: {image: b, ports: [{target: 1, @}]}}", "mode: host;published: 5;"
                                                           "protocol: udp"},
    {"services: {a: {image: b, volumes: [{type: volume, source: v, target: /v, @}]}}",
     "read_only: true;consistency: x;volume: {nocopy: true};volume: {subpath: x}"},
    {"services: {a: {image: b, volumes: [{type: bind, source: /v, target: /v, @}]}}",
     "bind: {propagation: rslave}"},
    {"services: {a: {image: b, volumes: [{type: tmpfs, target: /v, @}]}}",
     "tmpfs: {size: 5};tmpfs: {mode: 5};volume: {nocopy: true};source: x"},
    {"services: {a: {image: b, secrets: [{source: s, @}]}}", "target: t;uid: 5;gid: 5;mode: 0400"},
    {"services: {a: {image: b, configs: [{source: c, @}]}}", "target: t;uid: 5;gid: 5;mode: 0400"},
    {"services: {a: {image: b, networks: {n: {@}}}}",
     "aliases: [x];driver_opts: {a: b};ipv4_address: 1.1.1.1;ipv6_address: x"},
    {"services: {a: {image: b, ulimits: {core: {hard: 7, @}}}}", "soft: 5"},
    {"services: {a: {image: b, networks: [m]}}\nnetworks: {m: {@}}",
     "name: x;driver: x;driver_opts: {a: b};ipam: {driver: x};ipam: {options: {a: b}};"
     "external: true;"
     "external: {name: x};internal: true;attachable: true;labels: {a: b};enable_ipv6: true;"
     "ipam: {config: [{subnet: x}]};ipam: {config: [{gateway: x}]};"
     "ipam: {config: [{ip_range: x}]};"
     "ipam: {config: [{aux_addresses: {a: b}}]}"},
    {"services: {a: {image: b, volumes: ['w:/w']}}\nvolumes: {w: {@}}",
     "name: x;driver: x;driver_opts: {a: b};external: true;external: {name: x};labels: {a: b};"
     "x-cluster-spec: {group: x}"},
    {"services: {a: {image: b}}\nsecrets: {t: {driver: x, @}}",
     "name: x;driver_opts: {a: b};labels: {a: b};template_driver: x;file: data.txt;"
     "external: true"},
    {"services: {a: {image: b}}\nconfigs: {t: {file: data.txt, @}}",
     "name: x;labels: {a: b};template_driver: x;external: true;driver: x"},
};

// What becomes of the file, as text with its warnings; "" when it is refused. (No variables and no
// other file takes part.)
static char *outcome(const char *text)
{
    static const char others[] =
        "\nnetworks: {n: {}}\nvolumes: {v: {}}\nsecrets: {s: {file: data.txt}}"
        "\nconfigs: {c: {file: data.txt}}\n";
    struct compose_files files = {read_nothing, NULL, "/here", NULL};
    json_t *noted = json_array(), *all = NULL;
    json_t *project = compose_read("c.yml", text, strlen(text), NULL, noted, &arena, &err);
    json_t *around = compose_read("o.yml", others, strlen(others), NULL, noted, &arena, &err);
    if (project) {
        compose_merge(around, project);
        all = compose_convert(around, "st", &files, &arena, &err);
    }
    if (all)
        json_object_set(all, "warnings", noted);
    char *said = all ? json_dumps(all, JSON_SORT_KEYS) : strdup("");
    json_decref(all);
    json_decref(project);
    json_decref(around);
    json_decref(noted);
    return said;
}

static const char *filled(const char *file, const char *key)
{
    int before = (int)strcspn(file, "@");
    return arena_printf(&arena, "%.*s%s%s", before, file, key, file + before + 1);
}

START_TEST(no_key_is_ignored_in_silence)
{
    char *plain = outcome(filled(places[_i].file, ""));
    ck_assert_str_ne(plain, "");
    char *keys = strdup(places[_i].keys), *rest = keys, *key;
    while ((key = strsep(&rest, ";"))) {
        err_clear(&err);
        char *said = outcome(filled(places[_i].file, key));
        if (strcmp(said, "") == 0)
            ck_assert_msg(strstr(err.message, "unsupported key") == NULL ||
                              strcmp(key, "driver: x") == 0,
                          "%s: %s", key, err.message);
        ck_assert_msg(strcmp(said, plain) != 0, "nothing comes of %s in %s", key, places[_i].file);
        free(said);
    }
    free(plain);
    free(keys);
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
    tcase_add_loop_test(tc, no_key_is_ignored_in_silence, 0, COUNT_OF(places));
    suite_add_tcase(suite, tc);
    return suite;
}
