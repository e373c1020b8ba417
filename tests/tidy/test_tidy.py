#!/usr/bin/env python3
"""Proves that tidy finds what it promises: each case is a small tree with one thing wrong."""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

HEADER = "// A thing.\nint thing(void);\n"
OWN = '#include "proto/base/thing.h"\n'

# name: (files to add to a clean tree, what tidy must say; None: nothing)
CASES = {
    "a clean tree passes": ({}, None),
    "base must not look up": (
        {"proto/base/bad.c": '#include "raft/core/raft.h"\n'},
        "proto/base/bad.c:1: proto/base must not include raft/core/raft.h"),
    "manager must not see the agent": (
        {"manager/bad.c": '#include "agent/net/plan.h"\n'}, "manager must not include agent"),
    "the agent must not see the manager": (
        {"agent/bad.c": '#include "manager/manager.h"\n'}, "agent must not include manager"),
    "agent rooms of one tier are apart": (
        {"agent/lb/bad.c": '#include "agent/dns/names.h"\n'}, "agent/lb must not include agent/dns"),
    "manager servers are apart": (
        {"manager/ca/bad.c": '#include "manager/logs/broker.h"\n'}, "manager/ca must not include"),
    "the store does not see raft": (
        {"manager/store/bad.c": '#include "raft/node.h"\n'}, "manager/store must not include raft/"),
    "the command line sees proto only": (
        {"cmd/skep/bad.c": '#include "agent/agent.h"\n'}, "cmd/skep must not include agent/"),
    "a unit test sees what its room sees": (
        {"tests/unit/proto/base/test_bad.c": '#include "raft/core/raft.h"\n'},
        "test_bad.c:1: proto/base must not include raft/core/raft.h"),
    "the composition root sees everything": (
        {"cmd/skepd/good.c": '#include "manager/manager.h"\n#include "agent/agent.h"\n'}, None),
    "includes from the root": (
        {"proto/base/bad.c": '#include "thing.h"\n'}, "write includes from the root"),
    "product code does not include tests": (
        {"proto/base/bad.c": '#include "tests/support/support.h"\n'}, "must not include tests/"),
    "a folder that is no room": ({"proto/misc/bad.c": "int x;\n"}, "proto/misc is not a room"),
    "a room depends on what it may include": (
        {"proto/base/CMakeLists.txt": "skep_room(PKGS libuv\n  DEPS proto/net)\n"},
        "proto/base/CMakeLists.txt:2: proto/base must not depend on proto/net"),
    "a pure file does not include uv.h": (
        {"raft/core/bad.c": "#include <uv.h>\n"}, "<uv.h> belongs into a file that ends in _io.c"),
    "a pure header does not either": (
        {"raft/core/bad.h": "#include <sys/socket.h>\n"}, "<sys/socket.h> belongs into"),
    "an _io file may": ({"raft/disk/good_io.c": "#include <uv.h>\n#include <unistd.h>\n"}, None),
    "a pure file reads no clock": (
        {"raft/core/bad.c": "long f(void)\n{\n    return time(0);\n}\n"}, "bad.c:3: time() belongs"),
    "a comment and a member are no call": (
        {"raft/core/good.c": "// time() is a parameter\nint g(struct s *s)\n{\n"
                             "    return s->time(1) + my_time(2);\n}\n"}, None),
    "a pure room does not lean on _io": (
        {"raft/core/bad.c": '#include "proto/base/loop_io.h"\n'}, "a pure file of raft/core"),
    "own header first": (
        {"proto/base/thing.c": "#include <stdio.h>\n" + OWN},
        'thing.c:1: the first include must be "proto/base/thing.h"'),
    "line width": ({"proto/base/bad.c": "// " + "x" * 98 + "\n"}, "101 columns"),
    "leftovers": ({"proto/base/bad.c": "// TO" "DO later\n"}, "a leftover TO" "DO"),
    "white space": ({"proto/base/bad.c": "int x; \n"}, "white space at the end"),
    "tabs": ({"proto/base/bad.c": "\tint x;\n"}, "a tab"),
    "the last newline": ({"proto/base/bad.c": "int x;"}, "no newline at the end"),
    "machine paths": ({"proto/base/bad.c": "// see /wo" "rk/main\n"}, "a path of one machine"),
    "long files": ({"proto/base/bad.c": "int x;\n" * 901}, "901 lines; at most 900"),
}


def tidy(root, *options):
    run = subprocess.run([sys.executable, os.path.join(HERE, "tidy"), "--quiet", *options, root],
                         capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


def clean_tree(root):
    os.makedirs(f"{root}/proto/base")
    with open(f"{root}/proto/base/thing.h", "w", encoding="utf-8") as file:
        file.write(HEADER)
    with open(f"{root}/proto/base/thing.c", "w", encoding="utf-8") as file:
        file.write(OWN)


def run_case(files, wanted):
    with tempfile.TemporaryDirectory() as root:
        clean_tree(root)
        for path, text in files.items():
            os.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
            with open(f"{root}/{path}", "w", encoding="utf-8") as file:
                file.write(text)
        status, said = tidy(root)
    if wanted is None:
        return status == 0 and said == "", said
    return status == 1 and wanted in said, said


def real_tree():
    """The real proto/base passes; with one wrong include in it, it does not."""
    with tempfile.TemporaryDirectory() as root:
        shutil.copytree(f"{ROOT}/proto/base", f"{root}/proto/base")
        status, said = tidy(root)
        if status != 0:
            return False, said
        with open(f"{root}/proto/base/err.c", "a", encoding="utf-8") as file:
            file.write('#include "manager/store/store.h"\n')
        status, said = tidy(root)
        return status == 1 and "proto/base must not include manager/store/store.h" in said, said


def fixing():
    """--fix wraps a paragraph and cuts a ruler, and what it leaves passes."""
    wide = "// " + "word " * 25 + "\n// more.\n// " + "---- part " + "-" * 95 + "\n// Text.\n"
    wanted = ("// " + " ".join(["word"] * 19) + "\n// " + " ".join(["word"] * 6) + " more.\n"
              + ("// ---- part ").ljust(100, "-") + "\n// Text.\n")
    with tempfile.TemporaryDirectory() as root:
        clean_tree(root)
        with open(f"{root}/proto/base/wide.c", "w", encoding="utf-8") as file:
            file.write(wide)
        status, said = tidy(root, "--fix")
        with open(f"{root}/proto/base/wide.c", encoding="utf-8") as file:
            got = file.read()
    return status == 0 and got == wanted, said + got


def main():
    failed = 0
    results = {name: run_case(*case) for name, case in CASES.items()}
    results["a wrong include in the real tree"] = real_tree()
    results["--fix"] = fixing()
    for name, (passed, said) in results.items():
        if not passed:
            failed += 1
            print(f"FAIL: {name}; tidy said:\n{said}")
    print(f"{len(results) - failed} of {len(results)} cases as wanted")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
