"""A crowd of ordinary clients of the Engine API: for load.sh.

  load.py SOCKET SECONDS CLIENTS FOLLOWERS SLOW

CLIENTS talk as the docker command does, each conversation on a connection of its own: ping, list,
create, inspect, update, remove. FOLLOWERS follow events and service logs meanwhile, SLOW more ask
for long lists and events and hardly read. At the end every follower must have seen every service
that was made. Prints the requests, the failures and the latencies of each kind of request.
"""
import http.client
import json
import re
import select
import socket
import sys
import threading
import time

PATH = sys.argv[1]
SECONDS, CLIENTS, FOLLOWERS, SLOW = (int(text) for text in sys.argv[2:6])
lock = threading.Lock()
took = {}     # kind of request -> seconds each
failures = []
made = []     # names of services that were created
over = threading.Event()


class Connection(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("d", timeout=60)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(PATH)


def ask(connection, kind, method, target, body=None, good=(200, 201, 204)):
    began = time.monotonic()
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, f"/v1.41{target}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as why:
        with lock:
            failures.append(f"{kind}: {why!r}")
        connection.close()
        return None
    with lock:
        took.setdefault(kind, []).append(time.monotonic() - began)
        if answer.status not in good:
            failures.append(f"{kind}: {answer.status} {content[:120]!r}")
            return None
    return json.loads(content) if content and answer.headers.get("Content-Type") == "application/json" else content


def spec(name, replicas):
    return {"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": "busybox:lab"}, "Placement": {
        "Constraints": ["node.hostname==nowhere"]}}, "Mode": {"Replicated": {"Replicas": replicas}}}


def client(number):
    turn = 0
    while not over.is_set():
        turn += 1
        name = f"load-{number}-{turn}"
        connection = Connection()
        ask(connection, "ping", "GET", "/_ping")
        listed = ask(connection, "list services", "GET", "/services?status=true")
        if listed is not None and len({it["ID"] for it in listed}) != len(listed):
            with lock:
                failures.append("a list shows a service twice")
        ask(connection, "list nodes", "GET", "/nodes")
        created = ask(connection, "create", "POST", "/services/create", spec(name, 1))
        if created:
            with lock:
                made.append(name)
            # What one client made every client finds, in lists too.
            other = Connection()
            filters = "%7B%22name%22%3A%5B%22" + name + "%22%5D%7D"
            for target in ("/services", f"/services?filters={filters}"):
                found = ask(other, "list services", "GET", target) or []
                if not any(it["Spec"]["Name"] == name for it in found):
                    with lock:
                        failures.append(f"{name} is not in {target}")
            ask(other, "list tasks", "GET", "/tasks?filters=%7B%22service%22%3A%5B%22" + name + "%22%5D%7D")
            other.close()
            shown = ask(connection, "inspect", "GET", f"/services/{created['ID']}")
            if shown:
                # The managers write to it too: a stale version is an answer like any other.
                ask(connection, "update", "POST", f"/services/{name}/update?version={shown['Version']['Index']}",
                    spec(name, 2), good=(200, 500))
            ask(connection, "remove", "DELETE", f"/services/{name}")
        connection.close()


def open_stream(target):
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(60)
    stream.connect(PATH)
    stream.sendall(f"GET /v1.41{target} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    return stream


def events_stream():
    """Returns once the head of the answer is there: from then on everything is heard."""
    stream, head = open_stream("/events?filters=%7B%22type%22%3A%5B%22service%22%5D%7D"), b""
    while b"\r\n\r\n" not in head:
        piece = stream.recv(1)
        if not piece:
            sys.exit(f"no events: {head!r}")
        head += piece
    return stream


def heard(pieces):
    return set(re.findall(rb'"name":"([^"]*)"', b"".join(pieces)))


def follow(streams, seen):
    """Reads all streams until the end; what came is kept as bytes."""
    poll = select.poll()
    by_fd = {}
    for stream in streams:
        stream.setblocking(False)
        poll.register(stream, select.POLLIN)
        by_fd[stream.fileno()] = stream
    while not over.is_set() or seen["more"]:
        for fd, _ in poll.poll(200):
            try:
                piece = by_fd[fd].recv(1 << 16)
            except BlockingIOError:
                continue
            except OSError:
                piece = b""
            if not piece:
                with lock:
                    failures.append("a follower was cut off")
                poll.unregister(fd)
            elif fd in seen["events"]:
                seen["events"][fd].append(piece)


def slow(stream):
    """A byte now and then."""
    while not over.is_set():
        try:
            stream.recv(64)
        except OSError:
            return  # cut off for not reading: that is what should come of it, in time
        time.sleep(0.5)


def main():
    first = Connection()
    ask(first, "create", "POST", "/services/create", spec("followed", 1))
    events = [events_stream() for _ in range(FOLLOWERS // 2)]
    logs = [open_stream("/services/followed/logs?follow=1&stdout=1") for _ in range(FOLLOWERS - len(events))]
    lazy = [open_stream("/tasks" if i % 2 else "/events") for i in range(SLOW)]
    seen = {"events": {stream.fileno(): [] for stream in events}, "more": True}
    threads = [threading.Thread(target=follow, args=(events + logs, seen), daemon=True)]
    threads += [threading.Thread(target=slow, args=(stream,), daemon=True) for stream in lazy]
    threads += [threading.Thread(target=client, args=(i,), daemon=True) for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS)
    print("middle", flush=True)
    sys.stdin.readline()  # memory is looked at now
    over.set()
    for thread in threads[1 + SLOW:]:
        thread.join()

    every = {name.encode() for name in made}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not all(every <= heard(pieces) for pieces in seen["events"].values()):
        time.sleep(0.1)
    seen["more"] = False
    threads[0].join()
    for pieces in seen["events"].values():
        missing = sorted(every - heard(pieces))
        if missing:
            failures.append(f"a follower has not heard of {len(missing)} of {len(made)} services: {missing[:3]}")
            break
    for kind, each in sorted(took.items()):
        each.sort()
        print(f"{kind}: {len(each)} requests, p50 {each[len(each) // 2] * 1000:.1f} ms, "
              f"p99 {each[len(each) * 99 // 100] * 1000:.1f} ms")
    print(f"services {len(made)} failures {len(failures)}")
    for line in failures[:10]:
        print("BAD", line)
    sys.exit(1 if failures else 0)


main()
