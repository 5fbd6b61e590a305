"""The protobuf messages that the runner and its servers and clients tell each other, without generated code: only a few
fields matter, and these are read and written by hand. On pipes each stands behind its length in four bytes."""

import struct

# ServerCompatRequest
PROTOCOL, HTTP_VERSION, USE_TLS, CLIENT_TLS_CERT, RECEIVE_LIMIT, SERVER_CREDS = 1, 2, 4, 5, 6, 7
# TLSCreds
CERT, KEY = 1, 2
# ServerCompatResponse
HOST, PORT, PEM_CERT = 1, 2, 3
# ClientCompatRequest
CLIENT_PROTOCOL, CLIENT_HOST, CLIENT_PORT, STREAM_TYPE, REQUEST_HEADERS = 3, 6, 7, 13, 15
# Header
NAME, VALUE = 1, 2

PROTOCOLS = {"connect": 1, "grpc": 2, "grpc-web": 3}
HTTP_VERSION_2 = 2
STREAM_TYPE_UNARY = 1
COMPRESSION_IDENTITY = 1

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    """A field: of an int as a varint, of bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def entries(data):
    """Each field of a message as (number, value, its bytes on the wire)."""
    at = 0

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
        start = at
        tag = number()
        kind = tag & 7
        if kind == VARINT:
            value = number()
        elif kind in (FIXED64, FIXED32, BYTES):
            size = {FIXED64: 8, FIXED32: 4}.get(kind) or (number() if kind == BYTES else 0)
            value = data[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {kind} in a message of the runner")
        yield tag >> 3, value, data[start:at]


def fields(data):
    """The last value of each field."""
    return {number: value for number, value, _ in entries(data)}


def replace(data, changes):
    """The message with these fields set, and all others as they were."""
    kept = b"".join(wire for number, _, wire in entries(data) if number not in changes)
    return kept + b"".join(field(number, value) for number, value in changes.items())


def receive(stream):
    """The next message, or None at the end of the stream."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    (size,) = struct.unpack(">I", head)
    return stream.read(size)


def send(stream, message):
    stream.write(struct.pack(">I", len(message)) + message)
    stream.flush()
