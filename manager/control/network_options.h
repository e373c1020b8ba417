// Driver options of overlay networks: what people and guides type, made into what stock nodes read.
//
// A stock node takes any `encrypted` for yes, also "false", and knows no `vxlanid`, only
// `vxlanid_list`. So the spec that is stored says what was meant, and every node does it.
#ifndef MANAGER_CONTROL_NETWORK_OPTIONS_H
#define MANAGER_CONTROL_NETWORK_OPTIONS_H

#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/wire/specs.pb-c.h"

#define OPTION_ENCRYPTED "encrypted"
#define OPTION_VXLAN_ID  "com.docker.network.driver.overlay.vxlanid"
#define OPTION_MTU       "com.docker.network.driver.mtu"

// Changes the spec in place; what is added lives in the arena. INVALID_ARGUMENT, naming the option,
// for values that mean nothing. Other drivers' options are left alone.
int network_options_settle(Swarm__NetworkSpec *spec, struct arena *arena, struct err *err);

#endif
