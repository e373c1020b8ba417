// What an image brings to the Config of a container (config.h) that says nothing of it.
#ifndef AGENT_CRATE_CONFIG_IMAGE_H
#define AGENT_CRATE_CONFIG_IMAGE_H

#include "agent/image/manifest.h"
#include "proto/base/json.h"

// Fills in what the image says where the config says nothing: command, entrypoint, environment,
// working folder, user, labels, volumes, ports, health check, stop signal.
void config_merge_image(json_t *config, const struct image_config *image);

#endif
