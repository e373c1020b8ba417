#include "agent/lb/nftlib_io.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// The name that programs linked with it ask for: other versions of it have other functions.
#define LIBRARY "libnftables.so.1"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct nftlib library;
static bool loaded;
static char why[256];

static bool find(void *handle, const char *name, void *out)
{
    void *function = dlsym(handle, name);
    if (!function)
        return false;
    memcpy(out, &function, sizeof function);
    return true;
}

static void load(void)
{
    static_assert(sizeof(void *) == sizeof library.nft_ctx_new, "functions are found as pointers");
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool all = handle != NULL;
#define NFTLIB_FIND(name) all = all && find(handle, #name, &library.name);
    NFTLIB_FUNCTIONS(NFTLIB_FIND)
#undef NFTLIB_FIND
    if (!all)
        (void)str_copy(why, sizeof why, str_or(dlerror(), "it is another library"));
    loaded = all;
}

int nftlib_load(struct err *err)
{
    int rc = pthread_once(&once, load);
    CHECK(rc == 0);
    return loaded
               ? 0
               : err_set(err, ERR_UNAVAILABLE, "cannot load the packet filter's library: %s", why);
}

const struct nftlib *nftlib(void)
{
    CHECK(loaded);
    return &library;
}
