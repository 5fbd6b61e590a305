#!/usr/bin/env python3
"""The "server under test" of connectconformance: the edge, with a server of gRPC alone behind it.

    connectconformance --mode server --conf edge-whole.yaml -- \\
        edge_adapter.py --edge TRANSOM --upstream COMMAND --protos DIR --work DIR

The runner starts it once for each kind of server it wants. It reads one ServerCompatRequest from stdin, starts the
upstream for plain gRPC over HTTP/2 without limits, starts the edge before it with the limits, certificates and client
authorities that are asked for, and answers with a ServerCompatResponse. SIGTERM, or the runner's end, ends all of it.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import messages as m
from edge import Edge, stop

# The upstream would refuse what is over its own limit, and the edge would get the praise.
NO_LIMIT = 1 << 30


class Servers:
    """The upstream and the edge of one kind of server."""

    def __init__(self, options):
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="server-", dir=options.work))
        self.upstream = self.edge = None

    def start_upstream(self):
        """Starts the suite's own server for gRPC over HTTP/2 in clear text; its port."""
        with open(self.options.work / "upstream.log", "ab") as log:
            self.upstream = subprocess.Popen(
                shlex.split(self.options.upstream), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        request = m.field(m.PROTOCOL, m.PROTOCOLS["grpc"]) + m.field(m.HTTP_VERSION, m.HTTP_VERSION_2)
        m.send(self.upstream.stdin, request + m.field(m.RECEIVE_LIMIT, NO_LIMIT))
        self.upstream.stdin.close()
        answer = m.receive(self.upstream.stdout)
        if answer is None:
            raise RuntimeError(f"the upstream did not start: {self.options.work}/upstream.log")
        return m.fields(answer)[m.PORT]

    def start_edge(self, upstream_port, request):
        """Starts the edge as the request asks for it; its port."""
        options = self.options
        arguments = [self.settings(request), *self.tls(request)]
        self.edge = Edge(options.edge, options.protos, options.work, os.getpid(), upstream_port, arguments)
        return self.edge.port

    def settings(self, request):
        """The suite's limit is on what a server receives: answers may be larger."""
        limit = request.get(m.RECEIVE_LIMIT, 0)
        text = f'settings: [{{match: "*", max_request_message: {limit}, max_response_message: 0}}]\n'
        return self.keep("edge.yaml", text.encode())

    def tls(self, request):
        if not request.get(m.USE_TLS):
            return []
        credentials = m.fields(request[m.SERVER_CREDS])
        arguments = ["--tls-cert", self.keep("cert.pem", credentials[m.CERT])]
        arguments += ["--tls-key", self.keep("key.pem", credentials[m.KEY])]
        if request.get(m.CLIENT_TLS_CERT):
            arguments += ["--tls-client-ca", self.keep("client.pem", request[m.CLIENT_TLS_CERT])]
        return arguments

    def keep(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def stop(self):
        """The edge first, so that its calls in flight may end well."""
        if self.edge is not None:
            self.edge.stop()
        if self.upstream is not None:
            stop(self.upstream)


def serve(options):
    runner = os.getppid()
    servers = Servers(options)
    # raised in the main thread, so that whatever is waited for ends by the `finally` below
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        request = m.fields(m.receive(sys.stdin.buffer))
        port = servers.start_edge(servers.start_upstream(), request)
        answer = m.field(m.HOST, b"127.0.0.1") + m.field(m.PORT, port)
        if request.get(m.USE_TLS):
            answer += m.field(m.PEM_CERT, m.fields(request[m.SERVER_CREDS])[m.CERT])
        m.send(sys.stdout.buffer, answer)
        while servers.edge.running() and os.getppid() == runner:
            time.sleep(0.1)
    finally:
        # the runner kills what is not gone five seconds later
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
