#!/usr/bin/env python3
"""The "client under test" of connectconformance: a client of the suite, with the edge between it and the servers.

    connectconformance --mode client --conf upstream.yaml -- \\
        client_adapter.py --edge TRANSOM --client COMMAND --protos DIR --work DIR [--protocol connect|grpc|grpc-web]

The runner's servers speak gRPC over HTTP/2, some of them badly on purpose. The runner writes one ClientCompatRequest for
each call to stdin, with the server's address; for every server that comes up there this starts an edge before it, puts
the edge's address into the request, and hands it to COMMAND, whose answers go to the runner as they are. With --protocol
the client speaks that to the edge, whatever it was told; the runner still expects gRPC's results.
"""

import argparse
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import messages as m
from edge import Edge, stop


def relay(options, client):
    edges = {}
    settings = options.work / "edge.yaml"
    settings.write_text('settings: [{match: "*", max_request_message: 0, max_response_message: 0}]\n')
    try:
        while (request := m.receive(sys.stdin.buffer)) is not None:
            port = m.fields(request)[m.CLIENT_PORT]
            if port not in edges:
                edges[port] = Edge(options.edge, options.protos, options.work, port, port, [str(settings)])
            changes = {m.CLIENT_HOST: b"127.0.0.1", m.CLIENT_PORT: edges[port].port}
            if options.protocol:
                changes[m.CLIENT_PROTOCOL] = m.PROTOCOLS[options.protocol]
            m.send(client.stdin, m.replace(request, changes))
        client.stdin.close()
        client.wait(60)
    finally:
        stop(client)
        for edge in edges.values():
            edge.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", required=True, help="the binary of the edge")
    parser.add_argument("--client", required=True, help="the command of a conformance client")
    parser.add_argument("--protos", required=True, help="the folder with the suite's .proto files")
    parser.add_argument("--work", required=True, type=Path, help="a folder for logs")
    parser.add_argument("--protocol", choices=m.PROTOCOLS, help="what the client speaks to the edge")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with subprocess.Popen(shlex.split(options.client), stdin=subprocess.PIPE) as client:
        relay(options, client)


if __name__ == "__main__":
    main()
