// --cap-add and --cap-drop: which capabilities a container is given and which are taken away.
#ifndef CMD_SKEP_CAPABILITIES_H
#define CMD_SKEP_CAPABILITIES_H

#include "cmd/skep/cli_io.h"

// Sets the lists at the two paths from the options: sorted, each once, ALL alone, and none that is
// added dropped too.
void capabilities_put(struct cli *cli, json_t *value, const char *add_path, const char *drop_path);

// The same where lists are there already: dropping one that was added takes it back, and adding one
// that was dropped, too; RESET empties its list first.
void capabilities_change(struct cli *cli, json_t *value, const char *add_path,
                         const char *drop_path);

#endif
