"""Whether everybody knows who is on an overlay network: for overlay_stock.sh.

  overlay_state.py look PINS GATEWAY NAME   on a host: what its overlay's namespace and a container's
                                            resolver say, as JSON. PINS is the folder of its namespaces
  overlay_state.py ask NAME                 in a container: the addresses of NAME
  overlay_state.py check SOCKET NETWORK COUNT [HOST=FILE...]
                                            the manager has so many tasks there, which all run, and the
                                            looks of hosts say the same: prints what a host lacks and what
                                            it has that is not, and fails then

A node's own address for balancing stands beside the tasks' in stock's rows, and ours: one for each node
may be there. Names have tasks alone.
"""
import glob
import http.client
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import urllib.parse


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def mac_of(address):
    return "02:42:" + ":".join("%02x" % int(part) for part in address.split("."))


# ---- on a host ---------------------------------------------------------------------------------

def ask(name):
    query = struct.pack(">HHHHHH", random.randrange(65536), 0x100, 1, 0, 0, 0)
    for part in name.split("."):
        query += bytes([len(part)]) + part.encode()
    query += b"\0" + struct.pack(">HH", 1, 1)
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.settimeout(10)
    asking.sendto(query, ("127.0.0.11", 53))
    answer = asking.recv(65536)
    if answer[2] & 2:  # more than a datagram takes
        stream = socket.create_connection(("127.0.0.11", 53), 10)
        stream.sendall(struct.pack(">H", len(query)) + query)
        file = stream.makefile("rb")
        answer = file.read(struct.unpack(">H", file.read(2))[0])
    # Answers of both kinds name the question by a pointer, or in full.
    found, at = set(), len(query)
    for _ in range(struct.unpack_from(">H", answer, 6)[0]):
        while answer[at] and answer[at] < 0xc0:
            at += 1 + answer[at]
        at += 2 if answer[at] else 1
        kind, _, _, size = struct.unpack_from(">HHIH", answer, at)
        if kind == 1:
            found.add(socket.inet_ntoa(answer[at + 10:at + 14]))
        at += 10 + size
    return sorted(found)


def look(pins, gateway, name):
    state = {"fdb": [], "neighbours": {}, "names": None, "own": []}
    prefix = gateway.rsplit(".", 1)[0] + "."
    for pin in sorted(glob.glob(pins + "/*")):
        inside = ("nsenter", "--net=" + pin, "--")
        base = os.path.basename(pin)
        if base.startswith("1-"):
            if " %s/" % gateway not in run(*inside, "ip", "-4", "addr", "show", "br0"):
                continue
            rows = run(*inside, "bridge", "fdb", "show", "dev", "vxlan0")
            state["fdb"] = sorted(set(re.findall(r"^(02:42:\S+) .*\bdst ", rows, re.M)))
            rows = run(*inside, "ip", "-4", "neigh", "show", "nud", "permanent")
            state["neighbours"] = dict(re.findall(r"^(\S+) dev vxlan0 lladdr (\S+)", rows, re.M))
        elif "ingress" not in base and not base.startswith("lb_") and base != "default":
            own = re.findall(r" inet (%s\d+)/" % re.escape(prefix), run(*inside, "ip", "-4", "-o", "addr"))
            state["own"] += own
            if own and not state["names"]:
                state["names"] = json.loads(run(*inside, sys.executable, sys.argv[0], "ask", name) or "null")
    print(json.dumps(state))


# ---- beside the manager's word -----------------------------------------------------------------

class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.host)


def get(path, what):
    connection = Unix(path)
    connection.host = path
    connection.request("GET", "/v1.41" + what, headers={"Host": "manager"})
    return json.load(connection.getresponse())


def tasks_of(path, network):
    """The addresses of the network's running tasks by the host they are on."""
    hosts = {node["ID"]: node["Description"]["Hostname"] for node in get(path, "/nodes")}
    found = {}
    wanted = urllib.parse.quote(json.dumps({"desired-state": ["running"]}))
    for task in get(path, "/tasks?filters=" + wanted):
        for attachment in task.get("NetworksAttachments") or []:
            if attachment["Network"]["Spec"]["Name"] != network:
                continue
            if task["Status"]["State"] != "running":
                sys.exit("a task is " + task["Status"]["State"])
            found.setdefault(hosts[task["NodeID"]], set()).update(
                address.split("/")[0] for address in attachment["Addresses"])
    return found


def compare(host, what, have, wanted, spare):
    lacks, stale = wanted - have, have - wanted
    if lacks:
        yield "%s lacks %s: %s" % (host, what, " ".join(sorted(lacks)))
    if len(stale) > spare:
        yield "%s has stale %s: %s" % (host, what, " ".join(sorted(stale)))


def check(path, network, count, looks):
    tasks = tasks_of(path, network)
    have = sum(len(addresses) for addresses in tasks.values())
    if have != count:
        sys.exit("%d tasks" % have)
    wrong = []
    for pair in looks:
        host, file = pair.split("=", 1)
        with open(file) as text:
            state = json.load(text)
        remote = set().union(*(tasks[other] for other in tasks if other != host))
        others = len(looks) - 1
        wrong += compare(host, "rows", set(state["fdb"]), {mac_of(address) for address in remote}, others)
        wrong += compare(host, "neighbours", set(state["neighbours"]), remote, others)
        wrong += ["%s: %s has %s" % (host, address, mac) for address, mac in state["neighbours"].items()
                  if mac != mac_of(address)]
        if tasks.get(host):
            everybody = set().union(*tasks.values())
            wrong += compare(host, "names", set(state["names"] or []), everybody, 0)
    if wrong:
        sys.exit("\n".join(wrong))


if sys.argv[1] == "ask":
    print(json.dumps(ask(sys.argv[2])))
elif sys.argv[1] == "look":
    look(*sys.argv[2:])
else:
    check(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5:])
