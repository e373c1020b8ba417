"""Clients that mean no good, on every endpoint of the Engine API: for hostile.sh.

  hostile.py SOCKET ROUTES-FILE SEED SHARE      every endpoint, or one of SHARE

Each endpoint is asked with bodies of wrong types, huge numbers, deep nesting, broken UTF-8 and no
JSON at all, with bad queries and filters, and by clients that go away in the middle. What would do
its work when asked rightly (leave the swarm, remove, prune) is asked with names that nothing has.
Every answer must be an HTTP answer with a JSON body that says why, and no 5xx but those that say
what this node does not do. Prints what was asked how often.
"""
import json
import random
import socket
import sys

PATH, ROUTES = sys.argv[1:3]
SEED, SHARE = int(sys.argv[3]), int(sys.argv[4])
rand = random.Random(SEED)
NAMES = ["nobody-has-this", "%00", "%2e%2e%2f%2e%2e%2fetc", "%ff%fe", "a" * 5000, "%s%n%x", "'\"<>;"]

# Bodies that no endpoint may take for a good one: where a part of it would be, the rest is wrong.
HUGE = "9" * 400
BODIES = [
    b"", b"null", b"[]", b"\"text\"", b"17", b"true", b"{", b"[" * 100000, b"{\"a\":" * 500 + b"1" + b"}" * 500,
    b"\xff\xfe{}", b"{\"Name\":\"\xc3\x28\"}", b"\x00" * 64, b"{\"Name\":\"a\\u0000b\"}", b"{\"Name\":1e999}",
    ("{\"Name\":%s,\"Spec\":%s}" % (HUGE, HUGE)).encode(),
    b"{\"Name\":[{}],\"Spec\":\"x\",\"TaskTemplate\":7,\"Data\":{},\"Labels\":[1],\"Driver\":[],\"IPAM\":3,"
    b"\"Image\":{},\"HostConfig\":[],\"Cmd\":{\"a\":1},\"Env\":7,\"ListenAddr\":{},\"RemoteAddrs\":5,"
    b"\"Container\":[],\"Role\":3,\"Availability\":{},\"Mode\":\"x\",\"EndpointSpec\":[],\"UnlockKey\":9,"
    b"\"ForceNewCluster\":\"yes\",\"AdvertiseAddr\":7,\"DefaultAddrPool\":\"x\",\"SubnetSize\":\"x\"}",
    json.dumps({"Name": "x" * 200000, "Labels": {str(i): "v" for i in range(20000)}, "TaskTemplate": []}).encode(),
    json.dumps({"Driver": 5, "Mode": {"Replicated": {"Replicas": -1}}, "TaskTemplate": {
        "ContainerSpec": {"Image": 5}}}).encode(),
    json.dumps({"Driver": 5, "EndpointSpec": {"Ports": [{"TargetPort": 2 ** 70}]}}).encode(),
    bytes(rand.randrange(256) for _ in range(4096)),
]
QUERIES = [
    "filters=%7B", "filters=%5B1%5D", "filters=%7B%22nosuch%22%3A%5B%22a%22%5D%7D", "filters=%7B%22name%22%3A5%7D",
    "filters=" + "%7B%22a%22%3A" * 200, "filters=%ff%fe", "version=99999999999999999999", "version=-1",
    "version=x", "force=maybe", "all=2&size=x", "since=x&until=y", "limit=99999999999999999999&tail=x",
    "t=x&signal=NOSUCH&h=-1&w=99999999", "a=" + "b" * 6000, "&&&===%", "status=maybe", "verbose=maybe", "fromImage=%ff",
]
HEADERS = [
    "", "X-Registry-Auth: ****\r\n", "Content-Type: text/plain\r\n", "Upgrade: tcp\r\nConnection: Upgrade\r\n",
    "Expect: 100-continue\r\n", "Range: bytes=0-\r\n", "Cookie: " + "c" * 3000 + "\r\n",
]
# Asked without a body and a name these do what they are for; volumes may have no name.
SPARED = {"POST /swarm/leave", "POST /swarm/unlock", "POST /volumes/create"}
asked = {"whole": 0, "aborted": 0, "half": 0}
bad = []


def connect():
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(60)
    made.connect(PATH)
    return made


def head(method, target, body, extra="", size=None):
    kind = "" if "Content-Type" in extra else "Content-Type: application/json\r\n"
    return (f"{method} {target} HTTP/1.1\r\nHost: d\r\n{kind}{extra}"
            f"Content-Length: {len(body) if size is None else size}\r\nConnection: close\r\n\r\n").encode("latin-1")


def streams(method, pattern):
    """Answers that go on until the client leaves."""
    return method == "GET" and pattern.endswith(("/events", "/logs", "/stats", "/attach/ws"))


def read_answer(made, endless):
    got = b""
    try:
        while True:
            piece = made.recv(65536)
            if not piece:
                break
            got += piece
            if endless and b"\r\n\r\n" in got or len(got) > 1 << 20:
                break
    except (ConnectionError, socket.timeout) as why:
        if not got:
            return None, str(why)
    return got, None


def judge(what, got, why):
    if got is None:
        bad.append(f"{what}: no answer: {why}")
        return
    if not got:
        return  # closed: the request was no HTTP, or larger than allowed
    first = got.split(b"\r\n", 1)[0].split(b" ")
    if len(first) < 2 or not first[0].startswith(b"HTTP/1.") or not first[1].isdigit():
        bad.append(f"{what}: not HTTP: {got[:80]!r}")
        return
    status = int(first[1])
    if status >= 500 and status not in (500, 501, 503):
        bad.append(f"{what}: {status}")
    content = got.split(b"\r\n\r\n", 1)[-1]
    if "HEAD " not in what and status >= 400 and b"application/json" in got and b"chunked" not in got.split(b"\r\n\r\n", 1)[0]:
        try:
            message = json.loads(content.decode("utf-8"))
            if not message.get("message"):
                bad.append(f"{what}: {status} without a message")
        except (ValueError, AttributeError):
            bad.append(f"{what}: {status} with a body that is no JSON: {content[:80]!r}")


def whole(method, pattern, target, body, extra):
    made = connect()
    try:
        made.sendall(head(method, target, body, extra) + body)
    except OSError:
        pass  # refused before the end: the answer may be there
    got, why = read_answer(made, streams(method, pattern))
    judge(f"{method} {target[:80]} {body[:40]!r}", got, why)
    made.close()
    asked["whole"] += 1


def aborted(method, target, body):
    """Goes away somewhere: in the head, in the body, or before the answer."""
    made = connect()
    all_of_it = head(method, target, body, size=len(body) + rand.choice([0, 0, 1, 100000])) + body
    made.sendall(all_of_it[:rand.randrange(1, len(all_of_it) + 1)])
    made.close()
    asked["aborted"] += 1


def half(method, pattern, target, body):
    """Sends everything, closes its sending side, and reads on: as `nc -N` and some proxies do."""
    made = connect()
    made.sendall(head(method, target, body) + body)
    made.shutdown(socket.SHUT_WR)
    got, why = read_answer(made, streams(method, pattern))
    judge(f"half-closed {method} {target[:80]}", got, why)
    made.close()
    asked["half"] += 1


def target_of(pattern, name):
    parts = [name if part.startswith("{") else part for part in pattern.split("/")]
    return "/".join(parts)


def sweep(method, pattern):
    named = "{" in pattern
    destructive = method == "DELETE" or pattern.endswith("/prune")
    for body in BODIES:
        target = f"/v1.{rand.choice([24, 35, 41, 44, 50])}" + target_of(pattern, rand.choice(NAMES))
        if destructive and not named:
            target += "?filters=%7B"  # what cannot be read must stop it
        if f"{method} {pattern}" not in SPARED or body not in (b"", b"null"):
            whole(method, pattern, target, body, rand.choice(HEADERS))
    for query in QUERIES:
        if (destructive and not named and not query.startswith("filters=")) or f"{method} {pattern}" in SPARED:
            continue
        target = target_of(pattern, rand.choice(NAMES)) + "?" + query
        body = rand.choice(BODIES[6:]) if method == "POST" else b""
        whole(method, pattern, target, body, "")
    for _ in range(3):
        if destructive and not named or f"{method} {pattern}" in SPARED:
            continue
        target = target_of(pattern, rand.choice(NAMES[:1]))
        aborted(method, target, b"{\"Name\":7}")
        half(method, pattern, target, b"{\"Name\":7}")


def main():
    routes = [line.split() for line in open(ROUTES) if line.strip()]
    assert len(routes) > 80, "too few endpoints"
    rand.shuffle(routes)
    for method, pattern in routes[::SHARE]:
        sweep(method, pattern)
    # What is no request at all.
    for _ in range(200):
        made = connect()
        made.settimeout(0.05)
        try:
            made.sendall(rand.choice([rand.randbytes(200), b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50,
                                      b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
                                      b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                                      b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
                                      b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]))
            made.recv(4096)
        except OSError:
            pass  # refused before its end, or not answered at all
        made.close()
    print(" ".join(f"{kind}={count}" for kind, count in asked.items()), f"endpoints={len(routes)}")
    for line in bad[:40]:
        print("BAD", line)
    sys.exit(1 if bad else 0)


main()
