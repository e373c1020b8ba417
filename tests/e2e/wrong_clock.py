"""A host with a clock of its own, as ICMP timestamps show it: wrong_clock.py SECONDS-AHEAD.

Takes timestamp requests off the wire and answers them in the kernel's place, for doctor.sh.
"""
import socket
import struct
import sys
import time

DAY_MS = 24 * 3600 * 1000
REQUEST, REPLY = 13, 14


def checksum(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


ahead_ms = int(float(sys.argv[1]) * 1000)
wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
while True:
    packet, link = wire.recvfrom(2048)
    message = packet[(packet[0] & 15) * 4:][:20]
    if link[2] == socket.PACKET_OUTGOING or packet[9] != socket.IPPROTO_ICMP or len(message) < 20:
        continue
    if message[0] != REQUEST:
        continue
    now = (int(time.time() * 1000) + ahead_ms) % DAY_MS
    answer = struct.pack(">BBH", REPLY, 0, 0) + message[4:12] + struct.pack(">II", now, now)
    answer = answer[:2] + struct.pack(">H", checksum(answer)) + answer[4:]
    out.sendto(answer, (socket.inet_ntoa(packet[12:16]), 0))
