#!/usr/bin/env python3
"""The "server under test" of connectconformance: the edge, with a server of gRPC alone behind it.

    connectconformance --mode server --conf edge.yaml -- \\
        edge_adapter.py --edge TRANSOM --upstream COMMAND --protos DIR --work DIR

The runner starts it once for each kind of server it wants. It reads one ServerCompatRequest from stdin, starts the
upstream for plain gRPC over HTTP/2 without limits, starts the edge before it with the limits, certificates and client
authorities that are asked for, and answers with a ServerCompatResponse: messages of the suite's server_compat.proto,
each after its length in four bytes. SIGTERM, or the runner's end, ends all of it. DIR of --work gets the edges' logs
(edge.PID.log), and a line in `unclean` for every edge that did not end with exit code 0.

No generated code: the few fields that matter are read and written by hand.
"""

import argparse
import os
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# ServerCompatRequest
PROTOCOL, HTTP_VERSION, USE_TLS, CLIENT_TLS_CERT, RECEIVE_LIMIT, SERVER_CREDS = 1, 2, 4, 5, 6, 7
PROTOCOL_GRPC, HTTP_VERSION_2 = 2, 2
# TLSCreds
CERT, KEY = 1, 2
# ServerCompatResponse
HOST, PORT, PEM_CERT = 1, 2, 3

# The upstream would refuse what is over its own limit, and the edge would get the praise.
NO_LIMIT = 1 << 30
# The runner waits ten seconds for an answer, and kills this process five seconds after SIGTERM.
START_SECONDS = 8
DRAIN_SECONDS = 2
STOP_SECONDS = 4


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data):
    """The last value of each field of a message: an int, or bytes."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            found[tag >> 3] = number()
        elif tag & 7 == 2:
            size = number()
            found[tag >> 3] = data[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {tag & 7} in a message of the runner")
    return found


def receive(stream):
    (size,) = struct.unpack(">I", stream.read(4))
    return fields(stream.read(size))


def send(stream, message):
    stream.write(struct.pack(">I", len(message)) + message)
    stream.flush()


class Servers:
    """The upstream and the edge of one kind of server."""

    def __init__(self, options):
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="server-", dir=options.work))
        self.log = options.work / f"edge.{os.getpid()}.log"
        self.upstream = self.edge = None

    def start_upstream(self):
        """Starts the suite's own server for gRPC over HTTP/2 in clear text; its port."""
        with open(self.options.work / "upstream.log", "ab") as log:
            self.upstream = subprocess.Popen(
                shlex.split(self.options.upstream), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        asked = field(PROTOCOL, PROTOCOL_GRPC) + field(HTTP_VERSION, HTTP_VERSION_2) + field(RECEIVE_LIMIT, NO_LIMIT)
        send(self.upstream.stdin, asked)
        self.upstream.stdin.close()
        return receive(self.upstream.stdout)[PORT]

    def start_edge(self, upstream_port, request):
        """Starts the edge as the request asks for it; its port."""
        command = [self.options.edge, "serve", self.settings(request), "--listen", "127.0.0.1:0"]
        command += ["--upstream", f"h2c://127.0.0.1:{upstream_port}", "--proto-path", self.options.protos]
        command += ["--drain-timeout", str(DRAIN_SECONDS), *self.tls(request)]
        with open(self.log, "wb") as log:
            self.edge = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self.listening()

    def settings(self, request):
        """The suite's limit is on what a server receives: answers may be larger."""
        limit = request.get(RECEIVE_LIMIT, 0)
        text = f'settings: [{{match: "*", max_request_message: {limit}, max_response_message: 0}}]\n'
        return self.keep("edge.yaml", text.encode())

    def tls(self, request):
        if not request.get(USE_TLS):
            return []
        credentials = fields(request[SERVER_CREDS])
        arguments = ["--tls-cert", self.keep("cert.pem", credentials[CERT])]
        arguments += ["--tls-key", self.keep("key.pem", credentials[KEY])]
        if request.get(CLIENT_TLS_CERT):
            arguments += ["--tls-client-ca", self.keep("client.pem", request[CLIENT_TLS_CERT])]
        return arguments

    def keep(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def listening(self):
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.edge.poll() is None:
            for line in self.log.read_text(errors="replace").splitlines(keepends=True):
                if line.startswith("listening on ") and line.endswith("\n"):
                    return int(line.rsplit(":", 1)[1])
            time.sleep(0.02)
        raise RuntimeError(f"the edge does not listen: {self.log}")

    def stop(self):
        """Ends both, the edge first, so that its calls in flight may end well; notes an edge that ends badly."""
        until = time.monotonic() + STOP_SECONDS
        for process in (self.edge, self.upstream):
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.edge is not None and self.edge.returncode != 0:
            with open(self.options.work / "unclean", "a", encoding="utf-8") as unclean:
                unclean.write(f"an edge ended with {self.edge.returncode}: {self.log}\n")


def serve(options):
    runner = os.getppid()
    servers = Servers(options)
    # raised in the main thread, so that whatever is waited for ends by the `finally` below
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        request = receive(sys.stdin.buffer)
        port = servers.start_edge(servers.start_upstream(), request)
        answer = field(HOST, b"127.0.0.1") + field(PORT, port)
        if request.get(USE_TLS):
            answer += field(PEM_CERT, fields(request[SERVER_CREDS])[CERT])
        send(sys.stdout.buffer, answer)
        while servers.edge.poll() is None and os.getppid() == runner:
            time.sleep(0.1)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        servers.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", required=True, help="the binary of the edge")
    parser.add_argument("--upstream", required=True, help="the command of a conformance server")
    parser.add_argument("--protos", required=True, help="the folder with the suite's .proto files")
    parser.add_argument("--work", required=True, type=Path, help="a folder for logs, certificates and keys")
    serve(parser.parse_args())


if __name__ == "__main__":
    main()
