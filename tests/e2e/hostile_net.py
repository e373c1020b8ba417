"""What a hostile neighbour or container sends; for hostile_net.sh.

  sniff FILE ENOUGH             keeps gossip datagrams of this host, a length of 4 bytes before each, until
                                there is a file ENOUGH
  replay FILE ADDRESS           sends them again, from here
  junk ADDRESS                  gossip that nobody sealed: random, cut, oversized, over UDP and TCP
  vxlan ADDRESS VNI MAC IP TEXT a frame with a UDP packet for IP port 9999 in clear text
  spoof IF MAC IP DMAC DIP TEXT the same packet out of an interface, with any addresses
  tell IP TEXT                  an honest one
  hear FILE                     writes what comes on UDP port 9999 to FILE, a line each
  names FILE                    a name server that knows none, and writes those it is asked for to FILE
  flood SECONDS                 asks 127.0.0.11 for random names as fast as it can
  open ADDRESS PORT...          prints those TCP ports that take a connection
"""
import os
import random
import socket
import struct
import sys
import time

GOSSIP = 7946


def mac(text):
    return bytes(int(part, 16) for part in text.split(":"))


def checksum(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def frame(source_mac, source, to_mac, to, text):
    udp = struct.pack(">HHHH", 9998, 9999, 8 + len(text), 0) + text.encode()
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0)
    head += socket.inet_aton(source) + socket.inet_aton(to)
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return mac(to_mac) + mac(source_mac) + b"\x08\x00" + head + udp


def sniff(path, enough):
    taken = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    taken.bind(("eth0", 0x0800))
    taken.settimeout(0.2)
    with open(path, "wb") as out:
        while not os.path.exists(enough):
            try:
                data = taken.recv(65535)
            except socket.timeout:
                continue
            at = (data[0] & 15) * 4
            if data[9] == 17 and data[at + 2:at + 4] == struct.pack(">H", GOSSIP):
                out.write(struct.pack(">I", len(data) - at - 8) + data[at + 8:])


def replay(path, address):
    to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    count = 0
    with open(path, "rb") as file:
        while True:
            head = file.read(4)
            if not head:
                break
            data = file.read(struct.unpack(">I", head)[0])
            for changed in (data, data[:-1], data[:20] + bytes([data[20] ^ 1]) + data[21:]):
                to.sendto(changed, (address, GOSSIP))
            count += 1
    print(count)


def junk(address):
    to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for size in [0, 1, 2, 12, 28, 29, 30, 100, 1400, 9000, 65507] * 20:
        data = os.urandom(size)
        for first in (b"", b"\x00", b"\x01", b"\x02", b"\x07\xff", b"\x09", b"\x0c", b"\xf4"):
            to.sendto((first + data)[:65507], (address, GOSSIP))
    for data in (os.urandom(4000), b"\x0a" + b"\xff" * 4 + os.urandom(100), b"\x0a\x00\x00\x00\x00",
                 b"\x06\x83", b"\x0a" + struct.pack(">I", 20 << 20) + os.urandom(5000)):
        stream = socket.create_connection((address, GOSSIP), 30)
        try:
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
            stream.settimeout(5)
            while stream.recv(4096):
                pass
        except OSError:
            pass
        stream.close()


def vxlan(address, vni, to_mac, to, text):
    to_node = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    inner = frame("02:42:0a:28:00:63", "10.40.0.99", to_mac, to, text)
    to_node.sendto(struct.pack(">II", 8 << 24, int(vni) << 8) + inner, (address, 4789))


def spoof(interface, source_mac, source, to_mac, to, text):
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((interface, 0x0800))
    out.send(frame(source_mac, source, to_mac, to, text))


def tell(to, text):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(text.encode(), (to, 9999))


def hear(path):
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.bind(("", 9999))
    with open(path, "w") as out:
        while True:
            data, source = ear.recvfrom(2048)
            print(source[0], data.decode(), file=out, flush=True)


def names(path):
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.bind(("", 53))
    with open(path, "w") as out:
        while True:
            data, source = ear.recvfrom(4096)
            at, labels = 12, []
            while data[at]:
                labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
                at += 1 + data[at]
            print(".".join(labels), file=out, flush=True)
            ear.sendto(data[:2] + b"\x81\x83" + data[4:6] + bytes(6) + data[12:at + 5], source)


def flood(seconds):
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setblocking(False)
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        label = b"%08x" % random.getrandbits(32)
        question = struct.pack(">HHHHHH", random.getrandbits(16), 0x0100, 1, 0, 0, 0)
        question += b"\x08" + label + b"\x05flood\x00\x00\x01\x00\x01"
        try:
            out.sendto(question, ("127.0.0.11", 53))
        except OSError:
            pass


def open_ports(address, *ports):
    for port in ports:
        try:
            socket.create_connection((address, int(port)), 20).close()
            print(port)
        except OSError:
            pass


DEEDS = {"sniff": sniff, "replay": replay, "junk": junk, "vxlan": vxlan, "spoof": spoof, "tell": tell,
         "hear": hear, "names": names, "flood": flood, "open": open_ports}
DEEDS[sys.argv[1]](*sys.argv[2:])
