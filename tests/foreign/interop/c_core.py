"""gRPC's published interop cases with grpcio (gRPC's C core), as the client and as the server.

    c_core.py --protos DIR server                                prints `listening on ADDR`
    c_core.py --protos DIR client --h2c ADDR --tls ADDR --root CERT.pem [--only CASE]

DIR holds grpc/testing/test.proto and what it imports. The server answers a deadline that it was given as the trailer
`x-seen-timeout-ms`. The cases: grpc's doc/interop-test-descriptions.md, and four of ours after them.
"""

import argparse
import queue
import sys
import tempfile
import time
from concurrent import futures
from pathlib import Path

import grpc
import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
from checks import Checks, equal, true  # noqa: E402

MIB = 1 << 20
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
# what is asked for, and what is sent with it
SIZES = ((31415, 27182), (9, 8), (2653, 1828), (58979, 45904))
OPTIONS = [("grpc.max_receive_message_length", 16 * MIB)]


# === the schema. No code is generated: it would be named `grpc.testing`, as if it were of grpcio.


class Schema:
    def __init__(self, protos: str) -> None:
        with tempfile.NamedTemporaryFile(suffix=".bin") as out:
            well_known = grpc_tools.__path__[0] + "/_proto"
            includes = [f"-I{protos}", f"-I{well_known}", "--include_imports", f"--descriptor_set_out={out.name}"]
            if protoc.main(["protoc", *includes, "grpc/testing/test.proto"]) != 0:
                sys.exit("the protos do not compile")
            files = descriptor_pb2.FileDescriptorSet.FromString(out.read()).file
        self.pool = descriptor_pool.DescriptorPool()
        for file in files:
            self.pool.Add(file)

    def message(self, name: str):
        return self.class_of(self.pool.FindMessageTypeByName(f"grpc.testing.{name}"))

    def methods(self, service: str) -> list:
        return list(self.pool.FindServiceByName(f"grpc.testing.{service}").methods)

    @staticmethod
    def class_of(descriptor):
        return message_factory.GetMessageClass(descriptor)


class Stub:
    """A service's methods over a channel, by name."""

    def __init__(self, schema: Schema, service: str, channel) -> None:
        for method in schema.methods(service):
            kind = f"{sides(method)[0]}_{sides(method)[1]}"
            call = getattr(channel, kind)(
                f"/grpc.testing.{service}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=schema.class_of(method.output_type).FromString,
            )
            setattr(self, method.name, call)


def sides(method) -> tuple:
    return ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")


# === the server


def echo(context) -> None:
    metadata = dict(context.invocation_metadata())
    if INITIAL in metadata:
        context.send_initial_metadata(((INITIAL, metadata[INITIAL]),))
    trailers = []
    if TRAILING in metadata:
        trailers.append((TRAILING, metadata[TRAILING]))
    left = context.time_remaining()
    # without a deadline there is a year or more left
    if left is not None and left < 1e6:
        trailers.append(("x-seen-timeout-ms", str(int(left * 1000))))
    context.set_trailing_metadata(tuple(trailers))


def fail_as_asked(request, context) -> None:
    status = request.response_status
    if status.code:
        codes = {code.value[0]: code for code in grpc.StatusCode}
        context.abort(codes.get(status.code, grpc.StatusCode.UNKNOWN), status.message)


class Service:
    """TestService, but for UnimplementedCall."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def payload(self, size: int):
        return self.schema.message("Payload")(body=bytes(size))

    def EmptyCall(self, request, context):
        echo(context)
        return self.schema.message("Empty")()

    def UnaryCall(self, request, context):
        echo(context)
        fail_as_asked(request, context)
        return self.schema.message("SimpleResponse")(payload=self.payload(request.response_size))

    # what browsers' Connect clients call by GET
    CacheableUnaryCall = UnaryCall

    def StreamingOutputCall(self, request, context):
        echo(context)
        yield from self.answers(request, context)

    def StreamingInputCall(self, requests, context):
        echo(context)
        total = sum(len(request.payload.body) for request in requests)
        return self.schema.message("StreamingInputCallResponse")(aggregated_payload_size=total)

    def FullDuplexCall(self, requests, context):
        echo(context)
        for request in requests:
            yield from self.answers(request, context)

    def HalfDuplexCall(self, requests, context):
        echo(context)
        for request in list(requests):
            yield from self.answers(request, context)

    def answers(self, request, context):
        fail_as_asked(request, context)
        for asked in request.response_parameters:
            time.sleep(asked.interval_us / 1e6)
            yield self.schema.message("StreamingOutputCallResponse")(payload=self.payload(asked.size))


def serve(schema: Schema) -> None:
    service = Service(schema)
    handlers = {}
    for method in schema.methods("TestService"):
        if hasattr(service, method.name):
            make = getattr(grpc, f"{sides(method)[0]}_{sides(method)[1]}_rpc_method_handler")
            parse = schema.class_of(method.input_type).FromString
            serialize = schema.class_of(method.output_type).SerializeToString
            handlers[method.name] = make(getattr(service, method.name), parse, serialize)
    server = grpc.server(futures.ThreadPoolExecutor(32), options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.testing.TestService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


# === the client


class Pen:
    """The sending side of a call: messages go out when they are written."""

    def __init__(self) -> None:
        self.messages = queue.Queue()

    def __iter__(self):
        return iter(self.messages.get, None)

    def write(self, message) -> None:
        self.messages.put(message)

    def close(self) -> None:
        self.messages.put(None)


def refused(call, code, details=None) -> None:
    """The call, unary or streaming, fails with this code."""
    try:
        result = call()
        if hasattr(result, "__iter__"):
            for _ in result:
                pass
    except grpc.RpcError as error:
        equal(error.code(), code, error.details() or "")
        if details is not None:
            equal(error.details(), details)
        return
    raise AssertionError("the call succeeded")


class Suite:
    def __init__(self, schema: Schema, channel) -> None:
        self.schema = schema
        self.test = Stub(schema, "TestService", channel)
        self.unimplemented = Stub(schema, "UnimplementedService", channel)

    def simple(self, response_size: int = 0, payload: int = 0, **more):
        body = self.schema.message("Payload")(body=bytes(payload))
        return self.schema.message("SimpleRequest")(response_size=response_size, payload=body, **more)

    def output(self, *sizes: int, payload: int = 0, interval_us: int = 0, **more):
        parameters = self.schema.message("ResponseParameters")
        return self.schema.message("StreamingOutputCallRequest")(
            response_parameters=[parameters(size=size, interval_us=interval_us) for size in sizes],
            payload=self.schema.message("Payload")(body=bytes(payload)),
            **more,
        )

    def status(self, message: str):
        return self.schema.message("EchoStatus")(code=2, message=message)

    def empty_unary(self) -> None:
        empty = self.schema.message("Empty")()
        equal(self.test.EmptyCall(empty, timeout=10), empty)

    def large_unary(self) -> None:
        answer = self.test.UnaryCall(self.simple(314159, 271828), timeout=20)
        equal(answer.payload.body, bytes(314159))

    def client_streaming(self) -> None:
        make, payload = self.schema.message("StreamingInputCallRequest"), self.schema.message("Payload")
        requests = (make(payload=payload(body=bytes(size))) for _, size in SIZES)
        equal(self.test.StreamingInputCall(requests, timeout=10).aggregated_payload_size, 74922)

    def server_streaming(self) -> None:
        sizes = [size for size, _ in SIZES]
        answers = self.test.StreamingOutputCall(self.output(*sizes), timeout=10)
        equal([len(answer.payload.body) for answer in answers], sizes)

    def ping_pong(self) -> None:
        pen = Pen()
        call = self.test.FullDuplexCall(iter(pen), timeout=20)
        for asked, sent in SIZES:
            pen.write(self.output(asked, payload=sent))
            equal(len(next(call).payload.body), asked)
        pen.close()
        equal(list(call), [])

    def empty_stream(self) -> None:
        equal(list(self.test.FullDuplexCall(iter(()), timeout=10)), [])

    def status_code_and_message(self) -> None:
        self.refused_with("test status message")

    def special_status_message(self) -> None:
        self.refused_with("\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n")

    def refused_with(self, text: str) -> None:
        status = self.status(text)
        unknown = grpc.StatusCode.UNKNOWN
        refused(lambda: self.test.UnaryCall(self.simple(response_status=status), timeout=10), unknown, text)
        request = self.output(1, payload=1, response_status=status)
        refused(lambda: self.test.FullDuplexCall(iter([request]), timeout=10), unknown, text)

    def custom_metadata(self) -> None:
        sent = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))
        _, unary = self.test.UnaryCall.with_call(self.simple(1), metadata=sent, timeout=10)
        stream = self.test.FullDuplexCall(iter([self.output(1, payload=1)]), metadata=sent, timeout=10)
        equal(len(list(stream)), 1)
        for call in (unary, stream):
            equal(dict(call.initial_metadata()).get(INITIAL), sent[0][1])
            equal(dict(call.trailing_metadata()).get(TRAILING), sent[1][1])

    def unimplemented_method(self) -> None:
        empty = self.schema.message("Empty")()
        refused(lambda: self.test.UnimplementedCall(empty, timeout=10), grpc.StatusCode.UNIMPLEMENTED)

    def unimplemented_service(self) -> None:
        empty = self.schema.message("Empty")()
        refused(lambda: self.unimplemented.UnimplementedCall(empty, timeout=10), grpc.StatusCode.UNIMPLEMENTED)

    def cancel_after_begin(self) -> None:
        pen = Pen()
        call = self.test.StreamingInputCall.future(iter(pen))
        call.cancel()
        equal(call.code(), grpc.StatusCode.CANCELLED)
        pen.close()

    def cancel_after_first_response(self) -> None:
        pen = Pen()
        call = self.test.FullDuplexCall(iter(pen), timeout=20)
        pen.write(self.output(SIZES[0][0], payload=SIZES[0][1]))
        next(call)
        call.cancel()
        refused(lambda: call, grpc.StatusCode.CANCELLED)
        pen.close()

    def timeout_on_sleeping_server(self) -> None:
        pen = Pen()
        call = self.test.FullDuplexCall(iter(pen), timeout=0.001)
        pen.write(self.output(SIZES[0][0], payload=SIZES[0][1], interval_us=500_000))
        refused(lambda: call, grpc.StatusCode.DEADLINE_EXCEEDED)
        pen.close()

    # --- not in the published list: what an edge has to carry besides

    def deadline_is_forwarded(self) -> None:
        _, call = self.test.UnaryCall.with_call(self.simple(1), timeout=7)
        seen = dict(call.trailing_metadata()).get("x-seen-timeout-ms", "")
        # the C core rounds 7 s up, to 7.1 s
        true(seen.isdecimal() and 5000 < int(seen) <= 7100, f"x-seen-timeout-ms {seen!r}")

    def gzip_both_ways(self) -> None:
        request = self.simple(100_000, 100_000)
        answer = self.test.UnaryCall(request, compression=grpc.Compression.Gzip, timeout=10)
        equal(len(answer.payload.body), 100_000)

    def concurrent_large_unary(self) -> None:
        with futures.ThreadPoolExecutor(50) as threads:
            for done in [threads.submit(self.large_unary) for _ in range(200)]:
                done.result()

    def many_small_stream_messages(self) -> None:
        requests = (self.output(10, payload=10) for _ in range(2000))
        equal(sum(1 for _ in self.test.FullDuplexCall(requests, timeout=30)), 2000)

    CASES = [
        empty_unary, large_unary, client_streaming, server_streaming, ping_pong, empty_stream, status_code_and_message,
        special_status_message, custom_metadata, unimplemented_method, unimplemented_service, cancel_after_begin,
        cancel_after_first_response, timeout_on_sleeping_server, deadline_is_forwarded, gzip_both_ways,
        concurrent_large_unary, many_small_stream_messages,
    ]  # fmt: skip


def call_all(schema: Schema, args) -> None:
    checks = Checks("interop-c-core")
    channels = []
    if args.h2c:
        channels.append(("h2c", grpc.insecure_channel(args.h2c, OPTIONS)))
    if args.tls:
        credentials = grpc.ssl_channel_credentials(Path(args.root).read_bytes())
        channels.append(("TLS", grpc.secure_channel(args.tls, credentials, OPTIONS)))
    for transport, channel in channels:
        suite = Suite(schema, channel)
        for case in Suite.CASES:
            if args.only in case.__name__:
                checks.run(f"{transport}: {case.__name__}", case, suite)
        channel.close()
    checks.close()


parser = argparse.ArgumentParser()
parser.add_argument("--protos", required=True)
parser.add_argument("side", choices=["server", "client"])
for flag in ("--h2c", "--tls", "--root", "--only"):
    parser.add_argument(flag, default="")
arguments = parser.parse_args()
if arguments.side == "server":
    serve(Schema(arguments.protos))
else:
    call_all(Schema(arguments.protos), arguments)
