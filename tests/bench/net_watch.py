"""Tells when a node learned what changed: for the convergence rows of net.sh.

  net_watch.py fdb FILE                 in an overlay's namespace: each change of a forwarding row
  net_watch.py names FILE NAME MS       in a sandbox: each change of the table it balances by, and each
                                    time that NAME, asked for every so many ms, has another number of
                                    addresses

A line "SECONDS WHAT" each, of the clock that all processes of the machine share.
"""
import os
import select
import socket
import struct
import sys
import time

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
RTNLGRP_NEIGH, NFNLGRP_NFTABLES = 3, 7
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
RTM_NEWNEIGH, RTM_DELNEIGH, AF_BRIDGE = 28, 29, 7

out = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def tell(what):
    os.write(out, b"%.4f %s\n" % (time.monotonic(), what))


def listen(protocol, group):
    fd = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    fd.bind((0, 0))
    fd.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    return fd


def rows(message):
    """Whether some message of the datagram is about a bridge's row."""
    at = 0
    while at + 16 <= len(message):
        size, kind = struct.unpack_from("=IH", message, at)
        if size < 16:
            return False
        if kind in (RTM_NEWNEIGH, RTM_DELNEIGH) and message[at + 16] == AF_BRIDGE:
            return True
        at += (size + 3) & ~3
    return False


def question(name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">6H", 77, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def watch_fdb():
    fd = listen(NETLINK_ROUTE, RTNLGRP_NEIGH)
    while True:
        if rows(fd.recv(65536)):
            tell(b"fdb")


def watch_names(name, period_s):
    tables = listen(NETLINK_NETFILTER, NFNLGRP_NFTABLES)
    asked = question(name)
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.connect(("127.0.0.11", 53))
    before, due = -1, 0.0
    while True:
        now = time.monotonic()
        if now >= due:
            due = now + period_s
            names.send(asked)
        ready, _, _ = select.select([tables, names], [], [], max(0.0, due - now))
        if tables in ready:
            tables.recv(1 << 20)
            tell(b"balancer")
        if names in ready:
            answer = names.recv(65536)
            count = struct.unpack_from(">H", answer, 6)[0]
            if count != before:
                before = count
                tell(b"names %d" % count)


if sys.argv[1] == "fdb":
    watch_fdb()
else:
    watch_names(sys.argv[3], int(sys.argv[4]) / 1000)
