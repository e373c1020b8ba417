// Profiles are cut to what is for this container, and broken ones are refused in words.
#include <check.h>
#include <string.h>

#include "agent/oci/caps.h"
#include "agent/oci/seccomp.h"
#include "agent/oci/seccomp_bpf_io.h"
#include "proto/base/check.h"

static const char profile[] =
    "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
    "\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\"]},"
    "{\"architecture\":\"SCMP_ARCH_AARCH64\",\"subArchitectures\":[\"SCMP_ARCH_ARM\"]}],"
    "\"syscalls\":["
    "{\"names\":[\"read\",\"write\"],\"action\":\"SCMP_ACT_ALLOW\"},"
    "{\"names\":[\"only_s390\"],\"action\":\"SCMP_ACT_ALLOW\","
    "\"includes\":{\"arches\":[\"s390\"]}},"
    "{\"names\":[\"bpf\"],\"action\":\"SCMP_ACT_ALLOW\","
    "\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}},"
    "{\"names\":[\"no_bpf\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":1,"
    "\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}},"
    "{\"names\":[\"ptrace\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"minKernel\":\"4.8\"}},"
    "{\"names\":[\"future\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"minKernel\":\"99.0\"}},"
    "{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":"
    "[{\"index\":0,\"value\":8,\"op\":\"SCMP_CMP_EQ\"}]}]}";

static enum seccomp_kind kind;

static const char *write(const char *text, uint64_t caps, struct err *err)
{
    static struct buf buf;
    buf_fini(&buf);
    buf_init(&buf, 65536);
    struct json_out out;
    json_out_init(&out, &buf);
    json_out_object(&out, NULL);
    if (seccomp_write(text, strlen(text), kind, caps, "6.1.0-13-amd64", &out, "seccomp", err) != 0)
        return NULL;
    json_out_end(&out);
    ck_assert(json_out_done(&out));
    return buf_cstr(&buf);
}

START_TEST(rules_follow_capabilities_architecture_and_kernel)
{
    struct err err = ERR_INIT;
    const char *text = write(profile, caps_default(), &err);
    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_nonnull(strstr(text, "\"read\",\"write\""));
    ck_assert_ptr_null(strstr(text, "only_s390"));
    ck_assert_ptr_null(strstr(text, "\"bpf\""));
    ck_assert_ptr_nonnull(strstr(text, "\"no_bpf\""));
    ck_assert_ptr_nonnull(strstr(text, "ptrace"));
    ck_assert_ptr_null(strstr(text, "future"));
    ck_assert_ptr_nonnull(strstr(text, "\"defaultErrnoRet\":38"));
    ck_assert_ptr_nonnull(strstr(text, "\"errnoRet\":1"));
    ck_assert_ptr_nonnull(strstr(text, "\"op\":\"SCMP_CMP_EQ\""));
    ck_assert_ptr_null(strstr(text, "includes"));
    text = write(profile, CAPS_ALL, &err);
    ck_assert_ptr_nonnull(strstr(text, "\"bpf\""));
    ck_assert_ptr_null(strstr(text, "no_bpf"));
}
END_TEST

START_TEST(the_node_s_profile_is_never_wider_than_docker_s)
{
    static const char wide[] = "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":"
                               "[\"read\",\"clone\",\"clone3\",\"unshare\",\"mount\",\"keyctl\"],"
                               "\"action\":\"SCMP_ACT_ALLOW\"},{\"names\":[\"unshare\"],\"action\":"
                               "\"SCMP_ACT_ALLOW\"}]}";
    struct err err = ERR_INIT;
    kind = SECCOMP_NARROWED;
    const char *text = write(wide, caps_default(), &err);
    ck_assert_ptr_nonnull(strstr(text, "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"}"));
    ck_assert_ptr_nonnull(strstr(text, "{\"names\":[\"unshare\"],\"action\":\"SCMP_ACT_ERRNO\","
                                       "\"errnoRet\":1}"));
    ck_assert_ptr_nonnull(strstr(text, "{\"names\":[\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\","
                                       "\"errnoRet\":38}"));
    ck_assert_ptr_nonnull(strstr(text, "{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\","
                                       "\"args\":[{\"index\":0,\"value\":2114060288"));
    text = write(wide, CAPS_ALL, &err);
    ck_assert_ptr_nonnull(strstr(text, "[\"read\",\"clone\",\"clone3\",\"unshare\",\"mount\"]"));
    ck_assert_ptr_nonnull(strstr(text, "{\"names\":[\"keyctl\"],\"action\":\"SCMP_ACT_ERRNO\""));
    kind = SECCOMP_AS_IS;
    text = write(wide, 0, &err);
    ck_assert_ptr_nonnull(strstr(text, "\"mount\",\"keyctl\"],\"action\":\"SCMP_ACT_ALLOW\""));
}
END_TEST

START_TEST(broken_profiles_are_refused)
{
    static const char *const broken[] = {
        "",
        "[]",
        "{}",
        "{\"defaultAction\":\"ALLOW\"}",
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"action\":\"SCMP_ACT_ALLOW\"}]}",
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[1],\"action\":"
        "\"SCMP_ACT_ALLOW\"}]}",
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"a\"],\"action\":"
        "\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":6,\"op\":\"SCMP_CMP_EQ\"}]}]}",
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"a\"],\"name\":\"b\","
        "\"action\":\"SCMP_ACT_ALLOW\"}]}",
    };
    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        struct err err = ERR_INIT;
        ck_assert_msg(!write(broken[i], 0, &err), "%s", broken[i]);
        ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    }
}
END_TEST

START_TEST(a_profile_is_compiled_to_a_program)
{
    struct err err = ERR_INIT;
    struct buf program;
    buf_init(&program, 65536);
    const char *text = write(profile, caps_default(), &err);
    json_t *json = json_parse(text, strlen(text), &err);
    json_t *seccomp = json_object_get(json, "seccomp");
    ck_assert_msg(seccomp_compile(seccomp, &program, &err) == 0, "%s", err.message);
    // Instructions of eight bytes each; names that nobody knows ("future") were passed over.
    ck_assert_uint_gt(program.len, 8);
    ck_assert_uint_eq(program.len % 8, 0);
    json_object_set_new(seccomp, "flags", json_pack("[s]", "SECCOMP_FILTER_FLAG_LOG"));
    ck_assert_int_eq(seccomp_compile(seccomp, &program, &err), -ERR_UNIMPLEMENTED);
    json_decref(json);
    buf_fini(&program);
}
END_TEST

Suite *suite_seccomp(void);
Suite *suite_seccomp(void)
{
    Suite *suite = suite_create("seccomp");
    TCase *tcase = tcase_create("seccomp");
    tcase_add_test(tcase, rules_follow_capabilities_architecture_and_kernel);
    tcase_add_test(tcase, the_node_s_profile_is_never_wider_than_docker_s);
    tcase_add_test(tcase, broken_profiles_are_refused);
    tcase_add_test(tcase, a_profile_is_compiled_to_a_program);
    suite_add_tcase(suite, tcase);
    return suite;
}
