// The pieces of bench_raft: a member that serves writes, and what loads it. Both speak etcd's
// KV/Put (key 1, value 2), so that one and the same load goes to either.
#ifndef TESTS_BENCH_RAFT_RAFT_BENCH_H
#define TESTS_BENCH_RAFT_RAFT_BENCH_H

#include <stdbool.h>

#include "proto/base/err.h"
#include "proto/base/loop_io.h"
#include "proto/identity/credentials.h"
#include "proto/net/tls.h"

#define BENCH_PUT         "/etcdserverpb.KV/Put"
#define BENCH_VALUE_BYTES 256
#define BENCH_KEYS        10000

_Noreturn void bench_die(const struct err *err);

// NAME.pem, NAME.key and ca.pem of the folder.
void bench_credentials(const char *certs, const char *name, struct credentials *out);
struct tls_config *bench_client_tls(const char *certs);

// Serves as the member NAME until SIGTERM: founds the group, or joins it at `join`.
int bench_member(const char *dir, const char *certs, const char *name, const char *addr,
                 const char *join);

// Writes from `proposers` at a time for so long, or until `count` are written (0: no end).
int bench_load(const char *addr, const char *certs, int proposers, double seconds, long count);

// Writes one after the other to whoever takes it. After a line on its standard input it waits for a
// gap between two, prints it and ends.
int bench_probe(char *const *addrs, int addrs_count, const char *certs);

#endif
