#!/usr/bin/env python3
"""Walks through the help of the docker command: whatever it lists, a command or an option, skep has
too, or says that it is not supported and what to do instead. Then through skep's own: the shells are
offered every command and option, and the man pages tell of them. Usage: skep_commands.py DOCKER SKEP"""
import concurrent.futures
import os
import re
import subprocess
import sys


def ask(program, *words):
    # Without a daemon: whatever wants one ends at once.
    env = dict(os.environ, DOCKER_CLI_EXPERIMENTAL="enabled", DOCKER_HOST="unix:///nonexistent.sock")
    done = subprocess.run([program, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def read_help(text):
    """The commands and the options that a help lists; {name: (letter, has a value)}."""
    commands, options, section = [], {}, ""
    for line in text.splitlines():
        if title := re.match(r"([A-Z][A-Za-z ]*):\s*$", line):
            section = title.group(1).lower()
        # A star marks what a plugin on this machine adds.
        if section.endswith(("commands", "groups")) and (command := re.match(r"  ([a-z][\w-]*) ", line)):
            commands.append(command.group(1))
        if section.endswith("options") and (
                option := re.match(r"\s+(?:-(\w), )?--([a-z][\w-]*)(?: (\S+))?(\s|$)", line)):
            options[option.group(2)] = option.group(1), bool(option.group(3))
    return commands, options


def judge(skep, path, options):
    """What is wrong with skep's command of that path."""
    code, out, err = ask(skep, *path.split(), "--help")
    if code:
        if "not supported" not in err:
            yield f"{path}: neither there nor said to be missing: {err.strip()}"
        return
    ours = read_help(out)[1]
    for name, (letter, valued) in options.items():
        if name == "help":
            continue
        if name not in ours:
            _, _, err = ask(skep, *path.split(), f"--{name}=true")
            if "not supported" not in err and "stand behind the command" not in err:
                yield f"{path} --{name}: neither there nor said to be missing: {err.strip()}"
        elif ours[name][1] != valued:
            yield f"{path} --{name}: one of the two wants a value"
        elif letter and letter not in [ours[other][0] for other in ours]:
            yield f"{path}: -{letter} is missing (--{name})"


def offered(skep, *words):
    return ask(skep, "__complete", "--", *words)[1].split()


def look(skep, path, options, pages):
    """What the shells or the man page do not know of the command."""
    words = path.split()
    group = words[0] if len(words) > 1 else ""
    if group not in pages:
        pages[group] = ask(skep, "__man", *words[:-1])[1].replace("\\-", "-")
    start = pages[group].find(f"\n\\fBskep {path}\\fR")
    entry = pages[group][start + 1:].split("\n.S", 1)[0]
    named = offered(skep, *words, "--")
    for name in options:
        if f"--{name}" not in named:
            yield f"{path} --{name}: no shell offers it"
        if start < 0 or name != "help" and f"--{name}\\fR" not in entry:
            yield f"{path} --{name}: the man page lacks it"


def own(skep):
    """The same for all that skep has."""
    wrong, pages, paths = 0, {}, [""]
    for path in paths:
        words = path.split()
        out = ask(skep, *words, "--help")[1]
        commands, options = read_help(out)
        paths += [f"{path} {command}".strip() for command in commands]
        problems = []
        if words and words[-1] not in offered(skep, *words[:-1], words[-1][:1]):
            problems.append(f"{path}: no shell offers it")
        # Short forms are described as what they stand for.
        if not commands and f"Usage:  skep {path}" in out:
            problems += look(skep, path, options, pages)
        for problem in problems:
            print("WRONG:", problem)
            wrong += 1
    print(f"{len(paths) - 1} commands of skep, {wrong} that a shell or a page lacks")
    return wrong != 0 or len(paths) < 100


def main():
    docker, skep = sys.argv[1:3]
    wrong = walked = 0
    paths = [""]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        while paths:
            below = []
            helps = pool.map(lambda path: read_help(ask(docker, *path.split(), "--help")[1]), paths)
            for path, (commands, options) in zip(paths, helps):
                walked += 1
                below += [f"{path} {command}".strip() for command in commands]
                for problem in judge(skep, path, options):
                    print("WRONG:", problem)
                    wrong += 1
            paths = below
    print(f"{walked} commands of docker, {wrong} differences")
    return wrong != 0 or walked < 100 or own(skep)


sys.exit(main())
