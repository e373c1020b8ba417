// The field tables of the cluster's objects: Docker's JSON types over the wire's messages.
#ifndef AGENT_ENGINE_OBJECTS_H
#define AGENT_ENGINE_OBJECTS_H

#include "agent/engine/fields.h"

extern const struct fields node_spec_fields;
extern const struct fields node_fields;
extern const struct fields service_spec_fields;
extern const struct fields service_fields;
extern const struct fields task_fields;
extern const struct fields cluster_spec_fields;
extern const struct fields cluster_fields;
extern const struct fields secret_spec_fields;
extern const struct fields secret_fields;
extern const struct fields config_spec_fields;
extern const struct fields config_fields;

extern const struct field_names task_state_names;
extern const struct field_names node_role_names;
extern const struct field_names node_availability_names;
extern const struct field_names node_membership_names;
extern const struct field_names node_state_names;
extern const struct field_names update_state_names;
extern const struct field_names reachability_names;

#endif
