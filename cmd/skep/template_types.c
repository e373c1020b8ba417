#include "cmd/skep/template_types.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

// "Field type" pairs between blanks. Of a type that begins with '~' docker has the plain JSON as
// well: a field that is not in the table is looked for there. With '?' it has more fields than the
// table, so that all it is prints as JSON does. "plain" is JSON without a type.
static const struct {
    const char *name, *fields;
} types[] = {
    {"swarm.Service", "ID string Version swarm.Version CreatedAt time.Time UpdatedAt time.Time "
                      "Spec swarm.ServiceSpec PreviousSpec *swarm.ServiceSpec "
                      "Endpoint swarm.Endpoint UpdateStatus *swarm.UpdateStatus "
                      "ServiceStatus *swarm.ServiceStatus JobStatus *swarm.JobStatus"},
    {"swarm.Version", "Index uint64"},
    {"swarm.ServiceSpec", "Name string Labels map[string]string TaskTemplate swarm.TaskSpec "
                          "Mode swarm.ServiceMode UpdateConfig *swarm.UpdateConfig "
                          "RollbackConfig *swarm.UpdateConfig "
                          "Networks []swarm.NetworkAttachmentConfig "
                          "EndpointSpec *swarm.EndpointSpec"},
    {"swarm.TaskSpec", "ContainerSpec *swarm.ContainerSpec PluginSpec *runtime.PluginSpec "
                       "NetworkAttachmentSpec *swarm.NetworkAttachmentSpec "
                       "Resources *swarm.ResourceRequirements "
                       "RestartPolicy *swarm.RestartPolicy Placement *swarm.Placement "
                       "Networks []swarm.NetworkAttachmentConfig LogDriver *swarm.Driver "
                       "ForceUpdate uint64 Runtime swarm.RuntimeType"},
    {"swarm.ContainerSpec",
     "Image string Labels map[string]string Command []string Args []string Hostname string "
     "Env []string Dir string User string Groups []string Privileges *swarm.Privileges "
     "Init *bool StopSignal string TTY bool OpenStdin bool ReadOnly bool Mounts []mount.Mount "
     "StopGracePeriod *time.Duration Healthcheck *container.HealthConfig Hosts []string "
     "DNSConfig *swarm.DNSConfig Secrets []*swarm.SecretReference "
     "Configs []*swarm.ConfigReference Isolation container.Isolation "
     "Sysctls map[string]string CapabilityAdd []string CapabilityDrop []string "
     "Ulimits []*units.Ulimit OomScoreAdj int64"},
    {"swarm.Privileges", "CredentialSpec *swarm.CredentialSpec "
                         "SELinuxContext *swarm.SELinuxContext Seccomp *swarm.SeccompOpts "
                         "AppArmor *swarm.AppArmorOpts NoNewPrivileges bool"},
    {"swarm.CredentialSpec", "Config string File string Registry string"},
    {"swarm.SELinuxContext", "Disable bool User string Role string Type string Level string"},
    {"mount.Mount", "Type mount.Type Source string Target string ReadOnly bool "
                    "Consistency mount.Consistency BindOptions *mount.BindOptions "
                    "VolumeOptions *mount.VolumeOptions TmpfsOptions *mount.TmpfsOptions "
                    "ImageOptions *mount.ImageOptions ClusterOptions *mount.ClusterOptions"},
    {"mount.BindOptions", "Propagation mount.Propagation NonRecursive bool "
                          "CreateMountpoint bool ReadOnlyNonRecursive bool "
                          "ReadOnlyForceRecursive bool"},
    {"mount.VolumeOptions", "NoCopy bool Labels map[string]string Subpath string "
                            "DriverConfig *mount.Driver"},
    {"mount.Driver", "Name string Options map[string]string"},
    {"mount.TmpfsOptions", "SizeBytes int64 Mode fs.FileMode Options [][]string"},
    {"container.HealthConfig", "Test []string Interval time.Duration Timeout time.Duration "
                               "StartPeriod time.Duration StartInterval time.Duration "
                               "Retries int"},
    {"swarm.DNSConfig", "Nameservers []string Search []string Options []string"},
    {"swarm.SecretReference", "File *swarm.SecretReferenceFileTarget SecretID string "
                              "SecretName string"},
    {"swarm.SecretReferenceFileTarget", "Name string UID string GID string Mode fs.FileMode"},
    {"swarm.ConfigReference", "File *swarm.ConfigReferenceFileTarget "
                              "Runtime *swarm.ConfigReferenceRuntimeTarget ConfigID string "
                              "ConfigName string"},
    {"swarm.ConfigReferenceFileTarget", "Name string UID string GID string Mode fs.FileMode"},
    {"units.Ulimit", "Name string Hard int64 Soft int64"},
    {"swarm.ResourceRequirements", "Limits *swarm.Limit Reservations *swarm.Resources"},
    {"swarm.Limit", "NanoCPUs int64 MemoryBytes int64 Pids int64"},
    {"swarm.Resources", "NanoCPUs int64 MemoryBytes int64 "
                        "GenericResources []swarm.GenericResource"},
    {"swarm.GenericResource", "NamedResourceSpec *swarm.NamedGenericResource "
                              "DiscreteResourceSpec *swarm.DiscreteGenericResource"},
    {"swarm.NamedGenericResource", "Kind string Value string"},
    {"swarm.DiscreteGenericResource", "Kind string Value int64"},
    {"swarm.RestartPolicy", "Condition swarm.RestartPolicyCondition Delay *time.Duration "
                            "MaxAttempts *uint64 Window *time.Duration"},
    {"swarm.Placement", "Constraints []string Preferences []swarm.PlacementPreference "
                        "MaxReplicas uint64 Platforms []swarm.Platform"},
    {"swarm.PlacementPreference", "Spread *swarm.SpreadOver"},
    {"swarm.SpreadOver", "SpreadDescriptor string"},
    {"swarm.Platform", "Architecture string OS string"},
    {"swarm.NetworkAttachmentConfig", "Target string Aliases []string "
                                      "DriverOpts map[string]string"},
    {"swarm.Driver", "Name string Options map[string]string"},
    {"swarm.ServiceMode", "Replicated *swarm.ReplicatedService Global *swarm.GlobalService "
                          "ReplicatedJob *swarm.ReplicatedJob GlobalJob *swarm.GlobalJob"},
    {"swarm.ReplicatedService", "Replicas *uint64"},
    {"swarm.GlobalService", ""},
    {"swarm.GlobalJob", ""},
    {"swarm.ReplicatedJob", "MaxConcurrent *uint64 TotalCompletions *uint64"},
    {"swarm.UpdateConfig", "Parallelism uint64 Delay time.Duration FailureAction string "
                           "Monitor time.Duration MaxFailureRatio float32 Order string"},
    {"swarm.EndpointSpec", "Mode swarm.ResolutionMode Ports []swarm.PortConfig"},
    {"swarm.PortConfig", "Name string Protocol swarm.PortConfigProtocol TargetPort uint32 "
                         "PublishedPort uint32 PublishMode swarm.PortConfigPublishMode"},
    {"swarm.Endpoint", "Spec swarm.EndpointSpec Ports []swarm.PortConfig "
                       "VirtualIPs []swarm.EndpointVirtualIP"},
    {"swarm.EndpointVirtualIP", "NetworkID string Addr string"},
    {"swarm.UpdateStatus", "State swarm.UpdateState StartedAt *time.Time "
                           "CompletedAt *time.Time Message string"},
    {"swarm.ServiceStatus", "RunningTasks uint64 DesiredTasks uint64 CompletedTasks uint64"},
    {"swarm.JobStatus", "JobIteration swarm.Version LastExecution time.Time"},
    {"swarm.Node", "ID string Version swarm.Version CreatedAt time.Time UpdatedAt time.Time "
                   "Spec swarm.NodeSpec Description swarm.NodeDescription "
                   "Status swarm.NodeStatus ManagerStatus *swarm.ManagerStatus"},
    {"swarm.NodeSpec", "Name string Labels map[string]string Role swarm.NodeRole "
                       "Availability swarm.NodeAvailability"},
    {"swarm.NodeDescription", "Hostname string Platform swarm.Platform "
                              "Resources swarm.Resources Engine swarm.EngineDescription "
                              "TLSInfo swarm.TLSInfo CSIInfo []swarm.NodeCSIInfo"},
    {"swarm.EngineDescription", "EngineVersion string Labels map[string]string "
                                "Plugins []swarm.PluginDescription"},
    {"swarm.PluginDescription", "Type string Name string"},
    {"swarm.TLSInfo", "TrustRoot string CertIssuerSubject []uint8 "
                      "CertIssuerPublicKey []uint8"},
    {"swarm.NodeStatus", "State swarm.NodeState Message string Addr string"},
    {"swarm.ManagerStatus", "Leader bool Reachability swarm.Reachability Addr string"},
    {"?swarm.Secret", "CreatedAt time.Time UpdatedAt time.Time"},
    {"?network.Inspect", "Created time.Time IPAM ~network.IPAM ConfigFrom ~network.ConfigReference "
                         "Containers map[string]~network.EndpointResource "
                         "Options map[string]string Labels map[string]string "
                         "Peers []~network.PeerInfo Services map[string]plain"},
    {"~network.IPAM", "Driver string Options map[string]string Config []~network.IPAMConfig"},
    {"~network.IPAMConfig", "Subnet string IPRange string Gateway string "
                            "AuxiliaryAddresses map[string]string"},
    {"~network.ConfigReference", "Network string"},
    {"~network.EndpointResource", "Name string EndpointID string MacAddress string "
                                  "IPv4Address string IPv6Address string"},
    {"~network.PeerInfo", "Name string IP string"},
    {"?container.InspectResponse",
     "State *~container.State Config *~container.Config HostConfig *?container.HostConfig "
     "Mounts []~container.MountPoint NetworkSettings *?container.NetworkSettings "
     "SizeRw *int64 SizeRootFs *int64 ExecIDs []string GraphDriver ~storage.DriverData"},
    {"~storage.DriverData", "Data map[string]string Name string"},
    {"~container.State", "Status string Running bool Paused bool Restarting bool OOMKilled bool "
                         "Dead bool Pid int ExitCode int Error string StartedAt string "
                         "FinishedAt string Health *~container.Health"},
    {"~container.Health", "Status string FailingStreak int Log []~container.HealthcheckResult"},
    {"~container.HealthcheckResult", "Start time.Time End time.Time ExitCode int Output string"},
    {"~container.MountPoint", "Type string Name string Source string Destination string "
                              "Driver string Mode string RW bool Propagation string"},
    {"~container.Config",
     "Hostname string Domainname string User string AttachStdin bool AttachStdout bool "
     "AttachStderr bool ExposedPorts map[string]struct{} Tty bool OpenStdin bool StdinOnce bool "
     "Env []string Cmd []string Healthcheck *container.HealthConfig ArgsEscaped bool Image string "
     "Volumes map[string]struct{} WorkingDir string Entrypoint []string NetworkDisabled bool "
     "MacAddress string OnBuild []string Labels map[string]string StopSignal string "
     "StopTimeout *int Shell []string"},
    {"~container.LogConfig", "Type string Config map[string]string"},
    {"~container.RestartPolicy", "Name string MaximumRetryCount int"},
    {"~nat.PortBinding", "HostIp string HostPort string"},
    {"?container.HostConfig",
     "LogConfig ~container.LogConfig RestartPolicy ~container.RestartPolicy "
     "PortBindings map[string][]~nat.PortBinding Binds []string CapAdd []string CapDrop []string "
     "Annotations map[string]string StorageOpt map[string]string Tmpfs map[string]string "
     "Sysctls map[string]string Mounts []mount.Mount VolumesFrom []string Dns []string "
     "DnsOptions []string DnsSearch []string ExtraHosts []string GroupAdd []string "
     "Links []string SecurityOpt []string Devices []plain Ulimits []units.Ulimit "
     "DeviceRequests []plain Init *bool "
     "MemorySwappiness *int64 OomKillDisable *bool PidsLimit *int64"},
    {"~volume.Volume", "ClusterVolume *plain CreatedAt string Driver string "
                       "Labels map[string]string Mountpoint string Name string "
                       "Options map[string]string Scope string Status map[string]plain "
                       "UsageData *plain"},
    {"?image.InspectResponse", "Config *?image.Config RootFS ~image.RootFS "
                               "Metadata ~image.Metadata RepoTags []string RepoDigests []string "
                               "GraphDriver ~storage.DriverData"},
    {"~image.RootFS", "Type string Layers []string"},
    {"~image.Metadata", "LastTagTime time.Time"},
    {"?image.Config",
     "User string ExposedPorts map[string]struct{} Env []string Entrypoint []string Cmd []string "
     "Volumes map[string]struct{} WorkingDir string Labels map[string]string StopSignal string "
     "ArgsEscaped bool Healthcheck *container.HealthConfig OnBuild []string Shell []string"},
    {"struct{}", ""},
    {"?container.NetworkSettings", "Ports map[string][]~nat.PortBinding "
                                   "Networks map[string]?network.EndpointSettings"},
    {"?network.EndpointSettings", "Links []string Aliases []string DNSNames []string "
                                  "DriverOpts map[string]string IPAMConfig *plain"},
};

static size_t find(const char *type)
{
    type += *type == '*';
    size_t at = 0;
    while (at < COUNT_OF(types) && strcmp(types[at].name, type) != 0)
        at++;
    return at;
}

bool go_struct(const char *type)
{
    return find(type) < COUNT_OF(types);
}

bool go_struct_partial(const char *type)
{
    type += *type == '*';
    return *type == '~' || *type == '?';
}

size_t go_embedded(const char *type)
{
    type += *type == '*';
    return str_equal(type, "swarm.NodeSpec") || str_equal(type, "swarm.ServiceSpec") ? 2 : 0;
}

bool go_struct_whole(const char *type)
{
    return go_struct(type) && type[*type == '*'] != '?';
}

bool go_field(const char *type, const char *field, char out[GO_TYPE_BYTES])
{
    size_t row = find(type);
    const char *at = row < COUNT_OF(types) ? types[row].fields : "";
    while (*at) {
        size_t name = strcspn(at, " ");
        const char *kind = at + name + 1;
        size_t length = strcspn(kind, " ");
        CHECK(length < GO_TYPE_BYTES);
        if (name == strlen(field) && memcmp(at, field, name) == 0) {
            snprintf(out, GO_TYPE_BYTES, "%.*s", (int)length, kind);
            return true;
        }
        at = kind + length;
        at += *at == ' ';
    }
    return false;
}

bool go_field_at(const char *type, size_t at, char name[GO_TYPE_BYTES], char out[GO_TYPE_BYTES])
{
    size_t row = find(type);
    struct str_part word = {NULL, 0};
    const char *rest = row < COUNT_OF(types) ? types[row].fields : "";
    for (size_t i = 0; i <= 2 * at; i++)
        if (!str_split(&rest, ' ', &word) || word.len == 0)
            return false;
    snprintf(name, GO_TYPE_BYTES, "%.*s", (int)word.len, word.at);
    return go_field(type, name, out);
}

bool go_element(const char *type, char out[GO_TYPE_BYTES])
{
    const char *element = NULL;
    if (str_starts(type, "[]"))
        element = type + 2;
    else if (str_starts(type, "map["))
        element = strchr(type, ']') ? strchr(type, ']') + 1 : NULL;
    if (!element)
        return false;
    // `out` may be `type` itself.
    memmove(out, element, strlen(element) + 1);
    return true;
}

static bool is_number(const char *type)
{
    return str_starts(type, "int") || str_starts(type, "uint") || str_equal(type, "fs.FileMode") ||
           str_equal(type, "time.Duration");
}

json_t *go_zero(const char *type)
{
    if (*type == '*')
        return json_null();
    if (str_starts(type, "[]"))
        return json_array();
    if (str_starts(type, "map[") || go_struct(type))
        return json_object();
    if (str_equal(type, "bool"))
        return json_false();
    if (str_equal(type, "float32"))
        return json_real(0);
    if (str_equal(type, "time.Time"))
        return json_string("0001-01-01T00:00:00Z");
    return is_number(type) ? json_integer(0) : json_string("");
}

// "2026-11-30T05:09:21.5Z" as Go prints a time: "2026-11-30 05:09:21.5 +0000 UTC".
static bool print_time(const char *text, struct buf *out)
{
    size_t length = text ? strlen(text) : 0;
    if (length < 20 || text[10] != 'T' || text[length - 1] != 'Z')
        return false;
    buf_printf(out, "%.10s %.*s +0000 UTC", text, (int)length - 12, text + 11);
    return true;
}

bool go_print(const char *type, const json_t *value, struct buf *out)
{
    type += *type == '*';
    if (str_equal(type, "time.Time"))
        return print_time(json_string_value(value), out);
    if (!str_equal(type, "time.Duration") || !json_is_integer(value))
        return false;
    char text[DURATION_TEXT_BYTES];
    buf_put_str(out, duration_format(json_integer_value(value), text));
    return true;
}
