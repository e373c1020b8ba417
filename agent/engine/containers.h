// What the files of /containers share.
#ifndef AGENT_ENGINE_CONTAINERS_H
#define AGENT_ENGINE_CONTAINERS_H

#include "agent/crate/crates_io.h"
#include "agent/engine/filter.h"
#include "agent/engine/request.h"

// The container that the path names; NULL after answering 404, 400 or 501.
struct crate *container_find(struct request *request);

// Whether every value of the filter `key` ("label" or "label!") is as `wanted` among the labels.
bool container_labels_fit(const json_t *labels, const struct filters *filters, const char *key,
                          bool wanted);

#endif
