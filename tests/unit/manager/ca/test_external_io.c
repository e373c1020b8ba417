// Authorities that do not answer, or answer badly, over real connections.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "manager/ca/external_io.h"
#include "proto/base/arena.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/certificate.h"
#include "proto/identity/key.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/rootca.h"
#include "proto/identity/x509.h"
#include "proto/net/listener_io.h"

#define WAIT_MS 60000

static struct loop loop;
static struct arena arena;
static struct credentials credentials; // the manager's
static char *root_pem, *other_root_pem;
static struct listener *listener;
static const char *reply; // what the server sends to a request; NULL: nothing
static size_t reply_fill; // and so many bytes behind it
static bool hangs_up;     // instead of an answer
static size_t requests;
static char request_seen[8192];

// ---- a server ----------------------------------------------------------------------------------

static void serve_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    (void)owner;
    size_t used = strlen(request_seen);
    ck_assert_uint_lt(used + size, sizeof request_seen);
    memcpy(request_seen + used, bytes, size);
    if (!strstr(request_seen, "{}"))
        return; // the body has not come yet
    requests++;
    if (hangs_up) {
        conn_close(conn, NULL);
    } else if (reply) {
        conn_write(conn, reply, strlen(reply));
        char fill[1024];
        memset(fill, 'x', sizeof fill);
        for (size_t i = 0; i < reply_fill; i += sizeof fill)
            conn_write(conn, fill, sizeof fill);
    }
}

static void serve_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    (void)owner;
    (void)why;
}

static const struct conn_handler serve_handler = {.on_data = serve_data, .on_close = serve_close};

static void on_accept(struct listener *from, struct conn *conn, void *owner)
{
    (void)from;
    size_t size;
    bool verified;
    ck_assert_ptr_nonnull(tls_session_peer(conn_tls(conn), &size, &verified));
    ck_assert(verified); // the manager shows its own certificate
    conn_set_handler(conn, &serve_handler, owner);
}

// A certificate of the root for that name and key.
static char *certificate_for(const char *name, const char *key_pem, const char *root_key_pem)
{
    struct key key, root_key;
    struct buf subject, public_key, pem;
    struct x509_issuer root;
    unsigned char identifier[KEY_SHA1_BYTES];
    ck_assert_int_eq(key_parse_pem(&key, key_pem, strlen(key_pem), NULL), 0);
    ck_assert_int_eq(key_parse_pem(&root_key, root_key_pem, strlen(root_key_pem), NULL), 0);
    ck_assert_int_eq(x509_issuer(root_pem, root_pem, &root, NULL), 0);
    buf_init(&subject, 4096);
    buf_init(&public_key, 4096);
    buf_init(&pem, 65536);
    ck_assert(certificate_name("cluster1", "swarm-manager", "node1", &subject));
    key_write_public(&key.pk, &public_key);
    key_identifier(&key.pk, identifier);
    struct certificate certificate = {
        .issuer = cursor_of(root.subject.data, root.subject.len),
        .subject = cursor_of(subject.data, subject.len),
        .not_before = {.ns = INT64_C(1500000000) * NS_PER_S},
        .not_after = {.ns = INT64_C(2500000000) * NS_PER_S},
        .public_key = cursor_of(public_key.data, public_key.len),
        .dns_names = {name},
        .dns_names_count = 1,
        .key_identifier = cursor_of(identifier, sizeof identifier),
    };
    certificate_sign(&certificate, &root_key, &rng_kernel, &pem);
    char *text = arena_strdup(&arena, buf_cstr(&pem));
    key_fini(&key);
    key_fini(&root_key);
    x509_issuer_fini(&root);
    buf_fini(&subject);
    buf_fini(&public_key);
    buf_fini(&pem);
    return text;
}

static char *make_root(char **key_pem)
{
    struct buf cert, key;
    struct wall then = {.ns = INT64_C(1500000000) * NS_PER_S};
    buf_init(&cert, 65536);
    buf_init(&key, 65536);
    rootca_make(&rng_kernel, then, &cert, &key);
    char *text = arena_strdup(&arena, buf_cstr(&cert));
    *key_pem = arena_strdup(&arena, buf_cstr(&key));
    buf_fini(&cert);
    buf_fini(&key);
    return text;
}

static void set_up(void)
{
    char *root_key_pem, *unused;
    struct key key;
    struct buf key_pem;
    struct err err = ERR_INIT;
    loop_init(&loop);
    arena_init(&arena, SIZE_MAX);
    root_pem = make_root(&root_key_pem);
    other_root_pem = make_root(&unused);
    key_make(&key, &rng_kernel);
    buf_init(&key_pem, 4096);
    key_write_pem(&key, &key_pem);
    key_fini(&key);
    const char *text = buf_cstr(&key_pem);
    char *own = certificate_for("swarm-manager", text, root_key_pem);
    ck_assert_int_eq(credentials_init(&credentials, own, text, root_pem, &err), 0);
    struct tls_options tls = {.server = true,
                              .verify = TLS_VERIFY_REQUIRED,
                              .chain_pem = certificate_for("ca.test", text, root_key_pem),
                              .key_pem = text,
                              .roots_pem = root_pem,
                              .rng = &rng_kernel};
    struct listener_options options = {.fd = -1, .on_accept = on_accept};
    options.tls = tls_config_new(&tls, &err);
    ck_assert_msg(options.tls != NULL, "%s", err.message);
    ck_assert_int_eq(addr_parse("127.0.0.1:0", 1, &options.addr, NULL), 0);
    listener = listener_open(&loop, &options, &err);
    ck_assert_msg(listener != NULL, "%s", err.message);
    tls_config_unref(options.tls);
    buf_fini(&key_pem);
    reply = NULL;
    reply_fill = requests = 0;
    hangs_up = false;
    request_seen[0] = '\0';
}

static void tear_down(void)
{
    listener_close(listener, NULL);
    loop_fini(&loop);
    credentials_fini(&credentials);
    arena_fini(&arena);
}

// ---- names -------------------------------------------------------------------------------------

// One lookup at a time, answered in the loop's next turn; or never.
static struct external_lookup *looking;
static struct loop_later answering;
static bool mute;
static size_t forgotten;

static void answer_lookup(struct loop_later *later)
{
    static const uint8_t here[] = {127, 0, 0, 1};
    struct addr addr = addr_of_ip(here, sizeof here, 0);
    struct external_lookup *lookup = looking;
    (void)later;
    looking = NULL;
    lookup->found(lookup, &addr, 1, NULL);
}

static void look_up(void *ctx, const char *name, struct external_lookup *lookup)
{
    (void)ctx;
    ck_assert_str_eq(name, "ca.test");
    ck_assert_ptr_null(looking);
    looking = lookup;
    if (mute)
        return;
    loop_later_init(&answering, &loop, answer_lookup);
    loop_later_ask(&answering);
}

static void forget(void *ctx, struct external_lookup *lookup)
{
    (void)ctx;
    ck_assert_ptr_eq(looking, lookup);
    if (!mute)
        loop_later_cancel(&answering);
    looking = NULL;
    forgotten++;
}

// ---- asking ------------------------------------------------------------------------------------

struct asked {
    bool done;
    bool good;
    struct err err;
    size_t taken;
};

static int take(void *owner, int status, const void *bytes, size_t size, struct err *err)
{
    struct asked *asked = owner;
    asked->taken++;
    if (status == 200 && size == 2 && memcmp(bytes, "ok", 2) == 0)
        return 0;
    return err_set(err, ERR_ABORTED, "status %d", status);
}

static void done(void *owner, const struct err *err)
{
    struct asked *asked = owner;
    asked->done = true;
    asked->good = err == NULL;
    if (err)
        asked->err = *err;
}

static bool is_done(void *ctx)
{
    return ((struct asked *)ctx)->done;
}

static struct external_way way = {.loop = &loop,
                                  .rng = &rng_kernel,
                                  .credentials = &credentials,
                                  .look_up = look_up,
                                  .forget = forget};

static const char *url_here(void)
{
    return arena_printf(&arena, "https://ca.test:%u/sign?x=1", listener_addr(listener)->port);
}

static struct external_call *start(struct asked *asked, const char *const *urls, size_t count,
                                   bool posts)
{
    *asked = (struct asked){.done = false};
    return external_ask(&(struct external_ask){.way = &way,
                                               .urls = urls,
                                               .urls_count = count,
                                               .roots_pem = root_pem,
                                               .body = posts ? "{}" : NULL,
                                               .body_size = posts ? 2 : 0,
                                               .take = posts ? take : NULL,
                                               .done = done,
                                               .owner = asked});
}

static void ask(struct asked *asked, const char *const *urls, size_t count, bool posts)
{
    start(asked, urls, count, posts);
    ck_assert(!asked->done);
    ck_assert_msg(loop_run_until(&loop, is_done, asked, WAIT_MS), "no end");
}

START_TEST(a_good_answer_ends_it)
{
    struct asked asked;
    const char *urls[] = {"https://127.0.0.1:1/", url_here(), "https://127.0.0.1:1/"};
    reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    ask(&asked, urls, 3, true);
    ck_assert_msg(asked.good, "%s", asked.err.message);
    ck_assert_uint_eq(requests, 1);
    ck_assert(str_starts(request_seen, "POST /sign?x=1 HTTP/1.1\r\n"));
    ck_assert_ptr_nonnull(strstr(request_seen, "\r\nHost: ca.test:"));
    ck_assert_ptr_nonnull(strstr(request_seen, "\r\nContent-Type: application/json\r\n"));
    ask(&asked, urls, 3, false);
    ck_assert_msg(asked.good, "%s", asked.err.message);
    ck_assert_uint_eq(requests, 1);
}
END_TEST

START_TEST(a_bad_answer_is_the_next_ones_turn)
{
    struct asked asked;
    const char *urls[] = {url_here(), url_here()};
    reply = "HTTP/1.1 500 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    ask(&asked, urls, 1, true);
    ck_assert(!asked.good);
    ck_assert_int_eq(asked.err.code, ERR_ABORTED);
    ck_assert_msg(str_starts(asked.err.message, urls[0]), "%s", asked.err.message);
    reply = "rubbish\r\n\r\n";
    request_seen[0] = '\0';
    ask(&asked, urls, 1, true);
    ck_assert_int_eq(asked.err.code, ERR_UNAVAILABLE);
    ck_assert_uint_eq(asked.taken, 0);
    request_seen[0] = '\0';
    hangs_up = true;
    ask(&asked, urls, 1, true);
    ck_assert_int_eq(asked.err.code, ERR_UNAVAILABLE);
    ck_assert_uint_eq(requests, 3);
}
END_TEST

START_TEST(an_endless_answer_is_cut_off)
{
    struct asked asked;
    const char *url = url_here();
    reply = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    reply_fill = EXTERNAL_ANSWER_BYTES_MAX + 65536;
    ask(&asked, &url, 1, true);
    ck_assert_int_eq(asked.err.code, ERR_UNAVAILABLE);
    ck_assert_msg(strstr(asked.err.message, "larger than") != NULL, "%s", asked.err.message);
    ck_assert_uint_eq(asked.taken, 0);
}
END_TEST

START_TEST(nobody_is_waited_for_long)
{
    struct asked asked, other;
    const char *url = url_here();
    way.answer_ms = 300;
    reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"; // the last byte never comes
    ask(&asked, &url, 1, true);
    ck_assert_int_eq(asked.err.code, ERR_UNAVAILABLE);
    ck_assert_msg(strstr(asked.err.message, "no answer in time") != NULL, "%s", asked.err.message);
    mute = true;
    ask(&other, &url, 1, true);
    ck_assert_int_eq(other.err.code, ERR_UNAVAILABLE);
    ck_assert_uint_eq(forgotten, 1);
    mute = false;
    way.answer_ms = 0;
}
END_TEST

START_TEST(a_server_under_another_root_or_name_gets_nothing)
{
    struct asked asked;
    const char *url = url_here();
    char *mine = root_pem;
    reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    root_pem = other_root_pem;
    ask(&asked, &url, 1, true);
    ck_assert_int_eq(asked.err.code, ERR_UNAVAILABLE);
    root_pem = mine;
    url = arena_printf(&arena, "https://127.0.0.1:%u/", listener_addr(listener)->port);
    ask(&asked, &url, 1, true);
    ck_assert_int_eq(asked.err.code, ERR_UNAVAILABLE);
    ck_assert_uint_eq(requests, 0);
    ask(&asked, NULL, 0, true);
    ck_assert_int_eq(asked.err.code, ERR_UNAVAILABLE);
}
END_TEST

static bool has_request(void *ctx)
{
    (void)ctx;
    return requests > 0;
}

START_TEST(what_is_broken_off_says_nothing_more)
{
    struct asked asked;
    const char *url = url_here();
    external_cancel(start(&asked, &url, 1, true)); // before anything
    mute = true;
    struct external_call *call = start(&asked, &url, 1, true);
    while (!looking)
        ck_assert(!loop_run_until(&loop, is_done, &asked, 10));
    external_cancel(call); // within the lookup
    ck_assert_uint_eq(forgotten, 1);
    mute = false;
    call = start(&asked, &url, 1, true);
    ck_assert(loop_run_until(&loop, has_request, NULL, WAIT_MS));
    external_cancel(call); // with the request out
    ck_assert(!loop_run_until(&loop, is_done, &asked, 50));
}
END_TEST

Suite *suite_external_io(void);
Suite *suite_external_io(void)
{
    Suite *suite = suite_create("external_io");
    TCase *tcase = tcase_create("external_io");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_good_answer_ends_it);
    tcase_add_test(tcase, a_bad_answer_is_the_next_ones_turn);
    tcase_add_test(tcase, an_endless_answer_is_cut_off);
    tcase_add_test(tcase, nobody_is_waited_for_long);
    tcase_add_test(tcase, a_server_under_another_root_or_name_gets_nothing);
    tcase_add_test(tcase, what_is_broken_off_says_nothing_more);
    suite_add_tcase(suite, tcase);
    return suite;
}
