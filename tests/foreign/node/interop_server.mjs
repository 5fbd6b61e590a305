// A server for the interop cases that ask what servers by gRPC libraries cannot tell: whether a message came compressed
// (`expect_compressed`), and whether equal requests get equal answers (cacheable_unary). It speaks gRPC by hand.
//
//     node interop_server.mjs --protos DIR                 prints `listening on ADDR`
//
// DIR holds grpc/testing/test.proto and what it imports.
import { loadSync } from "@grpc/proto-loader";
import http2 from "node:http2";
import { parseArgs } from "node:util";
import { gunzipSync, gzipSync } from "node:zlib";

const LIMIT = 16 << 20;
const INVALID_ARGUMENT = 3;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;

const { values: args } = parseArgs({ options: { protos: { type: "string" } } });
const loader = { includeDirs: [args.protos], keepCase: true, defaults: false };
const methods = new Map();
for (const method of Object.values(loadSync("grpc/testing/test.proto", loader)["grpc.testing.TestService"])) {
  methods.set(method.path, method);
}

class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Takes a request's bytes as they come, and gives its messages: `{ compressed, bytes }`. */
class Frames {
  constructor(encoding) {
    this.encoding = encoding;
    this.chunks = [];
    this.length = 0;
    this.needed = 5;
  }

  *feed(chunk) {
    this.chunks.push(chunk);
    this.length += chunk.length;
    while (this.length >= this.needed) {
      const all = Buffer.concat(this.chunks);
      this.chunks = [all];
      this.needed = 5 + all.readUInt32BE(1);
      if (this.needed > LIMIT) throw new Refused(RESOURCE_EXHAUSTED, `${this.needed} bytes`);
      if (all.length < this.needed) return;
      this.chunks = [all.subarray(this.needed)];
      this.length -= this.needed;
      yield this.message(all[0] === 1, all.subarray(5, this.needed));
      this.needed = 5;
    }
  }

  message(compressed, bytes) {
    if (!compressed) return { compressed, bytes };
    if (this.encoding !== "gzip") throw new Refused(UNIMPLEMENTED, `grpc-encoding: ${this.encoding}`);
    return { compressed, bytes: gunzipSync(bytes, { maxOutputLength: LIMIT }) };
  }
}

function frame(bytes, compressed) {
  const payload = compressed ? gzipSync(bytes) : bytes;
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0, 0);
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

const zeros = (size) => ({ payload: { body: Buffer.alloc(size) } });

/** By method: the answers to all requests, each with whether it is to be compressed. */
const ANSWERS = {
  EmptyCall: () => [[{}]],
  UnaryCall: ([request]) => [[zeros(request.response_size ?? 0), request.response_compressed?.value]],
  CacheableUnaryCall: ([request]) => [[{ payload: request.payload }]],
  StreamingInputCall: (requests) => {
    const sizes = requests.map((request) => request.payload?.body?.length ?? 0);
    return [[{ aggregated_payload_size: sizes.reduce((sum, size) => sum + size, 0) }]];
  },
  StreamingOutputCall: ([request]) =>
    (request.response_parameters ?? []).map((asked) => [zeros(asked.size ?? 0), asked.compressed?.value]),
};

function handlerOf(method) {
  const handler = ANSWERS[method?.originalName?.replace(/^./, (first) => first.toUpperCase())];
  if (!handler) throw new Refused(UNIMPLEMENTED, "no such method");
  return handler;
}

/** One message of a request; refused at once when it did not come as it says. */
function read(method, { compressed, bytes }) {
  const request = method.requestDeserialize(bytes);
  const expected = request.expect_compressed;
  if (expected && Boolean(expected.value) !== compressed) {
    throw new Refused(INVALID_ARGUMENT, `the message came ${compressed ? "" : "un"}compressed`);
  }
  return request;
}

function answer(stream, method, requests) {
  const answers = handlerOf(method)(requests);
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", "grpc-encoding": "gzip", "grpc-accept-encoding": "gzip" },
    { waitForTrailers: true },
  );
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  for (const [message, compressed] of answers) {
    stream.write(frame(method.responseSerialize(message), Boolean(compressed)));
  }
  stream.end();
}

function refuse(stream, error) {
  const head = { ":status": 200, "content-type": "application/grpc", "grpc-accept-encoding": "gzip" };
  const status = { "grpc-status": String(error.code ?? INTERNAL), "grpc-message": encodeURIComponent(error.message) };
  stream.respond({ ...head, ...status }, { endStream: true });
  // what is still to come of the request is not wanted
  stream.close(http2.constants.NGHTTP2_NO_ERROR);
}

const server = http2.createServer();
server.on("stream", (stream, headers) => {
  const method = methods.get(headers[":path"]);
  const frames = new Frames(headers["grpc-encoding"]);
  const requests = [];
  // nothing that fails is more than an answer to this call
  const guarded = (step) => {
    if (stream.destroyed || stream.headersSent) return;
    try {
      step();
    } catch (error) {
      refuse(stream, error);
    }
  };
  stream.on("error", () => {});
  guarded(() => handlerOf(method));
  stream.on("data", (chunk) =>
    guarded(() => {
      for (const message of frames.feed(chunk)) requests.push(read(method, message));
    }),
  );
  stream.on("end", () => guarded(() => answer(stream, method, requests)));
});
server.listen(0, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
