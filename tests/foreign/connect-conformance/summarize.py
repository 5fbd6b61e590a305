#!/usr/bin/env python3
"""What a run of connectconformance --vv said: a table (Markdown), what failed, and a closing line.

    summarize.py NAME LOG [UNCLEAN]

NAME is for the closing line `NAME: N passed, N failed`; cases that failed as expected are neither. Each line of the file
UNCLEAN is one more failure. Exits with 1 if anything failed, or if not one case ran.

A case is in a row by its protocol, HTTP version and codec, in a column by its compression. The names of cases leave out
what their suite fixes: that is protobuf and identity in every suite, and protocol and HTTP version are known from the
server that the runner names before them.
"""

import collections
import re
import sys
from pathlib import Path

RUNNING = re.compile(r"Running \d+ tests with .* for server config #\d+ \{HTTP_VERSION_(\d), PROTOCOL_(\w+), ")
SENT = re.compile(r'Sending request for "(.*)"\.\.\.$')
FAILED = re.compile(r"FAILED: (.*?)(?: was expected to fail but did not|:)$")
EXPECTED = re.compile(r"INFO: (.*) failed \(as expected\):$")
NOT_RUN = re.compile(r"Another (\d+) could not be run")

PROTOCOLS = {"CONNECT": "Connect", "GRPC": "gRPC", "GRPC_WEB": "gRPC-Web"}
COMPRESSIONS = ["identity", "gzip", "br", "zstd", "deflate", "snappy"]
SHOWN = 40


class Run:
    """The cases of a run, and what became of them."""

    def __init__(self, text):
        self.cases = {}
        self.failed = {}
        self.expected = {}
        self.not_run = 0
        server, reason = ("", ""), None
        for line in text.splitlines():
            if reason is not None and line.startswith("\t"):
                reason.append(line.strip())
                continue
            reason = None
            if found := RUNNING.match(line):
                server = found.groups()
            elif found := SENT.match(line):
                self.cases[found[1]] = place(found[1], server)
            elif found := FAILED.match(line):
                reason = self.failed.setdefault(found[1], [])
                if not line.endswith(":"):
                    reason.append("was expected to fail")
            elif found := EXPECTED.match(line):
                reason = self.expected.setdefault(found[1], [])
            elif found := NOT_RUN.match(line):
                self.not_run = int(found[1])
        # a case of a server that did not start was never sent
        for name in self.failed:
            self.cases.setdefault(name, place(name, ("", "")))

    def passed(self, name):
        return name not in self.failed and name not in self.expected


def place(name, server):
    """Row and column of a case. `server` is what the runner said of the server: HTTP version and protocol."""
    said = dict(part.split(":", 1) for part in name.split("/") if ":" in part)
    version = {"1": "HTTP/1.1", "2": "HTTP/2"}.get(said.get("HTTPVersion", server[0]), "-")
    protocol = said.get("Protocol", server[1]).removeprefix("PROTOCOL_")
    codec = said.get("Codec", "CODEC_PROTO").removeprefix("CODEC_").lower()
    compression = said.get("Compression", "COMPRESSION_IDENTITY").removeprefix("COMPRESSION_").lower()
    return (PROTOCOLS.get(protocol, "-"), version, codec), compression


def table(run):
    """`passed / all` by row and column, Markdown."""
    passed, total = collections.Counter(), collections.Counter()
    for name, (row, column) in run.cases.items():
        for cell in ((row, column), (row, "all"), ("all", column), ("all", "all")):
            total[cell] += 1
            passed[cell] += run.passed(name)
    columns = [column for column in COMPRESSIONS if total["all", column]] + ["all"]
    rows = sorted({row for row, _ in run.cases.values()})

    def line(head, row):
        cells = [f"{passed[row, c]:,} / {total[row, c]:,}" if total[row, c] else "" for c in columns]
        return f"| {' | '.join([*head, *cells])} |"

    yield f"| protocol | HTTP | codec | {' | '.join(columns)} |"
    yield f"| --- | --- | --- |{' ---: |' * len(columns)}"
    yield from (line(row, row) for row in rows)
    yield line(("all", "", ""), "all")


def show(title, cases):
    """The cases that are alike (but for protocol, codec and so on) together, with one reason."""
    alike = collections.defaultdict(list)
    for name, reason in cases.items():
        alike["/".join(part for part in name.split("/") if ":" not in part)].append((name, reason))
    for short, members in sorted(alike.items())[:SHOWN]:
        name, reason = members[0]
        print(f"{title} {len(members)} x {short}\n    {name}\n    {'; '.join(reason)[:600]}")
    if len(alike) > SHOWN:
        print(f"{title}: {len(alike) - SHOWN} more kinds, see the log")


def main():
    name, log, *rest = sys.argv[1:]
    run = Run(Path(log).read_text(encoding="utf-8", errors="replace"))
    unclean = [line for path in rest if Path(path).exists() for line in Path(path).read_text().splitlines()]
    show("expected:", run.expected)
    show("FAIL", run.failed)
    for line in unclean:
        print("FAIL", line)
    if run.not_run:
        print(f"FAIL {run.not_run} cases could not be run")
    print(*table(run), sep="\n")
    passed = sum(run.passed(case) for case in run.cases)
    failed = len(run.failed) + len(unclean) + run.not_run
    if not run.cases:
        print(f"FAIL no case ran: {log}")
        failed += 1
    print(f"{name}: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
