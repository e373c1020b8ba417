#include "cmd/skepd/calls_io.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "proto/base/check.h"

#define CALL(name)                                                                                 \
    {                                                                                              \
        .number = SYS_##name                                                                       \
    }
#define CALL_IF(name, argument, bits, wanted)                                                      \
    {                                                                                              \
        .number = SYS_##name, .arg = argument, .mask = bits, .value = wanted                       \
    }
#define ALL_BITS UINT64_MAX

// clang-format off

// Memory that is never executable, threads but no processes, locks, signals, the end.
#define CALLS_TO_LIVE                                                                              \
    CALL_IF(mmap, 2, PROT_EXEC, 0), CALL_IF(mprotect, 2, PROT_EXEC, 0), CALL(munmap),              \
    CALL(mremap), CALL(madvise), CALL(brk),                                                        \
    CALL_IF(clone, 0, CLONE_THREAD, CLONE_THREAD), CALL(set_robust_list), CALL(rseq),              \
    CALL(futex), CALL(getpid),                                                                     \
    CALL_IF(prctl, 0, ALL_BITS, PR_SET_NAME), CALL(getrandom), CALL(clock_gettime),                \
    CALL(rt_sigprocmask), CALL(rt_sigaction), CALL(rt_sigreturn), CALL(restart_syscall),           \
    CALL(tgkill), CALL(exit), CALL(exit_group)

// The event loop, and sockets that are open already.
#define CALLS_TO_SERVE                                                                             \
    CALL(epoll_wait), CALL(epoll_ctl), CALL(epoll_create1), CALL(eventfd2), CALL(pipe2),           \
    CALL(read), CALL(pread64), CALL(write), CALL(writev), CALL(recvmsg), CALL(sendmsg),            \
    CALL(close), CALL(listen), CALL(accept4), CALL(shutdown), CALL(getsockname),                   \
    CALL(getpeername), CALL(getsockopt), CALL(setsockopt), CALL(fcntl),                            \
    CALL_IF(ioctl, 1, ALL_BITS, FIONBIO)

static const struct confine_call manager_rows[] = {
    CALLS_TO_LIVE,
    CALLS_TO_SERVE,
    // Other managers and external certificate authorities.
    CALL_IF(socket, 0, ALL_BITS, AF_INET), CALL_IF(socket, 0, ALL_BITS, AF_INET6),
    CALL_IF(socket, 0, ALL_BITS, AF_UNIX), CALL(connect),
    // Its folder: LMDB and whole files.
    CALL(openat), CALL(fstat), CALL(newfstatat), CALL(lseek), CALL(pwrite64),
    CALL(pwritev), CALL(ftruncate), CALL(fdatasync), CALL(fsync), CALL(rename), CALL(unlink),
    CALL(mkdir), CALL(chmod), CALL(fchmod),
    // Grace periods of the store.
    CALL(membarrier), CALL(poll),
};
const struct role_calls calls_manager = {manager_rows, COUNT_OF(manager_rows)};

static const struct confine_call resolver_rows[] = {
    CALLS_TO_LIVE,
    CALLS_TO_SERVE,
    // Questions and answers in batches, and name servers; all sockets come from the node process.
    CALL(recvfrom), CALL(sendto), CALL(recvmmsg), CALL(sendmmsg), CALL(connect),
};
const struct role_calls calls_resolver = {resolver_rows, COUNT_OF(resolver_rows)};

static const struct confine_call relay_rows[] = {
    CALLS_TO_LIVE,
    CALLS_TO_SERVE,
    // What is passed on goes to the host's own ports, by IPv4.
    CALL_IF(socket, 0, ALL_BITS, AF_INET), CALL(connect), CALL(recvfrom), CALL(sendto),
};
const struct role_calls calls_relay = {relay_rows, COUNT_OF(relay_rows)};

// clang-format on

static_assert(COUNT_OF(manager_rows) <= CONFINE_ROWS_MAX, "confine_self takes no more rows");
static_assert(COUNT_OF(resolver_rows) <= CONFINE_ROWS_MAX, "confine_self takes no more rows");
static_assert(COUNT_OF(relay_rows) <= CONFINE_ROWS_MAX, "confine_self takes no more rows");
