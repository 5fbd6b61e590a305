// gRPC's published interop cases with @grpc/grpc-js as the client (grpc's doc/interop-test-descriptions.md).
//
//     node interop_grpc_js.mjs --protos DIR --root CERT.pem --left-out FILE SERVER=H2C_ADDR,TLS_ADDR ...
//
// DIR holds grpc/testing/test.proto and what it imports; SERVER is the name of what is behind the two edges. Lines
// `grpc-js SERVER CASE REASON` of FILE name the cases that are not run.
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Checks } from "./checks.mjs";

const INITIAL = "x-grpc-test-echo-initial";
const TRAILING = "x-grpc-test-echo-trailing-bin";
// what is asked for, and what is sent with it
const SIZES = [[31415, 27182], [9, 8], [2653, 1828], [58979, 45904]];
const GZIP = { "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip };

const text = { type: "string" };
const { values: args, positionals } = parseArgs({
  options: { protos: text, root: text, "left-out": text },
  allowPositionals: true,
});
const loader = { includeDirs: [args.protos], keepCase: true, defaults: true };
const types = grpc.loadPackageDefinition(loadSync("grpc/testing/test.proto", loader)).grpc.testing;

const within = (ms) => ({ deadline: Date.now() + ms });
const payload = (size) => ({ body: Buffer.alloc(size) });
const simple = (response_size, size, more) => ({ response_size, payload: payload(size), ...more });
const output = (sizes, size, more) => ({
  response_parameters: sizes.map((size) => ({ size })),
  payload: payload(size),
  ...more,
});

/** A unary call's end: `{ answer, error, initial, status }`; never rejects. */
function unary(stub, method, request, metadata = new grpc.Metadata(), options = within(20_000)) {
  return new Promise((resolve) => {
    const ended = {};
    const call = stub[method](request, metadata, options, (error, answer) => Object.assign(ended, { error, answer }));
    call.on("metadata", (initial) => (ended.initial = initial));
    // comes last
    call.on("status", (status) => setImmediate(() => resolve({ ...ended, status })));
  });
}

/** A stream's end: `{ messages, initial, status }`; never rejects. */
function drain(call) {
  const ended = { messages: [] };
  return new Promise((resolve) => {
    call.on("metadata", (initial) => (ended.initial = initial));
    call.on("data", (message) => ended.messages.push(message));
    call.on("error", () => {});
    call.on("status", (status) => setImmediate(() => resolve({ ...ended, status })));
  });
}

function code(ended, wanted) {
  assert.equal(grpc.status[ended.status.code], wanted, ended.status.details);
}

const sizes = (ended) => ended.messages.map((message) => message.payload.body.length);

class Suite {
  constructor(address, credentials) {
    // TLS has no server names for addresses
    const options = { "grpc.ssl_target_name_override": "localhost" };
    this.stubs = [];
    const stub = (Client, more) => {
      const made = new Client(address, credentials, { ...options, ...more });
      this.stubs.push(made);
      return made;
    };
    this.test = stub(types.TestService);
    this.compressing = stub(types.TestService, GZIP);
    this.unimplemented = stub(types.UnimplementedService);
  }

  close() {
    for (const stub of this.stubs) stub.close();
  }

  async empty_unary() {
    const ended = await unary(this.test, "EmptyCall", {});
    code(ended, "OK");
    assert.deepEqual(ended.answer, {});
  }

  async large_unary(stub = this.test) {
    const ended = await unary(stub, "UnaryCall", simple(314159, 271828));
    code(ended, "OK");
    assert.ok(ended.answer.payload.body.equals(Buffer.alloc(314159)), `${ended.answer.payload.body.length} bytes`);
  }

  async client_streaming(stub = this.test) {
    const ended = await new Promise((resolve) => {
      const call = stub.StreamingInputCall(within(10_000), (error, answer) => resolve({ error, answer }));
      for (const [, size] of SIZES) call.write({ payload: payload(size) });
      call.end();
    });
    assert.ifError(ended.error);
    assert.equal(ended.answer.aggregated_payload_size, 74922);
  }

  async server_streaming() {
    const asked = SIZES.map(([size]) => size);
    const ended = await drain(this.test.StreamingOutputCall(output(asked, 0), within(10_000)));
    code(ended, "OK");
    assert.deepEqual(sizes(ended), asked);
  }

  async ping_pong() {
    const call = this.test.FullDuplexCall(within(20_000));
    const ended = drain(call);
    for (const [asked, sent] of SIZES) {
      const answer = new Promise((resolve, reject) => {
        call.once("data", resolve);
        ended.then(() => reject(new Error("the call has ended")));
      });
      call.write(output([asked], sent));
      assert.equal((await answer).payload.body.length, asked);
    }
    call.end();
    code(await ended, "OK");
    assert.equal((await ended).messages.length, SIZES.length);
  }

  async empty_stream() {
    const call = this.test.FullDuplexCall(within(10_000));
    call.end();
    const ended = await drain(call);
    code(ended, "OK");
    assert.equal(ended.messages.length, 0);
  }

  async status_code_and_message() {
    await this.refusedWith("test status message");
  }

  async special_status_message() {
    await this.refusedWith("\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n");
  }

  async refusedWith(message) {
    const response_status = { code: grpc.status.UNKNOWN, message };
    const call = this.test.FullDuplexCall(within(10_000));
    const stream = drain(call);
    call.write(output([1], 1, { response_status }));
    call.end();
    for (const ended of [await unary(this.test, "UnaryCall", simple(0, 0, { response_status })), await stream]) {
      code(ended, "UNKNOWN");
      assert.equal(ended.status.details, message);
    }
  }

  async custom_metadata() {
    const bytes = Buffer.from([0xab, 0xab, 0xab]);
    const metadata = new grpc.Metadata();
    metadata.add(INITIAL, "test_initial_metadata_value");
    metadata.add(TRAILING, bytes);
    const call = this.test.FullDuplexCall(metadata, within(10_000));
    const stream = drain(call);
    call.write(output([314159], 271828));
    call.end();
    for (const ended of [await unary(this.test, "UnaryCall", simple(314159, 271828), metadata), await stream]) {
      code(ended, "OK");
      assert.deepEqual(ended.initial.get(INITIAL), ["test_initial_metadata_value"]);
      assert.deepEqual(ended.status.metadata.get(TRAILING), [bytes]);
    }
  }

  async unimplemented_method() {
    code(await unary(this.test, "UnimplementedCall", {}), "UNIMPLEMENTED");
  }

  async unimplemented_service() {
    code(await unary(this.unimplemented, "UnimplementedCall", {}), "UNIMPLEMENTED");
  }

  async cancel_after_begin() {
    const ended = await new Promise((resolve) => {
      const call = this.test.StreamingInputCall((error) => resolve({ status: error ?? { code: grpc.status.OK } }));
      call.cancel();
    });
    code(ended, "CANCELLED");
  }

  async cancel_after_first_response() {
    const call = this.test.FullDuplexCall(within(20_000));
    const ended = drain(call);
    call.once("data", () => call.cancel());
    call.write(output([SIZES[0][0]], SIZES[0][1]));
    code(await ended, "CANCELLED");
    assert.deepEqual(sizes(await ended), [SIZES[0][0]]);
  }

  async timeout_on_sleeping_server() {
    const call = this.test.FullDuplexCall(within(1));
    call.write({ response_parameters: [{ size: 31415, interval_us: 500_000 }], payload: payload(27182) });
    code(await drain(call), "DEADLINE_EXCEEDED");
  }

  // of the compression cases, what a library that hides the frames' flags can tell
  async client_compressed_unary() {
    await this.large_unary(this.compressing);
  }

  async client_compressed_streaming() {
    await this.client_streaming(this.compressing);
  }
}

const leftOut = new Set();
for (const line of readFileSync(args["left-out"], "utf8").split("\n")) {
  const [client, server, name] = line.split(/ +/);
  if (client === "grpc-js") leftOut.add(`${server} ${name}`);
}
const CASES = Object.getOwnPropertyNames(Suite.prototype).filter((name) => name.includes("_"));

const checks = new Checks("interop-grpc-js");
for (const positional of positionals) {
  const [server, addresses] = positional.split("=");
  const [h2c, tls] = addresses.split(",");
  const edges = {
    h2c: [h2c, grpc.credentials.createInsecure()],
    TLS: [tls, grpc.credentials.createSsl(readFileSync(args.root))],
  };
  for (const [transport, [address, credentials]] of Object.entries(edges)) {
    const suite = new Suite(address, credentials);
    for (const name of CASES) {
      if (leftOut.has(`${server} ${name}`)) continue;
      await checks.run(`${server} server, ${transport}: ${name}`, () => suite[name]());
    }
    suite.close();
  }
}
checks.close();
