// What the values of some options must look like, by the docker command's own rules. It looks while
// it takes the command line apart, so what is wrong is a wrong use (status 125) and no daemon is
// asked.
#ifndef CMD_SKEP_FLAG_VALUES_H
#define CMD_SKEP_FLAG_VALUES_H

#include "proto/base/arena.h"
#include "proto/base/err.h"

// Each gives the value in the form that the daemon takes, or NULL and INVALID_ARGUMENT.

// A line of /etc/hosts: name:ip or name=ip, with brackets around the address or without; "name:ip".
const char *flag_extra_host(const char *text, struct arena *arena, struct err *err);
// A domain to search names in; "." is none.
const char *flag_domain(const char *text, struct arena *arena, struct err *err);
// A network: 10.0.0.0/8.
const char *flag_cidr(const char *text, struct arena *arena, struct err *err);
// key=value, where the key is of those settings that a container has for itself.
const char *flag_sysctl(const char *text, struct arena *arena, struct err *err);
// A rule of the cgroup of devices: "c 1:3 rw".
const char *flag_device_rule(const char *text, struct arena *arena, struct err *err);

// Whether it is an address of IPv4 or IPv6, blanks around it aside.
bool flag_is_ip(const char *text, struct arena *arena);

#endif
