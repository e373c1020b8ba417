// Whether a text names an image: the grammar of Docker's references.
//
//   [domain[:port]/]path[/path...][:tag][@digest]
#ifndef MANAGER_CONTROL_REFERENCE_H
#define MANAGER_CONTROL_REFERENCE_H

#include <stdbool.h>

#define REFERENCE_NAME_BYTES 255 // domain and path
#define REFERENCE_TAG_BYTES  128

bool reference_valid(const char *text);

#endif
