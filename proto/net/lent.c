#include "proto/net/lent.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "proto/base/check.h"

static _Thread_local struct lent *here;
static struct lent *_Atomic all;

struct lent *lent(void)
{
    if (!here) {
        here = malloc(sizeof *here); // not cleared: what is never used takes no memory
        CHECK(here);
        here->next = atomic_load(&all);
        while (!atomic_compare_exchange_weak(&all, &here->next, here))
            ;
    }
    return here;
}
