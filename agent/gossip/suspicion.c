#include "agent/gossip/suspicion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define PROBE_INTERVAL_NS NS_PER_S

void suspicion_init(struct suspicion *suspicion, struct mono now, struct span from, size_t nodes)
{
    double scale = nodes > 10 ? log10((double)nodes) : 1;
    *suspicion = (struct suspicion){.began = now};
    suspicion->min_ns = (int64_t)(scale * SUSPICION_MULT * (double)PROBE_INTERVAL_NS);
    suspicion->max_ns = suspicion->min_ns * SUSPICION_MULT_MAX;
    // Too few nodes can never give the confirmations wanted, so none are: accuser and accused
    // apart.
    suspicion->wanted = nodes >= SUSPICION_WANTED + 2 ? SUSPICION_WANTED : 0;
    suspicion->accusers[0] = str_ndup((const char *)from.at, from.size);
}

void suspicion_fini(struct suspicion *suspicion)
{
    for (size_t i = 0; i < COUNT_OF(suspicion->accusers); i++)
        free(suspicion->accusers[i]);
    *suspicion = (struct suspicion){0};
}

bool suspicion_confirm(struct suspicion *suspicion, struct span from)
{
    if (suspicion->confirmed >= suspicion->wanted)
        return false;
    for (unsigned i = 0; i <= suspicion->confirmed; i++) {
        const char *known = suspicion->accusers[i];
        if (strlen(known) == from.size && memcmp(known, from.at, from.size) == 0)
            return false;
    }
    suspicion->confirmed++;
    suspicion->accusers[suspicion->confirmed] = str_ndup((const char *)from.at, from.size);
    return true;
}

struct mono suspicion_deadline(const struct suspicion *suspicion)
{
    if (suspicion->wanted == 0)
        return mono_add(suspicion->began, suspicion->min_ns);
    double part = log(suspicion->confirmed + 1.0) / log(suspicion->wanted + 1.0);
    int64_t range_ns = suspicion->max_ns - suspicion->min_ns;
    int64_t timeout_ns = suspicion->max_ns - (int64_t)(part * (double)range_ns);
    if (timeout_ns < suspicion->min_ns)
        timeout_ns = suspicion->min_ns;
    return mono_add(suspicion->began, timeout_ns);
}
