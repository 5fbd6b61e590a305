"""grpcio (gRPC's C core) as the caller of the edge: every kind of call, metadata, errors, deadlines, cancellation, limits.

    suite.py --h2c ADDR --tls ADDR --root CERT.pem --down ADDR --protos DIR

The edges at ADDR serve the demo's catalog, and the demo's upstream is behind them (src/demo/upstream/mod.rs says what
its `x-demo-*` and `x-echo-*` metadata do); behind the edge of --down there is nothing.
"""

import argparse
import importlib
import queue
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc
import grpc_tools
from google.rpc import error_details_pb2, status_pb2
from grpc_tools import protoc

from checks import Checks, equal, true, until

MIB = 1 << 20
PROTOS = ["helloworld", "echo", "route_guide", "bookstore"]


def compile_protos(protos: str):
    out = tempfile.mkdtemp(prefix="transom-foreign-")
    well_known = grpc_tools.__path__[0] + "/_proto"
    files = [f"{protos}/{name}.proto" for name in PROTOS]
    arguments = ["protoc", f"-I{protos}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}", *files]
    if protoc.main(arguments) != 0:
        sys.exit("the protos do not compile")
    sys.path.insert(0, out)
    return [importlib.import_module(f"{name}{kind}") for name in PROTOS for kind in ("_pb2", "_pb2_grpc")]


def refused(call):
    """The error of a call, unary or streaming, that has to fail."""
    try:
        result = call()
        if hasattr(result, "__iter__"):
            for _ in result:
                pass
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call succeeded")


def details_of(error) -> tuple:
    packed = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    equal(len(packed), 1, "grpc-status-details-bin")
    status = status_pb2.Status.FromString(packed[0])
    equal(status.code, error.code().value[0], "the code in the details")
    found = {}
    for detail in status.details:
        name = detail.type_url.rsplit("/", 1)[-1]
        message = getattr(error_details_pb2, name.rsplit(".", 1)[-1])()
        true(detail.Unpack(message), f"{name} does not unpack")
        found[name] = message
    return status, found


class Pen:
    """The sending side of a bidirectional call: messages go out when they are written."""

    def __init__(self) -> None:
        self.messages = queue.Queue()

    def __iter__(self):
        return iter(self.messages.get, None)

    def write(self, message) -> None:
        self.messages.put(message)

    def close(self) -> None:
        self.messages.put(None)


class Suite:
    def __init__(self, channel) -> None:
        self.channel = channel
        self.greeter = helloworld_grpc.GreeterStub(channel)
        self.echo = echo_grpc.EchoStub(channel)
        self.guide = route_grpc.RouteGuideStub(channel)
        self.books = books_grpc.BookstoreStub(channel)

    def said(self, text: str):
        return echo_pb.EchoRequest(message=text)

    def tell(self) -> dict:
        _, call = self.echo.UnaryEcho.with_call(self.said(""), metadata=[("x-demo-tell", "1")], timeout=10)
        return dict(call.trailing_metadata())

    # --- the four kinds

    def unary(self) -> None:
        equal(self.greeter.SayHello(helloworld_pb.HelloRequest(name="joe"), timeout=10).message, "Hello joe")
        equal(self.greeter.SayHello(helloworld_pb.HelloRequest(), timeout=10).message, "Hello ")

    def server_stream(self) -> None:
        fast = [("x-demo-interval-ms", "0"), ("x-demo-stream-count", "100")]
        answers = self.echo.ServerStreamingEcho(self.said("hi"), metadata=fast, timeout=10)
        equal([answer.message for answer in answers], ["hi"] * 100)

    def server_stream_arrives_as_it_is_sent(self) -> None:
        slow = [("x-demo-interval-ms", "200"), ("x-demo-stream-count", "3")]
        start = time.monotonic()
        times = [time.monotonic() - start for _ in self.echo.ServerStreamingEcho(self.said("hi"), metadata=slow, timeout=10)]
        true(times[0] < 0.3 and times[2] - times[0] > 0.3, f"answers came at {times}")

    def client_stream(self) -> None:
        answer = self.echo.ClientStreamingEcho((self.said(str(n)) for n in range(100)), timeout=10)
        equal(answer.message, ", ".join(str(n) for n in range(100)))
        equal(self.echo.ClientStreamingEcho(iter([]), timeout=10).message, "")

    def bidi_stream(self) -> None:
        answers = self.echo.BidirectionalStreamingEcho((self.said(str(n)) for n in range(100)), timeout=10)
        equal([answer.message for answer in answers], [str(n) for n in range(100)])

    def route_chat(self) -> None:
        pen = Pen()
        answers = self.guide.RouteChat(iter(pen), timeout=20)
        place = route_pb.Point(latitude=1, longitude=-2)
        for n in range(10):
            note = route_pb.RouteNote(location=route_pb.Point(latitude=n), message=f"note {n}")
            pen.write(note)
            equal(next(answers), note, "an answer before the next note is sent")
        pen.write(route_pb.RouteNote(location=place, message="a"))
        equal(next(answers).message, "a")
        pen.write(route_pb.RouteNote(location=place, message="b"))
        equal([next(answers).message, next(answers).message], ["a", "b"])
        pen.close()
        equal(list(answers), [])
        equal(answers.code(), grpc.StatusCode.OK)

    def head_before_the_first_message(self) -> None:
        pen = Pen()
        call = self.echo.BidirectionalStreamingEcho(iter(pen), metadata=[("x-echo-a", "early")], timeout=10)
        equal(dict(call.initial_metadata()).get("x-echo-a"), "early")
        pen.close()
        equal(list(call), [])

    def route_guide(self) -> None:
        point = route_pb.Point(latitude=409146138, longitude=-746188906)
        true(self.guide.GetFeature(point, timeout=10).name, "a feature without a name")
        lo, hi = route_pb.Point(latitude=400000000, longitude=-750000000), route_pb.Point(latitude=420000000, longitude=-730000000)
        features = list(self.guide.ListFeatures(route_pb.Rectangle(lo=lo, hi=hi), timeout=10))
        true(len(features) >= 100, f"{len(features)} features")
        summary = self.guide.RecordRoute((feature.location for feature in features[:20]), timeout=10)
        equal((summary.point_count, summary.feature_count), (20, 20))
        true(summary.distance > 10000, f"{summary.distance} m")

    def early_end(self) -> None:
        """The upstream ends a bidirectional call while the caller still has its side open."""
        pen = Pen()
        pen.write(self.said("one"))
        metadata = [("x-demo-stream-count", "1"), ("x-demo-status", "FAILED_PRECONDITION")]
        answers = self.echo.BidirectionalStreamingEcho(iter(pen), metadata=metadata, timeout=10)
        equal(next(answers).message, "one")
        equal(refused(lambda: answers).code(), grpc.StatusCode.FAILED_PRECONDITION)
        pen.close()

    # --- metadata

    def metadata(self) -> None:
        every_byte = bytes(range(256))
        sent = [
            ("x-echo-a", "one"),
            ("x-echo-a", "two"),
            ("x-echo-a-bin", every_byte),
            ("x-echo-b-bin", b""),
            ("x-echo-trailer-a", "plain text, with comma"),
            ("x-echo-trailer-a-bin", every_byte[::-1]),
            ("x-echo-trailer-b-bin", b"\x00"),
        ]
        calls = [
            self.echo.UnaryEcho.with_call(self.said("hi"), metadata=sent, timeout=10)[1],
            self.echo.ServerStreamingEcho(self.said("hi"), metadata=[*sent, ("x-demo-interval-ms", "0")], timeout=10),
            self.echo.BidirectionalStreamingEcho(iter([self.said("hi")]), metadata=sent, timeout=10),
        ]
        for call in calls:
            first = [pair for pair in call.initial_metadata() if pair[0].startswith("x-echo-")]
            if hasattr(call, "__iter__"):
                list(call)
            last = [pair for pair in call.trailing_metadata() if pair[0].startswith("x-echo-")]
            equal(sorted(first), sorted(tuple(pair) for pair in sent[:4]), "initial metadata")
            equal(sorted(last), sorted(tuple(pair) for pair in sent[4:]), "trailing metadata")

    def request_head(self) -> None:
        metadata = [("x-demo-tell", "1"), ("authorization", "Bearer t"), ("x-thing-bin", b"\xff\x00")]
        _, call = self.echo.UnaryEcho.with_call(self.said(""), metadata=metadata, timeout=10)
        head = dict(call.trailing_metadata())["x-demo-head-bin"].decode()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n") if line)
        equal(fields[":path"], "/grpc.examples.echo.Echo/UnaryEcho")
        equal(fields["te"], "trailers")
        true(fields["content-type"].startswith("application/grpc"), fields["content-type"])
        equal(fields["authorization"], "Bearer t")
        equal(fields["x-thing-bin"].rstrip("="), "/wA")
        true("grpc-python" in fields["user-agent"], fields["user-agent"])

    # --- errors

    def error_details(self) -> None:
        name = "shelves/1/books/404"
        error = refused(lambda: self.books.GetBook(books_pb.GetBookRequest(name=name), timeout=10))
        equal(error.code(), grpc.StatusCode.NOT_FOUND)
        _, found = details_of(error)
        info, resource = found["google.rpc.ErrorInfo"], found["google.rpc.ResourceInfo"]
        equal((info.reason, info.domain), ("BOOK_NOT_FOUND", "bookstore.transom.example"))
        equal(dict(info.metadata), {"name": name})
        equal((resource.resource_type, resource.resource_name), ("bookstore.v1.Book", name))

        request = books_pb.CreateBookRequest(parent="shelves/1", book=books_pb.Book())
        error = refused(lambda: self.books.CreateBook(request, timeout=10))
        equal(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        equal(details_of(error)[1]["google.rpc.BadRequest"].field_violations[0].field, "book.title")

    def every_code(self) -> None:
        text = "50% of ünlikely\n\tthings"
        coded = "50%25%20of%20%C3%BCnlikely%0A%09things"
        for code in grpc.StatusCode:
            if code is grpc.StatusCode.OK:
                continue
            metadata = [("x-demo-status", str(code.value[0])), ("x-demo-status-message", coded)]
            error = refused(lambda: self.echo.UnaryEcho(self.said("hi"), metadata=metadata, timeout=10))
            equal((error.code(), error.details()), (code, text))

    def error_after_messages(self) -> None:
        metadata = [("x-demo-interval-ms", "0"), ("x-demo-stream-count", "3"), ("x-demo-status", "DATA_LOSS"), ("x-demo-status-details", "1")]
        answers = self.echo.ServerStreamingEcho(self.said("hi"), metadata=metadata, timeout=10)
        equal([next(answers).message for _ in range(3)], ["hi"] * 3)
        error = refused(lambda: answers)
        equal(error.code(), grpc.StatusCode.DATA_LOSS)
        equal(details_of(error)[1]["google.rpc.ErrorInfo"].reason, "DEMO_STATUS")

    def broken_off(self) -> None:
        """Whatever way the upstream breaks off, the caller never takes the stream for whole."""
        for cut, codes in [
            ("2 reset", {grpc.StatusCode.INTERNAL}),
            ("2 end", {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}),
            ("2 close", {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}),
        ]:
            metadata = [("x-demo-interval-ms", "20"), ("x-demo-cut", cut)]
            error = refused(lambda: self.echo.ServerStreamingEcho(self.said("hi"), metadata=metadata, timeout=10))
            true(error.code() in codes, f"cut {cut}: {error.code()} {error.details()}")
        until("calls go through again", lambda: self.unary() is None, 5)

    def unknown_methods(self) -> None:
        for path in ["/helloworld.Greeter/Nope", "/no.such.Service/Method"]:
            call = self.channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
            equal(refused(lambda: call(b"", timeout=10)).code(), grpc.StatusCode.UNIMPLEMENTED, path)

    def compressed(self) -> None:
        """The demo's upstream takes no compression: the answer is right, or a plain UNIMPLEMENTED."""
        try:
            answer = self.echo.UnaryEcho(self.said("x" * 10000), compression=grpc.Compression.Gzip, timeout=10)
            equal(answer.message, "x" * 10000)
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.UNIMPLEMENTED, error.details())

    # --- deadlines and cancellation

    def deadline(self) -> None:
        delay = [("x-demo-delay-ms", "20000")]
        start = time.monotonic()
        error = refused(lambda: self.echo.UnaryEcho(self.said("hi"), metadata=delay, timeout=0.3))
        equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        slow = [("x-demo-interval-ms", "20000")]
        error = refused(lambda: self.echo.ServerStreamingEcho(self.said("hi"), metadata=slow, timeout=0.3))
        equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        true(time.monotonic() - start < 5, "it took too long")
        until("the upstream's calls are gone", lambda: self.tell()["x-demo-active"] == "1")

    def deadline_is_forwarded(self) -> None:
        head = self.tell()["x-demo-head-bin"].decode()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n") if line)
        timeout = fields.get("grpc-timeout", "")
        units = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
        true(timeout[-1:] in units, f"grpc-timeout {timeout!r}")
        seconds = int(timeout[:-1]) * units[timeout[-1]]
        # the C core rounds 10 s up, to 10.1 s
        true(5 < seconds <= 10.1, f"grpc-timeout {timeout} of the caller's 10 s")

    def cancel(self) -> None:
        before = int(self.tell()["x-demo-cancelled"])
        forever = [("x-demo-interval-ms", "20"), ("x-demo-stream-count", "1000000")]
        stream = self.echo.ServerStreamingEcho(self.said("hi"), metadata=forever)
        next(stream)
        asleep = self.echo.UnaryEcho.future(self.said("hi"), metadata=[("x-demo-delay-ms", "60000")])
        pen = Pen()
        open_end = self.echo.BidirectionalStreamingEcho(iter(pen))
        pen.write(self.said("hi"))
        next(open_end)
        until("three calls are under way", lambda: self.tell()["x-demo-active"] == "4")
        for call in (stream, asleep, open_end):
            call.cancel()
        equal(refused(lambda: stream).code(), grpc.StatusCode.CANCELLED)
        until("the upstream sees them go", lambda: int(self.tell()["x-demo-cancelled"]) == before + 3)
        equal(self.tell()["x-demo-active"], "1", "calls under way besides the one that asks")
        pen.close()

    # --- sizes and numbers

    def one_mebibyte(self) -> None:
        text = "x" * (MIB - 16)
        equal(self.echo.UnaryEcho(self.said(text), timeout=20).message, text)
        answers = self.echo.BidirectionalStreamingEcho((self.said(text) for _ in range(8)), timeout=30)
        true(all(answer.message == text for answer in answers), "an answer differs")
        joined = self.echo.ClientStreamingEcho((self.said(text[: MIB // 2]) for _ in range(4)), timeout=20)
        equal(len(joined.message), 4 * (MIB // 2) + 6)

    def over_the_limit(self) -> None:
        error = refused(lambda: self.echo.UnaryEcho(self.said("x" * (4 * MIB)), timeout=20))
        equal(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED, "a request")
        large = [("x-demo-message-size", str(4 * MIB)), ("x-demo-interval-ms", "0")]
        error = refused(lambda: self.echo.UnaryEcho(self.said(""), metadata=large, timeout=20))
        equal(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED, "an answer")
        error = refused(lambda: self.echo.ServerStreamingEcho(self.said(""), metadata=large, timeout=20))
        equal(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED, "an answer of a stream")
        pen = Pen()
        pen.write(self.said("fits"))
        answers = self.echo.BidirectionalStreamingEcho(iter(pen), timeout=20)
        equal(next(answers).message, "fits")
        pen.write(self.said("x" * (4 * MIB)))
        equal(refused(lambda: answers).code(), grpc.StatusCode.RESOURCE_EXHAUSTED, "a message of a stream")
        pen.close()

    def long_stream(self) -> None:
        metadata = [("x-demo-interval-ms", "0"), ("x-demo-stream-count", "1024"), ("x-demo-message-size", "65536")]
        sizes = [len(answer.message) for answer in self.echo.ServerStreamingEcho(self.said(""), metadata=metadata, timeout=60)]
        equal((len(sizes), set(sizes)), (1024, {65536}))

    def many_at_once(self) -> None:
        names = [f"caller {n}" for n in range(300)]
        calls = [self.greeter.SayHello.future(helloworld_pb.HelloRequest(name=name), timeout=30) for name in names]
        equal([call.result().message for call in calls], [f"Hello {name}" for name in names])

        def stream(n: int) -> None:
            metadata = [("x-demo-interval-ms", "5"), ("x-demo-stream-count", "20")]
            answers = [answer.message for answer in self.echo.ServerStreamingEcho(self.said(str(n)), metadata=metadata, timeout=30)]
            equal(answers, [str(n)] * 20)

        with futures.ThreadPoolExecutor(40) as threads:
            for done in [threads.submit(stream, n) for n in range(40)]:
                done.result()

    def slow_reader(self) -> None:
        """One call that is not read does not hold up the others."""
        metadata = [("x-demo-interval-ms", "0"), ("x-demo-stream-count", "2048"), ("x-demo-message-size", "65536")]
        stalled = self.echo.ServerStreamingEcho(self.said(""), metadata=metadata, timeout=60)
        next(stalled)
        start = time.monotonic()
        for _ in range(50):
            self.unary()
        true(time.monotonic() - start < 5, "other calls were held up")
        stalled.cancel()
        until("the stalled call is gone", lambda: self.tell()["x-demo-active"] == "1")

    CHECKS = [
        ("unary", unary),
        ("server stream", server_stream),
        ("server stream, message by message", server_stream_arrives_as_it_is_sent),
        ("client stream", client_stream),
        ("bidirectional stream", bidi_stream),
        ("RouteChat: each answer before the next note", route_chat),
        ("the answer's head before the first message", head_before_the_first_message),
        ("RouteGuide", route_guide),
        ("the upstream ends a bidirectional call early", early_end),
        ("metadata, also binary, both ways", metadata),
        ("the request's head at the upstream", request_head),
        ("errors with details", error_details),
        ("every status code, with a message", every_code),
        ("an error after messages", error_after_messages),
        ("streams that break off", broken_off),
        ("unknown methods", unknown_methods),
        ("a compressed request", compressed),
        ("deadline exceeded", deadline),
        ("the deadline is forwarded", deadline_is_forwarded),
        ("cancel reaches the upstream", cancel),
        ("messages of 1 MiB", one_mebibyte),
        ("messages over the limit", over_the_limit),
        ("a stream of 64 MiB", long_stream),
        ("many calls at once", many_at_once),
        ("a call that is not read", slow_reader),
    ]


def upstream_is_down(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = helloworld_grpc.GreeterStub(channel)
        start = time.monotonic()
        error = refused(lambda: stub.SayHello(helloworld_pb.HelloRequest(name="joe"), timeout=10))
        equal(error.code(), grpc.StatusCode.UNAVAILABLE)
        true(time.monotonic() - start < 2, "it took too long")
        true(error.details(), "no reason is given")


def clear_text_on_tls(address: str) -> None:
    """The TLS edge speaks TLS only."""
    with grpc.insecure_channel(address) as channel:
        stub = helloworld_grpc.GreeterStub(channel)
        error = refused(lambda: stub.SayHello(helloworld_pb.HelloRequest(name="joe"), timeout=3))
        true(error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), str(error.code()))


parser = argparse.ArgumentParser()
for flag in ("--h2c", "--tls", "--root", "--down", "--protos"):
    parser.add_argument(flag, required=flag in ("--h2c", "--protos"))
parser.add_argument("--only", default="")
args = parser.parse_args()
modules = compile_protos(args.protos)
helloworld_pb, helloworld_grpc, echo_pb, echo_grpc, route_pb, route_grpc, books_pb, books_grpc = modules

checks = Checks("grpcio")
options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
channels = [("h2c", grpc.insecure_channel(args.h2c, options))]
if args.tls:
    with open(args.root, "rb") as root:
        credentials = grpc.ssl_channel_credentials(root.read())
    channels.append(("TLS", grpc.secure_channel(args.tls, credentials, options)))
for transport, channel in channels:
    suite = Suite(channel)
    for name, check in Suite.CHECKS:
        if args.only in name:
            checks.run(f"{transport}: {name}", check, suite)
    channel.close()
if args.down and not args.only:
    checks.run("upstream down", upstream_is_down, args.down)
if args.tls and not args.only:
    checks.run("clear text on a TLS listener", clear_text_on_tls, args.tls)
checks.close()
