// An errand: what a request waits for that knows nothing of requests, and may outlive it.
//
// The errand is embedded first in a handler's own struct on the heap. Each callback to come is
// awaited; errand_back, called first in it, says whether anybody still waits for the answer.
#ifndef AGENT_ENGINE_ERRAND_H
#define AGENT_ENGINE_ERRAND_H

#include "agent/engine/request.h"

struct errand {
    struct request *request; // NULL: the client is gone, or was answered
    unsigned pending;
    void (*drain)(struct errand *errand); // room in an answer in pieces; may be NULL
    void (*gone)(struct errand *errand);  // the request is over; may be NULL
    void (*fini)(struct errand *errand);  // before it is freed; may be NULL
    void (*body)(struct errand *errand, const uint8_t *bytes, size_t size); // may be NULL
    void (*body_end)(struct errand *errand);                                // likewise
};

// Zeroed memory of `size` bytes that begins with an errand, freed when the request is over and
// nothing is awaited any more.
void *errand_new(struct request *request, size_t size);

void errand_await(struct errand *errand);
bool errand_back(struct errand *errand);

// The node's containers, images and volumes; NULL after answering 501 or 503.
const struct backend_local *errand_local(struct request *request);

// As request_fail_err, with the status that dockerd gives errors of containers: 409 for ABORTED,
// 500 for FAILED_PRECONDITION.
void errand_fail(struct request *request, const struct err *err);

#endif
