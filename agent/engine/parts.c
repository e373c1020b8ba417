#include "agent/engine/parts.h"

#include "proto/wire/objects.pb-c.h"

static const struct field version_rows[] = {
    {"Index", "index", FIELD_INT, 0, NULL},
};
FIELDS(version_fields, "Version", swarm__version__descriptor, version_rows);

static const struct field meta_rows[] = {
    {"Version", "version", FIELD_OBJECT, FIELD_ALWAYS | FIELD_WRITE_ONLY, &version_fields},
    {"CreatedAt", "created_at", FIELD_TIME, FIELD_ALWAYS, NULL},
    {"UpdatedAt", "updated_at", FIELD_TIME, FIELD_ALWAYS, NULL},
};
FIELDS(meta_fields, "Meta", swarm__meta__descriptor, meta_rows);

static const struct field annotations_rows[] = {
    {"Name", "name", FIELD_STRING, 0, NULL},
    {"Labels", "labels", FIELD_MAP, FIELD_ALWAYS | FIELD_EMPTY, NULL},
};
FIELDS(annotations_fields, "Annotations", swarm__annotations__descriptor, annotations_rows);

static const struct field driver_rows[] = {
    {"Name", "name", FIELD_STRING, 0, NULL},
    {"Options", "options", FIELD_MAP, 0, NULL},
};
FIELDS(driver_fields, "Driver", swarm__driver__descriptor, driver_rows);

static const struct field platform_rows[] = {
    {"Architecture", "architecture", FIELD_STRING, 0, NULL},
    {"OS", "os", FIELD_STRING, 0, NULL},
};
FIELDS(platform_fields, "Platform", swarm__platform__descriptor, platform_rows);

static const struct field_name protocols[] = {
    {SWARM__PORT_CONFIG__PROTOCOL__TCP, "tcp"},
    {SWARM__PORT_CONFIG__PROTOCOL__UDP, "udp"},
    {SWARM__PORT_CONFIG__PROTOCOL__SCTP, "sctp"},
};
static FIELD_NAMES(protocol_names, "invalid protocol: \"%s\"", 0, protocols);

static const struct field_name publish_modes[] = {
    {SWARM__PORT_CONFIG__PUBLISH_MODE__INGRESS, "ingress"},
    {SWARM__PORT_CONFIG__PUBLISH_MODE__HOST, "host"},
};
static FIELD_NAMES(publish_mode_names, "invalid publish mode: \"%s\"", 0, publish_modes);

static const struct field port_rows[] = {
    {"Name", "name", FIELD_STRING, 0, NULL},
    {"Protocol", "protocol", FIELD_ENUM, 0, &protocol_names},
    {"TargetPort", "target_port", FIELD_INT, 0, NULL},
    {"PublishedPort", "published_port", FIELD_INT, 0, NULL},
    {"PublishMode", "publish_mode", FIELD_ENUM, 0, &publish_mode_names},
};
FIELDS(port_fields, "PortConfig", swarm__port_config__descriptor, port_rows);

static const struct field tls_info_rows[] = {
    {"TrustRoot", "trust_root", FIELD_TEXT, 0, NULL},
    {"CertIssuerSubject", "cert_issuer_subject", FIELD_BYTES, 0, NULL},
    {"CertIssuerPublicKey", "cert_issuer_public_key", FIELD_BYTES, 0, NULL},
};
FIELDS(tls_info_fields, "TLSInfo", swarm__node_tlsinfo__descriptor, tls_info_rows);
