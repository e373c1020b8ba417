// Certificates that authorities outside of the cluster sign: a few at a time, and tried again later
// when nobody answers or an answer will not do.
#ifndef MANAGER_CA_OUTSOURCE_IO_H
#define MANAGER_CA_OUTSOURCE_IO_H

#include "manager/ca/external_io.h"
#include "manager/ca/signing.h"
#include "manager/ca/trust.h"

// Asked for at a time.
#define OUTSOURCE_CALLS_MAX 8
// How long one waits that could not be had, and everybody when no authority answered.
#define OUTSOURCE_RETRY_MS 10000

struct outsource;

struct outsource_config {
    struct external_way way;
    // It is signed, or (signing->err) refused for good. Borrowed for the call.
    void (*finished)(void *ctx, const struct signing *signing);
    // The node, which could not be served, is to be looked at again.
    void (*again)(void *ctx, const char *node_id);
    // There is room for others.
    void (*ready)(void *ctx);
    void *ctx;
};

struct outsource *outsource_new(const struct outsource_config *config);
void outsource_free(struct outsource *outsource); // breaks off what is under way

bool outsource_takes(const struct outsource *outsource); // there is room, and no pause

// It is asked for, or waits to be tried again.
bool outsource_has(const struct outsource *outsource, const char *node_id);

// Takes `signing` over. Only when it takes one.
void outsource_sign(struct outsource *outsource, const struct trust *trust,
                    struct signing *signing);

// The cluster's settings have changed: what waits is looked at again now.
void outsource_changed(struct outsource *outsource);

#endif
