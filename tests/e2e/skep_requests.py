#!/usr/bin/env python3
"""Each line of requests/lines by the docker command and by skep, against a server that only takes
notes: both have to ask a daemon for the same. Usage: skep_requests.py DOCKER SKEP FOLDER

A line is what follows the command's name; one that begins with GET is about a list, where what is
asked for counts. What the two send is compared as JSON in which members without a value (null, zero,
false, empty) do not count. Lines this docker command is too old for are left out, but not many."""
import http.server
import json
import os
import re
import shlex
import shutil
import socketserver
import subprocess
import sys
import threading
import urllib.parse

SPEC = {
    "Name": "web", "Labels": {"old": "1", "gone": "2"},
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": "busybox:1", "Labels": {"cold": "1", "cgone": "2"}, "Args": ["sleep", "1"],
            "Env": ["A=1", "GONE=2", "KEEP=3"], "Groups": ["g1", "g2"], "User": "u", "Dir": "/d",
            "Mounts": [{"Type": "volume", "Source": "v", "Target": "/v"},
                       {"Type": "bind", "Source": "/b", "Target": "/b"}],
            "Hosts": ["10.1.1.1 one", "10.1.1.2 two"],
            "DNSConfig": {"Nameservers": ["10.9.9.9", "10.9.9.8"], "Search": ["a.test", "b.test"],
                          "Options": ["ndots:1", "timeout:1"]},
            "Secrets": [{"File": {"Name": "s1", "UID": "0", "GID": "0", "Mode": 292},
                         "SecretID": "id-s1", "SecretName": "s1"}],
            "Configs": [{"File": {"Name": "/c1", "UID": "0", "GID": "0", "Mode": 292},
                         "ConfigID": "id-c1", "ConfigName": "c1"}],
            "CapabilityAdd": ["CAP_NET_ADMIN"], "CapabilityDrop": ["CAP_CHOWN"],
            "Sysctls": {"net.x": "1", "net.y": "2"},
            "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}, {"Name": "nproc", "Soft": 3, "Hard": 4}],
            "StopGracePeriod": 10000000000, "Init": True, "Isolation": "default"},
        "Resources": {"Limits": {"NanoCPUs": 5, "MemoryBytes": 6, "Pids": 7},
                      "Reservations": {"NanoCPUs": 1, "GenericResources": [
                          {"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}},
                          {"DiscreteResourceSpec": {"Kind": "ssd", "Value": 2}}]}},
        "RestartPolicy": {"Condition": "any", "Delay": 5000000000, "MaxAttempts": 0},
        "Placement": {"Constraints": ["node.role==worker", "node.labels.a==b"],
                      "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.z"}}]},
        "Networks": [{"Target": "net1"}, {"Target": "net2"}],
        "ForceUpdate": 3, "Runtime": "container"},
    "Mode": {"Replicated": {"Replicas": 2}},
    "UpdateConfig": {"Parallelism": 1, "FailureAction": "pause", "Monitor": 5000000000, "Order": "stop-first"},
    "RollbackConfig": {"Parallelism": 1, "FailureAction": "pause", "Monitor": 5000000000, "Order": "stop-first"},
    "EndpointSpec": {"Mode": "vip", "Ports": [
        {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"},
        {"Protocol": "udp", "TargetPort": 53, "PublishedPort": 5353, "PublishMode": "ingress"}]}}
SWARM = {"ID": "swarm1", "Version": {"Index": 7}, "Spec": {
    "Name": "default", "Labels": {"l": "1"}, "Orchestration": {"TaskHistoryRetentionLimit": 5},
    "Raft": {"SnapshotInterval": 10000, "KeepOldSnapshots": 0, "ElectionTick": 10, "HeartbeatTick": 1,
             "LogEntriesForSlowFollowers": 500},
    "Dispatcher": {"HeartbeatPeriod": 5000000000}, "CAConfig": {"NodeCertExpiry": 7776000000000000},
    "TaskDefaults": {}, "EncryptionConfig": {"AutoLockManagers": False}}}


KNOWN = ("s1", "s2", "c1", "c2")
MADE = []


def answer(method, path, query, body):
    """Status and body for a request."""
    filters = json.loads(query.get("filters", ["{}"])[0] or "{}")
    names = list(filters.get("name", {}))
    tail = path.rsplit("/", 1)[-1]
    if re.search(r"/containers/create$", path):
        return 201, {"Id": "c" * 64, "Warnings": []}
    if path.endswith("/services/create"):
        return 201, {"ID": "s" * 25}
    if re.search(r"/(networks|secrets|configs)/create$", path):
        MADE.append(json.loads(body)["Name"])
        made = "id-" + MADE[-1]
        return 201, {"Id": made, "ID": made}
    if path == "/volumes/create":
        return 201, {"Name": "v", "Driver": "local"}
    if method == "GET" and re.match(r"/networks/", path):
        name = tail[3:] if tail.startswith("id-") else tail
        return 200, {"Id": "id-" + name, "Name": name, "Scope": "swarm", "Driver": "overlay"}
    if method == "GET" and path in ("/secrets", "/configs"):
        return 200, [{"ID": "id-" + n, "Version": {"Index": 3}, "Spec": {"Name": n}}
                     for n in names or [*KNOWN, *MADE]]
    if method == "GET" and re.match(r"/(secrets|configs)/", path) and tail not in KNOWN:
        return 404, {"message": "not found: " + tail}
    if method == "GET" and re.match(r"/(secrets|configs)/", path):
        return 200, {"ID": "id-" + tail, "Version": {"Index": 3}, "Spec": {"Name": tail}}
    if method == "GET" and re.match(r"/services/", path):
        return 200, {"ID": "id-" + tail, "Version": {"Index": 9}, "Spec": SPEC, "PreviousSpec": SPEC}
    if method == "GET" and re.match(r"/nodes/", path):
        return 200, {"ID": "id-" + tail, "Version": {"Index": 4}, "Spec": {
            "Role": "worker", "Availability": "active", "Labels": {"old": "1", "gone": "2"}},
            "Status": {"State": "ready"}, "Description": {"Hostname": tail}}
    if path == "/swarm" and method == "GET":
        return 200, SWARM
    if path == "/swarm/init":
        return 200, "node1"
    if path == "/info":
        return 200, {"ID": "x", "Name": "h", "OSType": "linux", "Swarm": {
            "NodeID": "node1", "LocalNodeState": "active", "ControlAvailable": True}}
    if path == "/version":
        return 200, {"Version": "28.0.0", "ApiVersion": "1.50", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}
    if path.endswith("/prune"):
        return 200, {}
    if path.endswith("/exec"):
        return 201, {"Id": "e" * 64}
    if re.match(r"/exec/.*/json", path):
        return 200, {"Running": False, "ExitCode": 0}
    if re.match(r"/(containers|images)/.*/json", path):
        return 200, {"Id": "c" * 64, "Name": "/c", "Config": {"Tty": False}, "HostConfig": {}, "State": {"Status": "running", "Running": True}}
    if path in ("/volumes",):
        return 200, {"Volumes": []}
    if path.endswith("/wait"):
        return 200, {"StatusCode": 0}
    if path == "/networks" and not filters:
        return 200, [{"Id": "id-" + n, "Name": n, "Scope": "swarm", "Driver": "overlay"} for n in ("ext", "host")]
    if path in ("/services", "/nodes", "/tasks", "/networks", "/containers/json", "/images/json"):
        return 200, []
    return 200, {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while (length := int(self.rfile.readline().split(b";")[0], 16)):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
        split = urllib.parse.urlsplit(self.path)
        path = re.sub(r"^/v1\.\d+", "", split.path)
        query = urllib.parse.parse_qs(split.query, keep_blank_values=True)
        if path != "/_ping":
            self.server.notes.append((self.command, path, query, body))
        status, value = (200, None) if path == "/_ping" else answer(self.command, path, query, body)
        text = b"OK" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Api-Version", "1.50")
        self.send_header("Ostype", "linux")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_DELETE = do_PUT = handle_any

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


# Members whose keys are data: there an empty value says something.
NAMED = {"Volumes", "ExposedPorts", "Tmpfs", "Labels", "Options", "Sysctls", "EndpointsConfig", "Data"}
# Lists whose order counts; docker sorts many others.
ORDERED = {"Args", "Command", "Cmd", "Entrypoint", "Test", "Preferences"}
# What says the same as nothing.
DEFAULTS = {"MemorySwappiness": -1, "ConsoleSize": [0, 0], "RestartPolicy": {"Name": "no"}, "Replicas": 1, "Mode": {"Replicated": {}}, "CheckDuplicate": True,
            "EndpointsConfig": {"default": {}}}


def plain(value, name=""):
    """Without what says nothing."""
    if isinstance(value, dict):
        value = {k: plain(v, k) for k, v in value.items()}
        return {k: v for k, v in value.items() if name in NAMED or
                v not in (None, "", 0, False, [], {}) and DEFAULTS.get(k) != v}
    if isinstance(value, list):
        value = [plain(v) for v in value]
        return value if name in ORDERED else sorted(value, key=lambda v: json.dumps(v, sort_keys=True))
    return value


def noted(notes, looks):
    """The requests that change something, and if it looks those that list something."""
    out = []
    for method, path, query, body in notes:
        if method == "GET" and not looks or method == "HEAD":
            continue
        path = path.replace("docker.io/library/", "")
        query = {k: [t.replace("docker.io/library/", "") for t in v] for k, v in query.items() if v not in ([""], ["0"], ["false"], [])}
        if "filters" in query:
            query["filters"] = json.loads(query["filters"][0])
        try:
            # Networks are known by their names or their ids.
            body = plain(json.loads(re.sub(rb'("Target": ?")id-', rb"\1", body))) if body else {}
        except ValueError:
            body = {"raw": body[:200].decode("latin-1")}
        out.append((method, path, query, body))
    # Stacks are made object by object, in any order.
    return sorted(out, key=lambda r: (r[0], r[1], json.dumps(r[3].get("Name", "") if isinstance(r[3], dict) else "")))


def differences(theirs, ours, path):
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted({*theirs, *ours}):
            yield from differences(theirs.get(key), ours.get(key), path + "." + key)
    elif isinstance(theirs, (list, tuple)) and isinstance(ours, (list, tuple)) and len(theirs) == len(ours):
        for i, pair in enumerate(zip(theirs, ours)):
            yield from differences(*pair, "%s[%d]" % (path, i))
    elif theirs != ours:
        yield "%s: docker %s, skep %s" % (path, json.dumps(theirs), json.dumps(ours))


def ask(server, program, words, folder, looks):
    """What the program asked for, and how it ended."""
    server.notes = []
    MADE.clear()
    env = dict(os.environ, DOCKER_CONFIG=os.path.join(folder, "none"),
               DOCKER_HOST="unix://" + server.server_address)
    done = subprocess.run([os.path.realpath(program), *words], env=env, cwd=folder, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    if os.path.exists(os.path.join(folder, "cid")):
        os.remove(os.path.join(folder, "cid"))
    return noted(server.notes, looks), done


def differs(line, theirs, ours):
    print("DIFFERS:", line)
    for name, (notes, done) in (("docker", theirs), ("skep", ours)):
        if not notes or done.returncode:
            print("  %s ended with %d after %d requests: %s" %
                  (name, done.returncode, len(notes), done.stderr.strip()))
    for difference in differences(theirs[0], ours[0], ""):
        print("  " + difference)


def main():
    docker, skep, folder = sys.argv[1:4]
    here = os.path.dirname(os.path.abspath(__file__))
    folder = shutil.copytree(os.path.join(here, "requests"), os.path.join(folder, "requests"))
    server = Server(os.path.join(folder, "notes.sock"), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    same = wrong = old = 0
    for line in open(os.path.join(folder, "lines")):
        looks = line.startswith("GET ")
        words = shlex.split(line.removeprefix("GET "), comments=True)
        if not words:
            continue
        theirs = ask(server, docker, words, folder, looks)
        if not theirs[0]:
            old += 1
            continue
        ours = ask(server, skep, words, folder, looks)
        if theirs[0] == ours[0]:
            same += 1
        else:
            wrong += 1
            differs(line.strip(), theirs, ours)
    print("%d lines alike, %d not, %d refused by this docker command" % (same, wrong, old))
    return wrong != 0 or same < 120


sys.exit(main())
