#!/usr/bin/env python3
"""Breaks the descriptor set in each way once: the checker has to notice every time."""
import sys

import check_tables as tables


def message(descriptors, name):
    for file in descriptors.file:
        for found in file.message_type:
            if f"{file.package}.{found.name}" == name:
                return found
    raise KeyError(name)


def node(descriptors):
    return message(descriptors, "docker.swarmkit.v1.Node")


def drop_field(descriptors):
    del node(descriptors).field[0]


def renumber(descriptors):
    node(descriptors).field[0].number = 77


def rename(descriptors):
    node(descriptors).field[0].name = "ident"


def retype(descriptors):
    node(descriptors).field[0].type = tables.FIELD.TYPE_BYTES


def relabel(descriptors):
    node(descriptors).field[0].label = tables.FIELD.LABEL_REPEATED


def leave_oneof(descriptors):
    message(descriptors, "docker.swarmkit.v1.StoreAction").field[1].ClearField("oneof_index")


def drop_message(descriptors):
    for file in descriptors.file:
        if file.package == "overlay":
            del file.message_type[:]


def change_enum(descriptors):
    for file in descriptors.file:
        for enum in file.enum_type:
            if enum.name == "TaskState":
                enum.value[1].number = 65


def stream(descriptors):
    for file in descriptors.file:
        for service in file.service:
            if service.name == "Health":
                service.method[0].server_streaming = True


def add_message(descriptors):
    for file in descriptors.file:
        if file.package == "networkdb":
            file.message_type.add().name = "Stranger"


BREAKS = [drop_field, renumber, rename, retype, relabel, leave_oneof, drop_message, change_enum,
          stream, add_message]


def main():
    expected, packages = tables.reference()
    missed = 0
    if tables.compare(expected, tables.ours(tables.load(sys.argv[1]), packages)):
        print("the tree itself differs")
        missed += 1
    for change in BREAKS:
        descriptors = tables.load(sys.argv[1])
        change(descriptors)
        if not tables.compare(expected, tables.ours(descriptors, packages)):
            print(f"not noticed: {change.__name__}")
            missed += 1
    if not tables.compare_methods("/docker.swarmkit.v1.CA/GetUnlockKey,a,b\n"):
        print("not noticed: a wrong method table")
        missed += 1
    print(f"{len(BREAKS) + 1} breaks tried, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
