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


def addressed(request, port, protocol):
    """The request, for the edge at this port and in this protocol (`None`: as it is)."""
    changes = {m.CLIENT_HOST: b"127.0.0.1", m.CLIENT_PORT: port}
    if protocol:
        changes[m.CLIENT_PROTOCOL] = m.PROTOCOLS[protocol]
    if protocol == "connect" and m.fields(request)[m.STREAM_TYPE] == m.STREAM_TYPE_UNARY:
        request = expecting_identity(request)
    return m.replace(request, changes)


def expecting_identity(request):
    """The servers compare how requests are compressed with what a header says of the client. A body of Connect has an
    encoding of HTTP, which ends at the edge; on its own hop the edge sends such messages as they are."""
    header = m.field(m.NAME, b"x-expect-compression") + m.field(m.VALUE, str(m.COMPRESSION_IDENTITY).encode())
    out = b""
    for number, value, wire in m.entries(request):
        expected = number == m.REQUEST_HEADERS and m.fields(value)[m.NAME] == b"x-expect-compression"
        out += m.field(number, header) if expected else wire
    return out


def relay(options, client):
    edges = {}
    settings = options.work / "edge.yaml"
    settings.write_text('settings: [{match: "*", max_request_message: 0, max_response_message: 0}]\n')
    try:
        while (request := m.receive(sys.stdin.buffer)) is not None:
            port = m.fields(request)[m.CLIENT_PORT]
            if port not in edges:
                edges[port] = Edge(options.edge, options.protos, options.work, port, port, [str(settings)])
            m.send(client.stdin, addressed(request, edges[port].port, options.protocol))
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
