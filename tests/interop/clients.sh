#!/bin/bash
# Clients that nobody here wrote, against our API: docker-py, Debian's Prometheus with its dockerswarm
# discovery, and Ansible, whose second run changes nothing. (dockerode: dockerode.sh.)
here=$(dirname "$0")
. "$here/../support/lab.sh"
lab_needs docker curl python3 prometheus promtool ansible-playbook
python=/usr/bin/python3 # Debian's, which has Debian's packages
$python -c 'import docker' 2>/dev/null || skip "needs python3-docker (./dev setup installs it)"
lab_up 1
skep_start h1 --metrics-addr 127.0.0.1:9323
docker() { skep h1 "$@"; }
sock=$LAB/h1/skep.sock

step "docker-py"
$python "$here/clients.py" "$sock" "$(ip_of h1)"

step "Prometheus finds nodes, services and tasks"
docker network create --driver overlay prom >/dev/null
docker service create --detach --no-resolve-image --name prom --network prom --publish 9123:9100 \
  --constraint node.hostname==nowhere busybox:lab >/dev/null
# (The interval is also how long it waits for an answer.)
for role in nodes services tasks; do
  printf '  - job_name: %s\n    dockerswarm_sd_configs: [{host: "unix://%s", role: %s, refresh_interval: 20s}]\n' \
    "$role" "$sock" "$role"
done | sed '1i scrape_configs:' >"$LAB/prometheus.yml"
printf '  - job_name: skepd\n    scrape_interval: 1s\n    static_configs: [{targets: ["127.0.0.1:9323"]}]\n' \
  >>"$LAB/prometheus.yml"
# Within the host: it asks the socket, and listens where nobody else does.
start h1 prometheus prometheus --config.file="$LAB/prometheus.yml" --storage.tsdb.path="$LAB/h1/tsdb" \
  --web.listen-address=127.0.0.1:9099
finds() { on h1 curl -sf http://127.0.0.1:9099/api/v1/targets >"$LAB/targets" && grep -q "$1" "$LAB/targets"; }
eventually 90 finds '"__meta_dockerswarm_node_hostname":"h1"'
eventually 90 finds '"__meta_dockerswarm_node_manager_leader":"true"'
eventually 90 finds '"__meta_dockerswarm_service_name":"prom"'
eventually 90 finds '"__meta_dockerswarm_service_endpoint_port_name\|"__meta_dockerswarm_service_id"'
! grep -q 'Unable to refresh target groups' "$LAB/h1/prometheus.log" || fail "Prometheus could not read an answer"

step "Prometheus takes our figures"
asks() { on h1 curl -sfG http://127.0.0.1:9099/api/v1/query --data-urlencode "query=$1"; }
says() { asks "$1" >"$LAB/said" && grep -q "\"value\":\[[0-9.]*,\"$2\"\]" "$LAB/said"; }
eventually 60 says swarm_manager_leader 1
eventually 60 says 'swarm_manager_services_total' 1
eventually 60 says 'swarm_manager_nodes{state="ready"}' 1
eventually 60 says 'swarm_manager_tasks_total{state="pending"}' 1
eventually 60 says 'swarm_raft_transaction_latency_seconds_count > bool 0' 1
eventually 60 says 'sum(swarm_node_info{node_id!="",swarm_id!=""})' 1
figures=$(on h1 curl -sf http://127.0.0.1:9323/metrics)
# Its parser takes all of it. What its lint says is about names that are SwarmKit's and dockerd's.
linted=$(promtool check metrics <<<"$figures" 2>&1) || (($? == 3)) || fail "promtool: $linted"
linted=$(grep -v '^swarm_manager_[a-z]*_total non-counter\|^engine_daemon_engine_cpus_cpus ' <<<"$linted" || true)
same '' "$linted" 'what promtool says'
same 404 "$(on h1 curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9323/other)" "what is beside /metrics"
docker service rm prom >/dev/null
LAB_STOP_SECONDS=60 stop h1 prometheus

step "Ansible: what it makes is so, and a second run changes nothing"
play()
{
  ANSIBLE_HOME=$LAB/ansible ANSIBLE_LOCALHOST_WARNING=False ANSIBLE_NOCOLOR=1 DOCKER_CONFIG=$LAB/docker-config \
    /usr/bin/ansible-playbook -i localhost, -e ansible_python_interpreter=$python -e "socket=unix://$sock" \
    -e "address=$(ip_of h1)" "$here/clients.yml"
}
docker swarm leave --force >/dev/null 2>&1 || true
play >"$LAB/first" 2>&1 || fail "$(<"$LAB/first")"
same '2 67108864 [node.hostname==nowhere]' "$(docker service inspect ansible --format \
  '{{.Spec.Mode.Replicated.Replicas}} {{.Spec.TaskTemplate.Resources.Limits.MemoryBytes}} {{.Spec.TaskTemplate.Placement.Constraints}}')" "the service"
same 'a 3' "$(docker node inspect self --format '{{.Spec.Labels.zone}}') $(docker info --format '{{.Swarm.Cluster.Spec.Orchestration.TaskHistoryRetentionLimit}}')" "node and swarm"
same st_web "$(docker service ls --filter label=com.docker.stack.namespace=st --format '{{.Name}}')" "the stack"
play >"$LAB/second" 2>&1 || fail "$(<"$LAB/second")"
[[ $(<"$LAB/second") =~ changed=0 ]] || fail "the second run changes something: $(<"$LAB/second")"
