#!/bin/bash
# The tour: three hosts on this machine, made of namespaces. Skep's manager runs on the first, stock
# Docker engines work on the others, and the unmodified docker command drives it all.
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker
echo "Three hosts come up on this machine, with no route out; they go when the tour ends."
lab_up 3

# Shows a command as the user of that host would type it, then runs it there.
type_on()
{
  local host=$1
  shift
  printf '\n\033[1m%s$ docker %s\033[0m\n' "$host" "$*"
  if [[ $host == h1 ]]; then skep "$host" "$@"; else stock "$host" "$@"; fi
}

ready() { [[ $(skep h1 node ls --format '{{.Status}}' | grep -c Ready) == 3 ]]; }

running()
{
  [[ $(skep h1 service ps web --filter desired-state=running --format '{{.CurrentState}}' |
    grep -c ^Running) == "$1" ]]
}

step "a swarm, with skepd on h1 as its manager"
skep_start h1
type_on h1 swarm init --advertise-addr "$(ip_of h1)"
type_on h1 node update --availability drain h1

step "Docker engines on h2 and h3 join it as workers"
token=$(skep h1 swarm join-token --quiet worker)
for host in h2 h3; do
  stock_start $host
  stock_image $host
  type_on $host swarm join --token "$token" "$(ip_of h1):2377"
done
eventually 30 ready
type_on h1 node ls

step "a service of two replicas on an overlay network"
type_on h1 network create --driver overlay --subnet 10.0.9.0/24 net
# shellcheck disable=SC2016 # the container's shell is to expand it
type_on h1 service create --detach --quiet --name web --replicas 2 --network net "$LAB_IMAGE" sh -c \
  'mkdir -p /www && echo "hello from $(hostname)" >/www/index.html && exec httpd -f -p 80 -h /www'
eventually 60 running 2
type_on h1 service ps web

step "each replica answers on its host"
for host in h2 h3; do
  replica=$(stock $host ps --quiet --filter label=com.docker.swarm.service.name=web)
  [[ -n $replica ]] || fail "no container of the service runs on $host"
  type_on $host exec "$replica" wget -qO- http://localhost
done

step "the manager is killed; the containers run on, and it comes back"
kill9 h1 skepd
type_on h3 exec "$replica" wget -qO- http://localhost
skep_start h1
eventually 60 ready
type_on h1 service scale --detach web=4
eventually 60 running 4
type_on h1 service ls

step "that was the tour; ./dev e2e goes further"
