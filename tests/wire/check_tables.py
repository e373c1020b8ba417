#!/usr/bin/env python3
"""Compares the descriptor set of proto/wire with the tables of the protocol beside this file.

    check_tables.py --descriptors wire.ds [--methods print_methods]

Everything in the tables has to be defined, and defined so; a message, enum, service, field, value
or method of the reference packages that is not in the tables is a difference too. Prints one line
per difference and exits 1 if there is any.
"""
import argparse
import csv
import os
import subprocess
import sys

try:
    from google.protobuf import descriptor_pb2
except ImportError:
    print("skipped: needs python3-protobuf")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
FAMILIES = ("swarmkit", "gossip")
FIELD = descriptor_pb2.FieldDescriptorProto


def rows(name):
    with open(os.path.join(HERE, name), newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


def reference():
    """The tables as one dictionary: what it is -> how it should be."""
    facts, packages, oneofs = {}, set(), {}
    for family in FAMILIES:
        for row in rows(f"{family}-fields.csv"):
            packages.add(row["package"])
            message = f"{row['package']}.{row['message']}"
            facts[f"message {message}"] = "defined"
            if not row["field"]:
                continue
            facts[f"field {message} {row['number']}"] = (row["field"], row["label"], row["type"])
            if row["oneof"]:
                oneofs.setdefault((message, row["oneof"]), []).append(row["number"])
        for row in rows(f"{family}-enums.csv"):
            packages.add(row["package"])
            enum = f"{row['package']}.{row['enum']}"
            facts[f"enum {enum}"] = "defined"
            facts[f"value {enum}.{row['value_name']}"] = row["number"]
    # The name of a oneof is not on the wire; who belongs together is.
    for (message, _), numbers in oneofs.items():
        facts[f"oneof {message} {' '.join(sorted(numbers, key=int))}"] = "defined"
    for row in rows("swarmkit-services.csv"):
        facts[f"method {row['path']}"] = (row["request"], row["response"],
                                          row["client_streaming"], row["server_streaming"])
    return facts, packages


def type_of(field):
    if field.type_name:
        return field.type_name.lstrip(".")
    return FIELD.Type.Name(field.type)[len("TYPE_"):].lower()


def add_enum(facts, scope, enum):
    name = f"{scope}.{enum.name}"
    facts[f"enum {name}"] = "defined"
    for value in enum.value:
        facts[f"value {name}.{value.name}"] = str(value.number)


def add_message(facts, scope, message):
    name = f"{scope}.{message.name}"
    facts[f"message {name}"] = "defined"
    maps = {f".{name}.{n.name}": n for n in message.nested_type if n.options.map_entry}
    oneofs = {}
    for field in message.field:
        entry = maps.get(field.type_name)
        if entry:
            label, kind = "map", "map<%s>" % ",".join(type_of(part) for part in entry.field)
        else:
            label = FIELD.Label.Name(field.label)[len("LABEL_"):].lower()
            kind = type_of(field)
        facts[f"field {name} {field.number}"] = (field.name, label, kind)
        if field.HasField("oneof_index") and not field.proto3_optional:
            oneofs.setdefault(field.oneof_index, []).append(field.number)
    for numbers in oneofs.values():
        facts[f"oneof {name} {' '.join(str(n) for n in sorted(numbers))}"] = "defined"
    for enum in message.enum_type:
        add_enum(facts, name, enum)
    for inner in message.nested_type:
        if not inner.options.map_entry:
            add_message(facts, name, inner)


def ours(descriptors, packages):
    facts = {}
    for file in descriptors.file:
        if file.package not in packages:
            continue
        for enum in file.enum_type:
            add_enum(facts, file.package, enum)
        for message in file.message_type:
            add_message(facts, file.package, message)
        for service in file.service:
            for method in service.method:
                facts[f"method /{file.package}.{service.name}/{method.name}"] = (
                    method.input_type.lstrip("."), method.output_type.lstrip("."),
                    str(method.client_streaming).lower(), str(method.server_streaming).lower())
    return facts


def compare(expected, found):
    """One line per difference, in order."""
    lines = []
    for what in sorted(expected.keys() | found.keys()):
        want, have = expected.get(what), found.get(what)
        if want is None:
            lines.append(f"{what}: is not in the tables")
        elif have is None:
            lines.append(f"{what}: missing")
        elif want != have:
            lines.append(f"{what}: is {have}, the tables say {want}")
    return lines


def compare_methods(printed):
    with open(os.path.join(HERE, "swarmkit-services.csv"), encoding="utf-8") as table:
        expected = set(table.read().splitlines()[1:])
    found = set(printed.splitlines())
    return ([f"method table lacks: {line}" for line in sorted(expected - found)] +
            [f"method table has: {line}" for line in sorted(found - expected)])


def load(path):
    descriptors = descriptor_pb2.FileDescriptorSet()
    with open(path, "rb") as file:
        descriptors.ParseFromString(file.read())
    return descriptors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--descriptors", required=True, help="FileDescriptorSet of proto/wire")
    parser.add_argument("--methods", help="program that prints the method table")
    args = parser.parse_args()
    expected, packages = reference()
    found = ours(load(args.descriptors), packages)
    lines = compare(expected, found)
    if args.methods:
        done = subprocess.run([args.methods], capture_output=True, text=True, check=True)
        lines += compare_methods(done.stdout)
    for line in lines:
        print(line)
    print(f"{len(expected)} facts compared, {len(lines)} differences")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
