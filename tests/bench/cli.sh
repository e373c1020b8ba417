#!/bin/bash
# The skep command beside the docker command, in turns on the same machine: how long a start takes that
# asks no daemon, and one that does, and lists of a swarm with many services. Both talk to one skepd.
#
#   SERVICES=100 ROUNDS=10 tests/bench/cli.sh
#
# Prints a table (milliseconds: the best, the median; and processor time of the command alone) with the aim
# for skep, and one JSON line per row.
here=$(dirname "$0")
. "$here/../support/lab.sh"
lab_needs docker curl jq python3
SKEP_BUILD=${SKEP_BUILD:-$PWD/build}
SERVICES=${SERVICES:-1000}
ROUNDS=${ROUNDS:-40}
lab_up 1
skep_start h1
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
export DOCKER_CONFIG=$LAB/docker-config DOCKER_HOST=unix://$LAB/h1/skep.sock

python3 - "$LAB/h1/skep.sock" "$SERVICES" <<'P'
import http.client, json, socket, sys
link = http.client.HTTPConnection("skepd")
link.sock = socket.socket(socket.AF_UNIX)
link.sock.connect(sys.argv[1])
for i in range(int(sys.argv[2])):
    link.request("POST", "/v1.41/services/create", headers={"Content-Type": "application/json"}, body=json.dumps({
        "Name": f"service-{i}", "Mode": {"Replicated": {"Replicas": 0}},
        "TaskTemplate": {"ContainerSpec": {"Image": "busybox:1"}}}))
    answer = link.getresponse()
    body = answer.read()
    assert answer.status == 201, body
P

python3 - "$SKEP_BUILD/skep" "$(type -P docker)" "$ROUNDS" <<'P'
import json, os, resource, subprocess, sys, time
skep, docker, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
# What is measured, the words, and the aim for skep's best in milliseconds.
rows = [("start", ["--version"], 5), ("help", ["--help"], 5), ("version", ["version"], 5),
        ("ps", ["ps"], None), ("node ls", ["node", "ls"], None), ("service ls", ["service", "ls"], None)]

def run(program, words):
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([program, *words], stdout=subprocess.DEVNULL, check=True)
    took, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took * 1e3, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3

print(f"{'what':<12} {'skep best':>10} {'median':>8} {'cpu':>8} {'docker best':>12} {'median':>8} {'cpu':>8}  aim")
for name, words, aim in rows:
    figures = {"skep": [], "docker": []}
    for _ in range(rounds):
        for program, kept in (skep, figures["skep"]), (docker, figures["docker"]):
            kept.append(run(program, words))
    line = {"bench": "cli", "what": name, "services": len(subprocess.run(
        [skep, "service", "ls", "-q"], capture_output=True, text=True).stdout.split()),
        "load": os.getloadavg()[0]}
    for side, kept in figures.items():
        times = sorted(took for took, _ in kept)
        line[side] = {"best_ms": round(times[0], 2), "p50_ms": round(times[len(times) // 2], 2),
                      "cpu_ms": round(sum(cpu for _, cpu in kept) / len(kept), 2)}
    ours, theirs = line["skep"], line["docker"]
    verdict = "" if aim is None else f"< {aim} ms: " + ("met" if ours["best_ms"] < aim else "missed")
    print(f"{name:<12} {ours['best_ms']:>10} {ours['p50_ms']:>8} {ours['cpu_ms']:>8} "
          f"{theirs['best_ms']:>12} {theirs['p50_ms']:>8} {theirs['cpu_ms']:>8}  {verdict}")
    print(json.dumps(line))
P
