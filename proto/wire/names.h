// The names a swarm is held together by: roles in certificates, metadata keys, labels, key
// subsystems, fixed object names; and the rules for names that users and managers make
// (swarmkit.md, sections 2, 7, 10, 20 and 25).
#ifndef PROTO_WIRE_NAMES_H
#define PROTO_WIRE_NAMES_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"
#include "proto/wire/objects.pb-c.h"

// ---- certificates ----------------------------------------------------------------------------
#define NAME_OU_WORKER  "swarm-worker"  // OU of a leaf; also a SAN
#define NAME_OU_MANAGER "swarm-manager" // OU of a leaf; also a SAN, and what clients verify
#define NAME_SAN_CA     "swarm-ca"      // SAN of managers: what joining nodes verify
#define NAME_ROOT_CN    "swarm-ca"      // CN of a root

// ---- gRPC metadata, added by a follower that forwards (swarmkit.md 7.2) ----------------------
#define NAME_MD_CERT        "forwarded_cert"     // "true"
#define NAME_MD_CERT_CN     "forwarded_cert_cn"  // node id, or empty
#define NAME_MD_CERT_ORG    "forwarded_cert_org" // cluster id, or empty
#define NAME_MD_CERT_OU     "forwarded_cert_ou"  // one entry per OU
#define NAME_MD_REMOTE_ADDR "remote_addr"        // ip:port as the follower saw it
#define NAME_MD_REDIRECT    "redirect"           // loop guard

// ---- objects ---------------------------------------------------------------------------------
#define NAME_CLUSTER            "default"
#define NAME_INGRESS            "ingress"
#define NAME_SUBSYSTEM_GOSSIP   "networking:gossip"
#define NAME_SUBSYSTEM_IPSEC    "networking:ipsec"
#define NAME_SUBSYSTEM_MANAGER  NAME_OU_MANAGER // of the unlock key
#define NAME_HEALTH_RAFT        "Raft"          // service names of Health/Check
#define NAME_HEALTH_CONTROL     "ControlAPI"
#define NAME_RUNTIME_CONTAINER  "container"
#define NAME_RUNTIME_ATTACHMENT "attachment"
#define NAME_RUNTIME_PLUGIN     "plugin"
#define NAME_CAMPAIGN_TRANSFER  "CampaignTransfer" // context of a MsgVote
#define NAME_TEMPLATING_GOLANG  "golang"
#define NAME_STATUS_PENDING     "pending task scheduling" // of a task that waits for its node

// ---- labels and driver options ---------------------------------------------------------------
#define NAME_LABEL_PREDEFINED   "com.docker.swarm.predefined" // networks bridge and host
#define NAME_LABEL_INTERNAL     "com.docker.swarm.internal"   // the old mark of the ingress network
#define NAME_LABEL_TASK         "com.docker.swarm.task"       // on containers; its value is empty
#define NAME_LABEL_TASK_ID      "com.docker.swarm.task.id"
#define NAME_LABEL_TASK_NAME    "com.docker.swarm.task.name"
#define NAME_LABEL_NODE_ID      "com.docker.swarm.node.id"
#define NAME_LABEL_SERVICE_ID   "com.docker.swarm.service.id"
#define NAME_LABEL_SERVICE_NAME "com.docker.swarm.service.name"
#define NAME_OPTION_VNI_LIST    "com.docker.network.driver.overlay.vxlanid_list"
#define NAME_OPTION_MTU         "com.docker.network.driver.mtu"
#define NAME_OPTION_ENCRYPTED   "encrypted"

// ---- gossip tables ---------------------------------------------------------------------------
#define NAME_TABLE_ENDPOINTS     "endpoint_table"     // Libnetwork__EndpointRecord
#define NAME_TABLE_OVERLAY_PEERS "overlay_peer_table" // Overlay__PeerRecord

// ---- rules -----------------------------------------------------------------------------------
#define NAME_DNS_MAX    63 // services and networks
#define NAME_SECRET_MAX 64 // secrets and configs

// Room for a task name made of names within the limits, terminator included.
#define NAME_TASK_BYTES 160

// Names of services, networks and volumes: a DNS label that may also hold '_'. INVALID_ARGUMENT
// with the texts clients know.
int name_check_dns(const char *name, struct err *err);

// Names of secrets and configs: letters, digits, '-', '_', '.', the ends alphanumeric.
int name_check_secret(const char *name, struct err *err);

// The name of a task, which is also the name of its container: its own, or
// "<service>.<slot>.<task id>" with the node id in place of slot 0. False when it was cut.
bool name_of_task(const Swarm__Task *task, char *out, size_t size);

// The runtime of a task: "container", "attachment", or a generic kind in lower case. False, and an
// empty text, when it has none; false also when it was cut.
bool name_of_runtime(const Swarm__TaskSpec *spec, char *out, size_t size);

// The name of an enum value in lower case, as the engine's API shows it ("running", "drain").
// "unknown" for a value the enum lacks. Returns out.
const char *name_of_value(const ProtobufCEnumDescriptor *type, int value, char *out, size_t size);

// The value of that name, ASCII case ignored. False when the enum has none.
bool name_to_value(const ProtobufCEnumDescriptor *type, const char *name, int *value);

#endif
