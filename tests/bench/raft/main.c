// A Raft group to be measured, and its load; tests/bench/raft.sh runs it beside etcd's.
//
//   bench_raft member DIR CERTS NAME ADDR [JOIN]     serves as one member until SIGTERM
//   bench_raft load ADDR CERTS PROPOSERS SECONDS [COUNT]
//   bench_raft probe CERTS ADDR...                   after a line of input tells how long the
//                                                    next gap between two writes was
//
// CERTS is a folder with ca.pem, and NAME.pem and NAME.key of each member and of "client".
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "tests/bench/raft/raft_bench.h"

_Noreturn void bench_die(const struct err *err)
{
    fprintf(stderr, "%s: %s\n", err_code_name(err->code), err->message);
    exit(1);
}

static char *read_pem(const char *folder, const char *name, const char *ending)
{
    struct buf text;
    struct err err = ERR_INIT;
    char *path = str_printf("%s/%s%s", folder, name, ending);
    buf_init(&text, 1 << 20);
    if (file_read(path, &text, &err))
        bench_die(&err);
    char *copy = str_dup(buf_cstr(&text));
    buf_fini(&text);
    free(path);
    return copy;
}

void bench_credentials(const char *certs, const char *name, struct credentials *out)
{
    char *chain = read_pem(certs, name, ".pem"), *key = read_pem(certs, name, ".key");
    char *roots = read_pem(certs, "ca", ".pem");
    struct err err = ERR_INIT;
    if (credentials_init(out, chain, key, roots, &err))
        bench_die(&err);
    free(chain);
    free(key);
    free(roots);
}

struct tls_config *bench_client_tls(const char *certs)
{
    struct credentials credentials;
    struct err err = ERR_INIT;
    struct tls_options options = {
        .verify = TLS_VERIFY_REQUIRED, .alpn = TLS_ALPN_H2, .rng = &rng_kernel};
    bench_credentials(certs, "client", &credentials);
    struct tls_config *config = tls_config_of(&credentials, &options, &err);
    if (!config)
        bench_die(&err);
    credentials_fini(&credentials);
    return config;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (str_equal(mode, "member") && (argc == 6 || argc == 7))
        return bench_member(argv[2], argv[3], argv[4], argv[5], argc == 7 ? argv[6] : NULL);
    if (str_equal(mode, "load") && (argc == 6 || argc == 7))
        return bench_load(argv[2], argv[3], atoi(argv[4]), atof(argv[5]),
                          argc == 7 ? atol(argv[6]) : 0);
    if (str_equal(mode, "probe") && argc >= 4)
        return bench_probe(argv + 3, argc - 3, argv[2]);
    fprintf(stderr, "see the top of %s\n", __FILE__);
    return 2;
}
