#include "cmd/skep/absent.h"

#include <stddef.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define BUILD                                                                                      \
    "building images is not supported: build with docker buildx, buildah or podman, and bring "    \
    "the image here with `skep load` or by a registry"
#define CSI        "cluster volumes (CSI) are not supported: volumes are those of one host"
#define CHECKPOINT "checkpoints of containers are not supported"
#define KUBERNETES "Kubernetes is not supported: stacks run on the swarm"
#define WINDOWS    "Windows containers are not supported: this is one of their options"
#define PLATFORM   "several platforms in one image are not supported: an image here has one"

static const struct {
    const char *path, *why;
} commands[] = {
    {"build", BUILD},
    {"buildx", BUILD},
    {"builder build", BUILD},
    {"image build", BUILD},
    {"checkpoint", CHECKPOINT},
    {"compose", "running a project on one host is not supported: `skep stack deploy -c FILE STACK` "
                "runs a compose file on the swarm"},
    {"manifest",
     "lists of manifests are not supported: `skopeo inspect --raw docker://IMAGE` shows "
     "one, `buildah manifest` makes one"},
    {"plugin", "plugins are not supported: skepd has its drivers built in; on a Docker engine "
               "`docker plugin` manages them"},
    {"trust", "signatures of Docker Content Trust are not supported: name images by their digest "
              "(IMAGE@sha256:...) to get just those bytes"},
    {"volume update", CSI},
};

// The command's path may be the beginning of several ("context"), or "" for all.
static const struct {
    const char *path, *option, *why;
} options[] = {
    {"container", "cpu-count", WINDOWS},
    {"container", "cpu-percent", WINDOWS},
    {"container", "io-maxbandwidth", WINDOWS},
    {"container", "io-maxiops", WINDOWS},
    {"container", "use-api-socket",
     "handing over the API's socket is not supported: mount it, "
     "-v /run/skep/skep.sock:/run/docker.sock"},
    {"container", "checkpoint", CHECKPOINT},
    {"container", "checkpoint-dir", CHECKPOINT},
    {"image", "platform", PLATFORM},
    {"image", "tree", PLATFORM},
    {"context", "default-stack-orchestrator", KUBERNETES},
    {"context", "kubernetes", KUBERNETES},
    {"context", "kubeconfig", KUBERNETES},
    {"version", "kubeconfig", KUBERNETES},
    {"stack", "kubeconfig", KUBERNETES},
    {"stack", "namespace", KUBERNETES},
    {"volume", "availability", CSI},
    {"volume", "cluster", CSI},
    {"volume", "group", CSI},
    {"volume", "limit-bytes", CSI},
    {"volume", "required-bytes", CSI},
    {"volume", "scope", CSI},
    {"volume", "secret", CSI},
    {"volume", "sharing", CSI},
    {"volume", "topology-preferred", CSI},
    {"volume", "topology-required", CSI},
    {"volume", "type", CSI},
};

// Whether `path` is `begin`, or goes on behind it with another word.
static bool is_below(const char *path, const char *begin)
{
    size_t length = strlen(begin);
    return strncmp(path, begin, length) == 0 && (path[length] == 0 || path[length] == ' ');
}

const char *absent_command(const char *path)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (is_below(path, commands[i].path))
            return commands[i].why;
    return NULL;
}

const char *absent_option(const char *path, const char *option)
{
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (is_below(path, options[i].path) && str_equal(option, options[i].option))
            return options[i].why;
    return NULL;
}
