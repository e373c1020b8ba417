// Looking at the machine for the facts of its description.
#ifndef AGENT_DESCRIPTION_IO_H
#define AGENT_DESCRIPTION_IO_H

#include "agent/description.h"

// Fills in host name, architecture, processors this process may use and memory; the rest is the
// caller's.
int description_look(struct description_facts *facts, struct err *err);

#endif
