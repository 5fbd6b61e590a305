"""curl, grpcurl and a bare socket as callers of the edge: REST, gRPC-Web binary and text, Connect unary.

    rest_and_web.py --clear ADDR --tls ADDR --root CERT.pem --down ADDR --protos DIR [--grpcurl FILE]

Each check runs over HTTP/1.1 and HTTP/2, in clear text and over TLS. The demo's upstream is behind the edges;
src/demo/upstream/mod.rs says what its `x-demo-*` and `x-echo-*` metadata do.
"""

import argparse
import base64
import json
import os
import socket
import struct
import subprocess
import tempfile
import time
import uuid
import zlib

from google.rpc import error_details_pb2, status_pb2

from checks import Checks, equal, true

JSON = "application/json"
WEB = "application/grpc-web+proto"
TEXT = "application/grpc-web-text"
HELLO = "/helloworld.Greeter/SayHello"
ECHO = "/grpc.examples.echo.Echo/UnaryEcho"
STREAM = "/grpc.examples.echo.Echo/ServerStreamingEcho"
WATCH = "/bookstore.v1.Bookstore/WatchBooks"
GET_BOOK = "/bookstore.v1.Bookstore/GetBook"
JOE = b"\x0a\x03joe"
HELLO_JOE = b"\x0a\x09Hello joe"
OK_FRAME = b"\x80\x00\x00\x00\x0fgrpc-status:0\r\n"
HTTP = {
    "CANCELLED": 499, "UNKNOWN": 500, "INVALID_ARGUMENT": 400, "DEADLINE_EXCEEDED": 504, "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429, "FAILED_PRECONDITION": 400,
    "ABORTED": 409, "OUT_OF_RANGE": 400, "UNIMPLEMENTED": 501, "INTERNAL": 500, "UNAVAILABLE": 503, "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}  # fmt: skip


class Answer:
    def __init__(self, code: int, status: int, headers: dict, body: bytes) -> None:
        self.code, self.status, self.headers, self.body = code, status, headers, body

    def json(self):
        return json.loads(self.body)


def frame(message: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(message)) + message


def frames(body: bytes) -> list:
    found = []
    while body:
        true(len(body) >= 5, f"{len(body)} bytes behind the last frame")
        flag, length = struct.unpack(">BI", body[:5])
        true(len(body) >= 5 + length, f"a frame of {length} bytes has {len(body) - 5}")
        found.append((flag, body[5 : 5 + length]))
        body = body[5 + length :]
    return found


def trailers_of(answer: Answer) -> dict:
    """What the last frame says; an answer that is trailers alone may have it all in its head."""
    last = frames(answer.body)[-1:] if answer.body else []
    if not last:
        return {name: value for name, value in answer.headers.items() if name.startswith("grpc-")}
    flag, payload = last[0]
    equal(flag, 0x80, "the last frame's flag")
    true(payload.endswith(b"\r\n") and not payload.endswith(b"\r\n\r\n"), f"trailers {payload!r}")
    lines = payload.decode().removesuffix("\r\n").split("\r\n")
    pairs = [line.split(":", 1) for line in lines]
    true(all(name == name.lower() for name, _ in pairs), f"trailers {lines}")
    return {name: value.strip() for name, value in pairs}


def un64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


def text_of(body: bytes) -> bytes:
    """The bytes behind a text body, whose pieces may each be padded."""
    out, quantum = b"", b""
    for at in range(0, len(body), 4):
        quantum = body[at : at + 4]
        equal(len(quantum), 4, "the text's last piece")
        out += base64.b64decode(quantum, validate=True)
    return out


def string(number: int, text: str) -> bytes:
    true(len(text) < 128, "a short string")
    return bytes([number << 3 | 2, len(text)]) + text.encode()


def details_of(packed: str) -> dict:
    status = status_pb2.Status.FromString(un64(packed))
    found = {"code": status.code}
    for detail in status.details:
        message = getattr(error_details_pb2, detail.type_url.rsplit(".", 1)[-1])()
        true(detail.Unpack(message), detail.type_url)
        found[type(message).__name__] = message
    return found


class Suite:
    def __init__(self, base: str, flags: list) -> None:
        self.base, self.flags = base, flags

    def curl(self, method: str, path: str, headers: dict = {}, body: bytes | None = None) -> Answer:
        with tempfile.TemporaryDirectory() as folder:
            head, out = os.path.join(folder, "head"), os.path.join(folder, "body")
            command = ["curl", "--silent", "--globoff", "--path-as-is", "--max-time", "20", *self.flags, "-X", method]
            command += ["-D", head, "-o", out, "-H", "expect:"]
            for name, value in headers.items():
                command += ["-H", f"{name}: {value}"]
            if body is not None:
                command += ["--data-binary", "@-"]
                if "content-type" not in headers:
                    command += ["-H", "content-type:"]
            done = subprocess.run([*command, self.base + path], input=body, timeout=30, check=False)
            lines = open(head, "rb").read().decode("latin-1").split("\r\n") if os.path.exists(head) else [""]
            # trailers, if there are any, stand below the head
            found = {}
            for line in lines[1:]:
                name, _, value = line.partition(":")
                if name:
                    name = name.lower()
                    found[name] = f"{found[name]}, {value.strip()}" if name in found else value.strip()
            status = int(lines[0].split(" ")[1]) if " " in lines[0] else 0
            data = open(out, "rb").read() if os.path.exists(out) else b""
            return Answer(done.returncode, status, found, data)

    def get(self, path: str, headers: dict = {}) -> Answer:
        return self.curl("GET", path, headers)

    def post(self, path: str, content_type: str, body: bytes | str | dict, headers: dict = {}) -> Answer:
        if isinstance(body, dict):
            body = json.dumps(body)
        data = body if isinstance(body, bytes) else body.encode()
        return self.curl("POST", path, {"content-type": content_type, **headers}, data)

    def ok(self, answer: Answer, content_type: str = JSON) -> Answer:
        equal(answer.code, 0, "curl's exit code")
        equal(answer.status, 200, f"HTTP status ({answer.body!r:.300})")
        equal(answer.headers.get("content-type", "").split(";")[0], content_type, "content-type")
        return answer

    # --- REST

    def rest_hello(self) -> None:
        equal(self.ok(self.get("/v1/greeter/joe")).body, b'{"message":"Hello joe"}')
        equal(self.ok(self.get("/v1/greeter/j%C3%B6%20%2Fe")).json(), {"message": "Hello jö /e"})
        equal(self.ok(self.post("/v1/greeter", JSON, {"name": "joe"})).json(), {"message": "Hello joe"})
        equal(self.ok(self.post("/v1/greeter", JSON + "; charset=utf-8", "{}")).json(), {"message": "Hello "})

    def rest_json_forms(self) -> None:
        book = self.ok(self.get("/v1/shelves/1/books/1")).json()
        wanted = {
            "name": "shelves/1/books/1", "title": "Moby-Dick", "authors": ["Herman Melville"], "genre": "NOVEL",
            "publishTime": "1851-10-18T00:00:00Z", "readingTime": "88200s", "isbn": "9780142437247",
            "labels": {"lent": "no", "place": "window"}, "print": {"pages": 720, "hardcover": True},
            "price": {"currencyCode": "EUR", "units": "24", "nanos": 500000000}, "stock": 3,
            "subtitle": "or, The Whale", "edition": 2,
        }  # fmt: skip
        for key, value in wanted.items():
            equal(book.get(key), value, key)
        true(base64.b64decode(book["thumbnail"]).startswith(b"GIF89a"), "thumbnail")
        # a wrapper that is empty is there; a list that is empty is not
        book = self.ok(self.get("/v1/shelves/1/books/3")).json()
        equal((book["subtitle"], book["stock"], book["audiobook"]["length"]), ("", 0, "128520.500s"))
        true("labels" not in book and "price" not in book, "unset fields are printed")

    def rest_query(self) -> None:
        def titles(query: str) -> list:
            return [book["title"] for book in self.ok(self.get(f"/v1/shelves/1/books?{query}")).json().get("books", [])]

        equal(titles("filter.genre=NOVEL&order_by=title&page_size=3")[0], "Frankenstein")
        equal(titles("filter.authors=Mary%20Shelley&filter.authors=George+Eliot"), ["Frankenstein", "Middlemarch"])
        equal(titles("filter.publishedAfter=1850-01-01T00:00:00Z&orderBy=publish_time")[0], "Moby-Dick")
        equal(titles("filter.max_reading_time=86400s&filter.min_rating=4.25&filter.genre=1"), ["Frankenstein"])
        equal(titles("filter.in_stock=true"), ["Moby-Dick"])
        books = self.ok(self.get("/v1/shelves/1/books?read_mask=name,genre&page_size=1")).json()
        equal(books["books"], [{"name": "shelves/1/books/1", "genre": "NOVEL"}])
        true(books["nextPageToken"] and books["totalSize"] >= 3, "a next page")

    def rest_bindings(self) -> None:
        shelves = self.ok(self.get("/v1/shelves:all")).json()
        equal([shelf["theme"] for shelf in shelves[:3]], ["Fiction", "History", "Science"])
        hits = self.ok(self.get("/v1/shelves/3/books:search?query=newton")).json()["hits"]
        equal([hit["book"]["title"] for hit in hits], ["Opticks"])
        hits = self.ok(self.post("/v1/books:search", JSON, {"query": "WHALE"})).json()["hits"]
        equal([hit["book"]["title"] for hit in hits], ["Moby-Dick"])
        hits = self.ok(self.get("/v1/books:search?query=revolution&genres=NONFICTION&genres=ESSAY")).json()["hits"]
        equal([hit["book"]["title"] for hit in hits], ["The French Revolution"])
        true(0 < hits[0]["score"] <= 1, "a score")
        feature = self.ok(self.get("/v1/feature/409146138/-746188906")).json()
        true(feature["name"].startswith("Berkshire Valley"), feature)

    def rest_life_of_a_book(self) -> None:
        identity = f"b-{uuid.uuid4().hex}"
        name = f"shelves/1/books/{identity}"
        book = {"title": "Emma", "authors": ["Jane Austen"], "genre": "NOVEL", "isbn": "9780141439587", "stock": 0}
        made = self.ok(self.post(f"/v1/shelves/1/books?book_id={identity}", JSON, book)).json()
        equal((made["name"], made["isbn"], made["stock"]), (name, book["isbn"], 0))
        patch = {"rating": 4.75, "labels": {"lent": "no"}}
        body = json.dumps(patch).encode()
        changed = self.ok(self.curl("PATCH", f"/v1/{name}?update_mask=rating,labels", {"content-type": JSON}, body)).json()
        equal((changed["title"], changed["rating"], changed["labels"]), ("Emma", 4.75, {"lent": "no"}))
        stale = json.dumps({"rating": 1, "etag": made["etag"]}).encode()
        equal(self.curl("PATCH", f"/v1/{name}", {"content-type": JSON}, stale).status, 409)
        moved = self.ok(self.post(f"/v1/{name}:move", JSON, {"destination": "shelves/3"})).json()
        equal(moved["name"], f"shelves/3/books/{identity}")
        equal(self.ok(self.curl("DELETE", f"/v1/shelves/3/books/{identity}")).json(), {})
        equal(self.get(f"/v1/shelves/3/books/{identity}").status, 404)

    def rest_file(self) -> None:
        answer = self.ok(self.get("/v1/files/covers/2026/moby-dick.txt/content"), "text/plain")
        wanted = b"contents of files/covers/2026/moby-dick.txt\n"
        equal((answer.body, answer.headers["content-length"]), (wanted, str(len(wanted))))
        equal(self.get("/v1/files/404/content").status, 404)

    def tool(self, *arguments: str) -> tuple:
        """curl as people use it: what it writes, its exit code and the HTTP status."""
        command = ["curl", "--silent", "--show-error", "--max-time", "20", *self.flags, "-w", "%{stderr}%{http_code}"]
        done = subprocess.run([*command, *arguments], capture_output=True, timeout=30, check=False)
        return done.stdout, done.returncode, done.stderr.decode()

    def rest_upload_and_download(self) -> None:
        content = bytes(range(256)) * 1200
        path = f"{self.base}/files/curl/{uuid.uuid4().hex}"
        with tempfile.TemporaryDirectory() as folder:
            file, copy = os.path.join(folder, "photo one.png"), os.path.join(folder, "copy")
            with open(file, "wb") as out:
                out.write(content)
            body, code, status = self.tool("-T", file, "-H", "content-type: image/png", path)
            equal((code, status), (0, "200"), body)
            stored = json.loads(body)
            equal((stored["size"], stored["contentType"], stored["crc"]), (str(len(content)), "image/png", zlib.crc32(content)))
            body, code, status = self.tool("-o", copy, "-D", "-", path)
            equal((code, status, open(copy, "rb").read() == content), (0, "200", True))
            true(b"content-type: image/png" in body.lower(), body)
            body, code, status = self.tool("-r", "1000-1099", path)
            equal((body, code, status), (content[1000:1100], 0, "206"))
            body, code, status = self.tool("-r", "-10", path)
            equal((body, code, status), (content[-10:], 0, "206"))
            # what is there already is not asked for again
            with open(copy, "wb") as out:
                out.write(content[:100_000])
            _, code, status = self.tool("-C", "-", "-o", copy, path)
            equal((code, status, open(copy, "rb").read() == content), (0, "206", True))
            equal(self.tool("-r", "999999999-", path)[1:], (0, "416"))
            # from a pipe, chunked
            piped = subprocess.run(
                ["curl", "--silent", "--max-time", "20", *self.flags, "-T", "-", path], input=content, capture_output=True, timeout=30, check=False
            )
            equal(json.loads(piped.stdout)["crc"], zlib.crc32(content))
            body, code, status = self.tool(
                "-F", "path=curl/form", "-F", "note=a \u00fc", "-F", f"content=@{file};type=image/png", f"{self.base}/files"
            )
            equal((code, status), (0, "200"), body)
            stored = json.loads(body)
            equal((stored["filename"], stored["note"], stored["contentType"]), ("photo one.png", "a \u00fc", "image/png"))
            equal((stored["size"], stored["crc"]), (str(len(content)), zlib.crc32(content)))
            equal(self.tool(f"{self.base}/files/curl/form")[0] == content, True)
            body, code, status = self.tool("-F", f"content=<{file}", "-F", "path=x", "-F", "ntoe=y", f"{self.base}/notes")
            equal((code, status), (0, "400"), body)
            true("ntoe" in body.decode(), body)

    def rest_cut_download(self) -> None:
        command = ["-H", "x-demo-cut: 3 reset", "-H", "x-demo-interval-ms: 50", f"{self.base}/files/generated/1000000"]
        body, code, status = self.tool(*command)
        equal(status.split()[-1], "200")
        true(code in (18, 56, 92), f"curl's exit code is {code}: the download looks whole")
        true(0 < len(body) < 200_000, len(body))

    def rest_form(self) -> None:
        identity = f"f-{uuid.uuid4().hex}"
        url = f"{self.base}/v1/shelves/1/books?book_id={identity}"
        fields = ["--data-urlencode", "title=Pride & Prejudice, \u00fc", "-d", "authors=A", "-d", "authors=B", "-d", "genre=NOVEL"]
        body, code, status = self.tool(*fields, "-d", "print.pages=3", "-d", "labels=", url)
        equal((code, status), (0, "400"), body)
        true("a map cannot be given in a form" in body.decode(), body)
        body, code, status = self.tool(*fields, "-d", "print.pages=3", url)
        equal((code, status), (0, "200"), body)
        book = json.loads(body)
        equal((book["title"], book["authors"], book["print"]["pages"]), ("Pride & Prejudice, \u00fc", ["A", "B"], 3))
        equal(self.curl("DELETE", f"/v1/shelves/1/books/{identity}").status, 200)
        equal(json.loads(self.tool("-d", '{"name": "joe"}', f"{self.base}/v1/greeter")[0]), {"message": "Hello joe"})

    def rest_errors(self) -> None:
        answer = self.get("/v1/shelves/1/books/404")
        equal((answer.status, answer.headers["content-type"].split(";")[0]), (404, JSON))
        error = answer.json()
        equal(error["code"], 5)
        types = [detail["@type"] for detail in error["details"]]
        equal(types, ["type.googleapis.com/google.rpc.ErrorInfo", "type.googleapis.com/google.rpc.ResourceInfo"])
        equal(error["details"][0]["metadata"], {"name": "shelves/1/books/404"})
        equal(error["details"][1]["resourceType"], "bookstore.v1.Book")
        error = self.post("/v1/shelves/1/books", JSON, {"title": ""})
        equal((error.status, error.json()["details"][0]["fieldViolations"][0]["field"]), (400, "book.title"))

    def rest_every_code(self) -> None:
        for number, (name, http) in enumerate(HTTP.items(), start=1):
            headers = {"x-demo-status": name, "x-demo-status-message": "%C3%BCber%20%25"}
            answer = self.post("/v1/echo", JSON, {"message": "hi"}, headers)
            equal((answer.status, answer.json()["code"], answer.json()["message"]), (http, number, "über %"), name)

    def rest_refusals(self) -> None:
        def refused(answer: Answer, http: int, code: int, *words: str) -> None:
            equal((answer.status, answer.headers.get("content-type", "").split(";")[0]), (http, JSON), f"{answer.body!r:.200}")
            equal(answer.json()["code"], code)
            for word in words:
                true(word in answer.body.decode(), f"no {word!r} in {answer.body!r:.300}")

        refused(self.post("/v1/greeter", JSON, {"nmae": "joe"}), 400, 3, "nmae", "name")
        refused(self.post("/v1/greeter", JSON, '{"name": '), 400, 3)
        refused(self.post("/v1/greeter", JSON, {"name": 1}), 400, 3, "name")
        refused(self.post("/v1/greeter", JSON, b'{"name":"\xff"}'), 400, 3)
        refused(self.get("/v1/shelves?page_sice=2"), 400, 3, "page_sice")
        refused(self.get("/v1/shelves?page_size=many"), 400, 3, "page_size")
        refused(self.get("/v1/feature/north/1"), 400, 3, "latitude")
        refused(self.get("/v1/nothing/here"), 404, 12)
        answer = self.curl("DELETE", "/v1/greeter")
        equal(answer.status, 405)
        true("POST" in answer.headers.get("allow", ""), f"allow: {answer.headers.get('allow')}")

    def rest_stream(self) -> None:
        path = "/v1/shelves/1/books:watch?count=3"
        array = self.ok(self.get(path)).json()
        equal([event["sequence"] for event in array], ["1", "2", "3"])
        lines = self.ok(self.get(path, {"accept": "application/x-ndjson"}), "application/x-ndjson").body.splitlines()
        equal([json.loads(line)["sequence"] for line in lines], ["1", "2", "3"])

    def rest_broken_stream(self) -> None:
        """An error after messages is seen: by an error object, or by an answer that breaks off."""
        for lever in ({"x-demo-cut": "2 reset"}, {"x-demo-cut": "2 end"}, {"x-demo-stream-count": "2", "x-demo-status": "15"}):
            for accept in (JSON, "application/x-ndjson"):
                answer = self.get("/v1/echo:stream?message=hi", {"accept": accept, "x-demo-interval-ms": "20", **lever})
                if answer.code == 0:
                    whole = answer.json() if accept == JSON else [json.loads(line) for line in answer.body.splitlines()]
                    last = whole[-1] if isinstance(whole, list) else whole
                    error = last.get("error", last)
                    true(error.get("code"), f"{lever} {accept}: {answer.body!r} looks whole")

    def rest_deadline_and_metadata(self) -> None:
        start = time.monotonic()
        headers = {"x-demo-delay-ms": "15000", "grpc-timeout": "300m"}
        answer = self.post("/v1/echo", JSON, {"message": "hi"}, headers)
        equal((answer.status, answer.json()["code"]), (504, 4))
        true(time.monotonic() - start < 5, "it took too long")
        answer = self.ok(self.post("/v1/echo", JSON, {"message": "hi"}, {"x-echo-a": "one"}))
        equal(answer.headers.get("x-echo-a"), "one")

    # --- gRPC-Web

    def web_hello(self) -> None:
        for content_type in ("application/grpc-web", WEB):
            answer = self.post(HELLO, content_type, frame(JOE), {"x-grpc-web": "1"})
            equal((answer.code, answer.status), (0, 200))
            true(answer.headers["content-type"].startswith("application/grpc-web"), answer.headers["content-type"])
            true("text" not in answer.headers["content-type"], answer.headers["content-type"])
            equal(answer.body, frame(HELLO_JOE) + OK_FRAME)

    def web_text(self) -> None:
        whole = frame(JOE)
        bodies = {"in one": base64.b64encode(whole)}
        for size in range(1, len(whole)):
            pieces = [base64.b64encode(whole[at : at + size]) for at in range(0, len(whole), size)]
            bodies[f"in pieces of {size}"] = b"".join(pieces)
        for cut in range(1, len(whole)):
            bodies[f"cut at {cut}"] = base64.b64encode(whole[:cut]) + base64.b64encode(whole[cut:])
        accept = {"accept": TEXT, "x-grpc-web": "1", "x-user-agent": "grpc-web-javascript/0.1"}
        for name, body in bodies.items():
            answer = self.post(HELLO, TEXT, body, accept)
            equal((answer.code, answer.status), (0, 200), name)
            true(answer.headers["content-type"].startswith(TEXT), answer.headers["content-type"])
            equal(text_of(answer.body), frame(HELLO_JOE) + OK_FRAME, name)

    def web_text_either_way(self) -> None:
        answer = self.post(HELLO, TEXT, base64.b64encode(frame(JOE)), {"accept": WEB})
        equal(answer.body, frame(HELLO_JOE) + OK_FRAME, "binary for a text request")
        answer = self.post(HELLO, WEB, frame(JOE), {"accept": TEXT})
        equal(text_of(answer.body), frame(HELLO_JOE) + OK_FRAME, "text for a binary request")

    def web_stream(self) -> None:
        request = frame(string(1, "shelves/1") + b"\x10\x03")
        found = frames(self.post(WATCH, WEB, request).body)
        equal([flag for flag, _ in found], [0, 0, 0, 0x80])
        equal(found[-1][1], b"grpc-status:0\r\n")
        answer = self.post(WATCH, TEXT, base64.b64encode(request), {"accept": TEXT})
        equal([flag for flag, _ in frames(text_of(answer.body))], [0, 0, 0, 0x80])

    def web_errors(self) -> None:
        answer = self.post(GET_BOOK, WEB, frame(string(1, "shelves/1/books/404")))
        equal(answer.status, 200)
        trailers = trailers_of(answer)
        equal(trailers["grpc-status"], "5")
        found = details_of(trailers["grpc-status-details-bin"])
        equal((found["code"], found["ErrorInfo"].reason), (5, "BOOK_NOT_FOUND"))
        coded = {"x-demo-status": "13", "x-demo-status-message": "50%25%20%C3%BCber%0A"}
        trailers = trailers_of(self.post(ECHO, WEB, frame(b""), coded))
        equal((trailers["grpc-status"], trailers["grpc-message"]), ("13", "50%25 %C3%BCber%0A"))
        late = {"x-demo-interval-ms": "0", "x-demo-stream-count": "2", "x-demo-status": "15"}
        answer = self.post(STREAM, WEB, frame(b""), late)
        equal([flag for flag, _ in frames(answer.body)], [0, 0, 0x80])
        equal(trailers_of(answer)["grpc-status"], "15")
        for cut in ("2 reset", "2 end"):
            answer = self.post(STREAM, WEB, frame(b""), {"x-demo-interval-ms": "20", "x-demo-cut": cut})
            true(trailers_of(answer).get("grpc-status", "0") != "0", f"cut {cut} looks whole")

    def web_refusals(self) -> None:
        def status(answer: Answer) -> str:
            equal(answer.status, 200)
            return trailers_of(answer)["grpc-status"]

        equal(status(self.post("/helloworld.Greeter/Nope", WEB, frame(JOE))), "12", "an unknown method")
        large = self.post(HELLO, WEB, frame(b"x" * (4 << 20 | 1)))
        equal(status(large), "8", "a message over the limit")
        true(status(self.post(HELLO, WEB, frame(JOE)[:-1])) != "0", "a frame that is cut")
        true(status(self.post(HELLO, WEB, b"")) != "0", "no message")
        true(status(self.post(HELLO, WEB, frame(JOE) * 2)) != "0", "two messages")
        answer = self.post(HELLO, TEXT, b"AAAA!AAA")
        true(answer.status == 400 or status(answer) != "0", "text that is not base64")
        start = time.monotonic()
        answer = self.post(ECHO, WEB, frame(b""), {"x-demo-delay-ms": "15000", "grpc-timeout": "300m"})
        equal(status(answer), "4", "a deadline")
        true(time.monotonic() - start < 5, "it took too long")

    def web_metadata(self) -> None:
        headers = {"x-echo-a": "one", "x-echo-a-bin": "AAH+/w", "x-echo-trailer-a": "last", "x-echo-trailer-a-bin": "/wA"}
        answer = self.post(ECHO, WEB, frame(string(1, "hi")), headers)
        equal((answer.headers["x-echo-a"], un64(answer.headers["x-echo-a-bin"])), ("one", b"\x00\x01\xfe\xff"))
        trailers = trailers_of(answer)
        equal((trailers["x-echo-trailer-a"], un64(trailers["x-echo-trailer-a-bin"])), ("last", b"\xff\x00"))
        equal(trailers["grpc-status"], "0")

    # --- Connect

    def connect_hello(self) -> None:
        for content_type in (JSON, JSON + "; charset=utf-8"):
            for headers in ({}, {"connect-protocol-version": "1"}):
                answer = self.ok(self.post(HELLO, content_type, {"name": "joe"}, headers))
                equal(answer.body, b'{"message":"Hello joe"}')
        equal(self.ok(self.post(HELLO, "application/proto", JOE), "application/proto").body, HELLO_JOE)
        query = "connect=v1&encoding=json&message=%7B%22name%22%3A%22joe%22%7D"
        equal(self.ok(self.get(f"{HELLO}?{query}")).body, b'{"message":"Hello joe"}')

    def connect_errors(self) -> None:
        answer = self.post(GET_BOOK, JSON, {"name": "shelves/1/books/404"})
        equal((answer.status, answer.headers["content-type"].split(";")[0]), (404, JSON))
        error = answer.json()
        equal(error["code"], "not_found")
        equal([detail["type"] for detail in error["details"]], ["google.rpc.ErrorInfo", "google.rpc.ResourceInfo"])
        true("=" not in error["details"][0]["value"], "details are not padded")
        info = error_details_pb2.ErrorInfo.FromString(un64(error["details"][0]["value"]))
        equal((info.reason, dict(info.metadata)), ("BOOK_NOT_FOUND", {"name": "shelves/1/books/404"}))
        for name, http in HTTP.items():
            answer = self.post(ECHO, JSON, {"message": "hi"}, {"x-demo-status": name})
            code = "canceled" if name == "CANCELLED" else name.lower()
            equal((answer.status, answer.json()["code"]), (http, code))

    def connect_refusals(self) -> None:
        answer = self.post(HELLO, JSON, {"nmae": "joe"})
        equal((answer.status, answer.json()["code"]), (400, "invalid_argument"))
        answer = self.post(HELLO, "text/plain", "joe")
        equal(answer.status, 415)
        true(JSON in answer.headers.get("accept-post", ""), f"accept-post: {answer.headers.get('accept-post')}")
        headers = {"x-demo-delay-ms": "15000", "connect-timeout-ms": "300", "connect-protocol-version": "1"}
        answer = self.post(ECHO, JSON, {"message": "hi"}, headers)
        equal((answer.status, answer.json()["code"]), (504, "deadline_exceeded"))

    def connect_metadata(self) -> None:
        answer = self.ok(self.post(ECHO, JSON, {"message": "hi"}, {"x-echo-a": "one", "x-echo-trailer-a": "last"}))
        equal((answer.headers.get("x-echo-a"), answer.headers.get("trailer-x-echo-trailer-a")), ("one", "last"))

    def cors(self) -> None:
        origin = self.origin
        asked = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type,grpc-timeout,x-grpc-web,x-user-agent,connect-protocol-version,connect-timeout-ms",
        }
        answer = self.curl("OPTIONS", HELLO, asked)
        true(answer.status in (200, 204), f"HTTP {answer.status}")
        equal(answer.headers.get("access-control-allow-origin"), origin)
        allowed = answer.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
        for name in asked["access-control-request-headers"].split(","):
            true(name in allowed, f"{name} is not allowed: {allowed}")
        answer = self.post(HELLO, WEB, frame(JOE), {"origin": origin})
        exposed = answer.headers["access-control-expose-headers"].lower().replace(" ", "").split(",")
        for name in ("grpc-status", "grpc-message", "grpc-status-details-bin"):
            true(name in exposed, f"{name} is not exposed: {exposed}")
        answer = self.post(HELLO, WEB, frame(JOE), {"origin": "https://elsewhere.example"})
        true("access-control-allow-origin" not in answer.headers, "another origin is let in")

    CHECKS = [
        ("REST: hello", rest_hello),
        ("REST: forms of JSON", rest_json_forms),
        ("REST: query parameters", rest_query),
        ("REST: bindings", rest_bindings),
        ("REST: life of a book", rest_life_of_a_book),
        ("REST: a file as it is", rest_file),
        ("REST: files up and down, ranges, forms", rest_upload_and_download),
        ("REST: a download that is cut", rest_cut_download),
        ("REST: an encoded form", rest_form),
        ("REST: errors with details", rest_errors),
        ("REST: every status code", rest_every_code),
        ("REST: refusals", rest_refusals),
        ("REST: streams", rest_stream),
        ("REST: streams that break off", rest_broken_stream),
        ("REST: deadline and metadata", rest_deadline_and_metadata),
        ("gRPC-Web: hello, byte by byte", web_hello),
        ("gRPC-Web: text, padded anywhere", web_text),
        ("gRPC-Web: text one way only", web_text_either_way),
        ("gRPC-Web: streams", web_stream),
        ("gRPC-Web: errors", web_errors),
        ("gRPC-Web: refusals", web_refusals),
        ("gRPC-Web: metadata", web_metadata),
        ("Connect: hello", connect_hello),
        ("Connect: errors", connect_errors),
        ("Connect: refusals", connect_refusals),
        ("Connect: metadata", connect_metadata),
        ("CORS", cors),
    ]


# --- a bare socket: what curl does not do


def connection(address: str) -> socket.socket:
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), timeout=10)


def read_answer(file) -> tuple:
    """One HTTP/1.1 answer: status, body, and when each chunk came."""
    status = int(file.readline().split(b" ")[1])
    headers = {}
    while (line := file.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    if headers.get(b"transfer-encoding") != b"chunked":
        return status, file.read(int(headers[b"content-length"])), []
    body, times = b"", []
    while (size := int(file.readline(), 16)) != 0:
        body += file.read(size)
        times.append(time.monotonic())
        file.readline()
    file.readline()
    return status, body, times


def text_byte_by_byte(address: str) -> None:
    body = base64.b64encode(frame(JOE)[:4]) + base64.b64encode(frame(JOE)[4:])
    with connection(address) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"POST {HELLO} HTTP/1.1\r\nhost: edge\r\ncontent-type: {TEXT}\r\naccept: {TEXT}\r\ntransfer-encoding: chunked\r\n\r\n"
        sock.sendall(head.encode())
        for at in range(len(body)):
            sock.sendall(b"1\r\n" + body[at : at + 1] + b"\r\n")
            time.sleep(0.002)
        sock.sendall(b"0\r\n\r\n")
        status, answer, _ = read_answer(sock.makefile("rb"))
        equal((status, text_of(answer)), (200, frame(HELLO_JOE) + OK_FRAME))


def one_connection(address: str) -> None:
    """Several dialects one after another on one HTTP/1.1 connection, then two requests sent at once."""
    web = frame(JOE)
    requests = [
        (b"GET /v1/greeter/joe HTTP/1.1\r\nhost: edge\r\n\r\n", b'{"message":"Hello joe"}'),
        (
            f"POST {HELLO} HTTP/1.1\r\nhost: edge\r\ncontent-type: {WEB}\r\ncontent-length: {len(web)}\r\n\r\n".encode() + web,
            frame(HELLO_JOE) + OK_FRAME,
        ),
    ]
    with connection(address) as sock:
        file = sock.makefile("rb")
        for request, wanted in requests * 3:
            sock.sendall(request)
            status, body, _ = read_answer(file)
            equal((status, body), (200, wanted))
        sock.sendall(b"".join(request for request, _ in requests))
        for _, wanted in requests:
            equal(read_answer(file)[1], wanted, "requests sent at once")


def stream_flows(address: str) -> None:
    for accept in (JSON, "application/x-ndjson"):
        with connection(address) as sock:
            path = "/v1/shelves/1/books:watch?count=3"
            sock.sendall(f"GET {path} HTTP/1.1\r\nhost: edge\r\naccept: {accept}\r\n\r\n".encode())
            status, body, times = read_answer(sock.makefile("rb"))
            equal((status, body.count(b'"sequence"')), (200, 3))
            true(times[-1] - times[0] > 0.4, f"{accept}: all came within {times[-1] - times[0]:.3f} s")


def upstream_down(address: str) -> None:
    start = time.monotonic()
    suite = Suite(f"http://{address}", [])
    answer = suite.get("/v1/greeter/joe")
    equal((answer.status, answer.json()["code"]), (503, 14), "REST")
    equal(trailers_of(suite.post(HELLO, WEB, frame(JOE)))["grpc-status"], "14", "gRPC-Web")
    answer = suite.post(HELLO, JSON, {"name": "joe"})
    equal((answer.status, answer.json()["code"]), (503, "unavailable"), "Connect")
    true(time.monotonic() - start < 3, "it took too long")


def grpcurl(tool: str, address: str, flags: list, protos: str) -> None:
    def run(proto: str, data: str, method: str):
        command = [tool, *flags, "-import-path", protos, "-proto", proto, "-d", data, address, method]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    done = run("helloworld.proto", '{"name":"joe"}', "helloworld.Greeter/SayHello")
    equal((done.returncode, json.loads(done.stdout or "null")), (0, {"message": "Hello joe"}), done.stderr)
    done = run("bookstore.proto", '{"name":"shelves/1/books/404"}', "bookstore.v1.Bookstore/GetBook")
    true(done.returncode != 0 and "NotFound" in done.stderr, done.stderr)


parser = argparse.ArgumentParser()
for flag in ("--clear", "--tls", "--root", "--down", "--protos", "--grpcurl"):
    parser.add_argument(flag, required=flag == "--clear")
parser.add_argument("--only", default="")
args = parser.parse_args()

checks = Checks("web")
transports = [("HTTP/1.1", f"http://{args.clear}", ["--http1.1"]), ("h2c", f"http://{args.clear}", ["--http2-prior-knowledge"])]
if args.tls:
    trust = ["--cacert", args.root]
    transports.append(("HTTP/1.1 over TLS", f"https://{args.tls}", ["--http1.1", *trust]))
    transports.append(("h2 over TLS", f"https://{args.tls}", ["--http2", *trust]))
for transport, base, flags in transports:
    suite = Suite(base, flags)
    # catalogs/demo.yaml lets in Vite's origin; the TLS edge is started with the demo's page as its origin
    suite.origin = "http://127.0.0.1:5173" if base.startswith("http:") else f"http://{args.clear}"
    for name, check in Suite.CHECKS:
        if args.only in name:
            checks.run(f"{transport}: {name}", check, suite)
if not args.only:
    checks.run("gRPC-Web text, a byte a chunk", text_byte_by_byte, args.clear)
    checks.run("dialects on one connection", one_connection, args.clear)
    checks.run("a REST stream comes message by message", stream_flows, args.clear)
    if args.down:
        checks.run("upstream down", upstream_down, args.down)
    if args.grpcurl:
        checks.run("grpcurl", grpcurl, args.grpcurl, args.clear, ["-plaintext"], args.protos)
        if args.tls:
            checks.run("grpcurl over TLS", grpcurl, args.grpcurl, args.tls, ["-cacert", args.root], args.protos)
checks.close()
