// Signals by name, as stop signals and `kill` name them.
#ifndef AGENT_OCI_SIGNALS_H
#define AGENT_OCI_SIGNALS_H

// The number of "SIGTERM", "term", "15" or "RTMIN+3"; 0 when there is none such.
int signal_of_name(const char *name);

#endif
