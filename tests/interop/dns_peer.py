"""What surrounds a resolver and does not mean well: for dns.sh.

  upstream PORT FILE   a name server that sends forged replies before the true one (192.0.2.77), and
                       writes "port id" of each question to FILE
  flood NAME SECONDS   asks for random names under NAME as fast as it can
  garbage              sends broken questions, over UDP and TCP
  half COUNT SECONDS   holds so many connections that never ask a whole question
  pipeline NAME COUNT  asks so many questions over one connection at once, prints the answers' number
  hush PORT            takes TCP connections and questions over UDP, and never says a word
"""
import os
import random
import socket
import struct
import sys
import time

RESOLVER = ("127.0.0.11", 53)


def name(text):
    return b"".join(bytes([len(p)]) + p.encode() for p in text.split(".")) + b"\0"


def query(text, ident=None, kind=1):
    ident = random.randrange(65536) if ident is None else ident
    return struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 0) + name(text) + struct.pack(">HH", kind, 1)


def end_of_question(data):
    at = 12
    while data[at]:
        at += 1 + data[at]
    return at + 5


def answer(data, ip, ident=None, question=None):
    question = data[12:end_of_question(data)] if question is None else question
    head = data[:2] if ident is None else struct.pack(">H", ident)
    return (head + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + question +
            b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(ip))


def upstream(port, path):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", int(port)))
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with open(path, "a", buffering=1, encoding="ascii") as seen:
        while True:
            data, peer = sock.recvfrom(4096)
            ident = struct.unpack(">H", data[:2])[0]
            seen.write(f"{peer[1]} {ident}\n")
            bad = "198.51.100.66"
            for step in range(1, 9):
                sock.sendto(answer(data, bad, (ident + step) & 0xffff), peer)
            sock.sendto(answer(data, bad, question=name("other.test") + b"\0\1\0\1"), peer)
            sock.sendto(data, peer)
            sock.sendto(b"", peer)
            sock.sendto(answer(data, bad)[:20], peer)
            other.sendto(answer(data, bad), peer)
            time.sleep(0.01)
            sock.sendto(answer(data, "192.0.2.77"), peer)


def hush(port):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", int(port)))
    tcp = socket.create_server(("0.0.0.0", int(port)))
    held = []
    while True:
        held.append(tcp.accept())


def flood(text, seconds):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    end, sent = time.monotonic() + float(seconds), 0
    while time.monotonic() < end:
        try:
            sock.sendto(query(f"x{random.randrange(10**9)}.{text}"), RESOLVER)
            sent += 1
        except OSError:
            pass
        try:
            sock.recv(4096)
        except OSError:
            pass
    print(sent)


def garbage():
    random.seed(1)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    good = query("web")
    for _ in range(3000):
        data = bytearray(random.choice((good, os.urandom(random.randrange(1, 600)))))
        for _ in range(random.randrange(4)):
            data[random.randrange(len(data))] = random.randrange(256)
        sock.sendto(bytes(data), RESOLVER)
    sock.sendto(os.urandom(20000), RESOLVER)
    for _ in range(50):
        with socket.create_connection(RESOLVER, 60) as tcp:
            tcp.sendall(os.urandom(random.randrange(1, 70000)))


def half(count, seconds):
    held = []
    for i in range(int(count)):
        tcp = socket.create_connection(RESOLVER, 60)
        tcp.sendall(b"\0" if i % 2 else b"\0\x30abc")
        held.append(tcp)
    print("held", flush=True)
    time.sleep(float(seconds))


def pipeline(text, count):
    count = int(count)
    with socket.create_connection(RESOLVER, 60) as tcp:
        tcp.settimeout(60)
        asked = query(text)
        tcp.sendall((struct.pack(">H", len(asked)) + asked) * count)
        tcp.shutdown(socket.SHUT_WR)
        data = b""
        while True:
            more = tcp.recv(65536)
            if not more:
                break
            data += more
    got = 0
    while len(data) >= 2:
        size = struct.unpack(">H", data[:2])[0]
        data = data[2 + size:]
        got += 1
    print(got)


if __name__ == "__main__":
    {"upstream": upstream, "flood": flood, "garbage": garbage, "half": half,
     "pipeline": pipeline, "hush": hush}[sys.argv[1]](*sys.argv[2:])
