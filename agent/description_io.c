#include "agent/description_io.h"

#include <errno.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "proto/base/clock.h"
#include "proto/base/str.h"

int description_look(struct description_facts *facts, struct err *err)
{
    struct utsname names;
    struct sysinfo info;
    cpu_set_t cpus;
    if (uname(&names) != 0)
        return err_set_errno(err, errno, "uname");
    if (sysinfo(&info) != 0)
        return err_set_errno(err, errno, "sysinfo");
    // More processors than a cpu_set_t holds: then all that are there.
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : get_nprocs();
    if (!str_copy(facts->hostname, sizeof facts->hostname, names.nodename) ||
        !str_copy(facts->architecture, sizeof facts->architecture, names.machine))
        return err_set(err, ERR_INTERNAL, "the host's name is too long");
    facts->nano_cpus = count * NS_PER_S;
    facts->memory_bytes = (int64_t)info.totalram * info.mem_unit;
    return 0;
}
