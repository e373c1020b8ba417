// Options with a grammar of their own: what becomes of good ones, and which bad ones are refused.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/common.h"
#include "cmd/skep/demux.h"
#include "cmd/skep/format.h"
#include "cmd/skep/parse.h"

static struct arena arena;
static struct err err;

static void setup(void)
{
    arena_init(&arena, 1 << 20);
    err_clear(&err);
}

static void teardown(void)
{
    arena_fini(&arena);
}

// Compares with JSON text and gives the value back.
static void is_json(json_t *value, const char *wanted)
{
    ck_assert_msg(value != NULL, "%s", err.message);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    ck_assert_str_eq(text, wanted);
    free(text);
    json_decref(value);
}

START_TEST(images_get_their_familiar_names)
{
    static const char *const rows[][2] = {
        {"web", "web:latest"},
        {"web:1", "web:1"},
        {"docker.io/library/web:1", "web:1"},
        {"index.docker.io/me/web", "me/web:latest"},
        {"localhost:5000/a/b", "localhost:5000/a/b:latest"},
        {"reg.example/a_b/c-d.e:v1.2-x", "reg.example/a_b/c-d.e:v1.2-x"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_str_eq(parse_image(rows[i][0], &arena, &err), rows[i][1]);
    static const char *const bad[] = {"",     "Web",    "a b",  "web:",    "web@sha256:12",
                                      "/web", "web//x", "-web", "web:a:b", ":1"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(parse_image(bad[i], &arena, &err) == NULL, "%s", bad[i]);
}
END_TEST

START_TEST(service_ports_are_expanded)
{
    json_t *ports = json_array();
    ck_assert_int_eq(parse_service_port("8080:80", ports, &arena, &err), 0);
    ck_assert_int_eq(parse_service_port("9000-9001:90-91/udp", ports, &arena, &err), 0);
    ck_assert_int_eq(parse_service_port("published=81,target=82,mode=host", ports, &arena, &err),
                     0);
    ck_assert_int_eq(parse_service_port("70", ports, &arena, &err), 0);
    is_json(ports,
            "[{\"Protocol\":\"tcp\",\"TargetPort\":80,\"PublishedPort\":8080,\"PublishMode\":"
            "\"ingress\"},{\"Protocol\":\"udp\",\"TargetPort\":90,\"PublishedPort\":9000,"
            "\"PublishMode\":\"ingress\"},{\"Protocol\":\"udp\",\"TargetPort\":91,"
            "\"PublishedPort\":9001,\"PublishMode\":\"ingress\"},{\"Protocol\":\"tcp\","
            "\"TargetPort\":82,\"PublishedPort\":81,\"PublishMode\":\"host\"},{\"Protocol\":"
            "\"tcp\",\"TargetPort\":70,\"PublishMode\":\"ingress\"}]");
    static const char *const bad[] = {"",
                                      "x",
                                      "80:x",
                                      "1-3:5-6",
                                      "80/icmp",
                                      "99999",
                                      "target=80,what=1",
                                      "published=1",
                                      "127.0.0.1:80:80",
                                      "0",
                                      "target=0"};
    ports = json_array();
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(parse_service_port(bad[i], ports, &arena, &err) < 0, "%s", bad[i]);
    json_decref(ports);
}
END_TEST

START_TEST(container_ports_keep_their_addresses)
{
    json_t *bindings = json_object(), *exposed = json_object();
    ck_assert_int_eq(parse_container_port("127.0.0.1:8080:80", bindings, exposed, &arena, &err), 0);
    ck_assert_int_eq(parse_container_port("[::1]:81:81/udp", bindings, exposed, &arena, &err), 0);
    ck_assert_int_eq(parse_container_port("8000-8010:90", bindings, exposed, &arena, &err), 0);
    ck_assert_int_eq(parse_container_port("99", bindings, exposed, &arena, &err), 0);
    is_json(bindings, "{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8080\"}],"
                      "\"81/udp\":[{\"HostIp\":\"::1\",\"HostPort\":\"81\"}],"
                      "\"90/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8000-8010\"}],"
                      "\"99/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"\"}]}");
    json_decref(exposed);
}
END_TEST

START_TEST(mounts_become_what_the_api_wants)
{
    is_json(
        parse_mount("type=bind,source=/a,target=/b,readonly,bind-propagation=rslave", &arena, &err),
        "{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/b\",\"ReadOnly\":true,"
        "\"BindOptions\":{\"Propagation\":\"rslave\"}}");
    is_json(parse_mount("src=v,dst=/d,\"volume-opt=o=a,b\",volume-label=x=y", &arena, &err),
            "{\"Type\":\"volume\",\"Source\":\"v\",\"Target\":\"/d\",\"VolumeOptions\":{"
            "\"DriverConfig\":{\"Options\":{\"o\":\"a,b\"}},\"Labels\":{\"x\":\"y\"}}}");
    is_json(parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770", &arena, &err),
            "{\"Type\":\"tmpfs\",\"Target\":\"/t\",\"TmpfsOptions\":{\"SizeBytes\":1048576,"
            "\"Mode\":1016}}");
    static const char *const bad[] = {"",
                                      "type=bind",
                                      "target=/a,what=1",
                                      "readonly=maybe,target=/",
                                      "type=tmpfs,target=/t,tmpfs-size=x",
                                      "\"target=/a",
                                      "type=bind,source=/a,target=/b,volume-nocopy"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(parse_mount(bad[i], &arena, &err) == NULL, "%s", bad[i]);
}
END_TEST

START_TEST(references_and_limits)
{
    is_json(parse_file_reference("s1", "Secret", &arena, &err),
            "{\"File\":{\"UID\":\"0\",\"GID\":\"0\",\"Mode\":292,\"Name\":\"s1\"},"
            "\"SecretName\":\"s1\"}");
    is_json(parse_file_reference("source=c,target=/etc/c,mode=0400,uid=7", "Config", &arena, &err),
            "{\"File\":{\"UID\":\"7\",\"GID\":\"0\",\"Mode\":256,\"Name\":\"/etc/c\"},"
            "\"ConfigName\":\"c\"}");
    ck_assert_ptr_null(parse_file_reference("target=x", "Secret", &arena, &err));
    ck_assert_ptr_null(parse_file_reference("source=x,mode=9", "Secret", &arena, &err));
    is_json(parse_network("name=n,alias=a,driver-opt=k=v", &arena, &err),
            "{\"Target\":\"n\",\"Aliases\":[\"a\"],\"DriverOpts\":{\"k\":\"v\"}}");
    ck_assert_ptr_null(parse_network("alias=a", &arena, &err));
    is_json(parse_ulimit("nofile=1024:2048", &err),
            "{\"Name\":\"nofile\",\"Hard\":2048,\"Soft\":1024}");
    ck_assert_ptr_null(parse_ulimit("nofile=9:1", &err));
    ck_assert_ptr_null(parse_ulimit("what=1", &err));
    ck_assert_str_eq(parse_host("db:10.0.0.1", &arena, &err), "10.0.0.1 db");
    ck_assert_ptr_null(parse_host("db", &arena, &err));
    ck_assert_str_eq(parse_capability("net_admin", &arena), "CAP_NET_ADMIN");
}
END_TEST

static const char *look_up(const char *name)
{
    return strcmp(name, "HOME") == 0 ? "/root" : NULL;
}

START_TEST(environments_and_command_lines)
{
    json_t *env = json_array(), *words = json_array();
    ck_assert_int_eq(parse_env_file("\xef\xbb\xbf# note\nA=1\r\n\n  B=two words\nHOME\nNONE\n",
                                    look_up, env, &arena, &err),
                     0);
    is_json(env, "[\"A=1\",\"B=two words\",\"HOME=/root\"]");
    env = json_array();
    ck_assert_int_lt(parse_env_file("A=1\nB C=2\n", look_up, env, &arena, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.message, "line 2"));
    json_decref(env);
    ck_assert_int_eq(parse_words("sh -c \"a 'b' \\\"c\" d\\ e ''", words, &arena, &err), 0);
    is_json(words, "[\"sh\",\"-c\",\"a 'b' \\\"c\",\"d e\",\"\"]");
    words = json_array();
    ck_assert_int_lt(parse_words("a 'b", words, &arena, &err), 0);
    json_decref(words);
}
END_TEST

START_TEST(json_is_indented_as_go_does_it)
{
    static const char json[] = "{\"a\":[],\"b\":{},\"c\":[1,{\"d\":\"x\\\"{\"}]}";
    struct buf out;
    buf_init(&out, 4096);
    format_indent(json, strlen(json), "  ", &out);
    ck_assert_str_eq(buf_cstr(&out), "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    {\n"
                                     "      \"d\": \"x\\\"{\"\n    }\n  ]\n}");
    buf_fini(&out);
}
END_TEST

struct heard {
    char text[64];
    size_t length;
};

static void hear(void *owner, int stream, const uint8_t *bytes, size_t size)
{
    struct heard *heard = owner;
    for (size_t i = 0; i < size; i++) {
        heard->text[heard->length++] = (char)('0' + stream);
        heard->text[heard->length++] = (char)bytes[i];
    }
}

START_TEST(frames_are_taken_apart_in_any_cut)
{
    static const uint8_t bytes[] = {1, 0, 0, 0, 0,   0, 0, 2, 'a', 'b', 2, 0, 0, 0,
                                    0, 0, 0, 1, 'c', 1, 0, 0, 0,   0,   0, 0, 0};
    for (size_t step = 1; step <= sizeof bytes; step++) {
        struct demux demux = {0};
        struct heard heard = {0};
        for (size_t i = 0; i < sizeof bytes; i += step) {
            size_t part = sizeof bytes - i < step ? sizeof bytes - i : step;
            ck_assert_int_eq(demux_feed(&demux, bytes + i, part, hear, &heard, &err), 0);
        }
        ck_assert_str_eq(heard.text, "1a1b2c");
    }
    struct demux demux = {0};
    ck_assert_int_lt(demux_feed(&demux, (const uint8_t *)"plain text", 10, hear, NULL, &err), 0);
}
END_TEST

Suite *suite_parse(void);
Suite *suite_parse(void)
{
    Suite *suite = suite_create("parse");
    TCase *tc = tcase_create("parse");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, images_get_their_familiar_names);
    tcase_add_test(tc, service_ports_are_expanded);
    tcase_add_test(tc, container_ports_keep_their_addresses);
    tcase_add_test(tc, mounts_become_what_the_api_wants);
    tcase_add_test(tc, references_and_limits);
    tcase_add_test(tc, environments_and_command_lines);
    tcase_add_test(tc, json_is_indented_as_go_does_it);
    tcase_add_test(tc, frames_are_taken_apart_in_any_cut);
    suite_add_tcase(suite, tc);
    return suite;
}
