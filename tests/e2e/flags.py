#!/usr/bin/env python3
"""Which scripts give which flag: each command that users of a swarm know, with every option that this
docker command's own help lists, has to be given in a line of a test that runs it against an engine.
That a line asserts something of the flag is for readers; that there is one at all is counted here.

Usage: flags.py [--table] DOCKER...      --table prints each flag's lines, else only what is missing"""
import glob
import os
import re
import subprocess
import sys

COMMANDS = """
swarm init|swarm join|swarm join-token|swarm leave|swarm update|swarm ca|swarm unlock|swarm unlock-key
node ls|node ps|node inspect|node update|node promote|node demote|node rm
network create|network ls|network inspect|network connect|network disconnect|network rm|network prune
service create|service ls|service ps|service inspect|service update|service scale|service rollback|service logs|service rm
secret create|secret ls|secret inspect|secret rm|config create|config ls|config inspect|config rm
stack deploy|stack ls|stack ps|stack services|stack config|stack rm
run|exec|ps|logs|stats|inspect|events|info
""".replace("\n", "|").strip("|").split("|")

# What no engine on Linux can show, or a docker command keeps to itself.
EXEMPT = {
    ("*", "help"): "the docker command's own",
    ("*", "orchestrator"): "Kubernetes', which docker does not know any more",
    ("run", "kernel-memory"): "no kernel of today has such a limit",
    ("run", "use-api-socket"): "the docker command's own: it mounts the socket it talks to",
}

# Words that run the docker command, before a host's name or without one.
RUNNERS = r"(?:d|skep|stock|docker|alike|\"\$LAB_DOCKER\")"
# Behind these a word is no short name of the script's but a part of a command.
WORDS = {"d", "skep", "stock", "docker", "service", "node", "network", "swarm", "secret", "config", "stack", "container",
         "image", "volume", "system"}
HERE = os.path.dirname(os.path.abspath(__file__))


def options(docker, command):
    """{name: letter} of a command, by its help; empty when this docker does not have it."""
    env = dict(os.environ, DOCKER_CLI_EXPERIMENTAL="enabled", DOCKER_HOST="unix:///nonexistent.sock")
    done = subprocess.run([docker, *command.split(), "--help"], env=env, capture_output=True, text=True,
                          timeout=60)
    # An unknown command below a group prints the group's help.
    if not re.search(r"^Usage:\s+docker (container |system )?%s\b" % command, done.stdout, re.M):
        return {}
    found = re.findall(r"^ +(?:-(\w), )?--([a-z][\w-]*)", done.stdout, re.M)
    return {name: letter for letter, name in found}


def lines_of(path):
    """The script's lines with their numbers, those that go on in the next one joined."""
    joined, start = "", 0
    for number, line in enumerate(open(path), 1):
        start = start or number
        joined += line.rstrip("\n")
        if joined.endswith("\\"):
            joined = joined[:-1] + " "
            continue
        if not joined.lstrip().startswith("#"):
            yield start, joined
        joined, start = "", 0


def short_names(lines):
    """What the script calls commands by: `c() { d h1 service "$@"; }` makes c mean `d h1 service`."""
    short = {}
    for _, line in lines:
        function = re.match(r"(\w+)\(\) *{ (?:.*(?:;|&&) )?(?:in_sequence )?(\S+)( .*?)? ?\"\$@\"", line)
        if function and function.group(1) not in WORDS:
            name, first, rest = function.groups()
            if first in short or re.fullmatch(RUNNERS, first):
                short[name] = short.get(first, first) + (rest or "")
    return short


def read(path):
    """The same lines with the script's own short names written out."""
    found = list(lines_of(path))
    short = short_names(found)
    for number, line in found:
        words = re.sub(r"(\$\(|<\()", r"\1 ", line).split(" ")
        before = ""
        for i, word in enumerate(words):
            if word in short and before not in WORDS and before not in short:
                words[i] = short[word]
            before = word
        yield number, " ".join(words)


def main():
    table = sys.argv[1] == "--table"
    dockers = sys.argv[1 + table:]
    scripts = sorted(glob.glob(HERE + "/*.sh") + glob.glob(HERE + "/../interop/*.sh"))
    text = [(os.path.relpath(path, HERE + "/.."), number, line) for path in scripts for number, line in read(path)]
    missing = seen = 0
    for command in COMMANDS:
        flags = {}
        for docker in dockers:
            flags.update(options(docker, command))
        runs = re.compile(r"%s (?:-H \S+ |[\w$\"{}-]+ )?(?:container |system )?%s( .*|$)" % (RUNNERS, command))
        given = [(script, number, match.group(1)) for script, number, line in text
                 for match in [runs.search(line)] if match]
        rows = {"": given} if not flags else {}
        for name, letter in flags.items():
            if ("*", name) in EXEMPT or (command, name) in EXEMPT:
                continue
            flag = re.compile(r"\s(--%s(?![\w-])%s)" % (name, r"|-\w*%s" % letter if letter else ""))
            rows["--" + name] = [(script, number) for script, number, rest in given if flag.search(" " + rest)]
        for name, places in rows.items():
            seen += 1
            missing += not places
            if table or not places:
                print("%s %s: %s" % (command, name, " ".join("%s:%d" % p[:2] for p in places[:6]) or "in no test"))
    print("%d commands, %d flags, %d in no test" % (len(COMMANDS), seen, missing))
    return missing != 0


sys.exit(main())
