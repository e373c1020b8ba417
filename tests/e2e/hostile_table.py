"""Every endpoint of the Engine API by its row: what it must say to requests that are wrong. For hostile.sh.

  hostile_table.py SOCKET ROUTES-FILE

A row says which body an endpoint takes and what it says of an id that nothing has; an endpoint without a row is a
failure, and so is a row without an endpoint. Each is asked with another method, with a body that is too large,
that is no JSON or not an object, with unknown and tricky ids, with filters it does not know; and where the row has
a good body, with that body made wrong in one place at a time: another type for each of its members. Every answer
has the status and the JSON message that the row's kind asks for; another client is served all the while.
"""
import http.client
import json
import socket
import sys
import threading
import time

PATH, ROUTES = sys.argv[1:3]
TOO_LARGE = 1 << 30  # more than any JSON body may have

SERVICE = {
    "Name": "never", "Labels": {"a": "b"},
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": "busybox:1", "Labels": {"a": "b"}, "Command": ["a"], "Args": ["a"], "Hostname": "a", "Env": ["A=b"],
            "Dir": "/", "User": "0", "Groups": ["0"], "TTY": False, "OpenStdin": False, "ReadOnly": False, "StopSignal": "TERM",
            "Mounts": [{"Type": "volume", "Source": "a", "Target": "/a", "ReadOnly": False, "VolumeOptions": {
                "NoCopy": False, "Labels": {"a": "b"}, "DriverConfig": {"Name": "local", "Options": {"a": "b"}}}}],
            "StopGracePeriod": 1000000000, "Hosts": ["10.0.0.1 a"],
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000, "Timeout": 1000000000, "Retries": 1, "StartPeriod": 1000000000},
            "DNSConfig": {"Nameservers": ["10.0.0.1"], "Search": ["a"], "Options": ["a"]},
            "Secrets": [{"SecretID": "a", "SecretName": "a", "File": {"Name": "a", "UID": "0", "GID": "0", "Mode": 256}}],
            "Configs": [{"ConfigID": "a", "ConfigName": "a", "File": {"Name": "a", "UID": "0", "GID": "0", "Mode": 256}}],
            "Isolation": "default", "Init": True, "Sysctls": {"a": "b"}, "CapabilityAdd": ["a"], "CapabilityDrop": ["a"],
            "Ulimits": [{"Name": "nofile", "Hard": 1, "Soft": 1}],
            "Privileges": {"CredentialSpec": {"Config": "a"}, "SELinuxContext": {"Disable": True}}},
        "Resources": {"Limits": {"NanoCPUs": 1, "MemoryBytes": 1, "Pids": 1},
                      "Reservations": {"NanoCPUs": 1, "MemoryBytes": 1, "GenericResources": [{"DiscreteResourceSpec": {"Kind": "a", "Value": 1}}]}},
        "RestartPolicy": {"Condition": "any", "Delay": 1, "MaxAttempts": 1, "Window": 1},
        "Placement": {"Constraints": ["a==b"], "Preferences": [{"Spread": {"SpreadDescriptor": "a"}}], "MaxReplicas": 1,
                      "Platforms": [{"Architecture": "a", "OS": "b"}]},
        "Networks": [{"Target": "a", "Aliases": ["a"], "DriverOpts": {"a": "b"}}],
        "LogDriver": {"Name": "a", "Options": {"a": "b"}}, "ForceUpdate": 1, "Runtime": "container"},
    "Mode": {"Replicated": {"Replicas": 1}},
    "UpdateConfig": {"Parallelism": 1, "Delay": 1, "FailureAction": "pause", "Monitor": 1, "MaxFailureRatio": 0.5, "Order": "stop-first"},
    "RollbackConfig": {"Parallelism": 1, "Delay": 1, "FailureAction": "pause", "Monitor": 1, "MaxFailureRatio": 0.5, "Order": "stop-first"},
    "EndpointSpec": {"Mode": "vip", "Ports": [{"Name": "a", "Protocol": "tcp", "TargetPort": 1, "PublishedPort": 1, "PublishMode": "host"}]},
}
SWARM = {
    "Name": "default", "Labels": {"a": "b"}, "Orchestration": {"TaskHistoryRetentionLimit": 5},
    "Raft": {"SnapshotInterval": 10000, "KeepOldSnapshots": 0, "LogEntriesForSlowFollowers": 500, "ElectionTick": 10, "HeartbeatTick": 1},
    "Dispatcher": {"HeartbeatPeriod": 5000000000}, "TaskDefaults": {"LogDriver": {"Name": "a", "Options": {"a": "b"}}},
    "CAConfig": {"NodeCertExpiry": 7776000000000000, "ForceRotate": 0, "ExternalCAs": [
        {"Protocol": "cfssl", "URL": "a", "Options": {"a": "b"}, "CACert": "a"}]},
    "EncryptionConfig": {"AutoLockManagers": False},
}
INIT = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "10.0.0.1", "DataPathAddr": "10.0.0.1", "DataPathPort": 4789,
        "DefaultAddrPool": ["10.0.0.0/8"], "SubnetSize": 24, "ForceNewCluster": False, "AutoLockManagers": False,
        "Availability": "active", "Spec": SWARM}
JOIN = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "10.0.0.1", "DataPathAddr": "10.0.0.1", "RemoteAddrs": ["10.0.0.1:2377"],
        "JoinToken": "SWMTKN-1-a-b", "Availability": "active"}
NETWORK = {
    "Name": "net1", "CheckDuplicate": True, "Driver": "overlay", "Internal": False, "Attachable": True, "Ingress": False,
    "EnableIPv6": False, "Options": {"a": "b"}, "Labels": {"a": "b"}, "Scope": "swarm", "ConfigOnly": False, "ConfigFrom": {"Network": ""},
    "IPAM": {"Driver": "default", "Options": {"a": "b"}, "Config": [
        {"Subnet": "10.9.0.0/24", "IPRange": "10.9.0.0/25", "Gateway": "10.9.0.1", "AuxiliaryAddresses": {"a": "10.9.0.2"}}]},
}
CONTAINER = {
    "Hostname": "a", "Domainname": "", "User": "0", "AttachStdin": False, "Tty": False, "OpenStdin": False, "StdinOnce": False,
    "Env": ["A=b"], "Cmd": ["a"], "Entrypoint": ["a"], "Image": "nobody-has-this:1", "Labels": {"a": "b"}, "Volumes": {"/c": {}},
    "WorkingDir": "/", "NetworkDisabled": False, "StopSignal": "TERM", "StopTimeout": 1, "ExposedPorts": {"1/tcp": {}},
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000, "Retries": 1},
    "HostConfig": {
        "Binds": ["a:/b"], "Memory": 0, "NanoCpus": 0, "CpuShares": 0, "CpusetCpus": "", "PidsLimit": 0, "NetworkMode": "none",
        "PortBindings": {"1/tcp": [{"HostIp": "", "HostPort": "1"}]}, "Privileged": False, "ReadonlyRootfs": False, "Dns": ["10.0.0.1"],
        "ExtraHosts": ["a:10.0.0.1"], "CapAdd": ["a"], "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": False,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}, "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1}],
        "Mounts": [{"Type": "volume", "Source": "a", "Target": "/a", "ReadOnly": False}], "Tmpfs": {"/d": ""}, "Sysctls": {"a": "b"},
        "ShmSize": 0, "Init": False, "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/null", "CgroupPermissions": "r"}]},
    "NetworkingConfig": {"EndpointsConfig": {"none": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": ""}}}},
}
CONFIG = {"Name": "two", "Labels": {"a": "b"}, "Data": "YQ==", "Templating": {"Name": "golang", "Options": {"a": "b"}}}
SECRET = {**CONFIG, "Name": "one", "Driver": {"Name": "a", "Options": {"a": "b"}}}
LABELS = {"Name": "two", "Labels": {"a": "b"}}
EXEC = {"AttachStdin": False, "AttachStdout": True, "Tty": False, "Env": ["A=b"], "Cmd": ["a"], "Privileged": False, "User": "0",
        "WorkingDir": "/", "DetachKeys": "ctrl-p"}

JSON, RAW, NONE = "json", "raw", "none"
# The body it takes, a good one that is made wrong, and what it says of an id that nothing has.
ROWS = {
    "GET /_ping": (NONE, None, None), "HEAD /_ping": (NONE, None, None), "GET /version": (NONE, None, None),
    "GET /info": (NONE, None, None), "GET /events": (NONE, None, None), "GET /system/df": (NONE, None, None),
    "GET /skep/checkup": (NONE, None, None),
    "POST /auth": (JSON, {"username": "a", "password": "b", "serveraddress": "c", "identitytoken": ""}, None),
    # What there is not.
    "POST /build": (RAW, None, 501), "POST /build/cancel": (NONE, None, 501), "POST /build/prune": (NONE, None, None),
    "POST /grpc": (RAW, None, 400), "POST /session": (RAW, None, 400),
    "GET /images/search": (NONE, None, 501), "GET /plugins": (NONE, None, None), "POST /plugins/create": (RAW, None, 501),
    "GET /plugins/privileges": (NONE, None, 501), "POST /plugins/pull": (RAW, None, 501),
    "DELETE /plugins/{rest...}": (NONE, None, (404, 501)), "GET /plugins/{rest...}": (NONE, None, (404, 501)),
    "POST /plugins/{rest...}": (RAW, None, (404, 501)), "GET /distribution/{rest...}": (NONE, None, 404),
    # Objects of the cluster.
    "GET /configs": (NONE, None, None), "POST /configs/create": (JSON, CONFIG, None),
    "GET /configs/{id}": (NONE, None, 404), "DELETE /configs/{id}": (NONE, None, 404),
    "POST /configs/{id}/update": (JSON, LABELS, 404),
    "GET /secrets": (NONE, None, None), "POST /secrets/create": (JSON, SECRET, None),
    "GET /secrets/{id}": (NONE, None, 404), "DELETE /secrets/{id}": (NONE, None, 404),
    "POST /secrets/{id}/update": (JSON, {**LABELS, "Name": "one"}, 404),
    "GET /nodes": (NONE, None, None), "GET /nodes/{id}": (NONE, None, 404), "DELETE /nodes/{id}": (NONE, None, 404),
    "POST /nodes/{id}/update": (JSON, {"Name": "a", "Labels": {"a": "b"}, "Role": "manager", "Availability": "active"}, 404),
    "GET /services": (NONE, None, None), "POST /services/create": (JSON, SERVICE, None),
    "GET /services/{id}": (NONE, None, 404), "DELETE /services/{id}": (NONE, None, 404),
    "GET /services/{id}/logs": (NONE, None, 404), "POST /services/{id}/update": (JSON, SERVICE, 404),
    "GET /tasks": (NONE, None, None), "GET /tasks/{id}": (NONE, None, 404), "GET /tasks/{id}/logs": (NONE, None, 404),
    "GET /swarm": (NONE, None, None), "POST /swarm/init": (JSON, INIT, None), "POST /swarm/join": (JSON, JOIN, None),
    "POST /swarm/leave": (NONE, None, None), "POST /swarm/unlock": (JSON, {"UnlockKey": "a"}, None),
    "GET /swarm/unlockkey": (NONE, None, None), "POST /swarm/update": (JSON, SWARM, None),
    # Of this node.
    "GET /networks": (NONE, None, None), "GET /networks/": (NONE, None, None), "POST /networks/create": (JSON, NETWORK, None),
    "POST /networks/prune": (NONE, None, None), "GET /networks/{id}": (NONE, None, 404), "DELETE /networks/{id}": (NONE, None, 404),
    "POST /networks/{id}/connect": (JSON, {"Container": "nobody-has-this", "EndpointConfig": {"Aliases": ["a"]}}, 404),
    "POST /networks/{id}/disconnect": (JSON, {"Container": "nobody-has-this", "Force": False}, 404),
    "GET /volumes": (NONE, None, None), "POST /volumes/prune": (NONE, None, None), "GET /volumes/{name}": (NONE, None, 404),
    "DELETE /volumes/{name}": (NONE, None, 404), "PUT /volumes/{name}": (RAW, None, 501),
    "POST /volumes/create": (JSON, {"Name": "never", "Driver": "nosuch", "DriverOpts": {"a": "b"}, "Labels": {"a": "b"}}, None),
    "POST /commit": (JSON, None, 404), "POST /containers/create": (JSON, CONTAINER, None),
    "GET /containers/json": (NONE, None, None), "POST /containers/prune": (NONE, None, None),
    "DELETE /containers/{id}": (NONE, None, 404), "GET /containers/{id}/archive": (NONE, None, (400, 404)),
    "HEAD /containers/{id}/archive": (NONE, None, (400, 404)), "PUT /containers/{id}/archive": (RAW, None, (400, 404)),
    "POST /containers/{id}/attach": (RAW, None, 404), "GET /containers/{id}/attach/ws": (NONE, None, (400, 404)),
    "GET /containers/{id}/changes": (NONE, None, 404), "POST /containers/{id}/exec": (JSON, EXEC, 404),
    "GET /containers/{id}/export": (NONE, None, 404), "GET /containers/{id}/json": (NONE, None, 404),
    "POST /containers/{id}/kill": (NONE, None, 404), "GET /containers/{id}/logs": (NONE, None, 404),
    "POST /containers/{id}/pause": (NONE, None, 404), "POST /containers/{id}/rename": (NONE, None, (400, 404)),
    "POST /containers/{id}/resize": (NONE, None, (400, 404)), "POST /containers/{id}/restart": (NONE, None, 404),
    "POST /containers/{id}/start": (NONE, None, 404), "GET /containers/{id}/stats": (NONE, None, 404),
    "POST /containers/{id}/stop": (NONE, None, 404), "GET /containers/{id}/top": (NONE, None, 404),
    "POST /containers/{id}/unpause": (NONE, None, 404), "POST /containers/{id}/wait": (NONE, None, 404),
    "POST /containers/{id}/update": (JSON, {"Memory": 0, "CpuShares": 0, "PidsLimit": 0, "RestartPolicy": {"Name": "no"}}, 404),
    "GET /exec/{id}/json": (NONE, None, 404), "POST /exec/{id}/resize": (NONE, None, (400, 404)),
    "POST /exec/{id}/start": (JSON, {"Detach": True, "Tty": False}, 404),
    "POST /images/create": (RAW, None, None), "GET /images/get": (NONE, None, None), "GET /images/json": (NONE, None, None),
    "POST /images/load": (RAW, None, None), "POST /images/prune": (NONE, None, None),
    "DELETE /images/{name...}": (NONE, None, 404), "GET /images/{name...}/get": (NONE, None, 404),
    "GET /images/{name...}/history": (NONE, None, 404), "GET /images/{name...}/json": (NONE, None, 404),
    "POST /images/{name...}/push": (NONE, None, (200,)), "POST /images/{name...}/tag": (NONE, None, (400, 404)),
}
# What has filters: it refuses those it does not know.
FILTERED = {"GET /configs", "GET /secrets", "GET /nodes", "GET /services", "GET /tasks", "GET /networks", "GET /volumes",
            "GET /containers/json", "GET /images/json", "GET /events", "POST /networks/prune", "POST /volumes/prune",
            "POST /containers/prune", "POST /images/prune"}
TRICKS = ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "a%2f", "%25", "%ff%fe", "-", "a" * 300]
# Names that exist, for bodies that are wrong: the object must not change.
KNOWN = {"configs": "two", "secrets": "one", "services": "web", "networks": "net1", "containers": "running", "nodes": "self"}
bad, asked = [], 0


class Unix(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("d", timeout=60)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(PATH)


conn = Unix()


def ask(method, target, body=None, kind="application/json"):
    """Status and message of an answer; one that is refused before its end may have cut the connection."""
    global conn, asked
    asked += 1
    for last in (False, True):
        try:
            conn.request(method, target, body, {} if body is None else {"Content-Type": kind})
            reply = conn.getresponse()
            break
        except (http.client.HTTPException, OSError) as why:
            conn.close()
            conn = Unix()
            if last:
                return None, str(why)
    if reply.getheader("Content-Length") is None and reply.status < 300:
        conn.close()  # a stream
        conn = Unix()
        return reply.status, ""
    text = reply.read()
    if reply.status < 400 or method == "HEAD":
        return reply.status, ""
    if text == b"not websocket protocol":
        return reply.status, "not websocket protocol"  # dockerd's words, too
    try:
        return reply.status, json.loads(text)["message"] or "(an empty message)"
    except (ValueError, KeyError, TypeError):
        bad.append(f"{method} {target[:90]}: {reply.status} without a message: {text[:80]!r}")
        return reply.status, ""


def too_large(method, target):
    """Announces a body that nobody may send; the answer has to come before it."""
    global asked
    asked += 1
    mine = Unix()
    mine.connect()
    mine.putrequest(method, target)
    mine.putheader("Content-Type", "application/json")
    mine.putheader("Content-Length", str(TOO_LARGE))
    mine.endheaders()
    reply = mine.getresponse()
    message = json.loads(reply.read())["message"]
    mine.close()
    return reply.status, message


def served(ended, pings):
    """Another client: what the others do must not be its trouble."""
    mine = Unix()
    while not ended.wait(0.02):
        mine.request("GET", "/_ping")
        reply = mine.getresponse()
        if (reply.status, reply.read()) != (200, b"OK"):
            return
        pings.append(time.time())
    pings.append(None)


def must(what, got, wanted):
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    if got[0] not in wanted:
        bad.append(f"{what}: {got[0]} ({got[1][:100]}), wanted {wanted}")


def target_of(pattern, name):
    """The pattern's path for a name, with the queries that it has to have."""
    query = "?version=1" if pattern.endswith("/update") and not pattern.startswith("/containers") else \
        "?stdout=1" if pattern.endswith("/logs") else ""
    return path_of(pattern, name) + query


def path_of(pattern, name):
    return "/v1.44" + "/".join(name if part.startswith("{") else part for part in pattern.split("/"))


def known(pattern):
    if pattern.startswith("/exec"):
        return target_of(pattern, execution)
    name = KNOWN.get(pattern.split("/")[1], "nobody-has-this")
    if name == "self":
        name = node
    return target_of(pattern, name)


def mutations(value, path=""):
    """The value with one of its parts replaced by something of another type, one at a time."""
    if isinstance(value, dict):
        wrong = [5, "x", [1]]
    elif isinstance(value, list):
        wrong = [5, {"a": 1}] if not (value and isinstance(value[0], str)) else [5, {"a": 1}, [{}], [5]]
    elif isinstance(value, bool):
        wrong = ["yes", 5, {}]
    elif isinstance(value, int):
        wrong = ["x", {}, 10 ** 30, 0.5, []]
    elif isinstance(value, float):
        wrong = ["x", {}, []]
    else:
        wrong = [5, {}, ["x", 5], True]
    for other in wrong:
        yield path, other
    if isinstance(value, dict):
        for key in value:
            for where, whole in mutations(value[key], f"{path}.{key}"):
                yield where, {**value, key: whole}
    elif isinstance(value, list):
        for where, whole in mutations(value[0], f"{path}[0]") if value else ():
            yield where, [whole] + value[1:]


def check(route):
    method, pattern = route.split(" ")
    body_kind, good, unknown = ROWS[route]
    plain = target_of(pattern, "nobody-has-this")
    if unknown:
        must(f"{route} of nobody", ask(method, plain, json.dumps(good).encode() if good else b"{}" if body_kind == JSON else None), unknown)
    if "{" in pattern:
        for trick in TRICKS:
            got = ask(method, target_of(pattern, trick), json.dumps(good or {}).encode() if body_kind == JSON else None)
            if got[0] is None or got[0] < 300 and route not in () or got[0] >= 500 and got[0] not in (500, 501, 503):
                bad.append(f"{route} of {trick[:20]}: {got[0]} {got[1][:80]}")
    if route in FILTERED:
        for filters in ("{", "[1]", '{"nosuch":["a"]}', '{"name":5}', '{"label":{"a":"b"}}', "\xff"):
            if pattern == "/events" and "nosuch" in filters:
                continue  # which it passes over, as dockerd does
            got = ask(method, f"{path_of(pattern, '')}?filters=" + "".join(f"%{byte:02x}" for byte in filters.encode("latin-1")))
            must(f"{route} filters={filters}", got, 400)
        if pattern.endswith("/prune") and pattern != "/volumes/prune":
            for moment in ("x", "", "-", "99999999999999999999"):
                got = ask(method, f"{path_of(pattern, '')}?filters=%7B%22until%22%3A%5B%22{moment}%22%5D%7D")
                must(f"{route} until {moment}", got, 400)
    if route == "GET /containers/json":
        for name in ("-" + "%2B" * 60, "(" * 100, "a%7B99%7D" * 40, "%5B" * 50):
            must(f"{route} of {name[:20]}", ask(method, f"{path_of(pattern, '')}?filters=%7B%22name%22%3A%5B%22{name}%22%5D%7D"), 200)
    if body_kind == JSON:
        for body in (b"{", b"[]", b'"x"', b"5", b"\xff\xfe", b'{"a":' * 2000, b"{} trailing"):
            must(f"{route} with {body[:12]!r}", ask(method, known(pattern), body), 400)
        must(f"{route} with another type", ask(method, known(pattern), b"{}", "text/plain"), 400)
        must(f"{route} with {TOO_LARGE} bytes", too_large(method, known(pattern)), 413)
    for where, wrong in mutations(good) if good else ():
        must(f"{route} {where}", ask(method, known(pattern), json.dumps(wrong).encode()), 400)
    # What makes the rows above mean something: as it is, the body is wrong for another reason, or for none.
    if good:
        got = ask(method, known(pattern), json.dumps(good).encode())
        if got[0] is None or got[0] == 400 or got[0] == 201 and route != "POST /containers/{id}/exec":
            bad.append(f"{route} with its good body: {got}")


def takes(pattern, path):
    """Whether the pattern's endpoint answers for that path, too."""
    parts, given = pattern.split("/"), path.split("/")
    return "..." in pattern or len(parts) == len(given) and all(a == b or a.startswith("{") for a, b in zip(parts, given))


def main():
    global node, execution
    routes = sorted(" ".join(line.split()) for line in open(ROUTES) if line.strip())
    for route in sorted(set(routes) ^ set(ROWS)):
        bad.append(f"{route}: " + ("no row in the table" if route not in ROWS else "a row, but no such endpoint"))
    conn.request("GET", "/info")
    node = json.loads(conn.getresponse().read())["Swarm"]["NodeID"]
    conn.request("POST", "/containers/running/exec", json.dumps({"Cmd": ["true"]}), {"Content-Type": "application/json"})
    execution = json.loads(conn.getresponse().read())["Id"]
    by_pattern = {}
    for route in routes:
        method, pattern = route.split(" ")
        by_pattern.setdefault(pattern, set()).add(method)
    for pattern, methods in by_pattern.items():
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE"} - methods:
            if not any(other != pattern and method in by_pattern[other] and takes(other, pattern) for other in by_pattern):
                must(f"{method} {pattern}", ask(method, target_of(pattern, "nobody-has-this")), (404, 405))
    begin, ended, pings = time.time(), threading.Event(), []
    other = threading.Thread(target=served, args=(ended, pings))
    other.start()
    for route in routes:
        if route in ROWS:
            check(route)
    ended.set()
    other.join()
    if not pings or pings[-1] is not None:
        bad.append("another client was not served")
    print(f"endpoints={len(routes)} requests={asked} seconds={time.time() - begin:.1f}")
    for line in bad[:60]:
        print("BAD", line)
    sys.exit(1 if bad else 0)


main()
