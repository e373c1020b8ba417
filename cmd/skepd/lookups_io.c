#include "cmd/skepd/lookups_io.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/addr_io.h"

struct one {
    uv_getaddrinfo_t request;
    struct list link;
    struct lookups *lookups; // NULL once they ended
    uint64_t id;
};

static void tell_failed(struct lookups *lookups, const struct message_lookup *lookup,
                        const char *why)
{
    struct message_found found = {.id = lookup->id};
    err_set(&found.why, ERR_UNAVAILABLE, "%s", why);
    lookups->found(lookups->ctx, &found);
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct one *one = CONTAINER_OF(request, struct one, request);
    struct lookups *lookups = one->lookups;
    struct message_found found = {.id = one->id};
    for (struct addrinfo *it = list; it && found.count < MESSAGE_FOUND_MAX; it = it->ai_next) {
        struct addr *addr = &found.addrs[found.count];
        if (addr_from_sock(it->ai_addr, it->ai_addrlen, addr, NULL) == 0)
            found.count++;
    }
    uv_freeaddrinfo(list);
    if (found.count == 0)
        err_set(&found.why, ERR_UNAVAILABLE, "%s", status ? uv_strerror(status) : "no address");
    list_remove(&one->link);
    free(one);
    if (!lookups)
        return;
    lookups->count--;
    lookups->found(lookups->ctx, &found);
}

void lookups_init(struct lookups *lookups, struct loop *loop,
                  void (*found)(void *ctx, const struct message_found *found), void *ctx)
{
    *lookups = (struct lookups){.loop = loop, .found = found, .ctx = ctx};
    list_init(&lookups->under_way);
}

void lookups_ask(struct lookups *lookups, const struct message_lookup *lookup)
{
    if (lookups->count >= LOOKUPS_MAX) {
        tell_failed(lookups, lookup, "too many names are being looked up");
        return;
    }
    struct one *one = MEM_NEW(struct one);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    one->lookups = lookups;
    one->id = lookup->id;
    int rc =
        uv_getaddrinfo(&lookups->loop->uv, &one->request, on_found, lookup->name, NULL, &hints);
    if (rc != 0) {
        free(one);
        tell_failed(lookups, lookup, uv_strerror(rc));
        return;
    }
    list_init(&one->link);
    list_push_back(&lookups->under_way, &one->link);
    lookups->count++;
}

void lookups_fini(struct lookups *lookups)
{
    LIST_EACH (link, &lookups->under_way) {
        struct one *one = LIST_ENTRY(link, struct one, link);
        one->lookups = NULL;
        uv_cancel((uv_req_t *)&one->request); // its callback frees it either way
    }
    while (!list_empty(&lookups->under_way))
        list_remove(lookups->under_way.next);
}
