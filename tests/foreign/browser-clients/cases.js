// What every library has to get through the edge. PUBLISHED is the list of gRPC-Web's interop test descriptions, as far
// as it applies (compression is not these libraries' to ask for), with a few cases on top; EDGE is what this edge
// promises to browsers; DENIED runs in a page whose origin the edge does not allow.
//
// A case is a function of a client (clients.js) and its traits; `when` says which clients it is for. A case that is
// `alone` (or is so for a client) runs while nothing else does.
import { Bookstore, Echo, Greeter, RouteGuide, Test, Unimplemented } from "./schema.js";

const INITIAL = "x-grpc-test-echo-initial";
const TRAILING = "x-grpc-test-echo-trailing-bin";
const SIZES = [31415, 9, 2653, 58979];
const SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1F608}\t\n";

// === checks

export function assert(right, why) {
  if (!right) throw new Error(why);
}

export function assertEqual(is, wanted, what) {
  const [left, right] = [JSON.stringify(is), JSON.stringify(wanted)];
  assert(left === right, `${what}: ${left}, wanted ${right}`);
}

/** The error of a call that has to fail, with this code and, if given, this message. */
export async function failure(call, code, text) {
  const error = await call.then(() => undefined, (error) => error);
  assert(error, `no error, wanted code ${code}`);
  assert(error.code === code, `code ${error.code} (${error.message}), wanted ${code}`);
  if (text !== undefined) assertEqual(error.text, text, "message");
  return error;
}

/** The page is told in words what is wrong, and not by an HTTP code alone. */
function assertSays(error, part) {
  assert(error.text?.includes(part), `message ${JSON.stringify(error.text)}, wanted ${JSON.stringify(part)} in it`);
}

export const sizes = (messages) => messages.map((message) => message.payload?.body.length ?? 0);
export const bytes = (length) => new Uint8Array(length);
export const output = (parameters, more = {}) => ({
  responseParameters: parameters.map(([size, intervalUs = 0]) => ({ size, intervalUs })),
  ...more,
});
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const streams = (traits) => traits.streams;

// === PUBLISHED

export const PUBLISHED = {
  empty_unary: async (c) => {
    await c.unary(Test.emptyCall, {});
  },
  empty_unary_with_deadline: async (c) => {
    await c.unary(Test.emptyCall, {}, { deadlineMs: 5000 });
  },
  large_unary: {
    // a URL of 362 kB is a head that the edge does not read: over HTTP/2 it costs the connection, and so other calls
    alone: (traits) => traits.get,
    run: async (c) => {
      const { message } = await c.unary(Test.unaryCall, { responseSize: 314159, payload: { body: bytes(271828) } });
      assertEqual(message.payload.body.length, 314159, "length");
    },
  },
  server_streaming: {
    when: streams,
    run: async (c) => {
      const { messages } = await c.stream(Test.streamingOutputCall, output(SIZES.map((size) => [size])));
      assertEqual(sizes(messages), SIZES, "lengths");
    },
  },
  streaming_is_incremental: {
    when: streams,
    // all clients share the page's thread, and some hold it for a second (base64 of 5 MiB)
    alone: true,
    run: async (c) => {
      const times = [];
      const onMessage = () => { times.push(performance.now()); };
      await c.stream(Test.streamingOutputCall, output([[10], [10, 800_000]]), { onMessage });
      assert(times[1] - times[0] > 400, `messages sent 800 ms apart came ${Math.round(times[1] - times[0])} ms apart`);
    },
  },
  server_streaming_error_after_messages: {
    when: streams,
    run: async (c) => {
      await failure(c.stream(Test.streamingOutputCall, output([[10]], { responseStatus: { code: 9, message: "late" } })), 9, "late");
    },
  },
  custom_metadata: async (c) => {
    const headers = { [INITIAL]: "test_initial_metadata_value", [TRAILING]: "q6ur" };
    const out = await c.unary(Test.unaryCall, { responseSize: 10 }, { headers });
    assertEqual(out.headers[INITIAL], "test_initial_metadata_value", "initial metadata");
    assertEqual(out.trailers[TRAILING], "q6ur", "trailing metadata");
  },
  status_code_and_message: async (c) => {
    const responseStatus = { code: 2, message: "test status message" };
    await failure(c.unary(Test.unaryCall, { responseStatus }), 2, responseStatus.message);
  },
  special_status_message: async (c) => {
    await failure(c.unary(Test.unaryCall, { responseStatus: { code: 2, message: SPECIAL } }), 2, SPECIAL);
  },
  every_status_code: async (c) => {
    for (let code = 1; code <= 16; code++) {
      await failure(c.unary(Test.unaryCall, { responseStatus: { code, message: `m${code}` } }), code, `m${code}`);
    }
  },
  unimplemented_method: async (c) => {
    await failure(c.unary(Test.unimplementedCall, {}), 12);
  },
  unimplemented_service: async (c) => {
    await failure(c.unary(Unimplemented.unimplementedCall, {}), 12);
  },
  timeout_on_sleeping_server: {
    when: streams,
    run: async (c) => {
      await failure(c.stream(Test.streamingOutputCall, output([[10, 3_000_000]]), { deadlineMs: 300 }), 4);
    },
  },
  cancel_after_first_response: {
    when: streams,
    run: async (c) => {
      const { messages } = await c.stream(Test.streamingOutputCall, output([[10], [10, 2_000_000]]), { onMessage: () => true });
      assertEqual(messages.length, 1, "messages");
    },
  },
};

// === EDGE

/** A binary detail has what JSON has, and `debug` shows it (Connect). */
function assertDebug(error, name, field, value) {
  const debug = error.details[`${name}.debug`];
  assert(debug, `no debug for ${name}`);
  assertEqual(debug[field], value, `${name}.debug.${field}`);
}

const missingBook = { name: "shelves/1/books/404404" };

async function detailsOfUnary(c, traits) {
  const error = await failure(c.unary(Bookstore.getBook, missingBook), 5);
  assert(error.details.ErrorInfo?.reason, `no ErrorInfo among ${Object.keys(error.details)}`);
  assertEqual(error.details.ResourceInfo?.resourceName, missingBook.name, "ResourceInfo");
  if (traits.dialect === "connect") assertDebug(error, "ResourceInfo", "resourceName", missingBook.name);
}

async function detailsOfStream(c, traits) {
  const headers = { "x-demo-interval-ms": "0", "x-demo-stream-count": "2", "x-demo-status": "FAILED_PRECONDITION",
    "x-demo-status-message": "not%20yet", "x-demo-status-details": "1" };
  let count = 0;
  const onMessage = () => { count += 1; };
  const error = await failure(c.stream(Echo.serverStreamingEcho, { message: "hi" }, { headers, onMessage }), 9, "not yet");
  assertEqual(count, 2, "messages before the error");
  assert(error.details.ErrorInfo && error.details.BadRequest?.fieldViolations.length, `details: ${Object.keys(error.details)}`);
  if (traits.dialect === "connect") assert(error.details["BadRequest.debug"]?.fieldViolations?.length, "no debug for BadRequest");
}

/** Metadata of every sort comes and goes; what the answer carries is exposed to the page. */
async function metadataBothWays(c) {
  const headers = { "x-echo-a": "one, two", "x-echo-b-bin": "AAEC/w", "x-echo-trailer-a": "~ !", "x-echo-trailer-b-bin": "/wE" };
  const out = await c.unary(Echo.unaryEcho, { message: "hi" }, { headers });
  const unpadded = (value) => String(value).replace(/=+$/, "");
  assertEqual(out.headers["x-echo-a"], "one, two", "x-echo-a");
  assertEqual(unpadded(out.headers["x-echo-b-bin"]), "AAEC/w", "x-echo-b-bin");
  assertEqual(out.trailers["x-echo-trailer-a"], "~ !", "x-echo-trailer-a");
  assertEqual(unpadded(out.trailers["x-echo-trailer-b-bin"]), "/wE", "x-echo-trailer-b-bin");
}

/** A field of its own, since a library's own deadline would be first. The upstream, which is told, may say it too. */
const edgeDeadline = (traits) => ({ [traits.dialect === "connect" ? "connect-timeout-ms" : "grpc-timeout"]: traits.dialect === "connect" ? "600" : "600m" });

/** How many streams the demo's upstream has seen cancelled. */
export async function cancelled(c) {
  const { trailers } = await c.unary(Echo.unaryEcho, {}, { headers: { "x-demo-tell": "1" } });
  return Number(trailers["x-demo-cancelled"]);
}

/** What the caller leaves, the upstream hears of. */
export async function untilCancelled(c, before) {
  for (let tries = 0; tries < 40; tries++) {
    if ((await cancelled(c)) > before) return;
    await sleep(50);
  }
  throw new Error("the upstream heard of no cancellation within 2 s");
}

export const EDGE = {
  error_with_details: (c, traits) => detailsOfUnary(c, traits),
  error_with_details_after_messages: { when: streams, run: (c, traits) => detailsOfStream(c, traits) },
  metadata_both_ways: (c) => metadataBothWays(c),
  text_of_many_scripts: async (c) => {
    const message = "\u0000 \u00e4 \u05d0 \u4e2d \u{1F608} \" \\ </script>";
    assertEqual((await c.unary(Echo.unaryEcho, { message })).message.message, message, "echo");
  },
  head_as_long_as_allowed: async (c) => {
    const { message } = await c.unary(Test.unaryCall, { responseSize: 100_000, payload: { body: bytes(20_000) } });
    assertEqual(message.payload.body.length, 100_000, "length");
  },
  many_messages: {
    when: streams,
    run: async (c) => {
      const headers = { "x-demo-interval-ms": "0", "x-demo-stream-count": "1000" };
      const { messages } = await c.stream(Echo.serverStreamingEcho, { message: "hi" }, { headers });
      assertEqual(messages.length, 1000, "messages");
      assert(messages.every(({ message }) => message === "hi"), "another text");
    },
  },
  unknown_method_is_refused: async (c) => {
    assertSays(await failure(c.unary(Greeter.sayHello, { name: "joe" }), 12), "/helloworld.Greeter/SayHello");
  },
  upstream_down: async (c) => {
    const error = await failure(c.unary(RouteGuide.getFeature, {}), 14);
    assertEqual(error.details.ErrorInfo?.reason, "UPSTREAM_DOWN", `reason (${error.text})`);
    assertEqual(error.details.ErrorInfo?.domain, "transom", "domain");
  },
  message_that_cannot_be_read: async (c, traits) => {
    const error = await failure(c.unary(Test.unaryCall, {}, { spoil: true }), traits.json ? 3 : 13);
    if (!traits.json) return;
    assertEqual(error.details.BadRequest?.fieldViolations[0]?.field, "thereIsNoSuchField", "violation");
    if (traits.dialect === "connect") assert(error.details["BadRequest.debug"]?.fieldViolations, "no debug for BadRequest");
  },
  request_too_large: {
    when: (traits) => !traits.get,
    run: async (c) => {
      assertSays(await failure(c.unary(Test.unaryCall, { payload: { body: bytes(5 << 20) } }), 8), "over the limit");
    },
  },
  answer_too_large: async (c) => {
    assertSays(await failure(c.unary(Test.unaryCall, { responseSize: 5 << 20 }), 8), "over the limit");
  },
  deadline_of_the_edge: async (c, traits) => {
    const headers = { ...edgeDeadline(traits), "x-demo-delay-ms": "5000" };
    await failure(c.unary(Echo.unaryEcho, { message: "hi" }, { headers }), 4);
  },
  deadline_of_the_edge_after_messages: {
    when: streams,
    run: async (c, traits) => {
      let count = 0;
      const headers = { ...edgeDeadline(traits), "x-demo-interval-ms": "200" };
      const call = c.stream(Echo.serverStreamingEcho, { message: "hi" }, { headers, onMessage: () => { count += 1; } });
      await failure(call, 4);
      assert(count >= 1, "no message before the deadline");
    },
  },
  upstream_resets: { when: streams, run: (c) => cut(c, "reset", 13) },
  upstream_ends_without_a_status: { when: streams, run: (c) => cut(c, "end", 2) },
  // The upstream's connection carries other calls too.
  upstream_hangs_up: { when: streams, alone: true, run: (c) => cut(c, "close", 14) },
  upstream_resets_before_it_answers: async (c) => {
    await failure(c.unary(Echo.unaryEcho, { message: "hi" }, { headers: { "x-demo-cut": "0 reset" } }), 13);
  },
  cancellation_reaches_the_upstream: {
    when: streams,
    alone: true,
    run: async (c) => {
      const before = await cancelled(c);
      const { messages } = await c.stream(Echo.serverStreamingEcho, { message: "hi" }, { headers: { "x-demo-stream-count": "600" }, onMessage: () => true });
      assertEqual(messages.length, 1, "messages");
      await untilCancelled(c, before);
    },
  },
};

async function cut(c, how, code) {
  let count = 0;
  // a reset overtakes what its sender has not sent
  const headers = { "x-demo-interval-ms": "100", "x-demo-cut": `2 ${how}` };
  await failure(c.stream(Echo.serverStreamingEcho, { message: "hi" }, { headers, onMessage: () => { count += 1; } }), code);
  assertEqual(count, 2, "messages before the cut");
}

// === DENIED

export const DENIED = {
  // What the page is told is the browser's own error: never an answer, and never a status of the upstream.
  a_page_of_another_origin_is_refused: async (c) => {
    const error = await c.unary(Test.emptyCall, {}).then(() => undefined, (error) => error);
    assert(error, "answered");
    assert([-1, 2, 13, 14].includes(error.code), `code ${error.code}: ${error.message}`);
  },
};
