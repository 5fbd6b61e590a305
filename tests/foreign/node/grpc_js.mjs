// @grpc/grpc-js as the caller of the edge.
//
//     node grpc_js.mjs --h2c ADDR --tls ADDR --root CERT.pem --down ADDR --protos DIR
//
// The demo's upstream is behind the edges; src/demo/upstream/mod.rs says what its x-demo-* and x-echo-* metadata do.
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Checks } from "./checks.mjs";

const MIB = 1 << 20;
const text = { type: "string" };
const { values: args } = parseArgs({ options: { h2c: text, tls: text, root: text, down: text, protos: text } });

const loader = { includeDirs: [args.protos], longs: String, defaults: true };
const files = ["helloworld.proto", "echo.proto", "route_guide.proto", "bookstore.proto"];
const definitions = loadSync(files, loader);
const details = loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto"], loader);
const types = grpc.loadPackageDefinition(definitions);

function metadata(entries) {
  const made = new grpc.Metadata();
  for (const [key, value] of entries) made.add(key, value);
  return made;
}

/** A unary call's answer; rejects with the call's error, and `call` tells of its metadata. */
function unary(stub, method, request, entries = [], options = {}) {
  const seen = {};
  const done = new Promise((resolve, reject) => {
    const deadline = Date.now() + 10_000;
    const call = stub[method](request, metadata(entries), { deadline, ...options }, (error, answer) =>
      error ? reject(error) : resolve(answer),
    );
    call.on("metadata", (initial) => (seen.initial = initial));
    call.on("status", (status) => (seen.status = status));
    seen.call = call;
  });
  // the status comes after the answer
  return Object.assign(done, { seen, ended: () => done.then(() => until("status", () => seen.status)) });
}

/** Reads a stream to its end: `{ messages, code, error, metadata }`; never rejects. */
function drain(call) {
  const messages = [];
  return new Promise((resolve) => {
    call.on("data", (message) => messages.push(message));
    call.on("error", () => {});
    call.on("status", (status) => resolve({ messages, ...status }));
  });
}

async function until(what, condition, ms = 10_000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < end, `not within ${ms} ms: ${what}`);
    await sleep(20);
  }
}

async function refusedWith(code, call) {
  const error = await call.then(
    () => assert.fail("the call succeeded"),
    (error) => error,
  );
  assert.equal(grpc.status[error.code], code, error.message);
  return error;
}

function detailsOf(error) {
  const [packed] = error.metadata.get("grpc-status-details-bin");
  assert.ok(packed, "no grpc-status-details-bin");
  const status = details["google.rpc.Status"];
  const found = new Map();
  for (const detail of status.deserialize(packed).details) {
    const name = detail.type_url.split("/").at(-1);
    found.set(name, details[name].deserialize(detail.value));
  }
  return found;
}

class Suite {
  constructor(address, credentials) {
    const options = {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      // TLS has no server names for addresses
      "grpc.ssl_target_name_override": "localhost",
    };
    const stub = (Client) => new Client(address, credentials, options);
    this.greeter = stub(types.helloworld.Greeter);
    this.echo = stub(types.grpc.examples.echo.Echo);
    this.guide = stub(types.routeguide.RouteGuide);
    this.books = stub(types.bookstore.v1.Bookstore);
  }

  close() {
    for (const stub of [this.greeter, this.echo, this.guide, this.books]) stub.close();
  }

  async tell() {
    const call = unary(this.echo, "UnaryEcho", {}, [["x-demo-tell", "1"]]);
    await call.ended();
    return (name) => call.seen.status.metadata.get(name)[0]?.toString();
  }

  async unary() {
    assert.equal((await unary(this.greeter, "SayHello", { name: "joe" })).message, "Hello joe");
  }

  async serverStream() {
    const asked = metadata([["x-demo-interval-ms", "0"], ["x-demo-stream-count", "100"]]);
    const ended = await drain(this.echo.ServerStreamingEcho({ message: "hi" }, asked));
    assert.equal(ended.code, grpc.status.OK);
    assert.deepEqual(ended.messages.map((answer) => answer.message), Array(100).fill("hi"));
  }

  async clientStream() {
    const answer = await new Promise((resolve, reject) => {
      const call = this.echo.ClientStreamingEcho((error, answer) => (error ? reject(error) : resolve(answer)));
      for (const message of ["a", "b", "c"]) call.write({ message });
      call.end();
    });
    assert.equal(answer.message, "a, b, c");
  }

  async routeChat() {
    const call = this.guide.RouteChat({ deadline: Date.now() + 20_000 });
    const came = [];
    let wake = () => {};
    call.on("data", (note) => { came.push(note); wake(); });
    const ended = new Promise((resolve) => call.on("status", resolve));
    call.on("error", () => {});
    for (let n = 0; n < 10; n++) {
      const answer = new Promise((resolve) => (wake = resolve));
      const note = { location: { latitude: n, longitude: n - 100 }, message: `note ${n}` };
      call.write(note);
      await answer;
      assert.deepEqual(came.at(-1), note, "an answer before the next note is sent");
    }
    call.end();
    assert.equal((await ended).code, grpc.status.OK);
    assert.equal(came.length, 10);
  }

  async metadata() {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
    const call = unary(this.echo, "UnaryEcho", { message: "hi" }, [
      ["x-echo-a", "one"], ["x-echo-a-bin", bytes], ["x-echo-trailer-a", "last"], ["x-echo-trailer-a-bin", bytes],
    ]);
    await call.ended();
    const { initial, status } = call.seen;
    assert.deepEqual(initial.get("x-echo-a"), ["one"]);
    assert.deepEqual(initial.get("x-echo-a-bin"), [bytes]);
    assert.deepEqual(status.metadata.get("x-echo-trailer-a"), ["last"]);
    assert.deepEqual(status.metadata.get("x-echo-trailer-a-bin"), [bytes]);
  }

  async errorDetails() {
    const name = "shelves/1/books/404";
    const error = await refusedWith("NOT_FOUND", unary(this.books, "GetBook", { name }));
    const found = detailsOf(error);
    assert.equal(found.get("google.rpc.ErrorInfo").reason, "BOOK_NOT_FOUND");
    assert.equal(found.get("google.rpc.ResourceInfo").resourceName, name);
  }

  async everyCode() {
    for (const [name, code] of Object.entries(grpc.status)) {
      if (typeof code !== "number" || code === grpc.status.OK) continue;
      const asked = [["x-demo-status", String(code)], ["x-demo-status-message", "50%25%20%C3%BCber"]];
      const error = await refusedWith(name, unary(this.echo, "UnaryEcho", {}, asked));
      assert.equal(error.details, "50% über");
    }
  }

  async errorAfterMessages() {
    const asked = [["x-demo-interval-ms", "0"], ["x-demo-stream-count", "3"], ["x-demo-status", "15"]];
    const ended = await drain(this.echo.ServerStreamingEcho({ message: "hi" }, metadata(asked)));
    assert.deepEqual([ended.messages.length, ended.code], [3, grpc.status.DATA_LOSS]);
  }

  async brokenOff() {
    for (const cut of ["2 reset", "2 end", "2 close"]) {
      const asked = [["x-demo-interval-ms", "20"], ["x-demo-cut", cut]];
      const ended = await drain(this.echo.ServerStreamingEcho({ message: "hi" }, metadata(asked)));
      assert.notEqual(ended.code, grpc.status.OK, `cut ${cut} looks whole`);
    }
    await this.unary();
  }

  async deadline() {
    const start = Date.now();
    const call = unary(this.echo, "UnaryEcho", {}, [["x-demo-delay-ms", "20000"]], { deadline: start + 300 });
    await refusedWith("DEADLINE_EXCEEDED", call);
    assert.ok(Date.now() - start < 3000, "it took too long");
    await until("the upstream's call is gone", async () => (await this.tell())("x-demo-active") === "1");
  }

  async cancel() {
    const before = Number((await this.tell())("x-demo-cancelled"));
    const asked = metadata([["x-demo-interval-ms", "20"], ["x-demo-stream-count", "1000000"]]);
    const stream = this.echo.ServerStreamingEcho({ message: "hi" }, asked);
    const ended = drain(stream);
    await new Promise((resolve) => stream.once("data", resolve));
    stream.cancel();
    assert.equal((await ended).code, grpc.status.CANCELLED);
    await until("the upstream sees it go", async () => Number((await this.tell())("x-demo-cancelled")) === before + 1);
  }

  async sizes() {
    const message = "x".repeat(MIB - 16);
    assert.equal((await unary(this.echo, "UnaryEcho", { message })).message, message);
    await refusedWith("RESOURCE_EXHAUSTED", unary(this.echo, "UnaryEcho", { message: "x".repeat(4 * MIB) }));
    const large = [["x-demo-message-size", String(4 * MIB)]];
    await refusedWith("RESOURCE_EXHAUSTED", unary(this.echo, "UnaryEcho", {}, large));
  }

  async unknownMethod() {
    const unknown = new Promise((resolve, reject) => {
      const answer = (error, value) => (error ? reject(error) : resolve(value));
      this.greeter.makeUnaryRequest("/helloworld.Greeter/Nope", (b) => b, (b) => b, Buffer.alloc(0), answer);
    });
    await refusedWith("UNIMPLEMENTED", unknown);
  }

  async manyAtOnce() {
    const names = Array.from({ length: 300 }, (_, n) => `caller ${n}`);
    const answers = await Promise.all(names.map((name) => unary(this.greeter, "SayHello", { name })));
    assert.deepEqual(answers.map((answer) => answer.message), names.map((name) => `Hello ${name}`));
  }
}

const CHECKS = {
  unary: "unary",
  serverStream: "server stream",
  clientStream: "client stream",
  routeChat: "RouteChat: each answer before the next note",
  metadata: "metadata, also binary, both ways",
  errorDetails: "errors with details",
  everyCode: "every status code, with a message",
  errorAfterMessages: "an error after messages",
  brokenOff: "streams that break off",
  deadline: "deadline exceeded",
  cancel: "cancel reaches the upstream",
  sizes: "messages of 1 MiB, and over the limit",
  unknownMethod: "unknown method",
  manyAtOnce: "many calls at once",
};

const checks = new Checks("grpc-js");
const edges = { h2c: [args.h2c, grpc.credentials.createInsecure()] };
if (args.tls) edges.TLS = [args.tls, grpc.credentials.createSsl(readFileSync(args.root))];
for (const [transport, [address, credentials]] of Object.entries(edges)) {
  const suite = new Suite(address, credentials);
  for (const [check, name] of Object.entries(CHECKS)) await checks.run(`${transport}: ${name}`, () => suite[check]());
  suite.close();
}
if (args.down) {
  await checks.run("upstream down", async () => {
    const start = Date.now();
    const greeter = new types.helloworld.Greeter(args.down, grpc.credentials.createInsecure());
    await refusedWith("UNAVAILABLE", unary(greeter, "SayHello", { name: "joe" }));
    assert.ok(Date.now() - start < 2000, "it took too long");
    greeter.close();
  });
}
checks.close();
