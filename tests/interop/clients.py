#!/usr/bin/env python3
"""What docker-py, which nobody here wrote, makes of our API.  clients.py SOCKET NODE-ADDRESS"""
import sys
import time

import docker
from docker.types import EndpointSpec, ServiceMode


def same(wanted, got, what):
    if wanted != got:
        sys.exit('FAIL: %s: wanted %r, got %r' % (what, wanted, got))


def refused(status, part, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except docker.errors.APIError as error:
        same(status, error.response.status_code, 'status of: %s' % error)
        if part not in str(error):
            sys.exit('FAIL: refused for another reason than %r: %s' % (part, error))
        return
    sys.exit('FAIL: should have been refused: %s' % part)


def in_sequence(service, change):
    """The allocator writes too: who comes second reads again, as every client must."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        service.reload()
        try:
            return change()
        except docker.errors.APIError as error:
            if 'update out of sequence' not in str(error):
                raise
            time.sleep(0.02)
    sys.exit('FAIL: always out of sequence')


def removed(network):
    """A network goes when its last task is on its way out."""
    end = time.monotonic() + 60
    while True:
        try:
            return network.remove()
        except docker.errors.APIError as error:
            if 'is in use by task' not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.1)


def services(client):
    net = client.networks.create('py', driver='overlay', attachable=True, labels={'made': 'by-py'})
    same('py', client.networks.get(net.id).name, 'the network by id')
    same(['py'], [n.name for n in client.networks.list(filters={'label': 'made=by-py'})], 'networks by label')
    service = client.services.create('busybox:lab', name='py', command=['sleep', '1000'], labels={'a': 'b'},
                                     networks=['py'], mode=ServiceMode('replicated', replicas=2),
                                     constraints=['node.hostname==nowhere'],
                                     endpoint_spec=EndpointSpec(ports={8090: 80}))
    same('py', client.services.get(service.id).name, 'the service by id')
    same([service.id], [s.id for s in client.services.list(filters={'name': 'py'})], 'services by name')
    same([], client.services.list(filters={'label': 'a=c'}), 'services by another label')
    same({'Warnings': None}, in_sequence(service, lambda: service.scale(3)), 'scaling')
    service.reload()
    same(3, service.attrs['Spec']['Mode']['Replicated']['Replicas'], 'replicas')
    stale = service.version
    # An update makes the task's specification anew from what it is given.
    update = lambda: service.update(labels={'a': 'c'}, constraints=['node.hostname==nowhere'])
    same({'Warnings': None}, in_sequence(service, update), 'updating')
    refused(500, 'update out of sequence', client.api.update_service, service.id, stale, task_template={'ContainerSpec': {'Image': 'busybox:lab'}},
            name='py')
    same({'py'}, {t['ServiceID'] == service.id and 'py' for t in service.tasks()}, 'tasks')
    refused(409, 'name conflicts', client.services.create, 'busybox:lab', name='py')
    refused(404, 'network nosuch not found', client.services.create, 'busybox:lab', name='x', networks=['nosuch'])
    logs = b''.join(service.logs(stdout=True, stderr=True))
    # Empty, or that its tasks were never scheduled: it depends on how far the update has come.
    same(b'', logs if b'has not been scheduled' not in logs else b'', 'the logs of a service that never ran')
    service.remove()
    refused(404, 'service', client.services.get, service.id)


def data(client):
    secret = client.secrets.create(name='py', data=b'hush', labels={'k': 'v'})
    same('py', client.secrets.get(secret.id).name, 'the secret')
    same(False, 'Data' in client.secrets.get(secret.id).attrs['Spec'], 'data of the secret')
    config = client.configs.create(name='py', data=b'text')
    same('dGV4dA==', client.configs.get(config.id).attrs['Spec']['Data'], 'data of the config')
    refused(409, 'already exists', client.secrets.create, name='py', data=b'x')
    secret.remove()
    config.remove()
    same([], client.secrets.list(), 'secrets')


def main():
    socket, addr = sys.argv[1:3]
    for version in ('auto', '1.24', '1.30', '1.41'):
        client = docker.DockerClient(base_url='unix://' + socket, version=version)
        same('1.50', client.version()['ApiVersion'], 'the newest version')
        if version == 'auto':
            node = client.swarm.init(advertise_addr=addr)
            same(node, client.info()['Swarm']['NodeID'], 'the node')
        client.swarm.reload()
        same('default', client.swarm.attrs['Spec']['Name'], 'the swarm at %s' % version)
        same(1, len(client.nodes.list(filters={'role': 'manager'})), 'managers at %s' % version)
        client.close()
    client = docker.DockerClient(base_url='unix://' + socket)
    stream = client.events(decode=True, filters={'type': 'service'})
    services(client)
    actions = []
    for event in stream:
        actions.append(event['Action'])
        same('py', event['Actor']['Attributes']['name'], 'the name in an event')
        if event['Action'] == 'remove':
            break
    same(('create', 'remove'), (actions[0], actions[-1]), 'events')
    data(client)
    same(True, client.swarm.update(task_history_retention_limit=7), 'updating the swarm')
    client.swarm.reload()
    same(7, client.swarm.attrs['Spec']['Orchestration']['TaskHistoryRetentionLimit'], 'history')
    for network in client.networks.list(names=['py']):
        removed(network)
    print('docker-py %s is content' % docker.__version__)


main()
