#!/bin/bash
# The tour: three hosts on this machine, made of namespaces, each with a skepd, driven by the unmodified
# docker command; and a fourth that only asks.
#
#   demo.sh [--keep]      --keep: stay for play until Enter is pressed (or input ends)
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox curl nft
keep=
case ${1:-} in
--keep) keep=yes ;;
'') ;;
*) echo "usage: $0 [--keep]" >&2; exit 2 ;;
esac
echo "Four hosts come up on this machine, with no route out; they go when the tour ends."
lab_up 4

# Shows a command as the user of that host would type it, then runs it there.
type_on()
{
  local host=$1
  shift
  printf '\n\033[1m%s$ docker %s\033[0m\n' "$host" "$*"
  skep "$host" "$@"
}

running()
{
  [[ $(skep h1 service ps web --filter desired-state=running --format '{{.CurrentState}}' |
    grep -c ^Running) == "$1" ]]
}

# asked HOST...: what the service's port answers at each of the hosts, until two different tasks have.
asked()
{
  local host seen
  for host in "$@"; do
    printf '\n\033[1mh4$ curl http://%s:8080/cgi-bin/who\033[0m\n' "$host"
    seen=
    eventually 60 another_answers "$host"
    seen=$(<"$LAB/said"); echo "$seen"
    eventually 60 another_answers "$host"
    cat "$LAB/said"
  done
}
# The host's port answers with a task that was not $seen, and which saw the client's own address. (One
# that runs may not listen yet.)
another_answers()
{
  on h4 curl -s -m 5 "http://$(ip_of "$1"):8080/cgi-bin/who" >"$LAB/said"
  has "answers $(ip_of h4)\$" <"$LAB/said" && [[ $(<"$LAB/said") != "$seen" ]]
}
# A task on h1, and what is typed into it.
inside() { type_on h1 exec "$(skep h1 ps -q | head -1)" "$@"; }
# alone_on HOST...: the service's tasks run on these hosts, each of them.
alone_on() { same "$*" "$(skep h1 service ps web --filter desired-state=running --format '{{.Node}}' | sort -u | xargs)" "where the tasks run"; }

step "a swarm: two managers and a worker"
for host in h1 h2 h3; do skep_start $host; done
type_on h1 swarm init --advertise-addr "$(ip_of h1)"
type_on h2 swarm join --token "$(skep h1 swarm join-token --quiet manager)" "$(ip_of h1):2377"
type_on h3 swarm join --token "$(skep h1 swarm join-token --quiet worker)" "$(ip_of h1):2377"
type_on h2 node ls

step "an image on each host, and an overlay network between them"
lab_rootfs "$LAB/rootfs"
mkdir -p "$LAB/rootfs/www/cgi-bin"
printf '#!/bin/sh\necho\necho "$(hostname) answers $REMOTE_ADDR"\n' >"$LAB/rootfs/www/cgi-bin/who"
chmod 755 "$LAB/rootfs/www/cgi-bin/who"
tar -C "$LAB/rootfs" -cf "$LAB/rootfs.tar" .
for host in h1 h2 h3; do type_on $host import "$LAB/rootfs.tar" web:1; done
type_on h1 network create --driver overlay net

step "a service of three replicas, published on every host"
type_on h1 service create --detach --quiet --no-resolve-image --name web --replicas 3 --network net --stop-grace-period 1s \
  --publish 8080:80 web:1 httpd -f -p 0.0.0.0:80 -h /www
eventually 60 running 3
type_on h1 service ps web
eventually 60 alone_on h1 h2 h3

step "any host answers, and the tasks see who asked"
asked h1 h2 h3

step "the tasks know each other by name"
inside nslookup tasks.web. | tee "$LAB/named"
same 3 "$(grep -c '^Address.*: 10\.' "$LAB/named")" "addresses of tasks.web"
inside wget -q -O - http://web/cgi-bin/who | tee "$LAB/named"
has ' answers 10.' <"$LAB/named" || fail "no task answers another by the service's name"

step "more of them, then another version"
type_on h2 service scale --detach web=5
eventually 60 running 5
type_on h1 service update --detach --quiet --no-resolve-image --update-parallelism 2 --env-add COLOUR=green web
updated() { [[ $(skep h1 service inspect web --format '{{.UpdateStatus.State}}') == completed ]]; }
eventually 60 updated
type_on h1 service ps --filter desired-state=running web
inside env | tee "$LAB/colour"
has '^COLOUR=green$' <"$LAB/colour" || fail "not updated"

step "h3 loses its power: its tasks move"
type_on h1 swarm update --dispatcher-heartbeat 2s
host_kill h3
down() { [[ $(skep h1 node ls --format '{{.Hostname}} {{.Status}}' | sed -n 's/^h3 //p') == Down ]]; }
eventually 60 down
eventually 60 running 5
type_on h1 node ls
type_on h1 service ps --filter desired-state=running web
eventually 60 alone_on h1 h2
asked h1 h2

step "that was the tour; ./dev e2e goes further"
if [[ $keep ]]; then
  echo "The hosts stay. For example: docker -H unix://$LAB/h1/skep.sock service ls"
  echo "Press Enter to end."
  read -r _ || true
fi
