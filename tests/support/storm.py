#!/usr/bin/env python3
"""What Traefik's swarm provider asks every 15 s, as fast as it can, from one connection.

    storm.py SOCKET SERVICES REPLICAS [--strict]

Makes the services (their tasks stay pending) unless they are there, then refreshes three times: /version,
/services, /version, the swarm's networks, for each service its running tasks, for each task its node. Every
answer must be whole and canonical. With --strict a refresh is below 1 s and 99 of 100 answers below 20 ms, which a
quiet machine owes to 1,000 services of 5 tasks.
"""
import json, sys, time

from converse import Unix, Wrong, ask, lint


def filters(**wanted):
    return json.dumps({key.replace('_', '-'): {value: True} for key, value in wanted.items()}, separators=(',', ':'))


class Client:
    def __init__(self, path):
        self.conn, self.times = Unix(path), []

    def get(self, target):
        begin = time.perf_counter()
        self.conn.request('GET', '/v1.40' + target)
        reply = self.conn.getresponse()
        body = reply.read()
        self.times.append(time.perf_counter() - begin)
        if reply.status != 200:
            raise Wrong('%s: %d %s' % (target, reply.status, body[:200]))
        value = json.loads(body)
        return value


def make(path, services, replicas):
    for i in range(services):
        spec = {'Name': 'storm%d' % i, 'Labels': {'traefik.enable': 'true'}, 'Mode': {'Replicated': {'Replicas': replicas}},
                'TaskTemplate': {'ContainerSpec': {'Image': 'bb:1'}, 'Placement': {'Constraints': ['node.hostname==nowhere']}}}
        status, _, text = ask(path, 'POST', '/services/create', json.dumps(spec))
        if status not in (201, 409):
            raise Wrong('storm%d is not created: %d %s' % (i, status, text))


def refresh(client, node):
    answers, tasks = [client.get('/version')], 0
    services = client.get('/services')
    answers += [services, client.get('/version'), client.get('/networks?filters=' + filters(scope='swarm'))]
    for service in services:
        if not service['Spec']['Name'].startswith('storm'):
            continue
        mine = client.get('/tasks?filters=' + filters(service=service['ID'], desired_state='running'))
        answers.append(mine)
        tasks += len(mine)
        for task in mine:
            answers.append(client.get('/nodes/' + (task.get('NodeID') or node)))
    return answers, tasks


def main():
    path, services, replicas = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    make(path, services, replicas)
    client = Client(path)
    node = client.get('/info')['Swarm']['NodeID']
    end = time.time() + 60
    while len(client.get('/tasks')) < services * replicas:
        if time.time() > end:
            sys.exit('FAIL: the tasks are not made within 60 s')
        time.sleep(0.2)
    fastest = None
    for _ in range(3):
        client.times, begin = [], time.perf_counter()
        answers, tasks = refresh(client, node)
        took = time.perf_counter() - begin
        for answer in answers:
            lint(answer)
        if tasks != services * replicas:
            sys.exit('FAIL: %d tasks of %d' % (tasks, services * replicas))
        fastest = min(fastest or took, took)
    p99 = sorted(client.times)[int(len(client.times) * 0.99)]
    print('%d services, %d tasks: %d requests, refresh %.0f ms, p99 %.1f ms' %
          (services, services * replicas, len(client.times), fastest * 1000, p99 * 1000))
    if '--strict' in sys.argv and (fastest >= 1 or p99 >= 0.020):
        sys.exit('FAIL: too slow')


main()
