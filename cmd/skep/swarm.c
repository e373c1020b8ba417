// skep swarm: found, join, leave, configure and unlock a swarm.
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/overview.h"
#include "cmd/skep/progress.h"
#include "proto/base/str.h"

#define CA_POLL_MS 200

// ---- the specification from options -------------------------------------------------------------

static int external_ca(struct cli *cli, const char *text, json_t *list)
{
    struct field fields[FIELDS_MAX];
    int count = fields_parse(text, &cli->arena, fields, &cli->error);
    if (count < 0)
        return count;
    json_t *ca = keep(cli, json_pack("{s:s, s:s, s:{}}", "Protocol", "", "URL", "", "Options"));
    for (int i = 0; i < count; i++) {
        if (!fields[i].has_value)
            return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                           "invalid field '%s' must be a key=value pair", fields[i].key);
        if (str_equal(fields[i].key, "protocol")) {
            if (!str_equal_case(fields[i].value, "cfssl"))
                return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                               "unrecognized external CA protocol %s", fields[i].value);
            set_text(ca, "Protocol", "cfssl");
        } else if (str_equal(fields[i].key, "url")) {
            set_text(ca, "URL", fields[i].value);
        } else if (str_equal(fields[i].key, "cacert")) {
            const char *pem = cli_read(cli, fields[i].value, NULL);
            if (!pem)
                return -(int)cli->error.code;
            set_text(ca, "CACert", pem);
        } else {
            json_object_set_new(object_at(ca, "Options"), fields[i].key,
                                json_string(fields[i].value));
        }
    }
    if (str_empty(text_at(ca, "Protocol")))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "the external-ca option needs a protocol= parameter");
    if (str_empty(text_at(ca, "URL")))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "the external-ca option needs a url= parameter");
    json_array_append(list, ca);
    return 0;
}

static int external_cas(struct cli *cli, json_t *spec)
{
    const char *const *list;
    size_t count = args_list(&cli->args, "external-ca", &list);
    if (!count)
        return 0;
    json_t *cas = json_array();
    set_at(spec, "CAConfig.ExternalCAs", cas);
    for (size_t i = 0; i < count; i++) {
        if (external_ca(cli, list[i], cas) < 0)
            return bad_flag(cli, "external-ca", list[i]);
    }
    return 0;
}

// The options that init and update share; only those given change the specification.
static int spec_options(struct cli *cli, json_t *spec)
{
    static const struct {
        const char *flag, *path;
    } numbers[] = {
        {"task-history-limit", "Orchestration.TaskHistoryRetentionLimit"},
        {"dispatcher-heartbeat", "Dispatcher.HeartbeatPeriod"},
        {"cert-expiry", "CAConfig.NodeCertExpiry"},
        {"max-snapshots", "Raft.KeepOldSnapshots"},
        {"snapshot-interval", "Raft.SnapshotInterval"},
        {0},
    };
    for (size_t i = 0; numbers[i].flag; i++)
        if (args_set(&cli->args, numbers[i].flag))
            set_number(spec, numbers[i].path, args_number(&cli->args, numbers[i].flag, 0));
    if (args_set(&cli->args, "autolock"))
        set_true(spec, "EncryptionConfig.AutoLockManagers", args_on(&cli->args, "autolock"));
    return external_cas(cli, spec);
}

static bool availability_fits(struct cli *cli)
{
    const char *given = args_text(&cli->args, "availability");
    if (!given || str_equal(given, "active") || str_equal(given, "pause") ||
        str_equal(given, "drain"))
        return true;
    err_set(&cli->error, ERR_INVALID_ARGUMENT,
            "invalid availability \"%s\", only active, pause and drain are supported", given);
    return false;
}

// ---- init, join, leave --------------------------------------------------------------------------

static void show_unlock_key(struct cli *cli)
{
    json_t *answer = api_get(cli, "/swarm/unlockkey");
    if (!answer || str_empty(text_at(answer, "UnlockKey")))
        return;
    say(cli,
        "To unlock a swarm manager after it restarts, run the `skep swarm unlock`\n"
        "command and provide the following key:\n\n    %s\n\nPlease remember to store this key in "
        "a password manager, since without it you\nwill not be able to restart the manager.\n",
        text_at(answer, "UnlockKey"));
}

// How another node joins in the role; 0 or an exit status.
static int show_join_command(struct cli *cli, const char *node, bool worker, bool quiet)
{
    json_t *swarm = api_get(cli, "/swarm");
    if (!swarm)
        return failed(cli);
    const char *token = text_at(swarm, worker ? "JoinTokens.Worker" : "JoinTokens.Manager");
    if (quiet) {
        say(cli, "%s\n", token);
        return 0;
    }
    json_t *self = api_get(cli, "/nodes/%s", escape(cli, node));
    if (!self)
        return failed(cli);
    say(cli,
        "To add a %s to this swarm, run the following command:\n\n    skep swarm join --token "
        "%s %s\n\n",
        worker ? "worker" : "manager", token, text_at(self, "ManagerStatus.Addr"));
    return 0;
}

static int run_init(struct cli *cli)
{
    struct args *args = &cli->args;
    json_t *body = keep(cli, json_object());
    if (!availability_fits(cli))
        return failed(cli);
    set_text(body, "ListenAddr", str_or(args_text(args, "listen-addr"), "0.0.0.0:2377"));
    set_text(body, "AdvertiseAddr", str_or(args_text(args, "advertise-addr"), ""));
    set_text(body, "DataPathAddr", str_or(args_text(args, "data-path-addr"), ""));
    set_number(body, "DataPathPort", args_number(args, "data-path-port", 0));
    set_true(body, "ForceNewCluster", args_on(args, "force-new-cluster"));
    set_text(body, "Availability", str_or(args_text(args, "availability"), ""));
    const char *const *pools;
    size_t count = args_list(args, "default-addr-pool", &pools);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array_at(body, "DefaultAddrPool"), json_string(pools[i]));
    set_number(body, "SubnetSize", args_number(args, "default-addr-pool-mask-length", 24));
    set_at(body, "Spec.Labels", json_object());
    set_true(body, "AutoLockManagers", args_on(args, "autolock"));
    if (spec_options(cli, object_at(body, "Spec")) < 0)
        return failed(cli);
    json_t *node = api(cli, "POST", "/swarm/init", body);
    if (!node) {
        if (strstr(cli->error.message, "could not choose an IP address") ||
            strstr(cli->error.message, "could not find the system's IP address"))
            return complain(cli, "%s - specify one with --advertise-addr", cli->error.message);
        return failed(cli);
    }
    const char *id = str_or(json_string_value(node), "");
    say(cli, "Swarm initialized: current node (%s) is now a manager.\n\n", id);
    int status = show_join_command(cli, id, true, false);
    if (status)
        return status;
    say(cli, "To add a manager to this swarm, run 'skep swarm join-token manager' and follow the "
             "instructions.\n\n");
    if (args_on(args, "autolock"))
        show_unlock_key(cli);
    return 0;
}

static int run_join(struct cli *cli)
{
    struct args *args = &cli->args;
    if (!availability_fits(cli))
        return failed(cli);
    json_t *body =
        keep(cli, json_pack("{s:s, s:s, s:s, s:[s], s:s, s:s}", "ListenAddr",
                            str_or(args_text(args, "listen-addr"), "0.0.0.0:2377"), "AdvertiseAddr",
                            str_or(args_text(args, "advertise-addr"), ""), "DataPathAddr",
                            str_or(args_text(args, "data-path-addr"), ""), "RemoteAddrs",
                            args->argv[0], "JoinToken", str_or(args_text(args, "token"), ""),
                            "Availability", str_or(args_text(args, "availability"), "")));
    if (!api(cli, "POST", "/swarm/join", body))
        return failed(cli);
    json_t *info = api_get(cli, "/info");
    if (!info)
        return failed(cli);
    say(cli, "This node joined a swarm as a %s.\n",
        true_at(info, "Swarm.ControlAvailable") ? "manager" : "worker");
    return 0;
}

static int run_leave(struct cli *cli)
{
    if (!api(cli, "POST", args_on(&cli->args, "force") ? "/swarm/leave?force=1" : "/swarm/leave",
             NULL))
        return failed(cli);
    say(cli, "Node left the swarm.\n");
    return 0;
}

// ---- tokens, settings, keys ---------------------------------------------------------------------

// Writes the swarm's specification back; `rotation` is a part of the query.
static bool update_swarm(struct cli *cli, json_t *swarm, const char *rotation)
{
    return api(cli, "POST",
               textf(cli, "/swarm/update?version=%lld%s",
                     (long long)number_at(swarm, "Version.Index"), rotation),
               at(swarm, "Spec")) != NULL;
}

static int run_join_token(struct cli *cli)
{
    const char *role = cli->args.argv[0];
    bool worker = str_equal(role, "worker"), quiet = args_on(&cli->args, "quiet");
    if (!worker && !str_equal(role, "manager"))
        return complain(cli, "unknown role %s", role);
    if (args_on(&cli->args, "rotate")) {
        json_t *swarm = api_get(cli, "/swarm");
        if (!swarm ||
            !update_swarm(cli, swarm,
                          worker ? "&rotateWorkerToken=true" : "&rotateManagerToken=true"))
            return failed(cli);
        if (!quiet)
            say(cli, "Successfully rotated %s join token.\n\n", role);
    }
    const char *node = "";
    if (!quiet) {
        json_t *info = api_get(cli, "/info");
        if (!info)
            return failed(cli);
        node = text_at(info, "Swarm.NodeID");
        if (!true_at(info, "Swarm.ControlAvailable") && !api_get(cli, "/swarm"))
            return failed(cli);
    }
    return show_join_command(cli, node, worker, quiet);
}

// Docker engines would take the request, and skip what they do not know of it.
static bool renews_network_keys(struct cli *cli)
{
    json_t *version = api_get(cli, "/version");
    if (!version)
        return false;
    if (str_equal(text_at(version, "Platform.Name"), "Skep"))
        return true;
    err_set(&cli->error, ERR_UNIMPLEMENTED,
            "Docker engines renew network keys by themselves, every 12 hours, and not when asked");
    return false;
}

static int run_update(struct cli *cli)
{
    bool any = false;
    for (size_t i = 0; i < cli->args.flags_count; i++)
        any = any || cli->args.values[i].set;
    if (!any) {
        struct buf help;
        buf_init(&help, 1 << 16);
        help_command(cli, cli->command, &help);
        say_bytes(cli, help.data, help.len);
        buf_fini(&help);
        return 0;
    }
    json_t *swarm = api_get(cli, "/swarm");
    if (!swarm)
        return failed(cli);
    bool locked = true_at(swarm, "Spec.EncryptionConfig.AutoLockManagers");
    bool network_keys = args_on(&cli->args, "rotate-network-keys");
    if (network_keys && !renews_network_keys(cli))
        return failed(cli);
    if (spec_options(cli, object_at(swarm, "Spec")) < 0 ||
        !update_swarm(cli, swarm, network_keys ? "&rotateNetworkKeys=true" : ""))
        return failed(cli);
    say(cli, "Swarm updated.\n");
    if (!locked && true_at(swarm, "Spec.EncryptionConfig.AutoLockManagers"))
        show_unlock_key(cli);
    return 0;
}

static int run_unlock_key(struct cli *cli)
{
    bool quiet = args_on(&cli->args, "quiet");
    if (args_on(&cli->args, "rotate")) {
        json_t *swarm = api_get(cli, "/swarm");
        if (!swarm)
            return failed(cli);
        if (!true_at(swarm, "Spec.EncryptionConfig.AutoLockManagers"))
            return complain(cli, "cannot rotate because autolock is not turned on");
        if (!update_swarm(cli, swarm, "&rotateManagerUnlockKey=true"))
            return failed(cli);
        if (!quiet)
            say(cli, "Successfully rotated manager unlock key.\n\n");
    }
    json_t *answer = api_get(cli, "/swarm/unlockkey");
    if (!answer)
        return complain(cli, "could not fetch unlock key: %s", cli->error.message);
    if (str_empty(text_at(answer, "UnlockKey")))
        return complain(cli, "no unlock key is set");
    if (quiet)
        say(cli, "%s\n", text_at(answer, "UnlockKey"));
    else
        show_unlock_key(cli);
    return 0;
}

static int run_unlock(struct cli *cli)
{
    json_t *info = api_get(cli, "/info");
    if (!info)
        return failed(cli);
    const char *state = text_at(info, "Swarm.LocalNodeState");
    if (str_equal(state, "inactive"))
        return complain(cli, "Error: This node is not part of a swarm");
    if (!str_equal(state, "locked"))
        return complain(cli, "Error: swarm is not locked");
    const char *key = cli_secret(cli, "Please enter unlock key: ");
    if (!key)
        return complain(cli, "no key was entered");
    json_t *body = keep(cli, json_pack("{s:s}", "UnlockKey", key));
    return api(cli, "POST", "/swarm/unlock", body) ? 0 : failed(cli);
}

// ---- the certificate authority ------------------------------------------------------------------

static int wait_for_rotation(struct cli *cli, bool quiet)
{
    struct progress progress;
    progress_init(&progress, cli, quiet);
    for (;;) {
        json_t *swarm = api_get(cli, "/swarm"), *nodes = swarm ? api_get(cli, "/nodes") : NULL;
        if (!nodes) {
            progress_end(&progress);
            return failed(cli);
        }
        bool rotating = true_at(swarm, "RootRotationInProgress");
        const char *root = text_at(swarm, "TLSInfo.TrustRoot");
        size_t count = json_array_size(nodes), done = 0, i;
        json_t *node;
        json_array_foreach(nodes, i, node) done +=
            str_equal(text_at(node, "Description.TLSInfo.CertIssuerPublicKey"),
                      text_at(swarm, "TLSInfo.CertIssuerPublicKey"));
        progress_begin(&progress);
        progress_line(&progress, "rotated TLS certificates: %zu/%zu nodes", done, count);
        progress_line(&progress, "rotated CA certificates: %s", rotating ? "under way" : "done");
        progress_show(&progress);
        if (!rotating) {
            progress_end(&progress);
            if (!quiet)
                say(cli, "%s%s", root, str_ends(root, "\n") ? "" : "\n");
            return 0;
        }
        cli_sleep(cli, CA_POLL_MS);
    }
}

static int run_ca(struct cli *cli)
{
    static const char *const of_rotation[] = {"ca-cert", "ca-key", "cert-expiry", "external-ca",
                                              NULL};
    struct args *args = &cli->args;
    json_t *swarm = api_get(cli, "/swarm");
    if (!swarm)
        return failed(cli);
    if (!args_on(args, "rotate")) {
        for (size_t i = 0; of_rotation[i]; i++)
            if (args_set(args, of_rotation[i]))
                return complain(cli, "`--%s` flag requires the `--rotate` flag to update the CA",
                                of_rotation[i]);
        const char *root = text_at(swarm, "TLSInfo.TrustRoot");
        if (str_empty(root))
            return complain(cli, "No CA information available");
        say(cli, "%s%s", root, str_ends(root, "\n") ? "" : "\n");
        return 0;
    }
    json_t *spec = object_at(swarm, "Spec");
    const char *cert = args_text(args, "ca-cert"), *key = args_text(args, "ca-key");
    const char *cert_pem = cert ? cli_read(cli, cert, NULL) : "";
    const char *key_pem = cert_pem && key ? cli_read(cli, key, NULL) : "";
    if (!cert_pem || !key_pem)
        return failed(cli);
    if (args_set(args, "cert-expiry"))
        set_number(spec, "CAConfig.NodeCertExpiry", args_number(args, "cert-expiry", 0));
    if (external_cas(cli, spec) < 0)
        return failed(cli);
    set_text(spec, "CAConfig.SigningCACert", cert_pem);
    set_text(spec, "CAConfig.SigningCAKey", key_pem);
    set_number(spec, "CAConfig.ForceRotate", number_at(spec, "CAConfig.ForceRotate") + 1);
    if (!update_swarm(cli, swarm, ""))
        return failed(cli);
    return args_on(args, "detach") ? 0 : wait_for_rotation(cli, args_on(args, "quiet"));
}

// ---- the table ----------------------------------------------------------------------------------

#define SPEC_FLAGS                                                                                 \
    {"autolock", 0, FLAG_BOOL, NULL, "Managers need a key to start again"},                        \
        {"cert-expiry", 0, FLAG_DURATION, "duration", "How long node certificates are good"},      \
        {"dispatcher-heartbeat", 0, FLAG_DURATION, "duration", "How often nodes report"},          \
        {"external-ca", 0, FLAG_LIST, "external-ca", "Where certificates are signed instead"},     \
        {"max-snapshots", 0, FLAG_UINT, "uint", "Old Raft snapshots to keep"},                     \
        {"snapshot-interval", 0, FLAG_UINT, "uint", "Log entries between Raft snapshots"},         \
    {                                                                                              \
        "task-history-limit", 0, FLAG_INT, "int", "Old tasks to keep for each slot"                \
    }

#define JOIN_FLAGS                                                                                 \
    {"advertise-addr", 0, FLAG_TEXT, "address", "What others reach this node by"},                 \
        {"availability", 0, FLAG_TEXT, "state", "The node is active, pause or drain"},             \
        {"data-path-addr", 0, FLAG_TEXT, "address", "Address or interface of container traffic"},  \
    {                                                                                              \
        "listen-addr", 0, FLAG_TEXT, "address", "Where to listen (default 0.0.0.0:2377)"           \
    }

static const struct flag init_flags[] = {
    SPEC_FLAGS,
    JOIN_FLAGS,
    {"data-path-port", 0, FLAG_UINT, "port", "UDP port of container traffic (default 4789)"},
    {"default-addr-pool", 0, FLAG_CIDRS, "subnets", "Where overlay networks get subnets from"},
    {"default-addr-pool-mask-length", 0, FLAG_UINT, "bits", "Size of those subnets (default 24)"},
    {"force-new-cluster", 0, FLAG_BOOL, NULL, "Make a new swarm of what this node knows"},
    {0},
};
static const struct flag join_flags[] = {
    JOIN_FLAGS,
    {"token", 0, FLAG_TEXT, "token", "The token that lets a node in"},
    {0},
};
static const struct flag token_flags[] = {
    {"quiet", 'q', FLAG_BOOL, NULL, "Print the token alone"},
    {"rotate", 0, FLAG_BOOL, NULL, "Make a new token; the old one is void"},
    {0},
};
static const struct flag leave_flags[] = {
    {"force", 'f', FLAG_BOOL, NULL, "Leave whatever becomes of the swarm"},
    {0},
};
static const struct flag update_flags[] = {
    SPEC_FLAGS,
    {"rotate-network-keys", 0, FLAG_BOOL, NULL,
     "Renew the keys of gossip and encrypted networks now"},
    {0},
};
static const struct flag ca_flags[] = {
    {"ca-cert", 0, FLAG_TEXT, "file", "The new root certificate, PEM"},
    {"ca-key", 0, FLAG_TEXT, "file", "Its key, PEM"},
    {"cert-expiry", 0, FLAG_DURATION, "duration", "How long node certificates are good"},
    {"detach", 'd', FLAG_BOOL, NULL, "Do not wait until all nodes have new certificates"},
    {"external-ca", 0, FLAG_LIST, "external-ca", "Where certificates are signed instead"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Show no progress"},
    {"rotate", 0, FLAG_BOOL, NULL, "Change to a new root certificate"},
    {0},
};

const struct command swarm_commands[] = {
    {"swarm ca", "[OPTIONS]", "Show the root certificate, or change it", ca_flags, run_ca, 0, 0, 0,
     NULL},
    {"swarm init", "[OPTIONS]", "Found a swarm, with this node as its manager", init_flags,
     run_init, 0, 0, 0, NULL},
    {"swarm join", "[OPTIONS] HOST:PORT", "Have this node join a swarm", join_flags, run_join, 1, 1,
     0, NULL},
    {"swarm join-token", "[OPTIONS] (worker|manager)", "Show how nodes join, or change the token",
     token_flags, run_join_token, 1, 1, 0, "worker manager"},
    {"swarm leave", "[OPTIONS]", "Have this node leave the swarm", leave_flags, run_leave, 0, 0, 0,
     NULL},
    {"swarm status", "[OPTIONS]", "Show what state the swarm is in", overview_status_flags,
     overview_status, 0, 0, 0, NULL},
    {"swarm unlock", "", "Give a manager the key it needs to start", NULL, run_unlock, 0, 0, 0,
     NULL},
    {"swarm unlock-key", "[OPTIONS]", "Show the unlock key, or change it", token_flags,
     run_unlock_key, 0, 0, 0, NULL},
    {"swarm update", "[OPTIONS]", "Change the swarm's settings", update_flags, run_update, 0, 0, 0,
     NULL},
    {0},
};
