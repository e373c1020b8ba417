// What the files of `skep container` share.
#ifndef CMD_SKEP_CONTAINER_H
#define CMD_SKEP_CONTAINER_H

#include "cmd/skep/cli_io.h"

// The body of POST /containers/create that the options and arguments make; NULL with cli->error.
json_t *container_body(struct cli *cli);

// `container top`, also as `top CONTAINER`.
int container_top(struct cli *cli);

// Fetches an image and shows how it goes. The exit status.
int image_fetch(struct cli *cli, const char *image, const char *platform, bool quiet);

// The exit status of a container that failed to start, from cli->error: 127, 126 or 125.
int container_start_status(const struct cli *cli);

#endif
