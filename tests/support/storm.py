#!/usr/bin/env python3
"""What Traefik's swarm provider asks every 15 s, as fast as it can, from one connection.

    storm.py SOCKET SERVICES REPLICAS [--strict]

Makes the services (their tasks stay pending) unless they are there, then refreshes three times: /version,
/services, /version, the swarm's networks, for each service its running tasks, for each task its node. Every
answer must be whole and canonical. With --strict a refresh is below 1 s and 99 of 100 answers below 20 ms, which a
quiet machine owes to 1,000 services of 5 tasks.
"""
import json, socket, sys, time

from converse import Wrong, ask, lint


def filters(**wanted):
    return json.dumps({key.replace('_', '-'): {value: True} for key, value in wanted.items()}, separators=(',', ':'))


class Client:
    """One connection that lives as long as the client. What it costs itself must not be taken for the server's time,
    so there is no HTTP library in it: it sends text and cuts answers at their lengths."""

    def __init__(self, path):
        self.sock, self.rest, self.times = socket.socket(socket.AF_UNIX), b'', []
        self.sock.settimeout(60)
        self.sock.connect(path)

    def read_on(self):
        got = self.sock.recv(1 << 20)
        if not got:
            raise Wrong('the connection was closed')
        self.rest += got

    def chunks(self, at):
        parts = []
        while True:
            while (end := self.rest.find(b'\r\n', at)) < 0:
                self.read_on()
            size = int(self.rest[at:end], 16)
            while len(self.rest) < end + size + 4:
                self.read_on()
            parts.append(self.rest[end + 2:end + 2 + size])
            at = end + size + 4
            if not size:
                self.rest = self.rest[at:]
                return b''.join(parts)

    def get(self, target):
        """The body as it came: a status other than 200 is Wrong."""
        begin = time.perf_counter()
        self.sock.sendall(b'GET /v1.40%s HTTP/1.1\r\nHost: d\r\n\r\n' % target.encode())
        while (end := self.rest.find(b'\r\n\r\n')) < 0:
            self.read_on()
        head = self.rest[:end].lower()
        at = head.find(b'\r\ncontent-length:')
        if at < 0:
            body = self.chunks(end + 4)
        else:
            size = end + 4 + int(head[at + 17:].split(b'\r\n', 1)[0])
            while len(self.rest) < size:
                self.read_on()
            body, self.rest = self.rest[end + 4:size], self.rest[size:]
        self.times.append(time.perf_counter() - begin)
        if head[9:12] != b'200':
            raise Wrong('%s: %s %s' % (target, head[9:12], body[:200]))
        return body


def make(path, services, replicas):
    for i in range(services):
        spec = {'Name': 'storm%d' % i, 'Labels': {'traefik.enable': 'true'}, 'Mode': {'Replicated': {'Replicas': replicas}},
                'TaskTemplate': {'ContainerSpec': {'Image': 'bb:1'}, 'Placement': {'Constraints': ['node.hostname==nowhere']}}}
        status, _, text = ask(path, 'POST', '/services/create', json.dumps(spec))
        if status not in (201, 409):
            raise Wrong('storm%d is not created: %d %s' % (i, status, text))


def refresh(client, node):
    """The bodies of all answers, and how many tasks there were. Only what the next question needs is read on the way."""
    answers, tasks = [client.get('/version')], 0
    services = client.get('/services')
    answers += [services, client.get('/version'), client.get('/networks?filters=' + filters(scope='swarm'))]
    for service in json.loads(services):
        if not service['Spec']['Name'].startswith('storm'):
            continue
        mine = client.get('/tasks?filters=' + filters(service=service['ID'], desired_state='running'))
        answers.append(mine)
        for task in json.loads(mine):
            tasks += 1
            answers.append(client.get('/nodes/' + (task.get('NodeID') or node)))
    return answers, tasks


def main():
    path, services, replicas = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    make(path, services, replicas)
    client = Client(path)
    node = json.loads(client.get('/info'))['Swarm']['NodeID']
    end = time.time() + 60
    while len(json.loads(client.get('/tasks'))) < services * replicas:
        if time.time() > end:
            sys.exit('FAIL: the tasks are not made within 60 s')
        time.sleep(0.2)
    fastest = None
    for _ in range(3):
        client.times, begin = [], time.perf_counter()
        answers, tasks = refresh(client, node)
        took = time.perf_counter() - begin
        for answer in answers:
            lint(json.loads(answer))
        if tasks != services * replicas:
            sys.exit('FAIL: %d tasks of %d' % (tasks, services * replicas))
        fastest = min(fastest or took, took)
    p99 = sorted(client.times)[int(len(client.times) * 0.99)]
    print('%d services, %d tasks: %d requests, refresh %.0f ms, p99 %.1f ms' %
          (services, services * replicas, len(client.times), fastest * 1000, p99 * 1000))
    if '--strict' in sys.argv and (fastest >= 1 or p99 >= 0.020):
        sys.exit('FAIL: too slow')


main()
