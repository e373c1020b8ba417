// The tables that several objects share.
#ifndef AGENT_ENGINE_PARTS_H
#define AGENT_ENGINE_PARTS_H

#include "agent/engine/fields.h"

extern const struct fields version_fields;     // Index
extern const struct fields meta_fields;        // Version, CreatedAt, UpdatedAt
extern const struct fields annotations_fields; // Name, Labels
extern const struct fields driver_fields;      // Name, Options
extern const struct fields platform_fields;
extern const struct fields port_fields;
extern const struct fields tls_info_fields;
extern const struct fields resources_fields;
extern const struct fields generic_resource_fields;
extern const struct fields attach_fields;
extern const struct fields attachment_fields;
extern const struct fields attached_network_fields; // the network inside a task's attachment
extern const struct fields task_spec_fields;        // as tasks show it
extern const struct fields task_template_fields;    // as services show it

#endif
