"""Load on all managers of a swarm while its leadership moves, and what must hold meanwhile and after.

    drill.py SECONDS RECORD LOGS SOCKET...     one Engine API socket per manager

Services with an address and a published port each are made, scaled and removed through every manager.
What was acknowledged is there in the end, under its id, once, at every manager; what was removed is
not; an address or port, once seen, never changes, and nobody else has it. Prints what it did; exits 1
with what was broken.

A stock leader that takes over does not claim the addresses of tasks whose service was removed ("could
not find service"), hands them out again, and frees them under the new holder when the old one goes. So
what is doubled counts when a leader of ours wrote it: RECORD is what interop_record says of all commits,
LOGS (names with blanks between) tell when ours led.
"""
import http.client
import json
import os
import random
import re
import socket
import sys
import threading
import time

PACE = 0.2          # seconds between two changes through one manager
KEEP = 15           # services of one manager alive at a time, at most: the mesh has 254 addresses
SETTLE = 180        # seconds that all may take to agree in the end
CALL = 12           # seconds that one call may take
EXTRA = 120         # seconds that a slow machine may take longer until there was a load

broken = []


class Manager:
    def __init__(self, path):
        self.path = path

    def call(self, method, target, body=None):
        """Status and answer; (0, text) when there was none."""
        connection = http.client.HTTPConnection('drill')
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(CALL)
            connection.sock.connect(self.path)
            text = json.dumps(body) if body is not None else None
            connection.request(method, '/v1.41' + target, text, {'Content-Type': 'application/json'})
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if raw.strip() else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            return 0, str(error)
        finally:
            connection.close()


def spec(name, network, replicas):
    return {'Name': name,
            'TaskTemplate': {'ContainerSpec': {'Image': 'busybox:lab'},
                             'Placement': {'Constraints': ['node.hostname==nowhere']},
                             'Networks': [{'Target': network}]},
            'Mode': {'Replicated': {'Replicas': replicas}},
            'EndpointSpec': {'Ports': [{'Protocol': 'tcp', 'TargetPort': 80}]}}


class User(threading.Thread):
    """Who changes things through one manager."""

    def __init__(self, number, manager, network, goes_on):
        super().__init__()
        self.number, self.manager, self.network, self.goes_on = number, manager, network, goes_on
        self.alive = {}         # name -> id, acknowledged and not asked to go
        self.gone = {}          # the same, acknowledged to be gone
        self.uncertain = set()  # names whose fate nobody told us
        self.doubted = []       # of these, what may still be there
        self.replicas = {}      # id -> as acknowledged, or None when uncertain
        self.made = self.scaled = self.removed = self.failed = 0

    def make(self):
        name = f'u{self.number}-{self.made + self.failed}'
        status, answer = self.manager.call('POST', '/services/create', spec(name, self.network, 2))
        if status == 201:
            self.alive[name] = answer['ID']
            self.replicas[answer['ID']] = 2
            self.made += 1
        else:
            self.doubt(name)

    def scale(self):
        name = random.choice(list(self.alive))
        status, service = self.manager.call('GET', f'/services/{self.alive[name]}')
        if status != 200:
            self.failed += 1
            return
        replicas = random.choice([1, 2, 3])
        service['Spec']['Mode']['Replicated']['Replicas'] = replicas
        status, _ = self.manager.call('POST', f"/services/{service['ID']}/update?version={service['Version']['Index']}",
                                      service['Spec'])
        self.replicas[service['ID']] = replicas if status == 200 else None
        self.scaled += status == 200
        self.failed += status != 200

    def remove(self):
        name = random.choice(list(self.alive))
        id = self.alive.pop(name)
        status, _ = self.manager.call('DELETE', f'/services/{id}')
        if status == 200:
            self.gone[name] = id
            self.removed += 1
        else:
            self.doubt(name)

    def doubt(self, name):
        self.uncertain.add(name)
        self.doubted.append(name)
        self.failed += 1

    def clear_doubt(self):
        """What may be there takes addresses too, and those are few."""
        name = self.doubted.pop(0)
        status, _ = self.manager.call('DELETE', f'/services/{name}')
        if status not in (200, 404):
            self.doubted.append(name)
            self.failed += 1

    def run(self):
        while self.goes_on():
            dice = random.random()
            known = len(self.alive) + len(self.doubted)
            if self.doubted and (dice < 0.2 or known >= KEEP):
                self.clear_doubt()
            elif len(self.alive) < 3 or (dice < 0.5 and known < KEEP):
                self.make()
            elif dice < 0.75:
                self.scale()
            else:
                self.remove()
            time.sleep(PACE)


class Facts:
    """What was ever seen of a service that must not change."""

    def __init__(self):
        self.vips, self.ports, self.listings, self.doubled = {}, {}, 0, set()
        self.moved, self.shared = [], []        # addresses, and what was seen of them

    def once(self, known, id, value, what, addresses=()):
        if value and known.setdefault(id, value) != value:
            self.moved.append((addresses, f'{time.strftime("%H:%M:%S")} {what} of {id} was {known[id]}, is {value}'))
            known[id] = value

    def judge(self, forgiven):
        """What is broken, but for addresses that stock doubled."""
        for things, text in self.moved + self.shared:
            if not any(thing in forgiven for thing in things):
                broken.append(text)

    def look(self, services, tasks):
        """Services and tasks are two questions: who was removed between them may have an heir in the
        second answer. So only what is still doubled at the next look counts."""
        self.listings += 1
        names, held, doubled = {}, {}, set()
        for service in services:
            id, name = service['ID'], service['Spec']['Name']
            if names.setdefault(name, id) != id:
                broken.append(f'two services {name}')
            endpoint = service.get('Endpoint') or {}
            vips = sorted((vip['NetworkID'], vip['Addr']) for vip in endpoint.get('VirtualIPs') or [] if vip.get('Addr'))
            ports = sorted((port['Protocol'], port['PublishedPort']) for port in endpoint.get('Ports') or []
                           if port.get('PublishedPort'))
            if len(vips) == 2:
                self.once(self.vips, id, vips, 'the addresses', self.vips.get(id, ()))
            self.once(self.ports, id, ports, 'the port')
            for thing in vips + ports:
                if held.setdefault(thing, id) != id:
                    doubled.add((thing, held[thing], id))
        slots = {}
        for task in tasks:
            if task['DesiredState'] not in ('running', 'ready'):
                continue
            for attachment in task.get('NetworksAttachments') or []:
                for address in attachment.get('Addresses') or []:
                    thing = (attachment['Network']['ID'], address)
                    if held.setdefault(thing, task['ID']) != task['ID']:
                        doubled.add((thing, held[thing], task['ID']))
            slot = (task['ServiceID'], task.get('Slot'))
            if slots.setdefault(slot, task['ID']) != task['ID']:
                doubled.add((slot, slots[slot], task['ID']))
        for thing, one, other in doubled & self.doubled:
            self.shared.append(([thing], f'{thing} belongs to {one} and {other}'))
        self.doubled = doubled


def reigns(logs):
    """From which commit to which a manager of ours led."""
    for log in logs:
        begin = None
        for line in open(log, errors='replace'):
            role = re.search(r'raft role role=(\w+) .* acting=(\d) applied=(\d+)', line)
            if role and begin is None and role[2] == '1':
                begin = int(role[3])
            elif role and begin is not None and role[1] != 'leader':
                yield begin + 1, int(role[3])
                begin = None
        if begin is not None:
            yield begin + 1, sys.maxsize


class Doubled:
    """Addresses that two had, by network and address; those of stock's making apart."""

    def __init__(self, record, logs):
        ours = list(reigns(logs))
        self.by_stock, self.lines = set(), 0
        for line in open(record):
            words = line.split()
            self.lines += 1
            if len(words) < 9 or words[2] != 'doubled':
                continue
            if any(begin <= int(words[1]) <= end for begin, end in ours):
                broken.append(f'by us: {line.strip()}')
            else:
                self.by_stock.add(words[3])

    def __contains__(self, thing):
        return isinstance(thing[1], str) and f'{thing[0][:6]}/{thing[1]}' in self.by_stock


def watch(managers, facts, users):
    while any(user.is_alive() for user in users):
        manager = random.choice(managers)
        status, services = manager.call('GET', '/services')
        status2, tasks = manager.call('GET', '/tasks')
        if status == status2 == 200:
            facts.look(services, tasks)
        time.sleep(0.5)


def wait_for_record(path):
    """Nothing changes any more, so that it ends; on a busy machine it may have fallen behind."""
    size, deadline = -1, time.monotonic() + 60
    while size != os.path.getsize(path) and time.monotonic() < deadline:
        size = os.path.getsize(path)
        time.sleep(1)


def settled(managers, users):
    """What is still not as it must be, and the present state at the last manager."""
    state = None
    for manager in managers:
        status, services = manager.call('GET', '/services')
        status2, tasks = manager.call('GET', '/tasks')
        if status != 200 or status2 != 200:
            return f'{manager.path} does not answer: {services}', None
        now = {service['ID']: service['Spec']['Name'] for service in services}
        live = {}
        for task in tasks:
            if task['DesiredState'] == 'running':
                live.setdefault(task['ServiceID'], []).append(task)
        for service in services:
            wanted = service['Spec']['Mode']['Replicated']['Replicas']
            if len(live.get(service['ID'], [])) != wanted:
                return f"{service['Spec']['Name']} has {len(live.get(service['ID'], []))} tasks of {wanted}", None
            if len([vip for vip in (service.get('Endpoint') or {}).get('VirtualIPs') or [] if vip.get('Addr')]) != 2:
                return f"{service['Spec']['Name']} has no addresses", None
        if state is not None and set(now.items()) != set(state[0].items()):
            return 'managers differ', None
        state = now, services, tasks
    for user in users:
        for name, id in user.alive.items():
            if state[0].get(id) != name:
                return f'{name} was acknowledged as {id} and is not there', None
        for name, id in user.gone.items():
            if id in state[0]:
                return f'{name} was acknowledged to be gone and is there', None
        for service in state[1]:
            wanted = user.replicas.get(service['ID'])
            if wanted and service['Spec']['Mode']['Replicated']['Replicas'] != wanted:
                return f"{service['Spec']['Name']} was scaled to {wanted}, which is lost", None
    return None, state


def make_network(manager):
    """Leadership moves already: what was not acknowledged may be there."""
    deadline = time.monotonic() + 60
    while True:
        status, said = manager.call('POST', '/networks/create', {
            'Name': 'drill', 'Driver': 'overlay', 'IPAM': {'Config': [{'Subnet': '10.200.0.0/16'}]}})
        if status == 201:
            return said['Id']
        status, network = manager.call('GET', '/networks/drill')
        if status == 200:
            return network['Id']
        if time.monotonic() > deadline:
            sys.exit(f'no network: {said}')
        time.sleep(0.2)


def main():
    seconds, managers = int(sys.argv[1]), [Manager(path) for path in sys.argv[4:]]
    network = make_network(managers[0])
    end = time.monotonic() + seconds
    facts, users = Facts(), []

    def goes_on():
        late = time.monotonic() - end
        return late < 0 or (late < EXTRA and sum(user.made for user in users) < seconds)
    users.extend(User(number, manager, network, goes_on) for number, manager in enumerate(managers))
    for user in users:
        user.start()
    watch(managers, facts, users)
    for user in users:
        user.join()
    deadline = time.monotonic() + SETTLE
    while True:
        missing, state = settled(managers, users)
        if not missing or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    if missing:
        broken.append(missing)
    else:
        facts.look(state[1], state[2])
        facts.look(state[1], state[2])
        attempted = {name for user in users for name in (*user.alive, *user.uncertain)}
        broken.extend(f'{name} was never asked for' for name in state[0].values() if name not in attempted)
    wait_for_record(sys.argv[2])
    doubled = Doubled(sys.argv[2], sys.argv[3].split())
    facts.judge(doubled)
    print(f"made {sum(u.made for u in users)} scaled {sum(u.scaled for u in users)} removed {sum(u.removed for u in users)} "
          f"failed {sum(u.failed for u in users)} looked {facts.listings} recorded {doubled.lines} "
          f"doubled by stock {len(doubled.by_stock)}", flush=True)
    if broken:
        sys.exit('\n'.join(dict.fromkeys(broken)))
    if sum(u.made for u in users) < seconds:
        sys.exit('hardly anything was made: this was no load')
    if doubled.lines < seconds:
        sys.exit('hardly anything was recorded')


main()
