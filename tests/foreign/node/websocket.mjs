// Clients of WebSockets as the callers of the edge: improbable-eng/grpc-web and nice-grpc-web by `grpc-websockets`, and
// the library `ws` by JSON, bare and in envelopes.
//
//     node websocket.mjs --h2c ADDR --tls ADDR --root CERT.pem --protos DIR
//
// The demo's upstream is behind the edges; src/demo/upstream/mod.rs says what its x-demo-* and x-echo-* metadata do.
import improbable from "@improbable-eng/grpc-web";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createChannel, createClientFactory, Metadata, WebsocketTransport } from "nice-grpc-web";
import protobuf from "protobufjs";
import WebSocket from "ws";
import { Checks } from "./checks.mjs";

const text = { type: "string" };
const { values: args } = parseArgs({ options: { h2c: text, tls: text, root: text, protos: text } });
const checks = new Checks("websocket");
const ca = readFileSync(args.root);
const FAST = { "x-demo-interval-ms": "0" };
const ECHO = "/grpc.examples.echo.Echo/";

// what browsers have
globalThis.WebSocket = WebSocket;

const source = readFileSync(join(args.protos, "echo.proto"), "utf8");
const { root } = protobuf.parse(source);
const Request = root.lookupType("grpc.examples.echo.EchoRequest");
const Response = root.lookupType("grpc.examples.echo.EchoResponse");
const encode = (type) => (value) => type.encode(type.create(value)).finish();
const decode = (type) => (bytes) => type.decode(bytes);

// === nice-grpc-web

function nice(base) {
  const method = (name, requestStream, responseStream) => ({
    path: ECHO + name,
    requestStream,
    responseStream,
    requestSerialize: encode(Request),
    requestDeserialize: decode(Request),
    responseSerialize: encode(Response),
    responseDeserialize: decode(Response),
    options: {},
  });
  const definition = {
    unary: method("UnaryEcho", false, false),
    server: method("ServerStreamingEcho", false, true),
    client: method("ClientStreamingEcho", true, false),
    bidi: method("BidirectionalStreamingEcho", true, true),
    missing: method("NoSuchEcho", false, false),
  };
  return createClientFactory().create(definition, createChannel(base, WebsocketTransport()));
}

async function* requests(...texts) {
  for (const message of texts) yield { message };
}

async function all(answers) {
  const texts = [];
  for await (const { message } of answers) texts.push(message);
  return texts;
}

/** What a call ends with that must fail. */
async function failure(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error("it ended well");
}

const client = nice(`http://${args.h2c}`);

await checks.run("nice-grpc-web: one message, with metadata both ways", async () => {
  let header, trailer;
  const bytes = [new Uint8Array([0, 1, 2]), new Uint8Array([3])];
  const metadata = Metadata({ "x-echo-a": "one", "x-echo-b-bin": bytes, "x-echo-trailer-a": "two" });
  const answer = await client.unary({ message: "hi" }, {
    metadata,
    onHeader: (fields) => (header = fields),
    onTrailer: (fields) => (trailer = fields),
  });
  assert.equal(answer.message, "hi");
  assert.equal(header.get("x-echo-a"), "one");
  assert.deepEqual(header.getAll("x-echo-b-bin"), bytes);
  assert.equal(trailer.get("x-echo-trailer-a"), "two");
});

await checks.run("nice-grpc-web: streams", async () => {
  assert.deepEqual(await all(client.server({ message: "hi" }, { metadata: Metadata(FAST) })), Array(5).fill("hi"));
  assert.equal((await client.client(requests("a", "b"))).message, "a, b");
  let answered;
  const first = new Promise((resolve) => (answered = resolve));
  async function* conversation() {
    yield { message: "one" };
    await first;
    yield { message: "two" };
  }
  const heard = [];
  for await (const { message } of client.bidi(conversation())) {
    heard.push(message);
    answered();
  }
  assert.deepEqual(heard, ["one", "two"]);
});

await checks.run("nice-grpc-web: errors, before messages and behind them", async () => {
  const status = { "x-demo-status": "9", "x-demo-status-message": "caf%C3%A9", "x-demo-status-details": "1" };
  const error = await failure(() => client.unary({ message: "hi" }, { metadata: Metadata(status) }));
  assert.deepEqual([error.code, error.details], [9, "caf\u00e9"]);
  const heard = [];
  const metadata = Metadata({ ...status, ...FAST, "x-demo-stream-count": "2" });
  const late = await failure(async () => {
    for await (const { message } of client.server({ message: "hi" }, { metadata })) heard.push(message);
  });
  assert.deepEqual([late.code, heard], [9, ["hi", "hi"]]);
  assert.equal((await failure(() => client.missing({ message: "hi" }))).code, 12);
  const long = await failure(() => client.unary({ message: "x".repeat(5 << 20) }));
  assert.equal(long.code, 8);
});

await checks.run("nice-grpc-web: a call that is aborted", async () => {
  const abort = new AbortController();
  const metadata = Metadata({ "x-demo-stream-count": "1000", "x-demo-interval-ms": "10" });
  let heard = 0;
  const error = await failure(async () => {
    for await (const _ of client.server({ message: "hi" }, { signal: abort.signal, metadata })) {
      if (++heard === 3) abort.abort();
    }
  });
  assert.equal(error.name, "AbortError");
});

// === improbable-eng/grpc-web

const { grpc } = improbable;

class Echo {
  constructor(value) {
    this.value = value;
  }
  serializeBinary() {
    return encode(Request)(this.value);
  }
  toObject() {
    return this.value;
  }
  static deserializeBinary(bytes) {
    return new Echo(Response.decode(bytes));
  }
}

/** One call to its end. */
function improbableCall(methodName, [requestStream, responseStream], texts, metadata) {
  const service = { serviceName: "grpc.examples.echo.Echo" };
  const method = { methodName, service, requestStream, responseStream, requestType: Echo, responseType: Echo };
  return new Promise((resolve) => {
    const heard = { messages: [] };
    const call = grpc.client(method, { host: `http://${args.h2c}`, transport: grpc.WebsocketTransport() });
    call.onHeaders((headers) => (heard.headers = headers));
    call.onMessage((message) => heard.messages.push(message.value.message));
    call.onEnd((code, message, trailers) => resolve({ ...heard, code, message, trailers }));
    call.start(new grpc.Metadata(metadata));
    for (const message of texts) call.send(new Echo({ message }));
    call.finishSend();
  });
}

for (const [name, streams, said, answer] of [
  ["UnaryEcho", [false, false], ["hi"], ["hi"]],
  ["ServerStreamingEcho", [false, true], ["hi"], Array(5).fill("hi")],
  ["ClientStreamingEcho", [true, false], ["a", "b"], ["a, b"]],
  ["BidirectionalStreamingEcho", [true, true], ["a", "b"], ["a", "b"]],
]) {
  await checks.run(`improbable-eng/grpc-web: ${name}`, async () => {
    const metadata = { ...FAST, "x-echo-a": "one", "x-echo-trailer-b": "two" };
    const heard = await improbableCall(name, streams, said, metadata);
    assert.deepEqual([heard.messages, heard.code], [answer, 0]);
    assert.deepEqual([heard.headers.get("x-echo-a"), heard.trailers.get("x-echo-trailer-b")], [["one"], ["two"]]);
    const status = { "x-demo-status": "9", "x-demo-status-message": "no%20luck" };
    const failed = await improbableCall(name, streams, said, { ...FAST, ...status });
    assert.deepEqual([failed.code, failed.message], [9, "no luck"]);
  });
}

await checks.run("improbable-eng/grpc-web: a method that there is not", async () => {
  assert.equal((await improbableCall("NoSuchEcho", [false, false], ["hi"], {})).code, 12);
});

// === JSON

/** Says these frames, and hears the socket to its end. */
function json(address, protocol, frames, options = {}) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(address, protocol ? [protocol] : [], options);
    const heard = [];
    socket.on("open", () => frames.forEach((frame) => socket.send(frame)));
    socket.on("message", (data, isBinary) => {
      assert.equal(isBinary, false);
      heard.push(JSON.parse(data.toString()));
    });
    socket.on("error", reject);
    socket.on("close", (code, reason) => resolve({ heard, code, reason: reason.toString(), socket }));
  });
}

for (const [name, base, options] of [
  ["in clear text", `ws://${args.h2c}`, {}],
  ["over TLS", `wss://${args.tls}`, { ca, servername: "localhost" }],
]) {
  await checks.run(`JSON ${name}`, async () => {
    const { heard, code, socket } = await json(
      `${base}${ECHO}BidirectionalStreamingEcho`, null, ['{"message":"a"}', '{"message":"b"}', ""], options,
    );
    assert.deepEqual([heard, code], [[{ message: "a" }, { message: "b" }], 1000]);
    // `ws` offers to compress; nobody takes it up
    assert.equal(socket.extensions, "");
  });

  await checks.run(`JSON in envelopes ${name}`, async () => {
    const metadata = { "x-echo-a": "one", "x-demo-status": "5", "x-demo-status-message": "gone" };
    const frames = [JSON.stringify({ headers: metadata }), '{"message":{"message":"a"}}'];
    const { heard, code, reason } = await json(`${base}${ECHO}UnaryEcho`, "transom.json.v1", frames, options);
    assert.deepEqual([code, reason], [4005, "gone"]);
    assert.deepEqual(Object.keys(heard[0]), ["headers"]);
    assert.deepEqual(heard.at(-1).status, { code: 5, message: "gone", details: [] });
  });
}

await checks.run("JSON at a template, without a message", async () => {
  const { heard, code } = await json(`ws://${args.h2c}/v1/echo:stream?message=hi`, null, []);
  assert.deepEqual([heard, code], [Array(5).fill({ message: "hi" }), 1000]);
});

await checks.run("a page of another origin is refused", async () => {
  const refused = await failure(() => json(`ws://${args.h2c}${ECHO}UnaryEcho`, null, [], { origin: "https://evil.example" }));
  assert.match(refused.message, /403/);
});

checks.close();
