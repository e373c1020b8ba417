"""Whether everybody knows who is on an overlay network, and since when: for overlay_stock.sh.

  overlay_state.py watch PINS GATEWAY NAME FILE
                        on a host, for ever: a line of JSON in the file for each change of what its
                        overlay's namespace has, of what a container's resolver says of NAME, and of the
                        addresses of its containers. PINS is the folder of its namespaces
  overlay_state.py own FILE
                        the addresses of the host's containers, the last that was seen
  overlay_state.py check SOCKET NETWORK COUNT [HOST=FILE...]
                        the manager has so many tasks there, which all run, and what hosts have seen is the
                        same. Else prints what a host lacks and what it has that is not, and fails. Prints
                        "HOST WHAT MS AT": how long after the last task ran, and the last container went or
                        came, that was right, and when (ms since 1970)

Times are those of the watchers, so that a busy machine's delay in asking is not taken for the network's.
A node's own address for balancing stands beside the tasks' in stock's rows, and ours: one for each node
may be there. Names have tasks alone.
"""
import ctypes
import datetime
import fcntl
import http.client
import json
import os
import random
import socket
import struct
import sys
import time
import urllib.parse

WATCH_S = 0.2
SIOCGIFADDR, CLONE_NEWNET = 0x8915, 0x40000000
RTM_NEWNEIGH, RTM_GETNEIGH, NLM_F_DUMP_REQUEST, NLMSG_DONE = 28, 30, 0x301, 3
AF_BRIDGE, NDA_DST, NDA_LLADDR, NUD_PERMANENT = 7, 1, 2, 0x80

libc = ctypes.CDLL(None, use_errno=True)


def mac_of(address):
    return "02:42:" + ":".join("%02x" % int(part) for part in address.split("."))


# ---- on a host ---------------------------------------------------------------------------------

def ask(name):
    query = struct.pack(">HHHHHH", random.randrange(65536), 0x100, 1, 0, 0, 0)
    for part in name.split("."):
        query += bytes([len(part)]) + part.encode()
    query += b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(2)
        asking.sendto(query, ("127.0.0.11", 53))
        answer = asking.recv(65536)
    if answer[2] & 2:  # more than a datagram takes
        with socket.create_connection(("127.0.0.11", 53), 2) as stream:
            stream.sendall(struct.pack(">H", len(query)) + query)
            with stream.makefile("rb") as file:
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


def enter(pin):
    fd = os.open(pin, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), pin)
    finally:
        os.close(fd)


def addresses():
    """Of this namespace, by interface; the first of each."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(any_socket, SIOCGIFADDR, struct.pack("256s", name.encode()))
                found[name] = socket.inet_ntoa(answer[20:24])
            except OSError:
                pass
    return found


def neighbour_rows(family, interface):
    """The rows (of a bridge, or of addresses) that this namespace has at the interface: (state, attributes)."""
    index, found = socket.if_nametoindex(interface), []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as route:
        route.send(struct.pack("=IHHII", 28, RTM_GETNEIGH, NLM_F_DUMP_REQUEST, 1, 0) + struct.pack("=B11x", family))
        while True:
            data, at = route.recv(1 << 18), 0
            while at + 16 <= len(data):
                size, kind = struct.unpack_from("=IH", data, at)
                if kind != RTM_NEWNEIGH:  # the end, or an error
                    return found if kind == NLMSG_DONE else []
                _, row_index, state = struct.unpack_from("=B3xiH", data, at + 16)
                attributes, inner = {}, at + 28
                while inner + 4 <= at + size:
                    length, attribute = struct.unpack_from("=HH", data, inner)
                    attributes[attribute] = data[inner + 4:inner + length]
                    inner += (length + 3) & ~3
                if row_index == index:
                    found.append((state, attributes))
                at += (size + 3) & ~3


class Host:
    """What a host has of the network. A namespace is its pin's file, with the number that tells it from one before."""

    def __init__(self, pins, gateway):
        self.pins, self.gateway = pins, gateway
        self.prefix = gateway.rsplit(".", 1)[0] + "."
        self.own = {}  # the containers' namespaces, their address each
        self.overlay = None

    def namespaces(self):
        try:
            with os.scandir(self.pins) as pins:
                return {(pin.path, os.stat(pin.path).st_ino) for pin in pins}
        except OSError:  # none yet, or one goes
            return set()

    def find(self):
        there = self.namespaces()
        self.own = {pin: address for pin, address in self.own.items() if pin in there}
        if self.overlay not in there:
            self.overlay = None
        for pin in sorted(there - self.own.keys() - {self.overlay}):
            base = os.path.basename(pin[0])
            if "ingress" in base or base.startswith("lb_") or base == "default":
                continue
            try:
                enter(pin[0])
                found = addresses()
            except OSError:  # comes or goes just now
                continue
            if base.startswith("1-"):
                if found.get("br0") == self.gateway:
                    self.overlay = pin
                continue
            for interface, address in found.items():
                if interface != "lo" and address.startswith(self.prefix):
                    self.own[pin] = address

    def look(self, name):
        self.find()
        state = {"rows": [], "neighbours": {}, "names": None, "own": sorted(self.own.values())}
        try:
            if self.overlay:
                enter(self.overlay[0])
                state["rows"] = sorted({row[NDA_LLADDR].hex(":") for _, row in neighbour_rows(AF_BRIDGE, "vxlan0")
                                        if NDA_DST in row and row[NDA_LLADDR][:2] == b"\x02\x42"})
                state["neighbours"] = {socket.inet_ntoa(row[NDA_DST]): row[NDA_LLADDR].hex(":")
                                       for flags, row in neighbour_rows(socket.AF_INET, "vxlan0")
                                       if flags & NUD_PERMANENT and NDA_LLADDR in row}
            if self.own:
                enter(min(self.own)[0])
                state["names"] = ask(name)
        except OSError:  # it goes just now, or does not answer
            pass
        return state


def watch(pins, gateway, name, file):
    host, before = Host(pins, gateway), None
    with open(file, "a", encoding="ascii", buffering=1) as out:
        while True:
            state = host.look(name)
            # Unchanged, only the time is written: that it was looked at.
            print(json.dumps({"at": time.time(), **({} if state == before else state)}), file=out)
            before = state
            time.sleep(WATCH_S)


def trail(file):
    """The states of a host, each with the time it was seen first; and when it was looked at last."""
    states, last = [], 0.0
    with open(file, encoding="ascii") as lines:
        for line in lines:
            if not line.endswith("\n"):
                break
            state = json.loads(line)
            last = state["at"]
            if "own" in state:
                states.append(state)
    return states, last


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
    """The addresses of the network's running tasks by the host they are on, and when the last began to run."""
    hosts = {node["ID"]: node["Description"]["Hostname"] for node in get(path, "/nodes")}
    found, ran = {}, 0.0
    wanted = urllib.parse.quote(json.dumps({"desired-state": ["running"]}))
    for task in get(path, "/tasks?filters=" + wanted):
        for attachment in task.get("NetworksAttachments") or []:
            if attachment["Network"]["Spec"]["Name"] != network:
                continue
            if task["Status"]["State"] != "running":
                sys.exit("a task is " + task["Status"]["State"])
            found.setdefault(hosts[task["NodeID"]], set()).update(
                address.split("/")[0] for address in attachment["Addresses"])
            ran = max(ran, datetime.datetime.fromisoformat(task["Status"]["Timestamp"]).timestamp())
    return found, ran


def difference(have, wanted, spare):
    """What is wrong, or nothing."""
    lacks, stale = wanted - have, have - wanted
    return (["lacks " + " ".join(sorted(lacks))] if lacks else []) + \
        (["has stale " + " ".join(sorted(stale))] if len(stale) > spare else [])


def faults(state, tasks, host, others):
    """What is wrong in a host's state, by kind."""
    remote = set().union(*(tasks[other] for other in tasks if other != host))
    found = {
        "rows": difference(set(state["rows"]), {mac_of(address) for address in remote}, others),
        "neighbours": difference(set(state["neighbours"]), remote, others) + [
            "%s has %s" % row for row in state["neighbours"].items() if row[1] != mac_of(row[0])],
    }
    if tasks.get(host):
        found["names"] = difference(set(state["names"] or []), set().union(*tasks.values()), 0)
    return found


def check(path, network, count, pairs):
    tasks, begin = tasks_of(path, network)
    have = sum(len(addresses) for addresses in tasks.values())
    if have != count:
        sys.exit("%d tasks" % have)
    trails = {}
    for host, file in (pair.split("=", 1) for pair in pairs):
        states, last = trail(file)
        trails[host] = states, last
        # When a container came or went last.
        begin = max([begin] + [now["at"] for was, now in zip(states, states[1:]) if was["own"] != now["own"]])
    wrong, right = [], []
    for host, (states, last) in trails.items():
        if last < begin:
            sys.exit("%s was not looked at since" % host)
        judged = [(state["at"], faults(state, tasks, host, len(pairs) - 1)) for state in states]
        for kind, said in judged[-1][1].items():
            wrong += ["%s, %s: %s" % (host, kind, text) for text in said]
            since = begin
            for at, by_kind in reversed(judged):
                if by_kind[kind]:
                    break
                since = at
            since = max(begin, since)
            right.append("%s %s %d %d" % (host, kind, (since - begin) * 1000, since * 1000))
    if wrong:
        sys.exit("\n".join(wrong))
    if right:
        print("\n".join(right))


if sys.argv[1] == "watch":
    watch(*sys.argv[2:])
elif sys.argv[1] == "own":
    print(*trail(sys.argv[2])[0][-1]["own"], sep="\n")
else:
    check(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5:])
