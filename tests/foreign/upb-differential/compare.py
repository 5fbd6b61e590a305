"""Asks the transcoder and upb the same, and compares the answers. Run by run.sh."""

import argparse
import hashlib
import os
import struct
import subprocess
import sys
import time

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.internal import api_implementation
from grpc_tools import protoc
import grpc_tools

import differences
import entries
from questions import Questions

PROTOS = ["everything.proto", "legacy.proto", "edition.proto"]
TYPES = ["t.Book", "u.Old", "u.Sets", "e.Modern", "e.Mixed", "google.protobuf.Value", "google.protobuf.Any",
         "google.protobuf.Struct"]
# how much of a question and of an answer is shown
SHOWN = 400


def pool_of(folder, work):
    """The schemas, compiled by protoc."""
    path = os.path.join(work, "schemas.binpb")
    include = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    code = protoc.main(["protoc", f"-I{folder}", f"-I{include}", "--include_imports", f"--descriptor_set_out={path}", *PROTOS])
    if code:
        sys.exit("upb-differential: protoc failed")
    with open(path, "rb") as file:
        files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool, files


class Testee:
    def __init__(self, program, folder):
        self.process = subprocess.Popen([program, folder, *PROTOS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, what, name, payload):
        """Whether it is taken, and the result or the reason."""
        name = name.encode()
        self.process.stdin.write(
            what + struct.pack("<I", len(name)) + name + struct.pack("<I", len(payload)) + payload)
        self.process.stdin.flush()
        head = self.process.stdout.read(5)
        if len(head) < 5:
            sys.exit(f"upb-differential: the testee is gone; the last question was {what} {name} {payload!r}")
        told, length = struct.unpack("<BI", head)
        return told == 1, self.process.stdout.read(length)


class Upb:
    """The same questions to protobuf for Python."""

    def __init__(self, pool, files):
        assert api_implementation.Type() == "upb", api_implementation.Type()
        self.pool, self.classes = pool, {}
        for file in files.file:
            for message in file.message_type:
                self.add(pool.FindMessageTypeByName(f"{file.package}.{message.name}"))
            for extension in file.extension:
                pool.FindExtensionByName(f"{file.package}.{extension.name}")

    def add(self, descriptor):
        self.classes[descriptor.full_name] = message_factory.GetMessageClass(descriptor)

    def to_wire(self, name, payload, ignore=False):
        try:
            text = payload.decode("utf-8")
            message = json_format.Parse(text, self.classes[name](), ignore_unknown_fields=ignore, descriptor_pool=self.pool)
            # not by SerializeToString(): the report of what is missing crashes Python (protobuf 7.36.2)
            return (True, message) if message.IsInitialized() else (False, "a required field is missing")
        except Exception as error:  # any: what Python's reader raises beside ParseError is one of its bugs
            return False, f"{type(error).__name__}: {error}"

    def parse(self, name, payload):
        try:
            return True, self.classes[name].FromString(payload)
        except Exception as error:
            return False, f"{type(error).__name__}: {error}"

    def to_json(self, message, unset=False):
        try:
            return True, json_format.MessageToJson(
                message, always_print_fields_with_no_presence=unset, descriptor_pool=self.pool, indent=None)
        except Exception as error:
            return False, f"{type(error).__name__}: {error}"

    def printed(self, name, payload, unset):
        taken, message = self.parse(name, payload)
        return self.to_json(message, unset) if taken else (taken, message)

    def normal(self, message):
        """An encoding that is equal for equal messages: sorted, without unknown fields, the content of each Any as well."""
        copy = type(message)()
        copy.CopyFrom(message)
        copy.DiscardUnknownFields()
        self.settle(copy)
        return copy.SerializePartialToString(deterministic=True)

    def settle(self, message):
        if message.DESCRIPTOR.full_name == "google.protobuf.Any" and message.value:
            name = message.type_url.split("/")[-1]
            if name in self.classes:
                taken, content = self.parse(name, message.value)
                if taken:
                    message.value = self.normal(content)
        for field, value in message.ListFields():
            if not field.message_type:
                continue
            if field.message_type.GetOptions().map_entry:
                if field.message_type.fields_by_name["value"].message_type:
                    for key in value:
                        self.settle(value[key])
            elif field.is_repeated:
                for element in value:
                    self.settle(element)
            else:
                self.settle(value)


class Run:
    def __init__(self, testee, upb, questions, found):
        self.testee, self.upb, self.questions, self.found = testee, upb, questions, found
        self.passed = self.failed = 0
        self.asked = hashlib.sha256()
        self.meant = {}

    def differ(self, what, name, payload, ours, theirs):
        """Counts a difference, unless it is meant."""
        reason = differences.meant(what, name, payload, ours, theirs)
        if reason:
            self.mean(reason)
            self.passed += 1
            return
        self.failed += 1
        os.makedirs(self.found, exist_ok=True)
        with open(os.path.join(self.found, f"{what}-{name}-{self.failed}"), "wb") as file:
            file.write(payload)
        if self.failed <= 40:
            print(f"FAIL {what} {name} {payload[:SHOWN]!r}\n  ours   {show(ours)}\n  theirs {show(theirs)}")

    def mean(self, reason):
        self.meant[reason] = self.meant.get(reason, 0) + 1

    def judge(self, what, name, payload, ours, theirs, same):
        """Both answers are whether it was taken, and what came of it."""
        if ours[0] != theirs[0] or (ours[0] and not same()):
            self.differ(what, name, payload, ours, theirs)
        else:
            self.passed += 1

    def text(self, name):
        payload = self.questions.json(name)
        self.asked.update(payload)
        ignore = self.questions.dice.random() < 0.2
        ours = self.testee.ask(b"i" if ignore else b"w", name, payload)
        theirs = self.upb.to_wire(name, payload, ignore)
        what = "json-ignoring" if ignore else "json"
        self.judge(what, name, payload, ours, theirs, lambda: self.same_message(name, ours[1], theirs[1]))

    def same_message(self, name, wire, message):
        taken, ours = self.upb.parse(name, wire)
        return taken and self.upb.normal(ours) == self.upb.normal(message)

    def wire(self, name):
        payload = self.questions.wire(name)
        self.asked.update(payload)
        parsed = self.upb.parse(name, payload)
        ours = self.testee.ask(b"g", name, payload)
        self.judge("guard", name, payload, ours, parsed, lambda: True)
        self.printed(name, payload, self.questions.dice.random() < 0.2)

    def printed(self, name, payload, unset):
        what, question = ("print-unset", b"u") if unset else ("print", b"j")
        ours, theirs = self.testee.ask(question, name, payload), self.upb.printed(name, payload, unset)
        if not same_answer(ours, theirs):
            asked = self.upb.pool, self.upb.classes[name].DESCRIPTOR, payload
            known, rest = entries.without_unknown(*asked), entries.without_strangers(*asked)
            if rest != payload and self.testee.ask(question, name, rest) == ours:
                self.mean(differences.LOST_ENTRIES)
                payload, theirs = rest, self.upb.printed(name, rest, unset)
            elif known != payload and differences.is_no_text(ours):
                self.mean(differences.UNKNOWN_KEY)
                payload, ours, theirs = known, self.testee.ask(question, name, known), self.upb.printed(name, known, unset)
        self.judge(what, name, payload, ours, theirs, lambda: same_answer(ours, theirs))


def same_answer(ours, theirs):
    """Whether both have refused, or printed the same JSON."""
    if not (ours[0] and theirs[0]):
        return ours[0] == theirs[0]
    return differences.same_json(differences.parsed_json(ours[1]), differences.parsed_json(theirs[1]))


def show(answer):
    told, result = answer
    text = result.decode("utf-8", "replace") if isinstance(result, bytes) else str(result)
    return ("taken: " if told else "refused: ") + text[:SHOWN].replace("\n", " ")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--testee", required=True)
    arguments.add_argument("--protos", required=True)
    arguments.add_argument("--found", required=True)
    arguments.add_argument("--questions", type=int, default=30000)
    arguments.add_argument("--seconds", type=float)
    arguments.add_argument("--seed", type=int, default=1)
    told = arguments.parse_args()
    pool, files = pool_of(told.protos, os.path.dirname(told.found))
    upb = Upb(pool, files)
    run = Run(Testee(told.testee, told.protos), upb, Questions(told.seed, pool, upb.classes), told.found)
    # a number of questions and no time unless told: what a faster machine would ask beyond it, nobody has looked at
    end, asked = time.monotonic() + (told.seconds or 0), 0
    while (time.monotonic() < end if told.seconds else asked < told.questions) and run.failed < 1000:
        name = TYPES[asked % len(TYPES)]
        (run.text if asked // len(TYPES) % 2 == 0 else run.wire)(name)
        asked += 1
    for reason, count in sorted(run.meant.items()):
        print(f"meant: {count} x {reason}")
    print(f"questions: {run.asked.hexdigest()[:16]}")
    print(f"upb-differential: {run.passed} passed, {run.failed} failed")
    sys.exit(1 if run.failed else 0)


if __name__ == "__main__":
    main()
