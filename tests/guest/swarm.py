"""Small talk, honest and other, for swarm.sh.

  resolve NAME              asks 127.0.0.11 for the address
  forge IF FROM TO VNI MAC IP
                            out of the interface: a frame of VXLAN in clear text as if FROM sent it to
                            TO, with UDP for port 9999 of an endpoint
  serve PROTOCOL PORT TEXT  answers what comes on each connection with the text; tcp or sctp
  ask PROTOCOL IP PORT      asks on eight connections, one after the other; prints who answered
"""
import random
import socket
import struct
import sys


def resolve(name):
    query = struct.pack(">HHHHHH", random.randrange(65536), 0x100, 1, 0, 0, 0)
    for part in name.split("."):
        query += bytes([len(part)]) + part.encode()
    query += b"\x00" + struct.pack(">HH", 1, 1)
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.settimeout(30)
    asking.sendto(query, ("127.0.0.11", 53))
    answer = asking.recv(4096)
    print(socket.inet_ntoa(answer[-4:]) if answer[7] else "")


def checksum(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def datagram(source, to, port, payload):
    udp = struct.pack(">HHHH", 9998, port, 8 + len(payload), 0) + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, socket.IPPROTO_UDP, 0)
    head += socket.inet_aton(source) + socket.inet_aton(to)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + udp


def forge(interface, source, to, to_mac, vni, mac, ip):
    raw = [bytes.fromhex(text.replace(":", "")) for text in (to_mac, mac)]
    neighbour = ip.rsplit(".", 1)[0] + ".250"
    inner = raw[1] + b"\x02\x42" + socket.inet_aton(neighbour) + b"\x08\x00"
    inner += datagram(neighbour, ip, 9999, b"clear text")
    outer = datagram(source, to, 4789, struct.pack(">II", 8 << 24, int(vni) << 8) + inner)
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((interface, 0x0800))
    out.send(raw[0] + b"\x02\x00\x00\x00\x00\x99\x08\x00" + outer)


def stream(protocol):
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM,
                         {"tcp": socket.IPPROTO_TCP, "sctp": socket.IPPROTO_SCTP}[protocol])


def serve(protocol, port, text):
    listening = stream(protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("0.0.0.0", int(port)))
    listening.listen(16)
    while True:
        client, _ = listening.accept()
        client.recv(100)
        client.sendall(text.encode())
        client.close()


def ask(protocol, ip, port):
    answers = set()
    for _ in range(8):
        asking = stream(protocol)
        asking.settimeout(30)
        asking.connect((ip, int(port)))
        asking.sendall(b"who?")
        answers.add(asking.recv(100).decode())
        asking.close()
    print(*sorted(answers))


{"resolve": resolve, "forge": forge, "serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
